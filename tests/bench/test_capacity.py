"""What is worked out from measured costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bench.capacity import Costs, costs, need, tables

COSTS = Costs(
    web_ms=0.5,
    worker_ms=0.6,
    redis_ms=0.2,
    web_mib=40,
    worker_mib=50,
    threads=192,
    event_bytes=800,
    record_bytes=900,
)


def test_one_process_of_each_is_enough_for_a_small_rate() -> None:
    small = need(COSTS, 100)
    assert (small.web, small.workers, small.redis) == (1, 1, 1)
    assert small.threads == 17  # 100/s × 0.1 s, six tenths busy
    assert small.cores == pytest.approx(0.13)


def test_each_part_is_added_when_six_tenths_of_its_core_are_used() -> None:
    assert [need(COSTS, rate).workers for rate in (999, 1_001)] == [1, 2]
    assert [need(COSTS, rate).web for rate in (1_199, 1_201)] == [1, 2]
    assert [need(COSTS, rate).redis for rate in (2_999, 3_001)] == [1, 2]


def test_a_cheaper_worker_needs_fewer_processes() -> None:
    assert need(replace(COSTS, worker_ms=0.3), 1_900).workers == 1


def test_costs_are_the_medians_at_a_hundred_milliseconds() -> None:
    def run(latency: int, worker: float) -> dict[str, Any]:
        return {
            "system": "connector",
            "shape": "ticket",
            "latency_ms": latency,
            "cpu_ms": {"web": 0.5, "worker": worker, "redis": 0.2},
            "memory_mib": {"web": 40, "worker": 50},
        }

    runs = [run(100, 0.5), run(100, 0.7), run(100, 0.6), run(0, 9.0)]
    sections = {
        "throughput": {"data": {"threads": 192, "runs": runs}},
        "sizes": {"data": {"event_bytes": 800, "record_bytes": 900}},
    }
    assert costs(sections) == COSTS


def test_tables_hold_the_figures_of_the_costs() -> None:
    parts, needs, journal = tables(COSTS)
    assert parts.rows[0] == ("one web process", "0.50", "1,200", "40")
    assert ("1,000", "1", "1", "167", "1.3", "20%", "1") in needs.rows
    # ten events a second: 864,000 a day; thirty days are cut at a million
    assert journal.rows[1] == ("10", "864,000", "0.64", "0.75")
