"""Files as people break them: each mistake is told at its place, with what would be right.

Each case is a whole file, the places where something is to be told, and words of what is said
there. Nothing else may be told: one mistake is one message.
"""

from __future__ import annotations

from typing import Any

import pytest

HEAD = """\
source: caresoft
events: [ticket.create]
records:
  - resource: tickets
    id: ticket.ticket_id
"""
SUBJECT = "    fields: {subject: ticket.ticket_subject}\n"

Said = tuple[int, int, str]  # line, column, words of message and hint


def _field(text: str) -> str:
    """A good file but for its one field, whose text begins in line 7, column 10."""
    return f"{HEAD}    fields:\n      s: {text}\n"


YAML: dict[str, tuple[str | bytes, list[Said]]] = {
    "tabs": (
        "source: caresoft\nrecords:\n\t- resource: a\n\t  id: b\n",
        [(3, 1, "a tab in the indentation (indent with spaces; also in line 4)")],
    ),
    "duplicate key": (
        f"{HEAD}    fields:\n      a: ticket.ticket_no\n      a: ticket.ticket_id\n",
        [(8, 7, "duplicate key 'a' (it stands in line 7, column 7 already")],
    ),
    "aliases that explode": (
        "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join(['*' + a] * 10)}]\n" for a, b in ("ab", "bc", "cd", "de")),
        [(5, 29, "with *d the aliases of this file expand to too much")],
    ),
    "tag": (_field("!!str ticket.ticket_no"), [(7, 10, "the tag '!!str' (tags are not used")]),
    "merge key": (f"<<: {{a: b}}\n{HEAD}{SUBJECT}", [(1, 1, "the merge key <<")]),
    "Latin-1": (
        f"{HEAD}{SUBJECT}# M\xe9i\n".encode("latin-1"),
        [(7, 4, "byte 0xE9 is no UTF-8 text (save the file as UTF-8)")],
    ),
    "UTF-16": (HEAD.encode("utf-16"), [(1, 1, "the file is UTF-16 (save it as UTF-8)")]),
    "empty": ("", [(1, 1, "the file is empty")]),
    "only comments": ("# soon\n", [(1, 1, "the file is empty")]),
    "bell": (f"{HEAD}{SUBJECT}# \x07", [(7, 3, "the character U+0007 cannot stand in")]),
    "two colons": (
        _field("Note: ticket.ticket_no"),
        [(7, 14, "a second ': ' in one line (put the value in quotes")],
    ),
    "no space after a colon": (
        f"{HEAD}    fields:\n      a:ticket.ticket_no\n      b: ticket.ticket_id\n",
        [(7, 9, "no space after the colon (write `key: value`")],
    ),
    "a space that is none": (
        HEAD.replace("id: ", "id:\u00a0") + SUBJECT,
        [(5, 8, "the character U+00A0 looks like a space and is none")],
    ),
    "open bracket": (
        "source: caresoft\nevents: [ticket.create\nrecords: []\n",
        [(2, 9, "the [ that opens here is never closed (add the ])")],
    ),
    "open quote": (_field("'ticket.ticket_no"), [(7, 10, "the quote that opens here is never")]),
    "indentation": (
        HEAD.replace("    id", "   id") + SUBJECT,
        [(5, 4, "the indentation fits nothing above")],
    ),
    "deeper without reason": (
        f"{HEAD}    fields:\n      a: ticket.ticket_no\n        b: ticket.ticket_id\n",
        [(8, 9, "this line is indented deeper than the one above")],
    ),
    "@": (_field("@.ticket"), [(7, 10, 'text cannot begin with @ (put it in quotes: "@.ticket")')]),
    "alias of nothing": (_field("*ticket"), [(7, 10, "*ticket refers to nothing")]),
    "a list": ("- source: caresoft\n", [(1, 1, "(it takes a map, with the keys source, events")]),
    "a text": ("hello\n", [(1, 1, 'the document is the text "hello" (it takes a map')]),
}

KEYS: dict[str, tuple[str | bytes, list[Said]]] = {
    "misspelt keys": (
        f"{HEAD}    feilds: {{}}\n".replace("events:", "event:").replace("    id:", "    Id:"),
        [
            (2, 1, "unknown key 'event' (did you mean 'events'?)"),
            (5, 5, "unknown key 'Id' (did you mean 'id'?)"),
            (6, 5, "unknown key 'feilds' (did you mean 'fields'?)"),
        ],
    ),
    "missing keys": (
        "source: caresoft\nevents: [ticket.create]\nrecords:\n  - resource: tickets\n",
        [(4, 5, "the key 'id' is missing"), (4, 5, "the key 'fields' is missing")],
    ),
    "wrong types": (
        "source: [caresoft]\nevents: ticket.create\nrecords:\n  resource: tickets\n",
        [
            (1, 9, "'source' is the list"),
            (2, 9, "(it takes a list: [ticket.create])"),
            (4, 3, "(it takes a list: begin each of its entries with `- `)"),
        ],
    ),
    "no expression": (
        f"{HEAD}    version:\n    when: 1\n    each: []\n{SUBJECT}",
        [
            (6, 13, "'version' has no value"),
            (7, 11, "'when' is the number 1"),
            (8, 11, "'each' is the list []"),
        ],
    ),
    "fields with dashes": (
        f"{HEAD}    fields:\n    - a: ticket.ticket_no\n",
        [(7, 5, "take away the `- ` before the names")],
    ),
    "fields not indented": (
        f"{HEAD}    fields:\n    subject: ticket.ticket_subject\n",
        [(6, 12, "indent the names of the fields deeper"), (7, 5, "unknown key 'subject'")],
    ),
    "value for values": (
        _field("{from: ticket.ticket_status, value: {new: NEW}}"),
        [(7, 39, "'value' beside 'from' (did you mean 'values'?)")],
    ),
    "otherwise": (
        _field("{from: ticket.ticket_no, values: {a: b}, otherwise: OTHER}"),
        [(7, 62, "for a constant, {value: OTHER}")],
    ),
    "policy": (
        _field("{from: ticket.ticket_no, write: unles_edited}"),
        [(7, 42, "'write' cannot be 'unles_edited' (did you mean 'unless_edited'?)")],
    ),
    "source and target": (
        HEAD.replace("caresoft", "caresfot\ntarget: crmm") + SUBJECT,
        [
            (1, 9, "there is no source 'caresfot' (did you mean 'caresoft'?)"),
            (2, 9, "there is no target 'crmm' (did you mean 'crm'?)"),
        ],
    ),
    "yes": (f"{HEAD}    final: yes\n{SUBJECT}", [(6, 12, "(it takes true or false)")]),
    "delete with fields": (
        f"{HEAD}    action: delete\n{SUBJECT}",
        [(7, 5, "a delete with fields")],
    ),
    "a constant list": (_field("[a, b]"), [(7, 10, "a constant list is {value: […]}")]),
}

EXPRESSIONS: dict[str, tuple[str, int, str]] = {
    "one =": ("ticket.ticket_no = 'a'", 18, "unexpected '='|equal is written =="),
    "or": ("ticket.ticket_no or ticket.ticket_id", 18, "or is written ||"),
    "and": ("ticket.ticket_no and ticket.ticket_id", 18, "and is written &&"),
    "not": ("not ticket.ticket_no", 5, "not is written !"),
    "if": ("\"'a' if ticket.ticket_no else 'b'\"", 6, "JMESPath has no if"),
    "in": ("ticket.ticket_no in ['a']", 18, "contains(list, x)"),
    "typographic quotes": ("ticket.ticket_no == \u2018a\u2019", 21, "this is a typographic quote"),
    "bare number": ("default(ticket.ticket_no, 0)", 27, "a number is written between backticks"),
    "element": ("ticket.tags.0", 13, "an element of a list is written [0]"),
    "open bracket": (
        "timestamp(ticket.created_at",
        28,
        "the expression ends too early|the ( of `timestamp(` is never closed",
    ),
    "bracket too many": ("ticket.ticket_no)", 17, "unexpected ')'|one too many"),
    "double braces": ("'{{ ticket.ticket_no }}'", 3, "stands bare, without {{ }}"),
    "dollar braces": ("'${ticket.ticket_no}'", 2, "stands bare, without ${ }"),
    "dollar": ("$.ticket.ticket_no", 1, "a path begins without it"),
    "minus": ("ticket.ticket-no", 14, 'a name with - in it is written in double quotes: "a-b"'),
    "letters": ("ticket.tên", 9, "a name with other letters"),
    "unknown function": (
        "timestmap(ticket.created_at)",
        1,
        "there is no function timestmap()|did you mean 'timestamp'?",
    ),
    "function elsewhere": ("int(ticket.ticket_id)", 1, "did you mean 'integer'?"),
    "arity": (
        "lower(ticket.ticket_no, 'a')",
        1,
        "is given 2 arguments|it takes 1 argument: lower(",
    ),
    "table": ("lookup('teams', ticket.ticket_no)", 1, "the name of a table in tables/"),
    "zone": (
        "timestamp(ticket.created_at, '%Y', 'Asia/Saigonn')",
        1,
        "did you mean 'Asia/Saigon'?",
    ),
}

SETS: dict[str, tuple[str, list[Said]]] = {
    "reference to nothing": (
        _field("{ref: ticket, id: ticket.ticket_id}"),
        [(7, 16, "a reference to 'ticket', which nothing creates"), (7, 16, "mean 'tickets'?")],
    ),
    "two rules": (
        f"{HEAD}{SUBJECT}  - resource: tickets\n    id: ticket.ticket_id\n{SUBJECT}",
        [(9, 14, "is written by two rules (the other stands at mappings/own.yaml:6:14")],
    ),
    "creates itself": (
        _field("{ref: tickets, id: ticket.ticket_id, missing: create}"),
        [(7, 16, "refers to itself with `missing: create`")],
    ),
}

WARNINGS: dict[str, tuple[str, list[Said]]] = {
    "kind": (
        HEAD.replace("ticket.create", "ticket.creat") + SUBJECT,
        [(2, 10, "does not document 'ticket.creat' (did you mean 'ticket.create'?)")],
    ),
    "pattern": (
        HEAD.replace("ticket.create", "tickets.*") + SUBJECT,
        [(2, 10, "does not document 'tickets.*' (did you mean 'ticket.*'?)")],
    ),
    "custom field as a key": (
        _field("ticket.addition_fields.addition_field2"),
        [(7, 33, "or `custom(ticket.addition_fields, 'addition_field2')` for a custom field")],
    ),
    "bare word": (
        f"{HEAD}    when: ticket.ticket_status == new\n{SUBJECT}",
        [(6, 35, "a text is written 'new'")],
    ),
    "source field": (
        _field("ticket.ticket_subjet"),
        [(7, 17, "(did you mean `ticket.ticket_subject`?)")],
    ),
    "words": (
        _field("{from: ticket.ticket_status, values: {new: NEW, opened: OPEN}}"),
        [
            (7, 39, "may give open, pending, solved or closed"),
            (7, 58, "never gives 'opened' (did you mean 'open'?)"),
        ],
    ),
    "id that can be null": (
        HEAD.replace("ticket.create]", "ticket.create, user.create]") + SUBJECT,
        [(5, 9, "the id `ticket.ticket_id` can be null: user.create events have no")],
    ),
    "name for a text": (
        _field("custom(ticket.addition_fields, addition_field2)"),
        [(7, 41, "is the name of a field (a text is written 'addition_field2')")],
    ),
    "double quotes": (
        _field('custom(ticket.addition_fields, "addition_field2")'),
        [(7, 41, "is the name of a field (a text is written 'addition_field2')")],
    ),
    "bare true": (
        f"{HEAD}    when: ticket.ticket_no == true\n{SUBJECT}",
        [(6, 31, "is the name of a field (a constant is written between backticks: `true`)")],
    ),
    "pipe as elsewhere": (
        _field("ticket.ticket_no | upper"),
        [(7, 29, "a function takes its value in brackets: upper(…)")],
    ),
}


def _told(desk: Any, text: str | bytes, word: str) -> list[Said]:
    """What `mappings check` says of one file."""
    path = desk.mappings / "own.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    found = desk.json("mappings", "check", "--strict", code=1)
    return [(p["line"], p["column"], f"{p['message']} ({p['hint']})") for p in found[word]]


def _assert_all_said(found: list[Said], wanted: list[Said]) -> None:
    for line, column, words in wanted:
        said = " | ".join(text for *at, text in found if at == [line, column])
        assert words in said, found
    places = {tuple(at) for *at, _ in wanted}
    assert {(line, column) for line, column, _ in found} == places, found


@pytest.mark.parametrize("name", [*YAML, *KEYS])
def test_a_broken_file_is_told_at_its_place(empty_desk: Any, name: str) -> None:
    text, wanted = {**YAML, **KEYS}[name]
    _assert_all_said(_told(empty_desk, text, "errors"), wanted)


@pytest.mark.parametrize("name", SETS)
def test_a_set_that_does_not_fit_together_is_told_at_its_place(empty_desk: Any, name: str) -> None:
    text, wanted = SETS[name]
    _assert_all_said(_told(empty_desk, text, "errors"), wanted)


@pytest.mark.parametrize("name", WARNINGS)
def test_a_doubt_is_told_at_its_place(empty_desk: Any, name: str) -> None:
    text, wanted = WARNINGS[name]
    _assert_all_said(_told(empty_desk, text, "warnings"), wanted)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_broken_expression_is_told_at_its_character(empty_desk: Any, name: str) -> None:
    expression, column, words = EXPRESSIONS[name]
    (found,) = _told(empty_desk, _field(expression), "errors")
    assert found[:2] == (7, 9 + column), found
    assert all(part in found[2] for part in words.split("|")), found


def test_one_fault_hides_no_other(empty_desk: Any) -> None:
    """In one file: a syntax error in one document, faults and doubts in the others."""
    text = f"""\
{HEAD.replace("id: ticket", "id: tiket")}\
    when: ticket.ticket_source = 'x'
    fields:
      a: uper(ticket.ticket_no)
      b: ticket.ticket_subjet
      b: ticket.ticket_subject
      c: {{ref: tickets, id: ticket.ticket_id, missing: create}}
---
source: caresoft
events: [ticket.update]
records:
\t- a
---
source: caresoft
events: [ticket.update]
records: [{{resource: tickets, id: ticket.nope, fields: {{s: ticket.ticket_nop}}}}]
"""
    errors = _told(empty_desk, text, "errors")
    warnings = _told(empty_desk, text, "warnings")
    assert [line for line, _, _ in errors] == [6, 8, 10, 16]
    assert [line for line, _, _ in warnings] == [5, 9, 20, 20]


def test_a_faulty_condition_does_not_look_like_none(empty_desk: Any) -> None:
    """A slip in the `when` that tells two records apart makes no double write of them."""
    first = f"{HEAD}    when: ticket.ticket_no = 'a'\n{SUBJECT}"
    text = f"{first}  - resource: tickets\n    id: ticket.ticket_id\n{SUBJECT}"
    assert [line for line, _, _ in _told(empty_desk, text, "errors")] == [6]
