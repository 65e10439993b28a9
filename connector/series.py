"""How things went minute by minute, for the dashboard's charts.

Keys:

    c:series:<minute>      string   JSON: counters and gauges as they stood in that minute
    c:series:ten:<minute>  string   the first of those in ten minutes, by the full ten: a day is
                                    shown by these; both are kept for two days

Invariant: a sample costs whoever handles events nothing: it is what the counters and gauges of
`metrics` say, written down once a minute by whichever web process comes first. Counters are kept
as totals, so a rate is the difference of two samples whatever their distance, and a missing minute
(no web process ran) spoils nothing but itself. A total that fell was begun anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from connector.redisdb import PREFIX, Redis

KEPT_SECONDS = 48 * 3600

TENS = 10
"""Minutes from one sample to the next where a day is shown."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the counters and gauges said in a minute (minutes since the epoch)."""

    minute: int
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Point:
    """A value in a minute; None where nothing is known of it."""

    minute: int
    value: float | None


_OF: Mapping[str, str] = {
    "connector_accepted_total": "accepted",
    "connector_duplicates_total": "duplicates",
    "connector_ack_seconds_bucket": "ack",
    "connector_delivery_seconds_bucket": "way",
}
"""The totals that are kept, and how they are called here: `accepted:<source>`,
`ack:<source>:<bound>`, `way:<target>:<bound>`."""


def values(
    totals: Mapping[str, float], gauges: Mapping[str, Mapping[tuple[str, ...], float]]
) -> dict[str, float]:
    """What a sample keeps of the totals (`metrics.totals`) and gauges (`exposition.standing`).

    Besides those of `_OF`: `delivered:<target>`, `waiting:<target>` and `dead`.
    """
    kept: dict[str, float] = {}
    for key, total in totals.items():
        name, *labels = json.loads(key)
        if name == "connector_deliveries_total" and labels[2] == "done":
            delivered = f"delivered:{labels[0]}"
            kept[delivered] = kept.get(delivered, 0.0) + total
        elif name in _OF:
            kept[":".join((_OF[name], *labels))] = total
    waiting = gauges.get("connector_records_waiting", {})
    kept |= {f"waiting:{target}": count for (target,), count in waiting.items()}
    return kept | {"dead": sum(gauges.get("connector_dead_letters", {}).values())}


class Sampler:
    """Takes the sample of each minute, from what `read` gives; for a thread that looks in often."""

    def __init__(self, client: Redis, read: Callable[[], Mapping[str, float]]) -> None:
        self._client = client
        self._read = read
        self._minute = 0

    def turn(self) -> None:
        """Take the sample, if a new minute has begun and nobody has. Raises RedisError."""
        minute = minute_now()
        if minute == self._minute:
            return
        if not taken(self._client, minute):
            take(self._client, minute, self._read())
        self._minute = minute


def minute_now() -> int:
    """The minute that it is."""
    return int(time.time() // 60)


def take(client: Redis, minute: int, values: Mapping[str, float]) -> bool:
    """Write down the sample of a minute, unless somebody has; whether it was written."""
    text = json.dumps(values, separators=(",", ":"))
    ten = minute // TENS * TENS
    pipe = client.pipeline(transaction=False)
    pipe.set(f"{PREFIX}series:{minute}", text, nx=True, ex=KEPT_SECONDS)
    pipe.set(f"{PREFIX}series:ten:{ten}", text, nx=True, ex=KEPT_SECONDS)
    return bool(pipe.execute()[0])


def now(values: Mapping[str, float]) -> Sample:
    """How things stand at this moment, to follow the samples that were taken."""
    return Sample(minute_now(), values)


def taken(client: Redis, minute: int) -> bool:
    """Whether the minute has its sample."""
    return bool(client.exists(f"{PREFIX}series:{minute}"))


def read(client: Redis, minutes: int, step: int, end: int | None = None) -> list[Sample]:
    """The samples of the last `minutes`, every `step`th, the oldest first; empty where none was
    taken. One more than minutes / step: rates need the one before."""
    last = (minute_now() if end is None else end) // step * step
    wanted = list(range(last - minutes, last + 1, step))
    kept = f"{PREFIX}series:" if step % TENS else f"{PREFIX}series:ten:"
    texts = client.mget([f"{kept}{minute}" for minute in wanted])
    return [
        Sample(minute, json.loads(text) if text else {})
        for minute, text in zip(wanted, texts, strict=True)
    ]


def rates(samples: Sequence[Sample], name: str) -> list[Point]:
    """How much a counter grew from each sample to the next."""
    return [Point(after.minute, _grown(before, after, name)) for before, after in pairwise(samples)]


def gauge(samples: Sequence[Sample], name: str) -> list[Point]:
    """What a gauge said."""
    return [Point(sample.minute, sample.values.get(name)) for sample in samples[1:]]


def _grown(before: Sample, after: Sample, name: str) -> float | None:
    if not before.values or not after.values:
        return None
    was, is_ = before.values.get(name, 0.0), after.values.get(name, 0.0)
    return is_ if is_ < was else is_ - was


def quantile(before: Sample, after: Sample, prefixes: Sequence[str], share: float) -> float | None:
    """The value that a `share` of what was measured between two samples did not exceed, from the
    cumulative buckets `<prefix><bound>` of all prefixes together; None where nothing was measured.
    Within a bucket it is taken to grow evenly."""
    counts: dict[float, float] = {}
    for name in after.values:
        for prefix in prefixes:
            if name.startswith(prefix):
                bound = float(name[len(prefix) :])
                counts[bound] = counts.get(bound, 0.0) + (_grown(before, after, name) or 0.0)
    if not counts or not counts[max(counts)]:
        return None
    rank = share * counts[max(counts)]
    low, below = 0.0, 0.0
    for bound, count in sorted(counts.items()):
        if count >= rank:
            if bound == float("inf"):
                return low
            inside = (rank - below) / (count - below) if count > below else 1.0
            return low + (bound - low) * inside
        low, below = bound, count
    return low


def total(samples: Sequence[Sample], name: str) -> float:
    """How much a counter grew from the first sample to the last, over gaps too."""
    known = [sample for sample in samples if sample.values]
    return sum(_grown(before, after, name) or 0.0 for before, after in pairwise(known))
