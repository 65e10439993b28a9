"""Many that take turns in one thread: each runs until it waits, and then another does.

What waits for a CRM needs no thread of its own. Two hundred threads take turns, too, but each time
the system puts one to sleep and wakes another, often on another core, and it waits for the
interpreter once more: that was half of the computing that a call cost a worker, and each thread
keeps some 80 kB. Here those who wait are greenlets at a loop of asyncio, so that plain code which
calls `requests` need not know of it. SQLAlchemy brings plain code to asyncio in the same way.

Invariants:
- Whoever takes turns waits by this module and by nothing else; what blocks goes `aside`. Otherwise
  all the others would wait as well.
- `Ear`, `Cooperative`, `sleep` and `aside` serve any other thread, too, and make it wait as it
  always did. So code that waits need not know where it runs.
- Who waits is woken by what it waits for or by the end of its patience, and by nothing else.
- Nobody holds a lock while it waits: the next to take it would be in the same thread.
"""

from __future__ import annotations

import asyncio
import math
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")

_ASIDE = 8
"""Threads for what blocks, made when they are needed first."""

_LONG = 3600.0

_GRACE = 2.0
"""Seconds for the others to end once the first has."""


class Turns:
    """Functions that take turns in the thread that calls `run`."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(_ASIDE, "aside"))
        self._hub = getcurrent()
        self._taking = 0
        self._failed: BaseException | None = None

    def run(self, first: Callable[[], None]) -> None:
        """Until `first` has returned, and a little longer for those that it has started.

        Raises what any of them raises.
        """
        self._hub = getcurrent()
        self.start(first, on_return=lambda: self.loop.call_later(_GRACE, self.loop.stop))
        try:
            self.loop.run_forever()
        finally:
            self.loop.close()
        if self._failed is not None:
            raise self._failed

    def start(
        self, function: Callable[[], None], on_return: Callable[[], object] = lambda: None
    ) -> None:
        """Let another function take part until it returns."""

        def taker() -> None:
            try:
                function()
                on_return()
            except BaseException as error:
                self._failed = error
                self.loop.stop()
            finally:
                self._taking -= 1
                if not self._taking:
                    self.loop.stop()

        self._taking += 1
        # Made by the loop: one that has ended goes back to where it was made
        self.loop.call_soon(lambda: _Taker(self, taker).switch())

    def begin(self, function: Callable[[], None]) -> Begun:
        """As `start`; what it raises is for who asks for its end."""
        begun = Begun(self, function)
        self.start(begun.run)
        return begun

    def wait(self) -> None:
        """Let the others go on until somebody switches back."""
        self._hub.switch()


class _Taker(greenlet):
    """One who takes turns."""

    def __init__(self, turns: Turns, run: Callable[[], None]) -> None:
        super().__init__(run)
        self.turns = turns


def sleep(seconds: float) -> None:
    """As `time.sleep`; the others go on."""
    me = getcurrent()
    if isinstance(me, _Taker):
        me.turns.loop.call_later(seconds, me.switch)
        me.turns.wait()
    else:
        time.sleep(seconds)


def aside(function: Callable[[], T]) -> T:
    """What `function` returns or raises. It may block: the others go on."""
    me = getcurrent()
    if not isinstance(me, _Taker):
        return function()
    future = me.turns.loop.run_in_executor(None, function)
    future.add_done_callback(lambda _: me.switch())
    me.turns.wait()
    return future.result()


# --- between those who take turns


class Bell:
    """Wakes the one who waits for it; rung before anybody waits, it wakes the next at once."""

    __slots__ = ("_rung", "_turns", "_waiting")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._rung = False
        self._waiting: _Taker | None = None

    def ring(self) -> None:
        self._rung = True
        if self._waiting is not None:
            self._turns.loop.call_soon(self._wake)

    def ring_from_outside(self) -> None:
        """From another thread, or from the handler of a signal."""
        if not self._turns.loop.is_closed():
            self._turns.loop.call_soon_threadsafe(self.ring)

    def wait(self, seconds: float) -> bool:
        """Whether it was rung, within `seconds` at most."""
        if not self._rung and seconds > 0:
            self._waiting = _this_taker()
            late = self._turns.loop.call_later(seconds, self._wake)
            self._turns.wait()
            late.cancel()
        rung, self._rung = self._rung, False
        return rung

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.switch()


class Begun:
    """A function that was begun and that somebody may wait for."""

    __slots__ = ("_ends", "_error", "_function", "ended")

    def __init__(self, turns: Turns, function: Callable[[], None]) -> None:
        self._function = function
        self._ends = Bell(turns)
        self._error: Exception | None = None
        self.ended = False

    def run(self) -> None:
        """To its end, well or not."""
        try:
            self._function()
        except Exception as error:
            self._error = error
        self.ended = True
        self._ends.ring()

    def join(self) -> None:
        """Wait for its end. Raises what it raised."""
        while not self.ended:
            self._ends.wait(_LONG)
        if self._error is not None:
            raise self._error


class Queue(Generic[T]):
    """What there is to do, for many that do it. Who was busy last gets the next: what it needs is
    still at hand."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._items: deque[T] = deque()
        self._idle: list[_Taker] = []
        self._dealing = False

    def put(self, item: T) -> None:
        self._items.append(item)
        if not self._dealing:
            self._dealing = True
            self._turns.loop.call_soon(self._deal)

    def get(self) -> T:
        """The next; waits for it."""
        while not self._items:
            self._idle.append(_this_taker())
            self._turns.wait()
        return self._items.popleft()

    def take_back(self) -> list[T]:
        """What nobody has begun yet."""
        items = list(self._items)
        self._items.clear()
        return items

    def _deal(self) -> None:
        self._dealing = False
        while self._items and self._idle:
            self._idle.pop().switch()


def _this_taker() -> _Taker:
    me = getcurrent()
    if not isinstance(me, _Taker):
        raise TypeError("only who takes turns can wait here")
    return me


# --- for what comes over the network


class Ear:
    """Hears when a socket that does not block can be read or written.

    A loop watches the socket from the first wait on, until nobody waits for what comes: to begin
    and to end that for each wait would cost more than to read what comes. A timer that was set for
    one wait is left to run for the next, which mostly ends later. `close` it before the socket,
    whose number is another's at once.
    """

    __slots__ = ("_fd", "_late", "_loop", "_until", "_waiting")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: _Taker | None = None
        self._until = 0.0
        self._late: asyncio.TimerHandle | None = None

    def until_readable(self, seconds: float | None) -> None:
        """Wait for something to read, or for its end. Raises TimeoutError after `seconds`."""
        me = getcurrent()
        if not isinstance(me, _Taker):
            _poll(self._fd, select.POLLIN, seconds)
            return
        loop = me.turns.loop
        if self._loop is not loop:
            self.close()
            loop.remove_reader(self._fd)  # of a socket that had this number before
            loop.add_reader(self._fd, self._hear)
            self._loop = loop
        self._wait(me, seconds)

    def until_writable(self, seconds: float | None) -> None:
        """Wait until it takes more. Raises TimeoutError after `seconds`."""
        me = getcurrent()
        if not isinstance(me, _Taker):
            _poll(self._fd, select.POLLOUT, seconds)
            return
        self.close()  # what may be read meanwhile is not what is waited for
        loop = me.turns.loop
        loop.add_writer(self._fd, self._hear)
        try:
            self._wait(me, seconds)
        finally:
            loop.remove_writer(self._fd)

    def close(self) -> None:
        """Listen no more."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._loop = None
        self._no_timer()

    def _wait(self, me: _Taker, seconds: float | None) -> None:
        self._waiting = me
        loop = me.turns.loop
        self._until = math.inf if seconds is None else loop.time() + seconds
        if seconds is not None and (self._late is None or self._late.when() > self._until):
            self._no_timer()
            self._late = loop.call_at(self._until, self._give_up, loop)
        me.turns.wait()
        if self._waiting is not None:
            self._waiting = None
            raise TimeoutError("timed out")

    def _hear(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self.close()  # it is for nobody now, and would be told again and again
        else:
            waiting.switch()

    def _give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        self._late = None
        if self._waiting is None:
            return
        if loop.time() >= self._until:
            self._waiting.switch()
        elif self._until < math.inf:  # it was set for a wait before this one
            self._late = loop.call_at(self._until, self._give_up, loop)

    def _no_timer(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _poll(fd: int, what: int, seconds: float | None) -> None:
    poll = select.poll()
    poll.register(fd, what)
    if not poll.poll(None if seconds is None else seconds * 1000):
        raise TimeoutError("timed out")


class Cooperative:
    """A connected socket, of TLS or not, that lets others go on while its owner waits for it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._seconds = sock.gettimeout()
        self._ear = Ear(sock.fileno())
        sock.setblocking(False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, value: float | None) -> None:
        """For each wait from now on."""
        self._seconds = value

    def gettimeout(self) -> float | None:
        return self._seconds

    def recv_into(self, buffer: Any, *args: Any) -> int:
        return self._patiently(partial(self._sock.recv_into, buffer, *args), reading=True)

    def sendall(self, data: Any) -> None:
        rest = memoryview(data)
        while rest:
            sent = self._patiently(partial(self._sock.send, rest), reading=False)
            rest = rest[sent:]

    def close(self) -> None:
        self._ear.close()
        self._sock.close()

    def _patiently(self, step: Callable[[], int], *, reading: bool) -> int:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                reading = True
            except ssl.SSLWantWriteError:
                reading = False
            except BlockingIOError:
                if self._seconds == 0:
                    raise
            wait = self._ear.until_readable if reading else self._ear.until_writable
            wait(self._seconds)
