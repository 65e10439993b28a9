"""What only some of the servers do, and must do no harm."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest
import yaml
from servers.deployment import Deployment, deployed, send_and_wait, wait_for_end
from servers.directus_server import Directus
from servers.json_server import JsonServer
from servers.kinto_server import Kinto, KintoCreateFirst
from servers.server import Json, Server
from servers.tryton_server import Tryton
from system import ROOT, sample_bodies, ticket, wait_for

EXPECTED = json.loads((ROOT / "connector" / "demo" / "expected.json").read_text("utf-8"))
T0 = 1_700_000_000_000
DELETED: Json = {"object": "ticket", "action": "delete", "ticket": {"ticket_id": 1}}


def only(*kinds: type[Server]) -> pytest.MarkDecorator:
    """The test runs against these servers."""
    names = [kind.name for kind in kinds]
    return pytest.mark.parametrize("started_server", kinds, indirect=True, ids=names)


def paused(system: Deployment) -> bool:
    return bool(system.target_state()["state"] == "paused")


@only(Kinto, KintoCreateFirst, Directus, Tryton)
def test_wrong_secrets_pause_the_target_and_the_right_ones_lose_nothing(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server, said=dict.fromkeys(server.environ, "wrong")) as system:
        system.send("caresoft", ticket(1, T0))
        wait_for(lambda: paused(system), "the pause")
        assert system.cli("dead")["dead"] == []
        assert server.rows("tickets") == []
        system.reconfigure(said={})
        wait_for_end(system, 1)
        assert set(server.content()["tickets"]) == {"1"}


@only(Directus, JsonServer)
def test_a_search_that_finds_every_row_pauses_the_target_and_writes_nothing(
    tmp_path: Path, server: Server
) -> None:
    server.add_row("tickets", {"ext_id": "of another program", "subject": "theirs"})
    with deployed(tmp_path, server) as system:
        system.reconfigure(replace={"filter[ext_id]": "fitler[ext_id]", "{ext_id:": "{ext_di:"})
        system.send("caresoft", ticket(1, T0))
        wait_for(lambda: paused(system), "the pause")
        assert "an id that nobody has" in str(system.target_state()["why"])
        assert system.cable.writes() == []
        system.reconfigure()
        wait_for_end(system, 1)
        assert len(server.rows("tickets")) == 2


@only(Directus, JsonServer, Tryton)
def test_a_server_that_was_away_gets_everything_when_it_is_back(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 1, ticket(1, T0))
        server.stop()
        try:
            for number in range(5):
                system.send("caresoft", ticket(1 + number, T0 + 1))
            wait_for(
                lambda: system.states().get("waiting", 0) >= 5, "what waits", 30, system.states
            )
        finally:
            server.start()
        wait_for_end(system, 6)
        subjects = {row["subject"] for row in server.content()["tickets"].values()}
        assert subjects == {f"v{T0 + 1}"}
        assert len(server.rows("tickets")) == 5


@only(KintoCreateFirst, Directus, JsonServer, Tryton)
def test_every_sample_arrives_though_workers_are_killed_again_and_again(
    tmp_path: Path, server: Server
) -> None:
    def under_way(sent: int, seen: int) -> bool:
        return len(system.cable.requests) > seen or system.settled(sent)

    with deployed(tmp_path, server, workers=2) as system:
        bodies = sample_bodies()
        for number, first in enumerate(range(0, 41, 7)):
            seen = len(system.cable.requests)
            for source, _, body in bodies[first : first + 7]:
                system.send(source, body)
            wait_for(partial(under_way, min(first + 7, 41), seen), "a call")
            name = ("worker", "worker-1")[number % 2]
            system.kill9(name)
            system.start_worker(name)
        wait_for(lambda: system.settled(41), "41 events settled", 120, system.states)
        assert system.states() == {"done": 41}, system.cli("dead")
        assert server.content() == server.translated(EXPECTED)


@only(JsonServer)
def test_a_row_that_was_given_our_rows_old_id_is_not_overwritten(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 1, ticket(1, T0))
        own_id = server.own_id("tickets", "1")
        server.delete_row("tickets", own_id)
        theirs = {"ext_id": "of another program", "subject": "theirs"}
        server.add_row("tickets", theirs)
        assert server.own_id("tickets", theirs["ext_id"]) == own_id
        send_and_wait(system, 2, ticket(1, T0 + 1))
        rows = server.rows("tickets")
        assert {**theirs, "id": own_id} in rows
        assert [row["subject"] for row in rows if row["ext_id"] == "1"] == [f"v{T0 + 1}"]


@only(JsonServer)
def test_a_row_that_was_given_our_rows_old_id_is_not_deleted(
    tmp_path: Path, server: Server
) -> None:
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 1, ticket(1, T0))
        own_id = server.own_id("tickets", "1")
        server.delete_row("tickets", own_id)
        theirs = {"ext_id": "of another program", "subject": "theirs"}
        server.add_row("tickets", theirs)
        send_and_wait(system, 2, DELETED)
        assert server.rows("tickets") == [{**theirs, "id": own_id}]


@only(Kinto, KintoCreateFirst)
def test_an_id_that_the_server_refuses_is_written_in_a_form_that_it_takes(
    tmp_path: Path, server: Server
) -> None:
    call = {"call_id": "2021:10:06 đ", "caller": "0889999999", "called": "1999999"}
    started: Json = {"object": "call_in", "action": "call_in_start", "call_info": call}
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 1, started)
        (external_id,) = server.content()["calls"]
        assert external_id.startswith("2021-10-06-d-")
        send_and_wait(system, 2, {**started, "action": "call_in_agent_answer"})
        assert server.content()["calls"][external_id]["status"] == "ANSWERED"


@only(KintoCreateFirst)
def test_a_create_that_is_answered_with_the_old_row_becomes_an_update_of_it(
    tmp_path: Path, server: Server
) -> None:
    server.add_row("tickets", {"id": "1", "subject": "theirs", "shelf": "theirs too"})
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 1, ticket(1, T0))
        row = server.content()["tickets"]["1"]
        assert (row["subject"], row["shelf"]) == (f"v{T0}", "theirs too")


@only(Directus)
def test_a_row_of_another_program_with_our_id_is_found_and_updated(
    tmp_path: Path, server: Server
) -> None:
    server.add_row("tickets", {"ext_id": "1", "subject": "theirs", "remark": "theirs too"})
    with deployed(tmp_path, server) as system:
        send_and_wait(system, 1, ticket(1, T0))
        row = server.content()["tickets"]["1"]
        assert (row["subject"], row["remark"]) == (f"v{T0}", "theirs too")


@only(Directus)
def test_a_field_that_the_collection_does_not_have_is_told(tmp_path: Path, server: Server) -> None:
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    rule: Json = {"resource": "tickets", "id": "ticket.ticket_id", "version": "ticket.updated_at"}
    rule["fields"] = {"subject": "ticket.ticket_subject", "subjekt": "ticket.ticket_subject"}
    mapping = {"source": "caresoft", "events": ["ticket.update"], "records": [rule]}
    (mappings / "tickets.yaml").write_text(yaml.safe_dump(mapping))
    with deployed(tmp_path, server, mappings=mappings) as system:
        system.reconfigure(
            replace={"external_id_field": "verify: [read]\n        external_id_field"}
        )
        send_and_wait(system, 1, ticket(1, T0))
        warnings = system.cli("record", "tickets", "1")["warnings"]
        assert any("subjekt" in str(warning) for warning in warnings)
