"""What the handbook tells people to type works as it stands."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from conftest import FakeCrm
from docpages import ROOT, fences, prose, spans
from system import SAMPLES, System, running, wait_for

from connector.cli import main
from connector.demo.lifeline import Lifeline
from connector.demo.ports import free_port

BIN = Path(sys.executable).parent
DOCS = ROOT / "docs"

WAIT = 'until [ "$(curl -s -o /dev/null -w %{http_code} URL/readyz)" = 200 ]; do sleep 0.1; done'
SETTLED = 'until connector events --json | grep -q \'"state": "done"\'; do sleep 0.1; done'


def test_the_quickstart_runs_block_by_block(
    tmp_path: Path, redis_url: str, fake_crm: FakeCrm
) -> None:
    for part in ("config.example.yaml", "mappings", "tests/samples"):
        source = ROOT / part
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / part)
    port = free_port()
    script = ["set -e", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for info, text in fences(DOCS / "quickstart.md"):
        if info != "sh":
            continue
        block = text.replace("http://127.0.0.1:8081", fake_crm.url).replace("8000", str(port))
        for line in block.strip().splitlines():
            script.append(line)
            if line.startswith("connector worker"):
                script.append(WAIT.replace("URL", f"http://127.0.0.1:{port}"))
            if line.startswith("connector send"):
                script.append(SETTLED)
    process = subprocess.Popen(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={"PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(tmp_path), "REDIS_URL": redis_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    lifeline = Lifeline(process.pid)
    try:
        out, err = process.communicate(timeout=180)
    finally:
        lifeline.cut()
    assert process.returncode == 0, err[-3000:]
    assert "tickets 322677" in " ".join(out.split())
    assert "322677" in fake_crm.rows("tickets")


# --- operations, troubleshooting, security: every command, in the order of the page

NOT_HERE = re.compile(
    r"connector (web|worker|demo)\b"  # they stay
    r"|https://|\bID\b|VERB|REPOSITORY"  # of somebody else
    r"|record-test|body\.json|mappings/tickets\.yaml|diff 3|rollback"  # need a file, or a history
)


def commands(page: Path) -> Iterator[str]:
    shells = [text for info, text in fences(page) if info in ("", "sh")]
    lines = [line for text in shells for line in text.splitlines()]
    for line in [*lines, *spans(prose(page))]:
        command = line.strip()
        complete = len(command.split()) > 1 and "[" not in command and "…" not in command
        if command.startswith("connector ") and complete and not NOT_HERE.search(command):
            yield command


PAGES = ("operations.md", "troubleshooting.md", "security.md", "metrics.md", "alerts.md")
COMMANDS = list(dict.fromkeys(c for page in PAGES for c in commands(DOCS / page)))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("system")) as started:
        for name in ("ticket.create-2", "ticket.update-1"):
            started.send("caresoft", (SAMPLES / "caresoft" / f"{name}.json").read_bytes())
        started.send("caresoft", b"[1]")
        started.wait_until_settled(3)
        wait_for(lambda: len(started.cli("dead")["dead"]) == 1, "a dead letter")
        yield started


def given(system: System, words: list[str]) -> tuple[int, str]:
    """What a command line ends with, and says."""
    environ = {"CONNECTOR_CONFIG": str(system.folder / "config.yaml")}
    with chdir(system.folder):
        done = CliRunner().invoke(main, words, env=environ, input="y\n")
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output + done.stderr


def test_the_pages_tell_many_commands() -> None:
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_handbook_can_be_given_as_it_stands(system: System, command: str) -> None:
    """0: fine; 1: it found something wrong, or nothing; never 2, that it could not run."""
    code, said = given(system, shlex.split(command.split(" | ")[0], comments=True)[1:])
    if "Missing argument" in said:
        return  # a verb that is spoken of, no command
    assert code in (0, 1), said


def test_the_picture_of_the_concepts_says_in_words_what_it_shows() -> None:
    picture = ElementTree.parse(DOCS / "way.svg").getroot()
    names = {"svg": "http://www.w3.org/2000/svg"}
    assert picture.find("svg:title", names) is not None
    assert picture.find("svg:desc", names) is not None
    style = "".join(node.text or "" for node in picture.iterfind("svg:style", names))
    assert "prefers-color-scheme: dark" in style
    assert "way.svg" in (DOCS / "concepts.md").read_text()
