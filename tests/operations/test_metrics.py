"""Counts of many processes add up once, whatever happens to Redis and to those who count."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import OutOfMemoryError

from connector import journal, metrics
from connector.config import Config, load
from connector.demo.redis import EmbeddedRedis
from connector.exposition import Exposition
from connector.flow import Verdict
from connector.journal import Entry
from connector.metrics import METRICS, Meter, oldest_queued
from connector.model import Change, Event, Name
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Delivered, Merged
from connector.records.store import Lease, Release, State
from connector.redisdb import Redis, connect

KINDS = {"caresoft": ("ticket.update",), "mobio": ("note_create",)}


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url, timeout=60)  # a busy disk may hold Redis up for seconds


@pytest.fixture
def config(tmp_path: Path, redis_url: str) -> Config:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"redis_url: {redis_url}\n"
        "sources: {caresoft: {kind: caresoft, secrets: [CS123]}}\n"
        "targets: {crm: {base_url: 'http://localhost', auth: {type: none}}}\n"
    )
    return load(file, {})


def event(number: int = 1, kind: str | None = "ticket.update", source: str = "caresoft") -> Event:
    received = time.time_ns() // 1000 - 2_000_000
    return Event(source, "caresoft", f"e{number}", kind, b"{}", received, None)


def entry(number: int = 1, kind: str | None = "ticket.update", state: str = "merged") -> Entry:
    return Entry(number, event(number, kind), state)  # type: ignore[arg-type]


def release(
    verdict: Verdict = "ok",
    *,
    serial: int = 1,
    due_in: float | None = None,
    dead: bool = False,
    answered: tuple[tuple[int | None, float], ...] = (),
    before: int = 0,
) -> Release:
    name = Name("crm", "tickets", "7")
    change = Change("upsert", "crm", "tickets", "7", 5, fields={"a": 1})
    merged = merge(Merged(), change, stamp_of(change, event(), serial, 1))
    lease = Lease(State(name, 1, merged, Delivered(at=before)), "t", False)
    given_up = Dead("no", 422, None, 1, 1) if dead else None
    told = Delivered(at=time.time_ns() // 1000, dead=given_up)
    return Release(lease, told, due_in=due_in, verdict=verdict, answered=answered)


def samples(text: bytes | str) -> dict[str, float]:
    text = text.decode() if isinstance(text, bytes) else text
    return {
        f"{s.name}{sorted(s.labels.items())}": s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def total(client: Redis, name: str, *labels: str) -> float:
    key = "[" + ",".join(f'"{part}"' for part in (name, *labels)) + "]"
    return metrics.totals(client).get(key, 0.0)


# --- counting


def test_events_count_by_kind_and_outcome(client: Redis) -> None:
    meter = Meter("w", KINDS)
    meter.merged([entry(1), entry(2), entry(3, state="dead"), entry(4, None, "unmapped")])
    meter.publish(client)
    name = "connector_events_total"
    assert total(client, name, "caresoft", "ticket.update", "merged") == 2
    assert total(client, name, "caresoft", "ticket.update", "dead") == 1
    assert total(client, name, "caresoft", "other", "unmapped") == 1
    assert total(client, "connector_dead_total", "event") == 1


def test_kinds_and_sources_that_nobody_knows_make_one_series(client: Redis) -> None:
    meter = Meter("w", KINDS)
    for number in range(1000):
        meter.merged([entry(number, f"ticket.{number}")])
        meter.received(f"source-{number}")
        meter.refused(f"source-{number}", "unknown source")
    meter.publish(client)
    assert total(client, "connector_events_total", "caresoft", "other", "merged") == 1000
    assert total(client, "connector_received_total", "unknown") == 1000
    assert client.hlen("c:metrics") < 10


def test_deliveries_count_by_what_the_answer_meant(client: Redis) -> None:
    meter = Meter("w", KINDS)
    meter.released(
        [
            release("ok", answered=((200, 0.03), (503, 0.2))),
            release("refused", dead=True),
            release("down", due_in=5.0, answered=((None, 10.0),)),
            release("credentials", due_in=0.0),
            release("", due_in=0.0),
        ]
    )
    meter.publish(client)
    for answer in ("done", "refused", "not_now", "credentials"):
        assert total(client, "connector_deliveries_total", "crm", "tickets", answer) == 1
    assert total(client, "connector_retries_total", "crm") == 2
    assert total(client, "connector_dead_total", "record") == 1
    for status in ("2xx", "5xx", "none"):
        assert total(client, "connector_calls_total", "crm", status) == 1
    assert total(client, "connector_call_seconds_count", "crm") == 3
    assert total(client, "connector_call_seconds_bucket", "crm", "0.25") == 2


def test_the_way_of_an_event_is_measured_from_its_receipt_whoever_merged_it(
    client: Redis,
) -> None:
    journal.store(client, [event()])
    meter = Meter("w", KINDS)
    meter.released([release()])
    meter.publish(client)  # measures
    meter.publish(client)
    assert total(client, "connector_delivery_seconds_count", "crm") == 1
    assert 2 <= total(client, "connector_delivery_seconds_sum", "crm") < 100


def test_what_is_only_sent_again_is_no_events_way(client: Redis) -> None:
    journal.store(client, [event()])
    meter = Meter("w", KINDS)
    meter.released([release(before=time.time_ns() // 1000)])
    meter.publish(client)
    assert total(client, "connector_delivery_seconds_count", "crm") == 0


# --- adding up


def test_processes_add_up_and_a_dead_one_takes_nothing_away(client: Redis) -> None:
    for name in ("web-1", "web-2", "web-3"):
        meter = Meter(name, KINDS)
        meter.taken("caresoft", 3, 2, 0.004)
        meter.publish(client)
        del meter  # it dies; the next one begins at 0
    assert total(client, "connector_accepted_total", "caresoft") == 6
    assert total(client, "connector_duplicates_total", "caresoft") == 3


def test_a_batch_whose_answer_was_lost_is_not_added_twice(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter("web-1", KINDS)
    add = metrics._ADD

    def carried_out_but_not_answered(client: Redis, args: list[str | int]) -> None:
        add(client, args)
        raise RedisAway("cut")

    meter.spooled(5)
    with monkeypatch.context() as cut:
        cut.setattr(metrics, "_ADD", carried_out_but_not_answered)
        for _ in range(3):
            with pytest.raises(RedisAway):
                meter.publish(client)
            meter.spooled(1)
    meter.publish(client)
    meter.publish(client)
    assert total(client, "connector_spooled_total") == 8


def test_what_is_counted_while_others_hand_over_is_counted_once(client: Redis) -> None:
    meter = Meter("web-1", KINDS)

    def count() -> None:
        for _ in range(2000):
            meter.received("caresoft")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        meter.publish(client)
    meter.publish(client)
    assert total(client, "connector_received_total", "caresoft") == 8000


def test_notes_are_counted_once_whoever_works_them_off(client: Redis) -> None:
    """Fewer than are counted at once, more, and while another thread counts."""
    meter = Meter("w", KINDS)
    expected = metrics.NOTES_MOST * 3 + 7
    for _ in range(expected):
        meter.verified("caresoft")
    meter.publish(client)
    meter.publish(client)
    assert total(client, "connector_verified_total", "caresoft") == expected


def test_what_is_alike_in_a_batch_is_counted_each(client: Redis) -> None:
    meter = Meter("w", KINDS)
    meter.released([release(serial=n, answered=((200, 0.01), (503, 1.0))) for n in range(1, 6)])
    meter.publish(client)
    assert total(client, "connector_calls_total", "crm", "2xx") == 5
    assert total(client, "connector_calls_total", "crm", "5xx") == 5
    assert total(client, "connector_deliveries_total", "crm", "tickets", "done") == 5


def test_a_full_redis_still_takes_counts(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, maxmemory="3mb") as server:
        client = connect(server.url)
        with contextlib.suppress(OutOfMemoryError):
            for number in range(100_000):
                client.set(f"x{number}", b"x" * 10_000)
        with pytest.raises(OutOfMemoryError):
            client.set("one more", b"x" * 10_000)
        meter = Meter("w", KINDS)
        meter.merged([entry()])
        meter.publish(client)
        assert total(client, "connector_events_total", "caresoft", "ticket.update", "merged") == 1


# --- telling


def exposition(client: Redis, config: Config, meter: Meter, spooled: int = 0) -> Exposition:
    return Exposition(client, config, meter, lambda: spooled)


def test_every_web_process_tells_the_same(client: Redis, config: Config) -> None:
    one, other = Meter("web-1", KINDS), Meter("web-2", KINDS)
    one.taken("caresoft", 1, 1, 0.004)
    other.taken("caresoft", 1, 1, 0.4)
    first, second = exposition(client, config, one, 3), exposition(client, config, other, 4)
    first.text()
    second.text()
    told, also = samples(first.text()), samples(second.text())
    assert told == also
    assert told["connector_accepted_total[('source', 'caresoft')]"] == 2
    assert told["connector_ack_seconds_count[('source', 'caresoft')]"] == 2
    assert told["connector_ack_seconds_bucket[('le', '0.005'), ('source', 'caresoft')]"] == 1
    assert told["connector_ack_seconds_bucket[('le', '+Inf'), ('source', 'caresoft')]"] == 2
    assert told["connector_spool_events[]"] == 7


def test_every_metric_of_the_table_is_told_with_its_type(client: Redis, config: Config) -> None:
    families = text_string_to_metric_families(
        exposition(client, config, Meter("w", KINDS)).text().decode()
    )
    told = {
        f"{f.name}_total" if f.type == "counter" else f.name: (f.type, f.documentation)
        for f in families
    }
    assert told == {name: (known.kind, known.what) for name, known in METRICS.items()}


def test_gauges_say_how_things_stand(client: Redis, config: Config) -> None:
    journal.store(client, [event(1), event(2)])
    client.hset("c:target:crm", mapping={"state": "paused", "since": 1, "why": "x"})
    client.zadd("c:dirty:crm", {"tickets:1": 1})
    told = samples(exposition(client, config, Meter("w", KINDS)).text())
    assert told["connector_events_queued[]"] == 2
    assert 2 <= told["connector_oldest_queued_seconds[]"] < 100
    assert told["connector_target_paused[('target', 'crm')]"] == 1
    assert told["connector_records_waiting[('target', 'crm')]"] == 1
    assert told["connector_workers[]"] == 0
    assert told["connector_mapping_set[]"] == 0
    assert told["connector_redis_up[]"] == 1


def test_the_oldest_of_an_empty_queue_has_no_age(client: Redis) -> None:
    assert oldest_queued(client) == 0


def test_when_a_source_was_heard_is_told_for_those_that_are_configured(
    client: Redis, config: Config
) -> None:
    meter = Meter("web-1", KINDS)
    meter.taken("caresoft", 1, 1, 0.001)
    meter.taken("mobio", 1, 1, 0.001)
    told = samples(exposition(client, config, meter).text())
    heard = told["connector_source_heard_timestamp_seconds[('source', 'caresoft')]"]
    assert time.time() - heard < 100
    assert "connector_source_heard_timestamp_seconds[('source', 'mobio')]" not in told


@pytest.fixture
def away(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


def test_without_redis_totals_go_on_and_never_go_down(
    away: EmbeddedRedis, tmp_path: Path, config: Config
) -> None:
    client = connect(away.url, timeout=0.3)
    meter, other = Meter("web-1", KINDS), Meter("worker-1", KINDS)
    shown = exposition(client, config, meter, 2)
    other.merged([entry()])
    other.publish(client)
    meter.taken("caresoft", 1, 1, 0.001)
    seen = [samples(shown.text())]
    away.kill9()
    meter.spooled(2)
    meter.taken("caresoft", 2, 2, 0.001)
    seen.append(samples(shown.text()))
    away.start()
    seen.append(samples(shown.text()))
    accepted = "connector_accepted_total[('source', 'caresoft')]"
    assert [told[accepted] for told in seen] == [1, 3, 3]
    assert [told["connector_redis_up[]"] for told in seen] == [1, 0, 1]
    assert seen[1]["connector_spool_events[]"] == 2
    assert seen[1]["connector_spooled_total[]"] == 2
    counted = [key for key in seen[0] if "_total" in key or "_count" in key or "_bucket" in key]
    assert all(seen[1][key] >= seen[0][key] for key in counted)


# --- what it costs


def test_counting_costs_the_worker_little_for_each_event() -> None:
    """Some 7 µs on a quiet machine; far more would show in the throughput."""
    meter = Meter("w", KINDS)
    entries = [entry(number) for number in range(64)]
    releases = [release(answered=((200, 0.02),)) for _ in range(64)]
    best = float("inf")
    for _ in range(20):
        began = time.thread_time()
        meter.merged(entries)
        meter.released(releases)
        best = min(best, (time.thread_time() - began) / 64)
    assert best < 60e-6


def test_counting_costs_a_request_little() -> None:
    meter = Meter("w", KINDS)
    best = float("inf")
    for _ in range(20):
        began = time.thread_time()
        for _ in range(100):
            meter.received("caresoft")
            meter.verified("caresoft")
            meter.taken("caresoft", 1, 1, 0.003)
        best = min(best, (time.thread_time() - began) / 100)
    assert best < 100e-6
