"""Every key of config.yaml, its default, and what becomes of it."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connector.config import (
    App,
    Basic,
    Bearer,
    Call,
    CareSoft,
    ClientCredentials,
    HeaderAuth,
    Login,
    Mobio,
    NoAuth,
    QueryAuth,
    RateLimit,
    Receiver,
    Retention,
    load,
)
from connector.errors import ConfigInvalid, UnknownSource

MINIMAL = "targets: {crm: {base_url: http://crm}}\nsources: {cs: {kind: caresoft, secrets: [s]}}\n"


def test_everything_left_out_has_the_documented_default(loaded, tmp_path):
    config = loaded(MINIMAL)
    assert config.path == tmp_path / "config.yaml"
    assert config.redis_url == "redis://127.0.0.1:6379/0"
    assert config.spool == tmp_path / "var/spool.sqlite"
    assert config.mappings == tmp_path / "mappings"
    assert config.timezone == ZoneInfo("Asia/Ho_Chi_Minh")
    assert config.receiver == Receiver(1048576)
    assert config.retention == Retention(days=30, events=1_000_000)
    assert config.warnings == ()
    target = config.targets["crm"]
    assert target.name == "crm"
    assert target.auth == NoAuth()
    assert target.headers == {}
    assert target.idempotency_header == "Idempotency-Key"
    assert target.check is None
    assert (target.timeout, target.search_lag, target.rate_limit) == (10, 2, None)
    assert (target.concurrency, target.probe_interval) == (16, 30)
    assert target.pause_after_refusals == 20
    assert target.pause_after_failures == 5
    assert target.dead_after_failures == 6
    assert target.retry.schedule == (5, 30, 120, 600, 1800, 7200, 21600, 43200, 86400)
    assert (target.retry.give_up_after, target.retry.max_retry_after) == (604800, 3600)
    assert target.resource("anything").upsert.strategy == "put"


def test_redis_is_that_of_the_platform_when_the_key_is_left_out(loaded):
    assert loaded(MINIMAL, REDIS_URL="rediss://h:1").redis_url == "rediss://h:1"
    assert (
        loaded(f"redis_url: redis://x\n{MINIMAL}", REDIS_URL="redis://h").redis_url == "redis://x"
    )


@pytest.mark.parametrize(
    "url", ["redis://h:6380/2", "rediss://:p@h", "unix:///run/redis.sock?db=1"]
)
def test_redis_url_of_every_kind(loaded, url):
    assert loaded(f"redis_url: {url}\n{MINIMAL}").redis_url == url


def test_spool_can_be_switched_off(loaded):
    assert loaded(f"spool: null\n{MINIMAL}").spool is None
    assert loaded(f"spool: ${{SPOOL:-}}\n{MINIMAL}").spool is None


def test_paths_are_relative_to_the_file_or_absolute(loaded, tmp_path):
    config = loaded(f"spool: /var/s.sqlite\nmappings: ../maps\n{MINIMAL}")
    assert config.spool == Path("/var/s.sqlite")
    assert config.mappings == tmp_path / "../maps"


def test_general_keys(loaded):
    config = loaded(
        f"timezone: Europe/Paris\nreceiver: {{max_body: 5}}\n"
        f"retention: {{days: 0.5, events: 10}}\n{MINIMAL}"
    )
    assert config.timezone == ZoneInfo("Europe/Paris")
    assert config.receiver == Receiver(5)
    assert config.retention == Retention(0.5, 10)


def test_null_is_the_default(loaded):
    config = loaded(
        "timezone:\nreceiver:\nretention: {days: null}\nsources:\n"
        "targets: {t: {base_url: http://h, timeout: ~, retry: , resources: {a: }}}"
    )
    assert config.timezone == ZoneInfo("Asia/Ho_Chi_Minh")
    assert config.receiver.max_body == 1048576
    assert config.retention.days == 30
    assert config.targets["t"].timeout == 10
    assert config.targets["t"].resource("a").upsert.strategy == "put"


def test_sources_of_every_kind(loaded):
    config = loaded(
        """\
sources:
  caresoft: {kind: caresoft, secrets: [one, "two"]}
  second: {kind: caresoft, unsigned: true}
  third: {kind: caresoft, secrets: lonely}
  mobio:
    kind: mobio
    apps:
      - {app_id: 007, secrets: [x]}
      - {app_id: b, secrets: [y, z]}
targets: {crm: {base_url: http://crm}}
"""
    )
    assert config.sources == {
        "caresoft": CareSoft("caresoft", ("one", "two")),
        "second": CareSoft("second", (), unsigned=True),
        "third": CareSoft("third", ("lonely",)),
        "mobio": Mobio("mobio", (App("007", ("x",)), App("b", ("y", "z")))),
    }
    assert {source.kind for source in config.sources.values()} == {"caresoft", "mobio"}
    assert config.source("second").unsigned
    with pytest.raises(UnknownSource, match="caresoft, second, third, mobio"):
        config.source("fourth")


@pytest.mark.parametrize(
    ("said", "auth"),
    [
        ("none", NoAuth()),
        ("{type: none}", NoAuth()),
        ("{type: bearer, token: 12345}", Bearer("12345")),
        ("{type: basic, username: u, password: ''}", Basic("u", "")),
        ("{type: header, name: X-Key, value: v}", HeaderAuth("X-Key", "v")),
        ("{type: query, name: api_key, value: '{v}'}", QueryAuth("api_key", "{v}")),
        (
            "{type: oauth2_client_credentials, token_url: https://h/t, client_id: i, "
            "client_secret: s, scope: a b, params: {audience: x, n: 1}}",
            ClientCredentials("https://h/t", "i", "s", "a b", {"audience": "x", "n": "1"}),
        ),
        (
            "{type: oauth2_client_credentials, token_url: http://h, client_id: i, "
            "client_secret: s}",
            ClientCredentials("http://h", "i", "s"),
        ),
    ],
)
def test_auth_of_every_type(loaded, said, auth):
    config = loaded(f"targets: {{t: {{base_url: http://h, auth: {said}}}}}")
    assert config.targets["t"].auth == auth
    assert config.targets["t"].auth.type in said


def test_login(loaded):
    text = "targets: {t: {base_url: http://h, auth: {type: login, %s}}}"
    plain = loaded(text % "call: {path: session}, token: a.b").targets["t"].auth
    assert isinstance(plain, Login)
    assert plain.call == Call("POST", "/session")
    assert (plain.token.text, plain.expires) == ("a.b", None)
    assert (plain.header, plain.value) == ("Authorization", "Bearer {token}")
    whole = (
        loaded(
            text % "call: {method: put, path: 'https://id.example/t?x=1', query: {y: 2}, "
            "headers: {A: b}, body: {u: me}, escape: {}}, token: t, expires: e, "
            "header: X-Token, value: 'T {token}'"
        )
        .targets["t"]
        .auth
    )
    assert isinstance(whole, Login)
    assert whole.call == Call(
        "PUT", "https://id.example/t", {"x": "1", "y": 2}, {"A": "b"}, {"u": "me"}
    )
    assert whole.expires is not None
    assert (whole.expires.text, whole.header, whole.value) == ("e", "X-Token", "T {token}")


def test_keys_of_a_target(loaded):
    target = loaded(
        """\
targets:
  crm:
    base_url: HTTPS://crm.example:8443/api/v1//
    headers: {Origin: https://us, X-Number: 007}
    idempotency_header: null
    check: {path: me, headers: {A: b}}
    timeout: 2.5
    search_lag: 0
    rate_limit: 100/10 seconds
    concurrency: 3
    probe_interval: 15
    pause_after_refusals: 2
    pause_after_failures: 3
    dead_after_failures: 4
    retry: {schedule: [1, 0.5], give_up_after: 60, max_retry_after: 0}
"""
    ).targets["crm"]
    assert target.base_url == "HTTPS://crm.example:8443/api/v1"
    assert target.headers == {"Origin": "https://us", "X-Number": "007"}
    assert target.idempotency_header is None
    assert target.check == Call("GET", "/me", {}, {"A": "b"})
    assert (target.timeout, target.search_lag) == (2.5, 0)
    assert target.rate_limit == RateLimit(100, 10)
    assert (target.concurrency, target.probe_interval) == (3, 15)
    assert target.pause_after_refusals == 2
    assert target.pause_after_failures == 3
    assert target.dead_after_failures == 4
    assert target.retry.schedule == (1, 0.5)
    assert (target.retry.give_up_after, target.retry.max_retry_after) == (60, 0)


@pytest.mark.parametrize(
    ("said", "limit"),
    [
        ("20/second", RateLimit(20, 1)),
        ("20/seconds", RateLimit(20, 1)),
        ("20 / 1 second", RateLimit(20, 1)),
        ("100/10 seconds", RateLimit(100, 10)),
        ("100/10s", RateLimit(100, 10)),
        ("3/0.5 seconds", RateLimit(3, 0.5)),
        ("600/minute", RateLimit(600, 60)),
        ("600/2 minutes", RateLimit(600, 120)),
        ("54000/hour", RateLimit(54000, 3600)),
        ("10000/day", RateLimit(10000, 86400)),
        ("null", None),
    ],
)
def test_rate_limits(loaded, said, limit):
    config = loaded(f"targets: {{t: {{base_url: http://h, rate_limit: {said}}}}}")
    assert config.targets["t"].rate_limit == limit


def test_file_is_named_by_the_environment(loaded, tmp_path, monkeypatch):
    loaded(MINIMAL)
    other = tmp_path / "other.yaml"
    other.write_text(f"timezone: UTC\n{MINIMAL}")
    assert load(None, {"CONNECTOR_CONFIG": str(other)}).timezone == ZoneInfo("UTC")
    monkeypatch.chdir(tmp_path)
    assert load(environ={}).path == Path("config.yaml")
    assert load(environ={}).mappings == tmp_path / "mappings"
    assert load(tmp_path / "other.yaml", {"CONNECTOR_CONFIG": "x"}).path == other


@pytest.mark.parametrize("file", ["missing.yaml", "."])
def test_file_that_cannot_be_read(tmp_path, file):
    with pytest.raises(ConfigInvalid, match="cannot read") as caught:
        load(tmp_path / file, {})
    (problem,) = caught.value.problems
    assert problem.place is None
    assert "config.example.yaml" in problem.hint


def test_no_sources_and_no_targets_are_doubtful(loaded):
    assert [str(w.place).rpartition("yaml")[2] for w in loaded("timezone: UTC").warnings] == [
        ":1:1",
        ":1:1",
    ]
    assert "nothing can be received" in loaded("timezone: UTC").warnings[0].message


def test_source_by_the_name_of_another_kind_is_doubtful(loaded):
    text = "targets: {crm: {base_url: http://crm}}\nsources:\n  mobio: {kind: caresoft, secrets: s}"
    (warning,) = loaded(text).warnings
    assert warning.place is not None
    assert (warning.place.line, warning.place.column) == (3, 3)
    assert "by the name of another kind" in warning.message
