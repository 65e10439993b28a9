"""The JSON Schema that editors use: as strict as the grammar where it can be, never stricter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from connector.mapping.json_schema import DIALECT, json_schema
from connector.mapping.schema import read_block
from connector.model import Json
from connector.yamltext import load_text

ROOT = Path(__file__).parents[2]
KINDS = {"caresoft": ["ticket.update"], "mobio": ["note_create"]}
SCHEMA = json_schema(KINDS)


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    return Draft202012Validator(SCHEMA)


def record(**keys: Json) -> Json:
    base: dict[str, Json] = {"resource": "t", "id": "a", "fields": {"x": "b"}, **keys}
    rules = {key: value for key, value in base.items() if value is not ...}
    return {"source": "caresoft", "events": ["a.b"], "records": [rules]}


def field(form: Json) -> Json:
    return record(fields={"x": form})


def test_it_is_a_schema_of_the_draft() -> None:
    assert SCHEMA["$schema"] == DIALECT
    Draft202012Validator.check_schema(SCHEMA)


FILES = [
    *sorted((ROOT / "mappings").glob("*.yaml")),
    *sorted((ROOT / "tests" / "mapping" / "language_example").glob("*.yaml")),
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_mapping_file_is_valid(validator: Draft202012Validator, path: Path) -> None:
    documents = load_text(path.read_bytes(), path.name)
    assert documents
    for document in documents:
        assert [error.message for error in validator.iter_errors(document.data)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "mappings").glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_file_names_the_schema_in_its_first_line(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(.+)", first)
    assert match is not None
    assert (path.parent / match[1]).resolve() == ROOT / "docs" / "mapping.schema.json"


GOOD = [
    record(),
    record(version="v", when=True, final=True),
    record(when="a == 'b'", each="c"),
    record(action="delete", fields=...),
    field(5),
    field(True),
    field(None),
    field({"value": None, "write": "on_create", "empty": ""}),
    field({"value": [], "merge": "set"}),
    field({"from": "a", "values": {"1": None}, "otherwise": {"value": "X"}}),
    field({"from": "a", "on_null": "clear", "empty": None}),
    field({"ref": "t", "id": "a", "missing": "create", "write": "if_empty"}),
    {**record(), "target": "crm", "tests": []},
    {**record(), "tests": [{"name": "n", "event": {}, "expect": [{"id": 5, "version": None}]}]},
]
BAD = [
    record(resorce="x"),
    record(id=...),
    record(id=5),
    record(fields=...),
    record(action="delete"),
    record(action="remove", fields=...),
    record(final="yes"),
    record(when=5),
    field([1]),
    field(" "),
    field({"form": "a"}),
    field({"value": 1, "from": "a"}),
    field({"from": "a", "values": {}}),
    field({"from": "a", "otherwise": "keep"}),
    field({"from": "a", "values": {"a": 1}, "otherwise": "kep"}),
    field({"from": "a", "merge": "set", "empty": ""}),
    field({"from": "a", "write": "sometimes"}),
    field({"ref": "t"}),
    field({"ref": "t", "id": "a", "merge": "set"}),
    {"events": ["a.b"], "records": []},
    {**record(), "events": "a.b"},
    {**record(), "events": []},
    {**record(), "tests": [{"name": "n", "event": {}}]},
    {**record(), "tests": [{"name": "n", "event": {}, "expect": [{"ids": 5}]}]},
    [],
    "text",
]


@pytest.mark.parametrize("data", GOOD)
def test_what_the_grammar_takes_the_schema_takes(
    validator: Draft202012Validator, data: Json
) -> None:
    assert read_block(data)[1] == []
    assert validator.is_valid(data), list(validator.iter_errors(data))


@pytest.mark.parametrize("data", BAD)
def test_what_the_grammar_refuses_the_schema_refuses(
    validator: Draft202012Validator, data: Json
) -> None:
    assert read_block(data)[1] != []
    assert not validator.is_valid(data)


def test_every_key_has_a_description() -> None:
    grammars = [SCHEMA, *(d for d in SCHEMA["$defs"].values() if "properties" in d)]
    bare = [
        (grammar["description"], name)
        for grammar in grammars
        for name, key in grammar["properties"].items()
        if not key.get("description")
    ]
    assert bare == []


def test_choices_and_documented_kinds_are_proposed() -> None:
    properties: Any = SCHEMA["$defs"]["record"]["properties"]
    assert properties["action"]["enum"] == ["upsert", "delete"]
    assert SCHEMA["properties"]["events"]["items"]["anyOf"][0]["enum"] == [
        "ticket.update",
        "note_create",
    ]
    assert SCHEMA["properties"]["source"]["anyOf"][0]["enum"] == ["caresoft", "mobio"]
    assert "phone" in SCHEMA["$defs"]["expression"]["description"]
