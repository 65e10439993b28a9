"""`custom`, `custom_id`, `custom_all`: CareSoft's custom fields by their type."""

from __future__ import annotations

import json
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connector.mapping.functions import FUNCTIONS, Context, FunctionError
from connector.model import Json

SAMPLES = Path(__file__).parents[1] / "samples" / "caresoft"


def call(name: str, *args: Json, warnings: list[str] | None = None) -> Json:
    heard: list[str] = [] if warnings is None else warnings
    context = Context(ZoneInfo("Asia/Ho_Chi_Minh"), {}, heard.append)
    return FUNCTIONS[name].call(context, list(args))


def field(kind: Json, value: Json, **more: Json) -> list[Json]:
    return [{"field": "addition_field1", "type": kind, "value": value, **more}]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (0, "text", "text"),
        (0, " 12.50 ", " 12.50 "),
        (0, 5.0, "5"),
        (1, "12.50", 12.5),
        ("1", "12", 12),
        (1.0, 7, 7),
        (" 1 ", "7", 7),
        (2, "2024-04-15", "2024-04-15"),
        (2, "2024/04/15", "2024-04-15"),
        ("2", "2024/04/15 23:59:59", "2024-04-15"),
        (2, "1713200399000", "2024-04-15"),
        (2, 1713200399000, "2024-04-15"),
        (2, "2024-04-15T17:00:00Z", "2024-04-16"),
        (3, "Chưa phân loại", "Chưa phân loại"),
        (3, 12, "12"),
        (4, "a, b,,c ", ["a", "b", "c"]),
        ("4", "a", ["a"]),
        (4, " , ", []),
        (4, ["a", " b ", 5, None, ""], ["a", "b", "5"]),
        (4, 5, ["5"]),
        (5, "https://x.vn", "https://x.vn"),
        (6, "a\nb", "a\nb"),
        (7, "stage", "stage"),
        (99, "x", "x"),
        (None, "x", "x"),
        ("?", "x", "x"),
        (0, True, "true"),
        (1, "", ""),
        (2, "", ""),
        (4, "", ""),
        (1, " ", ""),
        (1, None, None),
    ],
)
def test_custom_gives_the_value_by_its_type(kind, value, expected):
    heard: list[str] = []
    result = call("custom", field(kind, value), "addition_field1", warnings=heard)
    assert result == expected
    assert type(result) is type(expected)
    assert heard == []


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (1, "1.000.000,5", "1.000.000,5"),
        (1, "abc", "abc"),
        (1, True, "true"),
        (2, "15/04/2024", "15/04/2024"),
        (2, "soon", "soon"),
        (3, ["a"], '["a"]'),
        (4, True, "true"),
        (4, {"a": 1}, '{"a":1}'),
        (4, ["a", ["b"]], '["a",["b"]]'),
        (0, {"b": 1, "a": 2}, '{"a":2,"b":1}'),
    ],
)
def test_value_that_does_not_fit_its_type_is_text_with_a_warning(kind, value, expected):
    heard: list[str] = []
    assert call("custom", field(kind, value), "addition_field1", warnings=heard) == expected
    assert len(heard) == 1
    assert "addition_field1" in heard[0]
    assert "kept as text" in heard[0]


def test_missing_type_is_text_and_missing_value_null():
    assert call("custom", [{"field": "a", "value": "12"}], "a") == "12"
    assert call("custom", [{"field": "a", "type": 1}], "a") is None


def test_third_argument_splits_a_list():
    fields = field(4, "a, b; c")
    assert call("custom", fields, "addition_field1", ";") == ["a, b", "c"]
    assert call("custom", fields, "addition_field1", " ; ") == ["a, b; c"]
    assert call("custom", fields, "addition_field1", None) == ["a", "b; c"]


@pytest.mark.parametrize("separator", ["", 5, ["x"]])
def test_separator_must_be_a_text(separator):
    with pytest.raises(FunctionError, match="text between two parts"):
        call("custom", field(4, "a"), "addition_field1", separator)


@pytest.mark.parametrize("name", ["custom", "custom_id"])
def test_no_such_field_is_null(name):
    for fields in ([], [{}], [None, 5, "x", []], field(0, "a"), None):
        assert call(name, fields, "addition_field2") is None
    assert call(name, field(0, "a"), None) is None


def test_fields_of_odd_shape_are_passed_over():
    fields = [None, "x", {}, {"field": None}, {"field": ["a"]}, {"field": ""}, *field(1, "5")]
    assert call("custom", fields, "addition_field1") == 5
    assert call("custom_all", fields) == {"addition_field1": 5}


def test_of_two_fields_with_one_code_the_later_counts():
    fields = field(0, "old", value_id=1) + field(0, "new", value_id=2)
    assert call("custom", fields, "addition_field1") == "new"
    assert call("custom_id", fields, "addition_field1") == "2"
    assert call("custom_all", fields) == {"addition_field1": "new"}


def test_code_may_be_a_number():
    assert call("custom", [{"field": 13, "value": "x"}], "13") == "x"
    assert call("custom", [{"field": "13", "value": "x"}], 13) == "x"


@pytest.mark.parametrize(
    ("value_id", "expected"),
    [
        ("1242", "1242"),
        (1242, "1242"),
        (1242.0, "1242"),
        ("", ""),
        (0, ""),
        ("0", ""),
        (None, None),
    ],
)
def test_custom_id_is_the_value_id_as_text(value_id, expected):
    assert call("custom_id", field(3, "x", value_id=value_id), "addition_field1") == expected


def test_custom_id_that_is_absent_is_null():
    assert call("custom_id", field(3, "x"), "addition_field1") is None


def test_custom_id_of_odd_type_is_text_with_a_warning():
    heard: list[str] = []
    fields = field(4, "x", value_id=[1, 2])
    assert call("custom_id", fields, "addition_field1", warnings=heard) == "[1,2]"
    assert len(heard) == 1


def test_custom_all_gives_every_field_by_its_code():
    fields = [*field(1, "5"), {"field": "b", "type": 4, "value": "x,y"}, {"field": "c"}]
    assert call("custom_all", fields) == {"addition_field1": 5, "b": ["x", "y"], "c": None}


@pytest.mark.parametrize("fields", [[], [{}], [None], None])
def test_custom_all_of_no_fields_is_null(fields):
    assert call("custom_all", fields) is None


@pytest.mark.parametrize("name", ["custom", "custom_id", "custom_all"])
@pytest.mark.parametrize("fields", [{"field": "a"}, "x", 5, True])
def test_fields_that_are_no_list_are_an_error(name, fields):
    with pytest.raises(FunctionError, match="a list of custom fields"):
        call(name, fields, *(["a"] if name != "custom_all" else []))


def test_fields_of_the_vendors_sample():
    fields = json.loads((SAMPLES / "ticket.update-5.json").read_text())["ticket"]["addition_fields"]
    assert call("custom", fields, "addition_field2") == "Chưa phân loại"
    assert call("custom_id", fields, "addition_field2") == "1222"
    assert call("custom", fields, "addition_field3") == ""
    assert call("custom_id", fields, "addition_field3") is None


def test_several_lists_in_turn_are_told_apart() -> None:
    context = Context(ZoneInfo("UTC"), {}, lambda _: None)
    custom = FUNCTIONS["custom"].call
    one, other = field(0, "one"), field(0, "other")
    for _ in range(2):
        assert custom(context, [one, "addition_field1"]) == "one"
        assert custom(context, [other, "addition_field1"]) == "other"
        assert custom(context, [field(0, "new"), "addition_field1"]) == "new"
        assert FUNCTIONS["custom_all"].call(context, [one]) == {"addition_field1": "one"}


@pytest.mark.parametrize("name", ["custom", "custom_id"])
def test_a_key_that_is_none_is_named_before_a_list_that_is_none(name: str) -> None:
    with pytest.raises(FunctionError, match="a text or a number"):
        call(name, "no list", [])


@pytest.mark.parametrize("kind", [True, 10**30, -1, 1.5, "01"])
def test_an_odd_type_is_text(kind: Json) -> None:
    assert call("custom", field(kind, "7"), "addition_field1") == "7"
