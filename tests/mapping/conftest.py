"""Mapping sets made of texts, and documents without a vendor: what the tests of this room run on.

No test here needs a disk but those of `load` and `check`: a set is made of its texts.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.errors import MappingInvalid
from connector.mapping.load import MappingSet, set_from_texts
from connector.model import Applied, Change, Json, Problem

SOURCES = {"caresoft": "caresoft", "branch": "caresoft", "mobio": "mobio"}
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
RECEIVED_AT = "2024-03-21T08:00:00.000000Z"
LEFT_ALONE = "(left alone)"  # what `field` gives for a field that the change does not have

Build = Callable[..., MappingSet]
Faults = Callable[..., list[Problem]]
Run = Callable[..., Applied]


@pytest.fixture
def zone() -> ZoneInfo:
    """The configured time zone of every set here."""
    return ZONE


@pytest.fixture
def sources() -> dict[str, str]:
    """The configured sources of every set here: two accounts of CareSoft, one of Mobio."""
    return dict(SOURCES)


@pytest.fixture
def build() -> Build:
    """A set of one file's text, or of several by their names."""

    def build(files: str | Mapping[str, str], **given: Any) -> MappingSet:
        texts = {"test.yaml": files} if isinstance(files, str) else dict(files)
        surroundings = {"sources": SOURCES, "targets": ["crm"], "timezone": ZONE, **given}
        return set_from_texts(
            {name: textwrap.dedent(text) for name, text in texts.items()}, **surroundings
        )

    return build


@pytest.fixture
def faults(build: Build) -> Faults:
    """Everything that is wrong with a set."""

    def faults(files: str | Mapping[str, str], **given: Any) -> list[Problem]:
        with pytest.raises(MappingInvalid) as caught:
            build(files, **given)
        return list(caught.value.problems)

    return faults


@pytest.fixture
def document() -> Callable[..., dict[str, Json]]:
    """A body as a mapping sees it: with `raw` and `meta`."""

    def document(
        body: Mapping[str, Json],
        kind: str = "ticket.update",
        source: str = "caresoft",
        received_at: str = RECEIVED_AT,
    ) -> dict[str, Json]:
        meta = {
            "kind": kind,
            "source": source,
            "account": None,
            "event_id": "e1",
            "received_at": received_at,
        }
        return {**body, "raw": dict(body), "meta": meta}

    return document


@pytest.fixture
def run(build: Build, document: Callable[..., dict[str, Json]]) -> Run:
    """What records (the YAML below `records:`) make of a body."""

    def run(records: str, body: Mapping[str, Json], **meta: str) -> Applied:
        listed = textwrap.indent(textwrap.dedent(records).strip("\n"), "  ")
        mapping_set = build(f"source: caresoft\nevents: ['*']\nrecords:\n{listed}\n")
        return mapping_set.apply(document(body, **meta))

    return run


@pytest.fixture
def changes(run: Run) -> Callable[..., tuple[Change, ...]]:
    """The changes of a body that is mapped without an error."""

    def changes(records: str, body: Mapping[str, Json], **meta: str) -> tuple[Change, ...]:
        applied = run(records, body, **meta)
        assert applied.error is None, str(applied.error)
        assert applied.status == "mapped"
        return applied.changes

    return changes


@pytest.fixture
def field(changes: Callable[..., tuple[Change, ...]]) -> Callable[..., Any]:
    """The value that one field's YAML gives for a body, or LEFT_ALONE."""

    def field(form: str, body: Mapping[str, Json]) -> Any:
        records = f"- resource: things\n  id: \"'1'\"\n  fields:\n    it: {form}\n"
        (change,) = changes(records, body)
        return change.fields.get("it", LEFT_ALONE)

    return field


@pytest.fixture
def field_error(run: Run) -> Callable[..., Problem]:
    """The error that one field's YAML gives for a body."""

    def field_error(form: str, body: Mapping[str, Json]) -> Problem:
        applied = run(f"- resource: things\n  id: \"'1'\"\n  fields:\n    it: {form}\n", body)
        assert applied.status == "error"
        assert applied.changes == ()
        assert applied.error is not None
        return applied.error

    return field_error
