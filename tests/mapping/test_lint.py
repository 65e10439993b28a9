"""What only the whole set shows to be wrong or doubtful."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.model import Place, Problem

Faults = Callable[..., list[Problem]]


def block(records: str, events: str = "[ticket.update]", source: str = "caresoft") -> str:
    return f"source: {source}\nevents: {events}\nrecords:\n{records}\n"


def place(problem: Problem) -> Place:
    assert problem.place is not None
    return problem.place


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, "\n".join(map(str, problems))
    return problems[0]


# --- sources and targets


def test_unknown_source_is_an_error(faults: Faults) -> None:
    problem = only(faults(block("  - {resource: t, id: a, fields: {}}", source="caresfot")))
    assert "there is no source 'caresfot'" in problem.message
    assert problem.hint == "did you mean 'caresoft'?"
    assert problem.place == Place("test.yaml", 1, 9)


def test_kinds_of_sources_need_not_be_configured(build: Any) -> None:
    text = block("  - {resource: t, id: a, fields: {}}", source="mobio")
    assert build(text, sources={}).warnings == ()


def test_unknown_target_is_an_error(faults: Faults) -> None:
    text = "target: cmr\n" + block("  - {resource: t, id: a, fields: {}}")
    problem = only(faults(text, targets=["crm", "erp"]))
    assert "there is no target 'cmr'" in problem.message
    assert problem.hint == "did you mean 'crm'?"
    assert problem.place == Place("test.yaml", 1, 9)


def test_target_must_be_named_where_there_are_several(faults: Faults, build: Any) -> None:
    text = block("  - {resource: t, id: a, fields: {}}")
    assert "'target' is missing" in only(faults(text, targets=["crm", "erp"])).message
    assert "'target' is missing" in only(faults(text, targets=[])).message
    named = build("target: erp\n" + text, targets=["crm", "erp"])
    assert named.resources == {("erp", "t")}


# --- tables and other constants


def test_unknown_table_is_an_error_inside_the_expression(faults: Faults) -> None:
    text = block("  - {resource: t, id: a, fields: {x: \"lookup('citys', b)\"}}")
    problem = only(faults({"a.yaml": text, "tables/cities.yaml": "hn: Hà Nội\n"}))
    assert "'cities'" in problem.message
    assert problem.place == Place("a.yaml", 4, 39)


def test_tables_are_looked_up_by_text(build: Any, document: Any) -> None:
    text = block("  - {resource: t, id: a, fields: {x: \"lookup('levels', a)\"}}")
    mapping_set = build({"a.yaml": text, "tables/levels.yaml": "1: one\nno: none\n2.50: {a: b}\n"})
    assert mapping_set.apply(document({"a": 1.0})).changes[0].fields == {"x": "one"}
    assert mapping_set.apply(document({"a": "no"})).changes[0].fields == {"x": "none"}
    assert mapping_set.apply(document({"a": "2.50"})).changes[0].fields == {"x": {"a": "b"}}
    assert mapping_set.apply(document({"a": 3})).changes[0].fields == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "a table is a map"),
        ("text\n", "a table is a map"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("", "the file is empty"),
        ("a: 1\na: 2\n", "duplicate key"),
    ],
)
def test_bad_tables_are_told(faults: Faults, text: str, message: str) -> None:
    good = block("  - {resource: t, id: a, fields: {x: \"lookup('t', a)\"}}")
    problem = only(faults({"a.yaml": good, "tables/t.yaml": text}))
    assert message in problem.message
    assert place(problem).file == "tables/t.yaml"


@pytest.mark.parametrize(
    "expression", ["timestamp(b, '%Y', 'Asia/Hanoy')", "number(b, 'xx')", "phone(b, 'Vietnam')"]
)
def test_constants_that_can_never_work_are_told(faults: Faults, expression: str) -> None:
    problem = only(faults(block(f'  - {{resource: t, id: a, fields: {{x: "{expression}"}}}}')))
    assert expression in problem.message
    assert problem.place == Place("test.yaml", 4, 39)


# --- references


def test_reference_to_what_nothing_creates_is_an_error(faults: Faults) -> None:
    text = block("  - {resource: tickets, id: a, fields: {x: {ref: ticket, id: b}}}")
    problem = only(faults(text))
    assert "'ticket', which nothing creates" in problem.message
    assert problem.hint == "did you mean 'tickets'?"
    assert problem.place == Place("test.yaml", 4, 50)


def test_reference_across_files_is_good(build: Any) -> None:
    files = {
        "a.yaml": block("  - {resource: t, id: a, fields: {x: {ref: u, id: b}}}"),
        "b.yaml": block("  - {resource: u, id: a, fields: {}}", source="mobio"),
    }
    assert len(build(files).rules) == 1


def test_a_delete_creates_nothing(faults: Faults) -> None:
    records = """\
  - {resource: t, id: a, fields: {x: {ref: u, id: b}}}
  - {resource: u, id: b, action: delete}"""
    assert "nothing creates" in only(faults(block(records))).message


def test_a_rule_of_another_target_creates_nothing_here(faults: Faults) -> None:
    one = "target: crm\n" + block("  - {resource: t, id: a, fields: {x: {ref: u, id: b}}}")
    other = "target: erp\n" + block("  - {resource: u, id: a, fields: {}}")
    problem = only(faults(f"{one}---\n{other}", targets=["crm", "erp"]))
    assert "nothing creates in the target 'crm'" in problem.message


def test_reference_that_creates_what_is_missing_is_good(build: Any) -> None:
    build(block("  - {resource: t, id: a, fields: {x: {ref: u, id: b, missing: create}}}"))


def test_a_broken_rule_makes_no_reference_to_its_resource_wrong(faults: Faults) -> None:
    files = {
        "a.yaml": block("  - {resource: t, id: a, fields: {x: {ref: u, id: b}}}"),
        "b.yaml": block("  - {resource: u, id: 'a.', fields: {}}"),
    }
    assert place(only(faults(files))).file == "b.yaml"


def test_a_file_that_cannot_be_read_makes_no_reference_wrong(faults: Faults) -> None:
    files = {
        "a.yaml": block("  - {resource: t, id: a, fields: {x: {ref: u, id: b}}}"),
        "b.yaml": "source: [",
    }
    assert {place(problem).file for problem in faults(files)} == {"b.yaml"}


# --- records that create each other


def test_records_that_create_each_other_are_an_error_at_each_reference(faults: Faults) -> None:
    one = block("  - {resource: t, id: a, fields: {x: {ref: u, id: b, missing: create}}}")
    two = block("  - {resource: u, id: a, fields: {x: {ref: v, id: b, missing: create}}}")
    three = block("  - {resource: v, id: a, fields: {x: {ref: t, id: b, missing: create}}}")
    first, second, third = faults({"a.yaml": one, "b.yaml": two, "c.yaml": three})
    assert first.message == "`missing: create` goes in a circle: t → u → v → t"
    assert first.place == Place("a.yaml", 4, 44)
    assert "missing: later" in first.hint
    assert "b.yaml:4:44, c.yaml:4:44" in first.hint
    assert (place(second).file, place(third).file) == ("b.yaml", "c.yaml")


def test_a_record_that_creates_itself_is_an_error(faults: Faults) -> None:
    text = block("  - {resource: t, id: a.b, fields: {x: {ref: t, id: a . b, missing: create}}}")
    assert "refers to itself" in only(faults(text)).message


def test_a_circle_that_one_reference_leaves_open_is_good(build: Any) -> None:
    build(
        {
            "a.yaml": block(
                "  - {resource: t, id: a, fields: {x: {ref: u, id: b, missing: create}}}"
            ),
            "b.yaml": block("  - {resource: u, id: a, fields: {x: {ref: t, id: b}}}"),
        }
    )


def test_a_record_may_create_another_of_its_resource(build: Any) -> None:
    build(block("  - {resource: t, id: a, fields: {parent: {ref: t, id: b, missing: create}}}"))


def test_a_circle_over_two_targets_is_none(build: Any) -> None:
    records = "  - {{resource: {0}, id: a, fields: {{x: {{ref: {1}, id: b, missing: create}}}}}}"
    texts = [f"target: {t}\n{block(records.format(*r))}" for t, r in (("crm", "tu"), ("erp", "ut"))]
    build("---\n".join(texts), targets=["crm", "erp"])


# --- two rules, one field


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("id: a, fields: {x: b, y: b}", "id: a, fields: {x: c}"),
        ("id: a.b, fields: {x: b}", "id: a . b, fields: {x: b}"),
        ("id: a, when: w, fields: {x: b}", "id: a, fields: {x: c}"),
        ("id: a, when: w, fields: {x: b}", "id: a, when: w, fields: {x: c}"),
        ("id: a, when: true, fields: {x: b}", "id: a, when: w, fields: {x: c}"),
        ("each: l, id: item, fields: {x: b}", "each: l, id: item, fields: {x: c}"),
    ],
)
def test_two_rules_bound_to_write_one_field_are_an_error(
    faults: Faults, one: str, other: str
) -> None:
    records = f"  - {{resource: t, {one}}}\n  - {{resource: t, {other}}}"
    problem = only(faults(block(records)))
    assert "'x'" in problem.message
    assert place(problem).line == 5
    assert "test.yaml:4:" in problem.hint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("id: a, fields: {x: b}", "id: a, fields: {y: b}"),
        ("id: a, fields: {x: b}", "id: b, fields: {x: b}"),
        ("id: a, when: w, fields: {x: b}", "id: a, when: v, fields: {x: b}"),
        ("id: a, when: false, fields: {x: b}", "id: a, fields: {x: b}"),
        ("each: l, id: item, fields: {x: b}", "each: m, id: item, fields: {x: b}"),
        ("id: a, fields: {x: b}", "id: a, action: delete"),
    ],
)
def test_two_rules_that_may_not_meet_are_good(build: Any, one: str, other: str) -> None:
    build(block(f"  - {{resource: t, {one}}}\n  - {{resource: t, {other}}}"))


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (("caresoft", "[ticket.update]"), ("caresoft", "[ticket.create, ticket.update]"), True),
        (("caresoft", "[ticket.update]"), ("caresoft", "[ticket.create]"), False),
        (("caresoft", "[ticket.*]"), ("caresoft", "[ticket.create]"), True),
        (("caresoft", "[ticket.*]"), ("caresoft", "['*.create']"), True),
        (("caresoft", "[ticket.*]"), ("caresoft", "['user.*']"), False),
        (("caresoft", "['*_end']"), ("caresoft", "['*_start']"), False),
        (("caresoft", "[ticket.*]"), ("branch", "[ticket.create]"), True),
        (("branch", "[ticket.*]"), ("caresoft", "[ticket.create]"), True),
        (("caresoft", "['*']"), ("mobio", "['*']"), False),
        (("branch", "['*']"), ("mobio", "['*']"), False),
    ],
)
def test_rules_of_two_blocks_meet_in_events_of_both(
    build: Any, faults: Faults, one: tuple[str, str], other: tuple[str, str], meet: bool
) -> None:
    record = "  - {resource: t, id: a, fields: {x: b}}"
    files = {
        "a.yaml": block(record, source=one[0], events=one[1]),
        "b.yaml": block(record, source=other[0], events=other[1]),
    }
    if meet:
        assert place(only(faults(files))).file == "b.yaml"
    else:
        build(files)


# --- warnings


def test_kind_that_the_vendor_does_not_document_is_a_warning(build: Any) -> None:
    text = block(
        "  - {resource: t, id: a, fields: {}}", events="[ticket.updated, 'note_*', 'lead.*']"
    )
    kinds = {"caresoft": ("ticket.update", "lead.create")}
    one, other = build(text, kinds=kinds).warnings
    assert one.place == Place("test.yaml", 2, 10)
    assert one.hint == "did you mean 'ticket.update'?"
    assert "'note_*'" in other.message
    assert build(text, kinds={}).warnings == ()
    assert build(text, kinds={"mobio": ("note_create",)}).warnings == ()


def test_item_without_each_is_a_warning(build: Any) -> None:
    (warning,) = build(block("  - {resource: t, id: item.id, fields: {}}")).warnings
    assert "`item.id`" in warning.message
    assert warning.place == Place("test.yaml", 4, 23)
    assert build(block("  - {resource: t, each: l, id: item.id, fields: {}}")).warnings == ()


def test_text_in_the_wrong_quotes_is_a_warning(build: Any) -> None:
    text = block("  - {resource: t, id: a, fields: {x: 'custom(b, \"addition_field2\")'}}")
    (warning,) = build(text).warnings
    assert "'addition_field2'" in warning.hint
    assert warning.place == Place("test.yaml", 4, 49)


def test_field_that_is_a_set_in_one_rule_only_is_a_warning(build: Any) -> None:
    one = block("  - {resource: t, id: a, fields: {x: {from: b, merge: set}}}", "[ticket.create]")
    other = block("  - {resource: t, id: a, fields: {x: b}}", "[ticket.update]")
    (warning,) = build({"a.yaml": one, "b.yaml": other}).warnings
    assert "'x' of 't'" in warning.message
    assert warning.place.file == "b.yaml"
