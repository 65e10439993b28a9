"""What an operator does while things are wrong: dead letters, paused targets; real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from system import System, running, ticket, wait_for

T0 = 1_700_000_000_000
QUICK = """\
    timeout: 2
    probe_interval: 0.5
    pause_after_refusals: 4
    pause_after_failures: 3
    retry: {schedule: [0.5, 1, 1], give_up_after: 604800, max_retry_after: 3600}
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with running(tmp_path, target=QUICK) as system:
        yield system


def target(system: System) -> dict[str, object]:
    (row,) = system.cli("targets")["targets"]
    return row


def test_a_dead_delivery_is_listed_and_delivered_by_a_retry(system: System) -> None:
    system.behave(mode="refuse_record:1", answer=None)
    system.send("caresoft", ticket(1, T0))
    system.wait_until_settled(1)
    (letter,) = system.cli("dead")["dead"]
    assert (letter["what"], letter["resource"], letter["record"]) == ("record", "tickets", "1")
    assert letter["status"] == 422
    assert letter["event"] == system.cli("events")["events"][0]["id"]
    assert system.cli("dead", "retry", "crm/tickets/1") == {"retried": 1}
    wait_for(lambda: len(system.calls()) == 2, "the second refusal")
    system.wait_until_settled(1)
    assert len(system.cli("dead")["dead"]) == 1
    system.behave()
    assert system.cli("dead", "retry", "--all") == {"retried": 1}
    wait_for(lambda: system.states() == {"done": 1}, "delivered", 10, system.states)
    assert system.cli("dead")["dead"] == []
    keys = [call["headers"]["idempotency-key"] for call in system.calls()]
    assert len(set(keys)) == 3


def test_a_dropped_dead_letter_is_gone_and_says_why(system: System) -> None:
    system.behave(mode="refuse_record:1")
    system.send("caresoft", ticket(1, T0))
    system.send("caresoft", {"object": "ticket", "action": "update", "ticket": {}})
    system.wait_until_settled(2)
    letters = {letter["what"]: letter for letter in system.cli("dead")["dead"]}
    assert letters["event"]["file"].endswith("tickets.yaml")
    assert system.cli("dead", "drop", "--all", "--why", "a test ticket") == {"dropped": 2}
    assert system.cli("dead")["dead"] == []
    record = system.cli("record", "tickets", "1")
    assert "a test ticket" in record["warnings"][0]
    event = system.cli("event", letters["event"]["id"])
    assert "a test ticket" in event["error"]["hint"]
    assert system.states() == {"done": 1, "dead": 1}


def test_an_event_that_no_mapping_could_read_is_retried_through_a_mended_one(
    tmp_path: Path,
) -> None:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    rule = """\
source: caresoft
events: [ticket.update]
records: [{resource: tickets, id: ticket.ticket_id, fields: {n: %s}}]
"""
    (mappings / "t.yaml").write_text(rule % "integer(ticket.ticket_subject)")
    with running(tmp_path, mappings=mappings) as system:
        system.send("caresoft", ticket(1, T0, ticket_subject="x"))
        assert system.wait_until_settled(1) == {"dead": 1}
        (mappings / "t.yaml").write_text(rule % "ticket.ticket_subject")
        system.cli("mappings", "publish", "--yes")
        system.cli("replay", "--state", "dead")
        assert system.wait_until_settled(1) == {"done": 1}
        assert system.cli("dead")["dead"] == []


def test_an_outage_pauses_the_target_and_a_probe_opens_it(system: System) -> None:
    system.behave(mode="503")
    for number in range(1, 7):
        system.send("caresoft", ticket(number, T0))
    wait_for(lambda: target(system)["state"] != "open", "paused", 15)
    assert "503" in str(target(system)["why"])
    wait_for(lambda: target(system)["waiting"] == 6, "all merged")
    system.send("caresoft", ticket(7, T0))
    wait_for(lambda: system.states() == {"waiting": 7}, "merged while paused")
    assert system.cli("dead")["dead"] == []
    system.behave()
    assert system.wait_until_settled(7) == {"done": 7}
    assert target(system)["state"] == "open"


def test_refused_credentials_pause_the_target_and_make_no_dead_letter(system: System) -> None:
    system.behave(mode="401")
    system.send("caresoft", ticket(1, T0))
    wait_for(lambda: target(system)["state"] != "open", "paused", 10)
    assert system.cli("dead")["dead"] == []
    system.behave()
    assert system.wait_until_settled(1) == {"done": 1}


def test_a_redirect_pauses_the_target_with_the_address(system: System) -> None:
    system.behave(mode="redirect")
    system.send("caresoft", ticket(1, T0))
    wait_for(lambda: target(system)["state"] != "open", "paused", 10)
    assert "redirect" in str(target(system)["why"]).lower() or "302" in str(target(system)["why"])
    system.behave()
    assert system.wait_until_settled(1) == {"done": 1}


def test_the_same_refusal_of_many_records_pauses_the_target_and_they_wait_again(
    system: System,
) -> None:
    system.behave(mode="422", answer={"error": "header X is missing"})
    for number in range(1, 9):
        system.send("caresoft", ticket(number, T0))
    wait_for(lambda: target(system)["state"] != "open", "paused", 10)
    wait_for(lambda: system.cli("dead")["dead"] == [], "all wait again", 10)
    assert "header" in str(target(system)["why"])
    system.behave()
    assert system.wait_until_settled(8) == {"done": 8}


def test_one_records_own_fault_never_pauses_the_target(system: System) -> None:
    system.behave(mode="422", record="1", answer={"error": "no"})
    for version in range(8):
        system.send("caresoft", ticket(1, T0 + version))
        system.wait_until_settled(version + 1)
    assert target(system)["state"] == "open"


def test_one_record_on_which_the_crm_fails_again_and_again_never_pauses_the_target(
    system: System,
) -> None:
    system.behave(mode="500", record="1")
    system.send("caresoft", ticket(1, T0))
    wait_for(lambda: sum(call["record"] == "1" for call in system.calls()) >= 4, "four tries")
    assert target(system)["state"] == "open"
    assert "probe of crm" not in system.log("worker")
    system.send("caresoft", ticket(2, T0))
    wait_for(lambda: "2" in system.rows("tickets"), "another record")


def test_a_target_paused_by_hand_waits_for_a_hand(system: System) -> None:
    run(system, "targets", "pause", "crm")
    system.send("caresoft", ticket(1, T0))
    wait_for(lambda: system.states() == {"waiting": 1}, "merged")
    assert target(system)["why"] == "paused by hand"
    why = "the target is paused: paused by hand"
    (event,) = system.cli("events")["events"]
    found = system.cli("event", event["id"])
    assert [(r["state"], r["why"]) for r in found["records"]] == [("waiting", why)]
    assert {(e["did"], e["why"]) for e in found["effects"] if e["did"] == "waiting"} == {
        ("waiting", why)
    }
    (record,) = found["records"]
    told = system.cli("record", record["resource"], record["id"])
    assert {told["why"], *(field["note"] for field in told["fields"])} == {why}
    ready = requests.get(f"{system.web_url}/readyz", timeout=10)
    assert (ready.status_code, ready.json()["targets"]["states"]) == (200, {"crm": "paused"})
    assert system.cli("status")["drift"]["events"] == 1
    assert system.calls() == []
    run(system, "targets", "resume", "crm")
    assert system.wait_until_settled(1) == {"done": 1}


def test_retry_after_is_obeyed_for_the_whole_target(system: System) -> None:
    system.behave(mode="429", retry_after="3", times=1)
    system.send("caresoft", ticket(1, T0))
    wait_for(lambda: system.calls(), "the first call")
    system.send("caresoft", ticket(2, T0))
    assert system.wait_until_settled(2) == {"done": 2}
    first, *others = [call["start"] for call in system.calls()]
    assert min(others) - first >= 2.9


def run(system: System, *arguments: str, code: int = 0) -> str:
    """A verb that ends with `code`; what it said on standard error."""
    environ = {"CONNECTOR_CONFIG": str(system.folder / "config.yaml"), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "connector", *arguments]
    done = subprocess.run(command, env=environ, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_what_two_sources_sent_alike_is_told_apart_by_the_source(system: System) -> None:
    for source in ("caresoft", "mobio"):
        system.send(source, {})
    system.wait_until_settled(2)
    letters = system.cli("dead")["dead"]
    (id_,) = {letter["id"] for letter in letters}
    told = run(system, "event", id_, code=2)
    assert f"say caresoft/{id_} or mobio/{id_}" in told.replace("\n", " ")
    assert system.cli("event", f"mobio/{id_[:12]}")["source"] == "mobio"
    assert system.cli("dead", "drop", id_, "--why", "both are empty") == {"dropped": 2}
