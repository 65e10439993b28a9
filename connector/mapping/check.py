"""`connector mappings check`: the mapping files of some paths, judged.

A folder is a set. A file is judged within its folder, and only what stands in it is reported; a
file of `tables/` belongs to the folder above. Reads files, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from connector.mapping.load import TABLES, Judged, Surroundings, judge, shown_path
from connector.model import Place, Problem


@dataclass(frozen=True, slots=True)
class Report:
    """What a check found. Errors keep a set from being used, warnings do not."""

    errors: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def check(paths: Sequence[Path], surroundings: Surroundings) -> Report:
    """Everything that is wrong or doubtful in the folders and files, each reported once."""
    judged: dict[Path, Judged] = {}
    errors: list[Problem] = []
    warnings: list[Problem] = []
    for path in paths:
        if path.is_file() and path.suffix != ".yaml":
            place = Place(str(shown_path(path)), 1, 1)
            errors.append(Problem("no mapping file", "only files that end in .yaml are", place))
            continue
        folder = folder_of(path)
        if folder not in judged:
            judged[folder] = judge(folder, surroundings)
        only = None if folder == path else str(shown_path(path))
        errors += _of_file(judged[folder].errors, only)
        warnings += _of_file(judged[folder].warnings, only)
    return Report(tuple(dict.fromkeys(errors)), tuple(dict.fromkeys(warnings)))


def folder_of(path: Path) -> Path:
    """The folder whose set a path belongs to: itself, unless it is a file."""
    if not path.is_file():
        return path
    absolute = path.absolute()
    return absolute.parents[1] if absolute.parent.name == TABLES else absolute.parent


def _of_file(problems: Iterable[Problem], file: str | None) -> list[Problem]:
    return [p for p in problems if file is None or (p.place is not None and p.place.file == file)]
