"""What may not leave is taken out, and what is needed to find one's way stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import ResponseError
from system import SAMPLES

from connector.config import load
from connector.errors import EventUnreadable, RedisUnfit
from connector.redaction import Redaction, secrets_of

HIDDEN = [
    ("call +84 90 123 45 67 back", "call [phone] back"),
    ("+84901234567", "[phone]"),
    ("crm/contacts/+84901234567", "crm/contacts/[phone]"),
    ("phone 0901234567.", "phone [phone]."),
    ("0901.234.567, 090-123-4567", "[phone], [phone]"),
    ("(024) 3936 1234", "[phone]"),
    ("84901234567", "[phone]"),
    ("+1 (415) 555-2671", "[phone]"),
    ("from an.nguyen+x@mail.example.vn to", "from [email] to"),
    ("redis://user:pa55@host:6379/0", "redis://[secret]@host:6379/0"),
    ("rediss://:pa55@host", "rediss://[secret]@host"),
    ("Authorization: Bearer abc.def-123", "Authorization: [secret] [secret]"),
    ("sent Bearer abc.def-123", "sent Bearer [secret]"),
    ("GET /x?api_key=abc123&page=2", "GET /x?api_key=[secret]&page=2"),
    ('{"access_token": "a\\"b", "n": 1}', '{"access_token": [secret], "n": 1}'),
    ("password='x y'", "password=[secret]"),
    ("X-Hub-Signature: 420A69CE7D3C36559E9828D6361530DF30065D37", "X-Hub-Signature: [secret]"),
    ("mac = 420a69ce7d3c36559e98", "mac=[secret]"),
]

KEPT = [
    "event 722fa71700000000000000000000000000000000000000000000000000000000",
    "16453496-6a17-11ed-8a77-6632ed169876",
    "16453496-6a17-11ed-8a77-084512345678",
    "crm/tickets/322677",
    "2026-11-21T11:05:33.151547Z",
    "1633484753675 ms, 1633484753.675",
    "timed out after 10 s",
    "mappings/tickets.yaml:12:5",
    "http://127.0.0.1:8080/webhooks/caresoft",
    "Redis is away (ConnectionError); trying again in 0.2 s",
    "line 84, column 12 of 200",
    "401 Unauthorized",
]


@pytest.mark.parametrize(("text", "shown"), HIDDEN)
def test_what_looks_secret_or_personal_is_hidden(text: str, shown: str) -> None:
    assert Redaction().text(text) == shown


@pytest.mark.parametrize("text", KEPT)
def test_what_an_operator_needs_stays(text: str) -> None:
    assert Redaction().text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "phone",
        "customer_phone",
        "email",
        "full_name",
        "username",
        "note",
        "comment",
        "content",
        "body",
        "fields",
        "answer",
        "subject",
        "description",
        "caller",
    ],
)
def test_what_stands_under_a_personal_key_is_left_out_whole(key: str) -> None:
    assert Redaction().data({key: "Nguyễn Văn A", "n": 1}) == {key: "[left out]", "n": 1}


@pytest.mark.parametrize("key", ["token", "access_token", "api_key", "Authorization", "password"])
def test_what_stands_under_a_secret_key_is_left_out_whole(key: str) -> None:
    assert Redaction().data({key: "x"}) == {key: "[secret]"}


def test_data_is_judged_however_deep_it_lies() -> None:
    told = {"records": [{"phone": "1", "at": "call 0901234567"}], "raw": {"a": 1}, "ok": True}
    assert Redaction().data(told) == {
        "records": [{"phone": "[left out]", "at": "call [phone]"}],
        "raw": "[left out]",
        "ok": True,
    }


def test_bytes_are_never_shown() -> None:
    assert Redaction().value("thing", b'{"a": 1}') == "[left out]"


def test_a_known_secret_is_hidden_as_it_is_and_encoded() -> None:
    redaction = Redaction(["s3cr/et ä"])
    assert redaction.text("a s3cr/et ä b s3cr%2Fet%20%C3%A4") == "a [secret] b [secret]"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (ValueError("bad: 'Nguyễn Văn A', \"x\""), "bad: …"),
        (KeyError("Nguyễn Văn A"), "…"),
        (
            requests.ConnectionError("Max retries with url: /contacts/Nguyễn"),
            "Max retries with url: …",
        ),
        (ValueError("time data 'Nguyễn' does not match '%Y'"), "time data … does not match …"),
        (
            RuntimeError("invalid type for value: Nguyễn Văn A, expected"),
            "invalid type for value: …",
        ),
        (EventUnreadable("phone() found “Nguyễn Văn A”"), "phone() found …"),
        (
            ResponseError("unknown command 'X', with args: 'Nguyễn'"),
            "unknown command …, with args: …",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_an_exception_may_have_from_a_record_is_left_out(error: Exception, shown: str) -> None:
    assert Redaction().of_error(error) == shown


@pytest.mark.parametrize(
    "error",
    [
        RedisUnfit("this Redis keeps no append-only file: what it holds is lost"),
        RedisAway("Error 111 connecting to 127.0.0.1:6379. Connection refused."),
        FileNotFoundError(2, "No such file or directory", "/app/config.yaml"),
        AttributeError("'str' object has no attribute 'items'"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_about_the_machine_or_the_code_stays(error: Exception) -> None:
    assert Redaction().of_error(error) == str(error)


def test_no_personal_value_of_any_sample_survives_under_its_own_key() -> None:
    """Should a body ever be given to a log as data, its phones, addresses and texts are gone."""
    redaction = Redaction()
    for path in sorted(SAMPLES.glob("*/*.json")):
        body: Any = json.loads(path.read_text(encoding="utf-8"))
        assert redaction.value("body", body) == "[left out]"
        shown = json.dumps(redaction.data(body) if isinstance(body, dict) else [])
        assert "@" not in shown, path.name
        for digits in ("0889999999", "0988888888", "0123456789"):
            assert digits not in shown, path.name


def test_every_secret_of_a_configuration_is_found(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "redis_url: redis://:redis-pass@localhost/0\n"
        "sources:\n"
        "  caresoft: {kind: caresoft, secrets: [caresoft-old, caresoft-new]}\n"
        "  mobio: {kind: mobio, apps: [{app_id: a, secrets: [mobio-secret]}]}\n"
        "targets:\n"
        "  crm:\n"
        "    base_url: https://crm.example\n"
        "    auth: {type: bearer, token: crm-token}\n"
        "    headers: {X-Api-Key: header-key}\n"
        "alerts: {url: https://hooks.chat.example/services/T0/B0}\n"
        "dashboard: {session_key: a-session-key-that-is-long-enough-1234}\n"
    )
    assert set(secrets_of(load(file, {}))) >= {
        "redis-pass",
        "caresoft-old",
        "caresoft-new",
        "mobio-secret",
        "crm-token",
        "header-key",
        "https://hooks.chat.example/services/T0/B0",
        "/services/T0/B0",
        "a-session-key-that-is-long-enough-1234",
    }
