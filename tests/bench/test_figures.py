"""Medians, percentiles and windows."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench import acks, flat, page, throughput
from bench.figures import Spread, most_within, percentile, spread
from bench.plot import Bar, Panel, svg
from bench.tables import Table


def test_percentile_is_a_value_that_was_seen() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values, 1.0) == 100
    assert percentile([7.0], 0.99) == 7
    assert math.isnan(percentile([], 0.5))


def test_spread_tells_median_and_both_ends() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([1300.0, 1250.0, 1410.0]).text() == "1,300 (1,250–1,410)"
    assert spread([1.25]).text(1) == "1.2"


def test_window_ends_before_its_length_is_reached() -> None:
    assert most_within([0.0, 0.5, 1.0, 1.4, 1.45], 1.0) == 4
    assert most_within([0.0, 1.0, 2.0], 1.0) == 1
    assert most_within([], 1.0) == 0


def _run(system: str, latency: int, rate: float, **other: object) -> dict[str, object]:
    run = {
        "system": system,
        "shape": "ticket",
        "latency_ms": latency,
        "events": 100,
        "acknowledged": 100,
        "lost": 0,
        "overlaps": 0,
        "events_per_second": rate,
        "loop_ms": 150.0,
        "cpu_ms": {"web": 0.5, "worker": 0.5, "web_and_worker": 1.0, "redis": 0.1},
        "memory_mib": {"web": 40, "worker": 50, "together": 90},
        "redis": {"round_trips": 2.0, "scripts": 1.0, "commands": 50.0},
    }
    return run | other


def _throughput() -> dict[str, object]:
    runs = [
        _run(system, latency, rate * factor)
        for latency in throughput.LATENCIES
        for system, rate in (("plain", 30.0), ("connector", 1200.0))
        for factor in (1, 1.1, 0.9)
    ]
    return {"threads": 8, "runs": [*runs, _run("connector", 0, 400.0, shape="full")]}


def test_ratio_is_that_of_the_medians() -> None:
    found = throughput.ratios(_throughput())
    assert [(ratio.latency_ms, round(ratio.times)) for ratio in found] == [
        (0, 40),
        (20, 40),
        (100, 40),
    ]
    assert found[0].connector == Spread(1200.0, 1080.0, 1320.0)


def test_cpu_is_judged_by_the_share_of_the_plain_receivers_in_the_same_run() -> None:
    data = _throughput()
    for run in data["runs"]:  # type: ignore[attr-defined]
        if run["system"] == "plain" and run["latency_ms"] == 20:
            run["cpu_ms"] = {**run["cpu_ms"], "web_and_worker": 80.0}
    assert throughput.cpu_share(data, 0) == 1.0
    assert throughput.cpu_share(data, 20) == 1 / 80
    cost = throughput.tables(data)[1]
    shares = [row[cost.headings.index("of plain's")] for row in cost.rows]
    assert shares == ["", "", "", "100.0%", "1.2%", "100.0%", ""]
    assert "at most 2.1% of" in cost.note


def test_a_lost_event_shows_in_the_table_of_speed() -> None:
    data = _throughput()
    data["runs"][1]["lost"] = 3  # type: ignore[index]
    table, *_ = throughput.tables(data)
    assert [row[table.headings.index("lost")] for row in table.rows] == ["3", "0", "0"]


def test_picture_is_well_formed_and_marks_each_goal() -> None:
    draining = {
        "system": "connector",
        "situation": "draining",
        "rate": 200,
        "p99_ms": 12.5,
    }
    results = {
        "sections": {"throughput": {"data": _throughput()}, "acks": {"data": {"runs": [draining]}}}
    }
    drawn = ElementTree.fromstring(page.picture(results))
    space = {"svg": "http://www.w3.org/2000/svg"}
    goals = drawn.findall(".//svg:line[@class='g']", space)
    assert len(goals) == len(throughput.LATENCIES) + 1
    texts = [text.text for text in drawn.findall(".//svg:text", space)]
    assert "1,200 = 40 ×" in texts
    assert "12.5 ms" in texts


def test_longer_bar_stands_for_the_greater_value() -> None:
    bars = [Bar(name, "plain", value, value, value, name) for name, value in (("a", 10), ("b", 90))]
    drawn = ElementTree.fromstring(svg([Panel("title <&>", "note", bars)]))
    widths = [float(bar.attrib["width"]) for bar in drawn.iter() if bar.tag.endswith("rect")]
    assert widths[0] < widths[1]


def test_measured_part_of_a_page_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    begin, end = "<!-- measured: tables -->", "<!-- end of measured -->"
    file.write_text(f"before\n{begin}\nold \\1\n{end}\nafter {end}\n")
    page.put_into(file, "tables", r"new \1 | x")
    assert file.read_text() == f"before\n{begin}\n\nnew \\1 | x\n\n{end}\nafter {end}\n"
    with pytest.raises(ValueError, match="measured: other"):
        page.put_into(file, "other", "text")


def test_table_for_a_page_is_markdown() -> None:
    table = Table("title", ("", "a"), (("row", "1"),), "note")
    assert table.for_page().splitlines() == [
        "**title**",
        "",
        "|  | a |",
        "| --- | --: |",
        "| row | 1 |",
        "",
        "note",
    ]


def test_acks_table_has_a_row_for_each_situation_that_was_measured() -> None:
    run = {
        "system": "connector",
        "situation": "idle",
        "rate": 200,
        "sent": 100,
        "acknowledged": 98,
        "p50_ms": 1.0,
        "p99_ms": 2.0,
        "answer_p99_ms": 1.5,
        "lateness_p99_ms": 0.5,
        "drained_per_second": 0.0,
        "lost": 0,
    }
    (table,) = acks.tables({"backlog": 10_000, "runs": [run]})
    assert [row[0] for row in table.rows] == ["connector: nothing waits, 200/s"]
    assert table.rows[0][table.headings.index("not answered")] == "2"


def _cost(scale: str, count: int, worker: float, lost: int = 0) -> dict[str, object]:
    return {
        "scale": scale,
        "count": count,
        "events": 10,
        "worker_ms": worker,
        "redis_ms": 0.5,
        "lost": lost,
    }


def test_growth_is_the_median_of_what_the_rounds_say() -> None:
    runs = [
        *(_cost("waiting", n, ms) for n, ms in ((10, 0.5), (99, 0.7), (200, 0.6))),
        *(_cost("waiting", n, ms, lost=n // 99) for n, ms in ((10, 0.5), (99, 0.7), (200, 0.7))),
        *(_cost("waiting", n, ms) for n, ms in ((10, 1.5), (99, 0.5), (200, 3.5))),
        *(_cost("known", 1, 0.5), _cost("known", 9, 0.4)),
    ]
    assert round(flat.growth({"runs": runs}, "waiting", 10), 3) == 0.2
    (table,) = flat.tables({"runs": runs})
    assert table.note.startswith(
        "+20% from 10 to 200 waiting; +0% from 99 to 200 waiting; -10% from 1 to 9 known."
    )
    assert [row[0] for row in table.rows] == [
        "10 events wait",
        "99 events wait",
        "200 events wait",
        "1 records are known",
        "9 records are known",
    ]
    assert [row[-1] for row in table.rows] == ["0", "1", "2", "0", "0"]
