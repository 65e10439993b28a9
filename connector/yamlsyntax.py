"""What libyaml complains of, said so that the person who wrote the line can mend it.

libyaml names the token it wanted; people need the line to look at and what to write instead. Each
complaint has a row or a function here; guesses look at the lines around the place. Used by
`yamltext` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml

from connector.model import Place, Problem

_LINE_END = re.compile(r"[\r\n]")
_LINE = re.compile(r"\r\n|\r|\n")
_TAB = re.compile(r" *\t\s*\S")
_LINES_TOLD = 10  # other lines that are named with a tab's
_FOREIGN_SPACE = re.compile("(?:^[ -]*|:)([\u00a0\u2000-\u200b\u202f\u3000])")
_NO_SPACE = re.compile(r"^\s*(?:- +)*([^\s:#\"'\[\]{},&*!|>%@`-][^\s:]*):(?=[^\s/])(?!.*:(?:\s|$))")
_CALLS = re.compile(r"'[^'\r\n]*'|\"[^\"\r\n]*\"|(?P<name>[A-Za-z_]\w*)\(|\(|\)")
_KEY_AND_VALUE = re.compile(r"(?:^|[\s{,])(?:\"[^\"]*\"|'[^']*'|[^\s\"'].*?):\s+\S")


@dataclass(frozen=True, slots=True)
class _Complaint:
    """What libyaml said, and the text it said it of."""

    problem: str
    context: str
    at: int  # index of the character that did not fit
    since: int  # index where the thing began that it did not fit into
    text: str
    place: Callable[[int], Place]
    quote: int | None  # where the last quoted text before the error began
    show: bool  # whether messages may hold text of the file

    def tell(self, message: str, hint: str, index: int | None = None) -> list[Problem]:
        return [Problem(message, hint, self.place(self.at if index is None else index))]

    def line_start(self, index: int) -> int:
        return max(self.text.rfind("\n", 0, index), self.text.rfind("\r", 0, index)) + 1

    def line(self, index: int) -> str:
        """The whole line that the index stands in."""
        end = _LINE_END.search(self.text, index)
        return self.text[self.line_start(index) : end.start() if end else len(self.text)]

    def before(self, index: int) -> str:
        """The part of its line before the index."""
        return self.text[self.line_start(index) : index]

    def indent(self, index: int) -> int:
        line = self.line(index)
        return len(line) - len(line.lstrip(" "))

    def found(self, index: int | None = None) -> str:
        """What stands at the index, for a message."""
        index = self.at if index is None else index
        rest = self.text[index:]
        if not rest.strip():
            return "the end of the file"
        return self.shown(rest.split(maxsplit=1)[0], 20)

    def shown(self, text: str, length: int = 60) -> str:
        """Text of the file for a message, if it may stand there."""
        if not self.show and len(text) > 1:
            return "this text"
        return f"'{text if len(text) <= length else text[:length] + '…'}'"


def explain(
    error: yaml.YAMLError,
    text: str,
    place: Callable[[int], Place],
    last: Any,
    *,
    quote: bool,
) -> list[Problem]:
    """The problems behind one error of libyaml.

    `place` gives the place of a character of `text`; `last` is the last scalar event before the
    error, or None. `quote`: whether messages may hold text of the file.
    """
    problem_mark = getattr(error, "problem_mark", None)
    context_mark = getattr(error, "context_mark", None)
    at = problem_mark or context_mark
    since = context_mark or problem_mark
    quoted = last is not None and last.style in ("'", '"')
    complaint = _Complaint(
        problem=str(getattr(error, "problem", None) or error),
        context=getattr(error, "context", None) or "",
        at=min(at.index, len(text)) if at else 0,
        since=min(since.index, len(text)) if since else 0,
        text=text,
        place=place,
        quote=last.start_mark.index if quoted else None,
        show=quote,
    )
    if complaint.text[complaint.at : complaint.at + 1] == "\t":
        return _tab(complaint)
    if foreign := _foreign_space(complaint):
        return foreign
    if guess := _GUESSES.get(complaint.problem):
        return guess(complaint)
    said = f"{complaint.context}: {complaint.problem}"
    for fragment, message, hint, whole in _SAYINGS:
        if fragment in said:
            index = complaint.since if whole else complaint.at
            return complaint.tell(message.format(found=complaint.found(index)), hint, index)
    return complaint.tell(  # a net for what another libyaml may say
        f"{complaint.found()} cannot stand here ({complaint.problem})",
        "look for a missing quote, bracket or indentation in this line and the one before",
    )


def _tab(complaint: _Complaint) -> list[Problem]:
    if not complaint.before(complaint.at).strip():
        return complaint.tell(
            "a tab in the indentation", f"indent with spaces{_other_tabs(complaint)}"
        )
    return complaint.tell("a tab", "write a space instead")


def _other_tabs(complaint: _Complaint) -> str:
    """The lines below that are indented with tabs, too: the reading ends at the first."""
    first = complaint.place(complaint.at).line
    below = [
        number
        for number, line in enumerate(_LINE.split(complaint.text), 1)
        if number > first and _TAB.match(line)
    ]
    if not below:
        return ""
    listed = ", ".join(map(str, below[:_LINES_TOLD])) + ("…" if len(below) > _LINES_TOLD else "")
    return f"; also in line {listed}" if len(below) == 1 else f"; also in lines {listed}"


def _foreign_space(complaint: _Complaint) -> list[Problem]:
    """A space that YAML takes for a letter, in the line of the error or the one above it."""
    above = _line_above(complaint, complaint.at)
    for start in (complaint.line_start(complaint.at), above):
        found = None if start is None else _FOREIGN_SPACE.search(complaint.line(start))
        if start is not None and found:
            code = f"U+{ord(found[1]):04X}"
            return complaint.tell(
                f"the character {code} looks like a space and is none",
                "write an ordinary space; this one comes along with copied text",
                start + found.start(1),
            )
    return []


def _no_spaces(complaint: _Complaint, index: int) -> list[Problem]:
    """One problem for each line, upwards from the one before the index, like `key:value`."""
    problems: list[Problem] = []
    start = complaint.line_start(index)
    while start > 0:
        start = complaint.line_start(start - 1)
        line = complaint.line(start)
        match = _NO_SPACE.match(line)
        if not match:
            if line.strip() and not line.lstrip().startswith("#"):
                break
            continue
        problems += _no_space(complaint, start + match.end())
    return problems


def _no_space(complaint: _Complaint, colon_end: int) -> list[Problem]:
    return complaint.tell(
        "no space after the colon", "write `key: value`; a text needs quotes", colon_end
    )


def _second_colon(complaint: _Complaint) -> list[Problem]:
    """A `: ` where no key may end."""
    before = complaint.before(complaint.at)
    if _KEY_AND_VALUE.search(before):
        return complaint.tell(
            "a second ': ' in one line",
            'put the value in quotes, as in key: "text: more text"',
        )
    if problems := _no_spaces(complaint, complaint.at):
        return problems
    above = _line_above(complaint, complaint.at)
    if above is None:
        return complaint.tell(
            "a key that is longer than 1024 characters or not on one line", "write a shorter key"
        )
    text = complaint.line(above).strip()
    if not _KEY_AND_VALUE.search(text) and not text.startswith("- "):
        return complaint.tell(
            f"{complaint.shown(text)} has no colon",
            "write `key: value`; a text of several lines needs `key: |` above it",
            above + complaint.indent(above),
        )
    column = complaint.indent(above) + 1
    return complaint.tell(
        "this line is indented deeper than the one above, which has its value already",
        f"begin it in column {column}, like the line above; a text of several lines needs quotes",
        complaint.line_start(complaint.at) + complaint.indent(complaint.at),
    )


def _line_above(complaint: _Complaint, index: int) -> int | None:
    """Where the nearest line above begins that is neither empty nor a comment."""
    start = complaint.line_start(index)
    while start > 0:
        start = complaint.line_start(start - 1)
        line = complaint.line(start).strip()
        if line and not line.startswith("#"):
            return start
    return None


def _no_colon(complaint: _Complaint) -> list[Problem]:
    index = complaint.since
    line = complaint.line(index)
    if complaint.text[index] == "-" and complaint.text[index + 1 : index + 2] not in " \t\r\n":
        return complaint.tell("no space after the dash", "write `- item`", index)
    if match := _NO_SPACE.match(line):
        return _no_space(complaint, complaint.line_start(index) + match.end())
    return complaint.tell(
        f"{complaint.shown(complaint.text[index : complaint.at].strip())} has no colon",
        "write `key: value`; a text of several lines needs `key: |` above it",
        index,
    )


def _unclosed(complaint: _Complaint) -> list[Problem]:
    """Something in brackets that is neither a comma nor the closing bracket."""
    text, at, since = complaint.text, complaint.at, complaint.since
    opening = text[since]
    closing = {"[": "]", "{": "}"}.get(opening, "]")
    if text[at : at + 1] == "{" and text[at - 1] == "$":
        return complaint.tell(
            f"a bare ${{…}} within {opening} {closing}",
            'put it in quotes: "${NAME}"',
            at - 1,
        )
    ended = not text[at:].strip()
    below = complaint.line_start(at) > since
    if ended or (below and complaint.indent(at) <= complaint.indent(since)):
        return complaint.tell(
            f"the {opening} that opens here is never closed", f"add the {closing}", since
        )
    if (call := open_call(text[since + 1 : at])) is not None:
        written = text[since + 1 + call : _call_end(text, since + 1 + call)]
        return complaint.tell(
            *cut_at_comma(written if complaint.show else "", opening + closing), since + 1 + call
        )
    if (quote := _just_closed(complaint)) is not None:
        return _after_quote(complaint, quote)
    opened = complaint.place(since).line
    return complaint.tell(
        f"{complaint.found()} where a comma or {closing} should stand",
        f"the {opening} was opened in line {opened}; "
        "text that holds , : [ ] { } needs quotes within it",
    )


def open_call(text: str) -> int | None:
    """Where a function is called in the text whose bracket the text does not close, if any is.

    Quoted parts do not count.
    """
    opened: list[int] = []
    for part in _CALLS.finditer(text):
        if part["name"] is not None:
            opened.append(part.start())
        elif part[0] == ")" and opened:
            opened.pop()
    return opened[0] if opened else None


def cut_at_comma(written: str, brackets: str) -> tuple[str, str]:
    """Message and hint for an expression in brackets without quotes; `written` may be empty."""
    quotes = f": {_double_quoted(' '.join(written.split()))}" if written else ""
    return (
        "an expression without quotes is cut at its first comma or bracket",
        f"a text with a comma inside {brackets} needs quotes{quotes}",
    )


def _call_end(text: str, start: int) -> int:
    """Where the call that begins at `start` ends on its line."""
    end = _LINE_END.search(text, start)
    line = text[start : end.start() if end else len(text)]
    for close in re.finditer(r"\)", line):
        if open_call(line[: close.end()]) is None:
            return start + close.end()
    return start + len(line)


def _after_quote(complaint: _Complaint, quote: int) -> list[Problem]:
    """Something behind a quoted text, which began at `quote`."""
    mark = complaint.text[quote]
    opened = complaint.place(quote)
    here = complaint.place(complaint.at)
    if opened.line < here.line:
        return complaint.tell(
            f"the text that opens here with {mark} closes only in line {here.line}",
            f"add the closing {mark} where it should end",
            quote,
        )
    inner = "''" if mark == "'" else '\\"'
    return complaint.tell(
        f"{complaint.found()} after the closing {mark}",
        f"quote the whole value; within it write {inner} for a {mark}",
    )


def _no_key(complaint: _Complaint) -> list[Problem]:
    """Something in a block map or list that is not its next entry."""
    text, at = complaint.text, complaint.at
    found = text[at : at + 1]
    before = complaint.before(at)
    if (quote := _just_closed(complaint)) is not None:
        return _after_quote(complaint, quote)
    if found in ("]", "}"):
        return complaint.tell(
            f"a {found} that closes nothing", "delete it, or quote the text that it belongs to"
        )
    if found == ":":
        return complaint.tell("a colon without a key", "write a key before it")
    what, column = _block(complaint)
    if not before.strip():
        return complaint.tell(
            "the indentation fits nothing above",
            f"the {what} above begins in column {column}: begin there, or indent deeper than "
            "the key that this belongs to",
        )
    return complaint.tell(
        f"{complaint.found()} cannot stand here",
        "put text in quotes if it begins with a special character",
    )


def _just_closed(complaint: _Complaint) -> int | None:
    """Where the last quoted text began, if nothing but blanks stands between it and the error."""
    quote = complaint.quote
    head = complaint.before(complaint.at).rstrip(" \t")
    if quote is None or not head.endswith(complaint.text[quote]):
        return None
    return quote if quote < complaint.line_start(complaint.at) + len(head) - 1 else None


def _block(complaint: _Complaint) -> tuple[str, int]:
    what = "list" if "-" in complaint.problem else "map"
    return what, complaint.place(complaint.since).column


def _no_node(complaint: _Complaint) -> list[Problem]:
    found = complaint.text[complaint.at : complaint.at + 1]
    if found == ",":
        return complaint.tell(
            "nothing stands before this comma", "delete the comma, or put text in quotes"
        )
    if found in ("]", "}"):
        return complaint.tell(f"a {found} that closes nothing", "delete it, or put text in quotes")
    ended = not complaint.text[complaint.at :].strip()
    if ended or complaint.line(complaint.at).startswith(("---", "...")):
        return complaint.tell(
            "the document ends within brackets", "add the ] or } that is missing above"
        )
    return complaint.tell(f"{complaint.found()} is no value", "put text in quotes")


def _no_token(complaint: _Complaint) -> list[Problem]:
    found = complaint.text[complaint.at : complaint.at + 1]
    word = complaint.line(complaint.at).removeprefix(complaint.before(complaint.at)).strip()
    return complaint.tell(
        f"text cannot begin with {found}",
        f"put it in quotes: {_double_quoted(word)}" if complaint.show else "put it in quotes",
    )


def _no_document(complaint: _Complaint) -> list[Problem]:
    text, at = complaint.text, complaint.at
    if text[at : at + 1] == ":" and text[at - 1 : at] in ("'", '"'):
        return _no_space(complaint, at + 1)
    if text[at : at + 1] in ("]", "}"):
        return complaint.tell(f"a {text[at]} that closes nothing", "delete it")
    if complaint.line_start(at) > 0 and text.startswith("%"):
        return complaint.tell(
            "a directive (a line that begins with %)",
            "delete it: the file is read as YAML 1.2",
            0,
        )
    return complaint.tell(
        f"{complaint.found()} after the end of the document",
        "begin the next document with a line of ---, or put the whole text in quotes",
    )


_GUESSES: dict[str, Callable[[_Complaint], list[Problem]]] = {
    "mapping values are not allowed in this context": _second_colon,
    "could not find expected ':'": _no_colon,
    "did not find expected ',' or ']'": _unclosed,
    "did not find expected ',' or '}'": _unclosed,
    "did not find expected key": _no_key,
    "did not find expected '-' indicator": _no_key,
    "did not find expected node content": _no_node,
    "found character that cannot start any token": _no_token,
    "did not find expected <document start>": _no_document,
    "found unexpected ':'": lambda complaint: _no_space(complaint, complaint.at + 1),
}

# a part of "context: problem" | message | hint | place: where the thing began (else what misfits)
_SAYINGS: tuple[tuple[str, str, str, bool], ...] = (
    (
        "directive",
        "a directive (a line that begins with %)",
        "delete it; text that begins with % needs quotes",
        True,
    ),
    (
        "unexpected end of stream",
        "the quote that opens here is never closed",
        "add the closing quote",
        True,
    ),
    (
        "unexpected document indicator",
        "the quote that opens here is not closed before the next document",
        "add the closing quote",
        True,
    ),
    (
        "unknown escape character",
        "{found} begins with no escape that YAML knows",
        r"in double quotes write \\ for one backslash, or use single quotes",
        False,
    ),
    (
        "hexdecimal number",
        "an escape with too few hexadecimal digits",
        r"\x takes 2 of them, \u 4, \U 8",
        False,
    ),
    (
        "Unicode character escape code",
        "an escape that is no character",
        "write the character itself, or \\U with 8 digits; \\u pairs as in JSON are not YAML",
        False,
    ),
    (
        "block sequence entries are not allowed",
        "a list that begins on the line of its key",
        "begin it on the next line, or write [a, b]",
        False,
    ),
    (
        "mapping keys are not allowed",
        "{found} cannot begin a key here",
        "put text in quotes if it begins with ?",
        False,
    ),
    (
        "alphabetic or numeric character",
        "{found} names no anchor",
        "put text in quotes if it begins with & or *",
        True,
    ),
    (
        "indentation indicator equal to 0",
        "an indentation of 0",
        "leave the digit out, or write 1 to 9",
        False,
    ),
    (
        "comment or line break",
        "{found} after | or >",
        "begin the text on the next line",
        False,
    ),
    (
        "undefined tag handle",
        "the tag {found}",
        "tags are not used here: delete it; text that begins with ! needs quotes",
        True,
    ),
    (
        "incompatible YAML document",
        "a file that says it is not YAML 1.2",
        "delete the line that begins with %",
        True,
    ),
    (
        "tag",
        "{found} is no tag",
        "tags are not used here: delete it; text that begins with ! needs quotes",
        True,
    ),
)


def _double_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped if len(escaped) <= 60 else escaped[:60] + "…"}"'
