"""Counters of one process, added up in Redis, so that every web process answers the same.

Keys:

    c:count   hash   `name{label="value",…}` → count since the beginning

Invariant: counting costs the request a dictionary update; Redis hears of it once a second, and
what it does not take now is kept for the next time.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

from redis.exceptions import RedisError

from connector.redisdb import PREFIX, Redis

_HELP = {
    "accepted": "events stored that were not here before",
    "duplicates": "events received that were here before",
    "refused": "requests refused, by reason",
    "spooled": "events that went to the spool",
}


class Counters:
    """Counts until `flush`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, count: int = 1, **labels: str) -> None:
        """Count `count` more of `name` with these labels."""
        if count:
            with self._lock:
                self._counts[_series(name, labels)] += count

    def flush(self, client: Redis) -> None:
        """Add what was counted to the counts in Redis; kept here when Redis is away."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        pipe = client.pipeline(transaction=True)
        for series, count in counts.items():
            pipe.hincrby(f"{PREFIX}count", series, count)
        try:
            pipe.execute()
        except RedisError:
            with self._lock:
                self._counts.update(counts)


def _series(name: str, labels: dict[str, str]) -> str:
    if not labels:
        return name
    inside = ",".join(f'{key}="{_escape(value)}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def exposition(client: Redis, gauges: dict[str, float]) -> str:
    """Prometheus text: the counters, and `gauges` as they stand now."""
    lines: list[str] = []
    counts = {k.decode(): int(v) for k, v in client.hgetall(f"{PREFIX}count").items()}
    for name, text in _HELP.items():
        series = sorted(key for key in counts if key.split("{")[0] == name)
        lines += [f"# HELP connector_{name}_total {text}", f"# TYPE connector_{name}_total counter"]
        for key in series:
            labels = key[len(name) :]
            lines.append(f"connector_{name}_total{labels} {counts[key]}")
    for name, value in gauges.items():
        base = name.split("{")[0]
        if f"# TYPE connector_{base} gauge" not in lines:
            lines.append(f"# TYPE connector_{base} gauge")
        lines.append(f"connector_{name} {value:g}")
    return "\n".join(lines) + "\n"
