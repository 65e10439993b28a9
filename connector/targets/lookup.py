"""Looking at the CRM: searches by external id, and reading one record.

A search is believed only as far as it can be checked: every hit is compared for equality, pages are
followed as far as they go, an empty id is never searched for, and before a resource's first create
in a process a search for a random id must find nothing. What cannot be checked comes back as a
judgement that pauses the target.
"""

from __future__ import annotations

import random
import re
import uuid

from connector.config.model import WHOLE, Call, Expression, Paging
from connector.model import Json
from connector.targets import extract
from connector.targets.answers import Judgement
from connector.targets.conversation import Conversation, Link, Row
from connector.targets.http import Answer
from connector.targets.pages import Turn, following
from connector.targets.template import text

Rows = tuple[Row, ...]


def search(talk: Conversation) -> Rows | Judgement:
    """The rows that hold exactly our external id. A judgement where that could not be found out."""
    if talk.resource.upsert.search is None or not talk.external_id:
        return Judgement("refused", "a search needs `search:` and an external id")
    pages = _pages(talk, talk.resource.upsert.search)
    if isinstance(pages, Judgement):
        return pages
    hits, ours = pages
    if hits and not ours:
        talk.warn(f"the search found {hits} rows, none of them with this id")
    rows = tuple(Row(record, _link_of(talk, hit), _etag_in(talk, record)) for hit, record in ours)
    if talk.resource.crm_id and any(row.link is None for row in rows):
        return Judgement("misled", "search: a hit has no id of the CRM under `hit_id:`")
    return rows


def prove_search(talk: Conversation) -> Judgement | None:
    """Makes sure, once for each resource and process, that a search for a random id finds nothing.

    None when it is so; a CRM that refuses such an id finds nothing either.
    """
    resource, call = talk.order.name.resource, talk.resource.upsert.search
    if call is None or resource in talk.proven_searches:
        return None
    hits = _hits(talk, call, _random_like(talk.external_id))
    if isinstance(hits, Judgement) and hits.meaning != "refused":
        return hits
    if isinstance(hits, list) and hits:
        what = f"the search of {resource} finds {len(hits)} rows for an id that nobody has"
        return Judgement("misled", f"{what}: is its query right?")
    talk.proven_searches.add(resource)
    return None


def view(talk: Conversation) -> Row | Judgement | None:
    """The record as the CRM has it: by `read:`, else the search's hit; None when it is gone."""
    refusal: Judgement | None = None
    if talk.resource.read and talk.can_name(talk.resource.read):
        row = _read(talk, talk.resource.read)
        if not (isinstance(row, Judgement) and row.look and talk.can_search):
            return row
        refusal = row  # a row that is not there may be forbidden to read: a search tells
    rows = search(talk)
    if isinstance(rows, Judgement):
        return rows
    if talk.link is not None:
        rows = tuple(row for row in rows if str(row.link) == str(talk.link))
    return (refusal or rows[0]) if rows else None


def is_ours(talk: Conversation, record: Json) -> bool:
    """Whether a row has our external id, or shows none at all."""
    shown = _shown_id(talk, record)
    return shown is None or _equal(shown, talk.external_id)


def _read(talk: Conversation, call: Call) -> Row | Judgement | None:
    judgement = talk.ask("read", call)
    if judgement.meaning == "gone":
        return None
    if judgement.meaning != "done":
        return judgement
    record = extract.find(call.record or WHOLE, judgement.data)
    if not isinstance(record, dict):
        return Judgement("misled", "read: `record:` finds no record", judgement.result)
    etag = _etag_in(talk, record)
    if talk.resource.etag == "header" and isinstance(judgement.result, Answer):
        etag = judgement.result.headers.get("ETag")
    return Row(record, talk.link, etag)


def _pages(talk: Conversation, call: Call) -> tuple[int, list[tuple[Json, Json]]] | Judgement:
    """How many hits there are, and those that are ours with their records."""
    paging = call.paging or Paging()
    record_in = call.record or WHOLE
    ours: list[tuple[Json, Json]] = []
    turn: Turn | None = None
    before: list[Json] = []
    seen = 0
    for number in range(1, paging.pages + 1):
        judgement = talk.ask("search", call, turned=turn)
        if turn and judgement.status in (404, 410):
            return seen, ours  # how some say that there are no more pages
        hits = _hits_in(call, judgement)
        if isinstance(hits, Judgement):
            return hits
        if hits and hits == before:
            return Judgement("misled", f"search: page {number} is the one before it again")
        before, seen = hits, seen + len(hits)
        found = [(hit, extract.find(record_in, hit)) for hit in hits]
        ours += [(hit, record) for hit, record in found if _compares(talk, record)]
        if not hits or (ours and paging.way == "auto"):
            return seen, ours
        after = following(paging, call, talk.base_url, turn, judgement, number, seen, len(hits))
        if isinstance(after, Judgement):
            return (seen, ours) if ours else after
        if after is None:
            return seen, ours
        turn = after
    if ours:
        return seen, ours
    many = f"{seen} rows on {paging.pages} pages, none of them with this id, and there are more"
    return Judgement("misled", f"search: {many}: narrow it, or raise `pages`")


def _hits(talk: Conversation, call: Call, external_id: str) -> list[Json] | Judgement:
    """The hits on the first page."""
    return _hits_in(call, talk.ask("search", call, external_id=external_id))


def _hits_in(call: Call, judgement: Judgement) -> list[Json] | Judgement:
    if judgement.meaning == "gone" or (judgement.meaning == "done" and judgement.data is None):
        return []
    if judgement.meaning != "done":
        return judgement
    hits = extract.find(call.found or WHOLE, judgement.data)
    if not isinstance(hits, list):
        return Judgement("misled", "search: `found:` finds no list", judgement.result)
    return hits


def _compares(talk: Conversation, record: Json) -> bool:
    """Whether a hit is our record; where the id stands in no field there is nothing to compare."""
    if talk.resource.external_id is None:
        return True
    shown = _shown_id(talk, record)
    return shown is not None and _equal(shown, talk.external_id)


def _shown_id(talk: Conversation, record: Json) -> Json:
    rule = talk.resource.external_id
    return extract.find(rule.read, record) if rule else None


def _equal(shown: Json, external_id: str) -> bool:
    """As text, or as one of a list."""
    return external_id in map(text, shown if isinstance(shown, list) else [shown])


def _link_of(talk: Conversation, hit: Json) -> Link:
    return extract.find_id(talk.resource.hit_id, hit) if talk.resource.hit_id else None


def _etag_in(talk: Conversation, record: Json) -> Json:
    """With its JSON type: a version may go back among the fields."""
    etag = talk.resource.etag
    return extract.find(etag, record) if isinstance(etag, Expression) else None


def _random_like(external_id: str) -> str:
    """An id that nobody has, of a kind that the field can hold: digits, a UUID or text."""
    if external_id.isdecimal():
        return str(random.randint(1_900_000_000, 2_147_483_647))  # noqa: S311 - no secret
    if re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", external_id):
        return str(uuid.uuid4())
    return uuid.uuid4().hex
