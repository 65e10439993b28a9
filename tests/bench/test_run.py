"""The benchmarks themselves, small: real processes, and a loss shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from bench import flat, outage, preload, sizes, steady, throughput
from bench.events import Events
from bench.redis_use import bytes_by, counted
from bench.systems import Connector, Plain
from connector.records.layout import Parts, put_together, take_apart


def test_both_systems_deliver_everything_and_are_measured() -> None:
    connector = throughput.run(lambda latency: Connector(latency=latency, threads=8), 0, 120)
    plain = throughput.run(lambda latency: Plain(latency=latency), 0, 8)
    for run in (connector, plain):
        assert run.acknowledged == run.events
        assert (run.lost, run.overlaps) == (0, 0)
        assert run.calls == run.events
        assert 0 < run.events_per_second < run.acks_per_second * 1.5
        assert run.memory_mib["web"] > 10
        assert run.memory_mib["worker"] > 10
        assert run.redis["round_trips"] > 0
        assert run.loop_ms > 1
    assert plain.cpu_ms["worker"] > 10  # the forks are counted
    assert connector.events_per_second > plain.events_per_second


def test_what_the_plain_receiver_loses_in_an_outage_is_counted() -> None:
    plain, connector = outage.measure(1.5, 8, lambda _: None)["runs"]
    assert plain["lost"] > 0
    assert connector["lost"] == 0
    assert connector["acknowledged"] == plain["acknowledged"] > 0


def test_so_many_events_wait_as_are_said_and_all_get_through() -> None:
    with flat._site(threads=8) as site:
        stored = flat._Stored(site, 310, waiting=10)
        queue = "rq:queue:connector"
        assert (site.client.llen(queue), site.client.llen("bench:held")) == (10, 300)
        run = stored.work_off(150, to_the_end=False)
        assert (run.scale, run.count, run.lost) == ("waiting", 10, 0)
        assert 150 <= run.events <= 160
        assert min(run.worker_ms, run.redis_ms) > 0
        assert site.client.llen("bench:held") == 150
        assert stored.work_off(150, to_the_end=True).lost == 0
        assert site.crm("_stats")["records"] == 310


def test_a_lasting_rate_is_measured_until_all_is_delivered() -> None:
    with Connector(latency=steady.LATENCY, threads=8) as site:
        site.warm_up()
        site.crm("_reset", {})
        run = steady._run(site, rate=40, first=1, count=40)
        assert (run.events, run.lost) == (40, 0)
        assert site.crm("_stats")["records"] == 40
        assert min(run.web_ms, run.worker_ms, run.redis_ms) > 0


def test_a_record_takes_no_more_of_redis_than_is_allowed_beyond_its_values() -> None:
    measured = sizes.measure(1_000, 8, lambda _: None)
    assert measured["record_beyond_values"] <= sizes.RECORD_GOAL
    assert {"m", "d", "from"}.isdisjoint(measured["by_key"])


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, protocol=2) as client:
        yield client


def test_preloaded_events_wait_as_if_they_had_been_received(client: redis.Redis) -> None:
    preload.queue(client, Events(count=1_200))
    assert client.scard("c:queued") == 1_200
    assert client.llen("rq:queue:connector") == 1_200
    preload.queue(client, Events(count=1_200))
    assert client.scard("c:queued") == 1_200


def test_copies_of_a_record_stand_beside_it(client: redis.Redis) -> None:
    original = Parts(3, 2, b"m", b"d", b"1,")
    client.set("c:r:crm:tickets:7", put_together(original))
    preload.know(client, "7", 1_000, 1_100)
    copy = take_apart(client.get("c:r:crm:tickets:2099"))
    assert copy == original._replace(serials=b"2099,")
    assert client.dbsize() == 1 + 1_100


def test_round_trips_are_counted_and_not_what_a_script_calls(client: redis.Redis) -> None:
    before = counted(client)
    for _ in range(20):
        client.eval("for i = 1, 5 do redis.call('INCR', 'n') end", 0)
    after = counted(client)
    assert after.scripts - before.scripts == 20
    assert after.commands - before.commands >= 120
    assert 20 <= after.reads - before.reads <= 30


def test_bytes_are_summed_by_group_over_all_pages(client: redis.Redis) -> None:
    pipe = client.pipeline()
    for number in range(1_500):
        pipe.set(f"a:{number:04}", b"x" * 100)
    pipe.zadd("b", {f"{number:032}": number for number in range(1_000)})
    pipe.execute()
    by_group = bytes_by(client, lambda key: key[0])
    assert 1_500 * 100 < by_group["a"] < 1_500 * 300
    assert by_group["b"] > 32_000
