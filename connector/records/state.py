"""What is kept of one record.

A record has two halves with one writer each, so that neither has to lock the other:

- `Merged`, what the sources say: written by whoever merges an event, if its generation is still the
  one that was read. Fields hold the newest value each, with the stamp that won.
- `Delivered`, what the CRM was told: written only by the holder of the record's lease.

How they are written down stands in `connector.records.packed`.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import field
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType

from connector import compact
from connector.frozen import dataclass
from connector.model import Delta, Json, Micros, Value, Write

EVENT_DIGITS = 20
"""How much of an event's id a stamp keeps: enough to break ties as the whole id would."""


@dataclass(frozen=True, slots=True, order=True)
class Stamp:
    """What decides between two values of one field; the greater wins.

    `final` beats any version, the later version beats the earlier, ties go to the greater event
    id, and of one event the later mapping set. `serial` is the event's number in the journal; it
    depends on arrival and therefore never decides.
    """

    final: bool
    version: Micros
    event: str
    set: int
    serial: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Element:
    """The last word on one element of a set: in it or not."""

    value: Json
    present: bool
    stamp: Stamp


NO_ELEMENTS: Mapping[str, Element] = MappingProxyType({})
"""Of a field that is no set: one for all, for most are none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One field: the last value told as a whole (`stamp` None when none was), and for a set the
    elements added and removed after it, by their canonical text."""

    value: Value
    stamp: Stamp | None
    rule: int
    write: Write = "always"
    elements: Mapping[str, Element] = field(default_factory=lambda: NO_ELEMENTS)

    @property
    def is_set(self) -> bool:
        return bool(self.elements)

    @property
    def newest(self) -> Stamp:
        """The greatest stamp that went into the field."""
        stamps = [element.stamp for element in self.elements.values()]
        return max(stamps if self.stamp is None else [self.stamp, *stamps])

    @property
    def is_delta(self) -> bool:
        """A set of which no whole list was ever seen: only what was added and removed is known."""
        return self.stamp is None

    def delta(self) -> Delta:
        """What was added and removed since the last whole list, in the order of the stamps."""
        words = sorted(self.elements.items(), key=lambda item: (item[1].stamp, item[0]))
        return Delta(
            tuple(e.value for _, e in words if e.present),
            tuple(e.value for _, e in words if not e.present),
        )

    def current(self) -> Value:
        """The value that the field has now; a set as a list: the base's order, then by stamp."""
        if not self.elements:
            return self.value
        base = self.value if isinstance(self.value, list) else []
        kept = [item for item in base if self._holds(item)]
        known = {canonical(item) for item in kept}
        added = sorted(
            (element.stamp, text)
            for text, element in self.elements.items()
            if element.present and text not in known
        )
        return kept + [self.elements[text].value for _, text in added]

    def _holds(self, item: Json) -> bool:
        element = self.elements.get(canonical(item))
        return element is None or element.present


@dataclass(frozen=True, slots=True)
class Merged:
    """What the sources say of a record. A deleted one has no fields and never gets any again.

    `floor`: what the record held was forgotten for its age, and this was the newest word on it;
    older ones count no more. Such a record is not known whole.
    """

    fields: Mapping[str, Cell] = field(default_factory=dict)
    deleted: Stamp | None = None
    floor: Stamp | None = None

    @property
    def newest(self) -> Stamp | None:
        """The greatest stamp of all that was said of the record; None of one never spoken of."""
        stamps = [cell.newest for cell in self.fields.values()]
        return max([*stamps, *filter(None, (self.deleted, self.floor))], default=None)


@dataclass(frozen=True, slots=True)
class Dead:
    """Why a record's delivery was given up, until a newer change or a person tries again."""

    reason: str
    status: int | None
    answer: Json
    since: Micros
    attempts: int


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the CRM was told of a record.

    `digests` of the delivered values by field; `exists` once a delivery was answered done; `gone`
    once a delete was. `calls` is the number of the next call. `attempts` counts deliveries since
    the last success; `why` and `since` say what a waiting record waits for. `doubt`: the last
    write was never answered; `intended` is what a create was about to send, written down before
    it. `baseline` says what the CRM held after the last delivery, of fields that people may edit.
    `times` says of each field of `digests` when its value went out, to the millisecond; one whose
    value did not, because a person's was kept, is not in it.
    `unheard` tells the last call that was not answered from any other.
    """

    generation: int = 0
    digests: Mapping[str, str] = field(default_factory=dict)
    exists: bool = False
    gone: bool = False
    link: str | int | None = None
    calls: int = 1
    attempts: int = 0
    why: str = ""
    since: Micros = 0
    at: Micros = 0
    dead: Dead | None = None
    warnings: tuple[str, ...] = ()
    doubt: bool = False
    intended: Json = None
    baseline: Mapping[str, str] = field(default_factory=dict)
    unheard: str = ""
    times: Mapping[str, Micros] = field(default_factory=dict)


_canonical = compact.writer(in_order=True)


def canonical(value: Json) -> str:
    """Text that is equal for equal JSON: sorted keys, no blanks."""
    return _canonical(value)


def digest(value: Json) -> str:
    """Forty-eight bits of a delivered value: enough to see that it changed, in eight letters."""
    return digests_of({"": value})[""]


def digests_of(values: Mapping[str, Json]) -> dict[str, str]:
    """The digest of each value, by the same names."""
    # Only texts are looked up: among numbers 1, 1.0 and True would be taken for one another
    return {
        name: _known(value) if type(value) is str and len(value) <= _SHORT else _digest(value)
        for name, value in values.items()
    }


def _digest(value: Json) -> str:
    text = _canonical(value).encode("utf-8", "surrogatepass")
    return b2a_base64(sha256(text).digest()[:6], newline=False).decode()


_SHORT = 23
"""Letters of the words that come again and again: states, priorities, names of people at work; but
not of times, which come once."""

_known = lru_cache(maxsize=1024)(_digest)  # 300 bytes each
