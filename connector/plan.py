"""What an edited mapping set would change: kept events run through it, and nothing written.

Invariant: the difference shown is between the records as they stand and what a replay of the same
events would make of them (`replay.Rerun` is the same for both), in values: a record that would hold
the same by another rule or of another event does not count. A call is counted for a changed record
of which the CRM was told something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from connector import journal
from connector.config import Config
from connector.journal import Entry
from connector.mapping import published
from connector.mapping.load import MappingSet
from connector.mapping.rendering import value_to_json
from connector.model import Json, Micros, Name, Place, Problem
from connector.reconcile import Reconciler
from connector.records import store
from connector.records.state import Cell, Merged, canonical
from connector.records.store import Lease, State
from connector.redisdb import Redis
from connector.replay import RECORDS, Heard, Progress, Remerged, Rerun, pages, silent

EXAMPLES = 3
"""Examples kept of what would become of a field."""

Effect: TypeAlias = Literal["created", "changed", "deleted"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which kept events are run; None means any. `record` is a resource and an id; `limit` takes
    the latest, 0 all."""

    since: Micros | None = None
    kind: str | None = None
    record: tuple[str, str] | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """One field of one record, before and after. `had` and `has`: whether the record holds the
    field at all; one that was cleared holds None."""

    name: Name
    before: Json
    after: Json
    had: bool
    has: bool


@dataclass(frozen=True, slots=True)
class FieldEffect:
    """What would become of a field. `place` is the rule that would set it, None where none does."""

    target: str
    resource: str
    field: str
    records: int
    examples: tuple[Example, ...]
    place: Place | None


@dataclass(frozen=True, slots=True)
class Turn:
    """An event that would fare otherwise: its entry as it stands, and the error it would meet."""

    entry: Entry
    error: Problem | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would change, of `events` events. `to_replay` are the serials of those that matter:
    replaying them has the whole effect. `newly_unmapped`: events that no rule would name any more.
    """

    events: int
    created: tuple[Name, ...]
    changed: tuple[Name, ...]
    deleted: tuple[Name, ...]
    fields: tuple[FieldEffect, ...]
    newly_failing: tuple[Turn, ...]
    newly_passing: tuple[Turn, ...]
    newly_unmapped: tuple[Turn, ...]
    calls: int
    to_replay: tuple[int, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all would change."""
        return not self.to_replay


def select(client: Redis, config: Config, selection: Selection) -> list[int]:
    """The serials of the events meant, the latest first. Those that still wait in the queue are
    left out: they will run through whatever set is in force then."""
    found: list[int] = []
    for entry in _candidates(client, config, selection):
        if selection.limit and len(found) >= selection.limit:
            break
        fits = selection.kind in (None, entry.event.kind) and entry.event.received_at >= (
            selection.since or 0
        )
        if fits and entry.state != "queued":
            found.append(entry.serial)
    return list(dict.fromkeys(found))  # events that come in meanwhile move the pages


def _candidates(client: Redis, config: Config, selection: Selection) -> Iterator[Entry]:
    if selection.record is None:
        yield from journal.newest_first(client, selection.since)
        return
    names = [Name(target, *selection.record) for target in config.targets]
    heard = {serial for serials in store.serials_of(client, names) for serial in serials}
    yield from journal.headers(client, sorted(heard, reverse=True))


def plan(
    reconciler: Reconciler,
    mapping_set: MappingSet,
    serials: Sequence[int],
    progress: Progress = silent,
) -> Plan:
    """What a replay of these events under `mapping_set` would change."""
    # The number that the set would get: among one event's words the later set's count.
    number = (published.number_in_force(reconciler.client) or 0) + 1
    rerun = Rerun(reconciler, number, mapping_set)
    tally = _Tally(reconciler, rerun)
    for heard in rerun.hear(serials, progress):
        tally.event(heard)
    done = 0
    for page in pages(rerun.names, RECORDS):
        tally.records(rerun.put_together(page))
        done += len(page)
        progress("records", done, len(rerun.names))
    return tally.plan()


@dataclass(slots=True)
class _Field:
    """A field as the tally counts it; examples that look alike give way to those that do not."""

    records: int = 0
    examples: list[Example] = field(default_factory=list)
    alike: list[Example] = field(default_factory=list)
    shown: set[str] = field(default_factory=set)
    place: Place | None = None

    def add(self, example: Example, place: Place | None) -> None:
        self.records += 1
        self.place = self.place or place
        looks = canonical([example.before, example.after, example.had, example.has])
        kept = self.alike if looks in self.shown else self.examples
        if len(kept) < EXAMPLES:
            self.shown.add(looks)
            kept.append(example)

    def best(self) -> tuple[Example, ...]:
        return (*self.examples, *self.alike)[:EXAMPLES]


class _Tally:
    """Counts what events and records would come to."""

    def __init__(self, reconciler: Reconciler, rerun: Rerun) -> None:
        self._reconciler = reconciler
        self._rerun = rerun
        self._events = 0
        self._turns: dict[str, list[Turn]] = {"error": [], "mapped": [], "unmapped": []}
        self._touching: dict[int, tuple[Name, ...]] = {}
        self._news: dict[Name, tuple[int, ...]] = {}
        self._effects: dict[Effect, list[Name]] = {"created": [], "changed": [], "deleted": []}
        self._fields: dict[tuple[str, str, str], _Field] = {}
        self._calls: set[Name] = set()
        self._waiting: dict[Name, tuple[Name, ...]] = {}

    def event(self, heard: Heard) -> None:
        """Note which records an event is about, and whether it would fare otherwise."""
        entry, applied = heard.entry, heard.applied
        self._events += 1
        self._touching[entry.serial] = (*heard.names, *(t.name for t in entry.touched))
        if entry.state != _WRITTEN[applied.status]:
            self._turns[applied.status].append(Turn(entry, applied.error))

    def records(self, found: Sequence[Remerged]) -> None:
        """Note how records would differ, and whether the CRM would be told."""
        differing: list[Remerged] = []
        for one in found:
            if one.news:
                self._news[one.name] = one.news
            effect = _effect(one)
            if effect is None:
                continue
            differing.append(one)
            self._effects[effect].append(one.name)
            if effect != "deleted":
                self._compare(one)
        self._count_calls(differing)

    def plan(self) -> Plan:
        """All of it."""
        turns = self._turns
        created = set(self._effects["created"])
        # What waits for a record that would be created is told to the CRM right after it.
        follow = {name for name, missing in self._waiting.items() if created.intersection(missing)}
        return Plan(
            events=self._events,
            created=tuple(sorted(self._effects["created"])),
            changed=tuple(sorted(self._effects["changed"])),
            deleted=tuple(sorted(self._effects["deleted"])),
            fields=tuple(self._field_effects()),
            newly_failing=tuple(turns["error"]),
            newly_passing=tuple(turns["mapped"]),
            newly_unmapped=tuple(turns["unmapped"]),
            calls=len(self._calls | follow),
            to_replay=tuple(sorted(self._to_replay())),
        )

    def _compare(self, one: Remerged) -> None:
        before, after = values(one.state.merged), values(one.merged)
        for name in [*after, *(name for name in before if name not in after)]:
            had, has = name in before, name in after
            if had and has and canonical(before[name]) == canonical(after[name]):
                continue
            record = one.name
            counted = self._fields.setdefault((record.target, record.resource, name), _Field())
            example = Example(record, before.get(name), after.get(name), had, has)
            counted.add(example, self._place(one.merged.fields.get(name)))

    def _place(self, cell: Cell | None) -> Place | None:
        """Where the rule stands that would set a field; None for a rule of another set."""
        if cell is None or cell.newest.set != self._rerun.number:
            return None
        return self._rerun.mapping_set.places[cell.rule]

    def _count_calls(self, differing: Iterable[Remerged]) -> None:
        leases = [
            Lease(State(one.name, one.state.generation, one.merged, one.state.delivered), "", False)
            for one in differing
            if one.name.target in self._reconciler.targets
        ]
        for lease, decided in zip(leases, self._reconciler.decide(leases), strict=True):
            self._calls.update(decided.create)
            if decided.action == "call":
                self._calls.add(lease.name)
            elif decided.missing:
                self._waiting[lease.name] = decided.missing

    def _field_effects(self) -> Iterator[FieldEffect]:
        for (target, resource, name), counted in sorted(self._fields.items()):
            yield FieldEffect(
                target, resource, name, counted.records, counted.best(), counted.place
            )

    def _to_replay(self) -> set[int]:
        """The events that fare otherwise or are about a record that differs, and those that must
        run with them so that each of their records gets all that the plan gave it."""
        differing = {name for names in self._effects.values() for name in names}
        wanted = {turn.entry.serial for turns in self._turns.values() for turn in turns}
        wanted |= {s for s, names in self._touching.items() if not differing.isdisjoint(names)}
        fresh = wanted
        while fresh:
            names = {name for serial in fresh for name in self._touching[serial]}
            fresh = {n for name in names for n in self._news.get(name, ())} - wanted
            wanted = wanted | fresh
        return wanted


_WRITTEN: Mapping[str, str] = {**journal.UNMERGED, "mapped": "merged"}
"""How the journal calls what a mapping set says of an event."""


def values(merged: Merged) -> dict[str, Json]:
    """The fields of a record as they would be told; a reference as `{ref, id}`."""
    return {name: value_to_json(cell.current()) for name, cell in merged.fields.items()}


def _effect(one: Remerged) -> Effect | None:
    """What a replay would do to a record; None where it would hold the same as now."""
    before, after = one.state.merged, one.merged
    if after.deleted:
        return None if before.deleted else "deleted"
    if not one.state.generation:
        return "created" if one.news else None
    return "changed" if canonical(values(before)) != canonical(values(after)) else None


# --- as JSON


def plan_to_json(found: Plan) -> dict[str, Json]:
    """What `connector mappings plan --json` prints."""
    return {
        "events": found.events,
        "records": {
            "created": [_name_json(name) for name in found.created],
            "changed": [_name_json(name) for name in found.changed],
            "deleted": [_name_json(name) for name in found.deleted],
        },
        "fields": [
            {
                "target": effect.target,
                "resource": effect.resource,
                "field": effect.field,
                "records": effect.records,
                "file": effect.place.file if effect.place else None,
                "line": effect.place.line if effect.place else None,
                "examples": [
                    {
                        "id": example.name.id,
                        "before": example.before,
                        "after": example.after,
                        "had": example.had,
                        "has": example.has,
                    }
                    for example in effect.examples
                ],
            }
            for effect in found.fields
        ],
        "newly_failing": [_turn_json(turn) for turn in found.newly_failing],
        "newly_passing": [_turn_json(turn) for turn in found.newly_passing],
        "newly_unmapped": [_turn_json(turn) for turn in found.newly_unmapped],
        "calls": found.calls,
    }


def _name_json(name: Name) -> dict[str, Json]:
    return {"target": name.target, "resource": name.resource, "id": name.id}


def _turn_json(turn: Turn) -> dict[str, Json]:
    event = turn.entry.event
    return {
        "id": event.id,
        "source": event.source,
        "kind": event.kind,
        "was": turn.entry.state,
        "error": turn.error.to_json() if turn.error else None,
    }
