"""A server that plays a conversation as the documentation of an API shows it.

It knows what will be asked, in which order, and what to answer. What is asked otherwise is answered
599 and told by `complaints`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Json = Any


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call and its answer. `call` is method, path and query, readable: percent-decoded; `{any}`
    in it stands for any text.

    `body` None: whatever body comes. `headers` are those that must be there.
    """

    call: str
    body: Json
    status: int
    answer: Json = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Script(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ahead = list(exchanges)
        self.complaints: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def next(self, call: str, headers: Message, body: Json) -> tuple[int, Json]:
        if not self.ahead:
            self.complaints.append(f"{call} is one call too many")
            return 599, None
        expected = self.ahead.pop(0)
        missing = {k: v for k, v in expected.headers.items() if headers.get(k) != v}
        wanted = re.escape(expected.call).replace(re.escape("{any}"), ".+")
        if not re.fullmatch(wanted, call) or missing or expected.body not in (None, body):
            self.complaints.append(
                f"expected {expected.call} {expected.body} {dict(expected.headers)},"
                f" found {call} {body}, without {missing}"
            )
            return 599, None
        return expected.status, expected.answer


class _Handler(BaseHTTPRequestHandler):
    server: Script
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode()
        try:
            body = json.loads(text) if text else None
        except ValueError:
            body = text
        call = f"{self.command} {unquote(self.path)}"
        status, answer = self.server.next(call, self.headers, body)
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        if content:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: what matters is in `complaints`."""


@contextmanager
def playing(exchanges: Sequence[Exchange]) -> Iterator[Script]:
    """The server, for as long as it is needed; in the end everything must have been played."""
    with Script(exchanges) as script:
        threading.Thread(target=script.serve_forever, daemon=True).start()
        try:
            yield script
        finally:
            script.shutdown()
        assert script.complaints == []
        assert script.ahead == []
