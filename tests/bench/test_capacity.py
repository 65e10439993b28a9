"""What is worked out from measured costs."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from bench.capacity import Costs, costs, need, tables
from bench.steady import Run

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


def test_a_rate_is_worked_out_from_what_it_or_a_smaller_one_was_measured_to_cost() -> None:
    slow, quick = Run(50, 400, 1.0, 3.0, 1.0, 0), Run(500, 4_000, 0.5, 1.5, 0.3, 0)
    known = replace(COSTS, lasting={50: slow, 500: quick})
    assert need(known, 50).cores == pytest.approx(0.25)
    assert need(known, 400).cores == pytest.approx(2.0)
    assert need(known, 500).workers == 2
    assert need(known, 999).workers == 1, "beyond what was measured: full speed"
    assert need(known, 10).cores == pytest.approx(0.05), "nothing as small was measured"
    assert "up to 500/s from what events cost at such a rate" in tables(known)[1].note


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
    lasting = Run(10, 80, 1.0, 2.0, 0.5, 0)
    sections["steady"] = {"data": {"runs": [asdict(lasting)]}}
    assert costs(sections) == replace(COSTS, lasting={10: lasting})


def test_tables_hold_the_figures_of_the_costs() -> None:
    parts, needs, journal = tables(COSTS)
    assert parts.rows[0] == ("one web process", "0.50", "1,200", "40")
    assert ("1,000", "1", "1", "167", "1.3", "20%", "1") in needs.rows
    # ten events a second: 864,000 a day; thirty days are cut at a million
    assert journal.rows[1] == ("10", "864,000", "0.64", "0.75")
