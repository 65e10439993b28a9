"""One HTTP call to a CRM: an answer, or why there is none; never an exception for the far side.

Invariants: a call ends within its `timeout`, name look-up aside, whatever the server does (it may
drip one byte a second); no redirect is followed; an answer is read up to `LIMIT` bytes; no proxy,
cookie, netrc or other setting of the environment has a say.

`requests` bounds each read, not the call. So the sockets here carry the deadline of the call that
their thread is making, and take what is left of it as their timeout before they read or write: no
watchdog thread, no race for a socket that has already gone back to the pool. The same sockets note
when the first byte of a request leaves; that decides whether a call without an answer may have
reached the CRM.

`HTTPAdapter.send` with a request made by hand, without cookies and repeated URL parsing, costs
half the CPU of `Session.request` (0.19 of 0.38 ms on loopback). Hence the small adapter below.

Neighbours: `answers` gives results their meaning, `conversation` decides about repeats.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import certifi
import urllib3
from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
)

from connector.model import Json

if TYPE_CHECKING:
    from requests.structures import CaseInsensitiveDict

LIMIT = 1 << 20
"""Bytes of an answer that are read; a longer one is cut."""
_SHOWN = 16384

FailureKind: TypeAlias = Literal[
    "refused", "reset", "timed out", "name not found", "TLS", "unwritable"
]
"""`unwritable`: the request holds what HTTP cannot carry, a line break in a header."""


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it goes out. `url` is whole and encoded, credentials in it included."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the CRM answered. `data` is its JSON, else its text, null when it is empty.

    `content` are its bytes, at most `LIMIT`.
    """

    status: int
    phrase: str
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)
    data: Json = field(repr=False)
    seconds: float

    @property
    def text(self) -> str:
        """The beginning of the body as text."""
        return self.content[:_SHOWN].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Failure:
    """Why no whole answer came. `sent`: something of the request had left, the CRM may have it."""

    kind: FailureKind
    sent: bool
    text: str
    seconds: float


Result: TypeAlias = Answer | Failure


class Http:
    """Calls over pooled connections, for any number of threads and targets.

    `connections` is how many are kept for each origin: as many as there are threads that call.
    `ca_file` names a bundle of certificate authorities, for a CRM with a private one.
    """

    def __init__(self, connections: int = 32, ca_file: str | None = None) -> None:
        self._adapter = _Adapter(connections, ca_file)

    def send(self, request: Request, timeout: float) -> Result:
        """Makes one call within `timeout` seconds."""
        begun = time.monotonic()
        _call.begin(timeout, with_body=bool(request.body))
        try:
            raw = self._adapter.send(_prepare(request), stream=True, timeout=timeout).raw
            content = _read(raw)
        except (RequestException, HTTPError, OSError) as error:
            return _failure(error, timeout, time.monotonic() - begun)
        except ValueError as error:
            kind: FailureKind = "reset" if _call.sent else "unwritable"
            return Failure(kind, _call.sent, f"{kind}: {error}", time.monotonic() - begun)
        return _answer(raw, content, time.monotonic() - begun)

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._adapter.close()


# --- sockets that keep to the deadline of the call their thread makes


class _Call(threading.local):
    """The call that this thread makes: until when (monotonic seconds), whether it has left, and
    its head while that waits for the body."""

    until = 0.0
    sent = False
    body_follows = False
    head = b""

    def begin(self, timeout: float, *, with_body: bool) -> None:
        self.until = time.monotonic() + timeout
        self.sent, self.body_follows, self.head = False, with_body, b""

    def left(self) -> float:
        """Seconds left; raises TimeoutError when there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call took too long")
        return left


_call = _Call()


class _PlainSocket(socket.socket):
    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_call.left())
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(_call.left())
        _call.sent = True
        super().sendall(*args, **kwargs)


class _TlsSocket(ssl.SSLSocket):
    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_call.left())
        return super().recv_into(*args, **kwargs)

    def send(self, *args: Any, **kwargs: Any) -> int:  # what SSLSocket.sendall calls in a loop
        self.settimeout(_call.left())
        _call.sent = True
        return super().send(*args, **kwargs)


def _connect(connection: HTTPConnection) -> socket.socket:
    """A connected socket within the deadline, however many addresses the name has."""
    host = connection.host.strip("[]")
    try:
        places = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error
    refusal: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in places:
        sock = _PlainSocket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(_call.left())
            sock.connect(address)
            sock.settimeout(_call.left())  # what a TLS handshake may take
        except OSError as error:
            sock.close()
            refusal = error
        else:
            return sock
    if isinstance(refusal, TimeoutError):
        raise ConnectTimeoutError(connection, "the connection timed out") from refusal
    raise NewConnectionError(connection, str(refusal)) from refusal


class _Connection(HTTPConnection):
    _new_conn = _connect

    def send(self, data: Any) -> None:
        """Head and body in one write: a server woken by the head alone costs both sides."""
        if _call.body_follows:
            _call.body_follows, _call.head = False, data
            return
        super().send(_call.head + data)
        _call.head = b""


class _TlsConnection(HTTPSConnection, _Connection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


# --- what of requests' adapter a call to an API does not need: cookies, proxies, URL rewriting


class _Adapter(HTTPAdapter):
    def __init__(self, connections: int, ca_file: str | None) -> None:
        super().__init__()
        self._connections = connections
        self._ca_file = ca_file
        self._pools: dict[str, HTTPConnectionPool] = {}
        self._making = threading.Lock()

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        origin, _ = _cut(request.url)
        return self._pools.get(origin) or self._pool(origin)

    def _pool(self, origin: str) -> HTTPConnectionPool:
        parts = urlsplit(origin)
        host = parts.hostname or ""
        with self._making:
            if origin in self._pools:
                return self._pools[origin]
            if parts.scheme == "https":
                context = _tls_context(self._ca_file)
                self._pools[origin] = _TlsPool(
                    host, parts.port, maxsize=self._connections, ssl_context=context
                )
            else:
                self._pools[origin] = _Pool(host, parts.port, maxsize=self._connections)
            return self._pools[origin]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: the context holds the authorities and asks for a certificate."""

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        return _cut(request.url)[1]

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        response = Response()
        response.raw = resp
        return response


@lru_cache(maxsize=8)
def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Made once, not for each thread: the authorities cost 20 ms and a megabyte."""
    context = ssl.create_default_context(cafile=ca_file or certifi.where())
    context.sslsocket_class = _TlsSocket
    return context


def _cut(url: str | None) -> tuple[str, str]:
    """Origin and the rest: `https://crm.example`, `/tickets/1?x=y`."""
    whole = url or ""
    at = whole.find("/", whole.find("://") + 3)
    return (whole, "/") if at < 0 else (whole[:at], whole[at:])


# --- from a request to the wire, and back to a result

_WITH_LENGTH = frozenset({"POST", "PUT", "PATCH"})


def _prepare(request: Request) -> PreparedRequest:
    """As `PreparedRequest.prepare` would, for a request that is complete and encoded."""
    headers = dict(request.headers)
    if request.body is not None or request.method in _WITH_LENGTH:
        headers["Content-Length"] = str(len(request.body or b""))
    prepared = PreparedRequest()
    prepared.method, prepared.url, prepared.body = request.method, request.url, request.body
    prepared.headers = cast("CaseInsensitiveDict[str]", headers)
    return prepared


def _read(raw: urllib3.HTTPResponse) -> bytes:
    """The body, up to one byte over `LIMIT`; a connection with more to come is not used again."""
    content = raw.read(LIMIT + 1, decode_content=True)
    if len(content) > LIMIT:
        raw.close()
    return content


def _answer(raw: urllib3.HTTPResponse, content: bytes, seconds: float) -> Answer:
    return Answer(
        status=raw.status,
        phrase=raw.reason or "",
        headers=raw.headers,
        content=content[:LIMIT],
        data=_parse(content[:LIMIT]),
        seconds=seconds,
    )


def _parse(content: bytes) -> Json:
    if not content.strip():
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


_KINDS: tuple[tuple[type[BaseException], FailureKind], ...] = (
    (socket.gaierror, "name not found"),
    (TimeoutError, "timed out"),
    (ssl.SSLError, "TLS"),
    (ConnectionRefusedError, "refused"),
)


def _failure(error: Exception, timeout: float, seconds: float) -> Failure:
    """Which failure it was, told by the first known exception in the chain of causes."""
    chain = list(_chain(error))
    kind = next((kind for link in chain for known, kind in _KINDS if isinstance(link, known)), None)
    kind = kind or ("reset" if _call.sent else "refused")
    text = f"timed out after {timeout:g} s" if kind == "timed out" else f"{kind}: {chain[-1]}"
    return Failure(kind, _call.sent, text, seconds)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        wrapped = getattr(link, "reason", None)
        link = wrapped if isinstance(wrapped, BaseException) else link.__cause__ or link.__context__
