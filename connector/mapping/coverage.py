"""What of a mapping set its own `tests:` show: rules that no test makes a record by, fields that no
test gives a value, and fields that get one which no test names.

A field is *touched* where a test gives it a value (or clears it), and *checked* where the test's
`expect:` names it too: only then would the test fail if the rule went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connector.errors import ConnectorError
from connector.mapping.blocks import Documents, body_of, paired
from connector.mapping.explain import looks
from connector.mapping.rendering import change_to_json
from connector.mapping.rules import RecordRule, Rule, TestBlock
from connector.mapping.ruleset import MappingSet
from connector.model import Json, Place


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far the tests of a set reach; every list in the order of the files."""

    records: tuple[RecordRule, ...]
    fields: tuple[Rule, ...]
    untouched_records: tuple[RecordRule, ...]
    untouched_fields: tuple[Rule, ...]
    unchecked_fields: tuple[Rule, ...]


def coverage(mapping_set: MappingSet, documents: Documents, file: str | None = None) -> Coverage:
    """What all tests of a set show of its rules; with `file` only of the rules that stand there."""
    touched_records: set[Place] = set()
    touched: set[int] = set()
    checked: set[int] = set()
    for test in mapping_set.tests:
        try:
            made = documents(mapping_set.source_of(test), body_of(test))
        except ConnectorError:
            continue  # the test fails, and says so
        for document in made:
            touched_records |= {
                look.record.place for look in looks(mapping_set, document) if look.part == "id"
            }
        reached, named = _fields(test, mapping_set, made)
        touched |= reached
        checked |= named
    records = [
        record
        for block in mapping_set.blocks
        for record in block.records
        if file in (None, record.place.file)
    ]
    fields = [rule for rule in mapping_set.rules if file in (None, rule.file)]
    return Coverage(
        tuple(records),
        tuple(fields),
        tuple(record for record in records if record.place not in touched_records),
        tuple(rule for rule in fields if rule.number not in touched),
        tuple(rule for rule in fields if rule.number in touched - checked),
    )


def _fields(
    test: TestBlock, mapping_set: MappingSet, documents: Sequence[Mapping[str, Json]]
) -> tuple[set[int], set[int]]:
    """The numbers of the fields that a test gives a value, and of those that it also names."""
    changes = [change for document in documents for change in mapping_set.apply(document).changes]
    pairs = paired(test.expect, [change_to_json(change) for change in changes])
    touched = {number for change in changes for number in change.rules.values()}
    checked = {
        changes[index].rules[name]
        for expected, index in pairs
        for name in expected.wanted.get("fields", {})
        if name in changes[index].rules
    }
    return touched, checked
