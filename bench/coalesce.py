"""Many updates of few tickets while the CRM is away: how many calls they cost after it.

The CRM answers 503 while the updates come. When all are merged it comes back; from then on the
calls are counted until nothing is behind. The target pauses by itself and is probed every second at
first; `paused_seconds` pass until a call gets through, `ramp_seconds` from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench.generator import Order
from bench.processes import wait_for
from bench.systems import Connector
from bench.tables import Table

Json: TypeAlias = Any

AWAY = 503


@dataclass(frozen=True, slots=True)
class Run:
    """One outage. `calls_during` were refused; seconds from the return of the CRM."""

    events: int
    records: int
    acknowledged: int
    calls_during: int
    calls_after: int
    paused_seconds: float
    ramp_seconds: float
    lost: int
    overlaps: int


def measure(events: int, records: int, threads: int, say: Callable[[str], None]) -> Json:
    """One run."""
    run = _run(events, records, threads)
    say(
        f"{run.events:,} updates of {run.records} tickets: {run.calls_after} calls after the outage"
    )
    return asdict(run)


def _run(events: int, records: int, threads: int) -> Run:
    with Connector(threads=threads) as site:
        site.warm_up()
        site.crm("_reset", {})
        site.behave(status=AWAY)
        order = Order(site.web_port, connections=8, count=events, records=records)
        sent = site.send(order)
        client = site.client
        wait_for(lambda: client.scard("c:queued") == 0, "all merged", 120.0)
        during = site.crm("_stats")["calls"]
        back = time.monotonic()
        site.behave(status=200)
        wait_for(lambda: site.behind() == 0, "nothing behind", 400.0)
        stats = site.crm("_stats")
        return Run(
            events=events,
            records=records,
            acknowledged=sent.acknowledged,
            calls_during=during,
            calls_after=stats["taken"],
            paused_seconds=stats["first"] - back,
            ramp_seconds=stats["last"] - stats["first"],
            lost=len(site.missing(order.events.newest())),
            overlaps=stats["overlaps"],
        )


def tables(data: Json) -> list[Table]:
    """One row."""
    row = (
        f"{data['events']:,} updates of {data['records']} tickets",
        f"{data['acknowledged']:,}",
        f"{data['calls_during']}",
        f"{data['calls_after']}",
        f"{data['paused_seconds']:.1f}",
        f"{data['ramp_seconds']:.1f}",
        f"{data['lost']}",
    )
    headings = (
        "",
        "acknowledged",
        "calls during",
        "calls after",
        "s until the first call got through",
        "s from there to the last",
        "lost",
    )
    return [Table("Updates of few tickets while the CRM was away", headings, (row,))]
