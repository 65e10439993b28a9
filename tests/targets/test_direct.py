"""Over an open connection a call comes out as it does by urllib3's own `urlopen`, good or bad."""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util.url import _encode_target

from connector.targets import http as wire
from connector.targets.http import Answer, Failure, Http, Request, Result

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
SMALL, LARGE = b'{"subject": "x"}', b"x" * (8 << 20)
SECONDS = 0.5


def plain(peer: socket.socket) -> None:
    peer.sendall(OK % (9, b'{"id": 7}'))
    peer.recv(1)


def in_chunks(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    peer.recv(1)


def without_a_word(peer: socket.socket) -> None:
    peer.close()


def reset(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def half_an_answer(peer: socket.socket) -> None:
    peer.sendall(OK[:40])
    peer.close()


def half_a_body(peer: socket.socket) -> None:
    peer.sendall(OK % (9, b'{"id'))
    peer.close()


def no_http(peer: socket.socket) -> None:
    peer.sendall(b"220 smtp.example ESMTP\r\n")
    peer.close()


def too_many_headers(peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 105 + b"\r\n")
    peer.close()


def silence(peer: socket.socket) -> None:
    peer.recv(1)


def an_answer_before_the_whole_body(peer: socket.socket) -> None:
    """Half of it was read; the rest meets a closed connection."""
    peer.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n{}")
    peer.shutdown(socket.SHUT_RDWR)
    peer.close()


BEHAVIOURS: list[Callable[[socket.socket], None]] = [
    plain,
    in_chunks,
    without_a_word,
    reset,
    half_an_answer,
    half_a_body,
    no_http,
    too_many_headers,
    silence,
]


@contextmanager
def server(behave: Callable[[socket.socket], None], *, early: bool = False) -> Iterator[str]:
    """Answers the first request well, the second (`early`: as soon as it begins) as `behave` does,
    and whatever comes over another connection well."""
    listening = socket.create_server(("127.0.0.1", 0))

    def request(peer: socket.socket, most: int) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += peer.recv(most)

    def serve() -> None:
        peer, _ = listening.accept()
        peer.settimeout(20)
        with peer:
            request(peer, 1 << 16)
            peer.sendall(OK % (2, b"{}"))
            request(peer, 512 if early else 1 << 16)
            behave(peer)
        while True:
            try:
                peer, _ = listening.accept()
            except OSError:
                return
            with peer:
                request(peer, 1 << 16)
                peer.sendall(OK % (2, b"[]"))

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def told(result: Result) -> tuple[object, ...]:
    if isinstance(result, Failure):
        return result.kind, result.sent, result.text
    assert isinstance(result, Answer)
    return result.status, result.phrase, dict(result.headers), result.content


def second_and_third(url: str, body: bytes) -> list[tuple[object, ...]]:
    """What a connection's second call comes to, and the call after it."""
    http = Http(connections=2)
    try:
        assert isinstance(http.send(Request("PUT", f"{url}/a", {}, SMALL), 10), Answer)
        results = [http.send(Request("PUT", f"{url}/a", {}, body), SECONDS)]
        results.append(http.send(Request("PUT", f"{url}/a", {}, SMALL), 10))
        return list(map(told, results))
    finally:
        http.close()


def both_ways(
    behave: Callable[[socket.socket], None],
    body: bytes,
    monkeypatch: pytest.MonkeyPatch,
    *,
    early: bool = False,
) -> tuple[list[tuple[object, ...]], ...]:
    with server(behave, early=early) as url:
        direct = second_and_third(url, body)
    with monkeypatch.context() as patch, server(behave, early=early) as url:
        patch.setattr(wire._Direct, "urlopen", HTTPConnectionPool.urlopen)
        usual = second_and_third(url, body)
    return direct, usual


@pytest.mark.parametrize("behave", BEHAVIOURS)
def test_what_comes_is_what_comes_by_urllib3(
    behave: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    direct, usual = both_ways(behave, SMALL, monkeypatch)
    assert direct == usual


def test_an_answer_to_half_a_request_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the answer can still be read depends on what the system has thrown away of it when
    the connection was reset; whichever it is, there is an end, and the next call is answered."""
    direct, usual = both_ways(an_answer_before_the_whole_body, LARGE, monkeypatch, early=True)
    for second, third in (direct, usual):
        assert second[0] in (413, "reset")
        assert third[0] == 200


def test_only_an_open_connection_goes_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    long_way: list[str] = []
    usual = HTTPConnectionPool.urlopen

    def noted(self: HTTPConnectionPool, method: str, url: str, *rest: Any, **more: Any) -> Any:
        long_way.append(url)
        return usual(self, method, url, *rest, **more)

    monkeypatch.setattr(HTTPConnectionPool, "urlopen", noted)
    http = Http(connections=2)
    with server(plain) as url:
        for path in ("/first", "/second"):
            assert isinstance(http.send(Request("GET", url + path, {}), 10), Answer)
        http.close()
    assert long_way == ["/first"]


def test_a_path_that_needs_encoding_goes_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    request = wire.heads.request

    def noted(method: str, path: str, *rest: Any, **more: Any) -> bytes | None:
        seen.append(path)
        return request(method, path, *rest, **more)

    monkeypatch.setattr(wire.heads, "request", noted)
    http = Http(connections=2)
    with server(plain) as url:
        http.send(Request("GET", f"{url}/a", {}), 10)
        assert isinstance(http.send(Request("GET", f'{url}/a"b%2f?c=|', {}), 10), Answer)
        http.close()
    assert seen == ["/a", "/a%22b%2F?c=%7C"]


@given(st.text("/?#%aZ09._~!$&'()*+,;=:@-\"<>[]\\^`{|} \u00e9", max_size=12))
@example("/a%2fb")
@example("/a%2Fb?x=y/z?")
def test_what_goes_as_it_is_needs_no_encoding(tail: str) -> None:
    path = "/" + tail
    if wire._AS_IT_IS.fullmatch(path):
        assert _encode_target(path) == path


def test_the_connection_used_last_is_the_next_to_go() -> None:
    idle = wire._Idle(2)
    idle.put("a", block=False)
    idle.put("b", block=False)
    with pytest.raises(queue.Full):
        idle.put("c", block=False)
    assert [idle.get(), idle.get()] == ["b", "a"]
    with pytest.raises(queue.Empty):
        idle.get(block=False)


def test_every_pool_keeps_its_connections_so() -> None:
    for origin in ("http://127.0.0.1:1", "https://crm.example"):
        assert isinstance(wire._open_pool(urlsplit(origin), wire.STRAIGHT, 2).pool, wire._Idle)
