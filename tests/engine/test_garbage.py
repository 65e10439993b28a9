"""A worker looks for circles of garbage rarely (`worker.NEW_OBJECTS`), for no event leaves any
behind: what was made for one is gone as soon as it is done with."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from office import Office

from connector import assemble, journal, worker
from connector.config import Config
from connector.reconcile import Reconciler
from connector.records import store
from connector.replay import merge_events
from connector.targets.http import Http

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "tests" / "samples").glob("*/*.json"))


class Shipped(Office):
    """An installation with the mappings that come with the project, and both vendors."""

    def configure(self, timezone: str = "Asia/Ho_Chi_Minh") -> None:
        super().configure(timezone)
        file = self.folder / "config.yaml"
        mobio = "\n  mobio: {kind: mobio, apps: [{app_id: a, secrets: [b]}]}\ntargets:"
        text = file.read_text().replace("mappings: mappings", f"mappings: {ROOT / 'mappings'}")
        file.write_text(text.replace("\ntargets:", mobio))


def send_samples(config: Config, client: Any) -> int:
    """Every documented event of both vendors."""
    sources = assemble.open_sources(config)
    events = [
        event
        for sample in SAMPLES
        for event in sources[sample.parent.name].preview(sample.read_bytes(), 1)
    ]
    return journal.store(client, events)


def go_the_whole_way(reconciler: Reconciler, http: Http) -> None:
    """All that waits, as a worker brings it on."""
    client = reconciler.client
    while claims := journal.claim(client, "w", "x", 64).claims:
        merging = merge_events(reconciler, [claim.entry for claim in claims])
        works = reconciler.prepare(merging.leases)
        store.release(client, [reconciler.deliver(work, http) for work in works])
        finished = list(zip(merging.entries, claims, strict=True))
        journal.claim(client, "w", "", 0, finished)


def circles(reconciler: Reconciler, http: Http, config: Config) -> Counter[str]:
    """Of what kinds the objects are that all samples leave in circles, sent to an empty Redis."""
    reconciler.client.flushdb()
    assemble.ensure_in_force(config, reconciler.client)
    assert send_samples(config, reconciler.client) >= len(SAMPLES)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        go_the_whole_way(reconciler, http)
        gc.collect()
        return Counter(type(one).__qualname__ for one in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_events_leave_no_circles_behind(tmp_path: Path, redis_url: str, fake_crm: Any) -> None:
    office = Shipped(tmp_path, redis_url, fake_crm.url)
    reconciler, http = assemble.reconciler(office.config, office.client), Http()
    circles(reconciler, http, office.config)  # what is made once, at the first event of a kind
    assert circles(reconciler, http, office.config) == Counter()


def test_a_worker_process_looks_for_circles_rarely() -> None:
    program = (
        "import gc; from connector import worker; worker.settle_in();"
        "print(gc.get_threshold()[0], gc.get_freeze_count() > 10_000, gc.isenabled())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout.split() == [str(worker.NEW_OBJECTS), "True", "True"], said.stderr
    assert gc.get_threshold()[0] < worker.NEW_OBJECTS, "only a process of its own is changed"
