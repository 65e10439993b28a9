"""One HTTP call to a CRM: an answer, or why there is none; never an exception for the far side.

Invariants: a call ends within its `timeout`, name look-up aside, whatever the server does (it may
drip one byte a second); no redirect is followed; an answer is read up to `LIMIT` bytes; no proxy,
cookie, netrc or other setting of the environment has a say: what a call goes through is its
`Route`.

The deadline is that of its `sockets`, which also note when the first byte of a request leaves; that
decides whether a call without an answer may have reached the CRM.

`HTTPAdapter.send` with a request made by hand, without cookies and repeated URL parsing, costs
half the CPU of `Session.request` (0.19 of 0.38 ms on loopback). Hence the small adapter below.

Neighbours: `answers` gives results their meaning, `conversation` decides about repeats.
"""

from __future__ import annotations

import errno
import json
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import field
from functools import lru_cache, partial
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from urllib.parse import SplitResult, urlsplit

import certifi
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection, _ResponseOptions
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProtocolError, ProxyError
from urllib3.util import Timeout, parse_url

from connector import compact
from connector.frozen import dataclass
from connector.model import Json
from connector.targets import heads, sockets
from connector.targets.lean_requests import (
    HTTPAdapter,
    PreparedRequest,
    RequestException,
    Response,
)
from connector.targets.proxies import proxy_headers

if TYPE_CHECKING:
    from requests.structures import CaseInsensitiveDict

# Where `tls: {verify: false}` is said, config check warns; once for each call is too much.
urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)

LIMIT = 1 << 20
"""Bytes of an answer that are read; a longer one is cut."""
_AT_ONCE = 16384
"""Bytes of an answer that are asked for first."""

_SHOWN = 16384

FailureKind: TypeAlias = Literal[
    "refused",
    "reset",
    "timed out",
    "name not found",
    "TLS",
    "certificate refused",
    "proxy refused",
    "unwritable",
]
"""`TLS`: the far side's certificate is not trusted, or there is no TLS to speak with it.
`certificate refused`: it wants another client certificate than ours. `proxy refused`: the proxy
wants other credentials, or forbids the address. `unwritable`: the request holds what HTTP cannot
carry, a line break in a header."""


@dataclass(frozen=True, slots=True)
class Route:
    """What a call goes through. Files are PEM and are read once, when first used.

    `ca`: the authorities that are trusted; with `public` besides the public ones, else instead of
    them. `cert`, `key`, `password`: the certificate that we show. `verify` False: whoever answers
    is believed. `proxy`: its address, user and password in it; it forwards `http` and tunnels
    `https`.
    """

    ca: str | None = None
    public: bool = True
    cert: str | None = None
    key: str | None = None
    password: str = field(default="", repr=False)
    verify: bool = True
    proxy: str | None = field(default=None, repr=False)


STRAIGHT = Route()


@dataclass(frozen=True, slots=True)
class Request:
    """A call as it goes out. `url` is whole and encoded, credentials in it included."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None = None
    route: Route = STRAIGHT


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
    def set_cookies(self) -> list[str]:
        """The headers `Set-Cookie`, one for each cookie."""
        several = getattr(self.headers, "getlist", None)
        return list(several("Set-Cookie")) if several else []

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
    """

    def __init__(self, connections: int = 32) -> None:
        self._adapter = _Adapter(connections)

    def send(self, request: Request, timeout: float) -> Result:
        """Makes one call within `timeout` seconds."""
        begun = time.monotonic()
        call = sockets.begin(timeout, with_body=bool(request.body))
        try:
            both: Any = _both(timeout)
            raw = self._adapter.send(_prepare(request), stream=True, timeout=both).raw
            content = _read(raw)
        except (RequestException, HTTPError, OSError) as error:
            return _failure(error, call.sent, timeout, time.monotonic() - begun)
        except ValueError as error:
            kind: FailureKind = "reset" if call.sent else "unwritable"
            return Failure(kind, call.sent, f"{kind}: {error}", time.monotonic() - begun)
        if raw.status == 407 and request.route.proxy:
            text = f"proxy refused: 407 {raw.reason or ''}".rstrip()
            return Failure("proxy refused", False, text, time.monotonic() - begun)
        return _answer(raw, content, time.monotonic() - begun)

    def close(self) -> None:
        """Closes the connections that are not in use."""
        self._adapter.close()


# --- connections


class _Connection(HTTPConnection):
    """Plain heads go their short way (`heads`), all others that of urllib3."""

    _new_conn = sockets.connect
    _host = ""

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
        preload_content: bool = True,
        decode_content: bool = True,
        enforce_content_length: bool = True,
    ) -> None:
        head = None
        if not chunked and (body is None or isinstance(body, bytes)):
            host = self._host or self._named()
            head = heads.request(method, url, host, headers or {}, has_body=body is not None)
        if head is None:
            super().request(
                method,
                url,
                body,
                headers,
                chunked=chunked,
                preload_content=preload_content,
                decode_content=decode_content,
                enforce_content_length=enforce_content_length,
            )
            return
        # What urllib3 and http.client note of a request that they have sent
        self._response_options = _ResponseOptions(
            method, url, preload_content, decode_content, enforce_content_length
        )
        self._method, self._HTTPConnection__state = method, "Request-sent"
        if self.sock is None:
            self.connect()
        self.sock.sendall(head + (body or b""))

    @property
    def is_connected(self) -> bool:
        """Whether it is, and the far side has not said so much as that it closes."""
        sock: Any = self.sock
        return sock is not None and not sock.is_readable()

    def getresponse(self) -> Any:
        come = self.sock.recv(_AT_ONCE)
        answer = heads.answer(come, self._method)
        if answer is not None and answer.length <= LIMIT:
            missing = answer.length - len(answer.body)
            pieces = [come]  # joined once: however many there are, each is copied once
            while missing > 0 and (more := self.sock.recv(min(missing, 4 * _AT_ONCE))):
                pieces.append(more)
                missing -= len(more)
            if len(pieces) > 1:
                come = b"".join(pieces)
                answer.body = come[answer.begins :]
            if missing == 0:
                self._HTTPConnection__state = "Idle"
                if answer.closes:
                    self.close()
                return answer
        self.response_class = partial(heads.Resumed, come)  # type: ignore[assignment]
        try:
            return super().getresponse()
        finally:
            self.response_class = HTTPConnection.response_class

    def _named(self) -> str:
        """The header `Host`; empty where it is not that of the connection."""
        if self._tunnel_host is None and ":" not in self.host:
            usual = self.port == self.default_port
            self._host = self.host if usual else f"{self.host}:{self.port}"
        return self._host

    def send(self, data: Any) -> None:
        """Head and body in one write: a server woken by the head alone costs both sides."""
        call = sockets.under_way()
        if call.body_follows:
            call.body_follows, call.head = False, data
            return
        super().send(call.head + data)
        call.head = b""


class _TlsConnection(HTTPSConnection, _Connection):
    def _tunnel(self) -> None:
        """What is said to the proxy is no part of the call."""
        call = sockets.under_way()
        follows, call.body_follows = call.body_follows, False
        try:
            super()._tunnel()
        finally:
            call.body_follows, call.sent = follows, False


class _Idle:
    """The connections that nobody uses, in `urllib3`'s words for them: the one that was used last
    is the next to go. Nobody waits for one, so it needs none of what makes a queue of Python's take
    ten times as long."""

    def __init__(self, most: int) -> None:
        self._connections: list[Any] = []
        self._most = most

    def get(self, block: bool = False, timeout: float | None = None) -> Any:
        """Raises queue.Empty."""
        try:
            return self._connections.pop()
        except IndexError:
            raise queue.Empty from None

    def put(self, connection: Any, block: bool = False) -> None:
        """Raises queue.Full."""
        if len(self._connections) >= self._most:
            raise queue.Full
        self._connections.append(connection)

    def qsize(self) -> int:
        """How many there are."""
        return len(self._connections)


class _Direct(HTTPConnectionPool):
    """Over a connection that is open, to a path that needs no encoding, a request goes its short
    way: what urllib3 does about it besides is for new connections, redirects and repeats."""

    QueueCls: Any = _Idle

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, body: Any = None, headers: Any = None, **more: Any
    ) -> Any:
        """As urllib3's, for what `requests` asks of it; raises what went wrong as it was raised,
        or in a ProtocolError."""
        if self.proxy is not None or more["chunked"] or not _AS_IT_IS.fullmatch(url):
            return super().urlopen(method, url, body, headers, **more)
        connection: Any = self._get_conn()
        if connection.is_closed:
            self._put_conn(connection)
            return super().urlopen(method, url, body, headers, **more)
        try:
            try:
                connection.request(
                    method, url, body, headers, preload_content=False, decode_content=False
                )
            except OSError as error:
                # The server may have answered and closed before it had read all.
                if error.errno not in _CUT_SHORT:
                    raise
            response = connection.getresponse()
        except BaseException as error:
            connection.close()
            self._put_conn(None)
            if isinstance(error, HTTPException) and not isinstance(error, OSError):
                raise ProtocolError("Connection aborted.", error) from error
            raise
        response.retries, response._connection, response._pool = more["retries"], connection, self
        return response


_AS_IT_IS = re.compile(r"/(?:[0-9A-Za-z._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*")
"""Paths with their queries in which urllib3 finds nothing to encode (RFC 3986 section 3)."""


_CUT_SHORT = (errno.EPIPE, errno.EPROTOTYPE, errno.ECONNRESET)


class _Pool(_Direct):
    ConnectionCls = _Connection


class _TlsPool(_Direct, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


# --- what of requests' adapter a call to an API does not need: cookies, settings, URL rewriting


class _Prepared(PreparedRequest):
    """`origin` and `rest` are the two parts of its address."""

    route = STRAIGHT
    origin = rest = ""


class _Raw(Response):
    """Nothing but what urllib3 has read: no cookie jar, no history."""

    def __init__(self, raw: urllib3.HTTPResponse | heads.Answer) -> None:
        self.raw = raw


class _Adapter(HTTPAdapter):
    def __init__(self, connections: int) -> None:
        super().__init__()
        self._connections = connections
        self._pools: dict[tuple[str, Route], HTTPConnectionPool] = {}
        self._making = threading.Lock()

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        way = (_parts(request)[0], _route(request))
        return self._pools.get(way) or self._pool(*way)

    def _pool(self, origin: str, route: Route) -> HTTPConnectionPool:
        with self._making:
            way = (origin, route)
            if way not in self._pools:
                self._pools[way] = _open_pool(urlsplit(origin), route, self._connections)
            return self._pools[way]

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add: the context holds the authorities and asks for a certificate."""

    def request_url(self, request: PreparedRequest, proxies: Any) -> str:
        forwarded = _route(request).proxy and (request.url or "").startswith("http:")
        return str(request.url) if forwarded else _parts(request)[1]

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        return _Raw(resp)


def _route(request: PreparedRequest) -> Route:
    return request.route if isinstance(request, _Prepared) else STRAIGHT


def _parts(request: PreparedRequest) -> tuple[str, str]:
    if isinstance(request, _Prepared):
        return request.origin, request.rest
    return _cut(request.url)


def _open_pool(origin: SplitResult, route: Route, connections: int) -> HTTPConnectionPool:
    """Connections to an origin, or to the proxy that forwards to it."""
    host = origin.hostname or ""
    if origin.scheme == "https":
        more: dict[str, Any] = {}
        if route.proxy:
            more = {
                "_proxy": parse_url(route.proxy),
                "_proxy_headers": proxy_headers(route.proxy),
            }
        context = tls_context(route)
        return _TlsPool(host, origin.port, maxsize=connections, ssl_context=context, **more)
    if route.proxy:
        origin = urlsplit(route.proxy)
        host = origin.hostname or ""
    return _Pool(host, origin.port, maxsize=connections)


@lru_cache(maxsize=32)
def tls_context(route: Route) -> ssl.SSLContext:
    """Made once, not for each thread: the public authorities cost 20 ms and a megabyte.

    Raises OSError (ssl.SSLError is one) for a file that is missing, or is not what it should be.
    """
    context = ssl.create_default_context(cafile=route.ca or certifi.where())
    if route.ca and route.public:
        context.load_verify_locations(certifi.where())
    if route.cert:
        # A password given by function: OpenSSL would ask for a missing one at the terminal.
        context.load_cert_chain(route.cert, route.key, lambda: route.password)
    if not route.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = sockets.TlsSocket
    return context


@lru_cache(maxsize=64)
def _both(seconds: float) -> Timeout:
    """To connect within, and to read within; what holds is the deadline of `sockets`."""
    return Timeout(connect=seconds, read=seconds)


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
    if request.route.proxy and request.url.startswith("http:"):
        headers |= proxy_headers(request.route.proxy)
    prepared = _Prepared()
    prepared.route = request.route
    prepared.method, prepared.url, prepared.body = request.method, request.url, request.body
    prepared.origin, prepared.rest = _cut(request.url)
    prepared.headers = cast("CaseInsensitiveDict[str]", headers)
    return prepared


def _read(raw: urllib3.HTTPResponse | heads.Answer) -> bytes:
    """The body, up to one byte over `LIMIT`; a connection with more to come is not used again."""
    if isinstance(raw, heads.Answer):
        return raw.read()
    if (raw.length_remaining or LIMIT + 1) <= LIMIT and "Content-Encoding" not in raw.headers:
        return raw.read()
    content = raw.read(LIMIT + 1, decode_content=True)
    if len(content) > LIMIT:
        raw.close()
    return content


def _answer(raw: urllib3.HTTPResponse | heads.Answer, content: bytes, seconds: float) -> Answer:
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
        # Another coding than UTF-8 has a zero, or begins with a mark
        plain = content[:1] in b'{["' and b"\0" not in content[:4]
        return compact.read(content) if plain else json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


_KINDS: tuple[tuple[type[BaseException], FailureKind], ...] = (
    (socket.gaierror, "name not found"),
    (TimeoutError, "timed out"),
    (ssl.SSLEOFError, "reset"),
    (ssl.SSLZeroReturnError, "reset"),
    (ssl.SSLError, "TLS"),
    (ConnectionRefusedError, "refused"),
)
_OUR_CERTIFICATE = re.compile(
    "ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_REVOKED|"
    "CERTIFICATE_EXPIRED|CERTIFICATE_UNKNOWN|UNKNOWN_CA|ACCESS_DENIED)"
)
"""Alerts by which the far side ends a handshake over our certificate (RFC 8446 section 6.2). With
TLS 1.3 they come after the request has left; it was not looked at then."""
_PROXY_REFUSAL = re.compile("Tunnel connection failed: (403|407)")


def _failure(error: Exception, sent: bool, timeout: float, seconds: float) -> Failure:
    """Which failure it was, told by the first known exception in the chain of causes."""
    chain = list(_chain(error))
    kind = next((kind for link in chain for known, kind in _KINDS if isinstance(link, known)), None)
    kind = kind or ("reset" if sent else "refused")
    text = f"{kind}: {chain[-1]}"
    if kind == "timed out":
        text = f"timed out after {timeout:g} s"
    for link in chain:
        if isinstance(link, ssl.SSLCertVerificationError):
            text = f"TLS: the certificate is not trusted: {link.verify_message}"
        elif isinstance(link, ssl.SSLError) and _OUR_CERTIFICATE.search(link.reason or ""):
            kind, sent = "certificate refused", False
            text = f"certificate refused: the far side says {link.reason}"
        elif _PROXY_REFUSAL.search(str(link)):
            kind, text = "proxy refused", f"proxy refused: {link}"
    if any(isinstance(link, ProxyError) for link in chain) and kind != "proxy refused":
        text = f"on the way to the proxy: {text}"
    return Failure(kind, sent, text, seconds)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        wrapped = (getattr(link, "reason", None), *link.args)
        inner = next((part for part in wrapped if isinstance(part, BaseException)), None)
        link = inner or link.__cause__ or link.__context__
