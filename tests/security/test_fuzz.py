"""Whatever is posted, the answer is one of the few that there are, and nothing falls over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from system import SAMPLES

from connector.assemble import folder_set, open_sources
from connector.config import Config, load
from connector.journal import newest_first
from connector.mapping.load import MappingSet
from connector.reconcile import apply_event
from connector.redisdb import connect
from connector.sources.base import Source
from connector.web import close, create_app

ROOT = Path(__file__).parents[2]
FUZZ = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
KINDS = ("caresoft", "mobio")
BODIES = {
    kind: [path.read_bytes() for path in sorted(SAMPLES.glob(f"{kind}/*.json"))] for kind in KINDS
}

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["0", "-1", "", "1633484753675", "2024-13-45", "\x00", "<script>", "${X}"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def twisted(draw: st.DrawFn, kind: str) -> bytes:
    """A documented body with a few values replaced, taken away or put where they do not belong."""
    body: Any = json.loads(draw(st.sampled_from(BODIES[kind])))
    for _ in range(draw(st.integers(1, 4))):
        at = body
        for _ in range(draw(st.integers(0, 4))):
            inside = (
                list(at.values()) if isinstance(at, dict) else at if isinstance(at, list) else []
            )
            deeper = [value for value in inside if isinstance(value, dict | list) and value]
            if not deeper:
                break
            at = draw(st.sampled_from(deeper))
        if isinstance(at, dict) and at:
            key = draw(st.sampled_from(sorted(at)))
            if draw(st.booleans()):
                at[key] = draw(values)
            else:
                del at[key]
        elif isinstance(at, list) and at:
            at[draw(st.integers(0, len(at) - 1))] = draw(values)
    return json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, kind: str) -> bytes:
    """A documented body with bytes cut off, changed or added."""
    body = bytearray(draw(st.sampled_from(BODIES[kind])))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        body[at : at + draw(st.integers(0, 5))] = draw(st.binary(max_size=5))
    return bytes(body)


def posted(kind: str) -> st.SearchStrategy[bytes]:
    odd = st.sampled_from(
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b"0",
            b'""',
            b"NaN",
            b"[" * 5000,
            b'{"a":' * 2000,
            b"\xff\xfe{}",
            b"1e999",
        ]
    )
    return twisted(kind) | damaged(kind) | odd | st.binary(max_size=60)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, redis_server: Any) -> Iterator[Config]:
    redis_server.start()
    file = tmp_path_factory.mktemp("fuzz") / "config.yaml"
    file.write_text(
        f"redis_url: {redis_server.url}\n"
        f"mappings: {ROOT / 'mappings'}\n"
        "sources:\n"
        "  caresoft: {kind: caresoft, secrets: [CS123]}\n"
        "  mobio:\n"
        "    kind: mobio\n"
        "    apps:\n"
        "      - {app_id: 16453496-6a17-11ed-8a77-6632ed169876, secrets: [s1]}\n"
        "      - {app_id: c71f0b7a-6ecc-11ed-9704-468042e8692e, secrets: [s1]}\n"
        "targets: {crm: {base_url: 'http://localhost', auth: {type: none}}}\n"
    )
    yield load(file, {})
    connect(redis_server.url).flushall()


@pytest.fixture(scope="module")
def http(config: Config) -> Iterator[FlaskClient]:
    app = create_app(config)
    yield app.test_client()
    close(app)


@pytest.fixture(scope="module")
def sources(config: Config) -> dict[str, Source]:
    return open_sources(config)


@pytest.fixture(scope="module")
def mapping_set(config: Config) -> MappingSet:
    return folder_set(config)


@pytest.mark.parametrize("kind", KINDS)
def test_an_authentic_body_is_taken_or_no_json(
    kind: str, http: FlaskClient, sources: dict[str, Source], config: Config
) -> None:
    client = connect(config.redis_url)

    @FUZZ
    @given(posted(kind))
    def check(body: bytes) -> None:
        before = int(client.get("c:serial") or 0)
        answer = http.post(f"/webhooks/{kind}", data=body, headers=sources[kind].sign(body))
        assert answer.status_code in (200, 400, 401), answer.text
        stored = int(client.get("c:serial") or 0) - before
        if answer.status_code == 200:
            assert answer.json["accepted"] == stored  # type: ignore[index]
        else:
            assert stored == 0
            assert list(answer.json or ()) == ["error"]

    check()
    list(newest_first(client))  # what was stored can be read again


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_unauthentic_is_stored(kind: str, http: FlaskClient, config: Config) -> None:
    client = connect(config.redis_url)
    header = {"caresoft": "X-Hub-Signature", "mobio": "X-mevent-signature"}[kind]
    plain = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80)

    @FUZZ
    @given(posted(kind), plain | st.sampled_from(["sha1=" + "0" * 40, "mac=" + "f" * 64, "mac = "]))
    def check(body: bytes, signature: str) -> None:
        before = client.get("c:serial")
        answer = http.post(f"/webhooks/{kind}", data=body, headers={header: signature})
        assert answer.status_code == 401
        assert client.get("c:serial") == before

    check()


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_that_was_taken_is_mapped_or_a_dead_letter(
    kind: str, sources: dict[str, Source], mapping_set: MappingSet
) -> None:
    """No body makes the worker stumble: an internal error would be a fault of ours."""
    source = sources[kind]

    @FUZZ
    @given(twisted(kind))
    def check(body: bytes) -> None:
        from connector.errors import SenderError

        try:
            events = source.parse(source.verify(body, source.sign(body)), 1_713_150_365_000_000)
        except SenderError:
            return
        for event in events:
            if event.problem:
                continue
            applied = apply_event(source, mapping_set, event)
            assert applied.status in ("mapped", "unmapped", "error")
            if applied.error:
                assert "internal error" not in applied.error.message

    check()


def test_odd_addresses_methods_and_headers_are_refused_quietly(http: FlaskClient) -> None:
    @FUZZ
    @given(
        st.text(max_size=20),
        st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HEAD"]),
        st.dictionaries(
            st.sampled_from(
                ["Content-Type", "X-Hub-Signature", "X-Forwarded-For", "Host", "Range", "Cookie"]
            ),
            st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30),
        ),
    )
    def check(name: str, method: str, headers: dict[str, str]) -> None:
        from urllib.parse import quote

        answer = http.open(
            f"/webhooks/{quote(name, safe='')}", method=method, headers=headers, data=b"{}"
        )
        assert answer.status_code < 500

    check()


@pytest.mark.parametrize(
    "path",
    [
        "/webhooks/../metrics",
        "/webhooks/caresoft/",
        "/webhooks//caresoft",
        "/webhooks/caresoft%00",
        "/webhooks/caresoft/../../etc/passwd",
        "/static/../config.yaml",
        "/config.yaml",
        "/.env",
    ],
)
def test_no_address_leads_to_a_file(http: FlaskClient, path: str) -> None:
    answer = http.post(path, data=b"{}")
    assert answer.status_code in (302, 308, 401, 403, 404, 405)
    assert "CS123" not in answer.text
