"""Functions from text to text: `string`, `id`, `email`, `lower`, `upper`, `trim`, `slug`, `concat`.

Invariant: a number counts as its text, and no text is lost silently except where the function is
there to lose it (`slug`). Neighbours: `functions` registers these; HTML is in `plain_text` and
`clean_html`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from connector.mapping.arguments import (
    Context,
    canonical,
    described,
    is_number,
    number_text,
    text_of,
    wrong,
)
from connector.model import Json

_NOBODY = frozenset({"", "0", "-1"})  # docs/mapping-language.md; CareSoft writes all three

# One address and nothing else: RFC 5321 mailboxes without quoted local parts and address
# literals, with international letters (RFC 6531). No part can match in two ways: linear.
_ATOM = r"[\w!#$%&'*+/=?^`{|}~-]+"
_LABEL = r"[^\W_]+(?:-+[^\W_]+)*"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+(?=[^\W\d_]){_LABEL}")
_LONGEST_ADDRESS = 254  # RFC 5321 section 4.5.3.1.3, without the angle brackets
_LONGEST_LOCAL = 64  # section 4.5.3.1.1

_LETTERS: Mapping[int, str] = str.maketrans(  # letters that Unicode does not decompose
    {"đ": "d", "Đ": "d", "ð": "d", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l"}
    | {"æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ß": "ss", "ı": "i"}
)
_BETWEEN_WORDS = re.compile(r"[^a-z0-9]+")


def string(context: Context, value: Json) -> Json:
    """A value as text: numbers without a needless point, `true`/`false`, lists and objects as
    canonical JSON (RFC 8785)."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return number_text(value, "string")
    return canonical(value, "string")


def identifier(context: Context, value: Json) -> Json:
    """An id as text; 0, -1 and their texts, and blanks, give `''`: nobody."""
    text = value if isinstance(value, str) else text_of(value, "id")
    return "" if text.strip() in _NOBODY else text


def email(context: Context, value: Json) -> Json:
    """An address, trimmed and in lower case; anything else is only trimmed, with a warning."""
    text = text_of(value, "email").strip()
    if not text:
        return ""
    if (
        len(text) <= _LONGEST_ADDRESS
        and _ADDRESS.fullmatch(text)
        and len(text.partition("@")[0]) <= _LONGEST_LOCAL
    ):
        return text.lower()
    context.warn(f"email() found {described(value)}, which is no e-mail address; kept as it came")
    return text


def lower(context: Context, value: Json) -> Json:
    """The text in lower case."""
    return (value if isinstance(value, str) else text_of(value, "lower")).lower()


def upper(context: Context, value: Json) -> Json:
    """The text in upper case."""
    return text_of(value, "upper").upper()


def trim(context: Context, value: Json) -> Json:
    """The text without blanks and line breaks at its ends."""
    return text_of(value, "trim").strip()


def slug(context: Context, value: Json) -> Json:
    """ASCII in lower case, words joined by `-`; accents go, đ gives d.

    Scripts that have no Latin base letters leave nothing behind.
    """
    letters = value if isinstance(value, str) else text_of(value, "slug")
    if not letters.isascii():
        text = unicodedata.normalize("NFKD", letters.translate(_LETTERS))
        letters = "".join(letter for letter in text if not unicodedata.combining(letter))
    return _BETWEEN_WORDS.sub("-", letters.lower()).strip("-")


def concat(context: Context, *parts: Json) -> Json:
    """The parts as text, one after the other; null is skipped, of nothing but nulls: null."""
    told = [part for part in parts if part is not None]
    for part in told:
        if isinstance(part, (list, Mapping)):
            raise wrong("concat", part, "texts, numbers or booleans; join(', ', list) joins a list")
    return "".join(string(context, part) for part in told) if told else None
