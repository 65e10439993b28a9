"""What is made of an answer's head is what `http.client` makes of it, whatever the head."""

from __future__ import annotations

import socket
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connector.targets import heads

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\n"
HEADS = {
    "plain": PLAIN,
    "many of one name": PLAIN[:-2] + b"Set-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n",
    "closing": PLAIN[:-2] + b"Connection: Keep-Alive, Close\r\n\r\n",
    "no words": b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\n",
    "no blank": b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\n",
    "foreign words": b"HTTP/1.1 200 \xc3\xa9t\xc3\xa9\r\nContent-Length: 4\r\n\r\n",
    "blanks": b"HTTP/1.1 200 OK \r\nContent-Length: \t 4 \r\nX:\r\nY: \r\n\r\n",
    "no headers": b"HTTP/1.1 200 OK\r\n\r\n",
    "no length": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\n",
    "unlike lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "no number": b"HTTP/1.1 200 OK\r\nContent-Length: four\r\n\r\n",
    "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\n",
    "other digits": "HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n".encode("iso-8859-1"),
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 4\r\n\r\n",
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
    "multipart": PLAIN[:-2] + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n",
    "eight bits": b"HTTP/1.1 200 OK\r\nX: \xe9\xff\r\nContent-Length: 4\r\n\r\n",
    "very many": PLAIN[:-2] + b"X: y\r\n" * 95 + b"\r\n",
    "too many": PLAIN[:-2] + b"X: y\r\n" * 105 + b"\r\n",
    "long": PLAIN[:-2] + b"X: " + b"y" * 9000 + b"\r\n\r\n",
}
READ_BY_ITSELF = {"plain", "many of one name", "closing", "no words", "eight bits", "multipart"}


def read(kind: type[HTTPResponse], head: bytes, method: str = "GET") -> dict[str, Any]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(head + b"body")
        theirs.shutdown(socket.SHUT_WR)
        response = kind(ours, method=method)
        try:
            response.begin()
            found = {
                "headers": [(name, str(value)) for name, value in response.headers.items()],
                "getheader": [response.getheader(n) for n in ("x", "content-length", "missing")],
                "rest": (response.status, response.reason, response.version),
                "framing": (bool(response.chunked), response.length, response.will_close),
            }
            return found | {"body": b"" if response.chunked else response.read()}
        except HTTPException as error:
            return {"error": type(error).__name__}
        finally:
            response.close()


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_head_means_what_it_meant(name: str, method: str) -> None:
    assert read(heads.Response, HEADS[name], method) == read(HTTPResponse, HEADS[name], method)


@pytest.mark.parametrize("name", HEADS)
def test_plain_heads_and_they_alone_are_read_by_themselves(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    begin = HTTPResponse.begin
    monkeypatch.setattr(HTTPResponse, "begin", lambda self: (asked.append(name), begin(self))[1])
    read(heads.Response, HEADS[name])
    if name in READ_BY_ITSELF:
        assert not asked


def test_a_head_that_comes_in_pieces_is_read_all_the_same() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(PLAIN[:20])
        response = heads.Response(ours)
        theirs.sendall(PLAIN[20:] + b"body")
        response.begin()
        assert (response.status, response.read()) == (200, b"body")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["X", "Content-Length", "Connection", "Set-Cookie", "X y", " X", ""]),
            st.sampled_from([":", ": ", " :", ":\t", ""]),
            st.sampled_from(["4", "close", "chunked", "", "a b", "\xe9", "a\nb", "\x0b4", "04"]),
            st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r", " \r\n"]),
        )
    ),
    st.sampled_from(["HTTP/1.1 200 OK\r\n", "HTTP/1.1 404 \r\n", "HTTP/1.1 201\r\n"]),
)
def test_any_head_means_what_it_meant(lines: list[tuple[str, ...]], first: str) -> None:
    head = (first + "".join(map("".join, lines)) + "\r\n").encode("iso-8859-1")
    assert read(heads.Response, head) == read(HTTPResponse, head)
