"""What an event costs while events come at a lasting rate, below what the processes can do.

One round of a worker then holds few events, and each process sleeps and wakes again: an event costs
more than at full speed, and the cores are hardly used all the same. CRM of 100 ms; what a process
does besides (showing that it lives, retention, metrics) is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench.events import Events
from bench.generator import Order
from bench.systems import Connector
from bench.tables import Table

Json: TypeAlias = Any

LATENCY = 0.1
"""Seconds that the CRM takes."""

RATES = (10, 50, 100, 200, 500, 1_000)
"""Events a second."""


@dataclass(frozen=True, slots=True)
class Run:
    """One rate; ms of CPU per event."""

    rate: int
    events: int
    web_ms: float
    worker_ms: float
    redis_ms: float
    lost: int

    @property
    def cores(self) -> float:
        """How much of a core all of them take together."""
        return self.rate * (self.web_ms + self.worker_ms + self.redis_ms) / 1000


def measure(seconds: int, threads: int, say: Callable[[str], None]) -> Json:
    """All rates, each for so long."""
    runs = []
    with Connector(latency=LATENCY, threads=threads) as site:
        site.warm_up()
        site.crm("_reset", {})
        first = 1
        for rate in RATES:
            run = _run(site, rate, first, rate * seconds)
            first += run.events
            say(f"{rate:,}/s: {run.worker_ms:.2f} ms of the worker, {run.cores:.2f} cores in all")
            runs.append(asdict(run))
    return {"runs": runs}


def _run(site: Connector, rate: int, first: int, count: int) -> Run:
    known = site.crm("_stats")["records"]
    with site.load(Order(site.web_port, rate=rate, first=first, count=count)) as sending:
        before = site.usage()
        sending.go()
        sending.result()
        site.await_records(known + count)
        used = site.usage().since(before).per_event_ms(count)
    lost = len(site.missing(Events(first=first, count=count).newest()))
    return Run(rate, count, used["web"], used["worker"], used["redis"], lost)


def tables(data: Json) -> list[Table]:
    """A row for each rate."""
    rows = []
    for run in (Run(**one) for one in data["runs"]):
        costs = (run.web_ms, run.worker_ms, run.redis_ms)
        told = (f"{ms:.2f}" for ms in costs)
        rows.append((f"{run.rate:,}", *told, f"{run.cores:.2f}", f"{run.lost}"))
    headings = ("events/s", "web, ms", "worker, ms", "Redis, ms", "cores in all", "lost")
    title = f"CPU per event at a lasting rate, CRM {LATENCY * 1000:g} ms"
    return [Table(title, headings, tuple(rows), "The fewer come, the fewer share a round.")]
