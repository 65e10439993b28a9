"""What recurs comes out as gunicorn has it: whom it trusts, its heads, its reading of bodies."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import Response

from connector.recurring import RecurringAnswer, RecurringParser, RecurringRequest

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PEERS: list[Any] = [
    ("127.0.0.1", 1),
    ("127.0.0.1", 2),
    ("::1", 1),
    ("10.1.2.3", 1),
    ("8.8.8.8", 1),
    ("odd", 1),
    ("", 1),
    "/run/socket",
    b"",
    None,
]
ALLOWED = ["127.0.0.1,::1", "*", "10.0.0.0/8", ""]


def settings(**more: Any) -> Config:
    cfg = Config()
    for name, value in more.items():
        cfg.set(name, value)
    return cfg


def parsed(kind: type[Any], said: bytes, peer: Any = ("127.0.0.1", 1), **more: Any) -> Any:
    return kind(settings(**more), iter([said]), peer)


@pytest.mark.parametrize("allowed", ALLOWED)
def test_the_same_peers_are_trusted(allowed: str) -> None:
    cfg = settings(forwarded_allow_ips=allowed)
    for peer, _ in itertools.product(PEERS, range(2)):
        ours, usual = (kind.__new__(kind) for kind in (RecurringRequest, Request))
        for request in (ours, usual):
            request.cfg, request.peer_addr = cfg, peer
        assert ours._peer_is_trusted_proxy() == usual._peer_is_trusted_proxy(), peer


def test_other_settings_trust_others() -> None:
    said = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\r\n"
    schemes = [
        next(parsed(RecurringParser, said, forwarded_allow_ips=allowed)).scheme
        for allowed in ("127.0.0.1", "10.0.0.1", "127.0.0.1")
    ]
    assert schemes == ["https", "http", "https"]


REQUESTS = [
    GET,
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
]
ANSWERS = [
    ("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")]),
    ("200 OK", [("Content-Type", "text/plain")]),
    ("404 NOT FOUND", [("Content-Length", "2"), ("X-A", "b")]),
    ("204 NO CONTENT", []),
    ("304 NOT MODIFIED", [("ETag", '"x"')]),
    ("101 Switching Protocols", [("Connection", "upgrade"), ("Upgrade", "websocket")]),
]


class Heard:
    """A socket that keeps what is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        """Kept; of its date the form, for a minute may end between two answers."""
        self.sent += re.sub(rb"(?<=Date: )[^\r]*", lambda said: re.sub(rb"\w", b"x", said[0]), data)


@pytest.mark.parametrize(
    ("said", "answer", "closing"), list(itertools.product(REQUESTS, ANSWERS, [False, True]))
)
def test_an_answer_is_written_alike(
    said: bytes, answer: tuple[str, list[tuple[str, str]]], closing: bool
) -> None:
    heard = []
    for kind in (RecurringAnswer, Response):
        sock, request = Heard(), next(parsed(RequestParser, said))
        given = kind(request, sock, request.cfg)
        if closing:
            given.force_close()
        given.start_response(*answer)
        given.write(b"ok")
        given.close()
        heard.append(sock.sent)
    assert heard[0] == heard[1]
    assert heard[0].count(b"Date: ") == 1


def test_the_date_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.9
    monkeypatch.setattr("connector.recurring.time.time", lambda: now)

    def date() -> bytes:
        sock, request = Heard(), next(parsed(RequestParser, GET))
        sock.sendall = lambda data: setattr(sock, "sent", sock.sent + data)  # type: ignore[method-assign]
        given = RecurringAnswer(request, sock, request.cfg)
        given.start_response("200 OK", [("Content-Length", "0")])
        given.close()
        found = re.search(rb"Date: ([^\r]*)", sock.sent)
        return found[1] if found else b""

    assert date() == b"Tue, 14 Nov 2023 22:13:20 GMT"
    now += 0.2
    assert date() == b"Tue, 14 Nov 2023 22:13:21 GMT"


POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n01234"


@pytest.mark.parametrize("read", range(6))
def test_what_was_not_read_of_a_body_is_read_before_the_next_request(read: int) -> None:
    parser = parsed(RecurringParser, POST + GET)
    assert next(parser).body.read(read) == b"01234"[:read]
    assert parser.finish_body() is True
    assert next(parser).method == "GET"


def test_a_body_that_broke_is_never_finished() -> None:
    said = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n"
    for kind in (RecurringParser, RequestParser):
        parser = parsed(kind, said)
        with pytest.raises(Exception, match="chunk"):
            next(parser).body.read()
        assert parser.finish_body() is False


def test_nothing_is_left_before_the_first_request() -> None:
    assert parsed(RecurringParser, GET).finish_body() is True
