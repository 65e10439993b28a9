"""What attackers put into pages, forms and files: shown as text, refused, or done with in time."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from desk import Desk
from werkzeug.routing import Rule

from connector import audit, drafts, flow
from connector.config import Audit
from connector.dashboard.app import create_app
from connector.dashboard.mappings import LARGEST_FILE, LARGEST_TRIED
from connector.mapping import published
from connector.model import Name
from connector.records import store
from connector.records.layout import put_together, take_apart
from connector.records.packed import pack_delivered
from connector.records.state import Dead

HOSTILE = '"\'><script>alert(1)</script><img src=x onerror=alert(1)><b onclick=alert(1) x="{{7*7}}'
PERSON = {
    "username": "Trần Thị Bưởi",
    "email": "buoi@nhà.example.vn".encode("idna").decode(),
    "phone_no": "0912 345 678",
}


# --- what is shown


class Elements(HTMLParser):
    """What a browser would make of a page, as far as it could run or load anything."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        source = told.get("src") or told.get("href") or "/"
        ours = source.startswith(("/", "?", "#")) and not source.startswith("//")
        bad = [name for name in told if name.startswith("on") or name in ("style", "srcdoc")]
        if not ours or bad or (tag in ("script", "img") and not source.startswith("/static/")):
            self.found.append(f"<{tag} {told}>")


def addresses(desk: Desk) -> Iterator[str]:
    """Every page that there is something for, and the parts that are fetched by themselves."""
    yield from ("/", "/?span=day", "/live", "/drift", "/events", "/events?part=rows", "/records")
    yield from ("/dead", "/mappings", "/targets", "/mappings/versions/1", "/events?state=dead")
    yield from (f"/events/{serial}" for serial in (1, 2, 3, 4))
    for state in states(desk):
        yield f"/records/one?target=crm&resource={state.name.resource}&id={state.name.id}"
    yield from ("/events?q=tickets 5", "/records?q=5", "/nothing", "/events/999")


EDITORS = ("/audit", "/mappings/edit?file=tickets.yaml", "/mappings/plan", "/mappings/publish")


def states(desk: Desk) -> list[store.State]:
    names = [Name("crm", "tickets", "5"), Name("crm", "contacts", "77")]
    return [state for state in store.read(desk.redis, names) if state.generation]


def fill(desk: Desk, text: str) -> None:
    """Events, records, dead letters, calls and audit entries that hold the text wherever they
    can."""
    desk.get("/login")
    person = {"id": 77, "updated_at": 5, **PERSON}
    note = f"{PERSON['username']} {text}"
    for body in (
        {"object": "user", "action": "update", "user": {**person, text: text}},
        {"object": text, "action": text, text: text},
        {"object": "ticket", "action": "update", "ticket": {"ticket_id": 5, "updated_at": text}},
        {
            "object": "ticket",
            "action": "update",
            "ticket": {"ticket_id": 5, "updated_at": 9, "ticket_subject": note, "username": note},
        },
    ):
        desk.receive(json.dumps(body).encode())
    for state in states(desk):
        sent = note if state.name.resource == "tickets" else PERSON["username"]
        told = f"422 Unprocessable: {text} {sent} {PERSON['email']} {PERSON['phone_no']}"
        answer = {"errors": [{"detail": told, text: text}]}
        dead = Dead(told, 422, answer, 1, 1_700_000_000_000_000)
        made = replace(state.delivered, dead=dead, why=told, warnings=(told,))
        key = store.key_of(state.name)
        parts = take_apart(desk.redis.get(f"c:r:{key}"))
        half, shape = pack_delivered(made)
        if shape:
            desk.redis.hset("c:shapes", shape.key, shape.text)
        parts = parts._replace(told=state.generation, delivered=half)
        desk.redis.set(f"c:r:{key}", put_together(parts))
        desk.redis.zadd("c:dead", {f"r{key}": 1_700_000_000_000})
        body_sent, answered = json.dumps({"subject": note}), json.dumps(answer)
        call = [key, 1_700_000_000_000_000, "PUT", f"/{text}", 422, 0.1, text, answered, body_sent]
        desk.redis.lpush("c:calls", json.dumps(call, ensure_ascii=False))
    flow.pause(desk.redis, "crm")
    desk.redis.hdel("c:flow:crm", "by_hand")
    audit.note(desk.redis, Audit(9, 99), text, "replay", text, text, text)


def test_what_anybody_wrote_is_text_on_every_page(desk: Desk) -> None:
    fill(desk, HOSTILE)
    desk.sign_in()
    desk.post("/mappings/save", {"file": "tickets.yaml", "text": f"source: {HOSTILE}\n"})
    seen = 0
    for address in (*addresses(desk), *EDITORS):
        page = desk.get(address).text
        assert Elements(page).found == [], address
        assert "x=&#34;49" not in page, address
        seen += "&lt;script&gt;alert(1)" in page
    for address in ("/events/2/reveal", "/events/4/reveal", "/mappings/preview"):
        data = {
            "file": "tickets.yaml",
            "text": f"source: {json.dumps(HOSTILE)}",
            "event": "2",
            "reveal": "yes",
        }
        page = desk.post(address, data).text
        assert Elements(page).found == [], address
        assert "&lt;script&gt;alert(1)" in page, address
    assert seen > 8


def test_what_is_asked_for_is_text(desk: Desk) -> None:
    desk.sign_in()
    for address in ("/events", "/records", "/mappings", "/mappings/edit", "/login", "/language/vi"):
        for name in ("q", "file", "next", "kind", "source", "since", "cursor", "span", "event"):
            page = desk.get(address, query_string={name: HOSTILE}).text
            assert Elements(page).found == [], (address, name)


def test_a_viewer_meets_personal_data_nowhere(desk: Desk) -> None:
    fill(desk, "plain words")
    desk.sign_in("vy")
    secrets = {*PERSON.values(), "+84912345678", "912345678", "912 345 678"}
    for address in addresses(desk):
        for headers in ({}, {"HX-Request": "true"}):
            page = desk.get(address, headers=headers).text
            assert [secret for secret in secrets if secret in page] == [], address
    assert "•••" in desk.get("/dead").text


# --- forms from elsewhere


def test_no_form_is_taken_without_its_token_and_no_deed_is_done_by_a_link(desk: Desk) -> None:
    desk.sign_in()
    desk.receive(b'{"object": "ticket", "action": "update", "ticket": {"ticket_id": 5}}')
    pages = create_app(desk.config, desk.redis, lambda: None)
    rules = [rule for rule in pages.url_map.iter_rules() if "POST" in (rule.methods or ())]
    assert len(rules) >= 14
    before = {key: desk.redis.dump(key) for key in desk.redis.keys("c:[!sl]*")}
    for rule in rules:
        answer = desk.client.post(path(rule), data={"name": "mai", "file": "a.yaml", "text": "a"})
        assert answer.status_code == 400, rule
        if not any("GET" in r.methods and r.rule == rule.rule for r in pages.url_map.iter_rules()):
            assert desk.get(path(rule)).status_code in (404, 405), rule
    assert {key: desk.redis.dump(key) for key in desk.redis.keys("c:[!sl]*")} == before


def path(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda m: {"name": "crm"}.get(m[1], "1"), rule.rule)


# --- what is typed into the editor


def bombs() -> dict[str, str]:
    letters = [chr(97 + number) for number in range(21)]
    laughs = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise(letters))
    return {
        "aliases": f"a: &a [x]\n{laughs}",
        "lists within lists": "a: " + "[" * 100_000,
        "maps within maps": "a: " + "{a: " * 50_000,
        "deep blocks": "".join(f"{' ' * depth}a:\n" for depth in range(600)),
        "dashes": "- " * 100_000,
        "many anchors": "".join(f"&a{number} " for number in range(20_000)),
        "brackets": subject("(" * 20_000 + "ticket" + ")" * 20_000),
        "negations": subject("!" * 50_000 + "ticket"),
        "alternatives": subject(" || ".join(["ticket.a"] * 20_000)),
        "growth": subject("[" + ",".join(["@"] * 900) + "] | [" + ",".join(["@"] * 900) + "]"),
        "projections": subject("[*]" * 1_300),
        "zero bytes": "\0" * 200_000,
        "one long line": "x" * (LARGEST_FILE - 10),
        "many documents": "---\na: 1\n" * 25_000,
        "many tests": "source: caresoft\nevents: [a.b]\nrecords: []\ntests:\n"
        + "  - {name: t, event: {}, expect: []}\n" * 6_000,
    }


def subject(expression: str) -> str:
    rule = (
        "source: caresoft\nevents: [ticket.update]\nrecords:\n- resource: tickets\n  id: ticket.id"
    )
    return f"{rule}\n  fields: {{subject: {json.dumps(expression)}}}\n"


@pytest.mark.parametrize("what", sorted(bombs()))
def test_no_text_keeps_the_editor_busy(desk: Desk, what: str) -> None:
    desk.sign_in()
    desk.get("/mappings/edit")
    began = time.process_time()
    answer = desk.post("/mappings/preview", {"file": "tickets.yaml", "text": bombs()[what]})
    assert time.process_time() - began < 20
    assert answer.status_code == 200
    assert '<li class="error"' in answer.text


def test_a_file_or_event_that_is_too_large_is_not_judged_at_every_letter(desk: Desk) -> None:
    desk.sign_in()
    answer = desk.post("/mappings/preview", {"file": "a.yaml", "text": "x" * (LARGEST_FILE + 1)})
    assert answer.status_code == 413
    assert drafts.read(desk.redis, "mai") is None
    large = {"ticket_id": 5, "updated_at": 9, "ticket_subject": "x" * LARGEST_TRIED}
    body = {"object": "ticket", "action": "update", "ticket": large}
    desk.receive(json.dumps(body).encode())
    page = desk.get("/mappings/edit?file=tickets.yaml").text
    assert "too large to be tried while you type" in page
    assert published.number_in_force(desk.redis) == 1
