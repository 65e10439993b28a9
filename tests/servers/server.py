"""What every real server has in common: a process, an API of its own, and its settings.

A server is started by the tests, filled and read through its own API, and reached by the connector
only through its file in docs/targets/, as it stands there. What its rows look like to its users is
known here and nowhere else; the connector knows of none of them.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import requests
from system import ROOT, wait_for

from connector.demo.lifeline import Lifeline
from connector.demo.ports import free_port

Json = Any
Row = dict[str, Json]

SCHEMA: Mapping[str, Json] = json.loads((ROOT / "connector/demo/schema.json").read_text("utf-8"))
"""Every resource of the shipped mappings, and the types of its fields."""


class Server(ABC):
    """A CRM that others wrote."""

    name: ClassVar[str]
    """Also that of its settings, docs/targets/NAME.yaml."""
    base: ClassVar[str] = ""
    """What stands between its address and every path."""
    environ: ClassVar[Mapping[str, str]] = {}
    """What its settings take from the environment, besides the address."""
    own_ids: ClassVar[bool] = True
    """Whether it gives ids of its own, which references then carry."""
    create: ClassVar[bytes] = b"POST /"
    """What a call that creates has in it, and no other call that is made before it."""
    alive: ClassVar[str] = "/"
    """Answers 200 as soon as it takes calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.http = requests.Session()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # --- the process

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What starts it. Raises CannotInstall."""

    def environment(self) -> Mapping[str, str]:
        """More variables for its process."""
        return {}

    def credentials(self) -> Mapping[str, str]:
        """Headers of a call to its API, when it asks for any."""
        return {}

    def start(self) -> None:
        """Starts it, and comes back when it takes calls."""
        command = self.command()
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, so that `stop` leaves no child behind
            )
        self._lifeline = Lifeline(self._process.pid)
        wait_for(self._takes_calls, self.name, within=60, explain=self._log)

    def stop(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._lifeline.cut()
        self._process = None

    def _takes_calls(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log()
        try:
            url, headers = self.url + self.alive, self.credentials()
            return requests.get(url, headers=headers, timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def _log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")[-3000:]

    # --- its own API, as a person would use it

    @abstractmethod
    def set_up(self) -> None:
        """Makes a place for each resource, once."""

    @abstractmethod
    def empty(self) -> None:
        """Deletes all rows."""

    @abstractmethod
    def rows(self, resource: str) -> list[Row]:
        """Every row, just as the API shows it."""

    @abstractmethod
    def add_row(self, resource: str, row: Row) -> None:
        """Adds a row."""

    @abstractmethod
    def delete_row(self, resource: str, own_id: Json) -> None:
        """Deletes a row by the id that the server gave it, or took."""

    id_field: ClassVar[str] = "ext_id"
    """Where a row holds the external id."""
    machinery: ClassVar[frozenset[str]] = frozenset({"id", "ext_id"})
    """Fields of a row that no mapping writes."""

    def own_id(self, resource: str, external_id: str) -> Json:
        """The server's id of the only row with that external id."""
        (row,) = [row for row in self.rows(resource) if row.get(self.id_field) == external_id]
        return row["id"]

    def content(self) -> dict[str, dict[str, Row]]:
        """What all rows hold beyond ids and nulls, by resource and external id; no id twice."""
        content: dict[str, dict[str, Row]] = {}
        for resource in SCHEMA:
            rows = self.rows(resource)
            content[resource] = {
                row[self.id_field]: {
                    name: value
                    for name, value in row.items()
                    if value is not None and name not in self.machinery
                }
                for row in rows
            }
            assert len(content[resource]) == len(rows), f"{resource}: a record has several rows"
        return content

    def translated(self, expected: Mapping[str, Mapping[str, Row]]) -> dict[str, dict[str, Row]]:
        """Records as this server shows them: references by its own ids, if it has any."""
        return {
            resource: {
                external_id: {
                    name: self._reference(SCHEMA[resource]["fields"][name], value)
                    for name, value in row.items()
                }
                for external_id, row in rows.items()
            }
            for resource, rows in expected.items()
        }

    def _reference(self, field: Mapping[str, str], value: Json) -> Json:
        if field["type"] != "reference" or not self.own_ids:
            return value
        return self.own_id(field["resource"], value)

    def _call(self, method: str, path: str, body: Json = None) -> Json:
        url, headers = self.url + self.base + path, self.credentials()
        answer = self.http.request(method, url, json=body, headers=headers, timeout=30)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
