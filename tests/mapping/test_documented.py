"""Doubts that only the vendor's documentation shows: names, words, ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from connector.mapping.load import Surroundings, judge
from connector.model import Json, Problem

KINDS = {"caresoft": ("ticket.create", "ticket.update", "ticket.merge", "call.end")}


@dataclass(frozen=True)
class Entry:
    """A path of the catalogue, as `sources.catalogue` has it."""

    path: str
    types: tuple[str, ...] = ("string",)
    example: Json = None
    open: bool = False
    also: str = ""
    values: tuple[Json, ...] = ()
    more: bool = False
    any_case: bool = False
    absent: tuple[str, ...] = ()
    kinds: tuple[str, ...] = field(default=("ticket.create", "ticket.update"))


CATALOGUE = (
    Entry("ticket", ("object",), also="addition_field[0-9]+"),
    Entry("ticket.ticket_id", ("integer",), 7),
    Entry("ticket.status", values=("new", "open")),
    Entry("ticket.priority", values=("Low", "High"), any_case=True),
    Entry("ticket.channel", values=("Web", "Voice Out"), more=True),
    Entry("ticket.flag", ("integer",), values=(0, 1)),
    Entry("ticket.subject"),
    Entry("ticket.comment", ("object",)),
    Entry("ticket.comment.body", absent=("ticket.update",)),
    Entry("ticket.comment.at", ("integer",), 1_684_384_652_133, absent=("ticket.update",)),
    Entry("ticket.fields", ("array",)),
    Entry("ticket.fields[]", ("object",)),
    Entry("ticket.fields[].code"),
    Entry("ticket.blob", ("object",)),
    Entry("updated", ("object",), open=True),
    Entry("merge", ("object",), kinds=("ticket.merge",)),
    Entry("merge.others", ("array", "integer"), kinds=("ticket.merge",)),
    Entry("merge.others[]", ("integer",), kinds=("ticket.merge",)),
    Entry("call", ("object",), kinds=("call.end",)),
    Entry("call.seconds", ("integer",), kinds=("call.end",)),
)


def offered(vendor: str, kind: str) -> Sequence[Entry]:
    return [entry for entry in CATALOGUE if kind in entry.kinds]


Doubts = Callable[..., list[Problem]]


@pytest.fixture
def doubts(tmp_path: Any, sources: Any, zone: Any) -> Doubts:
    """The warnings about records (YAML in braces) for some kinds of events."""

    def doubts(
        *records: str, events: str = "[ticket.update]", source: str = "caresoft"
    ) -> list[Problem]:
        listed = "".join(f"  - {record}\n" for record in records)
        text = f"source: {source}\nevents: {events}\nrecords:\n{listed}"
        (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
        judged = judge(tmp_path, Surroundings(sources, ["crm"], zone, KINDS, offered))
        assert judged.errors == ()
        return list(judged.warnings)

    return doubts


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, "\n".join(map(str, problems))
    return problems[0]


def of_field(expression: str) -> str:
    quoted = expression.replace('"', '\\"')
    return f'{{resource: t, id: ticket.ticket_id, fields: {{x: "{quoted}"}}}}'


# --- names


@pytest.mark.parametrize(
    ("expression", "path", "hint", "offset"),
    [
        ("tiket.subject", "tiket", "did you mean `ticket`?", 0),
        ("ticket.subjct", "ticket.subjct", "did you mean `ticket.subject`?", 7),
        ("upper(ticket.subjct)", "ticket.subjct", "did you mean `ticket.subject`?", 13),
        ("ticket.body", "ticket.body", "did you mean `ticket.comment.body`?", 7),
        ("ticket.coment.body", "ticket.coment", "did you mean `ticket.comment`?", 7),
        ("call.seconds", "call", "only call.end events have it", 0),
        ("ticket.subject.x", "ticket.subject.x", "is a text, with nothing in it", 15),
        ("ticket.fields.code", "ticket.fields.code", "is a list: `ticket.fields[0].code`", 14),
        ("ticket.fields[?code=='a'].cod", "ticket.fields[].cod", "`ticket.fields[].code`", 26),
        ("map(&cod, ticket.fields)", "ticket.fields[].cod", "`ticket.fields[].code`", 5),
        ("ticket.zzzzzz", "ticket.zzzzzz", "mappings fields ticket.update` lists", 7),
        ("ticket.subject || tiket.x", "tiket", "did you mean `ticket`?", 18),
    ],
)
def test_a_name_that_no_event_has_is_a_doubt(
    doubts: Doubts, expression: str, path: str, hint: str, offset: int
) -> None:
    doubt = only(doubts(of_field(expression)))
    assert f"no caresoft event of ticket.update has `{path}`" in doubt.message
    assert hint in doubt.hint
    start = of_field("").index('""') + len("  - ") + 2
    assert doubt.place is not None
    assert (doubt.place.line, doubt.place.column) == (4, start + offset)


@pytest.mark.parametrize(
    "expression",
    [
        "ticket.subject",
        "ticket.addition_field99",
        "ticket.blob.anything",
        "updated.anything.below",
        "custom(ticket.fields, 'addition_field1')",
        "ticket.fields[0].code",
        "ticket.fields[*].code | [0]",
        "ticket.comment.{a: body}.a",
        "to_array(ticket.subject)[0]",
        "keys(ticket)[0]",
        "ticket.*.whatever",
        "@",
    ],
)
def test_what_is_documented_or_cannot_be_known_is_no_doubt(doubts: Doubts, expression: str) -> None:
    assert doubts(of_field(expression)) == []


def test_a_name_is_good_when_any_kind_of_the_block_has_it(doubts: Doubts) -> None:
    record = "{resource: t, id: \"'1'\", fields: {a: merge.others, b: ticket.subject}}"
    assert doubts(record, events="[ticket.update, ticket.merge]") == []
    assert doubts(record, events="['ticket.*']") == []
    assert len(doubts(record, events="[ticket.update]")) == 1


def test_a_block_with_a_kind_that_nobody_documents_is_not_judged(doubts: Doubts) -> None:
    record = of_field("tiket.subject")
    assert "does not document" in only(doubts(record, events="[ticket.update, lead.merge]")).message
    assert doubts(record, events="[note_create]", source="mobio") == []


def test_a_configured_source_is_judged_by_its_vendor(doubts: Doubts) -> None:
    assert "`tiket`" in only(doubts(of_field("tiket.subject"), source="branch")).message


def test_every_expression_of_a_record_is_judged(doubts: Doubts) -> None:
    record = (
        "{resource: t, each: merge.other, id: item, version: ticket.update_at, when: tiket.x, "
        "fields: {r: {ref: t, id: ticket.requester_id}}}"
    )
    found = doubts(record, events="[ticket.update, ticket.merge]")
    assert [problem.message.split("`")[1] for problem in found] == [
        "merge.other",
        "ticket.update_at",
        "tiket",
        "ticket.requester_id",
    ]


def test_an_item_is_judged_as_an_element_of_its_list(doubts: Doubts) -> None:
    record = "{resource: t, each: ticket.fields, id: item.code, fields: {x: item.cod, i: index}}"
    assert "`ticket.fields[].cod`" in only(doubts(record)).message


def test_a_name_in_the_wrong_quotes_is_told_once(doubts: Doubts) -> None:
    doubt = only(doubts(of_field('custom(ticket.fields, "addition_field1")')))
    assert doubt.hint == "a text is written 'addition_field1'"


def test_nothing_is_judged_without_a_catalogue(build: Any) -> None:
    text = f"source: caresoft\nevents: [ticket.update]\nrecords: [{of_field('tiket.x')}]\n"
    assert build(text, kinds=KINDS).warnings == ()


# --- words


def of_values(source: str, values: str, more: str = "", record: str = "") -> str:
    return (
        f"{{resource: t, id: ticket.ticket_id{record}, "
        f'fields: {{x: {{from: "{source}", values: {values}{more}}}}}}}'
    )


def test_a_word_that_the_vendor_never_sends_is_a_doubt(doubts: Doubts) -> None:
    doubt = only(doubts(of_values("ticket.status", "{new: 1, open: 2, opened: 3}")))
    assert doubt.message == "`ticket.status` never gives 'opened'"
    assert doubt.hint == "did you mean 'new'?" or "open" in doubt.hint
    assert doubt.place is not None
    line = f"  - {of_values('ticket.status', '{new: 1, open: 2, opened: 3}')}"
    assert doubt.place.column == line.index("opened") + 1


def test_a_word_that_the_vendor_sends_and_nothing_covers_is_a_doubt(doubts: Doubts) -> None:
    doubt = only(doubts(of_values("ticket.status", "{new: 1}")))
    assert "may give open" in doubt.message
    assert doubt.hint.startswith("such an event becomes a dead letter: add it")
    line = f"  - {of_values('ticket.status', '{new: 1}')}"
    assert doubt.place is not None
    assert doubt.place.column == line.index("values") + 1


@pytest.mark.parametrize("otherwise", ["keep", "skip", "{value: OTHER}"])
def test_what_otherwise_takes_need_not_be_covered(doubts: Doubts, otherwise: str) -> None:
    assert doubts(of_values("ticket.status", "{new: 1}", f", otherwise: {otherwise}")) == []


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ("ticket.status", "{new: 1, open: 2}"),
        ("ticket.status", "{new: 1, open: 2, '': 3}"),
        ("upper(ticket.status)", "{NEW: 1, OPEN: 2}"),
        ("concat('s-', ticket.status)", "{s-new: 1, s-open: 2}"),
        ("lookup('words', ticket.status)", "{N: 1, O: 2}"),
        ("ticket.flag", "{0: a, 1: b}"),
        ("ticket.status == 'new'", "{true: 1, false: 2}"),
        ("lower(ticket.priority)", "{low: 1, high: 2}"),
        ("ticket.priority", "{Low: 1, low: 1, High: 2, high: 2, HIGH: 3}"),
        ("ticket.subject", "{anything: 1}"),
        ("coalesce(ticket.status, ticket.subject)", "{anything: 1}"),
        ("timestamp(ticket.status)", "{anything: 1}"),
        ("ticket.channel", "{Web: 1, Voice Out: 2, TikTok: 3}"),
    ],
)
def test_values_that_fit_are_no_doubt(
    doubts: Doubts, tmp_path: Any, source: str, values: str
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "words.yaml").write_text("new: N\nopen: O\n")
    assert doubts(of_values(source, values)) == []


def test_of_an_open_list_only_misspelt_words_are_doubtful(doubts: Doubts) -> None:
    doubt = only(doubts(of_values("ticket.channel", "{Webb: 1, TikTok: 2}", ", otherwise: keep")))
    assert doubt.message == "`ticket.channel` never gives 'Webb'"
    assert doubt.hint == "did you mean 'Web'?"


def test_a_word_in_any_case_wants_lower(doubts: Doubts) -> None:
    doubt = only(doubts(of_values("ticket.priority", "{Low: 1, High: 2}")))
    assert "may give low or high" in doubt.message
    assert "lower(ticket.priority)" in doubt.hint


def test_a_comparison_gives_true_and_false_only(doubts: Doubts) -> None:
    first, second = doubts(of_values("ticket.status == 'new'", "{yes: 1, true: 2}"))
    assert "may give false" in first.message
    assert "never gives 'yes'" in second.message


def test_a_condition_on_the_same_value_may_leave_words_out(doubts: Doubts) -> None:
    when = ", when: ticket.status == 'new'"
    assert doubts(of_values("ticket.status", "{new: 1}", record=when)) == []


# --- ids


def test_an_id_that_some_events_lack_is_a_doubt(doubts: Doubts) -> None:
    doubt = only(doubts("{resource: t, id: ticket.comment.body, fields: {}}"))
    assert doubt.message == (
        "the id `ticket.comment.body` can be null: some ticket.update events have no "
        "`ticket.comment.body`"
    )
    assert "hold the record back with when: ticket.comment.body" in doubt.hint
    assert doubt.place is not None
    assert (doubt.place.line, doubt.place.column) == (4, 23)


def test_an_id_that_a_kind_never_has_is_a_doubt(doubts: Doubts) -> None:
    record = "{resource: t, id: ticket.ticket_id, action: delete}"
    doubt = only(doubts(record, events="['ticket.*']"))
    assert "can be null: ticket.merge events have no `ticket.ticket_id`" in doubt.message


@pytest.mark.parametrize(
    "record",
    [
        "{resource: t, id: ticket.ticket_id, fields: {}}",
        "{resource: t, id: ticket.comment.body, when: ticket.comment, fields: {}}",
        '{resource: t, id: "hash([ticket.comment.body])", fields: {}}',
        "{resource: t, id: \"concat(ticket.ticket_id, '-', ticket.comment.body)\", fields: {}}",
        '{resource: t, id: "coalesce(ticket.comment.body, ticket.ticket_id)", fields: {}}',
        "{resource: t, each: ticket.fields, id: item.code, fields: {}}",
        "{resource: t, id: updated.anything, fields: {}}",
        "{resource: t, id: \"custom(ticket.fields, 'a')\", fields: {}}",
        "{resource: t, id: to_string(@), fields: {}}",
        '{resource: t, id: "concat(ticket.comment.body, updated.x)", fields: {}}',
        '{resource: t, id: "hash([ticket.comment, ticket.comment.body])", fields: {}}',
    ],
)
def test_an_id_that_is_always_there_or_guarded_is_no_doubt(doubts: Doubts, record: str) -> None:
    assert doubts(record) == []


def test_an_id_made_of_what_some_events_lack_is_a_doubt(doubts: Doubts) -> None:
    record = '{resource: t, id: "timestamp(ticket.comment.at)", fields: {}}'
    assert "no `ticket.comment.at`" in only(doubts(record)).message
