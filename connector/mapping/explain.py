"""Why a mapping set makes of an event what it makes: each expression with its value.

`apply` stops at the first error and keeps only what is sent. Here every expression of every rule
for the event is worked out by itself, so that a person can be told why a rule made no record and
why a field was left alone, and so that many events together show what is never used. Pure; it
takes the same steps as `apply`, by the same functions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from connector.mapping.apply import Run, Wrong, holds
from connector.mapping.arguments import FunctionError, described
from connector.mapping.expressions import compile_expression, conditions
from connector.mapping.rules import (
    Block,
    Computed,
    FieldRule,
    Located,
    RecordRule,
    Reference,
)
from connector.mapping.ruleset import MappingSet
from connector.mapping.values import is_zero, scalar_text
from connector.model import Json, Place, Problem

Part: TypeAlias = Literal["each", "when", "id", "version", "field"]


@dataclass(frozen=True, slots=True)
class Look:
    """One expression of a rule, and what it gives for an event.

    `scope` is what it sees: the document, with the item of a record with `each`, of which `index`
    counts from 0. `rule` is set where `part` is "field". `id` is the record's, where it is known.
    `problem` is set where the expression fails: then `value` means nothing.
    """

    record: RecordRule
    part: Part
    located: Located
    scope: Mapping[str, Json] = field(repr=False)
    value: Json
    rule: FieldRule | None = None
    index: int | None = None
    id: str = ""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A rule that made no record of an event (or of one item of it), and why.

    `is_other_kind`: its block is for other events.
    """

    resource: str
    reason: str
    place: Place
    is_other_kind: bool = False


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A field that an event does not change in the record that it makes, and why."""

    resource: str
    id: str
    field: str
    reason: str
    place: Place


def looks(mapping_set: MappingSet, document: Mapping[str, Json]) -> Iterator[Look]:
    """Every expression that is worked out for an event, in the order of the files."""
    meta = document["meta"]
    for record in mapping_set.rules_for(meta["source"], meta["kind"]):
        run = Run(document, mapping_set.timezone, mapping_set.tables, record.place)
        yield from _of_record(record, run)


def skipped(mapping_set: MappingSet, document: Mapping[str, Json]) -> tuple[Skipped, ...]:
    """The rules that made no record of an event, in the order of the files.

    Rules for other sources are left out; those for other kinds of events are told.
    """
    source, kind = document["meta"]["source"], document["meta"]["kind"]
    reasons: dict[Place, list[Skipped]] = defaultdict(list)
    for look in looks(mapping_set, document):
        if reason := _why_no_record(look, mapping_set):
            item = "" if look.index is None else f"item {look.index + 1}: "
            told = Skipped(look.record.resource, item + reason, look.located.place)
            reasons[look.record.place].append(told)
    return tuple(
        told
        for block in mapping_set.blocks
        if block.covers(source, mapping_set.vendor_of(source))
        for record in block.records
        for told in _of_block(record, block, kind) or reasons[record.place]
    )


def _of_block(record: RecordRule, block: Block, kind: str | None) -> list[Skipped]:
    """Why a rule is never asked for an event, whatever it holds; nothing where it is."""
    if kind is None or not block.names(kind):
        events = ", ".join(block.events)
        reason = f"its block is for {events}, not for {kind or 'events without a kind'}"
        return [Skipped(record.resource, reason, block.event_places[0], is_other_kind=True)]
    if record.when is False:
        return [Skipped(record.resource, "`when` is false", record.place)]
    return []


def left_alone(mapping_set: MappingSet, document: Mapping[str, Json]) -> tuple[LeftAlone, ...]:
    """The fields that an event leaves alone in the records that it makes."""
    return tuple(
        LeftAlone(look.record.resource, look.id, look.rule.name, reason, look.rule.place)
        for look in looks(mapping_set, document)
        if look.rule and (reason := why_left_alone(look.rule, look))
    )


def why_left_alone(rule: FieldRule, look: Look) -> str:
    """Why a field is not in the change; empty where it is, or where the event has an error."""
    if look.problem:
        return ""
    if look.value is None:
        return "" if rule.null_clears else f"`{look.located.text}` gives null"
    source = rule.source
    if is_uncovered(look) and isinstance(source, Computed) and source.otherwise == "skip":
        return (
            f"`{look.located.text}` gives {described(look.value)}, which is not among `values`, "
            "and `otherwise` is skip"
        )
    if rule.is_set and isinstance(look.value, dict) and not any(look.value.values()):
        return f"`{look.located.text}` adds and removes nothing"
    return ""


def is_uncovered(look: Look) -> bool:
    """Whether the value is one that the rule's `values:` does not have. Of a set nothing is said:
    its elements are looked up one by one."""
    rule = look.rule
    source = rule.source if rule else None
    if not rule or not isinstance(source, Computed) or source.values is None or look.problem:
        return False
    if look.value is None or look.value == "" or rule.is_set:
        return False
    text = _text(look.value)
    return text is None or text not in source.values


def _text(value: Json) -> str | None:
    """A scalar as text; None for what has none, a number of thousands of digits included."""
    try:
        return scalar_text(value)
    except FunctionError:
        return None


# --- working out


def _of_record(record: RecordRule, run: Run) -> Iterator[Look]:
    items: list[tuple[int | None, Mapping[str, Json]]] = [(None, run.document)]
    if record.each:
        listed = _Item(record, None, run.document, run).look("each", record.each)
        yield listed
        values = listed.value if isinstance(listed.value, list) else []
        items = [(i, {**run.document, "item": v, "index": i}) for i, v in enumerate(values)]
    for index, scope in items if record.when is not False else ():
        yield from _Item(record, index, scope, run).looks()


class _Item:
    """One record that a rule may make: of an event, or of an item of its `each`."""

    __slots__ = ("_id", "_index", "_record", "_run", "_scope")

    def __init__(
        self, record: RecordRule, index: int | None, scope: Mapping[str, Json], run: Run
    ) -> None:
        self._record = record
        self._index = index
        self._scope = scope
        self._run = run
        self._id = ""

    def looks(self) -> Iterator[Look]:
        """The condition and, where it holds, everything else."""
        record = self._record
        if isinstance(record.when, Located):
            condition = self.look("when", record.when)
            yield condition
            if condition.problem or not holds(condition.value):
                return
        named = self.look("id", record.id)
        yield named
        self._id = "" if named.problem else _text(named.value) or ""
        if record.version:
            yield self.look("version", record.version)
        for rule in record.fields:
            if located := located_of(rule):
                yield self.look("field", located, rule)

    def look(self, part: Part, located: Located, rule: FieldRule | None = None) -> Look:
        """One expression with its value."""
        value: Json = None
        problem: Problem | None = None
        try:
            value = self._run.value(located, self._scope)
        except Wrong as wrong:
            problem = wrong.problem
        return Look(
            self._record, part, located, self._scope, value, rule, self._index, self._id, problem
        )


def located_of(rule: FieldRule) -> Located | None:
    """The expression of a field; None for a constant."""
    if isinstance(rule.source, Computed):
        return rule.source.value
    return rule.source.id if isinstance(rule.source, Reference) else None


# --- saying why


def _why_no_record(look: Look, mapping_set: MappingSet) -> str:
    if look.problem:
        return "" if look.rule else f"it fails: {look.problem.message}"
    if look.part == "each" and look.value in (None, []):
        return f"`each` has no items: `{look.located.text}` gives {described(look.value)}"
    if look.part != "when" or holds(look.value):
        return ""
    return f"`when` is false: {_culprit(look, mapping_set)}"


def _culprit(look: Look, mapping_set: MappingSet) -> str:
    """The condition with its value, or of several the first that does not hold."""
    run = Run(look.scope, mapping_set.timezone, mapping_set.tables, look.record.place)
    for _, text in conditions(look.located.text):
        value = run.value(Located(compile_expression(text), look.located.place, {}), look.scope)
        if not holds(value) and not is_zero(value):  # 0 is only false as the value of all
            return f"`{text}` gives {described(value)}"
    return f"`{look.located.text}` gives {described(look.value)}"
