"""Events: found by id, record, phone, kind, state and time; one with all that became of it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, abort, redirect, request, session, url_for
from flask_babel import gettext as _
from flask_babel import ngettext
from werkzeug.wrappers import Response

from connector import journal, reports, search
from connector.config import CareSoft
from connector.dashboard.masking import (
    HIDDEN,
    masked,
    masked_call,
    masked_text,
    personal,
    personal_in,
)
from connector.dashboard.room import Room, page
from connector.errors import EventUnreadable
from connector.journal import Entry
from connector.mapping.explain import LeftAlone, Skipped, left_alone, skipped
from connector.mapping.rendering import change_to_json
from connector.model import Json, Micros, Name
from connector.records import store
from connector.redisdb import Redis
from connector.replay import Replay
from connector.sources import VENDORS

_PARTS = {"rows": "events_rows.html", "more": "events_rows.html"}
"""Parts of the list that are fetched by themselves."""

_FILTERS = frozenset({"q", "source", "kind", "state", "since", "until", "cursor"})


@dataclass(frozen=True, slots=True)
class Made:
    """What a mapping set makes of an event; `number` is that of the set."""

    number: int
    status: str
    changes: list[dict[str, Json]]
    left_alone: tuple[LeftAlone, ...]
    skipped: tuple[Skipped, ...]


def blueprint(room: Room) -> Blueprint:
    """The pages of events."""
    pages = Blueprint("events", __name__, url_prefix="/events")

    @pages.get("")
    def listed() -> str:
        wanted = _wanted(room.config.timezone)
        found = search.events(
            room.client, room.config, room.resources(), wanted, request.args.get("cursor")
        )
        shown = len(found.rows) + request.args.get("shown", 0, int)
        return page(
            _PARTS.get(request.args.get("part", ""), "events.html"),
            found=found,
            rows=_rows(room.client, found.rows),
            sources=sorted(room.config.sources),
            searching=found.cursor is not None and shown < search.SHOWN,
            shown=shown,
            looked=found.looked + request.args.get("looked", 0, int),
            kept=journal.count(room.client),
            args={name: told for name, told in request.args.items() if name in _FILTERS},
            states=reports.STATES,
            kinds=_kinds(room),
        )

    @pages.get("/<int:serial>")
    def one(serial: int) -> str:
        return _detail(room, _entry(room.client, serial), revealed=False)

    @pages.get("/id/<path:event_id>")
    def by_id(event_id: str) -> Response:
        for source in room.config.sources:
            found = journal.find(room.client, source, event_id)
            if found:
                return redirect(url_for(".one", serial=found.serial))
        return redirect(url_for(".listed", q=event_id))

    @pages.post("/<int:serial>/reveal")
    def revealed(serial: int) -> str:
        entry = _entry(room.client, serial)
        room.note("reveal", f"event {entry.event.id}")
        return _detail(room, entry, revealed=True)

    @pages.post("/<int:serial>/replay")
    def replay(serial: int) -> Response:
        entry = _entry(room.client, serial)
        done = Replay(room.reconciler).events([entry])
        room.note("replay", f"event {entry.event.id}", f"{len(done.changed)} records changed")
        session["notice"] = ngettext(
            "Run again: %(num)s record changed.",
            "Run again: %(num)s records changed.",
            len(done.changed),
        )
        return redirect(url_for(".one", serial=serial))

    return pages


# --- which


def _wanted(zone: ZoneInfo) -> search.Wanted:
    def given(name: str) -> str | None:
        return request.args.get(name, "").strip()[:200] or None

    state = given("state")
    return search.Wanted(
        given("q") or "",
        given("source"),
        given("kind"),
        state if state in reports.STATES else None,
        _micros(given("since"), zone),
        _micros(given("until"), zone),
    )


def _micros(text: str | None, zone: ZoneInfo) -> Micros | None:
    """A time as a form gives it: without a zone, and so in the configured one."""
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return int(moment.timestamp() * 1e6)


def _kinds(room: Room) -> list[str]:
    vendors = {source.kind for source in room.config.sources.values()}
    return sorted({kind for vendor in vendors for kind in VENDORS[vendor].kinds})


def _rows(client: Redis, found: Sequence[tuple[Entry, str]]) -> list[dict[str, Json]]:
    """What is listed of each event; a problem without the personal data that it may quote."""
    failed = journal.load(client, [entry.serial for entry, _ in found if entry.problem])
    known = {entry.serial: personal_in(entry.event.body) for entry in failed}
    return [
        reports.event_json(entry, state)
        | {
            "serial": entry.serial,
            "problem": masked_text(entry.problem.message, known.get(entry.serial, ()))
            if entry.problem
            else None,
        }
        for entry, state in found
    ]


def _entry(client: Redis, serial: int) -> Entry:
    found = journal.load(client, [serial])
    if not found:
        abort(404, _("This event is not kept, or not any more."))
    return found[0]


# --- one


def _detail(room: Room, entry: Entry, *, revealed: bool) -> str:
    hide = _as_it_is if revealed else masked
    detail = reports.event_detail(room.client, entry)
    made = _made(room, entry)
    names = [touched.name for touched in entry.touched]
    told = [change["fields"] for change in made.changes] if made else []
    known = frozenset() if revealed else personal(detail["body"], *told)
    calls_made = calls_of(room.client, names)
    return page(
        "event.html",
        serial=entry.serial,
        event=detail | {"body": hide(detail["body"])},
        error=masked_text(str(entry.problem), known) if entry.problem else None,
        known=known,
        made=made,
        changes=[change | {"fields": hide(change["fields"])} for change in made.changes]
        if made
        else [],
        effects=_effects(room, entry, revealed=revealed) if made else {},
        job=_job(room.client, entry),
        verified=_verified(room, entry),
        calls_made=calls_made if revealed else [masked_call(call, known) for call in calls_made],
        revealed=revealed,
    )


def _effects(
    room: Room, entry: Entry, *, revealed: bool
) -> dict[tuple[str, str, str], dict[str, Json]]:
    """What became of each field that the event speaks of, by resource, id and field."""
    _, effects = reports.event_effects(room.reconciler, entry)
    return {
        (effect["resource"], effect["id"], effect["field"] or ""): effect
        | {"why": effect["why"] if revealed else _QUOTED.sub(rf"\1 {HIDDEN}", effect["why"] or "")}
        for effect in effects
        if effect["id"]
    }


_QUOTED = re.compile(r"(it holds|had written:) .*", re.DOTALL)
"""What a person wrote into the CRM, as `effects` quotes it."""


def _made(room: Room, entry: Entry) -> Made | None:
    """What the set that read the event made of it; the one in force where that set is gone."""
    in_force = room.set_in_force()
    if in_force is None or entry.event.source not in room.reconciler.sources:
        return None
    number, mapping_set = in_force
    if entry.set_number and entry.set_number != number:
        before = room.reconciler.in_force.numbered(room.client, entry.set_number)
        number, mapping_set = (entry.set_number, before) if before else in_force
    applied = room.reconciler.apply(entry, mapping_set)
    try:
        document = room.reconciler.sources[entry.event.source].document(entry.event)
        alone, none = left_alone(mapping_set, document), skipped(mapping_set, document)
    except EventUnreadable:
        alone, none = (), ()
    changes = [change_to_json(change) for change in applied.changes]
    of_kind = tuple(reason for reason in none if not reason.is_other_kind)
    return Made(number, applied.status, changes, alone, of_kind)


def _job(client: Redis, entry: Entry) -> dict[str, Json]:
    """The RQ job that runs the event: it is deleted when it is done."""
    id_ = journal.job_id(entry.event.source, entry.event.id)
    fields = client.hmget(f"rq:job:{id_}", ["status", "worker_name", "started_at"])
    status, worker, started = (None if f is None else f.decode() for f in fields)
    return {"id": id_, "status": status, "worker": worker, "started_at": started}


def _verified(room: Room, entry: Entry) -> dict[str, Json]:
    """How the event's source is verified; what is in the journal has passed it."""
    source = room.config.sources.get(entry.event.source)
    unsigned = isinstance(source, CareSoft) and source.unsigned
    return {"vendor": entry.event.vendor, "unsigned": unsigned, "known": source is not None}


def calls_of(client: Redis, names: list[Name], limit: int = 50) -> list[dict[str, Json]]:
    """The latest calls of some records, newest first."""
    marks = {json.dumps(store.key_of(name), ensure_ascii=False).encode() for name in names}
    if not marks:
        return []
    lines = store.calls(client, None, store.CALLS_KEPT)
    found = [line for line in lines if any(line.startswith(b"[" + mark) for mark in marks)]
    return [reports.call_json(line) for line in found[:limit]]


def _as_it_is(value: Json) -> Json:
    return value
