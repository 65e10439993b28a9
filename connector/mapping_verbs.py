"""`connector mappings …`: what a mapping editor asks. Needs no Redis, no CRM and no secrets.

As `cli`: parses, calls a room, prints.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from zoneinfo import ZoneInfo

import click

from connector.config import load as load_config
from connector.config.model import App, CareSoft, Mobio, SourceConfig
from connector.errors import ConfigInvalid, NotJson
from connector.mapping.blocks import Result, run_tests
from connector.mapping.check import check, folder_of
from connector.mapping.functions import FUNCTIONS
from connector.mapping.load import Surroundings, judge
from connector.mapping.rendering import change_to_json, version_to_json
from connector.mapping.ruleset import MappingSet
from connector.model import Applied, Change, Event, Json
from connector.problems import did_you_mean
from connector.reconcile import apply_event
from connector.sources import VENDORS, open_source
from connector.sources.base import Source
from connector.sources.catalogue import fields as catalogue_fields
from connector.terminal import complain, print_json, print_problems, print_table, say

FOUND_WRONG, COULD_NOT_RUN = 1, 2

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")
paths_argument = click.argument(
    "paths", metavar="[PATH…]", nargs=-1, type=click.Path(exists=True, path_type=Path)
)


@click.group()
def mappings() -> None:
    """The mapping files: check, try and test them; nothing is sent."""


@dataclass(frozen=True, slots=True)
class _Bench:
    """What mapping files are judged and tried against."""

    folder: Path
    surroundings: Surroundings
    sources: Mapping[str, Source]

    def source(self, name: str) -> Source:
        """A configured source, or one of that vendor's kind where none is configured."""
        found = self.sources.get(name)
        if found is None and name in VENDORS:
            return open_source(_unconfigured(name))
        if found is None:
            complain(f"no source {name!r} is configured; {did_you_mean(name, self.sources)}")
            sys.exit(COULD_NOT_RUN)
        return found

    def documents(self, source: str, body: bytes) -> list[dict[str, Json]]:
        """The documents of a body, as `tests:` blocks want them."""
        reader = self.source(source)
        events = reader.preview(body, _now())
        return [reader.document(event) for event in events]


# --- the verbs


@mappings.command("check")
@paths_argument
@as_json
def check_verb(paths: Sequence[Path], json_: bool) -> None:
    """Find everything that is wrong with mapping files.

    A folder is a set; a file is judged within its folder; without PATH the configured folder.
    """
    bench = _bench()
    report = check(paths or [bench.folder], bench.surroundings)
    if json_:
        print_json(
            {
                "errors": [problem.to_json() for problem in report.errors],
                "warnings": [problem.to_json() for problem in report.warnings],
            }
        )
    else:
        print_problems(report.errors, "bold red", "error")
        print_problems(report.warnings, "yellow", "warning")
        say(f"{len(report.errors)} errors, {len(report.warnings)} warnings")
    sys.exit(FOUND_WRONG if report.errors else 0)


@mappings.command("test")
@paths_argument
@as_json
def test_verb(paths: Sequence[Path], json_: bool) -> None:
    """Run the `tests:` of mapping files."""
    bench = _bench()
    results = [result for path in paths or [bench.folder] for result in _tests(bench, path)]
    if json_:
        print_json({"tests": [_result_json(result) for result in results]})
    else:
        for result in results:
            _say_result(result)
        passed = sum(result.passed for result in results)
        say(f"{passed} of {len(results)} tests passed")
    sys.exit(0 if all(result.passed for result in results) else FOUND_WRONG)


@mappings.command("try")
@click.argument("file", type=click.File("rb"))
@click.option("--source", required=True, help="The source that sent it.")
@click.option(
    "--mappings",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another folder than the configured one.",
)
@as_json
def try_verb(file: BinaryIO, source: str, folder: Path | None, json_: bool) -> None:
    """Run one body through the mappings ('-': standard input). Nothing is sent."""
    bench = _bench()
    mapping_set = _load(bench, folder or bench.folder)
    reader = bench.source(source)
    try:
        events = reader.preview(file.read(), _now())
    except NotJson as error:
        complain(f"{file.name}: {error}")
        sys.exit(COULD_NOT_RUN)
    tried = [(event, apply_event(reader, mapping_set, event)) for event in events]
    if json_:
        print_json({"events": [_tried_json(event, applied) for event, applied in tried]})
    else:
        for event, applied in tried:
            _say_tried(event, applied, mapping_set)
    sys.exit(FOUND_WRONG if any(a.status == "error" for _, a in tried) else 0)


@mappings.command("functions")
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


@mappings.command("fields")
@click.argument("kind")
@as_json
def fields_verb(kind: str, json_: bool) -> None:
    """What a document of KIND offers, and which of it is mapped."""
    bench = _bench()
    vendor = next((v.kind for v in VENDORS.values() if kind in v.kinds), None)
    if vendor is None:
        every = [known for v in VENDORS.values() for known in v.kinds]
        complain(f"{kind!r} is no documented kind; {did_you_mean(kind, every)}")
        sys.exit(COULD_NOT_RUN)
    mapped = _mapped_paths(_load(bench, bench.folder), vendor, kind)
    rows = [
        {
            "path": entry.path,
            "types": list(entry.types),
            "example": entry.example,
            "meaning": entry.meaning,
            "mapped": [at for text, at in mapped if _mentions(text, entry.path)],
        }
        for entry in catalogue_fields(vendor, kind)
    ]
    if json_:
        print_json({"kind": kind, "fields": rows})
        return
    print_table(
        ["path", "types", "example", "meaning", "mapped to"],
        (
            (
                row["path"],
                "|".join(row["types"]),
                "" if row["example"] is None else json.dumps(row["example"], ensure_ascii=False),
                row["meaning"],
                ", ".join(row["mapped"]),
            )
            for row in rows
        ),
    )


# --- what the verbs share


class _AnyEnvironment(dict[str, str]):
    """The environment, with a stand-in for each variable that is not set: the mapping files do
    not depend on secrets and addresses, and who edits them need not have them."""

    def __missing__(self, name: str) -> str:
        return "redis://unset.invalid" if "REDIS" in name else "http://unset.invalid"

    def __contains__(self, name: object) -> bool:
        return True


def _bench() -> _Bench:
    """From config.yaml, or for both vendors and one CRM where there is none."""
    path = Path(os.environ.get("CONNECTOR_CONFIG", "config.yaml"))
    if "CONNECTOR_CONFIG" not in os.environ and not path.exists():
        sources = {kind: open_source(_unconfigured(kind)) for kind in VENDORS}
        return _Bench(
            Path("mappings"), _surroundings(sources, ["crm"], "Asia/Ho_Chi_Minh"), sources
        )
    try:
        config = load_config(path, _AnyEnvironment(os.environ))
    except ConfigInvalid as error:
        print_problems(error.problems, "bold red", "error", lines=False)
        sys.exit(COULD_NOT_RUN)
    sources = {name: open_source(source) for name, source in config.sources.items()}
    around = _surroundings(sources, list(config.targets), str(config.timezone))
    return _Bench(config.mappings, around, sources)


def _surroundings(sources: Mapping[str, Source], targets: Sequence[str], zone: str) -> Surroundings:
    return Surroundings(
        {name: source.kind for name, source in sources.items()},
        targets,
        ZoneInfo(zone),
        {vendor.kind: vendor.kinds for vendor in VENDORS.values()},
    )


def _unconfigured(kind: str) -> SourceConfig:
    """A source of a vendor, to read bodies with: it verifies nothing."""
    if kind == "caresoft":
        return CareSoft("caresoft", unsigned=True)
    return Mobio("mobio", (App("", ()),))


def _load(bench: _Bench, folder: Path) -> MappingSet:
    judged = judge(folder, bench.surroundings)
    if judged.mapping_set is None:
        print_problems(judged.errors, "bold red", "error")
        sys.exit(COULD_NOT_RUN)
    return judged.mapping_set


def _tests(bench: _Bench, path: Path) -> Iterator[Result]:
    """The results of a folder's tests; of a file, those that stand in it."""
    folder = folder_of(path)
    mapping_set = _load(bench, folder)
    for result in run_tests(mapping_set, bench.documents):
        if folder == path or Path(result.place.file).name == path.name:
            yield result


def _tried_json(event: Event, applied: Applied) -> dict[str, Json]:
    return {
        "id": event.id,
        "source": event.source,
        "kind": event.kind,
        "status": applied.status,
        "changes": [change_to_json(change) for change in applied.changes],
        "warnings": [warning.to_json() for warning in applied.warnings],
        "error": applied.error.to_json() if applied.error else None,
    }


def _say_tried(event: Event, applied: Applied, mapping_set: MappingSet) -> None:
    say(f"{event.kind or 'unreadable'}: {applied.status}", "bold")
    if applied.error:
        print_problems([applied.error], "bold red", "error")
    print_problems(applied.warnings, "yellow", "warning")
    if applied.status == "mapped" and not applied.changes:
        say("no record: every rule's `when` or `each` left it out")
    for change in applied.changes:
        shown = change_to_json(change)
        rules = {name: mapping_set.rules[number] for name, number in change.rules.items()}
        print_table(
            ["field", "value", "expression", "place"],
            (
                (
                    name,
                    json.dumps(value, ensure_ascii=False),
                    (rules[name].expression or "") if name in rules else "",
                    rules[name].place if name in rules else "",
                )
                for name, value in shown["fields"].items()
            ),
            title=_title(change),
        )


def _title(change: Change) -> str:
    version = version_to_json(change.version) or "time of receipt"
    final = ", final" if change.final else ""
    return f"{change.action} {change.resource} {change.id} (version {version}{final})"


def _result_json(result: Result) -> dict[str, Json]:
    return {
        "name": result.name,
        "passed": result.passed,
        "file": result.place.file,
        "line": result.place.line,
        "column": result.place.column,
        "differences": [
            {
                "change": difference.change,
                "what": difference.what,
                "expected": difference.expected,
                "found": difference.found,
                "absent": difference.is_absent,
                "file": difference.place.file,
                "line": difference.place.line,
                "column": difference.place.column,
            }
            for difference in result.differences
        ],
        "error": result.problem.to_json() if result.problem else None,
    }


def _say_result(result: Result) -> None:
    if result.passed:
        say(f"ok      {result.place.file}: {result.name}", "green")
        return
    say(f"failed  {result.place}: {result.name}", "bold red")
    if result.problem:
        print_problems([result.problem], "red", "error")
    for kind in result.unmapped:
        say(f"        no block names the kind {kind}")
    for difference in result.differences:
        where = f"change {difference.change}, " if difference.change else ""
        found = (
            "nothing" if difference.is_absent else json.dumps(difference.found, ensure_ascii=False)
        )
        wanted = json.dumps(difference.expected, ensure_ascii=False)
        say(f"        {where}{difference.what}: expected {wanted}, found {found}")


def _mapped_paths(mapping_set: MappingSet, vendor: str, kind: str) -> list[tuple[str, str]]:
    """For each field rule that sees `kind`: its expression, and where its value goes."""
    source = next((n for n, k in mapping_set.sources.items() if k == vendor), vendor)
    numbers = {
        field.number for record in mapping_set.rules_for(source, kind) for field in record.fields
    }
    rules = [mapping_set.rules[number] for number in sorted(numbers)]
    return [(rule.expression or "", f"{rule.resource}.{rule.field}") for rule in rules]


def _mentions(expression: str, path: str) -> bool:
    plain = re.escape(path).replace(r"\[\]", r"(?:\[[^\]]*\])?")
    return re.search(rf"(?<![\w.]){plain}(?![\w])", expression) is not None


def _now() -> int:
    return time.time_ns() // 1000
