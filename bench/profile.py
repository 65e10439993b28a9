"""Where the time of web and worker goes: py-spy looks a hundred times a second at full load.

A sample counts for the thread that holds the interpreter's lock, and so stands for Python at work;
what a process uses beyond that is the kernel's work for its sockets, and waiting for the lock. A
look stops the process for a moment: the sum is greater than without one.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bench.generator import Order
from bench.systems import Connector
from bench.tables import Table

Json: TypeAlias = Any

_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^()]*?)(?::\d+)?\)$")
_SHOWN = 60
_RATE = 250


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a process's CPU a function takes: itself, and with all that it calls."""

    where: str
    itself: float
    with_calls: float


def measure(count: int, threads: int, say: Callable[[str], None]) -> Json:
    """One run at full load with both processes watched."""
    with Connector(threads=threads) as site:
        site.warm_up()
        site.crm("_reset", {})
        order = Order(site.web_port, connections=8, count=count)
        with site.load(order) as sending:
            watched = {
                "web": _watch(site.processes["web"].pid, site.folder / "web.raw"),
                "worker": _watch(site.processes["worker-0"].pid, site.folder / "worker.raw"),
            }
            time.sleep(1.0)
            before = site.usage()
            sending.go()
            sending.result()
        site.await_records(count)
        used = site.usage().since(before).per_event_ms(count)
        data = {}
        for part, watch in watched.items():
            watch.send_signal(2)
            watch.wait(30)
            lines = (site.folder / f"{part}.raw").read_text().splitlines()
            samples = sum(int(line.rpartition(" ")[2]) for line in lines)
            python = 1000 * samples / _RATE / count
            say(f"{part}: {used[part]:.2f} ms per event, {python:.2f} ms of it Python")
            shares = [asdict(share) for share in read(lines)]
            data[part] = {"ms": used[part], "python_ms": python, "shares": shares}
        return data


def _watch(pid: int, output: Path) -> subprocess.Popen[bytes]:
    spy = str(Path(sys.executable).with_name("py-spy"))
    options = [
        "--gil",
        "--rate",
        str(_RATE),
        "--format",
        "raw",
        "--output",
        str(output),
        "--duration",
        "600",
    ]
    return subprocess.Popen(
        [spy, "record", *options, "--pid", str(pid)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def read(lines: Iterable[str]) -> list[Share]:
    """Shares from collapsed stacks (`outer;…;inner count`), the greatest with calls first."""
    itself: Counter[str] = Counter()
    with_calls: Counter[str] = Counter()
    total = 0
    for line in lines:
        stack, _, count = line.rpartition(" ")
        frames = [place(frame) for frame in stack.split(";")]
        total += int(count)
        itself[frames[-1]] += int(count)
        for frame in set(frames):
            with_calls[frame] += int(count)
    return [
        Share(where, itself[where] / total, share / total)
        for where, share in with_calls.most_common()
    ]


def place(frame: str) -> str:
    """`merge (connector/records/merge.py:40)` → `connector/records/merge.py merge`."""
    found = _FRAME.match(frame)
    if found is None:
        return frame
    file = re.sub(r"^.*/(?:site-packages|lib/python3\.\d+)/", "", found["file"])
    return f"{file} {found['function']}"


def rooms(shares: Iterable[Mapping[str, Json]]) -> Mapping[str, float]:
    """Shares of functions themselves, summed by package or by room of ours."""
    sums: Counter[str] = Counter()
    for share in shares:
        parts = share["where"].split(" ")[0].split("/")
        ours = "connector" in parts
        room = "/".join(parts[parts.index("connector") :][:2]) if ours else parts[0]
        sums[room] += share["itself"]
    return dict(sums.most_common())


def tables(data: Json) -> list[Table]:
    """By room, and by function."""
    found = []
    for part, told in data.items():
        ms = told["python_ms"]
        rows = tuple(
            (room, f"{share:.1%}", f"{1000 * ms * share:.0f}")
            for room, share in rooms(told["shares"]).items()
            if share > 0.005
        )
        title = f"{part}: {told['ms']:.2f} ms of CPU per event while watched, of it {ms:.2f} Python"
        found.append(Table(f"{title}, by room", ("", "share", "µs"), rows))
        greatest = sorted(told["shares"], key=lambda share: -share["with_calls"])
        functions = tuple(
            (
                share["where"],
                f"{1000 * ms * share['itself']:.0f}",
                f"{1000 * ms * share['with_calls']:.0f}",
            )
            for share in greatest[:_SHOWN]
        )
        headings = ("", "µs itself", "µs with what it calls")
        found.append(Table(f"{part}, by function", headings, functions))
    return found
