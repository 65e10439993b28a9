"""A configured call, filled in for one record: what goes out, apart from credentials. Pure.

The path as shown and as the idempotency key covers it has the query of the call but never that of
`auth: query`, which is added when the call is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from connector import __version__, compact
from connector.config.model import Call
from connector.frozen import dataclass
from connector.model import Json
from connector.targets.answers import CallKind
from connector.targets.http import STRAIGHT, Request, Route
from connector.targets.template import (
    CannotRender,
    encode_pairs,
    escape_ids,
    render,
    render_path,
    render_query,
    render_text,
)

_json = compact.writer(nan=False)
_FORM = "application/x-www-form-urlencoded"
_DEFAULTS = {"Accept": "application/json", "User-Agent": f"crm-connector/{__version__}"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call to make. `base` and `path` (with its query) are its address."""

    kind: CallKind
    method: str
    base: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)

    def request(
        self, headers: Mapping[str, str], query: str = "", route: Route = STRAIGHT
    ) -> Request:
        """As it goes to the wire, with headers and a query that show in no log."""
        address = self.base + self.path
        if query:
            address += ("&" if "?" in self.path else "?") + query
        merged = merge_headers(self.headers, headers)
        return Request(self.method, address, merged, self.body, route)


def fill_in(
    kind: CallKind,
    call: Call,
    base: str,
    values: Mapping[str, Json],
    *headers: Mapping[str, str],
) -> Outgoing:
    """A call with its templates filled in.

    `values` are those of the placeholders, `headers` go before the call's own. Raises CannotRender
    for a record that this call cannot be written for.
    """
    escaped = escape_ids(values, call.escape)
    path = render_path(call.path, escaped)
    if path and not path.startswith("/"):
        base, path = ("", path) if "://" in path else (base, f"/{path}")
    if call.query and (query := render_query(call.query, escaped)):
        path += ("&" if "?" in path else "?") + query
    own = {name: render_text(value, values) for name, value in call.headers.items()}
    merged = merge_headers(_DEFAULTS, *headers, own)
    if call.body is None:
        return Outgoing(kind, call.method, base, path, merged)
    given = header(merged, "Content-Type")
    body, content_type = _encode(render(call.body, values), given)
    if given is None:
        merged["Content-Type"] = content_type
    return Outgoing(kind, call.method, base, path, merged, body)


def merge_headers(*groups: Mapping[str, str]) -> dict[str, str]:
    """Headers, later ones winning whatever their case."""
    given = [group for group in groups if group]
    if len(given) == 1:
        return dict(given[0])
    merged: dict[str, tuple[str, str]] = {}
    for group in given:
        for name, value in group.items():
            merged[name.lower()] = (name, value)
    return dict(merged.values())


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header, whatever its case."""
    for key, value in headers.items():
        if key == name or key.lower() == name.lower():
            return value
    return None


def _encode(body: Json, content_type: str | None) -> tuple[bytes, str]:
    """The body as bytes, and its type: as given, else JSON.

    With a given type that is no JSON a text goes as it is, and a form as one: a list repeats its
    parameter, a map is JSON, null is empty.
    """
    given = (content_type or "").partition(";")[0].strip().lower()
    if given == _FORM and isinstance(body, dict):
        # A form knows no null, and what is left out of it is left as it is: empty clears.
        pairs = ((key, "" if value is None else value) for key, value in body.items())
        return encode_pairs(pairs).encode(), content_type or _FORM
    if given and not given.endswith("json") and isinstance(body, str):
        return _utf8(body), content_type or ""
    try:
        text = _json(body)
    except ValueError as error:
        raise CannotRender(f"the body cannot be written as JSON: {error}") from error
    return _utf8(text), content_type or "application/json"


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise CannotRender(f"the body is no Unicode text: {error.reason}") from error
