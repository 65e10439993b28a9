"""Every mistake in config.yaml: where it is told, and what would have been right."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.config import load
from connector.errors import ConfigInvalid

# text (the mistake stands at line 1) | column | a part of the message, or of the hint
GENERAL = [
    ("redis_url: http://x", 12, "it begins with redis:// or rediss:// or unix://"),
    ("redis_url: [a]", 12, "a list where an address"),
    ("redis_ulr: redis://x", 1, "unknown key | did you mean 'redis_url'?"),
    ("spool: {a: 1}", 8, "a map where the name of a file"),
    ("spool: ''", 9, "'' is empty"),
    ("mappings: []", 11, "a list where the name of a folder"),
    ("timezone: Asia/Hochiminh", 11, "did you mean 'Asia/Ho_Chi_Minh'?"),
    ("timezone: Asia", 11, "'Asia' where a time zone"),
    ("timezone: 7", 11, "7 where a time zone"),
    ("timezone: [UTC]", 11, "a list where a time zone"),
    ("receiver: 5", 11, "5 where a map"),
    ("receiver: max_body:5", 11, "a space is missing after the colon"),
    ("receiver: {max_body: 1.5}", 22, "1.5 where a whole number of at least 1"),
    ("receiver: {max_body: 0}", 22, "0 where a whole number of at least 1"),
    ("receiver: {max_body: true}", 22, "true where a whole number"),
    ("receiver: {max_body: 1MB}", 22, "'1MB' where a whole number of at least 1 should stand | "),
    ("receiver: {max_bdy: 5}", 12, "receiver.max_bdy: unknown key | did you mean 'max_body'?"),
    ("retention: {days: 0}", 19, "0 where a number above 0"),
    ("retention: {days: 30d}", 19, "write days as a plain number"),
    ("retention: {events: 1.5}", 21, "1.5 where a whole number"),
    ("retention: {count: 5}", 13, "unknown key | known: days, events"),
    ("extra: 1", 1, "unknown key | known: redis_url, spool,"),
    ("sources: []", 10, "a list where a map"),
    ("sources: {a b: {kind: caresoft, secrets: s}}", 11, "not usable as a name"),
    ("sources: {a: }", 11, "is missing"),
    ("sources: {a: {}}", 11, "kind is missing | one of caresoft, mobio"),
    ("sources: {a: {kind: }}", 11, "kind is missing"),
    ("sources: {a: {kind: careoft}}", 21, "did you mean 'caresoft'? one of caresoft, mobio"),
    ("sources: {a: {kind: [x]}}", 21, "a list is no known kind"),
    (
        "sources: {a: {kind: caresoft}}",
        11,
        "secrets: is missing | give them, or say `unsigned: true",
    ),
    ("sources: {a: {kind: caresoft, secrets: []}}", 31, "secrets: is missing"),
    (
        "sources: {a: {kind: caresoft, secrets: [s], unsigned: true}}",
        55,
        "both secrets and unsigned",
    ),
    ("sources: {a: {kind: caresoft, unsigned: yes}}", 41, "'yes' where true or false"),
    ("sources: {a: {kind: caresoft, secrets: ['']}}", 42, "an empty secret"),
    ("sources: {a: {kind: caresoft, secrets: ' '}}", 41, "an empty secret"),
    ("sources: {a: {kind: caresoft, secrets: [null]}}", 41, "secrets[0]: is missing"),
    ("sources: {a: {kind: caresoft, secrets: {b: c}}}", 40, "a map where a secret"),
    ("sources: {a: {kind: caresoft, secrets: s, apps: []}}", 43, "apps: unknown key"),
    ("sources: {mobio: {kind: caresoft, secrets: s, bogus: 1}}", 47, "bogus: unknown key"),
    ("sources: {a: {kind: mobio}}", 11, "apps: is missing"),
    ("sources: {a: {kind: mobio, apps: []}}", 34, "apps: an empty list"),
    ("sources: {a: {kind: mobio, apps: {app_id: a}}}", 34, "a map where a list"),
    ("sources: {a: {kind: mobio, apps: [{secrets: [s]}]}}", 35, "apps[0].app_id: is missing"),
    ("sources: {a: {kind: mobio, apps: [{app_id: a}]}}", 35, "apps[0].secrets: is missing"),
    ("sources: {a: {kind: mobio, apps: [{app_id: a, secrets: []}]}}", 56, "an empty list"),
    ("sources: {a: {kind: mobio, apps: [{app_id: '', secrets: s}]}}", 45, "app_id: '' is empty"),
    (
        "sources: {a: {kind: mobio, apps: [{app_id: a, secrets: s}, {app_id: a, secrets: t}]}}",
        69,
        "apps[1].app_id: an app_id that another app has",
    ),
    (
        'sources: {a: {kind: caresoft, secrets: "abc\\n"}}',
        41,
        "this value holds a line break | was it read from a file?",
    ),
    (
        'targets: {t: {base_url: http://h, auth: {type: bearer, token: "a\\nb"}}}',
        64,
        "token: this value holds a line break",
    ),
    (
        "targets: {t: {base_url: http://h, auth: {type: header, name: X, value: mật}}}",
        72,
        "this value holds a character that no header can carry",
    ),
    (
        "targets: {t: {base_url: http://h, headers: {X: mật}}}",
        48,
        "headers.X: this value holds a character that no header can carry",
    ),
    ("targets: {a/b: {base_url: http://h}}", 11, "not usable as a name"),
    ("targets: {t: {}}", 11, "targets.t.base_url: is missing"),
    ("targets: {t: {base_url: }}", 15, "base_url: is missing | give an address"),
    ("targets: {t: {base_url: crm.example}}", 25, "it begins with https:// or http://"),
    (
        "targets: {t: {base_url: 'http://h/{resource}'}}",
        26,
        "an address with braces | placeholders",
    ),
    ("targets: {t: {base_url: ftp://h}}", 25, "'ftp://h' is no address of the right kind"),
    ("targets: {t: {base_url: 'http://'}}", 26, "an address without a host"),
    ("targets: {t: {base_url: 'http://h:99999'}}", 26, "no address that can be read"),
    ("targets: {t: {base_url: 'http://[h'}}", 26, "no address that can be read"),
    ("targets: {t: {base_url: 'http://a b'}}", 26, "no address that can be read"),
    ("targets: {t: {base_url: 'http://h?a=b'}}", 26, "give the query under each call"),
    ("targets: {t: {base_url: 'http://u:p@h'}}", 26, "give them under auth: {type: basic"),
]

# a target's keys after its base_url | column in them, from 1 | a part of the message or hint
TARGET = [
    ("auth: bearer", 1, "auth.token: is missing"),
    ("auth: bearr", 7, "'bearr' where a map"),
    ("auth: {}", 1, "type is missing | one of none, bearer, basic, header, query, oauth2"),
    (
        "auth: {type: bearr, token: x}",
        14,
        "'bearr' is no known type | did you mean 'bearer'? one of none, bearer, basic, header, "
        "query, oauth2_client_credentials, oauth2_refresh_token, login, hmac",
    ),
    ("auth: {type: none, token: x}", 20, "auth.token: unknown key"),
    ("auth: {type: bearer, token: x, tokn: x}", 32, "unknown key | did you mean 'token'?"),
    ("auth: {type: basic, username: u}", 1, "auth.password: is missing"),
    ("auth: {type: header, name: a b, value: v}", 28, "'a b' is not the name of an HTTP header"),
    ("auth: {type: query, name: '', value: v}", 28, "'' is empty"),
    (
        "auth: {type: oauth2_client_credentials, token_url: h, client_id: i, client_secret: s}",
        52,
        "it begins with https:// or http://",
    ),
    ("auth: {type: login, token: t}", 1, "auth.call: is missing"),
    ("auth: {type: login, call: {}, token: t}", 21, "auth.call.path: is missing"),
    ("auth: {type: login, call: {path: 'http:///x'}, token: t}", 35, "without a host"),
    (
        "auth: {type: login, call: {path: /, found: x}, token: t}",
        37,
        "auth.call.found: unknown key",
    ),
    ("auth: {type: login, call: {path: /}, token: 'a b'}", 48, "not JMESPath: 'b' does not fit"),
    (
        "auth: {type: login, call: {path: /}, token: t, value: '{tken}'}",
        56,
        "did you mean {token}?",
    ),
    ("auth: {type: login, call: {path: /}, token: t, header: 'a:'}", 57, "not the name of an HTTP"),
    ("headers: {a b: c}", 11, "headers.a b: not the name of an HTTP header"),
    ("headers: {a: [c]}", 14, "a list where text"),
    ("headers: {a: null}", 11, "headers.a: is missing"),
    ('headers: {a: "b\\nc"}', 15, "a line break in a header"),
    ("headers: {a: '{resource}'}", 15, "a word in braces that is no placeholder here"),
    ("idempotency_header: 'a b'", 22, "not the name of an HTTP header"),
    ("check: /", 8, "'/' where a map such as {path: /}"),
    ("check: {path: '/{resource}'}", 17, "{resource} has no meaning here | usable here: none"),
    ("check: {pth: /}", 9, "check.pth: unknown key | did you mean 'path'?"),
    ("check: {method: FETCH}", 17, "'FETCH' is not an HTTP method"),
    ("check: {method: PSOT}", 17, "did you mean 'POST'?"),
    ("check: {path: 'https://h/x'}", 16, "a whole address | a path goes after base_url"),
    ("timeout: 10s", 10, "'10s' where a number above 0 should stand | write seconds as a plain"),
    ("timeout: 0", 10, "0 where a number above 0"),
    ("timeout: [1]", 10, "a list where a number"),
    ("timeout: '10'", 11, "'10' where a number"),
    ("timout: 10", 1, "targets.t.timout: unknown key | did you mean 'timeout'?"),
    ("search_lag: -1", 13, "-1 where a number of at least 0"),
    ("rate_limit: 20", 13, "20 where a rate such as 20/second or 100/10 seconds"),
    ("rate_limit: 20 per second", 13, "'20 per second' where a rate"),
    ("rate_limit: 20/fortnight", 13, "the unit is second, minute, hour or day"),
    ("rate_limit: 0/second", 13, "where a rate"),
    ("rate_limit: 5/0 seconds", 13, "where a rate"),
    ("concurrency: 0", 14, "of at least 1"),
    ("concurrency: 1.5", 14, "a whole number"),
    ("probe_interval: 0", 17, "a number above 0"),
    ("pause_after_refusals: x", 23, "a whole number"),
    ("pause_after_failures: 0", 23, "a whole number of at least 1"),
    ("dead_after_failures: 0", 22, "a whole number of at least 1"),
    ("retry: {schedule: []}", 19, "an empty list"),
    ("retry: {schedule: [1, x]}", 23, "retry.schedule[1]: 'x' where a number above 0"),
    ("retry: {schedule: 5}", 19, "5 where a list"),
    ("retry: {give_up_after: 1 week}", 24, "write seconds as a plain number"),
    ("retry: {max_retry_after: -1}", 26, "of at least 0"),
    ("retry: {shedule: [1]}", 9, "did you mean 'schedule'?"),
    ("resources: [a]", 12, "a list where a map"),
    ("resources: {a/b: {}}", 13, "resources.a/b: not usable as a name"),
    ("resources: {a: 3}", 16, "3 where a map"),
]

# a resource's keys | column in them, from 1 | a part of the message or hint
RESOURCE = [
    ("nam: x", 1, "unknown key | did you mean 'name'?"),
    ("name: [x]", 7, "a list where text"),
    ("name: 'a{resource}'", 9, "{resource} has no meaning here"),
    ("upsert: put", 9, "'put' where a map"),
    ("upsert: {path: /x}", 1, "strategy is missing | one of put, patch, post, search_then_write"),
    ("upsert: {strategy: putt}", 20, "did you mean 'put'? one of put, patch, post,"),
    ("upsert: {strategy: put, update: {}}", 25, "it is with search_then_write, create_then_update"),
    (
        "upsert: {strategy: search_then_write, search: {path: '/{external_id}'}, path: /}",
        73,
        "put,",
    ),
    ("upsert: {strategy: search_then_write}", 1, "upsert.search: is missing"),
    ("upsert: {strategy: search_then_write, search: {}}", 39, "upsert.search.path: is missing"),
    ("upsert: {strategy: put, path: '/{resorce}'}", 33, "did you mean {resource}?"),
    ("upsert: {strategy: put, path: '/{value}'}", 33, "{value} has no meaning here"),
    ("upsert: {strategy: put, path: [a]}", 31, "a list where text"),
    ("upsert: {strategy: put, query: {a: '{fild}'}}", 37, "unknown placeholder {fild}"),
    ("upsert: {strategy: put, query: [a]}", 32, "a list where a map"),
    ("upsert: {strategy: put, headers: {'a:': b}}", 35, "not the name of an HTTP header"),
    ("upsert: {strategy: put, escape: {a: [b]}}", 37, "a list where text"),
    ("upsert: {strategy: put, body: {a: ['{xy}']}}", 37, "unknown placeholder {xy}"),
    ("upsert: {strategy: put, body: {'{xy}': a}}", 32, "unknown placeholder {xy}"),
    ("upsert: {strategy: put, body: {'**': a}}", 38, "** merges one placeholder"),
    ("upsert: {strategy: put, create: {path: '/{crm_id}'}}", 42, "{crm_id} has no meaning here"),
    ("external_id_field: ''", 21, "'' is empty"),
    ("crm_id: 'data['", 15, "not JMESPath: it ends early"),
    ("crm_id: data-id", 13, "stands in double quotes"),
    ("crm_id: ''", 10, "an empty JMESPath expression"),
    ("crm_id: 5", 9, "5 where a JMESPath expression"),
    ("crm_id: 'foo(a)'", 10, "unknown function foo()"),
    ("crm_id: 'a || leng(b)'", 15, "did you mean 'length'?"),
    ("crm_id: 'length(a, b)'", 10, "length() takes 1, not 2"),
    ("crm_id: 'merge()'", 10, "merge() takes 1 or more, not 0"),
    ("body: '{field}'", 8, "did you mean {fields}?"),
    ("fields: [a]", 9, "a list where a map"),
    ("fields: {a: 'b[c'}", 15, "'b[c' is no place in a record"),
    ("fields: {a: [b]}", 13, "a list where a place such as a.b, or a map"),
    ("fields: {a: {att: b}}", 14, "unknown key | did you mean 'at'?"),
    ("fields: {a: {at: a..b}}", 20, "no place in a record"),
    ("fields: {a: {as: '{vale}'}}", 19, "did you mean {value}?"),
    ("fields: {a: {read: 'b c'}}", 23, "not JMESPath"),
    ("read: {path: /x, found: a}", 18, "read.found: unknown key"),
    ("read: {record: 'a['}", 19, "not JMESPath"),
    ("delete: DELETE", 9, "'DELETE' where a map"),
    ("success: true", 10, "true where a JMESPath expression"),
    ("several: ded", 10, "'ded' where dead or first or last should stand | did you mean 'dead'?"),
    ("gone: create", 7, "did you mean 'recreate'?"),
    ("etag: [a]", 7, "a list where none, header or a JMESPath expression"),
    ("etag: 'a b'", 10, "not JMESPath"),
    ("values: text", 9, "'text' where json or strings"),
    ("empty: 0", 8, "0 where null, '' or false"),
    ("send: change", 7, "did you mean 'changed'?"),
    ("verify: [links]", 10, "verify[0]: 'links' where link or read"),
    ("id_format: UUID", 12, "did you mean 'uuid'?"),
    ("answers: {means: done}", 10, "a map where a list"),
    ("answers: [{status: 400}]", 11, "answers[0].means: is missing"),
    ("answers: [{status: 400, means: fine}]", 32, "'fine' where done or conflict"),
    ("answers: [{means: done}]", 12, "this fits every answer"),
    ("answers: [{call: create, means: done}]", 26, "this fits every answer"),
    ("answers: [{status: 4xx, means: done}]", 20, "'4xx' where a whole number"),
    ("answers: [{status: 40, means: done}]", 20, "a whole number from 100 to 999"),
    ("answers: [{call: [creat], status: 400, means: done}]", 19, "did you mean 'create'?"),
    ("answers: [{when: 'a b', means: done}]", 21, "not JMESPath"),
]


@pytest.mark.parametrize(("text", "column", "words"), GENERAL)
def test_mistake_in_a_general_key(refused, text, column, words):
    ((line, found, message),) = refused(f"{text}\n")
    assert (line, found) == (1, column)
    assert words in message


@pytest.mark.parametrize(("text", "column", "words"), TARGET)
def test_mistake_in_a_target(refused, text, column, words):
    ((line, found, message),) = refused(f"targets:\n  t:\n    base_url: http://h\n    {text}\n")
    assert (line, found) == (4, column + 4)
    assert words in message


@pytest.mark.parametrize(("text", "column", "words"), RESOURCE)
def test_mistake_in_a_resource(faults, text, column, words):
    ((found, message),) = faults(f"{{{text}}}")
    assert found == column + 1
    assert words in message
    assert message.startswith("targets.t.resources.r")


@pytest.mark.parametrize("text", ["3", "- a", "text", "sources:none"])
def test_file_that_is_no_map(refused, text):
    ((line, column, message),) = refused(text)
    assert (line, column) == (1, 1)
    assert "no map" in message


def test_empty_file_and_second_document(refused):
    assert refused("# nothing\n")[0][2].startswith("the file is empty")
    ((line, column, message),) = refused("timezone: UTC\n---\nspool: null\n")
    assert (line, column) == (3, 1)
    assert "second document" in message


def test_syntax_error_has_its_place(refused):
    ((line, column, message),) = refused("timezone: UTC\ntargets:\n\tcrm:\n")
    assert (line, column) == (3, 1)
    assert "tab" in message


def test_everything_is_told_at_once_in_the_order_of_the_file(refused):
    found = refused(
        """\
timezone: Mars
sources:
  cs: {kind: caresoft, secrets: ["${NO_SUCH}"]}
targets:
  crm:
    base_url: ${NO_BASE}
    timout: 3
    resources:
      a: {upsert: {strategy: post}, verify: [link]}
      b: {several: ded}
      c: {crm_id: id, hit_id: 'x['}
  other:
    base_url: http://h
    resources:
      d: {etag: header}
"""
    )
    assert [line for line, _, _ in found] == [1, 3, 6, 7, 9, 9, 9, 10, 11, 15]


def test_missing_variable_is_no_second_error_of_the_key(refused):
    text = """\
timezone: ${A}
sources:
  cs: {kind: "${B}"}
  cs2: {kind: caresoft, secrets: "${C}"}
  cs3: {kind: caresoft, unsigned: "${D}"}
  m: {kind: mobio, apps: [{app_id: "${E}", secrets: x}, {app_id: "${F}", secrets: x}]}
targets:
  t: {base_url: "${G}", timeout: "${H}", auth: "${I}", resources: {r: {crm_id: "${J}"}}}
"""
    assert [message.partition(" |")[0] for _, _, message in refused(text)] == [
        f"the environment variable {name} is not set" for name in "ABCDEFGHIJ"
    ]


def test_inherited_contradiction_is_told_once_where_it_stands(refused):
    text = """\
targets:
  t:
    base_url: http://h
    resources:
      default: {etag: header}
      a: {}
      b: {}
"""
    ((line, column, _),) = refused(text)
    assert (line, column) == (5, 23)


def test_warnings_come_along_with_errors(loaded):
    with pytest.raises(ConfigInvalid) as caught:
        loaded("timezone: Mars")
    assert len(caught.value.problems) == 1
    assert len(caught.value.warnings) == 2


def test_mistake_in_an_expression_of_several_lines(refused):
    text = """\
targets:
  t:
    base_url: http://h
    resources:
      r:
        success: >-
          error == null
          && code =! 200
"""
    ((line, column, message),) = refused(text)
    assert (line, column) == (8, 19)
    assert "not JMESPath" in message


ENVIRON = {"S": "x", "E": ""}
WHOLE = {
    "redis_url": "redis://h",
    "sources": {
        "caresoft": {"kind": "caresoft", "secrets": ["${S}"], "unsigned": False},
        "mobio": {"kind": "mobio", "apps": [{"app_id": "a", "secrets": ["b"]}]},
    },
    "targets": {
        "t": {
            "base_url": "http://h",
            "auth": {"type": "login", "call": {"path": "/l"}, "token": "t"},
            "rate_limit": "5/second",
            "retry": {"schedule": [1, 2]},
            "check": {"path": "/"},
            "resources": {
                "default": {"upsert": {"strategy": "patch"}, "answers": []},
                "r": {
                    "upsert": {
                        "strategy": "search_then_write",
                        "search": {"path": "/s", "query": {"q": "{external_id}"}},
                        "create": {"body": {"**": "{fields}"}},
                    },
                    "crm_id": "id",
                    "external_id_field": "ext",
                    "fields": {"a": "b[id=4].c", "d": {"at": "e", "as": "{value}"}},
                    "read": {"path": "/{crm_id}"},
                    "verify": ["link"],
                    "answers": [{"status": 400, "means": "gone"}],
                },
            },
        }
    },
}
ANYTHING = st.recursive(
    st.sampled_from([None, True, 0, -1, 2.5, "", "{x}", "{fields}", "${E}", "${S}", "a b", "put"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["path", "type", "${S}", "kind", "**"]), inner, max_size=2
        )
    ),
    max_leaves=4,
)


def paths(data, path=()):
    for step, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield (*path, step)
        if isinstance(value, (dict, list)):
            yield from paths(value, (*path, step))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_stands_anywhere_is_taken_or_told_with_its_place(tmp_path_factory, data):
    whole = json.loads(json.dumps(WHOLE))
    for _ in range(data.draw(st.integers(1, 2))):
        *parents, last = data.draw(st.sampled_from(list(paths(whole))))
        inner = whole
        for step in parents:
            inner = inner[step]
        inner[last] = data.draw(ANYTHING)
    file = Path(tmp_path_factory.getbasetemp()) / "any.yaml"
    file.write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    try:
        config = load(file, ENVIRON)
    except ConfigInvalid as error:
        places = [problem.place for problem in error.problems]
    else:
        places = [warning.place for warning in config.warnings]
        assert repr(config)
    assert None not in places
