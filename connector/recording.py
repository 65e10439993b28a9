"""A real event as a `tests:` block: personal data replaced, and what the set makes of it expected.

The invariant: what is written passes as it is written, today and next year. So the expectation is
made by running the very text, and what depends on the day it is run (a version that is the time of
receipt, a field made of it) is left out. A file is only changed when the whole set, tests included,
stands afterwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from connector.errors import ConnectorError, MappingInvalid
from connector.mapping.blocks import Result, body_of, run_test
from connector.mapping.load import Surroundings, read_folder, set_from_texts
from connector.mapping.rendering import change_to_json
from connector.mapping.rules import Block, TestBlock
from connector.mapping.ruleset import MappingSet
from connector.model import Event, Json, Micros, Place
from connector.sources.stand_ins import StandIns
from connector.yamltext import Document, load_text
from connector.yamlwrite import to_yaml

YEAR: Micros = 366 * 24 * 3600 * 1_000_000
"""How much later the second trial run is, which shows what depends on the day."""

_STEP = 2  # blanks by which the items of a list are indented

DocumentsAt = Callable[[Micros, str, bytes], Sequence[Mapping[str, Json]]]
"""Time of receipt, source and body → documents."""


class NotRecordable(ConnectorError):
    """An event of which no test can be made, or a file that takes none."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A test as data, and the block that it belongs to; no block where none names the kind."""

    test: dict[str, Json]
    block: Block | None

    def text(self, indent: int = _STEP) -> str:
        """The item of `tests:`, ready to be put below it."""
        return to_yaml([self.test], indent)


def record(
    event: Event,
    name: str,
    mapping_set: MappingSet,
    documents_at: DocumentsAt,
    file: str | None = None,
) -> Recorded:
    """A test of an event. `file`: where its block stands, else any that names the kind does.

    Raises NotRecordable for an event that cannot be read or mapped, or that gives other records
    every time.
    """
    block = _block(event, mapping_set, file)
    try:
        body = json.loads(event.body)
    except (ValueError, RecursionError):
        raise NotRecordable("the event's body is not JSON") from None
    test: dict[str, Json] = {"name": name, "event": StandIns().body(body)}
    source = block.source if block else event.vendor
    now, later = (
        _made(test, source, mapping_set, documents_at, at)
        for at in (event.received_at, event.received_at + YEAR)
    )
    if [_which(change) for change in now] != [_which(change) for change in later]:
        raise NotRecordable("its records depend on the time of receipt: no test can expect them")
    several = len({target for target, _ in mapping_set.resources}) > 1
    test["expect"] = [
        _expected(change, other, several) for change, other in zip(now, later, strict=True)
    ]
    return Recorded(test, block)


def _block(event: Event, mapping_set: MappingSet, file: str | None) -> Block | None:
    found = [
        block
        for block in mapping_set.blocks
        if block.covers(event.source, event.vendor)
        and event.kind is not None
        and block.names(event.kind)
    ]
    here = [block for block in found if file is None or block.place.file == file]
    if file is not None and not here:
        files = ", ".join(sorted({block.place.file for block in found}))
        raise NotRecordable(
            f"no block of {file} is for {event.kind}; "
            + (f"{files} has one" if files else "no other file has one either")
        )
    return here[0] if here else None


def _made(
    test: Mapping[str, Json],
    source: str,
    mapping_set: MappingSet,
    documents_at: DocumentsAt,
    at: Micros,
) -> list[dict[str, Json]]:
    """The changes that the test's event makes when it is received at a time."""
    block = TestBlock(test["name"], source, test["event"], (), Place("", 1, 1))
    try:
        documents = documents_at(at, mapping_set.source_of(block), body_of(block))
    except ConnectorError as error:
        raise NotRecordable(f"the event cannot be read: {error}") from None
    changes = []
    for document in documents:
        applied = mapping_set.apply(document)
        if applied.error:
            raise NotRecordable(f"the event cannot be mapped: {applied.error}")
        changes += [change_to_json(change) for change in applied.changes]
    return changes


def _which(change: Mapping[str, Json]) -> tuple[Json, ...]:
    return (change["action"], change["target"], change["resource"], change["id"])


def _expected(change: Mapping[str, Json], later: Mapping[str, Json], several: bool) -> Json:
    """What a test names of a change: all that is the same a year later."""
    wanted: dict[str, Json] = {"action": change["action"]}
    if several:
        wanted["target"] = change["target"]
    wanted |= {"resource": change["resource"], "id": change["id"]}
    if change["version"] is not None and change["version"] == later["version"]:
        wanted["version"] = change["version"]
    if change["final"]:
        wanted["final"] = True
    if change["action"] == "upsert":
        fields = change["fields"].items()
        wanted["fields"] = {
            name: value
            for name, value in fields
            if name in later["fields"] and later["fields"][name] == value
        }
    if change["write"]:
        wanted["write"] = change["write"]
    return wanted


# --- into a file


def added_to(
    path: Path,
    recorded: Recorded,
    surroundings: Surroundings,
    documents_at: DocumentsAt,
    now: Micros,
) -> str:
    """The text of a mapping file with the test added to its block. Writes nothing.

    Raises NotRecordable where the file's layout does not allow it, or the set would not stand.
    """
    raw = path.read_bytes().decode()
    line_end = "\r\n" if "\r\n" in raw else "\n"
    text = raw.replace("\r\n", "\n")
    documents = load_text(text, str(path))
    place = recorded.block.place if recorded.block else None
    document = next(d for d in documents if place and d.places.value(()).line == place.line)
    changed = _inserted(text, document, recorded)
    _make_sure(path, changed, recorded, surroundings, documents_at, now)
    return changed.replace("\n", line_end)


def _inserted(text: str, document: Document, recorded: Recorded) -> str:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    tests = document.data.get("tests")
    if not tests:
        if "tests" in document.data:
            raise NotRecordable("its `tests:` is empty: delete that line, and it will be added")
        end = _end_of_block(lines, document.places.value(()).line - 1, 0)
        return "".join([*lines[:end], "\ntests:\n", recorded.text(), *lines[end:]])
    first = document.places.key(("tests", 0))
    dash = lines[first.line - 1][: first.column - 1].rstrip()
    if not dash.endswith("-") or dash.strip("- "):
        raise NotRecordable("its `tests:` stand in brackets: write them as a list with dashes")
    indent = len(dash) - 1
    last = document.places.key(("tests", len(tests) - 1)).line - 1
    end = _end_of_block(lines, last + 1, indent + 1)
    return "".join([*lines[:end], "\n", recorded.text(indent), *lines[end:]])


def _end_of_block(lines: Sequence[str], start: int, indent: int) -> int:
    """Behind the last line from `start` on that is indented so far; comments after it stay."""
    end = start
    for number in range(start, len(lines)):
        line = lines[number]
        if re.match(r"---(?:\s|$)|\.\.\.(?:\s|$)", line):
            break
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if len(line) - len(line.lstrip(" ")) < indent:
            break
        end = number + 1
    return end


def _make_sure(
    path: Path,
    changed: str,
    recorded: Recorded,
    surroundings: Surroundings,
    documents_at: DocumentsAt,
    now: Micros,
) -> None:
    """The set with the changed file can be read, and the new test in it passes."""
    texts, _ = read_folder(path.parent)
    kept = {name: text for name, text in texts.items() if isinstance(text, str)}
    try:
        mapping_set = set_from_texts(
            {**kept, path.name: changed},
            sources=surroundings.sources,
            targets=surroundings.targets,
            timezone=surroundings.timezone,
        )
    except MappingInvalid as error:
        raise NotRecordable(f"the file could not be read afterwards: {error}") from None
    new = [t for t in mapping_set.tests if t.name == recorded.test["name"]]
    results: list[Result] = [
        run_test(test, mapping_set, lambda source, body: documents_at(now, source, body))
        for test in new
    ]
    if not results or not all(result.passed for result in results):
        raise NotRecordable("the test would not pass as it was written")
