"""What `/metrics` says: the totals of all processes, and how things stand just now.

The table `metrics.METRICS` says what there is; here it gets its values: totals from Redis, where
every process adds its own, and gauges read when somebody asks.

Invariant: an answer is given without Redis, too: this is when somebody wants to look. Totals then
go on from those seen last, with what this process has counted since, and never go down.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

import prometheus_client
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry
from redis.exceptions import RedisError

from connector import flow, journal, metrics
from connector.alive import live_workers
from connector.config import Config
from connector.mapping import published
from connector.metrics import METRICS, Described, Meter
from connector.records import store
from connector.redisdb import PREFIX, Redis

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SPOOL_TOLD_FOR = 60
"""Seconds that the spool of a web process counts after it was heard of last."""

Gauges: TypeAlias = Mapping[str, Mapping[tuple[str, ...], float]]
"""By metric and label values."""


class Exposition(Collector):
    """What `/metrics` shows: the totals of all processes, and gauges as they stand now.

    `spooled` gives the events in this process' own spool.
    """

    def __init__(
        self,
        client: Redis,
        config: Config,
        meter: Meter,
        spooled: Callable[[], int | None],
    ) -> None:
        self._client = client
        self._meter = meter
        self._config = config
        self._spooled = spooled
        self._seen: dict[str, float] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def text(self) -> bytes:
        """Prometheus text."""
        return prometheus_client.generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every metric, in the order of the reference."""
        own = self._spooled()
        gauges: dict[str, Mapping[tuple[str, ...], float]] = {}
        try:
            self._meter.publish(self._client, own)
            self._seen = metrics.totals(self._client)
            samples = dict.fromkeys(self._meter.zeros, 0.0) | self._seen
            gauges |= standing(self._client, self._config)
            gauges["connector_spool_events"] = {(): self._spools(own)}
            up = 1
        except RedisError:
            added = self._meter.unpublished()
            samples = {
                key: self._seen.get(key, 0) + added.get(key, 0)
                for key in [*self._seen, *(key for key in added if key not in self._seen)]
            }
            gauges["connector_spool_events"] = {(): own or 0}
            up = 0
        gauges["connector_redis_up"] = {(): up}
        by_name: dict[str, list[tuple[list[str], float]]] = {}
        for key, total in samples.items():
            name, *labels = json.loads(key)
            by_name.setdefault(name, []).append((labels, total))
        for described in METRICS.values():
            yield _family(described, by_name, gauges.get(described.name, {}))

    def _spools(self, own: int | None) -> int:
        """Events in the spools of the web processes that were heard of lately."""
        oldest, count = time.time() - SPOOL_TOLD_FOR, own or 0
        for name, told in self._client.hgetall(f"{PREFIX}spool").items():
            at, events = map(int, told.split())
            if at < oldest:
                self._client.hdel(f"{PREFIX}spool", name)
            elif name.decode() != self._meter.name:
                count += events
        return count


def _family(
    described: Described,
    by_name: Mapping[str, Sequence[tuple[list[str], float]]],
    now: Mapping[tuple[str, ...], float],
) -> Metric:
    """A metric with its samples, as prometheus-client writes it."""
    name, labels = described.name, described.labels
    values: Sequence[str]
    if described.kind == "gauge":
        gauge = GaugeMetricFamily(name, described.what, labels=labels)
        for values, value in now.items():
            gauge.add_metric(values, value)
        return gauge
    if described.kind == "counter":
        counter = CounterMetricFamily(name, described.what, labels=labels)
        for values, total in by_name.get(name, ()):
            counter.add_metric(values, total)
        if not labels and not by_name.get(name):
            counter.add_metric((), 0)
        return counter
    histogram = HistogramMetricFamily(name, described.what, labels=labels)
    sums = {tuple(values): total for values, total in by_name.get(f"{name}_sum", ())}
    buckets: dict[tuple[str, ...], list[tuple[str, float]]] = {}
    for (*values, edge), total in by_name.get(f"{name}_bucket", ()):
        buckets.setdefault(tuple(values), []).append((edge, total))
    for values, counts in buckets.items():
        in_order = sorted(counts, key=lambda count: float(count[0]))
        histogram.add_metric(values, in_order, sums.get(values, 0.0))
    return histogram


def standing(client: Redis, config: Config) -> Gauges:
    """How things stand, as Redis knows it."""
    return {
        "connector_events_kept": {(): journal.count(client)},
        "connector_events_queued": {(): journal.queued(client)},
        "connector_oldest_queued_seconds": {(): metrics.oldest_queued(client)},
        "connector_dead_letters": {(): int(client.zcard(f"{PREFIX}dead"))},
        "connector_workers": {(): len(live_workers(client))},
        "connector_mapping_set": {(): published.number_in_force(client) or 0},
        "connector_records_waiting": {
            (name,): store.waiting(client, name) for name in config.targets
        },
        "connector_target_paused": {
            (name,): int(flow.flow(client, name).state != "open") for name in config.targets
        },
        "connector_source_heard_timestamp_seconds": {
            (name,): at for name, at in metrics.heard(client).items() if name in config.sources
        },
    }
