"""`connector mappings …`: what a mapping editor asks. Nothing is sent and nothing put into force.

As `cli`: parses, calls a room, prints. Only `record-test` and `fields --from-journal` need Redis.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from connector import journal, observed, recording
from connector.errors import EventUnreadable, NotJson
from connector.journal import Entry
from connector.mapping.blocks import Difference, Result, run_tests
from connector.mapping.check import Report, check, folder_of
from connector.mapping.coverage import Coverage, coverage
from connector.mapping.explain import LeftAlone, Skipped, left_alone, skipped
from connector.mapping.functions import FUNCTIONS
from connector.mapping.json_schema import json_schema
from connector.mapping.load import shown_path
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
from connector.mapping.rendering import change_to_json, version_to_json
from connector.mapping.rules import RecordRule, Rule
from connector.mapping.ruleset import MappingSet
from connector.model import Applied, Change, Event, Json, Place, Problem
from connector.observed import Seen, Sighting
from connector.problems import did_you_mean, nearest
from connector.reconcile import apply_event
from connector.recording import NotRecordable
from connector.sources import catalogue
from connector.sources.base import Source
from connector.sources.catalogue import DocumentField
from connector.sources.stand_ins import StandIns
from connector.terminal import complain, print_json, print_problems, print_table, say
from connector.workbench import (
    FOUND_WRONG,
    KINDS,
    Workbench,
    counted,
    fail,
    now,
    open_workbench,
)

_SHOWN = 60  # characters of an example
_LONG = 48  # characters of a text that is shown whole beside another

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")
paths_argument = click.argument(
    "paths", metavar="[PATH…]", nargs=-1, type=click.Path(exists=True, path_type=Path)
)


@click.group()
def mappings() -> None:
    """The mapping files: check, try and test them; nothing is sent."""


# --- check


@mappings.command("check")
@paths_argument
@click.option("--strict", is_flag=True, help="Warnings are as bad as errors.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "github"]),
    default="text",
    show_default=True,
    help="github: annotations for a workflow of GitHub Actions.",
)
@as_json
def check_verb(paths: Sequence[Path], strict: bool, form: str, json_: bool) -> None:
    """Find everything that is wrong with mapping files.

    A folder is a set; a file is judged within its folder; without PATH the configured folder.
    """
    bench = open_workbench()
    report = check(paths or [bench.folder], bench.surroundings)
    _REPORTS["json" if json_ else form](report)
    wrong = report.errors or (strict and report.warnings)
    sys.exit(FOUND_WRONG if wrong else 0)


def _report_text(report: Report) -> None:
    print_problems(report.errors, "bold red", "error")
    print_problems(report.warnings, "yellow", "warning")
    say(f"{counted(len(report.errors), 'error')}, {counted(len(report.warnings), 'warning')}")


def _report_json(report: Report) -> None:
    print_json(
        {
            "errors": [problem.to_json() for problem in report.errors],
            "warnings": [problem.to_json() for problem in report.warnings],
        }
    )


def _report_github(report: Report) -> None:
    """Workflow commands: a property may hold neither `,` nor `:`, a message no line break."""
    for command, problems in (("error", report.errors), ("warning", report.warnings)):
        for problem in problems:
            sys.stdout.write(
                f"::{command}{_properties(problem.place)}::{_escaped(_said(problem))}\n"
            )


def _properties(place: Place | None) -> str:
    if place is None:
        return ""
    file = _escaped(place.file).replace(":", "%3A").replace(",", "%2C")
    return f" file={file},line={place.line},col={place.column}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _said(problem: Problem) -> str:
    return f"{problem.message} ({problem.hint})" if problem.hint else problem.message


_REPORTS = {"text": _report_text, "json": _report_json, "github": _report_github}


# --- test


@mappings.command("test")
@paths_argument
@click.option("--coverage", "with_coverage", is_flag=True, help="Also what no test shows.")
@as_json
def test_verb(paths: Sequence[Path], with_coverage: bool, json_: bool) -> None:
    """Run the `tests:` of mapping files."""
    bench = open_workbench()
    results: list[Result] = []
    covered: list[Coverage] = []
    for path in paths or [bench.folder]:
        mapping_set = bench.load(folder_of(path))
        file = None if folder_of(path) == path else str(shown_path(path))
        results += [
            result
            for result in run_tests(mapping_set, bench.documents)
            if file in (None, result.place.file)
        ]
        if json_ or with_coverage:
            covered.append(coverage(mapping_set, bench.documents, file))
    if json_:
        print_json(
            {
                "tests": [_result_json(result) for result in results],
                "coverage": _coverage_json(covered),
            }
        )
    else:
        for result in results:
            _say_result(result)
        for each in covered:
            _say_coverage(each)
        say(f"{sum(result.passed for result in results)} of {counted(len(results), 'test')} passed")
    sys.exit(0 if all(result.passed for result in results) else FOUND_WRONG)


def _result_json(result: Result) -> dict[str, Json]:
    return {
        "name": result.name,
        "passed": result.passed,
        **_place_json(result.place),
        "differences": [_difference_json(difference) for difference in result.differences],
        "error": result.problem.to_json() if result.problem else None,
    }


def _difference_json(difference: Difference) -> dict[str, Json]:
    return {
        "change": difference.change,
        "what": difference.what,
        "expected": difference.expected,
        "found": difference.found,
        "absent": difference.is_absent,
        "hint": difference.hint or None,
        **_place_json(difference.place),
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
        if not difference.change:
            expected = counted(difference.expected, "change")
            say(f"        {expected} expected, {difference.found} made")
    for number, change in enumerate(result.changes, 1):
        _say_differences(result, number, change)
    for unmet in result.unmet:
        say(f"        never made: {_which(unmet.wanted)}, expected in line {unmet.place.line}")


def _say_differences(result: Result, number: int, change: Json) -> None:
    title = f"        change {number}: {_which(change)}"
    if number in result.unexpected:
        say(f"{title}, which nothing expects")
        return
    found = [difference for difference in result.differences if difference.change == number]
    if not found:
        return
    print_table(
        ["", "what", "expected", "found", ""],
        (
            (
                "       ",
                difference.what,
                *_side_by_side(difference),
                difference.hint,
            )
            for difference in found
        ),
        title=title,
    )


def _side_by_side(difference: Difference) -> tuple[str, str]:
    """Both values; of long texts the parts where they begin to differ."""
    if difference.is_absent:
        return _shown(difference.expected), "nothing"
    expected, found = _shown(difference.expected), _shown(difference.found)
    if max(len(expected), len(found)) <= _LONG:
        return expected, found
    same = next(
        (i for i, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b),
        min(len(expected), len(found)),
    )
    start = max(0, same - _LONG // 4)
    return _window(expected, start), _window(found, start)


def _window(text: str, start: int) -> str:
    end = start + _LONG
    return f"{'…' if start else ''}{text[start:end]}{'…' if end < len(text) else ''}"


def _which(change: Mapping[str, Json]) -> str:
    words = [change.get(key) for key in ("action", "resource", "id")]
    return " ".join(str(word) for word in words if word is not None) or "any change"


def _coverage_json(covered: Sequence[Coverage]) -> dict[str, Json]:
    records = [record for each in covered for record in each.records]
    fields = [rule for each in covered for rule in each.fields]
    bare = [record for each in covered for record in each.untouched_records]
    untouched = [rule for each in covered for rule in each.untouched_fields]
    unchecked = [rule for each in covered for rule in each.unchecked_fields]
    return {
        "rules": {
            "total": len(records),
            "touched": len(records) - len(bare),
            "untouched": [_record_json(record) for record in bare],
        },
        "fields": {
            "total": len(fields),
            "touched": len(fields) - len(untouched),
            "untouched": [_rule_json(rule) for rule in untouched],
            "unchecked": [_rule_json(rule) for rule in unchecked],
        },
    }


def _record_json(record: RecordRule) -> dict[str, Json]:
    return {"resource": record.resource, **_place_json(record.place)}


def _rule_json(rule: Rule) -> dict[str, Json]:
    return {"resource": rule.resource, "field": rule.field, **_place_json(rule.place)}


def _say_coverage(covered: Coverage) -> None:
    rows: list[tuple[str, str, Place]] = [
        *(("no test makes this record", r.resource, r.place) for r in covered.untouched_records),
        *(
            ("no test gives it a value", f"{r.resource}.{r.field}", r.place)
            for r in covered.untouched_fields
        ),
        *(
            ("no test says what it should be", f"{r.resource}.{r.field}", r.place)
            for r in covered.unchecked_fields
        ),
    ]
    if rows:
        print_table(["not tested", "what", "place"], rows)
    records = len(covered.records) - len(covered.untouched_records)
    fields = len(covered.fields) - len(covered.untouched_fields) - len(covered.unchecked_fields)
    say(
        f"tests make {records} of {counted(len(covered.records), 'rule')} write a record and check "
        f"{fields} of {counted(len(covered.fields), 'field')}"
    )


# --- try


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
    bench = open_workbench()
    mapping_set = bench.load(folder)
    reader = bench.source(source)
    try:
        events = reader.preview(file.read(), now())
    except NotJson as error:
        fail(f"{file.name}: {error}")
    tried = [_Tried.of(reader, mapping_set, event) for event in events]
    if json_:
        print_json({"events": [each.to_json() for each in tried]})
    else:
        for each in tried:
            _say_tried(each, mapping_set)
    sys.exit(FOUND_WRONG if any(each.applied.status == "error" for each in tried) else 0)


class _Tried:
    """One event, what became of it, and what did not become of it, with the reasons."""

    def __init__(
        self,
        event: Event,
        applied: Applied,
        skips: Sequence[Skipped] = (),
        alone: Sequence[LeftAlone] = (),
    ) -> None:
        self.event = event
        self.applied = applied
        self.skips = skips
        self.alone = alone

    @classmethod
    def of(cls, reader: Source, mapping_set: MappingSet, event: Event) -> _Tried:
        """Runs an event; one that cannot be read has no reasons beside its error."""
        applied = apply_event(reader, mapping_set, event)
        try:
            document = reader.document(event)
        except EventUnreadable:
            return cls(event, applied)
        alone = left_alone(mapping_set, document) if applied.status == "mapped" else ()
        return cls(event, applied, skipped(mapping_set, document), alone)

    def to_json(self) -> dict[str, Json]:
        """As docs/commands.md has it, with `skipped` and `left_alone`."""
        return {
            "id": self.event.id,
            "source": self.event.source,
            "kind": self.event.kind,
            "status": self.applied.status,
            "changes": [change_to_json(change) for change in self.applied.changes],
            "warnings": [warning.to_json() for warning in self.applied.warnings],
            "error": self.applied.error.to_json() if self.applied.error else None,
            "skipped": [
                {"resource": skip.resource, "reason": skip.reason, **_place_json(skip.place)}
                for skip in self.skips
            ],
            "left_alone": [
                {
                    "resource": left.resource,
                    "id": left.id,
                    "field": left.field,
                    "reason": left.reason,
                    **_place_json(left.place),
                }
                for left in self.alone
            ],
        }


def _say_tried(tried: _Tried, mapping_set: MappingSet) -> None:
    applied, event = tried.applied, tried.event
    say(f"{event.kind or 'unreadable'}: {applied.status}", "bold")
    if applied.status == "unmapped" and event.kind:
        named = {kind for block in mapping_set.blocks for kind in block.events if "*" not in kind}
        close = nearest(event.kind, sorted(named))
        say("no block names this kind" + (f"; there is one for {close!r}" if close else ""))
    if applied.error:
        print_problems([applied.error], "bold red", "error")
    print_problems(applied.warnings, "yellow", "warning")
    if applied.status == "mapped" and not applied.changes:
        say("no record: every rule's `when` or `each` left it out")
    for change in applied.changes:
        _say_change(change, mapping_set)
    _say_reasons(tried)


def _say_change(change: Change, mapping_set: MappingSet) -> None:
    rows: list[tuple[str, str, str, object]] = []
    for name, value in change_to_json(change)["fields"].items():
        rule = mapping_set.rules[change.rules[name]]
        rows.append((name, _shown(value), rule.expression or "", rule.place))
    print_table(["field", "value", "expression", "place"], rows, title=_title(change))


def _say_reasons(tried: _Tried) -> None:
    """What did not become of the event: fields, rules for its kind, and other rules in one line."""
    if tried.alone:
        print_table(
            ["field", "why", "place"],
            ((f"{a.resource}.{a.field}", a.reason, a.place) for a in tried.alone),
            title="fields left alone",
        )
    for_kind = [skip for skip in tried.skips if not skip.is_other_kind]
    if for_kind:
        print_table(
            ["record", "why", "place"],
            ((skip.resource, skip.reason, skip.place) for skip in for_kind),
            title="rules that did not apply",
        )
    if others := len(tried.skips) - len(for_kind):
        say(f"{counted(others, 'rule')} of this source are for other kinds of events")


def _title(change: Change) -> str:
    version = version_to_json(change.version) or "time of receipt"
    final = ", final" if change.final else ""
    return f"{change.action} {change.resource} {change.id} (version {version}{final})"


# --- what can be written


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


@mappings.command("schema")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there instead of printing it.",
)
def schema_verb(output: Path | None) -> None:
    """The JSON Schema (draft 2020-12) of mapping files, for editors that complete and check.

    A file's first line `# yaml-language-server: $schema=…` names it.
    """
    text = json.dumps(json_schema(KINDS), ensure_ascii=False, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror}")
    say(f"{output} is written")


@mappings.command("fields")
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
    mapped: Sequence[tuple[frozenset[DocumentPath], str]],
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
            "mapped": sorted({at for read, at in mapped if _reads(read, path)}),
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
    meaning, mapped = row["meaning"], ", ".join(row["mapped"])
    if not from_journal:
        return [row["path"], "|".join(row["types"]), _example(row["example"]), meaning, mapped]
    seen = row.get("seen") or {"events": 0, "types": [], "example": None}
    types = "|".join(seen["types"]) or f"({'|'.join(row['types'])})"
    return [row["path"], seen["events"] or "–", types, _example(seen["example"]), meaning, mapped]


def _example(value: Json) -> str:
    text = "" if value is None else _shown(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _mapped(
    mapping_set: MappingSet, vendor: str, kind: str
) -> list[tuple[frozenset[DocumentPath], str]]:
    """For each expression that sees `kind`: the paths that it reads, and where its value goes."""
    source = next((n for n, k in mapping_set.sources.items() if k == vendor), vendor)
    mapped = []
    for record in mapping_set.rules_for(source, kind):
        items = items_of(record)
        for name, part in (("id", record.id), ("version", record.version)):
            if part:
                use = use_of(part.expression, items)
                mapped.append((frozenset(_documented_paths(use)), f"{record.resource} ({name})"))
        for name, use in field_uses(record):
            mapped.append((frozenset(_documented_paths(use)), f"{record.resource}.{name}"))
    return mapped


def _documented_paths(use: Use) -> Iterator[DocumentPath]:
    """What a rule reads, by the document's own names."""
    for path in [*use.read, *(pick.path for pick in use.picked)]:
        yield path
        if path[:1] == ("raw",):
            yield path[1:]


def _reads(read: Iterable[DocumentPath], path: DocumentPath) -> bool:
    return any(covers(each, path) for each in read)


# --- tests made of real events


@mappings.command("record-test")
@click.argument("event_id", metavar="EVENT_ID")
@click.option(
    "--write",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Add it to this mapping file instead of printing it.",
)
@click.option("--name", help="What the test shows.  [default: kind and day]")
@as_json
def record_test_verb(event_id: str, file: Path | None, name: str | None, json_: bool) -> None:
    """Write a test from a kept event, personal data replaced. EVENT_ID may be its beginning."""
    bench = open_workbench()
    event = _kept_event(bench, event_id).event
    folder = folder_of(file) if file else bench.folder
    mapping_set = bench.load(folder)
    shown = str(shown_path(file)) if file else None
    title = name or f"{event.kind} as it came on {_day(event.received_at)} ({event.id[:8]})"
    try:
        recorded = recording.record(event, title, mapping_set, bench.documents_at, shown)
        text = recorded.text()
        if file:
            written = recording.added_to(
                file, recorded, bench.surroundings, bench.documents_at, now()
            )
            file.write_bytes(written.encode())
    except NotRecordable as error:
        complain(str(error))
        sys.exit(FOUND_WRONG)
    if json_:
        print_json({"test": recorded.test, "yaml": text, "file": shown})
    elif file:
        say(f"{shown}: the test {title!r} is added")
    else:
        sys.stdout.write(f"tests:\n{text}")


def _kept_event(bench: Workbench, prefix: str) -> Entry:
    client = bench.redis()
    for source in bench.sources:
        if whole := journal.find(client, source, prefix):
            return whole
    found = journal.search(client, prefix)
    if len(found) != 1:
        several = ", ".join(entry.event.id for entry in found)
        fail(
            f"{prefix} is the beginning of several events: {several}"
            if found
            else f"no event begins with {prefix}"
        )
    return journal.load(client, [found[0].serial])[0]


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d")


# --- how things are said


def _place_json(place: Place) -> dict[str, Json]:
    return {"file": place.file, "line": place.line, "column": place.column}


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)
