"""Edits that people made in the CRM and a delivery met: kept, or overwritten.

The job: what a delivery saw of the CRM's row in, one line for the list `c:edits` out, and back.
Invariant: an edit is only told where the row was read before it was written (a search's hit,
`read:`, an etag, `verify: [link]`, a reading `write:` policy); a write without a look overwrites
unseen, and nobody can tell. Pure; `reconcile` writes the lines down, `reports` reads them.

Overwritten means: the CRM held, just before the write, something that is neither what it was told
last nor what it is told now. What it was told is known by a digest only, so a value counts as ours
if any way of writing it has that digest: 25 and "25", a time in another form. Emptiness never
counts: a field that somebody emptied looks like one that the CRM's answer leaves out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo

from connector.mapping.arguments import Context, FunctionError
from connector.mapping.times import timestamp
from connector.mapping.values import scalar_text
from connector.model import Delivery, Json, Micros, Name, Outcome
from connector.records import store
from connector.records.state import Delivered, Merged, digest

Fate: TypeAlias = Literal["kept", "overwritten"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One field of one record that a person had edited in the CRM.

    `theirs` is what the CRM held, `ours` what the sources say. The rule is that of the set
    `set_number`; `serial` is the event whose value was or was not written.
    """

    name: Name
    field: str
    theirs: Json
    ours: Json
    at: Micros
    write: str
    rule: int
    set_number: int
    serial: int
    fate: Fate


def met(
    merged: Merged, told: Delivered, order: Delivery | None, outcome: Outcome, at: Micros
) -> Iterator[Edit]:
    """The edits that a delivery met. `told` is what the CRM was told before it."""
    if order is None:
        return
    for field, held in outcome.withheld.items():
        yield _edit(merged, order, field, held, at, "kept")
    for field, held in outcome.replaced.items():
        if field in merged.fields and not _is_ours(held, told, order, field):
            yield _edit(merged, order, field, held, at, "overwritten")


def _edit(merged: Merged, order: Delivery, field: str, held: Json, at: Micros, fate: Fate) -> Edit:
    cell = merged.fields[field]
    stamp = cell.newest
    ours = order.fields.get(field)
    return Edit(
        order.name, field, held, ours, at, cell.write, cell.rule, stamp.set, stamp.serial, fate
    )


def _is_ours(held: Json, told: Delivered, order: Delivery, field: str) -> bool:
    """Whether what the CRM held may be what it was told; so where that cannot be known."""
    if held in (None, "", []):
        return True
    if order.in_doubt:
        return True  # an earlier call of ours, never answered, may have written it
    before = told.digests.get(field)
    if before is None:
        # A record that was never delivered holds what others wrote; one whose digests were
        # forgotten with its age holds nobody knows what.
        return told.exists and not told.digests
    return any(digest(value) == before for value in _ways(held))


_PLAIN = Context(ZoneInfo("UTC"), {}, warn=lambda _: None)


def _ways(held: Json) -> Iterator[Json]:
    """The values that a CRM may show as this one."""
    yield held
    if isinstance(held, list):
        yield [_text(item) for item in held]
        yield [item["id"] if isinstance(item, dict) and "id" in item else item for item in held]
    if isinstance(held, dict) and "id" in held:  # a reference that is shown with its record
        yield from _ways(held["id"])
    if isinstance(held, str):
        yield from _ways_of_text(held)
    elif isinstance(held, (bool, int, float)):
        yield _text(held)
        yield bool(held)
        yield int(held)


def _ways_of_text(held: str) -> Iterator[Json]:
    yield held.replace("\r\n", "\n")
    yield held.strip()
    lowered = held.strip().lower()
    if lowered in ("true", "false"):
        yield lowered == "true"
    try:
        number = float(held)
        yield number
        yield int(number)
        yield _text(number)
    except (ValueError, OverflowError):
        pass
    try:
        yield timestamp(_PLAIN, held)
    except FunctionError:
        return
    yield held[:10]  # a date that is shown with a time


def _text(value: Json) -> Json:
    try:
        text = scalar_text(value)
    except FunctionError:
        return value
    return value if text is None else text


# --- as it is kept


def pack(edit: Edit) -> str:
    """One line of `c:edits`."""
    line = [
        store.key_of(edit.name),
        edit.field,
        edit.theirs,
        edit.ours,
        edit.at,
        edit.write,
        edit.rule,
        edit.set_number,
        edit.serial,
        edit.fate,
    ]
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def unpack(line: bytes) -> Edit:
    """The inverse of `pack`."""
    key, field, theirs, ours, at, write, rule, set_number, serial, *fate = json.loads(line)
    # Before overwritten edits were told, a line ended here.
    known: Fate = fate[0] if fate else "kept"
    return Edit(store.name_of(key), field, theirs, ours, at, write, rule, set_number, serial, known)
