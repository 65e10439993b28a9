"""Schemas without references: what stands in a body, as a plain JSON Schema of bounded size.

References are put in, `allOf` is merged, of `oneOf` and `anyOf` every property is taken and none
required; `nullable` of OpenAPI 3.0 becomes the type null. Only what a mapping can be held against
is kept. A schema that holds itself ends in one that says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from connector.model import Json
from connector.openapi.document import Spec

_KEPT = (
    "type",
    "format",
    "enum",
    "const",
    "maxLength",
    "minLength",
    "pattern",
    "minimum",
    "maximum",
    "readOnly",
    "writeOnly",
)
_SHAPES: Mapping[str, type | tuple[type, ...]] = {
    "type": (str, list),
    "enum": list,
    "maxLength": int,
    "minLength": int,
    "format": str,
}
_DEEPEST = 6
_MOST_NODES = 20_000
_LONGEST = 300  # characters of a description


class _Budget:
    """How many schemas may still be written."""

    def __init__(self) -> None:
        self.left = _MOST_NODES


def plain(spec: Spec, schema: Json) -> dict[str, Json]:
    """The schema without references."""
    return _plain(spec, schema, 0, (), _Budget())


def properties(schema: Mapping[str, Json]) -> Mapping[str, dict[str, Json]]:
    """The properties of a plain schema."""
    found = schema.get("properties")
    return found if isinstance(found, dict) else {}


def types(schema: Mapping[str, Json]) -> tuple[str, ...]:
    """The types that a plain schema allows; none where it does not say."""
    said = schema.get("type")
    if isinstance(said, str):
        return (said,)
    if isinstance(said, list):
        return tuple(each for each in said if isinstance(each, str))
    return ("object",) if schema.get("properties") else ()


def is_object(schema: Mapping[str, Json]) -> bool:
    """Whether it describes an object with properties."""
    return bool(properties(schema))


def _plain(
    spec: Spec, schema: Json, depth: int, above: tuple[int, ...], budget: _Budget
) -> dict[str, Json]:
    node = spec.resolve(schema)
    budget.left -= 1
    if not isinstance(node, dict) or depth > _DEEPEST or id(node) in above or budget.left < 0:
        return {}
    inside = (*above, id(node))

    def inner(part: Json, deeper: int = 1) -> dict[str, Json]:
        return _plain(spec, part, depth + deeper, inside, budget)

    out: dict[str, Json] = {
        key: node[key]
        for key in _KEPT
        if node.get(key) is not None and isinstance(node[key], _SHAPES.get(key, object))
    }
    if isinstance(text := node.get("description"), str):
        out["description"] = " ".join(text.split())[:_LONGEST]
    if isinstance(given := node.get("properties"), dict):
        out["properties"] = {str(name): inner(part) for name, part in given.items()}
    if isinstance(names := node.get("required"), list):
        out["required"] = [name for name in names if isinstance(name, str)]
    if "items" in node:
        out["items"] = inner(node["items"])
    if node.get("additionalProperties") is False:
        out["additionalProperties"] = False
    elif isinstance(node.get("additionalProperties"), dict) and not out.get("properties"):
        out["additionalProperties"] = inner(node["additionalProperties"])
    for part in _list(node.get("allOf")):
        out = _both(out, inner(part, 0))
    for key in ("oneOf", "anyOf"):
        choices = [inner(part, 0) for part in _list(node.get(key))]
        out = _both(out, _either(choices))
    if node.get("nullable") is True and "type" in out:
        out["type"] = [*types(out), "null"]
    return out


def _both(one: dict[str, Json], other: Mapping[str, Json]) -> dict[str, Json]:
    """What holds of both; said of both, the first counts."""
    merged: dict[str, Json] = {**other, **one}
    if "properties" in one and "properties" in other:
        merged["properties"] = {**other["properties"], **one["properties"]}
    required = [*one.get("required", ()), *other.get("required", ())]
    if required:
        merged["required"] = list(dict.fromkeys(required))
    # Closed parts of an `allOf` contradict each other: what is meant is what the whole has.
    return merged


def _either(choices: list[dict[str, Json]]) -> dict[str, Json]:
    """What may hold of one of several: every property, none of them required."""
    real = [choice for choice in choices if types(choice) != ("null",)]
    nullable = len(real) < len(choices)
    if not real:
        return {}
    merged = dict(real[0])
    for other in real[1:]:
        merged = _widened(merged, other)
    if len(real) > 1:
        merged.pop("required", None)
        merged.pop("additionalProperties", None)
    if nullable and types(merged):
        merged["type"] = [*types(merged), "null"]
    return merged


def _widened(one: dict[str, Json], other: Mapping[str, Json]) -> dict[str, Json]:
    same: dict[str, Any] = {key: value for key, value in one.items() if other.get(key) == value}
    if types(one) and types(other):
        same["type"] = list(dict.fromkeys([*types(one), *types(other)]))
    if "properties" in one or "properties" in other:
        same["properties"] = {**other.get("properties", {}), **one.get("properties", {})}
    return same


def _list(node: Json) -> list[Json]:
    return node if isinstance(node, list) else []
