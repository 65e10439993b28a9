"""Searching once, then creating or updating by the CRM's own id."""

from __future__ import annotations

import pytest

SEARCHING = """
upsert:
  strategy: search_then_write
  search: {path: /t, query: {ext: "{external_id}"}, found: data}
  create: {path: /t}
  update: {path: "/t/{crm_id}"}
external_id_field: ext
crm_id: data.id
hit_id: id
"""
FAST = "search_lag: 0.05"


@pytest.fixture
def bench(configure):
    """A target whose search has been found to be right already."""
    made = configure(SEARCHING, FAST)
    made.target._crm.proven_searches.add("tickets")
    return made


def test_unknown_record_is_created_without_nulls(crm, bench):
    crm.otherwise = rows = crm.rows()
    report = bench.upsert({"a": 1, "b": None})
    assert (report.meaning, report.link, report.number) == ("done", 101, 2)
    assert crm.calls == ["GET /t?ext=9999", "POST /t"]
    assert rows.rows == {101: {"id": 101, "a": 1, "ext": "9999"}}


def test_found_record_is_updated_with_everything(crm, bench):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999", "b": "old"})
    report = bench.upsert({"a": 1, "b": None})
    assert (report.meaning, report.link) == ("done", 7)
    assert crm.calls == ["GET /t?ext=9999", "PATCH /t/7"]
    assert rows.rows[7] == {"id": 7, "ext": "9999", "a": 1, "b": None}


def test_link_saves_the_search(crm, bench):
    crm.otherwise = crm.rows({"id": 7, "ext": "9999"})
    bench.upsert({"a": 1, "b": 2}, changed={"b"}, link=7, delivered=True)
    assert crm.calls == ["PATCH /t/7"]
    assert crm.seen[0].json == {"b": 2}


def test_searches_carry_no_key_and_do_not_count(crm, bench):
    crm.otherwise = crm.rows()
    report = bench.upsert(number=5)
    assert [key is None for key in crm.keys] == [True, False]
    assert report.number == 6


def test_found_record_with_nothing_to_say_is_not_written(crm, bench):
    crm.otherwise = crm.rows({"id": 7, "ext": "9999"})
    report = bench.upsert({})
    assert (report.meaning, report.link, len(crm.calls)) == ("done", 7, 1)


# --- what a search finds


@pytest.mark.parametrize("body", [None, {"data": []}])
def test_none_found(crm, bench, body):
    crm.say(204 if body is None else 200, body)
    crm.say(201, {"data": {"id": 8}})
    assert bench.upsert().link == 8


@pytest.mark.parametrize("body", [{"items": []}, {"data": None}, {"data": {}}, "text"])
def test_found_that_is_no_list_is_never_none(crm, bench, body):
    crm.say(200, body)
    report = bench.upsert()
    assert (report.meaning, len(crm.seen)) == ("misled", 1)
    assert "no list" in report.reason


def test_hits_are_compared_for_equality(crm, bench):
    others = [{"id": 1, "ext": "99990"}, {"id": 2, "ext": "ABC"}, {"id": 3}, {"id": 4, "ext": None}]
    crm.say(200, {"data": others})
    crm.say(201, {"data": {"id": 8}})
    report = bench.upsert()
    assert (report.meaning, report.link) == ("done", 8)
    assert report.warnings == ("the search found 4 rows, none of them with this id",)


@pytest.mark.parametrize("ext", [9999, "9999", ["1", "9999"], [9999.0]])
def test_hits_compare_as_text_and_in_lists(crm, bench, ext):
    crm.say(200, {"data": [{"id": 1, "ext": "other"}, {"id": 7, "ext": ext}]})
    assert bench.upsert().link == 7


@pytest.mark.parametrize(("several", "link"), [("first", 1), ("last", 2), ("dead", None)])
def test_several_equal_hits(crm, configure, several, link):
    crm.otherwise = crm.rows({"id": 1, "ext": "9999"}, {"id": 2, "ext": "9999"})
    report = configure(SEARCHING + f"several: {several}", FAST).upsert()
    assert report.link == link
    assert (report.meaning == "refused") == (several == "dead")
    if several == "dead":
        assert report.reason == "2 records of the CRM have this id"


def test_hit_without_an_id_is_a_wrong_configuration(crm, configure):
    crm.say(200, {"data": [{"ext": "9999", "key": 7}]})
    assert configure(SEARCHING, FAST).upsert().meaning == "misled"


def test_record_of_a_hit_may_lie_deeper(crm, configure):
    crm.say(200, {"data": [{"id": 7, "properties": {"ext": "9999"}}]})
    text = SEARCHING.replace("found: data}", "found: data, record: properties}")
    assert configure(text, FAST).upsert().link == 7


def test_search_that_finds_a_random_id_pauses_the_target(crm, configure):
    everything = {"data": [{"id": 1, "ext": "1"}]}
    crm.otherwise = lambda seen: crm.reply(200, everything)
    report = configure(SEARCHING, FAST).upsert()
    assert report.meaning == "misled"
    assert "that nobody has" in report.reason
    assert {seen.method for seen in crm.seen} == {"GET"}


def test_search_is_proven_once_for_each_resource(crm, configure):
    crm.otherwise = crm.rows()
    made = configure(SEARCHING, FAST)
    made.upsert(id="1")
    made.upsert(id="2")
    assert [seen.method for seen in crm.seen] == ["GET", "GET", "POST", "GET", "POST"]
    assert dict(crm.seen[1].query)["ext"] not in ("1", "2")


@pytest.mark.parametrize("external_id", ["9999", "a-1", "0f8fad5b-d9cb-469f-a165-70867728950e"])
def test_random_id_is_of_the_kind_of_the_records(crm, configure, external_id):
    crm.otherwise = crm.rows()
    configure(SEARCHING, FAST).upsert(id=external_id)
    tried = dict(crm.seen[1].query)["ext"]
    assert tried.isdecimal() == external_id.isdecimal()
    assert ("-" in tried) == (len(external_id) == 36)


def test_refused_random_id_finds_nothing_either(crm, configure):
    crm.say(200, {"data": []})
    crm.say(400, {"message": "no such id"})
    crm.say(201, {"data": {"id": 8}})
    assert configure(SEARCHING, FAST).upsert().link == 8


@pytest.mark.parametrize(
    ("status", "meaning"), [(401, "credentials"), (500, "fault"), (302, "misled"), (400, "refused")]
)
def test_search_that_fails_ends_the_delivery(crm, bench, status, meaning):
    crm.say(status)
    report = bench.upsert()
    assert (report.meaning, report.number, len(crm.seen)) == (meaning, 1, 1)


def test_search_may_be_corrected_to_find_nothing_by_404(crm, configure):
    made = configure(SEARCHING + "answers: [{call: search, status: 404, means: gone}]", FAST)
    made.target._crm.proven_searches.add("tickets")
    crm.say(404)
    crm.say(201, {"data": {"id": 8}})
    assert made.upsert().link == 8


# --- creating


def test_create_that_does_not_tell_its_id_is_searched_for_with_backoff(crm, bench):
    crm.otherwise = rows = crm.rows()
    rows.answers_id, rows.lag = False, 1
    report = bench.upsert()
    assert (report.meaning, report.link, report.warnings) == ("done", 101, ())
    assert [seen.method for seen in crm.seen] == ["GET", "POST", "GET", "GET"]


def test_create_that_a_gateway_called_unavailable_is_not_sent_twice(crm, bench):
    crm.otherwise = crm.rows()
    crm.say(200, {"data": []})
    crm.say(503)
    report = bench.upsert()
    assert (report.meaning, report.unknown) == ("not_now", False)
    assert [seen.method for seen in crm.seen] == ["GET", "POST"]


def test_create_whose_id_never_shows_is_done_with_a_warning(crm, bench):
    crm.otherwise = rows = crm.rows()
    rows.answers_id, rows.lag = False, 99
    report = bench.upsert()
    assert (report.meaning, report.link, len(report.warnings)) == ("done", None, 1)
    assert [seen.method for seen in crm.seen].count("POST") == 1


def test_somebody_faster_is_found_and_updated(crm, bench):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    rows.lag, rows.unique = 1, 409
    report = bench.upsert({"a": 1})
    assert (report.meaning, report.link) == ("done", 7)
    assert crm.calls == ["GET /t?ext=9999", "POST /t", "GET /t?ext=9999", "PATCH /t/7"]
    assert rows.rows[7]["a"] == 1
    assert report.number == 3


def test_somebody_faster_whom_the_search_sees_late(crm, bench):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    rows.lag, rows.unique = 2, 409
    assert bench.upsert({"a": 1}).link == 7
    assert len(rows.rows) == 1


def test_conflict_that_never_ends_is_a_dead_letter(crm, bench):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    rows.lag, rows.unique = 99, 409
    report = bench.upsert()
    assert (report.meaning, report.status) == ("refused", 409)
    assert "faster" in report.reason
    assert [seen.method for seen in crm.seen].count("POST") == 3


@pytest.mark.parametrize("status", [400, 422, 500])
def test_refused_create_whose_record_is_there_was_a_race(crm, bench, status):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    rows.lag, rows.unique = 1, status
    report = bench.upsert({"a": 1})
    assert (report.meaning, report.link) == ("done", 7)


@pytest.mark.parametrize(
    ("status", "meaning"), [(400, "refused"), (422, "refused"), (500, "fault")]
)
def test_refused_create_whose_record_is_not_there_is_refused(crm, bench, status, meaning):
    crm.say(200, {"data": []})
    crm.say(status, {"message": "required: owner"})
    crm.otherwise = crm.rows()
    report = bench.upsert()
    assert (report.meaning, report.status) == (meaning, status)
    assert report.reason.endswith("required: owner")
    assert [seen.method for seen in crm.seen] == ["GET", "POST", "GET"]


# --- gone


def test_record_that_moved_is_updated_where_it_is(crm, bench):
    crm.otherwise = rows = crm.rows({"id": 8, "ext": "9999"})
    report = bench.upsert({"a": 1, "b": 2}, changed={"a"}, link=7, delivered=True)
    assert (report.meaning, report.link) == ("done", 8)
    assert crm.calls == ["PATCH /t/7", "GET /t?ext=9999", "PATCH /t/8"]
    assert rows.rows[8] == {"id": 8, "ext": "9999", "a": 1, "b": 2}


def test_record_that_is_gone_is_created_again(crm, bench):
    crm.otherwise = rows = crm.rows()
    report = bench.upsert({"a": 1, "b": 2, "c": None}, changed={"a"}, link=7, delivered=True)
    assert (report.meaning, report.link) == ("done", 101)
    assert rows.rows[101] == {"id": 101, "ext": "9999", "a": 1, "b": 2}
    assert not report.unlinked


@pytest.mark.parametrize(("gone", "meaning"), [("dead", "refused"), ("ignore", "done")])
def test_gone_record_may_be_left_alone(crm, configure, gone, meaning):
    crm.otherwise = crm.rows()
    report = configure(SEARCHING + f"gone: {gone}", FAST).upsert(link=7, delivered=True)
    assert (report.meaning, crm.calls) == (meaning, ["PATCH /t/7", "GET /t?ext=9999"])


def test_record_created_again_without_an_id_is_unlinked(crm, bench):
    crm.otherwise = rows = crm.rows()
    rows.answers_id, rows.lag = False, 99
    report = bench.upsert(link=7, delivered=True)
    assert (report.meaning, report.link, report.unlinked) == ("done", None, True)


def test_answer_that_shows_another_record_is_not_taken_for_ours(crm, bench):
    """The CRM gave the id to another row after a delete."""
    crm.otherwise = rows = crm.rows()
    crm.say(200, {"id": 7, "ext": "1234"})
    report = bench.upsert({"a": 1}, link=7, delivered=True)
    assert (report.meaning, report.link) == ("done", 101)
    assert rows.rows[101]["a"] == 1
    assert "another record's now" in report.warnings[0]


def test_record_that_is_neither_there_nor_gone_is_a_dead_letter(crm, bench):
    """Deleted softly: found by the search, in the way of a create, and not to be updated."""
    ghost = crm.rows({"id": 7, "ext": "9999"})
    ghost.unique = 409
    crm.otherwise = lambda seen: crm.reply(404) if seen.method == "PATCH" else ghost(seen)
    report = bench.upsert(link=7, delivered=True)
    assert (report.meaning, report.reason[:10]) == ("refused", "gone again")
    assert len(crm.seen) < 10


# --- 403


def test_403_of_a_record_that_is_no_longer_found_means_gone(crm, bench):
    crm.otherwise = rows = crm.rows()
    crm.say(403)
    report = bench.upsert({"a": 1}, link=7, delivered=True)
    assert (report.meaning, report.link) == ("done", 101)
    assert rows.rows[101]["a"] == 1


def test_403_of_a_record_that_is_still_there_is_refused(crm, bench):
    crm.otherwise = crm.rows({"id": 7, "ext": "9999"})
    crm.say(403, {"message": "not yours"})
    report = bench.upsert({"a": 1}, link=7, delivered=True)
    assert (report.meaning, report.status) == ("refused", 403)


def test_403_with_the_check_refused_too_is_credentials(crm, configure):
    crm.otherwise = crm.reply(403)
    report = configure(SEARCHING, FAST + "\ncheck: {path: /me}").upsert(link=7, delivered=True)
    assert report.meaning == "credentials"
    assert crm.calls == ["PATCH /t/7", "GET /me"]


# --- delete


def test_delete_finds_its_record(crm, bench):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "9999"})
    assert bench.delete(link=None).meaning == "done"
    assert crm.calls == ["GET /t?ext=9999", "DELETE /t/7"]
    assert rows.rows == {}


def test_delete_of_what_is_not_found_is_done(crm, bench):
    crm.otherwise = crm.rows()
    assert bench.delete(link=None).meaning == "done"
    assert crm.calls == ["GET /t?ext=9999"]


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_refused_delete_of_what_is_no_longer_found_is_done(crm, bench, status):
    empty = crm.rows()
    crm.otherwise = lambda seen: crm.reply(status) if seen.method == "DELETE" else empty(seen)
    assert bench.delete(link=7).meaning == "done"
    assert [seen.method for seen in crm.seen].count("DELETE") == 1


@pytest.mark.parametrize("status", [400, 403, 409, 422])
def test_refused_delete_of_what_is_still_there_is_refused(crm, bench, status):
    there = crm.rows({"id": 7, "ext": "9999"})
    crm.otherwise = lambda seen: crm.reply(status) if seen.method == "DELETE" else there(seen)
    report = bench.delete(link=7)
    assert (report.meaning, report.status) == ("refused", status)
    assert [seen.method for seen in crm.seen].count("DELETE") == 1


def test_delete_of_several_is_left_to_a_person(crm, bench):
    crm.otherwise = crm.rows({"id": 1, "ext": "9999"}, {"id": 2, "ext": "9999"})
    assert bench.delete(link=None).meaning == "refused"
    assert "DELETE" not in {seen.method for seen in crm.seen}


# --- doubt


def test_create_of_unknown_fate_is_searched_for_and_not_repeated(crm, bench):
    crm.otherwise = rows = crm.rows()
    crm.say(200, {"data": []})
    crm.say(cut="read")
    first = bench.upsert({"a": 1}, number=4)
    assert (first.meaning, first.unknown, first.number) == ("not_now", True, 4)
    rows.rows[7] = {"id": 7, "ext": "9999"}  # it had come through
    second = bench.upsert({"a": 2}, number=4, in_doubt=True, intended=bench.intended[-1])
    assert (second.meaning, second.link, second.unknown) == ("done", 7, False)
    assert rows.rows == {7: {"id": 7, "ext": "9999", "a": 2}}


def test_intent_is_told_before_a_create_and_nothing_else(crm, bench):
    crm.otherwise = crm.rows()
    report = bench.upsert({"a": 1})
    assert bench.intended == [{"method": "POST", "path": "/t", "body": '{"a":1,"ext":"9999"}'}]
    bench.upsert({"a": 2}, link=report.link, delivered=True)
    assert len(bench.intended) == 1


def test_intent_that_cannot_be_kept_stops_the_create(crm, bench, monkeypatch):
    crm.otherwise = crm.rows()

    def full(_):
        raise RuntimeError("Redis is away")

    monkeypatch.setattr(
        type(bench),
        "deliver",
        lambda self, delivery: self.target.deliver(delivery, self.http, self.before_call, full),
    )
    with pytest.raises(RuntimeError, match="Redis is away"):
        bench.upsert()
    assert crm.calls == ["GET /t?ext=9999"]
