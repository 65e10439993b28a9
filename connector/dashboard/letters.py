"""Dead letters, grouped by why they died; tried again or dropped, one, some or a whole group."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from flask import Blueprint, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from connector import deadletters, journal, reports
from connector.dashboard.masking import masked_answer, masked_text, personal, personal_in
from connector.dashboard.room import Room, page
from connector.deadletters import DeadLetter
from connector.model import Json
from connector.plan import values
from connector.redisdb import PREFIX, Redis
from connector.replay import Replay
from connector.targets.reasons import likeness

LOOKED_AT = 1000
"""The latest dead letters that are put into groups; a whole group is acted on whatever its size."""

SHOWN = 50
"""Dead letters of a group that are listed."""


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters with the same reason, numbers and quoted words aside."""

    key: str
    reason: str
    letters: tuple[DeadLetter, ...]


def blueprint(room: Room) -> Blueprint:
    """The pages of dead letters."""
    pages = Blueprint("letters", __name__, url_prefix="/dead")

    @pages.get("")
    def listed() -> str:
        found = deadletters.find(room.client, limit=LOOKED_AT)
        return page(
            "letters.html",
            groups=[_shown(room.client, group) for group in grouped(found)],
            total=int(room.client.zcard(f"{PREFIX}dead")),
            looked=len(found),
            most=SHOWN,
        )

    @pages.post("/retry")
    def retry() -> Response:
        chosen = _chosen(room)
        count = deadletters.retry(room.client, chosen, Replay(room.reconciler)) if chosen else 0
        if count:
            room.note("retry", deadletters.named(chosen), _reason(room.client, chosen[0]))
        session["notice"] = ngettext(
            "%(num)s dead letter tried again.", "%(num)s dead letters tried again.", count
        )
        return redirect(url_for(".listed"))

    @pages.post("/ask-drop")
    def ask_drop() -> str | Response:
        chosen = _chosen(room)
        if not chosen:
            session["notice"] = _("Nothing was chosen.")
            return redirect(url_for(".listed"))
        return page(
            "letters_drop.html",
            count=len(chosen),
            reason=_reason(room.client, chosen[0]),
            ids=request.form.getlist("id"),
            group=request.form.get("group", ""),
        )

    @pages.post("/drop")
    def drop() -> Response:
        why = request.form.get("why", "").strip()[:200]
        chosen = _chosen(room) if why else []
        now = reports.iso(time.time_ns() // 1000) or ""
        count = deadletters.drop(room.client, chosen, why, now) if chosen else 0
        if count:
            room.note("drop", deadletters.named(chosen), why)
        session["notice"] = ngettext(
            "%(num)s dead letter dropped.", "%(num)s dead letters dropped.", count
        )
        return redirect(url_for(".listed"))

    return pages


def grouped(letters: Sequence[DeadLetter]) -> list[Group]:
    """The largest group first; within one the latest first."""
    groups: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        groups.setdefault(_key(letter), []).append(letter)
    made = [Group(key, some[0].reason, tuple(some)) for key, some in groups.items()]
    return sorted(made, key=lambda group: -len(group.letters))


def _key(letter: DeadLetter) -> str:
    resource = letter.state.name.resource if letter.state else "event"
    return sha256(f"{resource} {likeness(letter.status, letter.reason)}".encode()).hexdigest()[:16]


def _chosen(room: Room) -> list[DeadLetter]:
    """The dead letters that a form names: by their ids, or a whole group."""
    ids, key = set(request.form.getlist("id")), request.form.get("group")
    if not ids and not key:
        return []
    found = deadletters.find(room.client)
    return [letter for letter in found if letter.id in ids or (key and _key(letter) == key)]


def _known(client: Redis, letters: Sequence[DeadLetter]) -> dict[str, frozenset[str]]:
    """By the id of a letter what its reason and answer may quote of its event or record."""
    serials = [letter.entry.serial for letter in letters if letter.entry]
    of_events = {
        entry.event.id: personal_in(entry.event.body) for entry in journal.load(client, serials)
    }
    of_records = {
        letter.id: personal(values(letter.state.merged)) for letter in letters if letter.state
    }
    return of_events | of_records


def _reason(client: Redis, letter: DeadLetter) -> str:
    return masked_text(letter.reason, _known(client, [letter]).get(letter.id, ()))


def _shown(client: Redis, group: Group) -> dict[str, Json]:
    listed = group.letters[:SHOWN]
    known = _known(client, listed)
    rows = [
        {
            **letter.to_json(),
            "since": letter.since,
            "reason": masked_text(letter.reason, known.get(letter.id, ())),
            "answer": masked_answer(letter.answer, known.get(letter.id, ())),
        }
        for letter in listed
    ]
    return {
        "key": group.key,
        "reason": rows[0]["reason"],
        "count": len(group.letters),
        "letters": rows,
    }
