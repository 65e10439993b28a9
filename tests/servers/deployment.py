"""The whole running system in front of a real server, with the settings of docs/targets/.

The file is used as it stands. Changed are only the addresses, the secrets, and the times that tests
cannot wait for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml
from servers.cable import Cable, cable_to
from servers.server import Json, Server
from system import MOBIO_APPS, ROOT, System, wait_for

TARGETS = ROOT / "docs" / "targets"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
_BRISK: Mapping[str, Json] = {
    "timeout": 5,
    "probe_interval": 1,
    "search_lag": 0.3,
    "retry": {"schedule": [0.5, 1, 1]},
}


class Deployment(System):
    """Web, worker and Redis in front of a server that is reached through a cable."""

    def __init__(
        self, folder: Path, server: Server, cable: Cable, mappings: Path | None = None
    ) -> None:
        super().__init__(folder, mappings=mappings)
        self.server, self.cable = server, cable
        self.said: Mapping[str, str] = server.environ
        self.replace: Mapping[str, str] = {}

    def write_config(self) -> None:
        text = (TARGETS / f"{self.server.name}.yaml").read_text("utf-8")
        for old, new in self.replace.items():
            text = text.replace(old, new)
        environ = {
            **dict.fromkeys(("CARESOFT_SECRET", "MOBIO_APP_SECRET", "MOBIO_APP_ID"), "s1"),
            "CRM_BASE_URL": self.cable.url + self.server.base,
            **self.said,
        }
        tree = yaml.safe_load(_VARIABLE.sub(lambda found: environ.get(found[1], ""), text))
        tree.update(redis_url=self.redis.url, spool="spool.sqlite", mappings=str(self._mappings))
        tree["sources"]["mobio"]["apps"] = [
            {"app_id": app, "secrets": ["s1"]} for app in MOBIO_APPS
        ]
        tree["targets"]["crm"].update(_BRISK)
        (self.folder / "config.yaml").write_text(yaml.safe_dump(tree, allow_unicode=True))

    def reconfigure(
        self,
        *,
        said: Mapping[str, str] | None = None,
        replace: Mapping[str, str] | None = None,
    ) -> None:
        """Starts the worker anew. `said`: what the settings take from the environment, by default
        what is right; `replace`: other texts in the settings, by default none."""
        self.stop("worker")
        self.said = {**self.server.environ, **(said or {})}
        self.replace = replace or {}
        self.write_config()
        self.start_worker()

    def target_state(self) -> Mapping[str, Json]:
        """What `connector targets` says."""
        (target,) = self.cli("targets")["targets"]
        state: Mapping[str, Json] = target
        return state


@contextmanager
def deployed(
    folder: Path,
    server: Server,
    *,
    workers: int = 1,
    said: Mapping[str, str] | None = None,
    mappings: Path | None = None,
) -> Iterator[Deployment]:
    """Everything started. `said`: what the settings take from the environment instead of what is
    right."""
    with cable_to(server.port) as cable:
        system = Deployment(folder, server, cable, mappings)
        system.said = {**system.said, **(said or {})}
        try:
            system.redis.start()
            system.write_config()
            system.start_web()
            for number in range(workers):
                system.start_worker("worker" if number == 0 else f"worker-{number}")
            yield system
        finally:
            for name in list(system.processes):
                system.kill9(name)
            system.redis.stop()


def send_and_wait(system: System, count: int, *bodies: Mapping[str, Json]) -> None:
    """Sends more events of CareSoft, until all `count` that were ever sent are done."""
    for body in bodies:
        assert system.send("caresoft", body).status_code == 200
    wait_for_end(system, count)


def wait_for_end(system: System, count: int) -> None:
    """Until `count` events are done; says which became dead letters instead, and why."""
    wait_for(lambda: system.settled(count), f"{count} events settled", 60, system.states)
    assert system.states() == {"done": count}, system.cli("dead")
