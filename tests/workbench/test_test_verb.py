"""`connector mappings test`: differences that can be read, and what no test shows."""

from __future__ import annotations

from typing import Any

import pytest

RULES = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    fields:
      subject: ticket.ticket_subject
      number: ticket.ticket_no
  - {resource: calls, id: call_info.call_id, when: call_info, fields: {}}
tests:
  - name: the subject
    event: {object: ticket, action: update, ticket: {ticket_id: 7, ticket_subject: Hello}}
    expect: [EXPECT]
"""


@pytest.fixture
def shown(empty_desk: Any) -> Any:
    """What is printed for one expectation, blanks folded."""

    def shown(expect: str, *options: str, code: int = 1) -> list[str]:
        empty_desk.write(RULES.replace("EXPECT", expect))
        result = empty_desk.run("mappings", "test", *options, code=code)
        return [" ".join(line.split()) for line in (result.stdout + result.stderr).splitlines()]

    return shown


def test_a_passing_test_ends_with_0(shown: Any) -> None:
    lines = shown("{id: 7, fields: {subject: Hello}}", code=0)
    assert lines == ["ok mappings/own.yaml: the subject", "1 of 1 test passed"]


def test_a_difference_is_a_line_with_both_values(shown: Any) -> None:
    lines = shown("{id: 7, fields: {subject: Hallo, number: 5, subjekt: Hello}}")
    assert "failed mappings/own.yaml:11:5: the subject" in lines
    assert "change 1: upsert tickets 7" in lines
    assert 'fields.subject "Hallo" "Hello"' in lines
    assert "fields.number 5 nothing left alone: `ticket.ticket_no` gives null" in lines
    assert "fields.subjekt \"Hello\" nothing did you mean 'subject'?" in lines
    assert "0 of 1 test passed" in lines


def test_long_texts_are_shown_where_they_begin_to_differ(shown: Any, empty_desk: Any) -> None:
    long = "word " * 30
    text = RULES.replace("EXPECT", "{fields: {subject: '" + long + "here'}}")
    empty_desk.write(text.replace("Hello", f"'{long}there'"))
    printed = empty_desk.run("mappings", "test", code=1).stdout
    (line,) = [line for line in printed.splitlines() if "fields.subject" in line]
    assert 'word here"' in line
    assert 'word there"' in line
    assert line.count("…") == 2
    assert len(line) < 160


def test_changes_too_many_and_too_few_are_named(shown: Any) -> None:
    lines = shown("{resource: deals, id: 5}, {resource: tickets}")
    assert "2 changes expected, 1 made" in lines
    assert "never made: deals 5, expected in line 13" in lines
    lines = shown("")
    assert "0 changes expected, 1 made" in lines
    assert "change 1: upsert tickets 7, which nothing expects" in lines


def test_coverage_names_what_no_test_touches(shown: Any) -> None:
    lines = shown("{id: 7}", "--coverage", code=0)
    assert "no test makes this record calls mappings/own.yaml:9:5" in lines
    assert "no test gives it a value tickets.number mappings/own.yaml:8:7" in lines
    assert "no test says what it should be tickets.subject mappings/own.yaml:7:7" in lines
    assert "tests make 1 of 2 rules write a record and check 0 of 2 fields" in lines


def test_json_has_differences_and_coverage(empty_desk: Any) -> None:
    empty_desk.write(RULES.replace("EXPECT", "{fields: {subject: Hallo}}"))
    found = empty_desk.json("mappings", "test", code=1)
    (test,) = found["tests"]
    assert (test["name"], test["passed"], test["line"]) == ("the subject", False, 11)
    assert test["differences"] == [
        {
            "change": 1,
            "what": "fields.subject",
            "expected": "Hallo",
            "found": "Hello",
            "absent": False,
            "hint": None,
            "file": "mappings/own.yaml",
            "line": 13,
            "column": 14,
        }
    ]
    place = {"file": "mappings/own.yaml", "column": 7}
    assert found["coverage"] == {
        "rules": {
            "total": 2,
            "touched": 1,
            "untouched": [
                {"resource": "calls", "file": "mappings/own.yaml", "line": 9, "column": 5}
            ],
        },
        "fields": {
            "total": 2,
            "touched": 1,
            "untouched": [{"resource": "tickets", "field": "number", "line": 8, **place}],
            "unchecked": [],
        },
    }


def test_of_a_file_only_its_own_tests_and_rules_count(empty_desk: Any) -> None:
    empty_desk.write(RULES.replace("EXPECT", "{id: 7}"), "a.yaml")
    other = "source: caresoft\nevents: [user.create]\nrecords:\n  - {resource: u, id: user.id, "
    empty_desk.write(f"{other}fields: {{}}}}\n", "b.yaml")
    found = empty_desk.json("mappings", "test", "mappings/b.yaml")
    assert found["tests"] == []
    assert found["coverage"]["rules"]["total"] == 1
    assert len(empty_desk.json("mappings", "test")["tests"]) == 1


def test_the_shipped_tests_make_every_rule_write_a_record(desk: Any) -> None:
    coverage = desk.json("mappings", "test")["coverage"]
    assert coverage["rules"]["untouched"] == []
    assert coverage["fields"]["unchecked"] == []
    assert len(coverage["fields"]["untouched"]) <= 8
