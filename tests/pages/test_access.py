"""Who may see and do what: each line of the tables, and the ways around them that people try."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from desk import PASSWORD, ROLES, Desk
from flask import Flask
from werkzeug.routing import Rule

from connector import accounts, audit, dashboard, drafts, flow, journal
from connector.accounts import MAY
from connector.dashboard import access
from connector.dashboard.access import HEADERS, NEEDS, safe_next
from connector.dashboard.app import create_app
from connector.redisdb import connect

VALUES = {"serial": "1", "number": "1", "name": "crm", "event_id": "x", "code": "vi"}
BODY = b'{"object": "ticket", "action": "update", "ticket": {"ticket_id": 5, "updated_at": 9}}'


def pages_of(desk: Desk) -> Flask:
    desk.get("/login")
    return create_app(desk.config, desk.redis, lambda: None)


def address(rule: Rule) -> str:
    return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: VALUES.get(found[1], "pages.css"), rule.rule)


# --- the tables


def test_every_page_says_what_it_needs_and_nothing_else_does(desk: Desk) -> None:
    endpoints = {rule.endpoint for rule in pages_of(desk).url_map.iter_rules()}
    assert endpoints == set(NEEDS)


def test_what_changes_something_is_never_open_to_a_viewer(desk: Desk) -> None:
    rules = [rule for rule in pages_of(desk).url_map.iter_rules() if "POST" in rule.methods]
    harmless = {"login.sign_in", "login.sign_out"}
    open_ = {rule.endpoint for rule in rules if NEEDS[rule.endpoint] in MAY["viewer"]}
    assert open_ <= harmless


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_role_gets_exactly_what_the_tables_give_it(desk: Desk, name: str) -> None:
    rules = list(pages_of(desk).url_map.iter_rules())
    desk.sign_in(name)
    desk.receive(BODY)
    role = accounts.Person(name, ROLES[name]).role  # type: ignore[arg-type]
    for rule in rules:
        need = NEEDS[rule.endpoint]
        if need == "nothing" or rule.endpoint in ("login.sign_out", "letters.ask_drop"):
            continue
        method = desk.post if "POST" in rule.methods else desk.get
        status = method(address(rule)).status_code
        assert (status == 403) == (need not in MAY[role]), (rule.endpoint, status)
        assert status < 500, rule.endpoint


def test_roles_grow() -> None:
    assert MAY["viewer"] < MAY["operator"] < MAY["editor"]


# --- without users


def test_without_users_only_this_machine_is_answered(desk: Desk) -> None:
    desk.users = ""
    assert desk.get("/").status_code == 200
    for headers in (
        {"X-Forwarded-For": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"Via": "1.1 proxy"},
        {"X-Real-IP": "127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
    ):
        assert desk.get("/", headers=headers).status_code == 403
    far = {"REMOTE_ADDR": "203.0.113.7"}
    assert desk.get("/", environ_overrides=far).status_code == 403
    assert desk.get("/static/pages.css", environ_overrides=far).status_code == 403


def test_a_name_of_somebody_else_that_points_here_is_not_this_machine(desk: Desk) -> None:
    desk.users = ""
    assert desk.get("/", headers={"Host": "evil.example:8000"}).status_code == 403
    assert desk.get("/", headers={"Host": "localhost:8000"}).status_code == 200


def test_a_local_visitor_looks_and_does_nothing_unless_configured(desk: Desk) -> None:
    desk.users = ""
    assert desk.post("/targets/crm/pause").status_code == 403
    desk.more = "dashboard: {local_role: operator}\n"
    desk._client = None
    assert desk.post("/targets/crm/pause").status_code == 302
    assert flow.flow(desk.redis, "crm").state == "paused"
    assert [entry.who for entry in audit.entries(desk.redis)] == ["local"]


# --- signing in


def test_who_has_not_signed_in_is_sent_to_do_so(desk: Desk) -> None:
    answer = desk.get("/events?state=dead")
    assert (answer.status_code, answer.location) == (302, "/login?next=/events?state%3Ddead")
    assert desk.client.post("/targets/crm/pause").status_code in (302, 400)
    assert flow.flow(desk.redis, "crm").state == "open"


def test_a_part_that_renews_itself_leads_to_the_sign_in(desk: Desk) -> None:
    answer = desk.get("/live", headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, "/login")


def test_a_person_signs_in_and_goes_where_they_wanted(desk: Desk) -> None:
    answer = desk.sign_in(next="/events?state=dead")
    assert (answer.status_code, answer.location) == (302, "/events?state=dead")
    assert "mai" in desk.get("/").text


def test_a_wrong_name_or_password_is_told_in_the_same_words(desk: Desk) -> None:
    for name in ("mai", "nobody", "", "MAI", "mai\0"):
        answer = desk.sign_in(name, "wrong password")
        assert answer.status_code == 401
        assert "Name or password is wrong." in answer.text
        assert desk.get("/").status_code == 302


ELSEWHERE = (
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/%0d%0aSet-Cookie: a=b\r\nX: y",
    "javascript:alert(1)",
    " //evil.example",
    "/\t/evil.example",
    "http:evil.example",
    "evil.example",
    "",
)


def test_the_way_on_leads_nowhere_else(desk: Desk) -> None:
    for target in ELSEWHERE:
        answer = desk.sign_in(next=target)
        assert (answer.status_code, answer.location) == (302, "/"), target
        language = desk.get("/language/vi", query_string={"next": target})
        assert language.location == "/", target
        form = desk.get("/login", query_string={"next": target}).text
        assert 'name="next" value=""' in form


def test_a_next_with_an_encoded_line_break_stays_encoded() -> None:
    assert safe_next("/a%0d%0aSet-Cookie:b") == "/a%0d%0aSet-Cookie:b"
    assert safe_next("/a\r\nSet-Cookie: b") is None


def test_no_header_can_be_smuggled_in(desk: Desk) -> None:
    answer = desk.get("/language/vi?next=/%0d%0aSet-Cookie:%20owned=1")
    assert "owned" not in str(answer.headers.getlist("Set-Cookie"))
    assert desk.get("/language/vi%0d%0aX-Owned:1").headers.get("X-Owned") is None


def cookie(answer: object, name: str = "connector_session") -> SimpleCookie:
    jar: SimpleCookie = SimpleCookie()
    for line in answer.headers.getlist("Set-Cookie"):  # type: ignore[attr-defined]
        if line.startswith(f"{name}="):
            jar.load(line)
    return jar


def test_cookies_are_kept_from_scripts_other_sites_and_plain_http(desk: Desk) -> None:
    plain = cookie(desk.sign_in())["connector_session"]
    assert (plain["httponly"], plain["samesite"], plain["secure"]) == (True, "Lax", "")
    desk._client = None
    by_proxy = {"X-Forwarded-Proto": "https"}
    token = desk.token()
    given = {"csrf_token": token, "name": "mai", "password": PASSWORD}
    answer = desk.client.post("/login", data=given, headers=by_proxy)
    assert cookie(answer)["connector_session"]["secure"] is True
    assert "max-age" in answer.headers["Strict-Transport-Security"]
    language = cookie(desk.get("/language/vi", headers=by_proxy), "connector_language")
    assert language["connector_language"]["secure"] is True


def test_a_session_known_before_the_sign_in_is_worth_nothing_after_it(desk: Desk) -> None:
    desk.get("/login")
    before = desk.client.get_cookie("connector_session").value
    desk.sign_in()
    assert desk.client.get_cookie("connector_session").value != before
    thief = desk.another()
    thief.set_cookie("connector_session", before)
    assert thief.get("/").status_code == 302


def test_a_stolen_cookie_ends_with_the_sign_out(desk: Desk) -> None:
    desk.sign_in()
    thief = desk.another()
    thief.set_cookie("connector_session", desk.client.get_cookie("connector_session").value)
    assert thief.get("/").status_code == 200
    desk.post("/logout")
    assert thief.get("/").status_code == 302
    assert desk.get("/").status_code == 302


@pytest.mark.parametrize("change", ["role", "password", "gone"])
def test_a_session_ends_when_its_user_changes(desk: Desk, change: str) -> None:
    desk.sign_in("lan")
    value = desk.client.get_cookie("connector_session").value
    if change == "role":
        desk.users = desk.users.replace("role: operator", "role: viewer")
    elif change == "password":
        hashed = accounts.hash_password("another password")
        desk.users = re.sub(r"(lan: \{password: ')[^']+", lambda m: m[1] + hashed, desk.users)
    else:
        desk.users = re.sub(r"  lan: .*\n", "", desk.users)
    later = desk.another()
    later.set_cookie("connector_session", value)
    assert later.get("/").status_code == 302


def test_a_session_ends_when_nobody_has_asked_for_anything(desk: Desk) -> None:
    desk.more = "dashboard: {session_hours: 0.0008}\n"  # 3 seconds
    desk.sign_in()
    assert desk.get("/").status_code == 200
    until = time.monotonic() + 10
    by_itself = {"HX-Request": "true"}  # a part that renews itself does not prolong it
    while desk.get("/live", headers=by_itself).status_code == 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert desk.get("/").status_code == 302


def test_a_made_up_session_opens_nothing(desk: Desk) -> None:
    for token in ("", "x", "../../c:session-key", "a" * 5000):
        assert accounts.find_session(desk.redis, pages_config(desk), token) is None


def pages_config(desk: Desk):  # type: ignore[no-untyped-def]
    desk.get("/login")
    return desk.config


# --- guessing


def test_guessing_passwords_is_stopped(desk: Desk) -> None:
    answers = [desk.sign_in("mai", f"guess number {n}").status_code for n in range(11)]
    assert answers == [401] * 10 + [429]
    assert desk.sign_in().status_code == 429  # the right one, too, from there


def test_guessing_one_name_from_many_addresses_is_stopped(desk: Desk) -> None:
    token = desk.token()
    answers = []
    for n in range(12):
        given = {"csrf_token": token, "name": "mai", "password": f"guess number {n}"}
        there = {"REMOTE_ADDR": f"203.0.113.{n}"}
        answers.append(desk.client.post("/login", data=given, environ_overrides=there).status_code)
    assert answers == [401] * 10 + [429] * 2


def test_signing_in_rightly_is_not_counted(desk: Desk) -> None:
    assert {desk.sign_in().status_code for _ in range(12)} == {302}


def test_a_forged_address_helps_nobody_who_is_not_behind_a_proxy(desk: Desk) -> None:
    token = desk.token()
    answers = []
    for n in range(11):
        given = {"csrf_token": token, "name": f"name{n}", "password": "guess number"}
        forged = {"X-Forwarded-For": f"203.0.113.{n}"}
        answers.append(desk.client.post("/login", data=given, headers=forged).status_code)
    assert answers[-1] == 429


def test_behind_a_proxy_the_callers_count_apart(desk: Desk) -> None:
    desk.more = "dashboard: {proxies: 1}\n"
    token = desk.token()

    def guess(n: int, told: str) -> int:
        given = {"csrf_token": token, "name": f"name{n}", "password": "guess number"}
        return desk.client.post("/login", data=given, headers={"X-Forwarded-For": told}).status_code

    assert [guess(n, "198.51.100.1") for n in range(11)][-1] == 429
    assert guess(50, "198.51.100.1, 198.51.100.2") == 401  # the proxy adds the last


def test_guessing_is_stopped_while_redis_is_away(desk: Desk, tmp_path: Path) -> None:
    from connector.demo.redis import EmbeddedRedis

    with EmbeddedRedis(tmp_path / "own") as server:
        desk.redis_url = server.url
        token = desk.token()
        server.stop()
        given = {"csrf_token": token, "name": "mai", "password": "guess number"}
        answers = [desk.client.post("/login", data=given).status_code for _ in range(12)]
    assert set(answers[:10]) <= {401, 503}
    assert answers[10:] == [429, 429]


@pytest.fixture
def full(desk: Desk, tmp_path: Path) -> Iterator[Desk]:
    """The pages over a Redis of their own that has become full."""
    from connector.demo.redis import EmbeddedRedis

    with EmbeddedRedis(tmp_path / "own") as server:
        desk.redis_url = server.url
        desk.get("/login")
        desk.receive(BODY)
        desk.redis.config_set("maxmemory-policy", "noeviction")
        desk.redis.config_set("maxmemory", 1)
        yield desk


def test_guessing_is_stopped_while_redis_is_full(full: Desk) -> None:
    answers = [full.sign_in("mai", f"guess number {n}").status_code for n in range(11)]
    assert answers == [401] * 10 + [429]


def test_while_redis_is_full_somebody_may_sign_in_and_look(
    full: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    assert full.sign_in("lan").status_code == 302
    noted = [record.action for record in caplog.records if "audit log" in record.message]
    assert noted == ["sign_in"]
    assert "Redis is full" in full.get("/").text
    assert full.get("/events/1").status_code == 200
    answer = full.post("/targets/crm/pause")
    assert (answer.status_code, "Redis is full" in answer.text) == (503, True)
    value = full.client.get_cookie("connector_session").value
    full.post("/logout")
    full.client.set_cookie("connector_session", value)
    assert full.get("/").status_code == 302


def test_a_password_takes_as_long_to_check_for_a_name_that_there_is_not(desk: Desk) -> None:
    user = pages_config(desk).users["mai"]

    def seconds(who: accounts.User | None) -> float:
        began = time.process_time()
        assert not accounts.matches(who, "wrong password")
        return time.process_time() - began

    accounts.matches(None, "warm")
    known = min(seconds(user) for _ in range(5))
    unknown = min(seconds(None) for _ in range(5))
    assert unknown > known / 3


# --- forms from elsewhere


def test_a_form_without_our_token_does_nothing(desk: Desk) -> None:
    desk.sign_in()
    for data in ({}, {"csrf_token": "made up"}):
        answer = desk.client.post("/targets/crm/pause", data=data)
        assert answer.status_code == 400
        assert "Nothing was done" in answer.text
    assert flow.flow(desk.redis, "crm").state == "open"


def test_the_token_of_another_session_does_nothing(desk: Desk) -> None:
    other = Desk(desk.folder, desk.redis_url, desk.users)
    other.sign_in("vy")
    desk.sign_in()
    answer = desk.client.post("/targets/crm/pause", data={"csrf_token": other.token()})
    other.close()
    assert answer.status_code == 400
    assert flow.flow(desk.redis, "crm").state == "open"


def test_a_sign_in_needs_our_token_too(desk: Desk) -> None:
    desk.get("/login")
    answer = desk.client.post("/login", data={"name": "mai", "password": PASSWORD})
    assert answer.status_code == 400


# --- every answer


def test_every_answer_says_what_a_browser_may_do_with_it(desk: Desk) -> None:
    desk.sign_in()
    for path in ("/login", "/", "/nothing", "/static/pages.css", "/events/999", "/language/xx"):
        headers = desk.get(path).headers
        assert {name: headers[name] for name in HEADERS} == dict(HEADERS), path
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in HEADERS["Content-Security-Policy"]


def test_no_page_has_a_script_or_style_of_its_own(desk: Desk) -> None:
    desk.sign_in()
    serial = desk.receive(BODY).serial
    for path in ("/", "/events", f"/events/{serial}", "/dead", "/mappings", "/mappings/edit"):
        text = desk.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", text, re.IGNORECASE), path
        assert not re.search(r"<script(?![^>]*\ssrc=\"/static/)", text), path


def test_an_error_tells_nothing_of_the_inside(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.sign_in()
    monkeypatch.setattr(flow, "flow", lambda *_: 1 / 0)
    answer = desk.get("/targets")
    assert answer.status_code == 500
    assert "division" not in answer.text
    assert "Traceback" not in answer.text


def test_a_form_may_not_be_as_large_as_it_likes(desk: Desk) -> None:
    desk.sign_in()
    answer = desk.post("/mappings/save", {"file": "tickets.yaml", "text": "x" * (3 << 20)})
    assert answer.status_code == 413


# --- what the receiver must not notice


def test_a_webhook_meets_neither_session_nor_form_nor_limit(desk: Desk) -> None:
    source = b"{}"
    for _ in range(30):
        answer = desk.client.post("/webhooks/caresoft", data=source)
        assert answer.status_code == 401  # its own word: the signature is missing
        assert "Set-Cookie" not in answer.headers
        assert "Content-Security-Policy" not in answer.headers


def test_webhooks_and_health_load_nothing_of_the_pages(desk: Desk) -> None:
    desk.get("/login")  # writes the configuration
    script = (
        "import sys; from pathlib import Path; from connector import config, web;"
        f"client = web.create_app(config.load(Path({str(desk.folder / 'config.yaml')!r}), {{}}))"
        ".test_client();"
        "client.post('/webhooks/caresoft', data=b'{}'); client.get('/healthz');"
        "client.get('/readyz'); client.get('/metrics');"
        "print([n for n in ('argon2', 'babel', 'flask_babel', 'flask_login', 'flask_limiter',"
        " 'flask_wtf', 'wtforms', 'connector.dashboard.app') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_worker_loads_no_page(desk: Desk) -> None:
    script = (
        "import sys, connector.worker;"
        "print([n for n in ('flask', 'argon2', 'babel', 'wtforms') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_long_work_leaves_threads_to_the_webhooks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "HEAVY_AT_ONCE", 0)
    monkeypatch.setattr(access, "HEAVY_SECONDS", 0.01)
    desk.sign_in()
    assert desk.get("/events").status_code == 503
    assert desk.get("/").status_code == 200
    assert desk.client.get("/webhooks/caresoft").status_code == 200


def test_pages_that_hang_leave_threads_to_the_webhooks(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "AT_ONCE", 0)
    monkeypatch.setattr(dashboard, "WAIT_SECONDS", 0.01)
    assert desk.get("/login").status_code == 503
    assert desk.get("/static/pages.css").status_code == 200
    assert desk.get("/healthz").status_code == 200


def test_who_has_done_long_work_makes_room_for_the_next(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "HEAVY_AT_ONCE", 1)
    desk.sign_in()
    assert {desk.get(path).status_code for path in ("/events", "/records", "/dead")} == {200}
    monkeypatch.setattr("connector.deadletters.find", lambda *_, **__: 1 / 0)
    assert {desk.get("/dead").status_code for _ in range(3)} == {500}


def test_what_may_take_long_is_a_page(desk: Desk) -> None:
    assert set(NEEDS) > access.HEAVY


# --- drafts and folders


def test_a_file_cannot_be_called_as_one_likes(desk: Desk) -> None:
    desk.sign_in()
    outside = ("../../etc/cron.yaml", "/etc/x.yaml", "a/b.yaml", "tables/../x.yaml")
    for name in (*outside, "x.yml", ".x.yaml", "x.yaml\n", ""):
        assert not drafts.is_file_name(name)
        assert desk.post("/mappings/save", {"file": name, "text": "a: 1"}).status_code == 400
    assert drafts.read(desk.redis, "mai") is None


def test_editing_can_be_switched_off(desk: Desk) -> None:
    desk.more = "dashboard: {edit_mappings: false}\n"
    desk.sign_in()
    desk.receive(BODY)
    assert desk.get("/mappings").status_code == 200
    for path in ("/mappings/edit", "/mappings/publish", "/mappings/plan", "/mappings/rollback/1"):
        assert desk.get(path).status_code == 403
    for path in ("/mappings/save", "/mappings/publish", "/mappings/preview"):
        assert desk.post(path, {"file": "tickets.yaml", "text": "x"}).status_code == 403


def test_redis_being_away_is_told_and_breaks_no_webhook_answer(desk: Desk, tmp_path: Path) -> None:
    from connector.demo.redis import EmbeddedRedis

    with EmbeddedRedis(tmp_path / "own") as server:
        desk.redis_url = server.url
        desk.sign_in()
        server.stop()
        answer = desk.get("/")
        assert answer.status_code == 503
        assert desk.get("/healthz").status_code == 200


def test_pages_that_were_first_asked_for_while_redis_was_away_come_when_it_is_back(
    desk: Desk, tmp_path: Path
) -> None:
    from connector.demo.redis import EmbeddedRedis

    with EmbeddedRedis(tmp_path / "own") as server:
        desk.redis_url = server.url
        client = desk.client
        server.stop()
        assert client.get("/login").status_code == 503
        server.start()
        assert client.get("/login").status_code == 200


def test_what_the_journal_holds_is_shown_as_text(desk: Desk) -> None:
    desk.sign_in()
    hostile = (
        b'{"object": "</pre><script>alert(1)</script>", "action": "x\\"><img src=x onerror=a>"}'
    )
    serial = desk.receive(hostile).serial
    for path in ("/events", f"/events/{serial}", "/dead", "/", "/drift"):
        text = desk.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text
    query = '"><script>alert(1)</script>'
    for path in ("/events", "/records"):
        assert "<script>alert" not in desk.get(path, query_string={"q": query}).text
    assert journal.count(connect(desk.redis_url)) == 1
