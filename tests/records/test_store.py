"""Records in a real Redis: one step each for merge, lease and release."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import pytest

from connector.errors import RedisUnfit
from connector.model import Change, Event, Name
from connector.records import shapes, store
from connector.records.layout import SERIALS, Parts, put_together, take_apart
from connector.records.merge import merge, stamp_of
from connector.records.packed import pack_merged
from connector.records.state import Dead, Delivered, Merged, digest
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


def test_a_lease_tells_how_those_that_the_record_refers_to_stand(client: Redis) -> None:
    unknown = Name("crm", "contacts", "nobody")
    contact = moved(client, CONTACT, b=1)
    assert contact
    told = replace(up_to_date(contact).delivered, exists=True, link=71)
    store.release(client, [Release(contact, told)])

    def committed(name: Name, *wanted: Name, seconds: float | None = 15.0) -> Lease | None:
        state = store.read(client, [name])[0]
        write = Write(name, state.generation, words(a=state.generation), (1,), (), wanted)
        return store.commit(client, [write], "w/1", seconds)[0].lease

    lease = committed(TICKET, CONTACT, unknown)
    assert lease
    assert lease.links == store.links(client, [CONTACT, unknown])
    assert lease.links == {CONTACT: (True, 71), unknown: (False, None)}
    assert committed(TICKET, CONTACT) is None, "it is leased already"
    other = Name("crm", "tickets", "other")
    assert committed(other, CONTACT, seconds=None) is None
    (lease,) = (lease for lease in due(client) if lease.name == other)
    assert lease.links is None, "nobody looked them up"


def test_a_lease_of_many_in_one_step_tells_of_its_own_alone(client: Redis) -> None:
    names = [Name("crm", "tickets", str(n)) for n in range(3)]
    wanted: list[tuple[Name, ...] | None] = [(CONTACT,), (), None]
    writes = [
        Write(name, 0, words(a=1), (1,), (), w) for name, w in zip(names, wanted, strict=True)
    ]
    leases = [one.lease for one in store.commit(client, writes, "w/1", 15.0)]
    assert [lease and lease.links for lease in leases] == [{CONTACT: (False, None)}, {}, None]


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


def test_an_event_that_is_heard_twice_is_remembered_once_wherever_it_stands(client: Redis) -> None:
    moved(client, a=1)
    state = store.read(client, [TICKET])[0]
    everyone = tuple(range(1, SERIALS + 4))
    for _ in range(2):
        store.commit(client, [Write(TICKET, state.generation, None, everyone)], "w", None)
        assert store.serials(client, TICKET) == list(everyone)
    assert store.serials_of(client, [CONTACT, TICKET]) == [[], list(everyone)]
    for serial in everyone:
        store.forget_event(client, [TICKET, CONTACT], serial)
    assert store.serials(client, TICKET) == []
    assert store.read(client, [TICKET])[0] == state


def test_events_that_said_nothing_of_an_unknown_record_make_none(client: Redis) -> None:
    store.commit(client, [Write(CONTACT, 0, None, (4,))], "w", 15.0)
    assert store.serials(client, CONTACT) == [4]
    assert store.read(client, [CONTACT])[0].generation == 0
    assert store.scan(client, 0, 1000) == (0, [])
    store.touch(client, [CONTACT])
    assert due(client) == []
    store.forget_event(client, [CONTACT], 4)
    assert not client.exists(f"c:r:{store.key_of(CONTACT)}")
    store.commit(client, [Write(CONTACT, 0, None, (5,))], "w", 15.0)
    assert store.ensure(client, CONTACT)
    assert store.serials(client, CONTACT) == [5]


# --- two halves, one writer each


def kept(client: Redis, name: Name = TICKET) -> Parts:
    return take_apart(client.get(f"c:r:{store.key_of(name)}"))


def told_of(lease: Lease, **told: object) -> Delivered:
    marks = {name: digest(cell.value) for name, cell in lease.state.merged.fields.items()}
    times = dict.fromkeys(marks, 5_000)
    known = replace(lease.state.delivered, digests=marks, times=times, at=5_000, exists=True)
    return replace(known, **{"generation": lease.state.generation, **told})


def test_a_merge_during_a_delivery_leaves_what_the_crm_was_told(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    assert store.intend(client, lease, told_of(lease, generation=0, intended={"a": 1}))
    before = kept(client)
    moved(client, token="w/2", a=2, b="x" * 300)
    after = kept(client)
    assert (after.told, after.delivered) == (before.told, before.delivered)
    assert (after.generation, after.told) == (before.generation + 1, 0)
    assert store.read(client, [TICKET])[0].delivered.intended == {"a": 1}


@pytest.mark.parametrize("end", ["release", "intend", "settle"])
def test_what_the_crm_was_told_leaves_what_the_sources_say(client: Redis, end: str) -> None:
    lease = moved(client, a="x" * 300, b=2)
    assert lease
    dead = Dead("no", 422, None, 1, 1)
    store.release(client, [Release(lease, told_of(lease, dead=dead))])
    store.touch(client, [TICKET])
    lease = due(client)[0]
    before = kept(client)
    if end == "intend":
        assert store.intend(client, lease, told_of(lease, intended={"a": 1}))
    else:
        told = told_of(lease, dead=dead, link="L1")
        assert store.release(client, [Release(lease, told)]) == [True]
    if end == "settle":
        assert store.settle_as_is(client, store.read(client, [TICKET])[0], "as it is")
    after = kept(client)
    assert after == before._replace(told=after.told, delivered=after.delivered)
    assert after.told == before.generation == 2
    assert after.delivered != before.delivered


def test_a_touch_changes_nothing_but_the_generation(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    store.release(client, [Release(lease, told_of(lease))])
    before = kept(client)
    store.touch(client, [TICKET])
    assert kept(client) == before._replace(generation=2)
    assert store.standings(client, [TICKET])[TICKET].generation == 1


def test_an_aged_record_keeps_its_generations_and_needs_no_shape(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    store.release(client, [Release(lease, told_of(lease, link="L1"))])
    store.forget_event(client, [TICKET], 1)
    before = kept(client)
    assert store.age_out(client, store.read(client, [TICKET])[0])
    client.delete("c:shapes")
    after = kept(client)
    assert (after.generation, after.told) == (before.generation, before.told)
    state = store.read(client, [TICKET])[0]
    assert (state.merged.fields, state.delivered.link) == ({}, "L1")


# --- names of fields


def names_kept(client: Redis) -> list[tuple[str, ...]]:
    known = shapes.named(client, client.hkeys("c:shapes"))
    return sorted(known[key].names for key in client.hkeys("c:shapes"))


def test_names_are_kept_once_for_all_records(client: Redis) -> None:
    for number in range(20):
        lease = moved(client, Name("crm", "tickets", str(number)), b=1, a=number)
        assert lease
        store.release(client, [Release(lease, told_of(lease))])
    assert names_kept(client) == [("a", "b"), ("a", "b")]


def test_names_are_there_even_if_redis_was_emptied_since_they_were_kept_last(client: Redis) -> None:
    for _ in range(2):
        lease = moved(client, a=1)
        assert lease
        assert names_kept(client) == [("a",)]
        client.delete("c:shapes")
        assert store.intend(client, lease, told_of(lease, generation=0))
        assert names_kept(client) == [("a",)]
        client.delete("c:shapes")
        dead = Dead("no", 422, None, 1, 1)
        store.release(client, [Release(lease, told_of(lease, dead=dead))])
        assert names_kept(client) == [("a",)]
        state = replace(lease.state, delivered=told_of(lease, dead=dead))
        client.delete("c:shapes")
        assert store.settle_as_is(client, state, "as it is")
        assert names_kept(client) == [("a",)]
        client.flushdb()


def test_a_record_whose_names_are_gone_is_a_clear_error(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(client, a=1)
    client.delete("c:shapes")
    monkeypatch.setattr(shapes, "_remembered", {})
    client.zadd("c:dirty:crm", {store.member_of(TICKET): 0})
    client.delete("c:lease:crm")
    for look in (lambda: store.read(client, [TICKET]), lambda: due(client)):
        with pytest.raises(RedisUnfit, match=r"tickets a:b %đ in crm are gone: c:shapes.*backup"):
            look()
    assert store.standings(client, [TICKET])[TICKET].generation == 0


def test_names_that_are_not_what_their_key_says_are_an_error(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(client, a=1)
    (key,) = client.hkeys("c:shapes")
    client.hset("c:shapes", key, '[["b"],[0]]')
    monkeypatch.setattr(shapes, "_remembered", {})
    with pytest.raises(RedisUnfit, match=key.hex()):
        store.read(client, [TICKET])


def test_a_process_remembers_a_bounded_number_of_names(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "_remembered", {})
    monkeypatch.setattr(shapes, "REMEMBERED", 4)
    names = [Name("crm", "tickets", str(number)) for number in range(12)]
    for number, name in enumerate(names):
        moved(client, name, **{f"f{number}": number})
    for step in (1, 3, 12):
        for start in range(0, 12, step):
            states = store.read(client, names[start : start + step])
            assert [list(state.merged.fields) for state in states] == [
                [f"f{number}"] for number in range(start, start + step)
            ]
        assert len(shapes._remembered) <= max(step, 4)


def test_names_that_a_process_knows_are_not_asked_for(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(client, a=1)
    store.read(client, [TICKET])
    monkeypatch.setattr(client, "hmget", None)
    assert store.read(client, [TICKET])[0].merged == words(a=1)


# --- what was merged lately


def merged_only(client: Redis, name: Name = TICKET, **fields: object) -> None:
    """Merged while all senders are busy: nothing is leased."""
    state = store.read(client, [name])[0]
    write = Write(name, state.generation, words(**fields), (1,))
    assert store.commit(client, [write], "w/1", None)[0].lease is None


def test_a_record_that_waited_for_its_lease_is_not_read_back(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged_only(client, a=1, b="x" * 300)
    with monkeypatch.context() as blind:
        blind.setattr(store, "unpack_merged", None)
        (lease,) = due(client)
    assert lease.state == store.read(client, [TICKET])[0]
    assert lease.state.merged == words(a=1, b="x" * 300)


def test_of_a_record_that_moved_on_while_it_waited_the_newest_is_leased(client: Redis) -> None:
    merged_only(client, a=1)
    record = kept(client)
    half, shape = pack_merged(words(a=2))
    assert shape
    key = f"c:r:{store.key_of(TICKET)}"
    client.set(key, put_together(record._replace(merged=half)))  # as another worker would
    (lease,) = due(client)
    assert lease.state.merged == words(a=2)


def test_a_bounded_number_of_merges_is_remembered(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_merged_lately", OrderedDict())
    monkeypatch.setattr(store, "_LATELY", 3)
    names = [Name("crm", "tickets", str(number)) for number in range(8)]
    for number, name in enumerate(names):
        merged_only(client, name, a=number)
        assert len(store._merged_lately) <= 3
    leases = {lease.name: lease.state.merged for lease in due(client)}
    assert leases == {name: words(a=number) for number, name in enumerate(names)}
    assert not store._merged_lately


# --- as earlier versions wrote it


def test_records_of_an_earlier_version_are_refused(client: Redis) -> None:
    lease = moved(client, a=1)
    assert lease
    call = f'["{store.key_of(TICKET)}",1,"PUT","/",200,0.1,"done","",null]'
    store.release(client, [replace(up_to_date(lease), calls=(call,))])
    store.refuse_older(client, ["crm"])
    client.set(f"c:m:{store.key_of(TICKET)}", "00000001[[],{},-1]")
    with pytest.raises(RedisUnfit, match="earlier version"):
        store.refuse_older(client, ["crm"])
    client.flushdb()
    client.set("c:m:crm:tickets:7", "00000001[[],{},-1]")
    client.zadd("c:dirty:crm", {"tickets:7": 1})
    with pytest.raises(RedisUnfit, match="earlier version"):
        store.refuse_older(client, ["other", "crm"])


def test_an_empty_redis_is_of_no_earlier_version(client: Redis) -> None:
    store.refuse_older(client, ["crm"])


def test_a_record_is_found_by_its_id_in_the_crm_and_no_other(client: Redis) -> None:
    for number in range(5):
        lease = moved(client, Name("crm", "tickets", str(number)), a=f"L{number}")
        assert lease
        store.release(client, [Release(lease, told_of(lease, link=f"L{number}"))])
    cursor, looked, states = store.scan_links(client, 0, "L3", 1000)
    assert (cursor, looked) == (0, 5)
    assert [state.name.id for state in states] == ["3"]


def test_a_text_that_every_record_holds_is_no_id_in_the_crm(client: Redis) -> None:
    text = put_together(Parts(1, 1, b"[[],[]]", b'{"l":"abc"}'))
    client.set(f"c:r:{store.key_of(TICKET)}", text)
    assert store.scan_links(client, 0, "ab", 1000) == (0, 1, [])
