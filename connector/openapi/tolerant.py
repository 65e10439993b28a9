"""YAML as others write it: YAML 1.2 values, but `<<`, tags and keys without a value are borne.

For files that are not ours to mend; what people write for the connector is read by `yamltext`,
which is stricter and says more. Bounded: depth is counted before anything is built (libyaml's own
composer would overflow the stack), and what an alias names is shared, never copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from connector.errors import Invalid
from connector.model import Json, Place, Problem
from connector.yamltext import read_scalar

MAX_DEPTH = 200

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str, file: str) -> Json:
    """The first document; keys are text. Raises Invalid."""
    reader = _Reader(file)
    try:
        events = (e for e in yaml.parse(text, Loader=_Loader))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                return reader.value(events, next(events), 1)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        raise Invalid([Problem(f"no YAML: {error.problem}", place=place)]) from None
    except yaml.YAMLError as error:
        message = " ".join(str(error).split())[:200]
        raise Invalid([Problem(f"no YAML: {message}", place=Place(file, 1, 1))]) from None
    return None


class _Reader:
    """Builds values from events."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._anchors: dict[str, Json] = {}

    def value(self, events: Iterator[Any], event: Any, depth: int) -> Json:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._wrong(event, f"*{event.anchor} names nothing")
            return self._anchors[event.anchor]
        if depth > MAX_DEPTH:
            raise self._wrong(event, f"more than {MAX_DEPTH} levels within each other")
        if isinstance(event, yaml.ScalarEvent):
            made = _scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            return self._list(events, event, depth)
        else:
            return self._map(events, event, depth)
        if event.anchor:
            self._anchors[event.anchor] = made
        return made

    def _list(self, events: Iterator[Any], start: Any, depth: int) -> list[Json]:
        made: list[Json] = []
        if start.anchor:
            self._anchors[start.anchor] = made
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            made.append(self.value(events, event, depth + 1))
        return made

    def _map(self, events: Iterator[Any], start: Any, depth: int) -> dict[str, Json]:
        made: dict[str, Json] = {}
        merged: dict[str, Json] = {}
        if start.anchor:
            self._anchors[start.anchor] = made
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            is_merge = isinstance(event, yaml.ScalarEvent) and event.value == "<<"
            if isinstance(event, yaml.ScalarEvent):
                key = event.value
            else:
                raise self._wrong(event, "a key that is no text")
            value = self.value(events, next(events), depth + 1)
            if is_merge and event.implicit[0]:
                for part in value if isinstance(value, list) else [value]:
                    merged = {**part, **merged} if isinstance(part, dict) else merged
            else:
                made[key] = value
        for key, value in merged.items():
            made.setdefault(key, value)
        return made

    def _wrong(self, event: Any, message: str) -> Invalid:
        mark = event.start_mark
        return Invalid([Problem(message, place=Place(self._file, mark.line + 1, mark.column + 1))])


def _scalar(event: Any) -> Json:
    if event.style or not event.implicit[0]:
        return event.value
    try:
        return read_scalar(event.value)
    except ValueError:
        return event.value
