"""`mappings check`: a folder is a set, a file is judged within its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.mapping.check import Report, check
from connector.mapping.load import Surroundings

TICKETS = """\
source: caresoft
events: [ticket.update]
records: [{resource: tickets, id: a, fields: {x: {ref: contacts, id: b}}}]
"""
CONTACTS = """\
source: caresoft
events: [user.updated]
records: [{resource: contacts, id: a, fields: {}}]
"""

Check = Callable[..., Report]


@pytest.fixture
def checked(sources: Any, zone: Any) -> Check:
    surroundings = Surroundings(
        sources, ["crm"], zone, {"caresoft": ["ticket.update", "user.update"]}
    )
    return lambda *paths: check(paths, surroundings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tickets.yaml").write_text(TICKETS, encoding="utf-8")
    (tmp_path / "contacts.yaml").write_text(CONTACTS, encoding="utf-8")
    (tmp_path / "tables" / "t.yaml").write_text("a: 1\n", encoding="utf-8")
    return tmp_path


def test_a_good_folder_has_no_errors_and_tells_its_warnings(checked: Check, folder: Path) -> None:
    report = checked(folder)
    assert report.errors == ()
    (warning,) = report.warnings
    assert "user.updated" in warning.message


def test_a_file_is_judged_with_its_neighbours(checked: Check, folder: Path) -> None:
    assert checked(folder / "tickets.yaml") == Report()
    (folder / "contacts.yaml").unlink()
    (error,) = checked(folder / "tickets.yaml").errors
    assert "nothing creates" in error.message


def test_of_a_file_only_its_own_problems_are_told(checked: Check, folder: Path) -> None:
    (folder / "broken.yaml").write_text("source: [", encoding="utf-8")
    assert checked(folder / "tickets.yaml") == Report()
    assert len(checked(folder / "contacts.yaml").warnings) == 1
    assert len(checked(folder / "broken.yaml").errors) == 1
    assert len(checked(folder).errors) == 1


def test_a_table_belongs_to_the_folder_above(checked: Check, folder: Path) -> None:
    table = folder / "tables" / "t.yaml"
    assert checked(table) == Report()
    table.write_text("- a\n", encoding="utf-8")
    (error,) = checked(table).errors
    assert "a table is a map" in error.message


def test_several_paths_tell_each_problem_once(checked: Check, folder: Path) -> None:
    (folder / "broken.yaml").write_text("", encoding="utf-8")
    report = checked(folder, folder / "broken.yaml", folder / "contacts.yaml")
    assert (len(report.errors), len(report.warnings)) == (1, 1)


def test_paths_may_be_relative(
    checked: Check, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "broken.yaml").write_text("", encoding="utf-8")
    monkeypatch.chdir(folder / "tables")
    (error,) = checked(Path("../broken.yaml")).errors
    assert error.message == "the file is empty"
    monkeypatch.chdir(folder)
    assert checked(Path("broken.yaml")).errors[0].place.file == "broken.yaml"  # type: ignore[union-attr]


def test_what_is_no_mapping_file_is_an_error(checked: Check, folder: Path) -> None:
    (folder / "more.yml").write_text(TICKETS, encoding="utf-8")
    assert "no mapping file" in checked(folder / "more.yml").errors[0].message
    assert "no such" in checked(folder / "nowhere").errors[0].message
