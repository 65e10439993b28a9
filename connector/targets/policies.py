"""Whose field it is: what is written where people in the CRM have a say (`write:`).

Pure. `choose` decides from what the CRM holds; comparing is as text with one kind of line break,
and all that means empty is equal. Where nobody can look, a field with a reading policy is left to
people, unless the write replaces the record: then ours is better than none.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import field
from hashlib import sha256
from typing import Final

from connector.config.model import Expression, Field, ResourceConfig
from connector.config.resources import reading
from connector.frozen import dataclass
from connector.model import Delivery, Delta, Json, Write
from connector.targets import extract
from connector.targets.template import text


class Unread:
    """The type of `UNREAD`: what the CRM holds is not known."""

    def __repr__(self) -> str:
        return "UNREAD"


UNREAD: Final = Unread()


@dataclass(frozen=True, slots=True)
class Choice:
    """What one write sends.

    `values` are as the mapping gives them. `as_read` are values of the CRM's own that it gets back,
    already in its form. `withheld` are people's edits that were kept, with what the CRM holds.
    """

    values: Mapping[str, Json] = field(default_factory=dict)
    as_read: Mapping[str, Json] = field(default_factory=dict)
    withheld: Mapping[str, Json] = field(default_factory=dict)
    sets: Mapping[str, Json] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Nothing is left to be written."""
        return not self.values and not self.as_read


def needs_reading(order: Delivery, *, whole: bool) -> bool:
    """Whether an update of the record depends on what the CRM holds."""
    names = set(order.fields) if whole else order.changed
    policies = {policy for name, policy in order.write.items() if name in names}
    reading_ones = policies - ({"always"} if whole else {"always", "on_create"})
    return bool(reading_ones or order.deltas or (whole and order.untold))


def choose(resource: ResourceConfig, order: Delivery, record: Json, *, whole: bool) -> Choice:
    """What an update sends. `record` is what the CRM holds, or UNREAD; `whole`: the write
    replaces, so what is withheld goes back as it is."""
    values: dict[str, Json] = {}
    as_read: dict[str, Json] = {}
    withheld: dict[str, Json] = {}
    for name in order.fields if whole else sorted(order.changed & order.fields.keys()):
        held = holds(resource, name, record)
        policy = order.write.get(name, "always")
        # What replaces a record would clear a field that is left out.
        if _MAY_WRITE[policy](resource, order, name, held) or (whole and held is UNREAD):
            values[name] = order.fields[name]
            continue
        if whole:
            _give_back(resource, name, held, values, as_read)
        if policy == "unless_edited" and held is not UNREAD:
            withheld[name] = held
    if whole:
        for name in sorted(order.untold - order.fields.keys()):
            held = holds(resource, name, record)
            if held is not UNREAD and held is not None:
                _give_back(resource, name, held, values, as_read)
    sets = {
        name: _applied(holds(resource, name, record), delta)
        for name, delta in sorted(order.deltas.items())
    }
    return Choice({**values, **sets}, as_read, withheld, sets)


def choose_for_new(order: Delivery) -> Choice:
    """What a create sends: everything."""
    if not order.deltas:
        return Choice(order.fields)
    sets = {name: _applied([], delta) for name, delta in order.deltas.items()}
    return Choice({**order.fields, **sets}, sets=sets)


def replaced(
    resource: ResourceConfig, order: Delivery, choice: Choice, record: Json
) -> dict[str, Json]:
    """What the CRM holds, before the write, in fields that are to hold something else after it.

    A field whose `as:` is around what is read is left out: nobody can tell what it stands for.
    """
    found = {
        name: holds(resource, name, record)
        for name in choice.values.keys() & order.fields.keys()
        if not is_shaped(resource.fields.get(name))
    }
    return {
        name: held
        for name, held in sorted(found.items())
        if held is not UNREAD and not same(resource, name, held, choice.values[name])
    }


def holds(resource: ResourceConfig, name: str, record: Json) -> Json:
    """What the CRM holds in a field, or UNREAD."""
    return UNREAD if record is UNREAD else extract.find(_reading(resource, name), record)


def same(resource: ResourceConfig, name: str, one: Json, other: Json) -> bool:
    """Whether two values of a field are equal to a CRM."""
    rule = resource.fields.get(name)
    empty = rule.empty if rule else resource.empty
    return _comparable(one, empty) == _comparable(other, empty)


def mark(resource: ResourceConfig, name: str, held: Json) -> str:
    """Eight letters that are equal for values that are `same`."""
    rule = resource.fields.get(name)
    comparable = _comparable(held, rule.empty if rule else resource.empty)
    return b64encode(sha256(comparable.encode("utf-8", "surrogatepass")).digest()[:6]).decode()


def is_shaped(rule: Field | None) -> bool:
    """Whether what is read of the field has its `as:` still around it."""
    return rule is not None and rule.as_ is not None and rule.read == reading(rule.at)


def _reading(resource: ResourceConfig, name: str) -> Expression:
    return resource.field(name).read


def _give_back(
    resource: ResourceConfig,
    name: str,
    held: Json,
    values: dict[str, Json],
    as_read: dict[str, Json],
) -> None:
    (as_read if is_shaped(resource.fields.get(name)) else values)[name] = held


def _comparable(value: Json, empty: Json) -> str:
    if value in (None, "", []) or (
        value == empty and isinstance(value, bool) == isinstance(empty, bool)
    ):
        return ""
    if isinstance(value, str):
        return value.replace("\r\n", "\n")
    if isinstance(value, list):
        return json.dumps([_comparable(item, None) for item in value])
    if isinstance(value, dict):
        return json.dumps({key: _comparable(item, None) for key, item in sorted(value.items())})
    return text(value)


def _applied(base: Json, delta: Delta) -> list[Json]:
    """A list with elements added and removed; elements compare as text."""
    held = base if isinstance(base, list) else []
    removed = {text(item) for item in delta.remove}
    kept = [item for item in held if text(item) not in removed]
    known = {text(item) for item in kept}
    return kept + [item for item in delta.add if text(item) not in known]


# --- the policies: may this field be written, given what the CRM holds?

_Policy = Callable[[ResourceConfig, Delivery, str, Json], bool]


def _always(resource: ResourceConfig, order: Delivery, name: str, held: Json) -> bool:
    return True


def _on_create(resource: ResourceConfig, order: Delivery, name: str, held: Json) -> bool:
    return False


def _if_empty(resource: ResourceConfig, order: Delivery, name: str, held: Json) -> bool:
    return held is not UNREAD and same(resource, name, held, None)


def _unless_edited(resource: ResourceConfig, order: Delivery, name: str, held: Json) -> bool:
    """Before the first delivery anything but emptiness counts as an edit."""
    if held is UNREAD:
        return False
    if same(resource, name, held, order.fields[name]):
        return True
    before = order.baseline.get(name)
    return mark(resource, name, held) == (mark(resource, name, None) if before is None else before)


_MAY_WRITE: Mapping[Write, _Policy] = {
    "always": _always,
    "on_create": _on_create,
    "if_empty": _if_empty,
    "unless_edited": _unless_edited,
}
