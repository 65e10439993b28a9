"""`connector mappings check`: what it prints, in each of its forms, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

GOOD = """\
source: caresoft
events: [ticket.update]
records: [{resource: tickets, id: ticket.ticket_id, fields: {number: ticket.ticket_no}}]
"""
DOUBTFUL = GOOD.replace("ticket.ticket_no", "tiket.ticket_no")
WRONG = GOOD.replace("resource:", "resorce:")


def test_good_files_end_with_0(empty_desk: Any) -> None:
    empty_desk.write(GOOD)
    assert empty_desk.run("mappings", "check").stdout == "0 errors, 0 warnings\n"


def test_the_shipped_set_is_beyond_doubt(desk: Any) -> None:
    desk.run("mappings", "check", "--strict")


def test_errors_end_with_1_and_show_the_line_with_a_caret(empty_desk: Any) -> None:
    empty_desk.write(WRONG)
    result = empty_desk.run("mappings", "check", code=1)
    assert result.stdout == "1 error, 0 warnings\n"
    assert result.stderr == (
        "error: mappings/own.yaml:3:12: unknown key 'resorce' (did you mean 'resource'?)\n"
        "    3 | records: [{resorce: tickets, id: ticket.ticket_id, "
        "fields: {number: ticket.ticket_no}}]\n"
        "      |            ^\n"
    )


def test_warnings_end_with_0_and_strictly_with_1(empty_desk: Any) -> None:
    empty_desk.write(DOUBTFUL)
    assert "0 errors, 1 warning" in empty_desk.run("mappings", "check").stdout
    empty_desk.run("mappings", "check", "--strict", code=1)


def test_a_bad_letter_is_shown_in_its_line(empty_desk: Any) -> None:
    path = empty_desk.write(GOOD)
    path.write_bytes(GOOD.encode() + b"# caf\xe9\n")
    result = empty_desk.run("mappings", "check", code=1)
    assert "own.yaml:4:6: byte 0xE9 is no UTF-8 text (save the file as UTF-8)" in result.stderr
    assert "4 | # caf\ufffd\n" in result.stderr


def test_json_has_the_keys_of_the_documentation(empty_desk: Any) -> None:
    empty_desk.write(WRONG, "a.yaml")
    empty_desk.write(DOUBTFUL, "b.yaml")
    found = empty_desk.json("mappings", "check", code=1)
    assert found == {
        "errors": [
            {
                "message": "unknown key 'resorce'",
                "hint": "did you mean 'resource'?",
                "file": "mappings/a.yaml",
                "line": 3,
                "column": 12,
            }
        ],
        "warnings": [
            {
                "message": "no caresoft event of ticket.update has `tiket` in `tiket.ticket_no`",
                "hint": "did you mean `ticket`?",
                "file": "mappings/b.yaml",
                "line": 3,
                "column": DOUBTFUL.splitlines()[2].index("tiket") + 1,
            }
        ],
    }
    assert empty_desk.run("mappings", "check", "--format", "json", code=1).stdout.startswith("{")


def test_github_form_is_one_annotation_a_line(empty_desk: Any) -> None:
    empty_desk.write(WRONG, "a,b.yaml")
    empty_desk.write(DOUBTFUL.replace("tickets,", '"50%",'), "c.yaml")
    lines = empty_desk.run("mappings", "check", "--format", "github", code=1).stdout.splitlines()
    assert lines == [
        "::error file=mappings/a%2Cb.yaml,line=3,col=12::"
        "unknown key 'resorce' (did you mean 'resource'?)",
        "::warning file=mappings/c.yaml,line=3,col=68::no caresoft event of ticket.update has "
        "`tiket` in `tiket.ticket_no` (did you mean `ticket`?)",
    ]


@pytest.mark.parametrize("raw", ["100% sure", "two\nlines"])
def test_github_messages_are_escaped(empty_desk: Any, raw: str) -> None:
    text = raw.replace("\n", "\\n")
    empty_desk.write(f'source: "{text}"\nevents: [a.b]\nrecords: []\n')
    (first, *_) = empty_desk.run(
        "mappings", "check", "--format", "github", code=1
    ).stdout.splitlines()
    assert first.startswith("::error file=mappings/own.yaml,line=1,col=10::there is no source")
    assert ("100%25 sure" in first) == ("%" in raw)


def test_of_a_file_only_its_own_problems_count(empty_desk: Any) -> None:
    empty_desk.write(GOOD, "good.yaml")
    empty_desk.write(WRONG, "wrong.yaml")
    empty_desk.run("mappings", "check", "mappings/good.yaml")
    empty_desk.run("mappings", "check", "mappings/wrong.yaml", code=1)


def test_a_broken_configuration_is_no_judgement(empty_desk: Any) -> None:
    empty_desk.write(GOOD)
    (empty_desk.folder / "config.yaml").write_text("sources: 5\n")
    empty_desk.run("mappings", "check", code=2)


def test_a_name_that_nobody_documents_is_no_doubt_once_it_really_came(
    desk: Any, ticket: Any
) -> None:
    desk.write(GOOD.replace("ticket.ticket_no", "ticket.sla").replace("tickets", "others"))
    assert "has `ticket.sla`" in desk.run("mappings", "check", "--strict", code=1).stderr
    desk.receive(ticket(1, sla="gold"))
    desk.run("mappings", "check", "--strict")


def test_a_redis_that_is_away_leaves_the_doubt(empty_desk: Any) -> None:
    empty_desk.configure("redis://127.0.0.1:1/0")
    empty_desk.write(DOUBTFUL)
    assert "0 errors, 1 warning" in empty_desk.run("mappings", "check").stdout
