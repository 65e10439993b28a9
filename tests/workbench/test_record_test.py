"""`connector mappings record-test`: a real event as a test, without the person in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from connector import recording
from connector.mapping.blocks import Result, run_test
from connector.mapping.rules import Expected, TestBlock
from connector.model import Place
from connector.workbench import now, open_workbench
from connector.yamltext import load_text

SAMPLES = Path(__file__).parents[1] / "samples"

LAN = {
    "object": "user",
    "action": "update",
    "user": {
        "id": 63203837,
        "username": "Trần Thị Lan",
        "email": "lan.tran@real.vn",
        "phone_no": "0912 345 678",
        "note": "Gọi chị Lan 0912345678",
        "user_info5": "1 Tràng Tiền, Hà Nội",
        "avatar": "https://cdn.real.vn/lan.png",
        "role_id": 3,
        "updated_at": 1_684_384_652_133,
        "changes": [{"field": "addition_field13", "value": "KH-77"}],
    },
}
SECRETS = ("Lan", "Trần", "real.vn", "345", "678", "Tràng", "KH-77")
FILES = {
    **dict.fromkeys(("user",), "contacts"),
    **dict.fromkeys(("smart_dialer", "call_in"), "calls"),
    **dict.fromkeys(("note", "note_comment"), "notes"),
}


def results(desk: Any) -> list[Any]:
    return list(desk.json("mappings", "test")["tests"])


def test_a_test_is_printed_that_holds_nobodys_data(desk: Any) -> None:
    event = desk.receive(LAN)
    printed = desk.run("mappings", "record-test", event.id[:12]).stdout
    assert printed.startswith("tests:\n  - name: user.update as it came on ")
    body = printed[printed.index("event:") :]
    assert not any(secret in body for secret in SECRETS)
    assert "phone_no: 0912 000 001" in body
    assert 'phone: "+84912000001"' in body
    assert "id: 63203837" in body


def test_it_can_be_put_below_tests_by_hand_and_passes(desk: Any) -> None:
    event = desk.receive(LAN)
    items = desk.run("mappings", "record-test", event.id).stdout.removeprefix("tests:\n")
    contacts = desk.mappings / "contacts.yaml"
    contacts.write_text(contacts.read_text(encoding="utf-8") + items, encoding="utf-8")
    assert all(test["passed"] for test in results(desk))


def test_it_is_added_to_the_block_that_speaks_of_the_kind(desk: Any) -> None:
    (event,) = desk.receive_samples("caresoft/ticket.merge-2.json")
    tickets = desk.mappings / "tickets.yaml"
    before = tickets.read_text(encoding="utf-8")
    desk.run("mappings", "record-test", event.id, "--write", "mappings/tickets.yaml")
    after = tickets.read_text(encoding="utf-8")
    start = after.index("  - name: ticket.merge as it came") - 1
    added = len(after) - len(before)
    assert after[:start] + after[start + added :] == before
    assert after.index("[ticket.merge]") < start < after.index("[ticket.delete]")
    assert all(test["passed"] for test in results(desk))


@pytest.mark.parametrize("name", ["mobio/note_comment.create", "caresoft/deal.convert"])
def test_what_is_written_passes_among_all_others(desk: Any, name: str) -> None:
    (event,) = desk.receive_samples(f"{name}.json")
    thing = name.split("/")[1].split(".")[0]
    file = f"mappings/{FILES.get(thing, f'{thing}s')}.yaml"
    desk.run("mappings", "record-test", event.id, "--write", file, "--name", "the recorded one")
    (found,) = [test for test in results(desk) if test["name"] == "the recorded one"]
    assert found["passed"], found
    desk.run("mappings", "check", "--strict")


@pytest.fixture(scope="module")
def recorded() -> Callable[[Path], Result]:
    """What becomes of the test that is made of a sample, read back from its text."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(SAMPLES.parents[1])
        patch.delenv("CONNECTOR_CONFIG", raising=False)
        bench = open_workbench()
        mapping_set = bench.load()

    def recorded(path: Path) -> Result:
        (event,) = bench.sources[path.parent.name].preview(path.read_bytes(), now())
        text = recording.record(event, "it", mapping_set, bench.documents_at).text()
        ((item,),) = [document.data["tests"] for document in load_text(f"tests:\n{text}", "t")]
        place = Place("t", 1, 1)
        expect = tuple(Expected(wanted, place) for wanted in item["expect"])
        test = TestBlock("it", path.parent.name, item["event"], expect, place)
        return run_test(test, mapping_set, bench.documents)

    return recorded


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.json")), ids=lambda path: path.stem)
def test_every_sample_can_be_recorded_and_passes(
    recorded: Callable[[Path], Result], path: Path
) -> None:
    result = recorded(path)
    assert result.passed, result


def test_an_event_that_no_block_names_makes_no_record_and_says_so(desk: Any) -> None:
    event = desk.receive({"object": "lead", "action": "merge", "lead": {"lead_id": 5}})
    assert desk.json("mappings", "record-test", event.id)["test"]["expect"] == []
    file = "mappings/leads.yaml"
    result = desk.run("mappings", "record-test", event.id, "--write", file, code=1)
    assert "no block of mappings/leads.yaml is for lead.merge" in result.stderr


def test_a_file_without_the_kind_is_told_which_file_has_it(desk: Any) -> None:
    event = desk.receive(LAN)
    before = (desk.mappings / "notes.yaml").read_bytes()
    file = "mappings/notes.yaml"
    result = desk.run("mappings", "record-test", event.id, "--write", file, code=1)
    assert "mappings/contacts.yaml has one" in result.stderr
    assert (desk.mappings / "notes.yaml").read_bytes() == before


def test_an_event_with_an_error_cannot_be_recorded(desk: Any) -> None:
    event = desk.receive({"object": "user", "action": "update", "user": {"username": "x"}})
    result = desk.run("mappings", "record-test", event.id, code=1)
    assert "the event cannot be mapped: mappings/contacts.yaml" in result.stderr


def test_what_depends_on_the_day_is_not_expected(desk: Any, ticket: Any) -> None:
    desk.write(
        """\
        source: caresoft
        events: [ticket.update]
        records:
          - resource: receipts
            id: ticket.ticket_id
            fields: {at: meta.received_at, number: ticket.ticket_no}
        """
    )
    event = desk.receive(ticket(7, ticket_no=5))
    test = desk.json("mappings", "record-test", event.id)["test"]
    (receipt,) = [change for change in test["expect"] if change["resource"] == "receipts"]
    assert receipt == {
        "action": "upsert",
        "resource": "receipts",
        "id": "7",
        "fields": {"number": 5},
    }


def test_a_record_that_depends_on_the_day_cannot_be_recorded(desk: Any, ticket: Any) -> None:
    desk.write(
        """\
        source: caresoft
        events: [ticket.update]
        records: [{resource: receipts, id: meta.received_at, fields: {}}]
        """
    )
    event = desk.receive(ticket(7))
    result = desk.run("mappings", "record-test", event.id, code=1)
    assert "depend on the time of receipt" in result.stderr


RULES = """\
source: caresoft
events: [user.update]
records:
  - {resource: contacts, id: user.id, fields: {name: user.username}}
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("tests:\n- {name: old, event: {object: a, action: b}, expect: []}\n", "# the end\n"),
        ("tests:\n  - name: old\n    event: {object: a, action: b}\n    expect: []\n\n", ""),
        ("tests:\n  - name: old\n    event: {object: a, action: b}\n    expect: []\n", "..."),
        ("", "---\nsource: caresoft\nevents: [a.b]\nrecords: [{resource: t, id: a, fields: {}}]"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_it_fits_into_files_of_any_layout(
    desk: Any, before: str, after: str, line_end: str
) -> None:
    own = desk.mappings / "own.yaml"
    (desk.mappings / "contacts.yaml").unlink()
    text = (RULES + before + after).replace("\n", line_end)
    own.write_bytes(text.encode())
    event = desk.receive(LAN)
    desk.run("mappings", "record-test", event.id, "--write", str(own), "--name", "new")
    written = own.read_bytes().decode()
    assert written.replace("\r\n", "\n").rstrip("\n").endswith(after.rstrip("\n"))
    assert ("\r\n" in written) == (line_end == "\r\n")
    assert "\n" not in written.replace("\r\n", "") or line_end == "\n"
    found = desk.json("mappings", "test", str(own))["tests"]
    assert [test["name"] for test in found] == (["old", "new"] if before else ["new"])
    assert all(test["passed"] for test in found)


@pytest.mark.parametrize(
    ("tests", "why"),
    [("tests: []\n", "`tests:` is empty"), ("tests: [{name: a, event: {}, expect: []}]\n", "dash")],
)
def test_a_layout_that_takes_no_more_is_left_as_it_is(desk: Any, tests: str, why: str) -> None:
    own = desk.write(RULES + tests)
    (desk.mappings / "contacts.yaml").unlink()
    event = desk.receive(LAN)
    result = desk.run("mappings", "record-test", event.id, "--write", str(own), code=1)
    assert why in result.stderr
    assert own.read_text(encoding="utf-8") == RULES + tests


def test_an_unknown_or_ambiguous_event_is_told(desk: Any) -> None:
    assert "no event begins with zz" in desk.run("mappings", "record-test", "zz", code=2).stderr
    first, second = desk.receive_samples("mobio/note.[cu]*.json")
    assert (first.id[0], second.id[0]) == ("3", "3")
    stderr = desk.run("mappings", "record-test", "3", code=2).stderr
    assert "3 is the beginning of several events" in stderr
    assert first.id in stderr
