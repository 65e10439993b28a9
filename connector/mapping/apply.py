"""An event's document and the rules for its kind → changes.

Pure, and never raises for what an event holds: one bad field is the event's error, and then there
are no changes at all, so that half of a record is never sent.

What a value becomes (docs/mapping-language.md):

- null leaves a field alone, or clears it with `on_null: clear`;
- `''` clears it, and so does a constant null, in `value:`, `values:` or `otherwise:`;
- a cleared field is None, `''` where the rule says `empty: ''`, and the empty list of a set;
- everything else is sent as it is: 0, false, blanks, empty lists and objects are values.

`values:` compares as text (12.0 is "12", true is "true"); a list or an object is among no values.
In a `merge: set` field each element is looked up by itself, and one that is skipped is left out.
`''` clears before it is looked up, unless `''` is one of the values.

A set takes a list, or an object of `add` and `remove`; equal elements are one, null is none, and a
delta without elements leaves the field alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

from connector.mapping.arguments import described
from connector.mapping.evaluation import EvaluationFailed, evaluate
from connector.mapping.functions import Context, FunctionError
from connector.mapping.rules import (
    Computed,
    Constant,
    FieldRule,
    Located,
    RecordRule,
    Reference,
)
from connector.mapping.times import micros
from connector.mapping.values import is_zero, same, scalar_text
from connector.model import (
    Applied,
    Change,
    Delta,
    Json,
    Micros,
    Place,
    Problem,
    Ref,
    Value,
    Whole,
    Write,
)

AHEAD: Micros = 24 * 60 * 60 * 1_000_000
"""How far a vendor's version may lie ahead of the time of receipt."""

_NOBODY = frozenset({"", "0", "-1"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class _Mark(Enum):
    ABSENT = auto()
    CLEARED = auto()


ABSENT: Final = _Mark.ABSENT
CLEARED: Final = _Mark.CLEARED
Outcome: TypeAlias = "Json | Ref | Literal[_Mark.ABSENT, _Mark.CLEARED]"


class Wrong(Exception):
    """The event cannot be mapped."""

    def __init__(self, message: str, hint: str, place: Place) -> None:
        super().__init__(message)
        self.problem = Problem(message, hint, place)


def apply_rules(
    rules: Sequence[RecordRule],
    document: Mapping[str, Json],
    timezone: ZoneInfo,
    tables: Mapping[str, Mapping[str, Json]],
) -> Applied:
    """What the rules make of an event document (docs/events.md), in their order."""
    run = Run(document, timezone, tables, rules[0].place)
    try:
        changes = tuple(_all_changes(rules, run))
    except Wrong as wrong:
        return Applied("error", warnings=tuple(run.doubts.warnings), error=wrong.problem)
    except Exception as error:  # a fault of ours must not stop the worker
        message = f"the event cannot be mapped: {type(error).__name__}: {error}"
        problem = Problem(message, "this is a fault of the connector", run.doubts.place)
        return Applied("error", warnings=tuple(run.doubts.warnings), error=problem)
    return Applied("mapped", changes, tuple(run.doubts.warnings))


class Doubts:
    """What was warned of so far in one event, and where its run stands: `place` is that of the rule
    at work, for warnings and for faults of ours.

    Apart from the run, which knows it: in a circle they would keep the whole document until Python
    looks for circles.
    """

    __slots__ = ("located", "place", "warnings")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.located: Located | None = None
        self.warnings: list[Problem] = []

    def warn(self, message: str) -> None:
        """Notes a doubt about the expression that was evaluated last."""
        text = self.located.text if self.located else ""
        problem = Problem(f"{message} in `{text}`", "", self.place)
        if problem not in self.warnings:
            self.warnings.append(problem)


class Run:
    """One event on its way through the rules; `place` is that of the first."""

    __slots__ = ("_context", "document", "doubts", "timezone")

    def __init__(
        self,
        document: Mapping[str, Json],
        timezone: ZoneInfo,
        tables: Mapping[str, Mapping[str, Json]],
        place: Place,
    ) -> None:
        self.document = document
        self.timezone = timezone
        self.doubts = Doubts(place)
        self._context = Context(timezone, tables, self.doubts.warn)

    def value(self, located: Located, scope: Mapping[str, Json]) -> Json:
        """The value of an expression in the document, or in an item's scope."""
        doubts = self.doubts
        doubts.place, doubts.located = located.place, located
        try:
            return evaluate(located.expression, scope, self._context)
        except EvaluationFailed as error:
            raise _wrong(located, error) from error

    def received_at(self) -> Micros | None:
        text = self.document["meta"].get("received_at")
        return _read_back(text) if isinstance(text, str) else None


@lru_cache(maxsize=64)  # each rule of an event asks for the same
def _read_back(text: str) -> Micros:
    """The time of a document's `meta`."""
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def _wrong(located: Located, error: EvaluationFailed) -> Wrong:
    message = f"{error.message} in `{located.text}`"
    return Wrong(message, "", located.at(error.offset))


# --- records


def _all_changes(rules: Sequence[RecordRule], run: Run) -> Iterator[Change]:
    written: dict[tuple[str, str, str], dict[str, FieldRule]] = {}
    for rule in rules:
        for change in _changes(rule, run):
            writes = {field.name: field for field in rule.fields if field.name in change.fields}
            known = written.setdefault((change.target, change.resource, change.id), writes)
            if known is not writes:
                for name, field in writes.items():
                    if known.setdefault(name, field) is not field:
                        raise _double_write(change, field, known[name])
            yield change


def _double_write(change: Change, field: FieldRule, first: FieldRule) -> Wrong:
    return Wrong(
        f"the field {field.name!r} of {change.resource} {change.id!r} is written by two rules "
        "for one event",
        f"the other stands at {first.place}: keep one, or tell them apart with `when`",
        field.place,
    )


def _changes(rule: RecordRule, run: Run) -> Iterator[Change]:
    """The changes of one rule; an id that comes again with the same change is one change."""
    seen: dict[str, Change] = {}
    for scope in scopes(rule, run):
        if not _is_wanted(rule.when, run, scope):
            continue
        change = _change(rule, run, scope)
        first = seen.setdefault(change.id, change)
        if first is change:
            yield change
        elif difference := _difference(first, change):
            raise Wrong(
                f"two items of one event give {rule.resource} {change.id!r} different values: "
                f"{difference}",
                "an id that names one item each would be right",
                rule.id.place,
            )


def scopes(rule: RecordRule, run: Run) -> Iterable[Mapping[str, Json]]:
    """What the record's expressions see: the document, or for each item the document with it."""
    return (run.document,) if rule.each is None else _with_items(rule.each, run)


def _with_items(each: Located, run: Run) -> Iterator[Mapping[str, Json]]:
    items = run.value(each, run.document)
    if items is None:
        return
    if not isinstance(items, list):
        raise Wrong(
            f"`{each.text}` gives {described(items)}, but `each` takes a list",
            f"to_array({each.text}) makes a list of one value",
            each.place,
        )
    for index, item in enumerate(items):
        yield {**run.document, "item": item, "index": index}


def _is_wanted(when: Located | bool, run: Run, scope: Mapping[str, Json]) -> bool:
    """True as in JMESPath: all but null, false, '', [] and {}; and 0 is false too."""
    return when if isinstance(when, bool) else holds(run.value(when, scope))


def holds(value: Json) -> bool:
    """Whether a condition with this value is true: as in JMESPath, but 0 is false."""
    return not (value is None or value is False or value in ("", [], {}) or is_zero(value))


def _change(rule: RecordRule, run: Run, scope: Mapping[str, Json]) -> Change:
    record_id = _id(rule.id, run, scope)
    version = _version(rule.version, run, scope) if rule.version else None
    fields: dict[str, Value] = {}
    numbers: dict[str, int] = {}
    write: dict[str, Write] = {}
    for field in rule.fields:
        value = _field(field, run, scope)
        if value is not ABSENT:
            fields[field.name] = value
            numbers[field.name] = field.number
            if field.write != "always":
                write[field.name] = field.write
    return Change(
        action=rule.action,
        target=rule.target,
        resource=rule.resource,
        id=record_id,
        version=version,
        final=rule.final,
        fields=fields,
        write=write,
        rules=numbers,
    )


def _id(located: Located, run: Run, scope: Mapping[str, Json]) -> str:
    """The record's id as text. Booleans, lists and objects are none."""
    value = run.value(located, scope)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise Wrong(
            f"`{located.text}` gives {described(value)}, but a record needs an id",
            "name what the vendor always sends, or hold the record back with `when`",
            located.place,
        )
    return _id_text(value, located)


def _id_text(value: Json, located: Located) -> str:
    if type(value) is str:
        return value
    text = None if isinstance(value, bool) else scalar_text(value)
    if text is None:
        raise Wrong(
            f"`{located.text}` gives {described(value)}, which is no id",
            "an id is a text or a number",
            located.place,
        )
    return text


def _version(located: Located, run: Run, scope: Mapping[str, Json]) -> Micros | None:
    """The vendor's time; None for the time of receipt."""
    value = run.value(located, scope)
    if value is None or value == "" or is_zero(value):
        return None
    try:
        version = micros(value, run.timezone, "version")
    except FunctionError as error:
        raise Wrong(
            f"the version cannot be read: {error} in `{located.text}`",
            "",
            located.place,
        ) from error
    received_at = run.received_at()
    if version is None or received_at is None or version <= received_at + AHEAD:
        return version
    run.doubts.warn(
        "the version lies more than 24 hours ahead of the time of receipt, which counts instead: "
        f"found {described(value)}"
    )
    return None


def _difference(one: Change, other: Change) -> str:
    """In what two changes of one record differ; empty where they are equal."""
    if one.version != other.version:
        return "their versions"
    names = [*one.fields, *(name for name in other.fields if name not in one.fields)]
    for name in names:
        if name not in one.fields or name not in other.fields:
            return f"{name!r} is given by one only"
        if not _same_value(one.fields[name], other.fields[name]):
            return f"{name!r}"
    return ""


def _same_value(one: Value, other: Value) -> bool:
    if isinstance(one, Whole) and isinstance(other, Whole):
        return same(one.items, other.items)
    if isinstance(one, Delta) and isinstance(other, Delta):
        return same((one.add, one.remove), (other.add, other.remove))
    return same(one, other)


# --- fields


def _field(rule: FieldRule, run: Run, scope: Mapping[str, Json]) -> Any:
    """The field's value for the change; ABSENT where it is left alone."""
    run.doubts.place = rule.place
    source = rule.source
    outcome: Outcome
    if type(source) is Computed and source.values is None:  # most fields
        value = run.value(source.value, scope)
        if value is None:
            outcome = CLEARED if rule.null_clears else ABSENT
        else:
            outcome = CLEARED if value == "" else value
    else:
        outcome = _OUTCOMES[type(source)](rule, source, run, scope)
    if outcome is ABSENT:
        return ABSENT
    if outcome is CLEARED:
        return Whole(()) if rule.is_set else rule.empty
    return _set(outcome, rule) if rule.is_set else outcome


def _constant(rule: FieldRule, source: Constant, run: Run, scope: Mapping[str, Json]) -> Outcome:
    return _settled(source.value)


def _settled(value: Json) -> Outcome:
    """A constant: null and '' clear."""
    return CLEARED if value is None or value == "" else value


def _looked_up(rule: FieldRule, source: Computed, run: Run, scope: Mapping[str, Json]) -> Outcome:
    """A computed value with `values:`."""
    value = run.value(source.value, scope)
    if value is None:
        return CLEARED if rule.null_clears else ABSENT
    if value == "" and "" not in (source.values or {}):
        return CLEARED
    if not rule.is_set:
        return _translated(value, source)
    if isinstance(value, dict):
        return {key: _all_translated(part, source) for key, part in value.items()}
    return _all_translated(value, source)


def _all_translated(value: Json, source: Computed) -> Json:
    """The elements of a set, each looked up by itself."""
    if not isinstance(value, list):
        return value
    known = [_translated(element, source) for element in value if element is not None]
    return [element for element in known if not isinstance(element, _Mark)]


def _translated(value: Json, source: Computed) -> Outcome:
    """What `values:` makes of a value that is neither null nor left to clear."""
    values = source.values or {}
    text = scalar_text(value)
    if text is not None and text in values:
        return _settled(values[text])
    if isinstance(source.otherwise, Constant):
        return _settled(source.otherwise.value)
    if source.otherwise == "error":
        raise Wrong(
            f"`{source.value.text}` gives {described(value)}, which is not among the values "
            f"{', '.join(values)}",
            "add it to `values`, or say otherwise: keep, skip or {value: …}",
            source.value.place,
        )
    return value if source.otherwise == "keep" else ABSENT


def _reference(rule: FieldRule, source: Reference, run: Run, scope: Mapping[str, Json]) -> Outcome:
    value = run.value(source.id, scope)
    if value is None:
        return CLEARED if rule.null_clears else ABSENT
    text = _id_text(value, source.id)
    return CLEARED if text.strip() in _NOBODY else Ref(source.resource, text, source.missing)


_OUTCOMES: Mapping[type, Callable[..., Outcome]] = {
    Constant: _constant,
    Computed: _looked_up,
    Reference: _reference,
}


def _set(value: Json, rule: FieldRule) -> Any:
    """A list as the whole set, `{add, remove}` as a delta. Raises Wrong for anything else."""
    if isinstance(value, list):
        return Whole(_elements(value))
    lists = _added_and_removed(value)
    if lists is None:
        raise Wrong(
            f"the set {rule.name!r} is given {described(value)}",
            "a list, or {add: [...], remove: [...]}, would be right; to_array(x) makes a list",
            rule.place,
        )
    delta = Delta(*map(_elements, lists))
    return delta if delta.add or delta.remove else ABSENT


def _added_and_removed(value: Json) -> tuple[list[Json], list[Json]] | None:
    """The two lists of a delta, of which null is an empty one; None for what is no delta."""
    if not isinstance(value, dict) or not value.keys() <= {"add", "remove"}:
        return None
    add, remove = ([] if value.get(key) is None else value[key] for key in ("add", "remove"))
    return (add, remove) if isinstance(add, list) and isinstance(remove, list) else None


def _elements(values: list[Json]) -> tuple[Json, ...]:
    """The elements of a set in their order: equal ones once, null not at all."""
    by_text = {json.dumps(value, sort_keys=True): value for value in values if value is not None}
    return tuple(by_text.values())
