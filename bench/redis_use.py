"""What a system asks of Redis, and what it keeps there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Counted:
    """Counters of a Redis server since its start. `reads`: times that it read from a client's
    socket, which is how many round trips there were."""

    reads: int
    commands: int
    scripts: int


def counted(client: Any) -> Counted:
    """The counters as they stand."""
    stats = client.info("stats")
    calls = client.info("commandstats")
    scripts = sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))
    # Redis 6.2 counts the commands within scripts by command only.
    commands = sum(one["calls"] for one in calls.values())
    return Counted(stats["total_reads_processed"], commands, scripts)


def bytes_by(client: Any, group: Callable[[str], str]) -> Mapping[str, int]:
    """Bytes of all keys by what `group` makes of a key, as MEMORY USAGE counts them: key, value
    and their share of the dictionary; collections whole, not sampled."""
    sums: Counter[str] = Counter()
    for keys in _pages(client.scan_iter(count=1000), 1000):
        pipe = client.pipeline(transaction=False)
        for key in keys:
            pipe.memory_usage(key, samples=0)
        for key, size in zip(keys, pipe.execute(), strict=True):
            sums[group(key.decode(errors="replace"))] += size or 0
    return sums


def _pages(items: Iterable[bytes], size: int) -> Iterable[list[bytes]]:
    page: list[bytes] = []
    for item in items:
        page.append(item)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page
