"""JSON values compared, as text, and as constants."""

from __future__ import annotations

from typing import Any

import pytest

from connector.mapping.values import is_zero, same, scalar_text, why_not_json


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), ([1], [1.0]), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), (None, None), ((1,), [1])],
)
def test_equal_json_is_the_same(one: Any, other: Any) -> None:
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, True),
        (0, False),
        ([1], [True]),
        ({"a": 0}, {"a": False}),
        ("1", 1),
        (None, False),
        (None, 0),
        ([], {}),
        ([1], [1, 2]),
        ({"a": 1}, {"b": 1}),
        ({"a": None}, {}),
    ],
)
def test_unequal_json_is_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"),
        (1, "1"),
        (12.0, "12"),
        (-0.0, "0"),
        (0.5, "0.5"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_scalars_have_a_text(value: Any, text: str) -> None:
    assert scalar_text(value) == text


@pytest.mark.parametrize("value", [None, [], {}, ["a"]])
def test_nothing_else_has_one(value: Any) -> None:
    assert scalar_text(value) is None


def test_false_is_not_zero() -> None:
    assert is_zero(0)
    assert is_zero(-0.0)
    assert not is_zero(False)
    assert not is_zero("0")


@pytest.mark.parametrize("value", [None, "đ", [1, {"a": 2.5}], {"a": [True]}, 10**30])
def test_json_is_json(value: Any) -> None:
    assert why_not_json(value) is None


@pytest.mark.parametrize("value", [float("nan"), [float("inf")], {"a": "\ud800"}, {"\udfff": 1}])
def test_what_json_does_not_have_is_told(value: Any) -> None:
    assert why_not_json(value)


def test_endless_nesting_is_told() -> None:
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    assert "deeper" in str(why_not_json(deep))
