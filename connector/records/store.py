"""Records in Redis: merge, lease, release, each in one atomic step.

Keys (`R` is `<target>:<resource>:<id>`, `r` is `<resource>:<id>`; `:` and `%` in names of targets
and resources are percent-encoded, an id is the rest of the key and needs nothing):

    c:m:R            string  generation (8 hex digits) + what the sources say (`pack_merged`)
    c:d:R            string  generation that the CRM is up to date with + `pack_delivered`
    c:from:R         set     serials of the events that went into the record, for replay
    c:begun          hash    serial → set by which an event's words went into records, until the
                             journal has noted it (`connector.journal`)
    c:refs:R         set     `r` of the records that refer to it
    c:gone:<target>:<resource>
                     set     ids of the deleted records of which nothing else is kept any more
    c:dirty:<target> zset    `r` → due time (ms): the truth about what is to be done
    c:lease:<target> hash    `r` → token|expiry (ms): who delivers it now
    c:leased:<target> zset   `r` → expiry (ms): how many are delivered now, of all workers together
    c:doubt:<target> set     `r` whose last call may have been overtaken: send everything
    c:hold:<target>  string  time (ms) before which nothing is delivered (see `connector.flow`)
    c:relink         set     `R` whose link changed, with more referrers than one step takes
    c:dead           zset    `e<serial>` or `r<R>` → since (ms)
    c:calls          list    the latest calls, newest first
    c:edits          list    the latest edits of people that were met, newest first

Invariants:
- A record is in `dirty` from the step that changes it until the step that releases it up to date
  at the same generation. While it is leased its due time is the end of the lease, so a holder that
  dies is followed by another without anybody's help.
- Only the holder of the lease writes `c:d:R`. Who comes back too late writes nothing, and puts the
  record in doubt: the CRM cannot tell an overtaken call from a fresh one.
- A lease found expired was not released: that record is in doubt, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from connector.flow import ADMIT, NOTE, Verdict
from connector.frozen import dataclass
from connector.model import Micros, Name
from connector.records.merge import aged
from connector.records.state import (
    Delivered,
    Merged,
    pack_delivered,
    pack_merged,
    unpack_delivered,
    unpack_merged,
)
from connector.redisdb import NOW_MS, PREFIX, ROOM, Redis, Script

CALLS_KEPT = 10_000
RELINK_AT_ONCE = 200


@lru_cache(maxsize=1024)
def _part(name: str) -> str:
    """The name of a target or a resource as a part of a key."""
    return quote(name, safe="")


def key_of(name: Name) -> str:
    """`R`: the record's part of its keys."""
    return f"{_part(name.target)}:{member_of(name)}"


def member_of(name: Name) -> str:
    """`r`: the record within its target."""
    return f"{_part(name.resource)}:{name.id}"


def name_of(key: str) -> Name:
    """The inverse of `key_of`."""
    target, resource, id_ = key.split(":", 2)
    return Name(unquote(target), unquote(resource), id_)


@dataclass(frozen=True, slots=True)
class State:
    """A record as it stands: both halves and the merged generation (0: never heard of)."""

    name: Name
    generation: int
    merged: Merged
    delivered: Delivered


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to deliver one record, and what there is to deliver.

    `doubt`: an earlier call may have reached the CRM without our knowing; send everything.
    """

    state: State
    token: str
    doubt: bool

    @property
    def name(self) -> Name:
        return self.state.name


@dataclass(frozen=True, slots=True)
class Write:
    """One record's merge, to be stored if its generation is still `expected`.

    `merged` None: the record says nothing new, but the events `serials` have been heard. `refs` are
    the records that it refers to and whose links it wants to hear of.
    """

    name: Name
    expected: int
    merged: Merged | None
    serials: tuple[int, ...] = ()
    refs: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a `Write`: the generation that holds it now, and the lease if it was free.
    `conflict`: the record has moved on since it was read; read it again."""

    conflict: bool
    generation: int = 0
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """What a delivery ends with. `due_in` seconds: not up to date, try again then; None: up to
    date, or given up (`delivered.dead`).

    `hold`: seconds that the whole target waits. `relink`: records that refer to this one must be
    looked at again. `calls` and `edits` as they are kept. `verdict`, `signature` and `why` are
    what the delivery says about its target (`connector.flow`). `unpaid`: calls that it made beyond
    what its lease has paid of the target's rate.
    """

    lease: Lease
    delivered: Delivered
    due_in: float | None = None
    hold: float = 0.0
    relink: bool = False
    calls: tuple[str, ...] = ()
    edits: tuple[str, ...] = ()
    verdict: Verdict = ""
    signature: str = ""
    why: str = ""
    unpaid: float = 0.0


_READ_HALVES = """
local function halves(R)
  return redis.call('GET', 'c:m:' .. R) or '', redis.call('GET', 'c:d:' .. R) or ''
end
local function is_gone(R)
  local resource, id = string.match(R, '^([^:]*:[^:]*):(.*)$')
  return redis.call('SISMEMBER', 'c:gone:' .. resource, id) == 1
end
local function held_until(target, r)
  -- nil: nobody holds it; else the end of the lease, which may be over
  local held = redis.call('HGET', 'c:lease:' .. target, r)
  return held and tonumber(string.match(held, '|(%d+)$'))
end
local function take(target, r, token, lease_ms)
  -- whether it is in doubt: an earlier lease was not released, or was released too late
  local held = held_until(target, r)
  local doubt = redis.call('SREM', 'c:doubt:' .. target, r)
  redis.call('HSET', 'c:lease:' .. target, r, token .. '|' .. (now + lease_ms))
  redis.call('ZADD', 'c:dirty:' .. target, now + lease_ms, r)
  if riders(target, r) == 1 then
    redis.call('ZADD', 'c:leased:' .. target, now + lease_ms, r)
  end
  return (held or doubt == 1) and 1 or 0
end
"""

_COMMIT = Script(
    ROOM
    + NOW_MS
    + ADMIT
    + _READ_HALVES
    + """
-- ARGV: token, lease ms ('' leases nothing), mapping set ('' notes nothing), then per record:
--       target, r, expected, blob ('' unchanged), number of refs, of serials, refs, serials
local token, lease_ms, set, at, answer = ARGV[1], tonumber(ARGV[2]), ARGV[3], 4, {}
while ARGV[at] do
  local target, r, expected, blob, refs, serials = ARGV[at], ARGV[at + 1], ARGV[at + 2],
    ARGV[at + 3], tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local R = target .. ':' .. r
  local m, d = halves(R)
  local generation = m == '' and '00000000' or string.sub(m, 1, 8)
  if generation ~= expected then
    answer[#answer + 1] = {1}
  elseif m == '' and is_gone(R) then
    answer[#answer + 1] = {0, generation, -1, d}
  else
    for i = 1, refs do redis.call('SADD', 'c:refs:' .. ARGV[at + 5 + i], r) end
    for i = 1, serials do
      redis.call('SADD', 'c:from:' .. R, ARGV[at + 5 + refs + i])
      if set ~= '' then redis.call('HSETNX', 'c:begun', ARGV[at + 5 + refs + i], set) end
    end
    local leased = false
    if blob ~= '' then
      generation = string.format('%08x', tonumber(generation, 16) + 1)
      redis.call('SET', 'c:m:' .. R, generation .. blob)
      local until_ = held_until(target, r)
      if until_ and until_ > now then
        redis.call('ZADD', 'c:dirty:' .. target, until_, r)
      elseif lease_ms and not admit(target, r) then
        leased = take(target, r, token, lease_ms)
      else
        redis.call('ZADD', 'c:dirty:' .. target, now, r)
      end
    end
    answer[#answer + 1] = {0, generation, leased or -1, d}
  end
  at = at + 6 + refs + serials
end
return answer
"""
)

_DUE = Script(
    ROOM
    + NOW_MS
    + ADMIT
    + _READ_HALVES
    + """
-- ARGV: target, how many, token, lease ms, '1' for a probe: one record, whether due or not.
-- Answer: when to ask again (ms) or -1, then r, m, d, doubt …
local target, most, token, lease_ms, probe =
  ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local dirty, answer, again, taken = 'c:dirty:' .. target, {-1}, false, 0
local due = probe and redis.call('ZRANGE', dirty, 0, 50)
  or redis.call('ZRANGEBYSCORE', dirty, '-inf', now, 'LIMIT', 0, most)
for _, r in ipairs(due) do
  if taken >= most then break end
  local until_ = held_until(target, r)
  if until_ and until_ > now then
    redis.call('ZADD', dirty, until_, r)
  else
    again = not probe and admit(target, r)
    if again then break end
    local doubt = take(target, r, token, lease_ms)
    local m, d = halves(target .. ':' .. r)
    for _, part in ipairs({r, m, d, doubt}) do answer[#answer + 1] = part end
    taken = taken + 1
  end
end
local first = redis.call('ZRANGE', dirty, 0, 0, 'WITHSCORES')
if again then answer[1] = math.floor(again)
elseif first[2] then answer[1] = math.floor(tonumber(first[2])) end
return answer
"""
)

_RELEASE = Script(
    ROOM
    + NOW_MS
    + NOTE
    + """
-- ARGV: calls kept, referrers at once, then per record:
--       target, r, token, generation, blob, due ms ('' up to date), hold ms, relink, dead,
--       verdict, signature, why, unpaid calls, number of calls, of edits, calls, edits
local answer, at = {}, 3
local function touch(R, r, target)
  -- a record whose reference has moved on: a new generation, so that a delivery now under way
  -- does not count as up to date
  local m = redis.call('GETRANGE', 'c:m:' .. R, 0, 7)
  if m == '' then return end
  redis.call('SETRANGE', 'c:m:' .. R, 0, string.format('%08x', tonumber(m, 16) + 1))
  if not redis.call('HGET', 'c:lease:' .. target, r) then
    redis.call('ZADD', 'c:dirty:' .. target, now, r)
  end
end
while ARGV[at] do
  local target, r, token, generation, blob, due, hold, relink, dead, verdict, sign, why, unpaid =
    unpack(ARGV, at, at + 12)
  local calls, edits = tonumber(ARGV[at + 13]), tonumber(ARGV[at + 14])
  hold = tonumber(hold)
  local R = target .. ':' .. r
  local dirty, lease = 'c:dirty:' .. target, 'c:lease:' .. target
  for i = 1, calls do redis.call('LPUSH', 'c:calls', ARGV[at + 14 + i]) end
  if calls > 0 then redis.call('LTRIM', 'c:calls', 0, ARGV[1] - 1) end
  for i = 1, edits do redis.call('LPUSH', 'c:edits', ARGV[at + 14 + calls + i]) end
  if edits > 0 then redis.call('LTRIM', 'c:edits', 0, ARGV[1] - 1) end
  spend(target, tonumber(unpaid))
  if hold > 0 then
    local until_ = math.max(now + hold, tonumber(redis.call('GET', 'c:hold:' .. target) or '0'))
    redis.call('SET', 'c:hold:' .. target, string.format('%.0f', until_), 'PX', until_ - now)
  end
  local held = redis.call('HGET', lease, r)
  if not held or string.match(held, '^(.*)|%d+$') ~= token then
    redis.call('SADD', 'c:doubt:' .. target, r)
    if not held then redis.call('ZADD', dirty, now, r) end
    answer[#answer + 1] = 0
  else
    redis.call('HDEL', lease, r)
    redis.call('ZREM', 'c:leased:' .. target, r)
    local moved = string.sub(redis.call('GET', 'c:m:' .. R) or '00000000', 1, 8) ~= generation
    local doubtful = redis.call('SISMEMBER', 'c:doubt:' .. target, r) == 1
    redis.call('SET', 'c:d:' .. R, blob)
    if dead ~= '' and due == '' then redis.call('ZADD', 'c:dead', now, 'r' .. R)
    else redis.call('ZREM', 'c:dead', 'r' .. R) end
    if due ~= '' then
      redis.call('ZADD', dirty, now + tonumber(due), r)
    elseif moved or doubtful then
      redis.call('ZADD', dirty, now, r)
    else
      redis.call('ZREM', dirty, r)
    end
    if relink == '1' then
      local refs = 'c:refs:' .. R
      if redis.call('SCARD', refs) > tonumber(ARGV[2]) then
        redis.call('SADD', 'c:relink', R)
      else
        for _, other in ipairs(redis.call('SMEMBERS', refs)) do
          touch(target .. ':' .. other, other, target)
        end
      end
    end
    note(target, r, verdict, sign, why)
    answer[#answer + 1] = 1
  end
  at = at + 15 + calls + edits
end
return answer
"""
)

_RENEW = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: target, r, token, lease ms
local held = redis.call('HGET', 'c:lease:' .. ARGV[1], ARGV[2])
if not held or string.match(held, '^(.*)|%d+$') ~= ARGV[3] then return 0 end
local expiry = now + tonumber(ARGV[4])
redis.call('HSET', 'c:lease:' .. ARGV[1], ARGV[2], ARGV[3] .. '|' .. expiry)
redis.call('ZADD', 'c:dirty:' .. ARGV[1], expiry, ARGV[2])
redis.call('ZADD', 'c:leased:' .. ARGV[1], 'XX', expiry, ARGV[2])
return 1
"""
)

_INTEND = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: target, r, token, blob: while the lease is ours
local held = redis.call('HGET', 'c:lease:' .. ARGV[1], ARGV[2])
if not held or string.match(held, '^(.*)|%d+$') ~= ARGV[3] then return 0 end
redis.call('SET', 'c:d:' .. ARGV[1] .. ':' .. ARGV[2], ARGV[4])
return 1
"""
)

_TOUCH = Script(
    ROOM
    + NOW_MS
    + """
-- ARGV: target, r …: as a changed reference does
for i = 2, #ARGV do
  local R = ARGV[1] .. ':' .. ARGV[i]
  local m = redis.call('GETRANGE', 'c:m:' .. R, 0, 7)
  if m ~= '' then
    redis.call('SETRANGE', 'c:m:' .. R, 0, string.format('%08x', tonumber(m, 16) + 1))
    if not redis.call('HGET', 'c:lease:' .. ARGV[1], ARGV[i]) then
      redis.call('ZADD', 'c:dirty:' .. ARGV[1], now, ARGV[i])
    end
  end
end
return #ARGV - 1
"""
)

_SETTLE = Script(
    """
-- ARGV: target, r, generation, blob: of a record that is dead and not under way
local R = ARGV[1] .. ':' .. ARGV[2]
if redis.call('GETRANGE', 'c:m:' .. R, 0, 7) ~= ARGV[3]
  or redis.call('ZSCORE', 'c:dirty:' .. ARGV[1], ARGV[2])
  or redis.call('ZREM', 'c:dead', 'r' .. R) == 0 then return 0 end
redis.call('SET', 'c:d:' .. R, ARGV[4])
return 1
"""
)

_ENSURE = Script(
    ROOM
    + NOW_MS
    + _READ_HALVES
    + """
-- ARGV: target, r, blob: an empty record where there is none
if is_gone(ARGV[1] .. ':' .. ARGV[2]) then return 0 end
if redis.call('SETNX', 'c:m:' .. ARGV[1] .. ':' .. ARGV[2], '00000001' .. ARGV[3]) == 1 then
  redis.call('ZADD', 'c:dirty:' .. ARGV[1], now, ARGV[2])
  return 1
end
return 0
"""
)


_AGE = Script(
    ROOM
    + """
-- ARGV: target, resource, id, generation, m blob ('' of a deleted record), d blob.
-- Forgets what a record holds, if nothing was said or is to be done about it since it was read
local r = ARGV[2] .. ':' .. ARGV[3]
local R = ARGV[1] .. ':' .. r
if redis.call('GETRANGE', 'c:m:' .. R, 0, 7) ~= ARGV[4]
  or redis.call('ZSCORE', 'c:dirty:' .. ARGV[1], r)
  or redis.call('HEXISTS', 'c:lease:' .. ARGV[1], r) == 1
  or redis.call('SISMEMBER', 'c:doubt:' .. ARGV[1], r) == 1
  or redis.call('ZSCORE', 'c:dead', 'r' .. R)
  or redis.call('EXISTS', 'c:from:' .. R) == 1 then return 0 end
if ARGV[5] == '' then
  redis.call('SADD', 'c:gone:' .. ARGV[1] .. ':' .. ARGV[2], ARGV[3])
  redis.call('DEL', 'c:m:' .. R, 'c:d:' .. R, 'c:refs:' .. R)
else
  redis.call('SET', 'c:m:' .. R, ARGV[4] .. ARGV[5])
  redis.call('SET', 'c:d:' .. R, ARGV[6])
end
return 1
"""
)


def read(client: Redis, names: Sequence[Name]) -> list[State]:
    """The records as they stand, in the order asked for; one that is not known is empty."""
    if not names:
        return []
    keys = [key_of(name) for name in names]
    blobs = client.mget([f"{PREFIX}{half}:{key}" for key in keys for half in "md"])
    return [
        _state(name, merged or b"", delivered or b"")
        for name, merged, delivered in zip(names, blobs[::2], blobs[1::2], strict=True)
    ]


def told(client: Redis, names: Sequence[Name]) -> dict[Name, Delivered]:
    """What the CRM was told of each of the records."""
    blobs = client.mget([f"{PREFIX}d:{key_of(name)}" for name in names]) if names else []
    return {
        name: unpack_delivered(int(blob[:8], 16), blob[8:]) if blob else Delivered()
        for name, blob in zip(names, blobs, strict=True)
    }


def commit(
    client: Redis,
    writes: Sequence[Write],
    token: str,
    lease_seconds: float | None,
    set_number: int | None = None,
) -> list[Written]:
    """Store merges, mark the records dirty, and lease those that are free: one step for all.

    `lease_seconds` None leases nothing. `set_number` is noted with the events until the journal has
    what became of them, so that whoever finds one cut short knows by which set it was begun.
    Answers in the order of `writes`.
    """
    if not writes:
        return []
    args: list[str | bytes | int] = [
        token,
        "" if lease_seconds is None else round(lease_seconds * 1000),
        "" if set_number is None else set_number,
    ]
    for write in writes:
        blob = b"" if write.merged is None else pack_merged(write.merged)
        args += [quote(write.name.target, safe=""), member_of(write.name)]
        args += [f"{write.expected:08x}", blob, len(write.refs), len(write.serials)]
        args += [*map(key_of, write.refs), *write.serials]
    return [
        _written(write, token, reply)
        for write, reply in zip(writes, _COMMIT(client, args), strict=True)
    ]


def lease_due(
    client: Redis,
    target: str,
    limit: int,
    token: str,
    lease_seconds: float,
    *,
    probing: bool = False,
) -> tuple[list[Lease], Micros | None]:
    """Leases on records of `target` whose time has come, at most `limit`, and when to ask again
    (microseconds; None when nothing waits).

    `probing`: the record that has waited longest, although the gate is closed.
    """
    next_due, *parts = _DUE(
        client,
        [_part(target), limit, token, round(lease_seconds * 1000), int(probing)],
    )
    leases = []
    for member, merged, delivered, doubt in zip(*[iter(parts)] * 4, strict=True):
        name = name_of(f"{_part(target)}:{member.decode()}")
        leases.append(Lease(_state(name, merged, delivered), token, bool(doubt)))
    return leases, None if next_due < 0 else next_due * 1000


def renew(client: Redis, lease: Lease, lease_seconds: float) -> bool:
    """Hold a lease for `lease_seconds` from now; False when it is no longer ours."""
    args = [
        quote(lease.name.target, safe=""),
        member_of(lease.name),
        lease.token,
        round(lease_seconds * 1000),
    ]
    return bool(_RENEW(client, args))


def intend(client: Redis, lease: Lease, told: Delivered) -> bool:
    """Write down what is about to be sent, so that whoever comes after a crash can make the same
    call again, look for what it made, and number the next one. False when the lease is no longer
    ours."""
    blob = f"{told.generation:08x}".encode() + pack_delivered(told)
    name = lease.name
    args: list[str | bytes] = [_part(name.target), member_of(name), lease.token, blob]
    return bool(_INTEND(client, args))


def release(client: Redis, releases: Sequence[Release]) -> list[bool]:
    """End deliveries: store what the CRM was told and take the records off the dirty list, unless
    they have moved on. False for one whose lease was lost: nothing is stored, it is in doubt."""
    if not releases:
        return []
    args: list[str | bytes | int] = [CALLS_KEPT, RELINK_AT_ONCE]
    for item in releases:
        name, generation = item.lease.name, item.lease.state.generation
        told = item.delivered
        if item.lease.doubt and (item.due_in is not None or told.dead):
            told = replace(told, doubt=True)  # the lease's doubt outlives it until a success
        blob = f"{told.generation:08x}".encode() + pack_delivered(told)
        args += [_part(name.target), member_of(name), item.lease.token]
        args += [f"{generation:08x}", blob]
        args += ["" if item.due_in is None else round(item.due_in * 1000)]
        args += [round(item.hold * 1000), int(item.relink), "x" if item.delivered.dead else ""]
        args += [item.verdict, item.signature, item.why[:500], f"{item.unpaid:.6f}"]
        args += [len(item.calls), len(item.edits), *item.calls, *item.edits]
    return [bool(reply) for reply in _RELEASE(client, args)]


def touch(client: Redis, names: Sequence[Name]) -> None:
    """Make records due at once, as something new would; the dead among them too."""
    for name in names:
        _TOUCH(client, [_part(name.target), member_of(name)])
        client.zrem(f"{PREFIX}dead", f"r{key_of(name)}")


def settle_as_is(client: Redis, state: State, note: str) -> bool:
    """Count a dead record as up to date although the CRM never took it, with a note that says so.
    False when it has moved on meanwhile."""
    told = replace(
        state.delivered, generation=state.generation, dead=None, warnings=(note,), attempts=0
    )
    blob = f"{told.generation:08x}".encode() + pack_delivered(told)
    args: list[str | bytes] = [_part(state.name.target), member_of(state.name)]
    return bool(_SETTLE(client, [*args, f"{state.generation:08x}", blob]))


def ensure(client: Redis, name: Name) -> bool:
    """An empty record to be created in the CRM, where nothing is known of `name` yet."""
    args = [_part(name.target), member_of(name), pack_merged(Merged())]
    return bool(_ENSURE(client, args))


def age_out(client: Redis, state: State) -> bool:
    """Forget what an old record holds, but not that it is in the CRM, its link there, or that it
    was deleted. Only a record that is at rest, and whose events are kept no more; False when it
    is not, or has moved on meanwhile."""
    name, told = state.name, state.delivered
    if told.dead or told.doubt or told.generation != state.generation:
        return False
    # Without digests every field told from now on goes out; those not told are the CRM's.
    left = replace(told, digests={}, warnings=())
    merged = b"" if state.merged.deleted else pack_merged(aged(state.merged))
    args: list[str | bytes] = [_part(name.target), _part(name.resource), name.id]
    args += [f"{state.generation:08x}", merged]
    args += [f"{left.generation:08x}".encode() + pack_delivered(left)]
    return bool(_AGE(client, args))


def is_gone(client: Redis, name: Name) -> bool:
    """Whether the record was deleted so long ago that only this is known of it."""
    resource = f"{_part(name.target)}:{_part(name.resource)}"
    return bool(client.sismember(f"{PREFIX}gone:{resource}", name.id))


def scan(client: Redis, cursor: int, count: int) -> tuple[int, list[State]]:
    """Some records in no order, and the cursor that goes on after them: 0 begins, and ends."""
    start = len(f"{PREFIX}m:")
    cursor, keys = client.scan(cursor, f"{PREFIX}m:*", count)
    return int(cursor), read(client, [name_of(key[start:].decode()) for key in keys])


def relink(client: Redis, page: int = 500) -> int:
    """Make the referrers of records with very many of them dirty, a page at a time."""
    touched = 0
    while key := client.srandmember(f"{PREFIX}relink"):
        target = key.decode().split(":", 1)[0]
        cursor = 0
        while True:
            cursor, members = client.sscan(f"{PREFIX}refs:{key.decode()}", cursor, count=page)
            if members:
                touched += _TOUCH(client, [target, *members])
            if cursor == 0:
                break
        client.srem(f"{PREFIX}relink", key)
    return touched


def serials(client: Redis, name: Name) -> list[int]:
    """The journal numbers of the events that went into a record, in order of arrival."""
    return sorted(int(member) for member in client.smembers(f"{PREFIX}from:{key_of(name)}"))


def forget_event(client: Redis, names: Sequence[Name], serial: int) -> None:
    """An event that is no longer kept: what it said stays, that it said it is dropped."""
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.srem(f"{PREFIX}from:{key_of(name)}", serial)
    pipe.execute()


def serials_of(client: Redis, names: Sequence[Name]) -> list[list[int]]:
    """As `serials`, for several records at once, in the order asked for."""
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.smembers(f"{PREFIX}from:{key_of(name)}")
    return [sorted(map(int, members)) for members in pipe.execute()]


def waiting(client: Redis, target: str) -> int:
    """How many records of `target` the CRM is not up to date with."""
    return int(client.zcard(f"{PREFIX}dirty:{_part(target)}"))


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the CRM is with a record: the generation that it has, when the next delivery is due
    (None: none is), and whether its delivery was given up."""

    generation: int
    due: Micros | None
    dead: bool


def standings(client: Redis, names: Iterable[Name]) -> Mapping[Name, Standing]:
    """How far the CRM is with each of the records, without reading what they hold."""
    wanted = list(dict.fromkeys(names))
    pipe = client.pipeline(transaction=False)
    for name in wanted:
        pipe.getrange(f"{PREFIX}d:{key_of(name)}", 0, 7)
        pipe.zscore(f"{PREFIX}dirty:{_part(name.target)}", member_of(name))
        pipe.zscore(f"{PREFIX}dead", f"r{key_of(name)}")
    replies = pipe.execute() if wanted else []
    return {
        name: Standing(
            int(generation, 16) if generation else 0,
            None if due is None else int(due) * 1000,
            dead is not None,
        )
        for name, generation, due, dead in zip(
            wanted, replies[::3], replies[1::3], replies[2::3], strict=True
        )
    }


def calls(client: Redis, name: Name | None = None, limit: int = 20) -> list[bytes]:
    """The latest calls, newest first, as they were written down; of one record or of all."""
    if name is None:
        return list(client.lrange(f"{PREFIX}calls", 0, limit - 1))
    mark = json.dumps(key_of(name), ensure_ascii=False).encode()
    found = [line for line in client.lrange(f"{PREFIX}calls", 0, -1) if mark in line]
    return found[:limit]


def edits(client: Redis, limit: int = 0) -> list[bytes]:
    """The latest edits of people that deliveries met, newest first, as they were written down."""
    return list(client.lrange(f"{PREFIX}edits", 0, limit - 1))


def _state(name: Name, merged: bytes, delivered: bytes) -> State:
    return State(
        name,
        int(merged[:8], 16) if merged else 0,
        unpack_merged(merged[8:]) if merged else Merged(),
        unpack_delivered(int(delivered[:8], 16), delivered[8:]) if delivered else Delivered(),
    )


def _written(write: Write, token: str, reply: list[Any]) -> Written:
    if reply[0] == 1:
        return Written(conflict=True)
    generation, doubt, delivered = int(reply[1], 16), reply[2], reply[3]
    if doubt == -1 or write.merged is None:
        return Written(False, generation)
    told = unpack_delivered(int(delivered[:8], 16), delivered[8:]) if delivered else Delivered()
    state = State(write.name, generation, write.merged, told)
    return Written(False, generation, Lease(state, token, doubt == 1))
