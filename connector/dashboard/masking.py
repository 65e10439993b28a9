"""What of a page is personal data, and how it is hidden until somebody asks to see it.

What is personal is told by `sources.stand_ins`: a value that would be replaced there is hidden
here. Invariant: form and keys stay, so that an operator sees which fields there are; ids, times and
numbers stay, so that they can be searched for.
"""

from __future__ import annotations

import json
import re

from connector.model import Json
from connector.sources.stand_ins import StandIns

HIDDEN = "•••"

_IN_TEXT = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?<![\w.-])\+?(?:84|0)(?:[ .()-]{0,2}\d){8,10}(?![\w-])"
)


def masked(value: Json) -> Json:
    """JSON with everything personal hidden."""
    return _hidden(value, StandIns().body(value))


def masked_field(name: str, value: Json) -> Json:
    """The value of one field of a record; its name tells what it is."""
    return masked({name: value})[name]


def masked_text(text: str) -> str:
    """A message: addresses and phone numbers in it are hidden."""
    return _IN_TEXT.sub(HIDDEN, text)


def masked_answer(answer: Json) -> Json:
    """What a CRM answered; a text that is no JSON (cut off, or a page) is hidden whole."""
    if not isinstance(answer, str):
        return masked(answer)
    try:
        return json.dumps(masked(json.loads(answer)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return HIDDEN if answer else ""


def _hidden(value: Json, stand_in: Json) -> Json:
    """`value` where its stand-in is the same."""
    if isinstance(value, dict):
        return {key: _hidden(inner, stand_in[key]) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(*pair) for pair in zip(value, stand_in, strict=True)]
    return value if value == stand_in else HIDDEN
