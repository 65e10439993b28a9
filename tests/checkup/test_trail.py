"""What a run that was killed left in the CRM: written down, and taken away by the next one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from checkup.conftest import TARGET, Desk, Odd

from connector.checkup.finding import Left
from connector.checkup.trail import Earlier, Trace, Trail


def kill_in_the_middle(desk: Desk, odd: Odd) -> None:
    odd.be(slow=0.02)
    command = [sys.executable, "-m", "connector", "targets", "check", "crm", "--yes"]
    process = subprocess.Popen(command, cwd=desk.folder, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    while not odd.rows and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    odd.be()
    assert odd.rows


def test_what_a_killed_run_left_is_taken_away_by_the_next(odd_desk: Desk, odd: Odd) -> None:
    kill_in_the_middle(odd_desk, odd)
    asked = odd_desk.run("targets", "check", "crm", given="n\n")
    assert "1 that a run before this one left behind are taken away first" in asked.stderr
    checked = odd_desk.check()
    assert checked.probes["earlier"]["found"] == (
        "1 scratch records of a run that was cut off: taken away"
    )
    assert (checked.code, odd.rows) == (0, {})
    assert list(odd_desk.folder.glob("var/checks/*")) == []


def test_a_row_that_got_the_id_of_a_scratch_record_since_is_not_touched(
    odd_desk: Desk, odd: Odd
) -> None:
    kill_in_the_middle(odd_desk, odd)
    (number,) = odd.rows
    odd.rows[number] = {"id": number, "ext": "a customer", "name": "An"}
    assert odd_desk.check().code == 0
    assert odd.rows == {number: {"id": number, "ext": "a customer", "name": "An"}}


@pytest.mark.parametrize("own_id", ["ext", None])
def test_without_a_search_only_a_row_that_shows_our_id_is_deleted(
    odd_desk: Desk, odd: Odd, own_id: str | None
) -> None:
    strategy = "create_then_update, update: {method: PATCH}}"
    target = TARGET.partition("resources:")[0] + (
        f"resources:\n  people:\n    upsert: {{strategy: {strategy}\n    crm_id: data.id\n"
        '    read: {path: "/people/{crm_id}", record: data}\n'
    )
    if own_id:
        target += f"    external_id_field: {own_id}\n"
    odd_desk.configure(odd.url, target)
    trail = Trail(odd_desk.folder / "var" / "checks", "crm")
    trail.note(Trace("people", "connector-check-a", 900))
    trail.note(Trace("people", "connector-check-b", 901))
    trail._file.close()
    odd.rows |= {900: {"id": 900, "ext": "connector-check-a"}, 901: {"id": 901, "ext": "An"}}
    odd.born |= {900: 0.0, 901: 0.0}
    left = {each["crm_id"] for each in odd_desk.check().out["left_behind"]}
    assert odd.rows.keys() >= {901}
    assert (900 in odd.rows, {900, 901} <= left) == (own_id is None, own_id is None)


def test_what_cannot_be_deleted_is_tried_again_by_the_next_run(odd_desk: Desk, odd: Odd) -> None:
    odd.be(deletes=403)
    result = odd_desk.run("targets", "check", "crm", "--yes")
    assert "the next check of this target tries again" in result.stderr
    assert odd.rows
    odd.be()
    assert "taken away" in odd_desk.check().probes["earlier"]["found"]
    assert odd.rows == {}


def test_where_nothing_can_be_written_it_goes_on_and_says_so(odd_desk: Desk, odd: Odd) -> None:
    (odd_desk.folder / "var").write_text("a file, no folder", "utf-8")
    result = odd_desk.run("targets", "check", "crm", "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)["left_behind"]) == (0, [])
    assert "cannot be written to" in result.stderr


def test_the_trail_of_a_run_that_is_under_way_is_left_alone(tmp_path: Path) -> None:
    trail = Trail(tmp_path, "crm")
    trail.note(Trace("people", "connector-check-a"))
    assert Earlier(tmp_path, "crm").traces == []
    trail.end([Left("people", "connector-check-a", 7, "no reason")])
    earlier = Earlier(tmp_path, "crm")
    assert earlier.traces == [Trace("people", "connector-check-a", 7)]
    earlier.done()
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_was_cut_off_or_tampered_with_is_passed_over(tmp_path: Path) -> None:
    lines = ['{"resource": "people", "id": "a", "crm_id": 1}', "[]", "7", '{"resource": {}}']
    lines += ['{"resource": "people", "id": "b", "crm_id": [1]}', '{"resource": "peo']
    (tmp_path / "crm-1.jsonl").write_text("\n".join(lines), "utf-8")
    assert Earlier(tmp_path, "crm").traces == [Trace("people", "a", 1)]


def test_the_trail_of_another_target_is_left_alone(tmp_path: Path) -> None:
    Trail(tmp_path, "crm-2").path.write_text('{"resource": "a", "id": "b"}\n', "utf-8")
    assert Earlier(tmp_path, "crm").traces == []
