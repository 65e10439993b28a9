"""Merging: the newest word on each field wins, in whatever order the words come."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from connector.model import Change, Delta, Event, Ref, Value, Whole, Write
from connector.records.merge import join, merge, stamp_of, without_events
from connector.records.state import Merged

Word = tuple[Change, Event, int, int]


def word(
    fields: dict[str, Value] | None = None,
    *,
    version: int | None = 10,
    event: str = "e1",
    serial: int = 1,
    received_at: int = 1000,
    final: bool = False,
    action: str = "upsert",
    number: int = 1,
    write: dict[str, Write] | None = None,
) -> Word:
    change = Change(action, "crm", "tickets", "9", version, final, fields or {}, write or {})
    return change, Event("caresoft", "caresoft", event, "k", b"", received_at), serial, number


def told(words: Sequence[Word], merged: Merged | None = None) -> Merged:
    merged = merged or Merged()
    for change, event, serial, number in words:
        merged = merge(merged, change, stamp_of(change, event, serial, number))
    return merged


def values(merged: Merged) -> dict[str, Value]:
    return {name: cell.current() for name, cell in merged.fields.items()}


def test_late_older_event_never_overwrites_a_newer_field() -> None:
    newer = word({"status": "CLOSED"}, version=20, event="e2", serial=2)
    older = word({"status": "OPEN", "subject": "Hello"}, version=10)
    assert values(told([newer, older])) == {"status": "CLOSED", "subject": "Hello"}


def test_equal_versions_go_to_the_greater_event_id() -> None:
    first = word({"status": "A"}, event="b")
    second = word({"status": "B"}, event="a", serial=2)
    for order in permutations([first, second]):
        assert values(told(order)) == {"status": "A"}


def test_without_a_version_the_time_of_receipt_counts() -> None:
    early = word({"status": "A"}, version=None, received_at=100, event="z")
    late = word({"status": "B"}, version=None, received_at=200, event="a", serial=2)
    assert values(told([late, early])) == {"status": "B"}


def test_final_beats_every_version_and_among_finals_the_later_wins() -> None:
    merged = word({"status": "MERGED"}, version=10, final=True)
    newer = word({"status": "OPEN", "subject": "x"}, version=99, event="e2", serial=2)
    again = word({"status": "MERGED AGAIN"}, version=11, final=True, event="e3", serial=3)
    for order in permutations([merged, newer, again]):
        assert values(told(order)) == {"status": "MERGED AGAIN", "subject": "x"}


def test_a_delete_is_final_whatever_comes_before_or_after() -> None:
    words = [
        word({"status": "A"}, version=50, event="e2", serial=2),
        word(action="delete", version=1),
        word({"status": "B"}, version=99, final=True, event="e3", serial=3),
    ]
    for order in permutations(words):
        result = told(order)
        assert result.deleted is not None
        assert not result.fields


def test_clearing_is_a_value_like_any_other() -> None:
    assert values(told([word({"a": None}, version=20), word({"a": 1}, version=10)])) == {"a": None}


def test_merging_the_same_word_again_gives_the_same_object() -> None:
    merged = told([word({"a": 1, "tags": Delta(("x",), ("y",)), "c": Ref("contacts", "1")})])
    assert told([word({"a": 1, "tags": Delta(("x",), ("y",))})], merged) is merged


def test_a_later_set_of_the_same_event_replaces_what_an_earlier_set_made_of_it() -> None:
    old, new = word({"a": "old"}, number=1), word({"a": "new"}, number=2)
    for order in permutations([old, new]):
        assert values(told(order)) == {"a": "new"}


# --- sets


def test_deltas_of_a_set_apply_in_version_order() -> None:
    words = [
        word({"tags": Whole(("a", "b"))}, version=10, event="e1", serial=1),
        word({"tags": Delta(("c",), ("a",))}, version=20, event="e2", serial=2),
        word({"tags": Delta(("a",), ())}, version=15, event="e3", serial=3),
    ]
    for order in permutations(words):
        assert values(told(order)) == {"tags": ["b", "c"]}


def test_a_whole_list_drops_every_delta_before_it() -> None:
    words = [
        word({"tags": Delta(("x",), ())}, version=10, event="e1"),
        word({"tags": Whole(("a",))}, version=20, event="e2", serial=2),
    ]
    for order in permutations(words):
        assert values(told(order)) == {"tags": ["a"]}


def test_deltas_alone_give_what_was_added_and_not_removed() -> None:
    words = [
        word({"tags": Delta(("x", "y"), ())}, version=10, event="e1"),
        word({"tags": Delta((), ("x",))}, version=20, event="e2", serial=2),
    ]
    for order in permutations(words):
        assert values(told(order)) == {"tags": ["y"]}


def test_an_empty_delta_says_nothing() -> None:
    assert told([word({"tags": Delta()})]) == Merged()


# --- taking words back


def test_taking_an_event_out_leaves_what_others_said() -> None:
    merged = told([word({"a": 1, "b": 1}), word({"b": 2}, version=20, event="e2", serial=2)])
    assert values(without_events(merged, frozenset({2}))) == {"a": 1}
    assert values(without_events(merged, frozenset({1}))) == {"b": 2}


def test_taking_an_event_out_does_not_take_a_delete_back() -> None:
    merged = told([word(action="delete")])
    assert without_events(merged, frozenset({1})).deleted is not None


# --- any order, any duplication

_values = st.one_of(
    st.none(), st.integers(-2, 2), st.sampled_from(["", "a", "đ"]), st.just([1, "a"])
)
_elements = st.lists(st.sampled_from(["a", "b", 1, 2]), max_size=3).map(tuple)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "plain": _values,
        "ref": st.one_of(st.none(), st.builds(Ref, st.just("contacts"), st.sampled_from("12"))),
        "tags": st.one_of(
            st.builds(Whole, _elements), st.builds(Delta, _elements, _elements), st.none()
        ),
    },
)


@st.composite
def _words(draw: st.DrawFn) -> list[Word]:
    """What up to six events say; an event always says the same, as a mapping is pure."""
    return [
        word(
            draw(_fields),
            version=draw(st.one_of(st.none(), st.integers(1, 4))),
            event=draw(st.sampled_from("abc")) + str(serial),
            serial=serial,
            received_at=draw(st.integers(1, 4)),
            final=draw(st.booleans()),
            action=draw(st.sampled_from(["upsert"] * 7 + ["delete"])),
        )
        for serial in range(1, draw(st.integers(1, 6)) + 1)
    ]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_order_and_any_duplication_ends_the_same(data: st.DataObject) -> None:
    words = data.draw(_words())
    shuffled = data.draw(st.permutations(words + data.draw(st.lists(st.sampled_from(words)))))
    one, other = told(words), told(shuffled)
    assert values(one) == values(other)
    assert one == other


@given(_words(), _words(), _words())
@settings(max_examples=150, deadline=None)
def test_join_is_commutative_associative_and_idempotent(
    first: list[Word], second: list[Word], third: list[Word]
) -> None:
    renumbered = [
        told([(c, Event(e.source, e.vendor, f"{n}{e.id}", e.kind, b"", e.received_at), s, m)])
        for n, words in enumerate((first, second, third))
        for c, e, s, m in words[:1]
    ]
    a, b, c = renumbered
    assert join(a, b) == join(b, a)
    assert join(join(a, b), c) == join(a, join(b, c))
    assert join(a, a) == a


@given(_words())
@settings(max_examples=150, deadline=None)
def test_merging_anew_on_the_base_of_forgotten_events_gives_the_same(words: list[Word]) -> None:
    merged = told(words)
    if merged.deleted:
        return
    half = words[: len(words) // 2]
    base = without_events(merged, frozenset(serial for _, _, serial, _ in half))
    assert values(told(half, base)) == values(merged)
