"""`text`: plain text out of HTML that strangers wrote.

Comments and notes hold malformed HTML of anybody who can send an e-mail, so reading is linear in
time (`tags`) and nothing but scripts, styles, comments and tags is lost. Neighbours: `functions`
registers it; `clean_html` is for those who want to keep the HTML.
"""

from __future__ import annotations

import html
import re
from html.entities import html5 as _named

from connector.mapping.arguments import Context, text_of
from connector.mapping.tags import names, tokens
from connector.model import Json

_BREAKING = names("p div li")  # docs/mapping-language.md: their ends break the line
_BLOCKS = _BREAKING | names(
    "address article aside blockquote body caption center dd details dialog dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr html legend main menu nav ol "
    "option pre section summary table tbody tfoot thead title tr ul"
)
_CELLS = names("td th")
_BLANKS = re.compile(r"\s+")
_LINE_END = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_REFERENCE = re.compile(
    r"&(?:#[0-9]{1,8};?|#[xX][0-9a-fA-F]{1,8};?|[A-Za-z][A-Za-z0-9]{1,31}[;=]?)"
)
_CONTROLS = {code: None for code in range(32) if chr(code) not in "\t\n"} | {127: None}


def text(context: Context, value: Json) -> Json:
    """HTML as plain text.

    `<br>` (`</br>` too) and the ends of p, div and li break the line; other blocks begin on a line
    of their own. Entities are decoded, blanks folded, lines trimmed, at most one empty line stays
    and none at the ends. A value without any tag keeps its own line breaks.
    """
    source = text_of(value, "text")
    found = list(tokens(source))
    if not any(token.tag for token in found):
        return _tidy(_LINE_END.sub("\n", _decoded(source)))
    out: list[str] = []
    begun = False  # whether the current line holds anything
    for token in found:
        if not token.tag:
            run = _BLANKS.sub(" ", _decoded(token.text))
            out.append(run)
            begun = begun or run != " "
        elif (
            token.tag == "br"
            or (token.closing and token.tag in _BREAKING)
            or (begun and token.tag in _BLOCKS)
        ):
            out.append("\n")
            begun = False
        elif token.tag in _CELLS:
            out.append(" ")
    return _tidy("".join(out))


def _decoded(run: str) -> str:
    return _REFERENCE.sub(_character, run) if "&" in run else run


def _character(reference: re.Match[str]) -> str:
    """A character reference decoded; `&section=1` of a link in plain text is none.

    One without `;` counts only whole and not before `=`: the rule that browsers have for
    attributes (WHATWG HTML section 13.2.5.73).
    """
    found = reference[0]
    if found[1] == "#" or found[1:] in _named:
        return html.unescape(found)
    return found


def _tidy(lines: str) -> str:
    out: list[str] = []
    for raw in lines.translate(_CONTROLS).split("\n"):
        line = " ".join(raw.split())
        if line or (out and out[-1]):
            out.append(line)
    return "\n".join(out).rstrip("\n")
