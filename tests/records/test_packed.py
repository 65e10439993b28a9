"""Both halves of a record are written down without the names, and read the same."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.model import Json, Ref, Write
from connector.records.packed import (
    Packed,
    pack_delivered,
    pack_merged,
    shape_key,
    unpack_delivered,
    unpack_link,
    unpack_merged,
)
from connector.records.shapes import Shape, ShapeMissing
from connector.records.state import (
    Cell,
    Dead,
    Delivered,
    Element,
    Merged,
    Stamp,
    canonical,
    digest,
)

_texts = st.one_of(
    st.sampled_from(["", "a", "đơn hàng", '"\\\n\0', "[{", "z", "j"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
_values: st.SearchStrategy[Json] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), _texts),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(_texts, inner, max_size=3)
    ),
    max_leaves=6,
)
_stamps = st.builds(
    Stamp,
    st.booleans(),
    st.integers(0, 2**53),
    st.text("0123456789abcdef", min_size=1, max_size=20),
    st.integers(0, 99),
    st.integers(0, 10**9),
)
_micros = st.integers(0, 4 * 10**15)
_digests = st.one_of(_values, st.integers()).map(digest)


@st.composite
def _merged(draw: st.DrawFn) -> Merged:
    """Fields of a few stamps, with every kind of value."""
    stamps = draw(st.lists(_stamps, min_size=1, max_size=4, unique=True))
    one = st.sampled_from(stamps)
    elements = st.lists(st.builds(Element, _values, st.booleans(), one), max_size=3).map(
        lambda words: {canonical(word.value): word for word in words}
    )
    references = st.builds(
        Ref, _texts, _texts, missing=st.sampled_from(["later", "create", "error", "null"])
    )
    rules, writes = st.integers(0, 400), st.sampled_from(get_args(Write))
    cells = st.one_of(
        st.builds(Cell, st.one_of(_values, references), one, rules),
        st.builds(Cell, st.one_of(_values, references), one, rules, writes),
        st.builds(Cell, st.lists(_values, max_size=3), one, rules, writes, elements),
        st.builds(Cell, st.just([]), st.none(), rules, writes, elements.filter(bool)),
    )
    fields = draw(st.dictionaries(_texts, cells, max_size=draw(st.sampled_from([3, 20]))))
    floor = draw(st.one_of(st.none(), st.none(), one))
    if draw(st.sampled_from([False] * 5 + [True])):
        return Merged({}, draw(one), floor)
    return Merged(fields, None, floor)


@st.composite
def _delivered(draw: st.DrawFn) -> Delivered:
    """What a record may have been told, with everything that can go wrong."""
    digests = draw(st.dictionaries(_texts, _digests, max_size=20))
    at = draw(_micros)
    dead = st.builds(Dead, _texts, st.one_of(st.none(), st.integers()), _values, _micros, _counts)
    timed = draw(st.lists(st.sampled_from(sorted(digests)), unique=True)) if digests else []
    times = dict.fromkeys(digests, at)
    if draw(st.booleans()):
        times = {name: draw(st.sampled_from([at, 1_000, 2_000, 3_000])) for name in timed}
    return Delivered(
        draw(_counts),
        digests,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.one_of(st.none(), _texts, st.integers())),
        draw(_counts),
        draw(_counts),
        draw(_texts),
        draw(_micros),
        at,
        draw(st.one_of(st.none(), dead)),
        tuple(draw(st.lists(_texts, max_size=2))),
        draw(st.booleans()),
        draw(_values),
        draw(st.dictionaries(_texts, _texts, max_size=3)),
        draw(_texts),
        times,
    )


_counts = st.integers(0, 2**31)


def known(packed: Packed) -> Mapping[bytes, Shape]:
    shape = packed[1]
    return {shape.key: shape} if shape else {}


@given(_merged())
@settings(max_examples=200, deadline=None)
def test_what_the_sources_say_reads_the_same(merged: Merged) -> None:
    packed = pack_merged(merged)
    again = unpack_merged(packed[0], known(packed))
    assert again == merged
    serials = [cell.stamp and cell.stamp.serial for _, cell in sorted(again.fields.items())]
    assert serials == [c.stamp and c.stamp.serial for _, c in sorted(merged.fields.items())]


@given(_delivered())
@settings(max_examples=200, deadline=None)
def test_what_the_crm_was_told_reads_the_same(told: Delivered) -> None:
    packed = pack_delivered(told)
    again = unpack_delivered(told.generation, packed[0], known(packed))
    assert replace(again, times={}) == replace(told, times={})
    assert {name: at // 1000 for name, at in again.times.items()} == {
        name: at // 1000 for name, at in told.times.items()
    }
    assert unpack_link(packed[0], known(packed)) == (told.exists, told.link)


@given(_merged(), st.randoms())
@settings(max_examples=100, deadline=None)
def test_fields_that_came_in_another_order_take_no_other_shape(merged: Merged, dice: Json) -> None:
    names = list(merged.fields)
    dice.shuffle(names)
    told = Delivered(digests={name: digest(name) for name in merged.fields})
    other = replace(merged, fields={name: merged.fields[name] for name in names})
    other_told = replace(told, digests={name: told.digests[name] for name in names})
    assert pack_merged(other)[1] == pack_merged(merged)[1]
    assert pack_delivered(other_told) == pack_delivered(told)


def test_a_half_says_which_shape_it_needs() -> None:
    stamp = Stamp(False, 1, "e", 1, 1)
    small = pack_merged(Merged({"a": Cell(1, stamp, 3)}))
    large = pack_merged(Merged({"a": Cell("x" * 500, stamp, 3)}))
    told = pack_delivered(Delivered(digests={"a": digest(1)}))
    for half, shape in (small, large, told):
        assert shape
        assert shape_key(half) == shape.key
    nameless = (pack_merged(Merged(deleted=stamp)), pack_delivered(Delivered(exists=True)))
    for half, shape in nameless:
        assert shape is None
        assert shape_key(half) is None


def test_names_stand_in_neither_half() -> None:
    names = [f"field_{n}" for n in range(15)]
    merged = pack_merged(Merged({n: Cell("v", Stamp(False, 1, "e", 1, 1), 3) for n in names}))
    told = pack_delivered(Delivered(digests={n: digest(n) for n in names}))
    for half, shape in (merged, told):
        body = zlib.decompress(half[9:], -15) if half[:1] == b"z" else half
        assert b"field" not in body
        assert shape
        assert set(shape.names) == set(names)


def test_a_field_that_the_crm_was_told_takes_six_bytes() -> None:
    def size(count: int) -> int:
        marks = {str(n): digest(n) for n in range(count)}
        told = Delivered(digests=marks, times=dict.fromkeys(marks, 10**15), at=10**15)
        return len(pack_delivered(told)[0])

    assert size(40) - size(15) == 25 * 6


def test_what_is_no_digest_is_not_kept_as_one() -> None:
    with pytest.raises(ValueError, match="8 letters"):
        pack_delivered(Delivered(digests={"a": "abcd"}))


def test_a_shape_that_is_missing_or_another_is_an_error() -> None:
    stamp = Stamp(False, 1, "e", 1, 1)
    merged, shape = pack_merged(Merged({"a": Cell(1, stamp, 3), "b": Cell(1, stamp, 4)}))
    told, told_shape = pack_delivered(Delivered(digests={"a": digest(1), "b": digest(2)}))
    assert shape
    assert told_shape
    with pytest.raises(ShapeMissing, match=shape.key.hex()):
        unpack_merged(merged, {})
    with pytest.raises(ShapeMissing, match=told_shape.key.hex()):
        unpack_delivered(1, told, {})
    shorter = replace(shape, names=shape.names[:1], rules=shape.rules[:1])
    with pytest.raises(ValueError, match="zip"):
        unpack_merged(merged, {shape.key: shorter})
