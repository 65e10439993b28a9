"""`connector mappings try`: what an event becomes, and why a rule did not apply."""

from __future__ import annotations

import json
from typing import Any

import pytest

RULES = """\
source: caresoft
events: [ticket.update, ticket.merge]
records:
  - resource: tickets
    id: ticket.ticket_id
    when: ticket.ticket_id && lower(ticket.ticket_source) != 'spam'
    fields:
      subject: ticket.ticket_subject
      status: {from: ticket.ticket_status, values: {new: NEW}, otherwise: skip}
      tags: {from: ticket.tags, merge: set}
      note: {from: ticket.note, on_null: clear}
  - resource: merged
    each: mergeOption.secondaryTickets
    id: item
    when: item != `3`
    fields: {into: mergeOption.primaryTicket}
  - resource: never
    id: ticket.ticket_id
    when: false
    fields: {}
---
source: caresoft
events: [user.*]
records: [{resource: contacts, id: user.id, fields: {}}]
---
source: mobio
events: [note_create]
records: [{resource: notes, id: note.id, fields: {}}]
"""


@pytest.fixture
def tried(empty_desk: Any) -> Any:
    """The one event of a body, as `try --json` tells of it."""
    empty_desk.write(RULES)

    def tried(body: Any, code: int = 0, source: str = "caresoft") -> Any:
        (empty_desk.folder / "body.json").write_text(json.dumps(body), encoding="utf-8")
        found = empty_desk.json("mappings", "try", "body.json", "--source", source, code=code)
        (event,) = found["events"]
        return event

    return tried


def ticket(**fields: Any) -> Any:
    return {"object": "ticket", "action": "update", "ticket": {"ticket_id": 7, **fields}}


def reasons(event: Any, resource: str) -> list[str]:
    return [skip["reason"] for skip in event["skipped"] if skip["resource"] == resource]


def test_the_keys_of_the_documentation_stay_and_skipped_comes_beside_them(tried: Any) -> None:
    event = tried(ticket(ticket_subject="Hi"))
    assert {"id", "source", "kind", "status", "changes", "warnings", "error"} < event.keys()
    assert event["changes"] == [
        {
            "action": "upsert",
            "target": "crm",
            "resource": "tickets",
            "id": "7",
            "version": None,
            "final": False,
            "fields": {"subject": "Hi", "note": None},
            "write": {},
        }
    ]
    assert set(event["skipped"][0]) == {"resource", "reason", "file", "line", "column"}


def test_a_condition_that_is_false_is_told_with_its_value_and_place(tried: Any) -> None:
    event = tried(ticket(ticket_source="Spam"))
    (skip,) = [skip for skip in event["skipped"] if skip["resource"] == "tickets"]
    assert skip == {
        "resource": "tickets",
        "reason": "`when` is false: `lower(ticket.ticket_source) != 'spam'` gives "
        "the boolean false",
        "file": "mappings/own.yaml",
        "line": 6,
        "column": 11,
    }


def test_of_several_conditions_the_first_that_fails_is_told(tried: Any) -> None:
    event = tried({"object": "ticket", "action": "update", "ticket": {"ticket_id": ""}})
    assert reasons(event, "tickets") == ['`when` is false: `ticket.ticket_id` gives the text ""']


def test_zero_is_only_false_as_the_value_of_the_whole_condition(
    empty_desk: Any, tried: Any
) -> None:
    empty_desk.write(
        """\
        source: caresoft
        events: [ticket.update]
        records:
          - {resource: zero, id: "'1'", when: ticket.a, fields: {}}
          - {resource: both, id: "'1'", when: ticket.a && ticket.b, fields: {}}
          - {resource: last, id: "'1'", when: ticket.b && ticket.a, fields: {}}
        """
    )
    body = ticket(a=0)
    event = tried(body)
    assert reasons(event, "zero") == ["`when` is false: `ticket.a` gives the number 0"]
    assert reasons(event, "both") == ["`when` is false: `ticket.b` gives null"]
    body["ticket"]["b"] = 1
    assert reasons(tried(body), "last") == [
        "`when` is false: `ticket.b && ticket.a` gives the number 0"
    ]


def test_a_constant_condition_is_told(tried: Any) -> None:
    assert reasons(tried(ticket()), "never") == ["`when` is false"]


def test_a_list_without_items_is_told(tried: Any) -> None:
    (reason,) = reasons(tried(ticket()), "merged")
    assert reason == "`each` has no items: `mergeOption.secondaryTickets` gives null"


def test_each_item_that_is_held_back_is_told(tried: Any) -> None:
    body = {
        "object": "ticket",
        "action": "merge",
        "mergeOption": {"primaryTicket": 1, "secondaryTickets": [2, 3]},
    }
    event = tried(body)
    assert [change["id"] for change in event["changes"]] == ["2"]
    assert reasons(event, "merged") == [
        "item 2: `when` is false: `item != `3`` gives the boolean false"
    ]


def test_rules_for_other_kinds_are_told_and_those_of_other_sources_are_not(tried: Any) -> None:
    event = tried(ticket())
    (skip,) = [skip for skip in event["skipped"] if skip["resource"] == "contacts"]
    assert skip["reason"] == "its block is for user.*, not for ticket.update"
    assert (skip["line"], skip["column"]) == (23, 10)
    assert reasons(event, "notes") == []


def test_fields_that_are_left_alone_are_told_with_the_reason(tried: Any) -> None:
    event = tried(ticket(ticket_status="odd", tags={"add": [], "remove": []}))
    assert {left["field"]: left["reason"] for left in event["left_alone"]} == {
        "subject": "`ticket.ticket_subject` gives null",
        "status": '`ticket.ticket_status` gives the text "odd", which is not among `values`, '
        "and `otherwise` is skip",
        "tags": "`ticket.tags` adds and removes nothing",
    }
    assert {(left["resource"], left["id"]) for left in event["left_alone"]} == {("tickets", "7")}


def test_an_unmapped_event_says_what_each_rule_is_for(tried: Any) -> None:
    event = tried({"object": "ticket", "action": "updated", "ticket": {}})
    assert (event["status"], event["changes"]) == ("unmapped", [])
    assert "not for ticket.updated" in reasons(event, "tickets")[0]


def test_an_event_that_cannot_be_read_has_no_reasons(tried: Any) -> None:
    event = tried({"object": "ticket"}, code=1)
    assert (event["status"], event["skipped"], event["left_alone"]) == ("error", [], [])
    deep = tried({"object": "lead", "action": "odd", "lead": {"addition_fields": "x"}})
    assert (deep["status"], deep["skipped"]) == ("unmapped", [])


def test_an_error_in_one_rule_leaves_the_reasons_of_the_others(tried: Any) -> None:
    event = tried({"object": "ticket", "action": "merge", "mergeOption": 5}, code=0)
    assert reasons(event, "merged") != []


def test_people_see_tables_of_values_and_reasons(empty_desk: Any) -> None:
    empty_desk.write(RULES)
    body = ticket(ticket_subject="Hi")
    (empty_desk.folder / "body.json").write_text(json.dumps(body), encoding="utf-8")
    shown = empty_desk.run("mappings", "try", "body.json", "--source", "caresoft").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert 'subject "Hi" ticket.ticket_subject mappings/own.yaml:8:7' in lines
    assert "tickets.tags `ticket.tags` gives null mappings/own.yaml:10:7" in lines
    assert (
        "merged `each` has no items: `mergeOption.secondaryTickets` gives null "
        "mappings/own.yaml:13:11"
    ) in lines
    assert "1 rule of this source are for other kinds of events" in lines


def test_people_are_told_which_kind_was_probably_meant(empty_desk: Any) -> None:
    empty_desk.write(RULES)
    body = {"object": "ticket", "action": "updated", "ticket": {}}
    (empty_desk.folder / "body.json").write_text(json.dumps(body), encoding="utf-8")
    shown = empty_desk.run("mappings", "try", "body.json", "--source", "caresoft").stdout
    assert "no block names this kind; there is one for 'ticket.update'" in shown
