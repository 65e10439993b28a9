"""A reference CRM: a small REST API over SQLite, run as a process of its own.

    python -m connector.demo.crm --port 8090 --db var/crm.sqlite

For `connector demo`, for trying mappings, and as the CRM that the default mappings are written
for. It does what a good CRM would: PUT and PATCH by external id, typed fields, idempotency keys,
ETags; at `/` a person sees the records and their history. It has no faults of its own: how the
connector bears bad CRMs is tested against others.

This file is the way in: command line, HTTP, credentials, pages. What a call does is in
`crm_calls`, what fields take in `crm_schema`, what is kept in `crm_store`.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from flask import Flask, Response, abort, render_template, request
from werkzeug.datastructures import Authorization
from werkzeug.exceptions import HTTPException
from werkzeug.routing import PathConverter

from connector.demo import crm_calls
from connector.demo.crm_calls import Call, Refused, record_path
from connector.demo.crm_openapi import openapi
from connector.demo.crm_schema import DEFAULT_SCHEMA, Resource, Schema, load_schema
from connector.demo.crm_store import Answer, NotOurs, Record, Store
from connector.errors import Invalid
from connector.model import Json
from connector.serving import serve

MAX_BODY = 1024 * 1024
"""The largest body, in bytes."""

_ROWS = 100  # on a page of a table
_HISTORY = 200  # lines of a record's history
_LATEST = 25  # lines of the first page
_REFERRERS = 20  # records of one resource that refer to a record
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """How the CRM runs. `latency` is in seconds, added to each call on a resource.

    With a `token`, `Authorization: Bearer` must carry it; a browser may give it as the password
    of any user. `basic` is user and password. With neither, everybody who reaches it may write.
    `hosts` are the names it answers to, None for any.
    """

    token: str | None = None
    basic: tuple[str, str] | None = None
    latency: float = 0.0
    strict_references: bool = False
    hosts: tuple[str, ...] | None = None

    @property
    def secured(self) -> bool:
        """Whether credentials are asked for."""
        return self.token is not None or self.basic is not None

    def admits(self, given: Authorization | None) -> bool:
        """Whether a request with this `Authorization` may pass."""
        if not self.secured:
            return True
        if given is None:
            return False
        if given.type == "bearer":
            return _equal((given.token,), (self.token,))
        return given.type == "basic" and (
            _equal((given.username, given.password), self.basic)
            or _equal((given.password,), (self.token,))
        )


def create_app(schema: Schema, store: Store, settings: Settings) -> Flask:
    """The CRM as a WSGI application."""
    app = Flask("connector.demo", static_url_path="/_static")
    # One more than allowed: werkzeug cuts a chunked body at its limit without a word.
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY + 1
    app.config["TRUSTED_HOSTS"] = list(settings.hosts) if settings.hosts else None
    app.url_map.merge_slashes = False
    app.url_map.converters["any_text"] = _AnyText
    app.jinja_env.globals["page"] = _page
    app.jinja_env.filters["brief"] = _brief
    _add_guards(app, settings)
    _add_api(app, schema, store, settings)
    _add_pages(app, schema, store)
    return app


class _AnyText(PathConverter):
    """The rest of a path, whatever is in it: an id may hold slashes, a leading one too."""

    regex = "(?s:.+)"
    part_isolating = False


def _add_guards(app: Flask, settings: Settings) -> None:
    @app.before_request
    def ask_for_credentials() -> Response | None:
        if settings.admits(request.authorization):
            return None
        refused = Refused(401, "unauthorized", "credentials are missing or wrong")
        response = _response(refused.answer())
        response.headers["WWW-Authenticate"] = 'Basic realm="CRM", charset="UTF-8", Bearer'
        return response

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.errorhandler(Refused)
    def refuse(refused: Refused) -> Response:
        return _response(refused.answer())

    @app.errorhandler(HTTPException)
    def refuse_otherwise(error: HTTPException) -> Response:
        code = error.name.lower().replace(" ", "_")
        response = _response(Refused(error.code or 500, code, error.description or "").answer())
        for name, value in error.get_headers():
            if name != "Content-Type":
                response.headers[name] = value
        return response


def _add_api(app: Flask, schema: Schema, store: Store, settings: Settings) -> None:
    @app.get("/openapi.json")
    def document() -> Response:
        return _json(openapi(schema, secured=settings.secured))

    @app.get("/_calls")
    def calls() -> Response:
        since = crm_calls.calls_since(request.args.to_dict(flat=False))
        return _response(crm_calls.call_counts(store.calls(since)))

    @app.get("/<name>")
    def search(name: str) -> Response:
        resource = _resource(schema, name)
        time.sleep(settings.latency)
        return _response(crm_calls.search(store, resource, request.args.to_dict(flat=False)))

    @app.get("/<name>/<any_text:record>")
    def read_one(name: str, record: str) -> Response:
        resource = _resource(schema, name)
        time.sleep(settings.latency)
        return _response(crm_calls.read_one(store, resource, record))

    @app.post("/<name>")
    @app.route("/<name>/<any_text:record>", methods=["PUT", "PATCH", "DELETE"])
    def write(name: str, record: str | None = None) -> Response:
        call = _call(_resource(schema, name), record)
        time.sleep(settings.latency)
        return _response(crm_calls.write(store, call, strict=settings.strict_references))


def _add_pages(app: Flask, schema: Schema, store: Store) -> None:
    @app.get("/")
    def overview() -> Response | str:
        counts = store.counts()
        if request.accept_mimetypes.best_match(["application/json", "text/html"]) != "text/html":
            resources = {name: {"records": counts.get(name, 0)} for name in schema}
            return _json({"name": "Reference CRM", "resources": resources})
        latest = store.latest(limit=_LATEST)
        return render_template("crm/overview.html", schema=schema, counts=counts, latest=latest)

    @app.get("/_/<name>")
    def table(name: str) -> str:
        resource = _resource(schema, name)
        offset = request.args.get("offset", 0, type=int)
        if not 0 <= offset < 2**31:
            abort(400, "offset should be a number of rows")
        rows = store.newest(name, limit=_ROWS, offset=offset)
        return render_template(
            "crm/table.html",
            resource=resource,
            rows=rows,
            fields=[
                field
                for field in resource.fields.values()
                if any(field.name in row.fields for row in rows)
            ],
            total=store.counts().get(name, 0),
            offset=offset,
            step=_ROWS,
        )

    @app.get("/_/<name>/<any_text:record>")
    def row(name: str, record: str) -> str:
        resource = _resource(schema, name)
        history = store.history(name, record, limit=_HISTORY)
        if not history:
            abort(404, f"there is no record {record!r} in {name}, and there never was")
        return render_template(
            "crm/row.html",
            resource=resource,
            id=record,
            row=store.find(name, record),
            history=history,
            referrers=_referrers(schema, store, name, record),
            api_path=record_path(name, record),
        )


def _referrers(
    schema: Schema, store: Store, name: str, record: str
) -> list[tuple[Resource, str, list[Record], int]]:
    """What refers to a record: resource, its field, the first of its records, and how many."""
    found = []
    for resource in schema.values():
        for field in resource.fields.values():
            if field.resource == name:
                rows, total = store.search(
                    resource.name, {field.name: record}, limit=_REFERRERS, offset=0
                )
                if rows:
                    found.append((resource, field.name, rows, total))
    return found


def _resource(schema: Schema, name: str) -> Resource:
    if name not in schema:
        raise Refused(404, "no_such_resource", f"there is no resource {name!r}")
    return schema[name]


def _call(resource: Resource, record: str | None) -> Call:
    """The request as a write call; reads its body."""
    body = request.get_data(cache=False)
    if len(body) > MAX_BODY:
        abort(413)
    return Call(
        method=request.method,
        resource=resource,
        id=record,
        query=request.args.to_dict(flat=False),
        address=request.full_path,
        content_type=request.content_type or "",
        body=body,
        if_match=request.headers.get("If-Match"),
        key=request.headers.get("Idempotency-Key"),
    )


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, dict(answer.headers))
    if answer.body:
        response.mimetype = "application/json"
    else:
        del response.headers["Content-Type"]
    return response


def _json(value: Json) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), mimetype="application/json")


def _page(resource: str, record: str) -> str:
    """Where the page of a record is."""
    return f"/_{record_path(resource, record)}"


def _brief(value: Json) -> str:
    """A value as a cell shows it."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _equal(given: Sequence[str | None], wanted: Sequence[str | None] | None) -> bool:
    """Equality in a time that does not tell how much of it was right. None equals nothing."""
    if wanted is None or None in wanted or None in given:
        return False
    parts = ["\0".join(map(str, texts)).encode() for texts in (given, wanted)]
    return hmac.compare_digest(*parts)


# --- running


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _user_and_password(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[str, str] | None:
    if value is None:
        return None
    user, colon, password = value.partition(":")
    if not (user and colon and password):
        raise click.BadParameter("should be USER:PASSWORD")
    return user, password


_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--db", type=_FILE, required=True, help="SQLite file; made where there is none.")
@click.option("--schema", type=_FILE, default=DEFAULT_SCHEMA, help="JSON file of resources.")
@click.option("--token", envvar="CRM_TOKEN", help="Ask for this bearer token. [env: CRM_TOKEN]")
@click.option("--basic", callback=_user_and_password, help="Ask for USER:PASSWORD.")
@click.option("--latency", type=click.FloatRange(0, 60), default=0.0, help="Seconds for a call.")
@click.option("--strict-references", is_flag=True, help="Refuse references to nothing.")
@click.option("--threads", type=click.IntRange(1, 500), default=32, show_default=True)
def main(
    port: int,
    host: str,
    db: Path,
    schema: Path,
    token: str | None,
    basic: tuple[str, str] | None,
    latency: float,
    strict_references: bool,
    threads: int,
) -> None:
    """Runs the reference CRM until it is told to stop (SIGTERM, Ctrl-C)."""
    loopback = _is_loopback(host)
    settings = Settings(
        token=token or None,
        basic=basic,
        latency=latency,
        strict_references=strict_references,
        hosts=("127.0.0.1", "localhost", "[::1]", host) if loopback else None,
    )
    if not (loopback or settings.secured):
        raise click.UsageError(f"{host} is open to others: give --token or --basic")
    try:
        resources = load_schema(schema)
        store = Store(db, _reference_fields(resources))
    except (Invalid, NotOurs) as error:
        click.echo(error, err=True)
        sys.exit(2)
    serve(
        lambda: create_app(resources, store, settings),
        host,
        port,
        threads=threads,
        settings={
            "timeout": 120,
            "graceful_timeout": 5,
            "loglevel": "warning",
            "proc_name": "reference-crm",
            "when_ready": lambda server: click.echo(f"reference CRM at http://{host}:{port}/"),
        },
    )


def _reference_fields(schema: Schema) -> set[str]:
    return {
        field.name
        for resource in schema.values()
        for field in resource.fields.values()
        if field.resource
    }


if __name__ == "__main__":
    main()
