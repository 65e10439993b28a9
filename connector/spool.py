"""A buffer on disk for events that Redis cannot take just now.

Invariant: `put` returns once the events are on the disk (SQLite, WAL, synchronous=FULL), so a 200
may follow; `drain` removes an event only after Redis has it, and stores in the order of receipt.
An event may be stored twice when a process dies in between: the journal knows its own.
The file is as lasting as the disk it lies on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

from connector.model import Event

_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    serial INTEGER PRIMARY KEY, source TEXT NOT NULL, vendor TEXT NOT NULL, id TEXT NOT NULL,
    kind TEXT, body BLOB NOT NULL, received_at INTEGER NOT NULL, problem TEXT
)
"""


class SpoolFull(Exception):
    """The spool holds as many bytes as it may."""


class Spool:
    """One file, opened once per process; safe to use from several threads and processes."""

    def __init__(self, path: Path, *, most_bytes: int = 1 << 30) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = Lock()
        self._most_bytes = most_bytes
        self._db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(_SCHEMA)

    def put(self, events: Sequence[Event]) -> None:
        """Keep the events, all or none.

        Raises SpoolFull, or sqlite3.Error when the disk takes nothing.
        """
        rows = [
            (e.source, e.vendor, e.id, e.kind, e.body, e.received_at, e.problem) for e in events
        ]
        with self._lock:
            if self._bytes() + sum(len(e.body) for e in events) > self._most_bytes:
                raise SpoolFull(f"the spool holds {self._most_bytes} bytes and takes no more")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    "INSERT INTO event (source, vendor, id, kind, body, received_at, problem)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def drain(self, store: Callable[[Sequence[Event]], object], at_once: int = 100) -> int:
        """Hand the oldest events to `store` and forget them; how many. What `store` raises leaves
        them here."""
        with self._lock:
            rows = self._db.execute(
                "SELECT serial, source, vendor, id, kind, body, received_at, problem"
                " FROM event ORDER BY serial LIMIT ?",
                (at_once,),
            ).fetchall()
        if not rows:
            return 0
        store([Event(*row[1:]) for row in rows])
        with self._lock:
            self._db.execute(
                "DELETE FROM event WHERE serial >= ? AND serial <= ?", (rows[0][0], rows[-1][0])
            )
        return len(rows)

    def __len__(self) -> int:
        with self._lock:
            return int(self._db.execute("SELECT count(*) FROM event").fetchone()[0])

    def size(self) -> int:
        """Bytes that it holds, those of the file's order included."""
        with self._lock:
            return self._bytes()

    def _bytes(self) -> int:
        """Bytes of the file that hold something."""
        pages, free, size = (
            self._db.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
