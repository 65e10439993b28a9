"""The example of the mapping language, with the vendor's own examples."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector.mapping.blocks import run_tests
from connector.mapping.load import MappingSet
from connector.mapping.rendering import change_to_json
from connector.model import Json

SAMPLES = Path(__file__).parents[1] / "samples" / "caresoft"

# tickets.yaml is the example; it refers to contacts, which contacts.yaml creates
FOLDER = Path(__file__).parent / "language_example"

Made = Callable[..., list[dict[str, Json]]]


@pytest.fixture
def example(build: Any) -> MappingSet:
    texts = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}
    mapping_set: MappingSet = build(texts)
    assert mapping_set.warnings == ()
    return mapping_set


@pytest.fixture
def made(example: MappingSet, document: Any) -> Made:
    """The changes that the example makes of one of the vendor's own, as JSON."""

    def made(sample: str, **changed: Json) -> list[dict[str, Json]]:
        body = json.loads((SAMPLES / f"{sample}.json").read_bytes())
        if "ticket" in body:
            body["ticket"].update(changed)
        kind = f"{body['object']}.{body['action']}"
        applied = example.apply(document(body, kind=kind))
        assert applied.error is None, str(applied.error)
        assert applied.warnings == ()
        return [change_to_json(change) for change in applied.changes]

    return made


def test_a_missed_call_is_a_ticket_with_its_comment(made: Made) -> None:
    ticket, comment = made("ticket.update-2")
    assert ticket == {
        "action": "upsert",
        "target": "crm",
        "resource": "tickets",
        "id": "9999",
        "version": "2021-10-06T03:11:52.859000Z",
        "final": False,
        "fields": {
            "subject": "Cuộc gọi nhỡ từ 0889999999",
            "opened_at": "2021-10-06T03:11:01.000Z",
            "phone": "+84889999999",
            "channel": "caresoft",
            "status": "NEW",
            "contact": {"ref": "contacts", "id": "999"},
        },
        "write": {},
    }
    assert comment["resource"] == "ticket_comments"
    assert len(comment["id"]) == 32
    assert comment["fields"]["ticket"] == {"ref": "tickets", "id": "9999"}
    assert comment["fields"]["body"].startswith("Cuộc gọi vào\nID cuộc gọi: 20211006101009-")


def test_custom_fields_are_read_by_their_key(made: Made) -> None:
    ticket, _ = made("ticket.create-2")
    assert ticket["fields"]["category"] == "Chưa phân loại"
    assert ticket["fields"]["category_id"] == "1222"
    assert "phone" not in ticket["fields"]


def test_versions_in_javas_words_are_read(made: Made) -> None:
    _, comment = made("ticket.update-3")
    assert comment["version"] == "2021-10-06T02:45:53.000000Z"


def test_a_name_that_a_person_may_edit_says_so(made: Made) -> None:
    ticket, _ = made("ticket.update-2", assignee_name="Lan")
    assert ticket["fields"]["assignee"] == "Lan"
    assert ticket["write"] == {"assignee": "unless_edited"}


def test_spam_is_held_back_and_its_comment_is_not(made: Made) -> None:
    (comment,) = made("ticket.update-2", ticket_source="Spam")
    assert comment["resource"] == "ticket_comments"


def test_merged_tickets_are_final_and_point_at_the_one_that_stays(made: Made) -> None:
    (merged,) = made("ticket.merge-2")
    assert (merged["id"], merged["final"], merged["version"]) == ("316708", True, None)
    assert merged["fields"] == {
        "status": "MERGED",
        "merged_into": {"ref": "tickets", "id": "316707"},
    }


def test_a_deleted_ticket_is_deleted(made: Made) -> None:
    (deleted,) = made("ticket.delete-2")
    assert (deleted["action"], deleted["id"], deleted["fields"]) == ("delete", "316702", {})


def test_every_example_of_the_vendor_is_mapped_or_unmapped(
    example: MappingSet, document: Any
) -> None:
    statuses = {}
    for path in sorted(SAMPLES.glob("*.json")):
        body = json.loads(path.read_bytes())
        applied = example.apply(document(body, kind=f"{body['object']}.{body['action']}"))
        statuses[path.name.split(".")[0], path.name.split(".")[1].split("-")[0]] = applied.status
    assert {kind for kind, status in statuses.items() if status == "mapped"} == {
        ("ticket", "create"),
        ("ticket", "update"),
        ("ticket", "merge"),
        ("ticket", "delete"),
        ("user", "create"),
        ("user", "update"),
    }
    assert set(statuses.values()) == {"mapped", "unmapped"}


def test_an_unknown_status_dead_letters_the_event(example: MappingSet, document: Any) -> None:
    body = json.loads((SAMPLES / "ticket.update-2.json").read_bytes())
    body["ticket"]["ticket_status"] = "parked"
    applied = example.apply(document(body))
    assert (applied.status, applied.changes) == ("error", ())
    assert '"parked"' in str(applied.error)
    assert "new, open, pending, solved, closed" in str(applied.error)
    assert str(applied.error).startswith("tickets.yaml:17:15: ")


def test_the_examples_own_test_passes(example: MappingSet, document: Any) -> None:
    def documents(source: str, body: bytes) -> Any:
        data = json.loads(body)
        return [document(data, kind=f"{data['object']}.{data['action']}", source=source)]

    (result,) = run_tests(example, documents)
    assert result.passed
    assert result.name == "deleting a ticket deletes the record"
