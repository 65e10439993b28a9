"""Targets: whether deliveries flow, under which limits, what went wrong last; pause and resume."""

from __future__ import annotations

from flask import Blueprint, abort, redirect, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response

from connector import flow, reports
from connector.dashboard.masking import masked_call, masked_text, personal
from connector.dashboard.room import Room, page
from connector.model import Json, Name
from connector.plan import values
from connector.records import store

ERRORS_SHOWN = 10
_LOOKED_AT = 100


def blueprint(room: Room) -> Blueprint:
    """The page of targets."""
    pages = Blueprint("targets", __name__, url_prefix="/targets")

    @pages.get("")
    def listed() -> str:
        failed = _failed_calls(room)
        rows = [
            row
            | {
                "why": masked_text(row["why"] or ""),
                "by_hand": row["why"] == flow.BY_HAND,
                "config": room.config.targets[row["name"]],
                "errors": failed[row["name"]],
            }
            for row in reports.targets(room.client, room.config)
        ]
        return page("targets.html", targets=rows)

    @pages.post("/<name>/pause")
    def pause(name: str) -> Response:
        flow.pause(room.client, _known(room, name))
        room.note("pause", f"target {name}")
        session["notice"] = _("%(name)s is paused. Events go on being received.", name=name)
        return redirect(url_for(".listed"))

    @pages.post("/<name>/resume")
    def resume(name: str) -> Response:
        flow.resume(room.client, _known(room, name))
        room.note("resume", f"target {name}")
        session["notice"] = _("%(name)s is open again.", name=name)
        return redirect(url_for(".listed"))

    return pages


def _known(room: Room, name: str) -> str:
    if name not in room.config.targets:
        abort(404, _("There is no such target."))
    return name


def _failed_calls(room: Room) -> dict[str, list[dict[str, Json]]]:
    """The latest calls of each target that were not answered as hoped, the last first."""
    failed: dict[str, list[dict[str, Json]]] = {name: [] for name in room.config.targets}
    for line in store.calls(room.client, None, store.CALLS_KEPT):
        call = reports.call_json(line)
        rows = failed.get(call["target"])
        if rows is not None and call["meaning"] != "done" and len(rows) < _LOOKED_AT:
            rows.append(call)
    return {name: _shown(room, rows) for name, rows in failed.items()}


def _shown(room: Room, calls: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """Calls are noted when their delivery has ended: by time they are in order only here."""
    latest = sorted(calls, key=lambda call: call["at"], reverse=True)[:ERRORS_SHOWN]
    names = [Name(call["target"], call["resource"], call["id"]) for call in latest]
    states = store.read(room.client, names)
    return [
        masked_call(call, personal(values(state.merged)))
        for call, state in zip(latest, states, strict=True)
    ]
