"""How pages write times, numbers and values: filters of the templates. Pure.

Times are shown in the configured zone and by the clock; how long ago something was is said beside.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask_babel import format_decimal, format_timedelta
from markupsafe import Markup, escape

from connector.dashboard.masking import masked_field, masked_text
from connector.dashboard.words import ACTIONS, DID, MEANINGS, said
from connector.model import Json, Problem


def filters(zone: ZoneInfo) -> Mapping[str, Callable[..., Any]]:
    """Every filter by its name. Times are microseconds, or ISO texts as the rooms give them."""
    return {
        "moment": lambda at: moment(at, zone),
        "ago": ago,
        "value": value,
        "pretty": pretty,
        "count": count,
        "ms": milliseconds,
        "masked": masked_text,
        "hidden": masked_field,
        "problems_json": problems_json,
        "said": said,
        "meaning": lambda word: MEANINGS.get(word, word),
        "did": lambda word: DID.get(word, word),
        "action": lambda word: ACTIONS.get(word, word),
    }


def moment(at: int | str | None, zone: ZoneInfo) -> Markup | str:
    """A `<time>` in the zone; a dash for none."""
    when = _when(at)
    if when is None:
        return "–"
    local = when.astimezone(zone)
    return Markup('<time datetime="{}" title="{} {}">{}</time>').format(
        when.isoformat(timespec="milliseconds"),
        local.isoformat(timespec="milliseconds"),
        zone.key,
        local.strftime("%Y-%m-%d %H:%M:%S"),
    )


def ago(at: int | str | None) -> str:
    """How long ago, in the language of the page; a dash for none."""
    when = _when(at)
    if when is None:
        return "–"
    seconds = max(0.0, time.time() - when.timestamp())
    return str(format_timedelta(timedelta(seconds=-seconds), add_direction=True))


def value(data: Json) -> Markup | str:
    """A field's value on one line: text as it is, null and '' told apart from words."""
    if data is None or data == "":
        return Markup('<span class="none">{}</span>').format("null" if data is None else "''")
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return escape(text)


def pretty(data: Json) -> str:
    """JSON over several lines; a text as it is, unless it is JSON itself."""
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            return str(data)
    return json.dumps(data, ensure_ascii=False, indent=2)


def count(number: float | None) -> str:
    """A whole number in the language of the page; a dash for none."""
    return "–" if number is None else str(format_decimal(round(number)))


_UNITS = ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"))
"""Up to how many seconds a length of time is told in which unit; beyond them in days."""


def milliseconds(seconds: float | None) -> str:
    """A short length of time; a dash for none."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{format_decimal(round(seconds * 1000, 1 if seconds < 0.01 else 0))} ms"
    for most, unit, word in _UNITS:
        if seconds < most:
            return (
                f"{format_decimal(round(seconds / unit, 1 if seconds < 10 * unit else 0))} {word}"
            )
    return f"{format_decimal(round(seconds / 86_400, 1))} d"


def problems_json(problems: Iterable[Problem]) -> list[dict[str, Json]]:
    """Errors as the list of problems takes them."""
    return [{"level": "error", **problem.to_json()} for problem in problems]


def _when(at: int | str | None) -> datetime | None:
    if not at:
        return None
    if isinstance(at, str):
        return datetime.fromisoformat(at)
    return datetime.fromtimestamp(at / 1e6, UTC)
