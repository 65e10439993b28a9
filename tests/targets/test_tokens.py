"""Credentials that are fetched: OAuth 2 client credentials and logins."""

from __future__ import annotations

import base64
import textwrap
import threading
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from connector.config import load
from connector.model import Delivery, Name
from connector.targets.target import Target
from connector.targets.tokens import MemoryTokens, Token

OAUTH = """
auth:
  type: oauth2_client_credentials
  token_url: {url}/oauth/token?tenant=1
  client_id: my-client
  client_secret: my-s&cret
  scope: crm.write
  params: {{audience: crm}}
"""
LOGIN = """
headers: {{X-Tenant: north-1}}
auth:
  type: login
  call: {{path: {path}, body: {{user: me, password: pass-1234}}}}
  token: data.token
  expires: data.expires
  header: X-Session
  value: "Session {{token}}"
"""


class Door:
    """Gives out numbered tokens at `path` and lets in whoever carries the newest one."""

    def __init__(self, crm, path, header="authorization", prefix="Bearer ", **answer):
        self.crm, self.path, self.header, self.prefix = crm, path, header, prefix
        self.answer = answer
        self.given = 0

    def __call__(self, seen):
        if seen.path.startswith(self.path):
            self.given += 1
            return self.crm.reply(200, self.body(f"tok-secret-{self.given}"))
        right = f"{self.prefix}tok-secret-{self.given}"
        return self.crm.reply(200 if seen.headers.get(self.header) == right else 401)

    def body(self, token):
        return {"access_token": token, "token_type": "bearer", **self.answer}


class Session(Door):
    def body(self, token):
        return {"data": {"token": token, **self.answer}}


@pytest.fixture
def oauth(crm, configure):
    return lambda **answer: _opened(crm, configure, Door(crm, "/oauth/token", **answer))


def _opened(crm, configure, door):
    crm.otherwise = door
    return configure(target=OAUTH.format(url=crm.url)), door


# --- client credentials


def test_token_is_fetched_once_and_sent_with_every_call(crm, oauth):
    bench, door = oauth(expires_in=3600)
    assert bench.upsert().meaning == "done"
    assert bench.upsert().meaning == "done"
    assert (door.given, len(crm.seen)) == (1, 3)
    request = crm.seen[0]
    assert (request.method, request.path) == ("POST", "/oauth/token?tenant=1")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["crm.write"],
        "audience": ["crm"],
        "client_id": ["my-client"],
        "client_secret": ["my-s&cret"],
    }
    assert "authorization" not in request.headers
    assert "idempotency-key" not in request.headers
    assert crm.seen[1].headers["authorization"] == "Bearer tok-secret-1"


def test_server_that_wants_basic_is_asked_with_basic_from_then_on(crm, configure):
    door = Door(crm, "/oauth/token", expires_in=0)

    def only_basic(seen):
        if seen.path.startswith("/oauth") and "authorization" not in seen.headers:
            return crm.reply(401, {"error": "invalid_client"})
        return door(seen)

    crm.otherwise = only_basic
    bench = configure(target=OAUTH.format(url=crm.url))
    assert bench.upsert().meaning == "done"
    basic = base64.b64encode(b"my-client:my-s&cret").decode()
    assert crm.seen[1].headers["authorization"] == f"Basic {basic}"
    assert b"client_secret" not in crm.seen[1].body
    crm.seen.clear()
    assert bench.upsert().meaning == "done"
    assert len(crm.seen) == 2


def test_refused_token_is_renewed_once(crm, oauth):
    bench, door = oauth()
    bench.upsert()
    door.given += 1  # the CRM forgot our token
    report = bench.upsert()
    assert (report.meaning, door.given) == ("done", 3)


def test_fresh_token_that_is_refused_too_is_credentials(crm, configure):
    door = Door(crm, "/oauth/token", prefix="never ")
    bench, _ = _opened(crm, configure, door)
    assert bench.upsert().meaning == "credentials"
    assert (door.given, len(crm.seen)) == (2, 4)


def test_token_is_renewed_before_it_ends(crm, oauth):
    class Remembering(MemoryTokens):
        def put(self, key, token):
            super().put(key, token)
            self.last = key, token

    bench, door = oauth(expires_in="3600")
    store = Remembering()
    bench.target = Target(bench.target.config, store)
    bench.upsert()
    key, token = store.last
    assert 3500 < token.until - time.time() <= 3570
    store.put(key, Token(token.value, time.time() - 0.001))
    assert bench.upsert().meaning == "done"
    assert door.given == 2


def test_token_of_a_short_life_is_used_for_most_of_it(crm, oauth):
    bench, door = oauth(expires_in=20)
    bench.upsert()
    bench.upsert()
    assert door.given == 1


@pytest.mark.parametrize(
    ("status", "meaning", "calls"),
    [
        (400, "credentials", 2),
        (401, "credentials", 2),
        (403, "credentials", 1),
        (404, "credentials", 1),
        (500, "fault", 1),
        (302, "misled", 1),
        (503, "not_now", 3),
    ],
)
def test_token_that_is_not_to_be_had(crm, configure, status, meaning, calls):
    crm.otherwise = crm.reply(status, {"error": "invalid_client"})
    report = configure(target=OAUTH.format(url=crm.url)).upsert(number=4)
    assert (report.meaning, report.number, len(crm.seen)) == (meaning, 4, calls)
    assert report.reason.startswith("login: ")
    assert not report.unknown


def test_login_answer_without_a_token_is_credentials(crm, configure):
    crm.otherwise = crm.reply(200, {"hello": "tok-secret-9"})
    report = configure(target=OAUTH.format(url=crm.url)).upsert()
    assert report.meaning == "credentials"
    assert "tok-secret-9" not in repr(report)


def test_no_token_and_no_secret_is_logged(crm, oauth):
    bench, door = oauth()

    def echo(seen):
        if seen.path.startswith("/oauth"):
            return door(seen)
        return crm.reply(400, {"message": str(seen.headers), "form": "my-s&cret my-s%26cret"})

    crm.otherwise = echo
    report = bench.upsert()
    assert len(report.calls) == 2
    assert "tok-secret" not in repr(report)
    assert "cret" not in repr(report).replace("secret", "")


def test_every_try_renews_the_lease(crm, oauth):
    bench, _ = oauth()
    bench.upsert()
    assert bench.tries == len(crm.seen) == 2


def test_threads_share_one_token(crm, oauth):
    bench, door = oauth()
    threads = [threading.Thread(target=bench.upsert) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert door.given == 1


def test_store_is_shared_between_targets_of_one_name(crm, oauth):
    bench, door = oauth()
    store = MemoryTokens()
    for _ in range(2):
        bench.target = Target(bench.target.config, store)
        assert bench.upsert().meaning == "done"
    assert door.given == 1


def test_store_forgets_a_token_only_if_it_is_still_that_one():
    store = MemoryTokens()
    store.put("k", Token("new"))
    store.drop("k", "old")
    assert store.get("k") == Token("new")
    store.drop("k", "new")
    assert store.get("k") is None
    assert "new" not in repr(Token("new"))


# --- logins


def test_login_token_goes_where_it_is_wanted(crm, configure):
    crm.otherwise = door = Session(crm, "/session", "x-session", "Session ")
    bench = configure(target=LOGIN.format(path="/session"))
    assert bench.upsert().meaning == "done"
    assert bench.upsert().meaning == "done"
    assert door.given == 1
    assert (crm.seen[0].method, crm.seen[0].path) == ("POST", "/session")
    assert crm.seen[0].json == {"user": "me", "password": "pass-1234"}
    assert crm.seen[0].headers["x-tenant"] == "north-1"
    assert crm.seen[1].headers["x-session"] == "Session tok-secret-1"


def test_login_elsewhere_does_not_get_the_targets_headers(crm, configure):
    crm.otherwise = Session(crm, "/sso", "x-session", "Session ")
    bench = configure(target=LOGIN.format(path=f"{crm.url}/sso"), base_url=crm.url + "/api")
    assert bench.upsert().meaning == "done"
    assert crm.calls == ["POST /sso", "PUT /api/tickets/9999"]
    assert "x-tenant" not in crm.seen[0].headers


@pytest.mark.parametrize(
    ("expires", "fetched"),
    [
        (3600, 1),
        ("3600", 1),
        (0, 2),
        (lambda: time.time() + 3600, 1),
        (lambda: time.time() - 5, 2),
        (lambda: (time.time() + 3600) * 1000, 1),
        (lambda: (time.time() - 5) * 1000, 2),
        ("2999-01-01T00:00:00Z", 1),
        ("2001-01-01T00:00:00+07:00", 2),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 2),
        ("2999/01/01 00:00:00", 1),
        ("Wed Oct 06 09:45:53 ICT 2021", 2),
        ("Tue Jan 01 00:00:00 ICT 2999", 1),
        ("whenever", 1),
        (None, 1),
    ],
)
def test_expires_is_seconds_from_now_or_a_time(crm, configure, expires, fetched):
    value = expires() if callable(expires) else expires
    crm.otherwise = door = Session(crm, "/session", "x-session", "Session ", expires=value)
    bench = configure(target=LOGIN.format(path="/session"))
    bench.upsert()
    bench.upsert()
    assert door.given == fetched


@pytest.mark.parametrize(("zone", "logins"), [("Asia/Ho_Chi_Minh", 2), ("America/New_York", 1)])
def test_time_without_a_zone_is_in_the_configured_one(crm, tmp_path, http, zone, logins):
    ends = datetime.now(UTC) + timedelta(hours=2)
    written = f"{ends.replace(tzinfo=None):%Y-%m-%d %H:%M:%S}"
    crm.otherwise = door = Session(crm, "/session", "x-session", "Session ", expires=written)
    file = tmp_path / "config.yaml"
    target = textwrap.indent(LOGIN.format(path="/session"), "    ")
    file.write_text(f"timezone: {zone}\ntargets:\n  crm:\n    base_url: {crm.url}\n{target}")
    bench = Target(load(file, {}).targets["crm"])
    name = Name("crm", "tickets", "1")
    for _ in range(2):
        bench.deliver(Delivery(name, "upsert", {}, frozenset(), None, False, 1), http, int)
    assert door.given == logins


def test_html_instead_of_an_answer_renews_the_session(crm, configure):
    crm.otherwise = door = Session(crm, "/session", "x-session", "Session ")
    bench = configure(target=LOGIN.format(path="/session"))
    bench.upsert()
    crm.say(200, "<!doctype html><title>Sign in</title>", headers={"Content-Type": "text/html"})
    assert bench.upsert().meaning == "done"
    assert door.given == 2
