"""How a problem is told to a person: the offending line with a caret, and "did you mean".

Pure text in, pure text out. Used by everything that reads what people write (configuration,
mappings, the command line).
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

from connector.model import Problem

_LINE_END = re.compile(r"\r\n|\r|\n")
_WINDOW = 100  # characters of a long line that are shown around the place


def nearest(word: str, options: Iterable[str]) -> str | None:
    """The option that `word` was probably meant to be, or None when none is close.

    Case, and `-` for `_`, do not count. Equal candidates go by their order in `options`.
    """
    folded: dict[str, str] = {}
    for option in options:
        folded.setdefault(_fold(option), option)
    close = difflib.get_close_matches(_fold(word), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A hint: the nearest option as a question, else all of them."""
    known = list(options)
    if close := nearest(word, known):
        return f"did you mean {close!r}?"
    return f"known: {', '.join(known)}" if known else ""


def render(problem: Problem, text: str, *, masked: bool = False) -> str:
    """The problem, and under it the line of `text` that it stands in, with a caret.

    `text` is the whole file. `masked`: of one that may hold secrets, as config.yaml, only the keys
    are shown. A problem without a place, or whose line does not exist, is only its message.
    """
    place = problem.place
    lines = _LINE_END.split(text.removeprefix("\ufeff"))
    if place is None or not 1 <= place.line <= len(lines):
        return str(problem)
    whole = lines[place.line - 1]
    line, column = _cut(without_values(whole) if masked else whole, place.column)
    margin = f"{place.line:>5} | "
    before = "".join(_blank(letter) for letter in line[: column - 1])
    return f"{problem}\n{margin}{line}\n{'|':>{len(margin) - 1}} {before}^"


def without_values(line: str) -> str:
    """A line of YAML of which only keys, names of variables and signs can be read; every other
    letter is a dot, and a comment is left out, so that places stay where they are."""
    line = _COMMENT.sub("", line)
    shown = ["•" if letter.isalnum() else letter for letter in line]
    for readable in (found for pattern in _READABLE for found in pattern.finditer(line)):
        shown[readable.start(1) : readable.end(1)] = readable[1]
    return "".join(shown)


_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")
_READABLE = (
    re.compile(r"(?:^\s*(?:- +)*|[{,]\s*)([\w.*-]+)(?=\s*:(?:\s|$))"),  # a key
    re.compile(r"\$\{([A-Za-z_]\w*)(?=[:}])"),  # the name of a variable
)


def _fold(word: str) -> str:
    return word.casefold().replace("-", "_")


def _cut(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around the column, and the column in that part."""
    column = min(column, len(line) + 1)
    if len(line) <= _WINDOW:
        return line, column
    start = max(0, min(column - 1 - _WINDOW // 2, len(line) - _WINDOW))
    head = "…" if start else ""
    tail = "…" if start + _WINDOW < len(line) else ""
    return f"{head}{line[start : start + _WINDOW]}{tail}", column - start + len(head)


def _blank(letter: str) -> str:
    """What takes as much room in a terminal as the letter does."""
    if letter == "\t":
        return "\t"
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Cf":
        return ""
    return "  " if unicodedata.east_asian_width(letter) in "WF" else " "
