"""The published mapping sets, kept in Redis so that every process works by the same one.

Keys:

    c:set:current   string   number and hash of the set in force, with a blank between
    c:set:number    counter  the greatest number given
    c:set:versions  hash     number → hash (64 hex digits) + JSON of who, when and why
    c:set:texts     hash     hash of a set → zlib of JSON: its texts and its time zone

Invariants: a version never changes; a greater number came into force later, and numbers are never
given twice; going back gives the old texts a new number, because a merge believes the greater one.
Putting a set into force is one step: each worker has it from its next batch on, whole. The time
zone is kept with the texts, because it decides what they mean.
"""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias
from zoneinfo import ZoneInfo

from connector.errors import MappingInvalid, TryAgain
from connector.model import Micros
from connector.redisdb import PREFIX, ROOM, Redis, Script

if TYPE_CHECKING:
    from connector.mapping.load import MappingSet

log = logging.getLogger(__name__)

HASH = 64
"""How many hex digits of a version are its hash."""


class Superseded(TryAgain):
    """Another set came into force meanwhile."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A set as it is kept: its files by their names in the folder, and its time zone."""

    texts: Mapping[str, str]
    timezone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Note:
    """Who puts a set into force, and why. `back_to`: it has the texts of that earlier number."""

    author: str = ""
    message: str = ""
    back_to: int | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A set that is or was in force. `at`: when it came into force."""

    number: int
    hash: str
    at: Micros
    note: Note


@dataclass(frozen=True, slots=True)
class Put:
    """The answer of `put_in_force`: the number in force now; `is_new` unless it was before."""

    number: int
    is_new: bool


Build: TypeAlias = "Callable[[Kept], MappingSet]"
"""Compiles a set, with the sources and targets of this installation. Raises MappingInvalid."""

_SUPERSEDED, _SAME, _NEW = range(3)

_PUT = Script(
    ROOM
    + """
-- ARGV: hash, texts, who and why, the number that must be in force ('' any, 0 none)
local current = redis.call('GET', 'c:set:current') or '0 '
local number, hash = string.match(current, '^(%d+) (.*)$')
if ARGV[4] ~= '' and ARGV[4] ~= number then return {0, tonumber(number)} end
redis.call('HSETNX', 'c:set:texts', ARGV[1], ARGV[2])
if hash == ARGV[1] then return {1, tonumber(number)} end
number = redis.call('INCR', 'c:set:number')
redis.call('HSET', 'c:set:versions', number, ARGV[1] .. ARGV[3])
redis.call('SET', 'c:set:current', number .. ' ' .. ARGV[1])
return {2, number}
"""
)


def put_in_force(
    client: Redis, mapping_set: MappingSet, note: Note | None = None, *, after: int | None = None
) -> Put:
    """Make `mapping_set` the one that every worker uses from its next batch on.

    `after`: only while the set of that number is in force (0: while none is), or Superseded is
    raised. Nothing happens where the same set is in force already.
    """
    note = note or Note()
    who = {
        "at": time.time_ns() // 1000,
        "author": note.author,
        "message": note.message,
        "back_to": note.back_to,
    }
    kept = {"texts": dict(mapping_set.texts), "timezone": str(mapping_set.timezone)}
    args = [
        mapping_set.hash,
        zlib.compress(json.dumps(kept).encode()),
        json.dumps(who),
        "" if after is None else after,
    ]
    answer, number = _PUT(client, args)
    if answer == _SUPERSEDED:
        raise Superseded(f"mapping set {number} came into force meanwhile")
    return Put(int(number), answer == _NEW)


def number_in_force(client: Redis) -> int | None:
    """The number of the set in force; None before the first."""
    current = _current(client)
    return current[0] if current else None


def version(client: Redis, number: int) -> Version | None:
    """Who put the set of that number into force, and when; None when there is none."""
    packed = client.hget(f"{PREFIX}set:versions", number)
    return _version(number, packed) if packed else None


def versions(client: Redis) -> list[Version]:
    """Every set that is or was in force, the latest first."""
    packed = client.hgetall(f"{PREFIX}set:versions")
    return [_version(number, packed[b"%d" % number]) for number in sorted(map(int, packed))][::-1]


def read(client: Redis, number: int) -> Kept | None:
    """The texts of the set with that number; None when there are none."""
    known = version(client, number)
    packed = client.hget(f"{PREFIX}set:texts", known.hash) if known else None
    if packed is None:
        return None
    kept = json.loads(zlib.decompress(packed))
    return Kept(kept["texts"], ZoneInfo(kept["timezone"]))


def fetch(client: Redis, number: int, build: Build) -> MappingSet | None:
    """The set with that number, compiled; None when there is none. Raises MappingInvalid."""
    kept = read(client, number)
    return build(kept) if kept else None


FIRST = Note("connector", "no set was in force: the files of the folder")
"""How a set is noted that nobody published."""


def ensure(client: Redis, folder: Callable[[], MappingSet]) -> int:
    """The number in force. Where Redis has no set, the one that `folder` gives is put into force.

    Raises what `folder` raises: MappingInvalid, when there is no set to work by.
    """
    current = _current(client)
    if current and client.hexists(f"{PREFIX}set:texts", current[1]):
        return current[0]
    try:
        return put_in_force(client, folder(), FIRST, after=current[0] if current else 0).number
    except Superseded:  # another process was faster
        return ensure(client, folder)


_CURRENT = f"{PREFIX}set:current"


class InForce:
    """The set in force as one process knows it: compiled once, shared by its threads read-only.

    Where Redis has none, the one at work here is put into force again, and at the start the one
    that `folder` gives. A set that cannot be compiled here, because the publisher has another
    configuration than this process, leaves the one before it at work.
    """

    def __init__(self, build: Build, folder: Callable[[], MappingSet]) -> None:
        self._build = build
        self._folder = folder
        self._lock = Lock()
        self._seen: bytes | None = None
        self._held: tuple[int, MappingSet] | None = None

    def get(self, client: Redis) -> tuple[int, MappingSet]:
        """The set in force and its number; compiled anew only when another is in force.

        Raises MappingInvalid when there is no set to work by.
        """
        return self.by(client, client.get(_CURRENT))

    def by(self, client: Redis, said: bytes | None) -> tuple[int, MappingSet]:
        """As `get`, for who has read at `c:set:current` what is in force."""
        with self._lock:
            if self._held is None or said is None or said != self._seen:
                self._held = self._newest(client)
                self._seen = said
            return self._held

    def numbered(self, client: Redis, number: int) -> MappingSet | None:
        """The set of that number, whether in force or not; None where there is none to be used."""
        with self._lock:
            if self._held and self._held[0] == number:
                return self._held[1]
        try:
            return fetch(client, number, self._build)
        except MappingInvalid:
            return None

    def _newest(self, client: Redis) -> tuple[int, MappingSet]:
        held = self._held
        number = ensure(client, self._folder if held is None else lambda: held[1])
        try:
            found = fetch(client, number, self._build)
        except MappingInvalid as error:
            if held is None:
                raise
            log.error("mapping set %d cannot be used here, %d stays: %s", number, held[0], error)
            return held
        if found is None:
            raise LookupError(f"mapping set {number} has gone from Redis")
        return number, found


def _current(client: Redis) -> tuple[int, str] | None:
    packed = client.get(_CURRENT)
    if packed is None:
        return None
    number, hash_ = packed.decode().split(" ")
    return int(number), hash_


def _version(number: int, packed: bytes) -> Version:
    who = json.loads(packed[HASH:])
    note = Note(who["author"], who["message"], who["back_to"])
    return Version(number, packed[:HASH].decode(), who["at"], note)
