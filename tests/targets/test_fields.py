"""What of a record is written, where it stands and in which form."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.config.grammar import parse_at
from connector.targets.fields import write_fields
from connector.targets.ids import format_id
from connector.targets.placement import CannotPlace, place_all, show


def place(**values):
    return place_all((parse_at(at), value) for at, value in values.items())


def placed(*pairs):
    return place_all((parse_at(at), value) for at, value in pairs)


@pytest.mark.parametrize(
    ("pairs", "tree"),
    [
        ([("a", 1), ("b", 2)], {"a": 1, "b": 2}),
        ([("a.b", 1), ("a.c", 2)], {"a": {"b": 1, "c": 2}}),
        ([('"odd.name"', 1)], {"odd.name": 1}),
        ([('a."b.c".d', 1)], {"a": {"b.c": {"d": 1}}}),
        ([("custom_fields[id=4].value", "x")], {"custom_fields": [{"id": 4, "value": "x"}]}),
        ([('c[id="4"].value', "x")], {"c": [{"id": "4", "value": "x"}]}),
        ([("c[key=size].value", "x")], {"c": [{"key": "size", "value": "x"}]}),
        (
            [("c[id=4].value", "x"), ("c[id=7].value", "y"), ("c[id=4].unit", "cm")],
            {"c": [{"id": 4, "value": "x", "unit": "cm"}, {"id": 7, "value": "y"}]},
        ),
        ([("c[id=4]", {"v": 1, "w": 2})], {"c": [{"id": 4, "v": 1, "w": 2}]}),
        ([("a.b", None)], {"a": {"b": None}}),
        ([("a", 1), ("a", 1)], {"a": 1}),
    ],
)
def test_places(pairs, tree):
    assert placed(*pairs) == tree


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", 1), ("a", 2)],
        [("a", 1), ("a.b", 2)],
        [("a", [1]), ("a.b", 2)],
        [("a", {"x": 1}), ("a[id=4].b", 2)],
        [("c[id=4]", "no object")],
    ],
)
def test_fields_that_cannot_both_stand_are_refused(pairs):
    with pytest.raises(CannotPlace):
        placed(*pairs)


def test_values_that_are_placed_into_are_not_changed():
    value = {"x": {"y": 1}}
    before = copy.deepcopy(value)
    assert placed(("a", value), ("a.x.z", 2)) == {"a": {"x": {"y": 1, "z": 2}}}
    assert value == before


names = st.text("abc", min_size=1, max_size=2)


@given(st.dictionaries(names, st.integers(), max_size=4))
def test_fields_without_a_rule_stand_under_their_own_names(values):
    assert place(**values) == values


def test_show_writes_a_place_as_it_was_configured():
    assert show(parse_at("custom_fields[id=4].value.x")) == "custom_fields[id=4].value.x"


def resource_of(configure, tickets):
    return configure(tickets).target.config.resource("tickets")


def test_as_shapes_every_value_but_one_that_clears(configure):
    resource = resource_of(
        configure,
        """
        fields:
          contact: {at: contact_id, as: "/contacts({value})", empty: ''}
          tags: {as: {all: "{value}"}}
        """,
    )
    values = {"external_id": "1"}
    write = lambda fields: write_fields(resource, fields, values)  # noqa: E731
    assert write({"contact": 7}) == {"contact_id": "/contacts(7)"}
    assert write({"contact": None}) == {"contact_id": ""}
    assert write({"contact": ""}) == {"contact_id": ""}
    assert write({"tags": [1, 2]}) == {"tags": {"all": [1, 2]}}
    assert write({"tags": None}) == {"tags": None}


@pytest.mark.parametrize(("empty", "sent"), [("null", None), ("''", ""), ("false", False)])
def test_empty_says_what_clears_a_field(configure, empty, sent):
    resource = resource_of(configure, f"empty: {empty}")
    assert write_fields(resource, {"a": None, "b": 0}, {}) == {"a": sent, "b": 0}


def test_strings_makes_text_of_every_value(configure):
    resource = resource_of(configure, "values: strings")
    fields = {"a": 25, "b": True, "c": 2.0, "d": [1], "e": "x", "f": None, "g": 2.5}
    assert write_fields(resource, fields, {}) == {
        "a": "25",
        "b": "true",
        "c": "2",
        "d": "[1]",
        "e": "x",
        "f": None,
        "g": "2.5",
    }


def test_create_leaves_null_fields_out(configure):
    resource = resource_of(configure, "empty: ''")
    assert write_fields(resource, {"a": None, "b": ""}, {}, creating=True) == {"b": ""}


def test_external_id_wins_over_a_field_in_its_place(configure):
    resource = resource_of(configure, "external_id_field: custom[id=1].value")
    values = {"external_id": "T-1"}
    written = write_fields(resource, {"a": 1}, values, with_id=True)
    assert written == {"a": 1, "custom": [{"id": 1, "value": "T-1"}]}
    named = resource_of(configure, "external_id_field: ext")
    assert write_fields(named, {"ext": 5}, values, with_id=True) == {"ext": "T-1"}


def test_order_of_fields_does_not_change_what_is_written(configure):
    resource = resource_of(configure, "fields: {b: 'c[id=2].v', a: 'c[id=1].v'}")
    one = write_fields(resource, {"a": 1, "b": 2}, {})
    other = write_fields(resource, {"b": 2, "a": 1}, {})
    assert str(one) == str(other)


@pytest.mark.parametrize("good", ["9999", "Ab_c-1", "0"])
def test_slug_keeps_what_is_one(good):
    assert format_id("slug", good) == good


@pytest.mark.parametrize(
    ("external_id", "slug"),
    [
        ("call:1.2", "call-1-2-382c8603"),
        ("Đơn hàng", "don-hang-deb0a01d"),
        ("_a", "a-34fb7160"),
        ("日本", "cf2abf0c"),
    ],
)
def test_slug_makes_one_of_anything(external_id, slug):
    assert format_id("slug", external_id) == slug


def test_uuid_is_version_five_in_the_url_namespace():
    assert format_id("uuid", "9999") == "2fe4383b-0892-5cbc-b79a-d9cce610e447"
    assert format_id("any", "a b:đ") == "a b:đ"


@given(st.text(min_size=1))
def test_slug_is_always_a_slug(external_id):
    assert format_id("slug", format_id("slug", external_id)) == format_id("slug", external_id)
