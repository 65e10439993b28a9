"""The load: a process of its own that posts prebuilt signed bodies and times the answers.

    python -m bench.generator      orders on standard input, a line of JSON each way

Two ways to send: at a rate (an open loop: an event has a time at which it is due, whatever became
of those before it, and its latency counts from there, so that waiting is not hidden) or as fast as
the answers come over a number of connections. One thread, `select` and raw sockets: some 40 µs of
CPU an event, for the receiver shares these cores.

The process says `ready` when everything is built and connected, begins at the line `go`, ends early
at the line `stop`, and answers with a `Sent`.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from bench.events import Events, Shape, sign

PATIENCE = 20.0
"""Seconds without any answer after which what is under way counts as unanswered."""


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where. `rate` in events/s; 0: as fast as answers come."""

    port: int
    path: str = "/webhooks/caresoft"
    rate: float = 0.0
    connections: int = 16
    shape: Shape = "ticket"
    first: int = 1
    count: int = 1
    records: int = 0

    @property
    def events(self) -> Events:
        return Events(self.shape, self.first, self.count, self.records)


@dataclass(slots=True)
class Sent:
    """What became of it. Times by CLOCK_MONOTONIC; latencies in seconds.

    `latencies` count from when an event was due, `answers` from when it was written to a socket,
    `lateness` from due to written: every connection was busy, or this process late. `lost` are the
    positions of events that were sent but not answered with 200, `sent` the number of those sent.
    """

    began: float = 0.0
    ended: float = 0.0
    sent: int = 0
    acknowledged: int = 0
    lost: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    lateness: list[float] = field(default_factory=list)


class Line:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._buffer = b""
        self.position = -1
        self.due = self.written = 0.0
        self.socket = self._connect()

    def _connect(self) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self._port), timeout=5.0)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, position: int, request: bytes, due: float) -> None:
        """Write one request."""
        self.position, self.due = position, due
        self.written = time.monotonic()
        try:
            self.socket.sendall(request)
        except OSError:  # closed by the server while it was idle
            self.renew()
            self.socket.sendall(request)

    def renew(self) -> None:
        """Another connection in its place."""
        self.socket.close()
        self._buffer = b""
        self.socket = self._connect()

    def answer(self) -> int | None:
        """The status once the whole answer is here; 0 when the connection broke; None: not yet."""
        try:
            data = self.socket.recv(65536)
        except OSError:
            data = b""
        if not data:
            return 0
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at > 0 else 0
        if len(self._buffer) < end + 4 + length:
            return None
        self._buffer = b""
        if b"connection: close" in head:
            self.renew()
        return int(head[9:12])


class Load:
    """The sending of one order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.result = Sent()
        self._requests = [self._request(body) for body in order.events.bodies()]
        self._idle = deque(Line(order.port) for _ in range(order.connections))
        self._busy: dict[int, Line] = {}

    def _request(self, body: bytes) -> bytes:
        head = (
            f"POST {self.order.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.order.port}\r\n"
            f"Content-Type: application/json\r\nX-Hub-Signature: {sign(body)}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def run(self, stop_fd: int) -> Sent:
        """Send everything, or until something can be read from `stop_fd`."""
        result, position, stopped = self.result, 0, False
        result.began = heard = time.monotonic()
        while True:
            now = time.monotonic()
            while not stopped and self._idle and position < len(self._requests):
                due = self._due(position, now)
                if due > now:
                    break
                line = self._idle.popleft()
                line.send(position, self._requests[position], due)
                self._busy[line.fileno()] = line
                position += 1
                now = time.monotonic()
            everything = stopped or position == len(self._requests)
            if everything and not self._busy:
                break
            wait = PATIENCE
            if not everything and self._idle:
                wait = max(0.0, self._due(position, now) - now)
            watched = [*self._busy, *([] if stopped else [stop_fd])]
            ready, _, _ = select.select(watched, [], [], wait)
            if stop_fd in ready:
                stopped = True
                ready.remove(stop_fd)
            heard = self._hear(ready) or heard
            if self._busy and time.monotonic() - heard > PATIENCE:
                result.lost += [line.position for line in self._busy.values()]
                break
        result.ended, result.sent = time.monotonic(), position
        return result

    def _due(self, position: int, now: float) -> float:
        return self.result.began + position / self.order.rate if self.order.rate else now

    def _hear(self, ready: list[int]) -> float | None:
        """Take the answers that have come; when the last one came."""
        heard = None
        for descriptor in ready:
            line = self._busy[descriptor]
            status = line.answer()
            if status is None:
                continue
            heard = time.monotonic()
            self._busy.pop(descriptor)
            if status == 200:
                self.result.acknowledged += 1
                self.result.latencies.append(heard - line.due)
                self.result.answers.append(heard - line.written)
                self.result.lateness.append(line.written - line.due)
            else:
                self.result.lost.append(line.position)
            if status == 0:
                with suppress(OSError):
                    line.renew()
            self._idle.append(line)
        return heard


def main() -> None:
    """Take one order, and send it."""
    # Senders are other machines in truth: their clock must not wait for a core of this one.
    with suppress(OSError):
        os.nice(-10)
    orders = os.fdopen(0, "rb", buffering=0)
    load = Load(Order(**json.loads(orders.readline())))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    orders.readline()
    sys.stdout.write(json.dumps(asdict(load.run(orders.fileno()))) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
