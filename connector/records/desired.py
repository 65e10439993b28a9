"""What a record in the CRM should hold now, worked out from both halves: pure.

Invariant: a field goes to the CRM when its value differs from what was last delivered, when the
record is in doubt, or when the record was never delivered; else no call is made. A reference goes
only when the record that it names is in the CRM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from connector.frozen import dataclass
from connector.model import Delivery, Delta, Json, Name, Ref
from connector.records.state import Delivered, Merged, digests_of
from connector.records.store import Lease, State


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


def references(name: Name, merged: Merged) -> list[Name]:
    """The records whose links are needed to deliver this one."""
    return [
        Name(name.target, cell.value.resource, cell.value.id)
        for cell in merged.fields.values()
        if isinstance(cell.value, Ref)
    ]


@dataclass(frozen=True, slots=True)
class Manners:
    """What of a resource's configuration decides on a plan.

    `replaces`: a write sends the whole record, so a field that is no longer said must go, too.
    `readable`: what the CRM holds can be read. `mapped` are all fields that the mappings write.
    """

    replaces: bool = True
    readable: bool = False
    mapped: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Wanted:
    """What a record should hold, field by field, and what stands in the way."""

    fields: dict[str, Json] = field(default_factory=dict)
    deltas: dict[str, Delta] = field(default_factory=dict)
    missing: list[Name] = field(default_factory=list)
    create: list[Name] = field(default_factory=list)
    held: list[Name] = field(default_factory=list)


def plan(lease: Lease, links: Mapping[Name, str | int | None], manners: Manners) -> Plan:
    """What to do about a leased record, with the ids (`links`) of the records it refers to."""
    told = lease.state.delivered
    doubt = lease.doubt or told.doubt
    if lease.state.merged.deleted:
        return _plan_delete(lease, told, doubt)
    wanted = _wanted(lease.state, links, manners)
    missing, create = tuple(wanted.missing), tuple(wanted.create)
    if wanted.held:
        return Plan("wait", missing=tuple(wanted.held), create=create)
    digests = digests_of(wanted.fields)
    if wanted.deltas:
        both = {name: [list(d.add), list(d.remove)] for name, d in wanted.deltas.items()}
        digests |= digests_of(both)
    changed = {name for name, mark in digests.items() if told.digests.get(name) != mark}
    vanished = manners.replaces and not told.digests.keys() <= digests.keys()
    if doubt or vanished or not told.exists:
        changed = set(digests)
    if told.exists and not (changed or doubt or vanished):
        return Plan("nothing", digests=digests, missing=missing, create=create)
    cells = lease.state.merged.fields
    delivery = Delivery(
        lease.name,
        "upsert",
        wanted.fields,
        frozenset(changed),
        told.link,
        told.exists,
        told.calls,
        in_doubt=doubt,
        intended=told.intended,
        write={name: cells[name].write for name in digests if cells[name].write != "always"},
        baseline=told.baseline,
        untold=manners.mapped - cells.keys(),
        deltas=wanted.deltas,
        unheard=told.unheard,
    )
    return Plan("call", delivery, digests, missing, create)


def _plan_delete(lease: Lease, told: Delivered, doubt: bool) -> Plan:
    if told.gone and not doubt:
        return Plan("nothing")
    delivery = Delivery(
        lease.name,
        "delete",
        {},
        frozenset(),
        told.link,
        told.exists,
        told.calls,
        in_doubt=doubt,
        intended=told.intended,
        unheard=told.unheard,
    )
    return Plan("call", delivery)


def _wanted(state: State, links: Mapping[Name, str | int | None], manners: Manners) -> _Wanted:
    wanted = _Wanted()
    for name, cell in state.merged.fields.items():
        if isinstance(cell.value, Ref):
            _add_reference(wanted, state.name.target, name, cell.value, links)
        elif cell.stamp is not None and not cell.elements:
            wanted.fields[name] = cell.value  # most fields
        elif cell.is_delta and manners.readable:
            wanted.deltas[name] = cell.delta()
        else:
            wanted.fields[name] = cell.current()
    return wanted


def _add_reference(
    wanted: _Wanted,
    target: str,
    field_name: str,
    ref: Ref,
    links: Mapping[Name, str | int | None],
) -> None:
    """The other record's id in the CRM, or what is to be done while it has none."""
    other = Name(target, ref.resource, ref.id)
    link = links.get(other)
    if link is not None:
        wanted.fields[field_name] = link
        return
    wanted.missing.append(other)
    if ref.missing == "create":
        wanted.create.append(other)
    if ref.missing == "error":
        wanted.held.append(other)
