"""The mapping guide, followed: every command of it run in its order, every output as it is shown.

The page is the script. A block of `console` is commands (after `$ `) with what they print; a block
of `diff FILE` is an edit: lines with `+` are put behind those above them. What differs from run to
run (times, ports, hashes, how long a call took) is not compared. After a change that is meant,
`WRITE_GUIDE=1 pytest tests/docs/test_guide.py` writes the outputs into the page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docpages import ROOT
from system import System, running

PAGE = ROOT / "docs" / "mapping-guide.md"
T0 = 1_760_000_000_000

_BLOCK = re.compile(r"^```(console|diff [^\n]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_VARIES = [
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d"), "TIME"),
    (re.compile(r"\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DAY"),
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"\b[0-9a-f]{8,}\b"), "HASH"),
    (re.compile(r"(?<=  )\d+(?=  +\{\"id\")"), "MS"),
    (re.compile(r" +"), " "),
]


def _ticket(number: int, **more: Any) -> dict[str, Any]:
    """What CareSoft sends of a ticket since somebody added the field."""
    new = {
        "field": "addition_field9",
        "id": 6999,
        "label": "Kênh ưu tiên",
        "value": "Zalo" if number % 2 else "Email",
        "value_id": "1301" if number % 2 else "1302",
        "type": 3,
    }
    known = [
        {
            "field": "addition_field2",
            "id": 6957,
            "label": "Phân loại phiếu ghi",
            "value": "Khiếu nại",
            "value_id": "1222",
            "type": 3,
        },
        {"field": "addition_field3", "id": 6958, "label": "Ghi chú", "value": "gấp", "type": "0"},
    ]
    ticket = {
        "ticket_id": number,
        "ticket_no": number - 9000,
        "ticket_subject": f"Hỏi về hợp đồng {number}",
        "ticket_status": "open",
        "ticket_priority": "Normal",
        "ticket_source": "Web",
        "ticket_source_end_status": 1,
        "service_id": 9999,
        "assignee_id": 3333,
        "campaignId": 12,
        "requester_id": 63215882,
        "created_at": T0,
        "updated_at": T0 + number,
        "last_change_status_at": T0,
        "addition_fields": [*known, new],
    }
    return {"object": "ticket", "action": "update", "ticket": ticket | more}


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """An installation with the shipped mappings, which has seen six tickets with the new field."""
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    with running(tmp_path, mappings=tmp_path / "mappings") as started:
        for number in range(9001, 9007):
            assert started.send("caresoft", _ticket(number)).status_code == 200
        started.wait_until_settled(6)
        yield started


def _run(system: System, command: str) -> str:
    """A command as a person in the folder of config.yaml gives it."""
    environment = {
        **os.environ,
        "CONNECTOR_CONFIG": "config.yaml",
        "CRM": system.crm_url,
        "COLUMNS": "100",
        "USER": "lan",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        command,
        shell=True,
        cwd=system.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    lines = done.stdout.decode().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines if line.strip())


def _edit(file: Path, lines: list[str]) -> None:
    """Puts the lines with `+` behind those above them, and takes out those with `-`."""
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"the guide edits what {file.name} does not hold:\n{old}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def _plain(text: str) -> str:
    """The text without what differs from run to run."""
    for varying, word in _VARIES:
        text = varying.sub(word, text)
    return "".join(line.strip() + "\n" for line in text.splitlines())


def _follow(system: System, page: str) -> Iterator[tuple[str, str]]:
    """Each block of commands as it is shown, and as it is when the page is followed."""
    for kind, text in _BLOCK.findall(page):
        if kind != "console":
            _edit(system.folder / kind.removeprefix("diff "), text.splitlines())
            continue
        commands = [line for line in text.splitlines() if line.startswith("$ ")]
        found = []
        for command in commands:
            found.append(f"{command}\n{_run(system, command.removeprefix('$ '))}")
            if "--apply" in command:
                system.wait_until_settled(6)
        yield text, "".join(found)


def test_the_guide_is_what_happens(system: System) -> None:
    page = PAGE.read_text(encoding="utf-8")
    followed = list(_follow(system, page))
    assert len(followed) > 5
    if os.environ.get("WRITE_GUIDE"):
        for shown, found in followed:
            page = page.replace(f"```console\n{shown}```", f"```console\n{found}```", 1)
        PAGE.write_text(page, encoding="utf-8")
    for shown, found in followed if not os.environ.get("WRITE_GUIDE") else ():
        assert _plain(found) == _plain(shown)
    rows = system.rows("tickets")
    assert {row["preferred_channel"] for row in rows.values()} == {"Zalo", "Email"}


def test_the_tickets_of_the_guide_are_as_caresoft_sends_them() -> None:
    sample = json.loads((ROOT / "tests/samples/caresoft/ticket.create-2.json").read_bytes())
    assert sample["ticket"].keys() - {"ticket_comment"} <= _ticket(9001)["ticket"].keys()
    custom = _ticket(9001)["ticket"]["addition_fields"][-1]
    assert custom.keys() == sample["ticket"]["addition_fields"][0].keys()
