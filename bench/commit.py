"""Measure another commit's connector with these benchmarks: in a copy, beside the working tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.events import ROOT

_MEASURED = ("connector", "mappings", "tests/samples")


def measure_at(commit: str, arguments: Sequence[str]) -> int:
    """Run `python -m bench` with the arguments on the connector of a commit; its exit code.

    Raises CalledProcessError when git does not know the commit.
    """
    with tempfile.TemporaryDirectory(prefix="bench-commit-") as folder:
        packed = subprocess.run(
            ["git", "archive", commit, *_MEASURED], cwd=ROOT, stdout=subprocess.PIPE, check=True
        ).stdout
        subprocess.run(["tar", "x"], cwd=folder, input=packed, check=True)
        shutil.copytree(ROOT / "bench", Path(folder) / "bench")
        command = [sys.executable, "-m", "bench", *arguments]
        environ = {**os.environ, "PYTHONPATH": folder}
        return subprocess.run(command, cwd=folder, env=environ, check=False).returncode
