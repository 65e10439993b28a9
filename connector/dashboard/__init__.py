"""Pages for the operator: what came in, where it is, what a record says and why. Read-only.

Invariant: without users there is no login, so only the machine itself is answered; every text is
escaped by Jinja, and the Content-Security-Policy lets nothing run and nothing be loaded.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from flask import Blueprint, Response, abort, make_response, render_template, request
from redis.exceptions import RedisError

from connector import journal, reports
from connector.alive import live_workers
from connector.config import Config
from connector.redisdb import Redis

SHOWN = 50


def blueprint(config: Config, client: Redis) -> Blueprint:
    """The pages of one installation."""
    pages = Blueprint("dashboard", __name__, template_folder="templates")

    @pages.before_request
    def only_this_machine() -> None:
        if not _is_loopback(request.remote_addr) or "X-Forwarded-For" in request.headers:
            abort(403, "the dashboard answers this machine only")

    @pages.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self';"
            " frame-ancestors 'none'; base-uri 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response

    @pages.errorhandler(RedisError)
    def away(error: RedisError) -> Response:
        return _page("away.html", 503, why=type(error).__name__)

    @pages.get("/")
    def overview() -> Response:
        state = request.args.get("state") or None
        query = reports.Query(state=state, kind=request.args.get("kind") or None, limit=SHOWN)
        rows = [reports.event_json(entry, now) for entry, now in reports.events(client, query)]
        status = reports.status(client, config, live_workers(client))
        return _page("overview.html", status=status, events=rows, states=reports.STATES, q=query)

    @pages.get("/events/<event_id>")
    def event(event_id: str) -> Response:
        found = journal.search(client, event_id)
        if not found:
            abort(404, "no event of this id is kept")
        entry = journal.load(client, [found[0].serial])[0]
        return _page("event.html", event=reports.event_detail(client, entry))

    @pages.get("/records/<resource>/<path:record_id>")
    def record(resource: str, record_id: str) -> Response:
        states = reports.find_records(client, config, resource, record_id)
        if not states:
            abort(404, "no record of this resource and id is known")
        records = [reports.record_detail(client, config, state) for state in states]
        return _page("record.html", records=records)

    return pages


def _is_loopback(address: str | None) -> bool:
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _page(template: str, code: int = 200, **values: Any) -> Response:
    return make_response(render_template(f"dashboard/{template}", **values), code)
