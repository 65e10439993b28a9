"""Tryton, from PyPI, on SQLite: JSON-RPC, every call a POST to one address, refusals in a 200."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers.packages import install_from_pypi
from servers.server import SCHEMA, Json, Row, Server

VERSION = "7.0.59"
USER, PASSWORD = "admin", "open-sesame-1"
MODULE = Path(__file__).with_name("tryton_module")

SETTINGS = """\
[web]
listen = 127.0.0.1:{port}
[database]
uri = sqlite://
path = {folder}
[password]
passlib = {folder}/passlib.ini
"""
QUICK = """\
[passlib]
schemes = pbkdf2_sha512
pbkdf2_sha512__rounds = 10
"""
"""Every call carries the password, and the tests have no time for a strong hash of it."""


class Tryton(Server):
    name = "tryton"
    base = "/crm"
    create = b'.create"'
    environ: ClassVar = {"CRM_USER": USER, "CRM_PASSWORD": PASSWORD}

    def command(self) -> Sequence[str]:
        programs = install_from_pypi("trytond", VERSION)
        settings = ["-c", str(self.folder / "trytond.conf")]
        if not (self.folder / "crm.sqlite").exists():
            self._lay_out(programs, settings)
        return [str(programs / "python"), str(programs / "trytond"), *settings]

    def _lay_out(self, programs: Path, settings: Sequence[str]) -> None:
        (self.folder / "trytond.conf").write_text(
            SETTINGS.format(port=self.port, folder=self.folder)
        )
        (self.folder / "passlib.ini").write_text(QUICK)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "crm.sqlite").touch()
        libraries = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
        module = programs.parent / libraries / "trytond" / "modules" / "crm"
        shutil.copytree(MODULE, module, dirs_exist_ok=True)
        (module / "schema.json").write_text(json.dumps(SCHEMA))
        admin = [str(programs / "python"), str(programs / "trytond-admin"), *settings, "-d", "crm"]
        for task in (["--all", "--email", "connector@example.com"], ["-u", "crm"]):
            subprocess.run(
                [*admin, *task],
                cwd=self.folder,
                env={**os.environ, "TRYTONPASSFILE": str(self.folder / "password")},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=True,
            )

    def credentials(self) -> Mapping[str, str]:
        return {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}

    def _takes_calls(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log()
        call = {"id": 0, "method": "common.server.version", "params": []}
        try:
            return self.http.post(self.url, json=call, timeout=2).status_code == 200
        except OSError:
            return False

    def set_up(self) -> None:
        """Its tables come with its module."""

    def empty(self) -> None:
        for resource in SCHEMA:
            ids = [row["id"] for row in self.rows(resource)]
            self._rpc(resource, "delete", ids)

    def rows(self, resource: str) -> list[Row]:
        names = ["ext_id", *SCHEMA[resource]["fields"]]
        rows: list[Row] = self._rpc(resource, "search_read", [], 0, None, None, names)
        return rows

    def add_row(self, resource: str, row: Row) -> None:
        self._rpc(resource, "create", [row])

    def delete_row(self, resource: str, own_id: int) -> None:
        self._rpc(resource, "delete", [own_id])

    def content(self) -> dict[str, dict[str, Row]]:
        return _with_booleans(super().content())

    def translated(self, expected: Mapping[str, Mapping[str, Row]]) -> dict[str, dict[str, Row]]:
        return _with_booleans(super().translated(expected))

    def _rpc(self, resource: str, method: str, *params: Json) -> Json:
        method = f"model.crm.{resource}.{method}"
        answer = self._call("POST", "/", {"id": 0, "method": method, "params": [*params, {}]})
        assert "error" not in answer, answer
        return answer["result"]


def _with_booleans(content: Mapping[str, Mapping[str, Row]]) -> dict[str, dict[str, Row]]:
    """A boolean that nobody told is false in Tryton, and false is 0 on SQLite."""
    booleans = {
        resource: [
            name for name, told in SCHEMA[resource]["fields"].items() if told["type"] == "boolean"
        ]
        for resource in content
    }
    return {
        resource: {
            id_: {**row, **{name: bool(row.get(name)) for name in booleans[resource]}}
            for id_, row in rows.items()
        }
        for resource, rows in content.items()
    }
