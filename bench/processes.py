"""Processes of a benchmark: started, asked for CPU and memory, ended; children included.

CPU comes from /proc/PID/stat with the time of children that have ended, so that the forks of a
stock RQ worker count; memory is the proportional set size of /proc/PID/smaps_rollup, which shares
what several processes map.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from bench.events import ROOT
from connector.demo.lifeline import Lifeline

TICKS = os.sysconf("SC_CLK_TCK")

T = TypeVar("T")


class NotInTime(Exception):
    """Something did not happen within its time; the message says what, and what was seen."""


class Process:
    """A Python process of ours, in a group of its own; it ends when this one does."""

    def __init__(
        self, name: str, folder: Path, command: Sequence[str], environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._lifeline = Lifeline(self.popen.pid)

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def check(self) -> None:
        """Raises NotInTime with its last words when it has ended by itself."""
        if self.popen.poll() is not None:
            raise NotInTime(f"{self.name} ended with {self.popen.returncode}: {self.log[-3000:]}")

    def end(self, within: float = 30.0) -> None:
        """SIGTERM, and SIGKILL to the group when that takes too long."""
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(within)
        self.kill()

    def kill(self) -> None:
        """End it, and what it forked, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        self._lifeline.cut()


def python(*arguments: str) -> list[str]:
    """A command run by this interpreter."""
    return [sys.executable, *arguments]


def tree(pid: int) -> Iterator[int]:
    """A process and its living descendants."""
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its living descendants, and those that have ended."""
    return sum(map(_cpu_of_one, list(tree(pid))))


def _cpu_of_one(pid: int) -> float:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    return cpu_of_stat(stat)


def cpu_of_stat(stat: str) -> float:
    """Seconds in a line of /proc/PID/stat: user and system, own and of children waited for."""
    # The second field, the name, may hold blanks and parentheses.
    fields = stat[stat.rindex(")") + 2 :].split()
    return sum(map(int, fields[11:15])) / TICKS


def pss_mib(pid: int) -> float:
    """Proportional set size of a process and its living descendants, in MiB."""
    return sum(map(_pss_of_one, list(tree(pid)))) / 1024


def _pss_of_one(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def wait_for(
    condition: Callable[[], T],
    what: str,
    within: float = 30.0,
    explain: Callable[[], object] = str,
    every: float = 0.05,
) -> T:
    """The first true answer of the condition. Raises NotInTime."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise NotInTime(f"{what}: not within {within:g} s; {explain()}")
        time.sleep(every)
    return answer
