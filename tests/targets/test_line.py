"""Repeats over a blip, keys, numbers, leases, credentials and secrets."""

from __future__ import annotations

import base64
import json

import pytest
from system import IN_VAIN

from connector.errors import LeaseLost
from connector.model import Delivery, Name
from connector.targets.calls import Outgoing
from connector.targets.idempotency import key

POST = "upsert: {strategy: post, path: '/{resource}'}\nexternal_id_field: ext\n"


# --- blips


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_blip_is_over_before_anybody_notices(crm, configure, status):
    crm.say(status)
    bench = configure()
    outcome = bench.upsert()
    assert (outcome.meaning, len(crm.seen), bench.tries) == ("done", 2, 2)


def test_three_tries_are_enough(crm, configure, stopwatch):
    for _ in range(5):
        crm.say(503)
    outcome = configure().upsert()
    assert (outcome.meaning, outcome.status, len(crm.seen)) == ("not_now", 503, 3)
    assert len(outcome.calls) == 3
    assert stopwatch() < IN_VAIN


def test_retry_after_of_a_second_is_waited_for(crm, configure, stopwatch):
    crm.say(429, headers={"Retry-After": "1"})
    assert configure().upsert().meaning == "done"
    assert stopwatch() >= 1.0


@pytest.mark.parametrize("status", [429, 503])
def test_longer_retry_after_is_the_callers(crm, configure, status):
    crm.say(status, headers={"Retry-After": "7"})
    outcome = configure().upsert()
    assert (outcome.meaning, outcome.retry_after, len(crm.seen)) == ("not_now", 7, 1)


def test_reset_write_is_repeated_with_its_key(crm, configure):
    crm.say(cut="read")
    outcome = configure().upsert()
    assert (outcome.meaning, outcome.number, outcome.unknown) == ("done", 2, False)
    assert len(crm.seen) == 2
    assert len(set(crm.keys)) == 1


def test_reset_create_is_not_sent_twice_at_once(crm, configure):
    crm.say(cut="read")
    outcome = configure(POST).upsert(delivered=False)
    assert (outcome.meaning, outcome.unknown, outcome.number) == ("not_now", True, 1)
    assert len(crm.seen) == 1


def test_connection_cut_before_the_request_was_read(crm, configure):
    crm.say(cut="unread")
    assert configure().upsert().meaning == "done"
    assert len(crm.seen) == 1


def test_crm_that_is_away_was_not_reached(configure, free_port, stopwatch):
    bench = configure(base_url=f"http://127.0.0.1:{free_port}")
    outcome = bench.upsert(number=4)
    assert (outcome.meaning, outcome.unknown, outcome.number) == ("not_now", False, 4)
    assert (outcome.status, bench.tries) == (None, 3)
    assert outcome.reason.startswith("refused: ")
    assert stopwatch() < IN_VAIN


def test_timeout_is_unknown_and_not_repeated(crm, configure):
    crm.say(hang=30)
    outcome = configure(target="timeout: 1").upsert(number=4)
    assert (outcome.meaning, outcome.unknown, outcome.number) == ("not_now", True, 4)
    assert outcome.reason == "timed out after 1 s"
    assert len(crm.seen) == 1


@pytest.mark.parametrize("header", ["X-Request-Id", "null"])
def test_a_write_without_an_answer_is_in_doubt_whether_it_carried_a_key_or_not(
    crm, configure, header
):
    crm.say(hang=30)
    bench = configure(target=f"timeout: 1\nidempotency_header: {header}")
    outcome = bench.upsert(number=4)
    assert (outcome.meaning, outcome.unknown, outcome.number) == ("not_now", True, 4)
    assert bool(outcome.unheard) == (header != "null")


def test_whole_call_ends_at_its_timeout(crm, configure, stopwatch):
    crm.say(200, {"id": 1}, drip=0.2)
    outcome = configure(target="timeout: 1").upsert()
    assert (outcome.meaning, outcome.unknown) == ("not_now", True)
    assert stopwatch() < IN_VAIN


def test_doubt_stays_while_later_tries_do_not_reach_the_crm(crm, configure):
    crm.say(502)
    crm.say(502)
    crm.say(502)
    outcome = configure().upsert(number=4)
    assert (outcome.meaning, outcome.unknown, outcome.number) == ("not_now", True, 4)
    assert len(set(crm.keys)) == 1


def test_a_refused_repeat_leaves_the_doubt_about_the_try_before_it(crm, configure):
    crm.say(cut="read")
    crm.say(422)
    outcome = configure().upsert(number=4)
    assert (outcome.meaning, outcome.unknown, outcome.number) == ("refused", True, 5)


# --- numbers and keys


def test_call_after_a_definite_answer_has_another_key(crm, configure):
    crm.say(503)
    outcome = configure().upsert(number=4)
    assert (outcome.meaning, outcome.number) == ("done", 6)
    assert len(set(crm.keys)) == 2


def test_next_delivery_of_an_unknown_call_carries_its_key(crm, configure):
    bench = configure(POST)
    crm.say(cut="read")
    first = bench.upsert(number=4)
    bench.upsert(number=first.number)
    assert len(crm.seen) == 2
    assert len(set(crm.keys)) == 1


def test_value_that_returns_is_another_call(crm, configure):
    bench = configure()
    number = 1
    for value in ("a", "b", "a"):
        number = bench.upsert({"x": value}, delivered=True, number=number).number
    assert len(set(crm.keys)) == 3


@pytest.mark.parametrize(
    "other",
    [
        {"name": Name("other", "tickets", "1")},
        {"name": Name("crm", "other", "1")},
        {"name": Name("crm", "tickets", "2")},
        {"name": Name("crm", "tic", "kets1")},
        {"number": 2},
        {"method": "PATCH"},
        {"path": "/b"},
        {"body": b"{} "},
        {"body": None},
    ],
)
def test_key_covers_all_that_makes_a_call(other):
    usual = {
        "name": Name("crm", "tickets", "1"),
        "number": 1,
        "method": "PUT",
        "path": "/a",
        "body": b"{}",
    }

    def made(name, number, method, path, body):
        return key(name, number, Outgoing("update", method, "http://crm", path, {}, body))

    assert len(made(**usual)) == 64
    assert made(**usual) == made(**usual)
    assert made(**usual) != made(**{**usual, **other})


def test_key_is_the_same_whatever_the_order_of_the_fields(crm, configure):
    bench = configure()
    bench.upsert({"a": 1, "b": 2})
    bench.upsert({"b": 2, "a": 1})
    assert len(set(crm.keys)) == 1


def test_idempotency_header_can_be_named_or_left_out(crm, configure):
    configure(target="idempotency_header: X-Request-Id").upsert()
    configure(target="idempotency_header: null").upsert()
    assert len(crm.seen[0].headers["x-request-id"]) == 64
    assert crm.keys == [None, None]


def test_delete_carries_a_key(crm, configure):
    configure().delete()
    assert len(crm.keys[0] or "") == 64


# --- the lease


def test_what_before_call_raises_comes_out_and_no_call_is_made(crm, configure):
    bench = configure()

    def lost() -> None:
        raise LeaseLost("taken over")

    name = Name("crm", "tickets", "1")
    delivery = Delivery(name, "upsert", {"a": 1}, frozenset({"a"}), None, False, 1)
    with pytest.raises(LeaseLost):
        bench.target.deliver(delivery, bench.http, lost)
    assert crm.seen == []


def test_lease_is_renewed_before_every_try(crm, configure):
    crm.say(404)
    crm.say(503)
    bench = configure()
    bench.upsert(delivered=True)
    assert bench.tries == len(crm.seen) == 3


# --- credentials

AUTHS = {
    "{type: bearer, token: tok-1234}": ("authorization", "Bearer tok-1234"),
    "{type: basic, username: me, password: pä-1234}": (
        "authorization",
        "Basic " + base64.b64encode("me:pä-1234".encode()).decode(),
    ),
    "{type: header, name: X-Api-Key, value: key-1234}": ("x-api-key", "key-1234"),
}


@pytest.mark.parametrize("auth", AUTHS)
def test_credentials_go_into_a_header(crm, configure, auth):
    configure(target=f"auth: {auth}").upsert()
    name, value = AUTHS[auth]
    assert crm.seen[0].headers[name] == value


def test_credentials_go_into_the_query_and_into_no_log(crm, configure):
    bench = configure(
        "upsert: {strategy: put, query: {expand: all}}",
        target="auth: {type: query, name: api key, value: 's&cret-1234'}",
    )
    crm.say(422)
    outcome = bench.upsert()
    assert crm.seen[0].query == [("expand", "all"), ("api key", "s&cret-1234")]
    assert outcome.calls[0].path == "/tickets/9999?expand=all"
    bench.delete()
    assert crm.seen[1].query == [("api key", "s&cret-1234")]


def test_credentials_have_no_say_in_the_key(crm, configure):
    for value in ("s-cret-1", "s-cret-2"):
        configure(target=f"auth: {{type: query, name: k, value: {value}}}").upsert()
    assert len(set(crm.keys)) == 1


def test_no_credentials(crm, configure):
    configure().upsert()
    assert "authorization" not in crm.seen[0].headers


def test_401_pauses_the_target(crm, configure):
    crm.say(401, {"message": "who are you"})
    outcome = configure(target="auth: {type: bearer, token: tok-1234}").upsert()
    assert (outcome.meaning, len(crm.seen)) == ("credentials", 1)


@pytest.mark.parametrize("auth", [*AUTHS, "{type: query, name: k, value: 'a/b c+1234'}"])
def test_secrets_that_come_back_are_masked(crm, configure, auth):
    def echo(seen):
        debug = {"headers": dict(seen.headers), "path": seen.path, "query": dict(seen.query)}
        return crm.reply(400, {"message": json.dumps(debug), "debug": debug})

    crm.otherwise = echo
    target = f"auth: {auth}\nheaders: {{X-Tenant-Key: 'ten-1234', Accept: text/plain}}"
    outcome = configure(target=target).upsert()
    shown = repr(outcome)
    assert "text/plain" in shown
    for secret in (
        "tok-1234",
        "pä-1234",
        "p\\u00e4",
        "key-1234",
        "ten-1234",
        "a/b c+1234",
        "b%20c",
    ):
        assert secret not in shown
    assert "***" in shown


def test_secret_is_masked_in_a_long_answer_at_the_cut(crm, configure):
    crm.say(400, "x" * 1995 + "tok-1234" + "y" * 100)
    outcome = configure(target="auth: {type: bearer, token: tok-1234}").upsert()
    assert "tok" not in repr(outcome)


# --- 403


def test_403_is_this_records_where_nothing_proves_otherwise(crm, configure):
    crm.say(403)
    outcome = configure().upsert()
    assert (outcome.meaning, len(crm.seen)) == ("refused", 1)


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(200, "refused"), (404, "refused"), (401, "credentials"), (403, "credentials")],
)
def test_403_is_settled_by_the_check(crm, configure, status, meaning):
    crm.say(403, {"message": "no"})
    crm.say(status)
    outcome = configure(target="check: {path: /me}").upsert()
    assert (outcome.meaning, outcome.status) == (meaning, 403)
    assert [(seen.method, seen.path) for seen in crm.seen[1:]] == [("GET", "/me")]
    assert outcome.number == 2


@pytest.mark.parametrize(("status", "meaning"), [(503, "not_now"), (500, "fault"), (302, "misled")])
def test_check_that_is_not_answered_leaves_the_403_open(crm, configure, status, meaning):
    crm.say(403)
    crm.otherwise = crm.reply(status)
    assert configure(target="check: {path: /me}").upsert().meaning == meaning


def test_403_for_everything_is_credentials_once_anything_worked(crm, configure):
    bench = configure()
    bench.upsert(id="1")
    crm.otherwise = crm.reply(403)
    outcome = bench.upsert(id="2")
    assert outcome.meaning == "credentials"
    assert [(seen.method, seen.path) for seen in crm.seen] == [
        ("PUT", "/tickets/1"),
        ("PUT", "/tickets/2"),
        ("GET", "/tickets/1"),
    ]


def test_403_for_one_record_is_this_records(crm, configure):
    bench = configure()
    bench.upsert(id="1")
    crm.say(403)
    assert bench.upsert(id="2").meaning == "refused"


def test_reading_that_is_always_forbidden_proves_nothing(crm, configure):
    """Credentials that may only write: after one needless pause the record is found out."""
    bench = configure()
    crm.otherwise = lambda seen: crm.reply(
        403 if seen.method == "GET" or seen.path == "/tickets/2" else 200
    )
    bench.upsert(id="1")
    assert bench.upsert(id="2").meaning == "credentials"
    bench.upsert(id="1")
    assert bench.upsert(id="2").meaning == "refused"


def test_check_of_a_target(crm, configure):
    bench = configure(target="check: {path: /me}\nauth: {type: bearer, token: tok-1234}")
    outcome = bench.target.check(bench.http, bench.before_call)
    assert outcome is not None
    assert (outcome.meaning, len(outcome.calls), bench.tries) == ("done", 1, 1)
    assert crm.seen[0].headers["authorization"] == "Bearer tok-1234"
    assert crm.keys == [None]
    crm.say(401)
    outcome = bench.target.check(bench.http, bench.before_call)
    assert outcome is not None
    assert outcome.meaning == "credentials"


def test_target_without_a_check_has_nothing_to_probe_by(configure):
    bench = configure()
    assert bench.target.check(bench.http, bench.before_call) is None


def test_headers_of_a_record_cannot_smuggle_lines(crm, configure):
    bench = configure("upsert: {strategy: put, path: /t, headers: {X-Id: '{external_id}'}}")
    assert bench.upsert(id="a\r\nX-Evil: 1").meaning == "refused"
    assert crm.seen == []


def test_key_in_the_path_of_the_address_is_masked(crm, configure):
    key = "k3y0123456789abcd"
    bench = configure(base_url=f"{crm.url}/rest/1/{key}")
    crm.say(302, headers={"Location": f"{crm.url}/rest/1/{key}/login"})
    report = bench.upsert()
    assert report.meaning == "misled"
    assert report.reason.endswith("/rest/1/***/login")
    assert key not in repr(report)


def test_secrets_in_query_and_body_of_a_call_are_masked(crm, configure):
    call = (
        "{path: /s, query: {api_key: query-secret, q: '{external_id}'}, body: {token: body-secret}}"
    )
    bench = configure(f"upsert: {{strategy: post, search: {call}}}\nexternal_id_field: x")
    crm.say(400, {"message": "query-secret body-secret"})
    report = bench.upsert(in_doubt=True)
    assert report.meaning == "refused"
    assert "query-secret" not in repr(report)
    assert "body-secret" not in repr(report)
    assert report.calls[0].request == '{"token":"***"}'


def test_body_of_a_call_is_kept_for_operators_and_not_the_whole_of_a_long_one(crm, configure):
    bench = configure("")
    assert bench.upsert(fields={"title": "Đã gọi"}).calls[0].request == '{"title":"Đã gọi"}'
    assert len(bench.upsert(fields={"title": "x" * 9000}).calls[0].request) == 2000
