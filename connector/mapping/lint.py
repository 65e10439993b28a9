"""What only a whole mapping set shows to be wrong or doubtful.

Errors: a constant that its function cannot use (a table that is not there, an unknown zone), a
reference to a resource that nothing creates, records that create each other (`missing: create`),
two rules that are bound to write one field of one record from one event. Warnings: a kind of event
that the vendor does not document, `item` where there is no `each`, a name in double quotes where a
text is usual, a field that is a set in one rule and not in another. What only the vendor's
documentation shows to be doubtful is `documented`'s. Pure; `load` calls it.
"""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import TypeAlias
from zoneinfo import ZoneInfo

from connector.mapping.expressions import CONSTANT_WORDS
from connector.mapping.functions import FUNCTIONS, Context, FunctionError
from connector.mapping.rules import (
    VENDORS,
    Block,
    Computed,
    FieldRule,
    Located,
    RecordRule,
    Reference,
    matches,
)
from connector.model import Json, Problem
from connector.problems import did_you_mean

_ITEM = frozenset({"item", "index"})

_Resource: TypeAlias = tuple[str, str]  # target, resource


@dataclass(slots=True)
class Unread:
    """What is known of documents that have errors of their own.

    So that one broken rule does not make every reference to its resource look broken too.
    `everything` stands for a file of which nothing could be read.
    """

    resources: set[str] = field(default_factory=set)
    everything: bool = False

    def add(self, data: Json) -> None:
        """Notes which resources a document with errors seems to create."""
        records = data.get("records") if isinstance(data, dict) else None
        for record in records if isinstance(records, list) else ():
            resource = record.get("resource") if isinstance(record, dict) else None
            if isinstance(resource, str):
                self.resources.add(resource)

    def may_create(self, resource: str) -> bool:
        return self.everything or resource in self.resources


def errors(
    blocks: Sequence[Block],
    tables: Mapping[str, Mapping[str, Json]],
    unread: Unread,
    sources: Mapping[str, str],
    timezone: ZoneInfo,
) -> Iterator[Problem]:
    """Everything that makes the set unusable."""
    context = Context(timezone, tables, warn=lambda _: None)
    for located in _expressions(blocks):
        yield from _bad_constants(located, context)
    yield from _dangling_references(blocks, unread)
    yield from _circles(blocks)
    yield from _double_writes(blocks, sources)


def warnings(
    blocks: Sequence[Block],
    sources: Mapping[str, str],
    kinds: Mapping[str, Collection[str]],
) -> Iterator[Problem]:
    """Everything that is probably not what was meant."""
    for block in blocks:
        yield from _undocumented_kinds(block, sources, kinds)
    for located in _expressions(blocks):
        yield from _quoted_names(located)
    for record in _records(blocks):
        if record.each is None:
            yield from _items_without_each(record)
    yield from _mixed_merges(blocks)


# --- walking a set


def _records(blocks: Sequence[Block]) -> Iterator[RecordRule]:
    for block in blocks:
        yield from block.records


def _expressions(blocks: Sequence[Block]) -> Iterator[Located]:
    for record in _records(blocks):
        if record.each:
            yield record.each
        yield from _item_expressions(record)


def _item_expressions(record: RecordRule) -> Iterator[Located]:
    """The expressions of a record that are worked out for each item."""
    for part in (record.id, record.version, record.when):
        if isinstance(part, Located):
            yield part
    for rule in record.fields:
        if isinstance(rule.source, Computed):
            yield rule.source.value
        elif isinstance(rule.source, Reference):
            yield rule.source.id


# --- errors


def _bad_constants(located: Located, context: Context) -> Iterator[Problem]:
    """Arguments that are written out and can never work: a table, a zone, a form, a region."""
    for call in located.expression.calls():
        checks = FUNCTIONS[call.name].constants if call.name in FUNCTIONS else {}
        for position, check in checks.items():
            if position < len(call.arguments) and call.arguments[position]["type"] == "literal":
                try:
                    check(context, call.arguments[position]["value"])
                except FunctionError as error:
                    place = located.at(call.offset)
                    yield Problem(f"{error} in `{located.text}`", "", place)


def _dangling_references(blocks: Sequence[Block], unread: Unread) -> Iterator[Problem]:
    created: dict[str, set[str]] = defaultdict(set)
    references: list[tuple[str, Reference]] = []
    for record in _records(blocks):
        if record.action == "upsert":
            created[record.target].add(record.resource)
        for rule in record.fields:
            if isinstance(rule.source, Reference):
                references.append((record.target, rule.source))
                if rule.source.missing == "create":
                    created[record.target].add(rule.source.resource)
    for target, reference in references:
        resource = reference.resource
        if resource not in created[target] and not unread.may_create(resource):
            yield Problem(
                f"a reference to {resource!r}, which nothing creates in the target {target!r}",
                did_you_mean(resource, sorted(created[target])),
                reference.place,
            )


def _circles(blocks: Sequence[Block]) -> Iterator[Problem]:
    """References by which a record that is made because another lacks it asks for that other."""
    made: dict[_Resource, dict[_Resource, Reference]] = defaultdict(dict)
    for record, reference in _creating(blocks):
        of = (record.target, record.resource)
        to = (record.target, reference.resource)
        if of != to:
            made[of].setdefault(to, reference)
        elif _same_expression(record.id, reference.id):
            yield Problem(
                f"a record of {record.resource!r} refers to itself with `missing: create`",
                "say missing: later (the default)",
                reference.place,
            )
    for of, onward in made.items():
        for to, reference in onward.items():
            if back := _way(to, of, made):
                others = ", ".join(str(made[a][b].place) for a, b in pairwise((to, *back)))
                yield Problem(
                    "`missing: create` goes in a circle: "
                    + " → ".join(resource for _, resource in (of, to, *back)),
                    f"say missing: later (the default) in one of them; see also {others}",
                    reference.place,
                )


def _creating(blocks: Sequence[Block]) -> Iterator[tuple[RecordRule, Reference]]:
    for record in _records(blocks):
        for rule in record.fields:
            if isinstance(rule.source, Reference) and rule.source.missing == "create":
                yield record, rule.source


def _way(
    start: _Resource, end: _Resource, steps: Mapping[_Resource, Collection[_Resource]]
) -> tuple[_Resource, ...]:
    """The shortest way from one resource to another, without the first; () where there is none."""
    ways: dict[_Resource, tuple[_Resource, ...]] = {start: ()}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for there in steps.get(here, ()):
            if there not in ways:
                ways[there] = (*ways[here], there)
                waiting.append(there)
    return ways.get(end, ())


def _double_writes(blocks: Sequence[Block], sources: Mapping[str, str]) -> Iterator[Problem]:
    """Pairs of rules that would fail every event for which they both have a value.

    Two rules with different conditions may be meant for different events: whether they meet is
    seen when an event comes.
    """
    rules = [(block, record) for block in blocks for record in block.records]
    for (block, record), (later_block, later) in combinations(rules, 2):
        if (
            _same_record(record, later)
            and _whenever_one_then_other(record.when, later.when)
            and _share_events(block, later_block, sources)
        ):
            first = {rule.name: rule for rule in record.fields}
            for rule in later.fields:
                if rule.name in first:
                    yield _double_write(rule, first[rule.name], later.resource)


def _double_write(rule: FieldRule, first: FieldRule, resource: str) -> Problem:
    return Problem(
        f"the field {rule.name!r} of one record of {resource!r} is written by two rules",
        f"the other stands at {first.place}: keep one, or give both a `when`",
        rule.place,
    )


def _same_record(one: RecordRule, other: RecordRule) -> bool:
    return (
        (one.target, one.resource) == (other.target, other.resource)
        and _same_expression(one.id, other.id)
        and _same_expression(one.each, other.each)
    )


def _same_expression(one: Located | None, other: Located | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.expression.shape == other.expression.shape


def _whenever_one_then_other(one: Located | bool, other: Located | bool) -> bool:
    if one is False or other is False:
        return False
    if isinstance(one, Located) and isinstance(other, Located):
        return _same_expression(one, other)
    return True


def _share_events(one: Block, other: Block, sources: Mapping[str, str]) -> bool:
    if one.source != other.source and not (
        _is_of_kind(one.source, other.source, sources)
        or _is_of_kind(other.source, one.source, sources)
    ):
        return False
    return any(_meet(first, second) for first in one.events for second in other.events)


def _is_of_kind(source: str, kind: str, sources: Mapping[str, str]) -> bool:
    return kind in VENDORS and source not in VENDORS and sources.get(source) == kind


def _meet(one: str, other: str) -> bool:
    """Whether any kind fits both patterns. With a `*` in both only their ends can contradict."""
    if "*" not in one:
        return matches(other, one)
    if "*" not in other:
        return matches(one, other)
    heads = sorted((one.split("*")[0], other.split("*")[0]), key=len)
    tails = sorted((one.split("*")[-1], other.split("*")[-1]), key=len)
    return heads[1].startswith(heads[0]) and tails[1].endswith(tails[0])


# --- warnings


def _undocumented_kinds(
    block: Block, sources: Mapping[str, str], kinds: Mapping[str, Collection[str]]
) -> Iterator[Problem]:
    vendor = block.source if block.source in VENDORS else sources.get(block.source, "")
    documented = kinds.get(vendor)
    if not documented:
        return
    for pattern, place in zip(block.events, block.event_places, strict=True):
        if not any(matches(pattern, kind) for kind in documented):
            yield Problem(
                f"{vendor} does not document {pattern!r}",
                did_you_mean(pattern, _patterns(documented) if "*" in pattern else documented),
                place,
            )


def _patterns(kinds: Collection[str]) -> list[str]:
    """The patterns that name all kinds of one object: `ticket.*`, `note_*`."""
    heads = (_HEAD.match(kind) for kind in kinds)
    return [*dict.fromkeys(f"{head[0]}*" for head in heads if head), "*"]


_HEAD = re.compile(r"[a-z]+[._]")


def _quoted_names(located: Located) -> Iterator[Problem]:
    for name, offset in located.expression.suspects:
        yield Problem(
            f'"{name}" in `{located.text}` is the name of a field',
            f"a text is written '{name}'",
            located.at(offset),
        )
    for name, offset in located.expression.bare_words():
        if name.lower() in CONSTANT_WORDS:
            right = CONSTANT_WORDS[name.lower()]
            hint = f"a constant is written between backticks: `{right}`"
        elif f"| {name}" in located.text:
            hint = f"a function takes its value in brackets: {name}(…)"
        else:
            hint = f"a text is written '{name}'"
        yield Problem(
            f"{name!r} in `{located.text}` is the name of a field", hint, located.at(offset)
        )


def _items_without_each(record: RecordRule) -> Iterator[Problem]:
    for located in _item_expressions(record):
        for name in sorted(_ITEM & located.expression.first_names()):
            yield Problem(
                f"{name!r} in `{located.text}` is there only for a record with `each`",
                "add each: to the record, or name where the value is",
                located.place,
            )


def _mixed_merges(blocks: Sequence[Block]) -> Iterator[Problem]:
    first: dict[tuple[str, str, str], FieldRule] = {}
    for record in _records(blocks):
        for rule in record.fields:
            other = first.setdefault((record.target, record.resource, rule.name), rule)
            if other.is_set != rule.is_set:
                yield Problem(
                    f"the field {rule.name!r} of {record.resource!r} is a set in one rule only",
                    f"the other stands at {other.place}: say merge: set in both or in none",
                    rule.place,
                )
