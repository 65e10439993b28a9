"""Events a second, end to end: from the first post to the last row in the CRM, nothing lost.

Each run has a fresh site. All events are posted as fast as they are acknowledged over eight
connections, while the workers already work; the clock stops when the last is in the CRM. So the
figure holds the cost of everything on these cores: load, web, Redis, worker and CRM. The connector
and the plain receiver take turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from bench.events import Shape
from bench.figures import Spread, spread
from bench.generator import Order
from bench.redis_use import Counted, counted
from bench.speed import loop_ms
from bench.systems import Connector, Plain
from bench.tables import Table

Json: TypeAlias = Any

LATENCIES = (0, 20, 100)
"""Milliseconds that the CRM takes for an answer."""

GOALS: Mapping[int, float] = {0: 35, 20: 45, 100: 100}
"""Times the plain receiver, by latency (DESIGN section 7)."""
CPU_GOAL, PLAIN_CPU = 1.1, 53.0
"""Milliseconds of web and worker together per event, and what the plain receiver took on the
machine for which that was set (DESIGN section 7). Such machines differ by a factor of two, and one
of them by as much from minute to minute, so what is judged is the share of the plain receiver's in
the same run."""
MEMORY_GOAL = 100


@dataclass(frozen=True, slots=True)
class Size:
    """How much is run. `plain` and `connector`: events of a run at each latency."""

    rounds: int
    plain: Mapping[int, int]
    connector: int


WHOLE = Size(rounds=3, plain={0: 240, 20: 200, 100: 100}, connector=8_000)
QUICK = Size(rounds=1, plain={0: 90, 20: 75, 100: 40}, connector=3_000)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. CPU in ms per event; memory (PSS) in MiB, at its most; Redis per event. `loop_ms`:
    how fast the machine was just before it (`bench.speed`)."""

    system: str
    shape: Shape
    latency_ms: int
    events: int
    acknowledged: int
    lost: int
    overlaps: int
    calls: int
    acks_per_second: float
    events_per_second: float
    calls_at_once: int
    loop_ms: float
    cpu_ms: Mapping[str, float]
    memory_mib: Mapping[str, float]
    redis: Mapping[str, float]


Make: TypeAlias = Callable[[float], "Connector | Plain"]


def measure(size: Size, threads: int, say: Callable[[str], None]) -> Json:
    """All runs, the two systems in turn."""
    runs = []
    for run in _runs(size, threads):
        say(
            f"{run.system} {run.shape}, CRM {run.latency_ms} ms: {run.events_per_second:,.1f}"
            f" events/s, CPU {run.cpu_ms['web_and_worker']:.2f} ms (loop {run.loop_ms:.0f} ms),"
            f" lost {run.lost}"
        )
        runs.append(asdict(run))
    return {"threads": threads, "runs": runs}


def _runs(size: Size, threads: int) -> Iterator[Run]:
    def connector(latency: float) -> Connector:
        return Connector(latency=latency, threads=threads)

    def plain(latency: float) -> Plain:
        return Plain(latency=latency)

    for _ in range(size.rounds):
        for latency in LATENCIES:
            yield run(plain, latency, size.plain[latency])
            yield run(connector, latency, size.connector)
        yield run(connector, 0, size.connector // 3, "full")


def run(make: Make, latency_ms: int, count: int, shape: Shape = "ticket") -> Run:
    """One run on a fresh site."""
    with make(latency_ms / 1000) as site:
        site.warm_up()
        site.crm("_reset", {})
        order = Order(site.web_port, connections=8, shape=shape, count=count)
        wanted = order.events.newest()
        records = count * (3 if shape == "full" else 1)
        loop = loop_ms()
        with site.load(order) as sending:
            memory, before, use = [site.memory()], counted(site.client), site.usage()
            sending.go()
            sent = sending.result()
            memory.append(site.memory())
            stats = site.await_records(records)
            used = site.usage().since(use)
        memory.append(site.memory())
        refused = {f"/tickets/{order.first + position}" for position in sent.lost}
        lost = set(site.missing(wanted)) - refused
        seconds = max((stats["last"] or sent.ended) - sent.began, 1e-9)
        return Run(
            system=site.name,
            shape=shape,
            latency_ms=latency_ms,
            events=count,
            acknowledged=sent.acknowledged,
            lost=len(lost),
            overlaps=stats["overlaps"],
            calls=stats["calls"],
            acks_per_second=sent.acknowledged / (sent.ended - sent.began),
            events_per_second=(count - len(lost | refused)) / seconds,
            calls_at_once=stats["most_at_once"],
            loop_ms=loop,
            cpu_ms=used.per_event_ms(count),
            memory_mib={part: max(one[part] for one in memory) for part in memory[0]},
            redis=per_event(before, counted(site.client), count),
        )


def per_event(before: Counted, after: Counted, events: int) -> dict[str, float]:
    """What Redis was asked for, per event."""
    return {
        "round_trips": (after.reads - before.reads) / events,
        "scripts": (after.scripts - before.scripts) / events,
        "commands": (after.commands - before.commands) / events,
    }


# --- what it says


@dataclass(frozen=True, slots=True)
class Ratio:
    """The connector against the plain receiver at one latency."""

    latency_ms: int
    plain: Spread
    connector: Spread
    goal: float

    @property
    def times(self) -> float:
        """How many times as many events a second."""
        return self.connector.median / self.plain.median


def ratios(data: Json) -> list[Ratio]:
    """By latency, medians over the rounds."""
    return [
        Ratio(
            latency,
            _of(data, "plain", latency, "events_per_second"),
            _of(data, "connector", latency, "events_per_second"),
            GOALS[latency],
        )
        for latency in LATENCIES
    ]


def _of(data: Json, system: str, latency: int, key: str, part: str = "") -> Spread:
    found = chosen(data, system, latency)
    return spread(one[key][part] if part else one[key] for one in found)


def chosen(data: Json, system: str, latency: int, shape: str = "ticket") -> list[Json]:
    """The runs of one kind."""
    return [
        one
        for one in data["runs"]
        if (one["system"], one["latency_ms"], one["shape"]) == (system, latency, shape)
    ]


def tables(data: Json) -> list[Table]:
    """Speed, cost and memory."""
    return [_speed(data), _cost(data), _redis(data)]


def _speed(data: Json) -> Table:
    rows = []
    for ratio in ratios(data):
        runs = [
            *chosen(data, "connector", ratio.latency_ms),
            *chosen(data, "plain", ratio.latency_ms),
        ]
        rows.append(
            (
                f"{ratio.latency_ms} ms",
                ratio.plain.text(1),
                ratio.connector.text(),
                f"{ratio.times:.1f} ×",
                f"{ratio.goal:g} ×",
                f"{sum(one['acknowledged'] for one in runs):,}",
                f"{sum(one['lost'] for one in runs)}",
                f"{sum(one['overlaps'] for one in runs)}",
            )
        )
    note = (
        f"One worker process with {data['threads']} senders. A lost event is one that was "
        "acknowledged and whose state is not in the CRM at the end; an overlap, two calls on one "
        "record at the same time."
    )
    headings = ("CRM answers in", "plain, events/s", "connector, events/s", "ratio", "goal")
    counts = ("acknowledged", "lost", "overlaps")
    return Table("Events a second, end to end", (*headings, *counts), tuple(rows), note)


def cpu_share(data: Json, latency: int) -> float:
    """What web and worker of the connector take of the CPU that the plain receiver's take, per
    event: medians of one run."""
    ours, plain = (
        _of(data, system, latency, "cpu_ms", "web_and_worker").median
        for system in ("connector", "plain")
    )
    return ours / plain


_COST = ("web", "worker", "web_and_worker", "redis")
_MEMORY = ("web", "worker", "together")


def _cost(data: Json) -> Table:
    kinds: Sequence[tuple[str, int, Shape]] = [
        *(("plain", latency, "ticket") for latency in LATENCIES),
        *(("connector", latency, "ticket") for latency in LATENCIES),
        ("connector", 0, "full"),
    ]
    rows = []
    for system, latency, shape in kinds:
        runs = chosen(data, system, latency, shape)
        name = f"{system}, CRM {latency} ms"
        label = name if shape == "ticket" else f"{name}, three records an event"
        measured = system == "connector" and shape == "ticket"
        share = f"{cpu_share(data, latency):.1%}" if measured else ""
        web, worker, both, redis = (
            spread(one["cpu_ms"][part] for one in runs).text(2) for part in _COST
        )
        memory = [spread(one["memory_mib"][part] for one in runs).text() for part in _MEMORY]
        loop = spread(one["loop_ms"] for one in runs).text()
        rows.append((label, web, worker, both, share, redis, loop, *memory))
    cpu = ("web", "worker", "web + worker", "of plain's", "Redis", "fixed loop, ms")
    return Table(
        "CPU, ms per event; memory, MiB (proportional set size)",
        ("", *cpu, "MiB web", "MiB worker", "MiB together"),
        tuple(rows),
        f"Goals, for one record an event: web + worker at most {CPU_GOAL / PLAIN_CPU:.1%} of what"
        f" the plain receiver's take, which is {CPU_GOAL} ms on the machine for which it was set"
        f" (there plain took {PLAIN_CPU:.0f} ms), and at most {MEMORY_GOAL} MiB for one web and one"
        " worker process.",
    )


def _redis(data: Json) -> Table:
    rows = []
    for system in ("plain", "connector"):
        for latency in LATENCIES:
            runs = chosen(data, system, latency)
            parts = ("round_trips", "scripts", "commands")
            cells = [spread(one["redis"][part] for one in runs).text(2) for part in parts]
            rows.append((f"{system}, CRM {latency} ms", *cells))
    return Table(
        "Redis, per event",
        ("", "requests read from sockets", "scripts", "commands, those in scripts included"),
        tuple(rows),
    )
