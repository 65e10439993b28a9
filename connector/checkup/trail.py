"""A file that outlives a run that is killed: which scratch rows it may have left in the CRM.

Each run has a file of its own and holds a lock on it, so a file that can be locked belongs to a run
that is over. A line is written before the call that may create its row goes out. The next run of
the same target takes such rows away first; a run that cleared up leaves no file.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Self

from connector.checkup.finding import Left
from connector.targets.conversation import Link


@dataclass(frozen=True, slots=True)
class Trace:
    """A row that may be in the CRM; `link` is its own id there, None where that was not told."""

    resource: str
    id: str
    link: Link = None


class Trail:
    """The file of one run. Raises OSError where none can be made."""

    def __init__(self, folder: Path, target: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{_stem(target)}-{uuid.uuid4().hex[:8]}.jsonl"
        self._file = self.path.open("x", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def note(self, trace: Trace) -> None:
        """Writes a row down; it survives the process from here on."""
        line = {"resource": trace.resource, "id": trace.id, "crm_id": trace.link}
        self._file.write(f"{json.dumps(line)}\n")
        self._file.flush()

    def gone(self, resource: str, scratch_id: str) -> None:
        """The CRM was seen without any row of this id."""
        self._file.write(f"{json.dumps({'resource': resource, 'id': scratch_id, 'gone': True})}\n")
        self._file.flush()

    def end(self, left: Iterable[Left]) -> None:
        """Keeps what is left for the next run; without any the file goes."""
        kept = list(left)
        if not kept:
            self.path.unlink(missing_ok=True)
        else:
            self._file.truncate(0)
            self._file.seek(0)
            for each in kept:
                self.note(Trace(each.resource, each.id, each.crm_id))
        self._file.close()


class Earlier:
    """The rows of runs of a target that are over and did not clear up; no other run has them
    meanwhile."""

    def __init__(self, folder: Path, target: str) -> None:
        self.traces: list[Trace] = []
        self._files: list[tuple[Path, TextIOWrapper]] = []
        for path in sorted(folder.glob(f"{_stem(target)}-*.jsonl")):
            if (file := _locked(path)) is not None:
                self._files.append((path, file))
                self.traces += _traces(file)

    def done(self) -> None:
        """They were taken away, or are named in a report."""
        for path, file in self._files:
            path.unlink(missing_ok=True)
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """What was not `done` waits for another run."""
        for _, file in self._files:
            file.close()


def _stem(target: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]", "_", target)


def _locked(path: Path) -> TextIOWrapper | None:
    """The file; None where a run that is under way holds it, or it cannot be read."""
    try:
        file = path.open("r", encoding="utf-8", errors="replace")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    if os.fstat(file.fileno()).st_nlink == 0:  # its run ended while we asked
        file.close()
        return None
    return file


def _traces(lines: Iterable[str]) -> list[Trace]:
    """The rows that were not seen to be gone; a line that was cut off says nothing."""
    traces: dict[Trace, None] = {}
    for line in lines:
        try:
            said = json.loads(line)
            trace = Trace(str(said["resource"]), str(said["id"]), said.get("crm_id"))
        except (ValueError, LookupError, TypeError, AttributeError):
            continue
        if said.get("gone"):
            rows = [t for t in traces if (t.resource, t.id) == (trace.resource, trace.id)]
            for each in rows:
                del traces[each]
        elif isinstance(trace.link, str | int | None):
            if trace.link is not None:  # that create was answered
                traces.pop(Trace(trace.resource, trace.id), None)
            traces[trace] = None
    return list(traces)
