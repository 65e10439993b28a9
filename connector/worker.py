"""The worker process: one dispatcher that owns Redis, N senders that only do HTTP. All of them take
turns in one thread: who waits for an answer lets another go on.

The dispatcher has two halves that go round side by side, so that one computes while the other waits
for Redis:

    take in    finish + claim events, merge + lease their records, hand the calls to the senders
    send out   release what the senders have done, lease what is due, hand the calls to the senders

Nothing sleeps for a retry, a limit or a lease: those are due times in Redis.

Invariants:
- What the dispatcher has in hand (claims not merged, outcomes not written, releases not stored)
  stays in its lists until Redis has taken it, so an outage of Redis loses nothing and repeats
  harmlessly. Claims and outcomes are changed by the half that takes in and by nobody else as long
  as it runs; from releases and probes only the half that sends out takes any away.
- The process never exits because Redis or the CRM is away; it ends by a signal, or in a burst when
  there is nothing left to do now.
- A process that dies leaves claims that the maintenance of any other returns, and leases that
  expire.
"""

from __future__ import annotations

import gc
import itertools
import logging
import math
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field, replace
from types import FrameType

from redis.exceptions import OutOfMemoryError, RedisError
from rq import Worker as RqWorker
from rq.serializers import JSONSerializer

from connector import alerts, assemble, flow, journal, retention, turns
from connector.alive import MISSING_AFTER, show_alive
from connector.config import Config
from connector.errors import RedisUnfit
from connector.frozen import dataclass
from connector.journal import Claim, Entry
from connector.model import Outcome
from connector.reconcile import OF_THE_TARGET, Probe, ProbeResult, Reconciler, Work, untouched
from connector.records import store
from connector.records.store import Lease, Release
from connector.redisdb import PREFIX, Redis, connect
from connector.replay import merge_events
from connector.targets.http import Http
from connector.telemetry import Telemetry
from connector.turns import Begun, Bell, Queue, Turns

log = logging.getLogger(__name__)

BATCH = 64
"""Events claimed in one round."""

HEARTBEAT_SECONDS = 3.0
STOP_WITHIN = 25.0
"""Seconds to finish what is in flight after SIGTERM; platforms kill at 30."""

ROUND_SECONDS = 0.015
"""How far apart the rounds of a half begin while events trickle in and senders are free: what
gathers meanwhile shares the cost of a round. The first event after a quiet time waits for nothing,
nor does a backlog."""

BACKLOG = 8
"""So many events that wait are a backlog: a round of them is worth its cost."""

FULL_ROUND_SECONDS = 0.004
"""The same for sending out while few senders are free, or more is due than they could take: what
they have done makes room for more."""

IDLE_SECONDS = 1.0
PROBE_POLL_SECONDS = 0.5

CALM_SECONDS = 10.0
"""After so long without trouble with Redis the next is met with little patience again."""

NICE = 5
"""How much less urgent a worker's work is than the answer to a webhook on the same machine, in the
words of `nice`: a backlog that drains must not make senders wait. Between sessions or control
groups the system shares the cores itself, whatever their processes say (sched(7), autogroup)."""

NEW_OBJECTS = 20_000
"""How many more objects than before make Python look for circles that nobody refers to. Its own 700
are some of a single batch: it looked every sixth event, at all that was under way, and that was an
eighth of a worker's computing (perf, CPython 3.11). Nothing on the way of an event makes circles.
"""

HUNG_AFTER = 300.0
"""Seconds after which a sender counts as lost; a delivery's calls and blips take far less."""


@dataclass(slots=True)
class Hand:
    """What the dispatcher holds between two commands to Redis."""

    claims: list[Claim] = field(default_factory=list)
    finished: list[tuple[Entry, Claim]] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    probed: list[ProbeResult] = field(default_factory=list)

    def members(self) -> set[str]:
        """The claims held, as Redis names them."""
        held = [*self.claims, *(claim for _, claim in self.finished)]
        return {f"{claim.job_id}:{claim.execution}" for claim in held}


@dataclass(slots=True)
class Boarding:
    """Records of one resource that wait for others to go in one call. `departs` by monotonic."""

    size: int
    departs: float
    works: list[Work] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Task:
    """What a sender does: a delivery, one of many records together, or a probe of a target."""

    number: int
    what: Work | Probe | tuple[Work, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What a sender has done."""

    number: int
    releases: tuple[Release, ...] = ()
    probed: ProbeResult | None = None


class Worker:
    """One worker process. `threads` is the number of calls that it makes at the same time: that of
    its senders."""

    def __init__(self, config: Config, threads: int | None = None) -> None:
        most = max((target.concurrency for target in config.targets.values()), default=1)
        self.threads = threads or most
        self.name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self.client: Redis = connect(config.redis_url, taking_turns=True)
        self.reconciler: Reconciler = assemble.reconciler(config, self.client)
        self.telemetry = Telemetry("worker", config)
        self._config = config
        self._hand = Hand()
        self._turns = Turns()
        self._work: Queue[Task | None] = Queue(self._turns)
        self._http = Http(connections=self.threads)
        self._done: list[Done] = []
        self._started: dict[int, float] = {}
        self._boarding: dict[tuple[str, str], Boarding] = {}
        self._numbers = itertools.count()
        self._mark = secrets.token_hex(8)
        self._probe_at = 0.0
        self._prepared = False
        self._reserved = 0  # senders for what is being merged and leased
        self._idle = self._more_due = False
        self._told, self._urgent, self._stopped = (Bell(self._turns) for _ in range(3))
        self._stopping = self._burst = False
        self._ended = threading.Event()

    # --- the life of the process

    def run(self, *, burst: bool = False) -> None:
        """Work until `stop`, or in a burst until nothing is left to do now."""
        self._burst = burst
        maintenance = threading.Thread(target=self._maintain, name="maintenance", daemon=True)
        maintenance.start()
        try:
            self._turns.run(self._direct)
        finally:
            self._ended.set()
            maintenance.join(timeout=2.0)

    def stop(self, signum: int | None = None, frame: FrameType | None = None) -> None:
        """Take no more work and end as soon as what is in flight is done; twice: at once."""
        if self._stopping and signum is not None:
            os._exit(1)
        self._stopping = True
        for bell in (self._told, self._stopped):
            bell.ring_from_outside()

    def catch_signals(self) -> None:
        """End in good order on SIGTERM and SIGINT. Main thread only."""
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)

    def _prepare(self) -> None:
        """At the start, and after an outage that may have emptied Redis: see that it keeps what it
        is given and holds nothing of an older version, make the targets' limits known, and see
        that mappings are in force."""
        judge_redis(self.client)
        store.refuse_older(self.client, self._config.targets)
        # Before the first claim: nobody returns what a worker held that never showed itself.
        show_alive(self.client, self.name)
        for target in self._config.targets.values():
            flow.configure(self.client, target)
        self.reconciler.in_force.get(self.client)
        self._return_unknown_claims()
        self._prepared = True

    # --- the dispatcher

    def _direct(self) -> None:
        for _ in range(self.threads):
            self._hire()
        log.info("worker %s with %d threads is ready", self.name, self.threads)
        self._dispatch()
        for _ in range(self.threads):
            self._work.put(None)

    def _dispatch(self) -> None:
        """Both halves, until it is time to end; the other one is begun anew after trouble."""
        taking_in: Begun | None = None
        pause, troubled = 0.0, -math.inf
        while not self._stopping:
            try:
                if not self._prepared:
                    self._prepare()
                if taking_in is None:
                    taking_in = self._turns.begin(self._take_in)
                if taking_in.ended:
                    taking_in.join()
                began = time.monotonic()
                idle_until = self._send_out()
                if idle_until is not None:
                    if self._burst and self._nothing_left(idle_until):
                        self._stopping = True
                        break
                    self._wait(idle_until)
                self._gather(began)
            except RedisError as error:
                calm = time.monotonic() - troubled > CALM_SECONDS
                pause = 0.2 if calm else min(pause * 2, 5.0)
                log.warning("Redis is away (%s); trying again in %.1f s", error, pause)
                self._prepared = False
                _await_end(taking_in)
                taking_in = None
                self._stopped.wait(pause)
                troubled = time.monotonic()
        _await_end(taking_in)
        self._wind_up()

    # --- taking in

    def _take_in(self) -> None:
        """Round after round, until there is trouble or the end."""
        self._idle = False
        try:
            least = 1
            while self._prepared and not self._stopping:
                began = time.monotonic()
                claims = self._claim_and_merge(least)
                if claims >= BACKLOG:
                    least = BACKLOG
                    turns.sleep(0)  # the senders have their turn, however quickly Redis answers
                elif claims or self._hand.finished or least > 1:
                    least = 1
                    turns.sleep(max(began + ROUND_SECONDS - time.monotonic(), 0))
                else:
                    self._await_more()
        finally:
            self._told.ring()

    def _claim_and_merge(self, least: int) -> int:
        """One round, unless fewer than `least` wait; how many events it took in."""
        hand = self._hand
        in_force = None
        if not hand.claims:
            execution = f"{self._mark}{next(self._numbers):x}"
            claimed = journal.claim(self.client, self.name, execution, BATCH, hand.finished, least)
            hand.finished.clear()
            hand.claims.extend(claimed.claims)
            if claimed.claims:
                in_force = self.reconciler.in_force.by(self.client, claimed.in_force)
            for job in claimed.strange:
                adopted = journal.adopt(self.client, self.name, job, execution)
                hand.claims.extend([adopted] if adopted else [])
        claims = len(hand.claims)
        if claims:
            token = self._token()
            # A job that outlived its event's merging runs no more.
            over = [claim for claim in hand.claims if claim.entry.state != "queued"]
            hand.finished.extend((claim.entry, claim) for claim in over)
            hand.claims[:] = [claim for claim in hand.claims if claim.entry.state == "queued"]
            entries = [claim.entry for claim in hand.claims]
            # With senders to spare a record goes out at once; otherwise it waits its turn.
            leasing = self._free() >= claims
            with self._reserving(claims if leasing else 0):
                merging = merge_events(
                    self.reconciler, entries, token=token, leasing=leasing, in_force=in_force
                )
                self.telemetry.merged(merging.entries)
                hand.finished.extend(zip(merging.entries, hand.claims, strict=True))
                hand.claims.clear()
                self._start(merging.leases)
            if not leasing or self._boarding or hand.releases:
                self._told.ring()  # there is something to send out
        return claims

    @contextmanager
    def _reserving(self, senders: int) -> Iterator[None]:
        self._reserved = senders
        try:
            yield
        finally:
            self._reserved = 0

    def _await_more(self) -> None:
        """Until there may be something to claim, or a target takes calls again."""
        self._idle = True
        if self._burst:
            self._told.ring()
        if self.client.blpop([f"{PREFIX}wake"], timeout=IDLE_SECONDS):
            self._told.ring()
        self._idle = False

    # --- sending out

    def _send_out(self) -> float | None:
        """One round. None when there is more to do at once, else when (monotonic) to look again."""
        hand = self._hand
        self._collect()
        if hand.probed:
            self._settle()  # first: what a probe has found decides on what is leased
        room = self._free()
        due, look_again = self._settle_and_lease(room)
        self._more_due = len(due) >= room
        self._start(due)
        self._depart()
        self._probe()
        if due or hand.releases:
            return None
        return min([look_again, *(boarding.departs for boarding in self._boarding.values())])

    def _gather(self, began: float) -> None:
        """Let the next round have more to do than one release; not while anybody waits for it."""
        spare = self._free() >= self.threads / 4 and not self._more_due
        apart = ROUND_SECONDS if spare else FULL_ROUND_SECONDS
        rest = began + apart - time.monotonic()
        if rest > 0:
            self._urgent.wait(rest)
        else:
            turns.sleep(0)

    def _settle(self) -> None:
        """Store what the senders have done."""
        hand = self._hand
        releases = list(hand.releases)  # more may come meanwhile
        store.release(self.client, releases)
        self._released(releases)
        for result in hand.probed:
            opened = flow.probed(
                self.client,
                result.target,
                result.prober,
                succeeded=result.succeeded,
                why=result.why,
            )
            log.info("probe of %s: %s", result.target, "open again" if opened else "still paused")
        hand.probed.clear()

    def _free(self) -> int:
        return max(0, self.threads - len(self._started) - self._reserved)

    def _settle_and_lease(self, room: int) -> tuple[list[Lease], float]:
        """Store what the senders have done, and lease records whose time has come, in one step for
        the first target; those leases, and when (monotonic) to look again."""
        releases = list(self._hand.releases)  # more may come meanwhile
        leases: list[Lease] = []
        look_again = time.monotonic() + IDLE_SECONDS
        for target in self.reconciler.targets:
            rest = max(room - len(leases), 0)
            if not (releases or rest):
                break
            token = self._token()
            seconds = self.reconciler.lease_seconds(target)
            found, next_due = store.release_and_lease(
                self.client, releases, target, rest, token, seconds
            )
            self._released(releases)
            releases = []
            leases.extend(found)
            if rest and next_due is not None:
                in_seconds = next_due / 1e6 - time.time()
                look_again = min(look_again, time.monotonic() + max(in_seconds, 0.0))
        return leases, look_again

    def _released(self, releases: Sequence[Release]) -> None:
        self.telemetry.released(releases)
        del self._hand.releases[: len(releases)]

    def _start(self, leases: Sequence[Lease]) -> None:
        for work in self.reconciler.prepare(leases):
            if work.plan.action != "call":
                self._hand.releases.append(self.reconciler.deliver(work, self._http))
            elif batch := self.reconciler.rides(work):
                name = work.lease.name
                departs = time.monotonic() + batch.wait
                boarding = Boarding(batch.size, departs)
                self._boarding.setdefault((name.target, name.resource), boarding).works.append(work)
            else:
                self._give(work)

    def _depart(self) -> None:
        """Send off what has waited long enough for others, and what is a whole call."""
        for key, boarding in list(self._boarding.items()):
            late = boarding.departs <= time.monotonic()
            while len(boarding.works) >= (1 if late else boarding.size):
                going = tuple(boarding.works[: boarding.size])
                del boarding.works[: boarding.size]
                self._give(going if len(going) > 1 else going[0])
            if not boarding.works:
                del self._boarding[key]

    def _token(self) -> str:
        """For a lease or a probe; no other has it."""
        return f"{self.name}/{next(self._numbers)}"

    def _give(self, what: Work | Probe | tuple[Work, ...]) -> None:
        number = next(self._numbers)
        self._started[number] = time.monotonic()
        self._work.put(Task(number, what))

    def _probe(self) -> None:
        """Probe each paused target whose time has come; asked for once in a while."""
        if time.monotonic() < self._probe_at or not self._free():
            return
        self._probe_at = time.monotonic() + PROBE_POLL_SECONDS
        for target in self.reconciler.targets:
            prober = self._token()
            seconds = self.reconciler.lease_seconds(target)
            cause = flow.probe_due(self.client, target, prober, seconds)
            if cause is None:
                continue
            probe = Probe(target, cause, prober)
            if cause in ("refusals", "misled") or not self._config.targets[target].check:
                due, _ = store.lease_due(self.client, target, 1, prober, seconds, probing=True)
                for work in self.reconciler.prepare(due):
                    probe = replace(probe, work=work)
            self._give(probe)

    def _collect(self, timeout: float = 0.0) -> None:
        """Take over what the senders have done, waiting for the first at most `timeout`."""
        self._told.wait(0.0 if self._done else timeout)
        for done in self._done:
            self._started.pop(done.number, None)
            self._hand.releases.extend(done.releases)
            if done.probed:
                self._hand.probed.append(done.probed)
        self._done.clear()

    def _replace_hung(self) -> None:
        """A sender that is far beyond its call's deadline counts as lost: another takes its place,
        and its record's lease expires. What it still brings comes too late and is put in doubt."""
        late = time.monotonic() - HUNG_AFTER
        for number in [n for n, started in self._started.items() if started < late]:
            log.error("a sender hangs; its record is tried again by another")
            del self._started[number]
            self._hire()

    def _hire(self) -> None:
        self._turns.start(self._send)

    def _wait(self, until: float) -> None:
        """Until something is done, taken in or due."""
        self._told.wait(until - time.monotonic())
        self._replace_hung()

    def _nothing_left(self, look_again: float) -> bool:
        under_way = self._started or self._boarding or not self._idle
        waits = look_again - time.monotonic() > 0.01
        return not under_way and waits and journal.queued(self.client) == 0

    def _return_unknown_claims(self) -> None:
        """What Redis gave us in an answer that never came goes back to the queue."""
        claimed = set(journal.claims_of(self.client, self.name))
        journal.hand_back(self.client, self.name, claimed - self._hand.members())

    def _wind_up(self) -> None:
        """Finish what is in flight, hand back the rest."""
        deadline = time.monotonic() + STOP_WITHIN
        hand = self._hand
        for task in self._work.take_back():
            if task is not None:
                del self._started[task.number]
                hand.releases.extend(map(untouched, _works(task.what)))
        for boarding in self._boarding.values():
            hand.releases.extend(map(untouched, boarding.works))
        self._boarding.clear()
        while self._started and time.monotonic() < deadline:
            self._collect(timeout=0.1)
        try:
            self._settle()
            journal.claim(self.client, self.name, "", 0, hand.finished)
            members = [f"{claim.job_id}:{claim.execution}" for claim in hand.claims]
            journal.hand_back(self.client, self.name, members)
        except RedisError as error:
            log.warning("Redis is away at the end (%s); the sweep will return what we hold", error)

    # --- the senders

    def _send(self) -> None:
        while (task := self._work.get()) is not None:
            self._hand_over(self._sent(task))
            del task  # a sender that waits for the next keeps nothing of the last

    def _hand_over(self, done: Done) -> None:
        """Give the dispatcher what became of a task."""
        self._done.append(done)
        self._told.ring()
        for release in done.releases:
            if release.hold or release.verdict in OF_THE_TARGET:
                self._urgent.ring()  # the next call must know of it

    def _sent(self, task: Task) -> Done:
        what = task.what
        try:
            if isinstance(what, Probe):
                release, result = self.reconciler.probe(what, self._http)
                return Done(task.number, (release,) if release else (), result)
            if isinstance(what, Work):
                return Done(task.number, (self.reconciler.deliver(what, self._http),))
            return Done(task.number, tuple(self.reconciler.deliver_together(what, self._http)))
        except Exception as error:  # one record's trouble must not end the thread
            log.exception("a delivery failed within the connector")
            why = f"internal error: {type(error).__name__}: {error}"
        releases = tuple(_put_off(work, why) for work in _works(what))
        probed = what.result(_failed(why)) if isinstance(what, Probe) else None
        return Done(task.number, releases, probed)

    # --- maintenance

    def _maintain(self) -> None:
        client = connect(self._config.redis_url)
        registered: RqWorker | None = None
        watch = alerts.Watch(self._config)
        cursor = 0

        def forget() -> None:
            nonlocal cursor
            retention.forget(client, self._config.retention)
            cursor, _ = retention.forget_records(client, self._config.retention, cursor)

        def show_in_rq() -> None:
            nonlocal registered
            registered = registered or self._register()
            registered.heartbeat(int(MISSING_AFTER * 4))

        # What a full Redis does not refuse comes first, for it is what empties it.
        steps: tuple[Callable[[], object], ...] = (
            lambda: sweep(client, self.name),
            forget,
            show_in_rq,
            lambda: self.telemetry.publish(client),
            lambda: watch.look(client),
        )
        while True:
            try:
                for step in steps:
                    with _unless_full():
                        step()
            except RedisError as error:
                log.warning("maintenance: Redis is away (%s)", error)
            except Exception:
                log.exception("maintenance")
            if self._ended.wait(HEARTBEAT_SECONDS):
                break
        try:
            if registered:
                registered.register_death()  # type: ignore[no-untyped-call]
            client.delete(f"{PREFIX}worker:{self.name}")
            self.telemetry.publish(client)
        except RedisError as error:
            log.warning("maintenance: Redis is away at the end (%s)", error)

    def _register(self) -> RqWorker:
        """Show in `rq info`. RQ sets long timeouts on the connection that it is given: its own."""
        worker = RqWorker(
            [journal.QUEUE],
            name=self.name,
            connection=connect(self._config.redis_url),
            serializer=JSONSerializer,
        )
        worker.register_birth()  # type: ignore[no-untyped-call]
        worker.set_state("busy")
        return worker


@contextmanager
def _unless_full() -> Iterator[None]:
    """Leaves out what a full Redis refuses, so that what comes after it is done all the same."""
    try:
        yield
    except OutOfMemoryError as error:
        log.warning("maintenance: Redis is full (%s)", error)


def _await_end(half: Begun | None) -> None:
    """Until a half has ended that knows that it is to end."""
    with suppress(RedisError):  # what is away for one half is away for the other
        if half is not None:
            half.join()


def settle_in() -> None:
    """What a process does that is a worker's own, before it starts threads: they inherit it.

    It lets whatever else runs on the machine go first, as the web process, and spares itself to
    look for circles of garbage where there are none.
    """
    with suppress(OSError):  # it may be as nice as can be already
        os.nice(max(0, NICE - os.getpriority(os.PRIO_PROCESS, 0)))
    gc.collect()
    gc.freeze()  # what is there now stays as long as the process
    gc.set_threshold(NEW_OBJECTS)


def _works(what: Work | Probe | tuple[Work, ...]) -> tuple[Work, ...]:
    """The records that a task is about; a probe that nobody took was of none."""
    if isinstance(what, Probe):
        return (what.work,) if what.work else ()
    return (what,) if isinstance(what, Work) else what


def _put_off(work: Work, why: str) -> Release:
    told = work.lease.state.delivered
    told = replace(told, attempts=told.attempts + 1, why=why, digests={}, doubt=True)
    return Release(work.lease, told, due_in=60.0)


def _failed(why: str) -> Outcome:
    return Outcome("not_now", 0, reason=why)


def judge_redis(client: Redis) -> None:
    """Refuse a Redis that may drop what it is given; warn of one that forgets it when it dies.

    Raises RedisUnfit.
    """
    server = client.info()
    if server.get("redis_mode") == "cluster":
        raise RedisUnfit("this Redis is a cluster; RQ's keys cannot be spread over one")
    policy = server.get("maxmemory_policy", "noeviction")
    if server.get("maxmemory") and policy.startswith("allkeys"):
        raise RedisUnfit(
            f"this Redis drops keys when it is full (maxmemory-policy {policy});"
            " set maxmemory-policy noeviction"
        )
    if not server.get("aof_enabled"):
        log.warning("this Redis keeps no append-only file: what it holds is lost when it dies")


def sweep(client: Redis, name: str) -> int:
    """Show that worker `name` lives, and return what dead ones had claimed; how many claims.

    Leases are left to expire: a process without heartbeat may still have a call under way.
    """
    show_alive(client, name)
    returned = 0
    for member in client.smembers(f"{PREFIX}workers"):
        other = member.decode()
        if client.exists(f"{PREFIX}worker:{other}"):
            continue
        claims = journal.claims_of(client, other)
        journal.hand_back(client, other, claims)
        client.srem(f"{PREFIX}workers", other)
        returned += len(claims)
    store.relink(client)
    journal.enqueue(client, journal.lost(client))
    return returned
