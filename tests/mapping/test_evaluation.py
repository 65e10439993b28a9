"""JMESPath over a document: the specification, and what mappings add to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import jmespath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mapping.evaluation import EvaluationFailed, evaluate
from connector.mapping.expressions import ExpressionInvalid, compile_expression
from connector.mapping.functions import FUNCTIONS, OF_VALUE, Context, FunctionError
from connector.model import Json

CONTEXT = Context(ZoneInfo("Asia/Ho_Chi_Minh"), {"cities": {"hn": "Hà Nội"}}, lambda _: None)


def value(text: str, document: Json = None) -> Any:
    return evaluate(compile_expression(text), document, CONTEXT)


def failure(text: str, document: Json = None) -> EvaluationFailed:
    with pytest.raises(EvaluationFailed) as caught:
        value(text, document)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b", 1),
        ("a.b.c", None),
        ("nothing.at.all", None),
        ('"odd.name"', 2),
        ('a."b"', 1),
        ("list[0].x", 1),
        ("list[-1].x", 3),
        ("list[9]", None),
        ("list[*].x", [1, 2, 3]),
        ("list[?x > `1`].x", [2, 3]),
        ("list[1:].x", [2, 3]),
        ("list[].x | [0]", 1),
        ("a.*", [1]),
        ("a || list", {"b": 1}),
        ("nothing || 'x'", "x"),
        ("!nothing", True),
        ("nothing && a", None),
        ("{p: a.b, q: list[0].x}", {"p": 1, "q": 1}),
        ("[a.b, nothing]", [1, None]),
        ("@.a.b", 1),
        ("'raw'", "raw"),
        ('`{"a": [1]}`', {"a": [1]}),
        ("length(list)", 3),
        ("sort_by(list, &x)[-1].x", 3),
        ("map(&x, list)", [1, 2, 3]),
        ("text.b", None),
    ],
)
def test_expressions_mean_what_jmespath_says(text: str, expected: Json) -> None:
    document = {
        "a": {"b": 1},
        "odd.name": 2,
        "list": [{"x": 1}, {"x": 2}, {"x": 3}],
        "text": "t",
    }
    assert value(text, document) == expected


@pytest.mark.parametrize(
    "text",
    [
        "abs(n)",
        "avg(n)",
        "ceil(n)",
        "contains(n, 'a')",
        "ends_with(n, 'a')",
        "ends_with('a', n)",
        "floor(n)",
        "join(',', n)",
        "join(n, l)",
        "keys(n)",
        "length(n)",
        "map(&a, n)",
        "max(n)",
        "max_by(n, &a)",
        "merge(n)",
        "merge(o, n)",
        "min(n)",
        "min_by(n, &a)",
        "reverse(n)",
        "sort(n)",
        "sort_by(n, &a)",
        "starts_with(n, 'a')",
        "sum(n)",
        "values(n)",
        "to_number(n)",
    ],
)
def test_null_into_a_function_that_cannot_take_it_gives_null(text: str) -> None:
    assert value(text, {"l": ["a"], "o": {}}) is None


@pytest.mark.parametrize(
    "text",
    ["join(', ', [a, n])", "sum([`1`, n])", "max([n, a])", "sort([a, n])", "sort_by(l, &n)"],
)
def test_null_among_elements_gives_null_too(text: str) -> None:
    assert value(text, {"a": "x", "l": [{"a": 1}, {"a": 2}]}) is None


def test_functions_that_can_take_null_get_it() -> None:
    assert value("to_array(n)") == [None]
    assert value("type(n)") == "null"
    assert value("to_string(n)") == "null"
    assert value("not_null(n, 'x')") == "x"
    assert value("contains(l, n)", {"l": [1, None]}) is True


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("length(a)", "length() found the number 5; right would be a text or a list or an object"),
        ("join(',', b)", "right would be a list of texts"),
        ("merge(`{}`, b)", "right would be an object"),
        ("sum(c)", 'sum() found the text "x"'),
        ("abs('x')", "right would be a number"),
        ("timestamp(a, `5`)", "timestamp()"),
        ("integer('12.5')", "integer()"),
        ("lookup(d, 'x')", "lookup()"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(text: str, said: str) -> None:
    error = failure(text, {"a": 5, "b": [1], "c": [1, "x"], "d": "nowhere"})
    assert said in error.message


def test_failure_knows_the_function_in_the_expression() -> None:
    assert failure("concat('x', number(a))", {"a": "b"}).offset == len("concat('x', ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("`1` == `true`", False),
        ("`0` == `false`", False),
        ("`[1]` == `[true]`", False),
        ('`{"a": 0}` == `{"a": false}`', False),
        ("`1` == `1.0`", True),
        ("`[1]` == `[1.0]`", True),
        ('`{"a": 1, "b": 2}` == `{"b": 2, "a": 1}`', True),
        ("`1` != `true`", True),
        ("'1' == `1`", False),
        ("'1' < `2`", None),
        ("`1` < 'a'", None),
        ("'a' < 'b'", True),
        ("`1` < `2`", True),
        ("`true` < `2`", None),
        ("nothing < `2`", None),
        ("contains(`[1]`, `true`)", False),
        ("contains('abc', `1`)", False),
        ("contains('abc', 'b')", True),
    ],
)
def test_types_count_in_comparisons(text: str, expected: bool | None) -> None:
    assert value(text, {}) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("12.5", 12.5),
        ("-1e3", -1000.0),
        ("nan", None),
        ("Infinity", None),
        ("1_000", None),
        ("１", None),
        ("1e999", None),
        ("", None),
        ("0x10", None),
    ],
)
def test_to_number_reads_numbers_that_json_has(text: str, expected: float | None) -> None:
    assert value("to_number(@)", text) == expected


def test_to_number_keeps_integers_of_any_length() -> None:
    assert value("to_number(@)", "1" * 400) == int("1" * 400)
    assert value("to_number(@)", int("1" * 400)) == int("1" * 400)


def test_to_string_keeps_letters() -> None:
    assert value("to_string(@)", {"tên": "Đà Nẵng"}) == '{"tên":"Đà Nẵng"}'


@pytest.mark.parametrize("text", ["sum(@)", "avg(@)"])
def test_numbers_too_large_for_json_are_an_error(text: str) -> None:
    assert failure(text, [1e308, 1e308])


def test_arithmetic_that_python_cannot_do_is_an_error() -> None:
    assert failure("avg(@)", [int("9" * 400), 1])


def test_join_makes_no_text_out_of_proportion() -> None:
    assert failure("join(a, b)", {"a": "x" * 10_000, "b": ["y"] * 2_000})


def test_our_functions_are_called_with_tables_and_zone() -> None:
    assert value("lookup('cities', 'hn')", {}) == "Hà Nội"
    assert value("date(@)", 1713200399000) == "2024-04-15"
    assert value("custom(@, 'f')", [{"field": "f", "type": 1, "value": "2"}]) == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "b", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)

expressions = st.recursive(
    st.sampled_from(["a", "b", "c", "@", "'a'", "`1`", "`null`", "a.b", "a[0]", "b[*].c", "*.a"]),
    lambda inner: st.one_of(
        st.builds("{} || {}".format, inner, inner),
        st.builds("{} && {}".format, inner, inner),
        st.builds("({}) | {}".format, inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{x: {}}}".format, inner),
        st.builds("!({})".format, inner),
        st.builds("a[?{}]".format, inner),
        st.builds("({})[]".format, inner),
        st.builds("({})[1:]".format, inner),
        st.builds("to_array({})".format, inner),
        st.builds("type({})".format, inner),
        st.builds("not_null({}, {})".format, inner, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(expressions, json_values)
def test_it_agrees_with_the_library(text: str, document: Json) -> None:
    assert value(text, document) == jmespath.search(text, document)


CALLS = """
    abs avg ceil contains ends_with floor join keys length max merge min reverse sort sum values
    to_number to_string timestamp date number integer boolean string id text html_clean phone
    email custom custom_id custom_all lower upper trim slug default coalesce concat hash
"""


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(CALLS.split()),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3),
    json_values,
)
def test_a_function_gives_json_or_fails_by_its_own_error(
    name: str, arguments: list[str], document: Json
) -> None:
    try:
        found = value(f"{name}({', '.join(arguments)})", document)
    except (ExpressionInvalid, EvaluationFailed):
        return
    assert not isinstance(found, float) or math.isfinite(found)
    assert isinstance(found, (str, int, float, list, dict, type(None)))


OF_ONE_VALUE = [n for n, f in FUNCTIONS.items() if f.call in OF_VALUE and f.min_args == 1]


@pytest.mark.parametrize("name", OF_ONE_VALUE)
@pytest.mark.parametrize("given", [None, "", " ", "a@b.vn", "0", 0, 7, 1.5, True, [], ["a"], {}])
def test_a_function_of_one_value_is_called_alike_either_way(name: str, given: Json) -> None:
    """Compiled into an expression it takes a shorter way than when it is called by its entry."""
    function = FUNCTIONS[name]

    def told(call: Callable[[], Json]) -> Json:
        try:
            return call()
        except (EvaluationFailed, FunctionError) as error:
            return [str(error)]

    expected = told(lambda: function.call(CONTEXT, [given]))
    assert told(lambda: value(f"{name}(x)", {"x": given})) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", {"b": {"c": [1]}}),
        ("a.b", {"c": [1]}),
        ("a.b.c", [1]),
        ("a.b.c.d", None),
        ("x.y", None),
    ],
)
def test_a_path_of_any_length(text: str, expected: Json) -> None:
    assert value(text, {"a": {"b": {"c": [1]}}}) == expected
    assert value(text, [1]) is None
