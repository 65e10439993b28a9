"""Logs to standard error: JSON lines on a server, readable lines on a terminal.

Every module logs by `logging.getLogger(__name__)`; here the standard library's records are taken
through structlog. What belongs to one event carries the same `event` (the first 20 characters of
its id) from the webhook to the CRM call; what belongs to a record or call carries `record`, `call`.

Invariants: whatever is written went through `redaction`; a line that repeats does not flood.

Settings are the environment's: `LOG_LEVEL` (debug, info, warning, error), `LOG_FORMAT` (json, text;
by default json unless standard error is a terminal), and `SENTRY_DSN`, see `sentry`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, TextIO, TypeAlias

from connector.redaction import Redaction
from connector.unloaded import without

# structlog would load rich, with pygments, for pretty tracebacks, and greenlet and colorama for
# what is not used here either: megabytes in every process.
with without("rich", "rich.traceback", "greenlet", "colorama"):
    import structlog
    from structlog.stdlib import ExtraAdder, ProcessorFormatter

Fields: TypeAlias = MutableMapping[str, Any]

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
FORMATS = ("json", "text")

SAME_LINES, WITHIN_SECONDS = 20, 10.0
SAME_WORDS, SAME_WORDS_SECONDS = 5, 60.0
"""So many lines of one place in the code are written in such a time, and so many that say the same;
the rest is only counted."""

redaction = Redaction()
"""What this process hides. `hide` adds the secrets of its configuration."""


def hide(secrets: Iterable[str]) -> None:
    """Never write these texts."""
    redaction.hide(secrets)


def start(level: int, stream: TextIO | None = None) -> None:
    """Log at `level` and above, or as LOG_LEVEL says where that is not DEBUG already; other
    packages at WARNING. `stream` is standard error when not given."""
    stream = stream or sys.stderr
    wrong = []
    wanted = os.environ.get("LOG_LEVEL", "").strip().lower()
    if wanted and wanted not in LEVELS:
        wrong.append(f"LOG_LEVEL is none of {', '.join(LEVELS)}; info is used")
    if level != logging.DEBUG:
        level = LEVELS.get(wanted, level)
    form = os.environ.get("LOG_FORMAT", "").strip().lower()
    if form and form not in FORMATS:
        wrong.append(f"LOG_FORMAT is none of {', '.join(FORMATS)}; it is left to the terminal")
    if form not in FORMATS:
        form = "text" if stream.isatty() else "json"
    handler = logging.StreamHandler(stream)
    handler.addFilter(without_values)
    handler.addFilter(Repeats())
    handler.setFormatter(formatter(form))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("connector").setLevel(level)
    logging.captureWarnings(True)
    for text in wrong:
        logging.getLogger(__name__).warning(text)
    if os.environ.get("SENTRY_DSN"):
        from connector import sentry

        sentry.start(os.environ["SENTRY_DSN"], redaction)


def formatter(form: str) -> ProcessorFormatter:
    """What makes a line of a record: `json` for machines, `text` for a terminal."""
    last: list[Any]
    if form == "json":
        last = [structlog.processors.JSONRenderer(serializer=_to_json)]
    else:
        last = [_for_people]
    return ProcessorFormatter(
        foreign_pre_chain=[
            structlog.processors.EventRenamer("message"),  # `event` is a field of ours
            ExtraAdder(),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper("iso", utc=True, key="time"),
        ],
        processors=[_error, ProcessorFormatter.remove_processors_meta, redact, *last],
    )


# --- processors


def _error(_logger: Any, _method: str, fields: Fields) -> Fields:
    """An exception as its type, its words and where it came from; never what it held."""
    _, error, _ = fields.pop("exc_info", None) or (None, None, None)
    if error is not None:
        fields["error"] = f"{type(error).__name__}: {redaction.of_error(error)}"
        fields["trace"] = _trace(error)
    return fields


def _trace(error: BaseException) -> str:
    """Where an exception came from, its causes first: places and lines of code, no values."""
    parts: list[str] = []
    known: BaseException | None = error
    while known is not None and len(parts) < 5:
        frames = "".join(traceback.format_tb(known.__traceback__))
        parts.append(f"{frames}{type(known).__name__}: {redaction.of_error(known)}")
        known = known.__cause__ or (None if known.__suppress_context__ else known.__context__)
    return "\n".join(reversed(parts))


def redact(_: Any, __: str, fields: Fields) -> Fields:
    """The last step before a line is written: nothing secret and nothing personal stays."""
    return redaction.data(fields)


_FIRST = ("time", "level", "logger", "message")


def _to_json(fields: Fields, **_: Any) -> str:
    ordered = {key: fields[key] for key in _FIRST if key in fields} | dict(fields)
    return json.dumps(ordered, ensure_ascii=False, default=str)


def _for_people(_: Any, __: str, fields: Fields) -> str:
    rest = [
        f"{key}={value}"
        for key, value in fields.items()
        if key not in (*_FIRST, "trace", "positional_args")
    ]
    head = f"{fields['time'][11:23]} {fields['level'].upper():7} {fields['logger']}:"
    line = " ".join([head, str(fields["message"]), *rest])
    return f"{line}\n{fields['trace']}" if fields.get("trace") else line


# --- filters


@dataclass(slots=True)
class _Window:
    """How many lines were written since when."""

    since: float
    written: int = 0

    def takes(self, now: float, most: int, seconds: float) -> bool:
        if now - self.since > seconds:
            self.since, self.written = now, 0
        return self.written < most


@dataclass(slots=True)
class _Place:
    """What one place in the code has said: at all, and its latest words; and what was left out."""

    lines: _Window
    same: _Window
    words: tuple[object, ...] = ()
    held: int = 0


class Repeats(logging.Filter):
    """Lets some lines of one place in the code through, fewer with the same words, then counts, and
    tells the count with the next line that it lets through: neither a sender with a wrong secret
    nor a Redis that is away for a day must fill the disk. Lines of the level DEBUG were asked
    for."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno <= logging.DEBUG:
            return True
        now = time.monotonic()
        key = (record.pathname, record.lineno)
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = _Place(_Window(now), _Window(now))
        about = (getattr(record, name, None) for name in ("event", "record"))
        words = (record.getMessage(), *about)
        if words != place.words:
            place.words, place.same = words, _Window(now)
        if not (
            place.lines.takes(now, SAME_LINES, WITHIN_SECONDS)
            and place.same.takes(now, SAME_WORDS, SAME_WORDS_SECONDS)
        ):
            place.held += 1
            return False
        place.lines.written += 1
        place.same.written += 1
        if place.held:
            record.repeated, place.held = place.held, 0
        return True


def without_values(record: logging.LogRecord) -> bool:
    """An exception given as an argument says what `Redaction.of_error` lets it say."""
    if isinstance(record.args, tuple) and any(isinstance(a, BaseException) for a in record.args):
        record.args = tuple(
            redaction.of_error(a) if isinstance(a, BaseException) else a for a in record.args
        )
    return True
