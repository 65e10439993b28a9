"""How a record gets into the CRM and out of it: one function for each strategy (contract 1).

Each makes calls in a conversation and says how the delivery ends. None loops for longer than a few
calls: what takes longer is another delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connector.config.model import Call
from connector.model import Outcome
from connector.targets.answers import Judgement
from connector.targets.conversation import Conversation

Strategy = Callable[[Conversation], Outcome]


def upsert_in_one_call(talk: Conversation) -> Outcome:
    """put, patch, post: one call creates or updates."""
    upsert = talk.resource.upsert
    call = upsert.call
    if call is None:
        return talk.refused(f"the strategy {upsert.strategy} has no call")
    if upsert.create and not talk.delivery.delivered:
        return talk.end(talk.write("create", upsert.create))
    judgement = talk.write("update" if talk.delivery.delivered else "upsert", call)
    if judgement.meaning == "gone":
        return _gone(talk, judgement, upsert.create or call)
    return talk.end(judgement)


def delete(talk: Conversation) -> Outcome:
    """One call; a record that is not there is done."""
    call = talk.resource.delete
    if not talk.can_name(call):
        if talk.delivery.delivered:
            return talk.refused("the CRM never told its id of this record: delete it by hand")
        talk.warn("never linked, so nothing was deleted; an interrupted create may have left a row")
        return talk.done()
    judgement = talk.ask("delete", call)
    return talk.done() if judgement.meaning == "gone" else talk.end(judgement)


def _gone(talk: Conversation, judgement: Judgement, create: Call) -> Outcome:
    """The record was there and is not any more: `gone:` says what happens."""
    if talk.resource.gone == "ignore":
        return talk.done()
    if talk.resource.gone == "dead":
        return talk.refused(f"gone: {judgement.reason}", judgement)
    talk.link = None
    one_call = create is talk.resource.upsert.call
    again = talk.write("upsert" if one_call else "create", create, everything=True)
    return talk.end(again)


STRATEGIES: Mapping[str, Strategy] = {
    "put": upsert_in_one_call,
    "patch": upsert_in_one_call,
    "post": upsert_in_one_call,
}
