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


def test_what_a_sample_lacks_is_noted(care_document, mobio_document, request):
    folder = request.config.rootpath / "tests/samples"
    documents: dict[tuple[str, str], list] = {}
    for vendor, document_of in (("caresoft", care_document), ("mobio", mobio_document)):
        for path in sorted((folder / vendor).glob("*.json")):
            document = document_of(path.read_bytes())
            documents.setdefault((vendor, document["meta"]["kind"]), []).append(document)
    for (vendor, kind), found in documents.items():
        for field in catalogue.fields(vendor, kind):
            if "[]" in field.path or field.path.split(".")[0] in ("raw", "meta"):
                continue
            lacking = [doc for doc in found if field.path not in dict(leaves(doc))]
            assert bool(lacking) == (kind in field.absent), (kind, field.path)


@pytest.mark.parametrize(("vendor", "kind"), KINDS)
def test_every_documented_value_has_a_type_of_its_field(vendor, kind):
    for field in catalogue.fields(vendor, kind):
        assert {TYPES[type(value)] for value in field.values} <= set(field.types), field.path


def test_every_sample_has_documented_values_only(care_document, mobio_document, request):
    folder = request.config.rootpath / "tests/samples"
    checked = 0
    for vendor, document_of in (("caresoft", care_document), ("mobio", mobio_document)):
        for path in (folder / vendor).glob("*.json"):
            document = document_of(path.read_bytes())
            found = dict(leaves(document))
            for field in catalogue.fields(vendor, document["meta"]["kind"]):
                if not field.values or field.more or found.get(field.path) in (None, ""):
                    continue
                assert found[field.path] in field.values, (path.name, field.path)
                checked += 1
    assert checked > 100


def test_names_of_a_kind_are_its_only_values():
    by_path = {field.path: field for field in catalogue.fields("caresoft", "ticket.update")}
    assert by_path["object"].values == ("ticket",)
    assert by_path["action"].values == ("update",)
    assert by_path["meta.kind"].values == ("ticket.update",)
    assert catalogue.fields("mobio", "note_create")[1].values == ("note_create",)


def test_personal_keys_are_known_by_their_last_name():
    keys = catalogue.personal_keys()
    assert (keys["phone_no"], keys["email2"], keys["username"]) == ("phone", "email", "name")
    assert keys["comment"] == "text"
    assert "ticket_status" not in keys


def test_what_is_said_twice_is_marked():
    fields = {field.path: field for field in catalogue.fields("mobio", "note_create")}
    assert fields["fields"].is_repeated_in("note_create")
    assert not fields["note.description"].is_repeated_in("note_create")
    others = {field.path: field for field in catalogue.fields("mobio", "profile_create_new")}
    assert not others["fields"].is_repeated_in("profile_create_new")
