"""The mapping set in force, kept in Redis so that every process works by the same one.

Keys:

    c:set:current   string  number of the set in force
    c:set:numbers   hash    hash of a set → its number
    c:set:<number>  string  zlib of JSON: {"hash", "texts", "at"}

Invariants: a set never changes once it has a number; a greater number came into force later; the
same texts get the same number again (put into force anew), so that a restart changes nothing.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping
from threading import Lock

from connector.mapping.load import MappingSet
from connector.redisdb import PREFIX, Redis, Script

Build = Callable[[Mapping[str, str]], MappingSet]
"""Makes a set of its texts, with the sources, targets and time zone of this installation."""

_PUT = Script(
    """
-- ARGV: hash, stored set.  Answer: its number, now in force
local number = redis.call('HGET', 'c:set:numbers', ARGV[1])
local current = redis.call('GET', 'c:set:current')
if number and number == current then return tonumber(number) end
number = redis.call('HINCRBY', 'c:set:numbers', '', 1)
redis.call('HSET', 'c:set:numbers', ARGV[1], number)
redis.call('SET', 'c:set:' .. number, ARGV[2])
redis.call('SET', 'c:set:current', number)
return number
"""
)


def put_in_force(client: Redis, mapping_set: MappingSet) -> int:
    """Make `mapping_set` the one that every worker uses from its next batch on; its number."""
    stored = {
        "hash": mapping_set.hash,
        "texts": dict(mapping_set.texts),
        "at": time.time_ns() // 1000,
    }
    packed = zlib.compress(json.dumps(stored).encode())
    return int(_PUT(client, [mapping_set.hash, packed]))


def number_in_force(client: Redis) -> int | None:
    """The number of the set in force; None before the first."""
    number = client.get(f"{PREFIX}set:current")
    return int(number) if number else None


def fetch(client: Redis, number: int, build: Build) -> MappingSet | None:
    """The set with that number, compiled; None when there is none."""
    packed = client.get(f"{PREFIX}set:{number}")
    if packed is None:
        return None
    return build(json.loads(zlib.decompress(packed))["texts"])


class InForce:
    """The set in force as one process knows it: compiled once, shared by its threads read-only."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._lock = Lock()
        self._held: tuple[int, MappingSet] | None = None

    def get(self, client: Redis) -> tuple[int, MappingSet]:
        """The set in force and its number; compiled anew only when the number has changed.

        Raises LookupError when no set is in force: nobody has started a web or worker process.
        """
        number = number_in_force(client)
        with self._lock:
            if self._held and self._held[0] == number:
                return self._held
            found = None if number is None else fetch(client, number, self._build)
            if number is None or found is None:
                raise LookupError("no mapping set is in force yet")
            self._held = (number, found)
            return self._held
