"""Forgetting events: by age, by number, and never what somebody still needs."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from connector import journal, retention
from connector.config.model import Retention
from connector.journal import Touched
from connector.model import Change, Event, Name
from connector.records import store
from connector.records.layout import SERIALS
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Merged, digest
from connector.records.store import Release, Write
from connector.redisdb import Redis, connect

DAY = 86_400_000_000
NOW = time.time_ns() // 1000


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


def received(client: Redis, number: int, age_days: float, *, dead: bool = False) -> Event:
    """An event that went into a record of its own, whose delivery is done or dead."""
    event = Event("s", "caresoft", f"e{number}", "k", b"{}", NOW - int(age_days * DAY))
    journal.store(client, [event])
    claim = journal.claim(client, "w", f"x{number}", 1).claims[0]
    name = Name("crm", "tickets", str(number))
    change = Change("upsert", "crm", "tickets", str(number), None, fields={"a": number})
    merged = merge(Merged(), change, stamp_of(change, event, claim.entry.serial, 1))
    write = Write(name, 0, merged, (claim.entry.serial,))
    lease = store.commit(client, [write], "w/1", 15.0)[0].lease
    assert lease
    told = replace(lease.state.delivered, generation=0 if dead else 1)
    told = replace(told, dead=Dead("no", 422, None, NOW, 1) if dead else None)
    store.release(client, [Release(lease, told)])
    outcome = journal.outcome(claim.entry, "merged", 1, [Touched(name, 1)])
    journal.claim(client, "w", "", 0, [(outcome, claim)])
    return event


def kept(client: Redis) -> set[str]:
    return {entry.event.id for entry in journal.newest_first(client)}


def test_events_older_than_the_limit_are_forgotten_and_their_words_stay(client: Redis) -> None:
    old = received(client, 1, 40)
    received(client, 2, 1)
    assert retention.forget(client, Retention(days=30, events=100)) == 1
    assert kept(client) == {"e2"}
    name = Name("crm", "tickets", "1")
    assert store.read(client, [name])[0].merged.fields["a"].current() == 1
    assert store.serials(client, name) == []
    assert journal.store(client, [old]) == 0


def test_the_oldest_beyond_the_number_are_forgotten(client: Redis) -> None:
    for number in range(1, 8):
        received(client, number, 10 - number)
    assert retention.forget(client, Retention(days=30, events=3)) == 4
    assert kept(client) == {"e5", "e6", "e7"}


def test_queued_events_and_dead_letters_are_never_forgotten(client: Redis) -> None:
    received(client, 1, 50, dead=True)
    queued = Event("s", "caresoft", "q", "k", b"{}", NOW - 45 * DAY)
    unreadable = Event("s", "caresoft", "u", None, b"[]", NOW - 45 * DAY, "no object")
    journal.store(client, [queued, unreadable])
    assert retention.forget(client, Retention(days=30, events=1)) == 0
    claim = journal.claim(client, "w", "x", 1).claims[0]
    unmapped = journal.outcome(claim.entry, "unmapped", 1)
    journal.claim(client, "w", "", 0, [(unmapped, claim)])
    assert retention.forget(client, Retention(days=30, events=1)) == 1
    assert kept(client) == {"e1", "u"}


# --- records


RECORDS = Retention(days=30, events=100, records=60)


def forget_all(client: Redis, kept: Retention = RECORDS) -> int:
    retention.forget(client, kept)
    cursor, forgotten = retention.forget_records(client, kept)
    while cursor:
        cursor, more = retention.forget_records(client, kept, cursor)
        forgotten += more
    return forgotten


def deliver(client: Redis, name: Name, change: Change, age_days: float, serial: int) -> None:
    """A change of that age, merged and taken by the CRM."""
    state = store.read(client, [name])[0]
    event = Event("s", "caresoft", f"d{serial}", "k", b"{}", NOW - int(age_days * DAY))
    merged = merge(state.merged, change, stamp_of(change, event, serial, 1))
    write = Write(name, state.generation, None if merged is state.merged else merged)
    lease = store.commit(client, [write], "w/1", 15.0)[0].lease
    if lease is None:
        return
    gone = merged.deleted is not None
    told = replace(
        lease.state.delivered,
        generation=lease.state.generation,
        exists=not gone,
        gone=gone,
        link=None if gone else "L7",
        digests=dict.fromkeys(merged.fields, digest("x")),
    )
    store.release(client, [Release(lease, told)])


def upsert(name: Name, **fields: object) -> Change:
    return Change("upsert", name.target, name.resource, name.id, None, fields=fields)


def delete(name: Name) -> Change:
    return Change("delete", name.target, name.resource, name.id, None)


ONE = Name("crm", "tickets", "a:1")


def test_an_old_record_is_forgotten_but_not_its_link(client: Redis) -> None:
    deliver(client, ONE, upsert(ONE, a=1), 90, 1)
    assert forget_all(client) == 1
    state = store.read(client, [ONE])[0]
    assert (state.merged.fields, state.delivered.digests) == ({}, {})
    assert (state.delivered.exists, state.delivered.link) == (True, "L7")
    assert forget_all(client) == 0


def test_records_are_kept_for_ever_unless_told_otherwise(client: Redis) -> None:
    deliver(client, ONE, upsert(ONE, a=1), 900, 1)
    assert forget_all(client, Retention(days=30, events=100)) == 0
    assert "a" in store.read(client, [ONE])[0].merged.fields


def test_a_record_lately_spoken_of_is_kept(client: Redis) -> None:
    deliver(client, ONE, upsert(ONE, a=1), 90, 1)
    deliver(client, ONE, upsert(ONE, b=1), 10, 2)
    assert forget_all(client) == 0


def test_a_record_whose_event_is_still_kept_is_kept(client: Redis) -> None:
    deliver(client, ONE, upsert(ONE, a=1), 90, 1)
    state = store.read(client, [ONE])[0]
    many = tuple(range(2, SERIALS + 3))
    for serials in ((1,), many):
        store.commit(client, [Write(ONE, state.generation, None, serials)], "w/1", None)
        assert forget_all(client) == 0
    for serial in (1, *many[:-1]):
        store.forget_event(client, [ONE], serial)
        assert forget_all(client) == 0
    store.forget_event(client, [ONE], many[-1])
    assert forget_all(client) == 1


def test_a_record_that_waits_is_kept(client: Redis) -> None:
    deliver(client, ONE, upsert(ONE, a=1), 90, 1)
    store.touch(client, [ONE])
    assert forget_all(client) == 0


def test_what_is_older_than_a_forgotten_record_counts_no_more(client: Redis) -> None:
    deliver(client, ONE, upsert(ONE, a=1), 90, 1)
    forget_all(client)
    deliver(client, ONE, upsert(ONE, a=0), 95, 2)
    assert store.read(client, [ONE])[0].merged.fields == {}
    deliver(client, ONE, upsert(ONE, a=2), 1, 3)
    assert store.read(client, [ONE])[0].merged.fields["a"].current() == 2


def test_a_deleted_record_that_was_forgotten_never_comes_back(client: Redis) -> None:
    deliver(client, ONE, upsert(ONE, a=1), 95, 1)
    deliver(client, ONE, delete(ONE), 90, 2)
    assert forget_all(client) == 1
    assert not client.exists(f"c:r:{store.key_of(ONE)}")
    assert store.is_gone(client, ONE)
    deliver(client, ONE, upsert(ONE, a=2), 1, 3)
    assert not store.ensure(client, ONE)
    assert store.read(client, [ONE])[0].generation == 0
    assert not client.zcard("c:dirty:crm")
