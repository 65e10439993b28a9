"""Those who take turns in one thread: who waits lets the others go on, and is woken once."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from apart import apart
from redis.exceptions import TimeoutError as RedisTimeout
from system import IN_VAIN

from connector import turns
from connector.demo.redis import EmbeddedRedis
from connector.redisdb import connect
from connector.targets import sockets
from connector.targets.http import Failure, Http, Request, Result
from connector.turns import Bell, Cooperative, Ear, Queue, Turns

MANY = 40
AWHILE = 0.5
"""Seconds; many such, one after the other, are more than IN_VAIN."""


def together(*functions: Callable[[], object]) -> float:
    """Seconds until all of them have returned."""
    taking = Turns()
    begun = time.monotonic()

    def first() -> None:
        for function in functions:
            taking.start(partial(_drop, function))

    apart(lambda: taking.run(first))
    return time.monotonic() - begun


def _drop(function: Callable[[], object]) -> None:
    function()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection; the first does not block."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


# --- who waits lets the others go on


def sleep_aside(seconds: float) -> None:
    """As `turns.sleep`, by what blocks."""
    turns.aside(lambda: time.sleep(seconds))


@pytest.mark.parametrize("wait", [turns.sleep, sleep_aside])
def test_all_wait_at_the_same_time(wait: Callable[[float], None]) -> None:
    assert MANY * AWHILE > IN_VAIN
    assert AWHILE <= together(*[partial(wait, AWHILE)] * MANY) < IN_VAIN


def test_who_runs_is_not_interrupted() -> None:
    seen: list[int] = []

    def count(number: int) -> None:
        for _ in range(3):
            seen.extend([number])
            seen.extend([number])
            turns.sleep(0)

    together(*(partial(count, number) for number in range(5)))
    assert seen == [number for _ in range(3) for number in range(5) for _ in "ab"]


def test_one_that_ends_wakes_nobody() -> None:
    taking = Turns()
    begun = time.monotonic()

    def first() -> None:
        taking.start(lambda: None)
        turns.sleep(0.3)

    apart(lambda: taking.run(first))
    assert time.monotonic() - begun >= 0.3


def test_elsewhere_the_same_functions_just_wait(pair: tuple[socket.socket, ...]) -> None:
    ours, theirs = pair
    assert turns.aside(lambda: 7) == 7
    turns.sleep(0.01)
    ear = Ear(ours.fileno())
    with pytest.raises(TimeoutError):
        ear.until_readable(0.05)
    theirs.sendall(b"x")
    ear.until_readable(IN_VAIN)
    ear.until_writable(IN_VAIN)
    with pytest.raises(TypeError, match="takes turns"):
        Queue[int](Turns()).get()


def test_what_one_raises_ends_the_run() -> None:
    def fail() -> None:
        turns.sleep(0.05)
        raise LookupError("of a taker")

    taking = Turns()

    def first() -> None:
        taking.start(fail)
        turns.sleep(IN_VAIN)

    with pytest.raises(LookupError, match="of a taker"):
        apart(lambda: taking.run(first))


def test_what_goes_wrong_aside_is_raised_where_it_was_asked_for() -> None:
    def fail() -> None:
        raise LookupError("aside")

    def first() -> None:
        with pytest.raises(LookupError, match="aside"):
            turns.aside(fail)

    apart(lambda: Turns().run(first))


def test_one_that_never_ends_does_not_keep_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_GRACE", 0.1)
    taking = Turns()
    begun = time.monotonic()
    apart(lambda: taking.run(lambda: taking.start(partial(turns.sleep, 10 * IN_VAIN))))
    assert time.monotonic() - begun < IN_VAIN


# --- what is begun and waited for


def test_the_end_of_what_was_begun_is_waited_for_and_what_it_raised_is_raised_there() -> None:
    taking = Turns()
    seen: list[object] = []

    def fails() -> None:
        turns.sleep(0.05)
        raise ValueError("its own")

    def first() -> None:
        good, bad = taking.begin(lambda: turns.sleep(0.05)), taking.begin(fails)
        seen.append(good.ended)
        good.join()
        good.join()  # once more is no wait at all
        seen.append(good.ended)
        try:
            bad.join()
        except ValueError as error:
            seen.append(str(error))

    apart(lambda: taking.run(first))
    assert seen == [False, True, "its own"]


# --- bells and queues


def test_a_bell_rung_before_is_heard_at_once_and_only_once() -> None:
    taking = Turns()
    bell = Bell(taking)
    heard: list[bool] = []

    def first() -> None:
        bell.ring()
        heard.append(bell.wait(10 * IN_VAIN))
        heard.append(bell.wait(0.05))
        heard.append(bell.wait(0))

    apart(lambda: taking.run(first))
    assert heard == [True, False, False]


def test_a_bell_is_rung_by_another_taker_and_from_outside() -> None:
    taking = Turns()
    bell = Bell(taking)
    heard: list[bool] = []

    def first() -> None:
        taking.start(bell.ring)
        heard.append(bell.wait(10 * IN_VAIN))
        threading.Thread(target=bell.ring_from_outside).start()
        heard.append(bell.wait(10 * IN_VAIN))

    apart(lambda: taking.run(first))
    bell.ring_from_outside()  # nobody is there any more: no error
    assert heard == [True, True]


def test_what_is_put_is_done_once_and_the_last_to_be_free_gets_the_next() -> None:
    taking = Turns()
    todo: Queue[int | None] = Queue(taking)
    done: list[tuple[str, int]] = []

    def work(name: str) -> None:
        while (item := todo.get()) is not None:
            done.append((name, item))
            turns.sleep(0)

    def first() -> None:
        for name in "abc":
            taking.start(partial(work, name))
        turns.sleep(0.05)
        for item in range(6):
            todo.put(item)
            turns.sleep(0.02)
        todo.put(6)
        todo.put(7)
        assert todo.take_back() == [6, 7]
        for _ in "abc":
            todo.put(None)

    apart(lambda: taking.run(first))
    assert [item for _, item in done] == list(range(6))
    assert {name for name, _ in done} == {"c"}


# --- sockets


def test_each_is_woken_by_its_own_socket() -> None:
    pairs = [socket.socketpair() for _ in range(MANY)]
    got: dict[int, bytes] = {}

    def read(number: int) -> None:
        ours = pairs[number][0]
        ours.setblocking(False)
        ear = Ear(ours.fileno())
        for _ in range(3):
            ear.until_readable(IN_VAIN)
            got[number] = got.get(number, b"") + ours.recv(100)
        ear.close()

    def write() -> None:
        for _ in range(3):
            turns.sleep(0.02)
            for number, (_, theirs) in reversed(list(enumerate(pairs))):
                theirs.sendall(b"%d." % number)

    together(write, *(partial(read, number) for number in range(MANY)))
    assert got == {number: b"%d." % number * 3 for number in range(MANY)}
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_patience_ends_and_the_next_wait_is_a_new_one(pair: tuple[socket.socket, ...]) -> None:
    ours, theirs = pair
    ear = Ear(ours.fileno())

    def first() -> None:
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                ear.until_readable(0.1)
            assert 0.1 <= time.monotonic() - begun < IN_VAIN
        theirs.sendall(b"x")
        ear.until_readable(IN_VAIN)
        assert ours.recv(1) == b"x"

    apart(lambda: Turns().run(first))


@pytest.mark.parametrize(("before", "seconds"), [(IN_VAIN, 0.2), (0.1, 0.3)])
def test_the_timer_of_a_wait_before_neither_delays_nor_hastens_the_end_of_this_one(
    pair: tuple[socket.socket, ...], before: float, seconds: float
) -> None:
    ours, theirs = pair
    ear = Ear(ours.fileno())

    def first() -> None:
        theirs.sendall(b"x")
        ear.until_readable(before)
        assert ours.recv(1) == b"x"
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            ear.until_readable(seconds)
        assert seconds <= time.monotonic() - begun < IN_VAIN / 2

    apart(lambda: Turns().run(first))


def test_a_timer_left_from_a_wait_before_ends_none_without_an_end(
    pair: tuple[socket.socket, ...],
) -> None:
    ours, theirs = pair
    ear = Ear(ours.fileno())
    taking = Turns()

    def first() -> None:
        theirs.sendall(b"x")
        ear.until_readable(0.1)
        assert ours.recv(1) == b"x"
        taking.loop.call_later(0.3, theirs.sendall, b"y")
        ear.until_readable(None)
        assert ours.recv(1) == b"y"
        ear.close()
        assert not [timer for timer in taking.loop._scheduled if not timer.cancelled()]

    apart(lambda: taking.run(first))


def test_what_comes_for_nobody_is_told_once_and_waited_for_again(
    pair: tuple[socket.socket, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    ear = Ear(ours.fileno())
    told: list[bool] = []
    hear = Ear._hear
    monkeypatch.setattr(Ear, "_hear", lambda self: (told.append(True), hear(self))[1])

    def first() -> None:
        theirs.sendall(b"1")
        ear.until_readable(IN_VAIN)
        assert ours.recv(1) == b"1"
        theirs.sendall(b"2")
        turns.sleep(0.2)  # nobody waits: a loop that went on telling would do so very often
        assert len(told) == 2
        ear.until_readable(IN_VAIN)
        assert ours.recv(1) == b"2"

    apart(lambda: Turns().run(first))


@pytest.mark.parametrize("how", ["closed", "dropped"])
def test_a_number_that_another_socket_has_now_is_heard_anew(how: str) -> None:
    def first() -> None:
        numbers = set()
        for _ in range(20):
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            ear = Ear(ours.fileno())
            numbers.add(ours.fileno())
            theirs.sendall(b"x")
            ear.until_readable(IN_VAIN)
            if how == "closed":
                ear.close()
            ours.close()
            theirs.close()
        assert len(numbers) < 20  # others may open sockets meanwhile, but not so many

    apart(lambda: Turns().run(first))


def test_more_than_the_far_side_takes_waits_for_it() -> None:
    ours, theirs = socket.socketpair()
    sent = b"0123456789" * 500_000
    got = bytearray()
    with theirs:
        sock = Cooperative(ours)
        theirs.setblocking(False)

        def read() -> None:
            ear = Ear(theirs.fileno())
            while True:
                ear.until_readable(IN_VAIN)
                if not (piece := theirs.recv(65536)):
                    return
                got.extend(piece)

        def write() -> None:
            sock.settimeout(IN_VAIN)
            sock.sendall(sent)
            sock.close()

        together(read, write)
    assert bytes(got) == sent


def test_a_far_side_that_takes_nothing_ends_the_wait() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        sock = Cooperative(ours)

        def first() -> None:
            sock.settimeout(0.2)
            with pytest.raises(TimeoutError):
                sock.sendall(b"x" * 10_000_000)
            with pytest.raises(TimeoutError):
                sock.recv_into(bytearray(1))
            sock.settimeout(0)
            with pytest.raises(BlockingIOError):
                sock.recv_into(bytearray(1))
            sock.close()

        apart(lambda: Turns().run(first))


# --- what the rooms make of it


def test_a_redis_that_stands_still_keeps_its_caller_alone(tmp_path: Path) -> None:
    """The others go on until Redis does."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = connect(server.url, timeout=10 * IN_VAIN, taking_turns=True)
        told: list[str] = []

        def ask() -> None:
            assert client.ping()
            server.pause()
            taking.start(resume)
            client.set("x", "y" * 1_000_000)
            told.append("answered")
            assert client.get("x") == b"y" * 1_000_000

        def resume() -> None:
            turns.sleep(0.2)
            told.append("resumed")
            server.resume()

        taking = Turns()
        apart(lambda: taking.run(ask))
        assert told == ["resumed", "answered"]


def test_a_redis_that_stands_still_for_too_long_is_away(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "redis") as server:
        client = connect(server.url, timeout=1.0, taking_turns=True)

        def ask() -> None:
            assert client.ping()
            server.pause()
            try:
                with pytest.raises(RedisTimeout):
                    client.ping()
            finally:
                server.resume()
            assert client.ping()

        assert 1.0 <= together(ask) < IN_VAIN


def test_a_name_that_is_looked_up_for_long_keeps_its_caller_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking = threading.Event()

    def slowly(*args: object, flags: int = 0, **kwargs: object) -> object:
        if flags != socket.AI_NUMERICHOST:
            looking.wait(IN_VAIN)
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    http, results = Http(), list[Result]()

    def ask() -> None:
        results.append(http.send(Request("GET", "http://crm.example/", {}), IN_VAIN))

    def release() -> None:
        turns.sleep(0.1)
        looking.set()

    together(ask, ask, release)
    assert [r.kind for r in results if isinstance(r, Failure)] == ["name not found"] * 2


def test_each_has_a_call_of_its_own() -> None:
    seen: dict[int, sockets.Call] = {}

    def call(number: int) -> None:
        seen[number] = sockets.begin(IN_VAIN, with_body=False)
        turns.sleep(0.05)
        assert sockets.under_way() is seen[number]

    together(*(partial(call, number) for number in range(5)))
    assert len({id(call) for call in seen.values()}) == 5
