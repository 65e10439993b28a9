"""What answers mean: every row of the table, corrections, reasons, Retry-After."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3 import HTTPHeaderDict

from connector.config.model import AnswerRule, Expression
from connector.targets.answers import ROWS, Case, judge, markdown, retry_after
from connector.targets.extract import holds
from connector.targets.http import Answer, Failure
from connector.targets.reasons import LONGEST, likeness, message_in

HTML = "<!DOCTYPE html><html><title>Sign in</title><form>"
ALL = ("search", "read", "create", "update", "upsert", "delete")
WRITES = ("create", "update", "upsert", "delete")


def answer(status, body=None, **headers):
    content = b"" if body is None else body.encode() if isinstance(body, str) else None
    content = json.dumps(body).encode() if content is None else content
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, "", HTTPHeaderDict(headers), content, body, 0.01)


def meaning(call, result, **case):
    return judge(Case(call, **case), result).meaning


# --- the table, row by row


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_2xx_is_done(call, status):
    assert meaning(call, answer(status)) == "done"
    assert meaning(call, answer(status, {"id": 1})) == "done"


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize(
    "page",
    [answer(200, HTML), answer(200, " \n<HTML>"), answer(200, "<p>", Content_Type="text/html")],
)
def test_html_where_json_is_expected_is_a_login_page(call, page):
    judgement = judge(Case(call), page)
    assert judgement.meaning == "credentials"
    assert "login" in judgement.reason


@pytest.mark.parametrize(
    "fine", [answer(200, "OK", Content_Type="text/html"), answer(200, "<?xml version='1.0'?><ok/>")]
)
def test_text_that_is_no_html_is_done(fine):
    assert meaning("update", fine) == "done"


def test_html_is_fine_for_a_check():
    assert meaning("check", answer(200, HTML)) == "done"


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("body", [{"error": True}, {"ok": False}, {"code": "errors"}])
def test_2xx_with_an_error_inside_is_refused(call, body):
    assert meaning(call, answer(200, {**body, "message": "no"})) == "refused"


@pytest.mark.parametrize(
    "body", [{"error": False}, {"ok": True}, {"code": "ok"}, {"error": None}, {"error": "true"}, []]
)
def test_2xx_without_an_error_is_done(body):
    assert meaning("update", answer(200, body)) == "done"


def test_answer_that_holds_the_record_has_no_error_inside(configure):
    resource = configure("crm_id: data.id\nexternal_id_field: ext").target.config.resource(
        "tickets"
    )
    case = Case("update", resource, external_id="9999")
    assert judge(case, answer(200, {"error": True, "data": {"id": 5}})).meaning == "done"
    assert judge(case, answer(200, {"ok": False, "ext": 9999})).meaning == "done"
    assert judge(case, answer(200, {"ok": False, "ext": "other"})).meaning == "refused"


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ([{"status": 201}, {"status": 400}], "refused"),
        ({"results": [{"status": "409"}]}, "refused"),
        ({"results": [{"error": "bad"}]}, "refused"),
        ({"a": {"status": 500}}, "refused"),
        ([{"status": 200, "error": ""}], "done"),
        ({"results": [{"status": "ok", "error": None}]}, "done"),
        (None, "done"),
    ],
)
def test_207_is_judged_by_its_parts(body, verdict):
    assert meaning("update", answer(207, body)) == verdict


@pytest.mark.parametrize("call", WRITES)
def test_success_must_hold_for_a_write_that_has_a_body(configure, call):
    resource = configure("success: \"status == 'ok'\"").target.config.resource("tickets")
    assert meaning(call, answer(200, {"status": "ok"}), resource=resource) == "done"
    assert meaning(call, answer(200, {"status": "bad"}), resource=resource) == "refused"
    assert meaning(call, answer(204), resource=resource) == "done"
    assert meaning("search", answer(200, {"items": []}), resource=resource) == "done"


@pytest.mark.parametrize("call", [*ALL, "check", "login"])
@pytest.mark.parametrize("status", [300, 301, 302, 304, 307, 308])
def test_3xx_is_misled_with_the_address(call, status):
    location = "https://me:secret@sso.example/login?ticket=secret#secret"
    judgement = judge(Case(call), answer(status, Location=location))
    assert judgement.meaning == "misled"
    assert judgement.reason.endswith("sent to https://sso.example/login")


@pytest.mark.parametrize("call", [*ALL, "check", "login"])
def test_401_is_credentials(call):
    assert meaning(call, answer(401)) == "credentials"


def test_403_is_open_but_for_a_check():
    assert meaning("update", answer(403)) == "forbidden"
    assert meaning("check", answer(403)) == "credentials"


@pytest.mark.parametrize("status", [404, 410])
def test_record_that_is_not_there(status):
    assert meaning("delete", answer(status)) == "done"
    assert meaning("update", answer(status), delivered=True) == "gone"
    assert meaning("read", answer(status), delivered=True) == "gone"
    for call in ("update", "read", "create", "upsert", "search"):
        assert meaning(call, answer(status), delivered=call == "search") == "refused"


@pytest.mark.parametrize("status", [409, 412])
@pytest.mark.parametrize("call", WRITES)
def test_conflict_needs_a_way_to_look(call, status):
    assert meaning(call, answer(status), can_look=True) == "conflict"
    assert meaning(call, answer(status)) == "refused"


@pytest.mark.parametrize("call", [*ALL, "check", "login"])
@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_away_or_busy_is_not_now_and_a_definite_answer(call, status):
    judgement = judge(Case(call), answer(status))
    assert (judgement.meaning, judgement.definite, judgement.unknown) == ("not_now", True, False)


@pytest.mark.parametrize("status", [502, 504])
def test_gateway_that_lost_the_crm_leaves_a_write_unknown(status):
    for call in WRITES:
        judgement = judge(Case(call), answer(status))
        assert (judgement.meaning, judgement.definite, judgement.unknown) == (
            "not_now",
            False,
            True,
        )
    assert not judge(Case("search"), answer(status)).unknown


@pytest.mark.parametrize("kind", ["refused", "reset", "timed out", "name not found", "TLS"])
@pytest.mark.parametrize("sent", [True, False])
def test_no_answer_is_not_now_and_unknown_once_sent(kind, sent):
    judgement = judge(Case("update"), Failure(kind, sent, "text", 0.1))
    assert (judgement.meaning, judgement.unknown) == ("not_now", sent)
    assert not judgement.definite
    assert judgement.status is None


def test_call_that_cannot_be_written_is_refused():
    assert meaning("update", Failure("unwritable", False, "text", 0.0)) == "refused"


@pytest.mark.parametrize("status", [400, 404, 405, 422])
def test_any_other_4xx_on_a_check_means_alive(status):
    assert meaning("check", answer(status)) == "done"


@pytest.mark.parametrize(
    ("status", "verdict"), [(400, "refused"), (422, "refused"), (500, "fault")]
)
def test_refused_create_is_looked_for_where_there_is_a_search(status, verdict):
    judgement = judge(Case("create", can_search=True), answer(status))
    assert (judgement.meaning, judgement.look) == (verdict, True)
    judgement = judge(Case("create"), answer(status))
    assert (judgement.meaning, judgement.look) == (verdict, False)
    assert not judge(Case("update", can_search=True), answer(status)).look


def test_refused_delete_is_looked_for_where_there_is_a_search():
    assert judge(Case("delete", can_search=True), answer(400)).look
    assert not judge(Case("delete"), answer(400)).look


@pytest.mark.parametrize("call", ALL)
@pytest.mark.parametrize("status", [400, 402, 405, 406, 411, 413, 415, 418, 422, 451])
def test_other_4xx_are_refused(call, status):
    assert meaning(call, answer(status, {"message": "no"})) == "refused"


@pytest.mark.parametrize("call", [*ALL, "check"])
@pytest.mark.parametrize("status", [500, 501, 505, 507, 520, 599, 999])
def test_other_5xx_are_a_fault(call, status):
    assert meaning(call, answer(status)) == "fault"


@given(st.sampled_from([*ALL, "check", "login"]), st.integers(100, 999), st.booleans())
def test_every_answer_has_a_meaning(call, status, delivered):
    judgement = judge(Case(call, delivered=delivered), answer(status))
    assert bool(judgement.reason) == (judgement.meaning != "done")


def test_every_row_is_printed_and_decides_something():
    printed = markdown().splitlines()
    assert len(printed) == len(ROWS) + 2
    assert all(line.count("|") == 4 for line in printed)


# --- corrections


def corrected(configure, rules, strategy="put", crm_id=""):
    text = f"upsert: {{strategy: {strategy}}}\nanswers: {rules}\n{crm_id}"
    return configure(text).target.config.resource("tickets")


def test_correction_comes_before_the_table(configure):
    rules = "[{call: update, status: 400, when: \"code == 'DUP'\", means: conflict}]"
    resource = corrected(configure, rules)
    case = Case("update", resource)
    assert judge(case, answer(400, {"code": "DUP"})).meaning == "conflict"
    assert judge(case, answer(400, {"code": "BAD"})).meaning == "refused"
    assert judge(case, answer(422, {"code": "DUP"})).meaning == "refused"
    assert judge(Case("create", resource), answer(400, {"code": "DUP"})).meaning == "refused"


def test_first_correction_that_fits_wins(configure):
    resource = corrected(
        configure, "[{status: [400, 422], means: not_now}, {status: 422, means: done}]"
    )
    assert judge(Case("update", resource), answer(422)).meaning == "not_now"


def test_correction_holds_for_a_2xx_and_for_text(configure):
    resource = corrected(configure, "[{when: \"contains(@, 'try later')\", means: not_now}]")
    assert judge(Case("update", resource), answer(200, "please try later")).meaning == "not_now"
    assert judge(Case("update", resource), answer(200, "fine")).meaning == "done"


def test_condition_on_an_empty_answer_sees_null(configure):
    resource = corrected(configure, '[{status: 200, when: "@ == null", means: refused}]')
    assert judge(Case("update", resource), answer(200)).meaning == "refused"
    assert judge(Case("update", resource), answer(200, {})).meaning == "done"


@pytest.mark.parametrize("word", ["upsert", "patch", "create"])
def test_one_call_of_a_new_record_goes_by_all_its_names(configure, word):
    resource = corrected(configure, f"[{{call: {word}, status: 418, means: done}}]", "patch")
    new = Case("upsert", resource, one_call=True)
    assert judge(new, answer(418)).meaning == "done"
    known = Case("update", resource, one_call=True, delivered=True)
    assert judge(known, answer(418)).meaning == ("refused" if word == "create" else "done")


def test_correction_cannot_invent_an_answer(configure):
    resource = corrected(configure, "[{status: 400, means: done}]")
    assert judge(Case("update", resource), Failure("reset", True, "x", 0)).meaning == "not_now"


def test_condition_that_does_not_suit_the_answer_does_not_hold():
    rule = AnswerRule("done", when=Expression("length(code) > `3`"))
    assert rule.when is not None
    assert not holds(rule.when, {"code": 5})


# --- Retry-After


def headers(**given):
    return HTTPHeaderDict({name.replace("_", "-"): value for name, value in given.items()})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("120", 120), ("0", 0), (" 3 ", 3), ("1.5", 1.5), ("-5", None), ("soon", None), ("", None)],
)
def test_retry_after_in_seconds(value, seconds):
    assert retry_after(headers(Retry_After=value)) == seconds


def test_retry_after_as_a_date_counts_from_the_answers_own_clock():
    then = datetime(2024, 5, 1, 12, tzinfo=UTC)
    given = {
        "Date": format_datetime(then, usegmt=True),
        "Retry_After": format_datetime(then + timedelta(seconds=90), usegmt=True),
    }
    assert retry_after(headers(**given)) == 90
    del given["Date"]
    assert retry_after(headers(**given), now=then.timestamp() + 60) == 30


def test_retry_after_is_never_negative():
    assert retry_after(headers(Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")) == 0


def test_retry_after_belongs_to_answers_that_ask_to_wait():
    assert judge(Case("update"), answer(429, Retry_After="7")).retry_after == 7
    assert judge(Case("update"), answer(503, Retry_After="7")).retry_after == 7
    assert judge(Case("update"), answer(400, Retry_After="7")).retry_after is None


# --- reasons


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"message": "not a valid address"}, "not a valid address"),
        ({"error": "invalid_grant", "error_description": "expired"}, "expired: invalid_grant"),
        ({"error": {"code": 7, "message": "bad id"}}, "bad id"),
        ({"error": {"message": {"lang": "en", "value": "bad id"}}}, "bad id"),
        ({"errors": [{"field": "email", "message": "not valid"}]}, "email: not valid"),
        ({"errors": [{"message": "a"}, {"message": "b"}]}, "a; b"),
        ({"errors": {"email": ["is taken", "is short"]}}, "email: is taken; is short"),
        ({"message": "Invalid", "errors": {"email": ["bad"]}}, "Invalid: email: bad"),
        ({"message": "Bad", "errors": [{"message": "Bad"}]}, "Bad"),
        ({"detail": [{"loc": ["body", "email"], "msg": "required"}]}, "body.email: required"),
        ({"title": "Conflict", "detail": "exists"}, "exists"),
        (
            {"errors": [{"detail": "blank", "source": {"pointer": "/data/email"}}]},
            "/data/email: blank",
        ),
        ([{"message": "required", "errorCode": "X"}], "required"),
        ("plain text", "plain text"),
        ("<html><title>Oops</title>…", "Oops"),
        ({"id": 5}, ""),
        (None, ""),
        (7, ""),
    ],
)
def test_message_is_found_where_apis_put_it(body, message):
    assert message_in(body) == message


def test_reason_is_one_short_line():
    judgement = judge(Case("create"), answer(422, {"message": "a\n b " + "x" * 1000}))
    assert judgement.reason.startswith("422 Unprocessable Entity: a b xxx")
    assert len(judgement.reason) < LONGEST + 40


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["message", "error", "errors", "detail", "x", "field"]), inner
            )
        ),
        max_leaves=10,
    )
)
def test_any_answer_gives_some_message(body):
    assert isinstance(message_in(body), str)


def test_same_refusal_differs_in_digits_and_quotes_only():
    one = likeness(422, {"message": "Row 17: 'a@b.vn' is not valid", "id": 5})
    other = likeness(422, {"message": "Row 9: 'c@d.vn' is not valid", "id": 6})
    assert one == other
    assert one != likeness(400, {"message": "Row 17: 'a@b.vn' is not valid", "id": 5})
    assert one != likeness(422, {"message": "Row 17: 'a@b.vn' is unknown", "id": 5})
    assert likeness(400, "can't do 'a'") == likeness(400, "can't do 'b'")
