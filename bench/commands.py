"""What a person waits for at the command line: whole processes, from the call to the prompt."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, TypeAlias

from bench import preload
from bench.events import Events
from bench.processes import wait_for
from bench.systems import Connector
from bench.tables import Table

Json: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Wait:
    """One command: seconds that passed and seconds of computing, medians of `times`."""

    command: str
    times: int
    seconds: float
    cpu_seconds: float


def measure(kept: int, threads: int, say: Callable[[str], None]) -> Json:
    """The commands, with `kept` events in the journal."""
    with Connector(threads=threads) as site:
        site.warm_up()
        preload.queue(site.client, Events(first=1, count=kept))
        wait_for(lambda: site.client.scard("c:queued") == 0, "all merged", 300.0)
        wait_for(lambda: site.behind() == 0, "nothing behind", 300.0)
        environ = {**os.environ, "CONNECTOR_CONFIG": str(site.folder / "config.yaml")}

        def wait(times: int, *arguments: str) -> Wait:
            runs = [_run(arguments, environ) for _ in range(times)]
            command = " ".join(("connector", *arguments))
            found = Wait(command, times, *(median(column) for column in zip(*runs, strict=True)))
            say(f"{found.command}: {found.seconds:.2f} s")
            return found

        waits = [
            wait(5, "--version"),
            wait(5, "mappings", "check"),
            wait(5, "mappings", "test"),
            wait(5, "status"),
            wait(1, "mappings", "plan", "--limit", "0"),
        ]
    return {"kept": kept, "waits": [asdict(one) for one in waits]}


def _run(arguments: tuple[str, ...], environ: dict[str, str]) -> tuple[float, float]:
    """Seconds passed and computed."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", "connector", *arguments]
    subprocess.run(command, env=environ, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def tables(data: Json) -> list[Table]:
    """A row for each command."""
    rows = tuple(
        (f"`{one['command']}`", f"{one['seconds']:.2f}", f"{one['cpu_seconds']:.2f}")
        for one in data["waits"]
    )
    title = f"Whole processes, with {data['kept']:,} events kept and the shipped mappings"
    return [Table(title, ("", "s", "s of computing"), rows)]
