"""Secrets are used like any text and shown by nothing."""

import copy
import dataclasses
import logging
import pickle
import traceback

import pytest

from connector.config import Secret, Url
from connector.errors import ConfigInvalid

HUSH = "hush-hush-7"
EVERYWHERE = """\
redis_url: redis://user:${S}@host:6379/0
sources:
  a: {kind: caresoft, secrets: ["${S}", "literal-hush-hush-7"]}
  b: {kind: mobio, apps: [{app_id: x, secrets: ["${S}"]}]}
targets:
  bearer:
    base_url: http://h
    auth: {type: bearer, token: "${S}"}
    headers: {X-Key: "${S}"}
    check: {path: /, query: {key: "${S}"}, headers: {A: "${S}"}, body: "${S}"}
    resources:
      r: {delete: {path: "/{external_id}", headers: {K: "${S}"}, query: {k: "${S}"}}}
  basic: {base_url: http://h, auth: {type: basic, username: u, password: "${S}"}}
  header: {base_url: http://h, auth: {type: header, name: X, value: "${S}"}}
  query: {base_url: http://h, auth: {type: query, name: X, value: "${S}"}}
  oauth:
    base_url: http://h/rest/1/${S}/
    auth:
      type: oauth2_client_credentials
      token_url: http://h
      client_id: "${S}"
      client_secret: "${S}"
      params: {assertion: "${S}"}
  login:
    base_url: http://h
    auth:
      type: login
      call: {path: "/${S}", query: {a: "${S}"}, headers: {b: "${S}"}, body: {password: "${S}"}}
      token: t
      value: "${S} {token}"
  refresh:
    base_url: http://h
    proxy: http://user:${S}@proxy:3128
    tls: {key_password: "${S}"}
    auth:
      type: oauth2_refresh_token
      token_url: http://h
      client_id: "${S}"
      client_secret: "${S}"
      refresh_token: "${S}"
  signed:
    base_url: http://h
    auth:
      type: hmac
      key: "${S}"
      secret: "${S}"
      sign: "{body}"
      value: "${S} {signature}"
      headers: {X-Key: "${S}"}
      query: {key: "${S}"}
"""


def test_no_repr_shows_a_secret(loaded):
    config = loaded(EVERYWHERE, S=HUSH)
    assert config.targets["basic"].auth.password == HUSH
    assert config.targets["login"].auth.call.body == {"password": HUSH}
    for shown in (repr(config), str(config), f"{config}", f"{config.targets['oauth'].auth!r}"):
        assert HUSH not in shown
    assert "redis://user:***@host:6379/0" in repr(config)


def test_no_repr_of_any_part_shows_a_secret(loaded):
    config = loaded(EVERYWHERE, S=HUSH)
    parts = [config, *config.sources.values(), *config.targets.values()]
    for part in parts:
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if field.repr:
                assert HUSH not in repr(value)
                parts += [value] if dataclasses.is_dataclass(value) else []


def test_secret_is_a_text_like_any_other():
    secret = Secret(HUSH)
    assert secret == HUSH
    assert secret.encode() == HUSH.encode()
    assert f"Bearer {secret}" == f"Bearer {HUSH}"
    assert repr(secret) == repr([secret])[1:-1] == "'***'"
    assert copy.deepcopy(secret) == pickle.loads(pickle.dumps(secret)) == secret
    assert repr(pickle.loads(pickle.dumps(secret))) == "'***'"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:p@h:6379/0", "redis://:***@h:6379/0"),
        ("rediss://u:p@h?x=secret", "rediss://u:***@h"),
        ("redis://u@h", "redis://u@h"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("https://h:8443/a", "https://h:8443/a"),
    ],
)
def test_address_is_shown_without_its_password(url, shown):
    assert Url(url).shown == shown
    assert repr(Url(url)) in (repr(shown), repr("https://h:8443/…"))


@pytest.mark.parametrize(
    "text",
    [
        "redis_url: http://u:${S}@h",
        "redis_url: http://u:hush-hush-7@h",
        "redis_url: ${S}",
        "timezone: ${S}",
        "spool: ['${S}']",
        "receiver: {max_body: '${S}'}",
        "sources: {a: {kind: '${S}'}}",
        "sources: {a: {kind: caresoft, secrets: [['${S}']]}}",
        "sources: {a: {kind: caresoft, secrets: {hush-hush-7: hush-hush-7}}}",
        "targets: {t: {base_url: 'http://u:${S}@h'}}",
        "targets: {t: {base_url: 'http://u:hush-hush-7@h'}}",
        "targets: {t: {base_url: 'http://h?key=hush-hush-7'}}",
        "targets: {t: {base_url: http://h, timeout: '${S}'}}",
        "targets: {t: {base_url: http://h, rate_limit: '${S}'}}",
        "targets: {t: {base_url: http://h, auth: '${S}'}}",
        "targets: {t: {base_url: http://h, auth: {type: bearer, tken: hush-hush-7}}}",
        "targets: {t: {base_url: http://h, auth: {type: bearer, token: [hush-hush-7]}}}",
        "targets: {t: {base_url: http://h, auth: {type: '${S}', token: x}}}",
        "targets: {t: {base_url: http://h, auth: {type: header, name: 'a ${S}', value: x}}}",
        'targets: {t: {base_url: http://h, headers: {A: "hush-hush-7\\n"}}}',
        "targets: {t: {base_url: http://h, headers: {A: '{hush_hush_7} hush-hush-7'}}}",
        "targets: {t: {base_url: http://h, auth: {type: login, token: x, "
        "call: {path: /, body: {p: 'hush-hush-7{oh}'}}}}}",
        "targets: {t: {base_url: http://h, auth: {type: login, token: x, "
        "call: {path: 'https:///hush-hush-7'}}}}",
        "targets: {t: {base_url: http://h, resources: {r: {crm_id: '${S} x'}}}}",
        "targets: {t: {base_url: http://h, resources: {r: {fields: {a: '${S}['}}}}}",
        "targets: {t: {base_url: http://h, resources: {r: {several: '${S}'}}}}",
        "targets: {t: {base_url: http://h, resources: {r: {delete: {method: '${S}'}}}}}",
        "targets: {t: {base_url: http://h, resources: {r: {delete: {path: 'x://${S}'}}}}}",
        "targets: {t: {base_url: http://h, resources: {r: {body: '${S}{oh}'}}}}",
        "token: *hush-hush-7",
        "token: @hush-hush-7",
        "token: !hush-hush-7 x",
        "token: !!hush-hush-7",
        "token: 'a'hush-hush-7",
        "token: {hush-hush-7}",
        "token: [a hush-hush-7: 'x' hush-hush-7",
        "token: |hush-hush-7",
        'token: "\\hush-hush-7"',
        "hush-hush-7\ntoken: x",
        "token: x: hush-hush-7",
        "a: ${S\nb: '${hush-hush-7}'",
        "a: ${hush-hush-7-}",
    ],
)
def test_no_error_shows_a_secret(loaded, caplog, text):
    with pytest.raises(ConfigInvalid) as caught:
        loaded(text, S=HUSH)
    error = caught.value
    logging.getLogger("test").error("refused", exc_info=error)
    shown = [str(error), repr(error), caplog.text, "".join(traceback.format_exception_only(error))]
    shown += [repr(problem) + str(problem.to_json()) for problem in error.problems]
    assert not [words for words in shown if HUSH in words or "hush_hush" in words]
    assert str(error)


def test_empty_secret_is_an_error_that_names_its_variable(refused):
    text = """\
sources:
  a: {kind: caresoft, secrets: ["${S1}", "${S2:-}"]}
  b: {kind: mobio, apps: [{app_id: x, secrets: ["${S3}"]}]}
targets:
  t:
    base_url: http://h
    auth: {type: basic, username: "${S4}", password: "${S5}"}
    headers: {X: "${S6}", Y: "a", Z: "${S7}${S8}"}
"""
    environ = {f"S{n}": " " if n == 3 else "" for n in range(1, 9) if n != 2}
    found = refused(text, **environ)
    assert [(line, message.partition(": the ")[2].split()[2]) for line, _, message in found] == [
        (2, "S1"),
        (2, "S2"),
        (3, "S3"),
        (7, "S4"),
        (7, "S5"),
        (8, "S6"),
        (8, "S7"),
    ]
    assert all("empty" in message for _, _, message in found)


def test_number_in_the_environment_is_a_text_where_text_is_wanted(loaded):
    config = loaded(
        "sources: {m: {kind: mobio, apps: [{app_id: '${A}', secrets: '${S}'}]}}\n"
        "targets: {t: {base_url: http://h, auth: {type: bearer, token: '${S}'}}}",
        A="0123",
        S="007",
    )
    assert config.source("m").apps[0].app_id == "0123"
    assert config.source("m").apps[0].secrets == ("007",)
    assert config.targets["t"].auth.token == "007"


def test_password_from_a_variable_may_hold_braces(loaded):
    config = loaded(
        "targets: {t: {base_url: http://h, headers: {K: '${S}'}, "
        "auth: {type: login, call: {path: /, body: {p: '${S}'}}, token: t}}}",
        S="a{bc}{token}",
    )
    assert config.targets["t"].auth.call.body == {"p": "a{bc}{token}"}
    assert config.targets["t"].headers == {"K": "a{bc}{token}"}
