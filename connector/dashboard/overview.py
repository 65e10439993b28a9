"""The first page: what needs a person, then how things go.

Reads what the rooms know and the samples of the last hour or day; what takes long (drift, the
folder against the set in force) is remembered for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any
from urllib.parse import quote

from flask import Blueprint, request
from flask_babel import gettext as _
from flask_babel import ngettext
from markupsafe import Markup

from connector import drift, flow, journal, metrics, observed, series
from connector.alive import live_workers
from connector.dashboard import charts
from connector.dashboard.masking import masked_text
from connector.dashboard.room import Room, page
from connector.dashboard.shown import ago, count, milliseconds
from connector.dashboard.words import said
from connector.exposition import standing
from connector.model import Micros
from connector.records import store
from connector.redisdb import PREFIX, Redis
from connector.series import Point, Sample

SPANS: Mapping[str, tuple[int, int]] = {"hour": (60, 1), "day": (1440, series.TENS)}
"""Minutes that a chart shows, and from one point of it to the next."""

QUEUE_SECONDS = 300.0
"""An event that has waited so long for a worker is told of, as the shipped alert does."""

DRIFT_EVENTS = 200
"""The latest events that are looked at for drift: enough to see what is new, soon done."""

DRIFT_SECONDS = 300.0
_SAMPLED = 200
"""Waiting records of a target that are looked at for the one that has waited longest."""


@dataclass(frozen=True, slots=True)
class Matter:
    """Something that a person should look at: how bad, what, and the page for it."""

    level: str  # "bad" or "warn"
    text: str
    endpoint: str
    values: Mapping[str, str]


def blueprint(room: Room) -> Blueprint:
    """The overview and the parts of it that are fetched again."""
    pages = Blueprint("overview", __name__)

    @pages.get("/")
    def show() -> str:
        return page("overview.html", **_now(room))

    @pages.get("/live")
    def live() -> str:
        return page("overview_live.html", **_now(room))

    @pages.get("/drift")
    def drifted() -> str:
        return page("overview_drift.html", found=_drift(room))

    return pages


def _now(room: Room) -> dict[str, Any]:
    client, config = room.client, room.config
    span = request.args.get("span", "hour")
    span = span if span in SPANS else "hour"
    until_now = series.now(series.values(metrics.totals(client), standing(client, config)))
    hour, day = ([*series.read(client, *SPANS[name]), until_now] for name in ("hour", "day"))
    samples = hour if span == "hour" else day
    workers = live_workers(client)
    targets = [_target(room, name, hour) for name in config.targets]
    spooled = room.spooled()
    oldest_queued = metrics.oldest_queued(client)
    dead = int(client.zcard(f"{PREFIX}dead"))
    return {
        "span": span,
        "matters": _matters(room, workers, targets, dead, spooled, oldest_queued),
        "kept": journal.count(client),
        "queued": journal.queued(client),
        "oldest_queued": oldest_queued,
        "dead": dead,
        "workers": workers,
        "targets": targets,
        "sources": [
            {
                "name": name,
                "kind": source.kind,
                **_both("accepted", name, hour, day),
                **_both("duplicates", name, hour, day),
                "ack": _latency(hour, [f"ack:{name}:"]),
            }
            for name, source in config.sources.items()
        ],
        "delivered": {name: _both("delivered", name, hour, day) for name in config.targets},
        "waiting": sum(target["waiting"] for target in targets),
        "spooled": spooled,
        "ack": _latency(hour, _acks(room)),
        "end_to_end": _latency(hour, _ways(room)),
        "charts": _charts(room, samples),
        "standing": room.standing(),
    }


# --- what needs a person


def _matters(
    room: Room,
    workers: Sequence[str],
    targets: Sequence[Mapping[str, Any]],
    dead: int,
    spooled: int | None,
    oldest_queued: float,
) -> list[Matter]:
    """The worst first."""
    matters = []
    if _is_full(room.client):
        text = _("Redis is full: events go to the disk, and nothing is delivered.")
        matters.append(Matter("bad", text, "overview.show", {}))
    if not workers:
        text = _("No worker is running: events are kept, and nothing is delivered.")
        matters.append(Matter("bad", text, "overview.show", {}))
    for target in targets:
        if target["state"] != "open":
            why = said(masked_text(target["why"]))
            text = _("%(name)s is paused: %(why)s", name=target["name"], why=why)
            matters.append(Matter("bad", text, "targets.listed", {}))
    if dead:
        text = ngettext(
            "%(num)s dead letter waits for a decision.",
            "%(num)s dead letters wait for a decision.",
            dead,
        )
        matters.append(Matter("bad", text, "letters.listed", {}))
    if oldest_queued > QUEUE_SECONDS:
        text = _(
            "The oldest event in the queue came %(ago)s.",
            ago=ago(int((time.time() - oldest_queued) * 1e6)),
        )
        matters.append(Matter("bad", text, "events.listed", {"state": "queued"}))
    if spooled:
        text = _("%(n)s events are on the disk and not yet in Redis.", n=count(spooled))
        matters.append(Matter("warn", text, "overview.show", {}))
    standing = room.standing()
    if standing.errors:
        text = _("The mappings folder cannot be used: %(error)s", error=standing.errors[0])
        matters.append(Matter("warn", text, "mappings.listed", {}))
    elif not standing.same:
        text = _("The mappings folder differs from the set in force.")
        matters.append(Matter("warn", text, "mappings.listed", {}))
    return matters


def _is_full(client: Redis) -> bool:
    """Whether Redis takes nothing more. Some hosts do not tell."""
    memory = client.info("memory")
    most = int(memory.get("maxmemory", 0))
    return 0 < most <= int(memory.get("used_memory", 0))


# --- parts


def _target(room: Room, name: str, hour: Sequence[Sample]) -> dict[str, Any]:
    now = flow.flow(room.client, name)
    return {
        "name": name,
        "state": now.state,
        "why": now.why,
        "since": now.since,
        "waiting": store.waiting(room.client, name),
        "oldest": _oldest_waiting(room.client, name),
        "way": _latency(hour, [f"way:{name}:"]),
    }


def _oldest_waiting(client: Redis, target: str) -> Micros | None:
    """Since when the record waits that has waited longest, of those that are due first."""
    encoded = quote(target, safe="")
    members = client.zrange(f"{PREFIX}dirty:{encoded}", 0, _SAMPLED - 1)
    names = [store.name_of(f"{encoded}:{member.decode()}") for member in members]
    since = [state.delivered.since for state in store.read(client, names) if state.delivered.since]
    return min(since, default=None)


def _both(
    counter: str, name: str, hour: Sequence[Sample], day: Sequence[Sample]
) -> dict[str, float]:
    """A counter over the last hour and day."""
    return {
        f"{counter}_{span}": series.total(samples, f"{counter}:{name}")
        for span, samples in (("hour", hour), ("day", day))
    }


def _latency(samples: Sequence[Sample], prefixes: Sequence[str]) -> dict[str, float | None]:
    """Median and 99th percentile in seconds over all samples that there are."""
    known = [sample for sample in samples if sample.values]
    if len(known) < 2:
        return {"p50": None, "p99": None}
    return {
        told: series.quantile(known[0], known[-1], prefixes, share)
        for told, share in (("p50", 0.5), ("p99", 0.99))
    }


def _acks(room: Room) -> list[str]:
    return [f"ack:{name}:" for name in room.config.sources]


def _ways(room: Room) -> list[str]:
    return [f"way:{name}:" for name in room.config.targets]


def _charts(room: Room, samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """Title, picture and legend of each."""
    zone = room.config.timezone
    many = charts.Frame(zone, count)
    long = charts.Frame(zone, milliseconds)
    sources, targets = room.config.sources, room.config.targets
    received = {name: series.rates(samples, f"accepted:{name}") for name in sources}
    delivered = {name: series.rates(samples, f"delivered:{name}") for name in targets}
    waiting = {name: series.gauge(samples, f"waiting:{name}") for name in targets}
    acks = {name: _quantiles(samples, f"ack:{name}:") for name in sources}
    ways = {name: _quantiles(samples, f"way:{name}:") for name in targets}
    return [
        _chart(_("Events received"), charts.columns, received, many),
        _chart(_("Records delivered"), charts.columns, delivered, many),
        _chart(_("Records waiting"), charts.curves, waiting, many),
        _chart(_("Dead letters"), charts.curves, {_("dead"): series.gauge(samples, "dead")}, many),
        _chart(_("Acknowledged, 99 %"), charts.curves, acks, long),
        _chart(_("End to end, 99 %"), charts.curves, ways, long),
    ]


def _chart(
    title: str,
    draw: Callable[[Mapping[str, Sequence[Point]], str, charts.Frame], Markup],
    lines: Mapping[str, Sequence[Point]],
    frame: charts.Frame,
) -> dict[str, Any]:
    told = []
    for name, points in lines.items():
        known = [point.value for point in points if point.value is not None]
        most = frame.number(max(known)) if known else "–"
        told.append(_("%(name)s at most %(most)s", name=name, most=most))
    label = f"{title}: {', '.join(told)}"
    return {"title": title, "svg": draw(lines, label, frame), "legend": list(lines)}


def _quantiles(samples: Sequence[Sample], prefix: str) -> list[Point]:
    return [
        Point(after.minute, series.quantile(before, after, [prefix], 0.99))
        for before, after in pairwise(samples)
    ]


# --- drift


def _drift(room: Room) -> drift.Drift | None:
    """Where mappings and what comes have grown apart; None without a set in force."""

    def look() -> drift.Drift | None:
        found = room.set_in_force()
        if found is None:
            return None
        # Only the latest are judged; older ones tell what is new, and are left for the command.
        since = time.time_ns() // 1000 - 7 * 86_400_000_000
        kept = observed.kept_events(room.client, room.reconciler.sources)
        return drift.find(islice(kept, DRIFT_EVENTS), found[1], since)

    return room.remembered.get("drift", DRIFT_SECONDS, look)
