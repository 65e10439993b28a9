"""POST and GET /webhooks/<source>: verify, read, store, answer; nothing else in the request.

Invariant: a 200 is answered only after every event of the body is in the journal, was there before,
or is on the disk of the spool. Nothing is parsed before the signature holds. No trouble with Redis
makes an answer late: after one failure events go to the spool until a probe finds Redis again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Request, Response, request
from redis.exceptions import RedisError

from connector import compact, journal
from connector.errors import BadSignature, NotJson, SenderError, TooLarge, UnknownSource
from connector.model import Event
from connector.redisdb import FULL_AT, PerThread, Redis
from connector.sources.base import Source
from connector.spool import Spool, SpoolFull
from connector.telemetry import Telemetry

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

PROBE_SECONDS = 1.0
"""How often the spool is drained, and with it Redis probed."""

TAKES_AGAIN_AT = 0.80
"""A share of Redis' memory: above `FULL_AT` events go to the spool, so that workers keep room to
drain what fills it; below this one they go to Redis again."""


@dataclass(slots=True)
class Handed:
    """The events of one request on their way to where they are kept."""

    intake: Intake
    events: Sequence[Event]
    new: int | None = None
    problem: Exception | None = None

    def accepted(self) -> int:
        """How many of the events are new, now that all are kept. Spooled ones count as new.

        Raises RedisError, SpoolFull or sqlite3.Error when neither place takes them.
        """
        if not self.is_settled():
            self.intake.keep(self)
        if self.problem is not None:
            raise self.problem
        if self.new is None:
            raise RuntimeError("events that were handed in were not kept")
        return self.new

    def is_settled(self) -> bool:
        """Whether it is known what became of them."""
        return self.new is not None or self.problem is not None


class Intake:
    """Where verified events go: Redis, or the spool while Redis is away.

    Requests hand in what they bring, and ask afterwards what became of it. Who asks first has all
    that the same thread has handed in kept in one step: the loop calls the application for several
    requests before it sends their answers (`connector.gathering`), and what a step costs is hardly
    more for several events than for one.
    """

    def __init__(self, client: Redis, spool: Spool | None, telemetry: Telemetry) -> None:
        self.client = client
        self._near = PerThread(client)
        self._own = threading.local()
        self.spool = spool
        self.telemetry = telemetry
        self._spooling = spool is not None and len(spool) > 0
        self.ended = threading.Event()

    def hand_in(self, events: Sequence[Event]) -> Handed:
        """Events to be kept before `Handed.accepted` answers."""
        handed = Handed(self, events)
        self._waiting().append(handed)
        return handed

    def keep(self, asked: Handed) -> None:
        """Keep what this thread has handed in, and note with each what became of it. What is
        `asked` for is kept whichever thread has handed it in."""
        waiting = self._waiting()
        together = [asked, *(handed for handed in waiting if handed is not asked)]
        waiting.clear()
        try:
            self._keep(together)
        except Exception as error:
            log.error("keeping %d requests together: %r", len(together), error)
            for handed in together:  # none of them for what is wrong with another
                if not handed.is_settled():
                    self._keep_alone(handed)

    def _keep_alone(self, handed: Handed) -> None:
        try:
            self._keep([handed])
        except Exception as error:
            handed.problem = error

    def _waiting(self) -> list[Handed]:
        own = self._own
        if not hasattr(own, "waiting"):
            own.waiting = []
        waiting: list[Handed] = own.waiting
        return waiting

    def _keep(self, together: Sequence[Handed]) -> None:
        if self.spool is None or not self._spooling:
            try:
                self._store(together)
                return
            except RedisError as error:
                if self.spool is None:
                    for handed in together:
                        handed.problem = error
                    return
                self._spooling = True
                log.warning("Redis takes no events (%s); they go to the spool", error)
        for handed in together:
            try:
                self.spool.put(handed.events)
            except (SpoolFull, sqlite3.Error) as error:
                handed.problem = error
            else:
                handed.new = len(handed.events)
                self.telemetry.spooled(handed.new)

    def _store(self, together: Sequence[Handed]) -> None:
        events = [event for handed in together for event in handed.events]
        new = iter(journal.store_each(self._near.client(), events))
        for handed in together:
            handed.new = sum(next(new) for _ in handed.events)

    def drain_forever(self) -> None:
        """Move spooled events on, in order, as soon as Redis takes them; for a thread."""
        while not self.ended.wait(PROBE_SECONDS):
            try:
                self.drain()
            except Exception:  # the next turn may fare better; without turns nothing drains
                log.exception("draining the spool")

    def drain(self) -> None:
        """Move on what is spooled, if Redis takes it; or begin to spool before it is full."""
        if self.spool is None:
            return
        try:
            if self._share_used() > (TAKES_AGAIN_AT if self._spooling else FULL_AT):
                if not self._spooling:
                    log.warning("Redis is nearly full; events go to the spool")
                self._spooling = True
                return
            while self.spool.drain(lambda events: journal.store(self.client, events)):
                continue
            if self._spooling:
                self._spooling = False
                log.warning("Redis takes events again; the spool is empty")
        except (RedisError, sqlite3.Error) as error:
            log.info("the spool waits: %s", error)

    def _share_used(self) -> float:
        memory = self.client.info("memory")
        most = memory.get("maxmemory") or 0
        return float(memory["used_memory"] / most) if most else 0.0

    def end(self) -> None:
        """Stop draining, and whatever else goes on beside the requests."""
        self.ended.set()


def blueprint(sources: Mapping[str, Source], intake: Intake, most_bytes: int) -> Blueprint:
    """The routes; `most_bytes` is the largest body that is read."""
    routes = Blueprint("receiver", __name__)

    @routes.post("/webhooks/<name>")
    def receive(name: str) -> Response:
        began = time.perf_counter()
        intake.telemetry.received(name)
        source = _source(sources, name)
        asked: Request = cast(Any, request)._get_current_object()  # not its proxy, which costs
        body = _body(asked, most_bytes)
        received_at = time.time_ns() // 1000
        verified = source.verify(body, _Headers(asked.environ))
        intake.telemetry.verified(name)
        handed = intake.hand_in(source.parse(verified, received_at))
        return _Later(lambda: answer(name, handed, began))

    def answer(name: str, handed: Handed, began: float) -> tuple[int, dict[str, object]]:
        try:
            accepted = handed.accepted()
        except (RedisError, SpoolFull, sqlite3.Error) as error:
            log.error("an event of %s was not taken: %s", name, error)
            intake.telemetry.refused(name, "unavailable")
            return 503, {"error": "the connector cannot store events now; send it again"}
        intake.telemetry.taken(name, handed.events, accepted, began)
        return 200, {"accepted": accepted, "duplicates": len(handed.events) - accepted}

    @routes.get("/webhooks/<name>")
    def probe(name: str) -> Response:
        _source(sources, name)
        return _answer(200, source=name, ready=True)

    @routes.errorhandler(SenderError)
    def refuse(error: SenderError) -> Response:
        name = (request.view_args or {}).get("name", "")
        known = name if name in sources else "unknown"
        why = _WHY.get(type(error), "bad request")
        intake.telemetry.refused(known, why)
        log.warning("refused a request for %s: %s (%d)", known, error, error.status)
        return _answer(error.status, error=str(error))

    return routes


_WHY = {
    BadSignature: "signature",
    NotJson: "not json",
    TooLarge: "too large",
    UnknownSource: "unknown source",
}


def _source(sources: Mapping[str, Source], name: str) -> Source:
    found = sources.get(name)
    if found is None:
        raise UnknownSource("no source of this name is configured")
    return found


class _Headers(Mapping[str, str]):
    """Those of a request, as WSGI names them (PEP 3333); looked for by a name in any case."""

    __slots__ = ("_environ",)

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        value: str = self._environ["HTTP_" + name.upper().replace("-", "_")]
        return value

    def __iter__(self) -> Iterator[str]:
        return (key[5:].replace("_", "-") for key in self._environ if key.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _body(asked: Request, most_bytes: int) -> bytes:
    """The raw bytes, as the signature covers them."""
    length = _length(asked)
    if length is not None and length > most_bytes:
        raise TooLarge(f"the body has {length} bytes, at most {most_bytes} are taken")
    try:
        body = _read(asked, length, most_bytes)
    except Exception as error:  # the server's own, by many names: it cannot be read as HTTP
        raise NotJson("the body broke off, or its chunks are none") from error
    if len(body) > most_bytes:
        raise TooLarge(f"the body has more than {most_bytes} bytes")
    return body


def _length(asked: Request) -> int | None:
    """Of the body, as far as it was said."""
    said = asked.environ.get("CONTENT_LENGTH", "")
    if said.isascii() and said.isdigit() and "HTTP_TRANSFER_ENCODING" not in asked.environ:
        return int(said)  # nearly always; Werkzeug knows the rest
    return asked.content_length


def _read(asked: Request, length: int | None, most_bytes: int) -> bytes:
    """Raises what the server raises, and EOFError for less than `length` bytes."""
    if length is None:
        # A body sent in chunks says no length: Werkzeug stops reading at the limit without a word,
        # so one byte more is asked for.
        asked.max_content_length = most_bytes + 1
        return asked.get_data(cache=False)
    body: bytes = asked.environ["wsgi.input"].read(length)
    if len(body) < length:
        raise EOFError(f"{len(body)} of {length} bytes")
    return body


class _Later(Response):
    """An answer whose status and body are known when the server asks for its first piece, and not
    before: PEP 3333 lets an application say its status as late as that."""

    def __init__(self, know: Callable[[], tuple[int, dict[str, object]]]) -> None:
        super().__init__(content_type="application/json")
        self._know = know

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """As WSGI wants it."""
        status, body = self._know()
        if status != self.status_code:
            self.status_code = status
        data = (_written(body) + "\n").encode()
        start_response(self.status, [*self.headers, ("Content-Length", str(len(data)))])
        yield data


def _answer(status: int, **body: object) -> Response:
    return Response(_written(body) + "\n", status, mimetype="application/json")


_written = compact.writer(ascii_only=True, spaced=True)
