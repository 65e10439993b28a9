"""What of a record is written, and in which form: the `{fields}` of a body (contract 1).

Pure. A value that clears is the field's `empty`; `as:` shapes every other; with `values: strings`
everything but null is text. A create leaves null fields out. The external id goes along in its
field where the CRM could not tell the record otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from connector.config.model import Field, ResourceConfig
from connector.model import Json
from connector.targets.placement import Place, place_all
from connector.targets.template import render, text


def write_fields(
    resource: ResourceConfig,
    fields: Mapping[str, Json],
    values: Mapping[str, Json],
    *,
    creating: bool = False,
    with_id: bool = False,
) -> dict[str, Json]:
    """The object that stands for `{fields}`.

    `values` are the placeholders' (`external_id` among them). `creating` leaves nulls out,
    `with_id` adds the external id, which wins over a field that stands in the same place. Raises
    CannotPlace and CannotRender.
    """
    own = resource.external_id if with_id else None
    placed: list[tuple[Place, Json]] = []
    for name in sorted(fields):
        given = fields[name]
        if given is None and creating:
            continue
        rule = resource.field(name)
        if own is None or rule.at != own.at:
            placed.append((rule.at, _form(resource, rule, given, values)))
    if own is not None:
        placed.append((own.at, _form(resource, own, values["external_id"], values)))
    return place_all(placed)


def _form(resource: ResourceConfig, rule: Field, given: Json, values: Mapping[str, Json]) -> Json:
    clears = given is None or (given == "" and rule.as_ is not None)
    if clears:
        value = rule.empty
    elif rule.as_ is not None:
        value = render(rule.as_, {**values, "value": given})
    else:
        value = given
    if resource.values == "strings" and value is not None:
        return text(value)
    return value
