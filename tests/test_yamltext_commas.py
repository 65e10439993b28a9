"""An expression with commas in braces and no quotes: YAML cuts it, and the message says so."""

from __future__ import annotations

import pytest

from connector.errors import Invalid
from connector.model import Problem
from connector.yamltext import load_text


def problems(text: str, *, quote: bool = True) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        load_text(text, "t.yaml", quote=quote)
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "column", "written"),
    [
        ("{from: concat(a, b)}", 8, "concat(a, b)"),
        ("{from: concat(a, b), write: always}", 8, "concat(a, b)"),
        ("{ref: c, id: coalesce(a, b), missing: later}", 14, "coalesce(a, b)"),
        ("{from: f(a, g(b, c)), y: 1}", 8, "f(a, g(b, c))"),
        ("{from: f(a, b, b)}", 8, "f(a, b, b)"),
        ("{from: custom(t.f, 'x')}", 8, "custom(t.f, 'x')"),
        ("{from: timestamp(a, '%Y', 'UTC'), write: always}", 8, "timestamp(a, '%Y', 'UTC')"),
        ("{from: hash([a, b])}", 8, "hash([a, b])"),
        ("{from: lookup('c', x), values: {a: b}}", 8, "lookup('c', x)"),
        ("{from: concat(a, b}", 8, "concat(a, b"),
        ("{from: f(\n  a,\n  b)}", 8, "f( a, b)"),
    ],
)
def test_a_call_in_braces_needs_quotes(text: str, column: int, written: str) -> None:
    (problem,) = problems(text)
    assert "cut at its first comma" in problem.message
    assert problem.hint == f'a text with a comma inside {{}} needs quotes: "{written}"'
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == (1, column)


def test_within_brackets_the_brackets_are_named() -> None:
    (problem,) = problems("[concat(a, 'b')]")
    assert problem.hint == "a text with a comma inside [] needs quotes: \"concat(a, 'b')\""


def test_each_call_is_told() -> None:
    found = problems("{a: {from: f(a, b)}, b: {from: g(c, d)}, c: {from: h(e, k)}}")
    assert [problem.place.column for problem in found if problem.place] == [12, 32, 52]


def test_secrets_stay_out_of_the_message() -> None:
    for text in ("{from: concat(a, b)}", "{from: custom(t.f, 'x')}"):
        (problem,) = problems(text, quote=False)
        assert problem.hint == "a text with a comma inside {} needs quotes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{a b}", "'a b' has no value"),
        ("{a: b(c), d}", "'d' has no value"),
        ("{a: b, c}", "'c' has no value"),
        ('{from: "a" b}', "after the closing"),
        ("{a: 'f(', b}", "'b' has no value"),
    ],
)
def test_other_mistakes_keep_their_message(text: str, message: str) -> None:
    assert message in problems(text)[0].message


@pytest.mark.parametrize("text", ['{from: "concat(a, b)"}', "{a: f(x), b: g(y)}", "a: f(x, y)"])
def test_good_texts_stay_good(text: str) -> None:
    assert load_text(text, "t.yaml")[0].data
