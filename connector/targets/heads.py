"""Heads of requests and of answers, at little cost where they are as plain as nearly all are.

`http.client` checks and joins the head of a request line by line, opens a file to read each answer
and has the e-mail package read its headers; that took 80 of the 590 us of computing that an event
cost a worker. Here the head of a request of nothing but texts is put together in one go, and an
answer of HTTP/1.1 with a body of known length is taken apart as it came.

Invariants:
- What is sent is, byte for byte, what `urllib3` would send, or it is left to that.
- What is made of an answer is what `urllib3` makes of it, or it is left to that, with all that was
  read of it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from http.client import HTTPResponse
from socket import socket
from typing import Any, cast

from urllib3 import _version

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = re.compile(r"[A-Z]+")
_HOST = re.compile(r"[0-9A-Za-z.-]+(:[0-9]+)?")
_PATH = re.compile(r"/[!-~]*")
_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE"})

_STATUS = re.compile(r"HTTP/1\.1 ([2-5]\d\d) ([\x20-\x7e]*)")
_LENGTH = re.compile(r"[0-9]{1,9}")
_MOST = 90
"""Headers; `http.client` refuses more than a hundred."""


# --- of a request


def request(
    method: str, path: str, host: str, headers: Mapping[str, str], *, has_body: bool
) -> bytes | None:
    """The head; None where it is not all plain. `host` as the header says it."""
    opening, counted = _opening(tuple(headers), host)
    if not opening or not _METHOD.fullmatch(method) or not _PATH.fullmatch(path):
        return None
    if not counted and (has_body or method not in _WITHOUT_BODY):
        return None
    try:
        fields = "".join([name + ": " + value + "\r\n" for name, value in headers.items()])
        head = f"{method} {path} HTTP/1.1\r\n{opening}{fields}\r\n".encode("iso-8859-1")
    except (TypeError, UnicodeEncodeError):  # a value of bytes, or of other letters
        return None
    lines = len(headers)
    return head if fields.count("\r") == fields.count("\n") == lines else None


@lru_cache(maxsize=256)
def _opening(names: tuple[str, ...], host: str) -> tuple[str, bool]:
    """What stands before headers of these names, and whether they tell the length of the body.
    Empty where one of them changes how a request is made."""
    lower = {name.lower() for name in names}
    plain = all(map(_NAME.fullmatch, names)) and _HOST.fullmatch(host)
    if not plain or lower & {"host", "transfer-encoding"}:
        return "", False
    opening = f"Host: {host}\r\n"
    if "accept-encoding" not in lower:
        opening += "Accept-Encoding: identity\r\n"
    if "user-agent" not in lower:
        opening += f"User-Agent: python-urllib3/{_version.__version__}\r\n"
    return opening, "content-length" in lower


# --- of an answer


class Headers(Mapping[str, str]):
    """Headers of which none comes twice; found by names in any case."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, str]) -> None:
        """`values` by names in small letters."""
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        """The value of one, or `default`."""
        return self._values.get(name.lower(), default)

    def getlist(self, name: str) -> list[str]:
        """As of headers of which some come twice."""
        return [self._values[name.lower()]] if name in self else []


class Answer:
    """A whole answer, with what a pool of `urllib3` notes on one."""

    __slots__ = (
        "_connection",
        "_pool",
        "begins",
        "body",
        "closes",
        "headers",
        "length",
        "reason",
        "retries",
        "status",
    )

    version_string = "HTTP/1.1"
    length_remaining = 0

    def __init__(
        self, status: int, reason: str, headers: Headers, come: bytes, begins: int
    ) -> None:
        """`begins` is where its body begins in the bytes that have `come`."""
        self.status, self.reason, self.headers = status, reason, headers
        self.begins, self.body = begins, come[begins:]
        self.length = int(headers["content-length"])
        self.closes = "close" in headers.get("connection", "").lower()
        self._connection: Any = None
        self._pool: Any = None
        self.retries: Any = None

    def read(self) -> bytes:
        """The body; the connection goes back to where it was taken from."""
        if self._connection is not None:
            self._pool._put_conn(self._connection)
            self._connection = None
        return self.body


@lru_cache(maxsize=1024)
def _lower(name: str) -> str:
    """The name in small letters; empty where it is none."""
    return name.lower() if _NAME.fullmatch(name) else ""


def answer(come: bytes, method: str) -> Answer | None:
    """The answer that begins with these bytes, its body as far as it has come; None where it is not
    plain."""
    end = come.find(b"\r\n\r\n")
    if end < 0 or method == "HEAD":
        return None
    first, *lines = come[:end].decode("iso-8859-1").split("\r\n")
    status = _STATUS.fullmatch(first)
    if status is None or len(lines) > _MOST or status[1] in ("204", "304"):
        return None
    if not come.count(b"\n", 0, end) == come.count(b"\r", 0, end) == len(lines):
        return None
    values: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        values[_lower(name)] = value.lstrip(" \t")
    length = values.get("content-length", "")
    if "" in values or len(values) < len(lines) or not _LENGTH.fullmatch(length):
        return None
    if "transfer-encoding" in values or "content-encoding" in values:
        return None
    return Answer(int(status[1]), status[2].strip(), Headers(values), come, end + 4)


class Resumed(HTTPResponse):
    """The answer of which some was read already, for the `response_class` of a connection."""

    def __init__(
        self,
        come: bytes,
        sock: socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(_Resumed(come, sock), debuglevel, method, url)  # type: ignore[arg-type]


class _Resumed:
    """What `http.client` wants of a socket: a file."""

    def __init__(self, come: bytes, sock: socket) -> None:
        self._come, self._sock = come, sock

    def makefile(self, mode: str) -> io.BufferedReader:
        """All that was read, and then what comes."""
        rest = self._sock.makefile("rb", buffering=0)
        return io.BufferedReader(_First(self._come, cast(io.RawIOBase, rest)))


class _First(io.RawIOBase):
    def __init__(self, come: bytes, then: io.RawIOBase) -> None:
        super().__init__()
        self._come, self._then = memoryview(come), then

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """What was read before, as long as there is any of it."""
        if not self._come:
            return self._then.readinto(buffer)
        size = min(len(buffer), len(self._come))
        buffer[:size], self._come = self._come[:size], self._come[size:]
        return size

    def close(self) -> None:
        """The socket's own file, too."""
        self._then.close()
        super().close()
