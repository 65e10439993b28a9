"""A process that calls CRMs loads requests without the package that guesses codings."""

from __future__ import annotations

import subprocess
import sys


def said_by(program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_worker_does_without_and_warns_of_nothing() -> None:
    loaded = said_by("import connector.worker, sys; print('charset_normalizer' in sys.modules)")
    assert loaded == "False"


def test_whoever_asks_for_the_package_afterwards_gets_it() -> None:
    program = "import connector.targets.http, charset_normalizer as c; print(bool(c.from_bytes))"
    assert said_by(program) == "True"


def test_requests_that_was_loaded_before_stays_as_it_was() -> None:
    program = (
        "import requests; from connector.targets import lean_requests as lean;"
        "print(lean.Response is requests.Response, requests.compat.chardet is not None)"
    )
    assert said_by(program) == "True True"
