"""The web process killed and ended under load."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from system import Load, Stream, System, Tally, balance, wait_for

Brisk = Callable[..., AbstractContextManager[System]]


def test_the_web_process_killed_under_load(brisk: Brisk, tally: Tally) -> None:
    """Stored before it is answered, in one step with its job: a 200 stands for an event that is
    in Redis, or on the disk."""
    stream = Stream(20)
    with brisk() as system:
        system.behave(latency=0.02)
        with Load(system, stream.bodies(700), rate=150) as load:
            for before in (150, 350):
                wait_for(lambda enough=before: load.sent > enough, f"{before} requests")
                system.kill9("web")
                system.start_web()
        balance(system, stream, load, tally=tally)
        assert 150 < len(load.acknowledged) < 700


def test_the_web_process_killed_while_it_spools(brisk: Brisk, tally: Tally) -> None:
    """The disk has it before the answer; found at the next start, drained with Redis back."""
    stream = Stream(20)
    with brisk() as system:
        system.redis.pause()
        with Load(system, stream.bodies(500), rate=150) as load:
            wait_for(lambda: load.sent > 200, "requests")
            system.kill9("web")
            system.start_web()
        system.redis.resume()
        balance(system, stream, load, tally=tally)
        assert len(load.acknowledged) > 200


def test_the_web_process_told_to_end_under_load(brisk: Brisk, tally: Tally) -> None:
    """Requests under way are answered before the process ends."""
    stream = Stream(20)
    with brisk() as system:
        with Load(system, stream.bodies(300), rate=150) as load:
            wait_for(lambda: load.sent > 100, "requests")
            assert system.stop("web") == 0
            system.start_web()
        balance(system, stream, load, tally=tally)
