"""Finds the tags in HTML that strangers wrote, in linear time, and builds no tree.

A tag ends where a browser's tokenizer ends it (WHATWG HTML section 13.2.5), but what can be no
markup stays text. The invariant: every character is looked at a bounded number of times, whatever
the text. Neighbours: `plain_text` and `clean_html` decide what the tags mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple


class Token(NamedTuple):
    """A run of text (`tag` is empty), or a tag by its lower-case name; comments are `!`."""

    text: str
    tag: str = ""
    closing: bool = False


_OPENING = re.compile(r"<(?:(/?)([a-zA-Z][^\s/>]*)|!--|[!?/])")
_COMMENT_END = re.compile(r"--!?>")
_QUOTE_OR_END = re.compile(r"=\s*([\"'])|>")
_RAW_ENDS: Mapping[str, re.Pattern[str]] = {
    name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in ("script", "style")
}
_ADDRESS = re.compile(r"[^@]*@|(?:https?|mailto|tel):", re.IGNORECASE)  # <nam@example.vn> is no tag


def tokens(source: str) -> Iterator[Token]:
    """The text and the tags of `source`; contents of scripts, styles and comments are left out.

    A `<` that begins no tag, or that no `>` follows, is text; so is an address in `<…>`. Comments,
    scripts and styles that never close take the rest.
    """
    position = 0
    end = source.rfind(">") + 1
    quotes = True
    while opening := _OPENING.search(source, position, end):
        name = (opening[2] or "!").lower()
        if _ADDRESS.match(name):
            yield Token(source[position : opening.end()])
            position = opening.end()
            continue
        start = opening.start()
        if start > position:
            yield Token(source[position:start])
        if opening[0] == "<!--":
            close = _COMMENT_END.search(source, start + 2)  # `<!-->` is a whole comment
            position = close.end() if close else len(source)
        else:
            position = _tag_end(source, opening.end()) if quotes and name != "!" else 0
            if not position:
                quotes = quotes and name == "!"  # one that never closed: no more of them count
                position = source.find(">", opening.end()) + 1
        yield Token(source[start:position], name, bool(opening[1]))
        if name in _RAW_ENDS and not opening[1]:
            close = _RAW_ENDS[name].search(source, position)
            position = close.start() if close else len(source)
    if position < len(source):
        yield Token(source[position:])


def _tag_end(source: str, position: int) -> int:
    """The position after a tag's `>`, values in quotes skipped; 0 when there is none."""
    while found := _QUOTE_OR_END.search(source, position):
        if not found[1]:
            return found.end()
        position = source.find(found[1], found.end()) + 1
        if not position:
            break
    return 0


def names(spaced: str) -> frozenset[str]:
    """Tag names written in one line."""
    return frozenset(spaced.split())
