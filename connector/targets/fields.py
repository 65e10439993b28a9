"""What of a record is written, and in which form: the `{fields}` of a body (docs/configuration.md).

Pure. A value that clears is the field's `empty`; `as:` shapes every other; with `values: strings`
everything but null is text. A create leaves null fields out. The external id goes along in its
field where the CRM could not tell the record otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from connector.config.model import Field, ResourceConfig, Step
from connector.model import Json
from connector.targets.placement import Place, place_all
from connector.targets.template import render, text


def write_fields(
    resource: ResourceConfig,
    fields: Mapping[str, Json],
    values: Mapping[str, Json],
    *,
    as_read: Mapping[str, Json] = MappingProxyType({}),
    creating: bool = False,
    with_id: bool = False,
    added: tuple[Place, Json] | None = None,
) -> dict[str, Json]:
    """The object that stands for `{fields}`.

    `values` are the placeholders' (`external_id` among them). `as_read` are fields that go back in
    the CRM's own form. `creating` leaves nulls out, `with_id` adds the external id, which wins over
    a field that stands in the same place. `added` is placed as it is. Raises
    CannotPlace and CannotRender.
    """
    own = resource.external_id if with_id else None
    rules, plain = resource.fields, resource.values != "strings"
    placed: list[tuple[Place, Json]] = []
    for name in sorted(fields.keys() | as_read.keys() if as_read else fields):
        given = as_read[name] if name in as_read else fields[name]
        if given is None and creating:
            continue
        rule = rules.get(name)
        place = rule.at if rule else _own_place(name)
        if own is None or place != own.at:
            as_it_is = name in as_read or (rule is None and plain and given is not None)
            formed = given if as_it_is else _form(resource, rule, given, values)
            placed.append((place, formed))
    if own is not None:
        formed = _form(resource, own, values["external_id"], values)
        placed.append((own.at, formed))
    if added is not None:
        placed = [(place, value) for place, value in placed if place != added[0]]
        placed.append(added)
    return place_all(placed)


def form(resource: ResourceConfig, name: str, given: Json, values: Mapping[str, Json]) -> Json:
    """A field's value as it is written."""
    return _form(resource, resource.fields.get(name), given, values)


@lru_cache(maxsize=4096)
def _own_place(name: str) -> Place:
    """Where a field stands that the configuration does not mention."""
    return (Step(name),)


def _form(
    resource: ResourceConfig, rule: Field | None, given: Json, values: Mapping[str, Json]
) -> Json:
    shape = rule.as_ if rule else None
    if given is None or (given == "" and shape is not None):
        value = rule.empty if rule else resource.empty
    elif shape is not None:
        value = render(shape, {**values, "value": given})
    else:
        value = given
    if resource.values == "strings" and value is not None:
        return text(value)
    return value
