"""An editor's desk: a folder with config.yaml and mappings, a journal in a real Redis, the verbs.

`desk` has the shipped mappings; `desk.write` puts others beside or in their place.
"""

from __future__ import annotations

import json
import shutil
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from connector import assemble, config, journal, terminal
from connector.cli import main
from connector.config import Config
from connector.drift_verbs import drift
from connector.model import Event, Json
from connector.redisdb import Redis, connect
from connector.sources.base import Source

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "samples"
DAY = 86_400_000_000  # µs
T0 = 1_684_384_652_133  # ms, as the vendor's samples

CONFIG = """\
redis_url: {redis_url}
mappings: mappings
sources:
  caresoft: {{kind: caresoft, secrets: [CS123]}}
  mobio: {{kind: mobio, apps: [{{app_id: a1, secrets: [s1]}}]}}
targets:
  crm: {{base_url: "http://127.0.0.1:9", auth: {{type: none}}}}
"""


class Desk:
    """One installation as an editor sees it. Verbs run in this process, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mappings = folder / "mappings"

    def use_shipped_mappings(self) -> None:
        shutil.copytree(ROOT / "mappings", self.mappings, dirs_exist_ok=True)

    def write(self, text: str, name: str = "own.yaml") -> Path:
        """A mapping file; the first one makes the folder."""
        path = self.mappings / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def configure(self, redis_url: str) -> None:
        text = CONFIG.format(redis_url=redis_url)
        (self.folder / "config.yaml").write_text(text, encoding="utf-8")

    def run(self, *arguments: str, code: int = 0) -> Result:
        """A verb of `connector`; its output is `.stdout` and `.stderr`."""
        command = drift if arguments[0] == "drift" else main
        given = arguments[1:] if arguments[0] == "drift" else arguments
        result = CliRunner().invoke(command, list(given))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    # --- the journal

    @property
    def config(self) -> Config:
        return config.load(self.folder / "config.yaml", {})

    @property
    def client(self) -> Redis:
        return connect(self.config.redis_url)

    @property
    def sources(self) -> Mapping[str, Source]:
        return assemble.open_sources(self.config)

    def receive(self, body: Json | bytes, source: str = "caresoft", days_ago: float = 0.0) -> Event:
        """Stores the one event of a body in the journal, as the receiver does."""
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        at = time.time_ns() // 1000 - int(days_ago * DAY)
        (event,) = self.sources[source].preview(raw, at)
        assert journal.store(self.client, [event]) == 1
        return event

    def receive_samples(self, pattern: str = "*/*.json", days_ago: float = 0.1) -> list[Event]:
        paths = sorted(SAMPLES.glob(pattern))
        return [self.receive(p.read_bytes(), p.parent.name, days_ago) for p in paths]

    def work(self) -> None:
        """Merges what is in the journal, as a worker does before it delivers."""
        assemble.ensure_in_force(self.config, self.client)
        reconciler = assemble.reconciler(self.config, self.client)
        serials = [entry.serial for entry in journal.newest_first(self.client)]
        merged = reconciler.merge(journal.load(self.client, serials), leasing=False)
        journal.finish(self.client, merged.entries)


@pytest.fixture
def empty_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk without configuration, journal and mappings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTOR_CONFIG", raising=False)
    monkeypatch.setattr(terminal.out, "width", 240)
    monkeypatch.setattr(terminal.err, "width", 240)
    return Desk(tmp_path)


@pytest.fixture
def desk(empty_desk: Desk, redis_url: str) -> Desk:
    """A desk with the shipped mappings and an empty journal."""
    empty_desk.use_shipped_mappings()
    empty_desk.configure(redis_url)
    return empty_desk


@pytest.fixture
def sample() -> Callable[[str], Json]:
    """A vendor's example by its name: `sample("caresoft/ticket.update-2")`."""
    return lambda name: json.loads((SAMPLES / f"{name}.json").read_bytes())


def ticket(number: int = 7, **fields: Json) -> dict[str, Json]:
    """A ticket.update of CareSoft."""
    known = {"ticket_id": number, "updated_at": T0}
    return {"object": "ticket", "action": "update", "ticket": {**known, **fields}}


def custom(code: str, value: str, label: str = "", type_: int | str = 0) -> dict[str, Json]:
    """One element of `addition_fields`."""
    return {"field": code, "label": label, "type": type_, "value": value, "value_id": ""}


@pytest.fixture(name="ticket")
def ticket_() -> Callable[..., dict[str, Json]]:
    return ticket


@pytest.fixture(name="custom")
def custom_() -> Callable[..., dict[str, Json]]:
    return custom
