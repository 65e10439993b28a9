"""From measured costs to what must be added when: arithmetic, and nothing that is not measured.

A process of Python uses one core at most, and Redis runs commands in one thread. `SHARE` of a core
is counted on, so that there is room for bursts. A worker holds a thread for as long as the CRM
takes to answer. An event costs more while few come (`steady`) than at full speed (`throughput`): a
rate is worked out from what it or the next smaller one was measured to cost, and one above all that
were measured from full speed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from bench import steady, throughput
from bench.figures import spread
from bench.tables import Table

Json: TypeAlias = Any

SHARE = 0.6
"""How much of a core is counted on."""

LATENCY = steady.LATENCY
"""Seconds that the CRM of the tables takes."""

RATES = (10, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""Events a second, lasting."""

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Costs:
    """Measured: ms of CPU per event at full speed and by lasting rate, MiB of a process, and bytes
    of Redis."""

    web_ms: float
    worker_ms: float
    redis_ms: float
    web_mib: float
    worker_mib: float
    threads: int
    event_bytes: float
    record_bytes: float
    lasting: Mapping[int, steady.Run] = field(default_factory=dict)

    def at(self, rate: int) -> Costs:
        """With what an event costs at this rate."""
        if rate > max(self.lasting, default=0):
            return self
        smaller = [measured for measured in self.lasting if measured <= rate]
        run = self.lasting[max(smaller, default=min(self.lasting))]
        return replace(self, web_ms=run.web_ms, worker_ms=run.worker_ms, redis_ms=run.redis_ms)

    def a_second(self, ms: float) -> float:
        """Events a second of one core at this cost."""
        return 1000 / ms * SHARE


@dataclass(frozen=True, slots=True)
class Need:
    """What a lasting rate takes. `redis_share`: of one core; above `SHARE` one Redis is too few."""

    rate: int
    web: int
    workers: int
    threads: int
    cores: float
    redis_share: float
    redis: int


def costs(sections: Mapping[str, Json]) -> Costs:
    """The medians of the runs at 100 ms, one record an event, and the costs of lasting rates where
    they were measured. Raises KeyError for missing ones."""
    data = sections["throughput"]["data"]
    sizes = sections["sizes"]["data"]
    runs = throughput.chosen(data, "connector", round(LATENCY * 1000))
    lasting = sections["steady"]["data"]["runs"] if "steady" in sections else []

    def of(group: str, part: str) -> float:
        return spread(one[group][part] for one in runs).median

    return Costs(
        web_ms=of("cpu_ms", "web"),
        worker_ms=of("cpu_ms", "worker"),
        redis_ms=of("cpu_ms", "redis"),
        web_mib=of("memory_mib", "web"),
        worker_mib=of("memory_mib", "worker"),
        threads=data["threads"],
        event_bytes=sizes["event_bytes"],
        record_bytes=sizes["record_bytes"],
        lasting={one["rate"]: steady.Run(**one) for one in lasting},
    )


def need(known: Costs, rate: int) -> Need:
    """What a lasting rate takes at a CRM of `LATENCY`."""
    known = known.at(rate)
    share = rate * known.redis_ms / 1000
    return Need(
        rate=rate,
        web=math.ceil(rate / known.a_second(known.web_ms)),
        workers=math.ceil(rate / known.a_second(known.worker_ms)),
        threads=math.ceil(rate * LATENCY / SHARE),
        cores=rate * (known.web_ms + known.worker_ms + known.redis_ms) / 1000,
        redis_share=share,
        redis=math.ceil(share / SHARE),
    )


def tables(known: Costs) -> list[Table]:
    """What one part can do, what each rate takes, and how much Redis holds."""
    return [_parts(known), _needs(known), _memory(known)]


def _parts(known: Costs) -> Table:
    rows = tuple(
        (what, f"{ms:.2f}", f"{known.a_second(ms):,.0f}", mib)
        for what, ms, mib in (
            ("one web process", known.web_ms, f"{known.web_mib:.0f}"),
            (
                f"one worker process, {known.threads} threads",
                known.worker_ms,
                f"{known.worker_mib:.0f}",
            ),
            ("one Redis", known.redis_ms, "see below"),
        )
    )
    headings = ("", "CPU, ms per event", f"events/s at {SHARE:.0%} of a core", "MiB")
    return Table("What one part can do at full speed", headings, rows)


def _needs(known: Costs) -> Table:
    rows = tuple(
        (
            f"{one.rate:,}",
            f"{one.web}",
            f"{one.workers}",
            f"{one.threads:,}",
            f"{one.cores:.1f}",
            f"{one.redis_share:.0%}",
            f"{one.redis}",
        )
        for one in (need(known, rate) for rate in RATES)
    )
    headings = (
        "events/s",
        "web processes",
        "worker processes",
        "threads of all workers",
        "cores in all",
        "of Redis' core",
        "Redis servers",
    )
    note = (
        f"{_from(known)}, one record an event. Threads: rate × latency ÷ {SHARE:.0%}. Only a CRM"
        " that takes as many calls a second, and a `concurrency:` and `rate_limit:` that allow"
        " them, make these rates real."
    )
    return Table(f"What a lasting rate takes, CRM {LATENCY * 1000:g} ms", headings, rows, note)


def _from(known: Costs) -> str:
    if not known.lasting:
        return "Worked out from the costs above"
    measured = f"up to {max(known.lasting):,}/s from what events cost at such a rate"
    return f"Worked out {measured}, beyond from the costs above"


def _memory(known: Costs) -> Table:
    def gib(size: float) -> str:
        return f"{size / 2**30:,.2f}"

    rows = tuple(
        (
            f"{rate:,}",
            f"{rate * DAY:,}",
            gib(rate * DAY * known.event_bytes),
            gib(min(rate * DAY * 30, 1_000_000) * known.event_bytes),
        )
        for rate in (1, 10, 50, 200)
    )
    note = (
        f"An event takes {known.event_bytes:,.0f} bytes with its body, a record"
        f" {known.record_bytes:,.0f} with its values; a million records take"
        f" {gib(1e6 * known.record_bytes)} GiB. Give Redis twice what it holds: rewriting the"
        " append-only file copies pages that change meanwhile."
    )
    headings = (
        "events/s, lasting",
        "events a day",
        "GiB for a day of events",
        "GiB with the default retention (30 days, a million events)",
    )
    return Table("What the journal takes", headings, rows, note)
