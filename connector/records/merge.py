"""Merging a change into a record: pure, and the same in any order and any number of times.

Invariant: `merge` is a join. Every field keeps the value with the greatest stamp, every element of
a set the last word on it, and a delete is final; so merging is commutative, associative and
idempotent, and a worker may merge what another has merged already, late, twice or in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from connector.model import Change, Delta, Event, Value, Whole
from connector.records.state import (
    EVENT_DIGITS,
    NO_ELEMENTS,
    Cell,
    Element,
    Merged,
    Stamp,
    canonical,
)


def stamp_of(change: Change, event: Event, serial: int, set_number: int) -> Stamp:
    """The stamp of what `event` says in `change` under the mapping set `set_number`."""
    version = event.received_at if change.version is None else change.version
    return Stamp(change.final, version, event.id[:EVENT_DIGITS], set_number, serial)


def merge(merged: Merged, change: Change, stamp: Stamp) -> Merged:
    """`merged` and what `change` says; the same object when the change says nothing new."""
    if change.action == "delete":
        return _deleted(merged, stamp)
    if merged.deleted or (merged.floor and stamp < merged.floor):
        return merged
    news: dict[str, Cell] = {}
    for name, value in change.fields.items():
        known = merged.fields.get(name)
        if known is None and not isinstance(value, (Delta, Whole)):
            rule, write = change.rules.get(name, 0), change.write.get(name, "always")
            # Most of what a new record is told
            news[name] = Cell(value, stamp, rule, write, NO_ELEMENTS)
        elif (cell := _told(known, name, value, change, stamp)) is not None:
            news[name] = cell
    return Merged({**merged.fields, **news}, floor=merged.floor) if news else merged


def join(one: Merged, other: Merged) -> Merged:
    """Both records' words in one; the operation that makes merging order-free."""
    if one.deleted or other.deleted:
        stamps = [stamp for stamp in (one.deleted, other.deleted) if stamp]
        return Merged({}, max(stamps))
    fields = dict(one.fields)
    for name, cell in other.fields.items():
        known = fields.get(name)
        fields[name] = cell if known is None else _join_cells(known, cell)
    floors = [stamp for stamp in (one.floor, other.floor) if stamp]
    return Merged(fields, floor=max(floors, default=None))


def without_events(merged: Merged, serials: frozenset[int]) -> Merged:
    """What is left of a record when the words of these events are taken out: the base on which a
    replay merges them anew. A delete stays."""
    if merged.deleted:
        return merged
    fields: dict[str, Cell] = {}
    for name, cell in merged.fields.items():
        elements = {t: e for t, e in cell.elements.items() if e.stamp.serial not in serials}
        keep_base = cell.stamp is not None and cell.stamp.serial not in serials
        if keep_base:
            fields[name] = replace(cell, elements=elements)
        elif elements:
            fields[name] = replace(cell, value=[], stamp=None, elements=elements)
    return replace(merged, fields=fields)


def aged(merged: Merged) -> Merged:
    """What is left of a record when all that it holds is forgotten."""
    return Merged(deleted=merged.deleted, floor=None if merged.deleted else merged.newest)


def _deleted(merged: Merged, stamp: Stamp) -> Merged:
    if merged.deleted and merged.deleted >= stamp:
        return merged
    return Merged({}, stamp)


def _told(cell: Cell | None, name: str, value: Value, change: Change, stamp: Stamp) -> Cell | None:
    """The field after the change, or None when it is as before."""
    rule, write = change.rules.get(name, 0), change.write.get(name, "always")
    if isinstance(value, Delta):
        if not (value.add or value.remove):
            return None
        told = Cell([], None, rule, write, _elements(value, stamp))
    elif isinstance(value, Whole):
        told = Cell(list(value.items), stamp, rule, write)
    else:
        told = Cell(value, stamp, rule, write)
    if cell is None:
        return told
    after = _join_cells(cell, told)
    return None if after is cell else after


def _elements(delta: Delta, stamp: Stamp) -> Mapping[str, Element]:
    """Remove wins over add of the same element in one change."""
    added = {canonical(item): Element(item, True, stamp) for item in delta.add}
    return added | {canonical(item): Element(item, False, stamp) for item in delta.remove}


def _join_cells(one: Cell, other: Cell) -> Cell:
    base = _later_base(one, other)
    words = _join_elements(one.elements, other.elements)
    if base.stamp is not None:
        # What was said before the last whole value is part of it, or was meant to be dropped.
        words = {text: e for text, e in words.items() if e.stamp > base.stamp}
    latest = max(one, other, key=_rule_order)
    joined = replace(base, elements=words, rule=latest.rule, write=latest.write)
    return one if joined == one else joined


def _later_base(one: Cell, other: Cell) -> Cell:
    if other.stamp is None or (one.stamp is not None and one.stamp > other.stamp):
        return one
    if one.stamp is None or other.stamp > one.stamp:
        return other
    # Equal stamps with unequal values come only of colliding ids; the text decides then.
    return max(one, other, key=lambda cell: repr(cell.value))


def _rule_order(cell: Cell) -> tuple[Stamp, int, str]:
    return (cell.newest, cell.rule, cell.write)


def _join_elements(one: Mapping[str, Element], other: Mapping[str, Element]) -> dict[str, Element]:
    joined = dict(one)
    for text, element in other.items():
        known = joined.get(text)
        if known is None or (element.stamp, not element.present) > (
            known.stamp,
            not known.present,
        ):
            joined[text] = element
    return joined
