"""One installation in one process: a folder of mappings, a real Redis, a CRM, the release verbs.

The methods of `Office` are what the people and processes around it do: a vendor sends, a worker
works until nothing is left, an editor writes files and runs `connector mappings …`.
"""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from apart import apart
from click.testing import CliRunner, Result

from connector import assemble, config, journal
from connector import plan as planning
from connector.config import Config
from connector.mapping import published
from connector.mapping.load import MappingSet
from connector.mapping.published import Note
from connector.model import Json, Name
from connector.plan import Plan, Selection
from connector.records import store
from connector.records.state import Merged
from connector.redisdb import Redis, connect
from connector.release_verbs import add_to
from connector.replay import Replay, Replayed
from connector.worker import Worker

T0 = int(time.time() * 1000) - 3_600_000
"""An hour ago in milliseconds: young enough for the journal to keep what is received then."""

CONFIG = """\
redis_url: {redis_url}
mappings: mappings
timezone: {timezone}
sources:
  caresoft: {{kind: caresoft, secrets: [CS123]}}
targets:
  crm:
    base_url: {crm_url}
    auth: {{type: none}}
"""

RULE = """\
source: caresoft
events: [ticket.update]
records:
  - resource: tickets
    id: ticket.ticket_id
    version: ticket.updated_at
    fields:
"""


def rule(**fields: str) -> str:
    """A mapping file that writes these fields of a ticket from its updates."""
    return RULE + "".join(f"      {name}: {form}\n" for name, form in fields.items())


class Office:
    """The folder, the people and the processes of one installation."""

    def __init__(self, folder: Path, redis_url: str, crm_url: str) -> None:
        self.folder = folder
        self.mappings = folder / "mappings"
        self._crm_url = crm_url
        self.client: Redis = connect(redis_url)
        self._redis_url = redis_url
        self._received = 0
        self.mappings.mkdir()
        self.configure()
        self.write("tickets.yaml", rule(subject="ticket.ticket_subject"))

    # --- the integrator

    def configure(self, timezone: str = "Asia/Ho_Chi_Minh") -> None:
        text = CONFIG.format(redis_url=self._redis_url, crm_url=self._crm_url, timezone=timezone)
        (self.folder / "config.yaml").write_text(text)

    @property
    def config(self) -> Config:
        return config.load(self.folder / "config.yaml", {})

    # --- the vendor

    def send(self, id_: object = 1, version: int = 0, **fields: Json) -> None:
        """A ticket.update, stored as the receiver does. `version` counts from an arbitrary time."""
        ticket = {"ticket_id": id_, "updated_at": T0 + version, **fields}
        self.send_body({"object": "ticket", "action": "update", "ticket": ticket})

    def send_body(self, body: Mapping[str, Json]) -> None:
        self._received += 1
        source = assemble.open_sources(self.config)["caresoft"]
        events = source.preview(json.dumps(body).encode(), (T0 + self._received) * 1000)
        assert journal.store(self.client, events) == len(events)

    # --- the processes

    def work(self) -> None:
        """A worker, until nothing is left to do."""
        assemble.ensure_in_force(self.config, self.client)
        apart(lambda: Worker(self.config, threads=4).run(burst=True))

    def replay(self) -> Replayed:
        """Every kept event, under the set in force."""
        replay = Replay(assemble.reconciler(self.config, self.client))
        return replay.events(list(journal.newest_first(self.client)))

    # --- the editor

    def write(self, file: str, text: str) -> None:
        path = self.mappings / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def folder_set(self) -> MappingSet:
        return assemble.folder_set(self.config)

    def put(self, note: Note | None = None) -> int:
        """The folder, put into force without a verb."""
        return published.put_in_force(self.client, self.folder_set(), note).number

    def plan(self, **selection: Any) -> Plan:
        reconciler = assemble.reconciler(self.config, self.client)
        serials = planning.select(self.client, self.config, Selection(**selection))
        return planning.plan(reconciler, self.folder_set(), serials)

    def run(self, *arguments: str, code: int = 0, answer: str | None = None) -> Result:
        """`connector mappings ARGUMENTS`."""
        group = click.Group("mappings")
        add_to(group)
        environ = {"CONNECTOR_CONFIG": str(self.folder / "config.yaml"), "USER": "lan"}
        result = CliRunner().invoke(group, arguments, input=answer, env=environ)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    # --- what can be seen

    def record(self, resource: str, id_: str) -> Merged:
        return store.read(self.client, [Name("crm", resource, id_)])[0].merged

    def values(self, resource: str, id_: str) -> dict[str, Json]:
        return planning.values(self.record(resource, id_))

    def everything(self) -> dict[bytes, object]:
        """All that Redis holds, to see that nothing was written."""
        return {key: self.client.dump(key) for key in self.client.keys("*")}
