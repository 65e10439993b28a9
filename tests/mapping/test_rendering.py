"""Changes as `connector mappings try` prints them."""

from __future__ import annotations

from connector.mapping.rendering import change_to_json, version_to_json
from connector.model import Change, Delta, Ref, Whole


def test_change_has_the_keys_of_the_documentation() -> None:
    change = Change(
        action="upsert",
        target="crm",
        resource="tickets",
        id="9999",
        version=1633489912859001,
        fields={
            "subject": "s",
            "cleared": None,
            "contact": Ref("contacts", "5", "create"),
            "tags": Whole(("a", "b")),
            "more": Delta(("c",), ("d",)),
            "added": Delta(("c",), ()),
            "removed": Delta((), ("d",)),
        },
        write={"subject": "unless_edited"},
        rules={"subject": 0},
    )
    assert change_to_json(change) == {
        "action": "upsert",
        "target": "crm",
        "resource": "tickets",
        "id": "9999",
        "version": "2021-10-06T03:11:52.859001Z",
        "final": False,
        "fields": {
            "subject": "s",
            "cleared": None,
            "contact": {"ref": "contacts", "id": "5"},
            "tags": ["a", "b"],
            "more": {"add": ["c"], "remove": ["d"]},
            "added": {"add": ["c"]},
            "removed": {"remove": ["d"]},
        },
        "write": {"subject": "unless_edited"},
    }


def test_delete_has_no_fields() -> None:
    rendered = change_to_json(Change("delete", "crm", "tickets", "1", None, final=True))
    assert (rendered["action"], rendered["version"], rendered["final"]) == ("delete", None, True)
    assert (rendered["fields"], rendered["write"]) == ({}, {})


def test_version_always_has_six_digits() -> None:
    assert version_to_json(1633489912000000) == "2021-10-06T03:11:52.000000Z"
    assert version_to_json(-1) == "1969-12-31T23:59:59.999999Z"
    assert version_to_json(None) is None
