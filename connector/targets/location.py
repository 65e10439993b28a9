"""The id of a record that a create names in a header alone (RFC 9110 §15.3.2). Pure.

Only an address of the shape that the resource's own calls have is believed: whatever stands there
at the place of `{crm_id}` is the id. Hosts are not compared, for a CRM behind a proxy may not know
the name that it is called by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urljoin, urlsplit

from connector.config.model import Call
from connector.model import Json
from connector.targets.template import CannotRender, render_path

_HEADERS = ("Location", "OData-EntityId")
_MARK = "\0"


def id_in_location(
    headers: Mapping[str, str],
    address: str,
    base_url: str,
    calls: Iterable[Call],
    values: Mapping[str, Json],
) -> str | int | None:
    """What stands for `{crm_id}` in the address of a new record; None where that is not told.

    `address` is that of the call that was answered, `calls` are those of one record, `values` those
    of the other placeholders. An id of digits is a number, as it is in the JSON of such a CRM.
    """
    shapes = [shape for call in calls if (shape := _shape(base_url, call, values))]
    for name in _HEADERS:
        given = headers.get(name)
        if not given:
            continue
        path = unquote(urlsplit(urljoin(address, given)).path).rstrip("/")
        for shape in shapes:
            if found := shape.fullmatch(path):
                return int(found[1]) if re.fullmatch(r"[1-9]\d{0,14}", found[1]) else found[1]
    return None


def _shape(base_url: str, call: Call, values: Mapping[str, Json]) -> re.Pattern[str] | None:
    """The paths that the call has for any id; None where it says none in its path."""
    try:
        path = unquote(render_path(call.path, {**values, "crm_id": _MARK}))
    except CannotRender:
        return None
    before, mark, after = (unquote(urlsplit(base_url).path) + path).rstrip("/").partition(_MARK)
    if not mark or _MARK in after:
        return None
    return re.compile(re.escape(before) + r"([^/]+)" + re.escape(after))
