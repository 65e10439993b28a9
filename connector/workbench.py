"""What the verbs for mapping files stand on: the folder, what it is judged against, the sources.

Needs no CRM and no secrets, and Redis only for what is asked of the journal. Where there is no
config.yaml, both vendors and one CRM are taken for granted. As `cli`: what cannot go on is told on
standard error and ends the process with 2.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from connector.config import load as load_config
from connector.config.model import App, CareSoft, Mobio, SourceConfig, TargetConfig
from connector.errors import ConfigInvalid
from connector.mapping.load import Surroundings, judge
from connector.mapping.ruleset import MappingSet
from connector.model import Json
from connector.problems import did_you_mean
from connector.redisdb import Redis
from connector.sources import VENDORS, catalogue, open_source
from connector.sources.base import Source
from connector.terminal import print_problems
from connector.verbs import COULD_NOT_RUN, fail, open_redis

KINDS: Mapping[str, tuple[str, ...]] = {name: vendor.kinds for name, vendor in VENDORS.items()}
"""For each vendor the kinds of events that it documents."""


@dataclass(frozen=True, slots=True)
class Workbench:
    """What mapping files are judged and tried against."""

    folder: Path
    surroundings: Surroundings
    sources: Mapping[str, Source]
    redis_url: str | None = None
    targets: Mapping[str, TargetConfig] = field(default_factory=dict)

    def redis(self) -> Redis:
        """The Redis that keeps the journal. Ends the process where it cannot be reached."""
        if self.redis_url is None:
            fail("no config.yaml says which Redis keeps the journal: name one in CONNECTOR_CONFIG")
        return open_redis(self.redis_url)

    def load(self, folder: Path | None = None) -> MappingSet:
        """The set of a folder, the configured one by default. Ends the process for a broken one."""
        judged = judge(folder or self.folder, self.surroundings)
        if judged.mapping_set is None:
            print_problems(judged.errors, "bold red", "error")
            sys.exit(COULD_NOT_RUN)
        return judged.mapping_set

    def source(self, name: str) -> Source:
        """A configured source, or one of that vendor's kind where none is configured."""
        found = self.sources.get(name)
        if found is None and name in VENDORS:
            return open_source(_unconfigured(name))
        if found is None:
            fail(f"no source {name!r} is configured; {did_you_mean(name, self.sources)}")
        return found

    def documents(self, source: str, body: bytes) -> list[dict[str, Json]]:
        """The documents of a body, as `tests:` blocks want them."""
        return self.documents_at(now(), source, body)

    def documents_at(self, received_at: int, source: str, body: bytes) -> list[dict[str, Json]]:
        """As `documents`, of a body received at a time (µs)."""
        reader = self.source(source)
        return [reader.document(event) for event in reader.preview(body, received_at)]


def open_workbench() -> Workbench:
    """From config.yaml, or for both vendors and one CRM where there is none."""
    path = Path(os.environ.get("CONNECTOR_CONFIG", "config.yaml"))
    if "CONNECTOR_CONFIG" not in os.environ and not path.exists():
        sources = {kind: open_source(_unconfigured(kind)) for kind in VENDORS}
        around = surroundings(sources, ["crm"], ZoneInfo("Asia/Ho_Chi_Minh"))
        return Workbench(Path("mappings"), around, sources)
    try:
        config = load_config(path, _AnyEnvironment(os.environ))
    except ConfigInvalid as error:
        print_problems(error.problems, "bold red", "error", lines=False)
        sys.exit(COULD_NOT_RUN)
    sources = {name: open_source(source) for name, source in config.sources.items()}
    around = surroundings(sources, list(config.targets), config.timezone)
    return Workbench(config.mappings, around, sources, config.redis_url, config.targets)


def surroundings(
    sources: Mapping[str, Source], targets: Sequence[str], timezone: ZoneInfo
) -> Surroundings:
    """What a set is judged against: the configuration, and what the vendors document."""
    kinds = {name: source.kind for name, source in sources.items()}
    return Surroundings(kinds, targets, timezone, KINDS, catalogue.fields)


def counted(number: int, what: str) -> str:
    """`1 event`, `2 events`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def now() -> int:
    """Microseconds since the epoch."""
    return time.time_ns() // 1000


class _AnyEnvironment(dict[str, str]):
    """The environment, with a stand-in for each variable that is not set: the mapping files do
    not depend on secrets and addresses, and who edits them need not have them."""

    def __missing__(self, name: str) -> str:
        return "redis://unset.invalid" if "REDIS" in name else "http://unset.invalid"

    def __contains__(self, name: object) -> bool:
        return True


def _unconfigured(kind: str) -> SourceConfig:
    """A source of a vendor, to read bodies with: it verifies nothing."""
    if kind == "caresoft":
        return CareSoft("caresoft", unsigned=True)
    return Mobio("mobio", (App("", ()),))
