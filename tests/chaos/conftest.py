"""What the tests that break things stand on: a system that tries again soon, and a tally."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from system import BRISK, STREAM_MAPPING, System, Tally, running

Brisk = Callable[..., AbstractContextManager[System]]


@pytest.fixture
def brisk(tmp_path: Path) -> Brisk:
    """`running` with a mapping for `Stream` and a target that tries again soon, whose calls take
    `timeout` seconds at most; `more` is YAML added to the target."""
    mappings = tmp_path / "mappings"
    mappings.mkdir()
    (mappings / "tickets.yaml").write_text(STREAM_MAPPING)

    def start(
        *, more: str = "", timeout: int = 2, **how: int | bool
    ) -> AbstractContextManager[System]:
        target = BRISK.replace("TIMEOUT", str(timeout)) + more
        return running(tmp_path, target=target, mappings=mappings, **how)

    return start


@pytest.fixture
def tally() -> Iterator[Tally]:
    """What the test counted; printed at its end (`pytest -rP`)."""
    tally = Tally()
    yield tally
    sys.stdout.write("\n".join(tally.lines) + "\n")
