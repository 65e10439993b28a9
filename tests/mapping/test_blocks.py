"""The `tests:` of mapping files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from connector.errors import EventUnreadable
from connector.mapping.blocks import Result, run_tests
from connector.model import Json

MAPPING = """\
source: caresoft
events: [ticket.*]
records:
  - resource: tickets
    id: ticket.id
    version: ticket.at
    fields:
      subject: ticket.subject
      channel: {value: phone, write: on_create}
      parent: {ref: tickets, id: ticket.parent}
      tags: {from: ticket.tags, merge: set}
  - resource: comments
    id: ticket.comment
    when: ticket.comment
    final: true
    fields: {ticket: {ref: tickets, id: ticket.id}}
tests:
"""

EVENT = (
    "{object: ticket, action: update, ticket: {id: 12, at: 1633489912859, subject: Hello, "
    "parent: 5, tags: {add: [a]}, comment: c1}}"
)

Tested = Callable[..., Result]


@pytest.fixture
def documents(document: Any) -> Callable[[str, bytes], Sequence[Mapping[str, Json]]]:
    """Stands for the sources' room: one document of an object, one for each of `block_event`."""

    def documents(source: str, body: bytes) -> Sequence[Mapping[str, Json]]:
        data = json.loads(body)
        if "block_event" in data:
            return [document(e, kind=e["event_type"], source=source) for e in data["block_event"]]
        if "object" not in data:
            raise EventUnreadable("no object")
        return [document(data, kind=f"{data['object']}.{data['action']}", source=source)]

    return documents


@pytest.fixture
def tested(build: Any, documents: Any) -> Tested:
    """The result of one test of MAPPING: what it expects, given the event."""

    def tested(expect: str, event: str = EVENT) -> Result:
        text = f"{MAPPING}  - name: it\n    event: {event}\n    expect: {expect}\n"
        (result,) = run_tests(build(text), documents)
        return result

    return tested


@pytest.mark.parametrize(
    "first",
    [
        "{}",
        "{action: upsert, target: crm, resource: tickets, final: false}",
        "{id: '12'}",
        "{id: 12}",
        "{id: 12.0}",
        "{version: '2021-10-06T03:11:52.859000Z'}",
        "{version: 2021-10-06T03:11:52.859Z}",
        "{version: 1633489912859}",
        "{version: 2021-10-06T10:11:52.859+07:00}",
        "{fields: {subject: Hello}}",
        "{fields: {subject: Hello, channel: phone}}",
        "{fields: {parent: {ref: tickets, id: '5'}}}",
        "{fields: {parent: {ref: tickets, id: 5}}}",
        "{fields: {tags: {add: [a]}}}",
        "{write: {channel: on_create}}",
    ],
)
def test_a_test_passes_when_everything_it_names_is_equal(tested: Tested, first: str) -> None:
    result = tested(f"[{first}, {{resource: comments, final: true, version: null}}]")
    assert result.passed, result.differences
    assert result.changes[0]["id"] == "12"


@pytest.mark.parametrize(
    ("first", "what", "expected", "found"),
    [
        ("{action: delete}", "action", "delete", "upsert"),
        ("{resource: ticket}", "resource", "ticket", "tickets"),
        ("{target: erp}", "target", "erp", "crm"),
        ("{id: 13}", "id", "13", "12"),
        ("{id: '012'}", "id", "012", "12"),
        ("{id: 012}", "id", "012", "12"),
        ("{version: null}", "version", None, "2021-10-06T03:11:52.859000Z"),
        ("{version: 1633489912858}", "version", 1633489912858, "2021-10-06T03:11:52.859000Z"),
        ("{version: soon}", "version", "soon", "2021-10-06T03:11:52.859000Z"),
        ("{final: true}", "final", True, False),
        ("{fields: {subject: Hi}}", "fields.subject", "Hi", "Hello"),
        ("{fields: {subject: null}}", "fields.subject", None, "Hello"),
        ("{fields: {nothing: null}}", "fields.nothing", None, None),
        ("{fields: {tags: [a]}}", "fields.tags", ["a"], {"add": ["a"]}),
        ("{write: {subject: on_create}}", "write.subject", "on_create", None),
        ("{write: {channel: always}}", "write.channel", "always", "on_create"),
    ],
)
def test_a_test_fails_with_what_was_expected_and_found(
    tested: Tested, first: str, what: str, expected: Json, found: Json
) -> None:
    result = tested(f"[{first}, {{}}]")
    (difference,) = result.differences
    assert not result.passed
    assert (difference.change, difference.what) == (1, what)
    assert (difference.expected, difference.found) == (expected, found)
    assert (difference.place.line, difference.place.column) == (20, 14)


def test_a_field_that_is_not_there_is_not_null(tested: Tested) -> None:
    (difference,) = tested("[{fields: {nothing: null}}, {}]").differences
    assert difference.is_absent


@pytest.mark.parametrize(("expect", "count"), [("[]", 0), ("[{}]", 1), ("[{}, {}, {}]", 3)])
def test_there_must_be_as_many_changes_as_are_expected(
    tested: Tested, expect: str, count: int
) -> None:
    (difference,) = tested(expect).differences
    assert (difference.change, difference.what) == (0, "changes")
    assert (difference.expected, difference.found) == (count, 2)


def test_changes_are_compared_in_their_order(tested: Tested) -> None:
    assert not tested("[{resource: comments}, {resource: tickets}]").passed


def test_every_difference_is_told(tested: Tested) -> None:
    result = tested("[{id: 1, fields: {subject: x, channel: y}}, {resource: z}]")
    assert [d.what for d in result.differences] == [
        "id",
        "fields.subject",
        "fields.channel",
        "resource",
    ]
    assert [d.change for d in result.differences] == [1, 1, 1, 2]


def test_an_error_of_the_event_fails_the_test_with_its_reason(tested: Tested) -> None:
    result = tested("[]", "{object: ticket, action: update, ticket: {}}")
    assert not result.passed
    assert result.problem is not None
    assert "`ticket.id` gives null" in result.problem.message


def test_a_body_that_cannot_be_read_fails_the_test_with_its_reason(tested: Tested) -> None:
    result = tested("[]", "{x: 1}")
    assert result.problem is not None
    assert "no object" in result.problem.message
    assert result.problem.place == result.place


def test_an_unmapped_kind_is_told(tested: Tested) -> None:
    result = tested("[{}]", "{object: deal, action: create}")
    assert result.unmapped == ("deal.create",)
    assert result.differences[0].found == 0
    assert tested("[]", "{object: deal, action: create}").passed


def test_the_changes_of_all_events_of_a_body_count(build: Any, documents: Any) -> None:
    text = """\
        source: mobio
        events: [note_create]
        records: [{resource: notes, id: note_id, fields: {}}]
        tests:
          - name: two notes
            event:
              block_event:
                - {event_type: note_create, note_id: 1}
                - {event_type: note_create, note_id: 2}
            expect: [{id: 1}, {id: 2}]
        """
    (result,) = run_tests(build(text), documents)
    assert result.passed


def test_a_test_runs_through_the_whole_set(build: Any, documents: Any) -> None:
    other = """\
        source: caresoft
        events: ['*']
        records: [{resource: log, id: action, fields: {}}]
        """
    text = (
        f"{MAPPING}  - name: it\n    event: {EVENT}\n    expect: [{{resource: log}}, {{}}, {{}}]\n"
    )
    (result,) = run_tests(build({"a.yaml": other, "b.yaml": text}), documents)
    assert result.passed


@pytest.mark.parametrize(
    ("source", "sources", "named"),
    [
        ("caresoft", {"hq": "caresoft", "branch": "caresoft"}, "hq"),
        ("branch", {"hq": "caresoft", "branch": "caresoft"}, "branch"),
        ("mobio", {"hq": "caresoft", "branch": "caresoft"}, "mobio"),
    ],
)
def test_the_body_is_of_the_first_source_of_its_kind(
    build: Any, documents: Any, source: str, sources: Any, named: str
) -> None:
    asked = []

    def noted(name: str, body: bytes) -> Any:
        asked.append(name)
        return documents(name, body)

    text = f"""\
        source: {source}
        events: [a.b]
        records: [{{resource: t, id: object, fields: {{}}}}]
        tests: [{{name: it, event: {{object: a, action: b}}, expect: [{{id: a}}]}}]
        """
    (result,) = run_tests(build(text, sources=sources), noted)
    assert asked == [named]
    assert result.passed


def test_results_keep_names_places_and_order(build: Any, documents: Any) -> None:
    text = (
        f"{MAPPING}  - {{name: one, event: {{object: a, action: b}}, expect: []}}\n"
        "  - {name: two, event: {object: a, action: b}, expect: [{}]}\n"
    )
    results = run_tests(build(text), documents)
    assert [(r.name, r.passed, r.place.line) for r in results] == [
        ("one", True, 18),
        ("two", False, 19),
    ]


def test_of_more_changes_than_expected_the_ones_that_fit_are_compared(tested: Tested) -> None:
    result = tested("[{resource: comments, final: false}]")
    assert [(d.change, d.what) for d in result.differences] == [(0, "changes"), (2, "final")]
    assert (result.unexpected, result.unmet) == ((1,), ())


def test_an_expectation_that_nothing_meets_is_told(tested: Tested) -> None:
    result = tested("[{resource: tickets}, {resource: deals}, {resource: comments}]")
    assert [(d.change, d.what) for d in result.differences] == [(0, "changes")]
    assert [expected.wanted for expected in result.unmet] == [{"resource": "deals"}]
    assert result.unexpected == ()


def test_a_field_that_is_left_alone_says_why(tested: Tested) -> None:
    event = "{object: ticket, action: update, ticket: {id: 12}}"
    (difference,) = tested("[{fields: {subject: Hi}}]", event).differences
    assert difference.hint == "left alone: `ticket.subject` gives null"


def test_a_misspelt_field_says_what_was_meant(tested: Tested) -> None:
    (difference,) = tested("[{fields: {subjekt: Hello}}, {}]").differences
    assert difference.hint == "did you mean 'subject'?"
