"""What is written as YAML is read back the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.model import Json
from connector.yamltext import load_text
from connector.yamlwrite import line, to_yaml

ODD = (
    *("no", "null", "~", "1", "0o17", "0x1f", "1e3", ".5", "1_000", "12:30", "2024-01-01", ""),
    *("- a", "a: b", "# a", "<<", "*a", "&a", "!a", "{a}", "'", '"', "=", "true", "+84912345678"),
    *("a\nb", "a\n\n b\n", " a", "a ", "\r", "\u2028", "\x85", "\ufeff", "é", "😀", "a" * 200),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.sampled_from(ODD)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=3), st.integers(1, 6))
def test_data_comes_back_the_same(data: list[Json], indent: int) -> None:
    text = "x:\n" + to_yaml(data, indent)
    (document,) = load_text(text, "t.yaml")
    assert document.data == {"x": data}
    assert repr(document.data) == repr({"x": data})


@settings(max_examples=150, deadline=None)
@given(TEXTS.filter(lambda text: len(text) < 150), TEXTS)
def test_a_line_comes_back_the_same(key: str, value: str) -> None:
    written = line(key, value)
    assert "\n" not in written
    (document,) = load_text(written, "t.yaml")
    assert document.data == {key: value}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("custom(a.b, 'c')", "x: custom(a.b, 'c')"),
        ("a || b", "x: a || b"),
        ("[a, b]", "x: '[a, b]'"),
        ("+84912345678", 'x: "+84912345678"'),
    ],
)
def test_only_what_needs_quotes_has_them(value: str, written: str) -> None:
    assert line("x", value) == written


def test_small_things_stand_on_one_line() -> None:
    data = [{"name": "n", "event": {"a": {"b": 1, "c": [2]}}, "expect": [{"id": "7"}]}]
    assert to_yaml(data, 2) == (
        "  - name: n\n"
        "    event:\n"
        "      a:\n"
        "        b: 1\n"
        "        c: [2]\n"
        "    expect:\n"
        '      - id: "7"\n'
    )
