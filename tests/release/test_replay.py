"""Kept events run again, and one whose merging was cut short when another set came into force."""

from __future__ import annotations

import pytest
from office import Office, rule

from connector import assemble, journal
from connector.journal import Entry
from connector.mapping.published import Superseded
from connector.records import store
from connector.replay import Replay

TWO_RECORDS = (
    rule(a="{value: 1}", b="{value: 1}")
    + "---\n"
    + rule(c="{value: 1}").replace("resource: tickets", "resource: copies")
)


def replay(office: Office) -> Replay:
    return Replay(assemble.reconciler(office.config, office.client))


def cut_short(office: Office) -> Entry:
    """An event that a worker has merged under set 1 and, before it could say so, was killed."""
    office.send(1, 5)
    entries = journal.load(office.client, [journal.count(office.client)])
    assemble.reconciler(office.config, office.client).merge(entries)
    return journal.begun(office.client, journal.load(office.client, [entries[0].serial])[0])


def test_an_event_cut_short_under_one_set_is_whole_under_the_next(office: Office) -> None:
    office.write("tickets.yaml", TWO_RECORDS)
    office.send(1, 1)
    office.work()
    entry = cut_short(office)
    assert entry.state == "queued"
    office.write("tickets.yaml", rule(a="{value: 2}"))
    number = office.put()
    outcome = replay(office).resume(entry)
    assert (outcome.state, outcome.set_number) == ("merged", number)
    # An older event was merged by set 1, and what it said then comes back.
    record = office.record("tickets", "1")
    assert {name: cell.newest.set for name, cell in record.fields.items()} == {"a": 2, "b": 1}
    assert office.values("tickets", "1") == {"a": 2, "b": 1}
    assert office.values("copies", "1") == {"c": 1}
    assert [t.name.resource for t in outcome.touched] == ["tickets"]


def test_a_worker_ends_what_another_began_under_the_set_before(office: Office) -> None:
    office.write("tickets.yaml", TWO_RECORDS)
    assemble.ensure_in_force(office.config, office.client)
    cut_short(office)
    office.write("tickets.yaml", rule(a="{value: 2}"))
    office.put()
    office.work()
    assert office.values("tickets", "1") == {"a": 2}
    assert office.values("copies", "1") == {}
    assert not office.client.exists("c:begun")


def test_an_event_cut_short_that_fails_under_the_next_set_leaves_nothing_behind(
    office: Office,
) -> None:
    office.write("tickets.yaml", TWO_RECORDS)
    assemble.ensure_in_force(office.config, office.client)
    entry = cut_short(office)
    office.write("tickets.yaml", rule(a="integer(ticket.nothing || 'x')"))
    office.put()
    assert replay(office).resume(entry).state == "dead"
    assert office.values("tickets", "1") == {}
    assert office.values("copies", "1") == {}


def test_a_replay_stops_when_another_set_comes_into_force(office: Office) -> None:
    office.send(1, ticket_subject="x")
    office.work()
    office.write("tickets.yaml", rule(subject="upper(ticket.ticket_subject)"))
    older = replay(office)
    office.put()
    with pytest.raises(Superseded, match="set 1 is in force no more"):
        older.events(list(journal.newest_first(office.client)))
    assert office.values("tickets", "1") == {"subject": "x"}


def test_what_a_replay_that_was_cut_short_has_begun_is_taken_out_by_the_next(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.send(1, ticket_subject="x")
    office.work()
    tickets, copies = TWO_RECORDS.split("---\n")
    office.write("tickets.yaml", f"{copies}---\n{tickets}")
    office.put()
    monkeypatch.setattr("connector.replay.RECORDS", 1)
    commit, left = store.commit, iter([1, 0])

    def killed(*arguments: object) -> list[store.Written]:
        if not next(left):
            raise ConnectionError("gone")
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "commit", killed)
    with pytest.raises(ConnectionError):
        office.replay()
    monkeypatch.setattr(store, "commit", commit)
    assert office.values("copies", "1") == {"c": 1}
    office.write("tickets.yaml", rule(subject="ticket.ticket_subject"))
    office.put()
    office.replay()
    assert office.values("tickets", "1") == {"subject": "x"}
    assert office.values("copies", "1") == {}


def test_a_replay_gives_way_to_what_moves_a_record_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.send(1, 1, ticket_subject="x")
    office.work()
    office.write("tickets.yaml", rule(subject="upper(ticket.ticket_subject)"))
    office.put()
    commit, once = store.commit, iter([True])

    def interrupted(*arguments: object) -> list[store.Written]:
        if next(once, False):
            office.send(1, 2, ticket_subject="newer")
            office.work()
        return commit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "commit", interrupted)
    office.replay()
    assert office.values("tickets", "1") == {"subject": "NEWER"}


def test_a_second_replay_changes_nothing(office: Office) -> None:
    for number in range(5):
        office.send(number % 2, number, ticket_subject=f"s{number}")
    office.work()
    office.write("tickets.yaml", rule(subject="upper(ticket.ticket_subject)"))
    office.put()
    assert len(office.replay().changed) == 2
    assert office.replay().changed == ()


def test_a_rebuild_takes_a_delete_back_that_no_kept_event_asks_for(office: Office) -> None:
    deleting = rule(subject="ticket.ticket_subject") + (
        "---\nsource: caresoft\nevents: [ticket.delete]\n"
        "records: [{resource: tickets, id: ticket.ticket_id, action: delete}]\n"
    )
    office.write("tickets.yaml", deleting)
    office.send(1, ticket_subject="x")
    office.send_body({"object": "ticket", "action": "delete", "ticket": {"ticket_id": 1}})
    office.work()
    name = store.name_of("crm:tickets:1")
    assert not replay(office).rebuild(name)
    office.write("tickets.yaml", rule(subject="ticket.ticket_subject"))
    office.put()
    office.replay()
    assert office.record("tickets", "1").deleted
    assert replay(office).rebuild(name)
    assert office.values("tickets", "1") == {"subject": "x"}
