"""`connector mappings schema` and `functions`: what editors and people can write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def test_the_file_in_docs_is_current(empty_desk: Any) -> None:
    printed = empty_desk.run("mappings", "schema").stdout
    told = "out of date: run connector mappings schema --output docs/mapping.schema.json"
    assert (ROOT / "docs" / "mapping.schema.json").read_text(encoding="utf-8") == printed, told


def test_it_is_written_where_output_says(empty_desk: Any) -> None:
    empty_desk.run("mappings", "schema", "--output", "s.json")
    schema = json.loads((empty_desk.folder / "s.json").read_text(encoding="utf-8"))
    assert schema["$schema"].endswith("2020-12/schema")
    assert "ticket.update" in schema["properties"]["events"]["items"]["anyOf"][0]["enum"]


def test_a_place_that_cannot_be_written_is_told(empty_desk: Any) -> None:
    result = empty_desk.run("mappings", "schema", "--output", "no/such/s.json", code=2)
    assert "cannot be written" in result.stderr


def test_every_function_is_listed_with_an_example(empty_desk: Any) -> None:
    functions = empty_desk.json("mappings", "functions")["functions"]
    assert {"timestamp", "phone", "custom", "lookup"} <= {each["name"] for each in functions}
    assert all(each["signature"] and each["doc"] and each["example"] for each in functions)
