"""What all workers together may do to a CRM at once, and within a second."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from system import System, running, ticket

from connector.flow import bucket

T0 = 1_700_000_000_000
RECORDS = 45


def deliver(system: System) -> list[tuple[float, float]]:
    """Events that wait are taken by two workers; when each call began and ended."""
    for number in range(1, RECORDS + 1):
        system.send("caresoft", ticket(number, T0))
    for name in ("one", "other"):
        system.start_worker(name)
    assert system.wait_until_settled(RECORDS) == {"done": RECORDS}
    return sorted((call["start"], call["end"]) for call in system.calls() if call["record"])


def test_no_more_calls_at_once_than_allowed_over_all_workers(tmp_path: Path) -> None:
    with running(tmp_path, workers=0, target="    concurrency: 3\n") as system:
        system.behave(latency=0.1)
        calls = deliver(system)
    at_once = [sum(begun <= start < ended for begun, ended in calls) for start, _ in calls]
    assert max(at_once) == 3


def test_no_more_calls_a_second_than_allowed_over_all_workers(tmp_path: Path) -> None:
    with running(tmp_path, workers=0, target="    rate_limit: 20/second\n") as system:
        calls = deliver(system)
    begun = [start for start, _ in calls]
    windows = [sum(start <= other < start + 1.0 for other in begun) for start in begun]
    assert max(windows) <= 21, list(pairwise(begun))  # leases are counted, calls begin a bit later
    assert begun[-1] - begun[0] > RECORDS / 20 - 0.6


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
