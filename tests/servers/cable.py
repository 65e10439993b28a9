"""A TCP proxy between worker and server, for what happens between a call and its answer.

It passes everything on, notes the first line of each request, and can be told to keep the answer to
one: `hold` swallows it and leaves the connection open, `cut` closes the connection instead. Both
let the server do its work first: that is the moment in which a create is known to it alone.
"""

from __future__ import annotations

import random
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from system import end_listening

_REQUEST = re.compile(rb"\A(GET|POST|PUT|PATCH|DELETE) \S+ HTTP/1\.1\r\n")


class Cable:
    """A port of the loopback that leads to a server."""

    def __init__(self, port: int) -> None:
        self._there = port
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._hurt: tuple[bytes, bool] | None = None  # a mark, and whether to cut
        self._share, self._chance = 0.0, random.Random()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.kept = threading.Event()
        self.requests: list[str] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def hold(self, mark: bytes) -> None:
        """The answer to the next request that holds this never arrives; `kept` is set when the
        server has given it."""
        self._hurt = (mark, False)

    def cut(self, mark: bytes) -> None:
        """As `hold`, but the connection is closed."""
        self._hurt = (mark, True)

    def fray(self, share: float, seed: int) -> None:
        """From now on that share of all requests loses its answer, and as many do not get through
        at all."""
        self._share, self._chance = share, random.Random(seed)

    def writes(self) -> list[str]:
        """The first lines of all requests but GET."""
        return [line for line in self.requests if not line.startswith("GET ")]

    def close(self) -> None:
        """Ends every connection, and takes no more."""
        end_listening(self._listener, self._thread)
        for end in list(self._open):
            _shut(end)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._there))
        except OSError:
            _shut(near)
            return
        self._open |= {near, far}
        hurt: list[bool] = []  # filled when a request meets what was ordered; True: cut
        back = threading.Thread(target=self._answer, args=(far, near, hurt), daemon=True)
        back.start()
        with suppress(OSError):
            while data := near.recv(65536):
                if request := _REQUEST.match(data):
                    if self._breaks():
                        break
                    self._note(request, hurt)
                self._mark(data, hurt)
                far.sendall(data)
        _shut(far)
        back.join()
        self._open -= {near, far}

    def _breaks(self) -> bool:
        with self._lock:
            return self._chance.random() < self._share

    def _note(self, request: re.Match[bytes], hurt: list[bool]) -> None:
        with self._lock:
            self.requests.append(request[0].decode().removesuffix(" HTTP/1.1\r\n"))
            if self._chance.random() < self._share:
                hurt.append(True)

    def _mark(self, data: bytes, hurt: list[bool]) -> None:
        with self._lock:
            if self._hurt and self._hurt[0] in data:
                hurt.append(self._hurt[1])
                self._hurt = None

    def _answer(self, far: socket.socket, near: socket.socket, hurt: list[bool]) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                if not hurt:
                    near.sendall(data)
                    continue
                self.kept.set()
                if hurt[0]:
                    break
        _shut(near)


@contextmanager
def cable_to(port: int) -> Iterator[Cable]:
    """A cable for as long as it is needed."""
    cable = Cable(port)
    try:
        yield cable
    finally:
        cable.close()


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
