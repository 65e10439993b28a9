"""docs/check-a-target.md shows what the verb prints, and tells of every probe that there is.

`RENEW_PAGES=1 pytest tests/checkup/test_page.py` writes the page's output anew.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from checkup.conftest import Desk, Odd

import connector.checkup
from connector import terminal
from connector.checkup.values import TEXTS

PAGE = Path(__file__).parents[2] / "docs" / "check-a-target.md"
WIDTH = 96


def block(info: str) -> re.Match[str]:
    text = PAGE.read_text("utf-8")
    found = re.search(rf"^```{info}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert found, f"{PAGE} has no block {info!r}"
    return found


def words(text: str) -> Counter[str]:
    """What stands in a table, whatever the times and so the line breaks are."""
    return Counter(re.sub(r"\d+(\.\d+)?", "0", text).split())


def test_the_table_that_is_shown_is_the_one_that_is_printed(
    odd_desk: Desk, odd: Odd, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd.be(cut=255, missing=400, lag=0.8, unique=None)
    monkeypatch.setattr(terminal.out, "width", WIDTH)
    result = odd_desk.run("targets", "check", "crm", "--resource", "people", given="y\n")
    printed = "\n".join(line.rstrip() for line in result.stdout.splitlines()) + "\n"
    shown = block("text from check")
    if os.environ.get("RENEW_PAGES"):
        text = shown.string
        PAGE.write_text(text[: shown.start(1)] + printed + text[shown.end(1) :], "utf-8")
    assert words(block("text from check")[1]) == words(printed)


def test_the_json_that_is_shown_has_the_shape_of_what_is_printed(odd_desk: Desk, odd: Odd) -> None:
    odd.be(cut=255)
    shown = json.loads(block("json from check")[1])
    checked = odd_desk.check()
    assert shown.keys() == checked.out.keys()
    (finding,) = shown["findings"]
    printed = checked.probes[finding["probe"]]
    same = ("probe", "found", "meaning", "suits", "config", "scope")
    assert {key: finding[key] for key in same} == {key: printed[key] for key in same}
    assert finding.keys() == printed.keys()


def probes() -> set[str]:
    """The names of all probes, from the source."""
    folder = Path(connector.checkup.__file__).parent
    source = "".join(file.read_text("utf-8") for file in folder.glob("*.py"))
    return {
        *re.findall(r'Finding\(\s*"([\w.]+)"', source),
        *re.findall(r'_(?:nearly|of_all)\(\s*lab, "([\w.]+)"', source),
        *(each.probe for each in TEXTS),
    }


def test_the_page_tells_of_every_probe_and_of_no_other() -> None:
    table = PAGE.read_text("utf-8").partition("## The probes")[2]
    rows = re.findall(r"^\| (`[^|]+?) \|", table, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert told == probes()
