"""Creating, and updating where that meets a known record; and doubt without a search."""

from __future__ import annotations

CREATING = """
upsert:
  strategy: create_then_update
  create: {path: /t}
  update: {path: "/t/{crm_id}"}
external_id_field: ext
crm_id: data.id
"""
WITH_SEARCH = (
    CREATING.replace(
        "  create:",
        '  search: {path: /t, query: {ext: "{external_id}"}, found: data, record: "@"}\n  create:',
    )
    + "hit_id: id\n"
)
BY_ID = """
upsert:
  strategy: create_then_update
  create: {path: /t, body: {id: "{external_id}", "**": "{fields}"}}
  update: {path: "/t/{external_id}"}
"""
FAST = "search_lag: 0.05"


def test_new_record_is_created(crm, configure):
    crm.otherwise = rows = crm.rows()
    report = configure(CREATING).upsert({"a": 1, "b": None})
    assert (report.meaning, report.link, crm.calls) == ("done", 101, ["POST /t"])
    assert rows.rows[101] == {"id": 101, "ext": "9999", "a": 1}


def test_linked_record_is_updated(crm, configure):
    crm.otherwise = crm.rows({"id": 7})
    configure(CREATING).upsert({"a": 1, "b": 2}, changed={"b"}, link=7, delivered=True)
    assert (crm.calls, crm.seen[0].json) == (["PATCH /t/7"], {"b": 2})


def test_conflict_that_tells_the_id_leads_to_the_record(crm, configure):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    rows.unique = 409
    report = configure(CREATING).upsert({"a": 1, "b": None})
    assert (report.meaning, report.link, report.number) == ("done", 7, 3)
    assert crm.calls == ["POST /t", "PATCH /t/7"]
    assert rows.rows[7] == {"id": 7, "ext": "9999", "a": 1, "b": None}


def test_conflict_that_tells_nothing_is_searched_for(crm, configure):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    rows.unique = 409
    made = configure(WITH_SEARCH.replace("crm_id: data.id", "crm_id: data.key"), FAST)
    made.target._crm.proven_searches.add("tickets")
    assert made.upsert({"a": 1}).link == 7
    assert crm.calls == ["POST /t", "GET /t?ext=9999", "PATCH /t/7"]


def test_conflict_that_tells_nothing_and_cannot_be_searched_for_is_refused(crm, configure):
    crm.say(409, {"message": "exists"})
    report = configure(CREATING).upsert()
    assert (report.meaning, report.status, len(crm.seen)) == ("refused", 409, 1)


def test_conflict_where_the_external_id_is_the_id(crm, configure):
    crm.say(409)
    report = configure(BY_ID).upsert({"a": 1})
    assert (report.meaning, crm.calls) == ("done", ["POST /t", "PATCH /t/9999"])
    assert crm.seen[0].json == {"id": "9999", "a": 1}


def test_conflict_may_be_a_400_that_answers_explains(crm, configure):
    text = (
        BY_ID + "answers: [{call: create, status: 400, when: \"code == 'DUP'\", means: conflict}]"
    )
    crm.say(400, {"code": "DUP"})
    assert configure(text).upsert().meaning == "done"
    crm.say(400, {"code": "BAD"})
    assert configure(text).upsert().meaning == "refused"


def test_400_whose_record_a_search_finds_was_a_conflict(crm, configure):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    rows.unique = 400
    made = configure(WITH_SEARCH, FAST)
    made.target._crm.proven_searches.add("tickets")
    assert made.upsert({"a": 1}).link == 7


def test_gone_record_is_created_again(crm, configure):
    crm.otherwise = rows = crm.rows()
    report = configure(CREATING).upsert({"a": 1, "b": 2}, changed={"a"}, link=7, delivered=True)
    assert (report.meaning, report.link) == ("done", 101)
    assert rows.rows[101]["b"] == 2


def test_lost_link_is_searched_for(crm, configure):
    crm.otherwise = crm.rows({"id": 7, "ext": "9999"})
    report = configure(WITH_SEARCH, FAST).upsert(delivered=True)
    assert (report.link, crm.calls) == (7, ["GET /t?ext=9999", "PATCH /t/7"])


def test_lost_link_without_a_search_is_not_created_twice(crm, configure):
    report = configure(CREATING).upsert(delivered=True)
    assert (report.meaning, crm.seen) == ("refused", [])


def test_create_without_an_id_and_a_search_is_done_with_a_warning(crm, configure):
    crm.say(201)
    report = configure(CREATING).upsert()
    assert (report.meaning, report.link, len(report.warnings)) == ("done", None, 1)


# --- doubt without a search: the identical call again


def test_create_of_unknown_fate_is_repeated_exactly(crm, configure):
    bench = configure(CREATING)
    crm.say(cut="read")
    first = bench.upsert({"a": 1}, number=4)
    assert (first.unknown, first.number) == (True, 4)
    crm.say(201, {"data": {"id": 8}})
    second = bench.upsert({"a": 2}, number=4, in_doubt=True, intended=bench.intended[-1])
    assert (second.meaning, second.link, second.number) == ("done", 8, 6)
    assert [seen.json.get("a") for seen in crm.seen] == [1, 1, 2]
    assert crm.keys[0] == crm.keys[1] != crm.keys[2]
    assert crm.calls[2] == "PATCH /t/8"


def test_repeated_create_that_is_up_to_date_needs_no_other_call(crm, configure):
    bench = configure(CREATING)
    crm.say(cut="read")
    bench.upsert({"a": 1}, number=4)
    crm.say(201, {"data": {"id": 8}})
    second = bench.upsert({"a": 1}, number=4, in_doubt=True, intended=bench.intended[-1])
    assert (second.meaning, second.link, second.number, len(crm.seen)) == ("done", 8, 5, 2)


def test_repeated_create_that_conflicts_had_come_through(crm, configure):
    bench = configure(BY_ID)
    crm.say(cut="read")
    bench.upsert({"a": 1}, number=4)
    crm.say(409)
    second = bench.upsert({"a": 2}, number=4, in_doubt=True, intended=bench.intended[-1])
    assert second.meaning == "done"
    assert crm.calls[2:] == ["PATCH /t/9999"]


def test_repeated_create_that_is_refused_gives_way_to_the_newer_one(crm, configure):
    bench = configure(CREATING)
    crm.say(cut="read")
    bench.upsert({"a": "bad"}, number=4)
    crm.say(422)
    crm.say(201, {"data": {"id": 8}})
    second = bench.upsert({"a": "good"}, number=4, in_doubt=True, intended=bench.intended[-1])
    assert (second.meaning, second.link) == ("done", 8)
    assert [seen.json["a"] for seen in crm.seen] == ["bad", "bad", "good"]


def test_doubt_that_cannot_be_settled_now_stays(crm, configure):
    bench = configure(CREATING)
    crm.say(cut="read")
    bench.upsert({"a": 1}, number=4)
    crm.say(cut="read")
    second = bench.upsert({"a": 2}, number=4, in_doubt=True, intended=bench.intended[-1])
    assert (second.meaning, second.unknown, second.number, len(crm.seen)) == (
        "not_now",
        True,
        4,
        2,
    )


def test_post_of_unknown_fate_is_repeated_exactly(crm, configure):
    bench = configure("upsert: {strategy: post, path: /t}\nexternal_id_field: ext")
    crm.say(cut="read")
    bench.upsert({"a": 1}, number=4)
    bench.upsert({"a": 1}, number=4, in_doubt=True, intended=bench.intended[-1])
    assert len(crm.seen) == 2
    assert len(set(crm.keys)) == 1


def test_post_of_unknown_fate_is_searched_for_where_it_can_be(crm, configure):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    text = (
        "upsert: {strategy: post, path: /t, search: {path: /t, query: {ext: '{external_id}'}, "
        "found: data}}\nexternal_id_field: ext\ncrm_id: data.id\nhit_id: id"
    )
    intended = {"method": "POST", "path": "/t", "body": "{}"}
    rows.unique = 200
    report = configure(text, FAST).upsert({"a": 1}, in_doubt=True, intended=intended)
    assert (report.meaning, report.link) == ("done", 7)
    assert crm.calls == ["GET /t?ext=9999", "POST /t"]


def test_create_beside_patch_that_conflicts_is_refused_without_proof(crm, configure):
    crm.say(409)
    text = "upsert: {strategy: patch, create: {path: /t}}"
    assert configure(text).upsert().meaning == "refused"
    assert len(crm.seen) == 1


def test_create_beside_patch_that_conflicts_is_looked_at_where_it_can_be(crm, configure):
    crm.say(409)
    crm.say(200, {"subject": "old"})
    text = "upsert: {strategy: patch, path: '/t/{external_id}', create: {path: /t}}\nread: {}"
    report = configure(text).upsert({"a": 1})
    assert report.meaning == "done"
    assert crm.calls == ["POST /t", "GET /t/9999", "PATCH /t/9999"]
