"""The connector calls the hosts that are configured, and no address that somebody sends it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from system import SAMPLES, running, ticket, wait_for


class Trap:
    """A host that nobody has configured; remembers who came."""

    def __init__(self) -> None:
        self.visits: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                outer.visits.append(self.rfile.readline(500).decode("latin-1"))
                self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Crm:
    """A CRM whose answers are full of addresses of the trap; says nothing else but 200 or what
    `redirects` asks for."""

    def __init__(self, trap: Trap) -> None:
        self.calls: list[tuple[str, str]] = []
        self.redirects = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.calls.append((self.command, self.path))
                redirects = outer.redirects > 0
                outer.redirects -= redirects
                body = json.dumps(
                    {
                        "id": "1",
                        "items": [],
                        "next": f"{trap.url}/next",
                        "paging": {"next": f"{trap.url}/paging"},
                        "@odata.nextLink": f"{trap.url}/odata",
                        "_links": {"self": {"href": f"{trap.url}/self"}},
                    }
                ).encode()
                self.send_response(307 if redirects else 200)
                self.send_header("Location", f"{trap.url}/location")
                self.send_header("Link", f'<{trap.url}/link>; rel="next"')
                self.send_header("Refresh", f"0; url={trap.url}/refresh")
                self.send_header("Alt-Svc", f'h2="{trap.url}"')
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    found = Trap()
    yield found
    found.close()


@pytest.fixture
def crm(trap: Trap) -> Iterator[Crm]:
    found = Crm(trap)
    yield found
    found.close()


def lured(value: Any, url: str) -> Any:
    """The same body with an address in every text, ids and kinds left as they are."""
    if isinstance(value, dict):
        return {
            key: inner
            if key in ("object", "action", "event_name") or key.endswith(("id", "_at", "time"))
            else lured(inner, url)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [lured(inner, url) for inner in value]
    return url if isinstance(value, str) else value


SEARCHING = """\
    probe_interval: 0.3
    resources:
      default:
        upsert:
          strategy: search_then_write
          search: {path: "/{resource}", query: {id: "{external_id}"}, found: items}
        crm_id: id
"""


@pytest.mark.parametrize(
    "target", ["    probe_interval: 0.3\n", SEARCHING], ids=["put", "search_then_write"]
)
def test_no_address_in_a_body_or_an_answer_is_called(
    tmp_path: Path, trap: Trap, crm: Crm, target: str
) -> None:
    with running(tmp_path, workers=0, target=target) as system:
        file = system.folder / "config.yaml"
        config = file.read_text().replace(str(system.crm_port), str(crm.port))
        file.write_text(config)
        system.start_and_await_worker()
        names = ["ticket.create-2", "user.create-2", "call_in.call_in_end", "organization.create-1"]
        for number, name in enumerate(names):
            body = json.loads((SAMPLES / "caresoft" / f"{name}.json").read_text())
            sent = system.send("caresoft", lured(body, f"{trap.url}/body-{number}"))
            assert sent.status_code == 200
        wait_for(lambda: crm.calls, "calls", explain=lambda: system.log("worker")[-2000:])
        crm.redirects = 1
        system.send("caresoft", ticket(77, 1633484753675, ticket_subject=f"{trap.url}/subject"))
        wait_for(lambda: crm.redirects == 0, "the redirect", explain=lambda: crm.calls)
        wait_for(
            lambda: system.states().keys() <= {"done", "dead", "unmapped"},
            "all settled",
            explain=lambda: (system.states(), crm.calls[-5:]),
        )
    assert trap.visits == []


def test_a_proxy_of_the_environment_has_no_say(
    tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, workers=0, web=False) as system:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.url)
        monkeypatch.setenv("no_proxy", "")
        system.start_worker()
        from connector import journal
        from connector.assemble import open_sources
        from connector.redisdb import connect

        source = open_sources(system.config)["caresoft"]
        raw = json.dumps(ticket(1, 1633484753675)).encode()
        events = source.parse(source.verify(raw, source.sign(raw)), 1_713_150_365_000_000)
        journal.store(connect(system.redis.url), events)
        system.wait_until_settled(1)
    assert trap.visits == []
