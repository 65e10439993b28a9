"""`connector event`, `record` and `edits`: what an event did to each field, and why not to others.

Real processes: what is told is what a CRM was sent.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from system import System, running

T0 = 1_684_384_652_133

MAPPINGS = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    version: ticket.updated_at
    fields:
      subject: {from: ticket.ticket_subject, write: unless_edited}
      number: ticket.ticket_no
      source: {from: ticket.ticket_source, write: on_create}
      contact: {ref: contacts, id: ticket.requester_id}
      status: ticket.ticket_status
  - resource: contacts
    when: ticket.ticket_priority == 'High'
    id: ticket.requester_id
    fields: {name: ticket.requester_name}
---
source: caresoft
events: [ticket.delete]
records: [{resource: tickets, id: ticket.ticket_id, action: delete}]
"""
TARGET = """\
    resources:
      default:
        upsert: {strategy: patch, path: "/{resource}/{external_id}"}
        read: {path: "/{resource}/{external_id}"}
"""


def _ticket(late: int = 0, **fields: Any) -> dict[str, Any]:
    known = {"ticket_id": 1, "updated_at": T0 + late}
    return {"object": "ticket", "action": "update", "ticket": known | fields}


def _text(system: System, *arguments: str) -> str:
    """What a verb prints for people."""
    config = str(system.folder / "config.yaml")
    environment = {**os.environ, "CONNECTOR_CONFIG": config, "COLUMNS": "240"}
    command = [sys.executable, "-m", "connector", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("effects")
    (folder / "mappings").mkdir()
    (folder / "mappings" / "t.yaml").write_text(MAPPINGS)
    with running(folder, mappings=folder / "mappings", target=TARGET) as running_system:
        yield running_system


class _Told:
    """The events of one story in the order they were sent, and what is told of each."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.sent = 0

    def send(self, late: int = 0, **fields: Any) -> str:
        """Sends an update and waits until nothing is left to do; the event's id."""
        self.sent += 1
        body = _ticket(late, ticket_comment={"n": self.sent}, **fields)
        assert self.system.send("caresoft", body).status_code == 200
        self.system.wait_until_settled(self.sent)
        id_: str = self.system.cli("events", "--limit", "1")["events"][0]["id"]
        return id_

    def effects(self, event: str) -> dict[str, tuple[str, str]]:
        """For each field what the event did, and why."""
        rows = self.system.cli("event", event)["effects"]
        return {row["field"] or row["resource"]: (row["did"], row["why"] or "") for row in rows}

    def edit(self, **fields: Any) -> None:
        """A person's edit in the CRM."""
        row = self.system.rows("tickets")["1"] | fields
        self.system.put_rows({"tickets": {"1": row}})

    def fields(self) -> dict[str, dict[str, Any]]:
        return {f["field"]: f for f in self.system.cli("record", "tickets", "1")["fields"]}


def test_each_field_is_told_with_its_reason(system: System) -> None:
    told = _Told(system)
    first = told.send(
        ticket_subject="a", ticket_no=5, ticket_source="Email", requester_id=77, ticket_status="new"
    )
    found = told.effects(first)
    assert found["subject"] == ("changed", "")
    assert found["source"] == ("changed", "")
    assert found["contact"] == ("waiting", "contacts 77 is not in the CRM yet (missing: later)")
    assert found["contacts"] == (
        "skipped",
        "`when` is false: `ticket.ticket_priority == 'High'` gives the boolean false",
    )

    # later: one equal, one replaced by a person's edit, one that only creates may write
    told.edit(subject="theirs", number=6)
    second = told.send(
        10, ticket_subject="b", ticket_no=5, ticket_source="Chat", ticket_status="open"
    )
    found = told.effects(second)
    assert found["subject"][0] == "kept"
    assert found["subject"][1] == (
        'write: unless_edited: somebody edited it in the CRM: it holds "theirs"'
    )
    assert found["source"] == ("kept", "write: on_create: only a new record is given it")
    assert found["number"] == ("equal", "the CRM had been told this value before")
    assert found["status"] == ("changed", "")
    assert found["contact"] == ("untouched", "`ticket.requester_id` gives null")
    assert told.effects(first)["status"] == ("replaced", "a newer value came after it")

    # an update that comes late changes nothing
    late = told.send(5, ticket_no=4, ticket_status="old")
    assert told.effects(late)["status"] == ("older", "a value of a later time was here already")

    # an edit of a field that is always ours is overwritten, and that is told
    over = told.send(20, ticket_no=8, ticket_subject="c")
    assert told.effects(over)["number"] == ("changed", "over what somebody had written: 6")
    (overwritten, _, kept) = system.cli("edits")["edits"]
    assert (overwritten["field"], overwritten["fate"]) == ("number", "overwritten")
    assert (overwritten["theirs"], overwritten["ours"]) == (6, 8)
    assert (kept["field"], kept["fate"], kept["theirs"], kept["ours"]) == (
        "subject",
        "kept",
        "theirs",
        "b",
    )
    assert overwritten["event"] == over
    assert (Path(overwritten["file"]).name, overwritten["line"]) == ("t.yaml", 9)

    # the record: when each field went out, and why one did not
    fields = told.fields()
    assert fields["status"]["delivered_at"] < fields["number"]["delivered_at"]
    assert fields["subject"]["delivered_at"] is None
    assert "somebody edited it" in fields["subject"]["note"]
    assert fields["source"]["note"] == "write: on_create: only a new record is given it"
    assert fields["contact"]["note"] == "contacts 77 is not in the CRM yet (missing: later)"

    # people see the same
    shown = _text(system, "event", over)
    assert "what it changed" in shown
    assert "what it did not change" in shown
    assert "delivered" in _text(system, "record", "tickets", "1")
    assert "overwritten" in _text(system, "edits")
