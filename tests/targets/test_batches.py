"""Many records in one call: each has its own outcome, and one bad record fails alone."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace

import pytest

from connector.config.model import Batch
from connector.errors import ConfigInvalid, LeaseLost
from connector.model import Delivery, Delta, Name
from connector.targets import line
from connector.targets.batches import may_ride

ORDERED = """
upsert: {strategy: patch, path: "/t/{external_id}"}
external_id_field: ext
crm_id: id
batch:
  path: /t/batch
  body: {items: "{records}"}
  results: results
  size: 10
"""
MATCHED = ORDERED.replace("size: 10", "match: ext\n  created: created\n  size: 10")


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(line, "_jittered", lambda state: 0.0)


class Api:
    """Upserts rows by `ext`, many at `/t/batch` or one at `/t/<ext>`; `bad` ones are refused.

    `result` makes of a row (None: refused) what the batch answers for it; `whole`: one bad row has
    the whole batch refused with this status.
    """

    def __init__(self, crm, *bad, result=None, whole=0, status=200):
        self.crm, self.bad, self.whole, self.status = crm, bad, whole, status
        self.result = result or ordered
        self.rows, self.batches = {}, []

    def __call__(self, seen):
        if seen.method == "GET":
            wanted = dict(seen.query)["ext"]
            return self.crm.reply(200, [self.rows[wanted]] if wanted in self.rows else [])
        if seen.method == "DELETE":
            return self.crm.reply(204)
        if not seen.path.startswith("/t/batch"):
            ext = seen.path.removeprefix("/t/")
            if ext in self.bad:
                return self.crm.reply(422, {"message": f"{ext} has no name"})
            return self.crm.reply(200, self.write({"ext": ext, **seen.json}))
        items = seen.json["items"]
        self.batches.append([item["ext"] for item in items])
        if self.whole and any(item["ext"] in self.bad for item in items):
            return self.crm.reply(self.whole, {"message": "one of them is bad"})
        results = [
            self.result(item, None if item["ext"] in self.bad else self.write(item))
            for item in items
        ]
        return self.crm.reply(self.status, {"results": [r for r in results if r is not None]})

    def write(self, item):
        known = self.rows.setdefault(item["ext"], {"id": 100 + len(self.rows)})
        known.update(item)
        return known


def ordered(item, row):
    return {"id": row["id"], "status": 200} if row else {"status": 422, "message": "no name"}


def orders(*ids, fields=None, **more):
    given = {"delivered": False, "link": None, "number": 1, **more}
    return [
        Delivery(
            Name("crm", "tickets", id),
            "upsert",
            fields or {"a": f"of {id}", "b": None},
            frozenset(fields or {"a": 1, "b": 1}),
            given["link"],
            given["delivered"],
            **{key: value for key, value in given.items() if key not in ("link", "delivered")},
        )
        for id in ids
    ]


def batch(bench, deliveries):
    return bench.target.deliver_batch(
        deliveries, bench.http, bench.before_call, lambda order, said: bench.intended.append(said)
    )


def meanings(outcomes):
    return [outcome.meaning for outcome in outcomes]


# --- the plain way


def test_records_go_in_one_call_and_learn_their_links(crm, configure):
    crm.otherwise = api = Api(crm)
    bench = configure(ORDERED)
    found = batch(bench, orders("1", "2", "3"))
    assert meanings(found) == ["done"] * 3
    assert [outcome.link for outcome in found] == [100, 101, 102]
    assert [outcome.number for outcome in found] == [2, 2, 2]
    assert {outcome.sent for outcome in found} == {frozenset({"a", "b"})}
    (seen,) = crm.seen
    assert (seen.method, seen.path) == ("POST", "/t/batch")
    assert seen.json == {"items": [{"ext": n, "a": f"of {n}", "b": None} for n in "123"]}
    assert len({id(outcome.calls[0]) for outcome in found}) == 1
    assert api.rows["2"] == {"id": 101, "ext": "2", "a": "of 2", "b": None}


def test_more_than_a_batch_holds_goes_in_several(crm, configure):
    crm.otherwise = api = Api(crm)
    found = batch(configure(ORDERED), orders(*map(str, range(23))))
    assert meanings(found) == ["done"] * 23
    assert [len(batch) for batch in api.batches] == [10, 10, 3]


def test_known_records_send_what_changed_and_clear_what_is_empty(crm, configure):
    crm.otherwise = Api(crm)
    found = batch(configure(ORDERED), orders("1", "2", delivered=True, link=7))
    assert crm.seen[0].json["items"][0] == {"ext": "1", "a": "of 1", "b": None}
    assert meanings(found) == ["done"] * 2


def test_item_says_how_a_record_stands_in_the_batch(crm, configure):
    item = 'item: {idProperty: ext, id: "{external_id}", properties: "{fields}"}'
    crm.otherwise = lambda seen: crm.reply(200, {"results": [{"id": 1}, {"id": 2}]})
    bench = configure(ORDERED.replace("size: 10", item))
    batch(bench, orders("1", "2", delivered=True, link=1))
    assert crm.seen[0].json["items"][0] == {
        "idProperty": "ext",
        "id": "1",
        "properties": {"a": "of 1", "b": None},
    }


def test_batch_without_results_is_done_by_a_2xx(crm, configure):
    crm.otherwise = crm.reply(204)
    bench = configure("upsert: {strategy: put}\nexternal_id_field: ext\nbatch: {path: /all}")
    assert meanings(batch(bench, orders("1", "2"))) == ["done"] * 2
    assert crm.seen[0].json == [{"ext": n, "a": f"of {n}", "b": None} for n in "12"]


def test_new_record_whose_id_is_not_told_is_searched_for(crm, configure):
    crm.otherwise = Api(crm, result=lambda item, row: {"ok": True})
    search = ', search: {path: /t, query: {ext: "{external_id}"}}}'
    text = ORDERED.replace('{external_id}"}', '{external_id}"' + search, 1)
    found = batch(configure(text, "search_lag: 0"), orders("1", "2"))
    assert [outcome.link for outcome in found] == [100, 101]


# --- results


SHAPES = {
    "by a status of its own": (ordered, ""),
    "by a status in words": (
        lambda item, row: {"status": "success" if row else "error", "id": row and row["id"]},
        "",
    ),
    "by success": (
        lambda item, row: {"success": row is not None, "id": row and row["id"], "errors": []},
        "",
    ),
    "by what the configuration says": (
        lambda item, row: {"done": "Y" if row else "N", "id": row and row["id"], "error": "none"},
        "success: done == 'Y'",
    ),
    "by its absence": (lambda item, row: row, "match: ext"),
    "by key": (
        lambda item, row: {"ext": item["ext"], **ordered(item, row)},
        "match: ext",
    ),
}


@pytest.mark.parametrize("status", [200, 207])
@pytest.mark.parametrize("shape", SHAPES)
def test_bad_record_fails_alone(crm, configure, shape, status):
    result, more = SHAPES[shape]
    crm.otherwise = api = Api(crm, "2", result=result, status=status)
    found = batch(configure(f"{ORDERED}  {more}\n"), orders("1", "2", "3"))
    assert meanings(found) == ["done", "refused", "done"], [o.reason for o in found]
    assert found[1].status == 422
    assert "no name" in found[1].reason
    assert [outcome.link for outcome in found] == [100, None, 101]
    assert sorted(api.rows) == ["1", "3"]


def test_plain_refusal_in_a_result_costs_no_further_call(crm, configure):
    crm.otherwise = Api(crm, "2", status=207)
    found = batch(configure(ORDERED), orders("1", "2"))
    assert len(crm.seen) == 1
    assert found[1].reason == "422 Unprocessable Entity: no name"
    assert found[1].answer == {"status": 422, "message": "no name"}
    assert found[1].number == 2


def test_conflict_in_a_result_sends_its_record_alone(crm, configure):
    crm.otherwise = Api(
        crm, result=lambda item, row: {"status": 409 if item["ext"] == "2" else 201}
    )
    text = ORDERED.replace("crm_id: id\n", "")
    assert meanings(batch(configure(text), orders("1", "2", "3"))) == ["done"] * 3
    assert crm.calls == ["POST /t/batch", "PATCH /t/2"]


def test_answers_may_correct_what_a_result_means(crm, configure):
    crm.otherwise = Api(crm, "2", "3", result=lambda item, row: item_result(item, row))
    rules = (
        "answers:\n"
        "  - {call: batch, when: \"code == 'EMPTY'\", means: refused}\n"
        "  - {call: batch, when: \"code == 'LOCKED'\", means: not_now}\n"
    )
    found = batch(configure(ORDERED + rules), orders("1", "2", "3"))
    assert meanings(found) == ["done", "refused", "not_now"]
    assert not found[2].unknown
    assert len(crm.seen) == 1


def item_result(item, row):
    if row:
        return {"id": row["id"]}
    return {"success": False, "code": "EMPTY" if item["ext"] == "2" else "LOCKED"}


def test_results_of_another_number_are_believed_of_nobody(crm, configure):
    crm.otherwise = lambda seen: (
        crm.reply(200, {"results": [{"id": 1}]})
        if "batch" in seen.path
        else crm.reply(200, {"id": int(seen.path[-1])})
    )
    found = batch(configure(ORDERED), orders("1", "2"))
    assert [outcome.link for outcome in found] == [1, 2]
    assert crm.calls == ["POST /t/batch", "PATCH /t/1", "PATCH /t/2"]


def test_results_in_another_order_are_matched_by_key(crm, configure):
    def backwards(seen):
        items = seen.json["items"]
        results = [{"ext": item["ext"], "id": int(item["ext"])} for item in reversed(items)]
        return crm.reply(200, {"results": results})

    crm.otherwise = backwards
    found = batch(configure(MATCHED), orders("5", "6", "7"))
    assert [outcome.link for outcome in found] == [5, 6, 7]


@pytest.mark.parametrize("sign", [{"created": True, "id": 7}, {"id": 8}])
def test_record_that_was_gone_and_is_made_anew_gets_all_its_fields(crm, configure, sign):
    def answer(seen):
        if "batch" not in seen.path:
            return crm.reply(200, {"id": sign["id"]})
        return crm.reply(200, {"results": [{"ext": i["ext"], **sign} for i in seen.json["items"]]})

    crm.otherwise = answer
    (first, second) = orders("1", "2", delivered=True, link=7, fields={"a": 1, "b": 2, "c": 3})
    few = [
        Delivery(o.name, "upsert", o.fields, frozenset("a"), o.link, True, 1)
        for o in (first, second)
    ]
    found = batch(configure(MATCHED), few)
    assert meanings(found) == ["done"] * 2
    assert crm.seen[0].json["items"][0] == {"ext": "1", "a": 1}
    assert (crm.calls[1], crm.seen[1].json) == ("PATCH /t/1", {"a": 1, "b": 2, "c": 3})


# --- the batch as a whole


@pytest.mark.parametrize("status", [400, 422, 409, 500])
def test_batch_that_is_refused_as_a_whole_is_halved_until_the_bad_one_is_found(
    crm, configure, status
):
    crm.otherwise = api = Api(crm, "6", whole=status)
    found = batch(configure(ORDERED), orders(*"12345678"))
    assert meanings(found) == ["done"] * 5 + ["refused"] + ["done"] * 2
    assert len(api.batches) == 5, api.batches
    assert sorted(api.rows) == list("1234578")
    assert found[5].reason == "422 Unprocessable Entity: 6 has no name"


def test_several_bad_records_are_all_found(crm, configure):
    crm.otherwise = Api(crm, "1", "2", "7", whole=400)
    found = batch(configure(ORDERED), orders(*"12345678"))
    wanted = ["refused" if n in "127" else "done" for n in "12345678"]
    assert meanings(found) == wanted


@pytest.mark.parametrize("status", [404, 405])
def test_batch_call_that_is_not_there_is_tried_once(crm, configure, status):
    api = Api(crm)
    crm.otherwise = lambda seen: crm.reply(status) if "batch" in seen.path else api(seen)
    found = batch(configure(ORDERED), orders(*"1234"))
    assert meanings(found) == ["done"] * 4
    assert len(crm.seen) == 5


def test_crm_that_fails_on_everything_is_not_asked_for_each_record(crm, configure):
    crm.otherwise = crm.reply(500)
    found = batch(configure(ORDERED), orders(*map(str, range(10))))
    assert meanings(found).count("fault") == 3
    assert meanings(found).count("not_now") == 7
    assert len(crm.seen) < 12


@pytest.mark.parametrize(("status", "meaning"), [(503, "not_now"), (401, "credentials")])
def test_outage_and_credentials_end_it_for_all(crm, configure, status, meaning):
    crm.otherwise = crm.reply(status, headers={"Retry-After": "7"})
    found = batch(configure(ORDERED), orders(*map(str, range(23))))
    assert meanings(found) == [meaning] * 23
    assert len(crm.seen) == 1
    assert not any(outcome.unknown for outcome in found)
    if status == 503:
        assert found[0].retry_after == 7
    assert [outcome.number for outcome in found] == [2] * 10 + [1] * 13


def test_redirect_ends_it_for_all(crm, configure):
    crm.otherwise = crm.reply(302, headers={"Location": "https://sso.example/login"})
    assert meanings(batch(configure(ORDERED), orders("1", "2"))) == ["misled"] * 2
    assert len(crm.seen) == 1


def test_unanswered_batch_leaves_its_records_in_doubt_and_no_other(crm, configure):
    crm.otherwise = crm.reply(hang=30)
    found = batch(configure(ORDERED, "timeout: 1"), orders(*map(str, range(12))))
    assert meanings(found) == ["not_now"] * 12
    assert [outcome.unknown for outcome in found] == [True] * 10 + [False] * 2
    assert [bool(outcome.unheard) for outcome in found] == [True] * 10 + [False] * 2
    assert [outcome.number for outcome in found] == [1] * 12


def test_record_in_doubt_goes_alone_with_another_key(crm, configure):
    crm.otherwise = crm.reply(cut="read")
    bench = configure(ORDERED)
    found = batch(bench, orders("1", "2"))
    crm.otherwise = Api(crm)
    again = [
        order
        for outcome, id in zip(found, "12", strict=True)
        for order in orders(id, in_doubt=True, unheard=outcome.unheard, number=outcome.number)
    ]
    before = set(crm.keys)
    crm.seen.clear()
    assert meanings(batch(bench, again)) == ["done"] * 2
    assert crm.calls == ["PATCH /t/1", "PATCH /t/2"]
    assert not before & set(crm.keys)


def test_blip_repeats_the_batch_with_its_key(crm, configure):
    crm.otherwise = Api(crm)
    crm.say(cut="read")
    assert meanings(batch(configure(ORDERED), orders("1", "2"))) == ["done"] * 2
    one, other = crm.seen
    assert (one.key, one.body) == (other.key, other.body)


def test_no_two_batches_share_a_key(crm, configure):
    crm.otherwise = Api(crm)
    bench = configure(ORDERED)
    batch(bench, orders("1", "2"))
    batch(bench, orders("1", "2", number=2))
    batch(bench, orders("1", "3"))
    assert len(set(crm.keys)) == 3


def test_lost_lease_ends_the_batch_and_keeps_what_is_known(crm, configure):
    crm.otherwise = Api(crm)
    bench = configure(ORDERED)
    calls = []

    def before_call():
        calls.append(1)
        if len(calls) == 2:
            raise LeaseLost("somebody else has it")

    found = bench.target.deliver_batch(orders(*map(str, range(12))), bench.http, before_call)
    assert meanings(found[:10]) == ["done"] * 10
    assert found[10:] == [None, None]


# --- who may ride


def test_one_record_goes_by_its_own_call(crm, configure):
    crm.otherwise = Api(crm)
    assert meanings(batch(configure(ORDERED), orders("1"))) == ["done"]
    assert crm.calls == ["PATCH /t/1"]


def test_deletes_and_others_go_alone_in_the_same_turn(crm, configure):
    crm.otherwise = Api(crm)
    bench = configure(ORDERED)
    gone = Delivery(Name("crm", "tickets", "9"), "delete", {}, frozenset(), 9, True, 1)
    found = batch(bench, [gone, *orders("1", "2")])
    assert meanings(found) == ["done"] * 3
    assert crm.calls == ["POST /t/batch", "DELETE /t/9"]


def ride(resource, **more):
    (order,) = orders("1", **more)
    return may_ride(resource, order)


def test_what_needs_a_look_or_another_call_does_not_ride(configure):
    def resource(more="", text=ORDERED):
        return configure(text + more).target.config.resource("tickets")

    plain = resource()
    read = 'read: {path: "/t/{external_id}"}\n'
    assert isinstance(plain.batch, Batch)
    assert ride(plain)
    assert ride(plain, delivered=True, link=1)
    assert not ride(resource(text="upsert: {strategy: put}"))
    assert not ride(plain, in_doubt=True)
    assert not ride(plain, unheard="abc")
    assert not ride(plain, deltas={"tags": Delta(("x",))})
    assert not ride(plain, write={"a": "if_empty"})
    assert not ride(plain, write={"a": "on_create"})
    assert ride(plain, write={"a": "on_create"}, delivered=True)
    assert not ride(resource(read), write={"a": "unless_edited"}, delivered=True)
    assert not ride(resource("gone: dead\n"), delivered=True)
    assert ride(resource("gone: dead\n"))
    for key in ("verify: [read]\n", "verify: [link]\n", "etag: version\n"):
        assert not ride(resource(read + key))
    whole = resource(read + "send: all\n")
    assert not ride(whole, delivered=True, untold=frozenset("c"))
    assert ride(whole, delivered=True)
    by_link = resource(text=ORDERED.replace("size: 10", 'item: {id: "{crm_id}", f: "{fields}"}'))
    assert not ride(by_link)
    assert ride(by_link, link=3, delivered=True)


# --- the configuration

WRONG = {
    "batch: {}": "batch.path: is missing",
    "batch: {path: /b, body: {a: b}}": "no {records} in the batch",
    "batch: {path: /b, size: 1}": "a whole number of at least 2",
    "batch: {path: /b, match: x}": "match without results",
    'batch: {path: /b, item: {id: "{crm_id}", f: "{fields}", x: "{external_id}"}}': "no crm_id",
    'batch: {path: "/b/{external_id}"}': "{external_id} has no meaning here",
    'upsert: {strategy: put, body: "{records}"}': "{records} has no meaning here",
}


@pytest.mark.parametrize("said", WRONG)
def test_unfit_batch_is_an_error_with_its_place(configure, said):
    with pytest.raises(ConfigInvalid) as caught:
        configure(f"external_id_field: ext\n{said}\n")
    (problem,) = caught.value.problems
    assert WRONG[said] in str(problem), str(problem)
    assert problem.place.line == 8


def test_batch_that_does_not_name_its_records_is_an_error(configure):
    with pytest.raises(ConfigInvalid) as caught:
        configure("batch: {path: /b}\n")
    assert "does not say which records it means" in str(caught.value)


# --- whatever goes wrong


@pytest.mark.parametrize("seed", range(10))
def test_faults_in_any_order_end_in_one_row_for_each_record(crm, configure, seed):
    """Two of twelve are bad; answers are lost, gateways lie, the CRM fails and is busy."""
    chance = random.Random(seed)
    api = Api(crm, "3", "8", whole=chance.choice([0, 400]), status=207)

    def faulty(seen):
        fault = chance.choice(["cut", 502, 503, 500, 429]) if chance.random() < 0.4 else None
        reached = fault is None or (fault != 429 and chance.random() < 0.5)
        reply = api(seen) if reached else None
        if fault == "cut":
            return crm.reply(cut="read")
        return reply if fault is None else crm.reply(fault)

    crm.otherwise = faulty
    bench = configure(ORDERED, "search_lag: 0")
    known = {order.name: order for order in orders(*map(str, range(12)))}
    ends = {}
    for _ in range(60):
        for order, found in zip(
            list(known.values()), batch(bench, list(known.values())), strict=True
        ):
            ends[order.name] = found
            if found.meaning in ("done", "refused"):
                del known[order.name]
                continue
            known[order.name] = replace(
                order,
                link=found.link if found.link is not None else order.link,
                number=found.number,
                in_doubt=found.unknown or order.in_doubt,
                unheard=found.unheard,
            )
        if not known:
            break
    assert not known
    assert {name.id for name, end in ends.items() if end.meaning == "refused"} == {"3", "8"}
    assert sorted(api.rows) == sorted({str(n) for n in range(12)} - {"3", "8"})
    for name, end in ends.items():
        if end.meaning == "done":
            row = {"id": end.link, "ext": name.id, "a": f"of {name.id}", "b": None}
            assert api.rows[name.id] == row
    shared = defaultdict(set)
    for seen in crm.seen:
        shared[seen.key].add((seen.method, seen.path, seen.body))
    assert all(len(calls) == 1 for calls in shared.values())
