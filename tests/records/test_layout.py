"""A record's string: taken apart and put together the same by Python and by Lua."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.records.layout import (
    BUMP,
    HEARD,
    NOTHING,
    RECORD,
    SERIALS,
    Parts,
    put_together,
    take_apart,
)
from connector.redisdb import Redis, Script, connect

_parts = st.builds(
    Parts,
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=400),
    st.binary(max_size=400),
    st.lists(st.integers(1, 10**9), max_size=SERIALS).map(
        lambda serials: b"".join(b"%d," % serial for serial in serials)
    ),
)

_THROUGH_LUA = Script(RECORD + "keep('copy', record_of('it'))")
_BUMP = Script(BUMP + "return bump('it') and 1 or 0")
_HEAR = Script(
    RECORD
    + HEARD
    + "local it = record_of('it')\nif hear('it', it, ARGV[1]) then keep('it', it) end"
)
_UNHEAR = Script(
    RECORD
    + HEARD
    + "local it = record_of('it')\nif unhear('it', it, ARGV[1]) then keep('it', it) end"
)


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


def parts_of(client: Redis, key: str = "it") -> Parts:
    return take_apart(client.get(f"c:r:{key}"))


@given(_parts)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_python_and_lua_agree_byte_for_byte(client: Redis, parts: Parts) -> None:
    text = put_together(parts)
    assert take_apart(text) == parts
    client.set("c:r:it", text)
    _THROUGH_LUA(client, [])
    assert client.get("c:r:copy") == text


def test_a_record_that_is_not_there_has_nothing() -> None:
    assert take_apart(None) == NOTHING


@given(_parts)
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_new_generation_leaves_all_else_as_it_is(client: Redis, parts: Parts) -> None:
    client.set("c:r:it", put_together(parts))
    bumped = _BUMP(client, [])
    assert bumped == int(parts.generation > 0)
    if parts.generation < 2**32 - 1:
        assert parts_of(client) == parts._replace(generation=parts.generation + bumped)


def test_nothing_is_bumped_into_being(client: Redis) -> None:
    assert _BUMP(client, []) == 0
    assert not client.exists("c:r:it")


def test_serials_spill_into_a_set_at_the_bound_and_are_forgotten_from_both(client: Redis) -> None:
    client.set("c:r:it", put_together(Parts(7, 6, b"m", b"d")))
    everyone = range(1, SERIALS + 6)
    for serial in [*everyone, *everyone]:
        _HEAR(client, [serial])
    assert parts_of(client).heard() == list(everyone)[:SERIALS]
    assert client.smembers("c:from:it") == {b"%d" % n for n in everyone[SERIALS:]}
    for serial in (1, SERIALS, SERIALS + 1, 999):
        _UNHEAR(client, [serial])
    assert parts_of(client) == Parts(7, 6, b"m", b"d", b"2,3,4,5,6,7,")
    assert client.smembers("c:from:it") == {b"%d" % n for n in everyone[SERIALS + 1 :]}


def test_a_serial_that_is_a_part_of_another_is_another(client: Redis) -> None:
    for serial in (12, 1, 2, 123):
        _HEAR(client, [serial])
    _UNHEAR(client, [2])
    assert parts_of(client).heard() == [12, 1, 123]


def test_a_record_of_very_many_events_is_rewritten_with_no_more_than_its_first(
    client: Redis,
) -> None:
    for serial in range(10**6, 10**6 + 500):
        _HEAR(client, [serial])
    assert client.strlen("c:r:it") == 24 + 8 * SERIALS
