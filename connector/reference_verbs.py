"""`connector mappings functions | schema | fields`: what can be written in a mapping file.

As `cli`: parses, calls a room, prints. Only `fields --from-journal` needs Redis.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from connector import observed
from connector.mapping.functions import FUNCTIONS
from connector.mapping.json_schema import json_schema
from connector.mapping.paths import (
    ELEMENT,
    Use,
    covers,
    field_uses,
    items_of,
    path_of,
    path_text,
    use_of,
)
from connector.mapping.paths import Path as DocumentPath
from connector.mapping.ruleset import MappingSet
from connector.model import Json, Place
from connector.observed import Seen, Sighting
from connector.problems import did_you_mean
from connector.reports import place_json
from connector.sources import catalogue
from connector.sources.catalogue import DocumentField
from connector.sources.stand_ins import StandIns
from connector.terminal import print_json, print_table, say
from connector.verbs import fail
from connector.workbench import KINDS, Workbench, counted, open_workbench

_SHOWN = 60  # characters of an example

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")


def add_to(group: click.Group) -> None:
    """Make these verbs part of `connector mappings`."""
    for verb in (functions_verb, schema_verb, fields_verb):
        group.add_command(verb)


@click.command("functions")
@as_json
def functions_verb(json_: bool) -> None:
    """What can be called in an expression, beside JMESPath's own functions."""
    known = sorted(FUNCTIONS.values(), key=lambda function: function.name)
    if json_:
        rows = [
            {"name": f.name, "signature": f.signature, "doc": f.doc, "example": f.example}
            for f in known
        ]
        print_json({"functions": rows})
        return
    print_table(["function", "gives", "example"], ((f.signature, f.doc, f.example) for f in known))


@click.command("schema")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there instead of printing it.",
)
@as_json
def schema_verb(output: Path | None, json_: bool) -> None:
    """The JSON Schema (draft 2020-12) of mapping files, for editors that complete and check.

    A file's first line `# yaml-language-server: $schema=…` names it. It is JSON anyway.
    """
    text = json.dumps(json_schema(KINDS), ensure_ascii=False, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    if json_:
        print_json({"file": str(output)})
    else:
        say(f"{output} is written")


@click.command("fields")
@click.argument("kind")
@click.option("--from-journal", is_flag=True, help="Beside it what kept events really hold.")
@as_json
def fields_verb(kind: str, from_journal: bool, json_: bool) -> None:
    """What a document of KIND offers, and which of it is mapped."""
    bench = open_workbench()
    seen = _seen(bench, kind) if from_journal else []
    vendor = next((name for name, kinds in KINDS.items() if kind in kinds), None)
    if vendor is None and seen:
        vendor = bench.sources[seen[0].source].kind
    if vendor is None:
        every = [known for kinds in KINDS.values() for known in kinds]
        where = " and no kept event has it" if from_journal else ""
        fail(f"{kind!r} is no documented kind{where}; {did_you_mean(kind, every)}")
    mapped = _mapped(bench.load(), vendor, kind)
    rows = _field_rows(catalogue.fields(vendor, kind), mapped, seen)
    if json_:
        events = {"events": sum(each.events for each in seen)} if from_journal else {}
        print_json({"kind": kind, **events, "fields": rows})
        return
    headings = ["path", "types", "example", "meaning", "mapped to"]
    if from_journal:
        say(f"{counted(sum(each.events for each in seen), 'kept event')} of {kind}")
        headings[1:3] = ["seen", "types", "example"]
    print_table(headings, (_field_cells(row, from_journal) for row in rows))


def _seen(bench: Workbench, kind: str) -> list[Seen]:
    kept = observed.kept_events(bench.redis(), bench.sources, kind=kind)
    return list(observed.added_up(kept).values())


def _field_rows(
    documented: Sequence[DocumentField],
    mapped: Sequence[_Mapped],
    seen: Sequence[Seen],
) -> list[dict[str, Json]]:
    """A row for each documented path, then for each other that was seen."""
    sightings: dict[DocumentPath, list[Sighting]] = {}
    for each in seen:
        for path, sighting in each.paths.items():
            sightings.setdefault(path, []).append(sighting)
    known = {path_of(entry.path): entry for entry in documented}
    masks = StandIns()
    rows: list[dict[str, Json]] = []
    for path in [*known, *(path for path in sightings if path not in known)]:
        entry = known.get(path)
        row: dict[str, Json] = {
            "path": entry.path if entry else path_text(path),
            "types": list(entry.types) if entry else [],
            "example": entry.example if entry else None,
            "meaning": entry.meaning if entry else "not documented",
            "values": list(entry.values) if entry else [],
            "mapped": sorted({each.to for each in mapped if _reads(each.read, path)}),
            "mapped_at": [
                {"to": each.to, **place_json(each.place)}
                for each in mapped
                if _reads(each.read, path)
            ],
        }
        if seen:
            row["documented"] = entry is not None
            row["seen"] = _sightings_json(sightings.get(path, []), masks)
        rows.append(row)
    return rows


def _sightings_json(found: Sequence[Sighting], masks: StandIns) -> Json:
    if not found:
        return None
    key = next((name for name in reversed(found[0].path) if name != ELEMENT), "")
    example = next((s.example for s in found if s.filled), found[0].example)
    return {
        "events": sum(sighting.events for sighting in found),
        "filled": sum(sighting.filled for sighting in found),
        "types": sorted({type_ for sighting in found for type_ in sighting.types}),
        "example": None if isinstance(example, (dict, list)) else masks.body(example, key),
    }


def _field_cells(row: Mapping[str, Json], from_journal: bool) -> list[object]:
    meaning = row["meaning"]
    mapped = "\n".join(f"{m['to']}  {m['file']}:{m['line']}" for m in row["mapped_at"])
    if not from_journal:
        return [row["path"], "|".join(row["types"]), _example(row["example"]), meaning, mapped]
    seen = row.get("seen") or {"events": 0, "types": [], "example": None}
    types = "|".join(seen["types"]) or f"({'|'.join(row['types'])})"
    return [row["path"], seen["events"] or "–", types, _example(seen["example"]), meaning, mapped]


def _example(value: Json) -> str:
    text = "" if value is None else _shown(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


@dataclass(frozen=True, slots=True)
class _Mapped:
    """An expression: the paths that it reads, where its value goes, and where it stands."""

    read: frozenset[DocumentPath]
    to: str
    place: Place


def _mapped(mapping_set: MappingSet, vendor: str, kind: str) -> list[_Mapped]:
    """Every expression that sees `kind`, in the order of the files."""
    source = next((n for n, k in mapping_set.sources.items() if k == vendor), vendor)
    mapped: list[_Mapped] = []
    for record in mapping_set.rules_for(source, kind):
        items = items_of(record)
        for name, part in (("id", record.id), ("version", record.version)):
            if part:
                read = frozenset(_documented_paths(use_of(part.expression, items)))
                mapped.append(_Mapped(read, f"{record.resource} ({name})", part.place))
        places = {rule.name: rule.place for rule in record.fields}
        for name, use in field_uses(record):
            read = frozenset(_documented_paths(use))
            mapped.append(_Mapped(read, f"{record.resource}.{name}", places[name]))
    return mapped


def _documented_paths(use: Use) -> Iterator[DocumentPath]:
    """What a rule reads, by the document's own names."""
    for path in [*use.read, *(pick.path for pick in use.picked)]:
        yield path
        if path[:1] == ("raw",):
            yield path[1:]


def _reads(read: Iterable[DocumentPath], path: DocumentPath) -> bool:
    return any(covers(each, path) for each in read)


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
