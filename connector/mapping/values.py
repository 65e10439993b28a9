"""JSON values as mappings compare them, name records by them and hold them as constants.

The one rule worth knowing: JSON's `true` is not the number 1, although Python says so, while 1 and
1.0 are one number. Pure functions, used by the rest of this room; how a number reads as text is
`arguments`' word, so that ids, `values:` and `string()` agree.
"""

from __future__ import annotations

import math
from typing import Any

from connector.mapping.arguments import number_text
from connector.model import Json

_MAX_DEPTH = 100  # of a constant, as yamltext allows


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: types count, but 1 is 1.0 and keys have no order."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def scalar_text(value: Json) -> str | None:
    """A text, number or boolean as text (`12.0` is "12", true is "true"); None for all others.

    Raises FunctionError for a number with thousands of digits.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value, "string") if isinstance(value, (int, float)) else None


def is_zero(value: Json) -> bool:
    """Whether a value is the number 0; false is not."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0


def why_not_json(value: Json, depth: int = _MAX_DEPTH) -> str | None:
    """What keeps a constant from being sent as JSON in UTF-8; None for a good one.

    Python's JSON reader takes NaN, Infinity and halves of surrogate pairs; JSON has none of them.
    """
    if depth == 0:
        return f"it is nested deeper than {_MAX_DEPTH}"
    if isinstance(value, float) and not math.isfinite(value):
        return "JSON has no such number"
    if isinstance(value, str):
        return None if _is_utf8(value) else "half of a surrogate pair is no character"
    if isinstance(value, dict):
        parts: list[Json] = [*value.keys(), *value.values()]
    elif isinstance(value, list):
        parts = value
    else:
        return None
    return next((why for part in parts if (why := why_not_json(part, depth - 1))), None)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
