"""Finding events and records for people: bounded, so that a page is quick however much is kept.

Invariant: read-only; a search looks at most `SECONDS` long, and at what it says that it looked at.
Where it stopped before the end it says so, and `cursor` goes on from there. What an index answers
(a whole id, a record, what is queued, waiting or dead) is not searched for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import quote

from connector import journal, reports
from connector.config import Config
from connector.journal import Entry
from connector.model import Micros, Name
from connector.records import store
from connector.records.store import State
from connector.redisdb import PREFIX, Redis

SECONDS = 0.3
"""How long one search may look around before it answers with what it has."""

SHOWN = 50
"""Rows of a page."""

PAGE = 500
INDEXED = 5000
"""Events that an index may name; beyond that the journal itself is searched, for they are dense."""

_FEWEST_DIGITS = 6
"""Digits that may be a part of a phone number."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are looked for; None and '' mean any.

    `text` is the id of an event or its beginning, the id of a record, or (a part of) a phone
    number. Times in microseconds; `until` is exclusive.
    """

    text: str = ""
    source: str | None = None
    kind: str | None = None
    state: str | None = None
    since: Micros | None = None
    until: Micros | None = None

    def fits(self, entry: Entry) -> bool:
        """Whether all but text and state fit."""
        event = entry.event
        return (
            self.source in (None, event.source)
            and self.kind in (None, event.kind)
            and (self.since is None or event.received_at >= self.since)
            and (self.until is None or event.received_at < self.until)
        )


@dataclass(frozen=True, slots=True)
class Events:
    """Events with their states, the latest first. `cursor`: where to go on; None at the end.

    `looked` events were looked at, back to `back_to`.
    """

    rows: tuple[tuple[Entry, str], ...]
    cursor: str | None
    looked: int
    back_to: Micros | None


@dataclass(frozen=True, slots=True)
class Records:
    """Records found; `cursor` as above, `looked` records were looked at by their id in the CRM."""

    states: tuple[State, ...]
    cursor: int = 0
    looked: int = 0


# --- events


def events(
    client: Redis,
    config: Config,
    resources: Iterable[tuple[str, str]],
    wanted: Wanted,
    cursor: str | None = None,
    limit: int = SHOWN,
) -> Events:
    """The events looked for. `resources`: every (target, resource) that a record may be of."""
    serials = _indexed(client, config, resources, wanted)
    if serials is None:
        entries = _back_from(client, wanted, cursor)
    else:
        found = journal.headers(client, serials)
        entries = iter(sorted(found, key=_order, reverse=True))
        after = _parsed(cursor)
        if after:
            entries = (entry for entry in entries if _order(entry) < after)
        wanted = Wanted("", wanted.source, wanted.kind, wanted.state, wanted.since, wanted.until)
    return _looked_through(client, entries, wanted, limit)


def _looked_through(client: Redis, entries: Iterator[Entry], wanted: Wanted, limit: int) -> Events:
    deadline = time.monotonic() + SECONDS
    rows: list[tuple[Entry, str]] = []
    looked = 0
    last: Entry | None = None
    while page := list(islice(entries, PAGE)):
        fitting = _with_text(client, [entry for entry in page if wanted.fits(entry)], wanted.text)
        names = [touched.name for entry in fitting for touched in entry.touched]
        standings = store.standings(client, names)
        for entry in fitting:
            state = reports.state_of(entry, standings)
            if wanted.state not in (None, state):
                continue
            rows.append((entry, state))
            if len(rows) == limit:
                looked += page.index(entry) + 1
                return Events(tuple(rows), _cursor(entry), looked, entry.event.received_at)
        looked += len(page)
        last = page[-1]
        if time.monotonic() > deadline:
            return Events(tuple(rows), _cursor(last), looked, last.event.received_at)
    return Events(tuple(rows), None, looked, last.event.received_at if last else None)


def _indexed(
    client: Redis, config: Config, resources: Iterable[tuple[str, str]], wanted: Wanted
) -> list[int] | None:
    """The serials of the events that an index names; None where the journal must be searched."""
    if wanted.text:
        whole = [journal.find(client, source, wanted.text) for source in config.sources]
        serials = [entry.serial for entry in whole if entry]
        if not serials:
            names = [state.name for state in by_external_id(client, resources, wanted.text)]
            serials = [serial for heard in store.serials_of(client, names) for serial in heard]
        return serials[-INDEXED:] or None
    find = _BY_STATE.get(wanted.state or "")
    return find(client, config) if find else None


def _queued(client: Redis, _: Config) -> list[int] | None:
    if journal.queued(client) > INDEXED:
        return None
    return [int(member) for member in client.smembers(f"{PREFIX}queued")]


def _dead(client: Redis, _: Config) -> list[int] | None:
    if int(client.zcard(f"{PREFIX}dead")) > INDEXED:
        return None
    members = [member.decode() for member in client.zrange(f"{PREFIX}dead", 0, -1)]
    names = [store.name_of(member[1:]) for member in members if member[0] == "r"]
    serials = {int(member[1:]) for member in members if member[0] == "e"}
    return list(serials.union(*store.serials_of(client, names)))


def _waiting(client: Redis, config: Config) -> list[int] | None:
    if sum(store.waiting(client, target) for target in config.targets) > INDEXED:
        return None
    names = [
        store.name_of(f"{quote(target, safe='')}:{member.decode()}")
        for target in config.targets
        for member in client.zrange(f"{PREFIX}dirty:{quote(target, safe='')}", 0, -1)
    ]
    return list(set[int]().union(*store.serials_of(client, names)))


_BY_STATE = {"queued": _queued, "dead": _dead, "waiting": _waiting}
"""States that few events are in, most of the time."""


def _with_text(client: Redis, entries: Sequence[Entry], text: str) -> list[Entry]:
    """Those whose id begins with the text, or whose body holds it as a phone number."""
    if not text:
        return list(entries)
    found = {entry.serial for entry in entries if entry.event.id.startswith(text)}
    digits = _digits(text)
    if digits:
        rest = [entry.serial for entry in entries if entry.serial not in found]
        for entry in journal.load(client, rest):
            if digits in entry.event.body.translate(None, b" .-()"):
                found.add(entry.serial)
    return [entry for entry in entries if entry.serial in found]


def _digits(text: str) -> bytes:
    """The digits of a phone number that every way to write it has: neither 0 nor +84 before them.
    Empty where the text is none."""
    if not re.fullmatch(r"\+?[\d .()-]+", text):
        return b""
    digits = re.sub(r"\D", "", text)
    core = digits.removeprefix("84") if text.startswith(("+84", "84")) else digits.removeprefix("0")
    return core.encode() if len(core) >= _FEWEST_DIGITS else b""


def _back_from(client: Redis, wanted: Wanted, cursor: str | None) -> Iterator[Entry]:
    """The journal from the cursor or `until` on, backwards, without counting over what is skipped:
    each page begins at the time that the one before it ended at."""
    after = _parsed(cursor)
    highest: str | int = "+inf" if wanted.until is None else f"({wanted.until}"
    highest = after[0] if after else highest
    lowest: str | int = "-inf" if wanted.since is None else wanted.since
    skipped = 0  # those of one and the same microsecond that were handed out already
    while True:
        members = client.zrevrangebyscore(
            f"{PREFIX}events", highest, lowest, start=skipped, num=PAGE, withscores=True
        )
        for entry in journal.headers(client, [int(member) for member, _ in members]):
            if after is None or _order(entry) < after:
                yield entry
        if len(members) < PAGE:
            return
        end = members[-1][1]
        same = sum(at == end for _, at in members)
        skipped = skipped + PAGE if end == highest else same
        highest = int(end)


def _order(entry: Entry) -> tuple[int, bytes]:
    """As Redis orders them: by time, those of one microsecond by their serial's text."""
    return entry.event.received_at, str(entry.serial).encode()


def _cursor(entry: Entry) -> str:
    return f"{entry.event.received_at}-{entry.serial}"


def _parsed(cursor: str | None) -> tuple[int, bytes] | None:
    match = re.fullmatch(r"(\d{1,17})-(\d{1,17})", cursor or "")
    return (int(match[1]), match[2].encode()) if match else None


# --- records


def by_external_id(client: Redis, resources: Iterable[tuple[str, str]], text: str) -> list[State]:
    """The records with that external id; `tickets 9999` and `tickets/9999` ask for one resource."""
    resource, mark, id_ = text.replace(" ", "/", 1).partition("/")
    names = [Name(target, name, text) for target, name in sorted(resources)]
    if mark:
        names += [Name(target, name, id_) for target, name in sorted(resources) if name == resource]
    return [state for state in store.read(client, names) if state.generation]


def records(
    client: Redis, resources: Iterable[tuple[str, str]], text: str, cursor: int = 0
) -> Records:
    """The records with that external id, or else with that id in the CRM."""
    found = [] if cursor else by_external_id(client, resources, text)
    return Records(tuple(found)) if found else _by_link(client, text, cursor)


@dataclass(slots=True)
class _Walk:
    cursor: int
    looked: int = 0
    found: list[State] = field(default_factory=list)


def _by_link(client: Redis, text: str, cursor: int) -> Records:
    """Walks over all records, for no index leads from the CRM's id to ours."""
    walk = _Walk(cursor)
    deadline = time.monotonic() + SECONDS
    while True:
        walk.cursor, looked, states = store.scan_links(client, walk.cursor, text, 2000)
        walk.looked += looked
        walk.found += states
        if walk.cursor == 0 or len(walk.found) >= SHOWN or time.monotonic() > deadline:
            break
    return Records(tuple(walk.found), walk.cursor, walk.looked)


def latest_records(client: Redis, limit: int = SHOWN) -> list[State]:
    """The records that the latest events went into."""
    names: dict[Name, None] = {}
    for entry in islice(journal.newest_first(client, page=PAGE), PAGE):
        names |= dict.fromkeys(touched.name for touched in entry.touched)
        if len(names) >= limit:
            break
    return store.read(client, list(names)[:limit])
