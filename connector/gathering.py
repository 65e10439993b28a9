"""gunicorn's threaded worker, but a thread is given a request only when all of it is there, and
what is answered within a moment is answered by the loop itself.

gunicorn hands a connection to a thread as soon as it has said something, and the thread then waits
for the rest: eight clients that send a byte a minute keep eight threads, and no webhook is answered
any more. Here the one loop that accepts also gathers, without waiting for anybody, and what a
client has not sent within `WHOLE_WITHIN` seconds is not waited for.

Handing a webhook to a thread and back costs about as much as answering it. So the loop answers
those itself, as long as they take no longer than `MOMENT`: once they do, as when Redis is far or
away, the threads do for `THREADS_FOR` seconds.

Invariants:
- A thread never waits for a client to send: head and body are in memory before it starts. It waits
  for a client to read at most `STALLED_AFTER` seconds at a time.
- What is gathered is bounded: by request, over all connections, and in the number of connections;
  at each bound those who have kept us waiting longest go first.
- What a request means is gunicorn's to say; here only its end is found (RFC 9112 sections 6 and 7).
"""

from __future__ import annotations

import errno
import logging
import re
import select
import selectors
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gunicorn.http import wsgi
from gunicorn.workers.gthread import TConn, ThreadWorker

from connector.recurring import RecurringAnswer, RecurringParser

log = logging.getLogger(__name__)

WHOLE_WITHIN = 20.0
"""Seconds from the first byte of a request (or from the connection) to its last."""

STALLED_AFTER = 10
"""Seconds without progress after which writing to a client, or reading from it, is given up."""

HEAD_MOST = 64 * 1024
"""Bytes of a request line with its headers."""

SPARE = 64 * 1024
"""Bytes beyond the largest body that are gathered: the framing of one that is sent in chunks."""

ALL_MOST = 64 << 20
"""Bytes gathered for all connections together."""

CONNECTIONS_MOST = 800
"""Beyond so many the one that has kept us waiting longest is closed for each new one. Below the
1024 files that a process may usually have open."""

MOMENT = 0.004
"""Seconds that the loop may spend on one answer, on average: a busy machine makes some wait."""

AVERAGED = 16
"""How many answers the average looks back on."""

TOGETHER = 16
"""How many requests the application is called for before the first of them is answered."""

THREADS_FOR = 1.0
"""Seconds for which it answers nothing itself after it has spent more."""

SMALL = 64 * 1024
"""Bytes of a request that is answered within a moment."""

LINE_MOST = 1024
"""Bytes of the line before a chunk."""

CHUNKS_MOST = 10_000
"""Chunks of one body."""

LINGER_SECONDS = 2.0
LINGERING_MOST = 200
DRAINED_MOST = 256 * 1024
"""For how many seconds, how many, and for how many more bytes closed connections are kept until the
other side has read its answer (RFC 9112 section 9.6)."""

_SIZE = re.compile(rb"([0-9a-fA-F]+)[ \t]*(?:;.*)?\Z", re.DOTALL)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)

_GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_LATE, _TOO_LARGE, _TOO_MUCH, _FULL = (
    f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode()
    for status in (
        "408 Request Timeout",
        "413 Content Too Large",
        "431 Request Header Fields Too Large",
        "503 Service Unavailable",
    )
)


@dataclass(frozen=True, slots=True)
class Answered:
    """What gunicorn takes for a future: an answer that was sent already."""

    kept: bool

    def result(self) -> bool:
        """Whether the connection is kept."""
        return self.kept

    def cancelled(self) -> bool:
        """Never."""
        return False


@dataclass(slots=True)
class Begun:
    """A request for which the application was called: gunicorn's request and answer, the pieces
    that the application will say, and what went wrong."""

    conn: Any
    request: Any = None
    answer: Any = None
    pieces: Any = ()
    error: Exception | None = None


@dataclass(slots=True)
class Gathered:
    """What a connection has sent of its next request. `ends` is how many bytes a request of known
    length has, once its head is there. Of one in chunks `at` is where the next chunk begins, and
    the `chunks` before it hold `chunked` bytes. `unread`: it is too large, and the rest of it is
    not read; `hopeless`: the application could not even refuse it without waiting for more. A
    `hurried` one began before the answer to the one before it was sent. `watched`: the loop looks
    for more of it."""

    deadline: float
    data: bytearray = field(default_factory=bytearray)
    ends: int | None = None
    at: int | None = None
    body_at: int = 0
    chunks: int = 0
    chunked: int = 0
    unread: bool = False
    hopeless: bool = False
    hurried: bool = False
    watched: bool = False

    def whole(self, most_body: int) -> bool:
        """Whether the request is all there, or so large that it will be refused unread."""
        if self.ends is None and self.at is None and not self._read_head(most_body):
            return False
        if self.ends is not None:
            return len(self.data) >= self.ends
        if self._skip_chunks():
            return True
        if self.hopeless:
            return False
        if len(self.data) - self.body_at <= most_body + SPARE:
            return False
        # All framing and little body: the application would wait for the rest.
        self.hopeless = self.chunked + len(self.data) - (self.at or 0) - LINE_MOST <= most_body
        self.unread = True
        return not self.hopeless

    def wants_to_be_asked(self) -> bool:
        """Whether the client waits for a word before it sends the body."""
        return bool(_CONTINUE.search(self.data, 0, self.body_at))

    def _read_head(self, most_body: int) -> bool:
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return False
        self.body_at = end + 4
        head = bytes(self.data[: end + 2])
        if _CHUNKED.search(head):
            self.at = self.body_at
            return True
        length = _LENGTH.search(head)
        digits = length[1].lstrip(b"0") if length else b""
        body = int(digits[:18] or b"0")  # the beginning of more digits is too large as well
        self.unread = body > most_body + SPARE
        self.ends = self.body_at + (0 if self.unread else body)
        return True

    def _skip_chunks(self) -> bool:
        """Walk on over the chunks that are there; whether the last one is. What is no chunk is for
        gunicorn to refuse."""
        at = self.at or 0
        while (line_end := self.data.find(b"\r\n", at, at + LINE_MOST)) >= 0:
            size = _SIZE.match(self.data, at, line_end)
            if size is None:
                return True
            if int(size[1], 16) == 0:
                # trailers, and the empty line after them
                return self.data.find(b"\r\n\r\n", line_end) >= 0
            after = line_end + 2 + int(size[1], 16) + 2
            if after > len(self.data):
                return False
            self.chunked += int(size[1], 16)
            self.chunks += 1
            self.at = at = after
            if self.chunks > CHUNKS_MOST:
                self.hopeless = True
                return False
        self.hopeless = len(self.data) - at > LINE_MOST
        return False


class Outbox(socket.socket):
    """A socket that can hold what is written to it, so that it leaves in one piece: a client that
    is woken by the head alone costs both sides."""

    held: list[bytes] | None = None

    def sendall(self, data: Any, *flags: int) -> None:
        """Send, or keep for `let_go`."""
        if self.held is None:
            super().sendall(data, *flags)
        else:
            self.held.append(bytes(data))

    def let_go(self) -> None:
        """Send what is held."""
        held, self.held = self.held, None
        if held:
            self.sendall(b"".join(held))


class Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection that is closed without making the loop wait for the other side."""

    unread = False
    drained = 0

    def __init__(self, *args: Any, linger: Callable[[Any], None]) -> None:
        super().__init__(*args)
        self._linger = linger

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self._linger(self)
        else:
            super().close()


class PatientWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Gathers requests in its loop and gives whole ones to its threads."""

    most_body = 1 << 20
    """Bytes of the largest body that the application takes."""

    momentary: tuple[bytes, ...] = ()
    """How requests begin that are answered within a moment."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._gathering: dict[Any, Gathered] = {}  # by connection, the oldest first
        self._held = 0
        self._lingering: dict[Any, float] = {}
        self._threads_until = 0.0
        self._taken = 0.0  # seconds for an answer, lately
        self._at_once: list[Any] = []  # connections whose requests this turn of the loop answers
        self.turns = 0
        """How often the loop has turned."""

    # --- instead of gunicorn's own

    def notify(self) -> None:
        """The loop turns: there is no parent to be told."""
        self.turns += 1

    def is_parent_alive(self) -> bool:
        """There is none that matters."""
        return True

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """One turn of the loop. What goes wrong with one connection ends that one alone: nobody
        would start this process again before the next webhook."""
        for key, _ in self.poller.select(timeout):
            try:
                key.data(key.fileobj)
            except Exception:
                log.exception("serving a connection")
                if isinstance(key.fileobj, socket.socket):
                    with suppress(OSError, KeyError, ValueError):
                        self.poller.unregister(key.fileobj)
                    key.fileobj.close()
        if self._at_once:
            self._answer_at_once()

    def enqueue_req(self, conn: Any) -> None:
        """A connection has something to say, or may have: gather what it says."""
        early = b""
        if conn.parser is None:
            _give_up_when_stalled(conn.sock)
        else:
            early = conn.parser.unreader.take_buffered()
        gathered = Gathered(time.monotonic() + WHOLE_WITHIN, bytearray(early))
        if not self.alive:
            gathered.deadline = min(gathered.deadline, time.monotonic() + 2.0)
        self._gathering[conn] = gathered
        self._held += len(early)
        # A client that sends on without reading its answers is no matter of a moment.
        gathered.hurried = bool(early)
        if self._ready(conn, gathered):
            return
        self._read_on(conn)  # mostly it is all there already
        # Not the next request of the same connection, when this one is answered already.
        if self._gathering.get(conn) is gathered:
            gathered.watched = True
            self.poller.register(conn.sock, selectors.EVENT_READ, lambda _: self._read_on(conn))

    def accept(self, listener: Any) -> None:
        """Take a new connection; for it another goes where there are too many."""
        if self.nr_conns >= CONNECTIONS_MOST:
            self._make_room()
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.ECONNABORTED, errno.EMFILE, errno.ENFILE):
                raise
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            return
        self.nr_conns += 1
        sock = Outbox(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.enqueue_req(
            Connection(self.cfg, sock, address, listener.getsockname(), linger=self._linger)
        )

    def murder_pending(self) -> None:
        """Give up on those who take too long."""
        now = time.monotonic()
        for conn in [conn for conn, until in self._lingering.items() if until < now]:
            self._end(conn)
        for conn, gathered in list(self._gathering.items()):
            if gathered.deadline > now:
                if self.alive:
                    break  # those behind it came later
                continue
            self._drop(conn, _TOO_LATE if gathered.data else b"")

    def _cap_keepalive(self, deadline: float) -> None:
        super()._cap_keepalive(deadline)
        for gathered in self._gathering.values():
            gathered.deadline = min(gathered.deadline, deadline)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        if not keepalive or conn.unread:
            return False  # gunicorn would wait for the rest of a body that nobody wants
        return bool(super()._keepalive_after(conn, keepalive))

    # --- closing

    def _linger(self, conn: Any) -> None:
        """Say that nothing more comes, and close once the other side has taken what came."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            conn.sock.setblocking(False)
            self.poller.register(conn.sock, selectors.EVENT_READ, lambda _: self._drain(conn))
        except (OSError, ValueError, KeyError):
            conn.close()
            return
        self._lingering[conn] = time.monotonic() + LINGER_SECONDS
        if len(self._lingering) > LINGERING_MOST:
            self._end(next(iter(self._lingering)))

    def _drain(self, conn: Any) -> None:
        if conn not in self._lingering:
            return
        try:
            got = len(conn.sock.recv(1 << 16))
        except BlockingIOError:
            return
        except OSError:
            got = 0  # it is gone, which is what was waited for
        conn.drained += got
        if got == 0 or conn.drained > DRAINED_MOST:
            self._end(conn)

    def _end(self, conn: Any) -> None:
        del self._lingering[conn]
        with suppress(OSError, KeyError, ValueError):
            self.poller.unregister(conn.sock)
        conn.close()

    # --- gathering

    def _read_on(self, conn: Any) -> None:
        gathered = self._gathering.get(conn)
        if gathered is None:
            return  # it went in the same turn of the loop
        try:
            data = conn.sock.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        gathered.data += data
        self._held += len(data)
        if self._ready(conn, gathered):
            return
        if gathered.body_at == 0 and len(gathered.data) > HEAD_MOST:
            self._drop(conn, _TOO_MUCH)
        elif gathered.hopeless:
            self._drop(conn, _TOO_LARGE)
        elif self._held > ALL_MOST:
            self._drop(next(iter(self._gathering)), _FULL)

    def _ready(self, conn: Any, gathered: Gathered) -> bool:
        """Hand a whole request to a thread; whether it was one."""
        had_head = gathered.body_at > 0
        if not gathered.data or not gathered.whole(self.most_body):
            if gathered.body_at > 0 and not had_head and gathered.wants_to_be_asked():
                with suppress(OSError):
                    conn.sock.send(_GO_ON, socket.MSG_DONTWAIT)
            return False
        self._forget(conn)
        if conn.parser is None:
            conn.parser = RecurringParser(self.cfg, conn.sock, conn.client)
            conn.initialized = conn.data_ready = True
        conn.parser.unreader.unread(bytes(gathered.data))
        conn.unread = gathered.unread
        if self._is_momentary(conn, gathered):
            self._at_once.append(conn)
        else:
            self._give_to_a_thread(conn)
        return True

    def _give_to_a_thread(self, conn: Any) -> None:
        conn.sock.setblocking(True)
        super().enqueue_req(conn)

    # --- answering

    def _is_momentary(self, conn: Any, gathered: Gathered) -> bool:
        if gathered.hurried or len(gathered.data) > SMALL or not self.alive:
            return False
        return (
            gathered.data.startswith(self.momentary)
            and time.monotonic() >= self._threads_until
            and _takes_an_answer(conn.sock)
        )

    def _answer_at_once(self) -> None:
        """Answer what came in this turn of the loop: the application is called for some requests,
        and then asked for its answers to them. What is slow is the threads' for a while."""
        waiting, self._at_once = self._at_once, []
        while waiting and time.monotonic() >= self._threads_until:
            some, waiting = waiting[:TOGETHER], waiting[TOGETHER:]
            began = time.monotonic()
            for begun in [self._begin(conn) for conn in some]:
                kept = False
                try:
                    kept = self._finish(begun)
                except Exception:  # the others are answered all the same
                    log.exception("serving a connection")
                self.finish_request(begun.conn, Answered(kept))
            now = time.monotonic()
            each = (now - began) / len(some)
            self._taken += (each - self._taken) * len(some) / AVERAGED
            if self._taken > MOMENT:
                self._threads_until = now + THREADS_FOR
                self._taken = 0.0
        for conn in waiting:
            self._give_to_a_thread(conn)

    def _begin(self, conn: Any) -> Begun:
        """The first half of gunicorn's `handle`: read the request, and call the application."""
        begun = Begun(conn)
        conn.sock.held = []
        try:
            begun.request = next(conn.parser, None)
            if begun.request is not None:
                begun.answer, environ = wsgi.create(
                    begun.request,
                    conn.sock,
                    conn.client,
                    conn.server,
                    self.cfg,
                    response_class=RecurringAnswer,
                )
                begun.pieces = self.wsgi(environ, begun.answer.start_response)
        except Exception as error:
            begun.error = error
        return begun

    def _finish(self, begun: Begun) -> bool:
        """The other half: send what the application answers; whether the connection is kept."""
        conn, answer, kept = begun.conn, begun.answer, False
        try:
            if begun.error is not None:
                raise begun.error
            if answer is not None:
                if len(self.keepalived_conns) >= self.max_keepalived:
                    answer.force_close()
                for piece in begun.pieces:
                    answer.write(piece)
                answer.close()
                kept = self._keepalive_after(conn, not answer.should_close())
            if hasattr(begun.pieces, "close"):
                begun.pieces.close()
        except Exception as error:
            conn.sock.held, kept = [], False
            self.handle_error(begun.request, conn.sock, conn.client, error)
        try:
            conn.sock.let_go()
        except OSError:
            return False  # it is gone
        return kept

    def _make_room(self) -> None:
        """Close the connection that has kept us waiting longest: one that idles after an answer, or
        one that has not said all."""
        if self.keepalived_conns:
            conn = self.keepalived_conns.popleft()
            with suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            conn.close()
        elif self._gathering:
            self._drop(next(iter(self._gathering)), _FULL)

    def _forget(self, conn: Any) -> None:
        gathered = self._gathering.pop(conn)
        self._held -= len(gathered.data)
        if gathered.watched:
            with suppress(OSError, KeyError, ValueError):
                self.poller.unregister(conn.sock)

    def _drop(self, conn: Any, last_word: bytes = b"") -> None:
        self._forget(conn)
        self.nr_conns -= 1
        with suppress(OSError):
            if last_word:
                conn.sock.send(last_word, socket.MSG_DONTWAIT)
        conn.close(graceful=bool(last_word))


def _takes_an_answer(sock: socket.socket) -> bool:
    """Whether a small answer can be written without waiting for the client."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(0))


def _give_up_when_stalled(sock: socket.socket) -> None:
    """Bound every single wait of a thread for this client, in the kernel: gunicorn itself waits
    without an end."""
    with suppress(OSError):
        seconds = struct.pack("ll", STALLED_AFTER, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, seconds)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
