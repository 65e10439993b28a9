"""Running kept events again, through the set in force.

Invariant: a record that an event of the replay touched then or touches now is merged anew from all
its kept events, on top of what came from events no longer kept; so what a rule said before and no
longer says is gone, and an older value comes back. The result replaces the record only if nobody
moved it meanwhile. A delete stays, unless `rebuild` finds no kept event that deletes. What the CRM
was told is not touched: only differences go out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from connector import journal
from connector.journal import Entry
from connector.mapping.load import MappingSet
from connector.model import Applied, Name
from connector.reconcile import Reconciler, heard_of, outcome_of
from connector.records import store
from connector.records.merge import merge, stamp_of, without_events
from connector.records.state import Merged
from connector.records.store import State, Write


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: events run again, records that it changed, events that failed."""

    events: int
    changed: tuple[Name, ...]
    failed: tuple[Entry, ...]


class Replay:
    """One replay under one set. Reads and maps an event once, however many records it is in."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._client = reconciler.client
        self._number, self._set = reconciler.in_force.get(reconciler.client)
        self._applied: dict[int, tuple[Entry, Applied]] = {}

    @property
    def mapping_set(self) -> MappingSet:
        """The set that the events run through."""
        return self._set

    def events(self, entries: Sequence[Entry]) -> Replayed:
        """Run these events again."""
        changed: list[Name] = []
        failed: list[Entry] = []
        outcomes = []
        for entry in entries:
            applied = self._apply([entry.serial]).get(entry.serial)
            if applied is None:
                continue  # trimmed meanwhile
            now = [Name(c.target, c.resource, c.id) for c in applied[1].changes]
            before = [touched.name for touched in entry.touched]
            generations: dict[Name, int] = {}
            for name in dict.fromkeys(before + now):
                generations[name], moved = self._remerge(name, entry.serial if name in now else 0)
                if moved:
                    changed.append(name)
            outcome = outcome_of(entry, applied[1], self._number, generations)
            outcomes.append(outcome)
            if outcome.state == "dead":
                failed.append(outcome)
        journal.finish(self._client, outcomes)
        return Replayed(len(outcomes), tuple(dict.fromkeys(changed)), tuple(failed))

    def rebuild(self, name: Name) -> bool:
        """Merge one record anew from all its kept events; takes a delete back where none of them
        deletes it. Whether anything changed."""
        return self._remerge(name, 0, rebuild=True)[1]

    def _remerge(self, name: Name, serial: int, *, rebuild: bool = False) -> tuple[int, bool]:
        """Put the record together again until nobody has moved it meanwhile; its generation."""
        while True:
            state = store.read(self._client, [name])[0]
            serials = {*store.serials(self._client, name), *([serial] if serial else [])}
            kept = self._apply(sorted(serials))
            merged, refs = self._from_events(name, state, kept, rebuild)
            unchanged = merged == state.merged and not state.delivered.dead and state.generation
            write = Write(
                name,
                state.generation,
                None if unchanged else merged,
                (serial,) if serial else (),
                refs,
            )
            written = store.commit(self._client, [write], "", None)[0]
            if not written.conflict:
                return written.generation, not unchanged

    def _from_events(
        self,
        name: Name,
        state: State,
        kept: dict[int, tuple[Entry, Applied]],
        rebuild: bool,
    ) -> tuple[Merged, tuple[Name, ...]]:
        said = [
            (entry, change)
            for entry, applied in kept.values()
            for change in applied.changes
            if Name(change.target, change.resource, change.id) == name
        ]
        takes_back = rebuild and not any(change.action == "delete" for _, change in said)
        base = state.merged
        if base.deleted and takes_back:
            base = Merged()
        merged = without_events(base, frozenset(kept))
        for entry, change in said:
            merged = merge(
                merged, change, stamp_of(change, entry.event, entry.serial, self._number)
            )
        return merged, heard_of(name, (change for _, change in said))

    def _apply(self, serials: Iterable[int]) -> dict[int, tuple[Entry, Applied]]:
        wanted = list(serials)
        missing = [serial for serial in wanted if serial not in self._applied]
        for entry in journal.load(self._client, missing):
            applied = self._reconciler.apply(entry, self._set)
            self._applied[entry.serial] = (entry, applied)
        return {serial: self._applied[serial] for serial in wanted if serial in self._applied}
