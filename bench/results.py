"""The file of results: one section for each scenario, each with its date, the load of then, and how
fast the machine was before and after it.

A scenario that is run alone replaces its own section and leaves the others. Figures in pages come
from here and from nowhere else.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from bench.speed import loop_ms
from connector.demo.redis import find_server

Json: TypeAlias = Any

FOLDER = Path(__file__).parent / "results"
LATEST = FOLDER / "latest.json"
QUICK = FOLDER / "quick.json"

_PACKAGES = ("redis", "rq", "requests", "flask", "gunicorn")


def read(path: Path) -> Json:
    """What is in the file; nothing when there is none."""
    return json.loads(path.read_text()) if path.exists() else {"sections": {}}


def take(path: Path, name: str, run: Callable[[], Json], *, quick: bool) -> Json:
    """Run a scenario and write its section; the section. `quick` is written down with it."""
    load = os.getloadavg()[0]
    before = loop_ms()
    begun = datetime.now(UTC)
    data = run()
    section = {
        "taken_at": begun.strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": round((datetime.now(UTC) - begun).total_seconds()),
        "load_average_before": round(load, 2),
        "loop_ms": [round(before), round(loop_ms())],
        "quick": quick,
        "data": data,
    }
    known = read(path)
    known["machine"] = machine()
    known["sections"][name] = section
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    return section


def machine() -> dict[str, Json]:
    """What the figures were measured on."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _line("/proc/cpuinfo", "model name"),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "redis": _redis_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def machine_text(told: dict[str, Json]) -> str:
    """One line for people."""
    return (
        f"{told['cores']} cores ({told['cpu']}), {told['memory_gib']} GiB, "
        f"Python {told['python']}, Redis {told['redis']}, {told['packages']}"
    )


def _line(file: str, key: str) -> str:
    for line in Path(file).read_text().splitlines():
        if line.startswith(key):
            return line.split(":", 1)[1].strip()
    return "unknown"


def _redis_version() -> str:
    told = subprocess.run([find_server(), "--version"], capture_output=True, text=True, check=True)
    return told.stdout.split("v=", 1)[1].split()[0]
