"""The dispatcher's two halves: one goes on while the other waits for Redis, and trouble that either
meets is the trouble of both."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from office import Office
from redis.exceptions import ConnectionError as Away
from system import wait_for

from connector import assemble, journal, turns, worker
from connector.records import store
from connector.worker import Worker

MANY = 20


@pytest.fixture
def office(tmp_path: Path, redis_url: str, fake_crm: Any) -> Office:
    office = Office(tmp_path, redis_url, fake_crm.url)
    assemble.ensure_in_force(office.config, office.client)
    return office


class Gate:
    """Holds up a function as a slow answer of Redis does: others who take turns go on."""

    def __init__(self, patch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
        self.shut = True
        self.waits = 0
        function = getattr(module, name)

        def held_up(*args: Any, **more: Any) -> Any:
            self.waits += 1
            while self.shut:
                turns.sleep(0.01)
            return function(*args, **more)

        patch.setattr(module, name, held_up)


@contextmanager
def at_work(office: Office, gate: Gate, threads: int = 4) -> Iterator[Worker]:
    """A worker; whatever becomes of the test, the gate opens before it is told to end."""
    process = Worker(office.config, threads=threads)
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        yield process
    finally:
        gate.shut = False
        process.stop()
        thread.join(30)
    assert not thread.is_alive()


def all_is_done(office: Office) -> bool:
    client = office.client
    open_ends = (journal.queued(client), client.hlen("c:lease:crm"), client.zcard("c:dirty:crm"))
    return not any(open_ends) and not client.keys("c:claims:*")


def test_what_is_due_goes_out_while_taking_in_waits(
    office: Office, fake_crm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.send(1, ticket_subject="due")
    (entry,) = journal.load(office.client, [1])
    assemble.reconciler(office.config, office.client).merge([entry], leasing=False)
    gate = Gate(monkeypatch, journal, "claim")
    with at_work(office, gate):
        wait_for(lambda: fake_crm.rows("tickets"), "the record that was due")
        assert gate.waits == 1


def test_events_are_taken_in_while_sending_out_waits(
    office: Office, fake_crm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, store, "release_and_lease")
    with at_work(office, gate):
        wait_for(lambda: gate.waits, "a release")
        for number in range(1, 4):
            office.send(number, ticket_subject="new")
            wait_for(lambda n=number: len(fake_crm.rows("tickets")) == n, "the new record")
        assert gate.waits == 1
        assert office.client.hlen("c:lease:crm") == 3, "delivered, and not released yet"
        gate.shut = False
        wait_for(lambda: office.client.hlen("c:lease:crm") == 0, "all to be released")
    assert all_is_done(office)


def test_what_needs_no_call_while_sending_out_waits_is_released_as_well(
    office: Office, fake_crm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.send(1, 1, ticket_subject="same")
    office.work()
    gate = Gate(monkeypatch, store, "release_and_lease")
    with at_work(office, gate):
        office.send(2, ticket_subject="holds up")
        wait_for(lambda: gate.waits, "a release")
        office.send(1, 2, ticket_subject="same")
        wait_for(lambda: journal.queued(office.client) == 0, "the event to be taken in")
        wait_for(lambda: office.client.hlen("c:lease:crm") == 2, "its record to be leased")
        gate.shut = False
        wait_for(lambda: office.client.hlen("c:lease:crm") == 0, "all to be released", 3)
    assert all_is_done(office)
    assert len(fake_crm.calls()) == 2


@pytest.mark.parametrize("waiting", [worker.BACKLOG - 1, worker.BACKLOG])
def test_a_backlog_is_gone_on_with_at_once_and_what_trickles_in_is_gathered(
    office: Office, fake_crm: Any, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    sleep, first, rests = turns.sleep, worker.BACKLOG, []

    def remember(seconds: float) -> None:
        if seconds > 0.1:  # no gate sleeps so long
            rests.append(journal.queued(office.client))
        sleep(seconds)

    monkeypatch.setattr(worker, "ROUND_SECONDS", 1.0)
    monkeypatch.setattr(turns, "sleep", remember)
    for number in range(first):
        office.send(number + 1, ticket_subject="first")
    gate = Gate(monkeypatch, store, "commit")
    with at_work(office, gate, threads=2 * first):
        wait_for(lambda: gate.waits, "the first to be claimed")
        for number in range(waiting):
            office.send(first + number + 1, ticket_subject="then")
        gate.shut = False
        wait_for(lambda: len(fake_crm.rows("tickets")) == first + waiting, "all of them")
    assert rests[0] == (waiting if waiting < worker.BACKLOG else 0)


@pytest.mark.parametrize("call", [1, 3])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (journal, "claim"),
        (store, "read"),
        (store, "commit"),
        (store, "links"),
        (store, "release_and_lease"),
    ],
)
@pytest.mark.parametrize("done", [False, True], ids=["undone", "done unheard"])
def test_trouble_in_either_half_is_begun_anew_and_loses_nothing(
    office: Office,
    fake_crm: Any,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    name: str,
    call: int,
    done: bool,
) -> None:
    """Redis goes away once: before it did what it was asked for, or before its answer got here."""
    function, calls = getattr(module, name), 0

    def fail_once(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls != call:
            return function(*args, **more)
        if done:
            function(*args, **more)
        raise Away("gone")

    monkeypatch.setattr(worker, "BATCH", 4)  # so that there are several rounds
    monkeypatch.setattr("connector.reconcile.LEASE_MARGIN", -9.0)  # a lease that is lost ends soon
    for number in range(MANY):
        office.send(number + 1, ticket_subject=f"s{number}")
    monkeypatch.setattr(module, name, fail_once)
    office.work()
    wait_for(lambda: work_again(office), "all to be done")
    assert calls > call
    assert {row["subject"] for row in fake_crm.rows("tickets").values()} == {
        f"s{number}" for number in range(MANY)
    }
    assert not fake_crm.overlaps()


def work_again(office: Office) -> bool:
    """Leases that nobody answers for run out; what they were for is then due again."""
    office.work()
    return all_is_done(office)


def test_what_is_wrong_with_the_mappings_ends_the_worker(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the half that takes in, said by the process."""
    gate = Gate(monkeypatch, journal, "claim")

    def unreadable(*_: Any) -> None:
        raise LookupError("mapping set 7 has gone from Redis")

    process = Worker(office.config, threads=2)
    office.send(1, ticket_subject="x")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            process.run()
        except LookupError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: gate.waits, "the worker to be ready")
    monkeypatch.setattr(process.reconciler.in_force, "by", unreadable)
    gate.shut = False
    thread.join(30)
    assert raised
