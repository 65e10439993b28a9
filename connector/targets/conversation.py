"""One record's delivery: its calls filled in, made, and turned into a report.

Knows the record, its resource and what the placeholders stand for; decides nothing. Which calls are
made, and what follows from their meaning, is for `strategies`; `line` makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from connector import turns
from connector.config.model import Call, ResourceConfig
from connector.frozen import dataclass
from connector.model import Delivery, Json, Meaning, Outcome
from connector.targets import extract
from connector.targets.answers import CallKind, Case, Judgement, Verdict
from connector.targets.calls import Outgoing, fill_in
from connector.targets.fields import write_fields
from connector.targets.http import Answer
from connector.targets.idempotency import Numbering
from connector.targets.ids import format_id
from connector.targets.line import Line
from connector.targets.location import id_in_location
from connector.targets.placement import CannotPlace, Place
from connector.targets.policies import Choice, choose_for_new
from connector.targets.template import CannotRender, text

Link = str | int | None

_MEANINGS: Mapping[Verdict, Meaning] = {
    "done": "done",
    "credentials": "credentials",
    "not_now": "not_now",
    "fault": "fault",
    "misled": "misled",
}
"""Whatever is left at the end and is none of these is a refusal of this record."""

_NOTHING: Mapping[str, Json] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Row:
    """A record as the CRM has it: its fields, its own id and its etag, as far as they are known."""

    record: Json
    link: Link = None
    etag: Json = None


class Conversation:
    """What is said about one record, and what is known of it so far.

    `known`: the record is in the CRM, as far as anybody can tell. `forgotten`: it was, and was
    found to be gone. `row` is what a look has shown of it and no write has changed since. `chosen`
    is what the last write sent; `replaced` what the CRM was seen to hold in its place.
    """

    def __init__(
        self,
        line: Line,
        resource: ResourceConfig,
        order: Delivery,
        numbering: Numbering,
        intent: Callable[[Json], None] | None = None,
    ) -> None:
        self.resource = resource
        self.order = order
        self.external_id = format_id(resource.id_format, order.name.id)
        self.link: Link = order.link
        self.known = order.delivered
        self.forgotten = False
        self.row: Row | None = None
        self.chosen = Choice()
        self.replaced: Mapping[str, Json] = {}
        self.proven_searches = line.crm.proven_searches
        self._line = line
        self._numbering = numbering
        self._config = line.crm.config
        self._intent = intent
        self._unlinked = False
        self._warnings: list[str] = []
        self._baseline: Mapping[str, str] | None = None

    # --- what can be done

    @property
    def base_url(self) -> str:
        """What the paths of all calls stand after."""
        return self._config.base_url

    @property
    def can_search(self) -> bool:
        """There is a search, and an id to search for."""
        return self.resource.upsert.search is not None and bool(self.external_id)

    @property
    def can_look(self) -> bool:
        """There is a way to see what the CRM has."""
        return self.can_search or self.resource.read is not None

    @property
    def update_call(self) -> Call:
        """The call that changes a record that is there."""
        upsert = self.resource.upsert
        return _given(upsert.update or upsert.call)

    @property
    def create_call(self) -> Call:
        """The call that creates a record: for put, patch and post maybe the same one."""
        upsert = self.resource.upsert
        return _given(upsert.create or upsert.call)

    def can_name(self, call: Call) -> bool:
        """Whether all that the call says of its record is known."""
        return self._line.crm.named_by(call) <= self.placeholders().keys()

    # --- calls

    def create(self) -> Judgement:
        """Creates the record, or writes it not knowing whether it is there."""
        filled = self._creation()
        if isinstance(filled, Judgement):
            return filled
        self.chosen, self.row, self.replaced = choose_for_new(self.order), None, {}
        if self._intent and (filled.kind == "create" or filled.method == "POST"):
            self._intent(_payload(filled))
        return self._make(filled, self.create_call)

    def repeat_intended(self) -> Judgement:
        """The very call that `intent` was told of, with its number and so with its key."""
        filled, said = self._creation(), self.order.intended
        if isinstance(filled, Judgement):
            return filled
        body = said["body"].encode()
        again = replace(filled, method=said["method"], path=said["path"], body=body)
        return self._make(again, self.create_call)

    def intends_the_same(self) -> bool:
        """Whether a create would now be the call that `intent` was told of."""
        filled = self._creation()
        return isinstance(filled, Outgoing) and _payload(filled) == self.order.intended

    def write(
        self,
        kind: CallKind,
        call: Call,
        choice: Choice,
        *,
        whole: bool,
        headers: Mapping[str, Json] = _NOTHING,
    ) -> Judgement:
        """Sends what was chosen. The external id goes along in a `whole` write and where the call
        does not name its record otherwise."""
        filled = self._filled(kind, call, headers, self.external_id, choice, whole)
        if isinstance(filled, Judgement):
            return filled
        self.chosen, self.row = choice, None
        return self._make(filled, call)

    def ask(
        self,
        kind: CallKind,
        call: Call,
        *,
        headers: Mapping[str, Json] = _NOTHING,
        external_id: str | None = None,
        turned: Callable[[Outgoing], Outgoing] | None = None,
    ) -> Judgement:
        """Any call that sends no fields. `external_id` is another one to search for; `turned`
        makes another page's call of it."""
        about = self.external_id if external_id is None else external_id
        filled = self._filled(kind, call, headers, about)
        if isinstance(filled, Judgement):
            return filled
        return self._make(turned(filled) if turned else filled, call)

    def _creation(self) -> Outgoing | Judgement:
        call = self.create_call
        kind: CallKind = "upsert" if call is self.resource.upsert.call else "create"
        return self._filled(kind, call, _NOTHING, self.external_id, choose_for_new(self.order))

    def _filled(
        self,
        kind: CallKind,
        call: Call,
        headers: Mapping[str, Json],
        external_id: str,
        choice: Choice | None = None,
        whole: bool = True,
    ) -> Outgoing | Judgement:
        """The call as it goes out; a refusal where it cannot be filled in for this record."""
        values = self.placeholders(external_id)
        with_id = whole or not self._line.crm.named_by(call)
        etag, etag_as = headers.get("If-Match"), self.resource.etag_as
        added: tuple[Place, Json] | None = None
        if etag is not None and etag_as.field and choice is not None:
            headers, added = _NOTHING, (etag_as.field, etag)
        elif etag is not None and etag_as.query:
            headers = _NOTHING
            call = replace(call, query={**call.query, etag_as.query: etag})
        try:
            if choice is not None:
                values["fields"] = write_fields(
                    self.resource,
                    choice.values,
                    values,
                    as_read=choice.as_read,
                    creating=kind == "create",
                    with_id=with_id,
                    added=added,
                )
            said = {name: text(value) for name, value in headers.items()}
            return fill_in(kind, call, self._config.base_url, values, self._config.headers, said)
        except (CannotPlace, CannotRender) as error:
            return Judgement("refused", str(error))

    def placeholders(self, external_id: str | None = None) -> dict[str, Json]:
        """What the placeholders stand for; no `crm_id` while it is not known."""
        about = self.external_id if external_id is None else external_id
        values: dict[str, Json] = {"external_id": about, "resource": self.resource.name}
        if self.resource.crm_id is None:
            values["crm_id"] = about
        elif self.link is not None:
            values["crm_id"] = self.link
        return values

    def wait(self, share: float) -> None:
        """Lets the CRM's index catch up: sleeps for a share of `search_lag`."""
        turns.sleep(share * self._config.search_lag)

    def _make(self, outgoing: Outgoing, call: Call) -> Judgement:
        judgement = self._line.call(outgoing, self._case(outgoing.kind, call))
        if judgement.meaning == "done" and outgoing.kind in ("create", "update", "upsert"):
            self._keep_link(outgoing, judgement)
        return judgement

    def _case(self, kind: CallKind, call: Call) -> Case:
        upsert = self.resource.upsert
        # A create that meets a known record is what create_then_update is made of.
        meets = upsert.strategy == "create_then_update" and kind == "create"
        return Case(
            call=kind,
            resource=self.resource,
            external_id=self.external_id,
            delivered=self.known,
            one_call=call is upsert.call,
            can_look=self.can_look or meets,
            can_search=self.can_search,
        )

    def _keep_link(self, outgoing: Outgoing, judgement: Judgement) -> None:
        """Every answer to a write refreshes the link; that to a create may tell it in a header."""
        if self.resource.crm_id is None:
            return
        found = extract.find_id(self.resource.crm_id, judgement.data)
        if found is None and outgoing.kind != "update" and isinstance(judgement.result, Answer):
            calls = (self.update_call, self.resource.read, self.resource.delete)
            found = id_in_location(
                judgement.result.headers,
                outgoing.base + outgoing.path,
                self.base_url,
                [call for call in calls if call],
                self.placeholders(),
            )
            # An address by our own id: a search, where there is one, tells the CRM's.
            found = None if self.can_search and str(found) == self.external_id else found
        self.link = self.link if found is None else found

    # --- what becomes known

    def adopt(self, row: Row | None) -> None:
        """A look has shown the record, or that it is not there."""
        self.row = row
        self.known = row is not None
        if row:
            self.meet(row.link)

    def meet(self, link: Link) -> None:
        """The record is there. One that was not delivered to this row gets all fields."""
        self.known = True
        if not self.order.delivered or (link is not None and str(link) != str(self.order.link)):
            self.send_everything()
        if link is not None:
            self.link = link

    def forget(self) -> None:
        """The record is not there any more: its link leads nowhere."""
        self.known, self.row, self.forgotten = False, None, True
        self._unlinked = self.link is not None
        self.link = None
        self.send_everything()

    def send_everything(self) -> None:
        """From now on every field counts as changed."""
        self.order = replace(self.order, changed=frozenset(self.order.fields))

    def keep_baseline(self, baseline: Mapping[str, str]) -> None:
        """What the CRM holds after the delivery in fields that people may edit."""
        self._baseline = baseline

    def warn(self, text: str) -> None:
        """Something a person should know of a record that is delivered all the same."""
        if text not in self._warnings:
            self._warnings.append(text)

    # --- the end

    def _sent(self) -> frozenset[str]:
        """The fields of ours that the last write held; what was given back is not ours."""
        chosen = self.chosen.values
        if chosen is self.order.fields and not self.chosen.sets:
            return frozenset(chosen)
        ours = {**self.order.fields, **self.chosen.sets}
        return frozenset(name for name in chosen.keys() & ours.keys() if chosen[name] == ours[name])

    def done(self) -> Outcome:
        """The CRM is as it should be."""
        return self.end(Judgement("done", ""))

    def refused(self, reason: str, judgement: Judgement | None = None) -> Outcome:
        """A dead letter, for a reason of our own and with the answer that led to it."""
        return self.end(Judgement("refused", reason, judgement.result if judgement else None))

    def end(self, judgement: Judgement) -> Outcome:
        """What the last call's meaning makes of the delivery."""
        done = judgement.meaning == "done"
        return outcome(
            judgement,
            self._line,
            self._numbering.number,
            link=self.link,
            unknown=self._numbering.in_doubt,
            unheard=self._numbering.unheard,
            warnings=tuple(map(self._line.mask.text, self._warnings)),
            unlinked=self._unlinked and self.link is None,
            baseline=self._baseline,
            withheld=self.chosen.withheld if done else {},
            sets=self.chosen.sets if done else {},
            sent=self._sent() if done else frozenset(),
            replaced=self.replaced if done else {},
        )


def outcome(judgement: Judgement, line: Line, number: int, **more: Any) -> Outcome:
    """What a judgement makes of the calls of a line, secrets masked; `more` is known besides."""
    meaning = _MEANINGS.get(judgement.meaning, "refused")
    answered = meaning != "done" and isinstance(judgement.result, Answer)
    return Outcome(
        meaning=meaning,
        number=number,
        status=judgement.status,
        reason=line.mask.text(judgement.reason),
        answer=line.mask.answer(judgement.data) if answered else None,
        retry_after=judgement.retry_after,
        calls=tuple(line.calls),
        **more,
    )


def _payload(outgoing: Outgoing) -> Json:
    """What must be known of a create to make it again exactly."""
    body = (outgoing.body or b"").decode()
    return {"method": outgoing.method, "path": outgoing.path, "body": body}


def _given(call: Call | None) -> Call:
    if call is None:
        raise ValueError("the resource has no call to write with")
    return call
