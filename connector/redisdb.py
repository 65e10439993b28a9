"""How this project talks to Redis: one way to connect, one way to run a script.

Invariant: nothing here retries or sleeps; whoever calls decides what an outage means (the receiver
spools, a worker backs off, the command line says so). Values are bytes and opaque to Lua.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    DataError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    TimeoutError,
)
from redis.retry import Retry

PREFIX = "c:"
"""Every key of ours starts so; RQ's start with `rq:`."""

AWAY = (BusyLoadingError, ConnectionError, OutOfMemoryError, ReadOnlyError, TimeoutError)
"""Redis is unreachable, loading, full or a replica: nobody's fault, try again later."""

FULL_AT = 0.85
"""The share of its memory from which Redis counts as full: events then wait in the spool."""

Redis: TypeAlias = Any
"""A redis-py client. Its own annotations answer unions of every shape that a reply can have; here
replies get their type where they are read."""


def connect(url: str, *, timeout: float = 5.0, taking_turns: bool = False) -> Redis:
    """A client for `url` whose every command is bounded by `timeout` seconds and tried once.
    `taking_turns`: those who take turns with its caller go on while it waits (`connector.turns`).

    redis-py itself would repeat a command up to ten times, which turns a short outage into an
    answer that is seconds late. RESP2 keeps the shape of replies the same on Redis 6.2 and 7.
    """
    pool = (_InTurn if taking_turns else redis.ConnectionPool).from_url(
        without_idle_switches(url),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        command_packer=_Packer(),
    )
    if taking_turns:
        pool.connection_class = _taking_turns(pool.connection_class)
    return redis.Redis.from_pool(pool)


class _InTurn(redis.ConnectionPool):
    """Connections of one thread that never forks. One that was in use a moment ago is at hand as it
    is: without redis-py's locks, looks and counts, which cost a command three system calls. One
    that was quiet for longer is looked at, for the server may have closed it."""

    MOMENT = 0.25
    """Seconds."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._at_hand: list[tuple[float, Any]] = []  # with when it was used; the latest last

    def get_connection(self, *args: Any, **more: Any) -> Any:
        while self._at_hand:
            used, connection = self._at_hand.pop()
            if time.monotonic() - used < self.MOMENT:
                return connection
            super().release(connection)
        return super().get_connection()

    def release(self, connection: Any) -> None:
        self._at_hand.append((time.monotonic(), connection))


class _Packer:
    """Commands in Redis' protocol, without redis-py's look at each argument, of which a batch has
    hundreds, for kinds that nobody here uses."""

    def pack(self, *command: Any) -> list[bytes]:
        """Raises DataError for an argument that is neither text, bytes nor number."""
        name = command[0]
        if isinstance(name, str) and " " in name:
            command = (*name.split(), *command[1:])
        try:
            return [hiredis.pack_command(command)]
        except TypeError as error:
            raise DataError(str(error)) from error


@lru_cache
def _taking_turns(kind: type[Any]) -> type[Any]:
    """The same kind of connection, with sockets that let others go on."""
    # Here, because nobody takes turns in the web process, and what it needs takes 1 MiB.
    from connector.turns import Cooperative, aside

    class TakingTurns(kind):  # type: ignore[misc]
        def _connect(self) -> Cooperative:
            return Cooperative(aside(super()._connect))

    return TakingTurns


def without_idle_switches(url: str) -> str:
    """The address without what only TLS knows, where it is none with TLS: one configuration then
    serves a platform's Redis and a plain one."""
    address, mark, query = url.partition("?")
    if not mark or address.startswith("rediss://"):
        return url
    kept = [part for part in query.split("&") if not part.startswith("ssl_")]
    return "?".join(filter(None, (address, "&".join(kept))))


def unchecked(url: str) -> bool:
    """Whether the certificate of the Redis at `url` is not looked at."""
    query = parse_qs(urlsplit(url).query)
    return url.startswith("rediss://") and query.get("ssl_cert_reqs", [""])[-1] == "none"


class PerThread:
    """For each thread a client on a connection of its own: without a pool's bookkeeping, which
    costs two system calls a command. A connection that was quiet for long is made anew, for the
    server may have closed it."""

    QUIET_SECONDS = 20.0

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self._own = threading.local()

    def client(self) -> Redis:
        """This thread's client. Raises RedisError when there is no connection to be had."""
        own, now = self._own, time.monotonic()
        if not hasattr(own, "client"):
            own.client = redis.Redis(connection_pool=self._pool, single_connection_client=True)
        elif now - own.used > self.QUIET_SECONDS:
            own.client.connection.disconnect()
        own.used = now
        return own.client


def ask(client: Redis, *command: Any) -> Any:
    """As `client.execute_command`, without what redis-py does for a command besides: see to repeats
    of it, of which there are none here, and tell OpenTelemetry how long it took. The answer is as
    Redis gives it."""
    own, pool = client.connection, client.connection_pool
    connection = own or pool.get_connection()
    try:
        connection.send_command(*command)
        return connection.read_response()  # on trouble it closes itself
    finally:
        if own is None:
            pool.release(connection)


class Script:
    """A Lua script, run by its hash; loaded again when Redis has forgotten it (after a restart)."""

    __slots__ = ("_hash", "_text")

    def __init__(self, text: str) -> None:
        # Redis 6.2 replicates whole scripts unless told to replicate their effects, and then
        # refuses writes after TIME; Redis 7 always replicates effects and ignores the call.
        self._text = "redis.replicate_commands()\n" + text
        self._hash = sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: Redis, args: Sequence[Any]) -> Any:
        try:
            return ask(client, "EVALSHA", self._hash, 0, *args)
        except NoScriptError:
            client.script_load(self._text)
            return ask(client, "EVALSHA", self._hash, 0, *args)


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

SPARING = """
local known, later_on, order = {}, {}, {}
local function is_there(key)
  -- whether there is such a key; looked up once, so who makes one says known[key] = true
  if known[key] == nil then known[key] = redis.call('EXISTS', key) == 1 end
  return known[key]
end
local function all(members, command, key)
  -- one command for many members, as many at once as Lua can pass on: an even number, of pairs
  for from = 1, #members, 1000 do
    local some = {unpack(members, from, math.min(from + 999, #members))}
    if key then redis.call(command, key, unpack(some)) else redis.call(command, unpack(some)) end
  end
end
local function later(command, key, member, more)
  -- kept for `flush`, which says it together with all others of this command and key
  local name = command .. key
  local list = later_on[name]
  if not list then
    list = {command = command, key = key}
    later_on[name] = list
    order[#order + 1] = list
  end
  list[#list + 1] = member
  list[#list + 1] = more
end
local function flush()
  for _, list in ipairs(order) do all(list, list.command, list.key) end
  later_on, order = {}, {}
end
"""
"""Lua: fewer commands for many records at once; by it Redis computes a tenth less for an event.
Only for what this script reads no more before it flushes, and where no other command must come
before it or after it."""
