"""Servers that others wrote, through their settings of docs/targets/ alone: the promises hold.

Each test runs the whole system (web, worker, Redis) in front of the real server, and reads the
outcome through the server's own API.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from servers.deployment import deployed, send_and_wait, wait_for_end
from servers.server import Row, Server
from system import ROOT, sample_bodies, ticket, wait_for

EXPECTED = json.loads((ROOT / "connector" / "demo" / "expected.json").read_text("utf-8"))
T0 = 1_700_000_000_000


def the_only_row(server: Server, resource: str = "tickets") -> Row:
    (row,) = server.content()[resource].values()
    return row


def test_every_sample_ends_as_the_vendors_documents_say_and_a_replay_writes_nothing(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server) as system:
        for source, name, body in sample_bodies():
            assert system.send(source, body).json() == {"accepted": 1, "duplicates": 0}, name
        wait_for_end(system, 41)
        assert server.content() == server.translated(EXPECTED)
        rows = {resource: server.rows(resource) for resource in EXPECTED}
        written = system.cable.writes()
        assert written
        system.cli("replay", "--state", "done")
        wait_for_end(system, 41)
        assert system.cable.writes() == written
        assert {resource: server.rows(resource) for resource in EXPECTED} == rows


def test_every_sample_arrives_over_a_line_that_breaks_again_and_again(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server, workers=2) as system:
        system.cable.fray(0.15, seed=1)
        for source, _, body in sample_bodies():
            system.send(source, body)
        wait_for(lambda: system.settled(41), "41 events settled", 120, system.states)
        assert system.states() == {"done": 41}, system.cli("dead")
        assert server.content() == server.translated(EXPECTED)


def test_twelve_events_at_once_for_a_new_record_make_one_row(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server, workers=2) as system:
        with ThreadPoolExecutor(12) as pool:
            answers = pool.map(
                lambda n: system.send("caresoft", ticket(1, T0 + n)).status_code, range(12)
            )
            assert set(answers) == {200}
        wait_for_end(system, 12)
        assert the_only_row(server)["subject"] == f"v{T0 + 11}"


def test_a_worker_killed_between_create_and_answer_leaves_one_row(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server) as system:
        system.cable.hold(server.create)
        system.send("caresoft", ticket(1, T0))
        wait_for(system.cable.kept.is_set, "the server's answer to the create")
        assert the_only_row(server)["subject"] == f"v{T0}"
        system.kill9("worker")
        system.start_worker()
        send_and_wait(system, 2, ticket(1, T0 + 1))
        assert the_only_row(server)["subject"] == f"v{T0 + 1}"


def test_a_create_whose_answer_was_lost_makes_one_row(tmp_path: Path, server: Server) -> None:
    with deployed(tmp_path, server) as system:
        system.cable.cut(server.create)
        send_and_wait(system, 1, ticket(1, T0))
        assert system.cable.kept.is_set(), system.cable.requests
        assert the_only_row(server)["subject"] == f"v{T0}"


def test_a_delete_deletes_and_stays(tmp_path: Path, server: Server) -> None:
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 2, ticket(1, T0), ticket(2, T0))
        gone = {"object": "ticket", "action": "delete", "ticket": {"ticket_id": 1}}
        send_and_wait(system, 4, gone, ticket(1, T0 + 1))
        assert set(server.content()["tickets"]) == {"2"}


def test_a_record_that_a_person_deleted_comes_back_whole_with_the_next_change(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 2, ticket(1, T0, ticket_no=5), ticket(2, T0))
        server.delete_row("tickets", server.own_id("tickets", "1"))
        send_and_wait(system, 3, ticket(1, T0 + 1))
        row = server.content()["tickets"]["1"]
        assert (row["subject"], row["number"]) == (f"v{T0 + 1}", 5)


def test_a_reference_follows_a_record_that_was_created_anew(tmp_path: Path, server: Server) -> None:
    user = {"id": 77, "username": "Lan", "updated_at": T0}
    with deployed(tmp_path, server) as system:
        told = {"object": "user", "action": "create", "user": user}
        send_and_wait(system, 2, told, ticket(1, T0, requester_id=77))
        server.delete_row("contacts", server.own_id("contacts", "77"))
        again = {**told, "user": {**user, "username": "Lan Anh", "updated_at": T0 + 1}}
        send_and_wait(system, 3, again)
        contact = server.own_id("contacts", "77")
        wait_for(lambda: the_only_row(server).get("contact") == contact, "the reference")
