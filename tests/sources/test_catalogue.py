"""The catalogue agrees with the documents that the samples make."""

import re

import pytest

from connector.sources import VENDORS, catalogue

KINDS = [(name, kind) for name, vendor in VENDORS.items() for kind in vendor.kinds]
TYPES = {
    dict: "object",
    list: "array",
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}


def parents(path):
    """`a.b[].c` → a, a.b, a.b[]."""
    return [path[: match.start()] for match in re.finditer(r"\.|\[\]", path)]


def leaves(value, path=""):
    """Every path of a document with its value."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, f"{path}[]")


@pytest.mark.parametrize(("vendor", "kind"), KINDS)
def test_every_kind_offers_its_fields_and_what_all_documents_have(vendor, kind):
    paths = [field.path for field in catalogue.fields(vendor, kind)]
    assert len(paths) == len(set(paths))
    assert {"raw", "meta.kind", "meta.source", "meta.account", "meta.event_id"} <= set(paths)
    assert len(paths) > 10


@pytest.mark.parametrize(("vendor", "kind"), KINDS)
def test_parents_come_before_their_children(vendor, kind):
    seen = set()
    for field in catalogue.fields(vendor, kind):
        assert set(parents(field.path)) <= seen, field.path
        seen.add(field.path)


@pytest.mark.parametrize(("vendor", "kind"), KINDS)
def test_every_field_has_types_and_a_short_meaning(vendor, kind):
    for field in catalogue.fields(vendor, kind):
        assert field.types
        assert set(field.types) <= set(TYPES.values())
        assert 0 < len(field.meaning) <= 120
        assert field.example is None or TYPES[type(field.example)] in field.types, field.path


def test_every_path_of_every_sample_is_listed_with_its_type(care_document, mobio_document, request):
    folder = request.config.rootpath / "tests/samples"
    checked = 0
    for vendor, document_of in (("caresoft", care_document), ("mobio", mobio_document)):
        for path in (folder / vendor).glob("*.json"):
            document = document_of(path.read_bytes())
            listed = {
                field.path: field for field in catalogue.fields(vendor, document["meta"]["kind"])
            }
            for leaf, value in leaves(document):
                opened = [name for name in parents(leaf) if name in listed and listed[name].open]
                plain_item = leaf.endswith("[]") and not isinstance(value, dict | list)
                if leaf not in listed and (opened or plain_item):
                    continue
                assert leaf in listed, (path.name, leaf)
                assert TYPES[type(value)] in listed[leaf].types, (path.name, leaf)
                checked += 1
    assert checked > 1000


def test_an_undocumented_kind_offers_what_all_documents_have():
    paths = {field.path for field in catalogue.fields("caresoft", "lead.merge")}
    assert {"object", "action", "meta.account", "raw"} <= paths
    assert "call_info" not in paths


def test_an_unknown_vendor_has_no_catalogue():
    with pytest.raises(KeyError):
        catalogue.fields("nobody", "ticket.update")


def test_the_shape_of_a_list_field_depends_on_the_kind():
    update = {field.path: field for field in catalogue.fields("mobio", "note_update_data")}
    create = {field.path: field for field in catalogue.fields("mobio", "note_create")}
    assert {"note.mentions.add", "note.mentions.remove"} <= update.keys()
    assert "note.mentions.add" not in create
    assert "array" in create["note.mentions"].types
