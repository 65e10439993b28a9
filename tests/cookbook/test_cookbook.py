"""The recipes of docs/cookbook.md: the page shows the files, and they do what they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from docpages import ROOT, fences, headings

from connector.cli import main

PAGE = ROOT / "docs" / "cookbook.md"
RECIPES = sorted(path.parent for path in Path(__file__).parent.glob("*/mapping.yaml"))
SHOWN = {
    ROOT / info.removeprefix("yaml "): text
    for info, text in fences(PAGE)
    if info.startswith("yaml tests/cookbook/")
}


@pytest.fixture(autouse=True)
def _without_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTOR_CONFIG", raising=False)


def test_the_page_shows_every_file_as_it_is() -> None:
    files = {
        file: file.read_text(encoding="utf-8") for file in ROOT.glob("tests/cookbook/**/*.yaml")
    }
    assert files == SHOWN
    assert len([title for title in headings(PAGE) if title[0].isdigit()]) == len(RECIPES) >= 20


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_does_what_its_tests_say(recipe: Path) -> None:
    result = CliRunner().invoke(main, ["mappings", "test", str(recipe), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len(found["tests"]) >= 1
    assert found["coverage"]["fields"]["unchecked"] == []
    assert found["coverage"]["rules"]["untouched"] == []


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_beyond_doubt(recipe: Path) -> None:
    result = CliRunner().invoke(main, ["mappings", "check", str(recipe), "--strict"])
    assert result.exit_code == 0, result.output
