"""Reads numbers and booleans out of JSON values: `number`, `integer`, `boolean`.

Invariant: nothing is guessed. A text is read only in the one notation that was asked for, and an
integer keeps every digit. Neighbours: `functions` registers these, `custom_fields` reads with them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from connector.mapping.arguments import Context, is_number, text_of, wrong
from connector.model import Json

_EXACT = 2**53  # below it every whole float is exactly the integer that was written


@dataclass(frozen=True, slots=True)
class _Notation:
    """How a text writes a number: its pattern, the sign between groups, the decimal sign."""

    pattern: re.Pattern[str]
    group: str
    decimal: str
    example: str


_PLAIN = _Notation(re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?"), "", ".", "'12.50'")
_LOCALES: Mapping[str, _Notation] = {
    "vi": _Notation(
        re.compile(r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?"),
        ".",
        ",",
        "'1.000.000,5'",
    ),
    "en": _Notation(
        re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?"),
        ",",
        ".",
        "'1,000,000.5'",
    ),
}

_BOOLEANS: Mapping[str, bool] = {
    "true": True,
    "1": True,
    "yes": True,
    "false": False,
    "0": False,
    "no": False,
}


def number(context: Context, value: Json, locale: Json = None) -> Json:
    """A number, or a plain text of one (`12.50`); whole values come as integers, of any length.

    `locale` 'vi' reads `1.000.000,5`, 'en' `1,000,000.5`; groups are optional there but must be of
    three. Blanks around are ignored, a text of blanks is empty. Exponents are not plain.
    """
    return _read("number", value, locale)


def integer(context: Context, value: Json, locale: Json = None) -> Json:
    """As `number`, for whole values only: `12.0` is 12, 12.5 is an error."""
    read = _read("integer", value, locale)
    if isinstance(read, float):
        if not read.is_integer():
            raise wrong("integer", value, "a whole number")
        return int(Decimal(repr(read)))  # by its digits, as the sender wrote it
    return read


def boolean(context: Context, value: Json) -> Json:
    """true/false, 1/0 or yes/no, as JSON or as text of any case with blanks around."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) or is_number(value):
        text = text_of(value, "boolean").strip()
        if not text:
            return ""
        read = _BOOLEANS.get(text.lower())
        if read is not None:
            return read
    raise wrong("boolean", value, "true or false, 1 or 0, 'yes' or 'no'")


def notation(function: str, locale: Json) -> _Notation:
    """The notation of a locale; null is plain. Raises FunctionError for an unknown locale."""
    if locale is None:
        return _PLAIN
    found = _LOCALES.get(locale) if isinstance(locale, str) else None
    if found is None:
        raise wrong(function, locale, f"a locale, one of {', '.join(map(repr, _LOCALES))}")
    return found


def _read(function: str, value: Json, locale: Json) -> Json:
    how = notation(function, locale)
    if is_number(value):
        return _whole_as_integer(function, value)
    if not isinstance(value, str):
        raise wrong(function, value, f"a number or a text like {how.example}")
    text = value.strip()
    if not text:
        return ""
    if not how.pattern.fullmatch(text):
        raise wrong(function, value, f"a number or a text like {how.example}{_advice(text)}")
    whole, _, fraction = text.replace(how.group, "").partition(how.decimal)
    try:
        if not fraction.strip("0"):
            return int(whole)
        read = float(f"{whole}.{fraction}")
    except ValueError:  # more digits than Python reads
        raise wrong(function, value, "a number of fewer digits") from None
    if not math.isfinite(read):
        raise wrong(function, value, "a number of fewer digits")
    return read


def _whole_as_integer(function: str, value: int | float) -> int | float:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise wrong(function, value, "a finite number")
        if value.is_integer() and abs(value) < _EXACT:
            return int(value)
    return value


def _advice(text: str) -> str:
    """Which locales could read the text: it takes a person to know which one is meant."""
    able = [repr(locale) for locale, how in _LOCALES.items() if how.pattern.fullmatch(text)]
    return f" (as a second argument {' or '.join(able)} would read it)" if able else ""
