"""What is measured, as processes: the connector, and the plain receiver it is compared with.

A `Site` is one folder with a fresh Redis (append-only file, fsync every second), the cheap CRM and
one system on top. Everything listens on the loopback and is gone when the site is left.
"""

from __future__ import annotations

import json
import select
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis

from bench.events import CONTACTS, ROOT, SECRET, Events
from bench.generator import Order, Sent
from bench.processes import Process, cpu_seconds, pss_mib, python, wait_for
from connector.demo.ports import free_port
from connector.demo.redis import EmbeddedRedis

Json = Any

THREADS = 192
"""Calls at the same time: enough for 1,500 a second at a CRM that takes 100 ms."""

_CONFIG = """\
redis_url: {redis_url}
spool: spool.sqlite
mappings: {mappings}
sources:
  caresoft: {{kind: caresoft, secrets: [{secret}]}}
targets:
  crm:
    base_url: {crm_url}
    auth: {{type: none}}
    check: {{path: /}}
    concurrency: {concurrency}
    probe_interval: 1
{target}"""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds used so far by each part."""

    web: float
    worker: float
    redis: float

    def since(self, before: Usage) -> Usage:
        """What was used between the two."""
        return Usage(self.web - before.web, self.worker - before.worker, self.redis - before.redis)

    def per_event_ms(self, events: int) -> dict[str, float]:
        """Milliseconds per event by part, and of web and worker together."""
        share = {name: 1000 * seconds / max(events, 1) for name, seconds in asdict(self).items()}
        return {**share, "web_and_worker": share["web"] + share["worker"]}


class Site:
    """Redis, CRM and the processes of one system. For `with`.

    `patience`: seconds without a call after which nothing more is to come.
    """

    patience = 60.0

    def __init__(self, *, latency: float = 0.0) -> None:
        self._stack = ExitStack()
        self.folder = Path(
            self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)
            )
        )
        self.redis = EmbeddedRedis(self.folder / "redis")
        self.web_port, self.crm_port = free_port(), free_port()
        self.processes: dict[str, Process] = {}
        self._latency = latency

    def __enter__(self) -> Self:
        self._stack.callback(self.redis.stop)
        self._stack.callback(self._kill_all)
        try:
            self.redis.start()
            self.start_crm()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _kill_all(self) -> None:
        for process in self.processes.values():
            process.kill()
        self.processes.clear()

    @property
    def client(self) -> Any:
        """A Redis client for questions; replies are bytes."""
        return Redis.from_url(self.redis.url, socket_timeout=30, protocol=2)

    @property
    def crm_url(self) -> str:
        return f"http://127.0.0.1:{self.crm_port}"

    # --- processes

    def start(self, name: str, command: list[str], environ: Mapping[str, str] = {}) -> Process:
        """Start one process of the system."""
        self.processes[name] = Process(name, self.folder, command, environ)
        return self.processes[name]

    def end(self, name: str) -> None:
        """End it in good order."""
        self.processes.pop(name).end()

    def start_crm(self) -> None:
        """The CRM, empty, with the site's latency."""
        self.start("crm", python("-m", "bench.crm", "--port", str(self.crm_port)))
        wait_for(lambda: _answers(f"{self.crm_url}/_stats"), "the CRM")
        self.behave(latency=self._latency)

    def await_web(self, path: str) -> None:
        """Until the receiver answers anything at all."""
        url = f"http://127.0.0.1:{self.web_port}{path}"
        wait_for(lambda: self._alive() and _answers(url), "web")

    def _alive(self) -> bool:
        """True, or NotInTime is raised with the last words of the process that ended."""
        for process in self.processes.values():
            process.check()
        return True

    # --- the CRM

    def behave(self, **how: float) -> None:
        """How the CRM answers from now on: `latency` in seconds, `status`."""
        self.crm("_control", how)

    def crm(self, path: str, body: Json = None) -> Json:
        """Ask the CRM."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.crm_url}/{path}", data=data)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def missing(self, wanted: Mapping[str, str]) -> list[str]:
        """Paths whose last body in the CRM does not hold its text: lost, or an older state."""
        rows = self.crm("_rows")
        return [path for path, text in wanted.items() if text not in _plain(rows.get(path, ""))]

    def await_records(self, count: int) -> Json:
        """Until the CRM holds so many rows, or is not called for `patience` seconds; its counts.

        The caller finds out what is missing: this never raises for lost events.
        """
        calls, heard = -1, time.monotonic()
        while True:
            stats = self.crm("_stats")
            if stats["records"] >= count:
                return stats
            if stats["calls"] != calls:
                calls, heard = stats["calls"], time.monotonic()
            elif time.monotonic() - heard > self.patience:
                return stats
            time.sleep(0.1)

    # --- what it costs

    def usage(self) -> Usage:
        """CPU seconds used so far."""
        return Usage(
            web=self._cpu("web"),
            worker=self._cpu("worker"),
            redis=cpu_seconds(self.redis.pid) if self.redis.pid else 0.0,
        )

    def memory(self) -> dict[str, float]:
        """Proportional set size by part, in MiB."""
        parts = {"web": self._pss("web"), "worker": self._pss("worker")}
        return {**parts, "together": sum(parts.values())}

    def _cpu(self, part: str) -> float:
        return sum(cpu_seconds(process.pid) for process in self._parts(part))

    def _pss(self, part: str) -> float:
        return sum(pss_mib(process.pid) for process in self._parts(part))

    def _parts(self, part: str) -> list[Process]:
        """`worker` stands for all workers."""
        return [p for name, p in self.processes.items() if name.rstrip("0123456789-") == part]

    # --- load

    def load(self, order: Order) -> Sending:
        """A generator that is ready to send."""
        return Sending(order, self.folder)

    def send(self, order: Order) -> Sent:
        """Send it all."""
        with self.load(order) as sending:
            sending.go()
            return sending.result()


class Connector(Site):
    """One `connector web` and, when asked for, `connector worker`s, with the shipped mappings.

    `target` is more YAML of the target, two levels in.
    """

    name = "connector"

    def __init__(
        self, *, latency: float = 0.0, threads: int = THREADS, workers: int = 1, target: str = ""
    ) -> None:
        super().__init__(latency=latency)
        self.threads = threads
        self._workers = workers
        self._target = target

    @property
    def environ(self) -> dict[str, str]:
        """What tells the connector's processes where their configuration is."""
        return {"CONNECTOR_CONFIG": str(self.folder / "config.yaml")}

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            text = _CONFIG.format(
                redis_url=self.redis.url,
                mappings=ROOT / "mappings",
                secret=SECRET,
                crm_url=self.crm_url,
                concurrency=self.threads * max(self._workers, 1),
                target=self._target,
            )
            (self.folder / "config.yaml").write_text(text)
            self.start(
                "web", python("-m", "connector", "web", "--port", str(self.web_port)), self.environ
            )
            self.await_web("/healthz")
            for number in range(self._workers):
                self.start_worker(f"worker-{number}")
        except BaseException:
            self._stack.close()
            raise
        return self

    def start_worker(self, name: str = "worker-0") -> None:
        """One more worker process, ready for work."""
        command = python("-m", "connector", "worker", "--threads", str(self.threads))
        client = self.client
        before = client.smembers("c:workers")  # one that has ended may still stand there
        process = self.start(name, command, self.environ)
        wait_for(lambda: client.smembers("c:workers") - before, name, explain=lambda: process.log)

    def warm_up(self) -> None:
        """Make the customers known to whom the tickets belong, and every path of the code warm."""
        self.deliver(Events("contact", 0, CONTACTS))
        self.deliver(Events("ticket", 90_000_001, CONTACTS))

    def deliver(self, events: Events) -> None:
        """Send events and wait until they are in the CRM."""
        before = self.crm("_stats")["records"]
        order = Order(
            self.web_port,
            connections=4,
            shape=events.shape,
            first=events.first,
            count=events.count,
            records=events.records,
        )
        sent = self.send(order)
        wanted = events.newest()
        self.await_records(before + len(wanted))
        if sent.lost or (missing := self.missing(wanted)):
            problem = sent.lost or missing
            raise RuntimeError(f"the warm-up lost {len(problem)} events: {self._logs()}")

    def behind(self) -> int:
        """Events not merged yet and records that the CRM is not up to date with."""
        client = self.client
        return int(client.scard("c:queued")) + int(client.zcard("c:dirty:crm"))

    def _logs(self) -> str:
        return "\n".join(process.log[-2000:] for process in self.processes.values())


class Plain(Site):
    """Flask under gunicorn and two stock, forking `rq worker`s."""

    name = "plain"
    patience = 5.0  # it tries nothing again

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            environ = {
                "REDIS_URL": self.redis.url,
                "CRM_URL": self.crm_url,
                "CARESOFT_SECRET": SECRET,
            }
            self.start("web", gunicorn("bench.plain.receiver:app", self.web_port), environ)
            self.await_web("/")
            rq = str(Path(python()[0]).with_name("rq"))
            for number in range(2):
                self.start(f"worker-{number}", [rq, "worker", "--url", self.redis.url], environ)
            wait_for(lambda: self.client.scard("rq:workers") == 2, "two RQ workers")
        except BaseException:
            self._stack.close()
            raise
        return self

    def warm_up(self) -> None:
        """A few events, so that both sides are past their first."""
        self.send(Order(self.web_port, connections=4, first=90_000_001, count=6))
        self.await_records(6)

    def behind(self) -> int:
        """Jobs that wait or run."""
        client = self.client
        return int(client.llen("rq:queue:default")) + int(client.zcard("rq:wip:default"))


class Bare(Site):
    """A handler that only verifies and pushes; no worker."""

    name = "bare"

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            environ = {"REDIS_URL": self.redis.url, "CARESOFT_SECRET": SECRET}
            self.start("web", gunicorn("bench.bare:app", self.web_port), environ)
            self.await_web("/")
        except BaseException:
            self._stack.close()
            raise
        return self


def gunicorn(app: str, port: int) -> list[str]:
    """One gthread process with eight threads, as the connector's own web process is."""
    bind = f"127.0.0.1:{port}"
    options = ["--workers", "1", "--worker-class", "gthread", "--threads", "8"]
    quiet = ["--no-control-socket", "--log-level", "warning", "--keep-alive", "75"]
    return python("-m", "gunicorn", "--bind", bind, *options, *quiet, app)


class Sending:
    """A generator process at work on one order."""

    def __init__(self, order: Order, folder: Path) -> None:
        self._process = subprocess.Popen(
            python("-m", "bench.generator"),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stopped = False
        self._write(json.dumps(asdict(order)))
        if self._read() != "ready":
            raise RuntimeError("the generator did not start")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def go(self) -> None:
        """Begin."""
        self._write("go")

    def stop(self) -> None:
        """Send no more."""
        self._write("stop")

    @property
    def over(self) -> bool:
        """Whether everything was sent and answered."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout.fileno()], [], [], 0)[0])

    def result(self) -> Sent:
        """What became of it; waits for the end."""
        return Sent(**json.loads(self._read()))

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _plain(body: str) -> str:
    """A JSON text with its letters unescaped: some clients write ASCII only."""
    return json.dumps(json.loads(body), ensure_ascii=False) if "\\u" in body else body
