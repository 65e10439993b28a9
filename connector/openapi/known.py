"""What a CRM knows of one resource: its fields, kept as JSON Schema in a file beside config.yaml.

`targets import` writes such files; a person may write one, too. `schema:` of a resource names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connector.errors import Invalid
from connector.model import Json, Place, Problem
from connector.openapi.shapes import properties, types

MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """The fields of a resource as `{fields}` holds them, in JSON Schema.

    `required` must stand in a create. `is_closed`: the CRM says that it takes no others.
    """

    fields: Mapping[str, Mapping[str, Json]]
    required: frozenset[str] = frozenset()
    is_closed: bool = False

    @classmethod
    def of(cls, schema: Mapping[str, Json]) -> Known:
        """From a plain JSON Schema of an object."""
        required = schema.get("required")
        return cls(
            properties(schema),
            frozenset(required if isinstance(required, list) else ()),
            schema.get("additionalProperties") is False,
        )

    def written(self) -> str:
        """The text of a file that `read` reads."""
        schema: dict[str, Json] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": self.fields,
        }
        if self.required:
            schema["required"] = sorted(self.required)
        if self.is_closed:
            schema["additionalProperties"] = False
        return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"

    def rows(self) -> list[tuple[str, str, str]]:
        """Field, type and what else is said of it, for a table."""
        return [
            (name, " or ".join(types(schema)) or "anything", _more(schema, name in self.required))
            for name, schema in self.fields.items()
        ]


def read(file: Path) -> Known:
    """The file that a resource's `schema:` names. Raises Invalid."""
    try:
        raw = file.read_bytes()
        if len(raw) > MOST_BYTES:
            raise _invalid(file, f"{len(raw)} bytes", f"at most {MOST_BYTES} are read")
        data = json.loads(raw.decode("utf-8-sig"))
    except OSError as error:
        message = f"cannot read the schema {file}: {error.strerror}"
        raise Invalid([Problem(message, "`connector targets import` writes it")]) from None
    except json.JSONDecodeError as error:
        place = Place(str(file), error.lineno, error.colno)
        raise Invalid([Problem(f"no JSON: {error.msg}", place=place)]) from None
    except (UnicodeDecodeError, RecursionError):
        raise _invalid(file, "it cannot be read", "it should be JSON in UTF-8") from None
    found = data.get("properties") if isinstance(data, dict) else None
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise _invalid(file, "no JSON Schema with properties", 'e.g. {"properties": {"name": {}}}')
    return Known.of(data)


def _invalid(file: Path, message: str, hint: str) -> Invalid:
    return Invalid([Problem(message, hint, Place(str(file), 1, 1))])


def _more(schema: Mapping[str, Json], required: bool) -> str:
    said = ["required"] if required else []
    said += [str(schema["format"])] if schema.get("format") else []
    if "maxLength" in schema:
        said.append(f"at most {schema['maxLength']} characters")
    if isinstance(choices := schema.get("enum"), list):
        real = [str(choice) for choice in choices if choice is not None]
        said.append("one of " + ", ".join(real[:12]) + (" …" if len(real) > 12 else ""))
    if schema.get("readOnly"):
        said.append("read only")
    return "; ".join(said)
