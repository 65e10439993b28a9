"""What the reference CRM holds: resources, their fields, and what a field takes.

Read from a JSON file, resource → fields → type:

    {"contacts": {"description": "People", "fields": {
        "name": {"type": "text", "description": "As the person writes it"},
        "organization": {"type": "reference", "resource": "organizations"}}}}

Invariant: whatever passed `read_fields` is what the CRM keeps, shows and searches. `TYPES` is the
one table of types: checking, searching and the OpenAPI document all read it.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from connector.errors import ConnectorError, Invalid
from connector.model import Json, Problem
from connector.problems import did_you_mean

DEFAULT_SCHEMA = Path(__file__).with_name("schema.json")
"""The schema that the shipped mappings write to."""

RESERVED = frozenset({"id", "limit", "offset"})
"""No field may be called so: the record's id, and the parameters of a search."""

ID_LENGTH = 255
"""The longest id, in characters."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")
_DEEPEST = 100  # levels of a free object; SQLite's own limit is 1000
_LARGEST = 2**63 - 1  # SQLite's and most databases' whole numbers


class WrongFields(ConnectorError):
    """Fields that the resource does not have, or values that a field does not take."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" for name, why in fields.items()))
        self.fields = dict(fields)


@dataclass(frozen=True, slots=True)
class Type:
    """A type of field.

    `read` gives the value to keep, or raises ValueError for one of another type. `parse` makes
    such a value of a search parameter's text (ValueError); None where a field of this type cannot
    be searched. `schema` is the type's JSON Schema.
    """

    expects: str
    read: Callable[[Json], Json]
    parse: Callable[[str], Json] | None
    schema: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a resource; `resource` is what a reference points to."""

    name: str
    type: str
    description: str = ""
    resource: str | None = None

    @property
    def rule(self) -> Type:
        """What a field of this type takes."""
        return TYPES[self.type]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of record."""

    name: str
    description: str
    fields: Mapping[str, Field]


Schema = Mapping[str, Resource]


def load_schema(path: Path) -> Schema:
    """The schema in a file. Raises Invalid with everything that is wrong with it."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Invalid([Problem(f"{path}: cannot be read as JSON: {error}")]) from error
    return schema_from(data, str(path))


def schema_from(data: Json, file: str = "schema") -> Schema:
    """The schema that parsed JSON describes; `file` is for messages. Raises Invalid."""
    problems: list[Problem] = []
    resources: dict[str, Resource] = {}
    for name, entry in _entries(data, file, problems):
        where = f"{file}: {name}"
        _check_keys(entry, ("description", "fields"), where, problems)
        fields = {
            field: _field(field, given, f"{where}.fields.{field}", problems)
            for field, given in _entries(entry.get("fields"), f"{where}.fields", problems)
        }
        resources[name] = Resource(name, str(entry.get("description", "")), fields)
    problems.extend(
        Problem(
            f"{file}: {resource.name}.fields.{field.name}: a reference needs `resource`, "
            f"one of this schema; found {field.resource!r}",
            did_you_mean(str(field.resource), resources),
        )
        for resource in resources.values()
        for field in resource.fields.values()
        if field.type == "reference" and field.resource not in resources
    )
    if problems:
        raise Invalid(problems)
    return MappingProxyType(resources)


def read_fields(resource: Resource, given: Mapping[str, Json]) -> dict[str, Json]:
    """The values to keep, of all that are given; None clears. Raises WrongFields with every one
    that is wrong. Messages name the type that was found, never the value.
    """
    values: dict[str, Json] = {}
    wrong: dict[str, str] = {}
    for name, value in given.items():
        field = resource.fields.get(name)
        if field is None:
            wrong[name] = f"unknown field of {resource.name}"
            continue
        try:
            values[name] = None if value is None else field.rule.read(value)
        except ValueError:
            wrong[name] = f"expected {field.rule.expects}, found {_found(value)}"
    if wrong:
        raise WrongFields(wrong)
    return values


def check_id(record: Json) -> str:
    """The external id, when it is one: text of 1 to 255 characters, none of them control
    characters. Raises WrongFields.
    """
    if not isinstance(record, str):
        raise WrongFields({"id": f"expected text, found {_found(record)}"})
    if not 1 <= len(record) <= ID_LENGTH:
        raise WrongFields({"id": f"expected 1 to {ID_LENGTH} characters, found {len(record)}"})
    if any(letter < " " or letter in "\x7f\ufffd" for letter in record):
        raise WrongFields({"id": "holds a control character or is not UTF-8"})
    return record


def _entries(
    data: Json, where: str, problems: list[Problem]
) -> list[tuple[str, Mapping[str, Json]]]:
    """The named objects in `data` that are what they should be; the others become problems."""
    if not isinstance(data, dict) or not data:
        problems.append(Problem(f"{where}: should be an object of names, found {_found(data)}"))
        return []
    good: list[tuple[str, Mapping[str, Json]]] = []
    for name, entry in data.items():
        if not _NAME.fullmatch(name) or name in RESERVED:
            reason = "is reserved" if name in RESERVED else "should be letters, digits and _"
            problems.append(Problem(f"{where}: the name {name!r} {reason}"))
        elif not isinstance(entry, dict):
            problems.append(Problem(f"{where}.{name}: should be an object, found {_found(entry)}"))
        else:
            good.append((name, entry))
    return good


def _field(name: str, given: Mapping[str, Json], where: str, problems: list[Problem]) -> Field:
    _check_keys(given, ("type", "description", "resource"), where, problems)
    kind = str(given.get("type"))
    if kind not in TYPES:
        problems.append(Problem(f"{where}: unknown type {kind!r}", did_you_mean(kind, TYPES)))
    elif kind != "reference" and "resource" in given:
        problems.append(Problem(f"{where}: only a reference has a `resource`"))
    return Field(name, kind, str(given.get("description", "")), given.get("resource"))


def _check_keys(
    given: Mapping[str, Json], known: tuple[str, ...], where: str, problems: list[Problem]
) -> None:
    problems.extend(
        Problem(f"{where}: unknown key {key!r}", did_you_mean(key, known))
        for key in given
        if key not in known
    )


def _found(value: Json) -> str:
    """What a value is, without showing it."""
    names = {
        type(None): "nothing",
        bool: "a boolean",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return names[type(value)]


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _number(value: Json) -> int | float:
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _whole(value)


def _whole(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _LARGEST:
        raise ValueError
    return value


def _integer(value: Json) -> int:
    return _whole(int(value) if isinstance(value, float) and value.is_integer() else value)


def _boolean(value: Json) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _datetime(value: Json) -> str:
    if not _DATETIME.fullmatch(_text(value)):
        raise ValueError
    datetime.datetime.fromisoformat(value[:19])
    return str(value)


def _date(value: Json) -> str:
    if len(_text(value)) != len("2024-04-15"):
        raise ValueError
    datetime.date.fromisoformat(value)
    return str(value)


def _list(value: Json) -> list[str]:
    if not isinstance(value, list):
        raise ValueError
    return [_text(element) for element in value]


def _object(value: Json) -> Json:
    if not isinstance(value, dict | list):
        raise ValueError
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return value


def _reference(value: Json) -> str:
    if not _text(value):
        raise ValueError
    return str(value)


def _parse_boolean(text: str) -> bool:
    return {"true": True, "false": False}[text] if text in ("true", "false") else _boolean(text)


TYPES: Mapping[str, Type] = MappingProxyType(
    {
        "text": Type("text", _text, _text, {"type": "string"}),
        "number": Type("a number", _number, lambda text: _number(float(text)), {"type": "number"}),
        "integer": Type(
            "a whole number of at most 64 bits",
            _integer,
            lambda text: _whole(int(text)),
            {"type": "integer"},
        ),
        "boolean": Type("true or false", _boolean, _parse_boolean, {"type": "boolean"}),
        "datetime": Type(
            "a time in UTC such as 2024-04-15T09:30:00.000Z",
            _datetime,
            _datetime,
            {"type": "string", "format": "date-time", "pattern": "Z$"},
        ),
        "date": Type(
            "a date such as 2024-04-15", _date, _date, {"type": "string", "format": "date"}
        ),
        "list": Type("a list of text", _list, None, {"type": "array", "items": {"type": "string"}}),
        "object": Type(
            "an object or a list, at most 100 levels deep",
            _object,
            None,
            {"type": ["object", "array"]},
        ),
        "reference": Type(
            "the id of a record, text that is not empty",
            _reference,
            _reference,
            {"type": "string", "minLength": 1},
        ),
    }
)
