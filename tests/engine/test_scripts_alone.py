"""A script is run as redis-py would run it: known or not, on any client, whatever goes wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis.exceptions import ConnectionError, ResponseError

from connector.demo.redis import EmbeddedRedis
from connector.redisdb import PerThread, Redis, Script, connect

ECHO = Script("return ARGV")


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


@pytest.fixture(params=["pooled", "one connection"])
def asked(request: pytest.FixtureRequest, client: Redis) -> Redis:
    return client if request.param == "pooled" else PerThread(client).client()


def test_a_script_that_redis_does_not_know_is_given_to_it(asked: Redis, client: Redis) -> None:
    for _ in range(2):
        client.script_flush()
        assert ECHO(asked, ["a", b"\xff", 7, ""]) == [b"a", b"\xff", b"7", b""]


def test_the_connection_of_a_script_that_failed_serves_the_next(asked: Redis) -> None:
    with pytest.raises(ResponseError, match="odd"):
        Script("return redis.error_reply('odd')")(asked, [])
    assert ECHO(asked, ["next"]) == [b"next"]


def test_what_cannot_be_sent_is_sent_by_half_to_nobody(asked: Redis) -> None:
    with pytest.raises(Exception, match=r"NoneType|bytes|type"):
        ECHO(asked, ["a", None])
    assert ECHO(asked, ["next"]) == [b"next"]


def test_connections_go_back(client: Redis) -> None:
    for number in range(20):
        assert ECHO(client, [number]) == [str(number).encode()]
    with pytest.raises(ResponseError):
        Script("return redis.error_reply('odd')")(client, [])
    assert len(client.connection_pool._in_use_connections) == 0


def test_a_redis_that_went_and_came_is_found_again(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        pooled = connect(server.url)
        alone = PerThread(pooled).client()
        for one in (pooled, alone):
            assert ECHO(one, ["before"]) == [b"before"]
        server.kill9()
        for one in (pooled, alone):
            with pytest.raises(ConnectionError):
                ECHO(one, ["meanwhile"])
        server.start()
        for one in (pooled, alone):
            assert ECHO(one, ["after"]) == [b"after"]
