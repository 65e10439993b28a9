"""Records in a real Redis: one step each for merge, lease and release."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connector.model import Change, Event, Name
from connector.records import store
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Delivered, Merged
from connector.records.store import Lease, Release, Write
from connector.redisdb import Redis, connect

TICKET = Name("crm", "tickets", "a:b %đ")
CONTACT = Name("crm", "contacts", "7")


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


def words(**fields: object) -> Merged:
    change = Change("upsert", "crm", "tickets", "9", 10, fields=fields)
    event = Event("caresoft", "caresoft", "e1", "k", b"", 1)
    return merge(Merged(), change, stamp_of(change, event, 1, 1))


def moved(client: Redis, name: Name = TICKET, token: str = "w/1", **fields: object) -> Lease | None:
    state = store.read(client, [name])[0]
    write = Write(name, state.generation, words(**fields), (1,))
    return store.commit(client, [write], token, 15.0)[0].lease


def up_to_date(lease: Lease) -> Release:
    told = replace(lease.state.delivered, generation=lease.state.generation, dead=None)
    return Release(lease, told)


def due(client: Redis, limit: int = 10, seconds: float = 15.0) -> list[Lease]:
    return store.lease_due(client, "crm", limit, "w/2", seconds)[0]


def test_a_name_survives_its_key() -> None:
    for name in (TICKET, Name("a:b%", "c:d/e", ":1:2"), Name("crm", "tickets", "")):
        assert store.name_of(store.key_of(name)) == name


def test_a_merge_is_refused_when_the_record_has_moved_on(client: Redis) -> None:
    assert moved(client, a=1)
    stale = Write(TICKET, 0, words(a=2), (2,))
    assert store.commit(client, [stale], "w/2", 15.0)[0].conflict
    assert store.read(client, [TICKET])[0].merged == words(a=1)


def test_a_record_is_leased_once(client: Redis) -> None:
    assert moved(client, a=1)
    assert moved(client, a=2, token="w/2") is None
    assert due(client) == []


def test_a_record_that_is_up_to_date_is_not_due(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    assert store.release(client, [up_to_date(lease)]) == [True]
    assert store.waiting(client, "crm") == 0
    assert store.standings(client, [TICKET])[TICKET].generation == 1


def test_a_record_that_moved_on_during_its_delivery_is_due_at_once(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    moved(client, a=2, token="w/2")
    store.release(client, [up_to_date(lease)])
    again = due(client)
    assert [item.name for item in again] == [TICKET]
    assert not again[0].doubt
    assert again[0].state.merged == words(a=2)


def test_a_lease_that_expired_is_taken_over_in_doubt(client: Redis) -> None:
    state = store.read(client, [TICKET])[0]
    write = Write(TICKET, state.generation, words(a=1), (1,))
    first = store.commit(client, [write], "w/1", 0.0)[0].lease
    assert first
    second = due(client)
    assert [item.doubt for item in second] == [True]
    assert store.renew(client, first, 15.0) is False
    assert store.renew(client, second[0], 15.0) is True


def test_who_comes_back_too_late_writes_nothing_and_puts_the_record_in_doubt(
    client: Redis,
) -> None:
    state = store.read(client, [TICKET])[0]
    write = Write(TICKET, state.generation, words(a=1), (1,))
    first = store.commit(client, [write], "w/1", 0.0)[0].lease
    second = due(client)[0]
    assert first
    late = replace(up_to_date(first), delivered=Delivered(generation=1, link="wrong"))
    assert store.release(client, [late]) == [False]
    assert store.release(client, [up_to_date(second)]) == [True]
    third = due(client)
    assert [item.doubt for item in third] == [True]
    assert third[0].state.delivered.link is None
    store.release(client, [up_to_date(third[0])])
    assert due(client) == []


def test_a_failed_delivery_is_due_again_later(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    store.release(client, [Release(lease, lease.state.delivered, due_in=60.0)])
    assert due(client) == []
    assert store.waiting(client, "crm") == 1


def test_a_hold_stops_the_whole_target_and_no_merge(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    store.release(client, [Release(lease, lease.state.delivered, due_in=0.0, hold=30.0)])
    assert due(client) == []
    assert moved(client, CONTACT, a=1) is None
    assert store.waiting(client, "crm") == 2


def test_a_dead_letter_waits_for_nothing_until_something_newer_comes(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    dead = Dead("422 no", 422, {"error": "no"}, 1, 1)
    store.release(client, [Release(lease, replace(lease.state.delivered, dead=dead))])
    standing = store.standings(client, [TICKET])[TICKET]
    assert (standing.dead, standing.due) == (True, None)
    assert store.read(client, [TICKET])[0].delivered.dead == dead
    healed = moved(client, a=2)
    assert healed
    store.release(client, [up_to_date(healed)])
    assert store.standings(client, [TICKET])[TICKET].dead is False


def test_a_dead_record_that_is_tried_again_waits_and_is_no_dead_letter(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    dead = replace(lease.state.delivered, dead=Dead("no", 422, None, 1, 1))
    store.release(client, [Release(lease, dead)])
    store.touch(client, [TICKET])
    again = due(client)[0]
    assert again.state.delivered.dead
    store.release(client, [Release(again, again.state.delivered, due_in=5.0)])
    standing = store.standings(client, [TICKET])[TICKET]
    assert (standing.dead, standing.due is None) == (False, False)


def test_a_new_link_makes_its_referrers_due_even_while_they_are_delivered(client: Redis) -> None:
    state = store.read(client, [TICKET])[0]
    write = Write(TICKET, state.generation, words(a=1), (1,), (CONTACT,))
    ticket = store.commit(client, [write], "w/1", 15.0)[0].lease
    contact = moved(client, CONTACT, b=1)
    assert ticket
    assert contact
    store.release(client, [replace(up_to_date(contact), relink=True)])
    store.release(client, [up_to_date(ticket)])
    assert [item.name for item in due(client)] == [TICKET]


def test_very_many_referrers_become_due_in_pages(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "RELINK_AT_ONCE", 3)
    names = [Name("crm", "tickets", str(n)) for n in range(10)]
    for name in names:
        write = Write(name, 0, words(a=1), (1,), (CONTACT,))
        lease = store.commit(client, [write], "w/1", 15.0)[0].lease
        assert lease
        store.release(client, [up_to_date(lease)])
    contact = moved(client, CONTACT, b=1)
    assert contact
    store.release(client, [replace(up_to_date(contact), relink=True)])
    assert store.waiting(client, "crm") == 0
    assert store.relink(client, page=4) >= 10
    assert {item.name for item in due(client, 20)} == set(names)
    assert store.relink(client) == 0


def test_an_empty_record_is_made_once_and_never_over_a_known_one(client: Redis) -> None:
    assert store.ensure(client, CONTACT)
    assert not store.ensure(client, CONTACT)
    assert [item.name for item in due(client)] == [CONTACT]
    assert moved(client, TICKET, a=1)
    assert not store.ensure(client, TICKET)
    assert store.read(client, [TICKET])[0].merged == words(a=1)


def test_the_next_due_time_is_told(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    store.release(client, [Release(lease, lease.state.delivered, due_in=60.0)])
    _, next_due = store.lease_due(client, "crm", 10, "w/2", 15.0)
    seconds, micros = client.time()
    assert next_due is not None
    assert 0 < next_due / 1e6 - (seconds + micros / 1e6) <= 60


def test_events_that_went_into_a_record_are_remembered(client: Redis) -> None:
    moved(client, a=1)
    state = store.read(client, [TICKET])[0]
    store.commit(client, [Write(TICKET, state.generation, None, (5, 3))], "w", None)
    assert store.serials(client, TICKET) == [1, 3, 5]
