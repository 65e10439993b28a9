"""Templates of a call: path, query, headers and body with `{placeholders}` (docs/configuration.md).

Pure. Placeholders are exactly `NAMES`; other braces are literal. A text that is only a placeholder
gives the value with its JSON type, inside other text the value is written as text. Ids come from
webhooks: in a path everything but unreserved characters is encoded, and an id that would move the
call elsewhere (empty, `.`, `..`) is refused, for servers and proxies resolve dot segments even when
they are encoded.

Neighbours: `calls` renders with it; where fields stand inside `{fields}` is for `placement`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import quote

from connector.model import Json

NAMES = ("external_id", "crm_id", "resource", "fields", "value", "token", "records")
IDS = frozenset({"external_id", "crm_id"})
MERGE = "**"
"""The key whose value is merged into the object it stands in."""

_PLACEHOLDER = re.compile("{(" + "|".join(NAMES) + ")}")
_KEPT_IN_PATH = "%/?:@!$&'()*+,;=[]~"
_DOTS = frozenset({".", ".."})


class CannotRender(ValueError):
    """A call that cannot be written for this record; the message says which part and why."""


def render(template: Json, values: Mapping[str, Json]) -> Json:
    """A body: `template` with its placeholders filled in, keys included; types are kept.

    Raises CannotRender for a placeholder without a value and for a `**` that is no object.
    """
    if isinstance(template, str):
        return _render_text(template, values)
    if isinstance(template, list | tuple):
        return [render(item, values) for item in template]
    if not isinstance(template, Mapping):
        return template
    rendered: dict[str, Json] = {}
    for key, inner in template.items():
        value = render(inner, values)
        if key != MERGE:
            rendered[render_text(key, values)] = value
        elif isinstance(value, dict):
            rendered.update(value)
        else:
            raise CannotRender(f'"{MERGE}" merges an object, found {text(value)!r}')
    return rendered


def render_text(template: str, values: Mapping[str, Json]) -> str:
    """A header or a key: always text."""
    return text(_render_text(template, values))


def render_path(template: str, values: Mapping[str, Json]) -> str:
    """A path, percent-encoded; what stands in the template itself keeps its slashes and signs.

    Raises CannotRender for an id that is unknown or empty, and for one that would be a dot segment.
    """
    parts: list[str] = []
    for literal, name in _path_parts(template):
        parts.append(literal)
        if name:
            value = text(_value(name, values))
            if not value:
                raise CannotRender(f"{{{name}}} in the path {template!r} is empty")
            plain = value.isascii() and value.isalnum()  # most ids: nothing in them to encode
            parts.append(value if plain else quote(value, safe="/" if name == "resource" else ""))
    path = "".join(parts)
    if "/." in path or path[:1] == ".":
        for dots in (_segments(path) & _DOTS) - _segments(template):
            raise CannotRender(f"the id {dots!r} cannot stand in the path {template!r}")
    return path


def render_query(template: Mapping[str, Json], values: Mapping[str, Json]) -> str:
    """A query without its `?`: a list repeats its parameter, a map is JSON, null is left out."""
    return encode_pairs(
        (render_text(key, values), render(inner, values)) for key, inner in template.items()
    )


def encode_pairs(pairs: Iterable[tuple[str, Json]]) -> str:
    """Parameters by the rules of a query, as in a path percent-encoded with `%20` for a blank."""
    return "&".join(
        f"{quote(key, safe='')}={quote(text(value), safe='')}"
        for key, given in pairs
        for value in (given if isinstance(given, list) else [given])
        if value is not None
    )


def escape_ids(values: Mapping[str, Json], escape: Mapping[str, str]) -> Mapping[str, Json]:
    """`values` with what a call's `escape:` says replaced in the ids, in one pass."""
    if not escape:
        return values
    found = re.compile("|".join(re.escape(key) for key in sorted(escape, key=len, reverse=True)))
    return {
        name: found.sub(lambda match: escape[match[0]], value)
        if name in IDS and isinstance(value, str)
        else value
        for name, value in values.items()
    }


def names_in(template: Json) -> frozenset[str]:
    """The placeholders that a template uses."""
    if isinstance(template, str):
        return frozenset(_PLACEHOLDER.findall(template))
    if isinstance(template, Mapping):
        return frozenset().union(*(names_in(k) | names_in(v) for k, v in template.items()))
    if isinstance(template, list | tuple):
        return frozenset().union(*map(names_in, template))
    return frozenset()


def text(value: Json) -> str:
    """A value inside text: null is empty, a number has no needless point, a structure is JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _render_text(template: str, values: Mapping[str, Json]) -> Json:
    parts = _parts(template)
    if len(parts) == 1 and parts[0][0] == "" and parts[0][1]:
        return _value(parts[0][1], values)
    return "".join(
        literal + (text(_value(name, values)) if name else "") for literal, name in parts
    )


def _value(name: str, values: Mapping[str, Json]) -> Json:
    try:
        return values[name]
    except KeyError:
        raise CannotRender(f"{{{name}}} has no value here") from None


@lru_cache(maxsize=4096)
def _parts(template: str) -> tuple[tuple[str, str], ...]:
    """Literal text and the placeholder after it ('' after the last)."""
    pieces = _PLACEHOLDER.split(template)
    pairs = zip(pieces[::2], [*pieces[1::2], ""], strict=True)
    return tuple((literal, name) for literal, name in pairs if literal or name)


@lru_cache(maxsize=4096)
def _path_parts(template: str) -> tuple[tuple[str, str], ...]:
    """The same, with the text as it stands in a path."""
    return tuple((quote(literal, safe=_KEPT_IN_PATH), name) for literal, name in _parts(template))


def _segments(path: str) -> set[str]:
    return set(path.partition("?")[0].split("/"))
