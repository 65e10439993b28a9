"""The words of the connector as frozen data; no behaviour, no I/O, no vendor, no Redis.

Every room may import this page and `errors`; it imports nothing of the project. A value of type
`Json` is what `json.loads` gives. Times are whole microseconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, NamedTuple, TypeAlias

from connector.frozen import dataclass

Json: TypeAlias = Any
Micros: TypeAlias = int


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a file; line and column count from 1, the column in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong (or doubtful) that a person must look at, and what would have been right."""

    message: str
    hint: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}{self.message}{hint}"

    def to_json(self) -> dict[str, Json]:
        """The shape that every `--json` answer uses; unknown parts are null."""
        return {
            "message": self.message,
            "hint": self.hint or None,
            "file": self.place.file if self.place else None,
            "line": self.place.line if self.place else None,
            "column": self.place.column if self.place else None,
        }


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened at a source, as the journal keeps it.

    `body` is the vendor's JSON text holding exactly this event: CareSoft's request body as it
    came; for Mobio an envelope whose `block_event` has this one element. `problem` is set for an
    authentic event that cannot be read: it is stored all the same, as a dead letter.
    """

    source: str
    vendor: str
    id: str
    kind: str | None
    body: bytes
    received_at: Micros
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Ref:
    """A field that holds the CRM's id of another record."""

    resource: str
    id: str
    missing: Literal["later", "create", "omit", "error"] = "later"


@dataclass(frozen=True, slots=True)
class Whole:
    """A `merge: set` field told as a whole list, as of the change's version."""

    items: tuple[Json, ...]


@dataclass(frozen=True, slots=True)
class Delta:
    """A `merge: set` field told as elements added and removed."""

    add: tuple[Json, ...] = ()
    remove: tuple[Json, ...] = ()


Value: TypeAlias = "Json | Ref | Whole | Delta"
Write: TypeAlias = Literal["always", "on_create", "if_empty", "unless_edited"]


@dataclass(frozen=True, slots=True)
class Change:
    """What one event says about one record.

    `version` is None where the time of receipt counts. A field that is None (or '' where its rule
    says so) clears; a field that is absent is left alone. `write` names the fields whose policy is
    not `always`. `rules` gives for each field the number of the mapping rule that set it, an index
    into the set's `places`.
    """

    action: Literal["upsert", "delete"]
    target: str
    resource: str
    id: str
    version: Micros | None
    final: bool = False
    fields: Mapping[str, Value] = field(default_factory=dict)
    write: Mapping[str, Write] = field(default_factory=dict)
    rules: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Applied:
    """What a mapping set makes of one event. With an error, `changes` is empty."""

    status: Literal["mapped", "unmapped", "error"]
    changes: tuple[Change, ...] = ()
    warnings: tuple[Problem, ...] = ()
    error: Problem | None = None


class Name(NamedTuple):
    """The name of a record: a row in a CRM. A tuple, for it is looked up again and again."""

    target: str
    resource: str
    id: str

    def __str__(self) -> str:
        return f"{self.target}/{self.resource}/{self.id}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one record in the CRM should be, and what is known of it: the input of a target.

    `fields` is all the record should hold, references already turned into the CRM's ids.
    `changed` are those that differ from what was last delivered: all of them for a record never
    delivered or in doubt. `link` is the CRM's own id where one is known. `number` is the number of
    the next call (part of the idempotency key).

    `in_doubt`: the last write was never answered, or a worker died in it. `intended` is what was
    written down before that write. `write` names the fields whose policy is not `always`;
    `baseline` is the last outcome's. `untold` are fields that the mappings name and no event has
    told of yet. `deltas` are sets of which no whole list was ever seen; they are not in `fields`.
    `unheard` tells the last call that was not answered from any other.
    """

    name: Name
    action: Literal["upsert", "delete"]
    fields: Mapping[str, Json]
    changed: frozenset[str]
    link: str | int | None
    delivered: bool
    number: int
    in_doubt: bool = False
    intended: Json = None
    write: Mapping[str, Write] = field(default_factory=dict)
    baseline: Mapping[str, str] = field(default_factory=dict)
    untold: frozenset[str] = frozenset()
    deltas: Mapping[str, Delta] = field(default_factory=dict)
    unheard: str = ""


Meaning = Literal[
    "done",  # the CRM has it
    "refused",  # this record is wrong: a dead letter
    "fault",  # the CRM failed on it (500, 501, 505 …): its own fault or an outage, others will tell
    "not_now",  # outage, limit: again later, for the whole target
    "credentials",  # the target pauses
    "misled",  # a redirect or a wrong search: configuration, the target pauses
]


@dataclass(frozen=True, slots=True)
class CallLog:
    """One HTTP call as an operator sees it. No secrets; `answer` and `request` (the body) are
    abridged."""

    at: Micros
    method: str
    path: str
    status: int | None
    seconds: float
    meaning: str
    answer: str = ""
    request: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a delivery.

    `unknown`: the last call was sent and no answer came, so the CRM may or may not have it.
    `number` is the number of the next call. `retry_after` in seconds, where the CRM named one.

    `unlinked`: the old link leads nowhere, so `link` None means none. `baseline` gives, for the
    fields that are to be left alone once edited, a digest of what the CRM held after the delivery
    that wrote them; None where nothing new was read. `withheld` are the edits of people that were
    found and kept, with what the CRM holds. `sets` are the whole lists that `deltas` came to.
    `sent` are the fields that were written; `replaced` tells of those that the CRM was seen to hold
    something else in just before, what that was.
    `unheard` tells the last call that was not answered from any other.
    """

    meaning: Meaning
    number: int
    link: str | int | None = None
    unknown: bool = False
    status: int | None = None
    reason: str = ""
    answer: Json = None
    retry_after: float | None = None
    calls: tuple[CallLog, ...] = ()
    warnings: tuple[str, ...] = ()
    unlinked: bool = False
    baseline: Mapping[str, str] | None = None
    withheld: Mapping[str, Json] = field(default_factory=dict)
    sets: Mapping[str, Json] = field(default_factory=dict)
    sent: frozenset[str] = frozenset()
    replaced: Mapping[str, Json] = field(default_factory=dict)
    unheard: str = ""
