"""Values for a scratch record that are like those of real events.

From the mapping set and the vendors' documented bodies, with the `tests:` of the mapping files: for
each field the first value that is not empty. References are left out: what they refer to is not in
the CRM. Reads the documented bodies, nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from connector.checkup.scratch import IdKind, kind_of
from connector.mapping.blocks import Documents, body_of
from connector.mapping.rules import Computed
from connector.mapping.ruleset import MappingSet
from connector.model import Change, Delta, Json, Ref, Whole

RECOGNIZED = "Connector check"
"""What stands in the field of free text, so that a person who meets a scratch record knows it."""

SAMPLES = Path(__file__).parents[1] / "demo" / "samples"


@dataclass(frozen=True, slots=True)
class Sample:
    """A scratch record's fields. `references` are mapped fields that were left out, `missing`
    those for which no sample has a value. `free_text`: the field that seems to take any text."""

    fields: Mapping[str, Json]
    id_kind: IdKind = "text"
    free_text: str | None = None
    references: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def gather(mapping_set: MappingSet, target: str, resource: str, documents: Documents) -> Sample:
    """The sample for a resource; without fields where nothing maps to it."""
    fields: dict[str, Json] = {}
    ids: set[str] = set()
    references: set[str] = set()
    for change in changes(mapping_set, documents):
        if (change.target, change.resource, change.action) != (target, resource, "upsert"):
            continue
        ids.add(change.id)
        for name, value in change.fields.items():
            if isinstance(value, Ref):
                references.add(name)
            elif not isinstance(value, Delta):
                plain = list(value.items) if isinstance(value, Whole) else value
                if plain not in (None, "", [], {}):
                    fields.setdefault(name, plain)
    free_text = free_text_of(fields, _with_choices(mapping_set, target, resource))
    if free_text:
        fields[free_text] = RECOGNIZED
    mapped = mapping_set.fields_of(target, resource)
    return Sample(
        fields=dict(sorted(fields.items())),
        id_kind=kind_of(ids),
        free_text=free_text,
        references=tuple(sorted(references)),
        missing=tuple(sorted(mapped - fields.keys() - references)),
    )


def given(fields: Mapping[str, Json], sample: Sample) -> Sample:
    """The sample with a person's own fields instead."""
    return Sample(fields, sample.id_kind, free_text_of(fields, frozenset()))


def changes(mapping_set: MappingSet, documents: Documents) -> Iterator[Change]:
    """What the set makes of every documented body and of every test's."""
    for source, body in bodies(mapping_set):
        for document in documents(source, body):
            yield from mapping_set.apply(document).changes


def bodies(mapping_set: MappingSet) -> Iterator[tuple[str, bytes]]:
    """Source and body: of the tests first, for they are the editor's own, then of the samples."""
    for test in mapping_set.tests:
        yield mapping_set.source_of(test), body_of(test)
    for file in sorted(SAMPLES.glob("*/*.json")):
        vendor = file.parent.name
        names = [name for name, kind in mapping_set.sources.items() if kind == vendor]
        yield (names or [vendor])[0], file.read_bytes()


def resource_of(mapping_set: MappingSet, target: str, documents: Documents) -> str | None:
    """The resource that is easiest to probe: few references, many fields with a value."""
    names = sorted({rule.resource for rule in mapping_set.rules if rule.target == target})
    samples = {name: gather(mapping_set, target, name, documents) for name in names}
    good = [name for name in names if samples[name].fields]
    return min(
        good,
        key=lambda name: (len(samples[name].references), -len(samples[name].fields)),
        default=None,
    )


# --- which field takes free text


_NAMES: tuple[str, ...] = (
    "description|details?|note|notes|content|body|comment|message|text",
    "subject|title|summary",
    "name|full_?name|label",
    ".*",
)
_NOT_FREE: tuple[Callable[[str], bool], ...] = (
    lambda text: re.fullmatch(r"[\d\s.,:+-]+", text) is not None,
    lambda text: re.match(r"\d{4}-\d\d-\d\d", text) is not None,
    lambda text: "@" in text or "://" in text,
    lambda text: re.fullmatch(r"[0-9a-fA-F-]{16,}", text) is not None,
    lambda text: re.fullmatch(r"[A-Z0-9_]+", text) is not None,
)


def free_text_of(fields: Mapping[str, Json], choices: Iterable[str]) -> str | None:
    """The field by whose name and value it seems that any text may stand in it."""
    apart = frozenset(choices)
    texts = [
        name
        for name, value in fields.items()
        if name not in apart
        and isinstance(value, str)
        and not any(is_other(value) for is_other in _NOT_FREE)
    ]
    for pattern in _NAMES:
        for name in sorted(texts):
            if re.fullmatch(pattern, name, re.IGNORECASE):
                return name
    return None


def _with_choices(mapping_set: MappingSet, target: str, resource: str) -> frozenset[str]:
    """Fields that a mapping chooses from a list."""
    return frozenset(
        rule.name
        for block in mapping_set.blocks
        for record in block.records
        if (record.target, record.resource) == (target, resource)
        for rule in record.fields
        if isinstance(rule.source, Computed) and rule.source.values is not None
    )
