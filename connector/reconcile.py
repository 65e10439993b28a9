"""The way of an event, from the journal to the CRM; the same for one event and for a batch.

    merge    events → mapping → records: merged, marked dirty, leased where free     one step
    prepare  leased records → what differs from what the CRM was told                reads links
    deliver  one record's call or calls                                              HTTP only
    settle   what became of it → released, or due again                              one step

Level-triggered, as the controllers of Kubernetes are: an event is not sent, it moves a record, and
then the CRM is brought to the record's state. So a crash between any two of these lines, a repeat
or another order ends the same.

`connector.jobs` runs all four for one event; `connector.worker` runs them in batches, and many
deliveries at the same time.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import uuid4

from connector import compact, edits, flow, journal
from connector.config import Config, ResourceConfig, Retry
from connector.config.model import Batch
from connector.errors import EventUnreadable, LeaseLost
from connector.frozen import dataclass
from connector.journal import Entry, Touched
from connector.mapping.load import MappingSet
from connector.mapping.published import InForce
from connector.model import (
    Applied,
    CallLog,
    Change,
    Delivery,
    Event,
    Json,
    Name,
    Outcome,
    Problem,
    Ref,
)
from connector.records import store
from connector.records.desired import Manners, Plan, plan, references
from connector.records.merge import merge, stamp_of
from connector.records.state import Dead, Delivered, Stamp
from connector.records.store import Lease, Release, State, Write
from connector.redisdb import Redis
from connector.sources.base import Source
from connector.targets.http import Http
from connector.targets.reasons import likeness
from connector.targets.target import Target

log = logging.getLogger(__name__)

LEASE_MARGIN = 5.0
"""Seconds that a lease outlives the total deadline of the call that it covers."""

FAULT_SECONDS = 60.0
"""Within about this time a record on which the CRM fails again and again is given up."""

HELD_FOR = 600.0
"""Seconds that a record waits for a reference with `missing: error` before it is given up."""

OF_THE_TARGET = frozenset({"down", "credentials", "misled"})
"""Verdicts that are about a call, not about one of the records in it."""


@dataclass(frozen=True, slots=True)
class Said:
    """One change of one event, stamped: what is merged into a record."""

    entry: Entry
    change: Change
    stamp: Stamp

    @property
    def name(self) -> Name:
        return Name(self.change.target, self.change.resource, self.change.id)


@dataclass(frozen=True, slots=True)
class Merging:
    """What became of a batch of events: their entries, and leases on the records they moved."""

    entries: tuple[Entry, ...]
    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """A leased record with what is to be done about it. `leased_at` by `time.monotonic`."""

    lease: Lease
    plan: Plan
    leased_at: float


@dataclass(frozen=True, slots=True)
class Probe:
    """One try to find out whether what paused a target is gone; without `work`, by its `check:`."""

    target: str
    cause: flow.Cause
    prober: str
    work: Work | None = None

    def result(self, outcome: Outcome) -> ProbeResult:
        """What the outcome of its call says."""
        mended = flow.mended(self.cause, outcome)
        return ProbeResult(self.target, self.prober, mended, outcome.reason)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of a probe."""

    target: str
    prober: str
    succeeded: bool
    why: str


class Reconciler:
    """The rooms of one process put together; safe to use from several threads."""

    def __init__(
        self,
        config: Config,
        client: Redis,
        sources: Mapping[str, Source],
        targets: Mapping[str, Target],
        in_force: InForce,
    ) -> None:
        self.config = config
        self.client = client
        self.sources = sources
        self.targets = targets
        self.in_force = in_force

    # --- merge

    def merge(
        self,
        entries: Sequence[Entry],
        *,
        token: str | None = None,
        leasing: bool = True,
        in_force: tuple[int, MappingSet] | None = None,
    ) -> Merging:
        """Merge what the events say into their records, and lease those that are free.

        Events that cannot be read or mapped come back dead; they stop no other event. `in_force`:
        the set by which, where the caller has looked at it already.
        """
        number, mapping_set = in_force or self.in_force.get(self.client)
        applied = [(entry, self.apply(entry, mapping_set)) for entry in entries]
        said = [
            Said(entry, change, stamp_of(change, entry.event, entry.serial, number))
            for entry, result in applied
            for change in result.changes
        ]
        generations, leases = self._store(said, number, token or uuid4().hex, leasing)
        return Merging(
            tuple(outcome_of(entry, result, number, generations) for entry, result in applied),
            tuple(leases),
        )

    def apply(self, entry: Entry, mapping_set: MappingSet) -> Applied:
        """What a mapping set makes of an event. Never raises for what the event holds."""
        source = self.sources.get(entry.event.source)
        if source is None:
            what = f"the source {entry.event.source!r} is not configured any more"
            return Applied("error", error=Problem(what, "put it back, or drop the event"))
        return apply_event(source, mapping_set, entry.event)

    def _store(
        self, said: Sequence[Said], number: int, token: str, leasing: bool
    ) -> tuple[dict[Name, int], list[Lease]]:
        """Merge until every record has taken its words; its generation, and the leases got."""
        by_record: dict[Name, list[Said]] = {}
        for one in said:
            by_record.setdefault(one.name, []).append(one)
        generations: dict[Name, int] = {}
        leases: list[Lease] = []
        pending = list(by_record)
        while pending:
            states = store.read(self.client, pending)
            writes = [_write(state, by_record[state.name], leasing) for state in states]
            seconds = self._lease_seconds(pending) if leasing else None
            written = store.commit(self.client, writes, token, seconds, number)
            for name, result in zip(pending, written, strict=True):
                if not result.conflict:
                    generations[name] = result.generation
                if result.lease:
                    leases.append(result.lease)
            # Another worker moved these on between our reading and our writing.
            pending = [n for n, r in zip(pending, written, strict=True) if r.conflict]
        return generations, leases

    def _lease_seconds(self, names: Iterable[Name]) -> float:
        return max(self.lease_seconds(name.target) for name in names)

    def lease_seconds(self, target: str) -> float:
        """How long a lease on a record of `target` lasts before it must be renewed."""
        found = self.targets.get(target)
        return (found.config.timeout if found else 0.0) + LEASE_MARGIN

    # --- prepare

    def prepare(self, leases: Sequence[Lease]) -> list[Work]:
        """What is to be done about each leased record. Also makes the empty records that
        `missing: create` asks for."""
        leased_at = time.monotonic()
        works = []
        for lease, decided in zip(leases, self.decide(leases), strict=True):
            for name in decided.create:
                store.ensure(self.client, name)
            works.append(Work(lease, decided, leased_at))
        return works

    def decide(self, leases: Sequence[Lease]) -> list[Plan]:
        """What there is to do about each record, as those that it refers to stand. Reads only."""
        wanted = dict.fromkeys(
            name
            for lease in leases
            if lease.links is None
            for name in references(lease.name, lease.state.merged)
        )
        links = self._links(store.links(self.client, list(wanted)))
        return [
            plan(
                lease,
                links if lease.links is None else self._links(lease.links),
                self._manners(lease.name),
            )
            for lease in leases
        ]

    def _manners(self, name: Name) -> Manners:
        resource = self.resource(name)
        replaces = resource.send == "all"
        readable = resource.read is not None or resource.upsert.search is not None
        if not (replaces and readable):
            return Manners(replaces, readable)
        _, mapping_set = self.in_force.get(self.client)
        return Manners(replaces, readable, mapping_set.fields_of(name.target, name.resource))

    def _links(self, known: Mapping[Name, store.Link]) -> dict[Name, str | int | None]:
        return {name: self._link(name, *link) for name, link in known.items()}

    def _link(self, name: Name, exists: bool, link: str | int | None) -> str | int | None:
        """The id by which other records refer to this one in the CRM; None until it is there."""
        if not exists:
            return None
        if self.resource(name).crm_id:
            return link
        return self.targets[name.target].external_id(name.resource, name.id)

    def resource(self, name: Name) -> ResourceConfig:
        """How the CRM takes records like this one."""
        return self.targets[name.target].config.resource(name.resource)

    # --- deliver

    def deliver(self, work: Work, http: Http) -> Release:
        """Make the call or calls that bring the CRM up to date, where there is any to make.

        The only Redis command of this step renews a lease that would not outlast the call.
        """
        if work.plan.delivery is None:
            return self._release_without_call(work)
        try:
            outcome, intended = self._converse(work, work.plan.delivery, http)
        except LeaseLost as error:
            log.info("lease of a record of %s lost: %s", work.lease.name.resource, error)
            return Release(work.lease, work.lease.state.delivered, due_in=0.0)
        return self.settle(work, outcome, intended)

    def _converse(self, work: Work, delivery: Delivery, http: Http) -> tuple[Outcome, Json]:
        """The calls of one delivery, and what was written down before its last create.

        Raises LeaseLost.
        """
        pen = _Pen(self, work)
        target = self.targets[work.lease.name.target]
        outcome = target.deliver(delivery, http, pen.renew, pen.intent, pen.numbered)
        return outcome, pen.told.intended

    def rides(self, work: Work) -> Batch | None:
        """How the record goes out together with others, if it can: one that failed before goes
        alone, so that what is wrong with it is found."""
        order, told = work.plan.delivery, work.lease.state.delivered
        target = self.targets[work.lease.name.target]
        if order is None or told.attempts or told.dead or not target.rides(order):
            return None
        return self.resource(work.lease.name).batch

    def deliver_together(self, works: Sequence[Work], http: Http) -> list[Release]:
        """As `deliver`, of several records of one target that go in as few calls as may be."""
        target = self.targets[works[0].lease.name.target]
        by_name = {work.lease.name: _Pen(self, work) for work in works}

        def renew_all() -> None:
            for pen in by_name.values():
                pen.renew()

        outcomes = target.deliver_batch(
            [work.plan.delivery for work in works if work.plan.delivery],
            http,
            renew_all,
            lambda order, payload: by_name[order.name].intent(payload),
            lambda order, number, unheard: by_name[order.name].numbered(number, unheard),
        )
        shared = Counter(id(call) for outcome in outcomes if outcome for call in outcome.calls)
        told: set[str] = set()
        releases = []
        for work, outcome in zip(works, outcomes, strict=True):
            if outcome is None:
                releases.append(untouched(work))
                continue
            release = self.settle(work, outcome, by_name[work.lease.name].told.intended)
            made = sum(1 / shared[id(call)] for call in outcome.calls)
            release = replace(release, unpaid=made - self._paid(work.lease.name))
            if release.verdict in OF_THE_TARGET and release.verdict in told:
                release = replace(release, verdict="")  # one call that failed is one failure
            told.add(release.verdict)
            releases.append(release)
        return releases

    def _paid(self, name: Name) -> float:
        """What a lease pays of the target's rate: a call, or its share of one."""
        batch = self.resource(name).batch
        return 1 / batch.size if batch else 1.0

    def probe(self, probe: Probe, http: Http) -> tuple[Release | None, ProbeResult]:
        """Find out whether what paused a target is gone: by its `check:` call, or by one waiting
        record, whose failure then counts for nothing."""
        target = self.targets[probe.target]
        work = probe.work
        if work is None:
            checked = target.check(http, lambda: None)
            outcome = checked or Outcome("not_now", 0, reason="there is nothing to probe it with")
            return None, probe.result(outcome)
        if work.plan.delivery is None:
            outcome = Outcome("not_now", 0, reason="the probing record needed no call")
            return self._release_without_call(work), probe.result(outcome)
        try:
            outcome, intended = self._converse(work, work.plan.delivery, http)
        except LeaseLost:
            outcome = Outcome("not_now", work.plan.delivery.number, reason="lease lost")
            release = Release(work.lease, work.lease.state.delivered, due_in=0.0)
            return release, probe.result(outcome)
        return self.settle(work, outcome, intended, probing=True), probe.result(outcome)

    def _release_without_call(self, work: Work) -> Release:
        told, generation = work.lease.state.delivered, work.lease.state.generation
        if work.plan.action == "nothing":
            after = replace(told, generation=generation, why="", since=0, attempts=0, dead=None)
            return Release(work.lease, after)
        now = _now()
        since = told.since or now
        waited = (now - since) / 1e6
        names = ", ".join(f"{name.resource} {name.id}" for name in work.plan.missing)
        why = f"waits for a record that is not in the CRM yet: {names}"
        if waited >= HELD_FOR:
            return _given_up(work.lease, told, Outcome("refused", told.calls, reason=why))
        waiting = replace(told, why=why, since=since)
        return Release(work.lease, waiting, due_in=HELD_FOR - waited)

    # --- settle

    def settle(
        self, work: Work, outcome: Outcome, intended: Json = None, *, probing: bool = False
    ) -> Release:
        """What is written down of a delivery, and when the record is due again. `intended`: what
        was written down before its last create."""
        done = outcome.meaning == "done"
        refused = outcome.meaning == "refused"
        says = not probing or done  # a probe that failed says nothing new
        ended: Callable[..., Release]
        if done:
            told, relink = _done(work, outcome)
            ended = partial(Release, work.lease, told, relink=relink)
        else:
            ended = partial(replace, self._undone(work, outcome, intended, probing))
        return ended(
            calls=tuple([_call_line(work.lease.name, call) for call in outcome.calls]),
            answered=tuple([(call.status, call.seconds) for call in outcome.calls]),
            unpaid=len(outcome.calls) - self._paid(work.lease.name),
            edits=tuple(map(edits.pack, _edits(work, outcome))),
            verdict=flow.VERDICTS[outcome.meaning] if says else "",
            signature=likeness(outcome.status, outcome.answer)[:500] if says and refused else "",
            why=outcome.reason if says else "",
        )

    def _undone(self, work: Work, outcome: Outcome, intended: Json, probing: bool) -> Release:
        lease, told = work.lease, _learnt(work, outcome, intended)
        told = replace(told, why=outcome.reason, since=told.since or _now())
        if probing:
            return Release(lease, told, due_in=0.0)  # last in line, and no attempt of its own
        if outcome.meaning == "refused":
            return _given_up(lease, told, outcome)
        config = self.targets[lease.name.target].config
        if outcome.meaning == "fault":
            due_in = fault_delay(told.attempts, config.dead_after_failures)
        else:
            due_in = retry_delay(told.attempts, config.retry)
        told = replace(told, attempts=told.attempts + 1)
        if outcome.unknown and due_in is not None:
            # What may have been created is found by a search only after a while.
            due_in = max(due_in, config.search_lag * 1.25)
        if due_in is None:
            tries = f"given up after {told.attempts} tries"
            return _given_up(lease, told, replace(outcome, reason=f"{outcome.reason}; {tries}"))
        hold = min(outcome.retry_after or 0.0, config.retry.max_retry_after)
        return Release(lease, told, due_in=max(due_in * _jitter(), hold), hold=hold)


class _Pen:
    """What is written down for a record while its calls are made, as long as its lease is ours.
    Each method raises LeaseLost when it is not.

    `told` is the delivered half as it was written down last.
    """

    def __init__(self, reconciler: Reconciler, work: Work) -> None:
        self.told = work.lease.state.delivered
        self._client = reconciler.client
        self._lease = work.lease
        self._seconds = reconciler.lease_seconds(work.lease.name.target)
        self._held_until = work.leased_at + self._seconds

    def renew(self) -> None:
        """Before each call: makes sure that the lease outlasts it."""
        if self._held_until - time.monotonic() > self._seconds - LEASE_MARGIN / 2:
            return  # a call that starts now ends before the lease does
        self._check(store.renew(self._client, self._lease, self._seconds))
        self._held_until = time.monotonic() + self._seconds

    def intent(self, payload: Json) -> None:
        """Nothing is created that nobody could find again after a crash."""
        self.told = replace(self.told, intended=payload)
        self._write_down()

    def numbered(self, number: int, unheard: str) -> None:
        """In a doubt, which call it is that comes next."""
        self.told = replace(self.told, calls=number, unheard=unheard)
        self._write_down()

    def _write_down(self) -> None:
        self._check(store.intend(self._client, self._lease, replace(self.told, doubt=True)))

    def _check(self, ours: bool) -> None:
        if not ours:
            raise LeaseLost(f"{self._lease.name.resource} is delivered by somebody else now")


def untouched(work: Work) -> Release:
    """Given back before any call was made."""
    return Release(work.lease, work.lease.state.delivered, due_in=0.0)


def retry_delay(attempts: int, retry: Retry) -> float | None:
    """Seconds until the next try after `attempts` failed ones; None when it is time to give up.

    What counts against `give_up_after` is the time waited between tries, so it stands still while
    the target is paused: nothing is tried then.
    """
    schedule = retry.schedule
    delays = [*schedule[:attempts], *[schedule[-1]] * (attempts - len(schedule))]
    if sum(delays) >= retry.give_up_after:
        return None
    return schedule[min(attempts, len(schedule) - 1)]


def fault_delay(attempts: int, most: int) -> float | None:
    """The same for a record on which the CRM itself fails: `most` tries, doubling their distance,
    within a minute or so; None after the last. Where others fail too, the target pauses first."""
    if attempts + 1 >= most:
        return None
    return FAULT_SECONDS * float(2**attempts) / float(2 ** (most - 1) - 1)


def _jitter() -> float:
    return random.uniform(0.8, 1.2)  # noqa: S311 - spreads retries, keeps no secret


def _given_up(lease: Lease, told: Delivered, outcome: Outcome) -> Release:
    dead = Dead(outcome.reason, outcome.status, outcome.answer, _now(), max(told.attempts, 1))
    return Release(lease, replace(told, dead=dead, why="", since=0))


def _learnt(work: Work, outcome: Outcome, intended: Json) -> Delivered:
    """What is known of a record whose delivery has failed."""
    told = work.lease.state.delivered
    sent = work.plan.delivery.changed if work.plan.delivery else frozenset()
    digests = told.digests
    # Only a delivery that succeeds ends a doubt: until then an earlier call may have come last.
    doubt = outcome.unknown or work.lease.doubt or told.doubt
    if outcome.unknown:
        # The CRM may hold what was sent: those fields count as not delivered.
        digests = {n: mark for n, mark in digests.items() if n not in sent}
    return replace(
        told,
        digests=digests,
        link=_link(told, outcome),
        calls=outcome.number,
        warnings=outcome.warnings,
        dead=None,
        doubt=doubt,
        intended=intended if doubt else None,
        unheard=outcome.unheard,
        baseline=_baseline(told, outcome),
    )


def _link(told: Delivered, outcome: Outcome) -> str | int | None:
    return told.link if outcome.link is None and not outcome.unlinked else outcome.link


def _baseline(told: Delivered, outcome: Outcome) -> Mapping[str, str]:
    return told.baseline if outcome.baseline is None else outcome.baseline


def _done(work: Work, outcome: Outcome) -> tuple[Delivered, bool]:
    """What the CRM was told, and whether records that refer to this one must be looked at again.
    Nothing is left of attempts, doubts and what a create was about to send."""
    gone = work.lease.state.merged.deleted is not None
    before = work.lease.state.delivered
    now = _now()
    after = Delivered(
        generation=work.lease.state.generation,
        digests=work.plan.digests,
        times=_times(before, work.plan.digests, outcome, now),
        exists=not gone,
        gone=gone,
        link=None if gone else _link(before, outcome),
        calls=outcome.number,
        at=now,
        warnings=outcome.warnings,
        baseline=_baseline(before, outcome),
    )
    relink = not gone and (not before.exists or after.link != before.link)
    return after, relink


def apply_event(source: Source, mapping_set: MappingSet, event: Event) -> Applied:
    """What a mapping set makes of an event of `source`. Never raises for what the event holds.

    An event that no mapping names is not looked into: whatever its shape, it waits for one.
    """
    named = event.problem or mapping_set.rules_for(event.source, event.kind)
    if event.kind is not None and not named:
        return Applied("unmapped")
    try:
        return mapping_set.apply(source.document(event))
    except EventUnreadable as error:
        return Applied("error", error=Problem(str(error)))
    except Exception as error:  # a fault of ours in one event must not stop the others
        log.exception("event %s of %s", event.id, event.source)
        what = f"internal error: {type(error).__name__}: {error}"
        return Applied("error", error=Problem(what, "report it; other events go on"))


def _write(state: State, words: Sequence[Said], leasing: bool) -> Write:
    """What storing these words into a record takes."""
    merged = state.merged
    for one in words:
        merged = merge(merged, one.change, one.stamp)
    news = None if merged is state.merged and state.generation else merged
    return Write(
        state.name,
        state.generation,
        news,
        tuple(sorted({one.entry.serial for one in words})),
        heard_of(state.name, (one.change for one in words)),
        tuple(references(state.name, news)) if leasing and news else None,
    )


def heard_of(name: Name, changes: Iterable[Change]) -> tuple[Name, ...]:
    """The records whose links these changes of `name` want to hear of."""
    refs = [
        Name(name.target, value.resource, value.id)
        for change in changes
        for value in change.fields.values()
        if isinstance(value, Ref) and value.missing != "omit"
    ]
    return tuple(sorted(set(refs))) if len(refs) > 1 else tuple(refs)


def outcome_of(
    entry: Entry, applied: Applied, number: int, generations: Mapping[Name, int]
) -> Entry:
    """The journal's entry of an event after its changes were merged."""
    if applied.status != "mapped":
        return journal.outcome(
            entry,
            journal.UNMERGED[applied.status],
            number,
            problem=applied.error,
            warnings=applied.warnings,
        )
    names = dict.fromkeys(Name(c.target, c.resource, c.id) for c in applied.changes)
    touched = [Touched(name, generations[name]) for name in names]
    return journal.outcome(entry, "merged", number, touched, warnings=applied.warnings)


def _times(
    before: Delivered, digests: Mapping[str, str], outcome: Outcome, now: int
) -> dict[str, int]:
    """When the value of each field went out: now for what was sent and is new to the CRM."""
    if not before.exists and not outcome.sent:
        return dict.fromkeys(digests, now)  # an interrupted create, repeated as it was
    new = {n for n in outcome.sent if n not in before.times or before.digests.get(n) != digests[n]}
    old = {n: at for n, at in before.times.items() if digests.get(n) == before.digests.get(n)}
    return old | dict.fromkeys(new, now)


def _edits(work: Work, outcome: Outcome) -> Iterator[edits.Edit]:
    """The edits of people in the CRM that a delivery met."""
    state = work.lease.state
    return edits.met(state.merged, state.delivered, work.plan.delivery, outcome, _now())


def _call_line(name: Name, call: CallLog) -> str:
    """One call as `c:calls` keeps it."""
    return compact.write(
        [
            store.key_of(name),
            call.at,
            call.method,
            call.path,
            call.status,
            round(call.seconds, 4),
            call.meaning,
            call.answer[:500],
            call.request,
        ]
    )


def _now() -> int:
    return time.time_ns() // 1000
