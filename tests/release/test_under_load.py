"""Sets published while real processes work: each event goes by one of them, whole.

A set here writes its own number N into everything that it writes: two fields by one file, one of
them through a table, and a second record by another file. So an event that went by half of a set,
or by halves of two, shows as two numbers.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from system import Load, System, running, ticket, wait_for

from connector import journal
from connector.alive import live_workers
from connector.journal import Entry
from connector.mapping import published
from connector.model import Json, Name
from connector.records import store
from connector.records.state import Merged
from connector.redisdb import Redis, connect
from connector.release_verbs import add_to

EVENTS = 1200
RATE = 300.0
T0 = 1_700_000_000_000

BLOCK = """\
source: caresoft
events: [ticket.update]
records:
  - resource: {resource}
    id: ticket.ticket_id
    version: ticket.updated_at
    fields: {{{fields}}}
"""


def write_set(folder: Path, number: int, also: str = "") -> None:
    """The set that marks all it writes with `number`. One field of it has a name of its own."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    fields = f"a: {{value: {number}}}, b: \"lookup('marks', 'it')\", only_{number}: {number}"
    files = {
        "tickets.yaml": BLOCK.format(resource="tickets", fields=fields),
        "tables/marks.yaml": f"it: {number}\n",
        "copies.yaml": BLOCK.format(resource="copies", fields=f"c: {{value: {number}}}{also}"),
    }
    for name, text in files.items():
        (folder / name).write_text(text)


@pytest.fixture
def mappings(tmp_path: Path) -> Path:
    folder = tmp_path / "mappings"
    write_set(folder, 1)
    return folder


@pytest.fixture
def system(tmp_path: Path, mappings: Path) -> Iterator[System]:
    with running(tmp_path, workers=2, mappings=mappings) as system:
        yield system


@pytest.fixture
def client(system: System) -> Redis:
    return connect(system.redis.url)


def connector_mappings(system: System, *arguments: str) -> int:
    """A verb in a process of its own would take its own time; here it is run at once. Its exit
    code."""
    group = click.Group("mappings")
    add_to(group)
    environ = {**os.environ, "CONNECTOR_CONFIG": str(system.folder / "config.yaml")}
    return CliRunner().invoke(group, arguments, env=environ).exit_code


def publish(system: System) -> int:
    return connector_mappings(system, "publish", "--yes", "--no-plan")


def bodies(count: int) -> list[bytes]:
    """Two events of each ticket, the older first."""
    return [json.dumps(ticket(number // 2, T0 + number)).encode() for number in range(count)]


def all_entries(client: Redis) -> list[Entry]:
    return list(journal.newest_first(client))


def records_of(client: Redis, entry: Entry) -> dict[str, Merged]:
    id_ = str(json.loads(entry.event.body)["ticket"]["ticket_id"])
    names = [Name("crm", resource, id_) for resource in ("tickets", "copies")]
    return {state.name.resource: state.merged for state in store.read(client, names)}


def told_by(entry: Entry, records: dict[str, Merged]) -> dict[str, tuple[int, Json]]:
    """What stands in the records by an event's word: field → set and value."""
    return {
        name: (cell.newest.set, cell.value)
        for merged in records.values()
        for name, cell in merged.fields.items()
        if cell.newest.serial == entry.serial
    }


def test_no_event_goes_by_half_of_a_set_that_is_published_under_load(
    system: System, client: Redis, mappings: Path
) -> None:
    wait_for(lambda: len(live_workers(client)) == 2, "both workers")
    number = 1
    with Load(system, bodies(EVENTS), rate=RATE) as load:
        while load.sent < EVENTS:
            number += 1
            write_set(mappings, number)
            assert publish(system) == 0
            time.sleep(0.1)
    wait_for(lambda: len(all_entries(client)) == EVENTS, "all received")
    wait_for(lambda: journal.queued(client) == 0, "all merged")
    entries = all_entries(client)
    used = {entry.set_number for entry in entries}
    assert len(used) >= 3, f"published too late to be a test of it: {used}"
    serials = [entry.serial for entry in entries]
    for entry in journal.load(client, serials):
        assert entry.state == "merged"
        told = told_by(entry, records_of(client, entry))
        assert {mark for _, mark in told.values()} <= {entry.set_number}, (entry, told)
        assert {set_ for set_, _ in told.values()} <= {entry.set_number}, (entry, told)
        if "a" in told:  # the newer of the ticket's two events: all that its set writes is there
            assert set(told) == {"a", "b", f"only_{entry.set_number}", "c"}
    assert system.wait_until_settled(EVENTS, 60) == {"done": EVENTS}
    copies = system.rows("copies")
    for id_, row in system.rows("tickets").items():
        assert row["a"] == row["b"] == copies[id_]["c"] == row[f"only_{row['a']}"]


def test_a_bad_edit_published_under_load_fails_events_whole_and_is_taken_back(
    system: System, client: Redis, mappings: Path
) -> None:
    wait_for(lambda: len(live_workers(client)) == 2, "both workers")
    with Load(system, bodies(EVENTS // 2), rate=RATE) as load:
        wait_for(lambda: load.sent > EVENTS // 10, "some sent")
        (mappings / "copies.yaml").write_text("records: [")
        assert publish(system) == 1  # broken: it never takes effect
        assert published.number_in_force(client) == 1
        wait_for(lambda: load.sent > EVENTS // 5, "some more sent")
        # Good by itself, and fails on every event, by a field of its second file.
        write_set(mappings, 2, also=", d: integer(ticket.ticket_subject)")
        assert publish(system) == 0
    wait_for(lambda: len(all_entries(client)) == EVENTS // 2, "all received")
    wait_for(lambda: journal.queued(client) == 0, "all merged")
    entries = journal.load(client, [entry.serial for entry in all_entries(client)])
    assert {(entry.set_number, entry.state) for entry in entries} == {(1, "merged"), (2, "dead")}
    for entry in entries:
        told = told_by(entry, records_of(client, entry))
        if entry.state == "dead":
            assert told == {}
            assert entry.touched == ()
        else:
            assert {mark for _, mark in told.values()} <= {1}
    assert connector_mappings(system, "rollback") == 0
    assert published.number_in_force(client) == 3
    write_set(mappings, 1)
    assert system.cli("replay", "--state", "dead")["failed"] == []
    assert system.wait_until_settled(EVENTS // 2, 60) == {"done": EVENTS // 2}
    assert {row["a"] for row in system.rows("tickets").values()} == {1}
    assert len(system.rows("tickets")) == EVENTS // 4
