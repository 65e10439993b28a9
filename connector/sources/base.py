"""What a source is, and the one door through which a request becomes trusted.

The algorithm of every vendor: take the signature header apart, compute over the *raw* bytes what
each configured secret would have signed, compare in constant time. Nothing is parsed before that.
`Verified` is the proof that it happened: outside this module it can be neither made nor copied with
changes, so a function that takes one cannot be handed a request that nobody checked.

Also here: what the documents of both vendors share (`entries`, `meta`, `text_of`). This module
knows no vendor; `caresoft` and `mobio` build on it, and `open_source` chooses between them.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import InitVar, dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, Protocol, final

from connector.errors import BadSignature, EventUnreadable, NotJson
from connector.model import Event, Json, Micros
from connector.sources import jsontext

_SEAL: Final = object()


@final
@dataclass(frozen=True, slots=True)
class Verified:
    """A request body that its source vouches for.

    `app_id` is the app whose secret fitted, where the vendor has apps. `form` is how the header
    was written (`mac=<hex>`, `<hex>`, …; `unsigned` where the configuration asks for no
    signature): the vendors' documents leave it open, so it is worth counting.
    """

    source: str
    body: bytes
    app_id: str | None
    form: str
    seal: InitVar[object]

    def __post_init__(self, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("a Verified is made by Source.verify only")


@dataclass(frozen=True, slots=True)
class Candidate:
    """The digest that one configured secret gives for the body at hand."""

    digest: bytes
    app_id: str | None = None


class Source(Protocol):
    """A configured sender: verifies, parses, and turns kept events into documents."""

    @property
    def name(self) -> str:
        """Its name in config.yaml, the last part of the webhook's path."""

    @property
    def kind(self) -> str:
        """The vendor: a key of `VENDORS`."""

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Verified:
        """Judge the signature over the raw body. Raises `BadSignature`, nothing else."""

    def parse(self, verified: Verified, received_at: Micros) -> list[Event]:
        """The events of a verified body, unreadable ones with their `problem`.

        Raises `NotJson`, and `BadSignature` when the body names another app than signed it.
        """

    def preview(self, body: bytes, received_at: Micros) -> list[Event]:
        """As `parse`, for a file that a person names: nobody vouches for it, so never store it.

        Raises `NotJson`.
        """

    def document(self, event: Event) -> dict[str, Json]:
        """What a mapping sees of an event of this source. Raises `EventUnreadable`."""

    def sign(self, body: bytes, app_id: str | None = None) -> dict[str, str]:
        """The header that the vendor would send with `body`; empty where nothing is signed.

        Raises `BadSignature` for an app that is not configured.
        """


@dataclass(frozen=True, slots=True)
class Vendor:
    """A kind of source and the event kinds that its documentation names."""

    kind: str
    kinds: tuple[str, ...]


# --- verification


def header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header, its name in any case. Raises `BadSignature` where there is none."""
    if (said := headers.get(name)) is not None:
        return said
    wanted = name.lower()
    for key, value in headers.items():
        if key.lower() == wanted:
            return value
    raise BadSignature(f"there is no {name} header")


def judge(
    source: str, body: bytes, given: bytes, candidates: Iterable[Candidate], form: str
) -> Verified:
    """Compare the digest that was sent with those of all secrets, each in constant time.

    Raises `BadSignature` where none is equal.
    """
    for candidate in candidates:
        if hmac.compare_digest(candidate.digest, given):
            return Verified(source, body, candidate.app_id, form, _SEAL)
    raise BadSignature("the signature does not fit the body")


def take_unsigned(source: str, body: bytes) -> Verified:
    """For a source that is configured to be unsigned: whoever sends is believed."""
    return Verified(source, body, None, "unsigned", _SEAL)


# --- reading


_JSON_NAMES = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def json_name(value: Json) -> str:
    """What a JSON value is, in words for a message: never the value itself."""
    return _JSON_NAMES.get(type(value), "a number")


def text_of(value: Json) -> str | None:
    """An id as text: text verbatim, a number without a needless point; else None.

    Blank text is no id, and neither is text that UTF-8 cannot write.
    """
    if isinstance(value, str):
        usable = value.strip() and not isinstance(value, jsontext.Unread) and _writable(value)
        return value if usable else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def name_of(value: Json) -> str | None:
    """A name (`object`, `action`, `event_type`) verbatim; None unless it is text, and not blank."""
    return text_of(value) if isinstance(value, str) else None


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def body_of(event: Event) -> dict[str, Json]:
    """The body of a kept event as an object. Raises `EventUnreadable` with what is wrong."""
    if event.problem is not None:
        raise EventUnreadable(event.problem)
    try:
        reading = jsontext.read(event.body)
    except NotJson as error:
        raise EventUnreadable(str(error)) from None
    problem = reading.flaw(reading.value, 1)
    if problem is None and not isinstance(reading.value, dict):
        problem = f"the body is {json_name(reading.value)}, an object was expected"
    if problem is not None:
        raise EventUnreadable(problem)
    body: dict[str, Json] = reading.value
    return body


# --- documents

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - to count from; what is made of it says Z


def entries(value: Json, key: str, where: str) -> list[dict[str, Json]]:
    """A list of objects that each name a field under `key`, empty elements dropped.

    A lone object stands for a list of one, null and empty values for an empty list. Raises
    `EventUnreadable` for anything else: what it tells of would be lost in silence.
    """
    if not value:
        return []
    listed = [value] if isinstance(value, dict) else value
    if not isinstance(listed, list):
        raise EventUnreadable(f"{where} is {json_name(value)}, a list of objects was expected")
    found = [entry for entry in listed if entry not in (None, "", {}, [])]
    for entry in found:
        if not isinstance(entry, dict):
            raise EventUnreadable(f"{where} holds {json_name(entry)}, an object was expected")
        if not (isinstance(entry.get(key), str) and entry[key]):
            raise EventUnreadable(f"{where} holds an object without a {key}")
    return found


def names_a_field(value: Json, key: str) -> bool:
    """Whether a value of an undocumented kind looks like a list that `entries` is meant for."""
    listed = value if isinstance(value, list) else [value]
    return any(isinstance(entry, dict) and key in entry for entry in listed)


def meta(event: Event, account: str | None) -> dict[str, Json]:
    """The `meta` of a document: `received_at` is ISO 8601, UTC, microseconds, Z."""
    seconds, micros = divmod(event.received_at, 1_000_000)
    return {
        "kind": event.kind,
        "source": event.source,
        "account": account,
        "event_id": event.id,
        "received_at": f"{_second(seconds)}.{micros:06}Z",
    }


@lru_cache(maxsize=64)  # many come within one
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()


def account_of(key: str, *parts: Json) -> str | None:
    """The tenant under `key`, wherever it stands: the outermost first, and earlier parts first.

    Of a list the first; None where it stands nowhere.
    """
    for part in parts:
        for value in _standing(key, part):
            text = text_of(value[0] if isinstance(value, list) and value else value)
            if text is not None:
                return text
    return None


def _standing(key: str, part: Json) -> Iterator[Json]:
    level = [part]
    while level:
        deeper: list[Json] = []
        for node in level:
            if isinstance(node, dict):
                if key in node:
                    yield node[key]
                deeper.extend(node.values())
            elif isinstance(node, list):
                deeper.extend(node)
        level = deeper
