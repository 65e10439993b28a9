"""A desk from which `connector targets check` is run, and a CRM with one bad habit at a time.

`odd` is a small REST API at `/people` that gives ids of its own; `ext` holds ours. Its habits are
attributes, all good at first. `desk.check(...)` runs the verb against any CRM.
"""

from __future__ import annotations

import json
import textwrap
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from click.testing import CliRunner

from connector import terminal
from connector.cli import main

TOKEN = "right-token-77"

MAPPING = """\
source: caresoft
events: [user.create, user.update]
target: crm
records:
  - resource: people
    id: concat('person-', user.id)
    fields:
      name: user.username
      note: user.details
      age: user.age
      kind: {from: user.kind, values: {1: A, 2: B}}
tests:
  - name: a person
    event:
      object: user
      action: create
      user: {id: 7, username: Lan Anh, details: likes tea, age: 44, kind: 1}
    expect: [{resource: people, id: person-7}]
"""

TARGET = f"""\
auth: {{type: bearer, token: {TOKEN}}}
check: {{path: /me}}
search_lag: 0.3
resources:
  people:
    upsert:
      strategy: search_then_write
      search: {{path: /people, query: {{ext: "{{external_id}}"}}, found: data}}
    external_id_field: ext
    crm_id: data.id
    hit_id: id
    read: {{path: "/people/{{crm_id}}", record: data}}
"""


@dataclass
class Checked:
    """What the verb said."""

    code: int
    out: dict[str, Any]
    err: str

    @property
    def probes(self) -> dict[str, dict[str, Any]]:
        return {finding["probe"]: finding for finding in self.out["findings"]}

    def suits(self, probe: str) -> bool | None:
        suits: bool | None = self.probes[probe]["suits"]
        return suits

    @property
    def bad(self) -> dict[str, str]:
        """What does not suit, with the configuration that would."""
        return {p: f["config"] for p, f in self.probes.items() if f["suits"] is False}


class Desk:
    """A folder with config.yaml and mappings; verbs run in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mappings").mkdir()
        self.map(MAPPING)

    def map(self, text: str) -> None:
        (self.folder / "mappings" / "own.yaml").write_text(textwrap.dedent(text), "utf-8")

    def configure(self, url: str, target: str, redis: str = "redis://127.0.0.1:1/0") -> None:
        inner = textwrap.indent(f"base_url: {url}\n{textwrap.dedent(target)}", "    ")
        text = f"redis_url: {redis}\n"
        text += (
            f"sources:\n  caresoft: {{unsigned: true, kind: caresoft}}\ntargets:\n  crm:\n{inner}"
        )
        (self.folder / "config.yaml").write_text(text, "utf-8")

    def run(self, *words: str, given: str = "") -> Any:
        result = CliRunner().invoke(main, list(words), input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def check(self, *words: str) -> Checked:
        result = self.run("targets", "check", "crm", "--yes", "--json", *words)
        return Checked(result.exit_code, json.loads(result.stdout), result.stderr)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTOR_CONFIG", raising=False)
    monkeypatch.setattr(terminal.out, "width", 200)
    return Desk(tmp_path)


@dataclass
class Habits:
    """What the odd CRM does differently. `missing`: the status of a call for a row that is gone."""

    unique: int | str | None = 409  # a status, "old" (200 with the old row), None: a second row
    drops: tuple[str, ...] = ()
    cut: int | None = None
    strips: bool = False
    line_breaks: bool = False  # \r\n comes back as \n
    ignores_null: bool = False
    clears_with: Any = None
    replaces: bool = False  # an update forgets the other fields
    lag: float = 0.0
    substring: bool = False
    case_blind: bool = False
    empty_finds_all: bool = False
    ignores_query: bool = False
    ignores_unknown_parameters: bool = False
    quote_breaks: bool = False
    etag: str | None = None  # "offered" or "required"
    missing: int = 404
    missing_delete: int = 404
    reuses_ids: bool = False
    tells_id: bool = True
    unknown: str = "refuse"  # or "drop", "keep"
    number_text: str = "refuse"  # or "zero"
    bad_in_ids: str = ""
    uuids_only: bool = False
    deletes: int = 204
    soft: bool = False
    open_check: bool = False
    wrong_token: int = 401
    wrong_token_body: Any = field(default_factory=lambda: {"error": "unauthorized"})
    limit: dict[str, str] = field(default_factory=dict)
    busy_at: int | None = None  # the call that gets a 429
    slow: float = 0.0
    moved: str | None = None
    one_email: bool = False


class Odd(ThreadingHTTPServer):
    """The CRM: rows by its own ids."""

    daemon_threads = True
    block_on_close = False
    fields = ("name", "note", "age", "kind", "ext")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.habits = Habits()
        self.rows: dict[int, dict[str, Any]] = {}
        self.born: dict[int, float] = {}
        self.soft: set[int] = set()
        self.counter = 0
        self.calls = self.logins = 0
        self.lock = threading.RLock()
        self.paths: list[str] = []

    def be(self, **habits: Any) -> None:
        self.habits = Habits(**habits)

    # --- what calls do

    def answer(self, call: Any) -> tuple[int, Any, dict[str, str]]:
        habits = self.habits
        with self.lock:
            self.calls += 1
            number = self.calls
        if habits.slow:
            time.sleep(habits.slow)
        if habits.moved:
            return 301, None, {"Location": habits.moved + call.path}
        if call.path == "/login":
            self.logins += 1
            return 200, {"token": TOKEN}, {}
        if habits.busy_at == number:
            return 429, {"error": "slow down"}, {"Retry-After": "1"}
        url = urlsplit(call.path)
        open_ = habits.open_check and url.path == "/me"
        if call.headers.get("Authorization") != f"Bearer {TOKEN}" and not open_:
            return habits.wrong_token, habits.wrong_token_body, {}
        if url.path == "/me":
            return 200, {"name": "me"}, {}
        key = unquote(url.path.removeprefix("/people").strip("/"))
        with self.lock:
            status, data = self._act(call, key, dict(parse_qsl(url.query, True)))
        headers = dict(habits.limit)
        if habits.etag and isinstance(data, dict) and isinstance(data.get("data"), dict):
            headers["ETag"] = self._etag(data["data"])
        return status, data, headers

    def _batch(self, given: dict[str, Any]) -> tuple[int, Any]:
        """Rows by `ext`, created or changed; what became of each, in no particular order."""
        results = []
        for fields in given["rows"]:
            known = [row for row in self.rows.values() if row.get("ext") == fields["ext"]]
            status, data = self._write(known[0], fields) if known else self._create(fields)
            results.append({"ext": fields["ext"], "status": status, **(data or {}).get("data", {})})
        return 200, {"results": results[::-1]}

    def _act(self, call: Any, key: str, query: dict[str, str]) -> tuple[int, Any]:
        if key == "batch":
            return self._batch(call.json)
        if not key:
            return self._create(call.json) if call.command == "POST" else self._search(query)
        row = self.rows.get(int(key)) if key.isdecimal() else None
        if row is None:
            gone = self.habits.missing_delete if call.command == "DELETE" else self.habits.missing
            status = 404 if call.command == "GET" else gone
            return status, None if status == 204 else {"error": "no such row"}
        if call.command == "GET":
            return 200, {"data": row}
        if self.habits.etag:
            given = call.headers.get("If-Match")
            if given is None and self.habits.etag == "required":
                return 428, {"error": "If-Match is required"}
            if given is not None and given != self._etag(row):
                return 412, {"error": "changed meanwhile"}
        if call.command == "DELETE":
            return self._delete(row)
        return self._write(row, call.json)

    def _etag(self, row: dict[str, Any]) -> str:
        return f'"{hash(json.dumps(row, sort_keys=True))}"'

    def _delete(self, row: dict[str, Any]) -> tuple[int, Any]:
        if self.habits.deletes >= 400:
            return self.habits.deletes, {"error": "nobody may delete here"}
        if not self.habits.soft:
            del self.rows[row["id"]]
        return self.habits.deletes, None

    def _create(self, given: dict[str, Any]) -> tuple[int, Any]:
        ext = str(given.get("ext"))
        if any(c in ext for c in self.habits.bad_in_ids):
            return 400, {"error": "a bad id"}
        if self.habits.uuids_only and (len(ext) != 36 or ext.count("-") != 4):
            return 400, {"error": "ext is no UUID"}
        if self.habits.one_email and self.counter:
            return 422, {"error": "name is not unique"}
        known = [row for row in self.rows.values() if row.get("ext") == ext]
        if known and self.habits.unique == "old":
            return 200, {"data": known[0]}
        if known and self.habits.unique:
            return int(self.habits.unique), {"error": "not unique"}
        self.counter += 1
        number = self.counter
        if self.habits.reuses_ids:
            number = max(self.rows, default=0) + 1
        row: dict[str, Any] = {"id": number}
        status, answer = self._write(row, given)
        if status != 200:
            return status, answer
        self.rows[number], self.born[number] = row, time.monotonic()
        return 201, {"data": row} if self.habits.tells_id else None

    def _write(self, row: dict[str, Any], given: dict[str, Any]) -> tuple[int, Any]:
        habits = self.habits
        unknown = given.keys() - {*self.fields}
        if unknown and habits.unknown == "refuse":
            return 422, {"error": f"unknown: {', '.join(sorted(unknown))}"}
        if isinstance(given.get("age"), str):
            if habits.number_text == "refuse":
                return 422, {"error": "age is no number"}
            given = {**given, "age": 0}
        if habits.replaces:
            for name in set(row) - {"id", "ext"}:
                del row[name]
        for name, value in given.items():
            if name in habits.drops or (name in unknown and habits.unknown == "drop"):
                continue
            self._set(row, name, value)
        return 200, {"data": row}

    def _set(self, row: dict[str, Any], name: str, value: Any) -> None:
        habits = self.habits
        if isinstance(value, str) and name != "ext":
            value = value[: habits.cut] if habits.cut else value
            value = value.strip() if habits.strips else value
            value = value.replace("\r\n", "\n") if habits.line_breaks else value
        if value is None and habits.ignores_null:
            return
        row[name] = None if value == "" and habits.ignores_null else value

    def _search(self, query: dict[str, str]) -> tuple[int, Any]:
        habits = self.habits
        if "ext" not in query:
            if habits.ignores_unknown_parameters:
                return 200, {"data": list(self.rows.values())}
            return 400, {"error": "unknown parameter"}
        wanted = query["ext"]
        if habits.quote_breaks and "'" in wanted:
            return 500, {"error": 'near "\'": syntax error'}
        late = time.monotonic() - habits.lag
        seen = [row for row in self.rows.values() if self.born[row["id"]] <= late]
        return 200, {"data": [row for row in seen if self._fits(str(row.get("ext")), wanted)]}

    def _fits(self, held: str, wanted: str) -> bool:
        habits = self.habits
        if habits.ignores_query or (not wanted and habits.empty_finds_all):
            return True
        if habits.case_blind:
            held, wanted = held.lower(), wanted.lower()
        return bool(wanted) and (wanted in held if habits.substring else wanted == held)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet, else each answer waits for an ACK
    server: Odd

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def act(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        self.json = json.loads(body) if body else {}
        self.server.paths.append(f"{self.command} {self.path}")
        status, data, headers = self.server.answer(self)
        text = b"" if data is None else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        if text:
            self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = act


@pytest.fixture
def odd() -> Iterator[Odd]:
    server = Odd()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def odd_desk(desk: Desk, odd: Odd) -> Desk:
    """A desk that is configured for the odd CRM while it has no bad habits."""
    desk.configure(odd.url, TARGET)
    return desk
