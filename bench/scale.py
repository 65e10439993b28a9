"""Several worker processes: how much faster, and whether what they share holds.

growth      1, 2 and 4 processes with 32 threads each work off a backlog at a CRM of 100 ms
leases      4 processes, many updates of few tickets, CRM 20 ms: no two calls on one record meet
rate limit  4 processes and a limit of 100/second: the most calls within any second
breaker     4 processes and a CRM that answers 503: calls made until the pause, and during it
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench import preload
from bench.events import Events
from bench.figures import most_within
from bench.processes import wait_for
from bench.systems import Connector
from bench.tables import Table

Json: TypeAlias = Any

THREADS = 32
LATENCY = 0.1
LIMIT = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run: events for each worker process of `growth`, and seconds of the others."""

    workers: Sequence[int]
    events: int
    seconds: int


WHOLE = Size((1, 2, 4), 2_000, 10)
QUICK = Size((1, 4), 900, 4)


@dataclass(frozen=True, slots=True)
class Growth:
    """A backlog worked off by several processes."""

    workers: int
    events: int
    events_per_second: float
    most_possible: float
    worker_ms: float
    redis_ms: float
    lost: int
    overlaps: int


def measure(size: Size, say: Callable[[str], None]) -> Json:
    """Everything."""
    growth = []
    for workers in size.workers:
        run = _growth(workers, size.events * workers)
        say(f"{workers} processes: {run.events_per_second:,.0f} of {run.most_possible:,.0f}/s")
        growth.append(asdict(run))
    shared = {
        "leases": _leases(max(size.workers), 200 * size.seconds),
        "rate_limit": _rate_limit(max(size.workers), size.seconds),
        "breaker": _breaker(max(size.workers), size.seconds),
    }
    for name, counts in shared.items():
        say(f"{name}: {counts}")
    return {"growth": growth, "processes": max(size.workers), **shared}


def _growth(workers: int, count: int) -> Growth:
    with Connector(latency=LATENCY, threads=THREADS, workers=workers) as site:
        site.warm_up()
        for number in range(workers):
            site.end(f"worker-{number}")
        site.crm("_reset", {})
        preload.queue(site.client, Events(count=count))
        for number in range(workers):
            site.start_worker(f"worker-{number}")
        before = site.usage()
        stats = site.await_records(count)
        used = site.usage().since(before).per_event_ms(count)
        return Growth(
            workers=workers,
            events=count,
            events_per_second=count / (stats["last"] - stats["first"]),
            most_possible=workers * THREADS / LATENCY,
            worker_ms=used["worker"],
            redis_ms=used["redis"],
            lost=len(site.missing(Events(count=count).newest())),
            overlaps=stats["overlaps"],
        )


def _leases(workers: int, count: int) -> Json:
    events = Events(count=count, records=50)
    with Connector(latency=0.02, threads=THREADS, workers=workers) as site:
        site.warm_up()
        site.crm("_reset", {})
        preload.queue(site.client, events)
        wait_for(lambda: site.behind() == 0, "nothing behind", 120.0)
        stats = site.crm("_stats")
        return {
            "updates": count,
            "tickets": 50,
            "calls": stats["calls"],
            "overlaps": stats["overlaps"],
            "lost": len(site.missing(events.newest())),
        }


def _rate_limit(workers: int, seconds: int) -> Json:
    count = LIMIT * seconds
    target = f"    rate_limit: {LIMIT}/second\n"
    with Connector(threads=THREADS, workers=workers, target=target) as site:
        preload.queue(site.client, Events(count=count))
        stats = site.await_records(count)
        return {
            "limit_per_second": LIMIT,
            "calls": stats["calls"],
            "per_second": stats["calls"] / (stats["last"] - stats["first"]),
            "most_within_a_second": most_within(site.crm("_times")["taken"], 1.0),
        }


def _breaker(workers: int, seconds: int) -> Json:
    with Connector(threads=THREADS, workers=workers) as site:
        site.warm_up()
        site.crm("_reset", {})
        site.behave(status=503)
        preload.queue(site.client, Events(count=2_000))
        time.sleep(seconds)
        times = site.crm("_times")["refused"]
        site.behave(status=200)
        wait_for(lambda: site.behind() == 0, "nothing behind", 120.0)
        return {
            "waiting": 2_000,
            "seconds": seconds,
            "calls_in_first_second": sum(moment - times[0] < 1.0 for moment in times),
            "calls_afterwards": sum(moment - times[0] >= 1.0 for moment in times),
            "lost": len(site.missing(Events(count=2_000).newest())),
        }


def tables(data: Json) -> list[Table]:
    """Growth, and what is shared."""
    first = data["growth"][0]["events_per_second"]
    rows = tuple(
        (
            f"{one['workers']}",
            f"{one['events_per_second']:,.0f}",
            f"{one['events_per_second'] / first:.1f} ×",
            f"{one['most_possible']:,.0f}",
            f"{one['worker_ms']:.2f}",
            f"{one['redis_ms']:.2f}",
            f"{one['lost']}",
            f"{one['overlaps']}",
        )
        for one in data["growth"]
    )
    headings = (
        "worker processes",
        "events/s",
        "growth",
        "threads ÷ latency",
        "workers, ms per event",
        "Redis, ms per event",
        "lost",
        "overlaps",
    )
    leases, limit, breaker = data["leases"], data["rate_limit"], data["breaker"]
    shared = (
        (
            "leases",
            f"{leases['updates']:,} updates of {leases['tickets']} tickets:"
            f" {leases['calls']:,} calls, {leases['overlaps']} overlaps, {leases['lost']} lost",
        ),
        (
            "rate limit",
            f"{limit['limit_per_second']}/second set; {limit['per_second']:.0f}/s made,"
            f" at most {limit['most_within_a_second']} within any second",
        ),
        (
            "breaker",
            f"{breaker['waiting']:,} records wait: {breaker['calls_in_first_second']} calls in the"
            f" first second of an outage, {breaker['calls_afterwards']} in the next"
            f" {breaker['seconds'] - 1}; {breaker['lost']} lost",
        ),
    )
    title = f"Worker processes of {THREADS} threads, CRM {LATENCY * 1000:g} ms"
    return [
        Table(title, headings, rows),
        Table(f"What {data['processes']} processes share", ("", ""), shared),
    ]
