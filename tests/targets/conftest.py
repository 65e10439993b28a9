"""A scripted CRM on 127.0.0.1, and targets that are configured as a person would configure them.

`crm.say(...)` queues what the next calls are answered; without a script every call is answered
200 `{}`. `crm.seen` holds what came in.
"""

from __future__ import annotations

import json
import socket
import struct
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from apart import apart

from connector.config import load
from connector.model import Delivery, Name, Outcome
from connector.targets.http import Http, Request, Result
from connector.targets.target import Target
from connector.turns import Turns


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came in. `path` is raw, its query included."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def key(self) -> str | None:
        return self.headers.get("Idempotency-Key")


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call is answered.

    `cut`: the connection is reset instead ("unread": before the request is read). `hang`: nothing
    comes for so many seconds. `drip`: seconds between the bytes of the head; `drip_body`: of the
    body.
    """

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: str = ""
    hang: float = 0.0
    drip: float = 0.0
    drip_body: float = 0.0

    def content(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


class Rows:
    """A small API at `/t`, for `crm.otherwise`: the CRM gives ids, `ext` holds ours.

    Knobs are attributes: `lag` searches that do not see the newest row yet, `unique` refuses a
    second row of one `ext` with that status, `etags` asks for If-Match.
    """

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = {row["id"]: dict(row) for row in rows}
        self.next = 100
        self.lag = 0
        self.unique = 0
        self.etags = False
        self.answers_id = True

    def __call__(self, seen: Seen) -> Reply:
        key = seen.path.partition("?")[0].removeprefix("/t").strip("/")
        if not key:
            return self.create(seen) if seen.method == "POST" else self.search(seen)
        row = self.rows.get(int(key))
        if row is None:
            return Reply(404, {"message": "no such row"})
        if seen.method == "GET":
            return Reply(200, {"data": row}, {"ETag": self.etag(row)})
        if self.etags and seen.headers.get("If-Match") != self.etag(row):
            return Reply(412, {"message": "changed meanwhile"})
        if seen.method == "DELETE":
            del self.rows[row["id"]]
            return Reply(204)
        row.update(seen.json)
        return Reply(200, {"data": row})

    def create(self, seen: Seen) -> Reply:
        known = [row for row in self.rows.values() if row.get("ext") == seen.json.get("ext")]
        if known and self.unique:
            return Reply(self.unique, {"message": "not unique", "data": {"id": known[0]["id"]}})
        self.next += 1
        self.rows[self.next] = {"id": self.next, **seen.json}
        return Reply(201, {"data": {"id": self.next}} if self.answers_id else None)

    def search(self, seen: Seen) -> Reply:
        wanted = dict(seen.query).get("ext")
        hits = [row for row in self.rows.values() if row.get("ext") == wanted]
        if hits and self.lag:
            self.lag -= 1
            hits = []
        return Reply(200, {"data": hits})

    def etag(self, row: dict[str, Any]) -> str:
        return f'"{abs(hash(json.dumps(row)))}"'


class Crm(ThreadingHTTPServer):
    """The far side of the network."""

    reply = Reply
    rows = Rows
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.script: deque[Reply | Callable[[Seen], Reply]] = deque()
        self.otherwise: Reply | Callable[[Seen], Reply] = Reply(body={})
        self.seen: list[Seen] = []
        self.connections = 0
        self.closing = threading.Event()

    def say(self, status: int = 200, body: Any = None, **more: Any) -> None:
        """Queues the answer to the next call that has none yet."""
        self.script.append(Reply(status, body, **more))

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections are cut on purpose here."""

    @property
    def keys(self) -> list[str | None]:
        return [seen.key for seen in self.seen]

    @property
    def calls(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]


class _Handler(BaseHTTPRequestHandler):
    server: Crm
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self) -> None:
        super().setup()
        self.number = self.server.connections

    def handle_one_request(self) -> None:
        script = self.server.script
        if script and isinstance(script[0], Reply) and script[0].cut == "unread":
            script.popleft()
            self._reset()
            return
        super().handle_one_request()

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        seen = Seen(self.command, self.path, self.headers, body, self.number)  # type: ignore[arg-type]
        self.server.seen.append(seen)
        reply = self.server.script.popleft() if self.server.script else self.server.otherwise
        self._answer(reply if isinstance(reply, Reply) else reply(seen))

    def _answer(self, reply: Reply) -> None:
        if reply.hang and self.server.closing.wait(reply.hang):
            return
        if reply.cut:
            self._reset()
            return
        content = reply.content()
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        for name, value in {**headers, **reply.headers}.items():
            if value is not None:
                self.send_header(name, value)
        head = b"".join(self._headers_buffer) + b"\r\n"  # type: ignore[attr-defined]
        self._headers_buffer = []
        self._write(head, reply.drip)
        self._write(content, reply.drip_body)

    def _write(self, data: bytes, pause: float) -> None:
        for part in [bytes([number]) for number in data] if pause else [data]:
            if pause and self.server.closing.wait(pause):
                return
            self.wfile.write(part)
            self.wfile.flush()

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.rfile.close = self.wfile.close = lambda: None  # type: ignore[method-assign]

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _any


@pytest.fixture
def crm() -> Iterator[Crm]:
    """A CRM that answers 200 `{}` unless it is told otherwise."""
    server = Crm()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(slots=True)
class Bench:
    """A target, and deliveries to it. Further keywords of `upsert` and `delete` are an order's."""

    target: Target
    http: Http
    tries: int = 0
    intended: list[Any] = field(default_factory=list)

    def before_call(self) -> None:
        self.tries += 1

    def deliver(self, delivery: Delivery) -> Outcome:
        return self.target.deliver(delivery, self.http, self.before_call, self.intended.append)

    def upsert(
        self,
        fields: Mapping[str, Any] | None = None,
        *,
        id: str = "9999",
        changed: set[str] | None = None,
        link: str | int | None = None,
        delivered: bool = False,
        number: int = 1,
        resource: str = "tickets",
        **more: Any,
    ) -> Outcome:
        fields = {"subject": "Hello"} if fields is None else fields
        names = frozenset(fields if changed is None else changed)
        name = Name(self.target.config.name, resource, id)
        return self.deliver(
            Delivery(name, "upsert", fields, names, link, delivered, number, **more)
        )

    def delete(
        self,
        *,
        id: str = "9999",
        link: str | int | None = None,
        delivered: bool = True,
        number: int = 1,
        resource: str = "tickets",
        **more: Any,
    ) -> Outcome:
        name = Name(self.target.config.name, resource, id)
        return self.deliver(
            Delivery(name, "delete", {}, frozenset(), link, delivered, number, **more)
        )


Configure = Callable[..., Bench]


@pytest.fixture
def configure(crm: Crm, tmp_path: Path) -> Iterator[Configure]:
    """Makes a target from YAML: `tickets`, the keys of that resource; `target`, of its CRM;
    `environ`, the variables that they may name."""
    https: list[Http] = []

    def make(
        tickets: str = "", target: str = "", base_url: str = "", environ: Mapping[str, str] = {}
    ) -> Bench:
        file = tmp_path / "config.yaml"
        text = f"targets:\n  crm:\n    base_url: {base_url or crm.url}\n"
        text += textwrap.indent(textwrap.dedent(target), "    ")
        text += "\n    resources:\n      tickets:\n"
        text += textwrap.indent(textwrap.dedent(tickets) or "{}\n", "        ")
        file.write_text(text)
        https.append(Http())
        return Bench(Target(load(file, environ).targets["crm"]), https[-1])

    yield make
    for http in https:
        http.close()


class InTurns(Http):
    """Calls as the senders of a worker make them."""

    def send(self, request: Request, timeout: float) -> Result:
        """One call by one who takes turns."""
        found: list[Result] = []

        def call() -> None:
            found.append(super(InTurns, self).send(request, timeout))

        apart(lambda: Turns().run(call))
        return found[0]


@pytest.fixture(params=[Http, InTurns], ids=["in a thread", "in turns"])
def http(request: pytest.FixtureRequest) -> Iterator[Http]:
    """Connections that are closed at the end of the test."""
    made: Http = request.param()
    yield made
    made.close()


@pytest.fixture
def stopwatch() -> Callable[[], float]:
    """Seconds since the test began."""
    begun = time.monotonic()
    return lambda: time.monotonic() - begun
