"""What is sent is what urllib3 sends, and what is made of an answer is what urllib3 makes of it."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError

from connector.targets import heads, sockets
from connector.targets.http import LIMIT, _Connection, _read

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n"
HEADS = {
    "plain": PLAIN,
    "many of one name": PLAIN[:-2] + b"Set-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n",
    "closing": PLAIN[:-2] + b"Connection: Keep-Alive, Close\r\n\r\n",
    "no words": b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\n",
    "no blank": b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\n",
    "foreign words": b"HTTP/1.1 200 \xc3\xa9t\xc3\xa9\r\nContent-Length: 4\r\n\r\n",
    "blanks": b"HTTP/1.1 200 OK \r\nContent-Length: \t 4 \r\nX:\r\nY: \r\nZ: a \t\r\n\r\n",
    "no headers": b"HTTP/1.1 200 OK\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
    "unlike lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "lengths in a list": b"HTTP/1.1 200 OK\r\nContent-Length: 4, 4\r\n\r\n",
    "no number": b"HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\n",
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
    "too long": b"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n",
    "too short": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "huge": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
    "other digits": "HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n".encode("iso-8859-1"),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    "real chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 4\r\n\r\n",
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n",
    "204": b"HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n",
    "304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN,
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN,
    "1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\n",
    "2": b"HTTP/2 200 OK\r\nContent-Length: 4\r\n\r\n",
    "odd status": b"HTTP/1.1 2000 OK\r\nContent-Length: 4\r\n\r\n",
    "no HTTP": b"220 smtp.example ESMTP\r\n\r\n",
    "nothing": b"",
    "cut": PLAIN[:-6],
    "folded": b"HTTP/1.1 200 OK\r\nX: one\r\n two\r\nContent-Length: 4\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nX one\r\nContent-Length: 4\r\n\r\n",
    "no name": b"HTTP/1.1 200 OK\r\n: one\r\nContent-Length: 4\r\n\r\n",
    "blank before the colon": b"HTTP/1.1 200 OK\r\nX : one\r\nContent-Length: 4\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 4\n\n",
    "one bare line feed": b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\nContent-Length: 4\r\n\r\n",
    "a bare return": b"HTTP/1.1 200 OK\r\nX: a\rY: b\r\nContent-Length: 4\r\n\r\n",
    "multipart": PLAIN.replace(b"application/json", b"multipart/mixed; boundary=x"),
    "eight bits": b"HTTP/1.1 200 OK\r\nX: \xe9\xff\r\nContent-Length: 4\r\n\r\n",
    "very many": PLAIN[:-2] + b"".join(b"X%d: y\r\n" % n for n in range(85)) + b"\r\n",
    "too many": PLAIN[:-2] + b"X: y\r\n" * 105 + b"\r\n",
    "long": PLAIN[:-2] + b"X: " + b"y" * 9000 + b"\r\n\r\n",
    "very long": PLAIN[:-2] + b"X: " + b"y" * 60_000 + b"\r\n\r\n",
    "of 1 MiB and more": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (LIMIT + 1),
}
TAKEN_APART = {
    *("plain", "closing", "no words", "empty", "multipart", "eight bits", "very many"),
    "long",
}


AS_REQUESTS_DOES = {"preload_content": False, "decode_content": False}


def heard(
    kind: type[HTTPConnection], head: bytes, method: str = "GET", body: bytes = b"body"
) -> dict[str, Any]:
    """What becomes of an answer, by either kind of connection."""
    ours, theirs = socket.socketpair()
    with theirs:
        sockets.begin(10, with_body=False)
        connection = kind("crm.example")
        connection.sock = sockets.PlainSocket(fileno=ours.detach())
        connection.request(method, "/", **AS_REQUESTS_DOES)
        theirs.sendall(head + body)
        theirs.shutdown(socket.SHUT_WR)
        try:
            answer: Any = connection.getresponse()
            found = {
                "headers": {name.lower(): answer.headers.get(name) for name in answer.headers},
                "cookies": answer.headers.getlist("Set-Cookie"),
                "missing": ("x-none" in answer.headers, answer.headers.get("X-None")),
                "rest": (answer.status, answer.reason, connection.sock is None),
            }
            return found | {"body": _read(answer)}
        except (HTTPException, HTTPError) as error:
            return {"error": type(error).__name__}
        finally:
            connection.close()


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_answer_means_what_it_meant(name: str, method: str) -> None:
    body = b"" if name == "empty" else b"body"
    theirs = heard(HTTPConnection, HEADS[name], method, body)
    assert heard(_Connection, HEADS[name], method, body) == theirs


@pytest.mark.parametrize("name", HEADS)
def test_plain_answers_and_they_alone_are_taken_apart(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    getresponse = HTTPConnection.getresponse
    monkeypatch.setattr(
        HTTPConnection, "getresponse", lambda self: (asked.append(name), getresponse(self))[1]
    )
    heard(_Connection, HEADS[name], body=b"" if name == "empty" else b"body")
    assert bool(asked) == (name not in TAKEN_APART)


@pytest.mark.parametrize("end", [10, 30, len(PLAIN) - 1, len(PLAIN), len(PLAIN) + 2])
def test_an_answer_in_pieces_is_read_all_the_same(end: int) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        sockets.begin(10, with_body=False)
        connection = _Connection("crm.example")
        connection.sock = sockets.PlainSocket(fileno=ours.detach())
        recv = connection.sock.recv

        def slowly(size: int) -> bytes:
            piece = recv(size)
            if not pieces:
                theirs.sendall(PLAIN[end:] + b"body"[max(0, end - len(PLAIN)) :])
            pieces.append(piece)
            return piece

        pieces: list[bytes] = []
        connection.sock.recv = slowly
        for _ in range(2):  # the connection is good for another call after it
            pieces.clear()
            connection.request("GET", "/", **AS_REQUESTS_DOES)
            theirs.sendall((PLAIN + b"body")[:end])
            answer = connection.getresponse()
            assert (answer.status, _read(answer)) == (200, b"body")
        connection.close()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["X", "Content-Length", "Connection", "Set-Cookie", "X y", " X", ""]),
            st.sampled_from([":", ": ", " :", ":\t", ""]),
            st.sampled_from(["4", "close", "chunked", "", "a b", "\xe9", "a\nb", "\x0b4", "04"]),
            st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", " \r\n", "\x0b\r\n"]),
        )
    ),
    st.sampled_from(["HTTP/1.1 200 OK\r\n", "HTTP/1.1 404 \r\n", "HTTP/1.1 201\r\n"]),
)
def test_any_answer_means_what_it_meant(lines: list[tuple[str, ...]], first: str) -> None:
    head = (first + "".join(map("".join, lines)) + "\r\n").encode("iso-8859-1")
    assert heard(_Connection, head) == heard(HTTPConnection, head)


# --- requests


def said(
    kind: type[HTTPConnection],
    method: str,
    path: str,
    headers: Mapping[str, Any],
    body: bytes | None,
    host: str = "crm.example",
    port: int | None = None,
) -> bytes | str:
    """What goes over the wire, or what kind of error is raised."""
    ours, theirs = socket.socketpair()
    with theirs:
        sockets.begin(10, with_body=bool(body))
        connection = kind(host, port)
        connection.sock = sockets.PlainSocket(fileno=ours.detach())
        chunked = not (body is None or "Content-Length" in headers)  # as requests says it
        try:
            connection.request(method, path, body, headers, chunked=chunked)
        except (ValueError, HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()
        got = b""
        while piece := theirs.recv(65536):
            got += piece
        return got


REQUESTS: dict[str, tuple[Any, ...]] = {
    "a read": ("GET", "/tickets/1?x=y", {"Accept": "application/json"}, None),
    "a write": ("PUT", "/t/1", {"Content-Length": "2", "Authorization": "Bearer x"}, b"{}"),
    "a patch": ("PATCH", "/t", {"content-length": "2", "Idempotency-Key": "k"}, b"{}"),
    "a delete": ("DELETE", "/t/1", {}, None),
    "a delete with a body": ("DELETE", "/t/1", {}, b"{}"),
    "nothing to post": ("POST", "/t", {}, None),
    "an empty body": ("POST", "/t", {"Content-Length": "0"}, b""),
    "an own agent": ("GET", "/", {"User-Agent": "me", "Accept-Encoding": "gzip"}, None),
    "an own host": ("GET", "/", {"Host": "other.example"}, None),
    "chunks": ("POST", "/", {"Transfer-Encoding": "chunked"}, b"x"),
    "another port": ("GET", "/", {}, None, "crm.example", 8080),
    "the usual port": ("GET", "/", {}, None, "crm.example", 80),
    "an address": ("GET", "/", {}, None, "127.0.0.1", 1),
    "an address with colons": ("GET", "/", {}, None, "::1", 8080),
    "foreign letters": ("GET", "/", {}, None, "m\xfcller.example"),
    "no path": ("GET", "", {}, None),
    "a whole address": ("GET", "http://crm.example/x", {}, None),
    "a blank in the path": ("GET", "/a b", {}, None),
    "foreign letters in the path": ("GET", "/\xe9", {}, None),
    "a line feed in the path": ("GET", "/a\nb", {}, None),
    "a line feed in a value": ("GET", "/", {"X": "a\nb"}, None),
    "two lines in a value": ("GET", "/", {"X": "a\r\nY: b"}, None),
    "a folded value": ("GET", "/", {"X": "a\r\n b"}, None),
    "a return in a value": ("GET", "/", {"X": "a\rb"}, None),
    "eight bits": ("GET", "/", {"X": "\xe9"}, None),
    "other letters": ("GET", "/", {"X": "\u0111"}, None),
    "bytes": ("GET", "/", {"X": b"a"}, None),
    "a number": ("GET", "/", {"X": 5}, None),
    "a blank in a name": ("GET", "/", {"X y": "a"}, None),
    "an odd name": ("GET", "/", {"X(y)": "a"}, None),
    "no name": ("GET", "/", {"": "a"}, None),
    "an own method": ("PURGE", "/", {}, None),
    "an odd method": ("GET\n", "/", {}, None),
    "a small method": ("get", "/", {}, None),
}
LEFT_TO_URLLIB3 = {
    *("a delete with a body", "nothing to post", "an own host", "chunks", "no path"),
    *("an address with colons", "foreign letters", "a whole address", "an own method"),
    *(name for name in REQUESTS if " in " in name),
    *("a folded value", "other letters", "bytes", "a number", "an odd name", "no name"),
    *("an odd method", "a small method"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_what_it_was(name: str) -> None:
    assert said(_Connection, *REQUESTS[name]) == said(HTTPConnection, *REQUESTS[name])


@pytest.mark.parametrize("name", REQUESTS)
def test_plain_requests_and_they_alone_are_put_together(name: str) -> None:
    method, path, headers, body, *where = REQUESTS[name]
    host = ":".join(map(str, where)).removesuffix(":80") if where else "crm.example"
    head = heads.request(method, path, host, headers, has_body=body is not None)
    assert (head is None) == (name in LEFT_TO_URLLIB3)


@given(
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "Put"]),
    st.text(st.sampled_from("/a?=%\xe9 \n\x7f~"), max_size=6).map("/{}".format),
    st.dictionaries(
        st.sampled_from(["X", "Content-Length", "content-length", "user-agent", "a b", "\xe9"]),
        st.text(st.sampled_from("4a \r\n\t\xe9\u0111"), max_size=4),
    ),
    st.sampled_from([None, b"", b"body"]),
)
def test_any_request_is_what_it_was(
    method: str, path: str, headers: dict[str, str], body: bytes | None
) -> None:
    ours = said(_Connection, method, path, headers, body)
    assert ours == said(HTTPConnection, method, path, headers, body)
