"""Putting mapping sets into force: what is judged before, who did it, how two sets differ.

The way of an edit: the folder is judged (`judged`) and its own tests run (`failed_tests`), then
`published.put_in_force` puts it into force in one step, and an older set can be put back
(`roll_back`). `mapping.published` keeps the sets; `release_verbs` asks and prints.

Invariant: nothing here changes a record or sends anything; events that come after a release run
through the new set, and kept ones do when somebody replays them.
"""

from __future__ import annotations

import difflib
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from connector import journal
from connector.assemble import build_set, open_sources
from connector.config import Config
from connector.mapping import published
from connector.mapping.blocks import Result, run_tests
from connector.mapping.load import Judged, MappingSet, judge, judge_texts, read_folder
from connector.mapping.published import Kept, Note, Put, Version
from connector.mapping.ruleset import set_hash
from connector.model import Problem
from connector.redisdb import Redis
from connector.workbench import Workbench, surroundings

FOLDER = "folder"
"""How the files of the mappings folder are named where a number names a published set."""

POLL_SECONDS = 0.05


# --- before


def judged(config: Config) -> Judged:
    """The set in the configured folder with its errors and warnings, as `mappings check` says."""
    return judge(config.mappings, _workbench(config).surroundings)


def judged_texts(config: Config, texts: Mapping[str, str]) -> Judged:
    """As `judged`, for edited texts that stand in no folder."""
    return judge_texts(texts, _workbench(config).surroundings)


def failed_tests(config: Config, mapping_set: MappingSet) -> list[Result]:
    """The `tests:` of a set that do not give what they expect."""
    results = run_tests(mapping_set, _workbench(config).documents)
    return [result for result in results if not result.passed]


def _workbench(config: Config) -> Workbench:
    sources = open_sources(config)
    around = surroundings(sources, list(config.targets), config.timezone)
    return Workbench(config.mappings, around, sources)


def author(environ: Mapping[str, str]) -> str:
    """Who runs this: $USER, or `git config user.name` where that is not set."""
    if user := environ.get("USER"):
        return user
    try:
        git = subprocess.run(
            ["git", "config", "user.name"],  # noqa: S607 - whichever git the person uses
            capture_output=True,
            text=True,
            timeout=2,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return git.stdout.strip()


# --- into force


def roll_back(config: Config, client: Redis, number: int, note: Note) -> Put:
    """Put the texts of an earlier set into force again, under a new number.

    Raises LookupError when there is no set of that number, MappingInvalid when it cannot be used
    with the configuration of today.
    """
    kept = published.read(client, number)
    if kept is None:
        raise LookupError(f"there is no mapping set {number}")
    note = Note(note.author, note.message, back_to=number)
    return published.put_in_force(client, build_set(config, kept), note)


def wait_for_older_work(client: Redis, within: float = 30.0) -> bool:
    """Wait until no worker has an event in hand that it may have begun under an older set; whether
    that came true within so many seconds."""
    until = time.monotonic() + within
    began = journal.in_hand(client)
    while began and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
        began &= journal.in_hand(client)
    return not began


# --- two sets, and how the folder stands


@dataclass(frozen=True, slots=True)
class FileDifference:
    """A file that is not the same in two sets. `lines` are a unified diff, without line ends."""

    file: str
    status: str  # "added", "removed" or "changed"
    lines: tuple[str, ...]


def kept(config: Config, client: Redis, which: str) -> Kept:
    """The texts of a published set by its number, or of the folder (`folder`), broken or not.

    Raises LookupError when there is no such set.
    """
    if which == FOLDER:
        texts, _ = read_folder(config.mappings)
        readable = {
            name: text if isinstance(text, str) else text.decode("utf-8", "replace")
            for name, text in texts.items()
        }
        return Kept(readable, config.timezone)
    found = published.read(client, int(which)) if which.isdecimal() else None
    if found is None:
        raise LookupError(f"there is no mapping set {which!r}: name a number, or {FOLDER!r}")
    return found


def differences(before: Kept, after: Kept, names: tuple[str, str]) -> Iterator[FileDifference]:
    """The files that differ, by name. `names` are those of the two sets in the diff's head."""
    old, new = before.texts, after.texts
    for file in sorted(old.keys() | new.keys()):
        if old.get(file) == new.get(file):
            continue
        status = "added" if file not in old else "removed" if file not in new else "changed"
        old_head, new_head = (str(PurePosixPath(name, file)) for name in names)
        lines = difflib.unified_diff(
            _lines(old.get(file, "")), _lines(new.get(file, "")), old_head, new_head, lineterm=""
        )
        yield FileDifference(file, status, tuple(lines))


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else [*lines[:-1], f"{lines[-1]} (no line end)"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How the folder stands to the set in force. `files` differ; with `errors` the folder cannot
    be published. `number` 0: no set is in force."""

    number: int
    hash: str | None
    same: bool
    files: tuple[str, ...]
    errors: tuple[Problem, ...]
    version: Version | None

    def __str__(self) -> str:
        if self.errors:
            some = "" if len(self.errors) == 1 else f" and {len(self.errors) - 1} more"
            return f"the mappings folder is broken and takes no effect: {self.errors[0]}{some}"
        if self.same:
            return "the mappings folder holds the same"
        if not self.number:
            return "the mappings folder comes into force when a web or worker process starts"
        what = ", ".join(self.files) or "the time zone"
        return f"the mappings folder differs, and takes effect when it is published: {what}"


def standing(config: Config, client: Redis) -> Standing:
    """Which set is in force, and how the folder compares with it."""
    number = published.number_in_force(client) or 0
    version = published.version(client, number) if number else None
    in_force = published.read(client, number) if number else None
    folder = kept(config, client, FOLDER)
    hash_ = version.hash if version else None
    same = set_hash(folder.texts, folder.timezone) == hash_
    errors = () if same else judged(config).errors
    found = differences(in_force, folder, ("", "")) if in_force else ()
    return Standing(number, hash_, same, tuple(d.file for d in found), errors, version)
