"""Where things stand in the bodies that an API documents: wrappers, records, ids, hits.

Pure functions over plain schemas. What they say are guesses by the names that APIs use; each says
None where it does not see anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connector.model import Json
from connector.openapi.paths import fold
from connector.openapi.shapes import is_object, properties, types

EXTERNAL_ID = re.compile(
    r"^x?(ext|external|source|foreign|remote|integration|import|sync|partner|caresoft|mobio)"
    r"(system|record|object)?(id|key|ref|reference|code|identifier)$"
)
_WRAPPERS = ("data", "record", "item", "result", "attributes", "fields", "payload", "properties")
_LISTS = ("data", "items", "results", "records", "rows", "value", "hits", "list", "content")
_ASIDE = frozenset(
    {"permissions", "meta", "links", "included", "jsonapi", "status", "success"}
    | {"associations", "id", "idProperty", "createdAt", "updatedAt", "archived", "archivedAt"}
    | {"propertiesWithHistory", "objectWriteTraceId", "url"}
)
_IDS = ("id", "_id", "uuid", "uid", "guid")


@dataclass(frozen=True, slots=True)
class Body:
    """What a write sends: a template of `{fields}`, and the schema of what stands there."""

    template: Json
    fields: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Hits:
    """What a search answers: where the list is, the record in a hit, and the CRM's id in it."""

    found: str
    record: str | None
    hit_id: str | None
    fields: Mapping[str, Json]


def is_external(name: str) -> bool:
    """Whether a field or parameter sounds like another system's id."""
    return EXTERNAL_ID.match(re.sub(r"[^a-z]", "", name.lower())) is not None


def body_of(schema: Mapping[str, Json], word: str) -> Body:
    """How fields are wrapped in what is sent."""
    known = properties(schema)
    data = known.get("data", {})
    if is_object(properties(data).get("attributes", {})):
        kind = properties(data).get("type", {})
        said = kind.get("const") or (kind.get("enum") or [word])[0]
        template = {"data": {"type": said, "attributes": "{fields}"}}
        return Body(template, properties(data)["attributes"])
    for name, inner in known.items():
        if (is_object(inner) and _is_wrapper(name, word, known)) or _holds_all(name, known):
            return Body({name: "{fields}"}, inner)
        listed = "array" in types(inner) and (len(known) == 1 or name == "data")
        if listed and is_object(inner.get("items", {})):
            return Body({name: ["{fields}"]}, inner["items"])
    return Body("{fields}", schema)


def _holds_all(name: str, known: Mapping[str, Json]) -> bool:
    """Whether it is an object of any kind, and all beside it is about something else."""
    inner = known.get(name, {})
    return name in _WRAPPERS and "object" in types(inner) and not known.keys() - _ASIDE - {name}


def _is_wrapper(name: str, word: str, known: Mapping[str, Json]) -> bool:
    sounds = name in _WRAPPERS or fold(name) == fold(word)
    return sounds and (len(known) == 1 or not any(n in known for n in ("name", "subject", "title")))


def record_in(schema: Mapping[str, Json], word: str) -> tuple[str, Mapping[str, Json]]:
    """Where the record stands in an answer, `@` for the whole, and its schema."""
    known = properties(schema)
    for name in (*_WRAPPERS, *(each for each in known if fold(each) == fold(word))):
        inner = known.get(name, {})
        if name in ("fields", "payload") or not (is_object(inner) or _holds_all(name, known)):
            continue
        if name == "properties" and not _holds_all(name, known):
            continue
        if is_object(properties(inner).get("attributes", {})):
            return f"{name}.attributes", properties(inner)["attributes"]
        return _quoted(name), inner
    return "@", schema


def id_in(schema: Mapping[str, Json], word: str) -> str | None:
    """Where the CRM's own id stands in an answer that holds one record."""
    for place, inner in _levels(schema, word):
        if name := _id_name(inner, word):
            return f"{place}.{_quoted(name)}" if place else _quoted(name)
    return None


def _levels(schema: Mapping[str, Json], word: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    yield "", schema
    known = properties(schema)
    for name in (*_WRAPPERS, *(each for each in known if fold(each) == fold(word))):
        if is_object(known.get(name, {})):
            yield _quoted(name), known[name]


def _id_name(schema: Mapping[str, Json], word: str) -> str | None:
    known = properties(schema)
    own = (name for name in known if fold(name) in (f"{fold(word)}id", f"id{fold(word)}"))
    for name in (*_IDS, *own):
        if known.get(name) is not None and "object" not in types(known[name]):
            return name
    return None


def hits_in(schema: Mapping[str, Json], word: str) -> Hits | None:
    """Where the list of hits stands in the answer to a search."""
    for place, listed in _arrays(schema, word):
        hit = listed.get("items", {})
        if not isinstance(hit, dict):
            continue
        inner = properties(hit).get("attributes", {})
        record = "attributes" if is_object(inner) else None
        if _holds_all("properties", properties(hit)):
            record, inner = "properties", properties(hit)["properties"]
        own = _id_name(hit, word)
        return Hits(place, record, _quoted(own) if own else None, inner if record else hit)
    return None


def _arrays(schema: Mapping[str, Json], word: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
    if "array" in types(schema):
        yield "@", schema
    known = properties(schema)
    named = [n for n in (*_LISTS, *known) if n in known]
    for name in sorted(set(named), key=lambda n: _rank(n, word, named)):
        if "array" in types(known[name]) and is_object(known[name].get("items", {})):
            yield _quoted(name), known[name]
    for name in ("data", "result", "response", "_embedded"):
        for inner, listed in _arrays(known[name], word) if is_object(known.get(name, {})) else ():
            yield f"{name}.{inner}", listed


def _rank(name: str, word: str, named: list[str]) -> tuple[int, int]:
    return (0 if fold(name) == fold(word) else 1, named.index(name))


def _quoted(name: str) -> str:
    """A name as JMESPath writes it."""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.A) else f'"{name}"'
