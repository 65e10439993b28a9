"""Requests that come together are kept in one step; each is answered what became of its own."""

from __future__ import annotations

import itertools
import json
import re
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from system import running, wait_for
from werkzeug.test import EnvironBuilder, run_wsgi_app

from connector import config as configuration
from connector import journal
from connector.assemble import open_sources
from connector.config import Config
from connector.demo.redis import EmbeddedRedis
from connector.model import Event
from connector.redisdb import Redis, connect
from connector.spool import Spool
from connector.web import close, create_app

CONFIG = """\
redis_url: {url}
spool: {spool}
sources: {{caresoft: {{kind: caresoft, secrets: [CS123]}}}}
targets: {{crm: {{base_url: "http://127.0.0.1:1", auth: {{type: none}}}}}}
"""


def body(number: int) -> bytes:
    about = {"object": "ticket", "action": "delete", "ticket": {"ticket_id": number}}
    return json.dumps(about).encode()


class Web:
    """The application, called as a server does that asks for the answers later."""

    def __init__(self, folder: Path, redis_url: str, spool: str) -> None:
        path = folder / "config.yaml"
        path.write_text(CONFIG.format(url=redis_url, spool=spool))
        self.config: Config = configuration.load(path, {})
        self.app: Flask = create_app(self.config)

    def begin(self, body: bytes) -> Callable[[], tuple[int, Any]]:
        """Call the application; what is returned asks it for its answer."""
        headers = open_sources(self.config)["caresoft"].sign(body)
        environ = EnvironBuilder(
            "/webhooks/caresoft", method="POST", data=body, headers=headers
        ).get_environ()
        said: list[str] = []

        def start(status: str, _: object, exc_info: object = None) -> Callable[[bytes], object]:
            said.append(status)
            return lambda _: None

        pieces: Iterable[bytes] = self.app(environ, start)

        def ask() -> tuple[int, Any]:
            text = b"".join(pieces)
            return int(said[0].split()[0]), json.loads(text)

        return ask


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def web(tmp_path: Path, own_redis: EmbeddedRedis) -> Iterator[Web]:
    made = Web(tmp_path, own_redis.url, "spool.sqlite")
    yield made
    close(made.app)


def scripts_run(client: Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


def test_one_step_keeps_all_and_each_hears_of_its_own(
    web: Web, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = connect(own_redis.url)
    steps = watch_store(monkeypatch)
    asks = [web.begin(body(number)) for number in (1, 1, 2)]
    assert journal.count(client) == 0
    new, old = {"accepted": 1, "duplicates": 0}, {"accepted": 0, "duplicates": 1}
    assert asks[2]() == (200, new)
    assert journal.count(client) == 2
    assert (asks[0](), asks[1]()) == ((200, new), (200, old))
    assert steps == [3]


def watch_store(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each step was about."""
    steps: list[int] = []
    store_each = journal.store_each

    def watched(client: Redis, events: list[Event]) -> list[bool]:
        steps.append(len(events))
        return store_each(client, events)

    monkeypatch.setattr(journal, "store_each", watched)
    return steps


def test_without_redis_each_goes_to_the_spool(
    web: Web, own_redis: EmbeddedRedis, tmp_path: Path
) -> None:
    own_redis.kill9()
    asks = [web.begin(body(number)) for number in (1, 2, 3)]
    assert [ask()[0] for ask in asks] == [200] * 3
    assert len(Spool(tmp_path / "spool.sqlite", most_bytes=1 << 20)) == 3


def test_where_nothing_keeps_them_none_is_acknowledged(
    tmp_path: Path, own_redis: EmbeddedRedis
) -> None:
    web = Web(tmp_path, own_redis.url, "null")
    own_redis.kill9()
    asks = [web.begin(body(number)) for number in (1, 2)]
    assert [ask()[0] for ask in asks] == [503, 503]
    close(web.app)


def test_a_full_spool_refuses_only_what_it_has_no_room_for(
    tmp_path: Path, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    web = Web(tmp_path, own_redis.url, "spool.sqlite")
    own_redis.kill9()
    large = json.dumps({"object": "ticket", "action": "x", "much": "x" * 90_000}).encode()
    monkeypatch.setattr(web.app.extensions["connector"].spool, "_most_bytes", 64 * 1024)
    asks = [web.begin(each) for each in (body(1), large, body(2))]
    assert [ask()[0] for ask in asks] == [200, 503, 200]
    close(web.app)


def test_what_is_wrong_with_one_is_no_matter_of_the_others(
    web: Web, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    store_each = journal.store_each

    def picky(client: Redis, events: list[Event]) -> list[bool]:
        if any(b"13" in event.body for event in events):
            raise ValueError("thirteen")
        return store_each(client, events)

    monkeypatch.setattr(journal, "store_each", picky)
    asks = [web.begin(body(number)) for number in (12, 13, 14)]
    assert [asks[0]()[0], asks[2]()[0]] == [200, 200]
    with pytest.raises(ValueError, match="thirteen"):
        asks[1]()
    assert journal.count(connect(own_redis.url)) == 2


def test_an_answer_may_be_asked_for_by_another_thread(web: Web, own_redis: EmbeddedRedis) -> None:
    ask = web.begin(body(1))
    with ThreadPoolExecutor(1) as other:
        assert other.submit(ask).result() == (200, {"accepted": 1, "duplicates": 0})
    assert journal.count(connect(own_redis.url)) == 1
    assert web.begin(body(2))() == (200, {"accepted": 1, "duplicates": 0})
    assert journal.count(connect(own_redis.url)) == 2


def test_what_is_given_up_on_half_way_is_no_matter_of_the_others(
    web: Web, own_redis: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = [web.begin(body(number)) for number in (1, 2)]
    store_each = journal.store_each

    def ended(client: Redis, events: list[Event]) -> list[bool]:
        monkeypatch.setattr(journal, "store_each", store_each)
        raise SystemExit

    monkeypatch.setattr(journal, "store_each", ended)
    with pytest.raises(SystemExit):
        asks[0]()
    assert asks[1]() == (200, {"accepted": 1, "duplicates": 0})
    assert journal.count(connect(own_redis.url)) == 1


def test_what_nobody_asked_about_is_kept_with_the_next(web: Web, own_redis: EmbeddedRedis) -> None:
    web.begin(body(1))
    assert web.begin(body(2))() == (200, {"accepted": 1, "duplicates": 0})
    assert journal.count(connect(own_redis.url)) == 2


def test_the_application_does_for_servers_that_ask_at_once(web: Web) -> None:
    headers = open_sources(web.config)["caresoft"].sign(body(1))
    environ = EnvironBuilder(
        "/webhooks/caresoft", method="POST", data=body(1), headers=headers
    ).get_environ()
    pieces, status, told = run_wsgi_app(web.app, environ, buffered=True)
    text = b"".join(pieces)
    assert (status, told["Content-Type"]) == ("200 OK", "application/json")
    assert int(told["Content-Length"]) == len(text)


def post(body: bytes, headers: dict[str, str]) -> bytes:
    """A request as it goes over the wire."""
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST /webhooks/caresoft HTTP/1.1\r\nHost: x\r\n{told}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answer(client: socket.socket) -> bytes:
    """A whole answer: status, headers and body."""
    heard = b""
    while not (whole := re.match(rb"(?s).*?Content-Length: (\d+)\r\n(?:.*?\r\n)?\r\n", heard)) or (
        len(heard) < whole.end() + int(whole[1])
    ):
        said = client.recv(65536)
        assert said, heard
        heard += said
    return heard


def test_connections_that_speak_at_once_hear_each_its_own_answer(tmp_path: Path) -> None:
    """The web process stands still while all of them send; one turn of its loop then has all."""
    with running(tmp_path, workers=0) as system, ExitStack() as open_ones:
        client = connect(system.redis.url)
        sign = open_sources(system.config)["caresoft"].sign
        clients = []
        for number in range(12):  # connections are taken one in a turn
            one = socket.create_connection(("127.0.0.1", system.web_port), timeout=30)
            open_ones.enter_context(one)
            one.sendall(post(body(number), sign(body(number))))
            assert b"HTTP/1.1 200" in answer(one)
            clients.append(one)

        def at_once(*said: bytes) -> tuple[int, list[bytes]]:
            """How many steps it took to keep what is said, and what is answered."""
            before = scripts_run(client)
            system.signal("web", signal.SIGSTOP)
            for one, words in zip(clients, said, strict=True):
                one.sendall(words)
            system.signal("web", signal.SIGCONT)
            heard = [answer(one) for one in clients]
            return scripts_run(client) - before, heard

        numbers = itertools.count(100)

        def few_steps() -> bool:
            """Not while threads answer because the loop was slow of late (the first steps are)."""
            bodies = [body(next(numbers)) for _ in clients]
            steps, heard = at_once(*(post(each, sign(each)) for each in bodies))
            assert all(b'"accepted": 1' in said for said in heard)
            return steps < len(clients) / 2

        wait_for(few_steps, "requests that are kept together", every=0.3)
        kept = journal.count(client)
        fresh = [body(next(numbers)) for _ in range(8)]
        _, heard = at_once(
            *(post(each, sign(each)) for each in fresh),
            post(fresh[0], sign(fresh[0])),
            post(body(99), {"X-Hub-Signature": "sha1=00"}),
            post(body(98), sign(body(98))).replace(b"HTTP/1.1", b"HTTP/9.9"),
            post(b"{", sign(b"{")),
        )
        assert all(b'"accepted": 1' in said for said in heard[:8])
        assert b'"duplicates": 1' in heard[8]
        assert [said.split()[1] for said in heard[9:]] == [b"401", b"400", b"400"]
        assert journal.count(client) == kept + 8
        clients[0].sendall(post(fresh[1], sign(fresh[1])))  # the connection is kept
        assert b'"duplicates": 1' in answer(clients[0])
