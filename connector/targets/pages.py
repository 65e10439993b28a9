"""The next page of a search: from one answer to the call that asks for more. Pure.

Invariants: only the host that the target is configured for is ever called, whatever address an
answer holds; and where there is more that cannot be had, that is said, never taken for the end: a
record that is not found is created, and would be there twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, urljoin, urlsplit

from connector.config.model import Call, Expression, Paging
from connector.model import Json
from connector.targets import extract
from connector.targets.answers import Judgement
from connector.targets.calls import Outgoing
from connector.targets.http import Answer
from connector.targets.template import encode_pairs, text


@dataclass(frozen=True, slots=True)
class Turn:
    """Makes of a search's first call the one for another page: `value` in the parameter `name`, or
    the whole `address` (origin and rest)."""

    name: str = ""
    value: Json = None
    in_body: bool = False
    address: tuple[str, str] | None = None

    def __call__(self, outgoing: Outgoing) -> Outgoing:
        if self.address:
            origin, rest = self.address
            return replace(outgoing, base=origin, path=rest)
        if self.in_body:
            said = json.loads(outgoing.body or b"{}")
            body = json.dumps({**said, self.name: self.value}, separators=(",", ":"))
            return replace(outgoing, body=body.encode())
        path, _, query = outgoing.path.partition("?")
        kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != self.name]
        return replace(outgoing, path=f"{path}?{encode_pairs([*kept, (self.name, self.value)])}")


def following(
    paging: Paging,
    call: Call,
    base_url: str,
    turn: Callable[[Outgoing], Outgoing] | None,
    judgement: Judgement,
    number: int,
    seen: int,
    hits: int,
) -> Turn | Judgement | None:
    """How to ask for the page after the one that `turn` asked for; None where that was the last.

    `number` of the page, from 1; `seen` hits on all of them, `hits` on this one. A judgement where
    there is more that cannot be asked for.
    """
    if not isinstance(judgement.result, Answer) or paging.way == "none":
        return None
    after: Turn | Judgement | None
    if paging.size is not None and hits < paging.size:
        return None
    if paging.way in ("page", "offset"):
        first = _first_page(paging, call)
        value = seen if paging.way == "offset" else first + number
        after = Turn(paging.name, value, paging.in_body)
    elif paging.way == "cursor":
        cursor = extract.find(paging.at, judgement.data) if paging.at else None
        if cursor in (None, "", False):
            return None
        after = Turn(paging.name, cursor, paging.in_body)
    else:
        after = _by_address(paging, call, base_url, judgement.result)
        if after is None and paging.way == "auto":
            after = _by_guess(call, judgement.result, number, seen)
    # An answer that leads to itself would be read again and again.
    return None if after == turn else after


def _first_page(paging: Paging, call: Call) -> int:
    said = call.body if paging.in_body else call.query
    first = text(said.get(paging.name)) if isinstance(said, dict) else ""
    return int(first) if first.isdecimal() else 1


# --- addresses

_USUAL = tuple(
    map(
        Expression,
        (
            "next",
            "links.next",
            "links.next.href",
            "_links.next",
            "_links.next.href",
            "next_page_url",
            "nextPageUrl",
            "next_url",
            "nextRecordsUrl",
            "meta.next",
            "pagination.next",
            "pagination.next_url",
            "paging.next",
            "paging.next.link",
            '"@odata.nextLink"',
        ),
    )
)
_MORE = tuple(
    map(
        Expression,
        (
            "has_more",
            "hasMore",
            "meta.has_more",
            "paging.has_more",
            "pagination.has_more",
            "info.more_records",
        ),
    )
)
_TOTALS = tuple(map(Expression, ("total", "totalCount", "total_count", "totalSize")))


def _by_address(
    paging: Paging, call: Call, base_url: str, answer: Answer
) -> Turn | Judgement | None:
    if paging.way == "address":
        found = extract.find(paging.at, answer.data) if paging.at else None
    elif paging.way == "link":
        found = _link(answer)
    elif call.method != "GET":  # the address would have to be asked with another method
        return None
    else:
        found = _link(answer) or next(filter(_is_address, _finds(_USUAL, answer.data)), None)
    if found in (None, "", False):
        return None
    if not isinstance(found, str):
        return Judgement("misled", "search: `next:` finds no address", answer)
    return _address(base_url, call, found)


def _finds(expressions: tuple[Expression, ...], data: Json) -> list[Json]:
    if not isinstance(data, dict):
        return []
    return [extract.find(expression, data) for expression in expressions]


def _is_address(found: Json) -> bool:
    return isinstance(found, str) and found.startswith(("/", "?", "http://", "https://"))


def _link(answer: Answer) -> str | None:
    """The address of `rel="next"` in the headers `Link` (RFC 8288 section 3)."""
    for part in re.findall(r"<([^>]*)>([^<]*)", answer.headers.get("Link") or ""):
        if re.search(
            r";\s*rel\s*=\s*(\"([^\"]*\s)?next(\s[^\"]*)?\"|next\b)", part[1], re.IGNORECASE
        ):
            return str(part[0])
    return None


def _address(base_url: str, call: Call, found: str) -> Turn | Judgement:
    """The page at an address of the target's own host, as a whole or after that of the search."""
    whole = urlsplit(urljoin(base_url + (call.path or "/"), found))
    own = urlsplit(base_url)
    try:
        same = _origin(whole) == _origin(own)
    except ValueError:
        same = False
    if not same:
        where = whole.hostname or "nowhere"
        what = f"search: the next page is at another host, {where}"
        return Judgement("misled", f"{what}: say how to go on with `next:` (`none`: not at all)")
    rest = (whole.path or "/") + (f"?{whole.query}" if whole.query else "")
    return Turn(address=(f"{own.scheme}://{own.netloc}", rest))


def _origin(address: SplitResult) -> tuple[str, str | None, int | None]:
    usual = {"http": 80, "https": 443}.get(address.scheme)
    return address.scheme, address.hostname, address.port or usual


# --- answers that say that there is more, and not where

_COUNTED = ("offset", "skip", "start", "startAt", "start_at")
_NUMBERED = ("page", "page_number", "pageNumber", "page_no")
_LAST = ("total_pages", "totalPages", "pages", "last_page", "lastPage", "page_count", "pageCount")
_HOLDERS = tuple(map(Expression, ("@", "meta", "pagination", "paging", "page_info", "info")))


def _by_guess(call: Call, answer: Answer, number: int, seen: int) -> Turn | Judgement | None:
    """By a parameter that the search itself names, or the answer gives back."""
    if not _says_more(answer, seen):
        return None
    for name in _COUNTED:
        if name in call.query or _whole(answer, name) is not None:
            return Turn(name, seen)
    for name in _NUMBERED:
        if name in call.query:
            return Turn(name, _first_page(Paging("page", name=name), call) + number)
        if (page := _whole(answer, name)) is not None:
            return Turn(name, page + 1)
    what = f"search: {seen} rows, none of them with this id, and the answer says there are more"
    hint = "say how to go on with `next:` (`none`: not at all)"
    return Judgement("misled", f"{what}: {hint}", answer)


def _says_more(answer: Answer, seen: int) -> bool:
    totals = [n for n in _finds(_TOTALS, answer.data) if isinstance(n, int)]
    pages = next((n for n in (_whole(answer, name) for name in _LAST) if n is not None), 0)
    page = next((n for n in (_whole(answer, name) for name in _NUMBERED) if n is not None), pages)
    more = True in _finds(_MORE, answer.data)
    return more or page < pages or any(total > seen for total in totals)


def _whole(answer: Answer, name: str) -> int | None:
    """A whole number of that name where answers keep what is about their pages."""
    for holder in _finds(_HOLDERS, answer.data):
        found = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(found, int) and not isinstance(found, bool):
            return found
    return None
