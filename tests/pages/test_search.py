"""Searches find what there is, look at no more than they say, and go on where they stopped."""

from __future__ import annotations

import html
import importlib.util
import re
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from desk import Desk

from connector import search
from connector.config import Config
from connector.redisdb import Redis, connect
from connector.search import Wanted

COUNT = 1300
RESOURCES = [("crm", "tickets"), ("crm", "leads")]


def load(name: str) -> ModuleType:
    """A script of this folder."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


journal_of = load("journal_of")


BUDGET = search.SECONDS


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found does not hang on how busy the machine is."""
    monkeypatch.setattr(search, "SECONDS", 60.0)


@pytest.fixture
def config(desk: Desk) -> Config:
    desk.get("/login")
    return desk.config


@pytest.fixture
def client(redis_url: str) -> Redis:
    found = connect(redis_url)
    journal_of.write(found, COUNT)
    return found


def serials(found: search.Events) -> list[int]:
    return [entry.serial for entry, _ in found.rows]


def test_pages_follow_each_other_without_gap_or_repetition(client: Redis, config: Config) -> None:
    seen: list[int] = []
    cursor = None
    while True:
        found = search.events(client, config, RESOURCES, Wanted(), cursor, limit=300)
        seen += serials(found)
        if found.cursor is None:
            break
        cursor = found.cursor
    assert seen == list(range(COUNT, 0, -1))


def test_events_of_one_microsecond_are_all_found(client: Redis, config: Config) -> None:
    at = journal_of.FIRST_AT + 10**12
    client.zadd("c:events", dict.fromkeys(range(1, 901), at))
    for serial in range(1, 901):  # the header tells the time, too
        text = client.get(f"c:e:{serial}")
        old = str(journal_of.FIRST_AT + serial * 1_000_000).encode()
        client.set(f"c:e:{serial}", text.replace(old, str(at).encode()))
    seen: list[int] = []
    cursor = None
    for _ in range(20):
        found = search.events(client, config, RESOURCES, Wanted(), cursor, limit=170)
        seen += serials(found)
        cursor = found.cursor
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == COUNT


def test_a_whole_id_is_found_at_once_however_old(client: Redis, config: Config) -> None:
    found = search.events(client, config, RESOURCES, Wanted(journal_of.event(3).id))
    assert serials(found) == [3]
    assert found.looked == 1


def test_an_event_is_found_by_the_beginning_of_its_id(client: Redis, config: Config) -> None:
    found = search.events(client, config, RESOURCES, Wanted("00000005e"))
    assert serials(found) == [5]


def test_events_are_found_by_their_record(client: Redis, config: Config) -> None:
    for text in ("44", "tickets 44", "tickets/44"):
        assert serials(search.events(client, config, RESOURCES, Wanted(text))) == [44]
    assert serials(search.events(client, config, RESOURCES, Wanted("leads 44"))) == []


@pytest.mark.parametrize("text", ["0912000777", "+84912000777", "0912 000 777", "84912000777"])
def test_events_are_found_by_a_phone_number_however_it_is_written(
    client: Redis, config: Config, text: str
) -> None:
    assert serials(search.events(client, config, RESOURCES, Wanted(text))) == [777]


def test_events_are_found_by_state_and_time(client: Redis, config: Config) -> None:
    since, until = (journal_of.FIRST_AT + second * 1_000_000 for second in (100, 110))
    wanted = Wanted(state="unmapped", since=since, until=until)
    assert serials(search.events(client, config, RESOURCES, wanted)) == [109, 107, 105, 103, 101]


def test_a_search_stops_in_time_says_so_and_goes_on(
    client: Redis, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SECONDS", 0.0)
    first = search.events(client, config, RESOURCES, Wanted("0912000001"))
    assert (serials(first), first.looked) == ([], search.PAGE)
    assert first.cursor is not None
    cursor: str | None = first.cursor
    found: list[int] = []
    while cursor:
        one = search.events(client, config, RESOURCES, Wanted("0912000001"), cursor)
        found += serials(one)
        cursor = one.cursor
    assert found == [1]


@pytest.mark.parametrize(
    ("search_for", "found"), [("/events?q=0912{:06d}", "/events/{}"), ("/records?q=L{}", "id={}")]
)
def test_a_search_in_the_browser_goes_on_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, search_for: str, found: str
) -> None:
    desk.get("/login")
    journal_of.write(desk.redis, COUNT)
    monkeypatch.setattr(search, "SECONDS", 0.0)
    desk.sign_in()
    # Redis walks over keys in an order of its own: one that is not met at once.
    pages = ((n, desk.get(search_for.format(n)).text) for n in range(2, 400, 2))
    number, page = next((n, text) for n, text in pages if f'{found.format(n)}"' not in text)
    while f'{found.format(number)}"' not in page:
        step = re.search(r'hx-get="([^"]+)" hx-trigger="load', page)
        assert step, page
        page = desk.get(html.unescape(step[1])).text
    assert "<h1>" not in page  # a part, which follows what is shown


def test_a_made_up_cursor_does_no_harm(client: Redis, config: Config) -> None:
    for cursor in ("x", "-1-1", "9" * 40, "1-1; FLUSHALL"):
        found = search.events(client, config, RESOURCES, Wanted(), cursor)
        assert len(found.rows) == search.SHOWN


def test_records_are_found_by_the_id_in_the_crm(client: Redis) -> None:
    found: list[str] = []
    cursor = 0
    while True:
        one = search.records(client, RESOURCES, "L1234", cursor)
        found += [state.name.id for state in one.states]
        cursor = one.cursor
        if not cursor:
            break
    assert found == ["1234"]
    assert search.records(client, RESOURCES, "1234").states[0].name.id == "1234"


def test_pages_stay_quick_over_a_long_journal(
    desk: Desk, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SECONDS", BUDGET)
    journal_of.write(client, 6_000)
    desk.sign_in()
    desk.get("/")
    for path in ("/", "/events", "/events?q=0912000001", "/events?kind=none", "/records?q=L1"):
        began = time.monotonic()
        answer = desk.get(path)
        assert answer.status_code == 200
        assert time.monotonic() - began < BUDGET + 20, path
