"""A chat hears of what changes, once, and of nothing that it should not see."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from system import running, ticket, wait_for

from connector import alerts, flow, journal
from connector.alerts import Condition, Watch, conditions, decide, tell_new_reasons
from connector.config import Config, load
from connector.errors import ConfigInvalid
from connector.journal import Entry
from connector.model import Change, Event, Name, Place, Problem
from connector.records import store
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Delivered, Merged
from connector.records.store import Release, Write
from connector.redaction import Redaction
from connector.redisdb import Redis, connect

PERSONAL = ("Nguyễn Thị Bí Mật", "0901234567", "bimat@mail.vn")


class Receiver:
    """An incoming webhook of a chat; `status` is what it answers."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.paths.append(self.path)
                if outer.status == 200:
                    outer.messages.append(body)
                self.send_response(outer.status)
                self.send_header("Location", f"http://127.0.0.1:{outer.port}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/services/T0/SECRETPART"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def texts(self) -> list[str]:
        return [message["text"] for message in self.messages]


@pytest.fixture
def chat() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def client(redis_url: str) -> Redis:
    return connect(redis_url)


def configured(folder: Path, redis_url: str, more: str = "") -> Config:
    file = folder / "config.yaml"
    file.write_text(
        f"redis_url: {redis_url}\n"
        "sources: {caresoft: {kind: caresoft, secrets: [CS123]}}\n"
        "targets: {crm: {base_url: 'http://localhost', auth: {type: none}}}\n" + more
    )
    return load(file, {})


@pytest.fixture
def config(tmp_path: Path, redis_url: str, chat: Receiver) -> Config:
    return configured(tmp_path, redis_url, f"alerts: {{url: {chat.url}}}\n")


def pause(client: Redis, why: str = "503 Service Unavailable: x") -> None:
    client.hset("c:target:crm", mapping={"state": "paused", "since": 1, "why": why})


def look(client: Redis, watch: Watch) -> None:
    """As some time later."""
    client.delete("c:alerts:look")
    watch.look(client)


def told(client: Redis) -> list[dict[str, Any]]:
    """The messages that wait to be posted."""
    return [json.loads(message) for message in client.zrange("c:alerts:out", 0, -1)]


# --- what is told, and when


def test_a_pause_is_told_once_and_so_is_its_end(
    client: Redis, config: Config, chat: Receiver
) -> None:
    watch = Watch(config)
    look(client, watch)
    pause(client)
    for _ in range(5):
        look(client, watch)
    wait_for(lambda: chat.messages, "the message")
    flow.resume(client, "crm")
    for _ in range(5):
        look(client, watch)
    wait_for(lambda: len(chat.messages) == 2, "the second message")
    wait_for(lambda: client.zcard("c:alerts:out") == 0, "nothing left to be posted")
    first, second = chat.messages
    assert first["text"] == (
        "⚠ Nothing is delivered to crm: it is paused (503 Service Unavailable). Events are kept; "
        "`connector targets` says more."
    )
    assert (first["alert"], first["state"], first["target"]) == ("target_paused", "firing", "crm")
    assert second["text"] == "✅ Deliveries to crm flow again."
    assert (second["alert"], second["state"]) == ("target_paused", "resolved")


def test_a_pause_and_its_end_stand_in_the_log_once_also_without_a_chat(
    client: Redis, tmp_path: Path, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(configured(tmp_path, redis_url))
    with caplog.at_level(logging.INFO, "connector.alerts"):
        look(client, watch)
        pause(client, f"503 Service Unavailable: {PERSONAL[0]}")
        look(client, watch)
        look(client, watch)
        flow.resume(client, "crm")
        look(client, watch)
        look(client, watch)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "WARNING",
            "nothing is delivered to crm: it is paused (503 Service Unavailable); "
            "`connector targets` says more",
        ),
        ("INFO", "deliveries to crm flow again"),
    ]


def test_a_pause_by_hand_is_no_news_to_those_who_made_it(client: Redis, config: Config) -> None:
    flow.pause(client, "crm")
    assert decide(client, conditions(client, config), Redaction()) == 0


def test_what_comes_and_goes_is_no_flood(client: Redis) -> None:
    for number in range(40):
        decide(client, [Condition("x", number % 2 == 0, "begins", "ends")], Redaction())
    assert [message["state"] for message in told(client)] in (
        ["firing", "resolved"],
        ["resolved", "firing"],  # of one moment
    )


def test_what_goes_on_for_long_is_told_when_the_quiet_is_over(client: Redis) -> None:
    client.hset("c:alerts", "x", f"0|{int((time.time() - 700) * 1000)}")
    assert decide(client, [Condition("x", True, "begins", "ends")], Redaction()) == 1


def test_one_of_many_workers_tells_it(redis_url: str) -> None:
    barrier = threading.Barrier(8)
    queued: list[int] = []

    def work() -> None:
        client = connect(redis_url)
        barrier.wait()
        queued.append(decide(client, [Condition("x", True, "begins", "ends")], Redaction()))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(queued) == 1


def test_an_old_queue_is_told(client: Redis, tmp_path: Path, redis_url: str) -> None:
    config = configured(tmp_path, redis_url, "alerts: {queue_minutes: 1}\n")
    now = time.time_ns() // 1000
    journal.store(client, [Event("caresoft", "caresoft", "e1", "k", b"{}", now, None)])
    assert decide(client, conditions(client, config), Redaction()) == 0
    client.flushall()
    old = now - 120_000_000
    journal.store(client, [Event("caresoft", "caresoft", "e1", "k", b"{}", old, None)])
    assert decide(client, conditions(client, config), Redaction()) == 1
    assert "waited for 2 minutes" in told(client)[0]["text"]


def talked(client: Redis, events: int, hours_ago: int) -> None:
    hour = int(time.time() // 3600)
    client.hset("c:talk:caresoft", hour - hours_ago, events)


def heard(client: Redis, hours_ago: float) -> None:
    client.hset("c:heard", "caresoft", int(time.time() - hours_ago * 3600))


@pytest.mark.parametrize(
    ("events", "when", "silent_for", "is_told"),
    [
        (100, 170, 4, True),
        (100, 170, 2, False),  # not for long enough
        (5, 170, 4, False),  # it says little at this time of the week
        (100, 140, 4, False),  # and nothing at all
    ],
)
def test_a_source_is_missed_when_it_talked_at_this_time_of_the_week(
    client: Redis, config: Config, events: int, when: int, silent_for: float, is_told: bool
) -> None:
    talked(client, events, when)
    heard(client, silent_for)
    assert decide(client, conditions(client, config), Redaction()) == is_told


def test_a_source_that_sends_again_is_told(client: Redis, config: Config) -> None:
    talked(client, 100, 170)
    heard(client, 4)
    decide(client, conditions(client, config), Redaction())
    heard(client, 0)
    decide(client, conditions(client, config), Redaction())
    assert {message["text"] for message in told(client)} == {
        "⚠ caresoft has sent nothing for 4 hours; a week ago it sent 100 events in such a time.",
        "✅ caresoft sends again.",
    }


def test_what_a_source_says_is_counted_by_the_hour_and_forgotten_after_the_week(
    client: Redis, config: Config
) -> None:
    talked(client, 7, 300)
    key = '["connector_accepted_total","caresoft"]'
    for total in (100, 130, 135):
        client.hset("c:metrics", key, total)
        list(conditions(client, config))
    hour = str(int(time.time() // 3600)).encode()
    assert client.hgetall("c:talk:caresoft").get(hour) in (b"35", b"30", b"5")
    assert len(client.hgetall("c:talk:caresoft")) <= 2
    assert 0 < client.ttl("c:talk:caresoft") <= 172 * 3600


# --- dead letters


def dead_record(client: Redis, number: int, status: int, message: str) -> None:
    name = Name("crm", "tickets", str(number))
    event = Event("caresoft", "caresoft", f"e{number}", "k", b"{}", 1, None)
    change = Change("upsert", "crm", "tickets", str(number), 5, fields={"a": 1})
    merged = merge(Merged(), change, stamp_of(change, event, number, 1))
    (written,) = store.commit(client, [Write(name, 0, merged)], "t", 10.0)
    assert written.lease
    dead = Dead(f"{status}: {message}", status, {"message": message}, 1, 1)
    store.release(client, [Release(written.lease, Delivered(dead=dead))])


def dead_event(client: Redis, number: int, message: str, place: Place | None) -> None:
    now = time.time_ns() // 1000
    event = Event("caresoft", "caresoft", f"e{number}", "k", b"{}", now, None)
    journal.store(client, [event])
    entry = journal.find(client, "caresoft", f"e{number}")
    assert entry
    journal.finish(client, [Entry(entry.serial, event, "dead", 1, (), Problem(message, "", place))])


def tell(client: Redis) -> int:
    """As one who looks a moment later."""

    def millisecond() -> int:
        seconds, micros = client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    made = millisecond()
    wait_for(lambda: millisecond() > made + 1, "the next moment", every=0.001)
    return tell_new_reasons(client, Redaction())


def test_a_dead_letter_of_the_moment_of_a_look_is_told_by_the_next(client: Redis) -> None:
    dead_record(client, 1, 422, "one")
    assert tell(client) == 1
    dead_record(client, 2, 400, "other")
    client.zadd("c:dead", {"rcrm:tickets:2": int((time.time() + 0.5) * 1000)})
    assert tell_new_reasons(client, Redaction()) == 0
    wait_for(lambda: tell_new_reasons(client, Redaction()) == 1, "the message", every=0.005)


def test_dead_letters_of_one_moment_are_not_torn_apart_by_a_page(
    client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "DEAD_AT_ONCE", 3)
    for number, status in enumerate((400, 401, 402, 403)):
        dead_record(client, number + 1, status, "x")
        client.zadd("c:dead", {f"rcrm:tickets:{number + 1}": 1000 + (number > 0)})
    monkeypatch.setattr(alerts, "REASONS_AT_ONCE", 9)
    client.zadd("c:dead", {"rcrm:tickets:2": 1000})
    assert [tell(client), tell(client)] == [2, 2]


def test_the_first_dead_letter_of_a_reason_is_told_and_no_other(client: Redis) -> None:
    for number in range(1, 6):
        dead_record(client, number, 422, f'"value {number}" is too long')
    assert tell(client) == 1
    dead_record(client, 6, 422, '"value 6" is too long')
    assert tell(client) == 0
    dead_record(client, 7, 400, "no such field")
    assert tell(client) == 1
    messages = sorted(told(client), key=lambda message: message["text"])
    assert [message["text"] for message in messages] == [
        "⚠ The first dead letter of its kind: a record of tickets for crm; the CRM answered "
        f"{status}. `connector dead` says why."
        for status in (400, 422)
    ]
    assert (messages[0]["target"], messages[0]["resource"]) == ("crm", "tickets")


def test_a_dead_event_is_told_by_the_line_of_the_mapping(client: Redis) -> None:
    dead_event(client, 1, "not 'x'", Place("mappings/tickets.yaml", 12, 5))
    dead_event(client, 2, "not 'y'", Place("mappings/tickets.yaml", 12, 5))
    dead_event(client, 3, "no object", None)
    assert tell(client) == 2
    texts = sorted(message["text"] for message in told(client))
    assert "an event of caresoft; it cannot be read." in texts[0]
    assert "the mapping at mappings/tickets.yaml:12 cannot use a value" in texts[1]


def test_a_hundred_reasons_at_once_are_a_few_messages(client: Redis) -> None:
    for number in range(100):
        dead_event(client, number, "x", Place("mappings/tickets.yaml", number, 5))
    assert tell(client) == alerts.REASONS_AT_ONCE
    assert tell(client) == 0


def test_no_message_holds_a_value_of_a_record(client: Redis, config: Config) -> None:
    said = " ".join(PERSONAL)
    dead_record(client, 1, 422, said)
    dead_event(client, 2, f"cannot read {said}", Place("mappings/contacts.yaml", 3, 1))
    pause(client, f"422 Unprocessable Entity: {said}")
    decide(client, conditions(client, config), Redaction())
    pause(client, f"login failed for {said}")
    tell(client)
    everything = json.dumps(told(client), ensure_ascii=False)
    assert len(told(client)) == 3
    for hidden in PERSONAL:
        assert hidden not in everything


# --- posting


def test_without_an_address_nothing_waits_to_be_posted(
    client: Redis, tmp_path: Path, redis_url: str
) -> None:
    pause(client)
    Watch(configured(tmp_path, redis_url)).look(client)
    assert client.keys("c:alerts*") == []


def test_a_receiver_that_is_away_gets_the_message_later(
    client: Redis, config: Config, chat: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "RETRY_SECONDS", 0)
    chat.status = 500
    watch = Watch(config)
    pause(client)
    look(client, watch)
    wait_for(lambda: chat.paths, "a try")
    chat.status = 200

    def taken() -> bool:
        look(client, watch)
        return len(chat.messages) == 1

    wait_for(taken, "the message")
    wait_for(lambda: client.zcard("c:alerts:out") == 0, "nothing left")


def test_a_message_that_nobody_takes_is_dropped_after_an_hour(
    client: Redis, config: Config, chat: Receiver
) -> None:
    client.zadd("c:alerts:out", {"{}": 1})
    client.hset("c:alerts:since", "{}", int((time.time() - 3700) * 1000))
    Watch(config).look(client)
    wait_for(lambda: client.zcard("c:alerts:out") == 0, "it is dropped")
    assert chat.paths == []


def test_a_redirect_is_not_followed_and_the_address_stays_out_of_the_log(
    client: Redis, config: Config, chat: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    chat.status = 307
    with caplog.at_level(logging.DEBUG, logger="connector"):
        pause(client)
        look(client, Watch(config))
        wait_for(lambda: "was not taken" in caplog.text, "the log")
    assert chat.paths == ["/services/T0/SECRETPART"]
    assert "status 307" in caplog.text
    assert "SECRETPART" not in caplog.text


def test_looking_never_waits_for_the_receiver(
    client: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # takes, never answers
    url = f"http://127.0.0.1:{silent.server_port}/"
    config = configured(
        tmp_path,
        f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0",
        f"alerts: {{url: '{url}'}}\n",
    )
    monkeypatch.setattr(alerts, "TIMEOUT_SECONDS", 60.0)
    pause(client)
    watch = Watch(config)
    began = time.monotonic()
    for _ in range(3):
        look(client, watch)
    assert time.monotonic() - began < 60
    silent.server_close()


def test_two_workers_tell_a_breaker_that_opens_once(tmp_path: Path, chat: Receiver) -> None:
    target = f"    pause_after_failures: 2\n    probe_interval: 1\nalerts: {{url: {chat.url}}}\n"
    with running(tmp_path, workers=2, target=target) as system:
        system.behave(mode="503")
        for number in range(1, 5):
            system.send("caresoft", ticket(number, 1633484753675))
        client = connect(system.redis.url)

        def told_of(changes: int) -> bool:
            client.delete("c:alerts:look")  # at each heartbeat of both, not every ten seconds
            return len(chat.messages) == changes

        wait_for(lambda: told_of(1), "the pause is told", within=60)
        system.behave()
        wait_for(lambda: told_of(2), "its end is told", within=60)
        assert [message["state"] for message in chat.messages] == ["firing", "resolved"]
        assert "503" in chat.texts()[0]


# --- the configuration


def test_the_settings_have_defaults_and_an_empty_address_means_none(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("sources: {}\ntargets: {}\nalerts: {url: '${ALERT_URL:-}'}\n")
    config = load(file, {})
    assert (config.alerts.url, config.alerts.queue_minutes, config.alerts.silence_hours) == (
        None,
        10,
        3,
    )
    url = "https://hooks.chat.example/services/T0/SECRETPART"
    config = load(file, {"ALERT_URL": url})
    assert config.alerts.url == url
    assert "SECRETPART" not in repr(config)


@pytest.mark.parametrize(
    "text", ["{url: ftp://x}", "{url: [1]}", "{queue_minutes: 0}", "{silence_hours: 0.5}", "{u: 1}"]
)
def test_a_wrong_setting_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"sources: {{}}\ntargets: {{}}\nalerts: {text}\n")
    with pytest.raises(ConfigInvalid, match=r"config\.yaml:3:"):
        load(file, {})
