"""Every mistake in a mapping file is told with its line and column, and what would be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.errors import MappingInvalid
from connector.model import Place, Problem

Faults = Callable[..., list[Problem]]

GOOD = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    fields:
      subject: ticket.ticket_subject
"""


def place(problem: Problem) -> Place:
    assert problem.place is not None
    return problem.place


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, "\n".join(map(str, problems))
    return problems[0]


@pytest.mark.parametrize(
    ("old", "new", "at", "message", "hint"),
    [
        # unknown keys
        ("source:", "sources:", (1, 1), "unknown key 'sources'", "did you mean 'source'?"),
        ("    id:", "    ids:", (5, 5), "unknown key 'ids'", "did you mean 'id'?"),
        ("    fields:", "    felds:", (6, 5), "unknown key 'felds'", "did you mean 'fields'?"),
        # missing keys
        ("events: [ticket.update]\n", "", (1, 1), "the key 'events' is missing", "a list of"),
        ("    id: ticket.ticket_id\n", "", (4, 5), "the key 'id' is missing", "the expression"),
        (
            "    fields:\n      subject: ticket.ticket_subject\n",
            "",
            (4, 5),
            "the key 'fields' is missing",
            "action: delete",
        ),
        # wrong types
        ("caresoft", "[caresoft]", (1, 9), "'source' is the list", "it takes a text"),
        ("[ticket.update]", "ticket.update", (2, 9), "'events' is the text", "it takes a list"),
        ("[ticket.update]", "[]", (2, 9), "'events' is empty", "a list of"),
        ("[ticket.update]", "[1]", (2, 10), "the number 1", "it takes a text"),
        ("[ticket.update]", "['']", (2, 11), "is empty", ""),
        ("ticket.ticket_id", "5", (5, 9), "'id' is the number 5", "an expression"),
        ("ticket.ticket_id", "true", (5, 9), "'id' is the boolean true", "an expression"),
        ("ticket.ticket_id", "", (5, 8), "'id' has no value", "the expression"),
        ("ticket.ticket_id", "''", (5, 10), "the expression is empty", ""),
        (
            "ticket.ticket_id",
            "a\n    final: 1",
            (6, 12),
            "'final' is the number 1",
            "true or false",
        ),
        ("ticket.ticket_id", "a\n    when: 1", (6, 11), "'when' is the number 1", "an expression"),
        ("ticket.ticket_id", "a\n    each: []", (6, 11), "'each' is the list []", "an expression"),
        ("tickets\n", "''\n", (4, 16), "'resource' is empty", ""),
        (
            "records:\n  - resource",
            "records: 5\nx:\n  - resource",
            (3, 10),
            "'records' is",
            "a list",
        ),
        (
            "    fields:\n      subject: ticket.ticket_subject",
            "    fields: [a]",
            (6, 13),
            "'fields'",
            "a map",
        ),
        (GOOD, "- a\n", (1, 1), "the document is the", "it takes a map"),
        (GOOD, "just text\n", (1, 1), "the document is the", "it takes a map"),
        # words
        (
            "ticket.ticket_id",
            "a\n    action: remove",
            (6, 13),
            "'action' cannot be 'remove'",
            "upsert",
        ),
        ("ticket.ticket_id", "a\n    action: delet", (6, 13), "cannot be 'delet'", "'delete'?"),
        # forms of a field
        ("ticket.ticket_subject", "[a, b]", (7, 16), "a field cannot be the list", "{value: […]}"),
        ("ticket.ticket_subject", "''", (7, 17), "the expression is empty", "{value: null}"),
        ("ticket.ticket_subject", "{a: b}", (7, 16), "a field cannot be the object", "{value: …}"),
        ("ticket.ticket_subject", "{vlaue: 1}", (7, 17), "unknown key 'vlaue'", "'value'?"),
        ("ticket.ticket_subject", "{form: a}", (7, 17), "unknown key 'form'", "'from'?"),
        ("ticket.ticket_subject", "{}", (7, 16), "a field cannot be the object", "{from: …}"),
        ("ticket.ticket_subject", "{value: 1, from: a}", (7, 27), "'from' beside 'value'", ""),
        ("ticket.ticket_subject", "{from: 5}", (7, 23), "'from' is the number 5", "an expression"),
        (
            "ticket.ticket_subject",
            "{from: a, wirte: on_create}",
            (7, 26),
            "unknown key",
            "'write'?",
        ),
        ("ticket.ticket_subject", "{from: a, write: allways}", (7, 33), "cannot be", "'always'?"),
        ("ticket.ticket_subject", "{from: a, on_null: claer}", (7, 35), "cannot be", "'clear'?"),
        ("ticket.ticket_subject", "{from: a, merge: list}", (7, 33), "cannot be 'list'", "set"),
        ("ticket.ticket_subject", "{from: a, empty: 0}", (7, 33), "'empty' is the number 0", "''"),
        ("ticket.ticket_subject", "{from: a, values: [b]}", (7, 34), "'values' is the list", "map"),
        ("ticket.ticket_subject", "{from: a, values: {}}", (7, 34), "'values' is empty", ""),
        ("ticket.ticket_subject", "{from: a, otherwise: keep}", (7, 26), "without 'values'", ""),
        (
            "ticket.ticket_subject",
            "{from: a, values: {b: c}, otherwise: kept}",
            (7, 53),
            "cannot be 'kept'",
            "{value: kept}",
        ),
        (
            "ticket.ticket_subject",
            "{from: a, values: {b: c}, otherwise: {from: x}}",
            (7, 54),
            "unknown key 'from'",
            "value",
        ),
        ("ticket.ticket_subject", "{values: {a: b}}", (7, 16), "the key 'from' is missing", ""),
        ("ticket.ticket_subject", "{ref: tickets}", (7, 16), "the key 'id' is missing", ""),
        ("ticket.ticket_subject", "{id: a}", (7, 16), "the key 'ref' is missing", ""),
        (
            "ticket.ticket_subject",
            "{ref: tickets, id: a, missing: never}",
            (7, 47),
            "cannot be",
            "later",
        ),
        (
            "ticket.ticket_subject",
            "{ref: tickets, id: a, merge: set}",
            (7, 38),
            "unknown key 'merge'",
            "",
        ),
        (
            "ticket.ticket_subject",
            "{from: a, merge: set, empty: ''}",
            (7, 38),
            "'empty' beside",
            "[]",
        ),
        # what YAML itself refuses is told by its own room
        ("ticket.ticket_subject", "a\n      subject: b", (8, 7), "duplicate key", "line 7"),
        ("ticket.ticket_subject", "!!str a", (7, 16), "tag", ""),
        ("    fields:", "    fields: &f\n      <<: *g", (7, 7), "<<", ""),
    ],
)
def test_mistake_is_told_with_its_place(
    faults: Faults, old: str, new: str, at: tuple[int, int], message: str, hint: str
) -> None:
    found = faults(GOOD.replace(old, new, 1))
    told = [p for p in found if (place(p).line, place(p).column) == at]
    assert any(message in p.message and hint in p.hint for p in told), "\n".join(map(str, found))


def test_a_good_file_is_good(build: Any) -> None:
    assert build(GOOD).warnings == ()


def test_every_mistake_of_a_file_is_told_at_once(faults: Faults) -> None:
    found = faults(
        """\
        source: caresft
        events: [ticket.update]
        records:
          - resource: tickets
            id: lower(
            fields:
              a: fone(x)
              b: {from: x, wirte: always}
          - id: b
        ---
        source: caresoft
        events: []
        records: []
        """
    )
    assert [place(problem).line for problem in found] == [1, 5, 7, 8, 9, 9, 12, 13]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("subject: fone(a)", 10),
        ("subject: concat(a, fone(b))", 20),
        ("subject: 'concat(a, fone(b))'", 21),
        ('subject: "concat(a, fone(b))"', 21),
        ("subject: 'concat(''đ'', fone(b))'", 25),
        ('subject: "concat(\\"đ\\", fone(b))"', 25),
        ("subject: {from: 'concat(a, fone(b))'}", 28),
    ],
)
def test_column_is_that_inside_the_expression(faults: Faults, text: str, column: int) -> None:
    problem = only(faults(GOOD.replace("subject: ticket.ticket_subject", text)))
    assert problem.place == Place("test.yaml", 7, column + 6)
    assert "`" in problem.message
    assert "fone" in problem.message


def test_place_in_a_block_text_is_that_of_its_line(faults: Faults) -> None:
    text = "subject: |\n        concat(\n          a,\n          fone(b))"
    problem = only(faults(GOOD.replace("subject: ticket.ticket_subject", text)))
    assert problem.place == Place("test.yaml", 10, 11)


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "---\n", "---\n---\n"])
def test_an_empty_file_is_an_error(faults: Faults, text: str) -> None:
    problem = only(faults({"good.yaml": GOOD, "empty.yaml": text}))
    assert problem.message == "the file is empty"
    assert problem.place == Place("empty.yaml", 1, 1)


def test_a_document_that_holds_nothing_is_passed_over(build: Any) -> None:
    assert len(build(f"---\n---\n{GOOD}---\n").rules) == 1


def test_delete_with_fields_is_an_error(faults: Faults) -> None:
    problem = only(faults(GOOD + "    action: delete\n"))
    assert (problem.message, problem.place) == ("a delete with fields", Place("test.yaml", 6, 5))


def test_upsert_may_have_no_fields_if_it_says_so(build: Any) -> None:
    text = GOOD.replace("\n      subject: ticket.ticket_subject", " {}")
    assert build(text).rules == ()


def test_constants_that_json_does_not_have_are_refused(faults: Faults) -> None:
    for constant in (".inf", "{value: .nan}", "{from: a, values: {b: .inf}}"):
        assert faults(GOOD.replace("ticket.ticket_subject", constant))


@pytest.mark.parametrize(
    ("tests", "at", "message"),
    [
        ("[{name: a, expect: []}]", (8, 9), "the key 'event' is missing"),
        ("[{event: {}, expect: []}]", (8, 9), "the key 'name' is missing"),
        ("[{name: a, event: {}}]", (8, 9), "the key 'expect' is missing"),
        ("[{name: a, event: [], expect: []}]", (8, 26), "'event' is the list"),
        ("[{name: a, event: {}, expect: {}}]", (8, 38), "'expect' is the object"),
        ("[{name: a, event: {}, expect: [{recource: t}]}]", (8, 40), "unknown key 'recource'"),
        ("[{name: a, event: {}, expect: [{action: drop}]}]", (8, 48), "'action' cannot be 'drop'"),
        ("[{name: a, event: {}, expect: [{fields: []}]}]", (8, 48), "'fields' is the list"),
        ("[{name: a, event: {}, expect: [{final: 1}]}]", (8, 47), "'final' is the number 1"),
        ("{name: a}", (8, 8), "'tests' is the object"),
    ],
)
def test_mistakes_in_tests_are_told(
    faults: Faults, tests: str, at: tuple[int, int], message: str
) -> None:
    found = faults(f"{GOOD}tests: {tests}\n")
    assert any(message in p.message and (place(p).line, place(p).column) == at for p in found), (
        "\n".join(map(str, found))
    )


KEYS = """
    source events target records resource id version when each final action fields value from
    values otherwise ref missing merge write empty on_null tests name event expect _schema
"""

anything = st.recursive(
    st.sampled_from(
        [None, True, 0, 1.5, "", "a", "a.b", "phone(", "ticket.*", "delete", "crm", "set", "\u00e9"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS.split()),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def refused(build: Any, data: Any) -> list[Problem]:
    """What is wrong with data, as JSON, which is YAML too; nothing where it is a set."""
    try:
        build(json.dumps(data))
    except MappingInvalid as error:
        return list(error.problems)
    return []


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(anything)
def test_any_data_is_a_set_or_is_refused_with_places(build: Any, data: Any) -> None:
    assert all(problem.place and problem.message for problem in refused(build, data))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(["source", "events", "target", "records", "tests"]), anything)
def test_any_data_under_a_key_of_a_block_is_a_set_or_is_refused_with_places(
    build: Any, key: str, data: Any
) -> None:
    record = {"resource": "t", "id": "a", "fields": {"a": "b"}}
    good = {"source": "caresoft", "events": ["a"], "records": [record]}
    assert all(problem.place and problem.message for problem in refused(build, {**good, key: data}))
