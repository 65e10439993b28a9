"""Reading a record back after a write: what the CRM did not keep, what people may edit from now.

A CRM may answer 2xx and drop an unknown field, cut a long text or change its line breaks. What
differs is a warning; the delivery is done all the same, also when reading back fails.
"""

from __future__ import annotations

from connector.model import Json
from connector.targets.answers import Judgement
from connector.targets.conversation import Conversation
from connector.targets.fields import form
from connector.targets.lookup import view
from connector.targets.policies import holds, is_shaped, mark, same

_SHOWN = 40


def read_back(talk: Conversation) -> None:
    """Reads where `verify: [read]` or a field that people may edit asks for it."""
    edited = [name for name, policy in talk.order.write.items() if policy == "unless_edited"]
    sent = talk.chosen.values
    verify = "read" in talk.resource.verify
    if not talk.can_look or not sent or not (verify or edited):
        return
    row = view(talk)
    if row is None or isinstance(row, Judgement):
        talk.warn(f"could not be read back: {row.reason if row else 'it is not found yet'}")
        return
    if verify:
        _compare(talk, row.record)
    # A field that was withheld keeps the old mark: else the edit would pass for ours next time.
    written = {name: holds(talk.resource, name, row.record) for name in edited if name in sent}
    marks = {name: mark(talk.resource, name, held) for name, held in written.items()}
    talk.keep_baseline({**talk.order.baseline, **marks})


def _compare(talk: Conversation, record: Json) -> None:
    for name, sent in sorted(talk.chosen.values.items()):
        held = holds(talk.resource, name, record)
        if is_shaped(talk.resource.fields.get(name)):
            sent = form(talk.resource, name, sent, talk.placeholders())
        if not same(talk.resource, name, sent, held):
            talk.warn(f"the CRM did not keep {name}: sent {_shown(sent)}, holds {_shown(held)}")


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
