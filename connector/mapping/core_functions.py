"""JMESPath's own functions, as mappings need them.

The library's, with these differences:

- null into a function that cannot take it gives null, also within a list (`join(', ', [a, b])`
  where b is absent) and as a key to sort by.
- `to_number` reads the numbers that JSON has and no others, `to_string` keeps letters as they are,
  and `contains` never takes true for 1.

Invariant: they give JSON or raise `FunctionError`, as ours in `functions` do. `expressions` asks
which arguments they take, `evaluation` calls them.
"""

from __future__ import annotations

import json
import math
import re

from jmespath import exceptions, functions

from connector.mapping.arguments import FunctionError, described
from connector.mapping.values import same
from connector.model import Json

_MAX_TEXT = 10_000_000  # characters that `join` makes
_NUMBER = re.compile(r"\s*[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\s*", re.ASCII)

_TYPES = {
    "string": "a text",
    "number": "a number",
    "array": "a list",
    "object": "an object",
    "array-string": "a list of texts",
    "array-number": "a list of numbers",
}


def names() -> list[str]:
    """What JMESPath's own functions are called."""
    return list(_JMESPATH.FUNCTION_TABLE)


def arity(name: str) -> tuple[int, int | None]:
    """The least and the greatest number of arguments; None for no limit."""
    signature = _JMESPATH.FUNCTION_TABLE[name]["signature"]
    return len(signature), None if signature[-1].get("variadic") else len(signature)


def takes_expression(name: str) -> list[bool]:
    """For each argument whether it is an `&expression`."""
    signature = _JMESPATH.FUNCTION_TABLE[name]["signature"]
    return ["expref" in argument["types"] for argument in signature]


def call(name: str, arguments: list[Json]) -> Json:
    """The function's value. Raises FunctionError."""
    try:
        result = _JMESPATH.call_function(name, arguments)
    except exceptions.JMESPathTypeError as error:
        if error.actual_type in ("null", "NoneType"):
            return None
        wanted = " or ".join(_TYPES.get(kind, kind) for kind in error.expected_types)
        found = described(error.current_value)
        raise FunctionError(f"{name}() found {found}; right would be {wanted}") from error
    if isinstance(result, float) and not math.isfinite(result):
        raise FunctionError(f"{name}() gives a number that is too large for JSON")
    return result


class _Functions(functions.Functions):  # type: ignore[misc]
    """JMESPath's own functions, where the library's differ from what a mapping needs."""

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_string(self, value: Json) -> str:
        if isinstance(value, str):
            return value
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    @functions.signature({"types": []})  # type: ignore[untyped-decorator]
    def _func_to_number(self, value: Json) -> int | float | None:
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            return None
        number: int | float | None = super()._func_to_number(value)
        return None if isinstance(number, float) and not math.isfinite(number) else number

    @functions.signature(  # type: ignore[untyped-decorator]
        {"types": ["array", "string"]}, {"types": []}
    )
    def _func_contains(self, subject: list[Json] | str, search: Json) -> bool:
        if isinstance(subject, str):
            return isinstance(search, str) and search in subject
        return any(same(element, search) for element in subject)

    @functions.signature(  # type: ignore[untyped-decorator]
        {"types": ["object"], "variadic": True}
    )
    def _func_merge(self, *objects: Json) -> dict[str, Json]:
        merged: dict[str, Json] = {}
        for each in objects:  # the library checks the first only
            self._type_check_single(each, ["object"], "merge")
            merged.update(each)
        return merged

    @functions.signature(  # type: ignore[untyped-decorator]
        {"types": ["string"]}, {"types": ["array-string"]}
    )
    def _func_join(self, separator: str, parts: list[str]) -> str:
        if len(separator) * len(parts) > _MAX_TEXT:
            raise FunctionError(f"join() would make a text of more than {_MAX_TEXT} characters")
        return separator.join(parts)


_JMESPATH = _Functions()
