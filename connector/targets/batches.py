"""Many records in one call, and what became of each of them.

A batch is an upsert by external ids, so that it can be repeated as it is, in part or record by
record, whatever became of it: that is what makes it safe to lose sight of one in a crash. Whatever
needs a look at the CRM first, or a call of another kind, goes alone (`may_ride`).

Invariants: one bad record fails alone. A result that is not plainly good or plainly a refusal sends
its record alone, by the resource's `upsert:`, where every rule of answers.md holds. A batch that is
refused as a whole is halved until the bad one is alone; what says that the CRM is away or the
credentials are wrong ends it all at once.

Neighbours: `target` groups deliveries into batches, `strategies` make the calls of one record.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from connector.config.model import Batch, ResourceConfig
from connector.errors import LeaseLost
from connector.model import CallLog, Delivery, Json, Meaning, Name, Outcome
from connector.targets import extract, reasons
from connector.targets.answers import Case, Judgement, correction_of, judge
from connector.targets.calls import fill_in
from connector.targets.conversation import Conversation, outcome
from connector.targets.fields import write_fields
from connector.targets.http import Answer, Http
from connector.targets.idempotency import BatchNumbering, Numbering
from connector.targets.ids import format_id
from connector.targets.line import Crm, Line
from connector.targets.placement import CannotPlace
from connector.targets.policies import UNREAD, choose, choose_for_new, needs_reading
from connector.targets.strategies import learn_link
from connector.targets.template import IDS, CannotRender, names_in, render

log = logging.getLogger(__name__)

Alone = Callable[[Delivery], Outcome]
"""Delivers one record by itself."""

FAULTS = 3
"""So many records in a row on which the CRM itself fails, and the rest of a batch waits."""

_CORRECTED: Mapping[str, Meaning] = {"done": "done", "refused": "refused", "not_now": "not_now"}
_NO_SUCH_CALL = frozenset({404, 405, 410, 415, 501})
_STOPS: frozenset[Meaning] = frozenset({"not_now", "credentials", "misled"})
_NUMBERS = ("status", "statusCode", "status_code", "httpStatus", "http_status", "code")
_FAILURES = frozenset({"error", "failed", "failure", "rejected"})


def may_ride(resource: ResourceConfig, order: Delivery) -> bool:
    """Whether a record can go along in a batch, without any call of its own."""
    batch = resource.batch
    if batch is None or order.action != "upsert" or not order.name.id:
        return False
    if order.in_doubt or order.unheard or order.deltas:
        return False  # first it must be known what the CRM has
    if resource.verify or resource.etag is not None:
        return False
    if order.link is None and "crm_id" in names_in(batch.item):
        return False
    can_look = resource.read is not None or resource.upsert.search is not None
    if not order.delivered:
        return set(order.write.values()) <= {"always"}
    whole = resource.send == "all"
    return resource.gone == "recreate" and not (can_look and needs_reading(order, whole=whole))


@dataclass(frozen=True, slots=True)
class Rider:
    """A record in a batch, and how it is written there."""

    order: Delivery
    resource: ResourceConfig
    batch: Batch
    external_id: str
    item: Json
    sent: frozenset[str]

    @property
    def name(self) -> Name:
        """The record's."""
        return self.order.name


class Ride:
    """The deliveries of one sender's turn, in as few calls as may be."""

    def __init__(self, crm: Crm, http: Http, before_call: Callable[[], None], alone: Alone) -> None:
        self._crm = crm
        self._http = http
        self._before_call = before_call
        self._alone = alone
        self._calls: dict[Name, tuple[CallLog, ...]] = {}
        self._outcomes: dict[Name, Outcome] = {}
        self._stopped: Outcome | None = None
        self._faults = 0

    def deliver(self, orders: Sequence[Delivery]) -> list[Outcome | None]:
        """What became of each record, in their order; None for those that it did not come to."""
        try:
            self._deliver(orders)
        except LeaseLost as error:
            log.info("the rest of a batch is left: %s", error)
        return [self._outcomes.get(order.name) for order in orders]

    def _deliver(self, orders: Sequence[Delivery]) -> None:
        riding: dict[str, list[Delivery]] = {}
        going: list[Delivery] = []
        for order in orders:
            rides = may_ride(self._resource(order), order)
            (riding.setdefault(order.name.resource, []) if rides else going).append(order)
        for together in riding.values():
            batch = self._resource(together[0]).batch
            size = batch.size if batch else 1
            for first in range(0, len(together), size):
                self._send(together[first : first + size])
        for order in going:
            self._go_alone(order)

    def _resource(self, order: Delivery) -> ResourceConfig:
        return self._crm.config.resource(order.name.resource)

    # --- one call

    def _send(self, orders: Sequence[Delivery]) -> None:
        riders = [rider for order in orders if (rider := self._board(order))]
        if self._stopped or len(riders) < 2:
            for rider in riders:
                self._go_alone(rider.order)
            return
        numbering = BatchNumbering([rider.order for rider in riders])
        line = Line(self._crm, self._http, self._before_call, numbering)
        judgement = self._call(line, riders)
        riders = [_renumbered(rider, numbering) for rider in riders]
        for rider in riders:
            self._calls[rider.name] = (*self._calls.get(rider.name, ()), *line.calls)
        if judgement.meaning == "done":
            self._arrive(line, riders, judgement)
        elif judgement.meaning in _STOPS:
            self._stop(line, riders, judgement, numbering)
        elif judgement.status in _NO_SUCH_CALL:
            for rider in riders:
                self._go_alone(rider.order)
        else:
            half = len(riders) // 2
            self._send([rider.order for rider in riders[:half]])
            self._send([rider.order for rider in riders[half:]])

    def _board(self, order: Delivery) -> Rider | None:
        """The record as it stands in the batch; None where that is the end of it."""
        resource = self._resource(order)
        batch = resource.batch
        whole = resource.send == "all"
        choice = (
            choose(resource, order, UNREAD, whole=whole)
            if order.delivered
            else choose_for_new(order)
        )
        if order.delivered and choice.empty and not whole:
            self._end(order, Outcome("done", order.number, order.link))
            return None
        external_id = format_id(resource.id_format, order.name.id)
        values: dict[str, Json] = {"external_id": external_id, "resource": resource.name}
        if order.link is not None:
            values["crm_id"] = order.link
        try:
            if batch is None:
                raise CannotRender("the resource has no batch")
            values["fields"] = write_fields(
                resource,
                choice.values,
                values,
                with_id=whole or not order.delivered or not names_in(batch.item) & IDS,
            )
            item = render(batch.item, values)
            return Rider(order, resource, batch, external_id, item, frozenset(choice.values))
        except (CannotPlace, CannotRender):
            self._go_alone(order)  # to be refused with a reason of its own
            return None

    def _call(self, line: Line, riders: Sequence[Rider]) -> Judgement:
        config, first = self._crm.config, riders[0]
        values = {"resource": first.resource.name, "records": [rider.item for rider in riders]}
        try:
            filled = fill_in("batch", first.batch.call, config.base_url, values, config.headers)
        except CannotRender as error:
            return Judgement("refused", str(error))
        return line.call(filled, Case("batch", first.resource))

    # --- what became of it

    def _arrive(self, line: Line, riders: Sequence[Rider], judgement: Judgement) -> None:
        """The batch was taken: every record by its own result."""
        results = _results(riders, judgement.data)
        for rider in riders:
            if rider.batch.results is None:
                self._done(rider, None)
            elif rider.name not in results:
                self._go_alone(rider.order)
            else:
                self._judge(line, rider, results[rider.name], judgement.status or 200)

    def _judge(self, line: Line, rider: Rider, result: Json, status: int) -> None:
        own = _status_in(result)
        content = json.dumps(result).encode()
        said = Answer(own or status, "", {}, content, result, 0.0)
        meaning = _meaning(rider, said, own)
        if meaning == "done":
            self._done(rider, result)
        elif meaning in ("refused", "not_now"):
            plain = Outcome(meaning, rider.order.number, rider.order.link)
            reason, answer = line.mask.text(reasons.refusal(said)), line.mask.answer(result)
            told = replace(plain, status=said.status, reason=reason, answer=answer)
            self._end(rider.order, told)
        else:
            self._go_alone(rider.order)

    def _done(self, rider: Rider, result: Json) -> None:
        """The CRM has the record; one that it made anew, or that is another row, gets all."""
        order, batch, resource = rider.order, rider.batch, rider.resource
        told = extract.find_id(batch.crm_id, result) if resource.crm_id and batch.crm_id else None
        made = batch.created is not None and extract.holds(batch.created, result)
        other = None not in (told, order.link) and str(told) != str(order.link)
        link = order.link if told is None else told
        if order.delivered and (made or other):
            self._go_alone(replace(order, link=link, changed=frozenset(order.fields)))
        elif resource.crm_id and link is None:
            self._end(order, replace(self._linked(rider), sent=rider.sent))
        else:
            self._end(order, Outcome("done", order.number, link, sent=rider.sent))

    def _linked(self, rider: Rider) -> Outcome:
        """A record that was written, and whose own id in the CRM was not told: searched for."""
        numbering = Numbering(rider.order)
        line = Line(self._crm, self._http, self._before_call, numbering)
        talk = Conversation(line, rider.resource, rider.order, numbering)
        learn_link(talk)
        return talk.done()

    # --- the ends

    def _go_alone(self, order: Delivery) -> None:
        if self._stopped:
            self._wait(order, self._stopped)
            return
        end = self._alone(order)
        self._end(order, end)
        if end.meaning in _STOPS:
            self._stopped = replace(end, unknown=False, unheard="")
        self._faults = self._faults + 1 if end.meaning == "fault" else 0
        if self._faults >= FAULTS:
            self._stopped = replace(end, meaning="not_now")

    def _stop(
        self, line: Line, riders: Sequence[Rider], judgement: Judgement, numbering: BatchNumbering
    ) -> None:
        """The CRM is away, or takes no calls of ours: nothing more is sent."""
        self._stopped = outcome(judgement, line, number=0)
        lost = replace(self._stopped, unknown=numbering.in_doubt, unheard=numbering.unheard)
        for rider in riders:
            self._wait(rider.order, lost)

    def _wait(self, order: Delivery, why: Outcome) -> None:
        """Not sent, or not known to have arrived: what `why` says holds for this record, too."""
        told = Outcome(why.meaning, order.number, order.link, why.unknown, why.status, why.reason)
        more = {"answer": why.answer, "retry_after": why.retry_after, "unheard": why.unheard}
        self._end(order, replace(told, **more))

    def _end(self, order: Delivery, end: Outcome) -> None:
        calls = (*self._calls.get(order.name, ()), *end.calls)
        self._outcomes[order.name] = replace(end, calls=calls)


def _renumbered(rider: Rider, numbering: BatchNumbering) -> Rider:
    return replace(rider, order=replace(rider.order, number=numbering.numbers[rider.name]))


def _results(riders: Sequence[Rider], answer: Json) -> Mapping[Name, Json]:
    """The result of each record that has one."""
    batch = riders[0].batch
    found = extract.find(batch.results, answer) if batch.results else None
    if not isinstance(found, list):
        return {}
    if batch.match is None:
        pairs = zip(riders, found, strict=False) if len(found) == len(riders) else ()
        return {rider.name: result for rider, result in pairs}
    by_id = {extract.find_text(batch.match, result): result for result in found}
    return {r.name: by_id[r.external_id] for r in riders if r.external_id in by_id}


def _meaning(rider: Rider, said: Answer, own: int | None) -> Meaning | None:
    """What a result means; None where the record had better go alone."""
    case = Case("batch", rider.resource, rider.external_id)
    if correction := correction_of(case, said):
        return _CORRECTED.get(correction.means)
    if _is_good(rider.batch, said.data):
        return "done"
    if own is None or own in (409, 412) or judge(case, said).meaning != "refused":
        return None
    return "refused"


def _is_good(batch: Batch, result: Json) -> bool:
    """Whether a result says that its record was taken."""
    if batch.success is not None:
        return extract.holds(batch.success, result)
    if not isinstance(result, dict):
        return result is not None and result is not False
    if result.get("success") is False or result.get("ok") is False:
        return False
    if result.get("error") or result.get("errors"):
        return False
    word = result.get("status")
    failed = isinstance(word, str) and word.lower() in _FAILURES
    return not failed and (_status_in(result) or 200) < 400


def _status_in(result: Json) -> int | None:
    """The HTTP status that a result names for its record."""
    if not isinstance(result, dict):
        return None
    for key in _NUMBERS:
        said = result.get(key)
        if isinstance(said, str) and said.isdecimal():
            said = int(said)
        if isinstance(said, int) and not isinstance(said, bool) and 100 <= said <= 599:
            return said
    return None
