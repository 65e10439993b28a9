"""Logins that rotate their refresh token, sessions by cookie, and tokens renewed by one for all."""

from __future__ import annotations

import sys
import threading
import time
from subprocess import PIPE, Popen
from urllib.parse import parse_qs

import pytest

from connector.errors import ConfigInvalid
from connector.targets.target import Target
from connector.targets.tokens import MemoryTokens, Token

REFRESHING = """
auth:
  type: oauth2_refresh_token
  token_url: {url}/oauth/token
  client_id: my-client
  client_secret: my-s&cret
  refresh_token: refresh-0
"""
EXCHANGE = """
auth:
  type: login
  call:
    path: /oauth/token
    headers: {{Content-Type: application/x-www-form-urlencoded}}
    body:
      {{grant_type: refresh_token, client_id: me, client_secret: pw, refresh_token: refresh-0}}
  token: access_token
  expires: expires_in
"""
COOKIES = """
auth:
  type: login
  call: {{path: /login, body: {{user: me, password: pass-1234}}}}
  cookies: {cookies}
  {more}
"""


class Exchange:
    """An OAuth server whose refresh tokens are good once, and the API behind it."""

    def __init__(self, crm, *, rotates=True, lasts=3600):
        self.crm, self.rotates, self.lasts = crm, rotates, lasts
        self.given, self.good, self.asked = 0, "refresh-0", []

    def __call__(self, seen):
        if not seen.path.startswith("/oauth"):
            right = f"Bearer access-secret-{self.given}"
            return self.crm.reply(200 if seen.headers.get("authorization") == right else 401)
        form = {key: values[0] for key, values in parse_qs(seen.body.decode()).items()}
        self.asked.append(form)
        if form["refresh_token"] != self.good:
            return self.crm.reply(400, {"error": "invalid_grant"})
        self.given += 1
        answer = {"access_token": f"access-secret-{self.given}", "expires_in": self.lasts}
        if self.rotates:
            answer["refresh_token"] = self.good = f"refresh-{self.given}"
        return self.crm.reply(200, answer)


@pytest.fixture
def exchange(crm, configure):
    """exchange(target): a bench whose CRM gives tokens for refresh tokens."""

    def make(target, **how):
        crm.otherwise = door = Exchange(crm, **how)
        return configure(target=target.format(url=crm.url)), door

    return make


# --- refresh tokens


@pytest.mark.parametrize("target", [REFRESHING, EXCHANGE], ids=["its own type", "a login"])
def test_refresh_token_is_exchanged_and_the_one_that_came_is_used_next(exchange, target):
    bench, door = exchange(target)
    assert bench.upsert().meaning == "done"
    door.given += 1  # the access token is forgotten
    assert bench.upsert().meaning == "done"
    assert [form["refresh_token"] for form in door.asked] == ["refresh-0", "refresh-1"]
    assert {form["grant_type"] for form in door.asked} == {"refresh_token"}


@pytest.mark.parametrize("target", [REFRESHING, EXCHANGE], ids=["its own type", "a login"])
def test_rotated_refresh_token_outlives_the_process(exchange, target):
    bench, door = exchange(target, lasts=0)
    store = MemoryTokens()
    for _ in range(3):
        bench.target = Target(bench.target.config, store)
        assert bench.upsert().meaning == "done"
    assert [form["refresh_token"] for form in door.asked] == ["refresh-0", "refresh-1", "refresh-2"]


def test_refresh_token_that_is_not_rotated_is_used_again(exchange):
    bench, door = exchange(REFRESHING, rotates=False, lasts=0)
    assert bench.upsert().meaning == "done"
    assert bench.upsert().meaning == "done"
    assert [form["refresh_token"] for form in door.asked] == ["refresh-0", "refresh-0"]


def test_configured_refresh_token_helps_where_the_kept_one_is_refused(exchange):
    bench, door = exchange(REFRESHING, lasts=0)
    bench.upsert()
    door.good = "refresh-0"
    assert bench.upsert().meaning == "done"
    assert [form["refresh_token"] for form in door.asked] == ["refresh-0", "refresh-1", "refresh-0"]


def test_new_refresh_token_in_the_configuration_is_used_at_once(crm, exchange, configure):
    bench, door = exchange(REFRESHING)
    store = MemoryTokens()
    bench.target = Target(bench.target.config, store)
    bench.upsert()
    door.good = "refresh-by-hand"
    text = REFRESHING.replace("refresh-0", "refresh-by-hand").format(url=crm.url)
    renewed = configure(target=text)
    renewed.target = Target(renewed.target.config, store)
    assert renewed.upsert().meaning == "done"
    assert door.asked[-1]["refresh_token"] == "refresh-by-hand"


def test_refused_refresh_token_pauses_and_is_asked_with_once(exchange):
    bench, door = exchange(REFRESHING)
    door.good = "another"
    report = bench.upsert()
    assert report.meaning == "credentials"
    assert report.reason == "login: 400 Bad Request: invalid_grant"
    assert len(door.asked) == 1, "the client is known, so HTTP Basic would not help"


def test_refresh_token_is_not_exchanged_where_the_next_one_would_be_lost(exchange):
    class Away(MemoryTokens):
        def keeps(self):
            return False

    bench, door = exchange(REFRESHING)
    bench.target = Target(bench.target.config, Away())
    report = bench.upsert()
    assert (report.meaning, door.asked) == ("not_now", [])
    assert "while Redis is away" in report.reason


def test_public_client_sends_no_secret(crm, exchange):
    bench, door = exchange(REFRESHING.replace("  client_secret: my-s&cret\n", ""))
    assert bench.upsert().meaning == "done"
    assert "client_secret" not in door.asked[0]


def test_no_refresh_token_is_shown(crm, exchange):
    bench, door = exchange(REFRESHING, lasts=0)
    bench.upsert()

    def echo(seen):
        if seen.path.startswith("/oauth"):
            return door(seen)
        return crm.reply(400, {"message": f"{seen.headers} refresh-0 my-s&cret"})

    crm.otherwise = echo
    report = bench.upsert()
    assert report.meaning == "refused"
    for secret in ("refresh-0", "my-s&cret", "access-secret"):
        assert secret not in repr(report)


# --- cookies


class Cookies:
    """A CRM behind a session cookie; `headers` are what its login answers."""

    def __init__(self, crm, *cookies, status=200, answer=None):
        self.crm, self.cookies, self.status, self.answer = crm, cookies, status, answer
        self.logins, self.wanted = 0, None

    def __call__(self, seen):
        if seen.path == "/login":
            self.logins += 1
            cookies = [cookie.format(n=self.logins) for cookie in self.cookies]
            self.wanted = f"sid=session-{self.logins}"
            # A second header of one name, as the server of the tests can write it.
            headers = {"Set-Cookie": "\r\nSet-Cookie: ".join(cookies), "Location": "/home"}
            return self.crm.reply(self.status, self.answer or {}, headers)
        right = self.wanted and self.wanted in (seen.headers.get("cookie") or "").split("; ")
        return self.crm.reply(200 if right else 401)


SID = "sid=session-{n}; Path=/; HttpOnly"


def behind(crm, configure, *cookies, names="sid", more="", **how):
    crm.otherwise = door = Cookies(crm, *cookies, **how)
    return configure(target=COOKIES.format(cookies=names, more=more)), door


def test_cookie_of_a_login_goes_along_with_every_call(crm, configure):
    bench, door = behind(crm, configure, "lang=vi", SID)
    assert bench.upsert().meaning == "done"
    assert bench.upsert().meaning == "done"
    assert door.logins == 1
    assert crm.seen[1].headers["cookie"] == "sid=session-1"
    assert "authorization" not in crm.seen[1].headers


def test_all_cookies_go_along_where_that_is_said(crm, configure):
    bench, _ = behind(crm, configure, "lang=vi", SID, "old=; Max-Age=0", names="'*'")
    assert bench.upsert().meaning == "done"
    assert crm.seen[1].headers["cookie"] == "lang=vi; sid=session-1"


def test_token_and_cookie_may_be_wanted_together(crm, configure):
    bench, _ = behind(
        crm,
        configure,
        SID,
        more="token: csrf\n  header: X-CSRF-Token\n  value: '{token}'",
        answer={"csrf": "csrf-secret-7"},
    )
    crm_call = bench.upsert()
    assert crm_call.meaning == "done"
    assert crm.seen[1].headers["x-csrf-token"] == "csrf-secret-7"
    assert crm.seen[1].headers["cookie"] == "sid=session-1"


def test_form_login_that_leads_on_has_set_its_cookie(crm, configure):
    bench, _ = behind(crm, configure, SID, status=302)
    assert bench.upsert().meaning == "done"
    assert crm.calls == ["POST /login", "PUT /tickets/9999"], "and is not followed"


def test_session_that_ended_is_renewed_once(crm, configure):
    bench, door = behind(crm, configure, SID)
    bench.upsert()
    door.wanted = None
    assert bench.upsert().meaning == "done"
    assert door.logins == 2


def test_session_that_ends_with_a_redirect_is_renewed_once(crm, configure):
    bench, door = behind(crm, configure, SID)
    bench.upsert()
    crm.say(302, headers={"Location": "/login"})
    assert bench.upsert().meaning == "done"
    assert door.logins == 2
    crm.say(302, headers={"Location": "/login"})
    crm.say(200, {}, headers={"Set-Cookie": "sid=session-9"})
    crm.say(302, headers={"Location": "/login"})
    report = bench.upsert()
    assert (report.meaning, report.reason) == ("misled", "302 Found: sent to /login")


@pytest.mark.parametrize(
    ("lasts", "logins"), [("Max-Age=3600", 1), ("Expires=Wed, 21 Oct 2099 07:28:00 GMT", 1)]
)
def test_cookie_says_how_long_it_lasts(crm, configure, lasts, logins):
    bench, door = behind(crm, configure, f"sid=session-{{n}}; {lasts}")
    store = MemoryTokens()
    bench.target = Target(bench.target.config, store)
    bench.upsert()
    bench.upsert()
    assert door.logins == logins
    (token,) = store._tokens.values()
    assert token.until > time.time() + 3000


@pytest.mark.parametrize("cookies", [(), ("lang=vi",), ("sid=gone; Max-Age=0",)])
def test_login_without_the_cookie_is_credentials(crm, configure, cookies):
    bench, _ = behind(crm, configure, *cookies)
    report = bench.upsert()
    assert (report.meaning, report.reason) == ("credentials", "login: no cookie sid in the answer")


def test_cookie_is_shown_nowhere(crm, configure):
    bench, _ = behind(crm, configure, SID)
    bench.upsert()
    crm.say(400, {"message": "Cookie: sid=session-1"})
    assert "session-1" not in repr(bench.upsert())


def test_login_without_token_and_cookies_is_an_error_of_the_configuration(configure):
    with pytest.raises(ConfigInvalid) as caught:
        configure(target="auth: {type: login, call: {path: /x}}")
    assert str(caught.value).endswith(
        "4:5: targets.crm.auth.token: is missing (give the place of the token, or cookies)"
    )


# --- a token that must be fetched before the login, as against forged requests

GUARDED = """
auth:
  type: login
  first: {{path: /form, token: {first}}}
  call:
    path: /login
    headers: {{Content-Type: application/x-www-form-urlencoded}}
    body: {{user: me, password: pass-1234, csrf: "{{token}}"}}
  cookies: [sid]
  token: {token}
  header: X-CSRF-Token
  value: "{{token}}"
check: {{path: /me}}
"""
IN_A_PAGE = '{pattern: \'name="csrf" value="([^"]+)"\'}'


class Guarded:
    """A CRM whose login and whose writes want the token that its last answer to one has given."""

    def __init__(self, crm, refusal=403):
        self.crm, self.refusal = crm, refusal
        self.number, self.session, self.logins = 0, None, []

    def __call__(self, seen):
        if seen.path == "/form":
            self.number += 1
            page = f'<!DOCTYPE html><input name="csrf" value="token&amp;{self.number}">'
            headers = {**self._cookies("guest"), "Content-Type": "text/html"}
            return self.crm.reply(200, page.encode(), headers)
        cookies = dict(item.split("=", 1) for item in seen.headers.get("cookie", "").split("; "))
        if seen.path == "/login":
            form = {key: values[0] for key, values in parse_qs(seen.body.decode()).items()}
            self.logins.append((form, cookies))
            if (
                form["csrf"] != f"token&{self.number}"
                or cookies.get("csrf") != f"token%26{self.number}"
            ):
                return self.crm.reply(403)
            self.number += 1
            self.session = f"user-{self.number}"
            return self.crm.reply(302, headers={**self._cookies(self.session), "Location": "/"})
        right = cookies.get("sid") == self.session
        if seen.method != "GET":
            right &= seen.headers.get("x-csrf-token") == f"token&{self.number}"
        return self.crm.reply(200 if right else self.refusal)

    def _cookies(self, session):
        csrf = f"token%26{self.number}"
        cookies = f"sid={session}\r\nSet-Cookie: csrf={csrf}"
        return {"Set-Cookie": cookies, "X-CSRF-Token": csrf.replace("%26", "&")}


def guarded(crm, configure, first="{cookie: csrf}", token="{cookie: csrf}"):
    crm.otherwise = door = Guarded(crm)
    return configure(target=GUARDED.format(first=first, token=token)), door


@pytest.mark.parametrize("first", ["{cookie: csrf}", "{header: X-CSRF-Token}", IN_A_PAGE])
@pytest.mark.parametrize("token", ["{cookie: csrf}", "{header: X-CSRF-Token}"])
def test_login_brings_along_the_token_that_a_first_call_has_found(crm, configure, first, token):
    bench, door = guarded(crm, configure, first, token)
    assert bench.upsert().meaning == "done"
    assert crm.calls == ["GET /form", "POST /login", "PUT /tickets/9999"]
    ((form, cookies),) = door.logins
    assert (form["user"], cookies["sid"]) == ("me", "guest")
    assert crm.seen[-1].headers["cookie"] == "sid=user-2", "only what `cookies:` names goes along"


def test_session_that_ended_with_403_is_opened_again_from_the_first_call(crm, configure):
    bench, door = guarded(crm, configure)
    bench.upsert()
    door.session = "another"
    assert bench.upsert().meaning == "done"
    assert len(door.logins) == 2


def test_first_call_without_a_token_is_credentials(crm, configure):
    bench, door = guarded(crm, configure, first="{header: X-Other}")
    report = bench.upsert()
    assert report.meaning == "credentials"
    assert report.reason == "login: no token at header X-Other in the answer to `first:`"
    assert door.logins == []


def test_outage_at_the_first_call_is_one(crm, configure):
    bench, _ = guarded(crm, configure)
    crm.say(503, headers={"Retry-After": "60"})
    report = bench.upsert()
    assert (report.meaning, report.retry_after) == ("not_now", 60)


def test_tokens_of_a_guarded_login_are_shown_nowhere(crm, configure):
    bench, door = guarded(crm, configure)
    bench.upsert()
    crm.say(400, {"message": f"X-CSRF-Token: token&{door.number} sid=user-2 pass-1234"})
    report = repr(bench.upsert())
    assert not {"token&2", "user-2", "pass-1234"} & set(report.replace('"', " ").split())


@pytest.mark.parametrize(
    ("auth", "error"),
    [
        (
            "{type: login, call: {path: '/{token}'}, token: t}",
            "{token}, but no call is made before",
        ),
        ("{type: login, call: {path: /l}, token: {header: A, cookie: b}}", "one of header, cookie"),
        ("{type: login, call: {path: /l}, token: {pattern: 'a('}}", "no regular expression"),
        ("{type: login, call: {path: /l}, token: {pattern: 'ab'}}", "without a group"),
        ("{type: login, first: {path: /f}, call: {path: /l}, token: t}", "first.token: is missing"),
    ],
)
def test_wrong_place_of_a_token_is_an_error_of_the_configuration(configure, auth, error):
    with pytest.raises(ConfigInvalid) as caught:
        configure(target=f"auth: {auth}")
    assert error in str(caught.value)


def test_password_of_a_login_may_hold_braces(crm, configure):
    target = "auth: {type: login, call: {path: /l, body: {pw: '${PW}'}}, token: t}"
    bench = configure(target=target, environ={"PW": "x{y}z{value}"})
    crm.say(200, {"t": "T"})
    assert bench.upsert().meaning == "done"
    assert crm.seen[0].json == {"pw": "x{y}z{value}"}


# --- one for all


class Slow(Exchange):
    """Takes its time over a token, so that everybody wants one meanwhile."""

    def __init__(self, crm, **habits):
        super().__init__(crm, **habits)
        self.seconds = 0.3
        self.let_go = threading.Event()

    def __call__(self, seen):
        if seen.path.startswith("/oauth"):
            self.let_go.wait(self.seconds)
        return super().__call__(seen)


def test_waiting_threads_of_many_targets_fetch_one_token(crm, configure):
    crm.otherwise = door = Slow(crm)
    bench, store = configure(target=REFRESHING.format(url=crm.url)), MemoryTokens()
    targets = [Target(bench.target.config, store) for _ in range(4)]
    found = run_all(lambda n: upsert(bench, targets[n % 4]), 8)
    assert [report.meaning for report in found] == ["done"] * 8
    assert door.given == 1


def test_token_is_renewed_early_by_one_while_others_use_the_old_one(crm, configure):
    crm.otherwise = door = Slow(crm, rotates=False)
    door.seconds = 8.0
    store = MemoryTokens()
    bench = configure(target=REFRESHING.format(url=crm.url))
    bench.target = Target(bench.target.config, store)
    bench.upsert()
    (key,) = store._tokens
    store.put(key, Token("access-secret-1", time.time() + 60, time.time() - 1))
    slow = threading.Thread(target=bench.upsert)
    slow.start()
    while crm.seen[-1].path != "/oauth/token":
        time.sleep(0.005)
    assert bench.upsert().meaning == "done"
    assert slow.is_alive(), "nobody waited for the fresh one"
    door.let_go.set()
    slow.join()
    assert door.given == 2
    assert store.get(key).value == "access-secret-2"


def test_old_token_serves_on_while_no_fresh_one_is_to_be_had(crm, configure):
    bench = configure(target=REFRESHING.format(url=crm.url))
    store = MemoryTokens()
    bench.target = Target(bench.target.config, store)
    crm.otherwise = Exchange(crm, rotates=False)
    bench.upsert()
    (key,) = store._tokens
    store.put(key, Token("access-secret-1", time.time() + 60, time.time() - 1))
    crm.otherwise = lambda seen: crm.reply(400 if seen.path.startswith("/oauth") else 200)
    calls = len(crm.seen)
    assert [bench.upsert().meaning for _ in range(3)] == ["done"] * 3
    asked = [seen for seen in crm.seen[calls:] if seen.path == "/oauth/token"]
    assert len(asked) == 2, "in the form and with Basic, and then not for a while"


def test_two_processes_share_one_token_through_redis(crm, configure, redis_url, tmp_path):
    """One refresh for eight senders in two processes, with a refresh token that is good once."""
    crm.otherwise = door = Slow(crm)
    configure(target=REFRESHING.format(url=crm.url))
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    command = [sys.executable, str(script), str(tmp_path / "config.yaml"), redis_url]
    workers = [Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert said == [["done"] * 4] * 2
    assert door.given == 1
    assert [seen.path for seen in crm.seen].count("/oauth/token") == 1


WORKER = r"""
import sys, threading
from pathlib import Path
from connector.config import load
from connector.model import Delivery, Name
from connector.redisdb import connect
from connector.targets.http import Http
from connector.errors import ConfigInvalid
from connector.targets.target import Target
from connector.tokens import RedisTokens

config = load(Path(sys.argv[1]), {}).targets["crm"]
target = Target(config, RedisTokens(connect(sys.argv[2])))
print("ready", flush=True)
sys.stdin.readline()

def send(n):
    name = Name("crm", "tickets", str(n))
    order = Delivery(name, "upsert", {"a": 1}, frozenset("a"), None, False, 1)
    sys.stdout.write(target.deliver(order, Http(), lambda: None).meaning + "\n")

threads = [threading.Thread(target=send, args=(n,)) for n in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def run_all(what, count):
    found = []
    threads = [threading.Thread(target=lambda n=n: found.append(what(n))) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def upsert(bench, target):
    return type(bench)(target, bench.http).upsert()
