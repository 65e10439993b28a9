"""What is found wrong with an expression before any event comes, and where in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mapping.expressions import (
    MAX_DEPTH,
    MAX_LENGTH,
    ExpressionInvalid,
    compile_expression,
    function_names,
)


def wrong(text: str) -> ExpressionInvalid:
    with pytest.raises(ExpressionInvalid) as caught:
        compile_expression(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "offset", "said"),
    [
        ("ticket.", 7, "too early"),
        ("ticket.a b", 9, "unexpected 'b'"),
        ("custom(a, 'b'", 13, "too early"),
        ("custom(a, 'b))", 10, "' is opened but not closed"),
        ('a."b', 2, '" is opened but not closed'),
        ("a == `[1", 5, "` is opened but not closed"),
        ('a == `"\\x"`', 5, "not JSON"),
        ("a = 'b'", 2, "unexpected '='"),
        ("a-b", 1, "unexpected '-'"),
        ("ticket.tên", 8, "unexpected 'ê'"),
        ("$.a", 0, "unexpected '$'"),
        ("a + b", 2, "unexpected '+'"),
        ("a)", 1, "unexpected ')'"),
        ("[a, b", 5, "too early"),
        ("{a: b c: d}", 6, "unexpected 'c'"),
        ("a[?b == 'c'", 11, "too early"),
        ("a..b", 2, "unexpected '.'"),
        ("", 0, "empty"),
        (" \n", 0, "empty"),
        ('a."\\x"', 2, "cannot be read"),
        ('a || "custom"(b)', 5, "double quotes"),
        ("(custom)(a, 'b')", 7, "unexpected ')'"),
        ("concat(a 'b')", 9, "unexpected"),
        ("concat(a,)", 9, "unexpected ')'"),
        ("a[0", 3, "too early"),
        ("a[1:2:3:4]", 7, "unexpected ':'"),
        ("a[::0]", 0, "steps of 0"),
        ("a[x]", 2, "unexpected 'x'"),
    ],
)
def test_bad_syntax_is_told_with_the_character(text: str, offset: int, said: str) -> None:
    error = wrong(text)
    assert said in error.message
    assert error.offset == offset


def test_what_was_probably_meant_is_told() -> None:
    assert "==" in wrong("a = 'b'").hint
    assert '"a-b"' in wrong("a-b").hint
    assert "concat" in wrong("a + b").hint
    assert "double quotes" in wrong("ticket.tên").hint


@pytest.mark.parametrize(
    ("text", "offset", "hint"),
    [
        ("concat(fone(a), b)", 7, "did you mean 'phone'?"),
        ("a.b | timestmp(@)", 6, "did you mean 'timestamp'?"),
        ("items[?start_with(x, 'a')]", 7, "did you mean 'starts_with'?"),
        ("a[*].{b: uper(c)}", 9, "did you mean 'upper'?"),
    ],
)
def test_unknown_function_is_told_with_its_place_and_the_nearest(
    text: str, offset: int, hint: str
) -> None:
    error = wrong(text)
    assert "there is no function" in error.message
    assert (error.offset, error.hint) == (offset, hint)


@pytest.mark.parametrize(
    ("text", "offset", "hint"),
    [
        ("phone()", 0, "it takes 1 to 2 arguments: phone(x, region?)"),
        ("a || phone(b, 'VN', c)", 5, "it takes 1 to 2 arguments: phone(x, region?)"),
        ("custom(a)", 0, "it takes 2 to 3 arguments: custom(fields, key, separator?)"),
        ("concat()", 0, "it takes at least 1 argument: concat(a, b, …)"),
        ("hash(a, b)", 0, "it takes 1 argument: hash(x)"),
        ("length(a, b)", 0, "it takes 1 argument"),
        ("join(a)", 0, "it takes 2 arguments"),
        ("not_null()", 0, "it takes at least 1 argument"),
        ("merge()", 0, "it takes at least 1 argument"),
    ],
)
def test_wrong_number_of_arguments_is_told(text: str, offset: int, hint: str) -> None:
    error = wrong(text)
    assert "is given" in error.message
    assert (error.offset, error.hint) == (offset, hint)


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("&a", 0),
        ("[a, &b]", 4),
        ("concat(&a)", 7),
        ("map(&a, &b)", 8),
        ("map(a, b)", 0),
        ("x || sort_by(a, b)", 5),
        ("not_null(&a)", 9),
    ],
)
def test_expression_references_stand_only_where_a_function_takes_one(
    text: str, offset: int
) -> None:
    assert wrong(text).offset == offset


@pytest.mark.parametrize("text", ["`NaN`", "`[Infinity]`", "`1e999`", '`"\\ud800"`', '"\\ud800"'])
def test_constants_that_json_does_not_have_are_refused(text: str) -> None:
    assert "cannot be sent" in wrong(text).message


def test_length_is_bounded() -> None:
    compile_expression("a" * MAX_LENGTH)
    assert "characters" in wrong("a" * (MAX_LENGTH + 1)).message


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1900 + "a" + ")" * 1900,
        "[" * 1900 + "a" + "]" * 1900,
        "!" * 3900 + "a",
        " || ".join(["a"] * (MAX_DEPTH + 2)),
        "lower(" * 400 + "a" + ")" * 400,
        "`" + "[" * 1900 + "]" * 1900 + "`",
        "{a:" * 900 + "b" + "}" * 900,
    ],
)
def test_deep_nesting_is_an_error_and_no_crash(text: str) -> None:
    error = wrong(text)
    assert "nested" in error.message or "repeat" in error.message


def test_reasonable_nesting_compiles() -> None:
    compile_expression("(" * 20 + "a" + ")" * 20)
    compile_expression(" || ".join(f"a{number}" for number in range(40)))
    compile_expression("coalesce(" + ", ".join(f"a{number}" for number in range(100)) + ")")


@pytest.mark.parametrize(
    "text",
    [
        " | ".join(["[@, @]"] * 20),
        " | ".join(["concat(@, @)"] * 20),
        " | ".join(["[@, @][]"] * 20),
        " | ".join(["to_string([@])"] * 10),
        " | ".join(["{a: @, b: @}"] * 20),
        "concat(concat(a, a, a, a), a) == b || " + " | ".join(["concat(@, @)"] * 15),
    ],
)
def test_an_expression_that_grows_with_every_step_is_refused(text: str) -> None:
    assert "repeat" in wrong(text).message


def test_expressions_that_differ_in_blanks_have_one_shape() -> None:
    one, other = (
        compile_expression("a.b||concat(c,'d e')"),
        compile_expression("a . b || concat( c, 'd e' )"),
    )
    assert one.shape == other.shape
    assert one.shape != compile_expression("a.b||concat(c,'de')").shape


def test_first_names_are_those_looked_for_in_the_document_itself() -> None:
    expression = compile_expression(
        "concat(item.name, list[?index == `1`].item | [0], map(&item, x), b.item)"
    )
    assert expression.first_names() == {"item", "list", "x", "b"}


@pytest.mark.parametrize(
    ("text", "suspects"),
    [
        ('custom(ticket.addition_fields, "addition_field2")', ["addition_field2"]),
        ('a == "new"', ["new"]),
        ("custom(a, 'b')", []),
        ('"a"', []),
        ('concat(a."b", c)', []),
        ('concat(a, "odd name")', []),
        ('{a: "b"}', []),
    ],
)
def test_texts_in_the_wrong_quotes_are_suspected(text: str, suspects: list[str]) -> None:
    assert [name for name, _ in compile_expression(text).suspects] == suspects


def test_both_kinds_of_functions_can_be_called() -> None:
    assert {"phone", "custom", "hash", "length", "sort_by", "to_array"} <= set(function_names())


@pytest.mark.filterwarnings("ignore:deprecated string literal syntax")
@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from(list("ab.[]{}()*&|!<>=@,:'\"`\\ 0-é?\n"))))
def test_any_text_compiles_or_is_refused_with_a_place_in_it(text: str) -> None:
    offset = 0
    try:
        compile_expression(text)
    except ExpressionInvalid as error:
        offset = error.offset
    assert 0 <= offset <= len(text)
