"""The CRM is away for a while under a steady load: what of the acknowledged events is lost.

Both systems get events at a rate that the plain one can follow. The CRM answers 503 in the middle
of it. Afterwards each has all the time that it makes use of; an event is lost when it was answered
200 and its state is not in the CRM.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench.generator import Order
from bench.systems import Connector, Plain
from bench.tables import Table

Json: TypeAlias = Any

RATE = 12.0
"""Events a second."""
AROUND = 2.0
"""Seconds of load before and after the outage."""


@dataclass(frozen=True, slots=True)
class Run:
    """One outage. `seconds_behind`: from its end until the last row was right."""

    system: str
    away_seconds: float
    sent: int
    acknowledged: int
    lost: int
    seconds_behind: float


def measure(away: float, threads: int, say: Callable[[str], None]) -> Json:
    """Both systems."""
    runs = [_run(Plain(), away), _run(Connector(threads=threads), away)]
    for run in runs:
        say(f"{run.system}: {run.lost} of {run.acknowledged} acknowledged events lost")
    return {"runs": [asdict(run) for run in runs]}


def _run(made: Connector | Plain, away: float) -> Run:
    with made as site:
        site.warm_up()
        site.crm("_reset", {})
        count = round(RATE * (away + 2 * AROUND))
        order = Order(site.web_port, rate=RATE, count=count)
        with site.load(order) as sending:
            sending.go()
            time.sleep(AROUND)
            site.behave(status=503)
            time.sleep(away)
            site.behave(status=200)
            back = time.monotonic()
            sent = sending.result()
        stats = site.await_records(count - len(sent.lost))
        refused = {f"/tickets/{order.first + position}" for position in sent.lost}
        lost = set(site.missing(order.events.newest())) - refused
        return Run(
            system=site.name,
            away_seconds=away,
            sent=sent.sent,
            acknowledged=sent.acknowledged,
            lost=len(lost),
            seconds_behind=stats["last"] - back,
        )


def tables(data: Json) -> list[Table]:
    """A row for each system."""
    away = data["runs"][0]["away_seconds"]
    rows = tuple(
        (
            one["system"],
            f"{one['acknowledged']}",
            f"{one['lost']}",
            f"{one['seconds_behind']:.1f}",
        )
        for one in data["runs"]
    )
    headings = ("", "acknowledged", "lost", "s from its return to the last call")
    return [Table(f"The CRM is away for {away:g} s, {RATE:g} events/s", headings, rows)]
