"""Which parts of a document an expression reads, told from the expression alone.

The job: for whoever asks what is mapped, misspelt or never read. An expression is followed as the
interpreter would, with paths in the place of values; where a value is made anew (by a function, an
object, a comparison) the trail ends. The invariant: what is told is asked of every document in
which the expression gets that far; what cannot be known is left out, never guessed.

A path is the names from the root; `[]` stands for each element of a list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from connector.mapping.expressions import Expression, Node
from connector.mapping.rules import Computed, RecordRule, Reference

Path: TypeAlias = tuple[str, ...]
Spots: TypeAlias = frozenset[tuple[Path, int]]
"""Where a value may come from. The number says how many lists were built around it."""

ELEMENT = "[]"
ROOT: Spots = frozenset({((), 0)})
NOWHERE: Spots = frozenset()

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\[\]")
_HANDS_ON = frozenset({"coalesce", "default", "not_null", "reverse", "sort"})
_PICKS = frozenset({"custom", "custom_id"})  # take one element of a list of custom fields


@dataclass(frozen=True, slots=True)
class Asked:
    """A name that is looked for in one of `parents`, and the character that it stands at."""

    parents: frozenset[Path]
    name: str
    offset: int


@dataclass(frozen=True, slots=True)
class Picked:
    """One custom field that is taken of the list at `path`; `key` is the argument that names it."""

    path: Path
    key: Node


@dataclass(frozen=True, slots=True)
class Use:
    """What an expression asks of a document.

    `read` are the paths whose values it works with, each with all that is below it; `()` is the
    whole document. `result` is where its own value may come from.
    """

    asked: tuple[Asked, ...]
    picked: tuple[Picked, ...]
    read: frozenset[Path]
    result: Spots


def use_of(expression: Expression, items: Spots = NOWHERE) -> Use:
    """What an expression asks of a document; `items` is where `item` comes from."""
    follower = _Follower(items)
    result = follower.follow(expression.tree, ROOT)
    follower.consume(result)
    asked = dict.fromkeys(follower.asked)
    return Use(tuple(asked), tuple(follower.picked), frozenset(follower.read), result)


def items_of(record: RecordRule) -> Spots:
    """Where the `item` of a record comes from; nowhere without `each`."""
    return elements(use_of(record.each.expression).result) if record.each else NOWHERE


def field_uses(record: RecordRule) -> Iterator[tuple[str, Use]]:
    """What each field's expression asks, with the field's name; constants ask nothing."""
    items = items_of(record)
    for rule in record.fields:
        if isinstance(rule.source, Computed):
            yield rule.name, use_of(rule.source.value.expression, items)
        elif isinstance(rule.source, Reference):
            yield rule.name, use_of(rule.source.id.expression, items)


def uses_of(record: RecordRule) -> Iterator[Use]:
    """What every expression of a record asks, but for `when`, which only tests."""
    items = items_of(record)
    if record.each:
        yield use_of(record.each.expression)
    for part in (record.id, record.version):
        if part:
            yield use_of(part.expression, items)
    for _, use in field_uses(record):
        yield use


def elements(spots: Spots) -> Spots:
    """Where the elements of a list come from."""
    return frozenset((path, lists - 1) if lists else ((*path, ELEMENT), 0) for path, lists in spots)


def path_text(path: Path) -> str:
    """A path as JMESPath has it, but for the `[]`: `ticket.addition_fields[].value`."""
    names = (n if _PLAIN.fullmatch(n) else json.dumps(n, ensure_ascii=False) for n in path)
    return ".".join(names).replace(f".{ELEMENT}", ELEMENT)


def path_of(text: str) -> Path:
    """The path that a catalogue's text names; none of its names is in quotes."""
    return tuple(text.replace(ELEMENT, f".{ELEMENT}").split("."))


def covers(read: Path, path: Path) -> bool:
    """Whether reading one path reads the other: itself, or something within it."""
    return path[: len(read)] == read


class _Follower:
    """Follows an expression with paths for values; notes what it asks for on its way."""

    def __init__(self, items: Spots) -> None:
        self._bound: Mapping[str, Spots] = {"item": items, "index": NOWHERE}
        self.asked: list[Asked] = []
        self.picked: list[Picked] = []
        self.read: set[Path] = set()

    def follow(self, node: Node, spots: Spots) -> Spots:
        """Where the value of a node comes from, given where what it is asked of comes from."""
        found: Spots = getattr(self, f"_{node['type']}", self._made)(node, spots)
        return found

    def consume(self, spots: Spots) -> None:
        """The values there are worked with."""
        self.read |= {path for path, _ in spots}

    # --- names

    def _field(self, node: Node, spots: Spots) -> Spots:
        name = node["value"]
        if spots == ROOT and name in self._bound:
            return self._bound[name]
        parents = frozenset(path for path, lists in spots if not lists)
        if parents:
            self.asked.append(Asked(parents, name, node["start"]))
        return frozenset(((*parent, name), 0) for parent in parents)

    def _chain(self, node: Node, spots: Spots) -> Spots:
        for child in node["children"]:
            spots = self.follow(child, spots)
        return spots

    _subexpression = _index_expression = _pipe = _chain

    def _identity(self, node: Node, spots: Spots) -> Spots:
        return spots

    _current = _slice = _identity

    # --- lists

    def _index(self, node: Node, spots: Spots) -> Spots:
        return elements(spots)

    def _projection(self, node: Node, spots: Spots) -> Spots:
        left, right = node["children"]
        return _in_list(self.follow(right, elements(self.follow(left, spots))))

    def _filter_projection(self, node: Node, spots: Spots) -> Spots:
        left, right, condition = node["children"]
        each = elements(self.follow(left, spots))
        self.consume(self.follow(condition, each))
        return _in_list(self.follow(right, each))

    def _value_projection(self, node: Node, spots: Spots) -> Spots:
        self.consume(self.follow(node["children"][0], spots))
        self.follow(node["children"][1], NOWHERE)
        return NOWHERE

    def _flatten(self, node: Node, spots: Spots) -> Spots:
        found = self._chain(node, spots)
        return found | frozenset((path, lists - 1) for path, lists in found if lists)

    # --- values made of values

    def _or_expression(self, node: Node, spots: Spots) -> Spots:
        return frozenset().union(*(self.follow(child, spots) for child in node["children"]))

    _and_expression = _or_expression

    def _expref(self, node: Node, spots: Spots) -> Spots:
        return self.follow(node["children"][0], spots)

    def _function_expression(self, node: Node, spots: Spots) -> Spots:
        name, arguments = node["value"], node["children"]
        if name == "map":
            return _in_list(self._of_each(arguments[0], arguments[1], spots))
        if name in ("sort_by", "min_by", "max_by"):
            self.consume(self._of_each(arguments[1], arguments[0], spots))
            found = self.follow(arguments[0], spots)
            return found if name == "sort_by" else elements(found)
        values = [self.follow(argument, spots) for argument in arguments]
        if name == "to_array":
            return values[0] | _in_list(values[0])
        if name in _HANDS_ON:
            return frozenset().union(*values)
        if name in _PICKS and values[0]:
            self.picked += [Picked(path, arguments[1]) for path, lists in values[0] if not lists]
            values = values[1:]
        for value in values:
            self.consume(value)
        return NOWHERE

    def _of_each(self, expref: Node, listed: Node, spots: Spots) -> Spots:
        """What an &expression gives for the elements of a list."""
        return self.follow(expref, elements(self.follow(listed, spots)))

    def _made(self, node: Node, spots: Spots) -> Spots:
        """A value of its own: what it is made of is read, and the trail ends."""
        for child in node["children"] if node["type"] not in ("literal", "slice") else ():
            self.consume(self.follow(child, spots))
        return NOWHERE


def _in_list(spots: Spots) -> Spots:
    return frozenset((path, lists + 1) for path, lists in spots)
