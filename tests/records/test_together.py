"""What one step does for many is what as many steps, one for each, would have done."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest

from connector import flow, journal
from connector.model import Change, Event, Name
from connector.records import store
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Merged, digest
from connector.records.store import Lease, Release, Write
from connector.redisdb import Redis, connect

TARGETS = ("crm", "erp")
NAMES = [Name(target, "tickets", str(n)) for target in TARGETS for n in range(6)]
NAMES += [Name("crm", "contacts", str(n)) for n in range(3)]
OF_TIME = {b"since", b"probe_at", b"tokens_at", b"created_at", b"enqueued_at", b"started_at"}

Pair = tuple[Redis, Redis]


@pytest.fixture
def pair(redis_url: str) -> Pair:
    """Two that hold nothing: for one step at a time, and for one after the other."""
    return connect(redis_url), connect(f"{redis_url.removesuffix('/0')}/1")


@dataclass(frozen=True)
class About:
    """A time, equal to any within a few seconds of it: both are worked on one after the other."""

    at: float  # ms

    def __eq__(self, other: object) -> bool:
        return isinstance(other, About) and abs(self.at - other.at) < 5_000


def held(client: Redis) -> dict[bytes, Any]:
    """All that Redis holds."""

    def of(key: bytes) -> Any:
        kind = client.type(key)
        if kind == b"zset":
            scores = client.zrange(key, 0, -1, withscores=True)
            return {member: About(at) if at > 1e12 else 0 for member, at in scores}
        if kind == b"hash":
            cells = client.hgetall(key).items()
            found = {k: v.split(b"|")[0] for k, v in cells if k not in OF_TIME}
            return found | {k: round(float(found[k]), 3) for k in (b"tokens",) if k in found}
        if kind == b"set":
            return {member.split(b"@")[0] for member in client.smembers(key)}
        return client.lrange(key, 0, -1) if kind == b"list" else client.get(key)

    return {key: of(key) for key in sorted(client.keys("*"))}


def both(pair: Pair, items: Sequence[Any], step: Callable[[Redis, list[Any]], list[Any]]) -> Any:
    """What one step with all items answers, which many with one each answer as well."""
    together = step(pair[0], list(items))
    assert [part for item in items for part in step(pair[1], [item])] == together
    assert held(pair[0]) == held(pair[1])
    return together


def words(name: Name, value: int) -> Merged:
    change = Change("upsert", name.target, name.resource, name.id, value, fields={"a": value})
    event = Event("caresoft", "caresoft", f"e{value}", "k", b"", 1)
    return merge(Merged(), change, stamp_of(change, event, value, 1))


def by_name(lease: Lease) -> Name:
    return lease.name


def commit(client: Redis, some: list[Write], seconds: float | None) -> list[store.Written]:
    return store.commit(client, some, "w/1", seconds, 7)


def claim(client: Redis, some: list[int], execution: str) -> list[journal.Claim]:
    return list(journal.claim(client, "w", execution, len(some)).claims)


def outcome(dice: random.Random, lease: Lease, number: int) -> Release:
    told = replace(lease.state.delivered, generation=lease.state.generation, exists=True)
    told = replace(told, digests={"a": digest(number)})
    ok = Release(
        lease,
        told,
        verdict="ok",
        calls=(f"call {number}", f"call {number}b"),
        edits=(f"edit {number}",),
        relink=dice.random() < 0.3,
    )
    kind = dice.choice(["ok", "ok", "ok", "ok", "down", "fault", "refused", "lost", "says nothing"])
    if kind == "ok":
        return ok
    if kind == "lost":
        return replace(ok, lease=replace(lease, token="somebody else"))
    if kind == "says nothing":
        return Release(lease, lease.state.delivered, due_in=dice.choice([0.0, 60.0]))
    if kind == "refused":
        dead = Dead("no", 422, None, 1, 1)
        told = replace(lease.state.delivered, dead=dead)
        return Release(lease, told, verdict="refused", signature="no", why="no", calls=("c",))
    return Release(lease, told, due_in=60.0, verdict=kind, why="away")


@pytest.mark.parametrize("seed", range(25))
def test_records_change_together_as_one_after_the_other(pair: Pair, seed: int) -> None:
    dice = random.Random(seed)
    limits: dict[str, str | int | float] = {"concurrency": dice.choice([3, 8, 50])}
    limits |= {"failures": 3, "refusals": 3, "probe_ms": 100_000}
    if dice.random() < 0.4:
        limits |= {"rate": 1e-9, "burst": dice.choice([2, 9])}
    if dice.random() < 0.3:
        limits["batch:contacts"] = 4
    for client in pair:
        for target in TARGETS:
            client.hset(f"c:target:{target}", mapping=limits)
    serial = 0
    for _ in range(5):
        writes = []
        for name in dice.sample(NAMES, dice.randint(1, len(NAMES))):
            serial += 1
            refs = tuple(dice.sample(NAMES, 2)) if dice.random() < 0.4 else ()
            state = store.read(pair[0], [name])[0]
            stale = dice.random() < 0.1
            merged = words(name, serial) if dice.random() < 0.9 else None
            expected = state.generation + stale
            writes.append(Write(name, expected, merged, (serial,), refs))
        seconds = dice.choice([20.0, 20.0, None])
        written = both(pair, writes, partial(commit, seconds=seconds))
        leases = [one.lease for one in written if one.lease]
        if "rate" not in limits and limits["concurrency"] == 50:
            # Of few who are admitted the first in line are, which depends on the millisecond.
            for target in TARGETS:
                found = [store.lease_due(client, target, 50, "w/2", 20.0)[0] for client in pair]
                one, other = (sorted(some, key=by_name) for some in found)
                assert one == other
                leases += one
        dice.shuffle(leases)
        kept = [lease for lease in leases if dice.random() < 0.8]
        kept += [lease for lease in kept if dice.random() < 0.1]  # once too late, and once well
        releases = [outcome(dice, lease, serial + n) for n, lease in enumerate(kept)]
        if dice.random() < 0.5:
            both(pair, releases, store.release)
        else:
            unlimited = "rate" not in limits and limits["concurrency"] == 50
            room = dice.choice([0, 50]) if unlimited else 0
            first = store.release_and_lease(pair[0], releases, "crm", room, "w/3", 20.0)
            store.release(pair[1], releases)
            then = store.lease_due(pair[1], "crm", room, "w/3", 20.0)
            assert sorted(first[0], key=by_name) == sorted(then[0], key=by_name)
            assert (first[1] is None) == (then[1] is None)
            assert held(pair[0]) == held(pair[1])
        if dice.random() < 0.5:
            for client in pair:
                for target in TARGETS:
                    flow.resume(client, target)
                    client.hdel(f"c:target:{target}", "ramp_at", "ramp_taken")


@pytest.mark.parametrize("seed", range(10))
def test_events_come_and_go_together_as_one_after_the_other(pair: Pair, seed: int) -> None:
    dice = random.Random(seed)

    def event(number: int) -> Event:
        problem = None if number % 5 else "odd"
        kind = None if problem else "ticket.update"
        return Event("caresoft", "caresoft", f"{number:064x}", kind, b"{}", 1, problem)

    def finish(client: Redis, some: list[Any]) -> list[Any]:
        journal.claim(client, "w", "none", 0, some)
        return []

    for round_ in range(6):
        numbers = [dice.randint(1, 40) for _ in range(12)]
        both(pair, [event(number) for number in numbers], journal.store_each)
        names = list(range(dice.randint(1, 9)))
        execution = f"x{round_}"
        claims = both(pair, names, partial(claim, execution=execution))
        finished = []
        for one in claims:
            for client in pair:
                client.hset("c:begun", one.entry.serial, 7)
            state = dice.choice(["merged", "merged", "dead"])
            finished.append((journal.outcome(one.entry, state, 7), one))
        dice.shuffle(finished)
        kept = finished if dice.random() < 0.7 else finished[1:]
        both(pair, kept, finish)
    assert len(held(pair[0])) > 30


def test_more_than_lua_passes_on_at_once(pair: Pair) -> None:
    events = [
        Event("caresoft", "caresoft", f"{n:064x}", "ticket.update", b"{}", 1) for n in range(2500)
    ]
    assert journal.store(pair[0], events) == 2500
    assert journal.queued(pair[0]) == pair[0].llen("rq:queue:connector") == 2500
    assert pair[0].zcard("c:events") == 2500
    claims = [one for _ in range(3) for one in claim(pair[0], [0] * 900, "x")]
    assert [claim.entry.serial for claim in claims] == list(range(1, 2501))
    done = [(journal.outcome(claim.entry, "merged", 7), claim) for claim in claims]
    journal.claim(pair[0], "w", "y", 0, done)
    assert journal.queued(pair[0]) == 0
    assert not pair[0].keys("rq:job:*")
    assert journal.claims_of(pair[0], "w") == []


def test_a_ramp_counts_what_one_step_takes(pair: Pair) -> None:
    client = pair[0]
    seconds, micros = client.time()
    now = seconds * 1000 + micros // 1000
    client.hset("c:target:crm", mapping={"ramp_at": now, "ramp_taken": 0})
    writes = [
        Write(Name("crm", "tickets", str(n)), 0, words(NAMES[0], 1), (n,)) for n in range(400)
    ]
    written = store.commit(client, writes, "w/1", 15.0)
    leased = sum(one.lease is not None for one in written)
    assert leased == int(client.hget("c:target:crm", "ramp_taken"))
    assert 5 <= leased <= 160  # five seconds are a long time for one step
    client.hset("c:target:crm", "ramp_at", now - 60_000)
    assert len(store.lease_due(client, "crm", 500, "w/1", 15.0)[0]) == 400 - leased
    assert not client.hexists("c:target:crm", "ramp_at")
