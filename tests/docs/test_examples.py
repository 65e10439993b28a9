"""Configurations and answers that the pages show are like those of the running system."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from docpages import PAGES, ROOT, fences, name_of
from system import SAMPLES, System, running, wait_for

from connector.cli import main
from connector.config import load

SECRETS = ("CARESOFT_SECRET", "MOBIO_APP_ID", "MOBIO_APP_SECRET", "CRM_TOKEN")
ENVIRON = {**dict.fromkeys(SECRETS, "xxxx"), "CRM_BASE_URL": "https://crm.example"}

CONFIGS = [text for page in PAGES for info, text in fences(page) if info == "yaml config"]
SHOWN = [
    (name_of(page), info.removeprefix("json of "), text)
    for page in PAGES
    for info, text in fences(page)
    if info.startswith("json of ")
]


@pytest.mark.parametrize("text", CONFIGS)
def test_a_configuration_that_is_shown_is_good(text: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    assert load(file, ENVIRON).warnings == ()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system that has seen what the pages tell of: a ticket, a refused contact, a stray list."""
    with running(tmp_path_factory.mktemp("system")) as started:
        started.send("caresoft", SAMPLES.joinpath("caresoft/ticket.create-2.json").read_bytes())
        started.send("caresoft", b"[1]")
        started.wait_until_settled(2)
        started.behave(mode="422", times=1)
        started.send("caresoft", SAMPLES.joinpath("caresoft/user.create-2.json").read_bytes())
        wait_for(lambda: len(started.cli("dead")["dead"]) == 2, "two dead letters")
        yield started


@pytest.mark.parametrize(("page", "command", "text"), SHOWN, ids=lambda value: value[:40])
def test_json_that_is_shown_has_the_shape_of_what_is_answered(
    system: System, page: str, command: str, text: str
) -> None:
    found = answer(system, command)
    assert differences(json.loads(text), found) == []


def test_json_is_shown_for_the_verbs_that_read() -> None:
    shown = {command for _, command, _ in SHOWN}
    assert {"connector events --json", "connector status --json", "GET /readyz"} <= shown


def test_the_metrics_that_are_told_are_those_that_there_are(system: System) -> None:
    text = requests.get(f"{system.web_url}/metrics", timeout=10).text
    exposed = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(connector_[a-z_]+)", page, re.MULTILINE)) == exposed


def answer(system: System, command: str) -> Any:
    """What a verb prints, or the web process answers, whatever the exit code or status."""
    words = shlex.split(command)
    if words[0] == "GET":
        return requests.get(f"{system.web_url}{words[1]}", timeout=10).json()
    environ = {"CONNECTOR_CONFIG": str(system.folder / "config.yaml")}
    with chdir(ROOT):
        done = CliRunner().invoke(main, words[1:], env=environ)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def differences(shown: Any, found: Any, at: str = "") -> list[str]:
    """Where two JSON values are not of one shape; null and an empty list may stand for anything."""
    if shown is None or found is None:
        return []
    if isinstance(shown, dict) and isinstance(found, dict):
        if at.endswith((".body", ".answer", ".write")) or at.endswith("changes[].fields"):
            return []
        wrong = [f"{at}.{key} is not shown" for key in found.keys() - shown.keys()]
        wrong += [f"{at}.{key} is not answered" for key in shown.keys() - found.keys()]
        both = shown.keys() & found.keys()
        return wrong + [
            w for key in both for w in differences(shown[key], found[key], f"{at}.{key}")
        ]
    if isinstance(shown, list) and isinstance(found, list):
        if not (shown and found):
            return []
        return min((differences(shown[0], item, f"{at}[]") for item in found), key=len)
    same = type(shown) is type(found) or {type(shown), type(found)} == {int, float}
    return [] if same else [f"{at} is shown as {shown!r}, answered is {found!r}"]
