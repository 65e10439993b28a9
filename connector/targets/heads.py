"""The head of an answer, read at little cost where it is as plain as nearly all are.

`http.client` has the e-mail package read the headers of an answer, which takes a tenth of all the
computing that an event costs. Here a head that has come in one piece, of HTTP/1.1, with the length
of its body and no header that goes on in another line, is taken apart by itself.

Invariant: what this makes of a head is what `http.client` makes of it, or it is left to that.
"""

from __future__ import annotations

import re
from http.client import HTTPMessage, HTTPResponse
from socket import socket
from typing import Any

_STATUS = re.compile(r"HTTP/1\.1 ([2-5]\d\d) ([\x20-\x7e]*)")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(r"[0-9]{1,18}")
_MOST = 90
"""Headers; `http.client` refuses more than a hundred."""


class Headers(HTTPMessage):
    """Headers that are texts and nothing else: no part of a mail, nothing to decode."""

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[str, str] = {}

    def take(self, name: str, value: str) -> bool:
        """One more; whether it is the first of its name."""
        self.set_raw(name, value)
        known = name.lower() in self._first
        self._first.setdefault(name.lower(), value)
        return not known

    def get(self, name: str, failobj: Any = None) -> Any:
        return self._first.get(name.lower(), failobj)

    def items(self) -> Any:
        return list(self.raw_items())

    def is_multipart(self) -> Any:
        return False

    def get_payload(self, i: int | None = None, decode: bool = False) -> Any:
        return None


class Response(HTTPResponse):
    """`http.client`'s, for the `response_class` of a connection."""

    def __init__(
        self, sock: socket, debuglevel: int = 0, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        self._has_body = method != "HEAD"

    def begin(self) -> None:
        if self.headers is not None or not self._begin_plainly():
            super().begin()

    def _begin_plainly(self) -> bool:
        """Read a plain head; whether it was one. Nothing is read of any other."""
        come = self.fp.peek()
        end = come.find(b"\r\n\r\n")
        first, *lines = come[: max(end, 0)].decode("iso-8859-1").split("\r\n")
        status = _STATUS.fullmatch(first)
        plain = status is not None and len(lines) <= _MOST
        plain = plain and come.count(b"\n", 0, end) == come.count(b"\r", 0, end) == len(lines)
        if status is None or not plain:
            return False
        headers = Headers()
        for line in lines:
            name, _, value = line.partition(":")
            alone = headers.take(name, value.lstrip(" \t"))
            if not _NAME.fullmatch(name) or not (alone or name.lower() != "content-length"):
                return False
        length = headers.get("content-length", "")
        counted = _LENGTH.fullmatch(length) and headers.get("transfer-encoding") is None
        if not counted or status[1] in ("204", "304") or not self._has_body:
            return False
        self.fp.read(end + 4)
        self.code = self.status = int(status[1])
        self.reason, self.version = status[2].strip(), 11
        self.headers = self.msg = headers
        self.chunked, self.length = False, int(length)
        self.will_close = "close" in headers.get("connection", "").lower()
        return True
