"""Whether an event costs the same when much waits, and when many records are known.

CPU of worker and Redis per event, storing the event included. For the backlog all events are stored
before; at one end all 200,000 of them wait, at others they are held back and let into the queue so
that 10,000 wait, or 10, whenever the worker has taken some. Of each some are worked off at a time,
and in the end all, to see that none is lost. For the records: events about tickets that are new,
with 1,000 and with 500,000 others in Redis. The ends of a scale stand side by side and take turns,
for what is looked for is smaller than what a machine's speed changes by meanwhile. CRM without
latency, no web process at work, no rewriting of Redis' file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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


@dataclass(frozen=True, slots=True)
class Size:
    """The ends of each scale, and how many events are measured at each in a round."""

    waiting: tuple[int, ...]
    known: tuple[int, ...]
    events: int
    rounds: int


WHOLE = Size((10, 10_000, 200_000), (1_000, 500_000), 3_000, rounds=15)
QUICK = Size((10, 2_000, 20_000), (1_000, 50_000), 3_000, rounds=1)


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
    """All ends."""
    runs = []
    for done in _runs(size, threads):
        say(
            f"{done.count:,} {done.scale}: worker {done.worker_ms:.3f} ms,"
            f" Redis {done.redis_ms:.3f} ms, {done.events_per_second:,.0f} events/s"
        )
        runs.append(asdict(done))
    return {"runs": runs}


def _runs(size: Size, threads: int) -> Iterator[Run]:
    least = size.rounds * size.events
    with ExitStack() as stack:
        ends = [
            _Stored(stack.enter_context(_site(threads)), least + count, count)
            for count in size.waiting
        ]
        for number in range(size.rounds):
            for end in ends:
                yield end.work_off(size.events, to_the_end=number == size.rounds - 1)
    with ExitStack() as stack:
        sites = {count: stack.enter_context(_knowing(count, threads)) for count in size.known}
        for number in range(size.rounds):
            for count, site in sites.items():
                yield _beside_known(site, count, 1 + number * size.events, size.events)


@contextmanager
def _site(threads: int) -> Iterator[Connector]:
    """A warm site without a worker, whose Redis does not rewrite its file: that costs by what it
    holds, once in a while, and would hit one of two ends."""
    with Connector(threads=threads) as site:
        site.client.config_set("auto-aof-rewrite-percentage", 0)
        site.warm_up()
        site.end("worker-0")
        site.crm("_reset", {})
        yield site


_LET_IN = """
local left = tonumber(ARGV[2])
for _ = redis.call('LLEN', 'rq:queue:connector') + 1, tonumber(ARGV[1]) do
  if left == 0 then break end
  redis.call('LMOVE', 'bench:held', 'rq:queue:connector', 'LEFT', 'RIGHT')
  left = left - 1
end
if redis.call('LLEN', 'c:wake') == 0 then redis.call('RPUSH', 'c:wake', '1') end
return left
"""
"""Lua: lets in as many as make so many wait (the first argument), and so many at most (the second);
how many of these are left. Wakes the worker as the receiver does."""


class _Stored:
    """So many stored events, of which `waiting` wait, that are worked off piece by piece."""

    def __init__(self, site: Connector, count: int, waiting: int) -> None:
        self._site, self._waiting, self._events = site, waiting, Events(count=count)
        before = site.usage()
        preload.queue(site.client, self._events)
        self._stored = site.usage().since(before).redis / count
        site.client.rename("rq:queue:connector", "bench:held")
        self._let_in(waiting)

    def work_off(self, count: int, *, to_the_end: bool) -> Run:
        """Some of them while the others wait; `to_the_end`: then all, to see what is lost."""
        site = self._site
        known = site.crm("_stats")["records"]
        site.start_worker()
        before, begun = site.usage(), time.monotonic()
        self._let_in(count)
        done = site.await_records(known + count)["records"] - known
        used, seconds = site.usage().since(before), time.monotonic() - begun
        lost = 0
        if to_the_end:
            site.await_records(self._events.count)
            lost = len(site.missing(self._events.newest()))
        site.end("worker-0")
        redis = used.redis / done + self._stored
        return Run(
            "waiting",
            self._waiting,
            done,
            1000 * used.worker / done,
            1000 * redis,
            done / seconds,
            lost,
        )

    def _let_in(self, count: int) -> None:
        let_in, left = self._site.client.register_script(_LET_IN), count

        def all_in() -> bool:
            nonlocal left
            left = int(let_in(args=[self._waiting, left]))
            return left == 0

        # Each look is at Redis' cost: no more of them than it takes.
        wait_for(all_in, "all let in", 120.0, every=0.003)


@contextmanager
def _knowing(known: int, threads: int) -> Iterator[Connector]:
    """A site of so many records, without a worker."""
    with _site(threads) as site:
        preload.know(site.client, "90000001", 10_000_000, known)
        yield site


def _beside_known(site: Connector, known: int, first: int, count: int) -> Run:
    site.crm("_reset", {})
    done = _store_and_finish(site, "known", known, Events(first=first, count=count))
    site.end("worker-0")
    return done


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
    stored: float,
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


def growth(data: Json, scale: str, count: int) -> float:
    """By how much more an event costs at the largest end than at this one: the median of what the
    rounds say, of which each has run all ends one after the other."""
    costs: dict[int, list[float]] = {}
    for one in data["runs"]:
        if one["scale"] == scale:
            costs.setdefault(one["count"], []).append(one["worker_ms"] + one["redis_ms"])
    pairs = zip(costs[max(costs)], costs[count], strict=True)
    return spread(many / few for many, few in pairs).median - 1


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
    largest = {scale: max(count for end, count in ends if end == scale) for scale, _ in ends}
    grown = "; ".join(
        f"{growth(data, scale, count):+.0%} from {count:,} to {largest[scale]:,} {scale}"
        for scale, count in ends
        if count < largest[scale]
    )
    headings = ("", "events measured", "worker, ms", "Redis, ms", "together, ms", "lost")
    note = f"{grown}. Goal: at most {GOAL:.0%} more or less."
    return [Table("CPU per event at the ends of a scale", headings, rows, note)]
