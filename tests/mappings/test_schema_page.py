"""docs/crm-schema.md says what the mapping files say."""

from __future__ import annotations

import json

import pytest

from connector.schema_page import PAGE, SCHEMA, render, shipped_page


@pytest.fixture(scope="module")
def schema():
    return json.loads(SCHEMA.read_bytes())


def row(page: str, resource: str, field: str) -> list[str]:
    """The cells of a field's line."""
    section = page.split(f"\n## {resource}\n")[1].split("\n## ")[0]
    (line,) = [line for line in section.splitlines() if line.startswith(f"| `{field}` |")]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_the_page_in_docs_is_current():
    told = "out of date: run python -m connector.schema_page"
    assert PAGE.read_text(encoding="utf-8") == shipped_page(), told


def test_every_field_has_a_line_with_its_meaning_and_origin(bench, schema):
    page = render(bench.mappings, schema)
    for resource, described in schema.items():
        for field, entry in described["fields"].items():
            cells = row(page, resource, field)
            assert cells[2] == entry["description"]
            assert cells[3], field


def test_a_translation_and_what_beats_it_are_shown(bench, schema):
    origin = row(render(bench.mappings, schema), "tickets", "status")[3]
    assert "new → NEW" in origin
    assert "else an error" in origin
    assert "always `MERGED` *for good*: `ticket.merge`" in origin


def test_kinds_are_left_out_where_all_fields_have_the_same(bench, schema):
    page = render(bench.mappings, schema)
    assert row(page, "contacts", "name")[3] == "`user.username`"
    assert "`ticket.acd_assign`" in row(page, "tickets", "assignee_id")[3]


def test_a_reference_leads_to_the_other_resource(bench, schema):
    kind = row(render(bench.mappings, schema), "tickets", "contact")[1]
    assert kind == "reference to [contacts](#contacts)"


def test_a_field_that_the_schema_does_not_know_is_listed_all_the_same(bench_with, schema):
    own = """
        source: mobio
        events: [note_create]
        records:
          - {resource: memos, id: note.id, fields: {"a|b": "note.source || 'x'"}}
    """
    page = render(bench_with(own).mappings, {"notes": schema["notes"]})
    assert "| `a\\|b` |  |  | `note.source \\|\\| 'x'` |" in page
    assert "Mapped in no file." in page
