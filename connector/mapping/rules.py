"""A mapping set once it is read: frozen data that `apply` runs and other tools list.

A file holds one or more blocks (YAML documents); a block says of which events it speaks and holds
records; a record holds fields. Every part knows its place. Nothing here does anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from connector.mapping.expressions import Expression
from connector.model import Json, Place, Write

VENDORS = ("caresoft", "mobio")
"""The kinds of source that a block may name; any other name is a configured source's."""

Missing: TypeAlias = Literal["later", "create", "omit", "error"]


@dataclass(frozen=True, slots=True)
class Located:
    """An expression and where it stands; `inside` has the places of the functions in it."""

    expression: Expression
    place: Place
    inside: Mapping[int, Place]

    @property
    def text(self) -> str:
        return self.expression.text

    def at(self, offset: int) -> Place:
        """The place of a character of the expression, as near as is known."""
        return self.inside.get(offset, self.place)


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that no event changes; None and '' clear the field."""

    value: Json


@dataclass(frozen=True, slots=True)
class Computed:
    """The value of an expression, looked up in `values` where there are any.

    `otherwise` says what becomes of a value that is not among them; `keys` are the places of the
    keys of `values`, and of the key `values` itself under `None`.
    """

    value: Located
    values: Mapping[str, Json] | None = None
    otherwise: Literal["error", "keep", "skip"] | Constant = "error"
    keys: Mapping[str | None, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reference:
    """The id of another record of the same target."""

    resource: str
    id: Located
    missing: Missing
    place: Place


@dataclass(frozen=True, slots=True)
class FieldRule:
    """One field of a record. `number` is unique in the set, `place` is that of the field's name.

    `empty` is what a cleared field is sent as. `is_set` is `merge: set`.
    """

    name: str
    number: int
    place: Place
    source: Constant | Computed | Reference
    write: Write = "always"
    empty: Literal[""] | None = None
    null_clears: bool = False
    is_set: bool = False


@dataclass(frozen=True, slots=True)
class RecordRule:
    """One entry of `records:`. `when` is a constant where the file says true or false."""

    target: str
    resource: str
    action: Literal["upsert", "delete"]
    place: Place
    id: Located
    version: Located | None
    when: Located | bool
    each: Located | None
    final: bool
    fields: tuple[FieldRule, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """One entry of a test's `expect:`: the keys that must be equal, as written, and its place."""

    wanted: Mapping[str, Json]
    place: Place


@dataclass(frozen=True, slots=True)
class TestBlock:
    """One entry of `tests:`. `source` is what its block names, `event` is a vendor's body."""

    name: str
    source: str
    event: Json
    expect: tuple[Expected, ...]
    place: Place

    __test__ = False  # pytest takes classes named Test… for its own


@dataclass(frozen=True, slots=True)
class Block:
    """One YAML document of a mapping file. `events` are kinds, in which `*` stands for anything."""

    source: str
    events: tuple[str, ...]
    event_places: tuple[Place, ...]
    records: tuple[RecordRule, ...]
    tests: tuple[TestBlock, ...]
    place: Place

    def covers(self, source: str, vendor: str) -> bool:
        """Whether the block speaks of a source; a kind of source comes before a source's name."""
        return self.source == (vendor if self.source in VENDORS else source)

    def names(self, kind: str) -> bool:
        """Whether the block speaks of a kind of event."""
        return any(matches(pattern, kind) for pattern in self.events)


@dataclass(frozen=True, slots=True)
class Rule:
    """One field of the set, for whoever lists what is mapped.

    `expression` is the text of the field's expression (of a reference: of its id), None for a
    constant. `refers_to` is the resource of a reference. `place` is that of the field's name.
    """

    number: int
    file: str
    source: str
    events: tuple[str, ...]
    target: str
    resource: str
    field: str
    expression: str | None
    refers_to: str | None
    write: Write
    is_set: bool
    place: Place


def matches(pattern: str, kind: str) -> bool:
    """Whether a pattern of `events:` names a kind: only `*` is special, and case counts."""
    if "*" not in pattern:
        return pattern == kind
    parts = (re.escape(part) for part in pattern.split("*"))
    return re.fullmatch(".*".join(parts), kind, re.DOTALL) is not None


def describe(field: FieldRule, record: RecordRule, block: Block) -> Rule:
    """A field's rule as other tools list it."""
    source = field.source
    located = {Computed: "value", Reference: "id"}.get(type(source))
    return Rule(
        number=field.number,
        file=field.place.file,
        source=block.source,
        events=block.events,
        target=record.target,
        resource=record.resource,
        field=field.name,
        expression=getattr(source, located).text if located else None,
        refers_to=source.resource if isinstance(source, Reference) else None,
        write=field.write,
        is_set=field.is_set,
        place=field.place,
    )
