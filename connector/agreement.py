"""Where mappings ask of a CRM what the configuration of its target cannot give.

The rules are those of docs/mapping-guide.md: whose field it is (`write:`) can only be known by
looking, and a call that replaces a record takes away what it does not name. Pure; part of
`connector config check`, which knows both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connector.config import ResourceConfig, TargetConfig
from connector.mapping.rules import VENDORS, Block, FieldRule, RecordRule, matches
from connector.mapping.ruleset import MappingSet
from connector.model import Problem

_PARTIAL: Mapping[str, tuple[str, ...]] = {
    "caresoft": ("user.update", "organization.update"),
    "mobio": ("note_update", "comment_update"),
}
"""Kinds that are documented to tell what has changed and nothing else (docs/events.md)."""

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Something that the target cannot do as the mapping asks; `doubtful`: only at times."""

    problem: Problem
    doubtful: bool = False


def disagreements(
    targets: Mapping[str, TargetConfig], mapping_set: MappingSet
) -> Iterator[Disagreement]:
    """Every one, in the order of the files; of what is merely doubtful one for each target."""
    lossy: dict[str, dict[str, tuple[RecordRule, str]]] = {}
    for block in mapping_set.blocks:
        for record in block.records:
            target = targets.get(record.target)
            if target is None or record.action == "delete":
                continue
            resource = target.resource(record.resource)
            if resource.read is not None or resource.upsert.search is not None:
                continue
            yield from _policies(record, resource)
            if _replaces(resource) and (what := _left_out(block, record, mapping_set)):
                lossy.setdefault(record.target, {}).setdefault(record.resource, (record, what))
    for name, resources in lossy.items():
        yield Disagreement(_replaced(name, resources), doubtful=True)


def _policies(record: RecordRule, resource: ResourceConfig) -> Iterator[Disagreement]:
    """Fields that are people's at times, in a CRM that cannot be looked at."""
    whole = resource.send == "all"
    for field in record.fields:
        if field.write == "always" or (field.write == "on_create" and not whole):
            continue
        why = f"`write: {field.write}` needs a look at what the CRM holds"
        if field.write == "on_create":
            why += " where updates send all fields"
        yield Disagreement(
            Problem(f"{why}: {_of(record)} has no `read:`", _give(record), field.place)
        )


def _replaces(resource: ResourceConfig) -> bool:
    """Whether an update takes away what it does not name. A POST or PATCH that sends all fields
    leaves others alone."""
    call = resource.upsert.update or resource.upsert.call
    return call is not None and call.method == "PUT"


def _left_out(block: Block, record: RecordRule, mapping_set: MappingSet) -> str:
    """What a record that is first seen by this rule would lose; empty where it names all."""
    others = mapping_set.fields_of(record.target, record.resource) - {f.name for f in record.fields}
    if others:
        return ", ".join(sorted(others)[:_NAMED]) + (", …" if len(others) > _NAMED else "")
    if _is_partial(block, mapping_set):
        return "what the event does not name"
    return "a set of which only an addition was told" if any(map(_is_set, record.fields)) else ""


def _is_set(field: FieldRule) -> bool:
    return field.is_set


def _replaced(target: str, resources: Mapping[str, tuple[RecordRule, str]]) -> Problem:
    (first, (record, what)), *_ = resources.items()
    are = "is" if len(resources) == 1 else "are"
    return Problem(
        f"{', '.join(resources)} of {target} {are} replaced as a whole, without `read:`: a record "
        f"that an event tells only a part of loses the rest ({first}, first seen here: {what})",
        "give `read:`, so that the rest is filled in, or update what changed (strategy patch)",
        record.place,
    )


def _is_partial(block: Block, mapping_set: MappingSet) -> bool:
    vendor = block.source if block.source in VENDORS else mapping_set.vendor_of(block.source)
    return any(
        matches(pattern, kind) for kind in _PARTIAL.get(vendor, ()) for pattern in block.events
    )


def _of(record: RecordRule) -> str:
    return f"{record.resource} of {record.target}"


def _give(record: RecordRule) -> str:
    return f"give `read:` under targets.{record.target}.resources.{record.resource}"
