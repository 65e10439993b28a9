"""Why an event became what it became: every expression with its value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connector.mapping.explain import left_alone, looks, skipped
from connector.mapping.load import set_from_texts
from connector.model import Json

RULES = """\
source: caresoft
events: ['*']
records:
  - resource: things
    each: list
    id: item.id
    version: at
    when: item.ok && !(item.off)
    fields:
      plain: item.plain
      word: {from: item.word, values: {a: A}, otherwise: skip}
      tags: {from: item.tags, merge: set}
      other: {ref: things, id: item.other}
      note: {from: item.note, on_null: clear}
      fixed: {value: 1}
"""

MAPPING_SET = set_from_texts(
    {"t.yaml": RULES}, sources={"caresoft": "caresoft"}, targets=["crm"], timezone=ZoneInfo("UTC")
)

Document = Callable[..., dict[str, Json]]


@pytest.fixture
def seen(build: Any, document: Document) -> Callable[[Json], list[tuple[str, str, Json]]]:
    mapping_set = build(RULES)

    def seen(body: Json) -> list[tuple[str, str, Json]]:
        found = looks(mapping_set, document(body))
        return [(look.part, look.rule.name if look.rule else "", look.value) for look in found]

    return seen


def test_every_expression_is_looked_at_in_order(seen: Any) -> None:
    assert seen({"list": [{"id": 5, "ok": 1, "plain": "x"}]}) == [
        ("each", "", [{"id": 5, "ok": 1, "plain": "x"}]),
        ("when", "", True),
        ("id", "", 5),
        ("version", "", None),
        ("field", "plain", "x"),
        ("field", "word", None),
        ("field", "tags", None),
        ("field", "other", None),
        ("field", "note", None),
    ]


def test_behind_a_condition_that_does_not_hold_nothing_is(seen: Any) -> None:
    assert [part for part, _, _ in seen({"list": [{"id": 5}, {"id": 6}]})] == [
        "each",
        "when",
        "when",
    ]


def test_one_expression_that_fails_stops_no_other(build: Any, document: Document) -> None:
    mapping_set = build(
        "source: caresoft\nevents: ['*']\nrecords:\n"
        "  - {resource: t, id: a, fields: {x: integer(b), y: c}}\n"
    )
    told = document({"a": 1, "b": "no", "c": 3})
    assert mapping_set.apply(told).status == "error"
    found = {look.rule.name: look for look in looks(mapping_set, told) if look.rule}
    assert found["x"].problem is not None
    assert "integer()" in found["x"].problem.message
    assert (found["y"].value, found["y"].problem) == (3, None)


VALUES = st.sampled_from(
    [None, "", "a", "b", 0, 5, True, [], {}, {"add": []}, {"add": ["x"]}, ["x"], -1, {"k": 1}]
)
ITEMS = st.dictionaries(
    st.sampled_from(["ok", "off", "plain", "word", "tags", "other", "note"]), VALUES
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ITEMS, max_size=3))
def test_a_field_is_in_the_change_or_left_alone_with_a_reason(items: list[Json]) -> None:
    body = {"list": [{"id": n, **item} for n, item in enumerate(items, 1)]}
    meta = {"kind": "a.b", "source": "caresoft", "received_at": "2024-03-21T08:00:00.000000Z"}
    told = {**body, "raw": body, "meta": meta}
    applied = MAPPING_SET.apply(told)
    if applied.error:
        return
    alone = left_alone(MAPPING_SET, told)
    for change in applied.changes:
        left = {each.field for each in alone if each.id == change.id}
        assert left.isdisjoint(change.fields)
        assert left | change.fields.keys() == {"plain", "word", "tags", "other", "note", "fixed"}
    held = [skip for skip in skipped(MAPPING_SET, told) if "`when`" in skip.reason]
    assert len(held) + len(applied.changes) == len(items)
