"""What kept events really hold, beside what the vendor documents: read from the journal.

The job: kept events in, one `Sighting` for each path of their documents out, and one for each
custom field. Used by `connector mappings fields --from-journal` and by `drift`. Read-only; an event
that cannot be read is counted and passed over. Examples are as they came: whoever shows one masks
it (`sources.stand_ins`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from redis.exceptions import RedisError

from connector import journal
from connector.errors import EventUnreadable
from connector.journal import Entry
from connector.mapping.paths import ELEMENT, Path
from connector.mapping.values import is_zero
from connector.model import Event, Json, Micros
from connector.redisdb import Redis, connect
from connector.sources.base import Source

PAGE = 500
"""Events read from Redis at once."""

MOST_PATHS = 2000
"""Paths kept of one kind: an object whose keys are ids would otherwise never end."""

CUSTOM_FIELDS = "addition_fields"
"""The list that holds an object's custom fields (docs/events.md)."""

_JSON_TYPES: Mapping[type, str] = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
_OWN = frozenset({"raw", "meta"})  # what the connector adds to a document


@dataclass(frozen=True, slots=True)
class Kept:
    """An event of the journal and its document."""

    entry: Entry
    document: Mapping[str, Json]

    @property
    def event(self) -> Event:
        return self.entry.event


@dataclass(slots=True)
class Sighting:
    """One path as it was seen. `filled` events had data there: neither null, empty nor 0."""

    path: Path
    events: int = 0
    filled: int = 0
    types: set[str] = field(default_factory=set)
    example: Json = None


@dataclass(slots=True)
class CustomField:
    """One custom field of a kind of object of a source, the latest event first.

    `labels` and `types` are those it had, each with the times of the first and the last event that
    said so, and how many did.
    """

    source: str
    path: Path
    code: str
    events: int = 0
    filled: int = 0
    first: Micros = 0
    last: Micros = 0
    example: Json = None
    labels: dict[str, Span] = field(default_factory=dict)
    types: dict[str, Span] = field(default_factory=dict)


@dataclass(slots=True)
class Span:
    """How often something was said, and when for the first and the last time."""

    shown: str
    first: Micros
    last: Micros
    events: int = 1


@dataclass(slots=True)
class Seen:
    """The documents of one kind of one source, added up."""

    source: str
    kind: str
    events: int = 0
    last_event: str = ""
    paths: dict[Path, Sighting] = field(default_factory=dict)

    def add(self, kept: Kept) -> None:
        """One more document."""
        self.events += 1
        self.last_event = self.last_event or kept.event.id
        here: dict[Path, list[Json]] = {}
        for path, value in values(kept.document):
            here.setdefault(path, []).append(value)
        for path, found in here.items():
            if path not in self.paths and len(self.paths) >= MOST_PATHS:
                continue
            sighting = self.paths.setdefault(path, Sighting(path))
            sighting.events += 1
            sighting.types |= {_JSON_TYPES[type(value)] for value in found}
            told = [value for value in found if is_data(value)]
            if told:
                sighting.filled += 1
                if not is_data(sighting.example):
                    sighting.example = told[0]


def kept_events(
    client: Redis,
    sources: Mapping[str, Source],
    *,
    since: Micros | None = None,
    kind: str | None = None,
    unreadable: Counter[str] | None = None,
) -> Iterator[Kept]:
    """Kept events with their documents, the latest received first.

    `unreadable` counts by kind those that have no document.
    """
    headers = (
        entry
        for entry in journal.newest_first(client, since)
        if kind in (None, entry.event.kind) and entry.event.source in sources
    )
    while page := list(islice(headers, PAGE)):
        for entry in journal.load(client, [header.serial for header in page]):
            try:
                document = sources[entry.event.source].document(entry.event)
            except EventUnreadable:
                if unreadable is not None:
                    unreadable[entry.event.kind or ""] += 1
                continue
            yield Kept(entry, document)


class Journaled:
    """What the latest kept events hold; the journal is read when somebody first asks.

    A Redis that cannot be reached has seen nothing: what is asked here is only whether a doubt can
    be put aside.
    """

    LATEST = 5000

    def __init__(self, redis_url: str, sources: Mapping[str, Source]) -> None:
        self._redis_url = redis_url
        self._sources = sources
        self._paths: dict[tuple[str, str], set[Path]] | None = None

    def has(self, vendor: str, kinds: Collection[str], path: Path) -> bool:
        """Whether an event of one of the kinds had the path."""
        if self._paths is None:
            self._paths = self._read()
        return any(path in self._paths.get((vendor, kind), ()) for kind in kinds)

    def _read(self) -> dict[tuple[str, str], set[Path]]:
        paths: dict[tuple[str, str], set[Path]] = {}
        try:
            events = kept_events(connect(self._redis_url), self._sources)
            for (source, kind), seen in added_up(islice(events, self.LATEST)).items():
                paths.setdefault((self._sources[source].kind, kind), set()).update(seen.paths)
        except RedisError:
            return {}
        return paths


def values(document: Mapping[str, Json]) -> Iterator[tuple[Path, Json]]:
    """Every path of a document with its value, but what the connector itself added.

    An object that stands under two names (`fields` and `note`) is told under the second.
    """
    twice = {
        id(value): name
        for name, value in document.items()
        if name != "fields" and value is document.get("fields")
    }
    for name, value in document.items():
        if name in _OWN or (name == "fields" and id(value) in twice):
            continue
        yield from _values((name,), value)


def _values(path: Path, value: Json) -> Iterator[tuple[Path, Json]]:
    yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _values((*path, name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _values((*path, ELEMENT), inner)


def is_data(value: Json) -> bool:
    """Whether a value tells something: null, empty ones and 0 do not, false does."""
    return value is False or not (value in (None, "", [], {}) or is_zero(value))


class CustomFields:
    """Every custom field that documents hold, by source, place and code."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, Path, str], CustomField] = {}
        self.since: dict[tuple[str, Path], Micros] = {}

    def add(self, kept: Kept) -> None:
        """One more document; the later ones come first."""
        source, at = kept.event.source, kept.event.received_at
        for path, element in custom_elements(kept.document):
            self.since[source, path] = at
            key = (source, path, str(element["field"]))
            found = self.known.setdefault(key, CustomField(*key, first=at, last=at))
            found.events += 1
            found.first, found.last = min(found.first, at), max(found.last, at)
            if is_data(element.get("value")):
                found.filled += 1
                found.example = element["value"] if found.example is None else found.example
            label = " ".join(str(element.get("label") or "").split())
            _say(found.labels, label.casefold(), label, at)
            type_ = element.get("type")
            _say(found.types, "" if type_ is None else str(type_), str(type_), at)


def latest(spans: Mapping[str, Span]) -> str:
    """What was said last."""
    return max(spans.values(), key=lambda span: span.last).shown if spans else ""


def custom_elements(document: Mapping[str, Json]) -> Iterator[tuple[Path, Mapping[str, Json]]]:
    """The custom fields of a document, each with the path of the list that it stands in."""
    for name, value in document.items():
        listed = value.get(CUSTOM_FIELDS) if isinstance(value, dict) and name not in _OWN else None
        for element in listed if isinstance(listed, list) else ():
            if isinstance(element, dict) and isinstance(element.get("field"), str):
                yield (name, CUSTOM_FIELDS), element


def _say(spans: dict[str, Span], key: str, shown: str, at: Micros) -> None:
    """Notes what an event said; CareSoft writes one label in several ways, so by its key."""
    if not key:
        return  # an event that tells only what changed has neither label nor type
    span = spans.setdefault(key, Span(shown, at, at, 0))
    span.events += 1
    span.first, span.last = min(span.first, at), max(span.last, at)


def added_up(events: Iterable[Kept]) -> dict[tuple[str, str], Seen]:
    """The documents by source and kind."""
    seen: dict[tuple[str, str], Seen] = {}
    for kept in events:
        key = (kept.event.source, str(kept.event.kind))
        seen.setdefault(key, Seen(*key)).add(kept)
    return seen
