"""Whether an event costs the same when much waits, and when many records are known.

CPU of worker and Redis per event, storing the event included. For the backlog: a feeder keeps up 10
events that wait, which the worker takes as soon as it comes to them; of 200,000 that are stored,
some are worked off at a time while the others wait, and in the end all of them, to see that none is
lost. At both ends 10 events are stored in a step. For the records: 5,000 events about tickets that
are new, with 1,000 and with 500,000 others in Redis. Both ends of a scale stand side by side and
take turns, for what is looked for is smaller than what a machine's speed changes by meanwhile. CRM
without latency, no web process at work.
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
"""How much more, or less, an event may cost."""

_IN_A_STEP = 10
"""Events stored at a time, at either end of the backlog: what a step costs is shared by them."""


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
    with _site(threads) as few, _site(threads) as many:
        backlog = _Backlog(many, size.many_waiting)
        for number in range(size.rounds):
            first = 1 + number * size.events
            few.start_worker()
            yield _kept_waiting(few, size.few_waiting, first, size.events)
            few.end("worker-0")
            yield backlog.work_off(size.events, to_the_end=number == size.rounds - 1)
    with _knowing(size.few_known, threads) as few, _knowing(size.many_known, threads) as many:
        for number in range(size.rounds):
            first = 1 + number * size.events
            yield _beside_known(few, size.few_known, first, size.events)
            yield _beside_known(many, size.many_known, first, size.events)


@contextmanager
def _site(threads: int) -> Iterator[Connector]:
    """A warm site without a worker."""
    with Connector(threads=threads) as site:
        site.warm_up()
        site.end("worker-0")
        site.crm("_reset", {})
        yield site


def _kept_waiting(site: Connector, waiting: int, first: int, count: int) -> Run:
    """A few more whenever the worker has taken some."""
    client, fed = site.client, 0
    known = site.crm("_stats")["records"]

    def feed() -> bool:
        nonlocal fed
        room = min(waiting - int(client.llen("rq:queue:connector")), count - fed)
        if room > 0:
            preload.queue(client, Events(first=first + fed, count=room))
            fed += room
        return fed == count

    before, begun = site.usage(), time.monotonic()
    # Each look is at Redis' cost: no more of them than it takes.
    wait_for(feed, "all events fed", 120.0, every=0.002)
    events = Events(first=first, count=count)
    return _finish(site, "waiting", waiting, events, before, begun, known=known)


class _Backlog:
    """Stored events that are worked off piece by piece."""

    def __init__(self, site: Connector, waiting: int) -> None:
        before = site.usage()
        self._site, self._events = site, Events(count=waiting)
        preload.queue(site.client, self._events, at_once=_IN_A_STEP)
        self._stored = site.usage().since(before).redis / waiting

    def work_off(self, count: int, *, to_the_end: bool) -> Run:
        """Some of them while the others wait; `to_the_end`: then all, to see what is lost."""
        site, waiting = self._site, self._events.count
        known = site.crm("_stats")["records"]
        site.start_worker()
        before, begun = site.usage(), time.monotonic()
        done = site.await_records(known + count)["records"] - known
        used, seconds = site.usage().since(before), time.monotonic() - begun
        lost = 0
        if to_the_end:
            site.await_records(waiting)
            lost = len(site.missing(self._events.newest()))
        site.end("worker-0")
        redis = used.redis / done + self._stored
        return Run(
            "waiting", waiting, done, 1000 * used.worker / done, 1000 * redis, done / seconds, lost
        )


@contextmanager
def _knowing(known: int, threads: int) -> Iterator[Connector]:
    """A site of so many records, without a worker."""
    with _site(threads) as site:
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
    known: int = 0,
) -> Run:
    """Wait for the end and work out the costs; `stored`: seconds of Redis for storing before;
    `known`: rows that the CRM had before."""
    stats = site.await_records(known + events.count)
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
    grown = ", ".join(f"{growth(data, end):+.0%} with more {end}" for end in ("waiting", "known"))
    headings = ("", "events measured", "worker, ms", "Redis, ms", "together, ms", "lost")
    note = f"{grown}. Goal: at most {GOAL:.0%} more or less."
    return [Table("CPU per event at both ends of a scale", headings, rows, note)]
