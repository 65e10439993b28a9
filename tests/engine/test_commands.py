"""A command goes to Redis as redis-py would send it."""

from __future__ import annotations

from typing import Any

import pytest
from redis.connection import HiredisRespSerializer
from redis.exceptions import DataError

from connector.redisdb import _Packer


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "k"),
        ("CONFIG GET", "maxmemory"),
        ("SET", b"\xff\x00", "\u0103", "EX", 10),
        ("ZADD", "k", 1.5, "m", -3, "n", 1e300, "o"),
        ("PING",),
        ("EVALSHA", "ab" * 20, 0, *range(500), b"", ""),
        ("MSET", "key with blanks", "a b\r\nc"),
    ],
)
def test_commands_are_packed_as_by_redis_py(command: tuple[Any, ...]) -> None:
    assert b"".join(_Packer().pack(*command)) == b"".join(HiredisRespSerializer().pack(*command))


@pytest.mark.parametrize("odd", [None, True, {"a": 1}, [1], object()])
def test_what_redis_cannot_be_told_is_refused(odd: object) -> None:
    with pytest.raises(DataError):
        HiredisRespSerializer().pack("SET", "k", odd)
    with pytest.raises(DataError):
        _Packer().pack("SET", "k", odd)
