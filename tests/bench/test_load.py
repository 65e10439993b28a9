"""The generator counts what a sender would feel, and the CRM counts what it was told."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import requests
from system import end_listening

from bench.events import sign
from bench.generator import Load, Order, Sent
from bench.processes import Process, cpu_of_stat, cpu_seconds, pss_mib, python, wait_for
from connector.demo.ports import free_port

STALL = 1.0


class Receiver:
    """Answers 200 after `stalls[n]` seconds to its n-th request, or another status, or not at
    all; one connection after the other, so that a stall holds up everything behind it."""

    def __init__(self, stalls: dict[int, float], statuses: dict[int, int]) -> None:
        self.bodies: list[bytes] = []
        self.signatures: list[str] = []
        self._stalls, self._statuses = stalls, statuses
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        while head := reader.readline():
            headers = {}
            while (line := reader.readline()) != b"\r\n":
                name, _, value = line.decode().partition(":")
                headers[name.lower()] = value.strip()
            assert head.startswith(b"POST /webhooks/caresoft ")
            body = reader.read(int(headers["content-length"]))
            number = len(self.bodies)
            self.bodies.append(body)
            self.signatures.append(headers["x-hub-signature"])
            time.sleep(self._stalls.get(number, 0.0))
            status = self._statuses.get(number, 200)
            if not status:
                connection.close()
                return
            # head and body apart, as gunicorn sends them
            connection.sendall(f"HTTP/1.1 {status} -\r\nContent-Length: 2\r\n\r\n".encode())
            connection.sendall(b"{}")

    def close(self) -> None:
        end_listening(self._server, self._thread)


@contextmanager
def receiver(
    stalls: dict[int, float] | None = None, statuses: dict[int, int] | None = None
) -> Iterator[Receiver]:
    """A receiver that is closed in the end."""
    made = Receiver(stalls or {}, statuses or {})
    try:
        yield made
    finally:
        made.close()


def _send(order: Order) -> Sent:
    reading, writing = os.pipe()
    try:
        return Load(order).run(reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_a_stall_is_paid_for_by_every_event_that_was_due_in_it() -> None:
    with receiver(stalls={0: STALL}) as server:
        sent = _send(Order(server.port, rate=100, count=50, connections=1))
    assert sent.acknowledged == 50
    # The last one was due after half a second of the stall.
    assert min(sent.latencies) >= STALL - 0.5
    assert 1 <= sum(answer > STALL / 2 for answer in sent.answers) < 25


def test_events_go_out_at_the_rate_that_was_ordered() -> None:
    with receiver() as server:
        sent = _send(Order(server.port, rate=200, count=60))
    assert sent.ended - sent.began >= 59 / 200
    assert min(sent.lateness) >= 0


def test_only_what_was_answered_200_counts_as_acknowledged() -> None:
    with receiver(statuses={3: 503, 7: 0}) as server:
        sent = _send(Order(server.port, count=20, connections=1))
    assert sent.sent == 20
    assert sent.acknowledged == 18
    assert sent.lost == [3, 7]


def test_bodies_go_out_once_each_and_signed() -> None:
    with receiver() as server:
        order = Order(server.port, count=50, connections=4)
        _send(order)
    assert sorted(server.bodies) == sorted(order.events.bodies())
    assert server.signatures == [sign(body) for body in server.bodies]


def test_stop_ends_the_sending_early() -> None:
    reading, writing = os.pipe()
    with receiver() as server:
        load = Load(Order(server.port, rate=100, count=10_000))
        with ThreadPoolExecutor() as pool:
            running = pool.submit(load.run, reading)
            wait_for(lambda: len(server.bodies) > 5, "some events")
            os.write(writing, b"stop\n")
            sent = running.result(timeout=10)
    os.close(reading)
    os.close(writing)
    assert 5 < sent.sent < 10_000
    assert sent.acknowledged == sent.sent


# --- the CRM


@pytest.fixture
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    folder = tmp_path_factory.mktemp("crm")
    process = Process("crm", folder, python("-m", "bench.crm", "--port", str(port)), {})
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _listens(port), "the CRM")
        yield url
    finally:
        process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _put(url: str, path: str, subject: str) -> int:
    return requests.put(f"{url}{path}", json={"subject": subject}, timeout=5).status_code


def test_crm_keeps_the_last_body_and_counts_calls(crm: str) -> None:
    assert [_put(crm, "/tickets/1", text) for text in ("a", "b")] == [200, 200]
    requests.post(f"{crm}/_control", json={"status": 503}, timeout=5)
    assert _put(crm, "/tickets/1", "refused") == 503
    assert requests.get(f"{crm}/", timeout=5).status_code == 503  # a check finds it away, too
    rows = requests.get(f"{crm}/_rows", timeout=5).json()
    assert {path: json.loads(body) for path, body in rows.items()} == {
        "/tickets/1": {"subject": "b"}
    }
    stats = requests.get(f"{crm}/_stats", timeout=5).json()
    assert (stats["calls"], stats["taken"], stats["records"], stats["overlaps"]) == (3, 2, 1, 0)
    times = requests.get(f"{crm}/_times", timeout=5).json()
    assert (len(times["taken"]), len(times["refused"])) == (2, 1)


def test_crm_counts_calls_on_one_record_that_meet(crm: str) -> None:
    requests.post(f"{crm}/_control", json={"latency": 0.3}, timeout=5)
    with ThreadPoolExecutor(4) as pool:
        begun = time.monotonic()
        paths = ["/tickets/1", "/tickets/1", "/tickets/2", "/tickets/3"]
        list(pool.map(lambda path: _put(crm, path, "x"), paths))
        took = time.monotonic() - begun
    stats = requests.get(f"{crm}/_stats", timeout=5).json()
    assert stats["overlaps"] == 1
    assert took >= 0.3


# --- processes


def test_cpu_of_stat_counts_children_whatever_the_name_holds() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    fields = ["S", *("0" for _ in range(10)), "100", "20", "3000", "400", "0"]
    assert cpu_of_stat(f"42 (a) (b c) {' '.join(fields)}") == 3520 / ticks


def test_cpu_of_children_that_have_ended_counts() -> None:
    before = cpu_seconds(os.getpid())
    child = "import time\nwhile time.process_time() < 0.3: pass"
    command = python("-c", child)
    assert os.spawnv(os.P_WAIT, command[0], command) == 0
    assert cpu_seconds(os.getpid()) - before >= 0.25


def test_memory_holds_that_of_children() -> None:
    alone = pss_mib(os.getpid())
    reading, writing = os.pipe()
    big = f"import os, time; b = b'x' * (64 << 20); os.write({writing}, b'x'); time.sleep(60)"
    command = python("-c", big)
    os.set_inheritable(writing, True)
    pid = os.spawnv(os.P_NOWAIT, command[0], command)
    try:
        os.read(reading, 1)
        assert pss_mib(os.getpid()) - alone > 60
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
