"""The texts with a form of their own."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.config.grammar import (
    PlaceUnreadable,
    address_issue,
    expression_issue,
    is_placeholder,
    mentions,
    method_issue,
    parse_at,
    parse_rate,
    template_issues,
)
from connector.config.model import Expression, Step
from connector.config.resources import reading


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("", None, "empty"),
        ("a b", 2, "'b' does not fit here"),
        ("a[", 2, "ends early"),
        ("a.", 2, "ends early"),
        ("a-b", 1, "unknown token '-'"),
        ("'abc", 0, "unclosed ' delimiter"),
        ("x.foo(a)", 2, ""),
        ("foo(a)", 0, "unknown function foo()"),
        ("a || max_by(b)", 5, "max_by() takes 2, not 1"),
        ("(" * 5000, None, "not JMESPath"),
    ],
)
def test_expression_that_does_not_compile(text, offset, words):
    issue = expression_issue(text)
    assert issue is not None
    assert words in issue.message
    assert issue.offset == offset


@pytest.mark.parametrize(
    "text", ["@", "!error", "data.id", "a[?b=='c'] | [0]", "not_null(a, b, c)", "a[0:2].{b: c}"]
)
def test_expression_that_compiles(text):
    assert expression_issue(text) is None
    assert Expression(text).text == text


def test_expression_finds_and_compares_by_its_text():
    assert Expression("a.b").search({"a": {"b": 1}}) == 1
    assert Expression("a.b") == Expression("a.b")
    assert repr(Expression("a.b")) == "Expression(text='a.b')"


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("/{resource}/{external_id}", []),
        ("{Upper} {two words} {} {1} {{external_id}}", []),
        ("{fields}", ["{fields} has no meaning here"]),
        ("a {externalid} {xyz}", ["unknown placeholder {externalid}", "unknown placeholder {xyz}"]),
        ("${xyz} is literal, ${value} is not", ["{value} has no meaning here"]),
    ],
)
def test_placeholders_of_a_template(text, wrong):
    issues = list(template_issues(text, ("external_id", "resource")))
    assert [issue.message for issue in issues] == wrong
    for issue in issues:
        assert text[issue.offset] == "{"


def test_hint_of_an_unknown_placeholder():
    (near,) = template_issues("{externalid}", ("external_id",))
    (far,) = template_issues("{xyz}", ("external_id", "resource"))
    assert near.hint == "did you mean {external_id}?"
    assert far.hint == "usable here: {external_id}, {resource}"


def test_mentions_looks_everywhere():
    body = {"a": [{"{crm_id}": "x{value}"}], "b": 5}
    assert mentions(body, "crm_id")
    assert mentions(body, "value")
    assert not mentions(body, "fields")
    assert is_placeholder("{fields}")
    assert not is_placeholder("x{fields}")
    assert not is_placeholder("{nothing}")


@pytest.mark.parametrize(
    "text", ["", "20", "/s", "20/", "x/s", "20/10", "0/s", "1/0s", "-1/s", "1.5/s"]
)
def test_no_rate(text):
    assert parse_rate(text) is None


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("", 0),
        ("a.", 2),
        (".a", 0),
        ("a[b]", 1),
        ("a[=b]", 1),
        ('"a', 0),
        ("a]", 1),
        ("a.b c[", 5),
        ('"a\\x"', 5),
    ],
)
def test_place_that_cannot_be_read(text, offset):
    with pytest.raises(PlaceUnreadable) as caught:
        parse_at(text)
    assert caught.value.offset == offset


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('ab."[]= \\4đ`'), max_size=12))
def test_place_that_is_read_can_be_read_from_a_record(text):
    try:
        steps = parse_at(text)
    except PlaceUnreadable:
        return
    assert steps
    assert all(isinstance(step, Step) for step in steps)
    assert reading(steps).search({}) is None


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20) | st.text(st.sampled_from("h:/[]@.?1 "), max_size=12))
def test_nothing_but_an_issue_comes_of_any_address_or_expression(text):
    for prefix in ("", "http://", "redis://"):
        address_issue(prefix + text, ("http", "redis"))
    issue = expression_issue(text)
    assert issue is None or issue.message
    assert method_issue("get") is None
