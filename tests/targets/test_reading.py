"""Looking before and after a write: etags, links, people's edits, what the CRM did not keep."""

from __future__ import annotations

import pytest

from connector.model import Delta

READING = """
upsert:
  strategy: patch
  path: "/t/{crm_id}"
  create: {path: /t}
read: {path: "/t/{crm_id}", record: data}
external_id_field: ext
crm_id: data.id
"""
WHOLE = READING + "send: all\n"


def row(**fields):
    return {"id": 7, "ext": "9999", **fields}


def known(bench, fields, changed=None, **more):
    return bench.upsert(fields, changed=changed, link=7, delivered=True, **more)


# --- etags


@pytest.mark.parametrize("etag", ["header", "rev"])
def test_etag_is_read_and_sent_as_if_match(crm, configure, etag):
    crm.otherwise = crm.rows(row(rev='"5"'))
    known(configure(READING + f"etag: {etag}"), {"a": 1})
    assert crm.calls == ["GET /t/7", "PATCH /t/7"]
    expected = '"5"' if etag == "rev" else crm.rows().etag(row(rev='"5"'))
    assert crm.seen[1].headers["if-match"] == expected


def test_record_that_changed_meanwhile_is_read_again(crm, configure):
    crm.otherwise = rows = crm.rows(row())
    rows.etags = True
    crm.say(200, {"data": row()}, headers={"ETag": '"old"'})
    report = known(configure(READING + "etag: header"), {"a": 1})
    assert (report.meaning, rows.rows[7]["a"]) == ("done", 1)
    assert crm.calls == ["GET /t/7", "PATCH /t/7", "GET /t/7", "PATCH /t/7"]


def test_record_that_changes_all_the_time_is_a_dead_letter(crm, configure):
    there = crm.rows(row())
    crm.otherwise = lambda seen: crm.reply(412) if seen.method == "PATCH" else there(seen)
    report = known(configure(READING + "etag: header"), {"a": 1})
    assert (report.meaning, report.status) == ("refused", 412)
    assert [seen.method for seen in crm.seen].count("PATCH") == 3


LOCK = "etag: lock\netag_as: {as_}"


@pytest.mark.parametrize(
    ("as_", "path", "body"),
    [
        ("{field: lock}", "/t/7", {"a": 1, "lock": 5}),
        ("{field: meta.version}", "/t/7", {"a": 1, "meta": {"version": 5}}),
        ("{field: lock, query: rev}", "/t/7", {"a": 1, "lock": 5}),
        ("{query: rev}", "/t/7?rev=5", {"a": 1}),
    ],
)
def test_lock_version_goes_where_the_crm_wants_it(crm, configure, as_, path, body):
    crm.otherwise = crm.rows(row(lock=5))
    known(configure(READING + LOCK.format(as_=as_)), {"a": 1})
    update = next(seen for seen in crm.seen if seen.method == "PATCH")
    assert (update.path, update.json) == (path, body)
    assert "if-match" not in update.headers


@pytest.mark.parametrize(
    ("as_", "path", "header"),
    [("{field: lock, query: rev}", "/t/7?rev=5", None), ("{field: lock}", "/t/7", "5")],
)
def test_delete_sends_the_lock_version_as_a_parameter(crm, configure, as_, path, header):
    crm.otherwise = crm.rows(row(lock=5))
    configure(READING + LOCK.format(as_=as_)).delete(link=7)
    assert crm.calls[-1] == f"DELETE {path}"
    assert crm.seen[-1].headers.get("if-match") == header


def test_lock_version_is_read_again_after_a_conflict(crm, configure):
    there = crm.rows(row(lock=6))

    def answer(seen):
        stale = seen.method == "PATCH" and seen.json["lock"] != 6
        return crm.reply(409) if stale else there(seen)

    crm.otherwise = answer
    crm.say(200, {"data": row(lock=5)})
    bench = configure(READING + LOCK.format(as_="{field: lock}"))
    assert known(bench, {"a": 1}).meaning == "done"
    assert [seen.json["lock"] for seen in crm.seen if seen.method == "PATCH"] == [5, 6]


def test_delete_of_what_was_never_delivered_is_done_when_there_is_nothing_to_read(crm, configure):
    crm.otherwise = crm.reply(404)
    by_our_id = """
    upsert: {strategy: put, path: "/t/{external_id}"}
    read: {path: "/t/{external_id}"}
    etag: rev
    """
    report = configure(by_our_id).delete(delivered=False)
    assert (report.meaning, crm.calls) == ("done", ["GET /t/9999"])


def test_delete_sends_the_etag(crm, configure):
    crm.otherwise = rows = crm.rows(row())
    rows.etags = True
    assert configure(READING + "etag: header").delete(link=7).meaning == "done"
    assert crm.calls == ["GET /t/7", "DELETE /t/7"]
    assert rows.rows == {}


def test_delete_of_a_record_that_changed_meanwhile_is_tried_again(crm, configure):
    crm.otherwise = rows = crm.rows(row())
    rows.etags = True
    crm.say(200, {"data": row()}, headers={"ETag": '"old"'})
    assert configure(READING + "etag: header").delete(link=7).meaning == "done"
    assert rows.rows == {}


def test_record_that_is_gone_before_its_delete_is_done(crm, configure):
    crm.otherwise = crm.rows()
    assert configure(READING + "etag: header").delete(link=7).meaning == "done"
    assert crm.calls == ["GET /t/7"]


def test_record_that_is_gone_before_its_update_is_created(crm, configure):
    crm.otherwise = crm.rows()
    report = known(configure(READING + "etag: header"), {"a": 1})
    assert (report.meaning, report.link) == ("done", 101)
    assert crm.calls == ["GET /t/7", "POST /t"]


def test_read_that_fails_ends_the_delivery(crm, configure):
    crm.say(500)
    report = known(configure(READING + "etag: header"), {"a": 1})
    assert (report.meaning, crm.calls) == ("fault", ["GET /t/7"])


def test_read_that_finds_no_record_is_a_wrong_configuration(crm, configure):
    crm.say(200, {"item": {}})
    assert known(configure(READING + "etag: header"), {"a": 1}).meaning == "misled"


# --- verify: [link]


def test_row_that_is_still_ours_is_updated(crm, configure):
    crm.otherwise = crm.rows(row())
    known(configure(READING + "verify: [link]"), {"a": 1})
    assert crm.calls == ["GET /t/7", "PATCH /t/7"]


def test_row_that_belongs_to_another_record_is_left_alone(crm, configure):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "1234"})
    report = known(configure(READING + "verify: [link]"), {"a": 1})
    assert (report.meaning, report.link) == ("done", 101)
    assert rows.rows[7] == {"id": 7, "ext": "1234"}


def test_row_that_belongs_to_another_record_is_not_deleted(crm, configure):
    crm.otherwise = rows = crm.rows({"id": 7, "ext": "1234"})
    assert configure(READING + "verify: [link]").delete(link=7).meaning == "done"
    assert 7 in rows.rows


def test_link_is_verified_by_the_search_where_there_is_no_read(crm, configure):
    text = """
upsert:
  strategy: search_then_write
  search: {path: /t, query: {ext: "{external_id}"}, found: data}
  create: {path: /t}
  update: {path: "/t/{crm_id}"}
external_id_field: ext
crm_id: data.id
hit_id: id
verify: link
"""
    bench = configure(text, "search_lag: 0.05")
    crm.otherwise = crm.rows(row())
    known(bench, {"a": 1})
    assert crm.calls == ["GET /t?ext=9999", "PATCH /t/7"]
    crm.seen.clear()
    crm.otherwise = crm.rows({"id": 7, "ext": "1234"}, {"id": 8, "ext": "9999"})
    assert known(bench, {"a": 1}).link == 8
    assert "PATCH /t/7" not in crm.calls


# --- verify: [read]


def test_what_the_crm_did_not_keep_is_a_warning(crm, configure):
    crm.say(200)
    crm.say(200, {"data": row(a="x", b="lo", c=None, d=5)})
    report = known(
        configure(READING + "verify: [read]"), {"a": "x", "b": "long", "c": "", "d": "5"}
    )
    assert report.meaning == "done"
    assert report.warnings == ("the CRM did not keep b: sent 'long', holds 'lo'",)


@pytest.mark.parametrize(
    ("sent", "held"),
    [
        ("a\r\nb", "a\nb"),
        (None, ""),
        ("", []),
        ([], None),
        (5, "5"),
        (2.0, 2),
        (True, "true"),
        (["1", 2], [1, "2"]),
        ({"a": None}, {"a": ""}),
        (None, False),
    ],
)
def test_values_that_are_the_same_to_a_crm(crm, configure, sent, held):
    crm.say(200)
    crm.say(200, {"data": row(a=held)})
    report = known(configure(READING + "verify: [read]\nempty: false"), {"a": sent})
    assert report.warnings == ()


@pytest.mark.parametrize(
    ("sent", "held"), [("a", "A"), (0, None), (1, 2), ([1, 2], [2, 1]), ("0", False)]
)
def test_values_that_differ(crm, configure, sent, held):
    crm.say(200)
    crm.say(200, {"data": row(a=held)})
    assert len(known(configure(READING + "verify: [read]"), {"a": sent}).warnings) == 1


def test_shaped_value_is_compared_in_its_shape(crm, configure):
    text = READING + "verify: [read]\nfields: {a: {at: a_id, as: '/contacts({value})'}}"
    crm.otherwise = crm.rows(row())
    assert known(configure(text), {"a": 5}).warnings == ()
    text = READING + "verify: [read]\nfields: {a: {at: a_id, as: '/c({value})', read: _a_value}}"
    crm.otherwise = crm.rows(row(_a_value=5))
    assert known(configure(text), {"a": 5}).warnings == ()


def test_reading_back_that_fails_leaves_the_delivery_done(crm, configure):
    crm.say(200)
    crm.say(500)
    report = known(configure(READING + "verify: [read]"), {"a": 1})
    assert (report.meaning, len(report.warnings)) == ("done", 1)


# --- write policies


def test_on_create_is_for_creates(crm, configure):
    crm.otherwise = rows = crm.rows(row())
    bench = configure(READING)
    known(bench, {"a": 1, "b": 2}, write={"a": "on_create"})
    assert crm.calls == ["PATCH /t/7"], "nothing has to be read for that"
    assert "a" not in rows.rows[7]
    report = bench.upsert({"a": 1}, id="new", write={"a": "on_create"})
    assert rows.rows[report.link]["a"] == 1


@pytest.mark.parametrize(("held", "written"), [("", 1), (None, 1), ([], 1), ("theirs", "theirs")])
def test_if_empty_writes_only_into_emptiness(crm, configure, held, written):
    crm.otherwise = rows = crm.rows(row(a=held))
    known(configure(READING), {"a": 1}, write={"a": "if_empty"})
    assert rows.rows[7]["a"] == written


def test_delivery_with_everything_withheld_makes_no_write(crm, configure):
    crm.otherwise = crm.rows(row(a="theirs"))
    report = known(configure(READING), {"a": 1}, write={"a": "if_empty"})
    assert (report.meaning, crm.calls) == ("done", ["GET /t/7"])


def test_edit_is_found_kept_and_reported(crm, configure):
    crm.otherwise = rows = crm.rows(row(a="ours\r\n"))
    bench = configure(READING)
    write = {"a": "unless_edited"}
    first = known(bench, {"a": "ours\n"}, write=write)
    assert set(first.baseline) == {"a"}
    second = known(bench, {"a": "newer"}, write=write, baseline=first.baseline)
    assert rows.rows[7]["a"] == "newer"
    rows.rows[7]["a"] = "edited by hand"
    third = known(bench, {"a": "newest"}, write=write, baseline=second.baseline)
    assert rows.rows[7]["a"] == "edited by hand"
    assert (third.meaning, third.withheld) == ("done", {"a": "edited by hand"})


def test_edit_that_was_kept_once_is_kept_again(crm, configure):
    crm.otherwise = rows = crm.rows(row(a="edited by hand"))
    bench = configure(READING)
    write = {"a": "unless_edited"}
    first = known(bench, {"a": "ours", "b": 1}, write=write, baseline={"a": "old mark"})
    assert rows.rows[7]["b"] == 1
    assert first.baseline == {"a": "old mark"}
    known(bench, {"a": "ours"}, write=write, baseline=first.baseline)
    assert rows.rows[7]["a"] == "edited by hand"


def test_what_stood_there_before_the_first_delivery_is_kept(crm, configure):
    crm.otherwise = rows = crm.rows(row(a="theirs", b=""))
    write = {"a": "unless_edited", "b": "unless_edited"}
    known(configure(READING), {"a": 1, "b": 2}, write=write)
    assert (rows.rows[7]["a"], rows.rows[7]["b"]) == ("theirs", 2)


def test_text_that_comes_back_changed_is_no_edit(crm, configure):
    there = crm.rows(row())

    def cutting(seen):
        reply = there(seen)
        there.rows[7]["a"] = str(there.rows[7].get("a", ""))[:5]
        return reply

    crm.otherwise = cutting
    bench = configure(READING)
    write = {"a": "unless_edited"}
    first = known(bench, {"a": "longer than that"}, write=write)
    assert there.rows[7]["a"] == "longe"
    known(bench, {"a": "new"}, write=write, baseline=first.baseline)
    assert there.rows[7]["a"] == "new"


def test_emptying_a_field_is_an_edit(crm, configure):
    crm.otherwise = rows = crm.rows(row(a=""))
    bench = configure(READING)
    write = {"a": "unless_edited"}
    first = known(bench, {"a": "ours"}, write=write)
    rows.rows[7]["a"] = ""
    second = known(bench, {"a": "newer"}, write=write, baseline=first.baseline)
    assert (rows.rows[7]["a"], second.withheld) == ("", {"a": ""})


def test_baseline_is_taken_after_a_create(crm, configure):
    crm.otherwise = rows = crm.rows()
    bench = configure(READING)
    write = {"a": "unless_edited"}
    first = bench.upsert({"a": "ours"}, write=write)
    rows.rows[first.link]["a"] = "edited"
    more = {"link": first.link, "delivered": True, "baseline": first.baseline, "write": write}
    second = bench.upsert({"a": "new"}, **more)
    assert (rows.rows[first.link]["a"], second.withheld) == ("edited", {"a": "edited"})


def test_with_send_all_a_withheld_field_goes_back_as_it_is(crm, configure):
    crm.otherwise = rows = crm.rows(row(a="theirs", b="old"))
    known(configure(WHOLE), {"a": 1, "b": 2}, {"b"}, write={"a": "if_empty"})
    assert crm.seen[1].json == {"a": "theirs", "b": 2, "ext": "9999"}
    assert rows.rows[7]["b"] == 2


def test_with_send_all_fields_that_no_event_told_of_go_back_as_they_are(crm, configure):
    crm.otherwise = crm.rows(row(a="old", c="theirs", d=None))
    known(configure(WHOLE), {"a": 1}, untold=frozenset({"c", "d", "e"}))
    assert crm.seen[1].json == {"a": 1, "c": "theirs", "ext": "9999"}


def test_shaped_field_goes_back_in_its_shape(crm, configure):
    text = WHOLE + "fields: {a: {at: a_id, as: '/c({value})'}, b: {as: 'b-{value}', read: b_raw}}"
    crm.otherwise = crm.rows(row(a_id="/c(5)", b_raw=6))
    known(configure(text), {"x": 1}, untold=frozenset({"a", "b"}))
    assert crm.seen[1].json == {"a_id": "/c(5)", "b": "b-6", "x": 1, "ext": "9999"}


def test_policies_without_a_way_to_look_leave_known_records_alone(crm, configure):
    text = "upsert: {strategy: patch}"
    write = {"a": "if_empty", "b": "unless_edited"}
    configure(text).upsert({"a": 1, "b": 2, "c": 3}, delivered=True, write=write)
    assert crm.seen[0].json == {"c": 3}


def test_set_delta_is_applied_to_what_the_crm_has(crm, configure):
    crm.otherwise = rows = crm.rows(row(tags=["a", "b", 3]))
    deltas = {"tags": Delta(add=("b", "c"), remove=("a", "3"))}
    report = known(configure(READING), {}, deltas=deltas)
    assert rows.rows[7]["tags"] == ["b", "c"]
    assert report.sets == {"tags": ["b", "c"]}


def test_set_of_a_new_record_begins_with_what_was_added(crm, configure):
    crm.otherwise = rows = crm.rows()
    deltas = {"tags": Delta(add=("b",), remove=("a",))}
    report = configure(READING).upsert({"a": 1}, deltas=deltas)
    assert rows.rows[report.link]["tags"] == ["b"]
    assert report.sets == {"tags": ["b"]}


def test_replacing_write_that_cannot_look_sends_ours_rather_than_nothing(crm, configure):
    configure().upsert({"a": 1}, delivered=True, write={"a": "on_create"})
    assert crm.seen[0].json == {"a": 1}
