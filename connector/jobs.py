"""The RQ jobs: what a stock `rq worker --serializer rq.serializers.JSONSerializer` runs.

Invariant: a job is a wake-up. It names an event and holds nothing of it; running it twice, late or
never (an event without a job is found and enqueued) changes nothing.
"""

from __future__ import annotations

from functools import lru_cache
from threading import local

from connector import assemble, config, journal
from connector.reconcile import Reconciler
from connector.records import store
from connector.redisdb import connect
from connector.replay import merge_events
from connector.targets.http import Http

DUE_AT_ONCE = 8
"""Records whose time has come that one job takes along."""

_thread = local()


def event(source: str, event_id: str) -> str:
    """Bring one event the whole way; says what became of it.

    Raises what Redis raises, and RedisUnfit for one that cannot be worked on: RQ then counts the
    job as failed, and the sweep enqueues it again.
    """
    reconciler = _reconciler()
    entry = journal.find(reconciler.client, source, event_id)
    if entry is None:
        return "not in the journal any more"
    if entry.state == "queued":
        merging = merge_events(reconciler, [journal.begun(reconciler.client, entry)])
        _deliver(reconciler, list(merging.leases))
        entry = merging.entries[0]
        journal.finish(reconciler.client, [entry])
    for target in reconciler.targets:
        seconds = reconciler.lease_seconds(target)
        token = journal.job_id(source, event_id)
        due, _ = store.lease_due(reconciler.client, target, DUE_AT_ONCE, token, seconds)
        _deliver(reconciler, due)
    return entry.state


def _deliver(reconciler: Reconciler, leases: list[store.Lease]) -> None:
    for work in reconciler.prepare(leases):
        store.release(reconciler.client, [reconciler.deliver(work, _http())])


def _http() -> Http:
    if not hasattr(_thread, "http"):
        _thread.http = Http()
    found: Http = _thread.http
    return found


@lru_cache(maxsize=1)
def _reconciler() -> Reconciler:
    loaded = config.load()
    client = connect(loaded.redis_url)
    store.refuse_older(client, loaded.targets)
    return assemble.reconciler(loaded, client)
