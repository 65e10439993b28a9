"""The journal in a real Redis: stored once, claimed once, never lost."""

from __future__ import annotations

import json
import random
import zlib
from dataclasses import replace

import pytest
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from connector import journal
from connector.journal import Touched
from connector.model import Event, Name, Place, Problem
from connector.redisdb import Redis, connect


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


def event(number: int = 1, source: str = "caresoft", problem: str | None = None) -> Event:
    body = json.dumps({"object": "ticket", "n": number}).encode()
    kind = None if problem else "ticket.update"
    return Event(source, "caresoft", f"{number:064x}", kind, body, 1_700_000_000_000_000, problem)


def claim(client: Redis, worker: str = "w", limit: int = 10) -> tuple[journal.Claim, ...]:
    return journal.claim(client, worker, f"x{worker}", limit).claims


def test_an_event_is_stored_once_and_enqueued_once(client: Redis) -> None:
    assert journal.store(client, [event(1), event(2), event(1)]) == 2
    assert journal.store(client, [event(2)]) == 0
    assert journal.count(client) == journal.queued(client) == 2
    assert client.llen("rq:queue:connector") == 2


def test_the_same_body_at_another_source_is_another_event(client: Redis) -> None:
    assert journal.store(client, [event(1), event(1, source="other")]) == 2


def test_an_unreadable_event_is_a_dead_letter_without_a_job(client: Redis) -> None:
    assert journal.store(client, [event(1, problem="no object")]) == 1
    assert client.llen("rq:queue:connector") == 0
    entry = next(journal.newest_first(client))
    assert (entry.state, entry.event.kind) == ("dead", None)
    assert entry.problem == Problem("no object")
    assert entry.event.problem == "no object"


def test_a_claimed_job_is_started_in_the_eyes_of_rq(client: Redis) -> None:
    journal.store(client, [event(1), event(2)])
    claims = claim(client, limit=1)
    queue = Queue("connector", connection=client, serializer=JSONSerializer)
    assert len(queue) == 1
    assert queue.started_job_registry.get_job_ids() == [claims[0].job_id]
    job = Job.fetch(claims[0].job_id, connection=client, serializer=JSONSerializer)
    assert job.func_name == "connector.jobs.event"
    assert job.args == ["caresoft", event(1).id]


def test_a_finished_event_leaves_no_job_and_keeps_its_body(client: Redis) -> None:
    journal.store(client, [event(1)])
    taken = claim(client)[0]
    touched = (Touched(Name("crm", "tickets", "9"), 3),)
    warning = Problem("odd", "do this", Place("a.yaml", 1, 2))
    outcome = journal.outcome(taken.entry, "merged", 7, touched, warnings=[warning])
    journal.claim(client, "w", "x2", 5, [(outcome, taken)])
    assert journal.queued(client) == 0
    assert journal.claims_of(client, "w") == []
    assert client.keys("rq:job:*") == []
    kept = journal.find(client, "caresoft", event(1).id)
    assert kept == replace(outcome)
    assert kept.event.body == event(1).body


def test_fewer_than_are_worth_it_stay_in_the_queue_and_what_is_finished_is_written_down(
    client: Redis,
) -> None:
    journal.store(client, [event(1), event(2), event(3)])
    taken = claim(client, limit=1)[0]
    finished = [(journal.outcome(taken.entry, "unmapped", 1), taken)]
    assert journal.claim(client, "w", "x2", 5, finished, 3).claims == ()
    assert journal.queued(client) == 2
    journal.store(client, [event(4)])
    claims = journal.claim(client, "w", "x3", 2, (), 3).claims
    assert [one.entry.event.id for one in claims] == [event(2).id, event(3).id]


def test_claims_come_with_the_mapping_set_in_force(client: Redis) -> None:
    assert journal.claim(client, "w", "x1", 5).in_force is None
    client.set("c:set:current", "7 abc")
    assert journal.claim(client, "w", "x2", 5).in_force == b"7 abc"


def test_what_a_dead_worker_claimed_goes_back_to_the_head_of_the_queue(client: Redis) -> None:
    journal.store(client, [event(1), event(2), event(3)])
    claim(client, "dead", limit=2)
    journal.hand_back(client, "dead", journal.claims_of(client, "dead"))
    journal.hand_back(client, "dead", journal.claims_of(client, "dead"))
    again = claim(client, "alive")
    assert sorted(c.entry.event.id for c in again) == [event(n).id for n in (1, 2, 3)]
    assert again[-1].entry.event.id == event(3).id


def test_claims_that_were_finished_are_not_handed_back(client: Redis) -> None:
    journal.store(client, [event(1)])
    taken = claim(client)[0]
    member = f"{taken.job_id}:{taken.execution}"
    journal.claim(client, "w", "x2", 0, [(journal.outcome(taken.entry, "unmapped", 1), taken)])
    journal.hand_back(client, "w", [member])
    assert client.llen("rq:queue:connector") == 0


def test_an_event_whose_job_is_lost_is_found_and_enqueued(client: Redis) -> None:
    journal.store(client, [event(1), event(2)])
    client.delete("rq:queue:connector", f"rq:job:{journal.job_id('caresoft', event(1).id)}")
    client.delete(f"rq:job:{journal.job_id('caresoft', event(2).id)}")
    lost = journal.lost(client)
    assert {entry.event.id for entry in lost} == {event(1).id, event(2).id}
    assert journal.enqueue(client, lost) == 2
    assert journal.lost(client) == []
    assert len(claim(client)) == 2


def test_a_queued_or_started_event_is_not_lost(client: Redis) -> None:
    journal.store(client, [event(1), event(2)])
    claim(client, limit=1)
    assert journal.lost(client) == []


def test_events_are_found_by_the_beginning_of_their_id(client: Redis) -> None:
    ids = ["abc1", "abd2", "xyz"]
    journal.store(client, [replace(event(), id=id_) for id_ in ids])
    assert [e.event.id for e in journal.search(client, "x")] == ["xyz"]
    assert {e.event.id for e in journal.search(client, "ab")} == {"abc1", "abd2"}
    assert journal.search(client, "q") == []


def test_events_are_listed_from_a_time_on_the_latest_first(client: Redis) -> None:
    journal.store(client, [replace(event(n), received_at=n * 1000) for n in range(1, 6)])
    found = list(journal.newest_first(client, since=3000, page=2))
    assert [e.event.received_at for e in found] == [5000, 4000, 3000]


def test_a_job_id_takes_only_letters_that_rq_allows(client: Redis) -> None:
    plain = journal.job_id("caresoft", "ab-12_x")
    assert plain == "caresoft-ab-12_x"
    odd, other = journal.job_id("my source", "a:b/đ"), journal.job_id("my source", "a:b/e")
    assert odd != other
    for id_ in (odd, other, journal.job_id("s", "x" * 500)):
        Job.create("os.getpid", id=id_, connection=client)  # RQ refuses any other letter


def test_a_job_in_our_queue_that_is_no_event_is_told_and_stops_nothing(client: Redis) -> None:
    queue = Queue("connector", connection=client, serializer=JSONSerializer)
    stranger = queue.enqueue("os.getpid")
    journal.store(client, [event(1)])
    claimed = journal.claim(client, "w", "x", 10)
    assert claimed.strange == (stranger.id,)
    assert len(claimed.claims) == 1


def test_a_long_header_is_read_whole(client: Redis) -> None:
    journal.store(client, [event(1)])
    taken = claim(client)[0]
    touched = [Touched(Name("crm", "tickets", "x" * 50 + str(n)), n) for n in range(2000)]
    outcome = journal.outcome(taken.entry, "merged", 1, touched)
    journal.finish(client, [outcome])
    assert len(next(journal.newest_first(client)).touched) == 2000


@pytest.mark.parametrize("size", [0, 1, 44, 1_000, 40_000, 1_000_000])
@pytest.mark.parametrize("kind", ["text", "noise"])
def test_a_body_comes_back_as_it_was(client: Redis, size: int, kind: str) -> None:
    noise = random.Random(size).randbytes(size)
    body = noise if kind == "noise" else (b'{"ticket_id": 1, "status": "open"},' * size)[:size]
    stored = replace(event(), body=body)
    assert journal.store(client, [stored]) == 1
    assert claim(client)[0].entry.event.body == body


def test_a_body_of_an_earlier_version_is_read(client: Redis) -> None:
    journal.store(client, [event()])
    (key,) = client.keys("c:e:*")
    text = client.get(key)
    header = text[: journal.HEADER + int(text[: journal.HEADER], 16)]
    client.set(key, header + zlib.compress(event().body, 1))
    assert claim(client)[0].entry.event == event()
