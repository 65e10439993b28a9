"""Drift: where what the vendors send and what the mappings read have grown apart.

The job: kept events and a mapping set in, findings out, each with a count, an example without
personal data, and the line of YAML that would mend it:

- *unread*: a path that carries data and that no rule for its kind reads; a kind that nobody maps
- *new custom fields*: seen for the first time since `since`, and named by no rule
- *uncovered values*: words that a rule's `values:` does not have; the event is dead because of it
  where the rule says nothing else
- *always null*: an expression that no recent event has had a value for
- *changed custom fields*: another label or type than before

Events since `since` are judged, the latest so many; up to `OLDER` before them tell what is new or
changed. Reads the journal, changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice

from connector.mapping.explain import Look, is_uncovered, looks
from connector.mapping.paths import ELEMENT, Path, items_of, path_text, use_of
from connector.mapping.rules import Computed
from connector.mapping.ruleset import MappingSet
from connector.mapping.values import scalar_text
from connector.model import Json, Micros, Place
from connector.observed import CustomFields, Kept, Seen, Sighting, Span, latest
from connector.problems import nearest
from connector.suggestions import Writer, snake
from connector.yamlwrite import line

OLDER = 20_000
"""Earlier events that are read to know what is new."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A path that carries data and that no rule for its kinds reads; '' where no rule names them.

    `place` is the record that would take it.
    """

    source: str
    kinds: tuple[str, ...]
    path: str
    types: tuple[str, ...]
    count: int
    example: Json
    yaml: str
    resource: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class NewCustomField:
    """A custom field that was first seen at `first_seen` and that no rule names."""

    source: str
    object: str
    code: str
    label: str
    type: str
    first_seen: Micros
    count: int
    example: Json
    yaml: str
    resource: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A value that a rule's `values:` does not have; `dead` events stand still because of it."""

    resource: str
    field: str
    expression: str
    value: str
    count: int
    dead: int
    event: str
    yaml: str
    place: Place


@dataclass(frozen=True, slots=True)
class AlwaysNull:
    """An expression that gave null for all `count` events; `event` is the latest of them.

    `yaml` is the line as it stands or, where `is_renamed`, with what was probably meant.
    """

    resource: str
    field: str
    expression: str
    count: int
    event: str
    yaml: str
    is_renamed: bool
    place: Place


@dataclass(frozen=True, slots=True)
class ChangedCustomField:
    """A custom field whose label or type (`what`) is another since `changed_at`."""

    source: str
    object: str
    code: str
    what: str
    before: str
    after: str
    changed_at: Micros
    count: int
    example: Json
    yaml: str
    resource: str = ""
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """Everything that was found in `events` kept events."""

    events: int
    unread: tuple[Unread, ...] = ()
    new_custom_fields: tuple[NewCustomField, ...] = ()
    uncovered: tuple[Uncovered, ...] = ()
    always_null: tuple[AlwaysNull, ...] = ()
    changed_custom_fields: tuple[ChangedCustomField, ...] = ()


def find(events: Iterable[Kept], mapping_set: MappingSet, since: Micros, limit: int = 0) -> Drift:
    """What has drifted. `events` come the latest first; those before `since`, and where there is a
    `limit` those beyond it, only tell the past."""
    survey = _Survey(mapping_set)
    custom = CustomFields()
    stream = iter(events)
    count = 0
    older: list[Kept] = []
    for kept in stream:
        if kept.event.received_at < since or (limit and count == limit):
            older.append(kept)
            break
        count += 1
        survey.add(kept)
        custom.add(kept)
    for kept in islice(chain(older, stream), OLDER):
        custom.add(kept)
    writer = Writer(mapping_set, survey.seen)
    return Drift(
        count,
        tuple(_unread(survey, writer, custom)),
        tuple(_new(custom, writer, since)),
        tuple(_uncovered(survey)),
        tuple(_always_null(survey, writer)),
        tuple(_changed(custom, writer, since)),
    )


# --- looking


@dataclass(slots=True)
class _Word:
    """A value that is not among a rule's `values:`."""

    look: Look
    event: str
    count: int = 0
    dead: int = 0


@dataclass(slots=True)
class _Tried:
    """An expression over all recent events."""

    look: Look
    event: str
    count: int = 0
    told: int = 0
    sources: set[tuple[str, str]] = field(default_factory=set)


class _Survey:
    """What the recent events hold, and what the rules made of them."""

    def __init__(self, mapping_set: MappingSet) -> None:
        self.mapping_set = mapping_set
        self.seen: dict[tuple[str, str], Seen] = {}
        self.words: dict[tuple[int, str], _Word] = {}
        self.tried: dict[tuple[Place, str], _Tried] = {}

    def add(self, kept: Kept) -> None:
        event = kept.event
        key = (event.source, str(event.kind))
        self.seen.setdefault(key, Seen(*key)).add(kept)
        for look in looks(self.mapping_set, kept.document):
            if look.problem:
                continue
            name = look.rule.name if look.rule else look.part
            tried = self.tried.setdefault((look.located.place, name), _Tried(look, event.id))
            tried.count += 1
            tried.told += look.value is not None
            tried.sources.add(key)
            if look.rule and is_uncovered(look) and isinstance(look.value, (str, int, float)):
                text = str(scalar_text(look.value))
                word = self.words.setdefault((look.rule.number, text), _Word(look, event.id))
                word.count += 1
                word.dead += kept.entry.state == "dead" and _kills(look)


def _kills(look: Look) -> bool:
    source = look.rule.source if look.rule else None
    return isinstance(source, Computed) and source.otherwise == "error"


# --- what is not read


def _unread(survey: _Survey, writer: Writer, custom: CustomFields) -> Iterator[Unread]:
    merged: dict[tuple[str, Path, str], list[tuple[Seen, Sighting]]] = defaultdict(list)
    for (source, kind), seen in survey.seen.items():
        read = writer.read.get((source, kind))
        if read is None:
            yield _unmapped(seen)
            continue
        for path, sighting in seen.paths.items():
            if not _tells(sighting) or read.has(path) or writer.is_plumbing(source, kind, path):
                continue
            if record := writer.record(source, kind, path):  # none: only deletes, which take none
                merged[source, path, record.resource].append((seen, sighting))
    for (source, path, _), found in merged.items():
        kind = found[0][0].kind
        example = next(s.example for _, s in found if s.filled)
        record = writer.record(source, kind, path)
        yield Unread(
            source,
            tuple(seen.kind for seen, _ in found),
            path_text(path),
            tuple(sorted({type_ for _, s in found for type_ in s.types})),
            sum(s.filled for _, s in found),
            writer.masked(path[-1] if path[-1] != ELEMENT else path[-2], example),
            writer.line(path, example, record),
            record.resource if record else "",
            writer.below(record),
        )
    yield from _unread_custom(survey, writer, custom)


def _tells(sighting: Sighting) -> bool:
    """Whether a path is a leaf that has carried data."""
    return sighting.filled > 0 and not isinstance(sighting.example, (dict, list))


def _unmapped(seen: Seen) -> Unread:
    events = f"events: [{seen.kind}]"
    return Unread(seen.source, (seen.kind,), "", (), seen.events, seen.last_event, events)


def _unread_custom(survey: _Survey, writer: Writer, custom: CustomFields) -> Iterator[Unread]:
    for (source, path, code), found in custom.known.items():
        kinds = tuple(k for s, k in survey.seen if s == source and _holds(survey.seen[s, k], path))
        reads = [writer.read[source, kind] for kind in kinds if (source, kind) in writer.read]
        if not found.filled or not reads:
            continue
        if any((path, code) in read.picked or read.has(path) for read in reads):
            continue
        record = writer.record(source, kinds[0], path)
        yield Unread(
            source,
            kinds,
            f"{path_text(path)}[?field=='{code}'].value",
            ("string",),
            found.filled,
            writer.masked("value", found.example, found),
            writer.custom_line(found, record),
            record.resource if record else "",
            writer.below(record),
        )


def _holds(seen: Seen, path: Path) -> bool:
    return path in seen.paths


# --- custom fields


def _new(custom: CustomFields, writer: Writer, since: Micros) -> Iterator[NewCustomField]:
    for (source, path, code), found in custom.known.items():
        if found.first < since or writer.names(source, path, code):
            continue
        record = writer.record_of_list(source, path)
        yield NewCustomField(
            source,
            path[0],
            code,
            latest(found.labels),
            latest(found.types),
            found.first,
            found.events,
            writer.masked("value", found.example, found),
            writer.custom_line(found, record),
            record.resource if record else "",
            writer.below(record),
        )


def _changed(custom: CustomFields, writer: Writer, since: Micros) -> Iterator[ChangedCustomField]:
    for (source, path, code), found in custom.known.items():
        for what, spans in (("label", found.labels), ("type", found.types)):
            change = _change(spans, since)
            if change is None:
                continue
            before, after = change
            record = writer.names(source, path, code) or writer.record_of_list(source, path)
            yield ChangedCustomField(
                source,
                path[0],
                code,
                what,
                before.shown,
                after.shown,
                after.first,
                after.events,
                writer.masked("value", found.example, found),
                writer.custom_line(found, record),
                record.resource if record else "",
                writer.below(record),
            )


def _change(spans: Mapping[str, Span], since: Micros) -> tuple[Span, Span] | None:
    """What was said before and what is said now, where that changed since then."""
    by_time = sorted(spans.values(), key=lambda span: span.last)
    if len(by_time) < 2 or by_time[-1].first < since:
        return None
    before, after = by_time[-2:]
    return (before, after) if before.last < after.first else None


# --- words and nulls


def _uncovered(survey: _Survey) -> Iterator[Uncovered]:
    for (_, text), word in survey.words.items():
        rule = word.look.rule
        source = rule.source if rule else None
        if rule is None or not isinstance(source, Computed):
            continue
        yield Uncovered(
            word.look.record.resource,
            rule.name,
            word.look.located.text,
            text,
            word.count,
            word.dead,
            word.event,
            line(text, _word_for(text, source.values or {})),
            source.keys.get(None, rule.place),
        )


def _word_for(text: str, values: Mapping[str, Json]) -> str:
    """What the CRM would probably call it: written as its other words are."""
    words = [value for value in values.values() if isinstance(value, str) and value]
    plain = snake(text) or text
    return plain.upper() if words and all(word.isupper() for word in words) else plain


def _always_null(survey: _Survey, writer: Writer) -> Iterator[AlwaysNull]:
    for tried in survey.tried.values():
        look = tried.look
        if tried.told or look.part in ("when", "id"):
            continue
        now = writer.current_line(look.located)
        instead = _instead(look, tried, survey, writer)
        yield AlwaysNull(
            look.record.resource,
            look.rule.name if look.rule else look.part,
            look.located.text,
            tried.count,
            tried.event,
            now.replace(*instead) if instead else now,
            instead is not None and instead[0] in now,
            look.rule.place if look.rule else look.located.place,
        )


def _instead(look: Look, tried: _Tried, survey: _Survey, writer: Writer) -> tuple[str, str] | None:
    """The path that the expression names, and one of nearly the same name that carries data and
    that nothing reads: perhaps the vendor has renamed it."""
    use = use_of(look.located.expression, items_of(look.record))
    if len(use.read) != 1 or use.picked:
        return None
    (path,) = use.read
    free = {
        other[-1]
        for key in tried.sources
        for other, sighting in survey.seen[key].paths.items()
        if path and other[:-1] == path[:-1] and _tells(sighting)
        if not writer.read[key].has(other) and not writer.is_plumbing(*key, other)
    }
    close = nearest(path[-1], sorted(free)) if path else None
    return (path_text(path), path_text((*path[:-1], close))) if close else None
