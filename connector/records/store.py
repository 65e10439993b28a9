"""Records in Redis: merge, lease, release, each in one atomic step.

Keys (`R` is `<target>:<resource>:<id>`, `r` is `<resource>:<id>`; `:` and `%` in names of targets
and resources are percent-encoded, an id is the rest of the key and needs nothing):

    c:r:R            string  what the sources say, what the CRM was told, and the serials of the
                             events that went into it, for replay (`connector.records.layout`)
    c:from:R         set     more serials, of a record that many events went into
    c:shapes         hash    key → names of fields, for all records (`connector.records.shapes`)
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
- What the sources say is written by whoever merges, if the generation is still the one that was
  read; what the CRM was told by the holder of the lease only. Each leaves the other as it is.
- Who comes back too late with a lease writes nothing, and puts the record in doubt: the CRM cannot
  tell an overtaken call from a fresh one.
- Whoever writes a record writes the shapes that it refers to in the same step.
- A lease found expired was not released: that record is in doubt, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from connector.errors import RedisUnfit
from connector.flow import ADMIT, NOTE, Verdict
from connector.frozen import dataclass
from connector.model import Micros, Name
from connector.records import shapes
from connector.records.layout import (
    BUMP,
    HEARD,
    RECORD,
    TOLD_FROM,
    TOLD_TO,
    Parts,
    take_apart,
)
from connector.records.merge import aged
from connector.records.packed import (
    pack_delivered,
    pack_merged,
    shape_key,
    unpack_delivered,
    unpack_merged,
)
from connector.records.shapes import KEEP_SHAPES, Shape, ShapeMissing
from connector.records.state import Delivered, Merged
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


_IS_GONE = """
local function is_gone(R)
  local resource, id = string.match(R, '^([^:]*:[^:]*):(.*)$')
  return redis.call('SISMEMBER', 'c:gone:' .. resource, id) == 1
end
"""

_TAKE = """
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
    + RECORD
    + HEARD
    + KEEP_SHAPES
    + _IS_GONE
    + _TAKE
    + """
-- ARGV: token, lease ms ('' leases nothing), mapping set ('' notes nothing), shapes, then per
--       record: target, r, expected, what the sources say ('' unchanged), number of refs, of
--       serials, refs, serials.
-- Answer: per record {1} if it has moved on, else {0, generation}, and of a leased one doubt,
--       generation told, what the CRM was told
local token, lease_ms, set, answer = ARGV[1], tonumber(ARGV[2]), ARGV[3], {}
local at = keep_shapes(4)
while ARGV[at] do
  local target, r, expected, blob, refs, serials = ARGV[at], ARGV[at + 1], ARGV[at + 2],
    ARGV[at + 3], tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local R = target .. ':' .. r
  local record = record_of(R)
  if record.generation ~= expected then
    answer[#answer + 1] = {1}
  elseif record.generation == '00000000' and is_gone(R) then
    answer[#answer + 1] = {0, record.generation}
  else
    for i = 1, refs do redis.call('SADD', 'c:refs:' .. ARGV[at + 5 + i], r) end
    local changed = blob ~= ''
    for i = 1, serials do
      changed = hear(R, record, ARGV[at + 5 + refs + i]) or changed
      if set ~= '' then redis.call('HSETNX', 'c:begun', ARGV[at + 5 + refs + i], set) end
    end
    if blob ~= '' then
      record.generation = string.format('%08x', tonumber(record.generation, 16) + 1)
      record.merged = blob
    end
    if changed then keep(R, record) end
    local doubt
    if blob ~= '' then
      local until_ = held_until(target, r)
      if until_ and until_ > now then
        redis.call('ZADD', 'c:dirty:' .. target, until_, r)
      elseif lease_ms and not admit(target, r) then
        doubt = take(target, r, token, lease_ms)
      else
        redis.call('ZADD', 'c:dirty:' .. target, now, r)
      end
    end
    answer[#answer + 1] = doubt
      and {0, record.generation, doubt, record.told, record.delivered}
      or {0, record.generation}
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
    + _TAKE
    + """
-- ARGV: target, how many, token, lease ms, '1' for a probe: one record, whether due or not.
-- Answer: when to ask again (ms) or -1, then r, record, doubt …
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
    local record = redis.call('GET', 'c:r:' .. target .. ':' .. r) or ''
    for _, part in ipairs({r, record, doubt}) do answer[#answer + 1] = part end
    taken = taken + 1
  end
end
local first = redis.call('ZRANGE', dirty, 0, 0, 'WITHSCORES')
if again then answer[1] = math.floor(again)
elseif first[2] then answer[1] = math.floor(tonumber(first[2])) end
return answer
"""
)

_TOUCHED = (
    BUMP
    + """
local function touch(target, r)
  -- a record whose reference has moved on: a new generation, so that a delivery now under way
  -- does not count as up to date
  if bump(target .. ':' .. r) and not redis.call('HGET', 'c:lease:' .. target, r) then
    redis.call('ZADD', 'c:dirty:' .. target, now, r)
  end
end
"""
)

_RELEASE = Script(
    ROOM
    + NOW_MS
    + NOTE
    + RECORD
    + KEEP_SHAPES
    + _TOUCHED
    + """
-- ARGV: calls kept, referrers at once, shapes, then per record:
--       target, r, token, generation, generation told, what the CRM was told, due ms ('' up to
--       date), hold ms, relink, dead, verdict, signature, why, unpaid calls, number of calls, of
--       edits, calls, edits
local answer, at = {}, keep_shapes(3)
while ARGV[at] do
  local target, r, token, generation, told, blob, due, hold, relink, dead, verdict, sign, why,
    unpaid = unpack(ARGV, at, at + 13)
  local calls, edits = tonumber(ARGV[at + 14]), tonumber(ARGV[at + 15])
  hold = tonumber(hold)
  local R = target .. ':' .. r
  local dirty, lease = 'c:dirty:' .. target, 'c:lease:' .. target
  for i = 1, calls do redis.call('LPUSH', 'c:calls', ARGV[at + 15 + i]) end
  if calls > 0 then redis.call('LTRIM', 'c:calls', 0, ARGV[1] - 1) end
  for i = 1, edits do redis.call('LPUSH', 'c:edits', ARGV[at + 15 + calls + i]) end
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
    local record = record_of(R)
    record.told, record.delivered = told, blob
    keep(R, record)
    local moved = record.generation ~= generation
    local doubtful = redis.call('SISMEMBER', 'c:doubt:' .. target, r) == 1
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
          touch(target, other)
        end
      end
    end
    note(target, r, verdict, sign, why)
    answer[#answer + 1] = 1
  end
  at = at + 16 + calls + edits
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
    + RECORD
    + KEEP_SHAPES
    + """
-- ARGV: target, r, token, generation told, what the CRM was told, shapes: while the lease is ours
local held = redis.call('HGET', 'c:lease:' .. ARGV[1], ARGV[2])
if not held or string.match(held, '^(.*)|%d+$') ~= ARGV[3] then return 0 end
keep_shapes(6)
local R = ARGV[1] .. ':' .. ARGV[2]
local record = record_of(R)
record.told, record.delivered = ARGV[4], ARGV[5]
keep(R, record)
return 1
"""
)

_TOUCH = Script(
    ROOM
    + NOW_MS
    + _TOUCHED
    + """
-- ARGV: target, r …: as a changed reference does
for i = 2, #ARGV do touch(ARGV[1], ARGV[i]) end
return #ARGV - 1
"""
)

_SETTLE = Script(
    RECORD
    + KEEP_SHAPES
    + """
-- ARGV: target, r, generation, what the CRM was told, shapes: of a record that is dead and not
-- under way
local R = ARGV[1] .. ':' .. ARGV[2]
local record = record_of(R)
if record.generation ~= ARGV[3]
  or redis.call('ZSCORE', 'c:dirty:' .. ARGV[1], ARGV[2])
  or redis.call('ZREM', 'c:dead', 'r' .. R) == 0 then return 0 end
keep_shapes(5)
record.told, record.delivered = ARGV[3], ARGV[4]
keep(R, record)
return 1
"""
)

_ENSURE = Script(
    ROOM
    + NOW_MS
    + RECORD
    + _IS_GONE
    + """
-- ARGV: target, r, what the sources say: an empty record where there is none
local R = ARGV[1] .. ':' .. ARGV[2]
if is_gone(R) then return 0 end
local record = record_of(R)
if record.generation ~= '00000000' then return 0 end
record.generation, record.merged = '00000001', ARGV[3]
keep(R, record)
redis.call('ZADD', 'c:dirty:' .. ARGV[1], now, ARGV[2])
return 1
"""
)


_AGE = Script(
    ROOM
    + RECORD
    + """
-- ARGV: target, resource, id, generation, what the sources say ('' of a deleted record), generation
--       told, what the CRM was told.
-- Forgets what a record holds, if nothing was said or is to be done about it since it was read
local r = ARGV[2] .. ':' .. ARGV[3]
local R = ARGV[1] .. ':' .. r
local record = record_of(R)
if record.generation ~= ARGV[4]
  or record.serials ~= ''
  or redis.call('ZSCORE', 'c:dirty:' .. ARGV[1], r)
  or redis.call('HEXISTS', 'c:lease:' .. ARGV[1], r) == 1
  or redis.call('SISMEMBER', 'c:doubt:' .. ARGV[1], r) == 1
  or redis.call('ZSCORE', 'c:dead', 'r' .. R)
  or redis.call('EXISTS', 'c:from:' .. R) == 1 then return 0 end
if ARGV[5] == '' then
  redis.call('SADD', 'c:gone:' .. ARGV[1] .. ':' .. ARGV[2], ARGV[3])
  redis.call('DEL', 'c:r:' .. R, 'c:refs:' .. R)
else
  record.merged, record.told, record.delivered = ARGV[5], ARGV[6], ARGV[7]
  keep(R, record)
end
return 1
"""
)

_FORGET = Script(
    ROOM
    + RECORD
    + HEARD
    + """
-- ARGV: serial, R …
for i = 2, #ARGV do
  local R = ARGV[i]
  local record = record_of(R)
  if unhear(R, record, ARGV[1]) then
    if record.generation == '00000000' and record.delivered == '' and record.serials == '' then
      redis.call('DEL', 'c:r:' .. R)
    else
      keep(R, record)
    end
  end
end
return 1
"""
)


def refuse_older(client: Redis, targets: Iterable[str]) -> None:
    """Refuse a Redis whose records an earlier version wrote, in keys of another name: here they
    would count as never heard of, and be created once more. Looks only at those that were sent
    last and at those that have waited longest, for there may be millions.

    Raises RedisUnfit.
    """
    seen = [json.loads(line)[0] for line in calls(client, limit=_LOOKED_AT)]
    for target in map(_part, targets):
        members = client.zrange(f"{PREFIX}dirty:{target}", 0, _LOOKED_AT - 1)
        seen += [f"{target}:{member.decode()}" for member in members]
    if seen and client.exists(*(f"{PREFIX}m:{key}" for key in seen)):
        raise RedisUnfit(
            "this Redis holds records as an earlier version wrote them (c:m:*), which this one"
            " cannot read: let that version deliver what waits, remove them, and replay the kept"
            " events (docs/upgrading.md)"
        )


_LOOKED_AT = 20
"""Records that tell by which version all were written."""


def read(client: Redis, names: Sequence[Name]) -> list[State]:
    """The records as they stand, in the order asked for; one that is not known is empty."""
    if not names:
        return []
    return _states(client, names, client.mget([_record(name) for name in names]))


def told(client: Redis, names: Sequence[Name]) -> dict[Name, Delivered]:
    """What the CRM was told of each of the records."""
    if not names:
        return {}
    found = [take_apart(text) for text in client.mget([_record(name) for name in names])]
    known = _shapes(client, [parts.delivered for parts in found])
    return {
        name: _delivered(name, parts.told, parts.delivered, known)
        for name, parts in zip(names, found, strict=True)
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
    args: list[str | bytes | int] = []
    used: list[Shape | None] = []
    for write in writes:
        half = b""
        if write.merged is not None:
            half, shape = pack_merged(write.merged)
            used.append(shape)
        args += [_part(write.name.target), member_of(write.name)]
        args += [f"{write.expected:08x}", half, len(write.refs), len(write.serials)]
        args += [*map(key_of, write.refs), *write.serials]
    seconds = "" if lease_seconds is None else round(lease_seconds * 1000)
    number = "" if set_number is None else set_number
    replies = _COMMIT(client, [token, seconds, number, *shapes.arguments(used), *args])
    known = _shapes(client, [reply[4] for reply in replies if len(reply) > _LEASED])
    return [
        _written(write, token, reply, known) for write, reply in zip(writes, replies, strict=True)
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
    names = [name_of(f"{_part(target)}:{member.decode()}") for member in parts[::3]]
    states = _states(client, names, parts[1::3])
    leases = [
        Lease(state, token, bool(doubt)) for state, doubt in zip(states, parts[2::3], strict=True)
    ]
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
    half, shape = pack_delivered(told)
    name = lease.name
    args: list[str | bytes | int] = [_part(name.target), member_of(name), lease.token]
    args += [f"{told.generation:08x}", half, *shapes.arguments([shape])]
    return bool(_INTEND(client, args))


def release(client: Redis, releases: Sequence[Release]) -> list[bool]:
    """End deliveries: store what the CRM was told and take the records off the dirty list, unless
    they have moved on. False for one whose lease was lost: nothing is stored, it is in doubt."""
    if not releases:
        return []
    args: list[str | bytes | int] = []
    used: list[Shape | None] = []
    for item in releases:
        name, generation = item.lease.name, item.lease.state.generation
        told = item.delivered
        if item.lease.doubt and (item.due_in is not None or told.dead):
            told = replace(told, doubt=True)  # the lease's doubt outlives it until a success
        half, shape = pack_delivered(told)
        used.append(shape)
        args += [_part(name.target), member_of(name), item.lease.token]
        args += [f"{generation:08x}", f"{told.generation:08x}", half]
        args += ["" if item.due_in is None else round(item.due_in * 1000)]
        args += [round(item.hold * 1000), int(item.relink), "x" if item.delivered.dead else ""]
        args += [item.verdict, item.signature, item.why[:500], f"{item.unpaid:.6f}"]
        args += [len(item.calls), len(item.edits), *item.calls, *item.edits]
    head = [CALLS_KEPT, RELINK_AT_ONCE, *shapes.arguments(used)]
    return [bool(reply) for reply in _RELEASE(client, head + args)]


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
    half, shape = pack_delivered(told)
    args: list[str | bytes | int] = [_part(state.name.target), member_of(state.name)]
    args += [f"{state.generation:08x}", half, *shapes.arguments([shape])]
    return bool(_SETTLE(client, args))


def ensure(client: Redis, name: Name) -> bool:
    """An empty record to be created in the CRM, where nothing is known of `name` yet."""
    args = [_part(name.target), member_of(name), pack_merged(Merged())[0]]
    return bool(_ENSURE(client, args))


def age_out(client: Redis, state: State) -> bool:
    """Forget what an old record holds, but not that it is in the CRM, its link there, or that it
    was deleted. Only a record that is at rest, and whose events are kept no more; False when it
    is not, or has moved on meanwhile."""
    name, told = state.name, state.delivered
    if told.dead or told.doubt or told.generation != state.generation:
        return False
    # Without digests every field told from now on goes out; those not told are the CRM's. Neither
    # half has fields then, nor refers to a shape.
    left, _ = pack_delivered(replace(told, digests={}, warnings=()))
    merged = b"" if state.merged.deleted else pack_merged(aged(state.merged))[0]
    args: list[str | bytes] = [_part(name.target), _part(name.resource), name.id]
    args += [f"{state.generation:08x}", merged, f"{told.generation:08x}", left]
    return bool(_AGE(client, args))


def is_gone(client: Redis, name: Name) -> bool:
    """Whether the record was deleted so long ago that only this is known of it."""
    resource = f"{_part(name.target)}:{_part(name.resource)}"
    return bool(client.sismember(f"{PREFIX}gone:{resource}", name.id))


def scan(client: Redis, cursor: int, count: int) -> tuple[int, list[State]]:
    """Some records in no order, and the cursor that goes on after them: 0 begins, and ends."""
    cursor, keys = client.scan(cursor, f"{_RECORDS}*", count)
    states = read(client, [_name_in(key) for key in keys])
    return int(cursor), [state for state in states if state.generation]


def scan_links(client: Redis, cursor: int, link: str, count: int) -> tuple[int, int, list[State]]:
    """As `scan`, only those that the CRM knows by the id `link`; and how many were looked at."""
    cursor, keys = client.scan(cursor, f"{_RECORDS}*", count)
    texts = client.mget(keys) if keys else []
    mark = link.encode()
    names = [_name_in(key) for key, text in zip(keys, texts, strict=True) if text and mark in text]
    found = [state for state in read(client, names) if str(state.delivered.link) == link]
    return int(cursor), len(keys), found


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
    return serials_of(client, [name])[0]


def serials_of(client: Redis, names: Sequence[Name]) -> list[list[int]]:
    """As `serials`, for several records at once, in the order asked for."""
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.get(_record(name))
        pipe.smembers(f"{PREFIX}from:{key_of(name)}")
    replies = pipe.execute() if names else []
    return [
        sorted({*take_apart(text).heard(), *map(int, members)})
        for text, members in zip(replies[::2], replies[1::2], strict=True)
    ]


def forget_event(client: Redis, names: Sequence[Name], serial: int) -> None:
    """An event that is no longer kept: what it said stays, that it said it is dropped."""
    if names:
        _FORGET(client, [serial, *map(key_of, names)])


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
        pipe.getrange(_record(name), TOLD_FROM, TOLD_TO)
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


_RECORDS = f"{PREFIX}r:"


def _record(name: Name) -> str:
    return f"{_RECORDS}{key_of(name)}"


def _name_in(key: bytes) -> Name:
    return name_of(key[len(_RECORDS) :].decode())


def _shapes(client: Redis, halves: Iterable[bytes]) -> Mapping[bytes, Shape]:
    """The shapes that these halves refer to, those that there are."""
    return shapes.named(client, filter(None, map(shape_key, halves)))


def _states(client: Redis, names: Sequence[Name], texts: Sequence[bytes | None]) -> list[State]:
    """Records out of their strings."""
    found = [take_apart(text) for text in texts]
    known = _shapes(client, [half for parts in found for half in (parts.merged, parts.delivered)])
    return [_state(name, parts, known) for name, parts in zip(names, found, strict=True)]


def _state(name: Name, parts: Parts, known: Mapping[bytes, Shape]) -> State:
    delivered = _delivered(name, parts.told, parts.delivered, known)
    if not parts.generation:
        return State(name, 0, Merged(), delivered)
    try:
        merged = unpack_merged(parts.merged, known)
    except ShapeMissing as error:
        raise _torn(name, error) from None
    return State(name, parts.generation, merged, delivered)


def _delivered(name: Name, generation: int, half: bytes, known: Mapping[bytes, Shape]) -> Delivered:
    if not half:
        return Delivered()
    try:
        return unpack_delivered(generation, half, known)
    except ShapeMissing as error:
        raise _torn(name, error) from None


def _torn(name: Name, error: ShapeMissing) -> RedisUnfit:
    return RedisUnfit(
        f"the names of the fields of {name.resource} {name.id} in {name.target} are gone: {error}."
        " This Redis lost a part of what it held: restore it from a backup"
    )


_LEASED = 2
"""A longer reply than that brings a lease."""


def _written(write: Write, token: str, reply: list[Any], known: Mapping[bytes, Shape]) -> Written:
    if reply[0] == 1:
        return Written(conflict=True)
    generation = int(reply[1], 16)
    if len(reply) == _LEASED or write.merged is None:
        return Written(False, generation)
    _, _, doubt, told, half = reply
    delivered = _delivered(write.name, int(told, 16), half, known)
    state = State(write.name, generation, write.merged, delivered)
    return Written(False, generation, Lease(state, token, doubt == 1))
