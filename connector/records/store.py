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
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from connector.errors import RedisUnfit
from connector.flow import Verdict
from connector.frozen import dataclass
from connector.model import Micros, Name
from connector.records import scripts, shapes
from connector.records.layout import TOLD_FROM, TOLD_TO, Parts, take_apart
from connector.records.merge import aged
from connector.records.packed import (
    pack_delivered,
    pack_merged,
    shape_key,
    unpack_delivered,
    unpack_link,
    unpack_merged,
)
from connector.records.shapes import Shape, ShapeMissing
from connector.records.state import Delivered, Merged
from connector.redisdb import PREFIX, Redis, ask

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


Link: TypeAlias = tuple[bool, str | int | None]
"""Whether a record is in the CRM, and its id there as far as it is known."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to deliver one record, and what there is to deliver.

    `doubt`: an earlier call may have reached the CRM without our knowing; send everything. `links`:
    how the records that it refers to stood when it was leased, where they were looked up with it.
    """

    state: State
    token: str
    doubt: bool
    links: Mapping[Name, Link] | None = None

    @property
    def name(self) -> Name:
        return self.state.name


@dataclass(frozen=True, slots=True)
class Write:
    """One record's merge, to be stored if its generation is still `expected`.

    `merged` None: the record says nothing new, but the events `serials` have been heard. `refs` are
    the records that it refers to and whose links it wants to hear of; `wanted` those whose links
    its lease is to tell (None: it tells none).
    """

    name: Name
    expected: int
    merged: Merged | None
    serials: tuple[int, ...] = ()
    refs: tuple[Name, ...] = ()
    wanted: tuple[Name, ...] | None = None


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
    looked at again. `calls` and `edits` as they are kept. `answered`: of each call its status, None
    when none came, and how many seconds it took. `verdict`, `signature` and `why` are what the
    delivery says about its target (`connector.flow`). `unpaid`: calls that it made beyond what its
    lease has paid of the target's rate.
    """

    lease: Lease
    delivered: Delivered
    due_in: float | None = None
    hold: float = 0.0
    relink: bool = False
    calls: tuple[str, ...] = ()
    answered: tuple[tuple[int | None, float], ...] = ()
    edits: tuple[str, ...] = ()
    verdict: Verdict = ""
    signature: str = ""
    why: str = ""
    unpaid: float = 0.0


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
    return _states(client, names, ask(client, "MGET", *map(_record, names)))


def links(client: Redis, names: Sequence[Name]) -> dict[Name, Link]:
    """How each of the records is linked to its row in the CRM."""
    if not names:
        return {}
    return _links(client, names, ask(client, "MGET", *map(_record, names)))


def _links(client: Redis, names: Sequence[Name], texts: Sequence[bytes | None]) -> dict[Name, Link]:
    """Links out of the records' strings."""
    halves = [take_apart(text).delivered for text in texts]
    known = _shapes(client, halves)
    return {name: _linked(name, half, known) for name, half in zip(names, halves, strict=True)}


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
    halves: list[bytes] = []
    for write in writes:
        half = b""
        if write.merged is not None:
            half, shape = pack_merged(write.merged)
            used.append(shape)
        halves.append(half)
        args += [_part(write.name.target), member_of(write.name)]
        args += [f"{write.expected:08x}", half, len(write.refs), len(write.serials)]
        args += [*map(key_of, write.refs), *write.serials]
    seconds = "" if lease_seconds is None else round(lease_seconds * 1000)
    number = "" if set_number is None else set_number
    wanted = list(dict.fromkeys(name for write in writes for name in write.wanted or ()))
    head = [token, seconds, number, len(wanted), *map(key_of, wanted), *shapes.arguments(used)]
    replies, texts = scripts.COMMIT(client, [*head, *args])
    found = _links(client, wanted, texts) if texts else {}
    for write, half, reply in zip(writes, halves, replies, strict=True):
        if write.merged is not None and reply[0] == 0 and len(reply) == _LEASED:
            _remember(half, write.merged)
    known = _shapes(client, [reply[4] for reply in replies if len(reply) > _LEASED])
    return [
        _written(write, token, reply, known, found)
        for write, reply in zip(writes, replies, strict=True)
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
    wanted = [_part(target), limit, token, round(lease_seconds * 1000), int(probing)]
    return _leased(client, target, token, scripts.DUE(client, wanted))


def renew(client: Redis, lease: Lease, lease_seconds: float) -> bool:
    """Hold a lease for `lease_seconds` from now; False when it is no longer ours."""
    args = [
        quote(lease.name.target, safe=""),
        member_of(lease.name),
        lease.token,
        round(lease_seconds * 1000),
    ]
    return bool(scripts.RENEW(client, args))


def intend(client: Redis, lease: Lease, told: Delivered) -> bool:
    """Write down what is about to be sent, so that whoever comes after a crash can make the same
    call again, look for what it made, and number the next one. False when the lease is no longer
    ours."""
    half, shape = pack_delivered(told)
    name = lease.name
    args: list[str | bytes | int] = [_part(name.target), member_of(name), lease.token]
    args += [f"{told.generation:08x}", half, *shapes.arguments([shape])]
    return bool(scripts.INTEND(client, args))


def release(client: Redis, releases: Sequence[Release]) -> list[bool]:
    """End deliveries: store what the CRM was told and take the records off the dirty list, unless
    they have moved on. False for one whose lease was lost: nothing is stored, it is in doubt."""
    if not releases:
        return []
    ended, _ = _release(client, releases, ["", 0, "", 0])
    return [bool(ours) for ours in ended]


def release_and_lease(
    client: Redis,
    releases: Sequence[Release],
    target: str,
    limit: int,
    token: str,
    lease_seconds: float,
) -> tuple[list[Lease], Micros | None]:
    """As `release` and then `lease_due`, in one step: what is released makes room within the limits
    of its target."""
    if not releases:
        return lease_due(client, target, limit, token, lease_seconds)
    wanted: list[str | int] = [_part(target), limit, token, round(lease_seconds * 1000)]
    _, found = _release(client, releases, wanted)
    return _leased(client, target, token, found)


def _release(
    client: Redis, releases: Sequence[Release], wanted: Sequence[str | int]
) -> tuple[list[int], list[Any]]:
    args: list[str | bytes | int] = []
    used: list[Shape | None] = []
    for item in releases:
        name, generation = item.lease.state.name, item.lease.state.generation
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
    head = [CALLS_KEPT, RELINK_AT_ONCE, *wanted, *shapes.arguments(used)]
    ended, found = scripts.RELEASE(client, [*head, *args])
    return ended, found


def _leased(
    client: Redis, target: str, token: str, found: Sequence[Any]
) -> tuple[list[Lease], Micros | None]:
    """What `lease_due` of the scripts has answered."""
    next_due, *parts = found
    names = [name_of(f"{_part(target)}:{member.decode()}") for member in parts[::3]]
    states = _states(client, names, parts[1::3])
    leases = [
        Lease(state, token, bool(doubt)) for state, doubt in zip(states, parts[2::3], strict=True)
    ]
    return leases, None if next_due < 0 else next_due * 1000


def touch(client: Redis, names: Sequence[Name]) -> None:
    """Make records due at once, as something new would; the dead among them too."""
    for name in names:
        scripts.TOUCH(client, [_part(name.target), member_of(name)])
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
    return bool(scripts.SETTLE(client, args))


def ensure(client: Redis, name: Name) -> bool:
    """An empty record to be created in the CRM, where nothing is known of `name` yet."""
    args = [_part(name.target), member_of(name), pack_merged(Merged())[0]]
    return bool(scripts.ENSURE(client, args))


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
    return bool(scripts.AGE(client, args))


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
                touched += scripts.TOUCH(client, [target, *members])
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
        scripts.FORGET(client, [serial, *map(key_of, names)])


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
        merged = _merged_lately.pop(parts.merged, None) or unpack_merged(parts.merged, known)
    except ShapeMissing as error:
        raise _torn(name, error) from None
    return State(name, parts.generation, merged, delivered)


_LATELY = 256
"""How many merges are remembered; one takes some kilobytes."""

_merged_lately: OrderedDict[bytes, Merged] = OrderedDict()
"""What was merged and waits for its lease, by how it is written down: it will be read next. Safe to
lose, and safe to find, for equal bytes say the same. Of a record that waits while all senders are
busy this saves what it costs to read it back."""


def _remember(half: bytes, merged: Merged) -> None:
    if len(_merged_lately) >= _LATELY:
        _merged_lately.popitem(last=False)
    _merged_lately[half] = merged


def _linked(name: Name, half: bytes, known: Mapping[bytes, Shape]) -> Link:
    try:
        return unpack_link(half, known)
    except ShapeMissing as error:
        raise _torn(name, error) from None


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


def _written(
    write: Write,
    token: str,
    reply: list[Any],
    known: Mapping[bytes, Shape],
    found: Mapping[Name, Link],
) -> Written:
    if reply[0] == 1:
        return Written(conflict=True)
    generation = int(reply[1], 16)
    if len(reply) == _LEASED or write.merged is None:
        return Written(False, generation)
    _, _, doubt, told, half = reply
    delivered = _delivered(write.name, int(told, 16), half, known)
    state = State(write.name, generation, write.merged, delivered)
    links = None if write.wanted is None else {name: found[name] for name in write.wanted}
    return Written(False, generation, Lease(state, token, doubt == 1, links))
