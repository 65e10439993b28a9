"""Slow, silent, large and odd clients against the real server: webhooks are answered all the same.

Each kind of client takes many times as many connections as the server has threads."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from system import System, running, ticket, wait_for

from connector.web import THREADS

MANY = THREADS * 6
MOST = 1 << 20
POST = b"POST /webhooks/caresoft HTTP/1.1\r\nHost: x\r\nX-Hub-Signature: sha1=00\r\n"

# The same server, but less patient, so that the test need not be patient either.
LESS_PATIENT = """
import sys
import connector.gathering as gathering
gathering.WHOLE_WITHIN = 1.5
gathering.STALLED_AFTER = 1
gathering.CONNECTIONS_MOST = 120
whole = gathering.Gathered.whole
def faulty(self, most_body):
    if b"X-Fault" in self.data:
        raise RuntimeError("a fault of ours")
    return whole(self, most_body)
gathering.Gathered.whole = faulty
sys.argv[0] = "connector"
from connector.cli import main
main()
"""

_next = iter(range(1, 1_000_000))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("system"), workers=0, web=False) as started:
        started.start("web", "-c", LESS_PATIENT, "web", "--port", str(started.web_port))
        wait_for(lambda: started.answers("healthz"), "web", explain=lambda: started.log("web"))
        yield started


@contextlib.contextmanager
def clients(system: System, says: bytes, number: int = MANY) -> Iterator[list[socket.socket]]:
    """So many connections that say this and then nothing."""
    opened = []
    for _ in range(number):
        client = socket.create_connection(("127.0.0.1", system.web_port))
        with contextlib.suppress(OSError):  # of a client that was closed while it still sent
            client.sendall(says)
        opened.append(client)
    try:
        yield opened
    finally:
        for client in opened:
            client.close()


def acknowledges(system: System, within: float = 6.0) -> bool:
    """Whether webhooks are answered while something goes on, and not only after it."""
    for _ in range(3):
        began = time.monotonic()
        answer = system.send("caresoft", ticket(next(_next), 1633484753675))
        assert answer.status_code == 200, answer.text
        if time.monotonic() - began > within:
            return False
    return True


@pytest.mark.parametrize(
    "says",
    [
        b"",
        b"P",
        POST,
        POST + b"X-A: " + b"a" * 20_000,
        POST + b"Content-Length: 1000\r\n\r\n",
        POST + b"Content-Length: 1000\r\n\r\n" + b"x" * 999,
        POST + b"Content-Length: 1000\r\nExpect: 100-continue\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 190_000,
        POST + b"Content-Length: 99999999\r\n\r\n" + b"x" * 1000,
        b"POST /webhooks/caresoft HTTP/1.0\r\nContent-Length: 5\r\n\r\nab",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
        b"NONSENSE\r\n\r\n",
        POST + b"Content-Length: 1" + b"0" * 18 + b"\r\n\r\nab",
        POST + b"Content-Length: " + b"0" * 18 + b"50\r\n\r\nab",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\nab",
        POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 20 + b"\r\nX-A: b",
        POST + b"Content_Length: 50\r\n\r\nab",
        POST + b"\r\n" + POST + b"Content-Length: 50\r\n\r\nab",
    ],
    ids=[
        "nothing",
        "one byte",
        "half a head",
        "a long header",
        "a head",
        "all but a byte",
        "a head and waits to be asked",
        "no chunk",
        "half a chunk",
        "all but the end of the chunks",
        "a mebibyte of framing",
        "the beginning of far too much",
        "half a body, HTTP 1.0",
        "goodbye, and stays",
        "one request and a half",
        "nonsense",
        "a length of nineteen digits",
        "a length that begins with zeros",
        "a chunk of seventeen digits",
        "a last chunk of twenty zeros",
        "a length by another name",
        "one webhook and half of the next",
    ],
)
def test_clients_that_say_this_and_wait_do_not_stop_acks(system: System, says: bytes) -> None:
    with clients(system, says):
        assert acknowledges(system), system.log("web")[-2000:]


def test_clients_that_drip_do_not_stop_acks(system: System) -> None:
    with clients(system, POST + b"Content-Length: 1000\r\n\r\n") as opened:
        for _ in range(5):
            for client in opened:
                with contextlib.suppress(OSError):
                    client.send(b"x")
            assert acknowledges(system)


def test_a_client_that_takes_too_long_is_told_and_closed(system: System) -> None:
    with clients(system, POST, 1) as (client,):
        client.settimeout(10)
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")
        assert client.recv(1000) == b""


def test_a_fault_with_one_connection_does_not_end_the_others(system: System) -> None:
    says = POST + b"X-Fault: 1\r\n\r\n"
    with clients(system, says, 3), clients(system, POST, 3) as halves:
        for half in halves:
            half.sendall(b"X-Fault: 1\r\n\r\n")
        assert acknowledges(system)
        halves[0].settimeout(10)
        with contextlib.suppress(ConnectionError):
            assert halves[0].recv(100)[9:12] in (b"", b"408")
    assert "a fault of ours" in system.log("web")


def test_more_idle_connections_than_are_kept_do_not_stop_acks(system: System) -> None:
    with clients(system, b"", 300):
        assert acknowledges(system)
    with clients(system, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 300):
        assert acknowledges(system)


def test_clients_that_never_read_do_not_stop_acks(system: System) -> None:
    with clients(system, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200, THREADS * 2):
        assert acknowledges(system)


# --- sizes


def sent_raw(system: System, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", system.web_port), timeout=10) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        said = b""
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                said += data
    return said


def padded(size: int) -> bytes:
    """A ticket of so many bytes."""
    body = json.dumps(ticket(next(_next), 1633484753675, ticket_subject="")).encode()
    return body.replace(
        b'"ticket_subject": ""', b'"ticket_subject": "%s"' % (b"x" * (size - len(body)))
    )


def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(system: System) -> None:
    assert system.send("caresoft", padded(MOST)).status_code == 200
    answer = system.send("caresoft", padded(MOST + 1))
    assert (answer.status_code, list(answer.json())) == (413, ["error"])


def test_the_same_holds_for_chunks(system: System) -> None:
    from connector.assemble import open_sources

    source = open_sources(system.config)["caresoft"]
    for size, status in ((5000, 200), (MOST, 200), (MOST + 1, 413), (MOST * 3, 413)):
        body = padded(size)
        try:
            answer = requests.post(
                f"{system.web_url}/webhooks/caresoft",
                data=(body[at : at + 9000] for at in range(0, len(body), 9000)),
                headers=source.sign(body),
                timeout=10,
            )
        except requests.ConnectionError:
            assert size > 2 * MOST  # closed while it still sent
            continue
        assert answer.status_code == status


def test_a_body_that_waits_to_be_asked_is_asked(system: System) -> None:
    with socket.create_connection(("127.0.0.1", system.web_port), timeout=10) as client:
        client.sendall(POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{}")
        said = b""
        while b" 401 " not in said:
            said += client.recv(1000)


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", (414, 400)),
        (POST + b"X-A: " + b"a" * 9000 + b"\r\n\r\n", (431, 400)),
        (POST + b"X-A: b\r\n" * 200 + b"\r\n", (431, 400)),
        (POST + b"X-A: " + b"a" * 200_000, (431,)),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
        (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", (400,)),
        (POST + b"Content-Length: -1\r\n\r\n", (400,)),
        (POST + b"Content-Length : 5\r\n\r\nhello", (400,)),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n-6\r\nhello\r\n", (400,)),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", (400,)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
    ],
    ids=[
        "a long address",
        "a long header",
        "many headers",
        "a head without end",
        "two framings",
        "two lengths",
        "a negative length",
        "a blank before the colon",
        "a negative chunk",
        "no chunk",
        "TLS where none is",
    ],
)
def test_what_is_no_good_request_is_refused_as_such(
    system: System, request_: bytes, statuses: tuple[int, ...]
) -> None:
    said = sent_raw(system, request_)
    assert said.startswith(b"HTTP/1.1 "), said
    assert int(said.split(b" ")[1]) in statuses
    assert said.count(b"HTTP/1.1 ") == 1  # nothing of it was taken for another request
    assert acknowledges(system)


def test_requests_on_one_connection_are_answered_in_order(system: System) -> None:
    said = sent_raw(system, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
    assert said.count(b"HTTP/1.1 200 ") == 5


def test_web_ends_in_good_order_while_clients_dawdle(system: System) -> None:
    with clients(system, POST, 20), clients(system, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", 5):
        assert system.stop("web", within=20) == 0


def test_every_line_of_the_log_of_all_this_is_json(system: System) -> None:
    for line in Path(system.folder / "web.log").read_text().splitlines():
        assert json.loads(line)["level"] != "critical"


def test_the_limits_of_the_tests_are_below_those_of_the_product() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import connector.gathering as g; print(g.WHOLE_WITHIN, g.STALLED_AFTER)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["20.0", "10"]
