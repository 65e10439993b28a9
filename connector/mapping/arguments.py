"""What every mapping function shares: its context, its error, and how a JSON value reads as text.

Job: the words in which functions talk about values. Invariant: nothing here fails on a value that
`json.loads` can give, except by `FunctionError`. Neighbours: the function modules of this folder
import it; `functions` hands `Context` and `FunctionError` on to the rest of the room.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeGuard
from zoneinfo import ZoneInfo

import rfc8785

from connector.errors import ConnectorError
from connector.frozen import dataclass
from connector.model import Json

_SHOWN = 80  # characters of a value in a message


class FunctionError(ConnectorError):
    """A function was given what it cannot read.

    The message says what was found and what would have been right; the caller adds the place.
    """


@dataclass(slots=True)
class Context:
    """What a function may know beside its arguments.

    `timezone` is the configured zone, `tables` the set's tables by name (their keys are text),
    `warn` takes a sentence about a doubtful value; the caller adds the place. `listed` is the list
    of custom fields that was read last, and what it holds by code.
    """

    timezone: ZoneInfo
    tables: Mapping[str, Mapping[str, Json]]
    warn: Callable[[str], None]
    listed: tuple[Json, Mapping[str, Mapping[str, Json]]] | None = None


def wrong(function: str, value: Json, right: str) -> FunctionError:
    """The error of `function` for `value`, with what would have been right."""
    return FunctionError(f"{function}() found {described(value)}; right would be {right}")


def described(value: Json) -> str:
    """A value in a message: its JSON type and at most 80 characters of it, fit for any terminal."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "the boolean true" if value else "the boolean false"
    if isinstance(value, str):
        return f"the text {_abridged(json.dumps(value[: _SHOWN + 1], ensure_ascii=False))}"
    if isinstance(value, (int, float)):
        return f"the number {_abridged(_number_shown(value))}"
    kind = "object" if isinstance(value, Mapping) else "list"
    return f"the {kind} {_abridged(_structure_shown(value))}"


def _abridged(shown: str) -> str:
    cut = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"
    return cut.encode("utf-8", "backslashreplace").decode()


def _number_shown(value: int | float) -> str:
    try:
        return repr(value)
    except ValueError:  # more digits than Python turns into text
        return "of thousands of digits"


def _structure_shown(value: Json) -> str:
    shown = ""
    try:
        for chunk in json.JSONEncoder(ensure_ascii=False, default=str).iterencode(value):
            shown += chunk
            if len(shown) > _SHOWN:
                break
    except (ValueError, RecursionError):
        return f"{shown}…"
    return shown


def is_number(value: Json) -> TypeGuard[int | float]:
    """Whether a value is a JSON number; a boolean is none, though Python says so."""
    return type(value) is int or type(value) is float


def number_text(value: int | float, function: str) -> str:
    """A number as plain digits: no exponent, no needless point, `-0` as `0`.

    Raises FunctionError for what is no JSON number (NaN, Infinity) or has thousands of digits.
    """
    if isinstance(value, int):
        try:
            return str(value)
        except ValueError:
            raise wrong(function, value, "a number of fewer digits") from None
    if not math.isfinite(value):
        raise wrong(function, value, "a finite number")
    if value.is_integer():
        return str(int(Decimal(repr(value))))  # by its digits: 1e22 has no digit that was not there
    return format(Decimal(repr(value)), "f")


def text_of(value: Json, function: str) -> str:
    """A text as it is, a number as its text; anything else is a FunctionError."""
    if isinstance(value, str):
        return value
    if type(value) is int or is_number(value):
        return number_text(value, function)
    raise wrong(function, value, "a text or a number")


def canonical(value: Json, function: str) -> str:
    """Canonical JSON (RFC 8785).

    The RFC knows doubles only. An integer beyond ±(2^53 - 1) keeps all its digits here, so that
    two long ids never look alike. Raises FunctionError for NaN, Infinity and lone surrogates.
    """
    try:
        try:
            return rfc8785.dumps(value).decode()
        except rfc8785.IntegerDomainError:
            return _canonical_with_long_integers(value)
    except (ValueError, RecursionError):
        raise wrong(
            function, value, "JSON: finite numbers, whole Unicode characters, moderate depth"
        ) from None


def _canonical_with_long_integers(value: Json) -> str:
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))  # RFC 8785 section 3.2.3
        parts = (f"{_scalar(key)}:{_canonical_with_long_integers(value[key])}" for key in keys)
        return f"{{{','.join(parts)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_canonical_with_long_integers, value))}]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _scalar(value)


def _scalar(value: Json) -> str:
    return rfc8785.dumps(value).decode()
