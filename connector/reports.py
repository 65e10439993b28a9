"""What an operator asks, answered from Redis: the same for the command line and the dashboard.

Invariant: read-only, and true at the moment of asking: whether an event is done is not a note made
once but worked out from the records that it went into. Times are ISO 8601 UTC texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from connector import flow, journal, release
from connector.assemble import build_set
from connector.config import Config
from connector.journal import Entry
from connector.mapping import published
from connector.mapping.load import MappingSet
from connector.model import Json, Micros, Name, Place, Ref
from connector.records import store
from connector.records.state import Cell, Stamp
from connector.records.store import Standing, State
from connector.redisdb import PREFIX, Redis

PAGE = 200

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
            {**_name_json(name), **_progress(states[name], standings[name])} for name in names
        ],
        "body": body,
    }


# --- records


def record_detail(client: Redis, config: Config, state: State) -> dict[str, Json]:
    """A record's state: each field with the value, its version, and the event and mapping line
    that set it; how far the CRM is; its calls."""
    standing = store.standings(client, [state.name])[state.name]
    places = _Places(client, config)
    events_of = _EventIds(client)
    told = state.delivered
    fields = [
        {
            "field": name,
            "value": _value_json(cell),
            **_stamp_json(cell.newest, events_of),
            **places.of(cell),
            "write": cell.write,
            "delivered": name in told.digests,
        }
        for name, cell in sorted(state.merged.fields.items())
    ]
    deleted = state.merged.deleted
    return {
        **_name_json(state.name),
        "fields": fields,
        "deleted": _stamp_json(deleted, events_of) if deleted else None,
        **_progress(state, standing),
        "link": told.link,
        "exists": told.exists,
        "delivered_at": iso(told.at),
        "warnings": list(told.warnings),
        "events": [e.event.id for e in journal.headers(client, store.serials(client, state.name))],
        "calls": [call_json(line) for line in store.calls(client, state.name)],
    }


def call_json(line: bytes) -> dict[str, Json]:
    """One call as it was written down."""
    key, at, method, path, status, seconds, meaning, answer = json.loads(line)
    return {
        **_name_json(store.name_of(key)),
        "at": iso(at),
        "method": method,
        "path": path,
        "status": status,
        "seconds": seconds,
        "meaning": meaning,
        "answer": answer,
    }


def edits(client: Redis, config: Config, limit: int) -> list[dict[str, Json]]:
    """Edits of people in the CRM that were kept, the latest first: both values, and the event and
    mapping line that would have overwritten them."""
    places = _Places(client, config)
    rows = []
    for line in store.edits(client, limit):
        key, field, held, told, at, policy, rule, set_number, serial = json.loads(line)
        found = journal.headers(client, [serial])
        rows.append(
            {
                **_name_json(store.name_of(key)),
                "field": field,
                "kept": held,
                "not_written": told,
                "at": iso(at),
                "write": policy,
                "event": found[0].event.id if found else None,
                **places.at(set_number, rule),
            }
        )
    return rows


def find_records(client: Redis, config: Config, resource: str, id_: str) -> list[State]:
    """The known records of that resource and id, one for each target that has it."""
    names = [Name(target, resource, id_) for target in config.targets]
    return [state for state in store.read(client, names) if state.generation]


def _progress(state: State, standing: Standing) -> dict[str, Json]:
    """How far the CRM is with a record, and why it is not up to date."""
    told = state.delivered
    dead = told.dead if standing.dead and standing.due is None else None
    up_to_date = standing.due is None and dead is None and state.generation > 0
    return {
        "state": "dead" if dead else "done" if up_to_date else "waiting",
        "why": told.why or (dead.reason if dead else None),
        "status": dead.status if dead else None,
        "answer": dead.answer if dead else None,
        "attempts": told.attempts,
        "due": iso(standing.due),
    }


# --- the whole


def status(client: Redis, config: Config, workers: Iterable[str]) -> dict[str, Json]:
    """One screen: sources, queue, workers, targets, dead letters, and whether the mappings folder
    differs from the set in force."""
    dead = int(client.zcard(f"{PREFIX}dead"))
    return {
        "sources": [{"name": s.name, "kind": s.kind} for s in config.sources.values()],
        "events": journal.count(client),
        "queued": journal.queued(client),
        "workers": sorted(workers),
        "targets": targets(client, config),
        "dead": dead,
        "mappings": _mappings(client, config),
    }


def _mappings(client: Redis, config: Config) -> dict[str, Json]:
    """Which set is in force, and how the folder compares with it."""
    now = release.standing(config, client)
    return {
        "number": now.number or None,
        "hash": now.hash,
        "same": now.same,
        "folder": str(now),
        "errors": [problem.to_json() for problem in now.errors],
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
        if stamp.serial not in self._known:
            found = journal.headers(self._client, [stamp.serial])
            self._known[stamp.serial] = found[0].event.id if found else None
        return self._known[stamp.serial] or stamp.event


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
        return {
            "file": place.file if place else None,
            "line": place.line if place else None,
            "column": place.column if place else None,
        }
