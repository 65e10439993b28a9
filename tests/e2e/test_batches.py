"""Records that go many in one call, the whole way: webhook, worker, batch, outcome per record."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from system import System, running, ticket, wait_for

T0 = 1_700_000_000_000

BATCHED = """\
    timeout: 5
    concurrency: 4
    retry: {schedule: [0.5, 1, 1], give_up_after: 604800, max_retry_after: 3600}
    resources:
      default:
        upsert: {strategy: put, path: "/{resource}/{external_id}"}
        send: changed
        external_id_field: ext_id
        batch:
          path: /{resource}/batch
          body: {inputs: "{records}"}
          results: results
          match: ext_id
          size: 20
          wait: 0.3
"""


class BatchCrm:
    """Upserts rows, one by `PUT /x/<id>` or many by `POST /x/batch`; refuses bad ones by name."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.batches: list[int] = []
        self.singles = 0
        self.bad: set[str] = set()
        self.latency = 0.0
        self.lock = threading.Lock()

    def answer(self, path: str, body: Any) -> tuple[int, Any]:
        resource, _, last = path.strip("/").partition("/")
        time.sleep(self.latency)
        with self.lock:
            if last != "batch":
                self.singles += 1
                return self._write(resource, last, body)
            self.batches.append(len(body["inputs"]))
            return 207, {"results": [self._one(resource, item) for item in body["inputs"]]}

    def _one(self, resource: str, item: dict[str, Any]) -> dict[str, Any]:
        status, said = self._write(resource, item["ext_id"], item)
        return {"ext_id": item["ext_id"], "status": status, **said}

    def _write(self, resource: str, ext_id: str, fields: dict[str, Any]) -> tuple[int, Any]:
        if ext_id in self.bad:
            return 422, {"message": f"no {ext_id}"}
        self.rows.setdefault(f"{resource}/{ext_id}", {}).update(fields)
        return 200, {}


@contextmanager
def serving(crm: BatchCrm, port: int) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, said = crm.answer(self.path, body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_PUT

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def batched(folder: Path, crm: BatchCrm) -> Iterator[System]:
    with running(folder, target=BATCHED, workers=0) as system:
        system.stop("crm")
        with serving(crm, system.crm_port):
            yield system


def test_waiting_records_go_together_and_one_bad_one_fails_alone(tmp_path: Path) -> None:
    crm = BatchCrm()
    crm.bad = {"7"}
    with batched(tmp_path, crm) as system:
        for number in range(1, 61):
            system.send("caresoft", ticket(number, T0))
        system.start_worker()
        assert system.wait_until_settled(60) == {"done": 59, "dead": 1}
        assert {f"tickets/{n}" for n in range(1, 61)} - crm.rows.keys() == {"tickets/7"}
        assert max(crm.batches) == 20
        assert len(crm.batches) + crm.singles < 30
        (dead,) = system.cli("dead")["dead"]
        assert (dead["record"], dead["status"]) == ("7", 422)
        assert "no 7" in json.dumps(dead["answer"])
        crm.bad = set()
        system.cli("dead", "retry", "--all")
        assert system.wait_until_settled(60) == {"done": 60}


def test_a_batch_whose_worker_was_killed_is_in_the_crm_in_the_end(tmp_path: Path) -> None:
    crm = BatchCrm()
    with batched(tmp_path, crm) as system:
        crm.latency = 1.0
        for number in range(1, 41):
            system.send("caresoft", ticket(number, T0))
        system.start_worker()
        wait_for(lambda: crm.batches, "a batch")
        system.kill9("worker")
        crm.latency = 0.0
        system.start_worker()
        assert system.wait_until_settled(40) == {"done": 40}
        assert {row["subject"] for row in crm.rows.values() if "subject" in row} == {f"v{T0}"}
        assert sum(key.startswith("tickets/") for key in crm.rows) == 40
