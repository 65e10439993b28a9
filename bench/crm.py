"""A CRM that costs little: PUT, PATCH, POST and DELETE answer a few bytes after a set latency.

    python -m bench.crm --port 9100

One asyncio loop without an HTTP library. It counts calls, notes calls on one record that were under
way at the same time, and keeps the last body of every path, so that a benchmark can tell what got
there. Told and asked over HTTP:

    POST /_control  {"latency": seconds, "status": 200}   how to answer from now on
    GET  /_stats    counts, and when the first and the last call that was answered 200 ended
                    (CLOCK_MONOTONIC)
    GET  /_rows     {path: last body}, of calls that were answered 200
    GET  /_times    {"taken": […], "refused": […]}: when each call ended
    POST /_reset    forget everything

Any other GET is what a `check:` may call: it answers as the writes do, and does not count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

Json = Any

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n" + (
    b'{"ok":true}'
)


class Ledger:
    """What the CRM was told and how it answers."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.status = 200
        self.reset()

    def reset(self) -> None:
        """Forget every call; the manner of answering stays."""
        self.rows: dict[str, bytes] = {}
        self.under_way: Counter[str] = Counter()
        self.taken = array("d")
        self.refused = array("d")
        self.overlaps = 0
        self.most_at_once = 0

    def begin(self, path: str) -> None:
        """A call has come."""
        self.overlaps += self.under_way[path] > 0
        self.under_way[path] += 1
        self.most_at_once = max(self.most_at_once, len(self.under_way))

    def end(self, path: str, body: bytes) -> bytes:
        """The answer to a call."""
        self.under_way[path] -= 1
        if not self.under_way[path]:
            del self.under_way[path]
        if self.status == 200:
            self.taken.append(time.monotonic())
            self.rows[path] = body
            return _OK
        self.refused.append(time.monotonic())
        return _answer(self.status, b"{}")

    def control(self, told: Mapping[str, Json]) -> Json:
        """How to answer from now on."""
        self.latency = float(told.get("latency", self.latency))
        self.status = int(told.get("status", self.status))
        return {"latency": self.latency, "status": self.status}

    def stats(self) -> Json:
        """The counts."""
        return {
            "calls": len(self.taken) + len(self.refused),
            "taken": len(self.taken),
            "records": len(self.rows),
            "overlaps": self.overlaps,
            "most_at_once": self.most_at_once,
            "first": self.taken[0] if self.taken else None,
            "last": self.taken[-1] if self.taken else None,
        }


class Connection(asyncio.Protocol):
    """One keep-alive connection; a caller waits for the answer before it calls again."""

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop) -> None:
        self._ledger = ledger
        self._loop = loop
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = _content_length(head)
        if len(self._buffer) < end + 4 + length:
            return
        body = self._buffer[end + 4 : end + 4 + length]
        self._buffer = self._buffer[end + 4 + length :]
        method, path, _ = head[: head.find(b"\r\n")].decode().split(" ", 2)
        self._take(method, path, body)

    def _take(self, method: str, path: str, body: bytes) -> None:
        if path.startswith("/_"):
            self._write(_asked(self._ledger, path, body))
            return
        if method == "GET":  # a `check:` call: no record, and away when everything is
            self._write(_answer(self._ledger.status, b"{}"))
            return
        self._ledger.begin(path)
        if self._ledger.latency:
            self._loop.call_later(self._ledger.latency, self._end, path, body)
        else:
            self._end(path, body)

    def _end(self, path: str, body: bytes) -> None:
        self._write(self._ledger.end(path, body))

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    if at < 0:
        return 0
    end = head.find(b"\r\n", at)
    return int(head[at + 15 : end if end > 0 else len(head)])


def _asked(ledger: Ledger, path: str, body: bytes) -> bytes:
    questions: Mapping[str, Callable[[], Json]] = {
        "/_stats": ledger.stats,
        "/_rows": lambda: {row: text.decode() for row, text in ledger.rows.items()},
        "/_times": lambda: {"taken": list(ledger.taken), "refused": list(ledger.refused)},
        "/_control": lambda: ledger.control(json.loads(body)),
        "/_reset": ledger.reset,
    }
    return _answer(200, json.dumps(questions[path]()).encode())


def _answer(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


async def serve(port: int) -> None:
    """Answer on the loopback until the process ends."""
    loop = asyncio.get_running_loop()
    ledger = Ledger()
    server = await loop.create_server(
        lambda: Connection(ledger, loop), "127.0.0.1", port, backlog=1024
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
