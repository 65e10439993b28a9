"""`connector mappings …`: what a mapping editor asks. Nothing is sent and nothing put into force.

As `cli`: parses, calls a room, prints. Only `record-test` needs Redis; `check` asks it what really
came where a name is doubtful. What tells what can be written stands in `reference_verbs`, what puts
sets into force in `release_verbs`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click

from connector import journal, recording, reference_verbs
from connector.errors import EventUnreadable, NotJson
from connector.journal import Entry
from connector.mapping.blocks import Difference, Result, run_tests
from connector.mapping.check import Report, check, folder_of
from connector.mapping.coverage import Coverage, coverage
from connector.mapping.explain import LeftAlone, Skipped, left_alone, skipped
from connector.mapping.load import shown_path
from connector.mapping.rendering import change_to_json, version_to_json
from connector.mapping.rules import RecordRule, Rule
from connector.mapping.ruleset import MappingSet
from connector.model import Applied, Change, Event, Json, Place, Problem
from connector.observed import Journaled
from connector.problems import nearest
from connector.reconcile import apply_event
from connector.recording import NotRecordable
from connector.sources.base import Source
from connector.terminal import complain, print_json, print_problems, print_table, say
from connector.verbs import FOUND_WRONG, fail
from connector.workbench import Workbench, counted, now, open_workbench

_SHOWN = 60  # characters of an example
_LONG = 48  # characters of a text that is shown whole beside another

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")
paths_argument = click.argument(
    "paths", metavar="[PATH…]", nargs=-1, type=click.Path(exists=True, path_type=Path)
)


@click.group()
def mappings() -> None:
    """The mapping files: check, try and test them; nothing is sent."""


reference_verbs.add_to(mappings)


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
    from connector.fit import fit  # nothing that the processes that run all day need

    bench = open_workbench()
    seen = Journaled(bench.redis_url, bench.sources).has if bench.redis_url else None
    chosen = paths or [bench.folder]
    report = check(chosen, replace(bench.surroundings, seen=seen))
    fitting = fit(chosen, bench.surroundings, bench.targets, bench.documents)
    report = Report(report.errors + fitting.errors, report.warnings + fitting.warnings)
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
