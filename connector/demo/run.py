"""`connector demo`: the whole system on one machine, fed with every sample of both vendors.

Real processes: an embedded Redis, the reference CRM, one web and one worker process. The samples
are signed and posted over HTTP as the vendors would; then the CRM content is compared with
`expected.json`, which was worked out from the vendors' documents. Everything lies in a folder of
its own, and no process outlives this one.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import requests
from redis.exceptions import RedisError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from connector import config as configuration
from connector import reports
from connector.assemble import open_sources
from connector.config import Config
from connector.demo.lifeline import Lifeline
from connector.demo.ports import LOOPBACK, free_port
from connector.demo.redis import EmbeddedRedis
from connector.model import Json
from connector.records import store
from connector.redisdb import connect
from connector.terminal import complain, err, print_table, say

HERE = Path(__file__).parent
SAMPLES = HERE / "samples"
EXPECTED = HERE / "expected.json"
MAPPINGS = HERE.parent.parent / "mappings"

START_SECONDS = 30.0
SYNC_SECONDS = 60.0

_CONFIG = """\
redis_url: ${REDIS_URL}
spool: spool.sqlite
mappings: ${MAPPINGS}
sources:
  caresoft:
    kind: caresoft
    secrets: ["${CARESOFT_SECRET}"]
  mobio:
    kind: mobio
    apps:
      - {app_id: 16453496-6a17-11ed-8a77-6632ed169876, secrets: ["${MOBIO_SECRET}"]}
      - {app_id: c71f0b7a-6ecc-11ed-9704-468042e8692e, secrets: ["${MOBIO_SECRET}"]}
targets:
  crm:
    base_url: ${CRM_BASE_URL}
    auth: {type: bearer, token: "${CRM_TOKEN}"}
    check: {path: /}
dashboard: {local_role: editor}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """One documented body."""

    source: str
    file: Path


def samples() -> list[Sample]:
    """Every documented body, by source and name."""
    return [Sample(file.parent.name, file) for file in sorted(SAMPLES.glob("*/*.json"))]


def run(*, once: bool, port: int, crm_port: int) -> int:
    """Start everything, send every sample, show what came of it; the exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="connector-")))
            system = _start(stack, folder, _port(port, once), _port(crm_port, once))
            same = _feed_and_show(system)
            if once:
                return 0 if same else 1
            _show_where_to_look(system)
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        say("stopped; no process is left behind")
        return 0
    except _Failed as error:
        complain(str(error))
        return 2


class _Failed(Exception):
    """The demo could not run."""


@dataclass(frozen=True, slots=True)
class _System:
    """The running processes, seen from outside."""

    config: Config
    web_url: str
    crm_url: str
    crm_token: str
    folder: Path
    processes: Mapping[str, subprocess.Popen[bytes]]
    environ: Mapping[str, str]

    def see_all_alive(self) -> None:
        """Raises _Failed with the last words of a process that has ended."""
        ended = [name for name, process in self.processes.items() if process.poll() is not None]
        if ended:
            raise _Failed(f"{', '.join(ended)} ended\n{self.last_words(ended)}")

    def last_words(self, names: Iterable[str]) -> str:
        """The ends of the logs of these processes."""
        return "\n".join(f"--- {name}\n{_tail(self.folder / f'{name}.log')}" for name in names)

    def crm(self, path: str) -> Json:
        """What the CRM answers to a GET."""
        headers = {"Authorization": f"Bearer {self.crm_token}"}
        response = requests.get(f"{self.crm_url}{path}", headers=headers, timeout=10)
        response.raise_for_status()
        return response.json()


# --- starting


def _start(stack: ExitStack, folder: Path, port: int, crm_port: int) -> _System:
    say("starting Redis, the reference CRM, web and worker …")
    redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
    token = secrets.token_hex(16)
    environ = {
        **os.environ,
        "CONNECTOR_CONFIG": str(folder / "config.yaml"),
        "REDIS_URL": redis.url,
        "MAPPINGS": str(MAPPINGS),
        "CARESOFT_SECRET": secrets.token_hex(16),
        "MOBIO_SECRET": secrets.token_hex(16),
        "CRM_BASE_URL": f"http://{LOOPBACK}:{crm_port}",
        "CRM_TOKEN": token,
    }
    config_path = folder / "config.yaml"
    config_path.write_text(_CONFIG)
    crm = ["-m", "connector.demo.crm", "--port", str(crm_port), "--db", str(folder / "crm.sqlite")]
    commands = {
        "crm": crm,
        "web": ["-m", "connector", "web", "--port", str(port)],
        "worker": ["-m", "connector", "worker"],
    }
    processes = {
        name: stack.enter_context(_process(name, command, environ, folder))
        for name, command in commands.items()
    }
    system = _System(
        configuration.load(config_path, environ),
        f"http://{LOOPBACK}:{port}",
        f"http://{LOOPBACK}:{crm_port}",
        token,
        folder,
        processes,
        environ,
    )
    _wait_until_ready(system)
    return system


@contextmanager
def _process(
    name: str, command: Sequence[str], environ: Mapping[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A Python process of ours; its output goes to `<name>.log`."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - all of it is ours
            [sys.executable, *command],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is ours to pass on
        )
    lifeline = Lifeline(process.pid)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        lifeline.cut()


def _wait_until_ready(system: _System) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (_answers(f"{system.web_url}/readyz") and _answers(f"{system.crm_url}/openapi.json")):
        system.see_all_alive()
        if time.monotonic() > deadline:
            raise _Failed(f"not ready in time\n{system.last_words(system.processes)}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        # Both are ready when they answer at all but 503; the CRM asks for its token first.
        return requests.get(url, timeout=2).status_code in (200, 401)
    except requests.RequestException:
        return False


def _tail(file: Path, lines: int = 15) -> str:
    return "\n".join(file.read_text(errors="replace").splitlines()[-lines:])


def _port(wanted: int, once: bool) -> int:
    """A run that nobody watches takes any port; the other the one that its URLs promise."""
    return free_port() if once else wanted


# --- feeding


def _feed_and_show(system: _System) -> bool:
    """Send every sample and wait until the CRM has it; whether all is as it should be."""
    wanted = samples()
    sources = open_sources(system.config)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err
    ) as bar:
        sending = bar.add_task("sent, signed, over HTTP", total=len(wanted))
        for sample in wanted:
            body = sample.file.read_bytes()
            answer = requests.post(
                f"{system.web_url}/webhooks/{sample.source}",
                data=body,
                headers={"Content-Type": "application/json", **sources[sample.source].sign(body)},
                timeout=10,
            )
            if answer.status_code != 200:
                raise _Failed(f"{sample.file.name} was answered {answer.status_code}")
            bar.advance(sending)
        syncing = bar.add_task("in the CRM", total=len(wanted))
        rows = _wait_until_synced(system, len(wanted), lambda n: bar.update(syncing, completed=n))
    calls = [
        reports.call_json(line) for line in store.calls(connect(system.config.redis_url), None, 0)
    ]
    _show_events(rows, calls)
    _show_calls(calls)
    differences = list(compare(json.loads(EXPECTED.read_text("utf-8")), _content(system)))
    for line in differences:
        complain(line)
    done = sum(row["state"] == "done" for row in rows)
    fine = done == len(wanted) and not differences
    verdict = "equals" if not differences else "differs from"
    say(
        f"{done} of {len(wanted)} events done; the CRM's content {verdict} what the vendors'"
        " documents say",
        "bold green" if fine else "bold red",
    )
    return fine


def _wait_until_synced(
    system: _System, count: int, progress: Callable[[int], None]
) -> list[dict[str, Json]]:
    """Until every event is done or dead; the events as `connector events` shows them."""
    client = connect(system.config.redis_url)
    deadline = time.monotonic() + SYNC_SECONDS
    while True:
        system.see_all_alive()
        try:
            found = reports.events(client, reports.Query(limit=0))
        except RedisError as error:
            raise _Failed(f"Redis is away: {error}") from error
        rows = [reports.event_json(entry, state) for entry, state in found]
        settled = sum(row["state"] in ("done", "dead", "unmapped") for row in rows)
        progress(settled)
        if settled >= count or time.monotonic() > deadline:
            return rows
        time.sleep(0.1)


# --- showing


def _show_events(rows: Sequence[Mapping[str, Json]], calls: Sequence[Mapping[str, Json]]) -> None:
    made = Counter((call["resource"], call["id"]) for call in calls)
    kinds: dict[str, list[Mapping[str, Json]]] = {}
    for row in rows:
        kinds.setdefault(row["kind"] or "–", []).append(row)
    print_table(
        ["kind", "events", "records touched", "calls for them", "state"],
        (
            (
                kind,
                len(events),
                _touched(events),
                sum(made[record] for record in _records(events)),
                ", ".join(sorted({event["state"] for event in events})),
            )
            for kind, events in sorted(kinds.items())
        ),
        title="what became of the samples",
    )


def _records(events: Sequence[Mapping[str, Json]]) -> list[tuple[str, str]]:
    """The records that these events went into, each once."""
    return list(
        dict.fromkeys((r["resource"], r["id"]) for event in events for r in event["records"])
    )


def _touched(events: Sequence[Mapping[str, Json]]) -> str:
    names = [f"{resource} {id_[:24]}" for resource, id_ in _records(events)]
    return ", ".join(names) or "none: the body holds no id"


def _show_calls(made: Sequence[Mapping[str, Json]]) -> None:
    calls = Counter((call["resource"], call["method"], str(call["status"])) for call in made)
    print_table(
        ["resource", "method", "status", "calls"],
        ((*key, count) for key, count in sorted(calls.items())),
        title=f"calls made to the CRM: {sum(calls.values())}",
    )


def _show_where_to_look(system: _System) -> None:
    say("")
    say(f"  the CRM's records      {system.crm_url}/")
    say(f"  the connector's pages  {system.web_url}/")
    say(f"  its metrics            {system.web_url}/metrics")
    say("  in another terminal:")
    exports = ("CONNECTOR_CONFIG", "REDIS_URL", "MAPPINGS", "CRM_BASE_URL")
    hidden = ("CARESOFT_SECRET", "MOBIO_SECRET", "CRM_TOKEN")
    for name in (*exports, *hidden):
        say(f"    export {name}={system.environ[name]}")
    say("    .venv/bin/connector events")
    say("    .venv/bin/connector record tickets 322677")
    say("Ctrl-C ends everything.")


# --- comparing


def _content(system: _System) -> dict[str, dict[str, dict[str, Json]]]:
    """What the CRM holds: resource → id → fields that are not null."""
    resources = json.loads((HERE / "schema.json").read_text("utf-8"))
    return {
        resource: {
            row["id"]: {
                name: value
                for name, value in row.items()
                if name != "id" and not name.startswith("_") and value is not None
            }
            for row in system.crm(f"/{resource}?limit=1000")["items"]
        }
        for resource in resources
    }


def compare(
    expected: Mapping[str, Mapping[str, Mapping[str, Json]]],
    found: Mapping[str, Mapping[str, Mapping[str, Json]]],
) -> Iterator[str]:
    """One line for each difference."""
    for resource in sorted(expected.keys() | found.keys()):
        wanted, there = expected.get(resource, {}), found.get(resource, {})
        for id_ in sorted(wanted.keys() | there.keys()):
            if id_ not in there:
                yield f"{resource} {id_} is missing in the CRM"
            elif id_ not in wanted:
                yield f"{resource} {id_} should not be in the CRM"
            else:
                yield from _compare_fields(f"{resource} {id_}", wanted[id_], there[id_])


def _compare_fields(
    record: str, wanted: Mapping[str, Json], there: Mapping[str, Json]
) -> Iterator[str]:
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            yield f"{record}: {name} is {there.get(name)!r}, should be {wanted.get(name)!r}"


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
