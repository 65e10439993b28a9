"""Texts are those of `json.dumps`, and what it refuses is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from json import encoder
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector import compact

WAYS: list[dict[str, bool]] = [
    {},
    {"ascii_only": True},
    {"nan": False},
    {"in_order": True},
    {"spaced": True},
    {"ascii_only": True, "spaced": True},
]


def by_json(
    value: Any,
    *,
    ascii_only: bool = False,
    nan: bool = True,
    in_order: bool = False,
    spaced: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ascii_only,
        allow_nan=nan,
        sort_keys=in_order,
        separators=None if spaced else (",", ":"),
    )


def said(make: Callable[[Any], str], value: Any) -> str:
    try:
        return make(value)
    except (TypeError, ValueError) as error:
        return type(error).__name__


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@pytest.mark.parametrize("way", WAYS)
@given(value=VALUES)
@settings(max_examples=50, deadline=None)
def test_any_value_is_written_as_json_does(way: dict[str, bool], value: Any) -> None:
    assert said(compact.writer(**way), value) == said(lambda v: by_json(v, **way), value)


@pytest.mark.parametrize("value", [date(2024, 1, 1), {date(2024, 1, 1): 1}, {1, 2}, b"x", object])
def test_what_json_has_no_words_for_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        compact.write(value)


@given(value=VALUES.filter(lambda value: value == value))
def test_what_was_written_is_read(value: Any) -> None:
    text = by_json(value)
    assert repr(compact.read(text)) == repr(json.loads(text))
    data = text.encode("utf-8", "surrogatepass")
    assert repr(compact.read(data)) == repr(json.loads(data))


@pytest.mark.parametrize("made", [None, lambda *_: lambda *_: ["other"], lambda: None])
def test_without_c_json_does_it_all(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(encode_basestring=encoder.encode_basestring)
    if made is not None:
        module.c_make_encoder = made
    monkeypatch.setattr(compact, "python", module)
    assert compact.writer()({"a": ["ă", 1]}) == '{"a":["ă",1]}'
