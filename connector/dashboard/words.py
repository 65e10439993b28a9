"""What the rooms behind the pages say by code words and fixed phrases, in the language of the page.

Messages that name what was found (a CRM's answer, an error of a mapping) stay as they are: they are
looked up in the handbook by their words.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import lazy_gettext as _

from connector.flow import BY_HAND

MEANINGS: Mapping[str, str] = {
    "done": _("done"),
    "refused": _("refused"),
    "fault": _("fault of the CRM"),
    "not_now": _("not now"),
    "credentials": _("credentials refused"),
    "forbidden": _("forbidden"),
    "misled": _("wrong address or search"),
    "conflict": _("conflict"),
    "gone": _("gone in the CRM"),
}
"""What an answer means (docs/answers.md)."""

DID: Mapping[str, str] = {
    "changed": _("sent to the CRM"),
    "waiting": _("not sent yet"),
    "equal": _("the CRM had it already"),
    "older": _("a newer value was here already"),
    "replaced": _("replaced by a newer value"),
    "kept": _("the CRM's own value was kept"),
    "deleted": _("the record is deleted"),
    "dropped": _("no longer in the record"),
}
"""What an event did to a field (`effects.Did`)."""

ACTIONS: Mapping[str, str] = {"upsert": _("create or update"), "delete": _("delete")}
"""What a change does to its record."""

REFUSALS: Mapping[int, str] = {
    400: _("This cannot be understood"),
    403: _("Not allowed"),
    404: _("Not found"),
    405: _("Not possible here"),
    409: _("Nothing was done"),
    413: _("Too large"),
    503: _("Busy just now"),
}
"""What a page is headed by that is none."""

_PHRASES: Mapping[str, str] = {
    BY_HAND: _("paused by hand"),
    "not sent yet": _("not sent yet"),
    "it is not sent yet": _("not sent yet"),
    "write: on_create: only a new record is given it": _("only a new record is given it"),
    "write: if_empty: the CRM holds something already": _("the CRM holds something already"),
    "write: unless_edited: somebody edited it in the CRM": _("somebody edited it in the CRM"),
}


def said(phrase: str | None) -> str:
    """A phrase in the language of the page, where it is a fixed one."""
    return str(_PHRASES.get(phrase or "", phrase or ""))
