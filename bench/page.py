"""What a file of results says: tables for terminal and pages, and the picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from bench import (
    acks,
    capacity,
    coalesce,
    commands,
    flat,
    ingest,
    outage,
    profile,
    scale,
    sizes,
    steady,
    throughput,
)
from bench.figures import spread
from bench.plot import Bar, Panel, svg
from bench.results import machine_text
from bench.tables import Table

Json: TypeAlias = Any

TABLES: Mapping[str, Callable[[Json], list[Table]]] = {
    "throughput": throughput.tables,
    "acks": acks.tables,
    "outage": outage.tables,
    "coalesce": coalesce.tables,
    "ingest": ingest.tables,
    "sizes": sizes.tables,
    "steady": steady.tables,
    "scale": scale.tables,
    "commands": commands.tables,
    "flat": flat.tables,
    "profile": profile.tables,
}
"""How each section is shown, in the order of the page."""


def scaling(results: Json) -> str:
    """What docs/scaling.md shows: costs, what follows from them, and several worker processes."""
    sections = results["sections"]
    used = ("throughput", "steady", "sizes")
    when = [_when(name, sections[name]) for name in used if name in sections]
    parts = [f"Machine: {machine_text(results['machine'])}.", *when]
    parts += [table.for_page() for table in capacity.tables(capacity.costs(sections))]
    if "scale" in sections:
        parts.append(_when("scale", sections["scale"]))
        parts += [table.for_page() for table in scale.tables(sections["scale"]["data"])]
    return "\n\n".join(parts)


_MARKS = "<!-- measured: {} -->", "<!-- end of measured -->"


def measured(results: Json, names: tuple[str, ...] = tuple(TABLES)) -> str:
    """The sections as Markdown, each with its date."""
    parts = [f"Machine: {machine_text(results['machine'])}."]
    for name in names:
        section = results["sections"].get(name)
        if section is None:
            continue
        parts += [
            _when(name, section),
            *(table.for_page() for table in TABLES[name](section["data"])),
        ]
    return "\n\n".join(parts)


def _when(name: str, section: Json) -> str:
    quick = ", only `--quick`" if section["quick"] else ""
    before, after = section["loop_ms"]
    return (
        f"`{name}`, {section['taken_at']}, {section['seconds']} s{quick}. The fixed loop took"
        f" {before} ms before and {after} ms after; load average before: "
        f"{section['load_average_before']}."
    )


def put_into(page: Path, name: str, text: str) -> None:
    """Replace what stands between the marks of `name`. Raises ValueError when there are none."""
    begin, end = _MARKS[0].format(name), _MARKS[1]
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    whole, count = re.subn(
        pattern, lambda _: f"{begin}\n\n{text}\n\n{end}", page.read_text(), count=1, flags=re.S
    )
    if not count:
        raise ValueError(f"{page} has no line {begin}")
    page.write_text(whole)


def picture(results: Json) -> str:
    """Ratios to the plain receiver, and waiting times of senders."""
    panels = []
    sections = results["sections"]
    if "throughput" in sections:
        panels += _throughput_panels(sections["throughput"]["data"])
    if "acks" in sections:
        panels.append(_acks_panel(sections["acks"]["data"]))
    return svg(panels)


def _throughput_panels(data: Json) -> list[Panel]:
    bars = []
    for ratio in throughput.ratios(data):
        for system, value in (("plain", ratio.plain), ("connector", ratio.connector)):
            label = f"{system}, CRM {ratio.latency_ms} ms"
            ours = system == "connector"
            told = f"{value.median:,.0f}" + (f" = {ratio.times:.0f} ×" if ours else "")
            goal = ratio.goal * ratio.plain.median if ours else None
            bars.append(Bar(label, system, value.median, value.least, value.most, told, goal))
    note = "logarithmic; red: the goal, a multiple of the plain receiver in the same run"
    lost = sum(one["lost"] for one in data["runs"])
    return [Panel(f"Events a second, end to end; lost: {lost}", note, bars)]


def _acks_panel(data: Json) -> Panel:
    words = {"idle": "nothing waits", "backlog": "long queue", "draining": "while draining"}
    bars = []
    for system in ("plain", "connector"):
        for situation, word in words.items():
            runs = acks.chosen(data, system, situation, 200)
            if runs:
                value = spread(one["p99_ms"] for one in runs)
                label = f"{system}, {word}"
                told = f"{value.median:.1f} ms"
                goal = acks.GOAL_MS if system == "connector" else None
                bars.append(Bar(label, system, value.median, value.least, value.most, told, goal))
    note = "from the time at which an event was due; 200 events/s; logarithmic; red: the goal"
    return Panel("Waiting for the 200, 99th percentile", note, bars)
