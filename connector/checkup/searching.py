"""Probes of the search: how soon, how exactly, and what it makes of an id with special characters.

The connector compares every hit for equality, never searches for an empty id, and proves each
search with a random id before it believes it; so most of what is found here is no fault, but says
why a search is slow or what an id must not hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import ceil

from connector.checkup import shapes
from connector.checkup.finding import Finding
from connector.checkup.lab import Lab
from connector.checkup.scratch import IdKind
from connector.config.model import WHOLE, Call, Expression
from connector.targets import extract
from connector.targets.answers import Judgement
from connector.targets.conversation import Row

NOBODY: Mapping[IdKind, str] = {
    "text": "connector-check-nobody",
    "digits": "1899999999",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
"""An id that nobody has, like those of the resource."""

_SPECIAL = "*|!'\"()~%_"
_MANY = 20  # hits; as many as a first page


def search_lag(lab: Lab) -> Iterator[Finding]:
    """How long after a create a search finds it."""
    if lab.resource.upsert.search is None:
        return
    begun = time.monotonic()
    scratch_id = lab.scratch()
    created = time.monotonic()
    while True:
        rows = lab.rows(scratch_id)
        lag = time.monotonic() - created
        if isinstance(rows, Judgement):
            yield Finding("search", lab.said(rows), "the search cannot be made", False)
            break
        if rows:
            yield from _found_after(lab, lag)
            break
        if lag > lab.find_within:
            yield _never_found(lab, scratch_id, time.monotonic() - begun)
            break
        time.sleep(min(0.05 + lag / 10, 0.5))
    list(lab.remove(scratch_id))


def _found_after(lab: Lab, lag: float) -> Iterator[Finding]:
    found = f"a search finds what was created after {lag:.1f} s"
    configured = lab.config.search_lag
    if lag <= configured:
        yield Finding("search_lag", found, f"within `search_lag` ({configured:g} s)", True)
        return
    meaning = f"`search_lag` is {configured:g} s: a create could be made twice"
    advice = {"search_lag": ceil(2 * lag)}
    yield Finding("search_lag", found, meaning, False, advice, "target")


def _never_found(lab: Lab, scratch_id: str, seconds: float) -> Finding:
    hits = lab.hits(scratch_id)
    if isinstance(hits, int) and hits:
        found = f"the search has {hits} hits, and in none of them the id stands"
        field = lab.resource.external_id_field
        meaning = f"hits are compared by `external_id_field` ({field}): is it right, and `record:`?"
        return Finding("search", found, meaning, False)
    found = f"within {seconds:.0f} s a search does not find what was created"
    meaning = "is its query right? Without it every restart could create records twice"
    return Finding("search", found, meaning, False)


# --- where the hits are


def place_of_hits(lab: Lab) -> Iterator[Finding]:
    """Whether `found:` is where the hits are, as far as an answer without any shows it."""
    search = lab.resource.upsert.search
    if search is None:
        return
    judgement = lab.talk(NOBODY[lab.id_kind]).ask("search", search)
    if judgement.meaning != "done" or judgement.data is None:
        return
    if isinstance(extract.find(search.found or WHOLE, judgement.data), list):
        return
    found = f"`found: {(search.found or WHOLE).text}` is no list in what a search answers"
    meaning = "no hit is ever seen: the target would pause before its first create"
    place = shapes.list_in(judgement.data)
    if place is None:
        yield Finding("search.found", found, meaning, False)
        return
    better = replace(lab.resource.upsert, search=replace(search, found=Expression(place)))
    lab.adapt(upsert=better)
    advice = {"upsert": shapes.as_configured(better)}
    yield Finding("search.found", f"{found}; `{place}` is", meaning, False, advice)


# --- equality


def equality(lab: Lab) -> Iterator[Finding]:
    """Searches for what is nearly, or not at all, the id of the scratch record."""
    search = lab.resource.upsert.search
    if search is None or lab.main is None:
        return
    scratch_id = lab.talk(lab.main).external_id
    yield _nobody(lab)
    yield _nearly(lab, "search.substring", "a part of an id", scratch_id[:-1])
    if scratch_id.upper() != scratch_id:
        yield _nearly(lab, "search.case", "an id in capitals", scratch_id.upper())
    yield _of_all(lab, "search.empty", "an empty id", lab.hits(""), "never searched for")
    if misspelled := _misspelled(search):
        what = "a misspelled parameter"
        meaning = "each search is proved with a random id before the first create"
        yield _of_all(
            lab, "search.misspelled", what, lab.hits(scratch_id, call=misspelled), meaning
        )
    yield _special(lab, scratch_id)


def _nobody(lab: Lab) -> Finding:
    hits = lab.hits(lab.talk(NOBODY[lab.id_kind]).external_id)
    if isinstance(hits, Judgement):
        said = lab.said(hits)
        return Finding("search.nobody", f"an id that nobody has: {said}", "counts as none", None)
    if not hits:
        return Finding("search.nobody", "an id that nobody has: no hits", "as it should be", True)
    found = f"an id that nobody has: {hits} hits"
    meaning = "the query is not looked at: the target would pause before its first create"
    return Finding("search.nobody", found, meaning, False)


def _nearly(lab: Lab, probe: str, what: str, text: str) -> Finding:
    hits = lab.hits(text)
    if isinstance(hits, Judgement):
        return Finding(probe, f"{what}: {lab.said(hits)}", "", None)
    if not hits:
        return Finding(probe, f"{what}: no hits", "the search is exact", True)
    if lab.configured.external_id_field:
        meaning = "more rows than are meant come back; every hit is compared for equality"
        return Finding(probe, f"{what}: found all the same", meaning, True)
    meaning = "hits cannot be compared: name the field that holds our id"
    return Finding(probe, f"{what}: found all the same", meaning, False)


def _of_all(lab: Lab, probe: str, what: str, hits: int | Judgement | None, meaning: str) -> Finding:
    if isinstance(hits, Judgement):
        return Finding(probe, f"{what}: {lab.said(hits)}", meaning, True)
    if not hits:
        return Finding(probe, f"{what}: no hits", meaning, True)
    return Finding(probe, f"{what}: finds {hits} rows, whoever's they are", meaning, True)


def _misspelled(call: Call) -> Call | None:
    """The search with a parameter that the CRM cannot know."""
    if not call.query:
        return None
    return replace(call, query={f"{name}_misspelled": value for name, value in call.query.items()})


def _special(lab: Lab, scratch_id: str) -> Finding:
    """Characters that are operators in some query languages, each put behind the id."""
    broken: list[str] = []
    operators: list[str] = []
    for character in _SPECIAL:
        hits = lab.hits(scratch_id[:-1] + character)
        if isinstance(hits, Judgement) and hits.meaning != "refused":
            broken.append(f"{character} ({lab.said(hits)})")
        elif isinstance(hits, Judgement):
            broken.append(f"{character} ({hits.status})")
        elif hits:
            operators.append(character)
    if not broken and not operators:
        found = f"none of {' '.join(_SPECIAL)} is an operator"
        return Finding("search.special", found, "ids are searched for as they are", True)
    parts = []
    if operators:
        parts.append(f"{' '.join(operators)} find other ids, too")
    if broken:
        parts.append(f"refused: {', '.join(broken)}")
    safe = lab.configured.id_format != "any" or lab.id_kind != "text"
    meaning = (
        "no id of this resource holds one"
        if safe
        else "an id with one is not found: replace it with `escape:`, or keep it out of ids"
    )
    found = "; ".join(parts)
    suits = True if safe or not broken else None
    return Finding("search.special", found, meaning, suits, {"id_format": "slug"} if broken else {})


def hidden_after_delete(lab: Lab) -> Iterator[Finding]:
    """Whether a search still finds a row that was deleted."""
    if lab.resource.upsert.search is None:
        return
    scratch_id = lab.scratch()
    lab.delete(scratch_id)
    until = time.monotonic() + max(lab.config.search_lag, 2.0)
    rows = lab.rows(scratch_id)
    while isinstance(rows, tuple) and rows and time.monotonic() < until:
        time.sleep(0.2)
        rows = lab.rows(scratch_id)
    if isinstance(rows, tuple) and rows and not isinstance(lab.look(scratch_id), Row):
        found = "a deleted row is still among the hits"
        meaning = "a record that is created anew would be written into the deleted row"
        yield Finding("search.deleted", found, meaning, None)
    list(lab.remove(scratch_id))
