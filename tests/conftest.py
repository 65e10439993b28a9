"""What every room's tests may stand on: a real Redis, a free port, a CRM that misbehaves.

`redis_server` is started once per test process (with pytest-xdist: one for each worker, so tests
in parallel never meet); `redis_url` gives it empty to one test. A test that kills, pauses or fills
Redis starts an `EmbeddedRedis` of its own in its `tmp_path`. `fake_crm` is shared and emptied
in the same way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import requests
from hypothesis import settings

from connector import web
from connector.demo import ports
from connector.demo.ports import free_port as choose_free_port
from connector.demo.redis import EmbeddedRedis

# The same examples in every run, and none of them against the clock: a run that fails says
# something about what was changed. `--hypothesis-profile=explore` draws others.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", derandomize=False, deadline=None)
settings.load_profile("same")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that was told to run the tests in the background has them ignore interrupts, and
    # every process that they start and interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)

if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # A port is chosen a moment before a server is started on it: another must not choose it, too.
    ports.share = int(worker.removeprefix("gw")), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])

web.REDIS_SECONDS = 10.0
"""What a test does in its own process waits for a Redis that a busy machine holds up; the processes
that tests start wait as long as always."""


class FakeCrm:
    """`tests/fake_crm.py` as a process: what it offers, as methods. Its docstring is the manual."""

    def __init__(self) -> None:
        self.port = choose_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._http = requests.Session()

    def start(self) -> None:
        """Starts it, on the same port as before; does nothing when it runs."""
        if self._process is not None and self._process.poll() is None:
            return
        script = Path(__file__).with_name("fake_crm.py")
        command = [sys.executable, str(script), "--port", str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline(), "the fake CRM did not start"

    def kill(self) -> None:
        """Kills it: connections are refused, and its rows are forgotten."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None

    def behave(self, mode: str = "ok", **how: Any) -> None:
        """`POST /_control`: `fake_crm.behave("503", retry_after="2", times=3)`."""
        self._post("/_control", {"mode": mode, **how})

    def reset(self) -> None:
        """No rows, no calls, good behaviour."""
        self._post("/_reset", {})

    def put_rows(self, rows: dict[str, dict[str, dict[str, Any]]]) -> None:
        """Changes rows as a person in the CRM would: no call of ours."""
        self._post("/_rows", rows)

    def rows(self, resource: str) -> dict[str, dict[str, Any]]:
        """The rows of a resource by id."""
        rows: dict[str, dict[str, dict[str, Any]]] = self._get("/_rows")
        return rows.get(resource, {})

    def calls(self, since: int = 0) -> list[dict[str, Any]]:
        """Every call in the order of its beginning."""
        calls: list[dict[str, Any]] = self._get(f"/_calls?since={since}")["calls"]
        return calls

    def overlaps(self) -> list[dict[str, Any]]:
        """Calls on one record that were under way at the same time."""
        overlaps: list[dict[str, Any]] = self._get("/_overlaps")["overlaps"]
        return overlaps

    def _get(self, path: str) -> Any:
        answer = self._http.get(self.url + path, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def _post(self, path: str, body: Any) -> None:
        answer = self._http.post(self.url + path, json=body, timeout=10)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="session")
def fake_crm_server() -> Iterator[FakeCrm]:
    """The fake CRM of this test process; tests ask for `fake_crm`."""
    crm = FakeCrm()
    crm.start()
    yield crm
    crm.kill()


@pytest.fixture
def fake_crm(fake_crm_server: FakeCrm) -> FakeCrm:
    """A fake CRM without rows, that has seen no calls and behaves."""
    fake_crm_server.start()  # where an earlier test left it dead
    fake_crm_server.reset()
    return fake_crm_server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The Redis of this test process, append-only file and all, in a folder of its own."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """The URL of a Redis that holds no keys and no scripts."""
    redis_server.start()  # where an earlier test left it dead
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
        client.script_flush()
    return redis_server.url


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    return choose_free_port()
