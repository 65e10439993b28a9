"""How fast this machine is at the moment: a fixed piece of work, on all its cores at once.

The cores of a virtual machine are shared with others, so the same work takes longer in one minute
than in the next. Figures in milliseconds mean something beside this one only; ratios to what ran in
the same minutes do without it.
"""

from __future__ import annotations

import os
import statistics
import subprocess

from bench.processes import python

_ROUNDS = 3
_WORK = """
import time
began = time.perf_counter()
total = 0
for number in range(2_000_000):
    total += number * number % 7
print(time.perf_counter() - began)
"""


def loop_ms() -> float:
    """Milliseconds that the work takes now: the median of three rounds over all cores."""
    times: list[float] = []
    for _ in range(_ROUNDS):
        running = [
            subprocess.Popen(python("-S", "-c", _WORK), stdout=subprocess.PIPE, text=True)
            for _ in os.sched_getaffinity(0)
        ]
        times += [float(process.communicate()[0]) for process in running]
    return 1000 * statistics.median(times)
