"""Directus, from npm, on SQLite: ids of its own, typed columns, real foreign keys."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import ClassVar

from servers.packages import install_from_npm
from servers.server import SCHEMA, Json, Row, Server

VERSION = "11.1.2"  # the newest that runs on node 20
NATIVE = ("argon2", "isolated-vm", "sqlite3")
TOKEN = "a-static-token-of-these-tests"

_TYPES: Mapping[str, Json] = {
    "text": {"type": "text"},
    "datetime": {"type": "timestamp"},
    "date": {"type": "date"},
    "integer": {"type": "integer"},
    "number": {"type": "float"},
    "boolean": {"type": "boolean", "meta": {"special": ["cast-boolean"]}},
    "list": {"type": "json", "meta": {"special": ["cast-json"]}},
    "object": {"type": "json", "meta": {"special": ["cast-json"]}},
    "reference": {"type": "integer"},
}
_ID: Json = {
    "field": "id",
    "type": "integer",
    "schema": {"is_primary_key": True, "has_auto_increment": True},
    "meta": {},
}
_EXT_ID: Json = {"field": "ext_id", "type": "string", "schema": {"is_unique": True}, "meta": {}}


class Directus(Server):
    name = "directus"
    environ: ClassVar = {"CRM_TOKEN": TOKEN}
    alive = "/server/ping"

    def command(self) -> Sequence[str]:
        cli = ["node", str(install_from_npm("directus", VERSION, builds=NATIVE) / "cli.js")]
        if not (self.folder / "data.sqlite").exists():
            subprocess.run(
                [*cli, "bootstrap"],
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )
        return [*cli, "start"]

    def environment(self) -> Mapping[str, str]:
        return {
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "PUBLIC_URL": self.url,
            "DB_CLIENT": "sqlite3",
            "DB_FILENAME": str(self.folder / "data.sqlite"),
            "SECRET": "of-these-tests",
            "ADMIN_EMAIL": "connector@example.com",
            "ADMIN_PASSWORD": "open-sesame",
            "ADMIN_TOKEN": TOKEN,
            "CACHE_ENABLED": "false",
            "TELEMETRY": "false",
            "SERVE_APP": "false",
            "LOG_LEVEL": "warn",
            "PRESSURE_LIMITER_ENABLED": "false",  # else a busy machine makes it refuse calls
        }

    def credentials(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    def set_up(self) -> None:
        for resource, told in SCHEMA.items():
            fields = [
                {"schema": {}, "meta": {}, **_TYPES[field["type"]], "field": name}
                for name, field in told["fields"].items()
            ]
            collection = {"collection": resource, "schema": {}, "meta": {}}
            self._call("POST", "/collections", {**collection, "fields": [_ID, _EXT_ID, *fields]})
        for resource, told in SCHEMA.items():
            for name, field in told["fields"].items():
                if field["type"] == "reference":
                    self._relate(resource, name, field["resource"])

    def _relate(self, resource: str, field: str, to: str) -> None:
        relation = {"collection": resource, "field": field, "related_collection": to}
        self._call(
            "POST", "/relations", {**relation, "schema": {"on_delete": "SET NULL"}, "meta": {}}
        )

    def empty(self) -> None:
        for resource in SCHEMA:
            self._call("DELETE", f"/items/{resource}", {"query": {"limit": -1}})

    def rows(self, resource: str) -> list[Row]:
        rows: list[Row] = self._call("GET", f"/items/{resource}?limit=-1")["data"]
        return rows

    def add_row(self, resource: str, row: Row) -> None:
        self._call("POST", f"/items/{resource}", row)

    def delete_row(self, resource: str, own_id: int) -> None:
        self._call("DELETE", f"/items/{resource}/{own_id}")
