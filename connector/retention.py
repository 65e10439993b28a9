"""What is forgotten, and when: events by age and by number, records by age where that is wanted;
never what somebody still needs.

Invariants: only events that were merged (done or waiting) or that no mapping names are forgotten; a
queued one and a dead letter stay until a worker or a person has dealt with them. What an event said
stays in its records. That it was here is remembered for thirty days more, so that a vendor who
sends it again then makes no second event. A record is forgotten after all its events; what stays
is that it is in the CRM, under which id, when it was last spoken of, and for ever that it was
deleted.
"""

from __future__ import annotations

import time

from connector import journal, reports
from connector.config.model import Retention
from connector.journal import Entry
from connector.model import Micros
from connector.records import store
from connector.records.store import State
from connector.redisdb import Redis

REMEMBERED_SECONDS = 30 * 86_400
PAGE = 500
PAGES = 20
"""How much of the journal one turn looks at, so that it never takes long."""

SCANNED = 2000
"""How many keys of Redis one turn looks at for old records."""


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


def forget_records(client: Redis, retention: Retention, cursor: int = 0) -> tuple[int, int]:
    """Look at some of the records and forget what the old ones hold. The cursor that goes on from
    there (0: all were looked at), and how many were forgotten."""
    if retention.records is None:
        return 0, 0
    oldest = time.time_ns() // 1000 - int(retention.records * 86_400e6)
    cursor, states = store.scan(client, cursor, SCANNED)
    going = [state for state in states if _is_old(state, oldest)]
    return cursor, sum(store.age_out(client, state) for state in going)


def _is_old(state: State, oldest: Micros) -> bool:
    merged = state.merged
    newest = merged.newest
    if newest is None or newest.version >= oldest:
        return False
    return state.delivered.gone if merged.deleted else bool(merged.fields)


def _dealt_with(client: Redis, entries: list[Entry]) -> list[Entry]:
    standings = store.standings(client, [t.name for entry in entries for t in entry.touched])
    return [
        entry
        for entry in entries
        if reports.state_of(entry, standings) in ("done", "waiting", "unmapped")
    ]
