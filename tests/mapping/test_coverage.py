"""What of a set its own tests show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.mapping.coverage import Coverage, coverage

RULES = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.id
    fields:
      subject: ticket.subject
      status: ticket.status
      source: {value: caresoft}
      note: {from: ticket.note, on_null: clear}
  - resource: comments
    id: ticket.comment
    when: ticket.comment
    fields: {}
---
source: caresoft
events: [ticket.delete]
records: [{resource: tickets, id: ticket.id, action: delete}]
tests:
"""
UPDATE = "{object: ticket, action: update, ticket: {id: 1, subject: Hi}}"
COMMENT = "{object: ticket, action: update, ticket: {id: 1, status: new, comment: c}}"
DELETE = "{object: ticket, action: delete, ticket: {id: 1}}"


@pytest.fixture
def covered(build: Any, document: Any) -> Any:
    """The coverage of RULES by tests, each an event and what it expects."""

    def documents(source: str, body: bytes) -> Any:
        data = json.loads(body)
        return [document(data, kind=f"{data['object']}.{data['action']}", source=source)]

    def covered(*tests: tuple[str, str], file: str | None = None) -> Coverage:
        listed = "".join(
            f"  - {{name: t{n}, event: {event}, expect: {expect}}}\n"
            for n, (event, expect) in enumerate(tests)
        )
        return coverage(build(RULES + (listed or "  []\n")), documents, file)

    return covered


def names(rules: Any) -> list[str]:
    return [rule.field for rule in rules]


def test_without_tests_nothing_is_touched(covered: Any) -> None:
    found = covered()
    assert [record.resource for record in found.untouched_records] == [
        "tickets",
        "comments",
        "tickets",
    ]
    assert names(found.untouched_fields) == ["subject", "status", "source", "note"]
    assert found.unchecked_fields == ()
    assert (len(found.records), len(found.fields)) == (3, 4)


def test_a_field_counts_where_it_gets_a_value_and_is_checked_where_it_is_named(
    covered: Any,
) -> None:
    found = covered((UPDATE, "[{fields: {subject: Hi}}]"))
    assert names(found.untouched_fields) == ["status"]
    assert names(found.unchecked_fields) == ["source", "note"]
    assert [record.place.line for record in found.untouched_records] == [11, 18]


def test_a_rule_without_fields_counts_by_its_record(covered: Any) -> None:
    found = covered((COMMENT, "[{}, {resource: comments}]"), (DELETE, "[{action: delete}]"))
    assert found.untouched_records == ()
    assert names(found.untouched_fields) == ["subject"]


def test_tests_add_up(covered: Any) -> None:
    everything = "{subject: Hi, source: caresoft, note: null}"
    found = covered(
        (UPDATE, f"[{{fields: {everything}}}]"), (COMMENT, "[{fields: {status: new}}, {}]")
    )
    assert (found.untouched_fields, found.unchecked_fields) == ((), ())


def test_of_one_file_only_its_own_rules_count(covered: Any) -> None:
    assert covered(file="other.yaml").fields == ()
    assert len(covered(file="test.yaml").fields) == 4
