"""What a record in the CRM should hold now, worked out from both halves: pure.

Invariant: a field goes to the CRM when its value differs from what was last delivered, when the
record is in doubt, or when the record was never delivered; else no call is made. A reference goes
only when the record that it names is in the CRM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from connector.model import Delivery, Json, Name, Ref
from connector.records.state import Delivered, digest
from connector.records.store import Lease, State

LinkOf = Callable[[State], "str | int | None"]
"""The id by which the CRM knows a record that it has; None while it does not have it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about a leased record.

    `call`: make `delivery`. `nothing`: the CRM is up to date. `wait`: hold the record back until
    the records that it needs (`missing`) are there. `create` are records that must exist first.
    `digests` are those of the whole record, to be kept once the delivery is done.
    """

    action: Literal["call", "nothing", "wait"]
    delivery: Delivery | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[Name, ...] = ()
    create: tuple[Name, ...] = ()


def references(state: State) -> list[Name]:
    """The records whose links are needed to deliver this one."""
    return [
        Name(state.name.target, cell.value.resource, cell.value.id)
        for cell in state.merged.fields.values()
        if isinstance(cell.value, Ref)
    ]


def plan(lease: Lease, links: Mapping[Name, str | int | None], *, whole: bool) -> Plan:
    """What to do about a leased record, with the ids (`links`) of the records it refers to.

    `whole`: the resource's write replaces, so a field that is no longer said must go, too.
    """
    told = lease.state.delivered
    if lease.state.merged.deleted:
        return _plan_delete(lease, told)
    fields, missing, create, held = _values(lease.state, links)
    if held:
        return Plan("wait", missing=tuple(held), create=tuple(create))
    digests = {name: digest(value) for name, value in fields.items()}
    changed = {name for name, mark in digests.items() if told.digests.get(name) != mark}
    vanished = whole and not told.digests.keys() <= digests.keys()
    if lease.doubt or vanished or not told.exists:
        changed = set(fields)
    if told.exists and not (changed or lease.doubt or vanished):
        return Plan("nothing", digests=digests, missing=tuple(missing), create=tuple(create))
    delivery = Delivery(
        lease.name, "upsert", fields, frozenset(changed), told.link, told.exists, told.calls
    )
    return Plan("call", delivery, digests, tuple(missing), tuple(create))


def _plan_delete(lease: Lease, told: Delivered) -> Plan:
    if told.gone and not lease.doubt:
        return Plan("nothing")
    delivery = Delivery(lease.name, "delete", {}, frozenset(), told.link, told.exists, told.calls)
    return Plan("call", delivery)


def _values(
    state: State, links: Mapping[Name, str | int | None]
) -> tuple[dict[str, Json], list[Name], list[Name], list[Name]]:
    """The values to send; the records not linked yet, those to be created, those to wait for."""
    fields: dict[str, Json] = {}
    missing: list[Name] = []
    create: list[Name] = []
    held: list[Name] = []
    for field_name, cell in state.merged.fields.items():
        if not isinstance(cell.value, Ref):
            fields[field_name] = cell.current()
            continue
        ref = cell.value
        wanted = Name(state.name.target, ref.resource, ref.id)
        link = links.get(wanted)
        if link is not None:
            fields[field_name] = link
            continue
        missing.append(wanted)
        if ref.missing == "create":
            create.append(wanted)
        if ref.missing == "error":
            held.append(wanted)
    return fields, missing, create, held
