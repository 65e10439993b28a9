"""What an operator asks, answered from Redis: the same for the command line and the dashboard.

Invariant: read-only, and true at the moment of asking: whether an event is done is not a note made
once but worked out from the records that it went into. Times are ISO 8601 UTC texts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from connector import flow, journal
from connector.assemble import build_set, open_sources
from connector.config import Config
from connector.edits import Edit, unpack
from connector.effects import Effect, Scene, effects, is_told, why_kept, why_not_told
from connector.errors import EventUnreadable, MappingInvalid
from connector.journal import Entry
from connector.mapping import published
from connector.mapping.load import MappingSet
from connector.model import Json, Micros, Name, Place, Ref
from connector.reconcile import Reconciler
from connector.records import store
from connector.records.desired import references
from connector.records.state import Cell, Stamp
from connector.records.store import Standing, State
from connector.redisdb import FULL_AT, PREFIX, Redis

PAGE = 200

DRIFT_EVENTS = 200
"""The latest events that `status` looks at for drift: enough to see what is new, soon done."""

WEEK = 7 * 86_400_000_000

STATES = ("queued", "done", "waiting", "unmapped", "dead")


@dataclass(frozen=True, slots=True)
class Query:
    """Which events are asked for; None means any. `limit` 0 means all."""

    state: str | None = None
    kind: str | None = None
    since: Micros | None = None
    limit: int = 100


def iso(at: Micros | None) -> str | None:
    """A time for people and programs; None for none."""
    if not at:
        return None
    moment = datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{at % 1_000_000:06d}Z"


# --- events


def events(client: Redis, query: Query) -> list[tuple[Entry, str]]:
    """The events asked for with their states, the latest received first."""
    found = (
        (entry, state)
        for entry, state in _with_states(client, _of_kind(client, query))
        if query.state in (None, state)
    )
    return list(islice(found, query.limit or None))


def _of_kind(client: Redis, query: Query) -> Iterator[Entry]:
    return (
        entry
        for entry in journal.newest_first(client, query.since)
        if query.kind in (None, entry.event.kind)
    )


def _with_states(client: Redis, entries: Iterator[Entry]) -> Iterator[tuple[Entry, str]]:
    while page := list(islice(entries, PAGE)):
        touched = [t.name for entry in page for t in entry.touched]
        standings = store.standings(client, touched)
        yield from ((entry, state_of(entry, standings)) for entry in page)


def state_of(entry: Entry, standings: Mapping[Name, Standing]) -> str:
    """queued | done | waiting | unmapped | dead. A merged event is as far as its records are:
    it waits while one of them does, for this event's words or for whatever came after them."""
    if entry.state != "merged":
        return entry.state
    told = [(standings[touched.name], touched.generation) for touched in entry.touched]
    if any(s.dead and s.due is None and s.generation < generation for s, generation in told):
        return "dead"
    waits = any(s.due is not None or s.generation < generation for s, generation in told)
    return "waiting" if waits else "done"


def event_json(entry: Entry, state: str) -> dict[str, Json]:
    """One line of `connector events --json`."""
    return {
        "id": entry.event.id,
        "source": entry.event.source,
        "kind": entry.event.kind,
        "state": state,
        "received_at": iso(entry.event.received_at),
        "records": [_name_json(t.name) for t in entry.touched],
    }


def event_detail(client: Redis, entry: Entry) -> dict[str, Json]:
    """One event with everything that became of it."""
    names = [t.name for t in entry.touched]
    standings = store.standings(client, names)
    states = {state.name: state for state in store.read(client, names)}
    held = {target: held_by(client, target) for target in {name.target for name in names}}
    try:
        body: Json = json.loads(entry.event.body)
    except (ValueError, RecursionError):
        body = entry.event.body.decode("utf-8", "replace")
    return {
        **event_json(entry, state_of(entry, standings)),
        "mapping_set": entry.set_number or None,
        "error": entry.problem.to_json() if entry.problem else None,
        "warnings": [warning.to_json() for warning in entry.warnings],
        "records": [
            {**_name_json(name), **progress(states[name], standings[name], held[name.target])}
            for name in names
        ],
        "body": body,
    }


def event_effects(reconciler: Reconciler, entry: Entry) -> tuple[int, list[dict[str, Json]]]:
    """What an event did to each field that it speaks of, and why not to others; before that the
    number of the mapping set by which this is told: the one that read the event, where it is
    still known, else the one in force."""
    client = reconciler.client
    number, mapping_set = reconciler.in_force.get(client)
    if entry.set_number not in (0, number):
        before = reconciler.in_force.numbered(client, entry.set_number)
        number, mapping_set = (entry.set_number, before) if before else (number, mapping_set)
    applied = reconciler.apply(entry, mapping_set)
    source = reconciler.sources.get(entry.event.source)
    try:
        document = source.document(entry.event) if source else None
    except EventUnreadable:
        document = None
    names = list(dict.fromkeys(Name(c.target, c.resource, c.id) for c in applied.changes))
    states = {state.name: state for state in store.read(client, names)}
    refs = [references(state.name, state.merged) for state in states.values()]
    others = set().union(*refs) - states.keys()
    states |= {state.name: state for state in store.read(client, sorted(others))}
    held = {target: held_by(client, target) for target in {name.target for name in names}}
    standings, met = store.standings(client, names), edits_of(client, names)
    scene = Scene(entry, number, mapping_set, states, standings, met, held)
    merged = entry.state == "merged"
    found = list(effects(scene, applied, document)) if merged else []
    ids = _EventIds(client)
    return number, [_effect_json(effect, ids) for effect in found]


def _effect_json(effect: Effect, ids: _EventIds) -> dict[str, Json]:
    return {
        "target": effect.target or None,
        "resource": effect.resource,
        "id": effect.id or None,
        "field": effect.field or None,
        "did": effect.did,
        "value": effect.value,
        "why": effect.why or None,
        "delivered_at": iso(effect.at),
        "by": ids.numbered(effect.by) if effect.by else None,
        **place_json(effect.place),
    }


# --- records


def record_detail(client: Redis, config: Config, state: State) -> dict[str, Json]:
    """A record's state: each field with the value, its version, and the event and mapping line
    that set it; how far the CRM is; its calls."""
    standing = store.standings(client, [state.name])[state.name]
    places = _Places(client, config)
    events_of = _EventIds(client)
    refs = references(state.name, state.merged)
    others = {other.name: other for other in store.read(client, refs)}
    told, held = state.delivered, held_by(client, state.name.target)
    fields = [
        {
            "field": name,
            "value": _value_json(cell),
            **_stamp_json(cell.newest, events_of),
            **places.of(cell),
            "write": cell.write,
            "delivered": name in told.digests,
            **_delivered_json(state, others, name, cell, held),
        }
        for name, cell in sorted(state.merged.fields.items())
    ]
    deleted = state.merged.deleted
    return {
        **_name_json(state.name),
        "fields": fields,
        "deleted": _stamp_json(deleted, events_of) if deleted else None,
        **progress(state, standing, held),
        "link": told.link,
        "exists": told.exists,
        "delivered_at": iso(told.at),
        "warnings": list(told.warnings),
        "events": [e.event.id for e in journal.headers(client, store.serials(client, state.name))],
        "calls": [call_json(line) for line in store.calls(client, state.name)],
    }


def _delivered_json(
    state: State, others: Mapping[Name, State], name: str, cell: Cell, held: str
) -> dict[str, Json]:
    """When the value of a field went out, or why it did not."""
    told = state.delivered
    at = told.times.get(name)
    if name not in told.digests or not is_told(cell, told.digests[name]):
        why = why_not_told(others, state, name, cell)
        dead = told.dead.reason if told.dead else ""
        waits = _also(told.why, held) or "not sent yet"
        return {"delivered_at": None, "note": why or dead or waits}
    return {"delivered_at": iso(at), "note": None if at else why_kept(cell)}


def call_json(line: bytes) -> dict[str, Json]:
    """One call as it was written down."""
    key, at, method, path, status, seconds, meaning, answer, *request = json.loads(line)
    return {
        **_name_json(store.name_of(key)),
        "at": iso(at),
        "method": method,
        "path": path,
        "status": status,
        "seconds": seconds,
        "meaning": meaning,
        "answer": answer,
        "request": request[0] if request else "",
    }


def edits(client: Redis, config: Config, limit: int) -> list[dict[str, Json]]:
    """Edits of people in the CRM that a delivery met, the latest first: whether they were kept or
    overwritten, both values, and the event and mapping line that did or would have done it."""
    places, ids = _Places(client, config), _EventIds(client)
    return [
        {
            **_name_json(edit.name),
            "field": edit.field,
            "fate": edit.fate,
            "theirs": edit.theirs,
            "ours": edit.ours,
            "at": iso(edit.at),
            "write": edit.write,
            "event": ids.numbered(edit.serial),
            **places.at(edit.set_number, edit.rule),
        }
        for edit in map(unpack, store.edits(client, limit))
    ]


def edits_of(client: Redis, names: Iterable[Name]) -> list[Edit]:
    """The edits that deliveries of these records met, the latest first."""
    marks = [json.dumps(store.key_of(name), ensure_ascii=False).encode() for name in names]
    lines = store.edits(client) if marks else []
    return [unpack(line) for line in lines if any(mark in line for mark in marks)]


def find_records(client: Redis, config: Config, resource: str, id_: str) -> list[State]:
    """The known records of that resource and id, one for each target that has it."""
    names = [Name(target, resource, id_) for target in config.targets]
    return [state for state in store.read(client, names) if state.generation]


def progress(state: State, standing: Standing, held: str = "") -> dict[str, Json]:
    """How far the CRM is with a record, and why it is not up to date. `held`: why nothing goes to
    its target now."""
    told = state.delivered
    dead = told.dead if standing.dead and standing.due is None else None
    up_to_date = standing.due is None and dead is None and state.generation > 0
    return {
        "state": "dead" if dead else "done" if up_to_date else "waiting",
        "why": dead.reason if dead else _also(told.why, held if standing.due else "") or None,
        "status": dead.status if dead else None,
        "answer": dead.answer if dead else None,
        "attempts": told.attempts,
        "due": iso(standing.due),
    }


def held_by(client: Redis, target: str) -> str:
    """Why nothing goes to a target now; empty while it is open."""
    now = flow.flow(client, target)
    return now.why if now.state == "open" else f"the target is {now.state}: {now.why}"


def _also(why: str, held: str) -> str:
    """A record's own reason and that of its target, each said once."""
    return held if why in held else f"{why}; {held}" if held else why


# --- the whole


def status(client: Redis, config: Config, workers: Iterable[str]) -> dict[str, Json]:
    """One screen: sources, queue, Redis, workers, targets, dead letters, whether the mappings
    folder differs from the set in force, and drift."""
    dead = int(client.zcard(f"{PREFIX}dead"))
    return {
        "sources": [{"name": s.name, "kind": s.kind} for s in config.sources.values()],
        "events": journal.count(client),
        "queued": journal.queued(client),
        "redis": _redis(client),
        "workers": sorted(workers),
        "targets": targets(client, config),
        "dead": dead,
        "mappings": _mappings(client, config),
        "drift": _drift(client, config),
    }


def _redis(client: Redis) -> dict[str, Json]:
    """How much of its memory Redis uses (bytes; `max` null where nothing limits it), and whether
    it takes no more: events then stay in the spool, until somebody gives it room."""
    memory = client.info("memory")
    used, most = int(memory["used_memory"]), int(memory.get("maxmemory") or 0)
    return {"used": used, "max": most or None, "full": 0 < most * FULL_AT <= used}


def _mappings(client: Redis, config: Config) -> dict[str, Json]:
    """Which set is in force, and how the folder compares with it."""
    from connector import release  # with it comes what a worker need not hold

    now = release.standing(config, client)
    return {
        "number": now.number or None,
        "hash": now.hash,
        "same": now.same,
        "folder": str(now),
        "errors": [problem.to_json() for problem in now.errors],
    }


def _drift(client: Redis, config: Config) -> dict[str, Json] | None:
    """How many findings `connector drift` would begin with, by their sort, among the latest events
    of the last week; None without a set in force."""
    from connector import drift  # with these comes what a worker need not hold
    from connector.observed import kept_events

    number = published.number_in_force(client)
    if number is None:
        return None
    try:
        kept_set = published.fetch(client, number, lambda kept: build_set(config, kept))
    except MappingInvalid:
        kept_set = None  # of another version of the connector
    if kept_set is None:
        return None
    since = time.time_ns() // 1000 - WEEK
    events = islice(kept_events(client, open_sources(config)), DRIFT_EVENTS)
    found = drift.find(events, kept_set, since)
    return {
        "events": found.events,
        "unread": len(found.unread),
        "new_custom_fields": len(found.new_custom_fields),
        "uncovered_values": len(found.uncovered),
        "always_null": len(found.always_null),
        "changed_custom_fields": len(found.changed_custom_fields),
    }


def targets(client: Redis, config: Config) -> list[dict[str, Json]]:
    """Each target: whether deliveries flow to it, and how many records wait."""
    rows = []
    for name in config.targets:
        now = flow.flow(client, name)
        rows.append(
            {
                "name": name,
                "state": now.state,
                "why": now.why or None,
                "since": iso(now.since),
                "waiting": store.waiting(client, name),
            }
        )
    return rows


# --- how things are said


def _name_json(name: Name) -> dict[str, Json]:
    return {"target": name.target, "resource": name.resource, "id": name.id}


def _value_json(cell: Cell) -> Json:
    value = cell.current()
    if isinstance(value, Ref):
        return {"ref": value.resource, "id": value.id}
    return value


def _stamp_json(stamp: Stamp, events_of: _EventIds) -> dict[str, Json]:
    return {
        "version": iso(stamp.version),
        "final": stamp.final,
        "event": events_of.of(stamp),
    }


class _EventIds:
    """Whole event ids by serial; the part kept in the stamp for an event no longer kept."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._known: dict[int, str | None] = {}

    def of(self, stamp: Stamp) -> str:
        return self.numbered(stamp.serial) or stamp.event

    def numbered(self, serial: int) -> str | None:
        """The id of an event by its serial; None for one no longer kept."""
        if serial not in self._known:
            found = journal.headers(self._client, [serial])
            self._known[serial] = found[0].event.id if found else None
        return self._known[serial]


class _Places:
    """Where the rule stands that set a field, in the mapping set that it was merged by."""

    def __init__(self, client: Redis, config: Config) -> None:
        self._client = client
        self._config = config
        self._sets: dict[int, MappingSet | None] = {}

    def of(self, cell: Cell) -> dict[str, Json]:
        """The place of the rule that set a field."""
        return self.at(cell.newest.set, cell.rule)

    def at(self, number: int, rule: int) -> dict[str, Json]:
        """The place of a rule of a set."""
        if number not in self._sets:
            self._sets[number] = published.fetch(
                self._client, number, lambda kept: build_set(self._config, kept)
            )
        known = self._sets[number]
        place: Place | None = None
        if known is not None and 0 <= rule < len(known.places):
            place = known.places[rule]
        return place_json(place)


def place_json(place: Place | None) -> dict[str, Json]:
    """A place in a mapping file; null where it is not known any more."""
    return {
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }
