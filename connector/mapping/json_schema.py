"""The grammar of mapping files as a JSON Schema (draft 2020-12), for editors.

Made of the same classes that check the files, so that an editor completes and underlines what
`connector mappings check` would. What a schema cannot say (does the expression compile, does
anything create that resource) is left to `check`: the schema takes every file that `check` takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from marshmallow import Schema

from connector.mapping import schema
from connector.mapping.expressions import function_names
from connector.mapping.keys import (
    Anything,
    Choice,
    Condition,
    Empty,
    Flag,
    Formula,
    Key,
    ListOf,
    Scalar,
    Table,
    Text,
)
from connector.model import Json

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_DEFINITIONS: Mapping[type[Schema], str] = {
    schema.RecordSchema: "record",
    schema.TestSchema: "test",
    schema.ExpectedSchema: "expected",
    schema.ConstantForm: "constant",
    schema.ComputedForm: "computed",
    schema.ReferenceForm: "reference",
    schema.ConstantOnly: "value",
}

_NOT_BOTH = {"not": {"required": ["merge", "empty"]}}
_CONDITIONS: Mapping[type[Schema], dict[str, Json]] = {
    schema.RecordSchema: {
        "if": {"properties": {"action": {"const": "delete"}}, "required": ["action"]},
        "then": {"not": {"required": ["fields"]}},
        "else": {"required": ["fields"]},
    },
    schema.ConstantForm: _NOT_BOTH,
    schema.ComputedForm: {**_NOT_BOTH, "dependentRequired": {"otherwise": ["values"]}},
}
"""What the classes check beyond single keys."""


def json_schema(kinds: Mapping[str, Sequence[str]]) -> dict[str, Json]:
    """The schema of one YAML document of a mapping file.

    `kinds`: for each kind of source the events that its vendor documents. An editor proposes them;
    others are taken too.
    """
    block = _of_grammar(schema.BlockSchema)
    properties = block["properties"]
    properties["source"] |= _proposed(list(kinds))
    properties["events"]["items"] |= _proposed([kind for each in kinds.values() for kind in each])
    return {
        "$schema": DIALECT,
        "title": "Mappings of the connector",
        **block,
        "$defs": {
            "expression": {
                "type": "string",
                "pattern": r"\S",
                "description": "JMESPath over the event's document, with these functions: "
                + ", ".join(function_names()),
            },
            "field": _of_field_form(),
            **{name: _of_grammar(grammar) for grammar, name in _DEFINITIONS.items()},
        },
    }


def _of_grammar(grammar: type[Schema]) -> dict[str, Json]:
    known = {key.data_key or name: key for name, key in grammar().fields.items()}
    return {
        "description": " ".join((grammar.__doc__ or "").split()),
        "type": "object",
        "properties": {name: _described(key) for name, key in known.items()},
        "required": [name for name, key in known.items() if key.required],
        "additionalProperties": False,
        **_CONDITIONS.get(grammar, {}),
    }


def _of_field_form() -> dict[str, Json]:
    return {
        "description": " ".join((schema.FieldForm.__doc__ or "").split()),
        "anyOf": [
            _ref("expression"),
            {"type": ["number", "boolean", "null"], "description": "a constant; null clears"},
            *(_ref(_DEFINITIONS[form]) for form in schema.FORMS.values()),
        ],
    }


def _described(key: Any) -> dict[str, Json]:
    """What a key takes, and what it is for."""
    said: dict[str, Json] = {}
    if description := key.metadata.get("description"):
        said["description"] = description
    if "example" in key.metadata:
        said["examples"] = [key.metadata["example"]]
    return {**_of_key(key), **said}


def _of_key(key: Any) -> dict[str, Json]:
    write = next(_TYPES[kind] for kind in type(key).__mro__ if kind in _TYPES)
    return write(key)


def _of_list(key: Any) -> dict[str, Json]:
    items = _of_key(key.item) if isinstance(key.item, Key) else _ref(_DEFINITIONS[key.item])
    return {"type": "array", "items": items, **({} if key.may_be_empty else {"minItems": 1})}


def _of_table(key: Any) -> dict[str, Json]:
    return {"type": "object", **({"minProperties": 1} if key.name == "values" else {})}


_TYPES: Mapping[type, Callable[[Any], dict[str, Json]]] = {
    Text: lambda _: {"type": "string", "pattern": r"\S"},
    Choice: lambda key: {"enum": list(key.words)},
    Flag: lambda _: {"type": "boolean"},
    Anything: lambda _: {},
    Scalar: lambda _: {"type": ["string", "number", "null"]},
    Table: _of_table,
    Empty: lambda _: {"enum": ["", None]},
    Formula: lambda _: _ref("expression"),
    Condition: lambda _: {"anyOf": [_ref("expression"), {"type": "boolean"}]},
    ListOf: _of_list,
    schema.Otherwise: lambda _: {"anyOf": [{"enum": list(schema.OTHERWISE)}, _ref("value")]},
    schema.Fields: lambda _: {
        "type": "object",
        "propertyNames": {"pattern": r"\S"},
        "additionalProperties": _ref("field"),
    },
}


def _ref(name: str) -> dict[str, Json]:
    return {"$ref": f"#/$defs/{name}"}


def _proposed(words: list[str]) -> dict[str, Json]:
    """Words that an editor proposes where any text may stand."""
    return {"anyOf": [{"enum": words}, {"type": "string"}]}
