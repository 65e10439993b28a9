"""Resources of other manners, the whole way: found by a search, created first, left to people."""

from __future__ import annotations

from pathlib import Path

import pytest
from system import System, running, ticket, wait_for

T0 = 1_700_000_000_000
COMMON = """\
    timeout: 2
    search_lag: 0.3
    retry: {schedule: [0.5, 1, 1], give_up_after: 604800, max_retry_after: 3600}
    resources:
      default:
"""
SEARCHED = """\
        upsert:
          strategy: search_then_write
          search: {path: "/{resource}", query: {ext_id: "{external_id}"}, found: items}
          create: {method: POST, path: "/{resource}"}
          update: {method: PATCH, path: "/{resource}/{crm_id}"}
        external_id_field: ext_id
        crm_id: id
"""


def by_external_id(system: System, resource: str) -> dict[str, dict[str, object]]:
    rows = list(system.rows(resource).values())
    found = {str(row["ext_id"]): row for row in rows}
    assert len(found) == len(rows), "one record has several rows"
    return found


def test_records_found_by_search_carry_each_others_own_ids(tmp_path: Path) -> None:
    with running(tmp_path, target=COMMON + SEARCHED) as system:
        system.send("caresoft", ticket(1, T0, requester_id=77))
        user = {"id": 77, "username": "Lan", "updated_at": T0}
        system.send("caresoft", {"object": "user", "action": "create", "user": user})
        assert system.wait_until_settled(2) == {"done": 2}
        contact = by_external_id(system, "contacts")["77"]
        row = by_external_id(system, "tickets")["1"]
        assert row["contact"] == contact["id"] != "77"
        system.send("caresoft", ticket(1, T0 + 5, ticket_subject="new"))
        assert system.wait_until_settled(3) == {"done": 3}
        assert by_external_id(system, "tickets")["1"]["subject"] == "new"


def test_twelve_events_at_once_for_a_new_record_make_one_row(tmp_path: Path) -> None:
    with running(tmp_path, workers=2, target=COMMON + SEARCHED) as system:
        for version in range(12):
            system.send("caresoft", ticket(1, T0 + version))
        assert system.wait_until_settled(12) == {"done": 12}
        assert by_external_id(system, "tickets")["1"]["subject"] == f"v{T0 + 11}"


@pytest.mark.parametrize("mode", ["reset_after_write", "hang_after_write"])
def test_a_create_whose_answer_was_lost_makes_one_row(tmp_path: Path, mode: str) -> None:
    with running(tmp_path, target=COMMON + SEARCHED) as system:
        system.behave(mode=mode, methods=["POST"], times=1)
        system.send("caresoft", ticket(1, T0))
        assert system.wait_until_settled(1, 40) == {"done": 1}
        assert set(by_external_id(system, "tickets")) == {"1"}


def test_a_worker_killed_between_create_and_answer_leaves_one_row(tmp_path: Path) -> None:
    with running(tmp_path, target=COMMON + SEARCHED) as system:
        system.behave(mode="hang_after_write", methods=["POST"], times=1)
        system.send("caresoft", ticket(1, T0))
        wait_for(lambda: system.rows("tickets"), "the row is written")
        system.kill9("worker")
        system.start_worker()
        system.send("caresoft", ticket(1, T0 + 1))
        assert system.wait_until_settled(2, 40) == {"done": 2}
        assert by_external_id(system, "tickets")["1"]["subject"] == f"v{T0 + 1}"


def test_a_persons_edit_is_kept_and_told(tmp_path: Path) -> None:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "t.yaml").write_text("""\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    version: ticket.updated_at
    fields:
      subject: {from: ticket.ticket_subject, write: unless_edited}
      number: ticket.ticket_no
""")
    reading = '        upsert: {strategy: patch, path: "/{resource}/{external_id}"}\n'
    reading += '        read: {path: "/{resource}/{external_id}"}\n'
    with running(tmp_path, mappings=mappings, target=COMMON + reading) as system:
        system.send("caresoft", ticket(1, T0, ticket_subject="a", ticket_no=1))
        assert system.wait_until_settled(1) == {"done": 1}
        system.send("caresoft", ticket(1, T0 + 1, ticket_subject="b", ticket_no=1))
        assert system.wait_until_settled(2) == {"done": 2}
        assert system.rows("tickets")["1"]["subject"] == "b"
        row = {**system.rows("tickets")["1"], "subject": "edited"}
        system.put_rows({"tickets": {"1": row}})
        system.send("caresoft", ticket(1, T0 + 2, ticket_subject="c", ticket_no=2))
        assert system.wait_until_settled(3) == {"done": 3}
        assert system.rows("tickets")["1"]["subject"] == "edited"
        assert system.rows("tickets")["1"]["number"] == 2
        (edit,) = system.cli("edits")["edits"]
        assert (edit["field"], edit["theirs"], edit["ours"]) == ("subject", "edited", "c")
        assert edit["fate"] == "kept"
        assert edit["file"].endswith("t.yaml")
        assert edit["line"] == 8
