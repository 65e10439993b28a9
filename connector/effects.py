"""What one event did to each field that it speaks of, and for every other field why it did not.

The job: an event, what a mapping set makes of it, and its records as they stand, in; one `Effect`
for each field out. Nothing is kept for this: it is worked out when somebody asks, from the stamps
of the records and the times at which values went out. Pure; `reports` reads what it needs.

Invariant: what is told is true of the records as they stand. Of a value that another event has
replaced meanwhile it is only known that it was there, not whether the CRM ever heard it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from connector.edits import Edit
from connector.journal import Entry
from connector.mapping.explain import left_alone, skipped
from connector.mapping.rendering import value_to_json
from connector.mapping.ruleset import MappingSet
from connector.model import Applied, Change, Json, Micros, Name, Place, Ref
from connector.records.merge import stamp_of
from connector.records.state import Cell, Stamp, canonical, digest
from connector.records.store import Standing, State

Did: TypeAlias = Literal[
    "changed",  # the value stands in the record, and went out
    "waiting",  # it stands in the record, and has not gone out yet
    "equal",  # the CRM had been told the same before
    "older",  # a later version was here already
    "replaced",  # it stood in the record until another event
    "kept",  # the field's `write:` policy left what the CRM holds
    "untouched",  # the rule gave no value
    "skipped",  # the rule made no record
    "deleted",  # the record is deleted, for good
    "dropped",  # another mapping set took it out again
]


@dataclass(frozen=True, slots=True)
class Effect:
    """What an event did to one field, or to a whole record where `field` is empty.

    `id` is empty for a rule that made no record. `at` is when the value went out. `by` is the
    serial of the event that is in the way.
    """

    target: str
    resource: str
    id: str
    field: str
    did: Did
    why: str
    place: Place | None
    value: Json = None
    at: Micros = 0
    by: int = 0


@dataclass(frozen=True, slots=True)
class Scene:
    """What the effects of an event are judged by. `number`: that of the set; `held`: why nothing
    goes to a target now."""

    entry: Entry
    number: int
    mapping_set: MappingSet
    states: Mapping[Name, State]
    standings: Mapping[Name, Standing]
    edits: Sequence[Edit] = ()
    held: Mapping[str, str] | None = None


def effects(
    scene: Scene, applied: Applied, document: Mapping[str, Json] | None
) -> Iterator[Effect]:
    """The effect on each field that the event speaks of, then what it leaves alone."""
    for change in applied.changes:
        yield from _of_change(scene, change)
    if document is None or applied.status != "mapped":
        return
    for alone in left_alone(scene.mapping_set, document):
        target = _target(applied, alone.resource, alone.id)
        yield Effect(
            target, alone.resource, alone.id, alone.field, "untouched", alone.reason, alone.place
        )
    for skip in skipped(scene.mapping_set, document):
        if not skip.is_other_kind:
            yield Effect("", skip.resource, "", "", "skipped", skip.reason, skip.place)


def _target(applied: Applied, resource: str, id_: str) -> str:
    return next((c.target for c in applied.changes if (c.resource, c.id) == (resource, id_)), "")


def _of_change(scene: Scene, change: Change) -> Iterator[Effect]:
    name = Name(change.target, change.resource, change.id)
    state = scene.states[name]
    stamp = stamp_of(change, scene.entry.event, scene.entry.serial, scene.number)
    if change.action == "delete":
        yield _of_delete(scene, state, stamp)
        return
    for field in change.fields:
        value = value_to_json(change.fields[field])
        did, why, at, by = _of_field(scene, state, field, value, stamp)
        place = scene.mapping_set.places[change.rules[field]]
        yield Effect(name.target, name.resource, name.id, field, did, why, place, value, at, by)


def _of_delete(scene: Scene, state: State, stamp: Stamp) -> Effect:
    name, told, deleted = state.name, state.delivered, state.merged.deleted
    if deleted is None:
        found: tuple[Did, str] = "dropped", "the record was brought back"
    elif deleted.serial != stamp.serial:
        found = "older", "another event deleted the record"
    elif told.gone:
        found = "changed", "deleted"
    else:
        found = "waiting", _why_waiting(scene, state)
    by = deleted.serial if deleted and deleted.serial != stamp.serial else 0
    at = told.at if found[0] == "changed" else 0
    return Effect(name.target, name.resource, name.id, "", *found, None, None, at, by)


Found: TypeAlias = tuple[Did, str, Micros, int]


def _of_field(scene: Scene, state: State, field: str, value: Json, stamp: Stamp) -> Found:
    merged = state.merged
    if merged.deleted:
        return "deleted", "the record is deleted, and stays so", 0, merged.deleted.serial
    cell = merged.fields.get(field)
    if cell is None and merged.floor:
        return "dropped", "what the record held was forgotten for its age", 0, 0
    if cell is None:
        return "dropped", "a later mapping set does not write the field", 0, 0
    serials = {s.serial for s in (cell.stamp, *(e.stamp for e in cell.elements.values())) if s}
    if stamp.serial in serials:
        return _of_winner(scene, state, field, cell)
    return _of_loser(cell, value, stamp)


def _of_loser(cell: Cell, value: Json, stamp: Stamp) -> Found:
    """The field says what another event said."""
    newest = cell.newest
    same = canonical(value_to_json(cell.current())) == canonical(value)
    also = ", the same" if same else ""
    if newest.final and not stamp.final:
        return "older", f"a final value counts more{also}", 0, newest.serial
    if newest.serial > stamp.serial:
        return "replaced", f"a newer value came after it{also}", 0, newest.serial
    if newest.version == stamp.version:
        return (
            "older",
            f"the value of the same time with the greater event id{also}",
            0,
            newest.serial,
        )
    return "older", f"a value of a later time was here already{also}", 0, newest.serial


def _of_winner(scene: Scene, state: State, field: str, cell: Cell) -> Found:
    """The field says what this event said: how far it got."""
    told = state.delivered
    if field not in told.digests or not is_told(cell, told.digests[field]):
        why = why_not_told(scene.states, state, field, cell)
        return "waiting", why or _why_waiting(scene, state), 0, 0
    at = told.times.get(field)
    edit = _edit_of(scene, state.name, field)
    if at is None:
        return "kept", why_kept(cell, edit), 0, 0
    if at < scene.entry.event.received_at:
        return "equal", "the CRM had been told this value before", at, 0
    over = edit and edit.fate == "overwritten"
    return (
        "changed",
        f"over what somebody had written: {canonical(edit.theirs)}" if edit and over else "",
        at,
        0,
    )


def _edit_of(scene: Scene, name: Name, field: str) -> Edit | None:
    """What the delivery of this event's value met in the CRM, the latest."""
    serial = scene.entry.serial
    return next(
        (e for e in scene.edits if (e.name, e.field, e.serial) == (name, field, serial)), None
    )


# --- why a value is not in the CRM; `reports` asks the same of a record


def is_told(cell: Cell, mark: str) -> bool:
    """Whether a digest is that of the field's value. True where that cannot be compared: of a
    reference the other record's id was told, of a set what it came to."""
    if isinstance(cell.value, Ref) or cell.is_set or cell.is_delta:
        return True
    return digest(cell.current()) == mark


def why_not_told(states: Mapping[Name, State], state: State, field: str, cell: Cell) -> str:
    """Why the value of a field has not gone out; empty where nothing of its own is in the way."""
    if not isinstance(cell.value, Ref):
        return ""
    other = Name(state.name.target, cell.value.resource, cell.value.id)
    there = states.get(other)
    if there is not None and there.delivered.exists:
        return ""
    return f"{other.resource} {other.id} is not in the CRM yet (missing: {cell.value.missing})"


def why_kept(cell: Cell, edit: Edit | None = None) -> str:
    """Why the policy of a field kept its value from the CRM."""
    held = f": it holds {canonical(edit.theirs)}" if edit and edit.fate == "kept" else ""
    return f"write: {cell.write}: {_POLICIES.get(cell.write, 'it was not sent')}{held}"


_POLICIES: Mapping[str, str] = {
    "on_create": "only a new record is given it",
    "if_empty": "the CRM holds something already",
    "unless_edited": "somebody edited it in the CRM",
}


def _why_waiting(scene: Scene, state: State) -> str:
    told = state.delivered
    if told.dead and scene.standings[state.name].due is None:
        return f"given up: {told.dead.reason}"
    held = (scene.held or {}).get(state.name.target)
    return told.why or held or "it is not sent yet"
