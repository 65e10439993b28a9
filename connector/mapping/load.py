"""Mapping files to a mapping set: everything that is wrong with them is found here, with its place.

The job: a folder (or the texts of one) in, a `MappingSet` out, or `MappingInvalid` with every
problem of every file. The invariant: a set that loads never fails for a reason that its files
alone could have told. `yamltext` reads YAML, `schema` knows the grammar, `lint` judges what only
the whole set shows; this page joins them and gives each part its place.

A set is the `*.yaml` files of a folder in the order of their names, and `tables/*.yaml` in it. A
YAML document that holds nothing (a `---` too many) is passed over; a file of only such is an error,
and so is a folder without a file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any
from zoneinfo import ZoneInfo

from connector.errors import MappingInvalid
from connector.mapping import documented, lint, schema
from connector.mapping.expressions import Expression
from connector.mapping.functions import Context
from connector.mapping.keys import Fault
from connector.mapping.rules import (
    VENDORS,
    Block,
    Computed,
    Constant,
    Expected,
    FieldRule,
    Located,
    RecordRule,
    Reference,
    TestBlock,
)
from connector.mapping.ruleset import MappingSet, set_hash
from connector.mapping.values import scalar_text
from connector.model import Json, Place, Problem
from connector.problems import did_you_mean
from connector.yamltext import Document, read_text

__all__ = [
    "Judged",
    "MappingSet",
    "Surroundings",
    "judge",
    "judge_texts",
    "load_set",
    "read_folder",
    "set_from_texts",
]

TABLES = "tables"

MOST_BLOCKS = 1000
"""Blocks of a file: far more than people write, and soon judged."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a set is judged against.

    `sources`: configured names and their kinds. `targets`: configured names. `kinds`: for each
    kind of source the events that its vendor documents; a vendor that is not in it goes unchecked.
    `offered` gives what the documents of (vendor, kind) hold by the vendor's documentation; without
    it the names in expressions go unchecked. `seen` says of others whether they really came.
    """

    sources: Mapping[str, str]
    targets: Sequence[str]
    timezone: ZoneInfo
    kinds: Mapping[str, Collection[str]] = field(default_factory=dict)
    offered: documented.Offered | None = None
    seen: documented.Seen | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What reading a set gave: the set, unless there are errors."""

    mapping_set: MappingSet | None
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load_set(
    folder: Path,
    *,
    sources: Mapping[str, str],
    targets: Sequence[str],
    timezone: ZoneInfo,
    kinds: Mapping[str, Collection[str]] | None = None,
) -> MappingSet:
    """The set in a folder. Raises MappingInvalid with every problem.

    `sources` are the configured names with their kinds, `targets` the configured names; `kinds`
    as in `Surroundings`. Places name the files as seen from the working directory.
    """
    return _made(judge(folder, Surroundings(sources, targets, timezone, kinds or {})))


def set_from_texts(
    texts: Mapping[str, str],
    *,
    sources: Mapping[str, str],
    targets: Sequence[str],
    timezone: ZoneInfo,
    kinds: Mapping[str, Collection[str]] | None = None,
) -> MappingSet:
    """The set whose `texts` were kept; places name the files as the texts do.

    Raises MappingInvalid.
    """
    surroundings = Surroundings(sources, targets, timezone, kinds or {})
    return _made(_judge_texts(texts, surroundings, PurePosixPath()))


def judge(folder: Path, surroundings: Surroundings) -> Judged:
    """The set in a folder with its errors and warnings; never raises for what files hold."""
    shown = shown_path(folder)
    if not folder.is_dir():
        problem = Problem("there is no such folder", "name the folder of the mapping files")
        return Judged(None, (_at(problem, Place(str(shown), 1, 1)),), ())
    texts, unreadable = read_folder(folder)
    judged = _judge_texts(texts, surroundings, shown, list(_overlooked(folder)))
    if unreadable:
        return Judged(None, (*unreadable, *judged.errors), judged.warnings)
    return judged


def judge_texts(texts: Mapping[str, str], surroundings: Surroundings) -> Judged:
    """As `judge`, for texts that stand in no folder; places name the files as the texts do."""
    return _judge_texts(texts, surroundings, PurePosixPath())


def read_folder(folder: Path) -> tuple[dict[str, str | bytes], list[Problem]]:
    """The files of a set by their names in it; bytes where a file is no UTF-8 text."""
    texts: dict[str, str | bytes] = {}
    problems = []
    for path in sorted(folder.glob("*.yaml")) + sorted((folder / TABLES).glob("*.yaml")):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            raw = path.read_bytes()
        except OSError as error:
            place = Place(str(shown_path(path)), 1, 1)
            problems.append(Problem("the file cannot be read", str(error.strerror), place))
            continue
        texts[path.relative_to(folder).as_posix()] = _text(raw)
    return texts, problems


def shown_path(path: Path) -> PurePosixPath:
    """A path as messages name it: from the working directory where it is below that."""
    here = Path.cwd()
    absolute = Path(os.path.abspath(path))  # as written: links are not followed
    return PurePosixPath(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _overlooked(folder: Path) -> Iterator[Problem]:
    for path in sorted([*folder.glob("*.yml"), *(folder / TABLES).glob("*.yml")]):
        place = Place(str(shown_path(path)), 1, 1)
        yield Problem("the file is not read", "only files that end in .yaml are", place)


def _made(judged: Judged) -> MappingSet:
    if judged.mapping_set is None:
        raise MappingInvalid(judged.errors, judged.warnings)
    return judged.mapping_set


def _at(problem: Problem, place: Place) -> Problem:
    return Problem(problem.message, problem.hint, place)


# --- texts to a set


def _judge_texts(
    texts: Mapping[str, str | bytes],
    surroundings: Surroundings,
    folder: PurePosixPath,
    overlooked: Sequence[Problem] = (),
) -> Judged:
    reader = _Reader(surroundings)
    for name in sorted(texts):
        path = PurePosixPath(name)
        read = reader.table if path.parent.name == TABLES else reader.file
        read(path.stem, texts[name], str(folder / path))
    if not any(PurePosixPath(name).parent.name != TABLES for name in texts):
        reader.errors.append(
            Problem("no mapping files in it", "they end in .yaml", Place(str(folder), 1, 1))
        )
    found = lint.errors(
        reader.blocks,
        reader.tables,
        reader.unread,
        surroundings.sources,
        surroundings.timezone,
    )
    errors = sorted([*reader.errors, *found], key=_by_place)
    doubts = list(lint.warnings(reader.blocks, surroundings.sources, surroundings.kinds))
    if surroundings.offered:
        judge_ = documented.Judge(
            surroundings.offered,
            surroundings.kinds,
            surroundings.sources,
            Context(surroundings.timezone, reader.tables, warn=lambda _: None),
            surroundings.seen,
        )
        doubts += judge_.doubts(reader.blocks)
    warnings = tuple(sorted([*overlooked, *doubts], key=_by_place))
    if errors:
        return Judged(None, tuple(errors), warnings)
    kept = {name: text for name, text in texts.items() if isinstance(text, str)}
    made = MappingSet(
        hash=set_hash(kept, surroundings.timezone),
        texts=kept,
        blocks=tuple(reader.blocks),
        tables=reader.tables,
        sources=dict(surroundings.sources),
        timezone=surroundings.timezone,
        warnings=warnings,
    )
    return Judged(made, (), warnings)


def _by_place(problem: Problem) -> tuple[str, int, int]:
    place = problem.place
    return (place.file, place.line, place.column) if place else ("", 0, 0)


class _Reader:
    """Reads the files of one set, numbering the rules and collecting what is wrong."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.blocks: list[Block] = []  # with errors, only to be judged: parts may be missing
        self.tables: dict[str, Mapping[str, Json]] = {}
        self.errors: list[Problem] = []
        self._wrong_lines: set[tuple[str, int]] = set()
        self._lines_known = 0  # of how many errors the lines are in it
        self.unread = lint.Unread()
        self.yaml_is_wrong = False  # of the file at hand: keys may be missing because of it
        self._surroundings = surroundings
        self._numbers = count()

    def table(self, name: str, text: str | bytes, file: str) -> None:
        """One file of `tables/`: a map of keys, as text, to values."""
        self.tables[name] = {}  # also of a broken one, so that lookups of it are not wrong too
        documents = self._documents(text, file)
        for document in documents[:1]:
            if isinstance(document.data, dict):
                self.tables[name] = document.data
            else:
                self._wrong("a table is a map of keys to values", "key: value", document)
        for document in documents[1:]:
            self._wrong("a second document", "a table is one document: delete the ---", document)

    def file(self, _: str, text: str | bytes, file: str) -> None:
        """One mapping file: a block for each document."""
        documents = self._documents(text, file)
        if len(documents) > MOST_BLOCKS:
            message = f"the file has {len(documents)} blocks, at most {MOST_BLOCKS} are read"
            self._wrong(message, "make it several files", documents[MOST_BLOCKS])
        for document in documents[:MOST_BLOCKS]:
            data, faults = schema.read_block(document.data)
            self._tell(
                _problem(fault, path, document)
                for path, fault in faults
                if not (self.yaml_is_wrong and schema.is_missing_key(path, fault))
            )
            target = self._target(document)
            if faults or target is None:
                self.unread.add(document.data)
                data = schema.salvaged(document.data, faults) if target else {}
            if data and target:
                self.blocks.append(_BlockReader(document, target, self._numbers).block(data))

    def _documents(self, text: str | bytes, file: str) -> list[Document]:
        reading = read_text(text, file)
        self.errors += reading.problems
        self.yaml_is_wrong = bool(reading.problems)
        self.unread.everything |= not reading.is_whole
        filled = [document for document in reading.documents if document.data is not None]
        if not filled and not reading.problems:
            self.errors.append(
                Problem("the file is empty", "delete it, or fill it", Place(file, 1, 1))
            )
        return filled

    def _tell(self, problems: Iterable[Problem]) -> None:
        """Add problems, but for those of a line of which the YAML is wrong already."""
        new = self.errors[self._lines_known :]
        self._lines_known += len(new)
        self._wrong_lines |= {(p.place.file, p.place.line) for p in new if p.place}
        wrong = self._wrong_lines
        for problem in problems:
            if problem.place is None or (problem.place.file, problem.place.line) not in wrong:
                self.errors.append(problem)

    def _target(self, document: Document) -> str | None:
        """The block's target; None, with errors, where its source or target is not there."""
        data = document.data if isinstance(document.data, dict) else {}
        sources = self._surroundings.sources
        targets = list(self._surroundings.targets)
        known = [*VENDORS, *(name for name in sources if name not in VENDORS)]
        good = self._knows("source", data.get("source"), known, document)
        if "target" in data:
            good &= self._knows("target", data["target"], targets, document)
            return data["target"] if good else None
        if len(targets) != 1:
            hint = f"one of {', '.join(targets)}" if targets else "none is configured"
            self._wrong("the key 'target' is missing", hint, document)
            return None
        return targets[0] if good else None

    def _knows(self, key: str, name: Json, known: Sequence[str], document: Document) -> bool:
        if not isinstance(name, str) or not name.strip():
            return False  # the grammar has told
        if name not in known:
            hint = did_you_mean(name, known) or "none is configured"
            self._wrong(f"there is no {key} {name!r}", hint, document, (key,))
        return name in known

    def _wrong(self, message: str, hint: str, document: Document, path: schema.Path = ()) -> None:
        self.errors.append(Problem(message, hint, document.places.value(path)))


def _problem(fault: Fault, path: schema.Path, document: Document) -> Problem:
    places = document.places
    if fault.offset is not None:
        place = places.inside(path, fault.offset)
    else:
        place = places.key(path) if fault.at == "key" else places.value(path)
    return Problem(fault.message, fault.hint, place)


class _BlockReader:
    """Turns one document that is good by the grammar into a block whose parts know their places."""

    def __init__(self, document: Document, target: str, numbers: Iterator[int]) -> None:
        self._document = document
        self._places = document.places
        self._target = target
        self._numbers = numbers

    def block(self, data: Mapping[str, Any]) -> Block:
        events = data["events"]
        return Block(
            source=data["source"],
            events=tuple(events),
            event_places=tuple(
                self._places.value(("events", index)) for index in range(len(events))
            ),
            records=tuple(
                self._record(record, ("records", index))
                for index, record in enumerate(data["records"])
            ),
            tests=tuple(
                self._test(test, data["source"], ("tests", index))
                for index, test in enumerate(data.get("tests", ()))
            ),
            place=self._places.value(()),
        )

    def _record(self, data: Mapping[str, Any], path: schema.Path) -> RecordRule:
        when = data.get("when", True)
        return RecordRule(
            target=self._target,
            resource=data["resource"],
            action=data["action"],
            place=self._places.key(path),
            id=self._located(data["id"], (*path, "id")),
            version=self._optional(data, "version", path),
            when=when if isinstance(when, bool) else self._located(when, (*path, "when")),
            each=self._optional(data, "each", path),
            final=data["final"],
            fields=tuple(
                self._field(name, form, (*path, "fields", name))
                for name, form in data.get("fields_", {}).items()
            ),
        )

    def _field(self, name: str, form: Mapping[str, Any], path: schema.Path) -> FieldRule:
        return FieldRule(
            name=name,
            number=next(self._numbers),
            place=self._places.key(path),
            source=self._source(form, path),
            write=form.get("write", "always"),
            empty=form.get("empty"),
            null_clears="on_null" in form,
            is_set="merge" in form,
        )

    def _source(
        self, form: Mapping[str, Any], path: schema.Path
    ) -> Constant | Computed | Reference:
        if "value" in form:
            return Constant(form["value"])
        if "ref" in form:
            return Reference(
                form["ref"],
                self._located(form["id"], (*path, "id")),
                form.get("missing", "later"),
                self._places.value((*path, "ref")),
            )
        otherwise = form.get("otherwise", "error")
        table = (*path, "values")
        keys: dict[str | None, Place] = {}
        if "values" in form:
            keys = {key: self._places.key((*table, key)) for key in form["values"]}
            keys[None] = self._places.key(table)
        return Computed(
            # below a bare expression nothing is found, so the field itself answers for its place
            self._located(form["from_"], (*path, "from")),
            form.get("values"),
            Constant(otherwise["value"]) if isinstance(otherwise, dict) else otherwise,
            keys,
        )

    def _optional(self, data: Mapping[str, Any], key: str, path: schema.Path) -> Located | None:
        return self._located(data[key], (*path, key)) if key in data else None

    def _located(self, expression: Expression, path: schema.Path) -> Located:
        return Located(
            expression,
            self._places.value(path),
            {offset: self._places.inside(path, offset) for offset in expression.offsets()},
        )

    def _test(self, data: Mapping[str, Any], source: str, path: schema.Path) -> TestBlock:
        return TestBlock(
            name=data["name"],
            source=source,
            event=data["event"],
            expect=tuple(
                self._expected(wanted, (*path, "expect", index))
                for index, wanted in enumerate(data["expect"])
            ),
            place=self._places.key(path),
        )

    def _expected(self, data: Mapping[str, Any], path: schema.Path) -> Expected:
        """The id as text: a whole number as it was written, because 0012 is not 12."""
        wanted = {key.rstrip("_"): value for key, value in data.items()}
        if isinstance(wanted.get("id"), int):
            wanted["id"] = self._places.text((*path, "id"))
        elif "id" in wanted:
            wanted["id"] = scalar_text(wanted["id"])
        return Expected(wanted, self._places.key(path))
