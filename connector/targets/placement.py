"""Where fields stand in a body: `a.b`, `custom_fields[id=4].value`, `"odd.name"`.

Pure. A place is a path of steps, as `config` reads them: each a key, then maybe the object of the
list under it that has a value under a key; that object is made where it is missing. A place that
ends with such an object takes an object, which is merged into it. Fields are placed in the order
of their names, so that equal fields give equal bytes, and with them the same idempotency key.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import TypeAlias

from connector.config.model import Step
from connector.model import Json

Place: TypeAlias = tuple[Step, ...]


class CannotPlace(ValueError):
    """Two fields that cannot both stand where they are said to; the message names the place."""


def place_all(values: Iterable[tuple[Place, Json]]) -> dict[str, Json]:
    """An object that holds each value at its place. Raises CannotPlace.

    What stands in a place of its own is the value itself: for reading.
    """
    tree: dict[str, Json] = {}
    lent: set[str] = set()
    for place, value in values:
        name = place[0].name
        if len(place) == 1 and not place[0].where and name not in tree:
            tree[name] = value  # nearly always
            if isinstance(value, dict | list):
                lent.add(name)
            continue
        if name in lent:  # another value may go into it
            tree[name] = deepcopy(tree[name])
            lent.remove(name)
        _put(tree, place, value)
    return tree


def show(place: Place) -> str:
    """A place for people: `custom_fields[id=4].value`."""
    return ".".join(
        step.name + (f"[{step.where[0]}={step.where[1]}]" if step.where else "") for step in place
    )


def _put(tree: dict[str, Json], place: Place, value: Json) -> None:
    node, last = tree, place[-1]
    if len(place) > 1:
        for step in place[:-1]:
            node = _object_at(node, step, place)
    if last.where:
        if not isinstance(value, dict):
            raise CannotPlace(f"{show(place)} is an object of a list: name the key that is meant")
        _object_at(node, last, place).update(deepcopy(value))
        return
    if last.name in node and node[last.name] != value:
        raise CannotPlace(f"two fields stand at {show(place)}")
    node[last.name] = deepcopy(value) if isinstance(value, dict | list) else value


def _object_at(node: dict[str, Json], step: Step, place: Place) -> dict[str, Json]:
    """The object that a step leads to, made where it is missing."""
    child = node.setdefault(step.name, [] if step.where else {})
    if step.where and isinstance(child, list):
        found = next((item for item in child if _is_the_one(item, step.where)), None)
        if found is None:
            found = {step.where[0]: step.where[1]}
            child.append(found)
        return found
    if step.where or not isinstance(child, dict):
        raise CannotPlace(f"a field stands on the way to {show(place)}")
    return child


def _is_the_one(item: Json, where: tuple[str, Json]) -> bool:
    """As text: a CRM may give back "4" for 4."""
    return isinstance(item, dict) and where[0] in item and str(item[where[0]]) == str(where[1])
