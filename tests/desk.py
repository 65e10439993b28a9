"""The web process' application without a browser, and somebody who asks it for pages.

Users mai (editor), lan (operator) and vy (viewer) share one password.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from system import MOBIO_APPS, ROOT
from werkzeug.test import TestResponse

from connector import assemble, config, journal, web
from connector.redisdb import Redis, connect

PASSWORD = "correct horse battery"  # of nobody
ROLES = {"mai": "editor", "lan": "operator", "vy": "viewer"}


@dataclass
class Desk:
    """The web process' application, and somebody who asks it for pages."""

    folder: Path
    redis_url: str
    users: str
    more: str = ""
    _client: FlaskClient | None = field(default=None, init=False)
    _apps: list[Flask] = field(default_factory=list, init=False)

    @property
    def redis(self) -> Redis:
        return connect(self.redis_url)

    @property
    def config(self) -> config.Config:
        return config.load(self.folder / "config.yaml", {})

    @property
    def client(self) -> FlaskClient:
        if self._client is None:
            self._client = self.another()
        return self._client

    def another(self) -> FlaskClient:
        """Another browser, on an application of its own."""
        text = (
            f"redis_url: {self.redis_url}\nspool: null\nmappings: {self.folder / 'mappings'}\n"
            "sources:\n  caresoft: {kind: caresoft, secrets: [CS123]}\n"
            f"  mobio: {{kind: mobio, apps: [{{app_id: {MOBIO_APPS[0]}, secrets: [s1]}}]}}\n"
            "targets:\n  crm: {base_url: 'http://127.0.0.1:1', auth: {type: none}}\n"
        )
        (self.folder / "config.yaml").write_text(text + self.users + self.more)
        if not (self.folder / "mappings").exists():
            shutil.copytree(ROOT / "mappings", self.folder / "mappings")
        app = web.create_app(self.config)
        self._apps.append(app)
        return app.test_client()

    def close(self) -> None:
        """Ends the threads of all applications."""
        for app in self._apps:
            web.close(app)

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, **more)

    def post(self, path: str, data: dict[str, Any] | None = None, **more: Any) -> TestResponse:
        """With the token that the forms of these pages carry."""
        return self.client.post(path, data={"csrf_token": self.token(), **(data or {})}, **more)

    def token(self) -> str:
        page = self.client.get("/login").text
        page = page if "csrf_token" in page else self.client.get("/").text
        found = re.search(r'"X-CSRFToken": "([^"]+)"', page)
        assert found, page
        return found[1]

    def sign_in(self, name: str = "mai", password: str = PASSWORD, **more: Any) -> TestResponse:
        return self.post("/login", {"name": name, "password": password, **more})

    def receive(self, body: bytes) -> journal.Entry:
        """An event of CareSoft in the journal, merged by a worker's steps."""
        source = assemble.open_sources(self.config)["caresoft"]
        headers = source.sign(body)
        answer = self.client.post("/webhooks/caresoft", data=body, headers=headers)
        assert answer.json == {"accepted": 1, "duplicates": 0}, answer.text
        entry = next(journal.newest_first(self.redis))
        reconciler = assemble.reconciler(self.config, self.redis)
        assemble.ensure_in_force(self.config, self.redis)
        loaded = journal.load(self.redis, [entry.serial])
        journal.finish(self.redis, reconciler.merge(loaded, leasing=False).entries)
        return journal.load(self.redis, [entry.serial])[0]


def sign_in(page: Any, name: str) -> None:
    """As a person does it."""
    page.goto("/login")
    page.fill("input[name=name]", name)
    page.fill("input[name=password]", PASSWORD)
    page.click(".sign-in button")
    page.wait_for_selector("nav a[aria-current=page]")
