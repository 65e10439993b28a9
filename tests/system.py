"""The connector as it runs: real Redis, real web and worker processes, and a CRM that can be told
to misbehave. For tests that kill things."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from connector import config as configuration
from connector import reports
from connector.assemble import open_sources
from connector.config import Config
from connector.demo.lifeline import Lifeline
from connector.demo.ports import free_port
from connector.demo.redis import EmbeddedRedis
from connector.redisdb import connect
from connector.reports import Query

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "tests" / "samples"
FAKE_CRM = ROOT / "tests" / "fake_crm.py"
MOBIO_APPS = ("16453496-6a17-11ed-8a77-6632ed169876", "c71f0b7a-6ecc-11ed-9704-468042e8692e")

Json = Any

CONFIG = """\
redis_url: {redis_url}
spool: spool.sqlite
mappings: {mappings}
sources:
  caresoft: {{kind: caresoft, secrets: [CS123]}}
  mobio:
    kind: mobio
    apps:
      - {{app_id: {app_1}, secrets: [s1]}}
      - {{app_id: {app_2}, secrets: [s1]}}
targets:
  crm:
    base_url: http://127.0.0.1:{crm_port}
    auth: {{type: none}}
    check: {{path: /}}
"""


class System:
    """Everything in one folder; each part can be started, stopped and killed by name."""

    def __init__(self, folder: Path, *, target: str = "", mappings: Path | None = None) -> None:
        self.folder = folder
        self.redis = EmbeddedRedis(folder / "redis")
        self.web_port, self.crm_port = free_port(), free_port()
        self.processes: dict[str, tuple[subprocess.Popen[bytes], Lifeline]] = {}
        self._mappings = mappings or ROOT / "mappings"
        self._target = target

    @property
    def config(self) -> Config:
        return configuration.load(self.folder / "config.yaml", {})

    @property
    def crm_url(self) -> str:
        return f"http://127.0.0.1:{self.crm_port}"

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def write_config(self) -> None:
        text = CONFIG.format(
            redis_url=self.redis.url,
            mappings=self._mappings,
            app_1=MOBIO_APPS[0],
            app_2=MOBIO_APPS[1],
            crm_port=self.crm_port,
        )
        (self.folder / "config.yaml").write_text(text + self._target)

    # --- processes

    def start(self, name: str, *command: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{name}.log").open("ab")
        environ = {**os.environ, "CONNECTOR_CONFIG": str(self.folder / "config.yaml")}
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
        )
        log.close()
        self.processes[name] = (process, Lifeline(process.pid))
        return process

    def start_crm(self) -> None:
        self.start("crm", str(FAKE_CRM), "--port", str(self.crm_port))
        wait_for(lambda: _ok(f"{self.crm_url}/_counts"), "the CRM")

    def start_web(self) -> None:
        self.start("web", "-m", "connector", "web", "--port", str(self.web_port))
        wait_for(lambda: _ok(f"{self.web_url}/healthz"), "web")

    def start_worker(self, name: str = "worker", threads: int = 8) -> subprocess.Popen[bytes]:
        return self.start(name, "-m", "connector", "worker", "--threads", str(threads))

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name][0].send_signal(number)

    def kill9(self, name: str) -> None:
        process, lifeline = self.processes.pop(name)
        process.kill()
        process.wait()
        lifeline.cut()

    def stop(self, name: str, within: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        process, lifeline = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(timeout=within)
        finally:
            process.kill()
            process.wait()
            lifeline.cut()

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    # --- the vendors' side

    def send(self, source: str, body: bytes | Mapping[str, Json]) -> requests.Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = open_sources(self.config)[source].sign(raw)
        url = f"{self.web_url}/webhooks/{source}"
        return requests.post(url, data=raw, headers=headers, timeout=10)

    # --- the CRM's side

    def behave(self, **behaviour: Json) -> None:
        requests.post(f"{self.crm_url}/_control", json=behaviour, timeout=5).raise_for_status()

    def crm(self, path: str) -> Json:
        return requests.get(f"{self.crm_url}/{path}", timeout=10).json()

    def rows(self, resource: str) -> dict[str, Json]:
        rows: dict[str, Json] = self.crm("_rows").get(resource, {})
        return rows

    def calls(self) -> list[dict[str, Json]]:
        calls: list[dict[str, Json]] = self.crm("_calls")["calls"]
        return calls

    # --- what the connector says

    def states(self) -> dict[str, int]:
        """How many events are in which state."""
        counts: dict[str, int] = {}
        for _, state in reports.events(connect(self.redis.url), Query(limit=0)):
            counts[state] = counts.get(state, 0) + 1
        return counts

    def settled(self, count: int) -> bool:
        """Whether `count` events are known and none is on its way."""
        states = self.states()
        return sum(states.values()) >= count and not states.keys() & {"queued", "waiting"}

    def wait_until_settled(self, count: int, within: float = 30.0) -> dict[str, int]:
        wait_for(lambda: self.settled(count), f"{count} events settled", within, self.states)
        return self.states()

    def cli(self, *arguments: str, check: int | None = 0) -> Json:
        """A verb of the command line with `--json`."""
        done = subprocess.run(
            [sys.executable, "-m", "connector", *arguments, "--json"],
            env={**os.environ, "CONNECTOR_CONFIG": str(self.folder / "config.yaml")},
            capture_output=True,
            check=False,
            cwd=self.folder,
        )
        if check is not None:
            assert done.returncode == check, done.stderr.decode()
        return json.loads(done.stdout)


@contextmanager
def running(
    folder: Path,
    *,
    workers: int = 1,
    threads: int = 8,
    target: str = "",
    web: bool = True,
    mappings: Path | None = None,
) -> Iterator[System]:
    """A system with everything started; `target` is more YAML under `targets: crm:`."""
    system = System(folder, target=target, mappings=mappings)
    try:
        system.redis.start()
        system.write_config()
        system.start_crm()
        if web:
            system.start_web()
        for number in range(workers):
            system.start_worker("worker" if number == 0 else f"worker-{number}", threads)
        yield system
    finally:
        for name in list(system.processes):
            system.kill9(name)
        system.redis.stop()


def wait_for(
    condition: Callable[[], object],
    what: str,
    within: float = 30.0,
    explain: Callable[[], object] = str,
) -> None:
    """Until the condition holds; fails with what it waited for."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within} s; {explain()}")
        time.sleep(0.05)


def _ok(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def ticket(ticket_id: int, version: int, **fields: Json) -> dict[str, Json]:
    """A ticket.update of CareSoft; `version` in epoch milliseconds."""
    known = {"ticket_id": ticket_id, "updated_at": version, "ticket_subject": f"v{version}"}
    return {"object": "ticket", "action": "update", "ticket": {**known, **fields}}


def sample_bodies() -> Sequence[tuple[str, str, bytes]]:
    """(source, file name, body) of every sample of both vendors."""
    files = sorted(SAMPLES.glob("*/*.json"))
    return [(file.parent.name, file.name, file.read_bytes()) for file in files]
