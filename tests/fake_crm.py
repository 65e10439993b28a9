"""A CRM that misbehaves on command and remembers every call: the far side of the network in tests.

    python tests/fake_crm.py --port 9100 [--no-log]

One process, one asyncio loop, the standard library only; some thousands of calls a second. Rows
are plain JSON objects in memory, without types. It answers as a small REST API does:

    PUT /{resource}/{id}      create or replace
    PATCH /{resource}/{id}    create or change; with ?create=false a missing one is 404
    POST /{resource}          create; an id that is known: 409; without an id it gives one
    GET, DELETE /{resource}/{id}      404 where there is none
    GET /{resource}?a=b       {"items": [...], "total": n}: rows whose fields are equal, as text
    GET /                     200; what a `check:` may call

A body that is no JSON is 400; one sent in chunks is not read.

Told and asked at any time, whatever its mode:

    POST /_control            how to behave from now on (a JSON object, see `Behaviour`)
    POST /_reset              no rows, no calls, good behaviour
    GET /_calls?since=n       every call after number n: {"calls": [...]}, see `Seen`
    GET /_counts              {"calls", "statuses", "overlaps"}: cheap, also with --no-log
    GET /_rows                {resource: {id: row}}
    GET /_overlaps            pairs of calls on one record that were under way at the same time
    POST /_rows               the same shape: puts rows in place without a call (what people do)
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from manners import Odd

Json = Any

CUT = 0
"""The status of an answer that is never given: the connection is reset."""
WRITES_FIRST = frozenset({"reset_after_write", "hang_after_write"})
KEEPS_SILENT = frozenset({"hang", "hang_after_write"})
RESETS = frozenset({"reset_before", "reset_after_write"})
NAMED = {"ok", "html", "redirect", "garbage", *WRITES_FIRST, *KEEPS_SILENT, *RESETS}


@dataclass(frozen=True)
class Behaviour:
    """What `POST /_control` sets; what is not named takes its default again.

    `mode`: `ok`; a status (`"503"`, `"429"`, `"401"`, …) that every call is answered with; `hang`
    (no answer until the client goes away); `hang_after_write`; `reset_before` (a TCP reset instead
    of an answer); `reset_after_write`; `html` (200 with a login page); `redirect` (302); `garbage`
    (200, but no JSON); `refuse_record:<id>` (422 for that one); `away` (nobody listens, and open
    connections are cut, for `seconds`).
    `latency`: seconds before each answer. `retry_after`: the header of an answer of a status mode.
    `answer`: the JSON body of a status mode.
    `times`: so many calls only, then `ok`. `methods`, `resource`, `record`: such calls only.
    `honour_keys`: a known Idempotency-Key gets its first answer again.
    `manners`: names of `manners.py`: it is that CRM then, with ids of its own and ours under `ext`.
    """

    mode: str = "ok"
    latency: float = 0.0
    retry_after: str | None = None
    answer: Json = None
    times: int | None = None
    methods: tuple[str, ...] | None = None
    resource: str | None = None
    record: str | None = None
    seconds: float = 1.0
    honour_keys: bool = False
    manners: tuple[str, ...] = ()

    def concerns(self, call: Call) -> bool:
        """Whether the mode holds for this call."""
        return (
            (self.methods is None or call.method in self.methods)
            and (self.resource is None or call.resource == self.resource)
            and (self.record is None or call.record == self.record)
        )


def behaviour(told: Mapping[str, Json]) -> Behaviour:
    """What a control call asks for. Raises ValueError for what there is not."""
    unknown = told.keys() - {item.name for item in fields(Behaviour)}
    if unknown:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    wanted = Behaviour(
        **{
            **told,
            "methods": tuple(told["methods"]) if told.get("methods") else None,
            "manners": tuple(told.get("manners") or ()),
        }
    )
    Odd(*wanted.manners)  # raises ValueError for what there is not
    kind, colon, record = wanted.mode.partition(":")
    if kind == "refuse_record" and colon:
        return replace(wanted, mode="422", record=record)
    if wanted.mode not in NAMED | {"away"} and not (
        wanted.mode.isdigit() and len(wanted.mode) == 3
    ):
        raise ValueError(f"unknown mode: {wanted.mode}")
    return wanted


@dataclass(frozen=True)
class Call:
    """A request, taken apart. `record` is the id in the path, or a POST's `id`."""

    method: str
    path: str
    resource: str
    record: str | None
    query: dict[str, str]
    headers: dict[str, str]
    body: str

    @property
    def fields(self) -> dict[str, Json] | None:
        """The body, when it is a JSON object or empty; else None."""
        try:
            data = json.loads(self.body or "{}")
        except ValueError:
            return None
        return data if isinstance(data, dict) else None


@dataclass
class Seen:
    """One call as it is remembered: times in seconds since the epoch, `status` None for none.

    `wrote`: the rows were changed. `abandoned`: the client had gone before the answer.
    """

    number: int
    method: str
    path: str
    resource: str
    record: str | None
    headers: dict[str, str]
    body: str
    start: float
    end: float | None = None
    status: int | None = None
    answer: str = ""
    wrote: bool = False
    abandoned: bool = False


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    status: int
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"
    wrote: bool = False

    def bytes(self) -> bytes:
        """The whole HTTP answer."""
        body = self.body.encode()
        head = [f"HTTP/1.1 {self.status} X", f"Content-Length: {len(body)}"]
        if body:
            head.append(f"Content-Type: {self.kind}")
        head += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*head, "", ""]).encode() + body


def told(status: int, body: Json, *headers: tuple[str, str], wrote: bool = False) -> Reply:
    """A JSON answer."""
    return Reply(status, json.dumps(body, ensure_ascii=False), headers, wrote=wrote)


@dataclass
class Crm:
    """All that the fake knows."""

    log: bool = True
    rows: dict[str, dict[str, dict[str, Json]]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    under_way: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    overlaps: list[dict[str, Json]] = field(default_factory=list)
    answers: dict[str, Reply] = field(default_factory=dict)
    number: int = 0
    given_ids: int = 0
    now: Behaviour = field(default_factory=Behaviour)
    odd: Odd = field(default_factory=Odd)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    # --- rows

    def write_or_read(self, call: Call) -> Reply:
        """The answer of a CRM in good order, its rows changed."""
        if not call.resource:
            return told(200, {"name": "fake CRM"})
        if self.odd.manners:
            self.odd.rows = self.rows.setdefault(call.resource, {})
            said = self.odd.answer(call.method, call.path, call.headers, call.body.encode())
            if said.status is None or said.body is None:
                return Reply(said.status or CUT, "", tuple(said.headers.items()), wrote=said.wrote)
            return told(said.status, said.body, *said.headers.items(), wrote=said.wrote)
        given = call.fields
        if given is None:
            return told(400, {"error": {"code": "invalid_json"}})
        rows = self.rows.setdefault(call.resource, {})
        if call.method == "POST":
            return self._create(rows, call.record, given)
        if call.record is None:
            return self._search(rows, call)
        row = rows.get(call.record)
        if row is None and (
            call.method in ("GET", "DELETE") or call.query.get("create") == "false"
        ):
            return told(404, {"error": {"code": "not_found"}})
        if call.method == "GET":
            return told(200, row)
        if call.method == "DELETE":
            del rows[call.record]
            return Reply(204, wrote=True)
        kept = row if row is not None and call.method == "PATCH" else {}
        rows[call.record] = {"id": call.record, **kept, **given}
        return told(200 if row is not None else 201, rows[call.record], wrote=True)

    def _create(
        self, rows: dict[str, dict[str, Json]], record: str | None, given: dict[str, Json]
    ) -> Reply:
        if record is None:
            self.given_ids += 1
            record = str(self.given_ids)
        if record in rows:
            return told(409, {"error": {"code": "duplicate", "id": record}})
        rows[record] = {"id": record, **given}
        return told(201, rows[record], wrote=True)

    def _search(self, rows: dict[str, dict[str, Json]], call: Call) -> Reply:
        found = [
            row
            for row in rows.values()
            if all(
                str(row.get(name)) == value
                for name, value in call.query.items()
                if name not in ("limit", "offset")
            )
        ]
        return told(200, {"items": found, "total": len(found)})

    # --- calls

    def begin(self, call: Call) -> Seen:
        """Notes that a call has come in, and which calls on its record it meets."""
        self.number += 1
        seen = Seen(
            self.number,
            call.method,
            call.path,
            call.resource,
            call.record,
            call.headers if self.log else {},
            call.body if self.log else "",
            time.time(),
        )
        if self.log:
            self.seen.append(seen)
        if call.record is not None:
            met = self.under_way.setdefault((call.resource, call.record), [])
            self.overlaps.extend(
                {"resource": call.resource, "record": call.record, "calls": [other, seen.number]}
                for other in met
            )
            met.append(seen.number)
        return seen

    def end(self, seen: Seen, reply: Reply | None) -> None:
        """Notes how a call ended; None for no answer."""
        seen.end = time.time()
        seen.status = reply.status if reply else None
        seen.answer = reply.body if reply and self.log else ""
        self.statuses[str(seen.status)] += 1
        if seen.record is not None:
            name = (seen.resource, seen.record)
            met = self.under_way.get(name, [])
            if seen.number in met:
                met.remove(seen.number)
            if not met:
                self.under_way.pop(name, None)

    def mode_for(self, call: Call) -> Behaviour:
        """How to treat this call; counts it where the mode holds for so many only."""
        now = self.now
        if not now.concerns(call):
            return replace(now, mode="ok")
        if now.times is not None and now.mode != "ok":
            left = now.times - 1
            self.now = replace(now, times=left) if left > 0 else replace(now, mode="ok", times=None)
        return now

    def answer(self, call: Call, how: Behaviour) -> Reply:
        """What is answered in this mode; rows change unless the mode says otherwise."""
        if how.mode.isdigit():
            headers = [("Retry-After", how.retry_after)] if how.retry_after is not None else []
            body = how.answer if how.answer is not None else {"error": {"code": f"fake {how.mode}"}}
            return told(int(how.mode), body, *headers)
        if how.mode in CANNED:
            return CANNED[how.mode]
        key = call.headers.get("idempotency-key")
        if how.honour_keys and key and key in self.answers:
            kept = self.answers[key]
            return replace(
                kept, headers=(*kept.headers, ("Idempotency-Replayed", "true")), wrote=False
            )
        reply = self.write_or_read(call)
        if key and (self.log or how.honour_keys) and reply.status < 500 and call.method != "GET":
            self.answers[key] = reply
        return reply

    # --- what tests ask

    def ask(self, method: str, path: str, query: dict[str, str], body: str) -> Reply | None:
        """The answer to a `/_…` path, None where there is no such."""
        match (method, path):
            case ("GET", "/_calls"):
                since = int(query.get("since", 0))
                return told(200, {"calls": [asdict(s) for s in self.seen if s.number > since]})
            case ("GET", "/_counts"):
                counts = {"calls": self.number, "overlaps": len(self.overlaps)}
                return told(200, {**counts, "statuses": self.statuses})
            case ("GET", "/_overlaps"):
                return told(200, {"overlaps": self.overlaps})
            case ("GET", "/_rows"):
                return told(200, {name: rows for name, rows in self.rows.items() if rows})
            case ("POST", "/_rows"):
                for name, rows in json.loads(body).items():
                    self.rows.setdefault(name, {}).update(rows)
                return told(200, {})
            case ("POST", "/_control"):
                try:
                    self.behave(behaviour(json.loads(body)))
                except (TypeError, ValueError) as error:
                    return told(400, {"error": str(error)})
                return told(200, asdict(self.now))
            case ("POST", "/_reset"):
                self.behave(Behaviour())
                for kept in (self.rows, self.seen, self.statuses, self.overlaps, self.answers):
                    kept.clear()
                self.number = self.given_ids = 0
                return told(200, {})
        return None

    def behave(self, how: Behaviour) -> None:
        """Changes the mode; calls that hang are let go without an answer."""
        self.now = how
        if self.odd.manners != frozenset(how.manners):
            self.odd = Odd(*how.manners)
        self.changed.set()
        self.changed = asyncio.Event()


CANNED = {
    "html": Reply(200, "<!doctype html><title>Log in</title><form>", kind="text/html"),
    "garbage": Reply(200, '{"id": "1", "na'),
    "redirect": Reply(302, headers=(("Location", "https://elsewhere.example/login"),)),
}


class Server:
    """The listening side: connections, and being away."""

    def __init__(self, crm: Crm, port: int) -> None:
        self.crm = crm
        self.port = port
        self.connections: set[asyncio.StreamWriter] = set()

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        while not ended.is_set():
            server = await asyncio.start_server(
                self.connection, "127.0.0.1", self.port, limit=2**24, backlog=512
            )
            sys.stdout.write(f"fake CRM at http://127.0.0.1:{self.port}\n")
            sys.stdout.flush()
            while not ended.is_set() and self.crm.now.mode != "away":
                await first_of(ended.wait(), self.crm.changed.wait())
            server.close()
            await asyncio.sleep(0)  # the answer to the control call goes out
            for writer in list(self.connections):
                cut(writer)
            if not ended.is_set():
                await first_of(ended.wait(), asyncio.sleep(self.crm.now.seconds))
                self.crm.behave(Behaviour())

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, call after call."""
        self.connections.add(writer)
        try:
            while await self.one_call(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return
        finally:
            self.connections.discard(writer)
            writer.close()

    async def one_call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False when the connection is over."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, address, _ = first.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }
        length = int(headers.get("content-length", 0))
        body = (await reader.readexactly(length)).decode(errors="replace") if length else ""
        url = urlsplit(address)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        asked = self.crm.ask(method, url.path, query, body) if url.path.startswith("/_") else None
        if asked is not None:
            writer.write(asked.bytes())
            await writer.drain()
            return headers.get("connection", "").lower() != "close"
        if self.crm.now.mode == "away":  # as of the answer that said so, however quick the caller
            cut(writer)
            return False
        call = make_call(method, address, url.path, query, headers, body)
        return await self.serve(call, reader, writer)

    async def serve(
        self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One call of the API, as the present mode has it."""
        crm = self.crm
        how = crm.mode_for(call)
        seen = crm.begin(call)
        reply: Reply | None = None
        try:
            if how.latency:
                await asyncio.sleep(how.latency)
            if how.mode in WRITES_FIRST:
                seen.wrote = crm.write_or_read(call).wrote
            if how.mode in RESETS:
                cut(writer)
                return False
            if how.mode in KEEPS_SILENT:
                await first_of(reader.read(1), crm.changed.wait())
                cut(writer)
                return False
            reply = crm.answer(call, how)
            seen.wrote, seen.abandoned = reply.wrote, reader.at_eof()
            if reply.status == CUT:
                reply = None
                cut(writer)
                return False
            writer.write(reply.bytes())
        finally:
            crm.end(seen, reply)
        await writer.drain()
        return call.headers.get("connection", "").lower() != "close"


def make_call(
    method: str,
    address: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: str,
) -> Call:
    """A request taken apart."""
    resource, slash, record = path.removeprefix("/").partition("/")
    call = Call(
        method, address, unquote(resource), unquote(record) if slash else None, query, headers, body
    )
    if method == "POST" and not slash:
        known = (call.fields or {}).get("id")
        return replace(call, record=None if known is None else str(known))
    return call


async def first_of(*waits: Any) -> None:
    """Waits for whichever comes first."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def cut(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with a TCP reset."""
    line = writer.get_extra_info("socket")
    if line is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A CRM that misbehaves on command.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--no-log", action="store_true", help="count calls, do not keep them")
    told_options = parser.parse_args()

    async def serve() -> None:
        await Server(Crm(log=not told_options.no_log), told_options.port).run()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
