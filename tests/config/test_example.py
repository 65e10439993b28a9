"""The example that people copy: it is valid, whole, and says what the schema says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.config import load
from connector.config.fields import ABSENT, REQUIRED, Group, Key, Keyed, Keys, Listing, OneOf
from connector.config.schema import AUTHS, SOURCES, UPSERTS, ConfigKeys

EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"
ENVIRON = {
    "CARESOFT_SECRET": "a",
    "MOBIO_APP_ID": "b",
    "MOBIO_APP_SECRET": "c",
    "CRM_BASE_URL": "https://crm.example/api",
    "CRM_TOKEN": "d",
}


def schemas(schema: type[Keys], seen: set[type[Keys]]) -> Iterator[tuple[type[Keys], str, Key]]:
    """Every key of a schema and of those within it."""
    if schema in seen:
        return
    seen.add(schema)
    for name, field in schema().fields.items():
        yield schema, field.data_key or name, field
        while isinstance(field, (Listing, Keyed)):
            field = field.item
        inner = [field.schema] if isinstance(field, Group) else []
        inner += field.variants.values() if isinstance(field, OneOf) else []
        for within in inner:
            yield from schemas(within, seen)


ALL_KEYS = list(schemas(ConfigKeys, set()))


def test_example_is_valid_without_a_warning():
    config = load(EXAMPLE, ENVIRON)
    assert config.warnings == ()
    assert list(config.sources) == ["caresoft", "mobio"]
    assert config.targets["crm"].resource("tickets").name == "tickets"


def test_example_says_the_defaults(loaded):
    config = load(EXAMPLE, ENVIRON)
    plain = loaded("targets: {crm: {base_url: http://crm}}")
    assert config.receiver == plain.receiver
    assert config.retention == plain.retention
    assert config.timezone == plain.timezone
    assert config.redis_url == plain.redis_url
    ours, usual = config.targets["crm"], plain.targets["crm"]
    for key in ("timeout", "search_lag", "concurrency", "probe_interval", "retry", "headers"):
        assert getattr(ours, key) == getattr(usual, key)
    assert ours.idempotency_header == usual.idempotency_header
    assert ours.pause_after_refusals == usual.pause_after_refusals
    assert ours.pause_after_failures == usual.pause_after_failures
    assert ours.dead_after_failures == usual.dead_after_failures
    assert ours.resource("x") == usual.resource("x")


def test_settings_that_are_switched_off_are_valid_too(tmp_path):
    text = re.sub(r"^(\s*)#(?=\S)", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    config = load(file, ENVIRON)
    assert config.warnings == ()
    tickets = config.targets["crm"].resource("tickets")
    assert tickets.name == "issues"
    assert set(tickets.fields) == {"phone", "odd", "status", "contact"}


@pytest.mark.parametrize("key", sorted({key for _, key, _ in ALL_KEYS}))
def test_example_tells_of_every_key(key):
    assert re.search(rf"\b{re.escape(key)}\b", EXAMPLE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("word", [*SOURCES, *AUTHS, *UPSERTS])
def test_example_tells_of_every_kind(word):
    assert re.search(rf"\b{re.escape(word)}\b", EXAMPLE.read_text(encoding="utf-8"))


def test_schema_describes_every_key_for_the_reference():
    assert len(ALL_KEYS) > 80
    for schema, key, field in ALL_KEYS:
        assert field.metadata["description"].endswith((".", "…")), (schema, key)
        if field.default is not REQUIRED:
            assert "default" in field.metadata, (schema, key)
            assert field.metadata["default"] is not ABSENT
