"""The mapping set: rules that are in force together, and what they make of an event.

Immutable and safe to share between threads. The invariant: the same hash means the same texts and
the same time zone, and so the same changes for the same document. Made by `load`, kept by
`published`, run by `apply`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from zoneinfo import ZoneInfo

from connector.mapping.apply import apply_rules
from connector.mapping.rules import VENDORS, Block, RecordRule, Rule, TestBlock, describe
from connector.model import Applied, Json, Place, Problem

_KNOWN_KINDS = 2000  # (source, kind) pairs whose rules are remembered


@dataclass(frozen=True, eq=False)
class MappingSet:
    """A set that was read without errors.

    `texts` are the files by their names in the folder, `tables/` included; `load.set_from_texts`
    makes the set anew from them. `sources` are the configured names with their kinds.
    """

    hash: str
    texts: Mapping[str, str]
    blocks: tuple[Block, ...]
    tables: Mapping[str, Mapping[str, Json]]
    sources: Mapping[str, str]
    timezone: ZoneInfo
    warnings: tuple[Problem, ...] = ()
    _by_kind: dict[tuple[str, str], tuple[RecordRule, ...]] = field(
        default_factory=dict, repr=False
    )

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Every field of the set; a rule's number is its index."""
        return tuple(
            describe(field_rule, record, block)
            for block in self.blocks
            for record in block.records
            for field_rule in record.fields
        )

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """The place of each rule's field name, by the rule's number."""
        return tuple(rule.place for rule in self.rules)

    @cached_property
    def resources(self) -> frozenset[tuple[str, str]]:
        """Every (target, resource) that a rule writes or deletes."""
        return frozenset((r.target, r.resource) for block in self.blocks for r in block.records)

    def fields_of(self, target: str, resource: str) -> frozenset[str]:
        """Every field of a resource that some rule writes."""
        return self._fields.get((target, resource), frozenset())

    @cached_property
    def _fields(self) -> Mapping[tuple[str, str], frozenset[str]]:
        names: dict[tuple[str, str], set[str]] = {}
        for rule in self.rules:
            names.setdefault((rule.target, rule.resource), set()).add(rule.field)
        return {key: frozenset(fields) for key, fields in names.items()}

    @property
    def tests(self) -> tuple[TestBlock, ...]:
        """The tests of all files, in their order."""
        return tuple(test for block in self.blocks for test in block.tests)

    def apply(self, document: Mapping[str, Json]) -> Applied:
        """What the set makes of an event's document (docs/events.md). Never raises.

        `unmapped` where no block names the kind. A block that does and whose records are all held
        back by `when`, or have no item, gives `mapped` without changes.
        """
        meta = document["meta"]
        rules = self.rules_for(meta["source"], meta["kind"])
        if not rules:
            return Applied("unmapped")
        return apply_rules(rules, document, self.timezone, self.tables)

    def rules_for(self, source: str, kind: str | None) -> tuple[RecordRule, ...]:
        """The rules for a kind of event of a configured source, in the order of the files."""
        if kind is None:
            return ()
        known = self._by_kind.get((source, kind))
        if known is None:
            known = self._find(source, kind)
            if len(self._by_kind) >= _KNOWN_KINDS:
                self._by_kind.clear()
            self._by_kind[source, kind] = known
        return known

    def _find(self, source: str, kind: str) -> tuple[RecordRule, ...]:
        vendor = self.vendor_of(source)
        return tuple(
            record
            for block in self.blocks
            if block.covers(source, vendor) and block.names(kind)
            for record in block.records
        )

    def vendor_of(self, source: str) -> str:
        """The kind of a source; a name that is not configured may itself be a kind."""
        return self.sources.get(source, source)

    def source_of(self, test: TestBlock) -> str:
        """The source that a test's body is from: of a kind, the first configured one.

        The kind itself where none is configured, so that a company with one vendor can run the
        tests of both.
        """
        if test.source not in VENDORS:
            return test.source
        return next(
            (name for name, kind in self.sources.items() if kind == test.source), test.source
        )


def set_hash(texts: Mapping[str, str], timezone: ZoneInfo) -> str:
    """The hash of a set: hex, over the names and texts of its files and the time zone."""
    content = json.dumps([str(timezone), sorted(texts.items())]).encode()
    return hashlib.sha256(content).hexdigest()
