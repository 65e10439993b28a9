"""The files of a deployment fit together, as far as can be told without the platform itself."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from system import ROOT
from yaml import safe_load

from connector.cli import main

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = safe_load((ROOT / "compose.yaml").read_text())


def verb_of(words: list[str]) -> click.Command:
    """Parses a command line; fails for a verb or an option that there is not."""
    verb: click.Command = main
    context = click.Context(verb)
    while words:
        _, rest, _ = verb.make_parser(context).parse_args(list(words))
        if not isinstance(verb, click.Group):
            assert not rest
            return verb
        found = verb.get_command(context, rest[0])
        assert found, rest[0]
        verb, words = found, rest[1:]
    return verb


def commands() -> list[tuple[str, str]]:
    """Every `connector …` that a file of a deployment starts."""
    found = []
    for line in (ROOT / "Procfile").read_text().splitlines():
        found += [("Procfile", part) for part in line.split(": ", 1)[1].split("&&")]
    for unit in UNITS:
        (start,) = re.findall(r"^ExecStart=(.*)$", unit.read_text(), re.MULTILINE)
        found.append((unit.name, start.replace("/opt/crm-connector/.venv/bin/", "")))
    for name, service in COMPOSE["services"].items():
        words = service["command"]
        if words[0] == "sh":
            found += [(f"compose {name}", part) for part in words[2].split("&&")]
        elif words[0] == "connector":
            found.append((f"compose {name}", " ".join(words)))
    (cmd,) = re.findall(r"^CMD \[(.*)\]$", DOCKERFILE, re.MULTILINE)
    found.append(("Dockerfile", " ".join(re.findall(r'"([^"]+)"', cmd))))
    return [(where, " ".join(command.split())) for where, command in found]


@pytest.mark.parametrize(("where", "command"), commands())
def test_what_is_started_is_a_verb_with_its_options(where: str, command: str) -> None:
    words = command.replace("${PORT:-8000}", "8000").split()
    assert words[0] == "connector"
    verb_of(words[1:])


# --- systemd


def test_there_is_a_unit_for_web_and_one_for_the_worker() -> None:
    assert [unit.stem for unit in UNITS] == ["crm-connector-web", "crm-connector-worker"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_accepted_and_hardened(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    here = tmp_path / unit.name
    here.write_text(
        unit.read_text().replace(
            "/opt/crm-connector/.venv/bin/connector", str(Path(sys.executable).resolve())
        )
    )
    verified = subprocess.run([analyze, "verify", here], capture_output=True, text=True)
    about_us = [line for line in verified.stderr.splitlines() if unit.name in line]
    assert about_us == []
    exposed = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", here],
        capture_output=True,
        text=True,
    )
    assert exposed.returncode == 0, exposed.stdout[-2000:]  # 0 is best, 100 worst


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_gives_as_long_to_stop_as_the_connector_takes(unit: Path) -> None:
    from connector.worker import STOP_WITHIN

    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit.read_text(), re.MULTILINE)
    assert int(seconds) > STOP_WITHIN


# --- make


def test_make_knows_how_to_audit_and_to_list_what_is_inside() -> None:
    """Said, not done: both need a network."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "audit", "sbom"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ".venv/tools/bin/pip-audit --strict" in done.stdout
    assert ".venv/tools/bin/cyclonedx-py requirements" in done.stdout
    assert ".venv/bin/pip install --quiet --disable-pip-version-check pip-audit" not in done.stdout


# --- containers


def test_the_image_runs_as_nobody_special_and_brings_only_what_runs() -> None:
    stages = re.findall(r"^FROM \S+(?: AS \w+)?$", DOCKERFILE, re.MULTILINE)
    assert len(stages) == 2
    assert ":latest" not in DOCKERFILE
    assert re.search(r"^USER connector$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.index("USER connector") < DOCKERFILE.index("\nCMD")
    assert "HEALTHCHECK" in DOCKERFILE
    assert "/healthz" in DOCKERFILE
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert allowed[0] == "*"
    copied = {
        source.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    }
    assert copied == {line.strip("!/") for line in allowed if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_installs_at_the_tested_versions() -> None:
    assert "--constraint requirements.lock" in DOCKERFILE
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "--constraint requirements.lock",
        ".",
    ]
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert re.fullmatch(r"[\w.\[\]-]+==\S+", line), line


def test_services_are_confined_and_wait_for_what_they_need() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"redis", "release", "web", "worker"}
    for name in ("release", "web", "worker"):
        service = services[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["stop_grace_period"] == "30s"
        for needed, how in service["depends_on"].items():
            assert needed in services
            if how["condition"] == "service_healthy":
                assert "test" in services[needed]["healthcheck"]
            else:
                assert services[needed]["restart"] == "no"
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"]
    assert services["web"]["ports"] == ["127.0.0.1:8000:8000"]


def test_the_redis_of_compose_keeps_what_it_is_given() -> None:
    words = COMPOSE["services"]["redis"]["command"]
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert "redis:/data" in COMPOSE["services"]["redis"]["volumes"]


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    """By the client alone; the standalone docker-compose of Debian will do."""
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed (Debian: apt-get install docker-compose)")
    for name in ("compose.yaml", "config.example.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".env").write_text("")
    done = subprocess.run(
        [tool, "--file", "compose.yaml", "config", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
