"""`connector mappings fields`: what a kind offers, what came, and what is mapped."""

from __future__ import annotations

from typing import Any


def by_path(found: Any) -> dict[str, Any]:
    return {row["path"]: row for row in found["fields"]}


def test_a_path_says_where_it_is_mapped(desk: Any) -> None:
    rows = by_path(desk.json("mappings", "fields", "ticket.update"))
    assert rows["ticket.ticket_status"]["mapped"] == ["tickets.status"]
    assert rows["ticket.ticket_status"]["values"] == ["new", "open", "pending", "solved", "closed"]
    assert "tickets (id)" in rows["ticket.ticket_id"]["mapped"]
    assert rows["ticket.addition_fields[].value"]["mapped"] == [
        "tickets.category",
        "tickets.category_id",
        "tickets.custom_fields",
        "tickets.remark",
    ]
    assert rows["ticket.ticket_comment.addition_details"]["mapped"] == []
    assert rows["ticket.ticket_no"] == {
        "path": "ticket.ticket_no",
        "types": ["integer"],
        "example": 5,
        "meaning": "The number people use for it",
        "values": [],
        "mapped": ["tickets.number"],
        "mapped_at": [
            {"to": "tickets.number", "file": "mappings/tickets.yaml", "line": 18, "column": 7}
        ],
    }


def test_part_of_a_name_is_not_the_name(desk: Any, empty_desk: Any) -> None:
    empty_desk.write(
        """\
        source: caresoft
        events: [ticket.update]
        records: [{resource: own, id: ticket.ticket_no, fields: {x: ticket.ticket_source}}]
        """,
        "aa.yaml",
    )
    rows = by_path(desk.json("mappings", "fields", "ticket.update"))
    assert "own.x" in rows["ticket.ticket_source"]["mapped"]
    assert "own.x" not in rows["ticket.ticket_source_end_status"]["mapped"]


def test_an_unknown_kind_is_told_with_the_nearest(empty_desk: Any) -> None:
    empty_desk.use_shipped_mappings()
    result = empty_desk.run("mappings", "fields", "ticket.updated", code=2)
    assert "did you mean 'ticket.update'?" in result.stderr


def test_the_journal_shows_what_really_came(desk: Any, ticket: Any) -> None:
    desk.receive(ticket(1, ticket_subject="Chị Lan 0912345678", sla={"due": 5}, ticket_no="77"))
    desk.receive(ticket(2, sla={"due": None}))
    desk.receive({"object": "ticket", "action": "create", "ticket": {"ticket_id": 1, "new": 1}})
    found = desk.json("mappings", "fields", "ticket.update", "--from-journal")
    assert found["events"] == 2
    rows = by_path(found)
    assert rows["ticket.sla.due"] == {
        "path": "ticket.sla.due",
        "types": [],
        "example": None,
        "meaning": "not documented",
        "values": [],
        "mapped": [],
        "mapped_at": [],
        "documented": False,
        "seen": {"events": 2, "filled": 1, "types": ["integer", "null"], "example": 5},
    }
    assert rows["ticket.ticket_no"]["seen"]["types"] == ["string"]
    assert rows["ticket.ticket_no"]["documented"] is True
    assert rows["ticket.ticket_status"]["seen"] is None
    assert "ticket.new" not in rows
    subject = rows["ticket.ticket_subject"]["seen"]["example"]
    assert "Lan" not in subject
    assert "0912345678" not in subject


def test_a_kind_that_only_the_journal_knows_is_shown(desk: Any) -> None:
    desk.run("mappings", "fields", "lead.merge", code=2)
    desk.receive({"object": "lead", "action": "merge", "lead": {"lead_id": 5}})
    rows = by_path(desk.json("mappings", "fields", "lead.merge", "--from-journal"))
    assert rows["lead.lead_id"]["seen"]["events"] == 1


def test_one_object_under_two_names_is_told_once(desk: Any) -> None:
    desk.receive_samples("mobio/note.create.json")
    rows = by_path(desk.json("mappings", "fields", "note_create", "--from-journal"))
    assert rows["note.description"]["seen"]["events"] == 1
    assert not any(path.startswith("fields.") for path in rows)


def test_people_see_how_many_events_had_a_path(desk: Any, ticket: Any) -> None:
    desk.receive(ticket(1, odd="x"))
    shown = desk.run("mappings", "fields", "ticket.update", "--from-journal").stdout
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == "1 kept event of ticket.update"
    assert 'ticket.odd 1 string "x" not documented' in lines


def test_without_a_configuration_there_is_no_journal(empty_desk: Any) -> None:
    empty_desk.use_shipped_mappings()
    result = empty_desk.run("mappings", "fields", "ticket.update", "--from-journal", code=2)
    assert "no config.yaml says which Redis" in result.stderr
