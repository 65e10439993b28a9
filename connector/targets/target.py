"""A CRM: delivers one record at a time and says what became of it.

Thread-safe; keeps connections in the `Http` it is given, and in memory only what makes calls
cheaper (tokens, which call last worked). No Redis, no retries beyond a blip, no limits: those are
for whoever calls.
"""

from __future__ import annotations

from collections.abc import Callable

from connector.config.model import TargetConfig
from connector.model import Delivery, Outcome
from connector.targets.auth import open_credentials
from connector.targets.conversation import Conversation, outcome
from connector.targets.http import Http
from connector.targets.idempotency import Numbering
from connector.targets.ids import format_id
from connector.targets.line import Crm, Line
from connector.targets.masking import Mask, secrets_of
from connector.targets.strategies import STRATEGIES, delete


class Target:
    """One entry under `targets:`."""

    def __init__(self, config: TargetConfig) -> None:
        self.config = config
        self._crm = Crm(config, open_credentials(config.auth), Mask(secrets_of(config)))

    def external_id(self, resource: str, record: str) -> str:
        """A record's external id as the CRM sees it (`id_format`): what references carry where
        the resource has no `crm_id`."""
        return format_id(self.config.resource(resource).id_format, record)

    def deliver(self, delivery: Delivery, http: Http, before_call: Callable[[], None]) -> Outcome:
        """Brings one record in the CRM up to date.

        `before_call` runs before every HTTP try, within whose time (`timeout`, in seconds) it may
        rely on not being needed again; what it raises comes out. Nothing else raises for what the
        CRM does.
        """
        resource = self.config.resource(delivery.name.resource)
        numbering = Numbering(delivery.name, delivery.number)
        line = Line(self._crm, http, before_call, numbering)
        talk = Conversation(line, resource, delivery, numbering)
        if delivery.action == "delete":
            return delete(talk)
        return STRATEGIES[resource.upsert.strategy](talk)

    def check(self, http: Http, before_call: Callable[[], None]) -> Outcome | None:
        """Makes the target's `check:` call, a probe that only credentials or an outage can
        refuse; None where none is configured."""
        line = Line(self._crm, http, before_call)
        judgement = line.check()
        if judgement is None:
            return None
        return outcome(judgement, line, number=0)
