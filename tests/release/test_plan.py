"""What a plan says of an edit, held against what the edit then does."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from office import T0, Office, rule

from connector import assemble, journal
from connector import plan as planning
from connector.mapping import published
from connector.model import Name
from connector.plan import Plan
from connector.replay import Replay

SUBJECT = "ticket.ticket_subject"


def names(found: tuple[Name, ...]) -> list[str]:
    return [f"{name.resource} {name.id}" for name in found]


def counted(found: Plan) -> dict[str, int]:
    return {f"{e.resource}.{e.field}": e.records for e in found.fields}


def kinds(turns: tuple[planning.Turn, ...]) -> list[str | None]:
    return [turn.entry.event.kind for turn in turns]


def test_an_unedited_folder_would_change_nothing(office: Office) -> None:
    for number in range(3):
        office.send(number, ticket_subject="a")
    office.work()
    found = office.plan()
    assert (found.events, found.is_empty, found.calls, found.fields) == (3, True, 0, ())


def test_an_edited_field_is_shown_before_and_after_with_the_rule_that_sets_it(
    office: Office,
) -> None:
    office.send(1, ticket_subject="one")
    office.send(2, ticket_subject="TWO")
    office.work()
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})"))
    found = office.plan()
    assert names(found.changed) == ["tickets 1"]
    assert (found.created, found.deleted, found.calls) == ((), (), 1)
    (effect,) = found.fields
    assert (effect.resource, effect.field, effect.records) == ("tickets", "subject", 1)
    (example,) = effect.examples
    assert (example.name.id, example.before, example.after) == ("1", "one", "ONE")
    assert effect.place
    assert effect.place.file.endswith("tickets.yaml")
    assert effect.place.line == 8


def test_the_same_value_by_another_expression_is_no_change(office: Office) -> None:
    office.send(1, ticket_subject="ONE")
    office.work()
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})"))
    assert office.plan().is_empty


def test_a_number_that_becomes_its_text_is_a_change(office: Office) -> None:
    office.send(1, n=1)
    office.write("tickets.yaml", rule(n="ticket.n"))
    office.work()
    office.write("tickets.yaml", rule(n="string(ticket.n)"))
    (effect,) = office.plan().fields
    assert [(e.before, e.after) for e in effect.examples] == [(1, "1")]
    office.write("tickets.yaml", rule(n="ticket.n == `1`"))
    (effect,) = office.plan().fields
    assert [(e.before, e.after) for e in effect.examples] == [(1, True)]


def test_a_cleared_field_is_told_from_one_that_no_rule_sets(office: Office) -> None:
    office.send(1, ticket_subject="x", ticket_status="")
    office.write("tickets.yaml", rule(subject=SUBJECT))
    office.work()
    office.write("tickets.yaml", rule(status="ticket.ticket_status"))
    effects = {effect.field: effect.examples[0] for effect in office.plan().fields}
    status, subject = effects["status"], effects["subject"]
    assert (status.had, status.has, status.after) == (False, True, None)
    assert (subject.had, subject.has, subject.before) == (True, False, "x")


def test_a_new_resource_creates_records_and_unmapped_events_pass(office: Office) -> None:
    office.send(1, ticket_subject="x")
    office.send_body({"object": "thing", "action": "new", "thing": {"id": 4, "a": 7}})
    office.work()
    office.write(
        "things.yaml",
        """\
        source: caresoft
        events: [thing.*]
        records: [{resource: things, id: thing.id, fields: {a: thing.a}}]
        """,
    )
    found = office.plan()
    assert names(found.created) == ["things 4"]
    assert kinds(found.newly_passing) == ["thing.new"]
    assert counted(found) == {"things.a": 1}
    assert (found.changed, found.newly_failing, found.calls) == ((), (), 1)


def test_a_rule_that_deletes_is_shown_and_a_delete_stays(office: Office) -> None:
    office.send(1, ticket_subject="x")
    office.send(2, ticket_subject="y")
    office.work()
    plain = rule(subject=SUBJECT)
    deleting = """\
---
source: caresoft
events: [ticket.update]
records:
  - {resource: tickets, id: ticket.ticket_id, action: delete, when: ticket.ticket_subject == 'x'}
"""
    office.write("tickets.yaml", plain + deleting)
    found = office.plan()
    assert (names(found.deleted), found.changed, found.calls) == (["tickets 1"], (), 1)
    office.put()
    office.replay()
    office.work()
    office.write("tickets.yaml", plain)
    assert office.plan().is_empty


def test_a_rule_left_out_brings_an_older_value_back(office: Office) -> None:
    office.write("tickets.yaml", rule(subject=SUBJECT))
    office.write("news.yaml", rule(subject="ticket.news").replace("update", "create"))
    office.send(1, 1, ticket_subject="old")
    office.send_body(
        {
            "object": "ticket",
            "action": "create",
            "ticket": {"ticket_id": 1, "updated_at": T0 + 2, "news": "new"},
        }
    )
    office.work()
    (office.mappings / "news.yaml").unlink()
    found = office.plan()
    (example,) = found.fields[0].examples
    assert (example.before, example.after) == ("new", "old")
    assert kinds(found.newly_unmapped) == ["ticket.create"]


def test_events_that_would_fail_and_that_would_pass_are_told_with_the_place(
    office: Office,
) -> None:
    office.write("tickets.yaml", rule(n="integer(ticket.n)"))
    office.send(1, n="seven")
    office.send(2, n="7")
    office.send(3, n="7,5")
    office.work()
    office.write("tickets.yaml", rule(n="ticket.n", m="integer(ticket.m)"))
    found = office.plan()
    assert len(found.newly_passing) == 2
    assert found.newly_failing == ()
    office.write("tickets.yaml", rule(n="boolean(ticket.n)"))
    found = office.plan()
    assert found.newly_passing == ()
    (turn,) = found.newly_failing
    assert turn.error
    assert turn.error.place
    assert turn.error.place.line == 8
    # A dead letter says nothing: the record would lose what the event had told.
    assert names(found.changed) == ["tickets 2"]


def test_a_call_is_counted_only_where_the_crm_was_told_something_else(office: Office) -> None:
    for number in range(4):
        office.send(number, ticket_subject=f"s{number}")
    office.work()
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})"))
    office.put()
    office.replay()
    office.write("tickets.yaml", rule(subject=SUBJECT))  # and back, before anything was delivered
    found = office.plan()
    assert (len(found.changed), found.calls) == (4, 0)


def test_a_plan_writes_nothing_and_sends_nothing(office: Office, fake_crm: Any) -> None:
    office.send(1, ticket_subject="x", requester_id=5)
    office.work()
    office.write(
        "tickets.yaml",
        rule(contact="{ref: contacts, id: ticket.requester_id, missing: create}")
        + "---\nsource: caresoft\nevents: [user.create]\n"
        + "records: [{resource: contacts, id: user.id, fields: {a: 1}}]\n",
    )
    before, calls = office.everything(), len(fake_crm.calls())
    found = office.plan()
    assert (names(found.changed), found.calls) == (["tickets 1"], 2)
    assert office.everything() == before
    assert len(fake_crm.calls()) == calls


def test_a_record_that_waits_for_one_that_would_be_created_costs_a_call(office: Office) -> None:
    office.write(
        "users.yaml", "source: caresoft\nevents: [user.create]\nrecords: []\n".replace("[]", USER)
    )
    office.write("tickets.yaml", rule(contact=REF))
    office.send(1, requester_id=5)
    office.send_body({"object": "user", "action": "create", "user": {"id": 5, "ready": False}})
    office.work()
    users = (office.mappings / "users.yaml").read_text()
    office.write("users.yaml", users.replace("user.ready", "user.id"))
    office.write("tickets.yaml", rule(contact=REF, subject="ticket.ticket_id"))
    found = office.plan()
    assert (names(found.created), names(found.changed)) == (["contacts 5"], ["tickets 1"])
    assert found.calls == 2


USER = "[{resource: contacts, id: user.id, when: user.ready, fields: {a: 1}}]"
REF = "{ref: contacts, id: ticket.requester_id, missing: error}"


def test_events_are_chosen_by_kind_record_number_and_time(office: Office) -> None:
    for number in (1, 2, 3):
        office.send(number, ticket_subject="a")
    office.send_body({"object": "ticket", "action": "delete", "ticket": {"ticket_id": 3}})
    office.work()
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})"))
    assert office.plan().events == 4
    assert office.plan(kind="ticket.update").events == 3
    assert names(office.plan(record=("tickets", "2")).changed) == ["tickets 2"]
    assert office.plan(limit=3).events == 3
    assert names(office.plan(limit=3).changed) == ["tickets 2", "tickets 3"]
    assert office.plan(since=(T0 + 3) * 1000).events == 2
    assert office.plan(since=(T0 + 3) * 1000, kind="ticket.delete").events == 1


def test_events_that_still_wait_in_the_queue_are_no_part_of_a_plan(office: Office) -> None:
    office.send(1, ticket_subject="a")
    office.work()
    office.send(2, ticket_subject="b")
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})"))
    found = office.plan()
    assert (found.events, names(found.changed), found.created) == (1, ["tickets 1"], ())


def test_what_events_no_longer_kept_have_said_stays(office: Office) -> None:
    office.write("tickets.yaml", rule(subject=SUBJECT, n="ticket.n"))
    office.send(1, 1, ticket_subject="gone", n=1)
    office.send(1, 2, n=2)
    office.work()
    office.client.delete("c:e:1")
    office.client.zrem("c:events", 1)
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})", n="ticket.n"))
    assert office.plan().is_empty


def test_examples_that_look_alike_give_way_to_others(office: Office) -> None:
    for number in range(10):
        office.send(number, ticket_subject="b" if number == 9 else "a")
    office.work()
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})"))
    (effect,) = office.plan().fields
    assert effect.records == 10
    assert sorted(example.after for example in effect.examples) == ["A", "A", "B"]


@pytest.mark.parametrize("remembered", [3, 20_000])
def test_a_plan_says_what_a_replay_does_however_little_is_remembered(
    office: Office, fake_crm: Any, monkeypatch: pytest.MonkeyPatch, remembered: int
) -> None:
    monkeypatch.setattr("connector.replay.REMEMBERED", remembered)
    monkeypatch.setattr("connector.replay.EVENTS", 2)
    monkeypatch.setattr("connector.replay.RECORDS", 2)
    dice = random.Random(7)
    _send_many(office, dice, 40)
    office.work()
    office.write("tickets.yaml", rule(subject=f"upper({SUBJECT})", n="ticket.n"))
    found = office.plan()
    assert found.calls
    calls = len(fake_crm.calls())
    _apply(office, found)
    _holds(office, found)
    office.work()
    assert len(fake_crm.calls()) - calls == found.calls


FORMS = ["ticket.a", "upper(ticket.a)", "ticket.b", "integer(ticket.a)", "{value: 1}", "null"]


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(edit=st.data())
def test_replaying_what_a_plan_names_has_the_effect_that_it_says(
    office: Office, edit: st.DataObject
) -> None:
    """Random rules and events; the replay of `to_replay` alone gives what the plan said, and what
    a replay of everything gives."""
    office.client.flushall()
    forms = st.sampled_from(FORMS)
    office.write("tickets.yaml", _rules(edit.draw(st.lists(forms, min_size=2, max_size=2))))
    dice = random.Random(edit.draw(st.integers(0, 1000)))
    _send_many(office, dice, 25)
    office.work()
    office.write("tickets.yaml", _rules(edit.draw(st.lists(forms, min_size=2, max_size=2))))
    found = office.plan(limit=edit.draw(st.sampled_from([0, 10])))
    before = _all_values(office)
    _apply(office, found)
    _holds(office, found, before)
    if found.events == 25:
        after = _all_values(office)
        office.replay()
        assert _all_values(office) == after


def _rules(forms: list[str]) -> str:
    copy = rule(f=forms[1]).replace("tickets", "copies").replace("ticket.ticket_id", "ticket.to")
    return rule(f=forms[0]) + "---\n" + copy


def _send_many(office: Office, dice: random.Random, count: int) -> None:
    for number in range(count):
        values: dict[str, Any] = {
            "a": dice.choice(["7", "x", ""]),
            "b": dice.choice([1, 2]),
            "n": number,
            "ticket_subject": dice.choice(["p", "Q"]),
            "to": dice.randrange(4),
            "no": number,  # no two events are the same
        }
        for name in dice.sample(["a", "b", "n"], dice.randrange(3)):
            del values[name]
        office.send(dice.randrange(5), dice.randrange(20), **values)


def _apply(office: Office, found: Plan) -> None:
    office.put()
    entries = journal.headers(office.client, list(found.to_replay))
    Replay(assemble.reconciler(office.config, office.client)).events(entries)


def _all_values(office: Office) -> dict[tuple[str, str], object]:
    return {
        (resource, str(id_)): (record.deleted is not None, planning.values(record))
        for resource in ("tickets", "copies")
        for id_ in range(5)
        if (record := office.record(resource, str(id_)))
    }


def _holds(
    office: Office, found: Plan, before: dict[tuple[str, str], object] | None = None
) -> None:
    """After the replay the plan has come true, and nothing is left to do."""
    assert published.number_in_force(office.client) in (1, 2)
    again = office.plan(limit=found.events)
    assert again.is_empty, (found, again)
    if before is not None:
        after = _all_values(office)
        moved = {name for name in after if after[name] != before[name]}
        told = {(n.resource, n.id) for n in (*found.created, *found.changed, *found.deleted)}
        assert moved <= told
        assert {(n.resource, n.id) for n in found.changed} <= moved
