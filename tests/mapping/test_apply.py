"""what a document becomes, rule by rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.model import Change, Delta, Place, Problem, Ref, Whole

LEFT_ALONE = "(left alone)"

Changes = Callable[..., tuple[Change, ...]]
Field = Callable[..., Any]
FieldError = Callable[..., Problem]


# --- absent is not empty


def test_null_leaves_the_field_alone(field: Field) -> None:
    assert field("a", {"a": None}) == LEFT_ALONE


def test_absent_leaves_the_field_alone(field: Field) -> None:
    assert field("a.b.c", {"a": {}}) == LEFT_ALONE


def test_null_clears_with_on_null_clear(field: Field) -> None:
    assert field("{from: a, on_null: clear}", {}) is None


def test_null_clears_to_empty_text_where_the_field_says_so(field: Field) -> None:
    assert field("{from: a, on_null: clear, empty: ''}", {}) == ""


def test_empty_text_clears_as_null(field: Field) -> None:
    assert field("a", {"a": ""}) is None


def test_empty_text_clears_as_empty_text_where_the_field_says_so(field: Field) -> None:
    assert field("{from: a, empty: ''}", {"a": ""}) == ""


def test_empty_null_is_the_default_said_out_loud(field: Field) -> None:
    assert field("{from: a, empty: null}", {"a": ""}) is None


@pytest.mark.parametrize("value", [0, 0.0, False, [], {}, " ", [None], {"a": None}])
def test_zero_false_blank_and_empty_structures_are_values(field: Field, value: Any) -> None:
    found = field("a", {"a": value})
    assert (found, type(found)) == (value, type(value))


def test_partial_update_touches_only_what_it_names(changes: Changes) -> None:
    records = """
        - resource: contacts
          id: user.id
          fields: {name: user.username, phone: user.phone_no, note: user.note}
        """
    (change,) = changes(records, {"user": {"id": 7, "username": "Tan", "note": ""}})
    assert change.fields == {"name": "Tan", "note": None}


# --- constants


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("5", 5),
        ("-1.5", -1.5),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("{value: caresoft}", "caresoft"),
        ("{value: no}", "no"),
        ("{value: [a, 1]}", ["a", 1]),
        ("{value: {a: 1}}", {"a": 1}),
        ("{value: 0}", 0),
        ("{value: []}", []),
    ],
)
def test_constants_are_sent_as_they_are(field: Field, form: str, value: Any) -> None:
    found = field(form, {})
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("form", ["null", "~", "", "{value: null}", "{value: ''}"])
def test_constant_null_and_empty_clear(field: Field, form: str) -> None:
    assert field(form, {}) is None


def test_constant_null_clears_to_empty_text_where_the_field_says_so(field: Field) -> None:
    assert field("{value: null, empty: ''}", {}) == ""


# --- values


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("new", "NEW"),
        (1, "ONE"),
        (1.0, "ONE"),
        ("1", "ONE"),
        (12.5, "HALF"),
        (True, "YES"),
        ("true", "YES"),
        (False, "NO"),
        (0, "ZERO"),
        (-1, "NOBODY"),
    ],
)
def test_values_are_compared_as_text(field: Field, value: Any, expected: str) -> None:
    values = "{new: NEW, 1: ONE, 12.5: HALF, true: YES, false: NO, 0: ZERO, -1: NOBODY}"
    assert field(f"{{from: a, values: {values}}}", {"a": value}) == expected


def test_value_among_none_is_an_error_that_names_it_and_the_known_ones(
    field_error: FieldError,
) -> None:
    error = field_error("{from: a.status, values: {new: NEW, open: OPEN}}", {"a": {"status": "x"}})
    assert error.message == (
        '`a.status` gives the text "x", which is not among the values new, open'
    )
    assert error.place == Place("test.yaml", 7, 18)
    assert "otherwise" in error.hint


def test_otherwise_error_said_out_loud_is_the_default(field_error: FieldError) -> None:
    assert (
        "not among" in field_error("{from: a, values: {b: c}, otherwise: error}", {"a": 1}).message
    )


def test_otherwise_keep_keeps_the_value_as_it_is(field: Field) -> None:
    assert field("{from: a, values: {b: c}, otherwise: keep}", {"a": 12.0}) == 12.0


def test_otherwise_skip_leaves_the_field_alone(field: Field) -> None:
    assert field("{from: a, values: {b: c}, otherwise: skip}", {"a": "x"}) == LEFT_ALONE


def test_otherwise_value_replaces_it(field: Field) -> None:
    assert field("{from: a, values: {b: c}, otherwise: {value: OTHER}}", {"a": "x"}) == "OTHER"


def test_otherwise_null_clears(field: Field) -> None:
    assert field("{from: a, values: {b: c}, otherwise: {value: null}}", {"a": "x"}) is None


def test_value_that_becomes_null_clears(field: Field) -> None:
    assert field("{from: a, values: {none: null}}", {"a": "none"}) is None


def test_value_may_become_any_json(field: Field) -> None:
    assert field("{from: a, values: {x: [1, {y: z}]}}", {"a": "x"}) == [1, {"y": "z"}]


def test_empty_text_clears_before_it_is_looked_up(field: Field) -> None:
    assert field("{from: a, values: {new: NEW}}", {"a": ""}) is None


def test_empty_text_is_looked_up_where_it_is_among_the_values(field: Field) -> None:
    assert field("{from: a, values: {'': NONE}}", {"a": ""}) == "NONE"


def test_null_is_never_looked_up(field: Field) -> None:
    assert field("{from: a, values: {null: NONE}}", {"a": None}) == LEFT_ALONE
    assert field("{from: a, values: {x: y}, on_null: clear}", {}) is None


@pytest.mark.parametrize("value", [["new"], {"new": 1}])
def test_lists_and_objects_are_among_no_values(
    field: Field, field_error: FieldError, value: Any
) -> None:
    assert "not among" in field_error("{from: a, values: {new: NEW}}", {"a": value}).message
    assert field("{from: a, values: {new: NEW}, otherwise: keep}", {"a": value}) == value


# --- ids


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (316702, "316702"),
        (12.0, "12"),
        (0, "0"),
        (-1, "-1"),
        (12.5, "12.5"),
        (1e22, "10000000000000000000000"),
        ("0012", "0012"),
        (" a ", " a "),
        ("637c513276ba4d23fcb58625", "637c513276ba4d23fcb58625"),
        (123456789012345678901234567890, "123456789012345678901234567890"),
    ],
)
def test_ids_are_text(changes: Changes, value: Any, text: str) -> None:
    (change,) = changes("- {resource: t, id: a, fields: {}}", {"a": value})
    assert change.id == text


@pytest.mark.parametrize("body", [{}, {"a": None}, {"a": ""}, {"a": " \n"}])
def test_null_or_empty_id_is_an_error_of_the_event(run: Any, body: Any) -> None:
    applied = run("- {resource: t, id: a, fields: {x: b}}", body)
    assert applied.status == "error"
    assert applied.changes == ()
    assert applied.error.message.startswith("`a` gives ")
    assert applied.error.place == Place("test.yaml", 4, 23)


@pytest.mark.parametrize("value", [True, False, ["1"], {"id": 1}])
def test_id_that_is_no_text_and_no_number_is_an_error(run: Any, value: Any) -> None:
    applied = run("- {resource: t, id: a, fields: {}}", {"a": value})
    assert applied.status == "error"
    assert "which is no id" in applied.error.message


# --- versions


@pytest.mark.parametrize(
    ("value", "micros"),
    [
        (1633489912859, 1633489912859000),
        ("1633489912859", 1633489912859000),
        (1633489912, 1633489912000000),
        (1669108532.829107, 1669108532829107),
        ("1669108532.829107", 1669108532829107),
        ("2022-11-22T09:15:32.829107Z", 1669108532829107),
        ("2021-10-06T09:45:53+07:00", 1633488353000000),
        ("Wed Oct 06 09:45:53 ICT 2021", 1633488353000000),
        ("2021-10-06 09:45:53", 1633488353000000),
        ("2021/10/06 09:45:53", 1633488353000000),
    ],
)
def test_version_is_any_of_the_vendors_times_to_the_microsecond(
    changes: Changes, value: Any, micros: int
) -> None:
    (change,) = changes("- {resource: t, id: \"'1'\", version: v, fields: {}}", {"v": value})
    assert change.version == micros


@pytest.mark.parametrize("value", [None, "", 0, 0.0, "0", " "])
def test_version_null_empty_or_zero_is_the_time_of_receipt(changes: Changes, value: Any) -> None:
    (change,) = changes("- {resource: t, id: \"'1'\", version: v, fields: {}}", {"v": value})
    assert change.version is None


def test_without_version_the_time_of_receipt_counts(changes: Changes) -> None:
    (change,) = changes("- {resource: t, id: \"'1'\", fields: {}}", {})
    assert change.version is None


@pytest.mark.parametrize("value", ["yesterday", "2021-10-06", True, [1], {"a": 1}])
def test_unreadable_version_is_an_error_of_the_event(run: Any, value: Any) -> None:
    applied = run("- {resource: t, id: \"'1'\", version: a.v, fields: {}}", {"a": {"v": value}})
    assert applied.status == "error"
    assert "`a.v`" in applied.error.message
    assert applied.error.place == Place("test.yaml", 4, 39)


def test_version_a_day_ahead_of_receipt_still_counts(run: Any) -> None:
    applied = run(
        "- {resource: t, id: \"'1'\", version: v, fields: {}}",
        {"v": "2024-03-22T08:00:00Z"},
        received_at="2024-03-21T08:00:00.000000Z",
    )
    assert applied.changes[0].version == 1711094400000000
    assert applied.warnings == ()


def test_version_more_than_a_day_ahead_gives_way_to_receipt_with_a_warning(run: Any) -> None:
    applied = run(
        "- {resource: t, id: \"'1'\", version: v, fields: {}}",
        {"v": "2024-03-22T08:00:00.000001Z"},
        received_at="2024-03-21T08:00:00.000000Z",
    )
    assert applied.status == "mapped"
    assert applied.changes[0].version is None
    (warning,) = applied.warnings
    assert "more than 24 hours ahead" in warning.message
    assert warning.place == Place("test.yaml", 4, 39)


# --- when


@pytest.mark.parametrize("value", [None, False, "", [], {}, 0, 0.0, -0.0])
def test_when_is_false_as_in_jmespath_and_for_zero(run: Any, value: Any) -> None:
    applied = run("- {resource: t, id: \"'1'\", when: w, fields: {}}", {"w": value})
    assert (applied.status, applied.changes) == ("mapped", ())


@pytest.mark.parametrize("value", [True, "0", "false", " ", [0], {"a": None}, 1, -1, 0.1])
def test_when_is_true_for_everything_else(changes: Changes, value: Any) -> None:
    assert len(changes("- {resource: t, id: \"'1'\", when: w, fields: {}}", {"w": value})) == 1


def test_when_guards_everything_else_of_the_record(changes: Changes) -> None:
    records = "- {resource: t, id: a.id, version: a.at, when: a, fields: {x: timestamp(a.at)}}"
    assert changes(records, {"a": None}) == ()


@pytest.mark.parametrize(("when", "count"), [("true", 1), ("false", 0)])
def test_when_may_be_true_or_false(changes: Changes, when: str, count: int) -> None:
    records = f"- {{resource: t, id: \"'1'\", when: {when}, fields: {{}}}}"
    assert len(changes(records, {})) == count


def test_error_in_when_is_an_error_of_the_event(run: Any) -> None:
    applied = run("- {resource: t, id: \"'1'\", when: number(w), fields: {}}", {"w": "x"})
    assert applied.status == "error"


# --- each


def test_each_makes_one_record_per_item_in_their_order(changes: Changes) -> None:
    records = """
        - resource: t
          each: list
          id: item.id
          fields: {name: item.name, position: index, of: owner}
        """
    body = {"list": [{"id": 2, "name": "b"}, {"id": 1, "name": "a"}], "owner": "o"}
    found = changes(records, body)
    assert [change.id for change in found] == ["2", "1"]
    assert found[1].fields == {"name": "a", "position": 1, "of": "o"}


def test_each_over_null_makes_no_record(run: Any) -> None:
    applied = run("- {resource: t, each: list, id: item, fields: {}}", {"list": None})
    assert (applied.status, applied.changes) == ("mapped", ())


@pytest.mark.parametrize("value", ["", "a", 5, False, {"a": 1}])
def test_each_over_anything_but_a_list_is_an_error_that_names_it(run: Any, value: Any) -> None:
    applied = run("- {resource: t, each: a.b, id: item, fields: {}}", {"a": {"b": value}})
    assert applied.status == "error"
    assert "`a.b`" in applied.error.message
    assert "to_array(a.b)" in applied.error.hint
    assert applied.error.place == Place("test.yaml", 4, 25)


def test_to_array_makes_a_list_of_one(changes: Changes) -> None:
    records = "- {resource: t, each: to_array(x), id: item, fields: {}}"
    assert [change.id for change in changes(records, {"x": 5})] == ["5"]
    assert [change.id for change in changes(records, {"x": [5, 6]})] == ["5", "6"]


def test_item_and_index_win_over_keys_of_the_body(changes: Changes) -> None:
    records = "- {resource: t, each: list, id: item, fields: {at: index}}"
    (change,) = changes(records, {"list": ["a"], "item": "body", "index": "body"})
    assert (change.id, change.fields) == ("a", {"at": 0})


def test_when_is_asked_for_each_item(changes: Changes) -> None:
    records = "- {resource: t, each: list, when: item.ok, id: item.id, fields: {}}"
    body = {"list": [{"id": 1, "ok": True}, {"id": None, "ok": False}, {"id": 3, "ok": 1}]}
    assert [change.id for change in changes(records, body)] == ["1", "3"]


def test_same_id_twice_with_equal_changes_is_one(changes: Changes) -> None:
    records = "- {resource: t, each: list, id: item.id, fields: {x: item.x}}"
    body = {"list": [{"id": 1, "x": [1]}, {"id": "1", "x": [1.0]}, {"id": 2, "x": 0}]}
    assert [change.id for change in changes(records, body)] == ["1", "2"]


@pytest.mark.parametrize(("one", "other"), [(1, 2), (1, True), ("1", 1), (None, 1), ([1], [True])])
def test_same_id_twice_with_different_changes_is_an_error(run: Any, one: Any, other: Any) -> None:
    records = "- {resource: t, each: list, id: item.id, fields: {x: item.x}}"
    applied = run(records, {"list": [{"id": 1, "x": one}, {"id": 1, "x": other}]})
    assert applied.status == "error"
    assert "t '1'" in applied.error.message
    assert "'x'" in applied.error.message


def test_same_id_twice_with_different_versions_is_an_error(run: Any) -> None:
    records = "- {resource: t, each: list, id: item.id, version: item.at, fields: {}}"
    applied = run(records, {"list": [{"id": 1, "at": 1000}, {"id": 1, "at": 2000}]})
    assert applied.status == "error"
    assert "versions" in applied.error.message


def test_same_id_twice_with_equal_references_and_sets_is_one(changes: Changes) -> None:
    records = """
        - resource: t
          each: list
          id: item.id
          fields:
            tags: {from: item.tags, merge: set}
            more: {from: item.more, merge: set}
            parent: {ref: t, id: item.parent}
        """
    item = {"id": 1, "tags": ["a"], "more": {"add": ["b"]}, "parent": 3}
    assert len(changes(records, {"list": [item, dict(item)]})) == 1


def test_same_id_twice_with_different_sets_is_an_error(run: Any) -> None:
    records = "- {resource: t, each: list, id: item.id, fields: {x: {from: item.x, merge: set}}}"
    applied = run(records, {"list": [{"id": 1, "x": ["a"]}, {"id": 1, "x": {"add": ["a"]}}]})
    assert applied.status == "error"


def test_deletes_of_the_same_id_are_one(changes: Changes) -> None:
    records = "- {resource: t, each: list, id: item, action: delete}"
    assert len(changes(records, {"list": [1, 1, "1"]})) == 1


# --- actions


def test_upsert_is_the_default_and_final_is_not(changes: Changes) -> None:
    (change,) = changes("- {resource: t, id: \"'1'\", fields: {a: b}}", {"b": 1})
    assert (change.action, change.final, change.target) == ("upsert", False, "crm")


def test_final_is_told(changes: Changes) -> None:
    (change,) = changes("- {resource: t, id: \"'1'\", final: true, fields: {a: b}}", {"b": 1})
    assert change.final is True


def test_delete_has_a_version_and_no_fields(changes: Changes) -> None:
    records = "- {resource: t, id: \"'1'\", action: delete, version: v}"
    (change,) = changes(records, {"v": 1633489912859})
    assert (change.action, change.version) == ("delete", 1633489912859000)
    assert (change.fields, change.write, change.rules) == ({}, {}, {})


def test_upsert_without_a_value_is_still_a_change(changes: Changes) -> None:
    (change,) = changes("- {resource: t, id: \"'1'\", fields: {a: b}}", {})
    assert change.fields == {}


def test_write_names_the_policies_of_the_fields_that_are_told(changes: Changes) -> None:
    records = """
        - resource: t
          id: "'1'"
          fields:
            a: {from: a, write: unless_edited}
            b: {from: b, write: if_empty}
            c: {value: 1, write: on_create}
            d: {from: d, write: always}
            e: {ref: t, id: e, write: on_create}
        """
    (change,) = changes(records, {"a": 1, "d": 1, "e": 1})
    assert change.write == {"a": "unless_edited", "c": "on_create", "e": "on_create"}


def test_rules_lead_from_each_field_to_its_line(build: Any, document: Any) -> None:
    mapping_set = build(
        """\
        source: caresoft
        events: [ticket.update]
        records:
          - resource: t
            id: a
            fields:
              x: a
              y: b
          - resource: u
            id: a
            fields: {z: a}
        """
    )
    first, second = mapping_set.apply(document({"a": 1})).changes
    assert {name: mapping_set.places[number].line for name, number in first.rules.items()} == {
        "x": 7
    }
    assert mapping_set.places[second.rules["z"]] == Place("test.yaml", 11, 14)


# --- references


def test_reference_keeps_the_id_as_text(field: Field) -> None:
    assert field("{ref: things, id: a}", {"a": 5.0}) == Ref("things", "5", "later")


@pytest.mark.parametrize("missing", ["later", "create", "omit", "error"])
def test_reference_says_what_a_missing_record_does(field: Field, missing: str) -> None:
    found = field(f"{{ref: things, id: a, missing: {missing}}}", {"a": "x"})
    assert found == Ref("things", "x", missing)  # type: ignore[arg-type]


@pytest.mark.parametrize("nobody", ["", 0, -1, "0", "-1", 0.0, -1.0, " "])
def test_reference_to_nobody_clears(field: Field, nobody: Any) -> None:
    assert field("{ref: things, id: a}", {"a": nobody}) is None


def test_reference_to_nobody_clears_to_empty_text_where_the_field_says_so(field: Field) -> None:
    assert field("{ref: things, id: a, empty: ''}", {"a": -1}) == ""


def test_reference_to_null_is_left_alone(field: Field) -> None:
    assert field("{ref: things, id: a}", {}) == LEFT_ALONE


def test_reference_to_null_clears_with_on_null_clear(field: Field) -> None:
    assert field("{ref: things, id: a, on_null: clear}", {}) is None


@pytest.mark.parametrize("value", [True, [1], {"a": 1}])
def test_reference_to_what_is_no_id_is_an_error(field_error: FieldError, value: Any) -> None:
    assert "which is no id" in field_error("{ref: things, id: a}", {"a": value}).message


# --- sets


def test_list_is_the_whole_set(field: Field) -> None:
    assert field("{from: a, merge: set}", {"a": ["x", 1]}) == Whole(("x", 1))


def test_empty_list_is_the_empty_set(field: Field) -> None:
    assert field("{from: a, merge: set}", {"a": []}) == Whole(())


def test_equal_elements_are_one_and_null_is_none(field: Field) -> None:
    given = ["x", None, "x", {"b": 1, "a": 2}, {"a": 2, "b": 1}]
    assert field("{from: a, merge: set}", {"a": given}) == Whole(("x", {"b": 1, "a": 2}))


@pytest.mark.parametrize(
    ("given", "delta"),
    [
        ({"add": ["x"], "remove": ["y"]}, Delta(("x",), ("y",))),
        ({"add": ["x"]}, Delta(("x",), ())),
        ({"remove": ["y"]}, Delta((), ("y",))),
        ({"add": ["x"], "remove": None}, Delta(("x",), ())),
    ],
)
def test_add_and_remove_are_a_delta(field: Field, given: Any, delta: Delta) -> None:
    assert field("{from: a, merge: set}", {"a": given}) == delta


@pytest.mark.parametrize("given", [{}, {"add": []}, {"add": [], "remove": [None]}])
def test_delta_of_nothing_leaves_the_field_alone(field: Field, given: Any) -> None:
    assert field("{from: a, merge: set}", {"a": given}) == LEFT_ALONE


def test_set_of_null_is_left_alone_and_of_empty_text_cleared(field: Field) -> None:
    assert field("{from: a, merge: set}", {}) == LEFT_ALONE
    assert field("{from: a, merge: set}", {"a": ""}) == Whole(())
    assert field("{from: a, merge: set, on_null: clear}", {}) == Whole(())
    assert field("{value: null, merge: set}", {}) == Whole(())


@pytest.mark.parametrize("given", ["x", 5, True, {"added": ["x"]}, {"add": "x"}, {"add": {}}])
def test_set_of_anything_else_is_an_error(field_error: FieldError, given: Any) -> None:
    error = field_error("{from: a, merge: set}", {"a": given})
    assert "the set 'it'" in error.message
    assert "to_array" in error.hint


def test_values_of_a_set_are_looked_up_one_by_one(field: Field) -> None:
    form = "{from: a, values: {x: X, y: Y, none: null}, otherwise: skip, merge: set}"
    assert field(form, {"a": ["y", "z", "x", "none"]}) == Whole(("Y", "X"))
    assert field(form, {"a": {"add": ["x"], "remove": ["z"]}}) == Delta(("X",), ())


def test_unknown_value_of_a_set_is_an_error(field_error: FieldError) -> None:
    error = field_error("{from: a, values: {x: X}, merge: set}", {"a": ["x", "q"]})
    assert '"q"' in error.message


def test_constant_list_may_be_a_set(field: Field) -> None:
    assert field("{value: [a, b], merge: set}", {}) == Whole(("a", "b"))


# --- several rules


def test_changes_come_in_the_order_of_files_blocks_and_rules(build: Any, document: Any) -> None:
    block = """
        source: caresoft
        events: [ticket.update]
        records:
          - {resource: %s, id: a, fields: {}}
          - {resource: %s, id: a, fields: {}}
        """
    files = {
        "b.yaml": block % ("five", "six"),
        "a.yaml": f"{block % ('one', 'two')}\n        ---{block % ('three', 'four')}",
    }
    found = build(files).apply(document({"a": 1})).changes
    assert [change.resource for change in found] == ["one", "two", "three", "four", "five", "six"]


def test_two_rules_may_write_different_fields_of_one_record(changes: Changes) -> None:
    records = """
        - {resource: t, id: a, fields: {x: b}}
        - {resource: t, id: a, fields: {y: b}}
        """
    assert [change.fields for change in changes(records, {"a": 1, "b": 2})] == [{"x": 2}, {"y": 2}]


def test_two_rules_that_write_one_field_of_one_record_are_an_error_of_the_event(run: Any) -> None:
    records = """
        - {resource: t, id: a, fields: {x: one}}
        - {resource: t, id: b, fields: {x: two}}
        """
    applied = run(records, {"a": 1, "b": "1", "one": 1, "two": 1})
    assert applied.status == "error"
    assert applied.changes == ()
    assert "'x' of t '1'" in applied.error.message
    assert "test.yaml:4:35" in applied.error.hint
    assert applied.error.place == Place("test.yaml", 5, 35)


def test_two_rules_for_two_records_do_not_meet(changes: Changes) -> None:
    records = """
        - {resource: t, id: a, fields: {x: one}}
        - {resource: t, id: b, fields: {x: two}}
        """
    assert len(changes(records, {"a": 1, "b": 2, "one": 1, "two": 1})) == 2


def test_two_rules_of_which_one_leaves_the_field_alone_do_not_meet(changes: Changes) -> None:
    records = """
        - {resource: t, id: a, fields: {x: one}}
        - {resource: t, id: b, fields: {x: two}}
        """
    assert len(changes(records, {"a": 1, "b": 1, "one": 1})) == 2


def test_items_of_two_rules_with_the_same_id_meet(run: Any) -> None:
    records = """
        - {resource: t, each: list, id: item, fields: {x: {value: 1}}}
        - {resource: t, id: a, fields: {x: {value: 1}}}
        """
    assert run(records, {"a": 2, "list": [1, 2]}).status == "error"
    assert run(records, {"a": 3, "list": [1, 2]}).status == "mapped"


def test_one_bad_field_leaves_no_change_at_all(run: Any) -> None:
    records = """
        - {resource: t, id: a, fields: {x: a}}
        - {resource: u, id: a, fields: {x: a, y: integer(b), z: a}}
        """
    applied = run(records, {"a": 1, "b": "12.5"})
    assert (applied.status, applied.changes) == ("error", ())
    assert "integer()" in applied.error.message
    assert "`integer(b)`" in applied.error.message
    assert applied.error.place == Place("test.yaml", 5, 44)


def test_error_stands_at_the_function_that_failed(field_error: FieldError) -> None:
    error = field_error("concat(a, '-', integer(b))", {"a": 1, "b": "x"})
    assert error.place == Place("test.yaml", 7, 11 + len("concat(a, '-', "))


def test_warnings_carry_the_place_and_leave_the_change_whole(run: Any) -> None:
    records = """
        - resource: t
          id: a
          fields:
            mail: email(b)
            phone: phone(c, 'VN')
        """
    applied = run(records, {"a": 1, "b": " nobody ", "c": "anonymous"})
    assert applied.status == "mapped"
    assert applied.changes[0].fields == {"mail": "nobody", "phone": "anonymous"}
    assert [warning.place for warning in applied.warnings] == [
        Place("test.yaml", 7, 13),
        Place("test.yaml", 8, 14),
    ]
    assert "`email(b)`" in applied.warnings[0].message


def test_warnings_before_an_error_are_kept(run: Any) -> None:
    applied = run("- {resource: t, id: a, fields: {m: email(b), n: number(b)}}", {"a": 1, "b": "x"})
    assert applied.status == "error"
    assert len(applied.warnings) == 1


def test_the_same_warning_of_many_items_is_told_once(run: Any) -> None:
    records = "- {resource: t, each: l, id: index, fields: {m: email(item)}}"
    assert len(run(records, {"l": ["x", "x", "x"]}).warnings) == 1


# --- which events


def test_kind_that_no_block_names_is_unmapped(build: Any, document: Any) -> None:
    mapping_set = build(
        "{source: caresoft, events: [ticket.create], records: [{resource: t, id: a, fields: {}}]}"
    )
    assert mapping_set.apply(document({"a": 1}, kind="ticket.created")).status == "unmapped"
    assert mapping_set.apply(document({"a": 1}, kind="Ticket.create")).status == "unmapped"
    assert mapping_set.apply(document({"a": 1}, kind="ticket.create")).status == "mapped"


@pytest.mark.parametrize(
    ("pattern", "kind", "fits"),
    [
        ("ticket.*", "ticket.update", True),
        ("ticket.*", "tickets.update", False),
        ("*", "note_create", True),
        ("*.update", "ticket.update", True),
        ("*.update", "ticket.updated", False),
        ("call_in.*_end", "call_in.call_in_agent_end", True),
        ("note_?reate", "note_create", False),
        ("note_[c]reate", "note_create", False),
        ("ticket.*", "ticket.", True),
        ("ticket*", "ticket.a.b", True),
    ],
)
def test_only_the_star_is_special_in_events(
    build: Any, document: Any, pattern: str, kind: str, fits: bool
) -> None:
    mapping_set = build(
        f"{{source: caresoft, events: ['{pattern}'], "
        "records: [{resource: t, id: a, fields: {}}]}"
    )
    applied = mapping_set.apply(document({"a": 1}, kind=kind))
    assert applied.status == ("mapped" if fits else "unmapped")


def test_kind_of_source_covers_every_account_and_a_name_only_one(build: Any, document: Any) -> None:
    block = "{source: %s, events: ['*'], records: [{resource: %s, id: a, fields: {}}]}\n"
    mapping_set = build(
        {"a.yaml": block % ("caresoft", "kind"), "b.yaml": block % ("branch", "name")}
    )
    seen = {
        source: [c.resource for c in mapping_set.apply(document({"a": 1}, source=source)).changes]
        for source in ("caresoft", "branch", "mobio")
    }
    assert seen == {"caresoft": ["kind"], "branch": ["kind", "name"], "mobio": []}


def test_kind_of_source_comes_before_a_source_of_that_name(build: Any, document: Any) -> None:
    block = "{source: mobio, events: ['*'], records: [{resource: t, id: a, fields: {}}]}\n"
    mapping_set = build(block, sources={"mobio": "caresoft", "real": "mobio"})
    assert mapping_set.apply(document({"a": 1}, source="mobio")).status == "unmapped"
    assert mapping_set.apply(document({"a": 1}, source="real")).status == "mapped"


def test_a_document_is_never_changed(build: Any, document: Any) -> None:
    mapping_set = build(
        """
        source: caresoft
        events: ["*"]
        records:
          - resource: t
            each: l
            id: item
            fields:
              x: sort(l)
              y: reverse(l)
              z: "merge(o, `{}`, {b: l})"
              s: {from: l, merge: set}
        """
    )
    given = document({"l": [2, 1], "o": {"a": 1}})
    before = repr(given)
    assert mapping_set.apply(given).status == "mapped"
    assert repr(given) == before


def test_a_fault_of_ours_is_an_error_of_the_event_with_a_place(build: Any, document: Any) -> None:
    mapping_set = build(
        "{source: caresoft, events: ['*'], records: [{resource: t, id: a, version: b, fields: {}}]}"
    )
    applied = mapping_set.apply(document({"a": 1, "b": 1000}, received_at="no time"))
    assert applied.status == "error"
    assert applied.error.place.line == 1
    assert "fault of the connector" in applied.error.hint
