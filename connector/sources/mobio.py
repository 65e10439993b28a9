"""Mobio: signature, parsing and the event documents (docs/http.md, docs/events.md).

One request body is an envelope around `block_event`, a batch of events; each becomes an event of
its own, so that one that cannot be read leaves the others good. An event keeps a body of the same
form with only itself in the batch: the request's own bytes where it came alone.

A document is the element as sent, the envelope beside it, and its field deltas folded in two
objects: `fields`, the new values (for notes and comments also called `note` and `comment`), and
`was`, the old ones. Mobio writes a delta as `{add, remove, change}`; which of the three tells the
new value depends on whether the event creates, updates or deletes.

Other event types exist (`profile_…`, `sale_…`) with other shapes: `event_type` inside
`data_event`, deltas under `fields`, `merchant_id` as a list. All are read; what an undocumented
kind has in no known shape is left as it was sent.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import rfc8785

from connector.errors import BadSignature, EventUnreadable, NotJson
from connector.model import Event, Json, Micros
from connector.sources import base, jsontext
from connector.sources.base import Candidate, Vendor, Verified

if TYPE_CHECKING:
    from connector.config import Mobio

HEADER = "X-mevent-signature"

VENDOR = Vendor(
    kind="mobio",
    kinds=(
        "note_create",
        "note_update_data",
        "note_delete",
        "note_comment_create",
        "note_comment_update_data",
        "note_comment_delete",
    ),
)

LIST_FIELDS = frozenset(
    {"attachment_ids", "file_attachment_ids", "mentions", "mention", "account_mentions"}
)
"""Fields whose value is a list of ids, however many Mobio lists and however it nests them."""

_ALIASES = {"create_by": "created_by", "update_by": "updated_by", "mention": "mentions"}
_ELEMENT_DEPTH = 3  # body, block_event, element
_SIGNATURE = re.compile(r"(?:mac([ \t]*=[ \t]*))?([0-9a-f]{64})", re.ASCII | re.IGNORECASE)
_FORMS = {None: "<hex>", "=": "mac=<hex>"}


def open_mobio(config: Mobio) -> MobioSource:
    """The source that a configuration describes. An empty secret verifies nothing."""
    apps = tuple(
        (app.app_id, tuple(secret.encode() for secret in app.secrets if secret))
        for app in config.apps
    )
    return MobioSource(config.name, apps)


@dataclass(frozen=True, slots=True)
class MobioSource:
    """A Mobio merchant that sends webhooks; `apps` are (app_id, secrets), often more than one."""

    name: str
    apps: tuple[tuple[str, tuple[bytes, ...]], ...] = field(repr=False)

    @property
    def kind(self) -> str:
        """The vendor."""
        return VENDOR.kind

    def verify(self, body: bytes, headers: Mapping[str, str]) -> Verified:
        """SHA-256 of app_id + raw body + secret as `mac=<hex>`, `mac = <hex>` or `<hex>`.

        Which of the three Mobio sends is not documented; `form` says. Raises `BadSignature`.
        """
        match = _SIGNATURE.fullmatch(base.header(headers, HEADER).strip())
        if match is None:
            raise BadSignature(f"{HEADER} is not 64 hex digits, with or without mac=")
        form = _FORMS.get(match[1], "mac = <hex>")
        return base.judge(self.name, body, bytes.fromhex(match[2]), self._candidates(body), form)

    def _candidates(self, body: bytes) -> Iterator[Candidate]:
        for app_id, secrets in self.apps:
            begun = hashlib.sha256(app_id.encode())
            begun.update(body)
            for secret in secrets:
                whole = begun.copy()
                whole.update(secret)
                yield Candidate(whole.digest(), app_id)

    def sign(self, body: bytes, app_id: str | None = None) -> dict[str, str]:
        """The header `mac=<hex>` for an app: the one given, else the body's own, else the first.

        Raises `BadSignature` for a given app that is not configured.
        """
        known = {app: secrets[0] for app, secrets in self.apps if secrets}
        if not known:
            return {}
        if app_id is not None and app_id not in known:
            raise BadSignature(f"app {app_id} is not configured")
        named = app_id or _app_named_in(body)
        signer = named if named is not None and named in known else next(iter(known))
        mac = hashlib.sha256(signer.encode() + body + known[signer]).hexdigest()
        return {HEADER: f"mac={mac}"}

    def parse(self, verified: Verified, received_at: Micros) -> list[Event]:
        """One event for each element of `block_event`; an empty batch gives none.

        Raises `NotJson`, and `BadSignature` when the body names another app than signed it.
        """
        reading = jsontext.read(verified.body)
        if _app_id(reading.value) not in (None, verified.app_id):
            raise BadSignature("the body names another app_id than the one that signed it")
        return self._events(verified.body, reading, received_at)

    def preview(self, body: bytes, received_at: Micros) -> list[Event]:
        """The events of a body that nobody vouches for: to look at, never to store."""
        return self._events(body, jsontext.read(body), received_at)

    def _events(self, body: bytes, reading: jsontext.Reading, received_at: Micros) -> list[Event]:
        root = reading.value
        block = root.get("block_event") if isinstance(root, dict) else None
        if not isinstance(block, list):
            digest = hashlib.sha256(body).hexdigest()
            reason = reading.flaw(root, 1) or _what_hides_the_block(root)
            return [Event(self.name, VENDOR.kind, digest, None, body, received_at, reason)]
        envelope_flaw = reading.flaw(_envelope(root), 1)
        events = []
        for element in block:
            kind = _kind(element)
            flaw = envelope_flaw or reading.flaw(element, _ELEMENT_DEPTH)
            problem = flaw or (_what_hides_the_kind(element) if kind is None else None)
            # A flawed element cannot be written again as it was sent.
            kept = body if flaw or len(block) == 1 else _alone(root, element)
            events.append(
                Event(self.name, VENDOR.kind, _id(element), kind, kept, received_at, problem)
            )
        return events

    def document(self, event: Event) -> dict[str, Json]:
        """The event document (docs/events.md). Raises `EventUnreadable`."""
        body = base.body_of(event)
        element = _only_element(body)
        envelope = _envelope(body)
        deltas = _deltas(event.kind, element.get("data_event"))
        fields, was = _FOLDS[_effect(event.kind)](deltas)
        for part in (fields, was):
            _add_aliases(part)
        document = dict(element)
        named = _NAMED.get(event.kind or "")
        if named is not None:
            name, id_key = named
            if id_key in element["data_event"]:
                fields["id"] = element["data_event"][id_key]
            document[name] = fields
        document["envelope"] = envelope
        document["fields"] = fields
        document["was"] = was
        document["raw"] = element
        account = base.account_of("merchant_id", envelope, element, fields, was)
        document["meta"] = base.meta(event, account)
        return document


# --- parsing


def _app_id(body: Json) -> str | None:
    return base.text_of(body.get("app_id")) if isinstance(body, dict) else None


def _app_named_in(body: bytes) -> str | None:
    try:
        return _app_id(jsontext.read(body).value)
    except NotJson:
        return None


def _envelope(body: dict[str, Json]) -> dict[str, Json]:
    return {key: value for key, value in body.items() if key != "block_event"}


def _alone(body: dict[str, Json], element: Json) -> bytes:
    kept = {**body, "block_event": [element]}
    return json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()


def _data(element: Json) -> dict[str, Json]:
    data = element.get("data_event") if isinstance(element, dict) else None
    return data if isinstance(data, dict) else {}


def _kind(element: Json) -> str | None:
    """`event_type` verbatim, beside or (as on `profile_create_new`) inside `data_event`."""
    if not isinstance(element, dict):
        return None
    return base.name_of(element.get("event_type")) or base.name_of(_data(element).get("event_type"))


def _id(element: Json) -> str:
    """The id for deduplication: message_id, else event_id:event_type, else a hash of everything."""
    beside = element if isinstance(element, dict) else {}
    inside = _data(element)
    for holder in (beside, inside):
        message_id = base.text_of(holder.get("message_id"))
        if message_id is not None:
            return message_id
    kind = _kind(element)
    for holder in (inside, beside):
        event_id = base.text_of(holder.get("event_id"))
        if event_id is not None and kind is not None:
            return f"{event_id}:{kind}"
    return hashlib.sha256(_canonical(element)).hexdigest()


def _canonical(element: Json) -> bytes:
    """Canonical JSON (RFC 8785), else sorted JSON.

    RFC 8785 has no form for integers from 2**53 on and for half surrogate pairs.
    """
    try:
        return rfc8785.dumps(element)
    except ValueError:
        return json.dumps(element, sort_keys=True, separators=(",", ":")).encode()


def _what_hides_the_block(body: Json) -> str:
    if not isinstance(body, dict):
        return f"the body is {base.json_name(body)}, an object was expected"
    if "block_event" not in body:
        return "`block_event` is missing, a list of events was expected"
    found = base.json_name(body["block_event"])
    return f"`block_event` is {found}, a list of events was expected"


def _what_hides_the_kind(element: Json) -> str:
    if not isinstance(element, dict):
        return f"an element of `block_event` is {base.json_name(element)}, an object was expected"
    return "`event_type` is neither beside nor inside `data_event`, or is no text"


# --- documents


@dataclass(frozen=True, slots=True)
class _Delta:
    """What one event says about one field. `old` and `new` are the ends of its `change`."""

    add: list[Json]
    remove: list[Json]
    old: list[Json]
    new: list[Json]


_Folded = tuple[dict[str, Json], dict[str, Json]]

_NAMED = {
    kind: ("comment", "comment_id") if kind.startswith("note_comment_") else ("note", "note_id")
    for kind in VENDOR.kinds
}


def _only_element(body: dict[str, Json]) -> dict[str, Json]:
    block = body.get("block_event")
    if not isinstance(block, list) or len(block) != 1:
        raise EventUnreadable("`block_event` of a kept event is not a list with one element")
    if not isinstance(block[0], dict):
        raise EventUnreadable(_what_hides_the_kind(block[0]))
    element: dict[str, Json] = block[0]
    return element


def _deltas(kind: str | None, data: Json) -> dict[str, _Delta]:
    """The deltas by field key, from `event_detail` or `fields`; entries of one key count as one."""
    documented = kind in VENDOR.kinds
    if not isinstance(data, dict):
        if documented:
            raise EventUnreadable(f"`data_event` is {base.json_name(data)}, an object was expected")
        return {}
    where = "event_detail" if data.get("event_detail") or not data.get("fields") else "fields"
    listed = data.get(where)
    if not documented and not base.names_a_field(listed, "field_key"):
        return {}
    deltas: dict[str, _Delta] = {}
    for entry in base.entries(listed, "field_key", f"data_event.{where}"):
        key = entry["field_key"]
        delta = deltas.setdefault(key, _Delta([], [], [], []))
        delta.add.extend(_as_list(entry.get("add")))
        delta.remove.extend(_as_list(entry.get("remove")))
        for change in _flat(_as_list(entry.get("change"))):
            if not isinstance(change, dict):
                raise EventUnreadable(
                    f"`change` of {key} holds {base.json_name(change)}, {{from, to}} was expected"
                )
            delta.old.extend([change["from"]] if "from" in change else [])
            delta.new.extend([change["to"]] if "to" in change else [])
    return deltas


def _as_list(value: Json) -> list[Json]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _flat(values: list[Json]) -> list[Json]:
    """The values, lists among them replaced by their items: `[[]]` → `[]`, `[["a"]]` → `["a"]`."""
    return [item for value in values for item in _as_list(value)]


def _values(key: str, values: list[Json]) -> Json:
    """One value is that value, more are a list; a field of `LIST_FIELDS` is a list always."""
    if key in LIST_FIELDS:
        return _flat(values)
    return values[0] if len(values) == 1 else list(values)


def _value(key: str, value: Json) -> Json:
    """One side of a `change`: the value, as a list for a field of `LIST_FIELDS`."""
    return _flat(_as_list(value)) if key in LIST_FIELDS else value


def _was(deltas: dict[str, _Delta]) -> dict[str, Json]:
    return {key: _value(key, delta.old[0]) for key, delta in deltas.items() if delta.old}


def _created(deltas: dict[str, _Delta]) -> _Folded:
    """`add` is the value; a create that tells it as `change` is understood too."""
    fields: dict[str, Json] = {}
    for key, delta in deltas.items():
        if delta.add:
            fields[key] = _values(key, delta.add)
        elif delta.new:
            fields[key] = _value(key, delta.new[-1])
    return fields, _was(deltas)


def _updated(deltas: dict[str, _Delta]) -> _Folded:
    """`to` of a `change`, which tells the whole value; else what was added and removed."""
    fields: dict[str, Json] = {}
    for key, delta in deltas.items():
        if delta.new:
            fields[key] = _value(key, delta.new[-1])
            continue
        lists = {"add": _flat(delta.add), "remove": _flat(delta.remove)}
        told = {name: items for name, items in lists.items() if items}
        if told:
            fields[key] = told
    return fields, _was(deltas)


def _deleted(deltas: dict[str, _Delta]) -> _Folded:
    """Nothing is new; what the delete removes is what was."""
    removed = {key: _values(key, delta.remove) for key, delta in deltas.items() if delta.remove}
    return {}, _was(deltas) | removed


_FOLDS: dict[str, Callable[[dict[str, _Delta]], _Folded]] = {
    "update": _updated,
    "delete": _deleted,
    "create": _created,
}


def _effect(kind: str | None) -> str:
    """`update` and `delete` where the name of the type holds that word, else `create`."""
    name = (kind or "").lower()
    return next((effect for effect in ("update", "delete") if effect in name), "create")


def _add_aliases(part: dict[str, Json]) -> None:
    for written, also in _ALIASES.items():
        if written in part:
            part.setdefault(also, part[written])
