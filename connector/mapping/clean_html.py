"""`html_clean`: HTML that strangers wrote, without anything that runs.

nh3 cleans by an allow-list. Its HTML5 parser takes quadratic time and memory for crafted nesting,
and comments come from anybody who can send an e-mail, so the invariant is: what is large enough to
hurt is first rewritten as a well-formed tree of bounded depth (`_WellFormed`). Neighbours: `tags`
finds the tags, `functions` registers the function.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from connector.mapping.arguments import Context, text_of
from connector.mapping.tags import Token, names, tokens
from connector.model import Json

if TYPE_CHECKING:
    import nh3

_FORMATTING = names("a b big code em font i s small strike strong tt u")
_KEPT = _FORMATTING | names(
    "abbr blockquote br caption center cite col colgroup dd del dfn div dl dt figcaption figure "
    "h1 h2 h3 h4 h5 h6 hr img ins kbd li mark ol p pre q samp span sub sup table tbody td tfoot "
    "th thead tr ul var wbr"
)
_ATTRIBUTES: Mapping[str, frozenset[str]] = {
    "*": names("title lang dir"),
    "a": names("href"),
    "col": names("span"),
    "colgroup": names("span"),
    "font": names("color face size"),
    "img": names("src alt width height"),
    "ol": names("start"),
    "td": names("colspan rowspan"),
    "th": names("colspan rowspan"),
}


@cache
def _cleaner() -> nh3.Cleaner:
    """Loaded with the first use: a megabyte that many mappings do not need."""
    import nh3

    return nh3.Cleaner(
        tags=set(_KEPT),
        attributes={tag: set(attributes) for tag, attributes in _ATTRIBUTES.items()},
        url_schemes={"http", "https", "mailto", "tel"},
        link_rel="noopener noreferrer",
    )


_DIRECT_TAGS = 1000  # below both bounds the parser's worst case is a tenth of a second
_DIRECT_LENGTH = 65_536
_DEEPEST = 64
_DEEPEST_FORMATTING = 4  # parsers open these again in every block after a wrong nesting

_VOID = names("br col hr img wbr")
_SECTIONS = names("tbody thead tfoot")
_PART_OF: Mapping[str, frozenset[str]] = {  # where a part of a table may stand
    "caption": names("table"),
    "colgroup": names("table"),
    "col": names("colgroup"),
    "thead": names("table"),
    "tbody": names("table"),
    "tfoot": names("table"),
    "tr": _SECTIONS,
    "td": names("tr"),
    "th": names("tr"),
}
_WITHIN: Mapping[str, str] = {  # what a part that holds no text needs before text can stand in it
    "table": "tbody",
    "tbody": "tr",
    "thead": "tr",
    "tfoot": "tr",
    "tr": "td",
}
_ATTRIBUTE = re.compile(  # possessive: no part is looked at again
    r"(?<![^\s\"'/])([^\s\"'>/=]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s>]++))"
)
_ESCAPED = str.maketrans({'"': "&quot;", "<": "&lt;", ">": "&gt;"})
_BLANK = " \t\n\f\r"


def html_clean(context: Context, value: Json) -> Json:
    """The same HTML without anything that runs, by an allow-list of tags and attributes.

    Scripts, styles, event handlers, frames, forms and `style=` go; links and images keep http,
    https, mailto and tel, links get `rel="noopener noreferrer"`. HTML of more than 1000 tags or
    64 KiB also loses tags that are nested deeper than 64, or 4 of bold and the like; never text.
    """
    source = text_of(value, "html_clean")
    if source.count("<") > _DIRECT_TAGS or len(source) > _DIRECT_LENGTH:
        source = _WellFormed().rewrite(source)
    return _cleaner().clean(source)


class _WellFormed:
    """Writes kept tags so that a parser has nothing to repair: all closed, tables whole, depth
    bounded."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._stack: list[str] = []
        self._open: Counter[str] = Counter()
        self._formatting = 0

    def rewrite(self, source: str) -> str:
        for token in tokens(source):
            if not token.tag:
                self._text(token.text)
            elif token.tag in _KEPT:
                self._tag(token)
        while self._stack:
            self._close()
        return "".join(self._out)

    def _text(self, run: str) -> None:
        if run.strip(_BLANK):
            self._make_room()
        self._out.append(run.translate(_ESCAPED))

    def _tag(self, token: Token) -> None:
        if token.tag in _PART_OF:
            self._table_part(token)
        elif token.tag in _VOID:
            self._make_room()
            self._out.append(_rewritten(token))
        elif token.closing:
            self._close_to(token.tag)
        elif len(self._stack) < _DEEPEST and (
            token.tag not in _FORMATTING or self._formatting < _DEEPEST_FORMATTING
        ):
            self._make_room()
            self._begin(token.tag, _rewritten(token))

    def _table_part(self, token: Token) -> None:
        if not self._open["table"]:
            return
        if token.closing:
            self._close_to(token.tag)
            return
        places = _PART_OF[token.tag]
        while self._stack[-1] != "table" and self._stack[-1] not in places:
            self._close()
        while self._stack[-1] not in places:
            missing = "colgroup" if token.tag == "col" else _WITHIN[self._stack[-1]]
            self._begin(missing, f"<{missing}>")
        if token.tag in _VOID:
            self._out.append(_rewritten(token))
        else:
            self._begin(token.tag, _rewritten(token))

    def _make_room(self) -> None:
        """A cell for what stands in a table and outside of its cells."""
        if self._stack and self._stack[-1] == "colgroup":
            self._close()
        while self._stack and (missing := _WITHIN.get(self._stack[-1])):
            self._begin(missing, f"<{missing}>")

    def _begin(self, name: str, written: str) -> None:
        self._stack.append(name)
        self._open[name] += 1
        self._formatting += name in _FORMATTING
        self._out.append(written)

    def _close_to(self, name: str) -> None:
        while self._open[name]:
            if self._close() == name:
                return

    def _close(self) -> str:
        name = self._stack.pop()
        self._open[name] -= 1
        self._formatting -= name in _FORMATTING
        self._out.append(f"</{name}>")
        return name


def _rewritten(token: Token) -> str:
    allowed = _ATTRIBUTES["*"] | _ATTRIBUTES.get(token.tag, frozenset())
    kept: dict[str, str] = {}
    for found in _ATTRIBUTE.finditer(token.text, len(token.tag) + 1):
        name = found[1].lower()
        if name in allowed:
            kept.setdefault(name, found[2] or found[3] or found[4] or "")
    written = "".join(f' {name}="{content.translate(_ESCAPED)}"' for name, content in kept.items())
    return f"<{token.tag}{written}>"
