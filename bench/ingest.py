"""Acknowledged events a second of the receiver alone, against a handler that only verifies and
pushes the body to a Redis list. No worker runs; eight connections, each sending as it is answered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench.figures import Spread, spread
from bench.generator import Order
from bench.systems import Bare, Connector
from bench.tables import Table

Json: TypeAlias = Any

GOAL = 0.8
"""Of the bare handler."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run; CPU in ms per event."""

    system: str
    acknowledged: int
    acks_per_second: float
    web_ms: float
    redis_ms: float


def measure(rounds: int, count: int, say: Callable[[str], None]) -> Json:
    """The two in turn."""
    runs = []
    for _ in range(rounds):
        for made in (Bare(), Connector(workers=0)):
            run = _run(made, count)
            say(f"{run.system}: {run.acks_per_second:,.0f} acks/s, web {run.web_ms:.2f} ms")
            runs.append(asdict(run))
    return {"runs": runs}


def _run(made: Bare | Connector, count: int) -> Run:
    with made as site:
        site.send(Order(site.web_port, connections=8, first=90_000_001, count=500))
        order = Order(site.web_port, connections=8, count=count)
        before = site.usage()
        sent = site.send(order)
        used = site.usage().since(before).per_event_ms(count)
        return Run(
            system=site.name,
            acknowledged=sent.acknowledged,
            acks_per_second=sent.acknowledged / (sent.ended - sent.began),
            web_ms=used["web"],
            redis_ms=used["redis"],
        )


def of(data: Json, system: str, key: str) -> Spread:
    """One figure of one system over the rounds."""
    return spread(one[key] for one in data["runs"] if one["system"] == system)


def tables(data: Json) -> list[Table]:
    """A row for each, and the ratio."""
    bare = of(data, "bare", "acks_per_second").median
    rows = tuple(
        (
            system,
            of(data, system, "acks_per_second").text(),
            f"{of(data, system, 'acks_per_second').median / bare:.0%}",
            of(data, system, "web_ms").text(2),
            of(data, system, "redis_ms").text(2),
        )
        for system in ("bare", "connector")
    )
    headings = ("", "acks/s", "of the bare one", "web, ms CPU per event", "Redis, ms CPU per event")
    return [Table("The receiver alone", headings, rows, f"Goal: at least {GOAL:.0%}.")]
