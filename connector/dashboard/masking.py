"""What of a page is personal data, and how it is hidden until somebody asks to see it.

What is personal is told by `sources.stand_ins`: a value that would be replaced there is hidden
here. Invariant: form and keys stay, so that an operator sees which fields there are; ids, times and
numbers stay, so that they can be searched for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from connector.model import Json
from connector.sources.stand_ins import StandIns

HIDDEN = "•••"

_SHORTEST = 3

_IN_TEXT = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|(?<![\w.-])\+?(?:84|0)(?:[ .()-]{0,2}\d){8,10}(?![\w-])"
)


def masked(value: Json) -> Json:
    """JSON with everything personal hidden."""
    return _hidden(value, StandIns().body(value))


def masked_field(name: str, value: Json) -> Json:
    """The value of one field of a record; its name tells what it is."""
    return masked({name: value})[name]


def personal(*values: Json) -> frozenset[str]:
    """The texts that `masked` hides in these: where a message quotes one, it is hidden there too.

    Words of less than three letters are left out, for they stand in everything.
    """
    found = {text for value in values for text in _hidden_texts(value, masked(value))}
    return frozenset(text for text in found if len(text) >= _SHORTEST)


def personal_in(body: bytes) -> frozenset[str]:
    """The same of a body as it was received; of one that is no JSON nothing is known."""
    try:
        return personal(json.loads(body))
    except (ValueError, RecursionError):
        return frozenset()


def masked_text(text: str, known: Iterable[str] = ()) -> str:
    """A message: what is `known` to be personal, addresses and phone numbers in it are hidden."""
    for word in sorted(known, key=len, reverse=True):
        text = text.replace(word, HIDDEN)
    return _IN_TEXT.sub(HIDDEN, text)


def masked_answer(answer: Json, known: Iterable[str] = ()) -> Json:
    """What a CRM answered or was sent; a text that is no JSON (cut off, or a page) is hidden
    whole."""
    if not isinstance(answer, str):
        return _rid_of(masked(answer), frozenset(known))
    try:
        return json.dumps(_rid_of(masked(json.loads(answer)), frozenset(known)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return HIDDEN if answer else ""


def masked_call(call: dict[str, Json], known: Iterable[str] = ()) -> dict[str, Json]:
    """A call of `reports.call_json`: request and answer."""
    hidden = {part: masked_answer(call[part], known) for part in ("request", "answer")}
    return {**call, **hidden}


def _rid_of(value: Json, known: frozenset[str]) -> Json:
    if isinstance(value, dict):
        return {key: _rid_of(inner, known) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rid_of(inner, known) for inner in value]
    return masked_text(value, known) if isinstance(value, str) else value


def _hidden_texts(value: Json, shown: Json) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _hidden_texts(inner, shown[key])
    elif isinstance(value, list):
        for pair in zip(value, shown, strict=True):
            yield from _hidden_texts(*pair)
    elif shown == HIDDEN and value != HIDDEN:
        yield str(value).strip()


def _hidden(value: Json, stand_in: Json) -> Json:
    """`value` where its stand-in is the same."""
    if isinstance(value, dict):
        return {key: _hidden(inner, stand_in[key]) for key, inner in value.items()}
    if isinstance(value, list):
        return [_hidden(*pair) for pair in zip(value, stand_in, strict=True)]
    return value if value == stand_in else HIDDEN
