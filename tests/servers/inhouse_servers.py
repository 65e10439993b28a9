"""CRMs of this project in front of the settings for in-house CRMs: the reference CRM of the demo,
and the CRM of the tests as one with ids of its own. Both always run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import ClassVar

from servers.server import Row, Server
from system import FAKE_CRM

TOKEN = "a-token-of-these-tests"


class ReferenceCrm(Server):
    name = "inhouse-put"
    environ: ClassVar = {"CRM_TOKEN": TOKEN}
    own_ids = False
    create = b"PUT /"
    alive = "/openapi.json"
    id_field = "id"
    machinery = frozenset({"id"})

    def command(self) -> Sequence[str]:
        database = str(self.folder / "crm.sqlite")
        listen = ["--port", str(self.port), "--db", database]
        return [sys.executable, "-m", "connector.demo.crm", *listen]

    def environment(self) -> Mapping[str, str]:
        return {"CRM_TOKEN": TOKEN}

    def set_up(self) -> None:
        """Its tables come with it."""

    def credentials(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    def empty(self) -> None:
        """Begins anew: a row that was deleted leaves the keys of its calls behind."""
        self.stop()
        for file in self.folder.glob("crm.sqlite*"):
            file.unlink()
        self.start()

    def rows(self, resource: str) -> list[Row]:
        rows = self._call("GET", f"/{resource}?limit=1000")["items"]
        return [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows]

    def add_row(self, resource: str, row: Row) -> None:
        self._call("POST", f"/{resource}", row)

    def delete_row(self, resource: str, own_id: str) -> None:
        self._call("DELETE", f"/{resource}/{own_id}")


class SearchedCrm(Server):
    name = "inhouse-search"
    environ: ClassVar = {"CRM_TOKEN": TOKEN}

    def command(self) -> Sequence[str]:
        return [sys.executable, str(FAKE_CRM), "--port", str(self.port)]

    def set_up(self) -> None:
        """It takes any resource."""

    def empty(self) -> None:
        self._call("POST", "/_reset", {})

    def rows(self, resource: str) -> list[Row]:
        return list(self._call("GET", "/_rows").get(resource, {}).values())

    def add_row(self, resource: str, row: Row) -> None:
        self._call("POST", f"/{resource}", row)

    def delete_row(self, resource: str, own_id: str) -> None:
        self._call("DELETE", f"/{resource}/{own_id}")
