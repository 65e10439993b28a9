"""Whatever goes wrong between us and the CRM: one row in the end, with the newest values."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from connector.targets import line

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
CREATING = """
upsert:
  strategy: create_then_update
  search: {path: /t, query: {ext: "{external_id}"}, found: data}
  create: {path: /t}
  update: {path: "/t/{crm_id}"}
external_id_field: ext
crm_id: data.id
hit_id: id
"""
HIDING = ("cut", 502, 504, 503, 500)
"""What may be said of a call that got through."""
FAULTS = (*HIDING, 429)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(line, "_jittered", lambda state: 0.0)


@pytest.mark.parametrize("strategy", [SEARCHING, CREATING])
@pytest.mark.parametrize("seed", range(12))
def test_faults_in_any_order_end_in_one_row_with_the_newest_values(crm, configure, strategy, seed):
    chance = random.Random(seed)
    there = crm.rows()
    there.unique = 409 if strategy is CREATING else 0

    def faulty(seen):
        fault = chance.choice(FAULTS) if chance.random() < 0.5 else None
        reached = fault is None or (fault in HIDING and chance.random() < 0.5)
        reply = there(seen) if reached else None
        if fault == "cut":
            return crm.reply(cut="read")
        return reply if fault is None else crm.reply(fault)

    crm.otherwise = faulty
    bench = configure(strategy, "search_lag: 0.001")
    known = {"link": None, "delivered": False, "number": 1}
    for value in range(3):
        for _ in range(60):
            report = bench.upsert({"a": value, "b": None}, **known)
            known |= {"number": report.number, "link": report.link}
            known |= {"in_doubt": report.unknown, "intended": (bench.intended or [None])[-1]}
            known["delivered"] = known["delivered"] or report.meaning == "done"
            if report.meaning == "done":
                break
        else:
            pytest.fail(f"never delivered: {report}")
    (row,) = there.rows.values()
    assert row == {"id": report.link, "ext": "9999", "a": 2} | ({"b": None} if "b" in row else {})
    assert _no_key_is_shared(crm.seen)


def _no_key_is_shared(seen):
    calls = defaultdict(set)
    for call in seen:
        if call.key:
            calls[call.key].add((call.method, call.path, call.body))
    return all(len(same) == 1 for same in calls.values())


ONE_CALL = {
    "put": 'upsert: {strategy: put, path: "/t/{external_id}"}',
    "patch": 'upsert: {strategy: patch, path: "/t/{external_id}"}',
    "patch after a create": (
        'upsert: {strategy: patch, path: "/t/{external_id}", create: {path: /t}}\n'
        'external_id_field: ext\nread: {path: "/t/{external_id}"}'
    ),
    "post": (
        "upsert: {strategy: post, path: /t}\nexternal_id_field: ext\n"
        'delete: {path: "/t/{external_id}"}'
    ),
}


class Keyed:
    """A CRM that knows rows by our ids; `strict`: PATCH of nothing is 404, POST of a row 409."""

    def __init__(self, crm, strict):
        self.crm, self.strict, self.rows = crm, strict, {}

    def __call__(self, seen):
        ext = seen.path.removeprefix("/t").strip("/") or seen.json["ext"]
        row = self.rows.get(ext)
        if seen.method == "DELETE":
            return self.crm.reply(204 if self.rows.pop(ext, None) else 404)
        if seen.method == "GET":
            return self.crm.reply(200, row) if row else self.crm.reply(404)
        if self.strict and seen.method == "PATCH" and row is None:
            return self.crm.reply(404)
        if self.strict and seen.method == "POST" and row is not None:
            return self.crm.reply(409)
        self.rows[ext] = {**(row or {} if seen.method != "PUT" else {}), **seen.json}
        return self.crm.reply(200, {})


@pytest.mark.parametrize("strategy", ONE_CALL)
@pytest.mark.parametrize("seed", range(6))
def test_one_call_strategies_end_right_and_deleted_under_any_faults(crm, configure, strategy, seed):
    chance = random.Random(seed)
    there = Keyed(crm, strict="create" in strategy)

    def faulty(seen):
        fault = chance.choice(FAULTS) if chance.random() < 0.5 else None
        reached = fault is None or (fault in HIDING and chance.random() < 0.5)
        reply = there(seen) if reached else None
        if fault == "cut":
            return crm.reply(cut="read")
        return reply if fault is None else crm.reply(fault)

    crm.otherwise = faulty
    bench = configure(ONE_CALL[strategy], "search_lag: 0")
    known = {"link": None, "delivered": False, "number": 1}
    doubt = {}

    def bring(deliver):
        nonlocal known, doubt
        for _ in range(60):
            report = deliver(**known, **doubt, intended=(bench.intended or [None])[-1])
            known = {**known, "number": report.number}
            known["delivered"] = known["delivered"] or report.meaning == "done"
            lasting = report.unknown or (bool(doubt) and report.meaning != "done")
            doubt = {"in_doubt": True, "unheard": report.unheard} if lasting else {}
            if report.meaning == "done":
                return
            assert report.meaning != "refused", report.reason
        pytest.fail(f"never delivered: {report}")

    for value in range(3):
        bring(lambda value=value, **more: bench.upsert({"a": value}, **more))
        (row,) = there.rows.values()
        assert row["a"] == value
    bring(lambda **more: bench.delete(**more))
    assert there.rows == {}
    assert _no_key_is_shared(crm.seen)
