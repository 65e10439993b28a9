"""What all workers together may do to a CRM at once, and within a second."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from system import System, running, ticket

from connector.flow import bucket

T0 = 1_700_000_000_000
RECORDS = 60


def deliver(system: System) -> tuple[float, list[tuple[float, float]]]:
    """Two workers take what waits; when they were started, and when each call began and ended."""
    for number in range(1, RECORDS + 1):
        system.send("caresoft", ticket(number, T0))
    before = time.time()
    for name in ("one", "other"):
        system.start_worker(name)
    assert system.wait_until_settled(RECORDS) == {"done": RECORDS}
    return before, sorted((call["start"], call["end"]) for call in system.calls() if call["record"])


def test_no_more_calls_at_once_than_allowed_over_all_workers(tmp_path: Path) -> None:
    with running(tmp_path, workers=0, target="    concurrency: 3\n") as system:
        system.behave(latency=0.1)
        _, calls = deliver(system)
    at_once = [sum(begun <= start < ended for begun, ended in calls) for start, _ in calls]
    assert max(at_once) == 3


def test_no_more_calls_a_second_than_allowed_over_all_workers(tmp_path: Path) -> None:
    with running(tmp_path, workers=0, target="    rate_limit: 20/second\n") as system:
        before, calls = deliver(system)
    begun = [start for start, _ in calls]
    windows = [sum(start <= other < start + 1.0 for other in begun) for start in begun]
    # leases are counted, and calls begin later: on a busy machine not all by as much
    assert max(windows) <= 30, list(pairwise(begun))
    assert begun[-1] - before > RECORDS / 20 - 0.6


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 10, 15, 20, 100, 5000])
def test_a_limit_is_never_exceeded_and_mostly_used(count: int) -> None:
    burst, refill = bucket(count)
    assert burst + 1.1 * refill < max(count + 1, 1.1 * count + 0.1)
    assert burst + refill < count + 1
    assert refill >= 0.75 * count


@pytest.mark.parametrize(("count", "late"), [(5, 0.1), (10, 0.05), (20, 0.04)])
def test_asking_again_a_little_late_costs_nothing_of_a_small_limit(count: int, late: float) -> None:
    burst, refill = bucket(count)
    assert burst - 1 >= late * refill
