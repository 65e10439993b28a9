"""Kinto, from PyPI: ids of the client's choice, bodies in a wrapper, conflicts that answer 200."""

from __future__ import annotations

import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from servers.server import SCHEMA, Row, Server

USER, PASSWORD = "connector", "open-sesame"

SETTINGS = """\
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = {port}
threads = 16

[app:main]
use = egg:kinto
kinto.storage_backend = kinto.core.storage.memory
kinto.permission_backend = kinto.core.permission.memory
kinto.cache_backend = kinto.core.cache.memory
kinto.userid_hmac_secret = of-these-tests
multiauth.policies = basicauth
kinto.bucket_create_principals = system.Authenticated

[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = WARNING
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
level = NOTSET
formatter = plain
[formatter_plain]
format = %(levelname)s %(message)s
"""


class Kinto(Server):
    name = "kinto"
    base = "/v1"
    environ: ClassVar = {"CRM_USER": USER, "CRM_PASSWORD": PASSWORD}
    own_ids = False
    create = b"PUT /"
    alive = "/v1/__heartbeat__"
    id_field = "id"
    machinery = frozenset({"id", "last_modified"})

    def command(self) -> Sequence[str]:
        settings = self.folder / "kinto.ini"
        settings.write_text(SETTINGS.format(port=self.port))
        beside = str(Path(sys.executable).with_name("kinto"))
        return [beside, "start", "--ini", str(settings)]

    def credentials(self) -> Mapping[str, str]:
        return {"Authorization": f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"}

    def set_up(self) -> None:
        self._call("PUT", "/buckets/crm")
        for resource in SCHEMA:
            self._call("PUT", f"/buckets/crm/collections/{resource}")

    def empty(self) -> None:
        for resource in SCHEMA:
            self._call("DELETE", _records(resource))

    def rows(self, resource: str) -> list[Row]:
        rows: list[Row] = self._call("GET", _records(resource))["data"]
        return rows

    def add_row(self, resource: str, row: Row) -> None:
        self._call("POST", _records(resource), {"data": row})

    def delete_row(self, resource: str, own_id: str) -> None:
        self._call("DELETE", f"{_records(resource)}/{own_id}")


class KintoCreateFirst(Kinto):
    """The same server, with the settings that leave other programs' fields in a row alone."""

    name = "kinto-create-first"
    create = b"POST /"


def _records(resource: str) -> str:
    return f"/buckets/crm/collections/{resource}/records"
