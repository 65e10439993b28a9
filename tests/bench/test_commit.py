"""Another commit's connector is measured in a copy, by the same command line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bench.__main__ import _without_commit
from bench.commit import measure_at
from bench.events import ROOT


@pytest.mark.parametrize(
    "given",
    [["--commit", "abc", "--quick", "acks"], ["--quick", "--commit=abc", "acks"]],
)
def test_copy_gets_the_same_command_line_and_writes_to_the_same_file(given: list[str]) -> None:
    told = _without_commit(given, Path("/there/latest.json"))
    assert told == ["--output", "/there/latest.json", "--quick", "acks"]


def _is_checkout() -> bool:
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    return done.returncode == 0


@pytest.mark.skipif(not _is_checkout(), reason="this is no checkout of git: there are no commits")
def test_commit_that_is_not_known_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        measure_at("no-such-commit", ["--help"])
    assert "no-such-commit" in capfd.readouterr().err


@pytest.mark.skipif(not _is_checkout(), reason="this is no checkout of git: there are no commits")
def test_the_copy_runs(capfd: pytest.CaptureFixture[str]) -> None:
    assert measure_at("HEAD", ["--help"]) == 0
    assert "python -m bench" in capfd.readouterr().out
