"""docs/openapi.md shows what the verbs print.

`RENEW_PAGES=1 pytest tests/openapi/test_page.py` writes the page's output anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from connector import terminal
from connector.cli import main
from connector.openapi.known import read

PAGE = Path(__file__).parents[2] / "docs" / "openapi.md"
DOCUMENTS = Path(__file__).with_name("documents")
CONFIG = """\
sources:
  caresoft: {kind: caresoft, unsigned: true}
targets:
  crm:
    base_url: https://crm.example
    resources:
      tickets: {schema: schemas/crm.tickets.json}
"""


def block(info: str) -> re.Match[str]:
    text = PAGE.read_text("utf-8")
    found = re.search(rf"^```{info}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{PAGE} has no block {info!r}"
    return found


def holds(info: str, printed: str) -> None:
    """The page shows what was printed; written anew where that is asked for."""
    shown = block(info)
    printed = "\n".join(line.rstrip() for line in printed.splitlines()) + "\n"
    if os.environ.get("RENEW_PAGES"):
        text = shown.string
        PAGE.write_text(text[: shown.start(1)] + printed + text[shown.end(1) :], "utf-8")
    assert block(info)[1] == printed


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTOR_CONFIG", raising=False)
    monkeypatch.setattr(terminal.out, "width", 96)
    monkeypatch.setattr(terminal.err, "width", 96)
    shutil.copy(DOCUMENTS / "wrapped.yaml", "openapi.json")
    return tmp_path


def test_the_list_that_is_shown_is_printed() -> None:
    holds("text from list", CliRunner().invoke(main, ["targets", "import", "openapi.json"]).stdout)


def test_the_proposal_that_is_shown_is_printed() -> None:
    words = ["targets", "import", "openapi.json", "--resource", "tickets"]
    holds("text from wrapped", CliRunner().invoke(main, words).stdout)


def test_the_fields_that_are_shown_are_printed(folder: Path) -> None:
    words = ["targets", "import", "openapi.json", "--resource", "tickets", "--fields"]
    holds("text from fields", CliRunner().invoke(main, words).stdout)
    assert not (folder / "schemas").exists()


def test_the_warnings_that_are_shown_are_printed() -> None:
    Path("config.yaml").write_text(CONFIG, "utf-8")
    Path("schemas").mkdir()
    Path("schemas/crm.tickets.json").write_text(block("json schema")[1], "utf-8")
    assert read(Path("schemas/crm.tickets.json")).is_closed
    Path("mappings").mkdir()
    Path("mappings/tickets.yaml").write_text(block("yaml rules")[1], "utf-8")
    result = CliRunner().invoke(main, ["mappings", "check"])
    assert result.exit_code == 0
    holds("text from fitting", result.stderr + result.stdout)


def test_the_json_that_is_shown_has_the_shape_of_what_is_printed() -> None:
    words = ["targets", "import", "openapi.json", "--resource", "tickets", "--json"]
    printed = json.loads(CliRunner().invoke(main, words).stdout)
    shown = json.loads(block("json from import")[1])
    assert shown.keys() == printed.keys()
    (resource,), (of_page,) = printed["resources"], shown["resources"]
    assert of_page.keys() == resource.keys()
    assert of_page["reasons"][0] in resource["reasons"]
    assert of_page["fields"][0] in resource["fields"]
    assert resource["config"]["body"] == of_page["config"]["body"]
