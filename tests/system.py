"""The connector as it runs: real Redis, real web and worker processes, and a CRM that can be told
to misbehave. For tests that kill things.

    System, running()   the processes, each of which can be started, stopped and killed by name
    Stream              updates of some tickets, and the rows that must come of them
    Load                posts bodies in an open loop and remembers what was acknowledged
    balance()           compares the three in the end: the promises of the design, checked
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any, Self

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
PATIENCE = 3
"""How many times longer than usual a test waits before it says that it waits in vain."""
IN_VAIN = 15.0
"""Seconds within which the busiest machine is done with what ends at a deadline of a second. What
the deadline prevents takes longer: only that is to be told apart here."""
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

BRISK = """\
    timeout: TIMEOUT
    probe_interval: 1
    retry: {schedule: [0.5, 1, 2, 2, 2]}
    resources:
      default:
        upsert: {strategy: patch, path: "/{resource}/{external_id}"}
"""
"""More of the target, for tests: soon tries again, and sends only what changed, so that a change
that the connector wrongly believes delivered is missing in the CRM for good."""

STREAM_MAPPING = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    version: ticket.updated_at
    fields: {a: ticket.a, b: ticket.b, c: ticket.c, d: ticket.d}
---
source: caresoft
events: [ticket.delete]
records: [{resource: tickets, id: ticket.ticket_id, action: delete}]
---
source: caresoft
events: [lead.update]
records:
  - {resource: leads, id: lead.id, version: lead.updated_at, fields: {a: lead.a, b: lead.b}}
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
            start_new_session=True,  # a group of its own, so that `kill9` leaves no child behind
        )
        log.close()
        self.processes[name] = (process, Lifeline(process.pid))
        return process

    def start_crm(self) -> None:
        self.start("crm", str(FAKE_CRM), "--port", str(self.crm_port))
        wait_for(lambda: _ok(f"{self.crm_url}/_counts"), "the CRM", explain=lambda: self.log("crm"))

    def start_web(self) -> None:
        self.start("web", "-m", "connector", "web", "--port", str(self.web_port))
        wait_for(lambda: _ok(f"{self.web_url}/healthz"), "web", explain=lambda: self.log("web"))

    def start_worker(self, name: str = "worker", threads: int = 8) -> subprocess.Popen[bytes]:
        return self.start(name, "-m", "connector", "worker", "--threads", str(threads))

    def start_and_await_worker(self, name: str = "worker", threads: int = 8) -> None:
        """As `start_worker`, and back when it takes work."""
        self.start_worker(name, threads)
        wait_for(lambda: "is ready" in self.log(name), name, explain=lambda: self.log(name))

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name][0].send_signal(number)

    def alive(self, name: str) -> bool:
        """Whether the process still runs."""
        return self.processes[name][0].poll() is None

    def kill9(self, name: str) -> None:
        """Kill it with all its children, as a platform or a lack of memory does."""
        process, lifeline = self.processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        lifeline.cut()

    def stop(self, name: str, within: float = 30.0) -> int:
        """SIGTERM, and the exit code."""
        process, lifeline = self.processes.pop(name)
        process.terminate()
        try:
            return process.wait(timeout=within * PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
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

    def answers(self, path: str) -> bool:
        """Whether the web process answers 200 there."""
        return _ok(f"{self.web_url}/{path}")

    # --- the CRM's side

    def behave(self, **behaviour: Json) -> None:
        requests.post(f"{self.crm_url}/_control", json=behaviour, timeout=5).raise_for_status()

    def crm(self, path: str) -> Json:
        return requests.get(f"{self.crm_url}/{path}", timeout=10).json()

    def rows(self, resource: str) -> dict[str, Json]:
        rows: dict[str, Json] = self.crm("_rows").get(resource, {})
        return rows

    def put_rows(self, rows: Mapping[str, Json]) -> None:
        """Changes rows as a person in the CRM would."""
        requests.post(f"{self.crm_url}/_rows", json=rows, timeout=5).raise_for_status()

    def calls(self) -> list[dict[str, Json]]:
        calls: list[dict[str, Json]] = self.crm("_calls")["calls"]
        return calls

    def waiting_calls(self) -> int:
        """How many calls are under way in the CRM."""
        return sum(call["end"] is None for call in self.calls())

    # --- what the connector says

    def outcomes(self) -> dict[str, str]:
        """The state of every event by its id. Raises RedisError while Redis is away."""
        found = reports.events(connect(self.redis.url), Query(limit=0))
        return {entry.event.id: state for entry, state in found}

    def spooled(self) -> int:
        """How many events the web process has on its disk."""
        return int(requests.get(f"{self.web_url}/readyz", timeout=10).json()["spool"]["events"])

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
    every: float = 0.05,
) -> None:
    """Until the condition holds; fails with what it waited for.

    `within` are the seconds of a machine with nothing else to do; any other is given longer. This
    ends a wait in vain, and measures nothing.
    """
    within *= PATIENCE
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {within} s; {explain()}")
        time.sleep(every)


def _ok(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


def end_listening(listener: socket.socket, accepting: threading.Thread) -> None:
    """Close a socket that a thread accepts from. Closed alone it would leave its number to the next
    socket, from which that thread might then take a connection."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    accepting.join()
    listener.close()


def ticket(ticket_id: int, version: int, **fields: Json) -> dict[str, Json]:
    """A ticket.update of CareSoft; `version` in epoch milliseconds."""
    known = {"ticket_id": ticket_id, "updated_at": version, "ticket_subject": f"v{version}"}
    return {"object": "ticket", "action": "update", "ticket": {**known, **fields}}


def sample_bodies() -> Sequence[tuple[str, str, bytes]]:
    """(source, file name, body) of every sample of both vendors."""
    files = sorted(SAMPLES.glob("*/*.json"))
    return [(file.parent.name, file.name, file.read_bytes()) for file in files]


# --- many events, and what must come of them


FIELDS = "abcd"


def event_id(body: bytes) -> str:
    """The id that the connector gives to a CareSoft event."""
    return hashlib.sha256(body).hexdigest()


class Stream:
    """Updates of `records` tickets, a few fields each, now and then late by some events.

    For STREAM_MAPPING. Values are few, so that one that was there before comes back; versions are
    unique, so that exactly one value of each field is the newest. Safe to use from several threads
    only for reading.
    """

    def __init__(self, records: int, *, seed: int = 0, first: int = 1) -> None:
        self.records = [str(number) for number in range(first, first + records)]
        self._random = random.Random(seed)
        self._version = 1_700_000_000_000
        self._said: dict[str, tuple[str, int, Mapping[str, Json] | None]] = {}

    def bodies(self, count: int, *, late: float = 0.3) -> list[bytes]:
        """The next `count` updates in order of arrival; of them a share of `late` comes late."""
        order = [
            (number + (self._random.randrange(20) if self._random.random() < late else 0), body)
            for number, body in enumerate([self._update() for _ in range(count)])
        ]
        return [body for _, body in sorted(order)]

    def one_for_each(self, **fields: Json) -> list[bytes]:
        """An update of every ticket; of all fields unless some are given."""
        return [self.update(record, fields or self._values(FIELDS)) for record in self.records]

    def update(self, record: str, fields: Mapping[str, Json]) -> bytes:
        """The newest update of one ticket."""
        self._version += 1
        return self._note("update", record, fields)

    def delete(self, record: str) -> bytes:
        """The end of one ticket."""
        return self._note("delete", record, None)

    def _update(self) -> bytes:
        named = self._random.sample(FIELDS, self._random.randint(1, len(FIELDS)))
        return self.update(self._random.choice(self.records), self._values("".join(named)))

    def _values(self, fields: str) -> dict[str, Json]:
        return {name: self._random.randrange(3) for name in fields}

    def _note(self, action: str, record: str, fields: Mapping[str, Json] | None) -> bytes:
        told = {"ticket_id": int(record), "updated_at": self._version, **(fields or {})}
        body = json.dumps({"object": "ticket", "action": action, "ticket": told}).encode()
        self._said[event_id(body)] = (record, self._version, fields)
        return body

    def rows(self, ids: Collection[str]) -> dict[str, Json]:
        """What the CRM must hold when it has been told of just these events, in whatever order: of
        every field the newest value, and nothing of a ticket that was deleted."""
        newest: dict[tuple[str, str], tuple[int, Json]] = {}
        rows: dict[str, Json] = {}
        gone = set()
        for id_ in self._said.keys() & set(ids):
            record, version, fields = self._said[id_]
            if fields is None:
                gone.add(record)
                continue
            rows.setdefault(record, {"id": record})
            for name, value in fields.items():
                if version >= newest.get((record, name), (0, None))[0]:
                    newest[record, name] = (version, value)
        for (record, name), (_, value) in newest.items():
            rows[record][name] = value
        return {record: row for record, row in rows.items() if record not in gone}

    def deletes(self, ids: Collection[str]) -> set[str]:
        """The tickets that these events delete."""
        known = self._said.keys() & set(ids)
        return {self._said[id_][0] for id_ in known if self._said[id_][2] is None}


@dataclass(frozen=True, slots=True)
class Posted:
    """One request of the load; `status` None when no answer came."""

    body: bytes
    status: int | None
    seconds: float


class Load:
    """Posts signed bodies in an open loop, each at its time, whatever became of those before it.

    For `with`: leaving it waits until everything was posted. A request that is not answered is not
    sent again.
    """

    def __init__(
        self,
        system: System,
        bodies: Sequence[bytes],
        *,
        rate: float = 100.0,
        source: str = "caresoft",
        threads: int = 32,
    ) -> None:
        self.posted: list[Posted] = []
        self._url = f"{system.web_url}/webhooks/{source}"
        self._sign = open_sources(system.config)[source].sign
        self._bodies = iter(list(enumerate(bodies)))
        self._rate = rate
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._post_all) for _ in range(threads)]

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._bodies = iter([])
        for thread in self._threads:
            thread.join()

    @property
    def sent(self) -> int:
        """How many requests are over, answered or not."""
        return len(self.posted)

    @property
    def acknowledged(self) -> list[bytes]:
        """The bodies that were answered 200."""
        return [one.body for one in self.posted if one.status == 200]

    @property
    def slowest(self) -> float:
        """Seconds of the slowest answer, to be told: how long depends on the machine as well."""
        return max((one.seconds for one in self.posted if one.status is not None), default=0.0)

    @property
    def typical(self) -> float:
        """Seconds of an answer: half of them took no longer."""
        return median(one.seconds for one in self.posted)

    def _post_all(self) -> None:
        with requests.Session() as session:
            session.trust_env = False  # a test may change it in mid-walk
            while True:
                with self._lock:
                    number, body = next(self._bodies, (0, None))
                if body is None:
                    return
                rest = self._begun + number / self._rate - time.monotonic()
                if rest > 0:
                    time.sleep(rest)
                self.posted.append(self._post(session, body))

    def _post(self, session: requests.Session, body: bytes) -> Posted:
        headers = self._sign(body)
        begun = time.monotonic()
        try:
            status: int | None = session.post(
                self._url, data=body, headers=headers, timeout=30
            ).status_code
        except requests.RequestException:
            status = None
        return Posted(body, status, time.monotonic() - begun)


@dataclass(slots=True)
class Tally:
    """What a test counted, for its reader."""

    lines: list[str] = field(default_factory=list)

    def note(self, what: str, **counts: Json) -> None:
        """One line: what was counted, and how much of it."""
        told = ", ".join(f"{name} {value}" for name, value in counts.items())
        self.lines.append(f"{what}: {told}" if what else told)


def balance(
    system: System,
    stream: Stream,
    *loads: Load,
    tally: Tally | None = None,
    also: Collection[bytes] = (),
    within: float = 30.0,
    dead: Collection[str] = (),
    timeout: float = 2.0,
    written_twice: Collection[str] = (),
) -> list[dict[str, Json]]:
    """Wait until everything that was acknowledged is in the CRM, and check what was promised of it.

    - Every event that was answered 200 is known, and done.
    - The rows are those that the known events make in whatever order.
    - No call on a record met another, unless its caller had given it up: `timeout` is the target's.
    - No two different payloads shared an idempotency key.
    - No row was made twice (`written_twice`: those that may have been).

    `also`: acknowledged bodies that no load sent. `dead`: records whose delivery may be given up.
    The calls, for whatever else a test wants to know of them.
    """
    acknowledged = {event_id(body) for load in loads for body in load.acknowledged}
    acknowledged |= {event_id(body) for body in also}

    def behind() -> dict[str, Json]:
        outcomes = system.outcomes()
        missing = acknowledged - outcomes.keys()
        left = Counter(state for state in outcomes.values() if state in ("queued", "waiting"))
        spooled = system.spooled() if "web" in system.processes else 0
        counts = {"missing": len(missing), "spooled": spooled, **left}
        return {name: count for name, count in counts.items() if count}

    wait_for(lambda: not behind(), "everything acknowledged to be done", within, behind, 0.25)
    outcomes = system.outcomes()
    calls = system.calls()
    rows = system.rows("tickets")
    if tally is not None:
        tally.note(
            "",
            sent=sum(load.sent for load in loads) + len(also),
            acknowledged=len(acknowledged),
            delivered=sum(state == "done" for state in outcomes.values()),
            lost=len(acknowledged - outcomes.keys()),
            calls=len(calls),
        )
    gone = stream.deletes(outcomes.keys())
    wanted = stream.rows(outcomes.keys())
    unlike = {
        record: {"is": rows.get(record), "ought": wanted.get(record)}
        for record in (rows.keys() | wanted.keys()) - set(dead)
        if rows.get(record) != wanted.get(record)
    }
    assert not unlike
    refused = {id_ for id_, state in outcomes.items() if state != "done"}
    assert not refused or dead, Counter(outcomes.values())
    assert overlaps(system, timeout) == []
    assert shared_keys(calls) == []
    made = Counter((call["resource"], call["record"]) for call in calls if call["status"] == 201)
    forgiven = {("tickets", record) for record in [*written_twice, *gone]}
    assert not {row for row, times in made.items() if times > 1} - forgiven
    return calls


def overlaps(system: System, timeout: float) -> list[Json]:
    """Pairs of calls on one record that met in the CRM although the caller of the first had not
    given it up: a call is over for its caller after `timeout` seconds, whatever the CRM does."""
    calls = {call["number"]: call for call in system.calls()}
    pairs = [
        (calls[first], calls[second])
        for first, second in (pair["calls"] for pair in system.crm("_overlaps")["overlaps"])
    ]
    return [pair for pair in pairs if pair[1]["start"] - pair[0]["start"] < timeout - 0.5]


def shared_keys(calls: Sequence[Mapping[str, Json]]) -> list[str]:
    """The idempotency keys that stand for more than one payload."""
    meant: dict[str, set[tuple[str, str, str]]] = {}
    for call in calls:
        if key := call["headers"].get("idempotency-key"):
            meant.setdefault(key, set()).add((call["method"], call["path"], call["body"]))
    return [key for key, payloads in meant.items() if len(payloads) > 1]
