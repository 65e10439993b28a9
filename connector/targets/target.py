"""A CRM: delivers one record at a time and says what became of it.

Thread-safe; keeps connections in the `Http` it is given, and in memory only what makes calls
cheaper (tokens, which call last worked). No Redis, no retries beyond a blip, no limits: those are
for whoever calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from connector.config.model import TargetConfig
from connector.model import Delivery, Json, Outcome
from connector.targets.auth import open_credentials
from connector.targets.batches import Ride, may_ride
from connector.targets.conversation import Conversation, outcome
from connector.targets.http import Http
from connector.targets.idempotency import Numbering
from connector.targets.ids import format_id
from connector.targets.line import Crm, Line
from connector.targets.masking import Mask, secrets_of
from connector.targets.routes import routes_of
from connector.targets.strategies import STRATEGIES, delete
from connector.targets.tokens import FETCHED, MemoryTokens, TokenStore


class Target:
    """One entry under `targets:`. `tokens` is where fetched tokens are kept: in this process,
    unless a store is given that workers share."""

    def __init__(self, config: TargetConfig, tokens: TokenStore | None = None) -> None:
        self.config = config
        fetched = FETCHED.get(config.auth.type)
        credentials = (
            fetched(config, config.auth, tokens or MemoryTokens())
            if fetched
            else open_credentials(config.auth)
        )
        self._crm = Crm(config, credentials, Mask(secrets_of(config)), routes_of(config))

    def external_id(self, resource: str, record: str) -> str:
        """A record's external id as the CRM sees it (`id_format`): what references carry where
        the resource has no `crm_id`."""
        return format_id(self.config.resource(resource).id_format, record)

    def deliver(
        self,
        delivery: Delivery,
        http: Http,
        before_call: Callable[[], None],
        intent: Callable[[Json], None] | None = None,
        numbered: Callable[[int, str], None] | None = None,
    ) -> Outcome:
        """Brings one record in the CRM up to date. A plain delivery will do for an `Delivery`.

        `before_call` runs before every HTTP try, so that a lease can be made to outlast it
        (`timeout` seconds). `intent` is told of every create just before it is made, so that it
        can be written down; what it was told comes back as `Delivery.intended` should nobody know
        what became of that create. `numbered` is told of a call's number and mark before it is
        made, while it is not known what became of an earlier one: they come back as
        `Delivery.number` and `Delivery.unheard`. What these raise comes out. Nothing else is
        raised, whatever the CRM does.
        """
        talk = self.converse(delivery, http, before_call, intent, numbered)
        if delivery.action == "delete":
            return delete(talk)
        return STRATEGIES[talk.resource.upsert.strategy](talk)

    def rides(self, delivery: Delivery) -> bool:
        """Whether `deliver_batch` would send it along with others. Pure."""
        return may_ride(self.config.resource(delivery.name.resource), delivery)

    def deliver_batch(
        self,
        deliveries: Sequence[Delivery],
        http: Http,
        before_call: Callable[[], None],
        intent: Callable[[Delivery, Json], None] | None = None,
        numbered: Callable[[Delivery, int, str], None] | None = None,
    ) -> list[Outcome | None]:
        """Brings many records up to date: those that can in calls of `batch: size` records, the
        others one by one. The outcomes come in the order of the deliveries.

        As `deliver`, but that `before_call` is about all records that have no outcome yet, and
        `intent` and `numbered` say whose call it is. Once one of them raises LeaseLost nothing more
        is sent: records without an outcome then have None; what else they raise comes out. A call
        that carried many records stands in the `calls` of each of them, as the same object.
        """

        def alone(delivery: Delivery) -> Outcome:
            return self.deliver(
                delivery,
                http,
                before_call,
                intent and partial(intent, delivery),
                numbered and partial(numbered, delivery),
            )

        return Ride(self._crm, http, before_call, alone).deliver(deliveries)

    def converse(
        self,
        delivery: Delivery,
        http: Http,
        before_call: Callable[[], None],
        intent: Callable[[Json], None] | None = None,
        numbered: Callable[[int, str], None] | None = None,
    ) -> Conversation:
        """The conversation about a record, for whoever makes its calls one by one."""
        resource = self.config.resource(delivery.name.resource)
        numbering = Numbering(delivery, numbered)
        line = Line(self._crm, http, before_call, numbering)
        return Conversation(line, resource, delivery, numbering, intent)

    def check(self, http: Http, before_call: Callable[[], None]) -> Outcome | None:
        """Makes the target's `check:` call, a probe that only credentials or an outage can
        refuse; None where none is configured."""
        line = Line(self._crm, http, before_call)
        judgement = line.check()
        if judgement is None:
            return None
        return outcome(judgement, line, number=0)
