"""Probes of manners, most of them heard along the way: etags, limits, times.

These come last but for `etags`, and judge what all other calls were answered.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from math import ceil
from statistics import median

from connector.checkup.finding import Finding
from connector.checkup.lab import Lab
from connector.config.model import RateLimit
from connector.targets.conversation import Row
from connector.targets.http import Answer
from connector.targets.template import text

_ETAG_FIELDS = ("_etag", "@odata.etag", "etag", "_version", "version", "_rev", "rev")


def etags(lab: Lab) -> Iterator[Finding]:
    """Whether there are etags, and whether a stale one is refused."""
    if not lab.can_look or not lab.updates:
        return
    row = lab.look(lab.main or "")
    answers = lab.http.answers()
    header = answers[-1].headers.get("ETag") if answers else None
    field = lab.free_text or next(iter(lab.fields), None)
    if not isinstance(row, Row) or field is None:
        return
    place = "header" if header else _etag_field(row)
    if place is None:
        yield Finding("etag", "there are none", "nothing tells of a change in between", None)
        return
    where = "in the header ETag" if header else f"in `{place}`"
    value = lab.fields[field]
    lab.update(lab.main or "", {field: f"{value} again" if isinstance(value, str) else value})
    stale = {"If-Match": header or text(row.record[place])}
    judgement = lab.update(lab.main or "", {field: value}, headers=stale)
    if judgement.meaning == "done":
        meaning = "If-Match is not looked at: `etag:` would be of no use"
        suits = None if lab.configured.etag is None else False
        yield Finding("etag", f"{where}; a stale one is taken", meaning, suits)
        return
    found = f"{where}; a stale one is answered {judgement.status}"
    if lab.configured.etag is not None:
        yield Finding("etag", found, "an edit in between is noticed", True)
        return
    meaning = "with `etag:` an edit in between is noticed, for one more call with each update"
    suits = False if lab.resource.etag is not None else None
    yield Finding("etag", found, meaning, suits, {"etag": place})


def _etag_field(row: Row) -> str | None:
    if not isinstance(row.record, dict):
        return None
    return next((f for f in _ETAG_FIELDS if row.record.get(f) is not None), None)


# --- limits


def rate_limits(lab: Lab) -> Iterator[Finding]:
    """What headers say of a limit, and what 429 said."""
    answers = lab.http.answers()
    refused = [answer for answer in answers if answer.status == 429]
    told = next((limit for answer in reversed(answers) if (limit := _limit(answer))), None)
    names = sorted({n for answer in answers for n in answer.headers if _LIMIT_NAME.search(n)})
    if told is None and not refused and not names:
        meaning = "nothing to keep to, as far as the answers tell"
        yield Finding("rate_limit", "no answer tells of a limit", meaning, None)
        return
    said = ", ".join(names) or "no header"
    found = f"{said} in the answers"
    if refused:
        wait = refused[-1].headers.get("Retry-After")
        found += f"; 429 after {len(answers)} calls, Retry-After: {wait or 'none'}"
    if told is None:
        meaning = "a limit is there: set `rate_limit` to what the CRM's manual says"
        yield Finding("rate_limit", found, meaning, True if lab.config.rate_limit else None)
        return
    configured = lab.config.rate_limit
    advice = {"rate_limit": _rate(told)}
    if configured and configured.count / configured.seconds <= told.count / told.seconds:
        meaning = "the configured limit keeps within it"
        yield Finding("rate_limit", f"{found}: {_rate(told)}", meaning, True)
        return
    meaning = "beyond it calls are refused, and all workers wait"
    suits = False if configured or refused else None
    yield Finding("rate_limit", f"{found}: {_rate(told)}", meaning, suits, advice, "target")


_LIMIT_NAME = re.compile(r"^(x-)?rate-?limit|^retry-after$", re.IGNORECASE)
_POLICY = re.compile(r"(?:^|[;,\s]|q=)(?P<count>\d+)\s*;\s*w=(?P<seconds>\d+)")


def _limit(answer: Answer) -> RateLimit | None:
    """The limit that an answer tells of: the draft's policy, or a number and its window."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    for name in ("ratelimit-policy", "ratelimit-limit", "x-ratelimit-limit"):
        if found := _POLICY.search(headers.get(name, "")):
            return RateLimit(int(found["count"]), float(found["seconds"]))
    count = _number(headers, "x-ratelimit-limit", "ratelimit-limit", "x-rate-limit-limit")
    window = _number(headers, "x-ratelimit-window", "ratelimit-reset", "x-ratelimit-reset")
    if count and window and 0 < window <= 86_400:
        return RateLimit(int(count), window)
    return None


def _number(headers: dict[str, str], *names: str) -> float | None:
    for name in names:
        if found := re.fullmatch(r"\s*(\d{1,9}(\.\d+)?)\s*", headers.get(name, "")):
            return float(found[1])
    return None


def _rate(limit: RateLimit) -> str:
    if limit.seconds == 1:
        return f"{limit.count}/second"
    return f"{limit.count}/{ceil(limit.seconds)} seconds"


# --- times


def latency(lab: Lab) -> Iterator[Finding]:
    """How long answers took, by method; against `timeout`."""
    times: dict[str, list[float]] = defaultdict(list)
    for heard in lab.http.heard:
        if isinstance(heard.result, Answer):
            times[heard.method].append(heard.result.seconds)
    if not times:
        return
    parts = [
        f"{method} {_ms(median(each))} (at most {_ms(max(each))}, {len(each)} calls)"
        for method, each in sorted(times.items())
    ]
    longest, timeout = max(map(max, times.values())), lab.config.timeout
    usual = median(seconds for each in times.values() for seconds in each)
    calls = lab.config.concurrency / max(usual, 0.001)
    meaning = (
        f"with `concurrency: {lab.config.concurrency}` about {_rounded(calls)} calls/s at most"
    )
    if longest > timeout / 2:
        meaning = f"close to `timeout` ({timeout:g} s): a call that is cut off must be made again"
        advice = {"timeout": ceil(3 * longest)}
        yield Finding("latency", "; ".join(parts), meaning, False, advice, "target")
        return
    yield Finding("latency", "; ".join(parts), meaning, True)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _rounded(number: float) -> int:
    """Two digits that count."""
    digits = len(str(int(number))) - 2
    return int(round(number, -digits)) if digits > 0 else int(number)
