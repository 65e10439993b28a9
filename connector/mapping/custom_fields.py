"""CareSoft's custom fields by their type: `custom`, `custom_id`, `custom_all`.

A custom field is `{id, field, label, type, value, value_id}` (caresoft-webhook, `addition_fields`);
`type` comes as a number, a numeric text or not at all, `value` as text. Invariant: a value that
does not fit its type loses nothing; it comes as text, with a warning. Of two fields with one code
the later counts, as of two equal keys in JSON. Neighbours: `numerals`, `times` and `texts` read
the values; `functions` registers these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from connector.mapping.arguments import (
    Context,
    FunctionError,
    described,
    is_number,
    number_text,
    text_of,
    wrong,
)
from connector.mapping.numerals import number
from connector.mapping.texts import string
from connector.mapping.times import date
from connector.model import Json

_Field: TypeAlias = Mapping[str, Json]
_NO_CHOICE = frozenset({"", "0"})


def custom(context: Context, fields: Json, key: Json, separator: Json = None) -> Json:
    """The value of the field with code `key`, by its type; no such field: null.

    1 gives a number, 2 a date, 4 a list (a text is split at `separator`, a comma by default; parts
    trimmed, empty ones dropped), 3 the label, all others text. An empty text stays one.
    """
    found = _field(context, "custom", fields, key)
    return None if found is None else _value(context, found, separator_of("custom", separator))


def custom_id(context: Context, fields: Json, key: Json) -> Json:
    """The value_id of the field with code `key` as text; `''` and 0 give `''`, absent: null."""
    found = _field(context, "custom_id", fields, key)
    value_id = None if found is None else found.get("value_id")
    if value_id is None:
        return None
    text = str(string(context, value_id))
    if isinstance(value_id, (bool, list, Mapping)):
        context.warn(f"custom_id() found {described(value_id)} as value_id of {key}; kept as text")
    return "" if text.strip() in _NO_CHOICE else text


def custom_all(context: Context, fields: Json) -> Json:
    """Every field: code → what `custom` gives. Of a list without fields: null."""
    found = _by_code(context, "custom_all", fields)
    return {code: _value(context, field, ",") for code, field in found.items()} or None


def separator_of(function: str, separator: Json) -> str:
    """The text that a list is split at; null is a comma. Raises FunctionError for an empty one."""
    if separator is None:
        return ","
    if not isinstance(separator, str) or not separator:
        raise wrong(function, separator, "the text between two parts, like ',' or ';'")
    return separator


def _by_code(context: Context, function: str, fields: Json) -> Mapping[str, _Field]:
    """The fields of a list by their codes; of two with one code the later."""
    listed = context.listed
    if listed is not None and listed[0] is fields:
        return listed[1]  # mostly several are asked for of one list
    if not isinstance(fields, list):
        raise wrong(function, fields, "a list of custom fields like ticket.addition_fields")
    by_code = dict(_fields(fields, function))
    context.listed = (fields, by_code)
    return by_code


def _fields(fields: list[Json], function: str) -> Iterator[tuple[str, _Field]]:
    for field in fields:
        if isinstance(field, dict):
            code = field.get("field")
            if is_number(code):
                yield number_text(code, function), field
            elif isinstance(code, str) and code:
                yield code, field


def _field(context: Context, function: str, fields: Json, key: Json) -> _Field | None:
    if key is None:
        return None
    wanted = text_of(key, function)
    return _by_code(context, function, fields).get(wanted)


def _value(context: Context, field: _Field, separator: str) -> Json:
    value = field.get("value")
    if value is None or value == "":
        return value
    try:
        return _reader(field)(context, value, separator)
    except FunctionError as problem:
        context.warn(
            f"the value of custom field {field['field']} does not fit its type "
            f"{described(field.get('type'))}; kept as text: {problem}"
        )
        return string(context, value)


def _reader(field: _Field) -> Callable[[Context, Json, str], Json]:
    kind = field.get("type")
    if type(kind) is int and 0 < kind < 10:
        return _READERS.get(str(kind), _label)
    text = number_text(kind, "custom") if is_number(kind) else str(kind).strip()
    return _READERS.get(text, _label)


def _number(context: Context, value: Json, separator: str) -> Json:
    return number(context, value)


def _date(context: Context, value: Json, separator: str) -> Json:
    return date(context, value)


def _list(context: Context, value: Json, separator: str) -> Json:
    parts = value if isinstance(value, list) else text_of(value, "custom").split(separator)
    trimmed = (text_of(part, "custom").strip() for part in parts if part is not None)
    return [part for part in trimmed if part]


def _label(context: Context, value: Json, separator: str) -> Json:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, Mapping)):
        raise wrong("custom", value, "a text")
    return string(context, value)


_READERS: Mapping[str, Callable[[Context, Json, str], Json]] = {
    "1": _number,
    "2": _date,
    "3": _label,
    "4": _list,
}
