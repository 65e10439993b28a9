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
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Merged
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
