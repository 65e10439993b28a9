"""The audit log: who did what."""

from __future__ import annotations

from flask import Blueprint
from flask_babel import lazy_gettext as _

from connector import audit
from connector.dashboard.room import Room, page

SHOWN = 300

WORDS = {
    "sign_in": _("signed in"),
    "sign_out": _("signed out"),
    "sign_in_refused": _("failed to sign in"),
    "reveal": _("saw personal data"),
    "replay": _("ran again"),
    "retry": _("tried again"),
    "drop": _("dropped"),
    "pause": _("paused"),
    "resume": _("resumed"),
    "publish": _("published"),
    "roll_back": _("rolled back"),
}
"""How each action is called."""


def blueprint(room: Room) -> Blueprint:
    """The page of the audit log."""
    pages = Blueprint("audit", __name__, url_prefix="/audit")

    @pages.get("")
    def listed() -> str:
        return page(
            "audit.html",
            entries=audit.entries(room.client, SHOWN),
            words=WORDS,
            kept=room.config.audit,
            most=SHOWN,
        )

    return pages
