"""Whether an event costs the same when much waits, and when many records are known.

CPU of worker and Redis per event, storing the event included. For the backlog: 10 waiting events
are kept up by a feeder that replaces each that was taken; 200,000 are stored and then all worked
off. For the records: 5,000 events about tickets that are new, with 1,000 and with 500,000 others in
Redis; both Redis stand side by side and take turns, for what is looked for is smaller than what a
machine's speed changes by meanwhile. CRM without latency, no web process at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench import preload
from bench.events import Events
from bench.figures import spread
from bench.processes import wait_for
from bench.systems import Connector
from bench.tables import Table

Json: TypeAlias = Any

GOAL = 0.2
"""How much more an event may cost."""


@dataclass(frozen=True, slots=True)
class Size:
    """The two ends of each scale, and how many events are measured at the small ends."""

    few_waiting: int
    many_waiting: int
    few_known: int
    many_known: int
    events: int
    rounds: int


WHOLE = Size(10, 200_000, 1_000, 500_000, 5_000, rounds=3)
QUICK = Size(10, 20_000, 1_000, 50_000, 3_000, rounds=1)


@dataclass(frozen=True, slots=True)
class Run:
    """One run at one end of a scale; ms of CPU per event."""

    scale: str
    count: int
    events: int
    worker_ms: float
    redis_ms: float
    events_per_second: float
    lost: int


def measure(size: Size, threads: int, say: Callable[[str], None]) -> Json:
    """All four ends."""
    runs = []
    for done in _runs(size, threads):
        say(
            f"{done.count:,} {done.scale}: worker {done.worker_ms:.3f} ms,"
            f" Redis {done.redis_ms:.3f} ms, {done.events_per_second:,.0f} events/s"
        )
        runs.append(asdict(done))
    return {"runs": runs}


def _runs(size: Size, threads: int) -> Iterator[Run]:
    yield _kept_waiting(size.few_waiting, size.events, threads)
    yield _worked_off(size.many_waiting, threads)
    with _knowing(size.few_known, threads) as few, _knowing(size.many_known, threads) as many:
        for number in range(size.rounds):
            first = 1 + number * size.events
            yield _beside_known(few, size.few_known, first, size.events)
            yield _beside_known(many, size.many_known, first, size.events)


def _kept_waiting(waiting: int, count: int, threads: int) -> Run:
    with Connector(threads=threads) as site:
        site.warm_up()
        client, fed = site.client, 0
        site.crm("_reset", {})

        def feed() -> bool:
            nonlocal fed
            room = min(waiting - int(client.llen("rq:queue:connector")), count - fed)
            if room > 0:
                preload.queue(client, Events(first=1 + fed, count=room))
                fed += room
            return fed == count

        before, begun = site.usage(), time.monotonic()
        wait_for(feed, "all events fed", 120.0, every=0.001)
        return _finish(site, "waiting", waiting, Events(count=count), before, begun)


def _worked_off(waiting: int, threads: int) -> Run:
    with Connector(threads=threads) as site:
        site.warm_up()
        site.end("worker-0")
        site.crm("_reset", {})
        return _store_and_finish(site, "waiting", waiting, Events(count=waiting))


@contextmanager
def _knowing(known: int, threads: int) -> Iterator[Connector]:
    """A site of so many records, without a worker."""
    with Connector(threads=threads) as site:
        site.warm_up()
        site.end("worker-0")
        client = site.client
        preload.know(client, "90000001", 10_000_000, known)
        # Loading makes Redis rewrite its file, which is no cost of the events that follow: not the
        # rewriting that began while it was loaded, nor one that would come soon after.
        _await_rewritten(client)
        client.bgrewriteaof()
        _await_rewritten(client)
        yield site


def _beside_known(site: Connector, known: int, first: int, count: int) -> Run:
    site.crm("_reset", {})
    done = _store_and_finish(site, "known", known, Events(first=first, count=count))
    site.end("worker-0")
    return done


def _await_rewritten(client: Any) -> None:
    def rewritten() -> bool:
        now = client.info("persistence")
        return not (now["aof_rewrite_in_progress"] or now["aof_rewrite_scheduled"])

    wait_for(rewritten, "the file rewritten", 120.0)


def _store_and_finish(site: Connector, scale: str, count: int, events: Events) -> Run:
    before = site.usage()
    preload.queue(site.client, events)
    stored = site.usage().since(before).redis
    site.start_worker()
    before, begun = site.usage(), time.monotonic()
    return _finish(site, scale, count, events, before, begun, stored)


def _finish(
    site: Connector,
    scale: str,
    count: int,
    events: Events,
    before: Any,
    begun: float,
    stored: float = 0.0,
) -> Run:
    """Wait for the end and work out the costs; `stored`: seconds of Redis for storing before."""
    stats = site.await_records(events.count)
    used = site.usage().since(before)
    return Run(
        scale=scale,
        count=count,
        events=events.count,
        worker_ms=1000 * used.worker / events.count,
        redis_ms=1000 * (used.redis + stored) / events.count,
        events_per_second=events.count / (stats["last"] - begun),
        lost=len(site.missing(events.newest())),
    )


def growth(data: Json, scale: str) -> float:
    """By how much more an event costs at the large end than at the small one: the median of what
    the rounds say, of which each has run both ends one after the other."""
    costs = [one["worker_ms"] + one["redis_ms"] for one in data["runs"] if one["scale"] == scale]
    return spread(many / few for few, many in zip(costs[::2], costs[1::2], strict=True)).median - 1


def tables(data: Json) -> list[Table]:
    """A row for each end."""
    words = {"waiting": "events wait", "known": "records are known"}
    ends: dict[tuple[str, int], list[Json]] = {}
    for one in data["runs"]:
        ends.setdefault((one["scale"], one["count"]), []).append(one)
    rows = tuple(
        (
            f"{count:,} {words[scale]}",
            f"{runs[0]['events']:,}",
            spread(one["worker_ms"] for one in runs).text(2),
            spread(one["redis_ms"] for one in runs).text(2),
            spread(one["worker_ms"] + one["redis_ms"] for one in runs).text(2),
            f"{sum(one['lost'] for one in runs)}",
        )
        for (scale, count), runs in ends.items()
    )
    grown = ", ".join(f"{growth(data, scale):+.0%} with more {scale}" for scale in words)
    headings = ("", "events measured", "worker, ms", "Redis, ms", "together, ms", "lost")
    note = f"{grown}. Goal: at most {GOAL:+.0%}."
    return [Table("CPU per event at both ends of a scale", headings, rows, note)]
