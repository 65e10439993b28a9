"""Records: found by external id or by the CRM's; one with each field, who set it, and its calls."""

from __future__ import annotations

from flask import Blueprint, abort, request
from flask_babel import gettext as _

from connector import reports, search
from connector.dashboard.masking import (
    masked_answer,
    masked_call,
    masked_field,
    masked_text,
    personal,
)
from connector.dashboard.room import Room, page
from connector.model import Json, Name
from connector.records import store
from connector.records.store import State


def blueprint(room: Room) -> Blueprint:
    """The pages of records."""
    pages = Blueprint("records", __name__, url_prefix="/records")

    @pages.get("")
    def listed() -> str:
        text = request.args.get("q", "").strip()[:200]
        cursor = request.args.get("cursor", "0")
        if text:
            number = int(cursor) if cursor.isdecimal() and len(cursor) < 20 else 0
            found = search.records(room.client, room.resources(), text, number)
        else:
            found = search.Records(tuple(search.latest_records(room.client)))
        shown = len(found.states) + request.args.get("shown", 0, int)
        return page(
            "records_rows.html" if request.args.get("part") else "records.html",
            q=text,
            found=found,
            rows=_rows(room, found.states),
            looked=found.looked + request.args.get("looked", 0, int),
            shown=shown,
            searching=bool(found.cursor) and shown < search.SHOWN,
        )

    @pages.get("/one")
    def one() -> str:
        return _detail(room, _state(room, request.args), revealed=False)

    @pages.post("/reveal")
    def revealed() -> str:
        state = _state(room, request.form)
        room.note("reveal", f"record {state.name}")
        return _detail(room, state, revealed=True)

    return pages


def _state(room: Room, given: dict[str, str]) -> State:
    name = Name(given.get("target", ""), given.get("resource", ""), given.get("id", ""))
    state = store.read(room.client, [name])[0]
    if not state.generation:
        abort(404, _("No record of this resource and id is known."))
    return state


def _rows(room: Room, states: tuple[State, ...]) -> list[dict[str, Json]]:
    standings = store.standings(room.client, [state.name for state in states])
    return [
        {
            "target": state.name.target,
            "resource": state.name.resource,
            "id": state.name.id,
            "link": state.delivered.link,
            "at": state.delivered.at,
            "state": reports.progress(state, standings[state.name])["state"],
            "deleted": state.merged.deleted is not None,
        }
        for state in states
    ]


def _detail(room: Room, state: State, *, revealed: bool) -> str:
    record = reports.record_detail(room.client, room.config, state)
    if not revealed:
        known = personal({field["field"]: field["value"] for field in record["fields"]})
        record = record | {
            "fields": [
                field
                | {
                    "value": masked_field(field["field"], field["value"]),
                    "note": masked_text(field["note"] or "", known),
                }
                for field in record["fields"]
            ],
            "calls": [masked_call(call, known) for call in record["calls"]],
            "why": masked_text(record["why"] or "", known),
            "answer": masked_answer(record["answer"], known),
            "warnings": [masked_text(text, known) for text in record["warnings"]],
        }
    return page("record.html", record=record, revealed=revealed)
