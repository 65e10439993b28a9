"""The reference CRM's schema and the shipped mappings name the same fields, of the same types."""

from __future__ import annotations

from collections import defaultdict

import pytest

from connector.demo.crm_schema import DEFAULT_SCHEMA, load_schema, read_fields
from connector.model import Change, Delta, Json, Ref, Value, Whole

RESOURCES = {
    "contacts",
    "organizations",
    "tickets",
    "ticket_comments",
    "calls",
    "leads",
    "deals",
    "activities",
    "notes",
    "note_comments",
}


@pytest.fixture(scope="module")
def schema():
    return load_schema(DEFAULT_SCHEMA)


@pytest.fixture(scope="module")
def changes(bench, all_samples) -> list[Change]:
    """What the mappings make of every example of the vendors and of the mapping files."""
    bodies = [(vendor, body) for vendor, body, _ in all_samples]
    bodies += [(bench.mappings.source_of(test), test.event) for test in bench.mappings.tests]
    return [change for vendor, body in bodies for change in bench.changes(vendor, body)]


def test_the_schema_has_exactly_the_fields_that_the_mappings_write(bench, schema):
    written: dict[str, set[str]] = defaultdict(set)
    for rule in bench.mappings.rules:
        written[rule.resource].add(rule.field)
    assert {name: set(resource.fields) for name, resource in schema.items()} == written
    assert set(schema) == RESOURCES


def test_every_resource_and_field_is_described(schema):
    for resource in schema.values():
        assert resource.description.endswith(".")
        for field in resource.fields.values():
            assert field.description.endswith("."), (resource.name, field.name)


def test_references_of_the_mappings_are_references_of_the_schema(bench, schema):
    for rule in bench.mappings.rules:
        assert schema[rule.resource].fields[rule.field].resource == rule.refers_to, rule.place


def test_the_crm_takes_every_value_that_the_examples_give(changes, schema):
    for change in changes:
        told = {name: told_as(value) for name, value in change.fields.items()}
        read_fields(schema[change.resource], told)


def test_every_field_of_the_crm_is_filled_by_some_example(changes, schema):
    filled = {
        (change.resource, name)
        for change in changes
        for name, value in change.fields.items()
        if told_as(value) not in (None, [])
    }
    every = {(name, field) for name, resource in schema.items() for field in resource.fields}
    assert every == filled


def told_as(value: Value) -> Json:
    """A value as it stands in the CRM, every reference known."""
    if isinstance(value, Ref):
        return value.id
    if isinstance(value, Whole):
        return list(value.items)
    return list(value.add) if isinstance(value, Delta) else value
