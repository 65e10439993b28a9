"""The whole way, with real processes: from a signed body to the row in the CRM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from system import System, running, sample_bodies, ticket, wait_for

EXPECTED = Path(__file__).parents[2] / "connector" / "demo" / "expected.json"
T0 = 1_700_000_000_000


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path) as system:
        yield system


def test_every_sample_ends_as_the_vendors_documents_say(system: System) -> None:
    for source, name, body in sample_bodies():
        assert system.send(source, body).json() == {"accepted": 1, "duplicates": 0}, name
    assert system.wait_until_settled(41) == {"done": 41}
    expected = json.loads(EXPECTED.read_text("utf-8"))
    rows = {resource: _without_nulls(system.rows(resource)) for resource in expected}
    assert rows == expected
    assert system.crm("_overlaps")["overlaps"] == []


def _without_nulls(rows: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    return {
        id_: {name: value for name, value in row.items() if value is not None and name != "id"}
        for id_, row in rows.items()
    }


def test_a_duplicate_and_a_late_older_event_cost_no_call(system: System) -> None:
    newer = ticket(1, T0 + 2000, ticket_status="closed")
    older = ticket(1, T0 + 1000, ticket_status="closed", ticket_subject="v1700000002000")
    system.send("caresoft", newer)
    system.wait_until_settled(1)
    before = len(system.calls())
    assert system.send("caresoft", newer).json() == {"accepted": 0, "duplicates": 1}
    assert system.send("caresoft", older).json() == {"accepted": 1, "duplicates": 0}
    assert system.wait_until_settled(2) == {"done": 2}
    assert len(system.calls()) == before


def test_a_reference_is_set_when_the_record_that_it_names_arrives(system: System) -> None:
    system.send("caresoft", ticket(1, T0, requester_id=77))
    assert system.wait_until_settled(1) == {"done": 1}
    assert "contact" not in system.rows("tickets")["1"]
    user = {"id": 77, "username": "Lan", "updated_at": T0}
    system.send("caresoft", {"object": "user", "action": "create", "user": user})
    wait_for(lambda: system.rows("tickets")["1"].get("contact") == "77", "the reference")
    assert system.wait_until_settled(2) == {"done": 2}


def test_a_record_that_the_crm_refuses_delays_no_other_and_heals_by_a_newer_event(
    system: System,
) -> None:
    system.behave(mode="refuse_record:1")
    for number in (1, 2, 3):
        system.send("caresoft", ticket(number, T0))
    assert system.wait_until_settled(3) == {"dead": 1, "done": 2}
    record = system.cli("record", "tickets", "1")
    assert (record["state"], record["status"]) == ("dead", 422)
    system.behave(mode="ok")
    system.send("caresoft", ticket(1, T0 + 5))
    assert system.wait_until_settled(4) == {"done": 4}


def test_a_crm_that_is_away_gets_everything_in_the_end_in_one_call_per_record(
    system: System,
) -> None:
    system.behave(mode="503")
    for version in range(20):
        system.send("caresoft", ticket(1, T0 + version))
    wait_for(lambda: system.states() == {"waiting": 20}, "all merged", 10, system.states)
    refused = len(system.calls())
    system.behave(mode="ok")
    assert system.wait_until_settled(20, 40) == {"done": 20}
    assert system.rows("tickets")["1"]["subject"] == f"v{T0 + 19}"
    assert len(system.calls()) - refused <= 2


def test_the_command_line_tells_what_became_of_an_event_and_a_record(system: System) -> None:
    system.send("caresoft", ticket(5, T0, ticket_status="open"))
    system.send("caresoft", {"object": "ticket", "action": "update", "ticket": {"ticket_id": "x"}})
    system.send("caresoft", {"object": "thing", "action": "new"})
    system.send("caresoft", {"object": "ticket", "action": "update", "ticket": {}})
    system.wait_until_settled(4)
    events = system.cli("events")["events"]
    assert sorted(event["state"] for event in events) == ["dead", "done", "done", "unmapped"]
    assert [e["kind"] for e in system.cli("events", "--state", "unmapped")["events"]] == [
        "thing.new"
    ]
    assert len(system.cli("events", "--kind", "ticket.update", "--limit", "2")["events"]) == 2
    dead = system.cli("events", "--state", "dead")["events"][0]
    error = system.cli("event", dead["id"][:10])["error"]
    assert error["file"].endswith("tickets.yaml")
    assert error["line"] > 1
    record = system.cli("record", "tickets", "5")
    fields = {field["field"]: field for field in record["fields"]}
    assert fields["status"]["value"] == "OPEN"
    assert fields["status"]["version"] == "2023-11-14T22:13:20.000000Z"
    assert fields["status"]["file"].endswith("tickets.yaml")
    assert fields["status"]["event"] in [event["id"] for event in events]
    assert record["calls"][0]["method"] == "PUT"
    assert system.cli("status")["workers"]


def test_an_edited_mapping_takes_effect_on_kept_events_by_a_replay(
    tmp_path: Path,
) -> None:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    rule = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    version: ticket.updated_at
    fields: {subject: %s}
"""
    (mappings / "tickets.yaml").write_text(rule % "ticket.ticket_subject")
    with running(tmp_path, mappings=mappings) as system:
        system.send("caresoft", ticket(1, T0, ticket_subject="  Hello "))
        system.send("caresoft", {"object": "thing", "action": "new", "thing": {"id": 4}})
        assert system.wait_until_settled(2) == {"done": 1, "unmapped": 1}
        assert system.rows("tickets")["1"]["subject"] == "  Hello "
        (mappings / "tickets.yaml").write_text(rule % "upper(trim(ticket.ticket_subject))")
        (mappings / "things.yaml").write_text(
            "source: caresoft\nevents: [thing.*]\n"
            "records: [{resource: things, id: thing.id, fields: {a: 1}}]\n"
        )
        system.cli("mappings", "publish", "--yes", "--message", "in capitals")
        assert system.cli("replay", "--since", "1h")["replayed"] == 2
        assert system.wait_until_settled(2) == {"done": 2}
        assert system.rows("tickets")["1"]["subject"] == "HELLO"
        assert system.rows("things")["4"]["a"] == 1
        calls = len(system.calls())
        assert system.cli("replay", "--since", "1h")["records"] == []
        assert system.wait_until_settled(2) == {"done": 2}
        assert len(system.calls()) == calls
