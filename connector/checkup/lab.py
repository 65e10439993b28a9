"""Where probes work: calls about scratch records, made as the connector makes them.

A probe asks the lab for a conversation about a scratch record and makes its calls one by one. The
configuration in force (`configured`) is what findings are judged by; `resource` is what the calls
are made with: the same, but for what earlier probes found to be needed, so that the later ones can
go on. Looking may use a `read:` that was found out and is not configured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from connector.checkup.ear import Ear
from connector.checkup.finding import Left
from connector.checkup.scratch import IdKind, Ledger, new_id
from connector.checkup.trail import Trace, Trail
from connector.config.model import WHOLE, Call, ResourceConfig, TargetConfig
from connector.model import Delivery, Json, Name, Outcome
from connector.targets import extract, lookup
from connector.targets.answers import Judgement
from connector.targets.conversation import Conversation, Link, Row
from connector.targets.masking import Mask, secrets_of
from connector.targets.policies import Choice, holds, same
from connector.targets.target import Target
from connector.targets.tokens import MemoryTokens, TokenStore

FIND_WITHIN = 30.0
"""Seconds that a search is waited for."""


STILL_SHOWN = "the CRM says that it is deleted and still shows it"

_LATE = 1.5  # seconds
_WAITS = (0.3, 0.7, 1.5)  # seconds before a create is tried again
_UNLINKED: list[Link] = [None]


class Stop(Exception):
    """No further probe can find anything out. `ran` False: nothing was found out at all."""

    def __init__(self, why: str, *, ran: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.ran = ran


class Skip(Exception):
    """One probe cannot be made, for the reason that is said; others can."""


class Lab:
    """One resource of one target, with values for a scratch record of it. `tokens` is where fetched
    tokens are kept: best where the workers keep them, for some may be used but once."""

    def __init__(
        self,
        config: TargetConfig,
        resource: str,
        fields: Mapping[str, Json],
        id_kind: IdKind,
        free_text: str | None = None,
        tokens: TokenStore | None = None,
        find_within: float = FIND_WITHIN,
        trail: Trail | None = None,
    ) -> None:
        self.name = resource
        self.fields = fields
        self.id_kind: IdKind = id_kind
        self.free_text = free_text
        self.find_within = find_within
        self.configured = config.resource(resource)
        self.http = Ear(config.rate_limit)
        self.trail = trail
        self.ledger = Ledger(self._note, self._gone)
        self.main: str | None = None
        """The scratch record that stays for several probes; None where there is none."""
        self.kept: Mapping[str, Json] = {}
        """What of the scratch record's fields came back as it was sent."""
        self.created_silently = False
        """Whether the answer to the create was empty: nothing in it says that there is a row."""
        self.updates = True
        """Whether an update of the scratch record is taken at all."""
        self._numbers = count(1)
        self._tokens = tokens or MemoryTokens()
        self._target = Target(config, self._tokens)
        self._looking = self._target

    @property
    def config(self) -> TargetConfig:
        """The target, with what earlier probes found to be needed."""
        return self._target.config

    @property
    def resource(self) -> ResourceConfig:
        """The resource, likewise."""
        return self.config.resource(self.name)

    @property
    def can_look(self) -> bool:
        """Whether there is a way to see what the CRM has."""
        resource = self._looking.config.resource(self.name)
        return resource.read is not None or resource.upsert.search is not None

    def adapt(self, **changes: Any) -> None:
        """From now on calls are made as if the resource said so."""
        self._target = self._with(self._target, changes)
        self._looking = self._with(self._looking, changes)

    def adapt_headers(self, headers: Mapping[str, str]) -> None:
        """From now on every call carries these headers, too."""
        self._target, self._looking = (
            Target(replace(t.config, headers={**t.config.headers, **headers}), self._tokens)
            for t in (self._target, self._looking)
        )

    def as_now(self) -> tuple[Target, Target]:
        """How calls are made now, for `put_back`."""
        return self._target, self._looking

    def put_back(self, state: tuple[Target, Target]) -> None:
        """Forgets what was adapted since then."""
        self._target, self._looking = state

    def read_by(self, call: Call) -> None:
        """From now on records are looked at with this call."""
        self._looking = self._with(self._looking, {"read": call})

    def variant(self, **changes: Any) -> Target:
        """A target whose resource says something else, for one question."""
        return self._with(self._target, changes)

    def target(self) -> Target:
        """The target as calls are made to it."""
        return self._target

    def masked(self, text: str) -> str:
        """A text that may be shown."""
        return self._mask().text(text)

    def masked_json(self, data: Mapping[str, Json]) -> dict[str, Json]:
        """Data that may be shown."""
        return {key: self._mask().json(value) for key, value in data.items()}

    def _mask(self) -> Mask:
        return Mask({*secrets_of(self.config), *self.http.secrets})

    def of(self, resource: str) -> Lab:
        """A lab for another resource, to take records away; its calls are heard here."""
        other = Lab(self.config, resource, {}, "text", tokens=self._tokens)
        other.http = self.http
        return other

    def said(self, judgement: Judgement) -> str:
        """What was answered, in a few words."""
        status = judgement.status
        if status is not None and status < 300 and judgement.meaning == "done":
            return f"answered {status}"
        return self.masked(judgement.reason or judgement.meaning)

    # --- conversations

    def talk(
        self,
        scratch_id: str,
        *,
        delivered: bool = False,
        number: int | None = None,
        link: Link = None,
        target: Target | None = None,
        fields: Mapping[str, Json] | None = None,
    ) -> Conversation:
        """A conversation about a scratch record; `link` is by default what is known of it.

        Without a `number` its calls have keys that no other call of the run has: what a CRM that
        honours keys would repeat is no finding.
        """
        given = self.fields if fields is None else fields
        order = Delivery(
            name=Name(self._target.config.name, self.name, scratch_id),
            action="upsert",
            fields=given,
            changed=frozenset(given),
            link=link if link is not None else self.ledger.link(scratch_id),
            delivered=delivered,
            number=next(self._numbers) if number is None else number,
        )
        return (target or self._target).converse(order, self.http, _nothing)

    def new_id(self) -> str:
        """A scratch id that the CRM does not know. Raises Stop where it knows every one."""
        for _ in range(3):
            scratch_id = new_id(self.id_kind)
            if not isinstance(self.look(scratch_id), Row):
                return scratch_id
        raise Stop("the CRM says that it has rows of made-up ids: its search or read is wrong")

    def create(
        self,
        scratch_id: str,
        *,
        number: int | None = None,
        fields: Mapping[str, Json] | None = None,
    ) -> Judgement:
        """Creates a row, written down beforehand."""
        self.ledger.may_exist(scratch_id)
        talk = self.talk(scratch_id, number=number, fields=fields)
        talk.link = None
        judgement = talk.create()
        if not judgement.unknown:
            self.ledger.answered(scratch_id)
        if judgement.meaning == "done":
            self.ledger.made(scratch_id, talk.link)
        elif judgement.definite and judgement.status is not None and judgement.status < 500:
            self.ledger.refused(scratch_id)
        return judgement

    def create_patiently(self, scratch_id: str) -> Judgement:
        """As `create`, but an outage or a fault that passes is waited out: what such a call may
        have written is taken away before it is made again."""
        for wait in _WAITS:
            judgement = self.create(scratch_id)
            if judgement.meaning not in ("not_now", "fault"):
                return judgement
            time.sleep(wait)
            written = judgement.unknown or judgement.meaning == "fault"
            if written and list(self.remove(scratch_id)):
                return judgement
        return self.create(scratch_id)

    def update(
        self,
        scratch_id: str,
        values: Mapping[str, Json],
        *,
        target: Target | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Judgement:
        """Changes fields of a row; where a write replaces, all others are sent along."""
        talk = self.talk(scratch_id, delivered=True, target=target)
        whole = talk.resource.send == "all"
        sent = {**self.fields, **values} if whole else values
        if headers is None:
            headers = self.if_match(scratch_id)
        return talk.write("update", talk.update_call, Choice(sent), whole=whole, headers=headers)

    def deliver(self, scratch_id: str, fields: Mapping[str, Json]) -> Outcome:
        """A whole delivery of a record of which nothing is known, as after a loss of Redis."""
        order = Delivery(
            name=Name(self.config.name, self.name, scratch_id),
            action="upsert",
            fields=fields,
            changed=frozenset(fields),
            link=None,
            delivered=False,
            number=next(self._numbers),
        )
        outcome = self._target.deliver(order, self.http, _nothing)
        if outcome.link is not None:
            self.ledger.exists(scratch_id, outcome.link)
        return outcome

    def deliver_together(self, scratch_ids: Sequence[str]) -> list[Outcome | None]:
        """Deliveries of new records that wait for each other, as workers gather them."""
        orders = []
        for scratch_id in scratch_ids:
            self.ledger.may_exist(scratch_id)
            name = Name(self.config.name, self.name, scratch_id)
            orders.append(
                Delivery(name, "upsert", self.fields, frozenset(self.fields), None, False, 0)
            )
        outcomes = self._target.deliver_batch(orders, self.http, _nothing)
        for scratch_id, outcome in zip(scratch_ids, outcomes, strict=True):
            if outcome is not None and outcome.meaning == "done":
                self.ledger.answered(scratch_id)
                self.ledger.made(scratch_id, outcome.link)
        return outcomes

    def delete(self, scratch_id: str) -> Judgement:
        """One call that deletes a row."""
        talk = self.talk(scratch_id, delivered=True)
        call = talk.resource.delete
        return talk.ask("delete", call, headers=self.if_match(scratch_id))

    def if_match(self, scratch_id: str) -> dict[str, str]:
        """The header that the resource's `etag:` asks for."""
        if self.resource.etag is None:
            return {}
        row = self.look(scratch_id)
        return {"If-Match": row.etag} if isinstance(row, Row) and row.etag else {}

    # --- looking

    def look(self, scratch_id: str) -> Row | Judgement | None:
        """The row as the CRM has it; None where it has none, or where nobody can look."""
        if not self.can_look:
            return None
        return lookup.view(self.talk(scratch_id, delivered=True, target=self._looking))

    def rows(self, scratch_id: str) -> tuple[Row, ...] | Judgement | None:
        """What the search finds; None without a search."""
        talk = self.talk(scratch_id)
        return lookup.search(talk) if talk.can_search else None

    def hits(self, text: str, *, call: Call | None = None) -> int | Judgement | None:
        """How many rows a search for this text has on its first page, equal ones or not."""
        talk = self.talk(text)
        search = call or self.resource.upsert.search
        if search is None:
            return None
        judgement = talk.ask("search", search, external_id=text)
        if judgement.meaning != "done":
            return 0 if judgement.meaning == "gone" else judgement
        found = extract.find(search.found or WHOLE, judgement.data)
        return len(found) if isinstance(found, list) else 0

    def seen(self, scratch_id: str, test: Callable[[Row], bool]) -> tuple[bool, Row | None]:
        """Whether the row passes the test before long: a search may show what was, for a while."""
        until = time.monotonic() + self._patience()
        while True:
            row = self.look(scratch_id)
            if isinstance(row, Row) and test(row):
                return True, row
            if time.monotonic() >= until:
                return False, row if isinstance(row, Row) else None
            time.sleep(0.2)

    def appears(self, scratch_id: str) -> bool:
        """Whether the row is there, given time; True where nobody can look."""
        return not self.can_look or self.seen(scratch_id, lambda _: True)[0]

    def disappears(self, scratch_id: str) -> bool:
        """Whether the row is not there any more, given time; True where nobody can look."""
        until = time.monotonic() + self._patience()
        while isinstance(self.look(scratch_id), Row):
            if time.monotonic() >= until:
                return False
            time.sleep(0.2)
        return True

    def holds(self, row: Row, field: str) -> Json:
        """What a row holds in a field."""
        return holds(self.resource, field, row.record)

    def kept_as(self, row: Row, field: str, value: Json) -> bool:
        """Whether a row holds the value in a field, as the connector compares."""
        return same(self.resource, field, value, self.holds(row, field))

    # --- rows for a while

    def scratch(self, scratch_id: str | None = None) -> str:
        """A new scratch row. Raises Skip where it is refused."""
        made = scratch_id or self.new_id()
        judgement = self.create_patiently(made)
        if judgement.meaning != "done":
            raise Skip(f"another scratch record is refused: {self.said(judgement)}")
        self.find_link(made)
        return made

    def recall(self, scratch_id: str, link: Link) -> Left | None:
        """Takes a row into the ledger that another run wrote down; what cannot be known is left.

        The CRM may have given the id of a deleted row to another one since, so a link is believed
        only where the row under it shows our id.
        """
        if self.resource.crm_id is None or self.resource.upsert.search is not None:
            if link is None:
                self.ledger.may_exist(scratch_id)
            else:
                self.ledger.exists(scratch_id, None)
            return None
        if link is None:
            return None  # a create that was never answered: nobody can look for it
        row = lookup.view(self.talk(scratch_id, delivered=True, link=link))
        if row is None:
            return None
        own = self.resource.external_id
        if isinstance(row, Row) and own is not None:
            if extract.find_text(own.read, row.record) == self.talk(scratch_id).external_id:
                self.ledger.exists(scratch_id, link)
            return None
        why = "whether this row is still the scratch record cannot be seen: nothing was done"
        return Left(self.name, scratch_id, link, why)

    def find_link(self, scratch_id: str) -> None:
        """Finds out the CRM's own id where the create did not tell it."""
        if self.resource.crm_id is None or self.ledger.links(scratch_id) != [None]:
            return  # told already, or nothing was created
        until = time.monotonic() + self.find_within
        while time.monotonic() < until:
            rows = self.rows(scratch_id)
            if not isinstance(rows, tuple):
                return
            for row in rows:
                self.ledger.exists(scratch_id, row.link)
            if rows:
                return
            time.sleep(0.2)

    def remove(self, scratch_id: str) -> Iterator[Left]:
        """Takes every row of an id away, as the connector deletes; what could not be."""
        if self.ledger.is_doubtful(scratch_id):
            time.sleep(_LATE)  # what was cut off may be done yet
        for row in self._all_rows(scratch_id):
            self.ledger.exists(scratch_id, row.link)
        links = self.ledger.links(scratch_id)
        linked: list[Link] = [link for link in links if link is not None]
        why = ""
        for link in linked or _UNLINKED:
            why = self._remove(scratch_id, link) or why
        if not why and not self.disappears(scratch_id):
            why = STILL_SHOWN
        if not why or self.ledger.never_was(scratch_id):
            self.ledger.gone(scratch_id)
            return
        for link in linked or _UNLINKED:
            yield Left(self.name, scratch_id, link, why)

    def _remove(self, scratch_id: str, link: Link) -> str:
        """Why it could not be; empty for what is gone."""
        made = bool(self.ledger.links(scratch_id))
        order = Delivery(
            name=Name(self.config.name, self.name, scratch_id),
            action="delete",
            fields={},
            changed=frozenset(),
            link=link,
            delivered=made,
            number=next(self._numbers),
        )
        outcome = self._target.deliver(order, self.http, _nothing)
        if outcome.meaning != "done":
            return outcome.reason or outcome.meaning
        unsure = not made and link is None and self.resource.crm_id is not None
        return "; ".join(outcome.warnings) if unsure else ""

    def _all_rows(self, scratch_id: str) -> tuple[Row, ...]:
        """Every row of the id that a search finds, given the time that its index needs."""
        if not self.talk(scratch_id).can_search:
            return ()
        unsure = self.ledger.is_doubtful(scratch_id) or (
            self.resource.crm_id is not None and self.ledger.lacks_links(scratch_id)
        )
        until = time.monotonic() + (max(self.config.search_lag, 2.0) if unsure else 0.0)
        known = len([link for link in self.ledger.links(scratch_id) if link is not None])
        while True:
            rows = self.rows(scratch_id)
            if not isinstance(rows, tuple):
                return ()
            if len(rows) >= max(known, 1) or time.monotonic() >= until:
                return rows
            time.sleep(0.2)

    def _note(self, scratch_id: str, link: Link) -> None:
        if self.trail is not None:
            self.trail.note(Trace(self.name, scratch_id, link))

    def _gone(self, scratch_id: str) -> None:
        if self.trail is not None:
            self.trail.gone(self.name, scratch_id)

    def _patience(self) -> float:
        """Seconds that an index may need; reading by id needs none."""
        looking = self._looking.config.resource(self.name)
        return 0.0 if looking.read is not None else max(self.config.search_lag, 2.0)

    def _with(self, target: Target, changes: Mapping[str, Any]) -> Target:
        config = target.config
        changed = replace(config.resource(self.name), **changes)
        resources = {**config.resources, self.name: changed}
        return Target(replace(config, resources=resources), self._tokens)


def _nothing() -> None:
    """Nobody holds a lease here."""
