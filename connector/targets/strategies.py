"""How a record gets into the CRM and out of it: one function for each strategy.

Each makes calls in a conversation and says how the delivery ends. All share what happens around a
create and an update: conflicts, a record that is gone, people's edits, reading back. Nothing here
goes on for longer than a few calls: what takes longer is another delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from connector.model import Json, Outcome
from connector.targets import extract
from connector.targets.answers import Judgement
from connector.targets.conversation import Conversation, Row
from connector.targets.lookup import is_ours, prove_search, search, view
from connector.targets.policies import UNREAD, choose, needs_reading, replaced
from connector.targets.readback import read_back

Strategy = Callable[[Conversation], Outcome]

ROUNDS = 3
"""How often a record is looked at and written again while somebody else is faster."""

_LINK_WAITS = (0.0, 0.5, 1.0)
"""Shares of `search_lag` before each search for what a create did not tell the id of."""


# --- the strategies


def upsert_in_one_call(talk: Conversation) -> Outcome:
    """put, patch, post: one call creates or updates; with `create:`, another one creates."""
    if end := _resolve_doubt(talk) or _find_link(talk):
        return end
    return _update(talk) if talk.known else _create(talk)


def search_then_write(talk: Conversation) -> Outcome:
    """Searches once per record and keeps the link; then creates or updates."""
    if not (talk.known and talk.can_name(talk.update_call)) and (stop := _find(talk)):
        return talk.end(stop)
    return _update(talk) if talk.known else _create(talk)


def create_then_update(talk: Conversation) -> Outcome:
    """Creates; where that meets a known record, updates."""
    if end := _resolve_doubt(talk) or _find_link(talk):
        return end
    return _update(talk) if talk.known else _create(talk)


STRATEGIES: Mapping[str, Strategy] = {
    "put": upsert_in_one_call,
    "patch": upsert_in_one_call,
    "post": upsert_in_one_call,
    "search_then_write": search_then_write,
    "create_then_update": create_then_update,
}


def delete(talk: Conversation) -> Outcome:
    """Deletes; a record that is not there is done."""
    call = talk.resource.delete
    judgement = Judgement("refused", "the CRM's id of this record keeps changing")
    for _ in range(ROUNDS):
        if not talk.can_name(call) and (end := _find_to_delete(talk)):
            return end
        headers: dict[str, Json] = {}
        if _must_look_first(talk):
            row = _look(talk)
            if isinstance(row, Judgement):
                return talk.done() if row.status in (404, 410) else talk.end(row)
            if row is None or not (is_ours(talk, row.record) or talk.can_search):
                return talk.done()
            if not is_ours(talk, row.record):
                talk.forget()
                continue
            headers = _if_match(row)
        judgement = talk.ask("delete", call, headers=headers)
        if judgement.meaning == "gone":
            return talk.done()
        conflict = judgement.meaning == "conflict"
        if judgement.look or (conflict and talk.can_search):
            rows = search(talk)
            if not rows:
                return talk.done()
            if isinstance(rows, Judgement):
                return talk.end(rows)
        if not conflict or talk.resource.etag is None:
            break
        talk.row = None
    return talk.end(judgement)


# --- update


def _update(talk: Conversation) -> Outcome:
    judgement = _written(talk)
    if judgement.meaning == "gone":
        return _gone(talk, judgement)
    return _finish(talk, judgement)


def _written(talk: Conversation) -> Judgement:
    """Writes to a record that is there, looking at it first where that matters; `gone` when it is
    not there or the link leads to another record."""
    whole = talk.resource.send == "all"
    judgement = Judgement("refused", "")
    looking = _must_look_first(talk)
    for _ in range(ROUNDS):
        record, headers = UNREAD, {}
        if looking or (talk.can_look and needs_reading(talk.order, whole=whole)):
            row = _look(talk)
            if isinstance(row, Judgement):
                return row
            if row is None:
                return Judgement("gone", "it is not found any more")
            if not is_ours(talk, row.record):
                return Judgement("gone", f"the CRM's id {talk.link} is another record's now")
            record, headers = row.record, _if_match(row)
        choice = choose(talk.resource, talk.order, record, whole=whole)
        if choice.empty and not whole:
            talk.chosen = choice
            return Judgement("done", "")
        judgement = talk.write("update", talk.update_call, choice, whole=whole, headers=headers)
        talk.replaced = replaced(talk.resource, talk.order, choice, record)
        if judgement.look:
            return _gone_or(talk, judgement)
        if _made_anew(talk, judgement) and talk.order.changed < frozenset(talk.order.fields):
            talk.send_everything()
            continue
        if judgement.meaning != "conflict" or not talk.can_look:
            return _of_our_row(talk, judgement)
        looking = True
    return replace(judgement, meaning="refused", reason=_rounds(judgement))


def _made_anew(talk: Conversation, judgement: Judgement) -> bool:
    """A PATCH that says 201 has created the record (RFC 5789): somebody had deleted it."""
    created = judgement.meaning == "done" and judgement.status == 201
    return created and talk.order.delivered and talk.update_call.method == "PATCH"


def _must_look_first(talk: Conversation) -> bool:
    """The etag is wanted, or proof that the link still leads to our record: a search is one."""
    if talk.resource.etag is not None:
        return True
    return "link" in talk.resource.verify and talk.link is not None and talk.row is None


def _look(talk: Conversation) -> Row | Judgement | None:
    """What the CRM has: the hit of a search that was just made, where there is no `read:`."""
    return talk.row if talk.row and not talk.resource.read else view(talk)


def _if_match(row: Row) -> dict[str, Json]:
    return {} if row.etag is None else {"If-Match": row.etag}


def _gone_or(talk: Conversation, judgement: Judgement) -> Judgement:
    """A refusal that means gone if a look does not find the record any more."""
    row = view(talk)
    if isinstance(row, Judgement) and row.meaning != "refused":
        return row
    return replace(judgement, meaning="gone") if row is None else judgement


def _of_our_row(talk: Conversation, judgement: Judgement) -> Judgement:
    """The CRM may have given the id to another row after a delete: its answer shows it."""
    if judgement.meaning != "done" or talk.resource.crm_id is None:
        return judgement
    record_in = talk.resource.read.record if talk.resource.read else None
    inner = extract.find(record_in, judgement.data) if record_in else None
    if is_ours(talk, judgement.data) and is_ours(talk, inner):
        return judgement
    talk.warn(f"the CRM's id {talk.link} is another record's now, and that one was written to")
    return replace(judgement, meaning="gone", reason="the CRM's id is another record's now")


def _gone(talk: Conversation, judgement: Judgement) -> Outcome:
    """The record was there and is not any more: a search, then what `gone:` says."""
    if talk.can_search:
        link = talk.link
        if stop := _find(talk):
            return talk.end(stop)
        if talk.known and str(talk.link) != str(link):
            judgement = _written(talk)
            if judgement.meaning != "gone":
                return _finish(talk, judgement)
    if talk.forgotten:  # found to be gone once, created anew, and met again where it cannot be
        return talk.refused(f"gone again: {judgement.reason}", judgement)
    if talk.resource.gone == "ignore":
        return talk.done()
    if talk.resource.gone == "dead":
        return talk.refused(f"gone: {judgement.reason}", judgement)
    talk.forget()
    return _create(talk)


# --- create


def _create(talk: Conversation) -> Outcome:
    """Creates the record, or finds out that somebody was faster and updates it."""
    if stop := prove_search(talk):
        return talk.end(stop)
    judgement = Judgement("refused", "")
    for round_ in range(ROUNDS):
        if round_:
            talk.wait(1.0)
        judgement = talk.create()
        if judgement.meaning == "done":
            talk.known = True
            learn_link(talk)
            return _finish(talk, judgement)
        if judgement.meaning != "conflict" and not judgement.look:
            return talk.end(judgement)
        if stop := _meet(talk, judgement):
            return talk.end(stop)
        if talk.known:
            return _update(talk)
        if judgement.look:
            return talk.end(judgement)
    return talk.end(replace(judgement, meaning="refused", reason=_rounds(judgement)))


def _meet(talk: Conversation, conflict: Judgement) -> Judgement | None:
    """Finds the record that a create met. A judgement ends the delivery."""
    if talk.resource.upsert.strategy == "create_then_update" and conflict.meaning == "conflict":
        crm_id = talk.resource.crm_id
        link = extract.find_id(crm_id, conflict.data) if crm_id else None
        if link is not None or crm_id is None:
            talk.meet(link)
            return None
    if talk.can_search:
        return _find(talk)
    read = talk.resource.read
    if read is None:  # `answers:` calls it a conflict: whoever wrote that knows the record is there
        talk.meet(None)
    elif talk.can_name(read):
        row = view(talk)
        if isinstance(row, Judgement):
            return row
        talk.adopt(row)
    return None if talk.can_name(talk.update_call) else replace(conflict, meaning="refused")


def learn_link(talk: Conversation) -> None:
    """An answer to a create without an id: searched for, with backoff, for indexes lag."""
    if talk.resource.crm_id is None or talk.link is not None:
        return
    if not talk.can_search:
        talk.warn("the answer to the create holds no id under `crm_id:`")
        return
    for share in _LINK_WAITS:
        talk.wait(share)
        if _find(talk) is None and talk.link is not None:
            break
    else:
        talk.warn("created, but neither the answer nor the search tells the CRM's id")
    talk.known, talk.row = True, None


def _resolve_doubt(talk: Conversation) -> Outcome | None:
    """A create that nobody knows the fate of: searched for, or else repeated exactly as it was."""
    order = talk.order
    if not order.in_doubt or talk.known:
        return None
    if talk.can_search:
        stop = _find(talk)
        return talk.end(stop) if stop else None
    if order.intended is None:
        return None
    judgement = talk.repeat_intended()
    if judgement.meaning == "done" and talk.intends_the_same():
        talk.known = True
        learn_link(talk)
        return _finish(talk, judgement)
    if judgement.meaning in ("done", "conflict"):
        talk.known = talk.can_name(talk.update_call)
        return None
    return None if judgement.meaning == "refused" else talk.end(judgement)


def _find_link(talk: Conversation) -> Outcome | None:
    """A record that was delivered and whose own id in the CRM is not known."""
    if not talk.known or talk.can_name(talk.update_call):
        return None
    if not talk.can_search:
        return talk.refused("the CRM never told its id of this record, and there is no search")
    stop = _find(talk)
    return talk.end(stop) if stop else None


# --- what they share


def _find(talk: Conversation) -> Judgement | None:
    """Searches and takes what is found. A judgement ends the delivery."""
    rows = search(talk)
    if isinstance(rows, Judgement):
        return rows
    if len(rows) > 1 and talk.resource.several == "dead":
        return Judgement("refused", f"{len(rows)} records of the CRM have this id")
    talk.adopt(rows[-1 if talk.resource.several == "last" else 0] if rows else None)
    return None


def _find_to_delete(talk: Conversation) -> Outcome | None:
    """A record whose own id in the CRM is not known."""
    if talk.can_search:
        stop = _find(talk)
        if stop:
            return talk.end(stop)
        return None if talk.known else talk.done()
    if talk.order.delivered:
        return talk.refused("the CRM never told its id of this record: delete it by hand")
    talk.warn("never linked, so nothing was deleted; an interrupted create may have left a row")
    return talk.done()


def _finish(talk: Conversation, judgement: Judgement) -> Outcome:
    if judgement.meaning == "done":
        read_back(talk)
    return talk.end(judgement)


def _rounds(judgement: Judgement) -> str:
    return f"somebody else was faster {ROUNDS} times: {judgement.reason}"
