"""What the vendors document: every path of every kind's event document, for people and for lint.

The data stands in `catalogue.json` beside this file, one path a line, in terms of the *document*
of contract 3 (`note.description`, `updated.converted_at`, `meta.account`), not of the request. A
path is written as in JMESPath; `[]` stands for each element of a list. What a vendor sends beyond
this is not wrong: the catalogue tells what to expect, it never decides what is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from connector.model import Json


@dataclass(frozen=True, slots=True)
class DocumentField:
    """One path of a document.

    `kinds` are names or wildcards. `types` are JSON types as JSON Schema names them, several where
    the vendor is not consistent. `example` comes from the vendor's samples, shortened; None where
    they have none. `open` says that an object holds keys beyond the listed ones by its nature.
    """

    path: str
    kinds: tuple[str, ...]
    types: tuple[str, ...]
    meaning: str
    example: Json = None
    open: bool = False

    def is_in(self, kind: str) -> bool:
        """Whether documents of this kind may have it."""
        return any(fnmatchcase(kind, pattern) for pattern in self.kinds)


@cache
def _catalogue() -> Mapping[str, tuple[DocumentField, ...]]:
    text = files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8")
    return {
        vendor: tuple(
            DocumentField(
                row["path"],
                tuple(row["kinds"]),
                tuple(row["types"]),
                row["meaning"],
                row.get("example"),
                row.get("open", False),
            )
            for row in rows
        )
        for vendor, rows in json.loads(text).items()
    }


@cache
def fields(vendor: str, kind: str) -> tuple[DocumentField, ...]:
    """What a document of `kind` offers, parents before children.

    Of a kind that the vendor does not document, only what all of its documents have. Raises
    `KeyError` for a vendor that is not in `VENDORS`.
    """
    return tuple(entry for entry in _catalogue()[vendor] if entry.is_in(kind))
