"""When the values of a record went out: written down in a few bytes, and read again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from connector.records.state import Delivered, digest, pack_delivered, unpack_delivered

AT = 1_700_000_000_123_456
NAMES = [f"field_{n}" for n in range(8)]
MARKS = {name: digest(name) for name in NAMES}


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30)))
def test_times_come_back_to_the_millisecond(ages: dict[str, int]) -> None:
    times = {name: AT - age * 1_000_000 for name, age in ages.items()}
    told = Delivered(digests=MARKS, times=times, at=AT, exists=True)
    again = unpack_delivered(0, pack_delivered(told))
    assert again.digests == MARKS
    assert {name: at // 1000 for name, at in again.times.items()} == {
        name: at // 1000 for name, at in times.items()
    }


def test_what_was_written_down_before_times_were_counts_as_told_last() -> None:
    told = Delivered(digests={"a": MARKS["field_0"]}, at=AT)
    packed = pack_delivered(told).replace(b'-"', b'"')
    assert unpack_delivered(0, packed).times == {"a": AT}


def test_of_more_times_than_there_are_letters_the_oldest_are_forgotten() -> None:
    marks = {str(n): digest(n) for n in range(60)}
    times = {str(n): AT - n * 1_000_000 for n in range(60)}
    again = unpack_delivered(0, pack_delivered(Delivered(digests=marks, times=times, at=AT)))
    assert again.times.keys() == times.keys()
    assert again.times["0"] == AT
    assert again.times["59"] == again.times["40"]


def test_times_cost_few_bytes() -> None:
    """One delivery: nothing. Eight fields that went out with three: 14 a time, one a field."""
    one = Delivered(digests=MARKS, times=dict.fromkeys(MARKS, AT), at=AT, exists=True)
    without = len(pack_delivered(replace(one, times={}))) - len(MARKS)
    assert len(pack_delivered(one)) == without
    three = {n: AT - (k % 3) * 60_000_000 for k, n in enumerate(NAMES)}
    assert len(pack_delivered(replace(one, times=three))) <= without + 42
