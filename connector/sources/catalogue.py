"""What the vendors document: every path of every kind's event document, for people and for lint.

The data stands in `catalogue.json` beside this file, one path a line, in terms of the *document*
(docs/events.md: `note.description`, `updated.converted_at`, `meta.account`), not of the request. A
path is written as in JMESPath; `[]` stands for each element of a list. What a vendor sends beyond
this is not wrong: the catalogue tells what to expect, it never decides what is accepted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from connector.model import Json


@dataclass(frozen=True, slots=True)
class DocumentField:
    """One path of a document.

    `kinds` are names or wildcards. `types` are JSON types as JSON Schema names them, several where
    the vendor is not consistent. `example` comes from the vendor's samples, shortened; None where
    they have none. `open` says that an object holds keys beyond the listed ones by its nature,
    `also` is a pattern of such keys where only some are possible.

    `values` are those that the vendor documents, none where any may come; with `more` others have
    been seen too, with `any_case` each also comes in other letters. `absent` are the kinds of which
    a sample lacks the path. `personal` says what about a person it may hold: a phone, email, name,
    text or link. `repeats` are the kinds (wildcards) of whose documents another path says the same,
    or `meta` does.
    """

    path: str
    kinds: tuple[str, ...]
    types: tuple[str, ...]
    meaning: str
    example: Json = None
    open: bool = False
    also: str = ""
    values: tuple[Json, ...] = ()
    more: bool = False
    any_case: bool = False
    absent: tuple[str, ...] = ()
    personal: str = ""
    repeats: tuple[str, ...] = ()

    def is_in(self, kind: str) -> bool:
        """Whether documents of this kind may have it."""
        return _named(kind, self.kinds)

    def is_repeated_in(self, kind: str) -> bool:
        """Whether documents of this kind say it elsewhere too, in an easier way."""
        return _named(kind, self.repeats)


_LISTS = ("kinds", "types", "values", "absent", "repeats")


@cache
def _catalogue() -> Mapping[str, tuple[DocumentField, ...]]:
    text = files(__package__).joinpath("catalogue.json").read_text(encoding="utf-8")
    return {vendor: tuple(map(_field, rows)) for vendor, rows in json.loads(text).items()}


def _field(row: Mapping[str, Json]) -> DocumentField:
    known: dict[str, Any] = {k: tuple(v) if k in _LISTS else v for k, v in row.items()}
    return DocumentField(**known)


@cache
def fields(vendor: str, kind: str) -> tuple[DocumentField, ...]:
    """What a document of `kind` offers, parents before children.

    Of a kind that the vendor does not document, only what all of its documents have. Raises
    `KeyError` for a vendor that is not in `VENDORS`.
    """
    object_, _, action = kind.partition(".")
    told = {"meta.kind": kind, "event_type": kind, "object": object_, "action": action}
    return tuple(
        replace(entry, values=(told[entry.path],), example=told[entry.path])
        if entry.path in told
        else entry
        for entry in _catalogue()[vendor]
        if entry.is_in(kind)
    )


@cache
def personal_keys() -> Mapping[str, str]:
    """What keys of either vendor's bodies may hold about a person: `{"phone_no": "phone", …}`."""
    return {
        entry.path.rpartition(".")[2]: entry.personal
        for rows in _catalogue().values()
        for entry in rows
        if entry.personal
    }


def _named(kind: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(kind, pattern) for pattern in patterns)
