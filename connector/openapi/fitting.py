"""Mapping rules that do not fit what the CRM knows of a resource (`schema:` in config.yaml).

Three things are told, each at the place of the mapping rule: a field that the CRM does not know; a
value that does not fit its type, length, choices or format, as far as constants and the vendors'
documented bodies show; a required field that no rule sets. All are warnings: what an API documents
is not always what it does. Pure; who calls brings the schemas and the changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from connector.config.model import ResourceConfig, Step
from connector.mapping.rules import Computed, Constant, FieldRule, RecordRule, Reference
from connector.mapping.ruleset import MappingSet
from connector.model import Change, Delta, Json, Place, Problem, Ref, Whole
from connector.openapi.known import Known
from connector.openapi.shapes import properties, types
from connector.problems import nearest
from connector.targets.placement import show
from connector.targets.template import text

_SHOWN = 40  # characters of a value
_NAMED = 8  # fields that a hint lists


@dataclass(frozen=True, slots=True)
class Fitted:
    """A resource as it is configured, and what the CRM knows of it."""

    config: ResourceConfig
    known: Known


Resources = Mapping[tuple[str, str], Fitted]
"""By target and resource."""


def misfits(
    mapping_set: MappingSet, resources: Resources, changes: Iterable[Change]
) -> Iterator[Problem]:
    """Every doubt, once, in the order of the files. `changes`: what the set makes of examples."""
    told: dict[tuple[Place | None, str], Problem] = {}
    for problem in _all(mapping_set, resources, changes):
        # Of the values that one rule gives, one that does not fit is example enough.
        told.setdefault((problem.place, problem.hint), problem)
    yield from sorted(told.values(), key=_in_order)


def _in_order(problem: Problem) -> tuple[str, int, int]:
    place = problem.place
    return (place.file, place.line, place.column) if place else ("", 0, 0)


def _all(
    mapping_set: MappingSet, resources: Resources, changes: Iterable[Change]
) -> Iterator[Problem]:
    for block in mapping_set.blocks:
        for record in block.records:
            fitted = resources.get((record.target, record.resource))
            if fitted and record.action == "upsert":
                for rule in record.fields:
                    yield from _of_rule(rule, record, fitted)
    yield from _unset(mapping_set, resources)
    rules = {rule.number: rule for rule in _rules(mapping_set)}
    for change in changes:
        fitted = resources.get((change.target, change.resource))
        if fitted and change.action == "upsert":
            yield from _of_change(change, fitted, rules)


def _rules(mapping_set: MappingSet) -> Iterator[FieldRule]:
    for block in mapping_set.blocks:
        for record in block.records:
            yield from record.fields


# --- the rules themselves


def _of_rule(rule: FieldRule, record: RecordRule, fitted: Fitted) -> Iterator[Problem]:
    at = fitted.config.field(rule.name).at
    found = _find(fitted.known, at)
    if isinstance(found, _Missing):
        name = show(at)
        also = "" if name == rule.name else f" (the mapping's {rule.name!r})"
        what = f"the CRM does not know the field {name!r} of {record.resource}{also}"
        yield Problem(what, _known(found), rule.place)
        return
    if found.get("readOnly") is True:
        what = f"{show(at)!r} of {record.resource} can only be read in the CRM"
        yield Problem(what, "its schema says readOnly", rule.place)
    for value, place in _constants(rule):
        yield from _of_value(value, place, rule, record.resource, fitted)


@dataclass(frozen=True, slots=True)
class _Missing:
    """A step that a schema does not have, and the names that it has there."""

    name: str
    options: tuple[str, ...]


def _find(known: Known, at: tuple[Step, ...]) -> Mapping[str, Json] | _Missing:
    """The schema of a place; an empty one where the CRM does not say what stands there."""
    here: Mapping[str, Json] = {"properties": known.fields}
    for step in at:
        options = properties(here)
        if not options:
            return {}
        if step.name not in options:
            return _Missing(step.name, tuple(options))
        here = options[step.name]
        if step.where:
            items = here.get("items")
            here = items if isinstance(items, dict) else {}
    return here


def _known(missing: _Missing) -> str:
    if close := nearest(missing.name, missing.options):
        return f"did you mean {close!r}?"
    more = ", …" if len(missing.options) > _NAMED else ""
    return f"known: {', '.join(missing.options[:_NAMED])}{more}"


def _constants(rule: FieldRule) -> Iterator[tuple[Json, Place]]:
    """Values that are written out in a rule, with their places."""
    source = rule.source
    if isinstance(source, Constant):
        yield source.value, rule.place
    if isinstance(source, Computed):
        for key, value in (source.values or {}).items():
            yield value, source.keys.get(key, rule.place)
        if isinstance(source.otherwise, Constant):
            yield source.otherwise.value, rule.place


def _unset(mapping_set: MappingSet, resources: Resources) -> Iterator[Problem]:
    """Required fields that nothing sets, told where the resource is first written."""
    first: dict[tuple[str, str], RecordRule] = {}
    for block in mapping_set.blocks:
        for record in block.records:
            if record.action == "upsert":
                first.setdefault((record.target, record.resource), record)
    for key, fitted in resources.items():
        if key not in first:
            continue
        mapped = {fitted.config.field(name).at[0].name for name in mapping_set.fields_of(*key)}
        own = fitted.config.external_id
        mapped |= {own.at[0].name} if own else set()
        for name in sorted(fitted.known.required - mapped):
            what = f"no rule sets {name!r}, which the CRM requires of {key[1]}"
            hint = f"add {name} to the fields, or see that the CRM fills it in"
            yield Problem(what, hint, first[key].place)


# --- values


def _of_change(change: Change, fitted: Fitted, rules: Mapping[int, FieldRule]) -> Iterator[Problem]:
    for name, value in change.fields.items():
        rule = rules.get(change.rules.get(name, -1))
        if rule is None or isinstance(value, Ref | Delta) or isinstance(rule.source, Reference):
            continue
        plain = list(value.items) if isinstance(value, Whole) else value
        yield from _of_value(plain, rule.place, rule, change.resource, fitted)


def _of_value(
    value: Json, place: Place, rule: FieldRule, resource: str, fitted: Fitted
) -> Iterator[Problem]:
    """What is wrong with a value as it would be sent. One that clears is as good as any."""
    field = fitted.config.field(rule.name)
    if value in (None, "") or field.as_ is not None:
        return
    schema = _find(fitted.known, field.at)
    if isinstance(schema, _Missing):
        return
    sent = text(value) if fitted.config.values == "strings" else value
    if wanted := misfit(sent, schema):
        shown = text(sent) if isinstance(sent, str) else f"{text(sent)} ({_type(sent)})"
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        what = f"{rule.name!r} of {resource} may be {shown!r}"
        yield Problem(what, f"the CRM wants {wanted}", place)


def misfit(value: Json, schema: Mapping[str, Json]) -> str:
    """What the schema wants instead; empty where the value fits, or nothing can be said."""
    wanted = types(schema)
    if wanted and not any(_IS[each](value) for each in wanted if each in _IS):
        return _wanted(wanted)
    if "const" in schema and value != schema["const"]:
        return repr(schema["const"])
    choices = schema.get("enum")
    if isinstance(choices, list) and value not in choices:
        choices = [each for each in choices if each is not None]
        shown = ", ".join(text(each) for each in choices[:_NAMED])
        return f"one of {shown}{', …' if len(choices) > _NAMED else ''}"
    if isinstance(value, str):
        return _misfit_of_text(value, schema)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _misfit_of_number(value, schema)
    if isinstance(value, list) and isinstance(items := schema.get("items"), dict):
        return next((f"a list of {each}" for v in value if (each := misfit(v, items))), "")
    return ""


def _wanted(wanted: tuple[str, ...]) -> str:
    words = [_WORDS.get(each, each) for each in wanted if each != "null"]
    return " or ".join(words) or "nothing (null)"


def _misfit_of_text(value: str, schema: Mapping[str, Json]) -> str:
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if isinstance(longest, int) and len(value) > longest:
        return f"at most {longest} characters"
    if isinstance(shortest, int) and len(value) < shortest:
        return f"at least {shortest} characters"
    check = _FORMATS.get(str(schema.get("format")))
    return f"text in the format {schema['format']}" if check and not check(value) else ""


def _misfit_of_number(value: float, schema: Mapping[str, Json]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if isinstance(least, int | float) and value < least:
        return f"at least {least}"
    if isinstance(most, int | float) and value > most:
        return f"at most {most}"
    return ""


def _type(value: Json) -> str:
    return next((_WORDS[name] for name, is_one in _IS.items() if is_one(value)), "nothing")


_IS: Mapping[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and value == int(value)
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
_WORDS: Mapping[str, str] = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "array": "a list",
    "object": "an object",
}


def _parses(read: Callable[[str], object]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            read(value)
        except ValueError:
            return False
        return True

    return check


def _moment(value: str) -> object:
    """RFC 3339: a date and a time, with a zone."""
    if "T" not in value.upper() or datetime.fromisoformat(value).tzinfo is None:
        raise ValueError(value)
    return value


_FORMATS: Mapping[str, Callable[[str], bool]] = {
    "date-time": _parses(_moment),
    "date": lambda value: len(value) == 10 and _parses(date.fromisoformat)(value),
    "email": lambda value: re.fullmatch(r"[^@\s]+@[^@\s]+", value) is not None,
    "uuid": lambda value: (
        re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", value) is not None
    ),
    "uri": lambda value: re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", value) is not None,
}
