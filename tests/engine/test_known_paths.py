"""An address that is known leads where Flask leads it, the first time and ever after."""

from __future__ import annotations

import itertools

import pytest
from flask import Flask, request, url_for
from flask.typing import ResponseReturnValue

from connector.known_paths import Application

PATHS = [
    "/webhooks/a",
    "/webhooks/b",
    "/webhooks/none",
    "/webhooks/a/",
    "/webhooks/",
    "/other",
    "/",
]
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "BREW"]


def app(kind: type[Flask], **more: object) -> Flask:
    made = kind("made", static_folder=None, **more)  # type: ignore[arg-type]

    @made.post("/webhooks/<name>")
    def take(name: str) -> ResponseReturnValue:
        assert request.view_args is not None
        seen = dict(request.view_args)
        request.view_args["name"] = request.view_args["more"] = "spoilt"
        host = request.host
        return [name, seen, str(request.url_rule), request.endpoint, host, url_for("take", name=7)]

    @made.get("/webhooks/<name>")
    def look(name: str) -> ResponseReturnValue:
        return [name, url_for("take", name=name, _external=True)]

    @made.get("/other")
    def other() -> ResponseReturnValue:
        return ["other"]

    return made


def test_what_is_known_is_what_flask_finds() -> None:
    usual = app(Flask).test_client()
    known = app(Application, known=["/webhooks/a", "/webhooks/b", "/webhooks/gone/"]).test_client()
    for _, method, path in itertools.product(range(3), METHODS, PATHS):
        for host in ("x.example:81", "x.example", "no host at all"):
            one, other = (
                client.open(path, method=method, headers={"Host": host}, query_string="q=1")
                for client in (usual, known)
            )
            assert (one.status, one.data, sorted(one.headers)) == (
                other.status,
                other.data,
                sorted(other.headers),
            )


def test_a_known_address_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = app(Application, known=["/webhooks/a"])
    looked: list[str] = []
    bind = made.url_map.bind_to_environ
    monkeypatch.setattr(
        made.url_map,
        "bind_to_environ",
        lambda environ, *rest, **more: (
            looked.append(environ["PATH_INFO"]),
            bind(environ, *rest, **more),
        )[1],
    )

    client = made.test_client()
    for _ in range(3):
        for path in ("/webhooks/a", "/webhooks/b"):
            assert client.put(path).status_code == 405
    assert looked.count("/webhooks/a") == 3  # what is not there is asked for again
    looked.clear()
    monkeypatch.setitem(made.view_functions, "take", lambda name: name)
    for _ in range(3):
        for path in ("/webhooks/a", "/webhooks/b"):
            assert client.post(path).text == path[-1]
    assert (looked.count("/webhooks/a"), looked.count("/webhooks/b")) == (1, 3)


def test_trusted_hosts_are_looked_at() -> None:
    made = app(Application, known=["/webhooks/a"])
    client = made.test_client()
    assert client.post("/webhooks/a").status_code == 200
    made.config["TRUSTED_HOSTS"] = ["crm.example"]
    assert client.post("/webhooks/a", headers={"Host": "evil.example"}).status_code == 400
