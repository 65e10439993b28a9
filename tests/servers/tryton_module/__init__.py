"""A module of Tryton with a model for each resource of the shipped mappings: `crm.tickets`, …

Runs in the server's process, not in the tests'; schema.json is put beside it. Nothing is unique.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trytond.model import ModelSQL, ModelView, fields
from trytond.pool import Pool

SCHEMA = json.loads(Path(__file__).with_name("schema.json").read_text("utf-8"))


class Structure(fields.Text):  # type: ignore[misc]
    """A list or an object, kept as JSON."""

    def sql_format(self, value: Any) -> str | None:
        return None if value is None else json.dumps(value)

    def get(
        self,
        ids: Sequence[int],
        model: Any,
        name: str,
        values: Sequence[Mapping[str, Any]] | None = None,
    ) -> dict[int, Any]:
        return {row["id"]: row[name] and json.loads(row[name]) for row in values or ()}


FIELDS: Mapping[str, Callable[[str], Any]] = {
    "text": fields.Text,
    "datetime": fields.Char,
    "date": fields.Char,
    "integer": fields.Integer,
    "number": fields.Float,
    "boolean": fields.Boolean,
    "list": Structure,
    "object": Structure,
}


def field(name: str, told: Mapping[str, str]) -> Any:
    if told["type"] == "reference":
        return fields.Many2One(f"crm.{told['resource']}", name, ondelete="SET NULL")
    return FIELDS[told["type"]](name)


def model(resource: str) -> type:
    said = {name: field(name, told) for name, told in SCHEMA[resource]["fields"].items()}
    ext_id = fields.Char("External id", required=True)
    named = {"__name__": f"crm.{resource}", "__doc__": resource, "ext_id": ext_id}
    return type(resource, (ModelSQL, ModelView), {**said, **named})


def register() -> None:
    """Called by Tryton when it loads its modules."""
    Pool.register(*map(model, SCHEMA), module="crm", type_="model")
