"""`connector drift`: what comes unmapped, what is mapped and never comes, what has changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from connector.yamltext import load_text

RULES = """\
source: caresoft
events: [ticket.*]
records:
  - resource: tickets
    id: ticket.ticket_id
    version: ticket.updated_at
    fields:
      subject: ticket.ticket_subject
      status:
        from: ticket.ticket_status
        values: {new: NEW, open: OPEN}
      level: {from: ticket.level, values: {a: A}, otherwise: keep}
      rank: custom(ticket.addition_fields, lookup('codes', 'rank'))
      owner: id(ticket.asignee_id)
"""


@pytest.fixture
def small(desk: Any) -> Any:
    """A desk whose only mapping is RULES."""
    for file in desk.mappings.glob("*.yaml"):
        file.unlink()
    desk.write(RULES)
    (desk.mappings / "tables" / "codes.yaml").write_text("rank: addition_field7\n")
    return desk


def one(rows: list[Any], **wanted: Any) -> Any:
    found = [row for row in rows if wanted.items() <= row.items()]
    assert len(found) == 1, (wanted, rows)
    return found[0]


# --- unread


def test_a_path_that_carries_data_and_nobody_reads_is_told(small: Any, ticket: Any) -> None:
    for number in range(3):
        small.receive(ticket(number, sla={"due_at": 1_684_384_652_133, "empty": ""}))
    found = small.json("drift")
    assert found["events"] == 3
    assert one(found["unread"], path="ticket.sla.due_at") == {
        "source": "caresoft",
        "kinds": ["ticket.update"],
        "path": "ticket.sla.due_at",
        "types": ["integer"],
        "count": 3,
        "example": 1_684_384_652_133,
        "yaml": "due_at: timestamp(ticket.sla.due_at)",
        "resource": "tickets",
        "file": "mappings/own.yaml",
        "line": 14,
        "column": 7,
    }
    paths = {row["path"] for row in found["unread"]}
    assert not paths & {"ticket.sla.empty", "ticket.ticket_subject", "ticket.updated_at", "action"}


def test_what_is_empty_or_zero_carries_nothing(small: Any, ticket: Any) -> None:
    small.receive(ticket(1, a=0, b="", c=None, d=[], e={}, f=False))
    assert {row["path"] for row in small.json("drift")["unread"]} == {"ticket.f"}


def test_several_kinds_add_up(small: Any, ticket: Any) -> None:
    small.receive(ticket(1, sla="x"))
    small.receive({**ticket(2, sla="y"), "action": "create"})
    row = one(small.json("drift")["unread"], path="ticket.sla")
    assert (sorted(row["kinds"]), row["count"]) == (["ticket.create", "ticket.update"], 2)


def test_examples_hold_nobodys_data(small: Any, ticket: Any) -> None:
    small.receive(ticket(1, contact_phone="0912345678", remark="Gọi chị Lan", mail="a@real.vn"))
    examples = {row["path"]: row["example"] for row in small.json("drift")["unread"]}
    assert examples == {
        "ticket.contact_phone": "0912000001",
        "ticket.remark": "Lor emi Psu",
        "ticket.mail": "person1@example.vn",
    }


@pytest.mark.parametrize(
    ("fields", "yaml"),
    [
        ({"group_id": 5}, "group_id: id(ticket.group_id)"),
        ({"closed_at": 1_684_384_652_133}, "closed_at: timestamp(ticket.closed_at)"),
        ({"phone2": "0912345678"}, "phone2: phone(ticket.phone2, 'VN')"),
        ({"mail": "a@b.vn"}, "mail: email(ticket.mail)"),
        ({"html": "<b>x</b>"}, "html: text(ticket.html)"),
        ({"tags": ["x"]}, "tags: ticket.tags"),
        ({"lines": [{"sku": "x"}]}, "sku: ticket.lines[*].sku"),
        ({"odd name": "x"}, 'odd_name: ticket."odd name"'),
        ({"subject": "x"}, "subject_2: ticket.subject"),
        ({"slaDue": "x"}, "sla_due: ticket.slaDue"),
    ],
)
def test_the_line_of_yaml_maps_the_path(
    small: Any, ticket: Any, fields: dict[str, Any], yaml: str
) -> None:
    small.receive(ticket(1, **fields))
    (row,) = small.json("drift")["unread"]
    assert row["yaml"] == yaml
    own = small.mappings / "own.yaml"
    own.write_text(own.read_text() + f"      {row['yaml']}\n")
    assert small.json("drift")["unread"] == []


@pytest.mark.parametrize(
    ("vendor_object", "resource"), [("lead", "leads"), ("ticket", "tickets"), ("user", "contacts")]
)
def test_a_line_belongs_to_the_record_that_reads_the_same_object(
    desk: Any, vendor_object: str, resource: str
) -> None:
    id_ = {"lead": "lead_id", "ticket": "ticket_id", "user": "id"}[vendor_object]
    desk.receive({"object": vendor_object, "action": "update", vendor_object: {id_: 1, "odd": 5}})
    (row,) = desk.json("drift")["unread"]
    assert (row["path"], row["resource"]) == (f"{vendor_object}.odd", resource)


def test_a_kind_that_nobody_maps_is_told_as_a_whole(small: Any) -> None:
    event = small.receive({"object": "lead", "action": "merge", "lead": {"x": 1}})
    (row,) = small.json("drift")["unread"]
    assert (row["kinds"], row["path"], row["count"]) == (["lead.merge"], None, 1)
    assert (row["example"], row["yaml"]) == (event.id, "events: [lead.merge]")


def test_what_a_vendor_says_twice_is_read_where_one_of_them_is(desk: Any) -> None:
    desk.receive_samples("mobio/note.create.json")
    paths = {row["path"] for row in desk.json("drift")["unread"]}
    assert paths == {"note.related_to_not_delete.deal_ids[]"}


def test_a_custom_field_that_nobody_reads_is_told(small: Any, ticket: Any, custom: Any) -> None:
    fields = [custom("addition_field7", "gold"), custom("addition_field8", "x", "Hạng mục", 3)]
    small.receive(ticket(1, addition_fields=fields))
    (row,) = small.json("drift")["unread"]
    assert row["path"] == "ticket.addition_fields[?field=='addition_field8'].value"
    assert row["yaml"] == "hang_muc: custom(ticket.addition_fields, 'addition_field8')"
    assert row["example"] == "x"


# --- custom fields


def test_a_custom_field_is_new_since_it_was_first_seen(
    small: Any, ticket: Any, custom: Any
) -> None:
    old = custom("addition_field1", "x", "Old", 3)
    small.receive(ticket(1, addition_fields=[old]), days_ago=20)
    rank = custom("addition_field7", "r", "Rank", 3)
    new = custom("addition_field9", "0912345678", "SĐT phụ", 0)
    small.receive(ticket(2, addition_fields=[old, new, rank]), days_ago=3)
    small.receive(ticket(3, addition_fields=[old, new]), days_ago=1)
    (row,) = small.json("drift")["new_custom_fields"]
    assert (row["object"], row["field"], row["label"], row["count"]) == (
        "ticket",
        "addition_field9",
        "SĐT phụ",
        2,
    )
    assert row["yaml"] == "sdt_phu: custom(ticket.addition_fields, 'addition_field9')"
    assert row["example"] == "0912000001"
    assert (row["resource"], row["file"], row["line"]) == ("tickets", "mappings/own.yaml", 14)
    assert small.json("drift", "--since", "1h")["new_custom_fields"] == []
    assert len(small.json("drift", "--since", "30d")["new_custom_fields"]) == 2


def test_a_changed_label_is_told_with_both(small: Any, ticket: Any, custom: Any) -> None:
    for days, label in ((20, "Hạng"), (15, "Hạng  "), (3, "Hạng khách"), (1, "hạng khách")):
        fields = [custom("addition_field7", "Vàng", label, 3)]
        small.receive(ticket(days, addition_fields=fields), days_ago=days)
    (row,) = small.json("drift")["changed_custom_fields"]
    told = (row["what"], row["before"], row["after"])
    assert told == ("label", "Hạng", "hạng khách")
    assert (row["count"], row["example"]) == (2, "Vàng")
    assert row["yaml"].endswith("custom(ticket.addition_fields, 'addition_field7')")
    assert small.json("drift", "--since", "2d")["changed_custom_fields"] == []


def test_a_changed_type_is_told_and_its_spelling_is_no_change(
    small: Any, ticket: Any, custom: Any
) -> None:
    for days, one_type, other in ((20, 0, "3"), (3, 1, 3), (1, "1", "3")):
        fields = [
            custom("addition_field7", "5", "A", one_type),
            custom("addition_field8", "5", "B", other),
        ]
        small.receive(ticket(days, addition_fields=fields), days_ago=days)
    (row,) = small.json("drift")["changed_custom_fields"]
    assert (row["field"], row["what"]) == ("addition_field7", "type")
    assert (row["before"], row["after"], row["count"]) == ("0", "1", 2)


def test_a_label_that_goes_to_and_fro_is_no_change(small: Any, ticket: Any, custom: Any) -> None:
    for days, label in ((20, "A"), (4, "B"), (3, "A"), (2, "B")):
        fields = [custom("addition_field7", "5", label)]
        small.receive(ticket(days, addition_fields=fields), days_ago=days)
    assert small.json("drift")["changed_custom_fields"] == []


# --- words


def test_words_that_values_lack_are_told_with_the_events_they_killed(
    small: Any, ticket: Any
) -> None:
    small.receive(ticket(1, ticket_status="new", level="a"))
    small.receive(ticket(2, ticket_status="reopened"))
    event = small.receive(ticket(3, ticket_status="reopened", level="b"))
    found = small.json("drift")["uncovered_values"]
    assert one(found, field="status")["dead"] == 0
    small.work()
    found = small.json("drift", code=1)["uncovered_values"]
    status, level = one(found, field="status"), one(found, field="level")
    assert status == {
        "resource": "tickets",
        "field": "status",
        "expression": "ticket.ticket_status",
        "value": "reopened",
        "count": 2,
        "dead": 2,
        "example": "reopened",
        "event": event.id,
        "yaml": "reopened: REOPENED",
        "file": "mappings/own.yaml",
        "line": 11,
        "column": 9,
    }
    assert (level["value"], level["count"], level["dead"]) == ("b", 1, 0)


# --- nulls


def test_an_expression_that_was_always_null_is_told(small: Any, ticket: Any) -> None:
    small.receive(ticket(1, ticket_subject="x", assignee_id=5))
    small.receive(ticket(2, assignee_id=6))
    found = small.json("drift")["always_null"]
    assert {row["field"] for row in found} == {"status", "level", "rank", "owner"}
    owner = one(found, field="owner")
    assert (owner["expression"], owner["count"]) == ("id(ticket.asignee_id)", 2)
    assert owner["yaml"] == "owner: id(ticket.assignee_id)"
    assert (owner["file"], owner["line"], owner["column"]) == ("mappings/own.yaml", 14, 7)
    assert one(found, field="level")["yaml"].startswith("level: {from: ticket.level")


# --- the verb


def test_only_recent_events_are_judged(small: Any, ticket: Any) -> None:
    small.receive(ticket(1, sla="x"), days_ago=8)
    assert small.json("drift")["events"] == 0
    assert small.json("drift", "--since", "9d")["unread"][0]["path"] == "ticket.sla"


def test_at_most_so_many_events_are_judged_the_latest_first(small: Any, ticket: Any) -> None:
    small.receive(ticket(1, old="x"), days_ago=2)
    small.receive(ticket(2, new="x"), days_ago=1)
    found = small.json("drift", "--limit", "1")
    assert (found["events"], [row["path"] for row in found["unread"]]) == (1, ["ticket.new"])
    assert small.json("drift", "--limit", "0")["events"] == 2


def test_events_that_cannot_be_read_are_counted(small: Any) -> None:
    small.receive({"object": "ticket", "action": "update", "ticket": {"addition_fields": "odd"}})
    found = small.json("drift")
    assert (found["events"], found["unreadable"]) == (0, 1)


def test_suggestions_are_added_as_comments_that_change_nothing(
    small: Any, ticket: Any, custom: Any
) -> None:
    fields = [custom("addition_field9", "x", "Mới", 3)]
    small.receive(ticket(1, sla="x", ticket_status="odd", addition_fields=fields, assignee_id=5))
    own = small.mappings / "own.yaml"
    before = own.read_text(encoding="utf-8")
    small.run("drift", "--write", "mappings/own.yaml")
    after = own.read_text(encoding="utf-8")
    added = after.removeprefix(before).splitlines()
    assert all(line.startswith("#") or not line for line in added)
    assert "#   sla: ticket.sla" in added
    assert "#   moi: custom(ticket.addition_fields, 'addition_field9')" in added
    assert "#   odd: ODD" in added
    assert "#   owner: id(ticket.assignee_id)" in added
    assert not any("level" in line for line in added)
    assert load_text(after, "x")[0].data == load_text(before, "x")[0].data
    small.run("mappings", "check")


def test_suggestions_may_go_to_a_new_file_but_not_into_the_set(small: Any, ticket: Any) -> None:
    small.receive(ticket(1, sla="x"))
    small.run("drift", "--write", "todo.yaml")
    lines = (small.folder / "todo.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# --- drift of ")
    assert "#   sla: ticket.sla" in lines
    result = small.run("drift", "--write", "mappings/todo.yaml", code=2)
    assert "nothing but comments would break the set" in result.stderr
    assert not (small.mappings / "todo.yaml").exists()


def test_nothing_is_written_where_nothing_is_found(small: Any) -> None:
    own = small.mappings / "own.yaml"
    small.run("drift", "--write", "mappings/own.yaml")
    assert own.read_text(encoding="utf-8") == RULES


def test_people_see_a_table_for_each_sort(
    small: Any, ticket: Any, custom: Callable[..., Any]
) -> None:
    small.receive(ticket(1, sla="x", ticket_status="odd"))
    printed = small.run("drift").stdout
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert lines[0].startswith("1 event since ")
    assert 'ticket.sla 1 "x"' in lines
    assert "tickets.status odd 1 0 mappings/own.yaml:11:9" in lines
    assert "new custom fields: none" in lines
    start = lines.index("lines to consider:")
    assert lines[start + 1 :] == [
        "sla: ticket.sla",
        "below mappings/own.yaml:14:7",
        "odd: ODD",
        "in `values:` at mappings/own.yaml:11:9",
    ]


def test_a_broken_folder_cannot_be_judged(small: Any) -> None:
    small.write("source: [", "broken.yaml")
    assert "broken.yaml:1" in small.run("drift", code=2).stderr


def test_every_sample_leaves_the_shipped_set_little_to_read(desk: Any) -> None:
    desk.receive_samples()
    found = desk.json("drift")
    assert found["events"] == 41
    assert len(found["unread"]) < 12
    assert all(row["path"] is not None for row in found["unread"])
    assert found["uncovered_values"] == []
