"""What else the CRM might have meant: other bodies, methods and places, tried when one is refused.

`bodies` and `changes` are tables of guesses, each with the lines of configuration that say so; the
first that the CRM takes is the one the lab goes on with. The rest finds lists, ids and records in
answers that hold them elsewhere than configured. Nothing here judges; the probes do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from connector.checkup.lab import Lab
from connector.config.model import WHOLE, Call, Expression, Upsert
from connector.model import Json
from connector.targets import extract
from connector.targets.answers import Judgement

LISTS = ("data", "items", "results", "records", "value", "rows", "hits", "list", "content")
RECORDS = (
    *("@", "data", "data.attributes", "data[0]", "[0]"),
    *("result", "item", "record", "attributes", "properties"),
)
IDS = ("id", "_id", "Id", "ID", "uuid", "key")
_WRAPPERS = ("", "data.", "data.attributes.", "data[0].", "result.", "item.", "record.", "[0].")
_OVERRIDE = "X-HTTP-Method-Override"
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Guess:
    """Something to try: what it is in words, what the resource would say, which headers each call
    would carry."""

    what: str
    changes: Mapping[str, Any]
    advice: Mapping[str, Json]
    headers: Mapping[str, str] = field(default_factory=dict)


# --- bodies


def bodies(lab: Lab, refused: Judgement) -> Iterator[Guess]:
    """Other ways to send what was refused, the likeliest first."""
    if refused.status == 415:
        yield _headers("a form", {"Content-Type": _FORM})
    if refused.status == 403:
        parts = urlsplit(lab.config.base_url)
        yield _headers("a header Origin", {"Origin": f"{parts.scheme}://{parts.netloc}"})
        return
    if lab.resource.values == "json":
        yield Guess("every value as text", {"values": "strings"}, {"values": "strings"})
    if lab.resource.body != "{fields}":
        yield _body(lab, "a bare body", "{fields}")
    for what, body in _bodies(lab.resource.name):
        yield _body(lab, what, body)


def _bodies(name: str) -> Iterator[tuple[str, Json]]:
    singular = name.rpartition("/")[2].removesuffix("s")
    yield "a body in `data`", {"data": "{fields}"}
    yield "a list of one", ["{fields}"]
    yield "a list in `data`", {"data": ["{fields}"]}
    yield f"a body in `{singular}`", {singular: "{fields}"}
    yield "a body in `properties`", {"properties": "{fields}"}
    yield "a body of JSON:API", {"data": {"type": "{resource}", "attributes": "{fields}"}}


def _headers(what: str, headers: Mapping[str, str]) -> Guess:
    return Guess(what, {}, {"headers": dict(headers)}, headers)


def _body(lab: Lab, what: str, body: Json) -> Guess:
    old, upsert = lab.resource.body, lab.resource.upsert
    calls: dict[str, Any] = {
        kind: replace(call, body=body)
        for kind in ("call", "create", "update")
        if (call := getattr(upsert, kind)) and call.body == old
    }
    return Guess(what, {"body": body, "upsert": replace(upsert, **calls)}, {"body": body})


# --- methods


def changes(lab: Lab, refused: Judgement) -> Iterator[Guess]:
    """Other ways to change a record, where one field by the configured method is refused."""
    if refused.status not in (404, 405, 501) and lab.resource.send != "all":
        yield Guess("all fields", {"send": "all"}, {"send": "all"})
    if refused.status not in (404, 405, 501):
        return
    upsert = lab.resource.upsert
    kind = "update" if upsert.update else "call"
    call: Call = getattr(upsert, kind)
    for method in ("PATCH", "PUT", "POST"):
        if method == call.method:
            continue
        other = _with(upsert, kind, replace(call, method=method))
        whole: dict[str, Json] = {"send": "all"} if method == "PUT" else {}
        advice = {"upsert": as_configured(other), **whole}
        yield Guess(method, {"upsert": other, **whole}, advice)
    other = _with(upsert, kind, _overridden(call))
    yield Guess(f"POST with {_OVERRIDE}", {"upsert": other}, {"upsert": as_configured(other)})


def deletion(lab: Lab) -> Guess:
    """A delete that goes as POST."""
    call = _overridden(lab.resource.delete)
    return Guess(f"POST with {_OVERRIDE}", {"delete": call}, {"delete": _said(call, "DELETE")})


def _with(upsert: Upsert, kind: str, call: Call) -> Upsert:
    changed: dict[str, Any] = {kind: call}
    return replace(upsert, **changed)


def _overridden(call: Call) -> Call:
    return replace(call, method="POST", headers={**call.headers, _OVERRIDE: call.method})


# --- places in answers


def id_in(data: Json, name: str, other_than: str) -> tuple[str, str | int] | None:
    """Where an answer holds an id of the CRM's own, and the id."""
    singular = name.removesuffix("s")
    for wrapper in (*_WRAPPERS, f"{_quoted(singular)}.", f"{_quoted(name)}."):
        for each in IDS:
            value = extract.find_id(Expression(wrapper + each), data)
            if value is not None and str(value) != other_than:
                return wrapper + each, value
    return None


def list_in(data: Json) -> str | None:
    """Where an answer to a search has its hits: by name, else the only list there is."""
    for wrapper in ("", "data.", "result.", "_embedded."):
        for name in LISTS:
            if isinstance(extract.find(Expression(wrapper + name), data), list):
                return wrapper + name
    if isinstance(data, list):
        return "@"
    if not isinstance(data, dict):
        return None
    lists = [key for key, value in data.items() if isinstance(value, list)]
    return _quoted(lists[0]) if len(lists) == 1 else None


def record_in(data: Json, good: Callable[[Json], bool], first: Expression = WHOLE) -> str | None:
    """Where an answer holds a record that is good."""
    for place in (first.text, *RECORDS):
        record = extract.find(Expression(place), data)
        if isinstance(record, dict) and good(record):
            return place
    return None


def _quoted(name: str) -> str:
    return name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '\\"') + '"'


# --- as config.yaml has it

_METHODS = {"search": "GET", "create": "POST", "update": "PATCH"}
_ONE = {"put": "PUT", "patch": "PATCH", "post": "POST"}


def as_configured(upsert: Upsert) -> dict[str, Json]:
    """An `upsert:` whole, for inheritance takes each key whole. What holds credentials it repeats
    as it was read, so whoever prints it must mask it."""
    said: dict[str, Json] = {"strategy": upsert.strategy}
    if upsert.call:
        said |= _said(upsert.call, _ONE[upsert.strategy])
    for kind, method in _METHODS.items():
        if call := getattr(upsert, kind):
            said[kind] = _said(call, method)
    return said


def _said(call: Call, method: str) -> dict[str, Json]:
    said: dict[str, Json] = {"path": call.path}
    if call.method != method:
        said = {"method": call.method, **said}
    for key in ("query", "headers", "escape"):
        if value := getattr(call, key):
            said[key] = dict(value)
    for key in ("found", "record"):
        expression: Expression | None = getattr(call, key)
        if expression is not None and expression.text != "@":
            said[key] = expression.text
    return said
