"""A resource: its keys, what it inherits, what its strategy brings, and its contradictions."""

import jmespath
import pytest

from connector.config import AnswerRule, Call, Expression, Field, Paging, Step
from connector.config.resources import reading

WHOLE = Expression("@")


def text(expression):
    return expression and expression.text


# --- defaults of each strategy


def test_resource_without_a_word_is_put(resource):
    made = resource("{}", name="tickets")
    assert made.name == "tickets"
    assert made.upsert.strategy == "put"
    assert made.upsert.call == Call("PUT", "/{resource}/{external_id}", body="{fields}")
    assert (made.upsert.search, made.upsert.create, made.upsert.update) == (None, None, None)
    assert made.delete == Call("DELETE", "/{resource}/{external_id}")
    assert made.read is None
    assert (made.external_id_field, made.external_id) == (None, None)
    assert (made.crm_id, made.hit_id, made.success, made.etag) == (None, None, None, None)
    assert (made.body, made.fields, made.answers) == ("{fields}", {}, ())
    assert (made.several, made.gone, made.values, made.id_format) == (
        "dead",
        "recreate",
        "json",
        "any",
    )
    assert (made.empty, made.send, made.verify) == (None, "all", frozenset())


@pytest.mark.parametrize(
    ("strategy", "method", "path", "send"),
    [
        ("put", "PUT", "/{resource}/{external_id}", "all"),
        ("patch", "PATCH", "/{resource}/{external_id}", "changed"),
        ("post", "POST", "/{resource}", "changed"),
    ],
)
def test_strategies_of_one_call(resource, strategy, method, path, send):
    made = resource(f"{{upsert: {{strategy: {strategy}}}, external_id_field: x}}")
    assert made.upsert.call == Call(method, path, body="{fields}")
    assert made.send == send
    assert made.delete == Call("DELETE", "/{resource}/{external_id}")


def test_strategies_of_two_calls_go_by_the_link(resource):
    made = resource(
        "{upsert: {strategy: search_then_write, search: {path: '/f/{external_id}'}}, crm_id: id, "
        "external_id_field: x}"
    )
    assert made.upsert.call is None
    assert made.upsert.search == Call(
        "GET", "/f/{external_id}", found=WHOLE, record=WHOLE, paging=Paging()
    )
    assert made.upsert.create == Call("POST", "/{resource}", body="{fields}")
    assert made.upsert.update == Call("PATCH", "/{resource}/{crm_id}", body="{fields}")
    assert made.delete == Call("DELETE", "/{resource}/{crm_id}")
    assert made.send == "changed"
    plain = resource("{upsert: {strategy: create_then_update}}")
    assert plain.upsert.search is None
    assert plain.upsert.update == Call("PATCH", "/{resource}/{external_id}", body="{fields}")
    assert plain.delete == Call("DELETE", "/{resource}/{external_id}")


def test_reading_and_deleting_go_where_updating_goes(resource):
    made = resource(
        """{read: {},
        upsert: {strategy: patch, path: "/x('{external_id}')", escape: {"'": "''"}}}"""
    )
    assert made.delete == Call("DELETE", "/x('{external_id}')", escape={"'": "''"})
    assert made.read == Call("GET", "/x('{external_id}')", escape={"'": "''"}, record=WHOLE)
    elsewhere = resource("{upsert: {strategy: put, path: /up, body: {id: '{external_id}'}}}")
    assert elsewhere.delete.path == "/{resource}/{external_id}"
    linked = resource(
        "{upsert: {strategy: create_then_update, update: {path: 'i/{crm_id}'}}, crm_id: id, "
        "read: {record: data}, delete: {method: post}}"
    )
    assert linked.upsert.update.path == "/i/{crm_id}"
    assert linked.delete == Call("POST", "/i/{crm_id}")
    assert (linked.read.path, text(linked.read.record)) == ("/i/{crm_id}", "data")


def test_create_beside_put_is_for_records_never_delivered(resource):
    made = resource(
        "{upsert: {strategy: patch, path: '/x/{crm_id}', create: {body: {a: '{fields}'}}, "
        "search: {path: /x, query: {q: '{external_id}'}}}, crm_id: id, external_id_field: e}"
    )
    assert made.upsert.create == Call("POST", "/{resource}", body={"a": "{fields}"})
    assert made.upsert.search.query == {"q": "{external_id}"}
    assert made.upsert.update is None


# --- keys


def test_every_key_of_a_call(resource):
    made = resource(
        "{delete: {method: post, path: 'x/{external_id}', query: {a: [1, '{resource}'], b: null, "
        "c: {d: e}}, headers: {A-B: 7}, body: {id: '{crm_id}'}, escape: {a: b, c: }}, crm_id: id}"
    )
    assert made.delete == Call(
        "POST",
        "/x/{external_id}",
        {"a": [1, "{resource}"], "b": None, "c": {"d": "e"}},
        {"A-B": "7"},
        {"id": "{crm_id}"},
        {"a": "b", "c": ""},
    )


def test_query_in_the_path_is_a_query(resource):
    made = resource("{delete: {path: '/x?a={external_id}&b=1&b=2&c=&d=%20', query: {b: 3}}}")
    assert made.delete.path == "/x"
    assert made.delete.query == {"a": "{external_id}", "b": 3, "c": "", "d": " "}
    assert resource("{delete: {path: '?id={external_id}&b=1&b=2'}}").delete == Call(
        "DELETE", "", {"id": "{external_id}", "b": ["1", "2"]}
    )


def test_own_body_of_a_call_beats_that_of_the_resource(resource):
    made = resource(
        "{upsert: {strategy: create_then_update, create: {body: {new: '{fields}'}}}, "
        "body: {data: '{fields}', '**': '{fields}', n: '{crm_id}'}, crm_id: id}"
    )
    assert made.upsert.create.body == {"new": "{fields}"}
    assert made.upsert.update.body == {"data": "{fields}", "**": "{fields}", "n": "{crm_id}"}
    assert made.delete.body is None


def test_search(resource):
    made = resource(
        "{upsert: {strategy: search_then_write, search: {method: POST, path: /q, "
        "body: {q: '{external_id}'}, found: data.items, record: attributes}}, crm_id: data.id, "
        "hit_id: id, external_id_field: x}"
    )
    search = made.upsert.search
    assert (search.method, search.body) == ("POST", {"q": "{external_id}"})
    assert (text(search.found), text(search.record)) == ("data.items", "attributes")
    assert (text(made.crm_id), text(made.hit_id)) == ("data.id", "id")
    same = resource("{crm_id: data.id}")
    assert text(same.hit_id) == "data.id"


def test_simple_keys(resource):
    made = resource(
        "{name: issues, several: last, gone: ignore, values: strings, empty: '', send: changed, "
        "verify: link, id_format: slug, success: '!error', etag: header, read: {}, crm_id: id, "
        "upsert: {strategy: patch}}"
    )
    assert (made.name, made.several, made.gone, made.values) == (
        "issues",
        "last",
        "ignore",
        "strings",
    )
    assert (made.empty, made.send, made.verify) == ("", "changed", {"link"})
    assert (made.id_format, text(made.success), made.etag) == ("slug", "!error", "header")
    other = resource("{verify: [link, read], etag: meta.etag, read: {}, crm_id: id, empty: false}")
    assert other.verify == {"link", "read"}
    assert text(other.etag) == "meta.etag"
    assert other.empty is False
    assert resource("{etag: none, verify: []}").etag is None


def test_answers(resource):
    made = resource(
        "{answers: [{call: create, status: 400, when: \"errors[0].code == 'X'\", means: conflict}, "
        "{call: [put, search], status: [200, 201], means: gone}, {when: a, means: not_now}]}"
    )
    assert made.answers == (
        AnswerRule("conflict", {"create"}, {400}, Expression("errors[0].code == 'X'")),
        AnswerRule("gone", {"upsert", "search"}, {200, 201}),
        AnswerRule("not_now", when=Expression("a")),
    )


# --- fields


@pytest.mark.parametrize(
    ("at", "steps", "read"),
    [
        ("status_id", (Step("status_id"),), "status_id"),
        ("a.b.c", (Step("a"), Step("b"), Step("c")), "a.b.c"),
        ('"odd.name"', (Step("odd.name"),), '"odd.name"'),
        ('"a b".c', (Step("a b"), Step("c")), '"a b".c'),
        ('a."x\\"y"', (Step("a"), Step('x"y')), 'a."x\\"y"'),
        (
            "custom_fields[id=4].value",
            (Step("custom_fields", ("id", 4)), Step("value")),
            "custom_fields[?id==`4`] | [0].value",
        ),
        (
            'f[ key = "4" ].v',
            (Step("f", ("key", "4")), Step("v")),
            'f[?key==`"4"`] | [0].v',
        ),
        ("f[k=abc]", (Step("f", ("k", "abc")),), 'f[?k==`"abc"`] | [0]'),
        (
            "a.f[k=true].g[h=x].v",
            (Step("a"), Step("f", ("k", True)), Step("g", ("h", "x")), Step("v")),
            'a.f[?k==`true`] | [0].g[?h==`"x"`] | [0].v',
        ),
        ("Tên khách", (Step("Tên khách"),), '"T\\u00ean kh\\u00e1ch"'),
    ],
)
def test_place_of_a_field(resource, at, steps, read):
    quoted = at.replace("'", "''")
    field = resource(f"{{fields: {{x: '{quoted}'}}}}").field("x")
    assert field.at == steps
    assert field.read.text == read
    assert field == resource(f"{{fields: {{x: {{at: '{quoted}'}}}}}}").field("x")


def test_reading_follows_the_place():
    def written(steps, value):
        record = value
        for step in reversed(steps):
            if step.where:
                key, wanted = step.where
                record = [{key: "other"}, {**record, key: wanted}]
            record = {step.name: record}
        return record

    for steps in (
        (Step("a"),),
        (Step("a b"), Step("c")),
        (Step('x"y'), Step("đ")),
        (Step("f", ("id", 4)), Step("value")),
        (Step("a"), Step("f", ("k", 'a`"4')), Step("g", ("h", True)), Step("v")),
        (Step("f", ("odd key", None)), Step("v")),
    ):
        assert reading(steps).search(written(steps, "here")) == "here"
        assert jmespath.search(reading(steps).text, {"other": 1}) is None


def test_keys_of_a_field(resource):
    made = resource(
        "{empty: '', fields: {status: {at: status_id, read: status.id}, "
        "contact: {at: contact_id, as: '/contacts({value})', read: _contact_value, empty: []}, "
        "tag: {as: {id: '{value}'}}, gone: {empty: null}}}"
    )
    assert made.field("status") == Field(
        "status", (Step("status_id"),), Expression("status.id"), None, ""
    )
    assert made.field("contact") == Field(
        "contact", (Step("contact_id"),), Expression("_contact_value"), "/contacts({value})", []
    )
    assert made.field("tag") == Field(
        "tag", (Step("tag"),), Expression("tag"), {"id": "{value}"}, ""
    )
    assert made.field("gone").empty is None
    assert made.field("a.b") == Field("a.b", (Step("a.b"),), Expression('"a.b"'), None, "")


def test_external_id_field_is_placed_like_a_field(resource):
    assert resource("{external_id_field: ext}").external_id.at == (Step("ext"),)
    nested = resource("{external_id_field: properties.ext}")
    assert nested.external_id.at == (Step("properties"), Step("ext"))
    named = resource("{external_id_field: ext, fields: {ext: 'cf[id=9].value'}}")
    assert named.external_id.at == (Step("cf", ("id", 9)), Step("value"))
    assert resource("{external_id_field: 'a['}").external_id.at == (Step("a["),)


# --- inheritance

DEFAULT = """{upsert: {strategy: patch, path: '/d/{external_id}'}, crm_id: id, send: all,
        fields: {a: x.a, b: x.b}, answers: [{status: 400, means: gone}], body: {d: '{fields}'},
        delete: {path: '/gone/{external_id}'}, several: first}"""


def test_resource_takes_what_it_leaves_out_from_default(resource):
    made = resource("{several: last}", default=DEFAULT)
    assert made.upsert.call.path == "/d/{external_id}"
    assert made.upsert.call.body == {"d": "{fields}"}
    assert (text(made.crm_id), made.send, made.several) == ("id", "all", "last")
    assert made.delete.path == "/gone/{external_id}"


def test_each_key_is_taken_whole(resource):
    made = resource("{upsert: {strategy: put}}", default=DEFAULT)
    assert made.upsert.call == Call("PUT", "/{resource}/{external_id}", body={"d": "{fields}"})


def test_fields_merge_by_name_and_answers_add(resource):
    made = resource(
        "{fields: {b: y.b, c: c}, answers: [{status: 500, means: done}]}", default=DEFAULT
    )
    assert {name: field.at[0].name for name, field in made.fields.items()} == {
        "a": "x",
        "b": "y",
        "c": "c",
    }
    assert [rule.means for rule in made.answers] == ["done", "gone"]


def test_null_takes_back_what_default_says(resource):
    made = resource(
        "{upsert: null, crm_id: null, send: null, fields: {a: null}, answers: null, body: null, "
        "delete: null, several: }",
        default=DEFAULT,
    )
    assert made.upsert.strategy == "put"
    assert (made.crm_id, made.hit_id, made.send) == (None, None, "all")
    assert list(made.fields) == ["b"]
    assert made.answers == ()
    assert made.body == "{fields}"
    assert made.delete.path == "/{resource}/{external_id}"
    assert made.several == "dead"
    assert resource("{fields: null}", default=DEFAULT).fields == {}


def test_unnamed_resource_goes_by_default_under_its_own_name(resource):
    made = resource("{}", name="others", default=DEFAULT)
    assert made.name == "others"
    assert made.upsert.call.path == "/d/{external_id}"
    assert resource("{}", name="others", default="{name: one}").name == "one"


def test_unnamed_resource_is_made_once(loaded):
    target = loaded("targets: {t: {base_url: http://h}}").targets["t"]
    assert target.resource("a") is target.resource("a")
    assert target.resource("a") is not target.resource("b")


# --- contradictions

CONTRADICTIONS = [
    ("{upsert: {strategy: post}}", 10, "the upsert does not say which record"),
    ("{upsert: {strategy: put, path: /x}}", 10, "the upsert does not say which record"),
    ("{upsert: {strategy: put, path: '/x/{crm_id}'}}", 33, "but this resource has no crm_id"),
    ("{upsert: {strategy: put, path: '/x/{crm_id}'}, crm_id: id}", 33, "give `create:`"),
    ("{upsert: {strategy: create_then_update, update: {path: /x}}}", 49, "the update does not say"),
    ("{upsert: {strategy: create_then_update, update: {path: '/{crm_id}'}}}", 57, "no crm_id"),
    ("{upsert: {strategy: search_then_write, search: {path: /x}}}", 48, "finds every row"),
    ("{body: {a: '{crm_id}', b: '{fields}'}}", 8, "but this resource has no crm_id"),
    ("{fields: {a: {as: '{crm_id}{value}'}}}", 20, "but this resource has no crm_id"),
    ("{fields: {a: {as: 'fixed'}}}", 20, "`as` without {value}"),
    ("{hit_id: id}", 10, "hit_id without crm_id"),
    ("{read: {path: /x}}", 8, "the read does not say which record"),
    ("{delete: {path: /x}}", 10, "the delete does not say which record"),
    ("{read: {path: '/{crm_id}'}}", 16, "no crm_id"),
    ("{etag: header}", 8, "etag: header without `read:`"),
    ("{etag: a.b}", 8, "without `read:` or a search"),
    ("{verify: [read]}", 10, "verify without `read:` or a search"),
    ("{verify: [link], read: {}}", 10, "verify: link without crm_id"),
]


@pytest.mark.parametrize(("said", "column", "words"), CONTRADICTIONS)
def test_contradiction_is_told_with_its_place(faults, said, column, words):
    ((found, message),) = faults(said)
    assert found == column
    assert words in message


@pytest.mark.parametrize(
    "said",
    [
        "{upsert: {strategy: post}, external_id_field: ext}",
        "{upsert: {strategy: post, body: {id: '{external_id}', '**': '{fields}'}}}",
        "{upsert: {strategy: post, search: {path: '/{external_id}'}}, external_id_field: e}",
        "{upsert: {strategy: put, path: /x}, body: {ids: ['{external_id}'], f: '{fields}'}}",
        "{upsert: {strategy: put, path: '/{crm_id}', create: {}}, crm_id: id}",
        "{etag: a, upsert: {strategy: put, search: {path: '/{external_id}'}}, "
        "external_id_field: e}",
        "{verify: read, upsert: {strategy: put, search: {path: '/{external_id}'}}, "
        "external_id_field: e}",
    ],
)
def test_what_only_looks_like_a_contradiction(resource, said):
    assert resource(said).upsert


DOUBTS = [
    (
        "{upsert: {strategy: search_then_write, search: {path: '/{external_id}'}}}",
        "hits cannot be compared",
    ),
    ("{send: changed}", "put replaces the record"),
    ("{upsert: {strategy: put, body: {a: b}}}", "the upsert sends no {fields}"),
]


@pytest.mark.parametrize(("said", "words"), DOUBTS)
def test_doubtful_resource_is_a_warning(loaded, said, words):
    config = loaded(
        f"sources: {{s: {{kind: caresoft, secrets: s}}}}\n"
        f"targets: {{t: {{base_url: http://h, resources: {{r: {said}}}}}}}"
    )
    (warning,) = config.warnings
    assert words in warning.message
    assert warning.place is not None
    assert warning.place.line == 2


def test_default_may_leave_to_others_what_it_does_not_say(loaded):
    config = loaded(
        """\
sources: {s: {kind: caresoft, secrets: s}}
targets:
  t:
    base_url: http://h
    resources:
      default: {delete: {path: '/x/{crm_id}'}}
      a: {crm_id: data.id}
"""
    )
    (warning,) = config.warnings
    assert "no crm_id" in warning.message
    assert config.targets["t"].resource("a").delete.path == "/x/{crm_id}"


def test_create_that_nobody_could_find_again_is_doubtful(loaded):
    text = (
        "sources: {caresoft: {kind: caresoft, unsigned: true}}\n"
        "targets: {t: {base_url: http://crm, resources: {r: {upsert: {strategy: create_then_update}"
        "%s}}}}\n"
    )
    (warning,) = loaded(text % ", crm_id: id").warnings
    assert "may leave two rows" in warning.message
    assert (warning.place.line, warning.place.column) == (2, 61)
    assert loaded(text % ", crm_id: id, external_id_field: x").warnings == ()


@pytest.mark.parametrize(
    ("keys", "fine"),
    [
        ("", False),
        ("external_id_field: x", True),
        ('upsert: {strategy: post, body: {key: "{external_id}", "**": "{fields}"}}', True),
        ('upsert: {strategy: post, path: "/t?key={external_id}"}', True),
    ],
)
def test_post_without_search_or_match_key_is_an_error(faults, resource, keys, fine):
    said = "upsert: {strategy: post}" + (f", {keys}" if keys else "")
    said = keys if keys.startswith("upsert") else said
    if fine:
        assert resource(f"{{{said}}}").upsert.strategy == "post"
    else:
        ((column, words),) = faults(f"{{{said}}}")
        assert column == 10
        assert "the upsert does not say which record it means" in words
