"""What an event did to a field, told from the record as it stands: every reason, without a CRM."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

from connector.effects import Scene, effects
from connector.journal import Entry
from connector.mapping.load import set_from_texts
from connector.model import Applied, Change, Event, Json, Name
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Delivered, Merged, digest
from connector.records.store import Standing, State

NAME = Name("crm", "tickets", "1")
SET = set_from_texts(
    {
        "t.yaml": "source: caresoft\nevents: [ticket.update]\n"
        "records: [{resource: tickets, id: ticket.ticket_id, fields: {a: ticket.a}}]\n"
    },
    sources={"caresoft": "caresoft"},
    targets=["crm"],
    timezone=ZoneInfo("UTC"),
)


def entry(serial: int) -> Entry:
    id_ = f"{serial:020x}{0:044x}"
    event = Event("caresoft", "caresoft", id_, "ticket.update", b"", 1000 * serial)
    return Entry(serial, event, "merged", 1)


def change(value: Json, version: int, *, final: bool = False, action: str = "upsert") -> Change:
    if action == "delete":
        return Change("delete", "crm", "tickets", "1", version)
    return Change("upsert", "crm", "tickets", "1", version, final, {"a": value}, {}, {"a": 0})


def told(
    mine: Change, *others: tuple[int, Change], delivered: Delivered | None = None, serial: int = 5
) -> tuple[str, str]:
    """What event 5 is said to have done, where `others` came too."""
    merged = Merged()
    for number, one in [(serial, mine), *others]:
        merged = merge(merged, one, stamp_of(one, entry(number).event, number, 1))
    told_last = delivered or Delivered(
        generation=9, exists=True, digests={"a": digest("x")}, times={"a": 9000}
    )
    state = State(NAME, 9, merged, told_last)
    scene = Scene(entry(serial), 1, SET, {NAME: state}, {NAME: Standing(9, None, False)})
    (effect,) = effects(scene, Applied("mapped", (mine,)), None)
    return effect.did, effect.why


def test_a_value_that_went_out_changed_the_field() -> None:
    assert told(change("x", 10)) == ("changed", "")


def test_a_value_that_went_out_before_the_event_was_received_is_equal() -> None:
    before = Delivered(generation=9, exists=True, digests={"a": digest("x")}, times={"a": 4000})
    assert told(change("x", 10), delivered=before)[0] == "equal"


def test_a_value_that_has_not_gone_out_waits() -> None:
    waiting = Delivered(exists=True, digests={"a": digest("old")}, times={"a": 1}, why="CRM away")
    assert told(change("x", 10), delivered=waiting) == ("waiting", "CRM away")
    dead = Dead("refused", 422, None, 1, 1)
    assert told(change("x", 10), delivered=replace(waiting, dead=dead)) == (
        "waiting",
        "given up: refused",
    )


def test_an_older_version_changes_nothing() -> None:
    assert told(change("x", 10), (3, change("y", 20))) == (
        "older",
        "a value of a later time was here already",
    )


def test_a_newer_version_replaces_what_was_there() -> None:
    assert told(change("x", 10), (7, change("y", 20))) == (
        "replaced",
        "a newer value came after it",
    )
    assert told(change("x", 10), (7, change("x", 20)))[1] == "a newer value came after it, the same"


def test_a_tie_goes_to_the_greater_event_id() -> None:
    assert told(change("x", 10), (6, change("y", 10)), serial=5)[0] == "replaced"
    assert told(change("x", 10), (3, change("y", 10, final=True))) == (
        "older",
        "a final value counts more",
    )


def test_nothing_changes_a_deleted_record() -> None:
    gone = Delivered(generation=9, gone=True)
    delete = change(None, 1, action="delete")
    assert told(change("x", 10), (3, delete), delivered=gone)[0] == "deleted"
    assert told(delete, delivered=gone) == ("changed", "deleted")
    assert told(delete, (7, delete), delivered=gone) == (
        "older",
        "another event deleted the record",
    )


def test_a_field_that_another_set_took_out_is_dropped() -> None:
    state = State(NAME, 9, Merged(), Delivered(generation=9, exists=True))
    scene = Scene(entry(5), 1, SET, {NAME: state}, {NAME: Standing(9, None, False)})
    (effect,) = effects(scene, Applied("mapped", (change("x", 10),)), None)
    assert (effect.did, effect.why) == ("dropped", "a later mapping set does not write the field")
