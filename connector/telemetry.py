"""What a process tells of itself: the receiver and the dispatcher call it once for each thing that
happened, and it reaches metrics, the log and OpenTelemetry from here.

One id leads from a webhook to its CRM calls: `event`, the first 20 characters of the event's id,
which is what a record keeps of it and every verb of the command line takes.

The way of every event is told at the level DEBUG (`LOG_LEVEL=debug`), what was given up on always.
No values: what a reason or an answer quotes may be personal, so lines say where to look instead.

Invariant: a fault in telling is logged, and never in the way of what is told: by then the event is
stored or the record delivered.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar, cast

from connector import tracing
from connector.config import Config
from connector.journal import Entry
from connector.metrics import Meter, latest
from connector.model import Event
from connector.records.state import EVENT_DIGITS
from connector.records.store import Release
from connector.redisdb import Redis
from connector.sources import VENDORS

log = logging.getLogger(__name__)


Tell = TypeVar("Tell", bound=Callable[..., None])


def _aside(tell: Tell) -> Tell:
    """Whatever goes wrong in telling goes into the log alone."""

    @wraps(tell)
    def tell_or_log(*args: object, **named: object) -> None:
        try:
            tell(*args, **named)
        except Exception:
            log.exception("telling what happened; the work goes on")

    return cast(Tell, tell_or_log)


class Telemetry:
    """Of one process; `process` is `web` or `worker`. Made in the process that uses it."""

    def __init__(self, process: str, config: Config) -> None:
        name = f"{process}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        kinds = {source.name: VENDORS[source.kind].kinds for source in config.sources.values()}
        self.meter = Meter(name, kinds)
        self._tracer = tracing.open_tracer(process)

    # --- the web process

    @_aside
    def received(self, source: str) -> None:
        """A webhook request came; `source` may be none of ours."""
        self.meter.received(source)

    @_aside
    def verified(self, source: str) -> None:
        """Its signature is right."""
        self.meter.verified(source)

    @_aside
    def refused(self, source: str, why: str) -> None:
        """It was answered otherwise than with 200."""
        self.meter.refused(source, why)

    @_aside
    def spooled(self, events: int) -> None:
        """So many events went to the disk."""
        self.meter.spooled(events)

    @_aside
    def taken(self, source: str, events: Sequence[Event], accepted: int, began: float) -> None:
        """The events of a request were stored; it began at `began` (`time.perf_counter`)."""
        seconds = time.perf_counter() - began
        self.meter.taken(source, len(events), accepted, seconds)
        if log.isEnabledFor(logging.DEBUG):
            for event in events:
                log.debug("received", extra=_of(event) | {"seconds": round(seconds, 4)})
        if self._tracer:
            now = time.time_ns()
            for event in events:
                told = {"source": event.source, "kind": event.kind or ""}
                started = now - int(seconds * 1e9)
                self._tracer.span("receive", short(event.id), started, now, told, first=True)

    # --- the worker process

    @_aside
    def merged(self, entries: Sequence[Entry]) -> None:
        """What became of a batch of events in the mappings."""
        self.meter.merged(entries)
        tells = log.isEnabledFor(logging.DEBUG)
        for entry in entries:
            if entry.state == "dead":
                place = entry.problem.place if entry.problem else None
                where = {"place": f"{place.file}:{place.line}"} if place else {}
                log.warning(
                    "an event became a dead letter; `connector dead` says why",
                    extra=_of(entry.event) | where,
                )
            elif tells:
                records = [str(touched.name) for touched in entry.touched]
                log.debug(entry.state, extra=_of(entry.event) | {"records": records})
        if self._tracer:
            now = time.time_ns()
            for entry in entries:
                event = entry.event
                about = {"source": event.source, "kind": event.kind or "", "outcome": entry.state}
                failed = entry.state == "dead"
                self._tracer.span("merge", short(event.id), now, now, about, failed=failed)

    @_aside
    def released(self, releases: Sequence[Release]) -> None:
        """What became of a batch of deliveries. Called once they are stored."""
        self.meter.released(releases)
        tells = log.isEnabledFor(logging.DEBUG) or self._tracer is not None
        for release in releases:
            if release.due_in is None and (dead := release.delivered.dead):
                log.warning(
                    "a record became a dead letter; `connector dead` says why",
                    extra=_about(release) | {"status": dead.status},
                )
            if tells:
                for line in release.calls:
                    self._tell_call(release, line)

    def _tell_call(self, release: Release, line: str) -> None:
        about = _about(release)
        _, at, method, _, status, seconds, meaning, *_ = json.loads(line)
        call = {"call": release.delivered.calls, "method": method, "status": status}
        log.debug("called", extra=about | call | {"seconds": seconds, "meaning": meaning})
        if self._tracer and "event" in about:
            name = release.lease.name
            self._tracer.span(
                "call",
                about["event"],
                at * 1000,
                at * 1000 + int(seconds * 1e9),
                {"target": name.target, "resource": name.resource, "meaning": meaning, **call},
                failed=meaning != "done",
            )

    # --- both

    def publish(self, client: Redis, spooled: int | None = None) -> None:
        """Hand over what was counted. Raises RedisError; then it is handed over another time."""
        self.meter.publish(client, spooled)


def short(event_id: str) -> str:
    """As much of an event's id as its records keep."""
    return event_id[:EVENT_DIGITS]


def _of(event: Event) -> dict[str, object]:
    return {"event": short(event.id), "source": event.source, "kind": event.kind}


def _about(release: Release) -> dict[str, str]:
    stamp = latest(release.lease.state.merged)
    about = {"record": str(release.lease.name)}
    return {"event": stamp.event, **about} if stamp else about
