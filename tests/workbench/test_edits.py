"""Which values of the CRM count as a person's edit, and how edits are written down."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connector.edits import Edit, met, pack, unpack
from connector.model import Delivery, Json, Name, Outcome
from connector.records import store
from connector.records.state import Cell, Delivered, Merged, Stamp, digest

NAME = Name("crm", "tickets", "1")
STAMP = Stamp(False, 1, "e", 3, 12)


def fates(
    held: Json, before: Json = "old", *, told: Delivered | None = None, **order: Any
) -> list[str]:
    """What is told when the CRM held `held` where it was told `before`, and "new" is written."""
    known = told or Delivered(exists=True, digests={"a": digest(before)})
    delivery = Delivery(
        NAME, "upsert", {"a": "new"}, frozenset("a"), None, known.exists, 2, **order
    )
    outcome = Outcome("done", 3, sent=frozenset("a"), replaced={"a": held})
    merged = Merged({"a": Cell("new", STAMP, 7)})
    return [edit.fate for edit in met(merged, known, delivery, outcome, 99)]


def test_what_is_neither_ours_nor_empty_is_an_edit() -> None:
    assert fates("theirs") == ["overwritten"]
    assert fates("old") == []


@pytest.mark.parametrize("empty", [None, "", []])
def test_emptiness_is_not_told_from_a_field_that_is_not_shown(empty: Json) -> None:
    assert fates(empty) == []


@pytest.mark.parametrize(
    ("told", "held"),
    [
        (25, "25"),
        ("25", 25),
        (25, 25.0),
        (12.5, "12.50"),
        (True, "true"),
        (True, 1),
        (False, 0),
        ("a\nb", "a\r\nb"),
        ("a", " a "),
        ("2021-10-06T02:45:53.675Z", "2021-10-06T02:45:53.675000+00:00"),
        ("2021-10-06T02:45:53.675Z", "2021-10-06T09:45:53.675+07:00"),
        ("2021-10-06", "2021-10-06T00:00:00.000Z"),
        ("77", {"id": 77, "name": "Lan"}),
        (["1", "2"], [1, 2]),
        ([1, 2], [{"id": 1}, {"id": 2}]),
    ],
)
def test_a_value_that_the_crm_writes_otherwise_is_still_ours(told: Json, held: Json) -> None:
    assert fates(held, told) == []


def test_after_an_unanswered_write_nobody_knows_whose_a_value_is() -> None:
    assert fates("theirs", in_doubt=True) == []


def test_what_others_wrote_before_the_first_delivery_is_theirs() -> None:
    assert fates("theirs", told=Delivered()) == ["overwritten"]


def test_a_field_that_is_newly_mapped_is_theirs() -> None:
    assert fates("theirs", told=Delivered(exists=True, digests={"b": "x"})) == ["overwritten"]


def test_of_a_record_whose_digests_were_forgotten_nothing_is_told() -> None:
    assert fates("theirs", told=Delivered(exists=True)) == []


def test_kept_edits_come_with_both_values_and_the_rule() -> None:
    delivery = Delivery(NAME, "upsert", {"a": "new"}, frozenset("a"), None, True, 2)
    merged = Merged({"a": Cell("new", STAMP, 7, "unless_edited")})
    outcome = Outcome("done", 3, withheld={"a": "theirs"})
    (edit,) = met(merged, Delivered(exists=True), delivery, outcome, 99)
    assert edit == Edit(NAME, "a", "theirs", "new", 99, "unless_edited", 7, 3, 12, "kept")
    assert unpack(pack(edit).encode()) == edit


def test_a_line_from_before_overwritten_edits_were_told_is_a_kept_one() -> None:
    line = json.dumps([store.key_of(NAME), "a", "x", "y", 99, "if_empty", 7, 3, 12]).encode()
    assert unpack(line) == Edit(NAME, "a", "x", "y", 99, "if_empty", 7, 3, 12, "kept")
