"""The worker's connections to Redis: which of them are at hand, and what becomes of broken ones."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as Away

from connector.redisdb import Redis, connect


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url, taking_turns=True)


def kill_all_but(client: Redis) -> None:
    client.client_kill_filter(_type="normal", skipme=True)


def connections(client: Redis) -> int:
    return len(client.client_list(_type="normal"))


def test_a_connection_serves_one_command_after_the_other(client: Redis, redis_url: str) -> None:
    other = connect(redis_url)
    before = connections(other)
    for _ in range(5):
        client.ping()
    assert connections(other) == before + 1


def test_who_uses_one_while_another_is_in_use_gets_one_of_its_own(client: Redis) -> None:
    pool = client.connection_pool
    first, second = pool.get_connection(), pool.get_connection()
    assert first is not second
    pool.release(first)
    pool.release(second)
    assert pool.get_connection() is second, "the latest, for it is the least likely to be broken"
    assert pool.get_connection() is first


def test_one_that_broke_while_it_was_quiet_is_made_anew(client: Redis, redis_url: str) -> None:
    client.connection_pool.MOMENT = 0.0
    client.ping()
    kill_all_but(connect(redis_url))
    assert client.ping()


def test_one_that_broke_a_moment_ago_is_an_outage_and_the_next_command_is_not(
    client: Redis, redis_url: str
) -> None:
    client.connection_pool.MOMENT = 3600.0
    client.ping()
    kill_all_but(connect(redis_url))
    with pytest.raises(Away):
        client.ping()
    assert client.ping()
