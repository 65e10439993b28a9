"""What the reference CRM remembers, in one SQLite file.

Invariant: a write, its line in the history, its line in the log of calls and the answer kept for
its idempotency key are one transaction; so a repeat with the same key sees either all or nothing.
Knows nothing of HTTP or of types; `crm_schema` has checked what comes in.

Tables:
    records  a row each: fields as a JSON object without its nulls, and `changed`, the number of
             its last line in `history`
    history  a line for each accepted write, what nothing changed included; outlives the row
    answers  the first answer to each idempotency key, for 24 hours
    calls    a line for each answered write call, refused ones included; the last 100,000

The log that SQLite writes ahead is synced at checkpoints only (synchronous=NORMAL): killing the
process loses nothing, a power cut may lose the last moments.
"""

# ruff: noqa: S608 - what stands in SQL text are constants and names that the schema has checked

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from connector.errors import ConnectorError
from connector.model import Json

ANSWERS_KEPT = 24 * 3600
"""Seconds that the answer to an idempotency key is kept."""

CALLS_KEPT = 100_000
"""Lines that the log of calls holds."""

_LAYOUT = 1
_BUSY_SECONDS = 10.0
_TABLES = """
CREATE TABLE records (
    row INTEGER PRIMARY KEY, resource TEXT NOT NULL, id TEXT NOT NULL, fields TEXT NOT NULL,
    version INTEGER NOT NULL, created_at TEXT NOT NULL, updated_at TEXT NOT NULL,
    changed INTEGER NOT NULL, UNIQUE (resource, id)
);
CREATE INDEX records_in_order ON records (resource, row);
CREATE INDEX records_newest ON records (resource, changed);
CREATE TABLE history (
    number INTEGER PRIMARY KEY AUTOINCREMENT, resource TEXT NOT NULL, id TEXT NOT NULL,
    at TEXT NOT NULL, method TEXT NOT NULL, key TEXT, version INTEGER NOT NULL,
    changes TEXT NOT NULL
);
CREATE INDEX history_of ON history (resource, id, number);
CREATE TABLE answers (
    key TEXT PRIMARY KEY, call TEXT NOT NULL, status INTEGER NOT NULL, headers TEXT NOT NULL,
    body TEXT NOT NULL, at REAL NOT NULL
);
CREATE INDEX answers_oldest ON answers (at);
CREATE TABLE calls (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, method TEXT NOT NULL,
    resource TEXT NOT NULL, id TEXT, status INTEGER NOT NULL, replayed INTEGER NOT NULL
);
"""
_RECORD = "resource, id, fields, version, created_at, updated_at"
_LINE = "resource, id, at, method, key, version, changes"


class NotOurs(ConnectorError):
    """The file is no database of this CRM."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row; `fields` without empty ones. `version` counts its changes, over deletes too."""

    resource: str
    id: str
    fields: Mapping[str, Json]
    version: int
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Line:
    """One accepted write. `changes`: field → (before, after), None for empty."""

    resource: str
    id: str
    at: str
    method: str
    key: str | None
    version: int
    changes: Mapping[str, tuple[Json, Json]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered; `body` is JSON text, empty for none."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Calls:
    """Answered write calls, `number` of them since the one asked for; `last` is the newest.

    `statuses`: resource → status → how many; `replayed`: resource → how many of them were repeats.
    """

    last: int
    number: int
    statuses: Mapping[str, Mapping[int, int]]
    replayed: Mapping[str, int]


class Store:
    """The database. Any thread may use it; each has a connection of its own, made when needed.

    `references` are the names of fields that a search must find quickly. Raises NotOurs.
    """

    def __init__(self, path: Path, references: Iterable[str] = ()) -> None:
        self._path = path
        self._local = threading.local()
        self._writing = threading.Lock()
        self._prepare(sorted(references))

    def find(self, resource: str, record: str) -> Record | None:
        """The row, or None where there is none."""
        return _find(self._connection, resource, record)

    def search(
        self, resource: str, wanted: Mapping[str, Json], *, limit: int, offset: int
    ) -> tuple[list[Record], int]:
        """The rows whose fields (or `id`) equal `wanted`, in the order they were made, and how
        many there are without the limit. Names in `wanted` are fields of the schema.
        """
        where = ["resource = ?", *(f"{_column(name)} = ?" for name in wanted)]
        condition = " AND ".join(where)
        values = [resource, *wanted.values()]
        rows = self._connection.execute(
            f"SELECT {_RECORD} FROM records WHERE {condition} ORDER BY row LIMIT ? OFFSET ?",
            [*values, limit, offset],
        )
        found = [_record(row) for row in rows]
        total = self._connection.execute(
            f"SELECT count(*) FROM records WHERE {condition}", values
        ).fetchone()[0]
        return found, total

    def newest(self, resource: str, *, limit: int, offset: int) -> list[Record]:
        """Rows, the last changed first."""
        rows = self._connection.execute(
            f"SELECT {_RECORD} FROM records WHERE resource = ? "
            "ORDER BY changed DESC LIMIT ? OFFSET ?",
            (resource, limit, offset),
        )
        return [_record(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Resource → number of rows; none where there are none."""
        return dict(
            self._connection.execute("SELECT resource, count(*) FROM records GROUP BY resource")
        )

    def history(self, resource: str, record: str, *, limit: int) -> list[Line]:
        """What became of one row, newest first; also after it was deleted."""
        rows = self._connection.execute(
            f"SELECT {_LINE} FROM history WHERE resource = ? AND id = ? "
            "ORDER BY number DESC LIMIT ?",
            (resource, record, limit),
        )
        return [_line(row) for row in rows]

    def latest(self, *, limit: int) -> list[Line]:
        """The last accepted writes of all resources, newest first."""
        rows = self._connection.execute(
            f"SELECT {_LINE} FROM history ORDER BY number DESC LIMIT ?", (limit,)
        )
        return [_line(row) for row in rows]

    def calls(self, since: int) -> Calls:
        """The write calls after number `since`."""
        statuses: dict[str, dict[int, int]] = {}
        replayed: dict[str, int] = {}
        last = since
        for resource, status, count, repeats, newest in self._connection.execute(
            "SELECT resource, status, count(*), sum(replayed), max(number) FROM calls "
            "WHERE number > ? GROUP BY resource, status ORDER BY resource, status",
            (since,),
        ):
            statuses.setdefault(resource, {})[status] = count
            replayed[resource] = replayed.get(resource, 0) + repeats
            last = max(last, newest)
        number = sum(sum(counts.values()) for counts in statuses.values())
        return Calls(last, number, statuses, replayed)

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """One transaction; all of it or, when the block raises, nothing is kept."""
        connection = self._connection
        with self._writing:  # threads queue here, in order, rather than in SQLite's busy loop
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield Writing(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @property
    def _connection(self) -> sqlite3.Connection:
        held = getattr(self._local, "connection", None)
        if held is None:
            held = self._local.connection = self._connect()
        return held

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None)
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _prepare(self, references: Sequence[str]) -> None:
        """Makes the tables once. Its connection is closed: none may be carried over a fork."""
        try:
            connection = self._connect()
        except sqlite3.Error as error:
            raise NotOurs(f"{self._path}: cannot be opened: {error}") from error
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            layout = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if layout != _LAYOUT and (layout or tables):
                raise NotOurs(f"{self._path}: a database of another program or version")
            for statement in () if tables else _TABLES.strip().rstrip(";").split(";"):
                connection.execute(statement)
            for name in references:
                connection.execute(
                    f"CREATE INDEX IF NOT EXISTS reference_{name} "
                    f"ON records (resource, {_column(name)})"
                )
            connection.execute(f"PRAGMA user_version = {_LAYOUT}")
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise NotOurs(f"{self._path}: cannot be used: {error}") from error
        finally:
            connection.close()


class Writing:
    """What may be done inside one transaction."""

    __slots__ = ("_connection",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, resource: str, record: str) -> Record | None:
        """The row, or None where there is none."""
        return _find(self._connection, resource, record)

    def save(
        self,
        before: Record | None,
        name: tuple[str, str],
        fields: Mapping[str, Json],
        *,
        method: str,
        key: str | None,
    ) -> Record:
        """Makes the row `name` (resource, id) hold exactly `fields`; `before` is what it was.

        A write that changes nothing is in the history, but neither version nor time move.
        """
        fields = {field: value for field, value in fields.items() if value is not None}
        changes = _changes(before.fields if before else {}, fields)
        if before and not changes:
            self._note(name, method, key, before.version, changes)
            return before
        version = (before.version if before else self._last_version(name)) + 1
        at, changed = self._note(name, method, key, version, changes)
        self._connection.execute(
            "INSERT INTO records (resource, id, fields, version, created_at, updated_at, changed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (resource, id) DO UPDATE SET "
            "fields = excluded.fields, version = excluded.version, "
            "updated_at = excluded.updated_at, changed = excluded.changed",
            (*name, _dump(fields), version, at, at, changed),
        )
        return Record(*name, fields, version, before.created_at if before else at, at)

    def delete(self, record: Record, *, method: str, key: str | None) -> None:
        """Removes the row; its history stays and says so."""
        name = (record.resource, record.id)
        self._connection.execute("DELETE FROM records WHERE resource = ? AND id = ?", name)
        changes = _changes(record.fields, {})
        self._note(name, method, key, record.version + 1, changes)

    def kept(self, key: str) -> tuple[str, Answer] | None:
        """What the key was first used for and answered, within the last 24 hours."""
        row = self._connection.execute(
            "SELECT call, status, headers, body FROM answers WHERE key = ? AND at > ?",
            (key, time.time() - ANSWERS_KEPT),
        ).fetchone()
        return (row[0], Answer(row[1], json.loads(row[2]), row[3])) if row else None

    def keep(self, key: str, call: str, answer: Answer) -> None:
        """Keeps the first answer to a key, and drops those that are too old."""
        now = time.time()
        self._connection.execute("DELETE FROM answers WHERE at <= ?", (now - ANSWERS_KEPT,))
        self._connection.execute(
            "INSERT INTO answers (key, call, status, headers, body, at) VALUES (?, ?, ?, ?, ?, ?)",
            (key, call, answer.status, _dump(answer.headers), answer.body, now),
        )

    def log(
        self, method: str, resource: str, record: str | None, status: int, *, replayed: bool
    ) -> None:
        """One more answered write call."""
        number = self._connection.execute(
            "INSERT INTO calls (at, method, resource, id, status, replayed) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (_now(), method, resource, record, status, replayed),
        ).lastrowid
        self._connection.execute(
            "DELETE FROM calls WHERE number <= ?", ((number or 0) - CALLS_KEPT,)
        )

    def _last_version(self, name: tuple[str, str]) -> int:
        """The version of a row that was deleted goes on: an old ETag must not fit a new row."""
        last: int | None = self._connection.execute(
            "SELECT max(version) FROM history WHERE resource = ? AND id = ?", name
        ).fetchone()[0]
        return last or 0

    def _note(
        self,
        name: tuple[str, str],
        method: str,
        key: str | None,
        version: int,
        changes: Mapping[str, tuple[Json, Json]],
    ) -> tuple[str, int]:
        """A line in the history; its time and number."""
        at = _now()
        number = self._connection.execute(
            f"INSERT INTO history ({_LINE}) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*name, at, method, key, version, _dump(changes)),
        ).lastrowid
        return at, number or 0


def _find(connection: sqlite3.Connection, resource: str, record: str) -> Record | None:
    row = connection.execute(
        f"SELECT {_RECORD} FROM records WHERE resource = ? AND id = ?",
        (resource, record),
    ).fetchone()
    return _record(row) if row else None


def _record(row: tuple[Json, ...]) -> Record:
    resource, record, fields, version, created_at, updated_at = row
    return Record(resource, record, json.loads(fields), version, created_at, updated_at)


def _line(row: tuple[Json, ...]) -> Line:
    resource, record, at, method, key, version, changes = row
    told = {name: (old, new) for name, (old, new) in json.loads(changes).items()}
    return Line(resource, record, at, method, key, version, told)


def _column(name: str) -> str:
    """Where a field stands, in SQL. Names come from the schema: letters, digits and `_`."""
    return "id" if name == "id" else f"json_extract(fields, '$.{name}')"


def _changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    return {
        name: (before.get(name), after.get(name))
        for name in {**before, **after}
        if _dump(before.get(name)) != _dump(after.get(name))  # True is not 1, 1.0 is not 1
    }


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
