"""What is forgotten, and when: events by age and by number, never what somebody still needs.

Invariant: only events that were merged (done or waiting) or that no mapping names are forgotten; a
queued one and a dead letter stay until a worker or a person has dealt with them. What an event said
stays in its records. That it was here is remembered for thirty days more, so that a vendor who
sends it again then makes no second event.
"""

from __future__ import annotations

import time

from connector import journal, reports
from connector.config.model import Retention
from connector.journal import Entry
from connector.records import store
from connector.redisdb import Redis

REMEMBERED_SECONDS = 30 * 86_400
PAGE = 500
PAGES = 20
"""How much of the journal one turn looks at, so that it never takes long."""


def forget(client: Redis, retention: Retention) -> int:
    """Forget the oldest events that are over the limits; how many."""
    oldest = time.time_ns() // 1000 - int(retention.days * 86_400e6)
    over = journal.over(client, oldest, retention.events)
    forgotten = kept = 0
    for _ in range(PAGES):
        entries = journal.oldest_first(client, kept, min(PAGE, over))
        if not entries:
            break
        going = _dealt_with(client, entries)
        journal.forget(client, going, REMEMBERED_SECONDS)
        for entry in going:
            store.forget_event(client, [t.name for t in entry.touched], entry.serial)
        forgotten += len(going)
        kept += len(entries) - len(going)
        over -= len(entries)
    return forgotten


def _dealt_with(client: Redis, entries: list[Entry]) -> list[Entry]:
    standings = store.standings(client, [t.name for entry in entries for t in entry.touched])
    return [
        entry
        for entry in entries
        if reports.state_of(entry, standings) in ("done", "waiting", "unmapped")
    ]
