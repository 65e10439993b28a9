"""One record's delivery: its calls filled in, made and turned into an outcome.

Knows the record, its resource and what the placeholders stand for; decides nothing. Which calls are
made, and what follows from their meaning, is for `strategies`; `line` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from connector.config.model import Call, ResourceConfig
from connector.model import Delivery, Json, Meaning, Outcome
from connector.targets import extract
from connector.targets.answers import CallKind, Case, Judgement, Verdict
from connector.targets.calls import fill_in
from connector.targets.fields import write_fields
from connector.targets.http import Answer
from connector.targets.idempotency import Numbering
from connector.targets.ids import format_id
from connector.targets.line import Line
from connector.targets.placement import CannotPlace
from connector.targets.template import CannotRender, names_in

Link = str | int | None

_MEANINGS: Mapping[Verdict, Meaning] = {
    "done": "done",
    "credentials": "credentials",
    "not_now": "not_now",
    "fault": "fault",
    "misled": "misled",
}
"""Whatever is left at the end and is none of these is a refusal of this record."""

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_ADDRESS = frozenset({"external_id", "crm_id"})


class Conversation:
    """What is said about one record, and what is known of it so far."""

    def __init__(
        self, line: Line, resource: ResourceConfig, delivery: Delivery, numbering: Numbering
    ) -> None:
        self.resource = resource
        self.delivery = delivery
        self.link: Link = delivery.link
        self.warnings: list[str] = []
        self.external_id = format_id(resource.id_format, delivery.name.id)
        self._line = line
        self._numbering = numbering
        self._config = line.crm.config

    # --- calls

    def write(
        self,
        kind: CallKind,
        call: Call,
        *,
        everything: bool = False,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Judgement:
        """A create, update or upsert. It sends the changed fields where the resource and the
        record allow it; `everything` sends all."""
        creating = kind == "create"
        whole = everything or kind != "update" or self.resource.send == "all"
        fields = self.delivery.fields
        if not whole:
            fields = {name: fields[name] for name in fields if name in self.delivery.changed}
        try:
            placed = write_fields(
                self.resource,
                fields,
                self._values(),
                creating=creating,
                with_id=whole or not _names_its_record(call),
            )
        except (CannotPlace, CannotRender) as error:
            return Judgement("refused", str(error))
        return self.ask(kind, call, fields=placed, headers=headers)

    def ask(
        self,
        kind: CallKind,
        call: Call,
        *,
        fields: Mapping[str, Json] | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> Judgement:
        """Any call of the resource. One that cannot be filled in for this record is refused."""
        values = self._values() if fields is None else {**self._values(), "fields": fields}
        try:
            outgoing = fill_in(
                kind, call, self._config.base_url, values, self._config.headers, headers
            )
        except CannotRender as error:
            return Judgement("refused", str(error))
        judgement = self._line.call(outgoing, self._case(kind, call))
        if judgement.meaning == "done" and kind in ("create", "update", "upsert"):
            self._keep_link(judgement.data)
        return judgement

    def _case(self, kind: CallKind, call: Call) -> Case:
        upsert = self.resource.upsert
        return Case(
            call=kind,
            resource=self.resource,
            external_id=self.external_id,
            delivered=self.delivery.delivered,
            one_call=call is upsert.call,
            can_look=bool(upsert.search or self.resource.read),
            can_search=bool(upsert.search),
        )

    def _values(self) -> dict[str, Json]:
        """What the placeholders stand for; no `crm_id` while it is not known."""
        values: dict[str, Json] = {
            "external_id": self.external_id,
            "resource": self.resource.name,
        }
        if self.resource.crm_id is None:
            values["crm_id"] = self.external_id
        elif self.link is not None:
            values["crm_id"] = self.link
        return values

    def _keep_link(self, answer: Json) -> None:
        """Every answer to a write refreshes the link."""
        if self.resource.crm_id:
            found = extract.find_id(self.resource.crm_id, answer)
            self.link = self.link if found is None else found

    def can_name(self, call: Call) -> bool:
        """Whether all that the call's address asks for is known of the record."""
        return _names(call) & _ADDRESS <= self._values().keys()

    def warn(self, text: str) -> None:
        """Something a person should know of a record that is delivered all the same."""
        self.warnings.append(text)

    # --- the end

    def done(self) -> Outcome:
        """The CRM is as it should be."""
        return self.end(Judgement("done", ""))

    def refused(self, reason: str, judgement: Judgement | None = None) -> Outcome:
        """A dead letter, for a reason of our own and with the answer that led to it."""
        result = judgement.result if judgement else None
        return self.end(Judgement("refused", reason, result))

    def end(self, judgement: Judgement) -> Outcome:
        """What the last call's meaning makes of the delivery."""
        return replace(
            outcome(judgement, self._line, self._numbering.number),
            link=self.link,
            unknown=self._numbering.in_doubt,
            warnings=tuple(self.warnings),
        )


def outcome(judgement: Judgement, line: Line, number: int) -> Outcome:
    """What a judgement makes of the calls of a line, secrets masked."""
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
    )


def _names_its_record(call: Call) -> bool:
    """Whether the call says outside of its fields which record it means."""
    return not _ADDRESS.isdisjoint(_names(call))


def _names(call: Call) -> frozenset[str]:
    return names_in([call.path, call.query, call.headers, call.body])
