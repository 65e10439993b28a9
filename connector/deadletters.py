"""Dead letters: events and deliveries that were given up, kept until a person acts.

Invariant: nothing leaves `c:dead` without an answer to it: a retry, a drop with its reason (which
is kept with the event or record), or something newer that healed the record. Trying again an event
is a replay of it; trying again a delivery makes its record due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from connector import journal
from connector.journal import Entry
from connector.model import Json, Micros, Name
from connector.records import store
from connector.records.store import State
from connector.redisdb import PREFIX, Redis
from connector.replay import Replay

PAGE = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was given up, and why. `entry` for an event, `state` for a record's delivery."""

    id: str
    since: Micros
    reason: str
    attempts: int
    status: int | None = None
    answer: Json = None
    entry: Entry | None = None
    state: State | None = None
    event: str | None = None

    def to_json(self) -> dict[str, Json]:
        """One line of `connector dead --json`; times ISO in `reports`."""
        place = self.entry.problem.place if self.entry and self.entry.problem else None
        name = self.state.name if self.state else None
        return {
            "id": self.id,
            "what": "event" if self.entry else "record",
            "event": self.event,
            "target": name.target if name else None,
            "resource": name.resource if name else None,
            "record": name.id if name else None,
            "reason": self.reason,
            "status": self.status,
            "answer": self.answer,
            "attempts": self.attempts,
            "file": place.file if place else None,
            "line": place.line if place else None,
        }


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters are meant: by the beginning of their id, a part of their reason, their
    resource. All of what is given must fit; nothing given means all."""

    ids: tuple[str, ...] = ()
    reason: str | None = None
    resource: str | None = None

    def fits(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant."""
        if self.ids and not any(letter.id.startswith(id_) for id_ in self.ids):
            return False
        if self.reason is not None and self.reason.casefold() not in letter.reason.casefold():
            return False
        return self.resource is None or (
            letter.state is not None and letter.state.name.resource == self.resource
        )


def find(client: Redis, wanted: Wanted | None = None, limit: int = 0) -> list[DeadLetter]:
    """The dead letters that are meant, the latest first; at most `limit`, 0 for all."""
    wanted = wanted or Wanted()
    found: list[DeadLetter] = []
    start = 0
    while page := client.zrevrange(f"{PREFIX}dead", start, start + PAGE - 1, withscores=True):
        found += [letter for letter in _read(client, page) if wanted.fits(letter)]
        if limit and len(found) >= limit:
            return found[:limit]
        start += len(page)
    return found


def retry(client: Redis, letters: Sequence[DeadLetter], replay: Replay) -> int:
    """Try again; how many. What fails again is a dead letter again."""
    replay.events([letter.entry for letter in letters if letter.entry])
    store.touch(client, [letter.state.name for letter in letters if letter.state])
    return len(letters)


def drop(client: Redis, letters: Iterable[DeadLetter], why: str, at: str) -> int:
    """Give them up for good; the reason is kept with the event or the record. How many."""
    note = f"dropped {at}: {why}"
    dropped = 0
    for letter in letters:
        if letter.entry and letter.entry.problem:
            problem = replace(letter.entry.problem, hint=note)
            journal.finish(client, [replace(letter.entry, problem=problem)])
            client.zrem(f"{PREFIX}dead", f"e{letter.entry.serial}")
            dropped += 1
        elif letter.state:
            dropped += store.settle_as_is(client, letter.state, note)
    return dropped


def named(letters: Sequence[DeadLetter]) -> str:
    """Which they are, in a line: the first few, and how many more."""
    more = f" and {len(letters) - 3} more" if len(letters) > 3 else ""
    return ", ".join(letter.id for letter in letters[:3]) + more


def _read(client: Redis, page: Sequence[tuple[bytes, float]]) -> list[DeadLetter]:
    since = {member.decode(): int(score) * 1000 for member, score in page}
    serials = [int(member[1:]) for member in since if member[0] == "e"]
    names = [store.name_of(member[1:]) for member in since if member[0] == "r"]
    entries = {f"e{entry.serial}": entry for entry in journal.headers(client, serials)}
    states = {f"r{store.key_of(s.name)}": s for s in store.read(client, names)}
    latest = _latest_events(client, names)
    letters = []
    for member, at in since.items():
        if member in entries:
            letters.append(_of_event(entries[member], at))
        elif member in states:
            letters.append(_of_record(states[member], at, latest))
    return letters


def _of_event(entry: Entry, since: Micros) -> DeadLetter:
    reason = entry.problem.message if entry.problem else "no reason was kept"
    return DeadLetter(entry.event.id, since, reason, 1, entry=entry, event=entry.event.id)


def _of_record(state: State, since: Micros, latest: Mapping[Name, str]) -> DeadLetter:
    dead = state.delivered.dead
    return DeadLetter(
        str(state.name),
        since,
        dead.reason if dead else "no reason was kept",
        dead.attempts if dead else 0,
        dead.status if dead else None,
        dead.answer if dead else None,
        state=state,
        event=latest.get(state.name),
    )


def _latest_events(client: Redis, names: Sequence[Name]) -> dict[Name, str]:
    """The id of the latest event that each record is known to have heard of."""
    heard = zip(names, store.serials_of(client, names), strict=True)
    last = {name: serials[-1] for name, serials in heard if serials}
    ids = {entry.serial: entry.event.id for entry in journal.headers(client, list(last.values()))}
    return {name: ids[serial] for name, serial in last.items() if serial in ids}
