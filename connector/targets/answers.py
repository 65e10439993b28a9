"""What a CRM's answer means: one table (docs/answers.md), read by code, docs and dashboard alike.

Pure. `ROWS` is the table, the first row that fits decides; a resource's `answers:` come before it
for whatever was answered. `judge` turns one result into a `Judgement`: its meaning, a reason that a
person understands, whether the CRM may have what was sent, and whether a look at the CRM could
change the meaning.

Neighbours: `http` gives the results, `conversation` and `strategies` act on judgements; how often
a record or a target is tried again is not known here.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Container, Iterator, Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Literal, TypeAlias

from connector.config.model import AnswerRule, ResourceConfig
from connector.frozen import dataclass
from connector.model import Json
from connector.targets import extract, reasons
from connector.targets.http import Answer, Failure, FailureKind, Result

CallKind: TypeAlias = Literal[
    "check", "login", "search", "read", "create", "update", "upsert", "batch", "delete"
]
"""`upsert` is the one call of put, patch and post for a record that was never delivered; for one
that was, it is an `update`."""

Verdict: TypeAlias = Literal[
    "done",
    "conflict",  # somebody was faster
    "gone",  # the record is not there any more
    "refused",
    "forbidden",  # 403: credentials or this record, a call that should work tells
    "credentials",
    "not_now",
    "fault",
    "misled",
]

WRITES: frozenset[CallKind] = frozenset({"create", "update", "upsert", "batch", "delete"})
_OF_ONE: frozenset[CallKind] = WRITES - {"batch"}  # what became of a batch's records it says itself
_NOT_A_CHECK: frozenset[CallKind] = WRITES | {"search", "read", "login"}


@dataclass(frozen=True, slots=True)
class Case:
    """What a result's meaning depends on besides itself.

    `resource` is None for calls that belong to none (check, login). `delivered`: the record was in
    the CRM before. `one_call`: the call is the one of put, patch or post. `can_look`: a search or
    a read can show what a conflict is about; `can_search`: a search can.
    """

    call: CallKind
    resource: ResourceConfig | None = None
    external_id: str = ""
    delivered: bool = False
    one_call: bool = False
    can_look: bool = False
    can_search: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one result means.

    `unknown`: the call left and nobody can say whether the CRM has it. `definite`: the CRM has
    answered this call, so the next one is another. `look`: the meaning is different if a search
    finds the record (a create) or no longer finds it (an update, a delete). `retry_after` in
    seconds. `result` is None for a call that could not be made.
    """

    meaning: Verdict
    reason: str
    result: Result | None = None
    unknown: bool = False
    look: bool = False
    retry_after: float | None = None

    @property
    def status(self) -> int | None:
        """The HTTP status; None where nothing was answered."""
        return self.result.status if isinstance(self.result, Answer) else None

    @property
    def definite(self) -> bool:
        """Whether the call is over: answered, and by more than a gateway that lost its backend."""
        return isinstance(self.result, Answer) and not self.unknown

    @property
    def data(self) -> Json:
        """The answer's body, None where nothing was answered."""
        return self.result.data if isinstance(self.result, Answer) else None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `answer` and `then` are its text; the rest is what it fits."""

    answer: str
    meaning: Verdict
    then: str
    statuses: Container[int] = ()
    failures: frozenset[FailureKind] = frozenset()
    calls: frozenset[CallKind] | None = None
    condition: str | None = None
    unknown: bool = False
    look: bool = False


_SUCCESS = range(200, 300)
_CREATE: frozenset[CallKind] = frozenset({"create"})
_DELETE: frozenset[CallKind] = frozenset({"delete"})
_DEAD_LETTER = "this record becomes a dead letter, with the answer"
_LATER = "again with backoff and jitter, Retry-After obeyed, for the whole target"

ROWS: tuple[Row, ...] = (
    Row(
        "2xx with HTML where JSON is expected",
        "credentials",
        "a login page: as 401",
        _SUCCESS,
        calls=_NOT_A_CHECK,
        condition="html",
    ),
    Row(
        "2xx with `error: true`, `ok: false` or `code: errors` beside no record",
        "refused",
        _DEAD_LETTER,
        _SUCCESS,
        calls=_NOT_A_CHECK,
        condition="error inside",
    ),
    Row(
        "207 with a part of `status` ≥ 400 or a non-empty `error`",
        "refused",
        _DEAD_LETTER,
        (207,),
        calls=_NOT_A_CHECK - {"batch"},
        condition="failed part",
    ),
    Row(
        "2xx of a write with a body for which `success:` does not hold",
        "refused",
        _DEAD_LETTER,
        _SUCCESS,
        calls=_OF_ONE,
        condition="no success",
    ),
    Row("any other 2xx", "done", "link and delivered state are kept", _SUCCESS),
    Row(
        "3xx",
        "misled",
        "never followed; the target pauses with the address it was sent to",
        range(300, 400),
    ),
    Row("401", "credentials", "one fresh token, then the target pauses", (401,)),
    Row("403 on `check:`", "credentials", "the target pauses", (403,), calls=frozenset({"check"})),
    Row(
        "403",
        "forbidden",
        "credentials while `check:` (or the last kind of call that worked) is refused too; else "
        "gone where the record was delivered and is no longer found; else refused",
        (403,),
    ),
    Row(
        "404, 410 on a delete",
        "done",
        "already gone",
        (404, 410),
        calls=_DELETE,
    ),
    Row(
        "404, 410 on an update of a record that was delivered before, or on the read before it",
        "gone",
        "search once; then `gone:` says: recreate, dead or ignore",
        (404, 410),
        calls=frozenset({"update", "read"}),
        condition="delivered",
    ),
    Row(
        "409, 412 where there is a search or a read",
        "conflict",
        "somebody was faster: read or search, write again; after a few rounds a dead letter",
        (409, 412),
        calls=WRITES,
        condition="can look",
    ),
    Row("408, 425, 429, 503", "not_now", _LATER, (408, 425, 429, 503)),
    Row(
        "502, 504",
        "not_now",
        _LATER + "; the CRM behind the gateway may have the call: it keeps its number and key",
        (502, 504),
        unknown=True,
    ),
    Row(
        "no answer: refused, reset, timed out, name not found, TLS",
        "not_now",
        _LATER + "; a call that had left keeps its number and key",
        failures=frozenset({"refused", "reset", "timed out", "name not found", "TLS"}),
    ),
    Row(
        "no answer: the CRM refuses our client certificate, or a proxy its credentials",
        "credentials",
        "the target pauses",
        failures=frozenset({"certificate refused", "proxy refused"}),
    ),
    Row(
        "a call that HTTP cannot carry, such as a header with a line break",
        "refused",
        "this record becomes a dead letter",
        failures=frozenset({"unwritable"}),
    ),
    Row(
        "any other 4xx on `check:`",
        "done",
        "the CRM lives and takes the credentials",
        range(400, 500),
        calls=frozenset({"check"}),
    ),
    Row(
        "400, 422 on a create",
        "refused",
        "a search that then finds the record: as 409; else a dead letter, with the answer",
        (400, 422),
        calls=_CREATE,
        condition="can search",
        look=True,
    ),
    Row(
        "500 on a create",
        "fault",
        "a search that then finds the record: as 409; else as every 500",
        (500,),
        calls=_CREATE,
        condition="can search",
        look=True,
    ),
    Row(
        "any other 4xx on a delete",
        "refused",
        "a search that no longer finds the record: done; else a dead letter, with the answer",
        range(400, 500),
        calls=_DELETE,
        condition="can search",
        look=True,
    ),
    Row("400, 422 and any other 4xx", "refused", _DEAD_LETTER, range(400, 500)),
    Row(
        "500, 501, 505 and whatever else",
        "fault",
        "not now while other records fail too; this record's own fault when others get through",
        range(1000),
    ),
)


def judge(case: Case, result: Result) -> Judgement:
    """What the result of a call means, corrections first, then the table."""
    writes = case.call in WRITES
    row = _row(case, result)
    if isinstance(result, Failure):
        return Judgement(row.meaning, result.text, result, unknown=result.sent and writes)
    if correction := correction_of(case, result):
        return _judgement(correction.means, result, reasons.refusal)
    reason = _REASONS.get(row.condition or row.meaning, reasons.refusal)
    # Whatever refuses a delete, also within a 2xx: the record may be gone already.
    look = row.look or (case.call == "delete" and row.meaning == "refused" and case.can_search)
    return _judgement(row.meaning, result, reason, unknown=row.unknown and writes, look=look)


def _judgement(
    meaning: Verdict,
    answer: Answer,
    reason: Callable[[Answer], str],
    *,
    unknown: bool = False,
    look: bool = False,
) -> Judgement:
    if meaning == "done":
        return Judgement(meaning, "", answer)
    wait = retry_after(answer.headers) if meaning in ("not_now", "fault") else None
    return Judgement(meaning, reason(answer), answer, unknown, look, wait)


_REASONS: Mapping[str, Callable[[Answer], str]] = {
    "misled": reasons.redirect,
    "html": lambda answer: f"{reasons.said(answer)}: an HTML page, perhaps of a login, for JSON",
    "no success": lambda answer: reasons.refusal(answer, "`success:` does not hold"),
}


def markdown() -> str:
    """The table for the docs."""
    rows = (f"| {row.answer} | {row.meaning} | {row.then} |" for row in ROWS)
    return "\n".join(("| answer | meaning | what happens |", "|---|---|---|", *rows))


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds that an answer asks to wait, never negative; None where it does not (RFC 9110
    §10.2.3). A date counts from the answer's own `Date`, for clocks differ; else from `now`."""
    value = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d*)?", value):
        return float(value)
    due = _http_date(value)
    if due is None:
        return None
    sent = _http_date(headers.get("Date") or "")
    return max(0.0, due - (sent if sent is not None else time.time() if now is None else now))


# --- the rows' conditions


def _row(case: Case, result: Result) -> Row:
    outcome = result.status if isinstance(result, Answer) else result.kind
    for row in _candidates(case.call, outcome):
        if row.condition is None:
            return row
        if isinstance(result, Answer) and _CONDITIONS[row.condition](case, result):
            return row
    raise LookupError("the last row has no condition")


@cache
def _candidates(call: CallKind, outcome: int | FailureKind) -> tuple[Row, ...]:
    """The rows that a call and its status or failure leave; the last has no condition."""
    return tuple(
        row
        for row in ROWS
        if (outcome in row.statuses if isinstance(outcome, int) else outcome in row.failures)
        and (row.calls is None or call in row.calls)
    )


def _html(case: Case, answer: Answer) -> bool:
    data, headers = answer.data, answer.headers
    if not isinstance(data, str):
        return False
    start = data.lstrip("\ufeff \t\r\n")[:200].lower()
    declared = "html" in (headers.get("Content-Type") or "").lower()
    return start.startswith(("<!doctype html", "<html")) or (declared and start.startswith("<"))


def _error_inside(case: Case, answer: Answer) -> bool:
    data = answer.data
    if not isinstance(data, dict) or _holds_record(data, case):
        return False
    return data.get("error") is True or data.get("ok") is False or data.get("code") == "errors"


def _holds_record(data: Json, case: Case) -> bool:
    resource = case.resource
    if resource and resource.crm_id and extract.find_id(resource.crm_id, data) is not None:
        return True
    if not resource or not resource.external_id:
        return False
    return extract.find_text(resource.external_id.read, data) == case.external_id


def _failed_part(case: Case, answer: Answer) -> bool:
    return any(_failed(part) for part in _parts(answer.data))


def _parts(data: Json) -> Iterator[dict[str, Json]]:
    """The objects of an answer of many parts: itself, those in it, and those in its lists."""
    inner = list(data.values()) if isinstance(data, dict) else []
    for item in [data, *inner]:
        yield from (part for part in (item if isinstance(item, list) else [item]) if _is_map(part))


def _is_map(item: Json) -> bool:
    return isinstance(item, dict)


def _failed(part: Mapping[str, Json]) -> bool:
    status = part.get("status")
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    failed = isinstance(status, int) and status >= 400
    return failed or bool(part.get("error"))


def _no_success(case: Case, answer: Answer) -> bool:
    success = case.resource.success if case.resource else None
    data = answer.data
    return success is not None and data is not None and not extract.holds(success, data)


_CONDITIONS: Mapping[str, Callable[[Case, Answer], bool]] = {
    "html": _html,
    "error inside": _error_inside,
    "failed part": _failed_part,
    "no success": _no_success,
    "delivered": lambda case, _: case.delivered,
    "can look": lambda case, _: case.can_look,
    "can search": lambda case, _: case.can_search,
}


def correction_of(case: Case, answer: Answer) -> AnswerRule | None:
    """The first of the resource's `answers:` that fits."""
    if not case.resource or not case.resource.answers:
        return None
    names = _names(case)
    return next(
        (
            rule
            for rule in case.resource.answers
            if (not rule.calls or not names.isdisjoint(rule.calls))
            and (not rule.statuses or answer.status in rule.statuses)
            and (rule.when is None or extract.holds(rule.when, answer.data))
        ),
        None,
    )


def _names(case: Case) -> set[str]:
    """The words by which `answers:` may name a call: the one call of put, patch and post is an
    upsert, and for a record that was never delivered a create as well as an update."""
    names: set[str] = {case.call}
    if case.one_call:
        names |= {"upsert", "update"} if case.delivered else {"upsert", "update", "create"}
    return names


# --- details


def _http_date(value: str) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
