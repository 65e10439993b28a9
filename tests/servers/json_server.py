"""json-server 0.17, from npm: nothing is unique, and the ids of deleted rows are used again."""

from __future__ import annotations

import json
from collections.abc import Sequence

from servers.packages import install_from_npm
from servers.server import SCHEMA, Row, Server

VERSION = "0.17.4"


class JsonServer(Server):
    name = "json-server"
    alive = "/db"

    def command(self) -> Sequence[str]:
        rows = self.folder / "rows.json"
        if not rows.exists():
            rows.write_text(json.dumps({resource: [] for resource in SCHEMA}))
        program = install_from_npm("json-server", VERSION) / "lib" / "cli" / "bin.js"
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        return ["node", str(program), "--quiet", *where, str(rows)]

    def set_up(self) -> None:
        """Its file has a list for each resource already."""

    def empty(self) -> None:
        for resource in SCHEMA:
            for row in self.rows(resource):
                self.delete_row(resource, row["id"])

    def rows(self, resource: str) -> list[Row]:
        rows: list[Row] = self._call("GET", f"/{resource}")
        return rows

    def add_row(self, resource: str, row: Row) -> None:
        self._call("POST", f"/{resource}", row)

    def delete_row(self, resource: str, own_id: int) -> None:
        self._call("DELETE", f"/{resource}/{own_id}")
