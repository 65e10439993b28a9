"""The journal: every event that was received, and what became of it.

Keys:

    c:serial        counter   number of the latest event
    c:i:<digest>    string    16 bytes of SHA-256 over source and id → serial: who was here before
    c:e:<serial>    string    length of the header (6 hex digits) + header (JSON) + body (zlib)
    c:events        zset      serial → time of receipt (µs)
    c:queued        set       serials of the events that no worker has merged yet
    c:begun         hash      serial → number of the mapping set by which an event's words went into
                              records (`connector.records.store`), until that is noted here
    c:dead          zset      `e<serial>` → since (ms); records' dead letters stand there, too
    c:claims:<w>    set       what worker process `w` has taken off the queue (job:execution)
    c:wake          list      one element when there is something to claim
    rq:…            RQ's own: the queue, its job hashes and its registry of started jobs

Invariants:
- An event, its memory against duplicates and its RQ job are stored in one step, or not at all.
- A claimed job is at every moment in RQ's queue or in RQ's started registry, so `rq info` is true.
- The journal is the truth about an event, its job only a wake-up: running it twice is harmless, and
  an event in `c:queued` without a job is found by `lost`.
- A body is compressed once, here, and never parsed here.
"""

from __future__ import annotations

import logging
import re
import time
import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal

from connector import compact
from connector.frozen import dataclass
from connector.model import Event, Json, Micros, Name, Place, Problem
from connector.redisdb import NOW_MS, PREFIX, ROOM, SPARING, Redis, Script

log = logging.getLogger(__name__)

QUEUE = "connector"
JOB = "connector.jobs.event"
JOB_TIMEOUT = 180
"""Seconds that a stock RQ worker lets a job run."""

RQ_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
"""How RQ writes times, always in UTC."""

HEADER = 6
"""How many hex digits say how long a header is."""

CLAIM_SECONDS = 60
"""How long RQ believes in a claim that is not renewed; the sweep returns it long before."""

STRANGER_SECONDS = 12.0
"""How long a stock RQ worker may take to merge an event before another does it as well. Such a
worker shows no sign of life while it works, and merging twice is harmless."""

EventState = Literal["queued", "merged", "unmapped", "dead"]
"""What is written down. Whether a merged event is `done` or still `waiting` is told by the records
that it went into."""

UNMERGED: Mapping[str, EventState] = {"error": "dead", "unmapped": "unmapped"}
"""What an event becomes that the mapping set made no changes of."""


@dataclass(frozen=True, slots=True)
class Touched:
    """A record that an event went into, and the record's generation that holds its words."""

    name: Name
    generation: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in the journal and what became of it. `set_number`: the mapping set that read it.

    `begun`: the set by which a worker began to merge it that has not said so yet, or 0. Known only
    of entries that were claimed, or asked for by `begun`.
    """

    serial: int
    event: Event
    state: EventState
    set_number: int = 0
    touched: tuple[Touched, ...] = ()
    problem: Problem | None = None
    warnings: tuple[Problem, ...] = ()
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """An event taken off the queue by a worker process, until it is finished or handed back."""

    entry: Entry
    job_id: str
    execution: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer of `claim`: events, jobs of our queue that name none (`strange`), and what Redis
    says of the mapping set in force (`connector.mapping.published`)."""

    claims: tuple[Claim, ...] = ()
    strange: tuple[str, ...] = ()
    in_force: bytes | None = None


_STORE = Script(
    NOW_MS
    + SPARING
    + """
-- ARGV: rq's time, per event: digest, header, body, received (µs), job id, job data, dead
-- Answer: for each event whether it is new
local queue, answer, accepted = 'rq:queue:connector', {}, false
for at = 2, #ARGV, 7 do
  local digest, header, body, received, job, data, dead = unpack(ARGV, at, at + 6)
  local new = redis.call('EXISTS', 'c:i:' .. digest) == 0
  answer[#answer + 1] = new and 1 or 0
  if new then
    local serial = redis.call('INCR', 'c:serial')
    redis.call('SET', 'c:i:' .. digest, serial)
    redis.call('SET', 'c:e:' .. serial, header .. body)
    later('ZADD', 'c:events', received, serial)
    if dead == '1' then
      redis.call('ZADD', 'c:dead', now, 'e' .. serial)
    else
      later('SADD', 'c:queued', serial)
      redis.call('HSET', 'rq:job:' .. job, 'data', data, 'event', serial, 'origin', 'connector',
        'status', 'queued', 'created_at', ARGV[1], 'enqueued_at', ARGV[1],
        'timeout', TIMEOUT, 'result_ttl', 0)
      later('RPUSH', queue, job)
    end
    accepted = true
  end
end
flush()
if accepted then
  redis.call('SADD', 'rq:queues', queue)
  if redis.call('LLEN', 'c:wake') == 0 then redis.call('RPUSH', 'c:wake', '1') end
end
return answer
""".replace("TIMEOUT", str(JOB_TIMEOUT))
)

_FINISH_AND_CLAIM = Script(
    ROOM
    + NOW_MS
    + SPARING
    + """
-- ARGV: worker, execution, rq's time, how many to claim, claim seconds, how many must wait,
--       then per finished event: serial, header, dead, job id, execution
-- Answer: what is said of the mapping set in force, then per job its id, serial, event and the set
--       by which its merging was begun
local claims, queue, wip = 'c:claims:' .. ARGV[1], 'rq:queue:connector', 'rq:wip:connector'
local over = {}
for at = 7, #ARGV, 5 do
  local serial, header, dead, job, execution = unpack(ARGV, at, at + 4)
  local known_as = redis.call('GET', 'c:e:' .. serial)
  if known_as then
    local body = string.sub(known_as, 7 + tonumber(string.sub(known_as, 1, 6), 16))
    redis.call('SET', 'c:e:' .. serial, header .. body)
  end
  later('SREM', 'c:queued', serial)
  later('HDEL', 'c:begun', serial)
  if dead == '1' then
    redis.call('ZADD', 'c:dead', now, 'e' .. serial)
    known['c:dead'] = true
  elseif is_there('c:dead') then
    redis.call('ZREM', 'c:dead', 'e' .. serial)
  end
  if job ~= '' then
    over[#over + 1] = 'rq:job:' .. job
    later('ZREM', wip, job .. ':' .. execution)
    later('SREM', claims, job .. ':' .. execution)
  end
end
all(over, 'DEL')
flush()
local answer, serials, most = {redis.call('GET', 'c:set:current')}, {}, tonumber(ARGV[4])
local least = tonumber(ARGV[6])
if least > 1 and redis.call('LLEN', queue) < least then most = 0 end
for _, job in ipairs(most > 0 and redis.call('LPOP', queue, most) or {}) do
  local serial = redis.call('HGET', 'rq:job:' .. job, 'event')
  local text = serial and redis.call('GET', 'c:e:' .. serial) or ''
  local member = job .. ':' .. ARGV[2]
  later('ZADD', wip, math.floor(now / 1000) + ARGV[5], member)
  later('SADD', claims, member)
  if serial or redis.call('EXISTS', 'rq:job:' .. job) == 1 then
    redis.call('HSET', 'rq:job:' .. job, 'status', 'started', 'worker_name', ARGV[1],
      'started_at', ARGV[3])
  end
  serials[#serials + 1] = serial or ''
  for _, part in ipairs({job, serial or '', text, '0'}) do answer[#answer + 1] = part end
end
flush()
if #serials > 0 and is_there('c:begun') then
  for i, set in ipairs(redis.call('HMGET', 'c:begun', unpack(serials))) do
    answer[4 * i + 1] = set or '0'
  end
end
return answer
"""
)

_HAND_BACK = Script(
    ROOM
    + """
-- ARGV: worker, then members (job:execution): back to the head of the queue, once each
local claims, queue, wip = 'c:claims:' .. ARGV[1], 'rq:queue:connector', 'rq:wip:connector'
for at = #ARGV, 2, -1 do
  local job = string.match(ARGV[at], '^(.*):[^:]*$')
  if redis.call('SREM', claims, ARGV[at]) == 1 then
    redis.call('ZREM', wip, ARGV[at])
    if redis.call('EXISTS', 'rq:job:' .. job) == 1 then
      redis.call('HSET', 'rq:job:' .. job, 'status', 'queued')
      redis.call('LPUSH', queue, job)
    end
  end
end
redis.call('RPUSH', 'c:wake', '1')
return #ARGV - 1
"""
)

_ENQUEUE = Script(
    """
-- ARGV: rq's time, then per event: serial, job id, data: a job for an event that has none at work,
-- and that nobody has finished since it was looked at
local pushed, wip = 0, 'rq:wip:connector'
for at = 2, #ARGV, 3 do
  local serial, job, data = unpack(ARGV, at, at + 2)
  local t = redis.call('HMGET', 'rq:job:' .. job, 'status', 'worker_name')
  local ours = t[2] and redis.call('EXISTS', 'c:worker:' .. t[2]) == 1
  if redis.call('SISMEMBER', 'c:queued', serial) == 1 and t[1] ~= 'queued'
    and not (t[1] == 'started' and ours) then
    for _, member in ipairs(t[1] == 'started' and redis.call('ZRANGE', wip, 0, -1) or {}) do
      if string.sub(member, 1, #job + 1) == job .. ':' then redis.call('ZREM', wip, member) end
    end
    redis.call('HSET', 'rq:job:' .. job, 'data', data, 'event', serial, 'origin', 'connector',
      'status', 'queued', 'created_at', ARGV[1], 'enqueued_at', ARGV[1],
      'timeout', TIMEOUT, 'result_ttl', 0)
    redis.call('RPUSH', 'rq:queue:connector', job)
    pushed = pushed + 1
  end
end
redis.call('SADD', 'rq:queues', 'rq:queue:connector')
redis.call('RPUSH', 'c:wake', '1')
return pushed
""".replace("TIMEOUT", str(JOB_TIMEOUT))
)


# --- storing


def store(client: Redis, events: Sequence[Event]) -> int:
    """Store and enqueue events that were not here before; how many those were. One step."""
    return sum(store_each(client, events))


def store_each(client: Redis, events: Sequence[Event]) -> list[bool]:
    """As `store`; says of each event whether it was new."""
    if not events:
        return []
    args: list[str | bytes | int] = [_rq_time()]
    for event in events:
        state: EventState = "dead" if event.problem else "queued"
        entry = Entry(0, event, state, problem=_born_dead(event))
        args += [
            identity(event.source, event.id),
            _header(entry),
            _deflated(event.body),
            event.received_at,
            job_id(event.source, event.id),
            _job_data(event),
            int(state == "dead"),
        ]
    return [bool(new) for new in _STORE(client, args)]


def identity(source: str, event_id: str) -> bytes:
    """Sixteen bytes that stand for an event of a source in the memory against duplicates."""
    return sha256(f"{source}\0{event_id}".encode("utf-8", "surrogatepass")).digest()[:16]


_JOB_LETTERS = re.compile(r"[A-Za-z0-9_-]+")


def job_id(source: str, event_id: str) -> str:
    """The RQ job of an event: readable where RQ allows the letters, unique always."""
    readable = f"{source}-{event_id}"
    if len(readable) <= 100 and _JOB_LETTERS.fullmatch(readable):
        return readable
    tail = identity(source, event_id).hex()
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', readable)[:60]}-{tail}"


# --- working


def claim(
    client: Redis,
    worker: str,
    execution: str,
    limit: int,
    finished: Sequence[tuple[Entry, Claim | None]] = (),
    least: int = 1,
) -> Claimed:
    """Write down what became of events, then take up to `limit` more off the queue, or none where
    fewer than `least` wait. One step.

    `execution` names this claiming in RQ's registry; it must differ from call to call.
    """
    if not finished and limit <= 0:
        return Claimed()
    args: list[str | bytes | int] = [worker, execution, _rq_time(), limit, CLAIM_SECONDS, least]
    for entry, was in finished:
        args += [entry.serial, _header(entry), int(entry.state == "dead")]
        args += [was.job_id, was.execution] if was else ["", ""]
    in_force, *parts = _FINISH_AND_CLAIM(client, args)
    claims, strange = [], []
    for job, serial, text, begun in zip(*[iter(parts)] * 4, strict=True):
        if text:
            entry = _entry(int(serial), text, int(begun))
            claims.append(Claim(entry, job.decode(), execution))
        else:
            strange.append(job.decode())
    return Claimed(tuple(claims), tuple(strange), in_force)


def adopt(client: Redis, worker: str, job: str, execution: str) -> Claim | None:
    """A claimed job that somebody enqueued by RQ's own means: the event that it names.

    None for a job that is none of ours, or names an event that is not kept: RQ then has it among
    its failed ones, with the reason.
    """
    # Here, because the web process stores events without RQ, which takes 10 MiB.
    from rq import Queue
    from rq.exceptions import DeserializationError, NoSuchJobError
    from rq.job import Job, JobStatus
    from rq.serializers import JSONSerializer

    reason = "the job is gone"
    try:
        found = Job.fetch(job, connection=client, serializer=JSONSerializer)
        arguments = [str(argument) for argument in found.args]
        entry = find(client, *arguments) if found.func_name == JOB and len(arguments) == 2 else None
        if entry is not None:
            return Claim(entry, job, execution)
        reason = f"{found.func_name}{tuple(arguments)} names no event of the journal"
        found.set_status(JobStatus.FAILED)
        queue = Queue(QUEUE, connection=client, serializer=JSONSerializer)
        queue.failed_job_registry.add(found, exc_string=reason)
    except (NoSuchJobError, DeserializationError) as error:
        reason = f"{type(error).__name__}: {error}"
    log.error("job %s in our queue was not run: %s", job, reason)
    client.zrem(f"rq:wip:{QUEUE}", f"{job}:{execution}")
    client.srem(f"{PREFIX}claims:{worker}", f"{job}:{execution}")
    return None


def finish(client: Redis, entries: Sequence[Entry]) -> None:
    """Write down what became of events whose job somebody else (RQ, a person) looks after."""
    claim(client, "", "", 0, [(entry, None) for entry in entries])


def hand_back(client: Redis, worker: str, members: Iterable[str]) -> None:
    """Put claims (`job:execution`) back to the head of the queue; those already gone are left."""
    wanted = list(members)
    if wanted:
        _HAND_BACK(client, [worker, *wanted])


def claims_of(client: Redis, worker: str) -> list[str]:
    """What a worker process has claimed and not finished, as `job:execution`."""
    return sorted(member.decode() for member in client.smembers(f"{PREFIX}claims:{worker}"))


def enqueue(client: Redis, entries: Sequence[Entry]) -> int:
    """A job for each event that has none in the queue; how many were pushed."""
    if not entries:
        return 0
    args: list[str | bytes | int] = [_rq_time()]
    for entry in entries:
        event = entry.event
        args += [entry.serial, job_id(event.source, event.id), _job_data(event)]
    return int(_ENQUEUE(client, args))


def lost(client: Redis, limit: int = 500) -> list[Entry]:
    """Events that nobody has merged and whose job is neither queued nor started, or was started
    long ago by a stock RQ worker; among `limit` that nobody has merged, whichever they are."""
    serials = [int(member) for member in client.srandmember(f"{PREFIX}queued", limit) or []]
    entries = headers(client, serials)
    pipe = client.pipeline(transaction=False)
    for entry in entries:
        job = job_id(entry.event.source, entry.event.id)
        pipe.hmget(f"rq:job:{job}", "status", "worker_name", "started_at")
    before = (datetime.now(UTC) - timedelta(seconds=STRANGER_SECONDS)).strftime(RQ_TIME)
    found = []
    for entry, (status, worker, started) in zip(entries, pipe.execute(), strict=True):
        if entry.state != "queued":
            client.srem(f"{PREFIX}queued", entry.serial)
        elif status == b"started":
            ours = client.exists(f"{PREFIX}claims:{(worker or b'').decode()}")
            if not ours and (started or b"").decode() <= before:
                found.append(entry)
        elif status != b"queued":
            found.append(entry)
    return found


# --- reading


def load(client: Redis, serials: Sequence[int]) -> list[Entry]:
    """The journal's entries of these numbers, bodies included; those trimmed are left out."""
    if not serials:
        return []
    texts = client.mget([f"{PREFIX}e:{serial}" for serial in serials])
    return [_entry(n, text) for n, text in zip(serials, texts, strict=True) if text is not None]


def headers(client: Redis, serials: Sequence[int]) -> list[Entry]:
    """As `load`, but without the bodies (`event.body` is empty)."""
    pipe = client.pipeline(transaction=False)
    for serial in serials:
        pipe.getrange(f"{PREFIX}e:{serial}", 0, 2047)
    found = []
    for serial, text in zip(serials, pipe.execute(), strict=True):
        if not text:
            continue
        end = HEADER + int(text[:HEADER], 16)
        if len(text) < end:
            text = client.getrange(f"{PREFIX}e:{serial}", 0, end - 1)
        found.append(_entry(serial, text[:end]))
    return found


def find(client: Redis, source: str, event_id: str) -> Entry | None:
    """The event of a source by its whole id."""
    serial = client.get(f"{PREFIX}i:".encode() + identity(source, event_id))
    found = load(client, [int(serial)]) if serial else []
    return found[0] if found else None


def search(client: Redis, prefix: str) -> list[Entry]:
    """The events whose id is `prefix` or begins with it, newest first, at most a handful."""
    found: list[Entry] = []
    for entry in newest_first(client):
        if entry.event.id.startswith(prefix):
            found.append(entry)
            if len(found) > 5:
                break
    return found


def newest_first(client: Redis, since: Micros | None = None, page: int = 1000) -> Iterator[Entry]:
    """All entries received at or after `since`, without bodies, the latest received first."""
    start = 0
    lowest = "-inf" if since is None else since
    while serials := client.zrevrangebyscore(
        f"{PREFIX}events", "+inf", lowest, start=start, num=page
    ):
        yield from headers(client, [int(serial) for serial in serials])
        start += len(serials)


def over(client: Redis, oldest: Micros, most: int) -> int:
    """How many of the oldest events were received before `oldest`, or are beyond the `most`."""
    before = int(client.zcount(f"{PREFIX}events", "-inf", f"({oldest}"))
    return max(before, count(client) - most, 0)


def oldest_first(client: Redis, start: int, limit: int) -> list[Entry]:
    """Entries without bodies by time of receipt, from the `start`th oldest on."""
    if limit <= 0:
        return []
    serials = client.zrange(f"{PREFIX}events", start, start + limit - 1)
    return headers(client, [int(serial) for serial in serials])


def forget(client: Redis, entries: Sequence[Entry], remembered: int) -> None:
    """Drop entries; that they were here is known for `remembered` seconds more."""
    pipe = client.pipeline(transaction=True)
    for entry in entries:
        pipe.delete(f"{PREFIX}e:{entry.serial}")
        pipe.zrem(f"{PREFIX}events", entry.serial)
        identity_ = identity(entry.event.source, entry.event.id)
        pipe.expire(f"{PREFIX}i:".encode() + identity_, remembered)
    pipe.execute()


def count(client: Redis) -> int:
    """How many events are kept."""
    return int(client.zcard(f"{PREFIX}events"))


def queued(client: Redis) -> int:
    """How many events no worker has merged yet."""
    return int(client.scard(f"{PREFIX}queued"))


def begun(client: Redis, entry: Entry) -> Entry:
    """`entry` with the set by which its merging was begun and not noted here, if it was."""
    return replace(entry, begun=int(client.hget(f"{PREFIX}begun", entry.serial) or 0))


def in_hand(client: Redis) -> set[bytes]:
    """What any worker, ours or RQ's, has claimed and not finished, as `job:execution`."""
    return set(client.zrange("rq:wip:connector", 0, -1))


# --- how an entry is written down

_compact = compact.writer(ascii_only=True)


_STATES: tuple[EventState, ...] = ("queued", "merged", "unmapped", "dead")
_LETTERS = {state[0]: state for state in _STATES}

_USUAL: list[Json] = [0, [], None, []]
"""What becomes of an event before it is worked on: left out at the end of a header."""


def _header(entry: Entry) -> bytes:
    """Compact JSON; a state is its number (a letter in earlier versions), a vendor of the source's
    own name 0, an id of 64 hex digits its bytes in base64, in a list."""
    event = entry.event
    packed: list[Json] = [
        _STATES.index(entry.state),
        event.source,
        0 if event.vendor == event.source else event.vendor,
        _packed_id(event.id),
        event.kind,
        event.received_at,
        entry.set_number,
        [[t.name.target, t.name.resource, t.name.id, t.generation] for t in entry.touched],
        _problem_json(entry.problem),
        [_problem_json(warning) for warning in entry.warnings[:20]],
    ]
    while len(packed) > 6 and packed[-1] == _USUAL[len(packed) - 7]:
        packed.pop()
    text = _compact(packed).encode()
    return b"%06x" % len(text) + text


def _deflated(body: bytes) -> bytes:
    """Without zlib's six bytes around it, and with an eighth of the memory that it takes otherwise,
    which takes longer to clear than a body to compress (26 us for a kilobyte, 14 so; the result is
    a thousandth longer)."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS, 5)
    return packer.compress(body) + packer.flush()


def _inflated(data: bytes) -> bytes:
    """The inverse, and of what earlier versions wrote: with zlib's head, of which no deflated text
    has the first byte, for it would be a stored block with other padding than zeros."""
    return zlib.decompress(data, zlib.MAX_WBITS if data[:1] == b"\x78" else -zlib.MAX_WBITS)


def _packed_id(id_: str) -> Json:
    if not _DIGEST.fullmatch(id_):
        return id_
    return [b2a_base64(bytes.fromhex(id_), newline=False).rstrip(b"=").decode()]


def _unpacked_id(packed: Json) -> str:
    return a2b_base64(packed[0] + "=").hex() if isinstance(packed, list) else packed


_DIGEST = re.compile(r"[0-9a-f]{64}")


def _entry(serial: int, text: bytes, begun: int = 0) -> Entry:
    end = HEADER + int(text[:HEADER], 16)
    known, source, vendor, id_, kind, at, *became = compact.read(text[HEADER:end])
    state = _STATES[known] if isinstance(known, int) else _LETTERS[known[0]]
    set_number, touched, problem, warnings = became + _USUAL[len(became) :]
    body = _inflated(text[end:]) if len(text) > end else b""
    # Only what the source itself could not read was dead before any mapping set saw it.
    born_dead = problem[0] if problem and state == "dead" and not set_number else None
    return Entry(
        serial,
        Event(source, vendor or source, _unpacked_id(id_), kind, body, at, born_dead),
        state,
        set_number,
        tuple(Touched(Name(*names), generation) for *names, generation in touched),
        _problem(problem),
        tuple(p for p in map(_problem, warnings) if p),
        begun,
    )


def outcome(
    entry: Entry,
    state: EventState,
    set_number: int,
    touched: Iterable[Touched] = (),
    problem: Problem | None = None,
    warnings: Iterable[Problem] = (),
) -> Entry:
    """`entry` after it was worked on."""
    return Entry(
        entry.serial,
        entry.event,
        state,
        set_number,
        tuple(touched),
        problem,
        tuple(warnings),
        entry.begun,
    )


def _problem_json(problem: Problem | None) -> Json:
    if problem is None:
        return None
    place = problem.place
    where = [place.file, place.line, place.column] if place else []
    return [problem.message[:2000], problem.hint[:500], *where]


def _problem(packed: list[Any] | None) -> Problem | None:
    if not packed:
        return None
    message, hint, *where = packed
    return Problem(message, hint, Place(*where) if where else None)


def _born_dead(event: Event) -> Problem | None:
    return Problem(event.problem) if event.problem else None


def _job_data(event: Event) -> bytes:
    """What a stock worker with the JSON serializer runs."""
    return _escaped([JOB, None, [event.source, event.id], {}]).encode()


_escaped = compact.writer(ascii_only=True)


def _rq_time() -> str:
    # As `RQ_TIME` has it, without the time that strftime takes.
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
