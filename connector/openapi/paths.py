"""Which paths of an API are about one resource, and how they name a record.

A collection is a path whose calls are about many (`/tickets`), an item one that ends in a parameter
(`/tickets/{id}`, `/tickets({id})`); where there is no item the id may stand in the query. Names are
compared without case, signs and plural.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from connector.model import Json
from connector.openapi.document import Operation, Spec

_ITEM = re.compile(r"^(?P<collection>.*?)(?:/\{(?P<id>[^{}]+)\}|\(\{(?P<odata>[^{}]+)\}\))/?$")
_DEEPEST = 6
_ID_NAME = re.compile(
    r"(^|[_.-])(id|uid|uuid|guid|key|code)$|[a-z](Id|ID|Uuid|Key)$|^(id|uuid)$", re.A
)


@dataclass(frozen=True, slots=True)
class Resource:
    """The calls about one resource by method. `id_name`: the parameter that names a record.

    `item` is None where no path ends in a parameter; with `id_in` query the calls of `of_one` are
    those of the collection's path that have an id as parameter.
    """

    collection: str
    of_many: Mapping[str, Operation] = field(default_factory=dict)
    item: str | None = None
    of_one: Mapping[str, Operation] = field(default_factory=dict)
    id_name: str | None = None
    id_in: Literal["path", "query"] = "path"

    @property
    def word(self) -> str:
        """The last word of its path."""
        words = [part for part in self.collection.split("/") if part and "{" not in part]
        return words[-1] if words else ""


def resources(spec: Spec) -> list[Resource]:
    """Everything in the file that looks like a resource: it can be written."""
    many: dict[str, dict[str, Operation]] = {}
    one: dict[str, tuple[str, str, dict[str, Operation]]] = {}
    for operation in spec.operations():
        found = _ITEM.match(operation.path)
        if found:
            name = found["id"] or found["odata"]
            entry = one.setdefault(_key(found["collection"]), (operation.path, name, {}))
            entry[2].setdefault(operation.method, operation)
        else:
            many.setdefault(_key(operation.path), {}).setdefault(operation.method, operation)
    for path, _, operations in list(one.values()):
        if _key(path) in one:  # `/{module}` is one of many modules, and has many records itself
            many.setdefault(_key(path), operations)
    made = [_resource(key, many.get(key, {}), one.get(key)) for key in {**many, **one}]
    return [each for each in made if _can_write(each)]


def choose(spec: Spec, name: str, hint: str | None) -> Resource | None:
    """The resource for a mapping's word, or the one that a path or a schema's name points at."""
    known = resources(spec)
    if hint and hint.startswith("/"):
        places = (_key(hint), _key(_collection_of(hint)))
        return next((r for place in places for r in known if r.collection == place), None)
    if hint:
        return next((each for each in known if hint in _schema_names(each)), None) or choose(
            spec, hint, None
        )
    fitting = [each for each in known if fold(each.word) == fold(name)]
    # The shortest path is the resource itself; longer ones are it within another.
    return min(fitting, key=lambda each: each.collection.count("/"), default=None)


def fold(word: str) -> str:
    """A name without case, signs and plural."""
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if plain.endswith(ending) and len(plain) > len(ending) + 1 and not plain.endswith("ss"):
            return plain.removesuffix(ending) + instead
    return plain


def _resource(
    key: str, of_many: dict[str, Operation], one: tuple[str, str, dict[str, Operation]] | None
) -> Resource:
    if one:
        item, name, of_one = one
        return Resource(key, of_many, item, of_one, name)
    of_one = {m: o for m, o in of_many.items() if m != "POST" and _id_in_query(o)}
    if writes := [o for m, o in of_one.items() if m in ("PUT", "PATCH", "DELETE")]:
        return Resource(key, of_many, None, of_one, _id_in_query(writes[0]), "query")
    return Resource(key, of_many)


def _id_in_query(operation: Operation) -> str | None:
    names = [str(each.get("name")) for each in operation.parameter("query")]
    return next((name for name in names if _ID_NAME.search(name)), None)


def _can_write(resource: Resource) -> bool:
    methods = {*resource.of_many, *resource.of_one}
    return bool(methods & {"PUT", "PATCH"}) or "POST" in resource.of_many


def _key(path: str) -> str:
    return path.rstrip("/") or "/"


def _collection_of(path: str) -> str:
    found = _ITEM.match(path)
    return found["collection"] if found else path


def _schema_names(resource: Resource) -> set[str]:
    """The names of the schemas that its calls send or give."""
    names: set[str] = set()
    for operation in (*resource.of_many.values(), *resource.of_one.values()):
        for schema in (operation.request, *operation.answers.values()):
            names |= _names_in(schema)
    return names


def _names_in(schema: Json) -> set[str]:
    """The names of what is referred to, not too deep down; each node is looked at once, as YAML's
    aliases may have one stand in very many places."""
    names: set[str] = set()
    seen: set[int] = set()
    waiting: list[tuple[Json, int]] = [(schema, 0)]
    while waiting:
        node, depth = waiting.pop()
        if id(node) in seen or depth > _DEEPEST or not isinstance(node, dict | list):
            continue
        seen.add(id(node))
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            names.add(node["$ref"].rpartition("/")[2])
        inner = node.values() if isinstance(node, dict) else node
        waiting += [(each, depth + 1) for each in inner]
    return names
