"""CareSoft: signature, parsing and the event document (docs/http.md, docs/events.md).

One request body is one event. CareSoft gives it no id, so the SHA-256 of the raw body is its id;
its kind is `<object>.<action>`. A document is the body as sent, in which three things that CareSoft
writes in several ways are also given in one way: custom fields always stand in the list
`addition_fields`, `changes` are folded into their user or organization, and `updated_properties`
can be asked by name. Kept: `changes`, `updated_properties` and stray custom fields stay where
they were sent, and a document shares with its body only what it did not change.

What cannot be folded without losing a value is `EventUnreadable`; what no mapping could name
(a custom field without its code) is left out of the list and remains under `raw`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from connector.errors import BadSignature, EventUnreadable
from connector.model import Event, Json, Micros
from connector.sources import base, jsontext
from connector.sources.base import Candidate, Vendor, Verified

if TYPE_CHECKING:
    from connector.config import CareSoft

HEADER = "X-Hub-Signature"

VENDOR = Vendor(
    kind="caresoft",
    kinds=(
        "user.create",
        "user.update",
        "organization.create",
        "organization.update",
        "ticket.create",
        "ticket.update",
        "ticket.delete",
        "ticket.merge",
        "ticket.acd_assign",
        "lead.create",
        "lead.convert",
        "lead.update",
        "deal.create",
        "deal.convert",
        "deal.update",
        "smart_dialer.ad_end_call",
        "smart_dialer.pd_end_call",
        "call_in.call_in_start",
        "call_in.call_in_agent_ring",
        "call_in.call_in_agent_miss",
        "call_in.call_in_agent_answer",
        "call_in.call_in_agent_end",
        "call_in.call_in_customer_end",
        "call_in.call_in_end",
    ),
)

_WITH_CUSTOM_FIELDS = ("user", "organization", "ticket", "lead", "deal")
_WITH_CHANGES = ("user", "organization")
_CODE_BEGINS = "addition_field"
_CODE = re.compile(_CODE_BEGINS + "[0-9]+")
_SIGNATURE = re.compile(r"(sha1[ \t]*=[ \t]*)?([0-9a-f]{40})", re.ASCII | re.IGNORECASE)
_OLD_VALUE = ("value", "value_id")


def open_caresoft(config: CareSoft) -> CareSoftSource:
    """The source that a configuration describes. An empty secret verifies nothing."""
    secrets = tuple(secret.encode() for secret in config.secrets if secret)
    return CareSoftSource(config.name, secrets, config.unsigned)


@dataclass(frozen=True, slots=True)
class CareSoftSource:
    """A CareSoft account that sends webhooks; several `secrets` while one is being replaced."""

    name: str
    secrets: tuple[bytes, ...] = field(repr=False)
    unsigned: bool = False

    @property
    def kind(self) -> str:
        """The vendor."""
        return VENDOR.kind

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Verified:
        """HMAC-SHA1 of the raw body in hex of any case, with or without `sha1=` (part I).

        Raises `BadSignature`. With `unsigned` every body is accepted and no header is read.
        """
        if self.unsigned:
            return base.take_unsigned(self.name, body)
        match = _SIGNATURE.fullmatch(base.header(headers, HEADER).strip())
        if match is None:
            raise BadSignature(f"{HEADER} is not 40 hex digits")
        candidates = (Candidate(_digest(secret, body)) for secret in self.secrets)
        form = "sha1=<hex>" if match[1] else "<hex>"
        return base.judge(self.name, body, bytes.fromhex(match[2]), candidates, form)

    def sign(self, body: bytes, app_id: str | None = None) -> dict[str, str]:
        """The header with upper-case hex, as documented; `app_id` means nothing to CareSoft."""
        if not self.secrets:
            return {}
        return {HEADER: _digest(self.secrets[0], body).hex().upper()}

    def parse(self, verified: Verified, received_at: Micros) -> list[Event]:
        """The one event of a verified body. Raises `NotJson`."""
        return self.preview(verified.body, received_at)

    def preview(self, body: bytes, received_at: Micros) -> list[Event]:
        """The one event of a body that nobody vouches for: to look at, never to store."""
        reading = jsontext.read(body)
        kind = _kind(reading.value)
        problem = reading.flaw(reading.value, 1) or (
            _what_hides_the_kind(reading.value) if kind is None else None
        )
        digest = hashlib.sha256(body).hexdigest()
        return [Event(self.name, VENDOR.kind, digest, kind, body, received_at, problem)]

    def document(self, event: Event) -> dict[str, Json]:
        """The event document (docs/events.md). Raises `EventUnreadable`."""
        body = base.body_of(event)
        document = dict(body)
        for name in _WITH_CUSTOM_FIELDS:
            if isinstance(body.get(name), dict):
                document[name] = _whole(event.kind, name, body[name])
        if _holds_delta(event.kind, body, "updated_properties"):
            changed = base.entries(body["updated_properties"], "field", "updated_properties")
            document["updated"] = {entry["field"]: entry.get("value") for entry in changed}
        document["raw"] = body
        document["meta"] = base.meta(event, base.account_of("account_id", body))
        return document


def _digest(secret: bytes, body: bytes) -> bytes:
    return hmac.digest(secret, body, "sha1")


def _kind(body: Json) -> str | None:
    if not isinstance(body, dict):
        return None
    names = base.name_of(body.get("object")), base.name_of(body.get("action"))
    return f"{names[0]}.{names[1]}" if names[0] and names[1] else None


def _what_hides_the_kind(body: Json) -> str:
    if not isinstance(body, dict):
        return f"the body is {base.json_name(body)}, an object was expected"
    key = "action" if base.name_of(body.get("object")) else "object"
    found = base.json_name(body[key]) if key in body else "missing"
    blank = "blank text" if found == "text" else found
    return f"`{key}` is {blank}, the name of a kind was expected"


def _holds_delta(kind: str | None, holder: dict[str, Json], key: str) -> bool:
    """Whether `key` must be folded: always in documented kinds, else where it looks like them."""
    if key not in holder:
        return False
    return kind in VENDOR.kinds or base.names_a_field(holder[key], "field")


def _whole(kind: str | None, name: str, sent: dict[str, Json]) -> dict[str, Json]:
    """A user, organization, ticket, lead or deal with `changes` and custom fields folded in."""
    folded = dict(sent)
    custom: dict[str, dict[str, Json]] = {}
    if name in _WITH_CHANGES and _holds_delta(kind, sent, "changes"):
        for change in base.entries(sent["changes"], "field", f"{name}.changes"):
            if _CODE.fullmatch(change["field"]):
                custom[change["field"]] = change
            elif change["field"] != "changes":
                folded[change["field"]] = change.get("value")
    listed = _custom_fields(folded.get("addition_fields"), f"{name}.addition_fields")
    folded["addition_fields"] = _with_changes(listed, custom) + _strays(sent, listed, custom)
    return folded


def _custom_fields(value: Json, where: str) -> list[dict[str, Json]]:
    """The elements that have a code. Raises `EventUnreadable` where there should be a list."""
    if not value:
        return []
    if isinstance(value, dict) and "field" in value:
        value = [value]
    if not isinstance(value, list):
        raise EventUnreadable(f"{where} is {base.json_name(value)}, a list was expected")
    return [element for element in value if isinstance(element, dict) and element.get("field")]


def _with_changes(
    listed: list[dict[str, Json]], custom: Mapping[str, dict[str, Json]]
) -> list[dict[str, Json]]:
    """Elements whose code was changed take the new value and keep what defines the field."""
    if not custom:
        return listed
    waiting = dict(custom)
    merged = []
    for element in listed:
        code = element["field"]
        if not isinstance(code, str) or code not in custom:
            merged.append(element)
        elif code in waiting:
            defined = {key: value for key, value in element.items() if key not in _OLD_VALUE}
            merged.append(defined | waiting.pop(code))
    return merged + list(waiting.values())


def _strays(
    sent: dict[str, Json], listed: list[dict[str, Json]], custom: Mapping[str, Json]
) -> list[dict[str, Json]]:
    """Custom fields that stand on the object itself and in no list (as on `ticket.update`)."""
    known = {element["field"] for element in listed if isinstance(element["field"], str)}
    return [
        {"field": key, "value": value}
        for key, value in sent.items()
        if key.startswith(_CODE_BEGINS)  # few do, and the rest is asked of those
        and _CODE.fullmatch(key)
        and key not in known
        and key not in custom
    ]
