"""Probes of ids: which characters an external id may hold, all the way through.

A row is created for each, found again, changed and deleted. Ids come from webhooks, so what the
CRM cannot take must be kept from it: by `id_format`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from connector.checkup.finding import Finding
from connector.checkup.lab import Lab
from connector.checkup.scratch import new_id
from connector.targets.conversation import Row

CHARACTERS: Mapping[str, str] = {
    ":": "a colon",
    ".": "a dot",
    " ": "a space",
    "/": "a slash",
    "%": "a percent sign",
    "đ": "đ",
    "A": "a capital letter",
}


def id_characters(lab: Lab) -> Iterator[Finding]:
    """Each of `CHARACTERS` in an id."""
    if lab.configured.id_format != "any":
        found = f"not tried: `id_format: {lab.configured.id_format}` keeps other characters away"
        yield Finding("id_characters", found, "", True)
        return
    plain = new_id("text")
    if why := _trouble(lab, plain):
        yield _no_letters(lab, why)
        return
    trouble = {
        what: why
        for character, what in CHARACTERS.items()
        if (why := _trouble(lab, f"{new_id('text')}{character}x"))
    }
    good = ", ".join(what for what in CHARACTERS.values() if what not in trouble)
    if not trouble:
        yield Finding("id_characters", f"an id may hold {good}", "any id will do", True)
        return
    bad = "; ".join(f"{what}: {why}" for what, why in trouble.items())
    found = f"{bad}. An id may hold {good or 'nothing of what was tried'}"
    unlikely = lab.id_kind != "text"
    meaning = (
        "the ids of this resource hold none, as far as the samples tell"
        if unlikely
        else "such records would be dead letters: `slug` makes ids of letters, digits, _ and -"
    )
    advice = {"id_format": "slug"}
    yield Finding("id_characters", found, meaning, None if unlikely else False, advice)


def _no_letters(lab: Lab, why: str) -> Finding:
    found = f"an id with letters: {why}"
    suits = lab.id_kind != "text"
    meaning = "the ids of this resource hold none" if suits else "no record could be created"
    return Finding("id_characters", found, meaning, suits)


def _trouble(lab: Lab, scratch_id: str) -> str:
    """What goes wrong with an id; empty where nothing does."""
    judgement = lab.create_patiently(scratch_id)
    why = ""
    if judgement.meaning != "done":
        why = f"refused ({judgement.status})" if judgement.status else lab.said(judgement)
    else:
        lab.find_link(scratch_id)
        why = _trouble_later(lab, scratch_id)
    left = list(lab.remove(scratch_id))
    return why or (f"cannot be deleted: {left[0].why}" if left else "")


def _trouble_later(lab: Lab, scratch_id: str) -> str:
    if lab.can_look:
        found, _ = lab.seen(scratch_id, lambda _: True)
        if not found:
            row = lab.look(scratch_id)
            said = "" if row is None or isinstance(row, Row) else f": {lab.said(row)}"
            return f"created, and not found again{said}"
    field = lab.free_text or next(iter(lab.fields), None)
    if field is None or not lab.updates:
        return ""
    judgement = lab.update(scratch_id, {field: lab.fields[field]})
    fine = judgement.meaning in ("done", "not_now")  # being away is no matter of the id
    return "" if fine else f"an update: {lab.said(judgement)}"
