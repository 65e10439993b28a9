"""Raw bytes → JSON, as strictly as the journal, the mappings and the CRMs behind them need it.

A text is *not JSON* (`NotJson`: the sender is told) or it is JSON. JSON that Python, UTF-8 or
this project cannot carry on is *flawed*, not refused: nested deeper than `MAX_DEPTH`, a number
that becomes infinite or has too many digits, half a surrogate pair. The sender cannot mend that,
so the caller makes a dead letter of the part that has the flaw and goes on with the others.

Nearly every body is clean, and learns so from one `json` parse, one count of brackets and one
search for `\\ud`. Only where one of these raises a doubt is the text parsed again with care:
subtrees below `MAX_DEPTH` are cut out (after a check that they are JSON) so that no recursion
depends on the sender, and unreadable numbers become `Unread` texts. `flaw` then finds what there
is. This module knows no vendor.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from itertools import chain
from typing import NoReturn

from connector.errors import NotJson
from connector.frozen import dataclass
from connector.model import Json

MAX_DEPTH = 50
"""The deepest nesting of objects and lists that is read; the root counts as 1."""

TOO_DEEP = f"nested deeper than {MAX_DEPTH}"
HALF_PAIR = "a text holds half a surrogate pair, which is no character"
TOO_LARGE = "a number is too large to be read"

_SURROGATE = re.compile("[\ud800-\udfff]")
_MARK = re.compile(r'"(?:[^"\\]++|\\.)*+"|["\[\]{}]', re.DOTALL)


_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Unread(str):
    """The digits of a number that no Python number can hold."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """A parsed text; `clean` says that no part of it has a flaw."""

    value: Json
    clean: bool

    def flaw(self, part: Json, depth: int) -> str | None:
        """What makes `part`, whose own nesting in the text is `depth`, unfit; None if nothing."""
        return None if self.clean else _flaw(part, depth)


def read(body: bytes) -> Reading:
    """Parse UTF-8 JSON (RFC 8259; a byte order mark is skipped; of equal keys the last wins).

    Raises `NotJson` for anything else, NaN and Infinity included.
    """
    try:
        text = body.decode("utf-8-sig" if body[:3] == _BYTE_ORDER_MARK else "utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"not JSON: byte {error.start} is not UTF-8") from None
    try:
        value = _FAST.decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(error) from None
    except (ValueError, RecursionError):
        return Reading(_decode(_CAREFUL, _pruned(text)), clean=False)
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _too_deep(value):
        return Reading(_decode(_CAREFUL, _pruned(text)), clean=False)
    if (b"\\ud" in body or b"\\uD" in body) and _flaw(value, 1):
        return Reading(value, clean=False)
    return Reading(value, clean=True)


def _not_json(error: json.JSONDecodeError) -> NotJson:
    return NotJson(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}")


def _decode(decoder: json.JSONDecoder, text: str) -> Json:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(error) from None


def _refuse(constant: str) -> NoReturn:
    raise NotJson(f"not JSON: {constant} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(TOO_LARGE)
    return number


def _float_or_unread(text: str) -> float | Unread:
    number = float(text)
    return Unread(text) if math.isinf(number) else number


def _int_or_unread(text: str) -> int | Unread:
    try:
        return int(text)
    except ValueError:
        return Unread(text)


_FAST = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
_CAREFUL = json.JSONDecoder(
    parse_float=_float_or_unread, parse_int=_int_or_unread, parse_constant=_refuse
)


def _too_deep(value: Json) -> bool:
    """Whether objects and lists nest deeper than `MAX_DEPTH`: one level at a time, no recursion."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return False
    return True


def _flaw(part: Json, depth: int) -> str | None:
    level: Iterable[Json] = [part]
    while True:
        containers = []
        for item in level:
            if isinstance(item, Unread):
                return TOO_LARGE
            if isinstance(item, str):
                if _SURROGATE.search(item):
                    return HALF_PAIR
            elif isinstance(item, dict | list):
                containers.append(item)
        if not containers:
            return None
        if depth > MAX_DEPTH:
            return TOO_DEEP
        level = chain.from_iterable(
            chain(node, node.values()) if isinstance(node, dict) else node for node in containers
        )
        depth += 1


def _pruned(text: str) -> str:
    """The text with every subtree below `MAX_DEPTH` replaced by a list that holds its SHA-256.

    The replacement is itself one level too deep, so `flaw` finds it, and two texts that differ
    below stay different. What is cut is cut in slices of `MAX_DEPTH` levels, innermost first, and
    each slice is checked to be JSON: one pass over the text, whatever its depth.
    """
    outer: list[list[str]] = [[]]
    depth = last = 0
    for mark in _MARK.finditer(text):
        start, end = mark.span()
        sign = text[start]
        if sign == '"':
            if end - start == 1:
                raise NotJson("not JSON: a text does not end")
        elif sign in "[{":
            depth += 1
            if depth > 1 and depth % MAX_DEPTH == 1:
                outer[-1].append(text[last:start])
                outer.append([])
                last = start
        else:
            if depth > 1 and depth % MAX_DEPTH == 1:
                piece = "".join([*outer.pop(), text[last:end]])
                _decode(_CAREFUL, piece)
                digest = hashlib.sha256(piece.encode("utf-8", "surrogatepass")).hexdigest()
                outer[-1].append(f'["{digest}"]')
                last = end
            depth -= 1
            if depth < 0:
                raise NotJson("not JSON: a bracket closes what was not opened")
    if depth:
        raise NotJson("not JSON: a bracket does not close")
    outer[0].append(text[last:])
    return "".join(outer[0])
