"""`python -m bench`: measure everything, or one scenario; show it and write it down."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import click
from rich.console import Console

from bench import (
    acks,
    coalesce,
    commands,
    flat,
    ingest,
    outage,
    page,
    profile,
    results,
    scale,
    sizes,
    steady,
    throughput,
)
from bench.commit import measure_at
from bench.events import ROOT
from bench.systems import THREADS

Json: TypeAlias = Any

out = Console(highlight=False)
if not out.is_terminal:
    out.width = 150

PAGES = {
    ROOT / "bench" / "README.md": ("tables", page.measured),
    ROOT / "docs" / "scaling.md": ("scaling", page.scaling),
}
"""Pages with a measured part: its mark, and what makes its text."""


@dataclass(frozen=True, slots=True)
class Options:
    """What all scenarios are told."""

    quick: bool
    threads: int
    output: Path


def say(line: str) -> None:
    """Progress."""
    out.print(f"  {line}", style="dim", markup=False)


def _outage(options: Options) -> Json:
    return outage.measure(4.0 if options.quick else 14.0, options.threads, say)


def _coalesce(options: Options) -> Json:
    return coalesce.measure(2_000 if options.quick else 10_000, 100, options.threads, say)


def _ingest(options: Options) -> Json:
    rounds, count = (1, 2_000) if options.quick else (3, 6_000)
    return ingest.measure(rounds, count, say)


def _sizes(options: Options) -> Json:
    return sizes.measure(1_000 if options.quick else 5_000, options.threads, say)


def _steady(options: Options) -> Json:
    return steady.measure(2 if options.quick else 8, options.threads, say)


def _scale(options: Options) -> Json:
    return scale.measure(scale.QUICK if options.quick else scale.WHOLE, say)


def _commands(options: Options) -> Json:
    return commands.measure(1_000 if options.quick else 10_000, options.threads, say)


def _flat(options: Options) -> Json:
    return flat.measure(flat.QUICK if options.quick else flat.WHOLE, options.threads, say)


def _profile(options: Options) -> Json:
    return profile.measure(3_000 if options.quick else 12_000, options.threads, say)


Runs: TypeAlias = Literal["always", "unless quick", "alone"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One command. `runs`: with what it is run where no command is given."""

    run: Callable[[Options], Json]
    runs: Runs
    about: str


def _throughput(options: Options) -> Json:
    size = throughput.QUICK if options.quick else throughput.WHOLE
    return throughput.measure(size, options.threads, say)


def _acks(options: Options) -> Json:
    return acks.measure(acks.QUICK if options.quick else acks.WHOLE, options.threads, say)


SCENARIOS = {
    "throughput": Scenario(
        _throughput, "always", "Events a second, CPU and memory, against the plain receiver."
    ),
    "acks": Scenario(_acks, "always", "How long senders wait for their 200."),
    "outage": Scenario(_outage, "unless quick", "What is lost when the CRM is away under load."),
    "coalesce": Scenario(
        _coalesce, "unless quick", "Many updates of few tickets while the CRM is away."
    ),
    "ingest": Scenario(_ingest, "always", "The receiver alone, against a bare handler."),
    "sizes": Scenario(_sizes, "always", "Bytes of Redis per event and per record; compression."),
    "steady": Scenario(
        _steady, "unless quick", "CPU per event while events come at 10 to 1,000 a second."
    ),
    "scale": Scenario(_scale, "unless quick", "Several worker processes, and what they share."),
    "commands": Scenario(_commands, "unless quick", "What a person waits for at the command line."),
    "flat": Scenario(_flat, "alone", "Whether an event costs the same when much is there."),
    "profile": Scenario(_profile, "alone", "Where the CPU of web and worker goes, by py-spy."),
}


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Small: for tuning, not for quoting. Under 2 minutes.")
@click.option("--threads", default=THREADS, show_default=True, help="Senders of a worker.")
@click.option("--output", type=click.Path(path_type=Path), help="The file of results (JSON).")
@click.option("--write-readme", is_flag=True, help="Write the tables into the pages.")
@click.option("--commit", help="Measure the connector of this commit, not the working tree's.")
@click.pass_context
def main(
    context: click.Context,
    quick: bool,
    threads: int,
    output: Path | None,
    write_readme: bool,
    commit: str | None,
) -> None:
    """Measure the connector on this machine; without a command, everything that belongs together.

    Results go to bench/results/latest.json (with --quick: quick.json); each scenario replaces its
    own section. Nothing else should run meanwhile.
    """
    path = (output or (results.QUICK if quick else results.LATEST)).resolve()
    if commit is not None:
        context.exit(measure_at(commit, _without_commit(sys.argv[1:], path)))
    context.obj = Options(quick, threads, path)
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()
    out.print(f"{cores} cores; load average {load[0]:.2f}, {load[1]:.2f}, {load[2]:.2f}")
    if load[0] > cores / 4:
        out.print("This machine is busy: the figures will be worse than they are.", style="yellow")
    if context.invoked_subcommand is None:
        for name, scenario in SCENARIOS.items():
            if scenario.runs == "always" or (scenario.runs == "unless quick" and not quick):
                _run(name, context.obj)
        _write_picture(path)
    if write_readme:
        context.call_on_close(lambda: _write_pages(path))


def _without_commit(arguments: list[str], path: Path) -> list[str]:
    """The same command line for the copy, which writes its results where this one would."""
    kept, at = list(arguments), 0
    while at < len(kept):
        if kept[at] == "--commit":
            del kept[at : at + 2]
        elif kept[at].startswith("--commit="):
            del kept[at]
        else:
            at += 1
    return ["--output", str(path), *kept]


def _run(name: str, options: Options) -> None:
    out.print(f"\n{name}", style="bold")
    section = results.take(
        options.output, name, lambda: SCENARIOS[name].run(options), quick=options.quick
    )
    for table in page.TABLES[name](section["data"]):
        out.print()
        out.print(table.for_terminal())
    out.print(f"\n{section['seconds']} s; written to {options.output}", style="dim")


def _write_picture(path: Path) -> None:
    path.with_suffix(".svg").write_text(page.picture(results.read(path)))


def _write_pages(path: Path) -> None:
    known = results.read(path)
    for file, (mark, text) in PAGES.items():
        page.put_into(file, mark, text(known))
        out.print(f"written into {file}", style="dim")


@main.command("pages")
@click.pass_obj
def pages(options: Options) -> None:
    """Write picture and pages anew from the results that are there; measures nothing."""
    _write_picture(options.output)
    _write_pages(options.output)


def _add(name: str, about: str) -> None:
    @main.command(name, help=about)
    @click.pass_obj
    def command(options: Options) -> None:
        _run(name, options)
        if {"throughput", "acks"} & results.read(options.output)["sections"].keys():
            _write_picture(options.output)


for _name, _scenario in SCENARIOS.items():
    _add(_name, _scenario.about)


if __name__ == "__main__":
    main()
