"""Metrics: counted by prometheus-client in each process, added up in Redis, told by any of web.

Web and worker share no disk on a platform, and `/metrics` must answer the same from any web
process. Redis is what they do share, so it alone holds the totals: each process counts in a
registry of its own and hands over every few seconds what was added since. One way for all, instead
of a directory of files for those who share a disk and another way for the rest; nothing has to be
cleared away after a process that died, and no total ever goes down.

Keys:

    c:metrics       hash    sample, as JSON [name, label value…] → total since the beginning
    c:metrics:<p>   string  number of the last batch of process `p` that was added; kept for a day
    c:heard         hash    source → time (s) of the latest event accepted
    c:spool         hash    web process → `time (s) events in its spool`

Invariants:
- A batch is added once: it is repeated with its number until Redis has said that it has it.
  A process that is killed loses what it counted since its last batch, a few seconds.
- The number of series is bounded: kinds that no vendor documents count as `other`.
- Counting never waits for Redis, and what happens is only noted within a request or a round: it is
  counted a few hundred notes at a time, or when somebody asks, which costs a third.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import prometheus_client
from prometheus_client.registry import CollectorRegistry

from connector import journal
from connector.flow import VERDICTS
from connector.journal import Entry
from connector.model import Micros
from connector.records.state import Merged, Stamp
from connector.records.store import Release
from connector.redisdb import PREFIX, ROOM, Redis, Script

log = logging.getLogger(__name__)

OTHER = "other"

NOTES_MOST = 256
"""So many notes are counted at once."""

REFUSALS = ("signature", "not json", "too large", "unavailable")
"""Why a request of a known source is refused."""

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 3.0)
_CALLS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_WAYS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 43200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Described:
    """One metric: what the exposition, the reference and the rules are made from."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    what: str
    alert: str = ""
    buckets: tuple[float, ...] = field(default=())


METRICS: Mapping[str, Described] = {
    described.name: described
    for described in (
        Described(
            "connector_received_total",
            "counter",
            ("source",),
            "webhook requests; `unknown` for a source that is not configured",
        ),
        Described(
            "connector_verified_total",
            "counter",
            ("source",),
            "requests whose signature was right",
        ),
        Described(
            "connector_refused_total",
            "counter",
            ("source", "why"),
            "requests refused: `signature`, `not json`, `too large`, `unknown source`,"
            " `unavailable`, `bad request`",
            "`signature` or `unavailable` grows",
        ),
        Described(
            "connector_accepted_total",
            "counter",
            ("source",),
            "events stored that were not here before",
            "it stands still on a working day",
        ),
        Described(
            "connector_duplicates_total",
            "counter",
            ("source",),
            "events received that were here before",
        ),
        Described(
            "connector_spooled_total",
            "counter",
            (),
            "events that went to the spool",
            "it grows",
        ),
        Described(
            "connector_ack_seconds",
            "histogram",
            ("source",),
            "from the beginning of an accepted webhook request to its answer",
            "its 99th percentile is above 0.1",
            _FAST,
        ),
        Described(
            "connector_events_total",
            "counter",
            ("source", "kind", "outcome"),
            "events that went through the mappings: `merged`, `unmapped` or `dead`; kinds that no"
            " vendor documents are `other`",
        ),
        Described(
            "connector_deliveries_total",
            "counter",
            ("target", "resource", "answer"),
            "deliveries by what the CRM's answer meant: `done`, `refused`, `fault`, `not_now`,"
            " `credentials` or `misled`",
        ),
        Described(
            "connector_retries_total",
            "counter",
            ("target",),
            "deliveries that will be tried again",
        ),
        Described(
            "connector_dead_total",
            "counter",
            ("what",),
            "dead letters made: of an `event` or of a `record`",
        ),
        Described(
            "connector_calls_total",
            "counter",
            ("target", "status"),
            "HTTP calls by class of status: `2xx` to `5xx`, or `none` where no answer came",
        ),
        Described(
            "connector_call_seconds",
            "histogram",
            ("target",),
            "duration of an HTTP call",
            "its 99th percentile nears the target's `timeout`",
            _CALLS,
        ),
        Described(
            "connector_delivery_seconds",
            "histogram",
            ("target",),
            "from the receipt of a record's latest event until the CRM had it",
            "its 99th percentile is above a minute",
            _WAYS,
        ),
        Described("connector_events_kept", "gauge", (), "events in the journal"),
        Described(
            "connector_events_queued",
            "gauge",
            (),
            "events that no worker has merged",
            "it grows for minutes",
        ),
        Described(
            "connector_oldest_queued_seconds",
            "gauge",
            (),
            "age of the first event in the queue; 0 when it is empty",
            "it is above some minutes",
        ),
        Described(
            "connector_records_waiting",
            "gauge",
            ("target",),
            "records that the CRM is not up to date with",
            "it grows for minutes; see `connector targets`",
        ),
        Described(
            "connector_dead_letters",
            "gauge",
            (),
            "events and deliveries given up on that nobody has dealt with",
            "it grows",
        ),
        Described(
            "connector_target_paused",
            "gauge",
            ("target",),
            "1 while nothing is delivered to a target: its breaker is open, or a person paused it",
            "it is 1 for minutes",
        ),
        Described(
            "connector_workers",
            "gauge",
            (),
            "worker processes with a heartbeat",
            "it is 0",
        ),
        Described(
            "connector_spool_events",
            "gauge",
            (),
            "events in the spools of all web processes",
            "it is above 0 for minutes",
        ),
        Described(
            "connector_source_heard_timestamp_seconds",
            "gauge",
            ("source",),
            "when the latest event of a source was accepted",
            "it is long ago for a source that usually talks",
        ),
        Described(
            "connector_mapping_set",
            "gauge",
            (),
            "number of the mapping set in force; 0 when there is none",
            "it is 0",
        ),
        Described(
            "connector_redis_up",
            "gauge",
            (),
            "1 while the web process that answers can reach Redis; at 0 only its own counts go on,"
            " and no other gauge but the spool's is told",
            "it is 0",
        ),
    )
}
"""Every metric there is, in the order of an event's way."""


class Meter:
    """What one process has counted and not yet handed over. Safe to use from several threads.

    `name` tells the process from every other that ever was; `kinds` are the documented kinds of
    each source.
    """

    def __init__(self, name: str, kinds: Mapping[str, Iterable[str]]) -> None:
        self.name = name
        self._kinds = {source: frozenset(known) for source, known in kinds.items()}
        self.registry = CollectorRegistry(auto_describe=False)
        self._counters: dict[str, prometheus_client.Counter] = {}
        self._histograms: dict[str, prometheus_client.Histogram] = {}
        for described in METRICS.values():
            about = (described.name, described.what, described.labels)
            if described.kind == "counter":
                self._counters[described.name] = prometheus_client.Counter(
                    *about, registry=self.registry
                )
            elif described.kind == "histogram":
                self._histograms[described.name] = prometheus_client.Histogram(
                    *about, registry=self.registry, buckets=described.buckets
                )
        self._counting: dict[tuple[str, ...], prometheus_client.Counter] = {}
        self._timing: dict[tuple[str, str], prometheus_client.Histogram] = {}
        self._begin_at_zero()
        self.zeros = frozenset(self._values())
        self._notes: deque[tuple[tuple[str, ...], float]] = deque()
        self._heard: dict[str, int] = {}
        self._delivered: deque[tuple[str, int, Micros, Micros]] = deque(maxlen=20_000)
        self._lock = threading.Lock()
        self._told: dict[str, float] = {}
        self._number = 0
        self._batch: tuple[dict[str, float], list[str | int]] | None = None

    def _begin_at_zero(self) -> None:
        """Make the series of what is known beforehand, so that the first count shows as a rise."""
        for what in ("event", "record"):
            self._counters["connector_dead_total"].labels(what)
        for source in self._kinds:
            for name in ("received", "verified", "accepted", "duplicates"):
                self._counters[f"connector_{name}_total"].labels(source)
            for why in REFUSALS:
                self._counters["connector_refused_total"].labels(source, why)

    # --- the web process

    def received(self, source: str) -> None:
        """A webhook request came; `source` may be none of ours."""
        self._note("connector_received_total", self._known(source, "unknown"))

    def verified(self, source: str) -> None:
        """Its signature is right."""
        self._note("connector_verified_total", source)

    def refused(self, source: str, why: str) -> None:
        """It was answered otherwise than with 200."""
        self._note("connector_refused_total", self._known(source, "unknown"), why)

    def taken(self, source: str, events: int, accepted: int, seconds: float) -> None:
        """Its events were stored, `accepted` of them for the first time, within `seconds`."""
        self._note("connector_accepted_total", source, amount=accepted)
        if events != accepted:
            self._note("connector_duplicates_total", source, amount=events - accepted)
        self._note("connector_ack_seconds", source, amount=seconds)
        if accepted:
            self._heard[source] = int(time.time())

    def spooled(self, events: int) -> None:
        """So many events went to the disk."""
        self._counters["connector_spooled_total"].inc(events)

    # --- the worker process

    def merged(self, entries: Sequence[Entry]) -> None:
        """What became of a batch of events in the mappings."""
        tally = Tally((e.event.source, e.event.kind, e.state) for e in entries)
        for (source, kind, state), count in tally.items():
            known = kind if kind is not None and kind in self._kinds.get(source, ()) else OTHER
            self._count(
                "connector_events_total", self._known(source, OTHER), known, state, count=count
            )
            if state == "dead":
                self._count("connector_dead_total", "event", count=count)

    def released(self, releases: Sequence[Release]) -> None:
        """What became of a batch of deliveries. Called once they are stored."""
        tally: Tally[tuple[str, ...]] = Tally()
        for release in releases:
            try:
                tally.update(self._released(release))
            except Exception:
                log.exception("counting what happened; the work goes on")
        for series, count in tally.items():
            self._count(*series, count=count)

    def _released(self, release: Release) -> Iterator[tuple[str, ...]]:
        """The series that count it; what it took is noted."""
        name = release.lease.name
        for status, seconds in release.answered:
            group = f"{status // 100}xx" if status else "none"
            yield "connector_calls_total", name.target, group
            self._observe("connector_call_seconds", name.target, seconds)
        if release.verdict:
            answer = MEANINGS[release.verdict]
            yield "connector_deliveries_total", name.target, name.resource, answer
        if release.verdict == "ok":
            state = release.lease.state
            if stamp := latest(state.merged):
                times = (release.delivered.at, state.delivered.at)
                self._delivered.append((name.target, stamp.serial, *times))
        elif release.due_in is not None and release.verdict:
            yield "connector_retries_total", name.target
        if release.due_in is None and release.delivered.dead:
            yield "connector_dead_total", "record"

    # --- handing over

    def publish(self, client: Redis, spooled: int | None = None) -> None:
        """Add what was counted since the last time to the totals in Redis. `spooled`: events in the
        spool of this process, where it has one.

        Raises RedisError; then it is added another time, and once.
        """
        self._work_off()
        with self._lock:
            self._measure(client)
            if self._batch is None:
                now = self._values()
                args: list[str | int] = []
                for sample, value in now.items():
                    if added := value - self._told.get(sample, 0):
                        args += [sample, f"{added:.12g}"]
                if args:
                    self._number += 1
                    self._batch = (now, [self.name, self._number, *args])
            if self._batch is not None:
                _ADD(client, self._batch[1])
                self._told, self._batch = self._batch[0], None
            if self._heard:
                client.hset(f"{PREFIX}heard", mapping=self._heard.copy())
                self._heard.clear()
            if spooled is not None:
                client.hset(f"{PREFIX}spool", self.name, f"{int(time.time())} {spooled}")

    def unpublished(self) -> dict[str, float]:
        """By sample, what Redis has not taken yet."""
        self._work_off()
        with self._lock:
            now = self._values().items()
            return {key: value - self._told.get(key, 0) for key, value in now}

    def _measure(self, client: Redis) -> None:
        """How long the events of what was delivered had been on their way; the journal knows when
        each came, whichever worker merged it."""
        while self._delivered:
            page = [self._delivered[n] for n in range(min(500, len(self._delivered)))]
            came = client.zmscore(f"{PREFIX}events", [serial for _, serial, _, _ in page])
            for (target, _, at, before), received in zip(page, came, strict=True):
                self._delivered.popleft()
                # What was sent again (a replay, a reference) is no event's way.
                if received is not None and received > before:
                    seconds = max(at - received, 0.0) / 1e6
                    self._observe("connector_delivery_seconds", target, seconds)

    def _values(self) -> dict[str, float]:
        return {
            json.dumps([sample.name, *sample.labels.values()], separators=(",", ":")): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if not sample.name.endswith("_created")
        }

    def _note(self, *series: str, amount: float = 1) -> None:
        """Count in this series later, or observe a number of seconds."""
        self._notes.append((series, amount))
        if len(self._notes) >= NOTES_MOST:
            self._work_off()

    def _work_off(self) -> None:
        """Count what was noted, once for each series; several threads may."""
        counted: Tally[tuple[str, ...]] = Tally()
        while self._notes:
            try:
                series, amount = self._notes.popleft()
            except IndexError:  # another thread had the last one
                break
            if series[0] in self._counters:
                counted[series] += amount  # type: ignore[assignment]  # whole in all but the type
            else:
                self._unless_it_fails(self._observe, *series, amount)
        for series, count in counted.items():
            self._unless_it_fails(self._count, *series, count=count)

    def _unless_it_fails(self, step: Callable[..., None], *what: Any, **more: float) -> None:
        try:
            step(*what, **more)
        except Exception:
            log.exception("counting what happened; the work goes on")

    def _count(self, *series: str, count: float = 1) -> None:
        """Count in a series: the name of a metric and the values of its labels."""
        if count:
            counter = self._counting.get(series)
            if counter is None:  # finding it by its labels costs more than counting
                name, *labels = series
                counter = self._counting[series] = self._counters[name].labels(*labels)
            counter.inc(count)

    def _observe(self, name: str, label: str, seconds: float) -> None:
        histogram = self._timing.get((name, label))
        if histogram is None:
            histogram = self._timing[name, label] = self._histograms[name].labels(label)
        histogram.observe(seconds)

    def _known(self, source: str, otherwise: str) -> str:
        return source if source in self._kinds else otherwise


MEANINGS: Mapping[str, str] = {verdict: meaning for meaning, verdict in VERDICTS.items()}
"""The label `answer` of a delivery by what it said of its target."""

_ADD = Script(
    ROOM
    + """
-- ARGV: process, number of its batch, then samples and what is added to each
local last = 'c:metrics:' .. ARGV[1]
if tonumber(redis.call('GET', last) or '0') >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', last, ARGV[2], 'EX', 86400)
for i = 3, #ARGV, 2 do redis.call('HINCRBYFLOAT', 'c:metrics', ARGV[i], ARGV[i + 1]) end
return 1
"""
)


def latest(merged: Merged) -> Stamp | None:
    """The stamp of the latest event whose words a record's state holds, if there is any."""
    last = merged.deleted
    for cell in merged.fields.values():
        stamp = cell.stamp or cell.newest
        # Mostly one object stands in all the fields
        if stamp is not last and stamp and (last is None or stamp.serial > last.serial):
            last = stamp
    return last


def totals(client: Redis) -> dict[str, float]:
    """By sample, what all processes together have counted since the beginning."""
    return {key.decode(): float(total) for key, total in client.hgetall(f"{PREFIX}metrics").items()}


def heard(client: Redis) -> dict[str, int]:
    """By source, when (s) its latest event was accepted."""
    return {key.decode(): int(at) for key, at in client.hgetall(f"{PREFIX}heard").items()}


def oldest_queued(client: Redis) -> float:
    """Seconds since the event was received that is first in the queue; 0 when it is empty."""
    job = client.lindex(f"rq:queue:{journal.QUEUE}", 0)
    serial = client.hget(f"rq:job:{job.decode()}", "event") if job else None
    received = client.zscore(f"{PREFIX}events", serial) if serial else None
    return max(time.time() - received / 1e6, 0.0) if received else 0.0
