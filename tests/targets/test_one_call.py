"""put, patch, post and delete, over a real connection."""

from __future__ import annotations

import pytest

PATCH = "upsert: {strategy: patch, path: '/{resource}/{external_id}'}\n"
POST = "upsert: {strategy: post, path: '/{resource}'}\nexternal_id_field: ext\n"


def test_put_sends_every_field_to_the_records_address(crm, configure):
    outcome = configure().upsert({"a": 1, "b": None}, changed={"a"}, delivered=True)
    assert (outcome.meaning, outcome.status, outcome.number) == ("done", 200, 2)
    (seen,) = crm.seen
    assert (seen.method, seen.path) == ("PUT", "/tickets/9999")
    assert seen.json == {"a": 1, "b": None}
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["user-agent"].startswith("crm-connector/")


def test_ids_are_encoded_in_paths(crm, configure):
    configure().upsert(id="a/b c:đ")
    assert crm.seen[0].path == "/tickets/a%2Fb%20c%3A%C4%91"


def test_id_that_would_lead_elsewhere_makes_no_call(crm, configure):
    outcome = configure().delete(id="..")
    assert outcome.meaning == "refused"
    assert "'..'" in outcome.reason
    assert crm.seen == []


def test_patch_sends_what_changed(crm, configure):
    bench = configure(PATCH)
    bench.upsert({"a": 1, "b": 2}, changed={"b"}, delivered=True)
    bench.upsert({"a": 1, "b": 2}, changed={"b"}, delivered=False)
    assert [(seen.method, seen.json) for seen in crm.seen] == [
        ("PATCH", {"b": 2}),
        ("PATCH", {"a": 1, "b": 2}),
    ]


def test_patch_with_send_all_sends_all(crm, configure):
    configure(PATCH + "send: all").upsert({"a": 1, "b": 2}, changed={"b"}, delivered=True)
    assert crm.seen[0].json == {"a": 1, "b": 2}


def test_patch_names_its_record_in_the_body_when_it_is_new(crm, configure):
    bench = configure(PATCH + "external_id_field: ext")
    bench.upsert({"a": 1}, delivered=False)
    bench.upsert({"a": 1}, delivered=True)
    assert [seen.json for seen in crm.seen] == [{"a": 1, "ext": "9999"}, {"a": 1}]


def test_post_says_in_every_body_which_record_it_means(crm, configure):
    bench = configure(POST)
    bench.upsert({"a": 1}, delivered=True)
    assert (crm.seen[0].method, crm.seen[0].path) == ("POST", "/tickets")
    assert crm.seen[0].json == {"a": 1, "ext": "9999"}


def test_empty_record_is_created_with_an_empty_body(crm, configure):
    assert configure().upsert({}, delivered=False).meaning == "done"
    assert crm.seen[0].json == {}


def test_record_never_delivered_is_created_first_where_a_create_is_given(crm, configure):
    bench = configure("upsert: {strategy: patch, create: {path: /tickets/new}}")
    bench.upsert({"a": 1, "b": None}, delivered=False)
    bench.upsert({"a": 1, "b": None}, delivered=True)
    assert [(seen.method, seen.path, seen.json) for seen in crm.seen] == [
        ("POST", "/tickets/new", {"a": 1}),
        ("PATCH", "/tickets/9999", {"a": 1, "b": None}),
    ]


def test_template_wrapper_headers_and_query(crm, configure):
    configure(
        """
        name: issues
        upsert:
          strategy: put
          path: "/{resource}/{external_id}"
          query: {expand: [a, b], where: {id: "{external_id}"}, none: null}
          headers: {X-Record: "{external_id}", content-type: application/vnd.api+json}
        body: {data: {type: "{resource}", id: "{external_id}", attributes: "{fields}"}}
        """,
        target="headers: {X-Team: north, X-Record: overridden}",
    ).upsert({"a": 25})
    (seen,) = crm.seen
    assert seen.path.startswith("/issues/9999?")
    assert seen.query == [("expand", "a"), ("expand", "b"), ("where", '{"id":"9999"}')]
    assert seen.headers["x-team"] == "north"
    assert seen.headers.get_all("x-record") == ["9999"]
    assert seen.headers.get_all("content-type") == ["application/vnd.api+json"]
    assert seen.json == {"data": {"type": "issues", "id": "9999", "attributes": {"a": 25}}}


def test_form_is_sent_as_one_where_its_type_says_so(crm, configure):
    configure(
        """
        upsert:
          strategy: post
          headers: {Content-Type: application/x-www-form-urlencoded}
          body: {id: "{external_id}", "**": "{fields}"}
        """
    ).upsert({"a": "x y", "b": [1, 2], "c": None})
    assert crm.seen[0].body == b"id=9999&a=x%20y&b=1&b=2&c=", "null clears: it is no omission"


def test_escape_is_for_ids_of_path_and_query(crm, configure):
    configure(
        """
        upsert:
          strategy: patch
          path: "/t(ext='{external_id}')"
          query: {"$filter": "ext eq '{external_id}'"}
          escape: {"'": "''"}
          body: {ext: "{external_id}"}
        """
    ).upsert({"a": "it's"}, id="o'neil")
    assert crm.seen[0].path.startswith("/t(ext='o%27%27neil')?")
    assert crm.seen[0].query == [("$filter", "ext eq 'o''neil'")]
    assert crm.seen[0].json == {"ext": "o'neil"}


def test_base_url_with_a_path(crm, configure):
    configure(base_url=crm.url + "/api/v2/").upsert()
    assert crm.seen[0].path == "/api/v2/tickets/9999"


def test_id_format_holds_in_path_body_and_references(crm, configure):
    bench = configure("id_format: slug\nexternal_id_field: ext")
    bench.upsert({}, id="call:1.2")
    assert crm.seen[0].path == "/tickets/call-1-2-382c8603"
    assert crm.seen[0].json == {"ext": "call-1-2-382c8603"}
    assert bench.target.external_id("tickets", "call:1.2") == "call-1-2-382c8603"


def test_lone_surrogate_and_nan_are_refused_without_a_call(crm, configure):
    bench = configure()
    assert bench.upsert({"a": "\ud800"}).meaning == "refused"
    assert bench.upsert({"a": float("nan")}).meaning == "refused"
    assert crm.seen == []


def test_vietnamese_goes_as_utf_8(crm, configure):
    configure().upsert({"a": "Đỗ Hà"})
    assert "Đỗ Hà".encode() in crm.seen[0].body


# --- links


@pytest.mark.parametrize(
    ("body", "link"), [({"data": {"id": 7}}, 7), ({"data": {"id": "a-1"}}, "a-1"), ({}, None)]
)
def test_link_comes_from_the_answer(crm, configure, body, link):
    crm.say(200, body)
    assert configure("crm_id: data.id").upsert().link == link


def test_every_answer_refreshes_the_link_and_none_forgets_it(crm, configure):
    bench = configure("crm_id: id")
    crm.say(200, {"id": 8})
    assert bench.upsert(link=7, delivered=True).link == 8
    crm.say(204)
    assert bench.upsert(link=7, delivered=True).link == 7
    crm.say(422)
    assert bench.upsert(link=7, delivered=True).link == 7


def test_record_is_addressed_by_its_link(crm, configure):
    bench = configure(
        """
        crm_id: id
        upsert: {strategy: patch, path: "/t/{crm_id}", body: {id: "{crm_id}"}, create: {path: /t}}
        """
    )
    bench.upsert(link=25, delivered=True)
    assert (crm.seen[0].path, crm.seen[0].json) == ("/t/25", {"id": 25})


# --- gone


def test_gone_record_is_written_again_as_a_whole(crm, configure):
    crm.say(404)
    outcome = configure(PATCH).upsert({"a": 1, "b": 2}, changed={"b"}, delivered=True)
    assert (outcome.meaning, outcome.number) == ("done", 3)
    assert [seen.json for seen in crm.seen] == [{"b": 2}, {"a": 1, "b": 2}]


def test_gone_record_is_created_where_a_create_is_given(crm, configure):
    crm.say(410)
    crm.say(201, {"id": 8})
    outcome = configure(
        "crm_id: id\nupsert: {strategy: patch, path: '/t/{crm_id}', create: {path: /t}}"
    ).upsert({"a": 1, "b": None}, changed={"b"}, link=7, delivered=True)
    assert [(seen.method, seen.path, seen.json) for seen in crm.seen] == [
        ("PATCH", "/t/7", {"b": None}),
        ("POST", "/t", {"a": 1}),
    ]
    assert outcome.link == 8


def test_record_that_is_gone_again_is_refused(crm, configure):
    crm.say(404)
    crm.say(404)
    outcome = configure(PATCH).upsert(delivered=True)
    assert (outcome.meaning, outcome.status, len(crm.seen)) == ("refused", 404, 2)


def test_record_never_delivered_is_refused_by_404(crm, configure):
    crm.say(404)
    outcome = configure(PATCH).upsert(delivered=False)
    assert (outcome.meaning, len(crm.seen)) == ("refused", 1)


@pytest.mark.parametrize(("gone", "meaning"), [("dead", "refused"), ("ignore", "done")])
def test_gone_record_may_be_left_alone(crm, configure, gone, meaning):
    crm.say(404)
    outcome = configure(PATCH + f"gone: {gone}").upsert(delivered=True)
    assert (outcome.meaning, len(crm.seen)) == (meaning, 1)
    assert outcome.reason.startswith("gone") == (gone == "dead")


# --- delete


@pytest.mark.parametrize("status", [200, 204, 404, 410])
def test_delete_is_done_when_the_record_is_not_there(crm, configure, status):
    crm.say(status)
    outcome = configure().delete()
    assert (outcome.meaning, outcome.number) == ("done", 2)
    assert (crm.seen[0].method, crm.seen[0].path, crm.seen[0].body) == (
        "DELETE",
        "/tickets/9999",
        b"",
    )
    assert "content-type" not in crm.seen[0].headers


def test_delete_sends_a_body_only_where_one_is_named(crm, configure):
    configure("delete: {method: POST, path: /remove, body: {ids: ['{external_id}']}}").delete()
    assert (crm.seen[0].method, crm.seen[0].json) == ("POST", {"ids": ["9999"]})


def test_refused_delete_is_refused(crm, configure):
    crm.say(423, {"message": "locked"})
    outcome = configure().delete()
    assert (outcome.meaning, outcome.reason) == ("refused", "423 Locked: locked")


def test_record_without_a_link_has_nothing_to_delete(crm, configure):
    bench = configure("crm_id: id\ndelete: {path: '/t/{crm_id}'}")
    never = bench.delete(delivered=False)
    assert (never.meaning, len(never.warnings)) == ("done", 1)
    assert bench.delete(delivered=True).meaning == "refused"
    assert crm.seen == []


# --- what an outcome says


def test_refusal_tells_status_reason_and_answer(crm, configure):
    crm.say(422, {"errors": [{"field": "email", "message": "not a valid address"}]})
    outcome = configure().upsert()
    assert outcome.meaning == "refused"
    assert outcome.status == 422
    assert outcome.reason.endswith(": email: not a valid address")
    assert outcome.answer == {"errors": [{"field": "email", "message": "not a valid address"}]}
    assert (outcome.number, outcome.unknown) == (2, False)


def test_long_answer_is_abridged(crm, configure):
    crm.say(400, {"message": "x" * 5000})
    outcome = configure().upsert()
    assert isinstance(outcome.answer, str)
    assert len(outcome.answer) == 2000
    assert len(outcome.calls[0].answer) == 2000


def test_calls_are_logged(crm, configure):
    crm.say(404, {"message": "gone"})
    crm.say(201, {"id": 1})
    outcome = configure().upsert(delivered=True)
    first, second = outcome.calls
    assert (first.method, first.path, first.status) == ("PUT", "/tickets/9999", 404)
    assert (first.meaning, second.meaning) == ("gone", "done")
    assert first.answer == '{"message": "gone"}'
    assert 0 < first.seconds < 60
    assert first.at <= second.at


def test_conflict_without_a_way_to_look_is_refused(crm, configure):
    crm.say(409)
    assert configure().upsert().meaning == "refused"


def test_redirect_is_never_followed(crm, configure):
    crm.say(301, headers={"Location": f"{crm.url}/v2/tickets/9999?key=1"})
    outcome = configure().upsert()
    assert (outcome.meaning, len(crm.seen)) == ("misled", 1)
    assert outcome.reason.endswith(f"sent to {crm.url}/v2/tickets/9999")


def test_server_error_is_a_fault_and_not_repeated(crm, configure):
    crm.say(500, {"message": "oops"})
    outcome = configure().upsert()
    assert (outcome.meaning, outcome.number, len(crm.seen)) == ("fault", 2, 1)


def test_patch_that_makes_a_deleted_record_anew_is_followed_by_all_fields(crm, configure):
    crm.say(201, {})
    bench = configure("upsert: {strategy: patch}")
    outcome = bench.upsert({"a": 1, "b": 2, "c": 3}, changed={"a"}, delivered=True)
    assert outcome.meaning == "done"
    assert [seen.json for seen in crm.seen] == [{"a": 1}, {"a": 1, "b": 2, "c": 3}]


def test_patch_that_creates_what_was_never_delivered_is_one_call(crm, configure):
    crm.otherwise = crm.reply(201, {})
    bench = configure("upsert: {strategy: patch}")
    assert bench.upsert({"a": 1, "b": 2}).meaning == "done"
    assert bench.upsert({"a": 1, "b": 2}, delivered=True).meaning == "done"
    assert len(crm.seen) == 2


CREATE_FIRST = "upsert: {strategy: patch, create: {path: /tickets}}\nexternal_id_field: ext\n"


def test_create_that_meets_a_record_updates_what_a_look_has_shown(crm, configure):
    crm.otherwise = lambda seen: crm.reply(409 if seen.method == "POST" else 200, {"ext": "9999"})
    read = 'read: {path: "/tickets/{external_id}"}'
    assert configure(CREATE_FIRST + read).upsert({"a": 1}).meaning == "done"
    assert crm.calls == ["POST /tickets", "GET /tickets/9999", "PATCH /tickets/9999"]


def test_create_that_meets_a_record_nobody_can_look_at_is_refused(crm, configure):
    crm.otherwise = crm.reply(409)
    assert configure(CREATE_FIRST).upsert({"a": 1}).meaning == "refused"
    assert crm.calls == ["POST /tickets"]
