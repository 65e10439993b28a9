"""How long a sender waits for its 200, in an open loop, in five situations.

    idle      nothing waits; a worker runs
    backlog   10,000 events wait and no worker runs
    draining  the worker begins on them at full speed while events go on coming

Latency counts from the time at which an event was due, so a stall is paid for by every event that
fell into it. CRM without latency: then the worker takes all the CPU that it can get.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench.figures import percentile, spread
from bench.generator import Order, Sent
from bench.systems import Connector, Plain
from bench.tables import Table

Json: TypeAlias = Any

GOAL_MS = 20.0
"""At the 99th percentile at 200 events/s (promise 9)."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run; `seconds` of each situation."""

    rounds: int
    plain_rounds: int
    seconds: int
    backlog: int


WHOLE = Size(rounds=2, plain_rounds=1, seconds=8, backlog=10_000)
QUICK = Size(rounds=1, plain_rounds=0, seconds=3, backlog=4_000)


@dataclass(frozen=True, slots=True)
class Run:
    """One situation; times in ms. `answer_p99_ms` counts from the write to the socket,
    `lateness_p99_ms` is what passed before that: every connection was busy, or the generator itself
    waited for a core."""

    system: str
    situation: str
    rate: float
    sent: int
    acknowledged: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    answer_p99_ms: float
    lateness_p99_ms: float
    drained_per_second: float = 0.0
    lost: int = 0


def measure(size: Size, threads: int, say: Callable[[str], None]) -> Json:
    """All runs."""
    runs = []
    for number in range(max(size.rounds, size.plain_rounds)):
        found: list[Iterator[Run]] = []
        if number < size.plain_rounds:
            found.append(_plain(size))
        if number < size.rounds:
            found.append(_connector(size, threads))
        for run in (one for runs_of_one in found for one in runs_of_one):
            say(
                f"{run.system}, {run.situation}, {run.rate:g}/s:"
                f" p50 {run.p50_ms:.1f} ms, p99 {run.p99_ms:.1f} ms, most {run.most_ms:.0f} ms"
            )
            runs.append(asdict(run))
    return {"backlog": size.backlog, "runs": runs}


class _Numbers:
    """Event numbers that were not used before."""

    def __init__(self) -> None:
        self._next = 1

    def take(self, count: int) -> int:
        first, self._next = self._next, self._next + count
        return first


def _connector(size: Size, threads: int) -> Iterator[Run]:
    numbers = _Numbers()
    with Connector(threads=threads) as site:
        site.warm_up()
        site.crm("_reset", {})
        for rate in (50, 200):
            yield _steady(site, "idle", rate, size.seconds, numbers)
        site.end("worker-0")
        _fill(site, size.backlog, numbers)
        for rate in (50, 200):
            yield _steady(site, "backlog", rate, size.seconds, numbers)
        yield _draining(site, size, numbers)


def _plain(size: Size) -> Iterator[Run]:
    numbers = _Numbers()
    with Plain() as site:
        site.warm_up()
        for rate in (50, 200):
            yield _steady(site, "idle", rate, size.seconds, numbers)
        _fill(site, size.backlog, numbers)
        # Its two workers never stop: a backlog is being drained all the while.
        yield _steady(site, "draining", 200, size.seconds, numbers)


def _fill(site: Connector | Plain, count: int, numbers: _Numbers) -> None:
    site.send(Order(site.web_port, connections=8, first=numbers.take(count), count=count))


def _steady(
    site: Connector | Plain, situation: str, rate: int, seconds: int, numbers: _Numbers
) -> Run:
    count = rate * seconds
    sent = site.send(Order(site.web_port, rate=rate, first=numbers.take(count), count=count))
    return _run(site.name, situation, rate, sent)


def _draining(site: Connector, size: Size, numbers: _Numbers) -> Run:
    """Start the worker on the backlog, and post until nearly nothing is left of it."""
    first = numbers.take(200 * 60)
    order = Order(site.web_port, rate=200, first=first, count=200 * 60)
    with site.load(order) as sending:
        site.start_worker()
        calls = site.crm("_stats")["calls"]
        begun = time.monotonic()
        sending.go()
        while site.behind() > size.backlog // 20 and not sending.over:
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        drained = (site.crm("_stats")["calls"] - calls) / seconds
        sending.stop()
        sent = sending.result()
    everything = {
        path: text
        for path, text in Order(0, count=first + sent.sent - 1).events.newest().items()
        if int(path.rsplit("/", 1)[1]) - first not in set(sent.lost)
    }
    site.await_records(len(everything))
    lost = len(site.missing(everything))
    return _run(site.name, "draining", 200, sent, drained, lost)


def _run(
    system: str, situation: str, rate: float, sent: Sent, drained: float = 0.0, lost: int = 0
) -> Run:
    def ms(values: list[float], share: float) -> float:
        return 1000 * percentile(values, share)

    return Run(
        system=system,
        situation=situation,
        rate=rate,
        sent=sent.sent,
        acknowledged=sent.acknowledged,
        p50_ms=ms(sent.latencies, 0.5),
        p99_ms=ms(sent.latencies, 0.99),
        most_ms=ms(sent.latencies, 1.0),
        answer_p99_ms=ms(sent.answers, 0.99),
        lateness_p99_ms=ms(sent.lateness, 0.99),
        drained_per_second=drained,
        lost=lost,
    )


# --- what it says

_SITUATIONS = (("idle", 50), ("idle", 200), ("backlog", 50), ("backlog", 200), ("draining", 200))


def chosen(data: Json, system: str, situation: str, rate: float) -> list[Json]:
    """The runs of one kind."""
    return [
        one
        for one in data["runs"]
        if (one["system"], one["situation"], one["rate"]) == (system, situation, rate)
    ]


def tables(data: Json) -> list[Table]:
    """One row for each system and situation."""
    words = {
        "idle": "nothing waits",
        "backlog": f"{data['backlog']:,} wait, no worker",
        "draining": f"{data['backlog']:,} are being drained at full speed",
    }
    rows = []
    for system in ("plain", "connector"):
        for situation, rate in _SITUATIONS:
            runs = chosen(data, system, situation, rate)
            if not runs:
                continue
            keys = ("p50_ms", "p99_ms", "answer_p99_ms", "lateness_p99_ms")
            cells = [spread(one[key] for one in runs).text(1) for key in keys]
            drained = spread(one["drained_per_second"] for one in runs)
            refused = sum(one["sent"] - one["acknowledged"] for one in runs)
            told = drained.text() if drained.median else ""
            lost = str(sum(one["lost"] for one in runs)) if drained.median else ""
            rows.append(
                (f"{system}: {words[situation]}, {rate}/s", *cells, f"{refused}", told, lost)
            )
    return [
        Table(
            "Acknowledgement, ms, from the time at which the event was due",
            (
                "",
                "p50",
                "p99",
                "p99 from its sending",
                "p99 until it was sent",
                "not answered",
                "drained/s meanwhile",
                "lost",
            ),
            tuple(rows),
            f"Goal: p99 at most {GOAL_MS:g} ms at 200/s, whatever waits. Until it was sent: all 16"
            " connections were busy, or the generator itself waited for a core.",
        )
    ]
