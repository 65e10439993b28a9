"""How this project talks to Redis: one way to connect, one way to run a script.

Invariant: nothing here retries or sleeps; whoever calls decides what an outage means (the receiver
spools, a worker backs off, the command line says so). Values are bytes and opaque to Lua.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,
)
from redis.retry import Retry

PREFIX = "c:"
"""Every key of ours starts so; RQ's start with `rq:`."""

AWAY = (BusyLoadingError, ConnectionError, OutOfMemoryError, ReadOnlyError, TimeoutError)
"""Redis is unreachable, loading, full or a replica: nobody's fault, try again later."""

Redis: TypeAlias = Any
"""A redis-py client. Its own annotations answer unions of every shape that a reply can have; here
replies get their type where they are read."""


def connect(url: str, *, timeout: float = 5.0) -> Redis:
    """A client for `url` whose every command is bounded by `timeout` seconds and tried once.

    redis-py itself would repeat a command up to ten times, which turns a short outage into an
    answer that is seconds late. RESP2 keeps the shape of replies the same on Redis 6.2 and 7.
    """
    return redis.Redis.from_url(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
    )


class Script:
    """A Lua script, run by its hash; loaded again when Redis has forgotten it (after a restart)."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        # Redis 6.2 replicates whole scripts unless told to replicate their effects, and then
        # refuses writes after TIME; Redis 7 always replicates effects and ignores the call.
        self._text = "redis.replicate_commands()\n" + text

    def __call__(self, client: Redis, args: Sequence[Any]) -> Any:
        return client.register_script(self._text)(keys=[], args=args)


NOW_MS = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""
"""Lua: `now` in milliseconds by the clock of Redis, the only one that all workers share."""

ROOM = """
redis.call('DEL', 'c:nothing')
"""
"""Lua: lets a worker's script write in a full Redis; otherwise nothing could drain what fills it.
Redis refuses a script only at its first write, and only if that write takes memory."""
