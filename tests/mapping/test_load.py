"""Mapping sets from folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.errors import MappingInvalid
from connector.mapping.load import MappingSet, load_set

GOOD = """\
source: caresoft
events: [ticket.update]
records: [{resource: t, id: a, fields: {x: "lookup('t', b)"}}]
"""

Load = Callable[[Path], MappingSet]


@pytest.fixture
def load(sources: Any, zone: Any) -> Load:
    return lambda folder: load_set(folder, sources=sources, targets=["crm"], timezone=zone)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tickets.yaml").write_text(GOOD, encoding="utf-8")
    (tmp_path / "tables" / "t.yaml").write_text("đ: 1\n", encoding="utf-8")
    return tmp_path


def problems(load: Load, folder: Path) -> list[str]:
    with pytest.raises(MappingInvalid) as caught:
        load(folder)
    return [str(problem) for problem in caught.value.problems]


def test_a_folder_is_a_set_with_its_tables(load: Load, folder: Path) -> None:
    mapping_set = load(folder)
    assert sorted(mapping_set.texts) == ["tables/t.yaml", "tickets.yaml"]
    assert mapping_set.tables == {"t": {"đ": 1}}


def test_a_set_from_its_texts_has_the_hash_of_its_folder(
    load: Load, folder: Path, build: Any
) -> None:
    assert build(load(folder).texts).hash == load(folder).hash


def test_places_name_files_from_the_working_directory(
    load: Load, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    assert load(folder).places[0].file == f"{folder.name}/tickets.yaml"
    monkeypatch.chdir(folder)
    assert load(Path()).places[0].file == "tickets.yaml"
    monkeypatch.chdir("/")
    assert Path("/", load(folder).places[0].file) == folder / "tickets.yaml"


def test_hidden_files_folders_and_other_endings_are_not_read(load: Load, folder: Path) -> None:
    (folder / ".tickets.yaml").write_text("broken: [", encoding="utf-8")
    (folder / "notes.txt").write_text("broken: [", encoding="utf-8")
    (folder / "sub.yaml").mkdir()
    assert load(folder).warnings == ()


def test_a_yml_file_is_warned_of(load: Load, folder: Path) -> None:
    (folder / "more.yml").write_text(GOOD, encoding="utf-8")
    (warning,) = load(folder).warnings
    assert "not read" in warning.message
    assert str(warning.place.file if warning.place else "").endswith("more.yml")


def test_no_folder_is_an_error(load: Load, tmp_path: Path) -> None:
    assert "no such folder" in problems(load, tmp_path / "nowhere")[0]


def test_a_folder_without_mapping_files_is_an_error(load: Load, folder: Path) -> None:
    (folder / "tickets.yaml").unlink()
    assert "no mapping files" in problems(load, folder)[0]


def test_a_file_that_is_not_utf_8_is_an_error(load: Load, folder: Path) -> None:
    (folder / "b.yaml").write_bytes(GOOD.replace("t,", "tên,").encode("latin-1"))
    (found,) = problems(load, folder)
    assert "b.yaml:3:" in found
    assert "UTF-8" in found


def test_a_byte_order_mark_is_no_harm(load: Load, folder: Path) -> None:
    (folder / "tickets.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(folder).places[0].line == 3


def test_problems_of_all_files_come_in_their_order(load: Load, folder: Path) -> None:
    (folder / "b.yaml").write_text(GOOD.replace("lookup", "lokup"), encoding="utf-8")
    (folder / "a.yaml").write_text("", encoding="utf-8")
    (folder / "tables" / "u.yaml").write_text("- a", encoding="utf-8")
    found = problems(load, folder)
    assert [problem.split(":")[0].rsplit("/", 1)[-1] for problem in found] == [
        "a.yaml",
        "b.yaml",
        "u.yaml",
    ]
