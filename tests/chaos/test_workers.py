"""Workers that are killed, frozen or told to end in the middle of a call, and their neighbours."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from system import Json, Load, Stream, System, Tally, balance, event_id, wait_for

from connector import journal, worker
from connector.redisdb import connect

Brisk = Callable[..., AbstractContextManager[System]]


def lead(number: int, **fields: Json) -> bytes:
    """An update of a lead; the later it is made, the newer."""
    told = {"id": number, "updated_at": time.time_ns() // 1_000_000, "a": number, **fields}
    return json.dumps({"object": "lead", "action": "update", "lead": told}).encode()


def test_a_worker_killed_in_mid_call_is_followed_by_another(brisk: Brisk, tally: Tally) -> None:
    """Lease: it runs out by itself, and its records are taken over in doubt.

    All eight senders are in a call, as many as the target takes at once: the leases of the dead
    must not count as calls under way.
    """
    stream = Stream(16)
    with brisk(more="    concurrency: 8\n") as system:
        system.behave(latency=1.0)
        with Load(system, stream.bodies(100), rate=100) as load:
            wait_for(lambda: system.waiting_calls() == 8, "eight calls under way")
            system.kill9("worker")
            system.behave()
        system.start_worker("next")
        balance(system, stream, load, tally=tally)


def test_a_write_whose_answer_a_dead_worker_never_heard_is_repeated_as_the_same_call(
    brisk: Brisk, tally: Tally
) -> None:
    """Idempotency key: it covers the number of the call, which grows only with an answer, so what
    a dead worker sent and what its successor sends are one call."""
    stream = Stream(6)
    with brisk() as system:
        system.behave(mode="hang_after_write")
        with Load(system, stream.one_for_each()) as load:
            wait_for(lambda: system.waiting_calls() == 6, "six calls under way")
            system.kill9("worker")
            system.behave()
        system.start_worker("next")
        calls = balance(system, stream, load, tally=tally)
    keys = {record: set() for record in stream.records}
    for call in calls:
        if call["record"]:
            keys[call["record"]].add(call["headers"]["idempotency-key"])
    assert [len(some) for some in keys.values()] == [1] * 6
    assert len(calls) >= 12


def test_events_that_a_killed_worker_had_taken_are_given_back(brisk: Brisk, tally: Tally) -> None:
    """Heartbeat and sweep: the claims of a worker without a heartbeat go back to the queue."""
    stream = Stream(200)
    with brisk(workers=0) as system:
        with Load(system, stream.bodies(1200), rate=1000) as load:
            pass
        client = connect(system.redis.url)
        system.start_worker("first")
        wait_for(lambda: client.keys("c:claims:*"), "claims", every=0.001)
        system.kill9("first")
        held = client.scard(client.keys("c:claims:*")[0])
        killed_at = time.monotonic()
        system.start_worker("second")
        wait_for(lambda: not client.exists("c:queued"), "the queue to be empty", 20)
        took = round(time.monotonic() - killed_at, 1)
        tally.note("claims of the dead", held=held, merged_after=f"{took} s")
        balance(system, stream, load, tally=tally)
    assert held


def test_a_worker_told_to_end_finishes_its_calls(brisk: Brisk, tally: Tally) -> None:
    """Winding up: calls under way are finished and released; what was only taken is given back."""
    stream = Stream(8)
    with brisk() as system:
        system.behave(latency=1.5)
        with Load(system, stream.one_for_each()) as load:
            wait_for(lambda: system.waiting_calls() == 8, "eight calls under way")
        begun = time.monotonic()
        assert system.stop("worker") == 0
        tally.note("ended", after=f"{time.monotonic() - begun:.1f} s")
        client = connect(system.redis.url)
        assert client.keys("c:claims:*") == client.keys("c:lease:*") == []
        calls = balance(system, stream, load, tally=tally)
        assert len(calls) == 8
        system.behave()
        with Load(system, stream.one_for_each()) as more:
            pass
        system.start_worker("next")
        assert len(balance(system, stream, load, more, tally=tally)) <= 16


def test_a_worker_told_to_end_leaves_a_call_that_does_not_end_to_its_lease(
    brisk: Brisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Winding up: after STOP_WITHIN (here shortened) the process ends whatever the CRM does; the
    lease stays, for the call may still be under way."""
    monkeypatch.setattr(worker, "STOP_WITHIN", 1.0)
    stream = Stream(2)
    with brisk(workers=0, timeout=60) as system:
        system.behave(mode="hang")
        with Load(system, stream.one_for_each()):
            pass
        process = worker.Worker(system.config, threads=4)
        thread = threading.Thread(target=process.run, daemon=True)
        thread.start()
        wait_for(lambda: system.waiting_calls() == 2, "two calls under way")
        process.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()
        client = connect(system.redis.url)
        assert client.hlen("c:lease:crm") == 2
        assert client.zcard("c:dirty:crm") == 2
        assert client.keys("c:claims:*") == []
        assert journal.queued(client) == 0


def test_a_worker_told_twice_ends_at_once_and_loses_nothing(brisk: Brisk, tally: Tally) -> None:
    """A second SIGTERM is as good as a kill, and no worse."""
    stream = Stream(8)
    with brisk() as system:
        system.behave(mode="hang")
        with Load(system, stream.one_for_each()) as load:
            wait_for(lambda: system.waiting_calls() == 8, "eight calls under way")
        system.signal("worker", signal.SIGTERM)
        time.sleep(0.3)
        assert system.alive("worker")
        assert system.stop("worker") == 1  # 0: it waited for its calls
        system.behave()
        system.start_worker("next")
        balance(system, stream, load, tally=tally)


def test_two_workers_share_twenty_records_without_meeting(brisk: Brisk, tally: Tally) -> None:
    """Lease per record, generations: whoever merges while another delivers makes a next delivery,
    never a second one at the same time."""
    stream = Stream(20)
    bodies = stream.bodies(900, late=0.4)
    bodies += [stream.delete(record) for record in stream.records[:3]]
    bodies += stream.bodies(100)
    with brisk(workers=2, more="    concurrency: 16\n") as system:
        system.behave(latency=0.03)
        with Load(system, bodies, rate=200) as load:
            pass
        calls = balance(system, stream, load, tally=tally)
        assert load.acknowledged == [one.body for one in load.posted]
        assert len(calls) < 1000
        workers = system.cli("status")["workers"]
    assert len(workers) == 2


def test_a_worker_frozen_for_longer_than_its_lease_does_no_harm(brisk: Brisk, tally: Tally) -> None:
    """Who comes back too late finds its token stale, stores nothing, and puts the record in doubt:
    the next delivery sends everything again."""
    stream = Stream(4)
    with brisk() as system:
        system.behave(mode="hang_after_write")
        with Load(system, stream.one_for_each(a=1)) as load:
            wait_for(lambda: system.waiting_calls() == 4, "four calls under way")
            system.signal("worker", signal.SIGSTOP)
        system.behave()
        system.start_worker("other")
        with Load(system, stream.one_for_each(a=2) + stream.one_for_each(b=1)) as more:
            pass
        balance(system, stream, load, more, tally=tally)
        before = len(system.calls())
        system.signal("worker", signal.SIGCONT)
        wait_for(lambda: len(system.calls()) >= before + 4, "each record to be sent again")
        balance(system, stream, load, more, tally=tally)


@pytest.mark.parametrize(
    ("mode", "ends"), [("422", {"dead": 12}), ("500", {}), ("hang", {}), ("reset_after_write", {})]
)
def test_bad_records_hold_no_good_one_up(
    brisk: Brisk, tally: Tally, mode: str, ends: dict[str, int]
) -> None:
    """One bad apple: a refusal is a dead letter of its record; one that fails or never answers is
    due again by itself. Others pass in between, and a newer event heals what was given up."""
    stream = Stream(30)
    bad = [lead(number) for number in range(12)]
    good = stream.bodies(240)
    mixed = [body for n, one in enumerate(bad) for body in (one, *good[n * 20 : n * 20 + 20])]
    with brisk() as system:
        system.behave(mode=mode, resource="leads")
        with Load(system, mixed, rate=150) as load:
            pass
        ids = {event_id(body) for body in good}

        def good_ones() -> Counter[str]:
            return Counter(state for id_, state in system.outcomes().items() if id_ in ids)

        wait_for(lambda: good_ones() == {"done": 240}, "the good ones", 20, good_ones)
        left = Counter(s for id_, s in system.outcomes().items() if id_ not in ids)
        tally.note(f"leads answered {mode}, while the tickets are done", **left)
        assert {state: left[state] for state in ends} == ends
        assert left["done"] == 0
        system.behave()
        with Load(system, [lead(number, b=1) for number in range(12)]) as healing:
            pass
        balance(system, stream, load, healing, tally=tally, timeout=2.0)
        assert {row["b"] for row in system.rows("leads").values()} == {1}
