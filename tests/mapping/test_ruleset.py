"""A mapping set as others use it: its hash, its texts, its rules, its speed, its threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from zoneinfo import ZoneInfo

from connector.mapping.load import MappingSet

Build = Callable[..., MappingSet]

TEXT = """\
source: caresoft
events: [ticket.create, 'ticket.up*']
records:
  - resource: tickets
    id: ticket.id
    fields:
      subject: ticket.subject
      channel: {value: x, write: on_create}
      parent: {ref: tickets, id: ticket.parent}
  - resource: comments
    id: ticket.comment.id
    when: ticket.comment
    fields: {tags: {from: ticket.comment.tags, merge: set}}
---
source: caresoft
events: [ticket.delete]
records: [{resource: tickets, id: ticket.id, action: delete}]
"""


def test_hash_is_that_of_names_texts_and_zone(build: Build) -> None:
    texts = {"a.yaml": TEXT, "tables/t.yaml": "a: 1\n"}
    first = build(texts).hash
    assert len(first) == 64
    assert int(first, 16)
    assert build(dict(reversed(texts.items()))).hash == first
    others = [
        build({**texts, "a.yaml": TEXT + "\n"}).hash,
        build({**texts, "tables/t.yaml": "a: 2\n"}).hash,
        build({"b.yaml": TEXT, "tables/t.yaml": "a: 1\n"}).hash,
        build({"a.yaml": TEXT}).hash,
        build(texts, timezone=ZoneInfo("UTC")).hash,
    ]
    assert len({first, *others}) == 6
    assert build(texts, targets=["other"]).hash == first


def test_a_set_is_made_anew_from_its_texts(build: Build, document: Any) -> None:
    mapping_set = build({"a.yaml": TEXT, "tables/t.yaml": "a: 1\n"})
    again = build(mapping_set.texts)
    assert again.hash == mapping_set.hash
    assert again.rules == mapping_set.rules
    given = document({"ticket": {"id": 1, "subject": "s", "comment": {"id": 2, "tags": ["a"]}}})
    assert again.apply(given) == mapping_set.apply(given)


def test_rules_are_listed_in_the_order_of_their_numbers(build: Build) -> None:
    mapping_set = build({"b.yaml": TEXT, "a.yaml": TEXT.replace("caresoft", "mobio")})
    assert [rule.number for rule in mapping_set.rules] == list(range(8))
    assert mapping_set.places == tuple(rule.place for rule in mapping_set.rules)
    rules = mapping_set.rules[4:]
    assert {rule.file for rule in rules} == {"b.yaml"}
    assert [(rule.resource, rule.field) for rule in rules] == [
        ("tickets", "subject"),
        ("tickets", "channel"),
        ("tickets", "parent"),
        ("comments", "tags"),
    ]
    assert [rule.expression for rule in rules] == [
        "ticket.subject",
        None,
        "ticket.parent",
        "ticket.comment.tags",
    ]
    assert [rule.refers_to for rule in rules] == [None, None, "tickets", None]
    assert [rule.write for rule in rules] == ["always", "on_create", "always", "always"]
    assert [rule.is_set for rule in rules] == [False, False, False, True]
    assert {rule.events for rule in rules} == {("ticket.create", "ticket.up*")}
    assert {(rule.source, rule.target) for rule in rules} == {("caresoft", "crm")}
    assert (rules[0].place.line, rules[0].place.column) == (7, 7)


def test_resources_are_those_written_or_deleted(build: Build) -> None:
    assert build(TEXT).resources == {("crm", "tickets"), ("crm", "comments")}


def test_many_kinds_of_events_take_no_memory_for_ever(build: Build, document: Any) -> None:
    mapping_set = build(TEXT)
    for number in range(5000):
        mapping_set.rules_for("caresoft", f"ticket.update{number}")
    assert len(mapping_set._by_kind) <= 2000
    assert mapping_set.rules_for("caresoft", "ticket.update1")


def test_threads_share_a_set(build: Build, document: Any) -> None:
    mapping_set = build(
        "{source: caresoft, events: ['*'], records: [{resource: t, id: n, "
        "fields: {a: email(text), b: 'sort_by(list, &x)'}}]}"
    )

    def once(number: int) -> tuple[str, int]:
        body = {"n": number, "text": "no" if number % 2 else "a@b.vn", "list": [{"x": number}]}
        applied = mapping_set.apply(document(body, kind=f"k{number % 7}"))
        assert applied.changes[0].fields["b"] == [{"x": number}]
        return applied.changes[0].id, len(applied.warnings)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(once, range(400)))
    assert found == [(str(number), number % 2) for number in range(400)]


def test_event_without_a_kind_is_unmapped(build: Build, document: Any) -> None:
    assert build(TEXT).apply(document({}, kind=None)).status == "unmapped"
