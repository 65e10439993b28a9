"""Templates of path, query, headers and body."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.targets.template import (
    CannotRender,
    encode_pairs,
    escape_ids,
    names_in,
    render,
    render_path,
    render_query,
    render_text,
)

VALUES = {
    "external_id": "a/b",
    "crm_id": 25,
    "resource": "tickets",
    "fields": {"subject": "Hi", "n": 1},
}


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("{fields}", {"subject": "Hi", "n": 1}),
        ("{crm_id}", 25),
        ("id {crm_id}", "id 25"),
        ({"data": "{fields}"}, {"data": {"subject": "Hi", "n": 1}}),
        ({"id": "{external_id}", "**": "{fields}"}, {"id": "a/b", "subject": "Hi", "n": 1}),
        ({"**": "{fields}", "n": 2}, {"subject": "Hi", "n": 2}),
        ([{"rows": ["{fields}"]}], [{"rows": [{"subject": "Hi", "n": 1}]}]),
        ({"{resource}": "{fields}"}, {"tickets": {"subject": "Hi", "n": 1}}),
        ("{Fields} {} {unknown} {{crm_id}}", "{Fields} {} {unknown} {25}"),
        ("{fields}!", '{"subject":"Hi","n":1}!'),
        (25, 25),
        (None, None),
        (True, True),
        ({}, {}),
    ],
)
def test_body_templates(template, rendered):
    assert render(template, VALUES) == rendered


def test_merging_something_that_is_no_object_is_refused():
    with pytest.raises(CannotRender, match=r'"\*\*" merges an object, found .25.'):
        render({"**": "{crm_id}"}, VALUES)


def test_placeholder_without_a_value_is_refused():
    with pytest.raises(CannotRender, match="crm_id"):
        render("{crm_id}", {"external_id": "1"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_text_that_is_only_a_placeholder_never_loses_a_type(value):
    rendered = render({"a": ["{value}"]}, {"value": value})["a"][0]
    assert rendered == value
    assert type(rendered) is type(value)


@given(json_values.filter(lambda value: "{" not in json.dumps(value)))
def test_template_without_placeholders_is_itself(template):
    if "**" not in json.dumps(template):
        assert render(template, {}) == template


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (True, "true"), (2.0, "2"), (2.5, "2.5"), ("x", "x"), ([1], "[1]")],
)
def test_values_inside_text(value, text):
    assert render_text("<{value}>", {"value": value}) == f"<{text}>"


@pytest.mark.parametrize(
    ("template", "values", "path"),
    [
        ("/{resource}/{external_id}", {"resource": "t", "external_id": "9999"}, "/t/9999"),
        ("/t/{external_id}", {"external_id": "a/b c?d#e%f"}, "/t/a%2Fb%20c%3Fd%23e%25f"),
        ("/t/{external_id}", {"external_id": "đ:A-z_0.9~"}, "/t/%C4%91%3AA-z_0.9~"),
        ("/t('{external_id}')", {"external_id": "o'neil"}, "/t('o%27neil')"),
        ("/t({crm_id})", {"crm_id": 25}, "/t(25)"),
        ("/a b/đ/{crm_id}", {"crm_id": "x"}, "/a%20b/%C4%91/x"),
        ("/{resource}/{crm_id}", {"resource": "crm/v3/t", "crm_id": 1}, "/crm/v3/t/1"),
        ("/already%20encoded", {}, "/already%20encoded"),
    ],
)
def test_paths_encode_all_but_unreserved_characters_of_ids(template, values, path):
    assert render_path(template, values) == path


@pytest.mark.parametrize("external_id", ["..", ".", ""])
def test_id_that_would_lead_elsewhere_is_refused(external_id):
    with pytest.raises(CannotRender):
        render_path("/tickets/{external_id}", {"external_id": external_id})


def test_dots_inside_a_segment_lead_nowhere():
    assert render_path("/t/x{external_id}", {"external_id": ".."}) == "/t/x.."


@given(st.text(min_size=1).filter(lambda text: text not in (".", "..")))
def test_no_id_adds_a_segment_a_query_or_a_fragment(external_id):
    try:
        path = render_path("/t/{external_id}", {"external_id": external_id})
    except UnicodeEncodeError:
        return  # half a surrogate pair
    assert path.count("/") == 2
    assert not set("?#") & set(path)


@pytest.mark.parametrize(
    ("template", "query"),
    [
        ({"filter[ext][_eq]": "{external_id}"}, "filter%5Bext%5D%5B_eq%5D=a%2Fb"),
        ({"id": ["{crm_id}", "x y"]}, "id=25&id=x%20y"),
        ({"where": {"id": "{crm_id}"}}, "where=%7B%22id%22%3A25%7D"),
        ({"a": None, "b": False, "c": 1.0, "d": ""}, "b=false&c=1&d="),
        ({"$filter": "ext eq '{external_id}'"}, "%24filter=ext%20eq%20%27a%2Fb%27"),
        ({"f": "{fields}"}, "f=%7B%22subject%22%3A%22Hi%22%2C%22n%22%3A1%7D"),
        ({}, ""),
    ],
)
def test_queries(template, query):
    assert render_query(template, VALUES) == query


def test_a_null_in_a_repeated_parameter_is_left_out():
    assert encode_pairs([("a", [1, None, 2])]) == "a=1&a=2"


def test_escape_replaces_in_ids_only_and_once():
    values = {"external_id": "a'b\\", "crm_id": 7, "resource": "it's", "fields": {"x": "'"}}
    escaped = escape_ids(values, {"'": "''", "\\": "\\\\", "a'": "A"})
    assert escaped == {**values, "external_id": "Ab\\\\"}


def test_names_in_finds_placeholders_in_keys_and_values():
    template = {"{resource}": [{"a": "x{crm_id}"}], "b": "{external_id} {other}", "c": 1}
    assert names_in(template) == {"resource", "crm_id", "external_id"}
