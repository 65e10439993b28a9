"""The heartbeats of worker processes: who is at work.

Keys:

    c:worker:<name>  string  time of the last heartbeat (s); expires when it is missed
    c:workers        set     names of worker processes, those that died without a word included

A process without a heartbeat counts as dead; `connector.worker.sweep` returns what it had claimed.
"""

from __future__ import annotations

import time

from connector.redisdb import PREFIX, ROOM, Redis, Script

MISSING_AFTER = 10.0
"""Seconds without a heartbeat after which a worker process counts as dead."""

_ALIVE = Script(
    ROOM
    + """
redis.call('SET', 'c:worker:' .. ARGV[1], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', 'c:workers', ARGV[1])
return 1
"""
)


def show_alive(client: Redis, name: str) -> None:
    """The heartbeat of worker `name`."""
    _ALIVE(client, [name, int(time.time()), int(MISSING_AFTER * 1000)])


def live_workers(client: Redis) -> list[str]:
    """The worker processes with a heartbeat."""
    names = sorted(member.decode() for member in client.smembers(f"{PREFIX}workers"))
    return [name for name in names if client.exists(f"{PREFIX}worker:{name}")]
