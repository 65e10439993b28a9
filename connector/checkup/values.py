"""Probes of values: what the CRM keeps of a text, a number, null, and a field it does not know.

Each is one update of the scratch record, read back. A value that is refused is seen by a person;
one that is answered 2xx and dropped, cut or changed is not, unless the connector reads back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from connector.checkup.finding import Finding
from connector.checkup.lab import Lab
from connector.model import Json
from connector.targets.answers import Judgement
from connector.targets.conversation import Row

UNKNOWN_FIELD = "connector_check_unknown"
_LONG = 10_000  # characters, as a long ticket comment has


@dataclass(frozen=True, slots=True)
class Text:
    """A text that some CRMs do not keep. `refusal_suits`: to refuse it is as good as to keep it."""

    probe: str
    what: str
    text: str
    refusal_suits: bool = False


TEXTS = (
    Text("text.long", f"a text of {_LONG} characters", "Long. " * (_LONG // 6) + "Last", True),
    Text("text.line_breaks", "a line break (CR LF)", "first line\r\nsecond line"),
    Text("text.blanks", "blanks at both ends", "  blanks around  "),
    Text("text.unicode", "Vietnamese letters", "Đặng Thị Ngọc Ánh"),
    Text("text.emoji", "letters of four bytes", "well 😀 done"),
    Text("text.html", "HTML", "<p>one &amp; <b>two</b></p>"),
    Text("text.digits", "digits as text", "00712"),
)


def texts(lab: Lab) -> Iterator[Finding]:
    """Each of `TEXTS` in the field that seems to take free text."""
    field = lab.free_text
    if not lab.updates:
        return
    if field is None or not lab.can_look:
        why = "no field takes free text" if field is None else "nobody can look at what is kept"
        yield Finding("text", f"not tried: {why}", "", None)
        return
    for each in TEXTS:
        yield _judged(lab, each, field, lab.update(lab.main or "", {field: each.text}))


def _judged(lab: Lab, given: Text, field: str, judgement: Judgement) -> Finding:
    if judgement.meaning != "done":
        found = f"{given.what} in {field} is refused: {lab.said(judgement)}"
        meaning = "a dead letter tells of it, nothing is lost without a word"
        if not given.refusal_suits:
            meaning = "every record with one becomes a dead letter: change it in the mapping"
        return Finding(given.probe, found, meaning, given.refusal_suits)
    kept, row = lab.seen(lab.main or "", lambda row: lab.kept_as(row, field, given.text))
    if kept or row is None:
        altered = row is not None and lab.holds(row, field) != given.text
        how = "kept, the line break as LF" if altered else "kept"
        meaning = "the connector compares both as equal" if altered else ""
        return Finding(given.probe, f"{given.what}: {how}", meaning, True)
    return _altered(lab, given, field, lab.holds(row, field))


def _altered(lab: Lab, given: Text, field: str, held: Json) -> Finding:
    verify = "read" in lab.configured.verify
    advice = {"verify": sorted({*lab.configured.verify, "read"})}
    meaning = "answered 2xx all the same: only reading back shows it"
    if isinstance(held, str) and held and given.text.startswith(held):
        found = f"{given.what} in {field} is cut to {len(held)} characters"
        return Finding(given.probe, found, meaning, verify, advice)
    if isinstance(held, str) and held == given.text.strip():
        found = f"{given.what} in {field} are trimmed"
        return Finding(given.probe, found, "trim() in the mapping says the same", None)
    if held in (None, ""):
        return Finding(given.probe, f"{given.what} in {field} is dropped", meaning, verify, advice)
    found = f"{given.what} in {field} comes back changed: {held!r:.80}"
    return Finding(given.probe, found, meaning, verify, advice)


# --- null


def clearing(lab: Lab) -> Iterator[Finding]:
    """What clears a field: null, '' or false."""
    field = lab.free_text or next(iter(lab.kept), None)
    if field is None or not lab.can_look or not lab.updates:
        return
    set_again = {field: lab.fields[field]}
    for empty in [lab.configured.field(field).empty, *_EMPTIES]:
        lab.update(lab.main or "", set_again)
        if _clears(lab, field, empty):
            yield _of_clearing(lab, field, empty)
            return
    found = f"neither null nor '' nor false clears {field}"
    yield Finding("null", found, "what a source clears stays in the CRM", False)


_EMPTIES: tuple[Json, ...] = (None, "", False)


def _clears(lab: Lab, field: str, empty: Json) -> bool:
    target = lab.variant(empty=empty, fields=_emptied(lab, field, empty))
    if lab.update(lab.main or "", {field: None}, target=target).meaning != "done":
        return False
    return lab.seen(lab.main or "", lambda row: _is_empty(lab, row, field))[0]


def _emptied(lab: Lab, field: str, empty: Json) -> Mapping[str, Json]:
    rule = lab.resource.fields.get(field)
    if rule is None:
        return lab.resource.fields
    changed = type(rule)(rule.name, rule.at, rule.read, rule.as_, empty)
    return {**lab.resource.fields, field: changed}


def _is_empty(lab: Lab, row: Row, field: str) -> bool:
    return lab.holds(row, field) in (None, "", False, [])


def _of_clearing(lab: Lab, field: str, empty: Json) -> Finding:
    word = _WORDS[repr(empty)]
    configured = lab.configured.field(field).empty
    if empty == configured and type(empty) is type(configured):
        return Finding("null", f"{word} clears {field}", "what a source clears is cleared", True)
    found = f"{_WORDS[repr(configured)]} does not clear {field}, {word} does"
    meaning = "what a source clears would stay in the CRM"
    return Finding("null", found, meaning, False, {"empty": empty})


_WORDS: Mapping[str, str] = {"None": "null", "''": "''", "False": "false"}


# --- other types


def numbers(lab: Lab) -> Iterator[Finding]:
    """A number as text, in a field that holds a number."""
    field = next((name for name, value in lab.kept.items() if _is_number(value)), None)
    if field is None or not lab.can_look or not lab.updates:
        return
    text = "25"
    judgement = lab.update(lab.main or "", {field: text})
    what = f"the text '25' in {field}, which holds a number"
    if judgement.meaning != "done":
        meaning = "a mapping must say number() or integer() there, else: a dead letter"
        yield Finding("number_as_text", f"{what}: refused", meaning, True)
        return
    _, row = lab.seen(lab.main or "", lambda row: lab.kept_as(row, field, text))
    held = lab.holds(row, field) if row else None
    if held == 25 or held == text:
        yield Finding("number_as_text", f"{what}: kept as {held!r}", "", True)
        return
    meaning = "answered 2xx all the same: only reading back shows it"
    advice = {"verify": sorted({*lab.configured.verify, "read"})}
    suits = "read" in lab.configured.verify
    yield Finding("number_as_text", f"{what}: the field holds {held!r}", meaning, suits, advice)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def unknown_field(lab: Lab) -> Iterator[Finding]:
    """A field that the CRM cannot know: what a misspelled name in a mapping gets."""
    if not lab.updates:
        return
    judgement = lab.update(lab.main or "", {UNKNOWN_FIELD: "x"})
    if judgement.meaning != "done":
        found = f"a field that it does not know: {lab.said(judgement)}"
        meaning = "a misspelled field makes a dead letter, which tells of it"
        yield Finding("unknown_field", found, meaning, True)
        return
    if not lab.can_look:
        yield Finding("unknown_field", "a field that it does not know is taken", "", None)
        return
    kept, _ = lab.seen(lab.main or "", lambda row: lab.kept_as(row, UNKNOWN_FIELD, "x"))
    if kept:
        meaning = "the CRM keeps whatever it is sent: a misspelled field is one more"
        yield Finding("unknown_field", "a field that it does not know is kept", meaning, None)
        lab.update(lab.main or "", {UNKNOWN_FIELD: None})
        return
    meaning = "a misspelled field is lost without a word, unless what was written is read back"
    suits = "read" in lab.configured.verify
    advice = {"verify": sorted({*lab.configured.verify, "read"})}
    found = "a field that it does not know is dropped, and answered 2xx"
    yield Finding("unknown_field", found, meaning, suits, advice)


PROBES: tuple[Callable[[Lab], Iterator[Finding]], ...] = (
    texts,
    clearing,
    numbers,
    unknown_field,
)
