"""Sockets that keep to the deadline of the call that is being made over them.

`requests` bounds each read, not the call: a server that drips one byte a second is never late. So
each read and write here waits for no longer than is left of the call: no watchdog thread, no race
for a socket that has already gone back to the pool.

Invariants:
- No system call of a socket blocks; who waits does so by `connector.turns`, so that others who take
  turns in the same thread go on.
- A call's `sent` is true from before its first byte may have left.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, TypeVar

from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from connector import turns

T = TypeVar("T")


class Call:
    """A call under way: until when (monotonic seconds), whether it has left, and its head while
    that waits for the body."""

    __slots__ = ("body_follows", "head", "sent", "until")

    def __init__(self, timeout: float, *, with_body: bool) -> None:
        self.until = time.monotonic() + timeout
        self.sent = False
        self.body_follows = with_body
        self.head = b""

    def left(self) -> float:
        """Seconds left; raises TimeoutError when there are none."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the call took too long")
        return left


_under_way: ContextVar[Call] = ContextVar("call")


def begin(timeout: float, *, with_body: bool) -> Call:
    """A call of at most `timeout` seconds, by whoever runs now: what it does with sockets from here
    on is part of it."""
    call = Call(timeout, with_body=with_body)
    _under_way.set(call)
    return call


def under_way() -> Call:
    """The call that whoever runs now has begun last."""
    return _under_way.get()


class _Patient(socket.socket):
    """What both kinds have in common: how they wait, and that nobody else gives them a timeout."""

    _ear: turns.Ear | None = None
    _look: select.poll | None = None

    def settimeout(self, value: float | None) -> None:
        """Of no effect: urllib3 sets one for each call."""

    def gettimeout(self) -> float | None:
        """None: what waits for this socket does so elsewhere."""
        return None

    def is_readable(self) -> bool:
        """Whether there is something to read now, or the end."""
        if self._look is None:
            self._look = select.poll()
            self._look.register(self, select.POLLIN)
        return bool(self._look.poll(0))

    def until_readable(self) -> None:
        """Raises TimeoutError when the call has no more time."""
        left = under_way().left()
        self._hearing().until_readable(left)

    def until_writable(self) -> None:
        """Raises TimeoutError when the call has no more time."""
        left = under_way().left()
        self._hearing().until_writable(left)

    def detach(self) -> int:
        """As of any socket; what is heard of it is for its new owner."""
        self._hear_no_more()
        return super().detach()

    def _real_close(self, *args: Any) -> None:
        self._hear_no_more()
        super()._real_close(*args)  # type: ignore[misc]

    def _hearing(self) -> turns.Ear:
        if self._ear is None:
            self._ear = turns.Ear(self.fileno())
        return self._ear

    def _hear_no_more(self) -> None:
        if self._ear is not None:
            self._ear.close()
        self._ear = self._look = None


class PlainSocket(_Patient):
    """Waits before it reads, for an answer is never there yet; writes before it waits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.setblocking(False)

    def connect(self, address: Any) -> None:
        """Raises OSError (TimeoutError is one)."""
        try:
            super().connect(address)
        except BlockingIOError:
            self.until_writable()
            if number := self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(number, os.strerror(number)) from None

    def recv(self, size: int, flags: int = 0) -> bytes:
        while True:
            self.until_readable()
            try:
                return super().recv(size, flags)
            except BlockingIOError:  # woken for nothing
                continue

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        while True:
            self.until_readable()
            try:
                return super().recv_into(*args, **kwargs)
            except BlockingIOError:
                continue

    def sendall(self, data: Any, flags: int = 0) -> None:
        call = under_way()
        call.left()
        rest = memoryview(data)
        while rest:
            call.sent = True
            try:
                rest = rest[super().send(rest, flags) :]
            except BlockingIOError:
                self.until_writable()


class TlsSocket(_Patient, ssl.SSLSocket):
    """Asks TLS first, which may hold what it has read, and waits for what that wants."""

    def do_handshake(self, block: bool = False) -> None:
        """Within the call's deadline."""
        self.setblocking(False)
        self._patiently(super().do_handshake)

    def recv(self, *args: Any, **kwargs: Any) -> bytes:
        return self._patiently(lambda: super(TlsSocket, self).recv(*args, **kwargs))

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        return self._patiently(lambda: super(TlsSocket, self).recv_into(*args, **kwargs))

    def send(self, *args: Any, **kwargs: Any) -> int:  # what SSLSocket.sendall calls in a loop
        call = under_way()
        call.left()
        call.sent = True
        try:
            return self._patiently(lambda: super(TlsSocket, self).send(*args, **kwargs))
        except OSError:
            self._hear_alert()
            raise

    def _patiently(self, step: Callable[[], T]) -> T:
        while True:
            under_way().left()
            try:
                return step()
            except ssl.SSLWantReadError:
                self.until_readable()
            except ssl.SSLWantWriteError:
                self.until_writable()

    def _hear_alert(self) -> None:
        """Why the far side has closed, should it have said so: raises what it said."""
        try:
            self.recv(1)
        except ssl.SSLError as error:
            if "ALERT" in (error.reason or ""):
                raise
        except OSError:
            return


def _places(host: str, port: int) -> list[Any]:
    """Where a host is; only its name must be asked for. Raises socket.gaierror, UnicodeError."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        return ask(flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return turns.aside(ask)


def connect(connection: HTTPConnection) -> socket.socket:
    """A connected socket within the deadline, however many addresses the name has."""
    host = connection.host.strip("[]")
    try:
        places = _places(host, connection.port)
    except (socket.gaierror, UnicodeError) as error:
        raise NameResolutionError(host, connection, socket.gaierror(str(error))) from error
    refusal: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in places:
        sock = PlainSocket(family, kind, protocol)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            under_way().left()
            sock.connect(address)
        except OSError as error:
            sock.close()
            refusal = error
        else:
            return sock
    if isinstance(refusal, TimeoutError):
        raise ConnectTimeoutError(connection, "the connection timed out") from refusal
    raise NewConnectionError(connection, str(refusal)) from refusal
