"""When the values of a record went out: written down in a few bytes, and read again."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from connector.records.packed import pack_delivered, unpack_delivered
from connector.records.state import Delivered, digest

AT = 1_700_000_000_123_456
NAMES = [f"field_{n}" for n in range(8)]
MARKS = {name: digest(name) for name in NAMES}


def again(told: Delivered) -> Delivered:
    half, shape = pack_delivered(told)
    return unpack_delivered(told.generation, half, {shape.key: shape} if shape else {})


def size(told: Delivered) -> int:
    return len(pack_delivered(told)[0])


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 30)))
def test_times_come_back_to_the_millisecond(ages: dict[str, int]) -> None:
    times = {name: AT - age * 1_000_000 for name, age in ages.items()}
    told = again(Delivered(digests=MARKS, times=times, at=AT, exists=True))
    assert told.digests == MARKS
    assert {name: at // 1000 for name, at in told.times.items()} == {
        name: at // 1000 for name, at in times.items()
    }


def test_of_more_times_than_there_are_letters_the_oldest_are_forgotten() -> None:
    marks = {str(n): digest(n) for n in range(60)}
    times = {str(n): AT - n * 1_000_000 for n in range(60)}
    told = again(Delivered(digests=marks, times=times, at=AT))
    assert told.times.keys() == times.keys()
    assert told.times["0"] == AT
    assert told.times["59"] == told.times["40"]


def test_times_cost_few_bytes() -> None:
    """One delivery: nothing. Fields that went out with three: 14 a time, one a field."""
    one = Delivered(digests=MARKS, times=dict.fromkeys(MARKS, AT), at=AT, exists=True)
    label = len(',"L":""')
    assert size(one) == size(replace(one, times={})) - len(MARKS) - label
    three = {n: AT - (k % 3) * 60_000_000 for k, n in enumerate(NAMES)}
    assert size(replace(one, times=three)) <= size(one) + label + 34 + len(MARKS)
