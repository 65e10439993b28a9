"""Redis killed, stopped, full, empty: what was acknowledged is in the CRM all the same."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

import requests
from system import Load, Stream, System, Tally, balance, wait_for

from connector.alive import live_workers
from connector.redisdb import Redis, connect

Brisk = Callable[..., AbstractContextManager[System]]

AT_MOST = 1.0
"""Seconds that an answer takes whatever Redis does, as a rule: a machine that stands still for a
moment holds up a few, and what is broken holds up most."""


def test_redis_killed_under_load_and_started_again(brisk: Brisk, tally: Tally) -> None:
    """Append-only file and spool: what Redis took is there again, what it could not take is on the
    disk of the web process; the worker waits and goes on."""
    stream = Stream(20)
    with brisk() as system:
        _write_before_answering(system)
        system.behave(latency=0.02)
        with Load(system, stream.bodies(900), rate=150) as load:
            for before in (200, 500):
                wait_for(lambda enough=before: load.sent > enough, f"{before} requests")
                system.redis.kill9()
                until = load.sent + 100
                wait_for(lambda enough=until: load.sent > enough, "requests without Redis")
                system.redis.start()
                _write_before_answering(system)
        tally.note("while Redis was away", slowest_answer=f"{load.slowest:.2f} s")
        assert len(load.acknowledged) == 900
        assert load.typical < AT_MOST
        balance(system, stream, load, tally=tally)
        assert system.alive("worker")


def _write_before_answering(system: System) -> None:
    """With `everysec` Redis answers first while its disk is busy with what came before: then a kill
    costs up to two seconds (docs/concepts.md)."""
    connect(system.redis.url).config_set("appendfsync", "always")


def test_redis_stopped_under_load(brisk: Brisk, tally: Tally) -> None:
    """Short timeouts and the spool in front; behind, claims whose answer never came are given back
    by the worker that they were given to. Nothing of it needs a restart."""
    stream = Stream(20)
    with brisk() as system:
        system.behave(latency=0.02)
        with Load(system, stream.bodies(1300), rate=100) as load:
            wait_for(lambda: load.sent > 100, "requests")
            system.redis.pause()
            wait_for(lambda: load.sent > 1200, "requests without Redis", 20)
            system.redis.resume()
        tally.note("while Redis was stopped", slowest_answer=f"{load.slowest:.2f} s")
        assert len(load.acknowledged) == 1300
        assert load.typical < AT_MOST
        balance(system, stream, load, tally=tally)
        assert system.alive("worker")


def test_redis_stopped_while_a_worker_takes_its_backlog(brisk: Brisk, tally: Tally) -> None:
    """Claims that Redis gave in an answer that nobody waited for any more go back to the queue."""
    stream = Stream(200)
    with brisk(workers=0) as system:
        with Load(system, stream.bodies(2000), rate=1000) as load:
            pass
        client = connect(system.redis.url)
        system.start_worker()
        wait_for(lambda: client.scard("c:queued") < 1900, "the worker to begin", every=0.001)
        left = client.scard("c:queued")
        system.redis.pause()
        time.sleep(7.5)  # a command of the worker gives up after five seconds, and the next begins
        system.redis.resume()
        tally.note("while Redis was stopped", queued=left)
        balance(system, stream, load, tally=tally)


def test_a_full_redis_takes_no_events_and_lets_the_worker_drain_it(
    brisk: Brisk, tally: Tally
) -> None:
    """Spool above a share of maxmemory; scripts of workers may write in a full Redis, so that what
    it holds goes on to the CRM."""
    stream = Stream(20)
    with brisk() as system:
        client = connect(system.redis.url)
        wait_for(lambda: system.cli("status")["workers"], "the worker")
        system.signal("worker", signal.SIGSTOP)
        with Load(system, stream.bodies(300), rate=300) as before:
            pass
        load = _fill_and_load(system, stream, tally)
        system.signal("worker", signal.SIGCONT)
        _wait_until_drained(system, 300)
        _heartbeat_is_missed(client)
        wait_for(lambda: system.cli("status")["workers"], "the worker to show itself all the same")
        assert system.cli("status")["redis"]["full"]
        client.config_set("maxmemory", 0)
        balance(system, stream, before, load, tally=tally)


def test_a_full_spool_is_said_and_loses_nothing_that_was_acknowledged(
    brisk: Brisk, tally: Tally
) -> None:
    """503 is no promise: the vendor sends again. What was answered 200 before it is drained."""
    stream = Stream(20)
    with brisk() as system:
        system.stop("web")
        config = system.folder / "config.yaml"
        config.write_text(f"{config.read_text()}receiver: {{max_spool: 65536}}\n")
        system.start_web()
        system.redis.pause()
        with Load(system, stream.bodies(600), rate=300) as load:
            pass
        assert load.typical < AT_MOST
        held = requests.get(f"{system.web_url}/readyz", timeout=10).json()["spool"]
        assert held["events"] == len(load.acknowledged)
        assert 30_000 < held["bytes"] <= 70_000
        system.redis.resume()
        balance(system, stream, load, tally=tally)
        assert 0 < len(load.acknowledged) < 600


def test_a_worker_started_while_redis_is_full_drains_it(brisk: Brisk, tally: Tally) -> None:
    """Whatever a worker must write before it works, it may write in a full Redis, too."""
    stream = Stream(20)
    with brisk(workers=0) as system:
        client = connect(system.redis.url)
        with Load(system, stream.bodies(300), rate=300) as before:
            pass
        load = _fill_and_load(system, stream, tally)
        system.start_worker()
        _wait_until_drained(system, 300)
        assert system.cli("status")["workers"]
        client.config_set("maxmemory", 0)
        balance(system, stream, before, load, tally=tally)


def _heartbeat_is_missed(client: Redis) -> None:
    """As when the heartbeats of ten seconds did not reach Redis."""
    for name in live_workers(client):
        client.delete(f"c:worker:{name}")


def _fill_and_load(system: System, stream: Stream, tally: Tally) -> Load:
    """Make Redis full, and send 200 events that must all be taken all the same."""
    client = connect(system.redis.url)
    client.config_set("maxmemory", client.info("memory")["used_memory"] * 3 // 4)
    with Load(system, stream.bodies(200), rate=150) as load:
        pass
    spooled, slowest = system.spooled(), f"{load.slowest:.2f} s"
    tally.note("while Redis was full", spooled=spooled, slowest_answer=slowest)
    assert len(load.acknowledged) == 200
    assert load.typical < AT_MOST
    assert spooled == 200
    return load


def _wait_until_drained(system: System, count: int) -> None:
    """Until the CRM has what Redis held, with Redis as full as before."""
    wait_for(
        lambda: Counter(system.outcomes().values()) == {"done": count},
        "what was there before to be delivered",
        20,
        lambda: (Counter(system.outcomes().values()), system.log("worker")[-1500:]),
    )
    assert system.alive("worker")


def test_redis_and_the_web_process_killed_together(brisk: Brisk, tally: Tally) -> None:
    """The spool is on the disk before the answer: it outlives the process that wrote it."""
    stream = Stream(20)
    with brisk() as system:
        system.redis.kill9()
        with Load(system, stream.bodies(200), rate=200) as load:
            pass
        assert len(load.acknowledged) == 200
        system.kill9("web")
        system.redis.start()
        system.start_web()
        balance(system, stream, load, tally=tally)


def test_a_redis_that_comes_back_empty_is_worked_with_again(brisk: Brisk, tally: Tally) -> None:
    """Nothing that a process knows of Redis is known for ever: scripts and the mapping set in force
    are put there again. (What such a Redis held is gone: that is what the append-only file is for.)
    """
    stream = Stream(5)
    with brisk() as system:
        with Load(system, stream.one_for_each()) as load:
            pass
        balance(system, stream, load, tally=tally)
        client = connect(system.redis.url)
        client.flushall()
        client.script_flush()
        system.behave()
        more = Stream(5, first=100)
        with Load(system, more.one_for_each()) as load:
            pass
        wait_for(
            lambda: list(system.outcomes().values()) == ["done"] * 5,
            "five events done",
            15,
            lambda: (system.outcomes(), system.log("worker")[-1500:]),
        )
        assert system.alive("worker")


def test_a_worker_and_a_web_process_start_before_redis(brisk: Brisk, tally: Tally) -> None:
    """Nothing ends because Redis is away, at the start as little as later."""
    stream = Stream(10)
    with brisk(workers=0, web=False) as system:
        system.redis.kill9()
        system.start_web()
        system.start_worker()
        with Load(system, stream.bodies(50)) as load:
            pass
        assert len(load.acknowledged) == 50
        time.sleep(0.5)
        assert system.alive("worker")
        system.redis.start()
        balance(system, stream, load, tally=tally)
