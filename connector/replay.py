"""Running kept events again under one mapping set.

`Rerun` tells what the records would hold, and writes nothing; `Replay` puts that into force;
`connector.plan` shows how it would differ. So a plan and the replay after it agree.

Invariant: a record that an event of the run touched then or touches now is merged anew from all its
kept events, on top of what came from events no longer kept; so what a rule said before and no
longer says is gone, and an older value comes back. The result replaces the record only if nobody
moved it meanwhile. A delete stays, unless `rebuild` finds no kept event that deletes. What the CRM
was told is not touched: only differences go out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TypeAlias, TypeVar

from connector import journal
from connector.journal import Entry, Touched
from connector.mapping.load import MappingSet
from connector.mapping.published import Superseded
from connector.model import Applied, Name
from connector.reconcile import Merging, Reconciler, heard_of, outcome_of
from connector.records import store
from connector.records.merge import merge, stamp_of, without_events
from connector.records.state import Merged
from connector.records.store import State, Write

EVENTS = 500
"""Events read, or noted in the journal, in one step."""

RECORDS = 100
"""Records read or written in one step."""

REMEMBERED = 20_000
"""Events whose changes are remembered; beyond that the oldest are read and mapped again."""

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is being done, how much of it is, and of how much."""

T = TypeVar("T")


def silent(_what: str, _done: int, _of: int) -> None:
    """A `Progress` for nobody."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A kept event, without its body, and what the set of that number makes of it."""

    entry: Entry
    applied: Applied
    number: int

    @property
    def names(self) -> tuple[Name, ...]:
        """The records that it speaks of under this set."""
        return tuple(dict.fromkeys(Name(c.target, c.resource, c.id) for c in self.applied.changes))


@dataclass(frozen=True, slots=True)
class Remerged:
    """A record as it stands, and what it holds when its events are merged anew (`merged`).

    `news` are the events of the run that have not gone into it before; `refs` the records whose
    links it wants to hear of.
    """

    state: State
    merged: Merged
    news: tuple[int, ...]
    refs: tuple[Name, ...]

    @property
    def name(self) -> Name:
        return self.state.name


class Rerun:
    """What kept events say under one set. Reads, and writes nothing.

    Each event is read and mapped once, however many records it is in, up to `REMEMBERED` events.
    `only`: the number of the one event that runs under this set, while all others in its records
    run under the sets that they were merged by.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        number: int,
        mapping_set: MappingSet,
        *,
        only: int | None = None,
    ) -> None:
        self.number = number
        self.mapping_set = mapping_set
        self._only = only
        self._sets: dict[int, MappingSet | None] = {number: mapping_set}
        self._reconciler = reconciler
        self._client = reconciler.client
        self._known: dict[int, Heard] = {}
        self._speakers: dict[Name, list[int]] = {}

    def hear(self, serials: Sequence[int], progress: Progress = silent) -> Iterator[Heard]:
        """Run these events; those trimmed meanwhile are left out."""
        done = 0
        for page in pages(serials, EVENTS):
            for heard in self._read(page).values():
                for name in heard.names:
                    self._speakers.setdefault(name, []).append(heard.entry.serial)
                self.involve(touched.name for touched in heard.entry.touched)
                yield heard
            done += len(page)
            progress("events", done, len(serials))

    def involve(self, names: Iterable[Name]) -> None:
        """Count these records as touched, too."""
        for name in names:
            self._speakers.setdefault(name, [])

    @property
    def names(self) -> tuple[Name, ...]:
        """The records that the events heard have touched, or touch now."""
        return tuple(self._speakers)

    def put_together(self, names: Sequence[Name], *, takes_back: bool = False) -> list[Remerged]:
        """These records merged anew.

        `takes_back`: a deleted record that none of its kept events deletes comes back.
        """
        # Events first: one that is merged between the two readings is then part of the base.
        heard = store.serials_of(self._client, names)
        states = store.read(self._client, names)
        news = [
            tuple(sorted(set(self._speakers.get(name, ())).difference(before)))
            for name, before in zip(names, heard, strict=True)
        ]
        wanted = {serial for serials in (*heard, *news) for serial in serials}
        kept = self._read(sorted(wanted))
        return [
            self._merged(state, [kept[n] for n in (*before, *new) if n in kept], new, takes_back)
            for state, before, new in zip(states, heard, news, strict=True)
        ]

    def _merged(
        self, state: State, kept: Sequence[Heard], news: tuple[int, ...], takes_back: bool
    ) -> Remerged:
        name = state.name
        said = [
            (heard, change)
            for heard in kept
            for change in heard.applied.changes
            if (change.id, change.resource, change.target) == (name.id, name.resource, name.target)
        ]
        base = state.merged
        if base.deleted and takes_back and not any(c.action == "delete" for _, c in said):
            base = Merged()
        merged = without_events(base, frozenset(heard.entry.serial for heard in kept))
        for one, change in said:
            stamp = stamp_of(change, one.entry.event, one.entry.serial, one.number)
            merged = merge(merged, change, stamp)
        return Remerged(state, merged, news, heard_of(name, (change for _, change in said)))

    def _read(self, serials: Sequence[int]) -> dict[int, Heard]:
        found = {serial: self._known[serial] for serial in serials if serial in self._known}
        missing = [serial for serial in serials if serial not in found]
        for page in pages(missing, EVENTS):
            for entry in journal.load(self._client, page):
                number, mapping_set = self._set_for(entry)
                applied = self._reconciler.apply(entry, mapping_set)
                bare = replace(entry, event=replace(entry.event, body=b""))
                found[entry.serial] = self._known[entry.serial] = Heard(bare, applied, number)
        for oldest in list(islice(self._known, max(0, len(self._known) - REMEMBERED))):
            del self._known[oldest]
        return found

    def _set_for(self, entry: Entry) -> tuple[int, MappingSet]:
        number = entry.set_number
        if self._only in (None, entry.serial) or entry.state == "queued":
            return self.number, self.mapping_set
        if number not in self._sets:
            self._sets[number] = self._reconciler.in_force.numbered(self._client, number)
        own = self._sets[number]
        return (number, own) if own else (self.number, self.mapping_set)


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: events run again, records that it changed, events that failed."""

    events: int
    changed: tuple[Name, ...]
    failed: tuple[Entry, ...]


class Replay:
    """Replays under the set that is in force when it is made.

    Raises Superseded when another one comes into force meanwhile: what is done until then is whole
    under the older set, and the same replay, run again, goes over all of it.
    """

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._client = reconciler.client
        self._number, self._set = reconciler.in_force.get(reconciler.client)

    @property
    def mapping_set(self) -> MappingSet:
        """The set that the events run through."""
        return self._set

    @property
    def number(self) -> int:
        """The number of that set."""
        return self._number

    def events(self, entries: Iterable[Entry], progress: Progress = silent) -> Replayed:
        """Run these events again."""
        serials = list(dict.fromkeys(entry.serial for entry in entries))
        ran = 0
        changed: dict[Name, None] = {}
        failed: list[Entry] = []
        for page in pages(serials, REMEMBERED):
            outcomes = self._run(self._rerun(), page, changed, progress)
            for some in pages(outcomes, EVENTS):
                journal.finish(self._client, some)
            ran += len(outcomes)
            failed += [outcome for outcome in outcomes if outcome.state == "dead"]
        return Replayed(ran, tuple(changed), tuple(failed))

    def resume(self, entry: Entry) -> Entry:
        """What becomes of an event whose merging under the set `entry.begun` was cut short before
        the journal knew of it: it runs whole under the set of today, and what it said under that
        other set is taken out again. Other events keep the sets that they were merged by. The
        journal is left to the caller.
        """
        before = self._reconciler.in_force.numbered(self._client, entry.begun)
        said = self._reconciler.apply(entry, before).changes if before else ()
        names = [Name(change.target, change.resource, change.id) for change in said]
        rerun = Rerun(self._reconciler, self._number, self._set, only=entry.serial)
        rerun.involve(names)
        outcomes = self._run(rerun, [entry.serial], {}, silent)
        return outcomes[0] if outcomes else entry

    def rebuild(self, name: Name) -> bool:
        """Merge one record anew from all its kept events; takes a delete back where none of them
        deletes it. Whether anything changed."""
        changed: dict[Name, None] = {}
        self._write(self._rerun(), [name], changed, takes_back=True)
        return bool(changed)

    def _run(
        self,
        rerun: Rerun,
        serials: Sequence[int],
        changed: dict[Name, None],
        progress: Progress,
    ) -> list[Entry]:
        """Run events and write their records; their entries as they are then."""
        heard = list(rerun.hear(serials, progress))
        self._announce(heard)
        generations: dict[Name, int] = {}
        for names in pages(rerun.names, RECORDS):
            generations |= self._write(rerun, names, changed)
            progress("records", len(generations), len(rerun.names))
        return [outcome_of(one.entry, one.applied, self._number, generations) for one in heard]

    def _announce(self, heard: Sequence[Heard]) -> None:
        """Note records that an event has not been in yet before it goes into them, so that a
        replay cut short leaves nothing that the next one does not find."""
        ahead = []
        for one in heard:
            known = {touched.name for touched in one.entry.touched}
            new = tuple(Touched(name, 0) for name in one.names if name not in known)
            if new and one.entry.state != "queued":
                ahead.append(replace(one.entry, touched=one.entry.touched + new))
        for some in pages(ahead, EVENTS):
            journal.finish(self._client, some)

    def _rerun(self) -> Rerun:
        return Rerun(self._reconciler, self._number, self._set)

    def _write(
        self,
        rerun: Rerun,
        names: Sequence[Name],
        changed: dict[Name, None],
        *,
        takes_back: bool = False,
    ) -> dict[Name, int]:
        """Put records together again until nobody has moved them meanwhile; their generations.
        Those that it changed are added to `changed`."""
        generations: dict[Name, int] = {}
        pending = list(names)
        while pending:
            if self._reconciler.in_force.get(self._client)[0] != self._number:
                raise Superseded(f"mapping set {self._number} is in force no more; replay again")
            found = rerun.put_together(pending, takes_back=takes_back)
            written = store.commit(self._client, [_write(one) for one in found], "", None)
            pending = []
            for one, result in zip(found, written, strict=True):
                if result.conflict:
                    pending.append(one.name)
                    continue
                generations[one.name] = result.generation
                if _moves(one):
                    changed[one.name] = None
        return generations


def merge_events(
    reconciler: Reconciler,
    entries: Sequence[Entry],
    *,
    token: str | None = None,
    leasing: bool = True,
    in_force: tuple[int, MappingSet] | None = None,
) -> Merging:
    """`Reconciler.merge`, also for events whose merging under another set was cut short: those
    are resumed, so that nothing of that other set is left."""
    in_force = in_force or reconciler.in_force.get(reconciler.client)
    fresh = [entry for entry in entries if entry.begun in (0, in_force[0])]
    merging = reconciler.merge(fresh, token=token, leasing=leasing, in_force=in_force)
    if len(fresh) == len(entries):
        return merging
    merged = {entry.serial: entry for entry in merging.entries}
    ended = [merged.get(entry.serial) or _resumed(reconciler, entry) for entry in entries]
    return Merging(tuple(ended), merging.leases)


def _resumed(reconciler: Reconciler, entry: Entry) -> Entry:
    while True:
        try:
            return Replay(reconciler).resume(entry)
        except Superseded:
            continue  # yet another set: by that one then


def _moves(one: Remerged) -> bool:
    """Whether a record is written: it holds something else now, or its delivery was given up."""
    state = one.state
    return one.merged != state.merged or bool(state.delivered.dead) or not state.generation


def _write(one: Remerged) -> Write:
    merged = one.merged if _moves(one) else None
    return Write(one.name, one.state.generation, merged, one.news, one.refs)


def pages(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while page := list(islice(rest, size)):
        yield page
