"""The receiver as a WSGI application over a real Redis: what is answered, and what is kept."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from connector import config as configuration
from connector import journal
from connector.assemble import open_sources
from connector.config import Config
from connector.demo.redis import EmbeddedRedis
from connector.redisdb import Redis, connect
from connector.web import close, create_app

MAPPINGS = Path(__file__).parents[2] / "mappings"
APP = "16453496-6a17-11ed-8a77-6632ed169876"
TICKET = json.dumps({"object": "ticket", "action": "delete", "ticket": {"ticket_id": 1}}).encode()


def write_config(folder: Path, redis_url: str, *, spool: str = "spool.sqlite") -> Config:
    text = f"""\
redis_url: {redis_url}
spool: {spool}
mappings: {MAPPINGS}
receiver: {{max_body: 20000}}
sources:
  caresoft: {{kind: caresoft, secrets: [CS123, old]}}
  open: {{kind: caresoft, unsigned: true}}
  mobio: {{kind: mobio, apps: [{{app_id: {APP}, secrets: [s1]}}, {{app_id: other, secrets: [s2]}}]}}
targets:
  crm: {{base_url: "http://127.0.0.1:1", auth: {{type: none}}}}
"""
    path = folder / "config.yaml"
    path.write_text(text)
    return configuration.load(path, {})


@pytest.fixture
def config(tmp_path: Path, redis_url: str) -> Config:
    return write_config(tmp_path, redis_url)


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    app = create_app(config)
    yield app
    close(app)


@pytest.fixture
def http(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def redis(redis_url: str) -> Redis:
    return connect(redis_url)


def post(http: FlaskClient, config: Config, source: str, body: bytes) -> TestResponse:
    headers = open_sources(config)[source].sign(body)
    return http.post(f"/webhooks/{source}", data=body, headers=headers)


def mobio_body(*elements: object, app_id: str | None = APP) -> bytes:
    body = {"merchant_id": "m", "block_event": list(elements)}
    return json.dumps(body if app_id is None else {**body, "app_id": app_id}).encode()


def note(message_id: str) -> dict[str, object]:
    data = {"note_id": "n1", "action_time": 1669200439.676389, "event_detail": []}
    return {"message_id": message_id, "event_type": "note_create", "data_event": data}


def test_the_documented_signature_vector_is_accepted(http: FlaskClient, redis: Redis) -> None:
    headers = {"X-Hub-Signature": "420A69CE7D3C36559E9828D6361530DF30065D37"}
    answer = http.post("/webhooks/caresoft", data=b'{"ticket_id":1}', headers=headers)
    assert (answer.status_code, answer.json) == (200, {"accepted": 1, "duplicates": 0})
    assert journal.count(redis) == 1


def test_a_duplicate_is_recognised(http: FlaskClient, config: Config, redis: Redis) -> None:
    assert post(http, config, "caresoft", TICKET).json == {"accepted": 1, "duplicates": 0}
    assert post(http, config, "caresoft", TICKET).json == {"accepted": 0, "duplicates": 1}
    assert journal.count(redis) == 1


def test_each_element_of_a_batch_is_an_event(
    http: FlaskClient, config: Config, redis: Redis
) -> None:
    body = mobio_body(note("a"), note("b"), "odd", note("a"))
    assert post(http, config, "mobio", body).json == {"accepted": 3, "duplicates": 1}
    states = sorted(entry.state for entry in journal.newest_first(redis))
    assert states == ["dead", "queued", "queued"]


def test_an_empty_batch_is_accepted_with_nothing_in_it(http: FlaskClient, config: Config) -> None:
    answer = post(http, config, "mobio", mobio_body())
    assert (answer.status_code, answer.json) == (200, {"accepted": 0, "duplicates": 0})


@pytest.mark.parametrize("signature", [None, "", "00" * 20, "zz", "sha1=", "đ", "A" * 5000])
def test_a_bad_signature_is_401_and_stores_nothing(
    http: FlaskClient, redis: Redis, signature: str | None
) -> None:
    headers = {} if signature is None else {"X-Hub-Signature": signature}
    answer = http.post("/webhooks/caresoft", data=TICKET, headers=headers)
    assert answer.status_code == 401
    assert journal.count(redis) == 0


def test_an_app_that_did_not_sign_is_401(http: FlaskClient, config: Config, redis: Redis) -> None:
    body = mobio_body(note("a"), app_id="other")
    headers = open_sources(config)["mobio"].sign(body, APP)
    assert http.post("/webhooks/mobio", data=body, headers=headers).status_code == 401
    assert journal.count(redis) == 0


def test_a_source_that_is_said_to_be_unsigned_needs_no_signature(http: FlaskClient) -> None:
    assert http.post("/webhooks/open", data=TICKET).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b'{"a": Infinity}', b"\xff{}", b"{} {}"])
def test_what_is_not_json_is_400(
    http: FlaskClient, config: Config, redis: Redis, body: bytes
) -> None:
    assert post(http, config, "caresoft", body).status_code == 400
    assert journal.count(redis) == 0


@pytest.mark.parametrize(
    "body", [b"[]", b'"text"', b"1", b"{}", b'{"object": 5}', b'{"a":' * 60 + b"1" + b"}" * 60]
)
def test_authentic_json_of_the_wrong_shape_is_a_dead_letter(
    http: FlaskClient, config: Config, redis: Redis, body: bytes
) -> None:
    assert post(http, config, "caresoft", body).json == {"accepted": 1, "duplicates": 0}
    entry = next(journal.newest_first(redis))
    assert (entry.state, entry.event.kind) == ("dead", None)
    assert entry.problem
    assert entry.problem.message


def test_an_unknown_source_is_404(http: FlaskClient) -> None:
    assert http.post("/webhooks/nobody", data=TICKET).status_code == 404
    assert http.get("/webhooks/nobody").status_code == 404


def test_a_probe_by_get_is_200(http: FlaskClient) -> None:
    assert http.get("/webhooks/mobio").status_code == 200


def test_a_body_too_large_is_413(http: FlaskClient, config: Config, redis: Redis) -> None:
    assert post(http, config, "caresoft", b'{"a":"' + b"x" * 20_000 + b'"}').status_code == 413
    assert journal.count(redis) == 0


def test_a_body_sent_in_chunks_is_limited_too(
    http: FlaskClient, config: Config, redis: Redis
) -> None:
    for size, status in ((20_000, 200), (20_001, 413), (60_000, 413)):
        body = b'{"a":"' + b"x" * (size - 8) + b'"}'
        answer = http.post(
            "/webhooks/caresoft",
            input_stream=io.BytesIO(body),
            headers=open_sources(config)["caresoft"].sign(body),
            environ_overrides={"wsgi.input_terminated": True},
        )
        assert (len(body), answer.status_code) == (size, status)
    assert journal.count(redis) == 1


def test_a_refusal_says_nothing_of_the_body(
    http: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"phone": "0889999999"}'
    answer = http.post("/webhooks/caresoft", data=body, headers={"X-Hub-Signature": "00" * 20})
    assert "0889999999" not in answer.text + caplog.text
    assert "refused" in caplog.text


# --- Redis away


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


def test_while_redis_is_away_events_go_to_the_spool_and_then_on(
    tmp_path: Path, own_redis: EmbeddedRedis
) -> None:
    config = write_config(tmp_path, own_redis.url)
    app = create_app(config)
    http = app.test_client()
    own_redis.kill9()
    bodies = [json.dumps({"object": "ticket", "action": "x", "n": n}).encode() for n in range(5)]
    for body in bodies:
        assert post(http, config, "caresoft", body).json == {"accepted": 1, "duplicates": 0}
    own_redis.restart()
    client = connect(own_redis.url)
    deadline = time.monotonic() + 30
    again = {"accepted": 0, "duplicates": 1}  # of Redis; the spool takes what it is given
    while post(http, config, "caresoft", bodies[0]).json != again:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [e.event.body for e in journal.load(client, range(1, 9))] == bodies
    close(app)


def test_without_redis_and_without_a_spool_it_is_503(
    tmp_path: Path, own_redis: EmbeddedRedis
) -> None:
    config = write_config(tmp_path, own_redis.url, spool="null")
    app = create_app(config)
    http = app.test_client()
    own_redis.kill9()
    assert post(http, config, "caresoft", TICKET).status_code == 503
    assert http.get("/healthz").status_code == 200
    ready = http.get("/readyz")
    assert ready.status_code == 503
    assert ready.json
    assert ready.json["redis"]["ok"] is False
    close(app)


# --- what else is served


def test_metrics_count_what_was_answered(app: Flask, config: Config, redis: Redis) -> None:
    http = app.test_client()
    post(http, config, "caresoft", TICKET)
    post(http, config, "caresoft", TICKET)
    http.post("/webhooks/caresoft", data=TICKET)
    deadline = time.monotonic() + 60
    while 'why="signature"' not in (text := http.get("/metrics").text):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert 'connector_accepted_total{source="caresoft"} 1' in text
    assert 'connector_duplicates_total{source="caresoft"} 1' in text
    assert 'connector_refused_total{source="caresoft",why="signature"} 1' in text
    assert "connector_events_queued 1" in text


def test_the_pages_show_events_escaped_and_only_to_this_machine(
    http: FlaskClient, config: Config
) -> None:
    body = json.dumps({"object": "<script>alert(1)</script>", "action": "x"}).encode()
    post(http, config, "caresoft", body)
    page = http.get("/events")
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert http.get("/", environ_overrides={"REMOTE_ADDR": "10.0.0.7"}).status_code == 403
    assert http.get("/", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
