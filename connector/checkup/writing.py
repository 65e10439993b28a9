"""Probes of writes: create, read back, update, create again, two at once, delete, delete again.

`create` makes the scratch record that the probes of values and searches work on too; `deletes`
takes it away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from connector.checkup import shapes
from connector.checkup.finding import Finding, Scope
from connector.checkup.lab import Lab, Stop
from connector.checkup.scratch import IdKind
from connector.config.model import WHOLE, Call, Expression
from connector.model import Json
from connector.targets import extract
from connector.targets.answers import Judgement
from connector.targets.conversation import Link, Row
from connector.targets.http import Answer, Failure
from connector.targets.template import text

_ONE_CALL = frozenset({"put", "patch", "post"})
_OTHER_KINDS: Mapping[IdKind, tuple[IdKind, ...]] = {
    "text": ("uuid", "digits"),
    "digits": (),
    "uuid": (),
}
_SHOWN = 60
_NOT_LONG = 3.0  # seconds that a search is waited for which cannot find anything


# --- create


def create(lab: Lab) -> Iterator[Finding]:
    """Creates the scratch record. Raises Stop where the CRM takes none."""
    judgement, scratch_id, kind = _created(lab)
    if judgement.meaning == "refused":
        other = _created_otherwise(lab, scratch_id, judgement)
        if other is not None:
            judgement, finding = other
            yield finding
    if judgement.meaning != "done":
        yield _refused(lab, judgement, scratch_id)
        raise Stop(f"no scratch record could be created: {lab.said(judgement)}")
    lab.main, lab.created_silently = scratch_id, judgement.data is None
    if kind != lab.id_kind:
        yield Finding(
            "id_format",
            f"an id such as {lab.ledger.open()[0]} is refused, {scratch_id} is taken",
            f"the CRM's ids are of another kind ({kind}) than the connector would send",
            False,
            {"id_format": "uuid"} if kind == "uuid" else {},
        )
        lab.id_kind = kind
    yield _id_in_answer(lab, judgement)
    if lab.can_look and not lab.appears(scratch_id) and lab.look(scratch_id) is None:
        yield _wrote_nothing(lab, judgement)


def _created_otherwise(
    lab: Lab, scratch_id: str, refused: Judgement
) -> tuple[Judgement, Finding] | None:
    """The create in another form, where the CRM takes one; from then on all calls have it."""
    before = lab.as_now()
    for guess in shapes.bodies(lab, refused):
        lab.adapt(**guess.changes)
        if guess.headers:
            lab.adapt_headers(guess.headers)
        judgement = lab.create(scratch_id)
        if judgement.meaning == "done":
            found = f"{lab.said(refused)}; {guess.what} is taken"
            meaning = "every record would be refused as it is configured"
            scope: Scope = "target" if guess.headers else "resource"
            return judgement, Finding("create.form", found, meaning, False, guess.advice, scope)
        lab.put_back(before)
    return None


def _created(lab: Lab) -> tuple[Judgement, str, IdKind]:
    """The create, with an id of another kind where one like the mapping's is refused."""
    scratch_id = lab.new_id()
    first = lab.create_patiently(scratch_id)
    if first.meaning != "refused" or lab.resource.id_format != "any":
        return first, scratch_id, lab.id_kind
    wanted = lab.id_kind
    for kind in _OTHER_KINDS[wanted]:
        lab.id_kind = kind
        other = lab.new_id()
        again = lab.create(other)
        lab.id_kind = wanted
        if again.meaning == "done":
            return again, other, kind
    return first, scratch_id, wanted


def _refused(lab: Lab, judgement: Judgement, scratch_id: str) -> Finding:
    found = lab.said(judgement)
    if isinstance(judgement.result, Failure):
        there = lab.can_look and lab.appears(scratch_id)
        meaning = (
            "and yet the row is there: the connector looks for it before it writes again"
            if there
            else "the connector would try again later"
        )
        return Finding("create", found, meaning, False)
    upsert = lab.configured.upsert
    if judgement.status in (404, 405) and upsert.call is not None and upsert.create is None:
        meaning = "the call changes records that are there and creates none"
        return Finding("create", found, meaning, False, _with_create(lab))
    answer = lab.masked(judgement.result.text[:300]) if judgement.result else ""
    meaning = f"every record would be refused like this: {answer}" if answer else "so is every one"
    if judgement.meaning == "refused":
        meaning += " — are the sample's values right for this CRM? `--fields` gives others"
    return Finding("create", found, meaning, False)


def _id_in_answer(lab: Lab, judgement: Judgement) -> Finding:
    resource, found = lab.resource, lab.said(judgement)
    if isinstance(judgement.data, str):
        meaning = "the body is no JSON: is this the API?"
        return Finding("create", f"{found}, no JSON", meaning, False)
    if resource.crm_id is None:
        own = shapes.id_in(judgement.data, resource.name, lab.main or "")
        if own is None:
            return Finding("create", found, "the external id is the CRM's id", True)
        place, value = own
        meaning = "the CRM gives ids of its own; references carry the external id without `crm_id`"
        return Finding("create", f"{found}, with `{place}` {value}", meaning, None)
    if extract.find_id(resource.crm_id, judgement.data) is not None:
        return Finding("create", f"{found}, with the CRM's id", "the link is kept at once", True)
    if elsewhere := shapes.id_in(judgement.data, resource.name, lab.main or ""):
        place, value = elsewhere
        lab.adapt(crm_id=Expression(place))
        lab.ledger.exists(lab.main or "", value)
        found = f"{found}, without an id under `crm_id:`, but with `{place}` {value}"
        meaning = "without the right place each new record must be searched for"
        return Finding("create", found, meaning, False, {"crm_id": place})
    if resource.upsert.search is not None:
        meaning = "the CRM's id is searched for after each create"
        lab.find_link(lab.main or "")
        return Finding("create", f"{found}, without an id under `crm_id:`", meaning, True)
    meaning = "without a search nobody ever learns the CRM's id: is `crm_id:` right?"
    return Finding("create", f"{found}, without an id under `crm_id:`", meaning, False)


def _wrote_nothing(lab: Lab, judgement: Judgement) -> Finding:
    found = f"{lab.said(judgement)}, and nothing is there"
    upsert = lab.configured.upsert
    if upsert.strategy in ("put", "patch") and upsert.create is None:
        meaning = "the call changes records that are there and creates none"
        return Finding("create.kept", found, meaning, False, _with_create(lab))
    meaning = "the record is not found again: is `read:` or the search right?"
    return Finding("create.kept", found, meaning, False)


def _with_create(lab: Lab) -> dict[str, Json]:
    """The upsert as it is, and a call that creates records never delivered."""
    create = {"method": "POST", "path": "/{resource}"}
    return {"upsert": {**shapes.as_configured(lab.configured.upsert), "create": create}}


# --- reading back


def read(lab: Lab) -> Iterator[Finding]:
    """Whether a record can be looked at; a `read:` that would work is found out."""
    if lab.resource.read is not None:
        row = lab.look(lab.main or "")
        if isinstance(row, Row) and (not lab.fields or _shows_a_field(lab, row.record)):
            yield Finding("read", "the record can be read", "what is written can be seen", True)
        else:
            yield _read_otherwise(lab, row)
        return
    found = _read_that_works(lab)
    if isinstance(found, Judgement):
        yield _not_there(lab, found)
        return
    if found is None:
        looked = lab.resource.upsert.search is not None
        meaning = "the search's hits serve" if looked else "nobody can see what the CRM has kept"
        yield Finding("read", "no `read:` is configured", meaning, True if looked else None)
        return
    call, place = found
    lab.read_by(call)
    meaning = "with it `write:` policies, `verify` and conflicts can look at the record"
    advice = {"read": {"path": call.path, **({} if place == "@" else {"record": place})}}
    text = f"no `read:` is configured; GET {call.path} works"
    yield Finding("read", text, meaning, None, advice)


def _read_otherwise(lab: Lab, row: Row | Judgement | None) -> Finding:
    """A `read:` that does not show the record: is it elsewhere in the answer, or in a hit?"""
    said = "nothing is found"
    if isinstance(row, Row):
        said = "none of the record's fields is in what is read"
    elif row is not None:
        said = lab.said(row)
    call, answered = lab.resource.read, lab.http.answers()[-1:]
    if call is not None and answered and answered[0].status < 300:
        place = shapes.record_in(answered[0].data, lambda record: _shows_a_field(lab, record))
        if place is not None:
            lab.adapt(read=replace(call, record=Expression(place)))
            advice = {"read": {"path": call.path, **({} if place == "@" else {"record": place})}}
            found = f"{said}; the record is in `{place}`"
            return Finding("read", found, "policies and `verify` see nothing", False, advice)
    hits = lab.rows(lab.main or "")
    if isinstance(hits, tuple) and hits:
        lab.adapt(read=None)
        meaning = "the search shows the record; without `read:` its hits serve"
        return Finding("read", said, meaning, False, {"read": None})
    return Finding("read", said, "is `read:` right?", False)


def _not_there(lab: Lab, judgement: Judgement) -> Finding:
    """A GET of what was created finds nothing, and nothing else can look."""
    path = lab.talk("-").update_call.path
    found = f"GET {path} right after the create: {lab.said(judgement)}"
    upsert = lab.configured.upsert
    if lab.created_silently and upsert.strategy == "patch" and upsert.create is None:
        meaning = "the create was answered without a word and seems to have written nothing"
        return Finding("create.kept", found, meaning, False, _with_create(lab))
    meaning = "either there is no such call, or nothing was written: nobody can see which"
    return Finding("read", found, meaning, None)


def _read_that_works(lab: Lab) -> tuple[Call, str] | Judgement | None:
    """The call and the place of the record; a judgement where such a call finds nothing and no
    search can look either."""
    path = lab.talk("-").update_call.path
    if "{external_id}" not in path and "{crm_id}" not in path:
        return None
    call = Call("GET", path, record=WHOLE)
    talk = lab.talk(lab.main or "", delivered=True)
    if not talk.can_name(call):
        return None
    judgement = talk.ask("read", call)
    if judgement.meaning == "gone" and lab.resource.upsert.search is None:
        return judgement
    if judgement.meaning != "done":
        return None
    place = shapes.record_in(judgement.data, lambda record: _shows_a_field(lab, record))
    return None if place is None else (replace(call, record=Expression(place)), place)


def _shows_a_field(lab: Lab, record: Json) -> bool:
    row = Row(record)
    return any(lab.holds(row, name) is not None for name in lab.fields)


def read_back(lab: Lab) -> Iterator[Finding]:
    """Compares what was created field by field."""
    if not lab.can_look:
        return
    row = lab.look(lab.main or "")
    if not isinstance(row, Row):
        return
    own = lab.resource.external_id
    if own is not None and (wrong := _wrong_id(lab, extract.find(own.read, row.record))):
        meaning = "hits of a search are compared by it: none would ever be equal"
        yield Finding("external_id", wrong, meaning, False)
        lab.find_within = min(lab.find_within, _NOT_LONG)
    lab.kept = {name: v for name, v in lab.fields.items() if lab.kept_as(row, name, v)}
    lost = [_lost(lab, row, name) for name in sorted(lab.fields.keys() - lab.kept.keys())]
    if not lost:
        yield Finding("fields", f"all {len(lab.fields)} came back as they were sent", "", True)
        return
    yield Finding(
        "fields",
        f"{len(lost)} of {len(lab.fields)} did not: {'; '.join(lost)}",
        "answered 2xx all the same: only reading back shows it",
        "read" in lab.configured.verify,
        _verify(lab, "read"),
    )


def _wrong_id(lab: Lab, held: Json) -> str:
    """What is wrong with the external id that a row shows; empty where nothing is."""
    field = lab.resource.external_id_field
    sent = lab.talk(lab.main or "").external_id
    if held is None:
        return f"a record that is looked at has nothing in {field}"
    values = held if isinstance(held, list) else [held]
    if any(text(value) == sent for value in values):
        return ""
    return f"{field} does not keep our id: sent {sent!r}, holds {_shown(held)}"


def _lost(lab: Lab, row: Row, name: str) -> str:
    held = lab.holds(row, name)
    sent = lab.masked(_shown(lab.fields[name]))
    return f"{name} is empty" if held is None else f"{name}: sent {sent}, holds {_shown(held)}"


def _shown(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _verify(lab: Lab, what: str) -> dict[str, Json]:
    return {"verify": sorted({*lab.configured.verify, what})}


# --- update


def update(lab: Lab) -> Iterator[Finding]:
    """One field is changed, and the others are still there afterwards."""
    field = _one_field(lab)
    if field is None:
        return
    name, value = field
    before = _held(lab, name)
    judgement = lab.update(lab.main or "", {name: value})
    if judgement.meaning != "done" and lab.configured.etag is None and _wants_etag(lab, judgement):
        yield Finding(
            "update.if_match",
            f"{lab.said(judgement)}; with the ETag of a read in If-Match it is taken",
            "the CRM takes no update without If-Match",
            False,
            {"etag": "header"},
        )
        judgement = lab.update(lab.main or "", {name: value})
    if judgement.meaning == "refused":
        other = _updated_otherwise(lab, {name: value}, judgement)
        if other is not None:
            judgement, finding = other
            yield finding
    if judgement.meaning != "done":
        lab.updates = False
        meaning = "so is every update; what changes a record was not probed"
        yield Finding("update", lab.said(judgement), meaning, False)
        return
    yield Finding("update", lab.said(judgement), "one field was changed", True)
    yield from _kept(lab, name, value, before)
    yield from _alone(lab, name)


def _kept(lab: Lab, name: str, value: Json, before: Json) -> Iterator[Finding]:
    """Whether the new value is there, and every other as it was."""
    if not lab.can_look:
        return
    changed, row = lab.seen(
        lab.main or "",
        lambda row: lab.kept_as(row, name, value) or lab.holds(row, name) != before,
    )
    if not changed:
        found = f"the new value of {name} is not there afterwards"
        yield Finding("update.kept", found, "updates are answered 2xx and lost", False)
    elif row is not None:
        yield from _others_kept(lab, row, name)


def _held(lab: Lab, name: str) -> Json:
    """What the scratch record's field holds now, where that can be seen."""
    row = lab.look(lab.main or "")
    return lab.holds(row, name) if isinstance(row, Row) else None


def _updated_otherwise(
    lab: Lab, values: Mapping[str, Json], refused: Judgement
) -> tuple[Judgement, Finding] | None:
    """The update by another method or with all fields, where the CRM takes one."""
    before = lab.as_now()
    for guess in shapes.changes(lab, refused):
        lab.adapt(**guess.changes)
        judgement = lab.update(lab.main or "", values)
        if judgement.meaning == "done":
            found = f"{lab.said(refused)}; {guess.what}: taken"
            meaning = "every update would be refused as it is configured"
            return judgement, Finding("update.form", found, meaning, False, guess.advice)
        lab.put_back(before)
    return None


def _alone(lab: Lab, changed: str) -> Iterator[Finding]:
    """Another field by itself: some want the same one in every write."""
    other = next((name for name in lab.fields if name != changed), None)
    if other is None or lab.resource.send == "all":
        return
    judgement = lab.update(lab.main or "", {other: lab.fields[other]})
    if judgement.meaning != "refused":
        return
    before = lab.as_now()
    lab.adapt(send="all")
    if lab.update(lab.main or "", {other: lab.fields[other]}).meaning != "done":
        lab.put_back(before)
        return
    found = f"{other} by itself: {lab.said(judgement)}; with all fields it is taken"
    meaning = "a field that is required is required in every write"
    yield Finding("update.alone", found, meaning, False, {"send": "all"})


def _one_field(lab: Lab) -> tuple[str, Json] | None:
    if lab.free_text:
        return lab.free_text, f"Changed: {lab.fields[lab.free_text]}"
    return next(iter(lab.fields.items()), None)


def _wants_etag(lab: Lab, refused: Judgement) -> bool:
    """Whether an update with the ETag of a read is taken. If so, that is how it is done."""
    if refused.status not in (400, 403, 409, 412, 428) or not lab.can_look:
        return False
    lab.look(lab.main or "")
    answers = lab.http.answers()
    etag = answers[-1].headers.get("ETag") if answers else None
    field = _one_field(lab)
    if etag is None or field is None:
        return False
    again = lab.update(lab.main or "", dict([field]), headers={"If-Match": etag})
    if again.meaning != "done":
        return False
    lab.adapt(etag="header")
    return True


def _others_kept(lab: Lab, row: Row, changed: str) -> Iterator[Finding]:
    lost = sorted(
        name
        for name, value in lab.kept.items()
        if name != changed and not lab.kept_as(row, name, value)
    )
    if not lost:
        yield Finding("update.others", "the other fields are as before", "", True)
        return
    found = f"the update emptied or changed {', '.join(lost)}"
    meaning = "an update replaces the record: all fields must be sent"
    yield Finding("update.others", found, meaning, False, {"send": "all"})


# --- the same id again


def second_create(lab: Lab) -> Iterator[Finding]:
    """A create of an id that is there: what makes two records of one."""
    scratch_id = lab.main or ""
    changed = _one_field(lab)
    mine = {**lab.fields, **dict([changed] if changed else [])}
    judgement = lab.create(scratch_id, fields=mine)
    found = f"a create of an id that is there: {lab.said(judgement)}"
    yield _judged_second(lab, judgement, found, mine)


def _judged_second(
    lab: Lab,
    judgement: Judgement,
    found: str,
    sent: Mapping[str, Json],
) -> Finding:
    if judgement.meaning == "conflict" or judgement.look:
        return _met(lab, found, sent)
    if judgement.meaning == "not_now":
        return Finding("second_create", found, "not found out: the CRM was away", None)
    one_call = lab.configured.upsert.strategy in _ONE_CALL and lab.configured.upsert.create is None
    if judgement.meaning != "done":
        meaning = "a create that met a known record would become a dead letter"
        return Finding("second_create", found, meaning, False, _as_conflict(judgement))
    scratch_id = lab.main or ""
    if _count(lab, scratch_id) > 1:
        found += ", and there are two rows now"
        if lab.configured.upsert.strategy == "search_then_write":
            meaning = "nothing in the CRM keeps an id unique: the search before each create does"
            return Finding("second_create", found, meaning, True)
        meaning = "nothing keeps an id unique: search before each create"
        advice = {"upsert": {"strategy": "search_then_write"}}
        return Finding("second_create", found, meaning, False, advice)
    if one_call:
        return Finding("second_create", found, "one call creates and updates", True)
    row = lab.look(lab.main or "")
    if isinstance(row, Row) and not all(
        lab.kept_as(row, n, v) for n, v in sent.items() if n in lab.kept
    ):
        meaning = "the old row comes back and what was sent is lost: it must count as a conflict"
        return Finding("second_create", found, meaning, False, _as_conflict(judgement))
    return Finding("second_create", found, "the create updates a row that is there", True)


def _met(lab: Lab, found: str, sent: Mapping[str, Json]) -> Finding:
    """A create that is refused: does a whole delivery bring the record up to date all the same?"""
    outcome = lab.deliver(lab.main or "", sent)
    if outcome.meaning == "done":
        meaning = "the connector finds the record and updates it"
        return Finding("second_create", found, meaning, True)
    reason = lab.masked(outcome.reason)
    meaning = f"the connector cannot tell which row it met: {reason}. Give `search:`"
    if lab.configured.upsert.search is not None:
        meaning = f"the record could not be brought up to date: {reason}"
    return Finding("second_create", found, meaning, False)


def _as_conflict(judgement: Judgement) -> dict[str, Json]:
    rule = {"call": "create", "status": judgement.status, "means": "conflict"}
    return {"answers": [rule]}


def _count(lab: Lab, scratch_id: str) -> int:
    """How many rows a scratch id has: by the search, else by the CRM's ids that were told."""
    told = len(set(lab.ledger.links(scratch_id)) - {None})
    if lab.resource.upsert.search is None:
        return told
    until = time.monotonic() + max(lab.config.search_lag, 1.0)
    while True:
        rows = lab.rows(scratch_id)
        found = len(rows) if isinstance(rows, tuple) else 0
        for row in rows if isinstance(rows, tuple) else ():
            lab.ledger.exists(scratch_id, row.link)
        if found > 1 or time.monotonic() >= until or found >= max(told, 1):
            return max(found, told)
        time.sleep(0.2)


def two_at_once(lab: Lab) -> Iterator[Finding]:
    """Two creates of one new id at the same time: how many rows come of it."""
    scratch_id = lab.new_id()
    judgements = _both(lambda: lab.create(scratch_id))
    lab.find_link(scratch_id)
    rows = _count(lab, scratch_id)
    said = " and ".join(lab.said(judgement) for judgement in judgements)
    known = lab.resource.crm_id is not None or lab.resource.upsert.search is not None
    found = f"{said}; {rows} rows" if rows != 1 and known else f"{said}; one row"
    if rows > 1:
        meaning = (
            "two at once make two rows. Leases keep the connector's own workers apart; for what "
            "others create, `several:` says which row counts"
        )
        suits = True if lab.configured.several != "dead" else None
        yield Finding("two_at_once", found, meaning, suits, {"several": "first"})
    else:
        meaning = "the CRM keeps an id unique" if known else "as far as can be seen"
        yield Finding("two_at_once", found, meaning, True)
    list(lab.remove(scratch_id))


def _both(call: Callable[[], Judgement]) -> list[Judgement]:
    judgements: list[Judgement] = []
    start = threading.Barrier(2)

    def one() -> None:
        start.wait()
        judgements.append(call())

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        for thread in threads:  # what they create must be known before it is taken away
            thread.join()
        raise
    return judgements


def idempotency_key(lab: Lab) -> Iterator[Finding]:
    """The very same call twice, with the same key: is it known again?"""
    header = lab.config.idempotency_header
    if header is None:
        return
    scratch_id = lab.new_id()
    if lab.create(scratch_id, number=0).meaning != "done":
        return
    again = lab.create(scratch_id, number=0)
    other = lab.create(scratch_id)
    rows = _count(lab, scratch_id)
    yield _judged_key(header, again, other, rows)
    list(lab.remove(scratch_id))


def _judged_key(header: str, again: Judgement, other: Judgement, rows: int) -> Finding:
    if again.status == 409 and other.meaning == "done":
        found = f"the same {header} again is answered 409"
        meaning = "a call that was cut off cannot be repeated with its key: the next has another"
        return Finding(
            "idempotency_key", found, meaning, None, {"idempotency_header": None}, "target"
        )
    replayed = isinstance(again.result, Answer) and any(
        "replay" in name.lower() for name in again.result.headers
    )
    told_apart = again.meaning == "done" and other.meaning != "done"
    if replayed or told_apart or (rows == 2 and again.meaning == other.meaning == "done"):
        meaning = "a call that is repeated after a lost answer is done once"
        return Finding("idempotency_key", f"{header} is honoured", meaning, True)
    meaning = "the header does no harm, and nothing rests on it"
    if again.meaning == other.meaning == "done" and rows < 2:
        found = f"whether {header} is honoured cannot be seen: a repeat changes nothing anyway"
        return Finding("idempotency_key", found, meaning, None)
    found = f"{header} is not honoured"
    advice = {"idempotency_header": None}
    return Finding("idempotency_key", found, meaning, None, advice, "target")


# --- delete


def deletes(lab: Lab) -> Iterator[Finding]:
    """Deletes the scratch record, deletes it again, and updates what is not there any more."""
    scratch_id = lab.main or ""
    if len(lab.ledger.links(scratch_id)) > 1:  # a second create has made more of them
        list(lab.remove(scratch_id))
        lab.scratch(scratch_id)
    link = lab.ledger.link(scratch_id)
    judgement = lab.delete(scratch_id)
    if judgement.status in (404, 405, 501) and not lab.disappears(scratch_id):
        judgement, findings = _deleted_otherwise(lab, scratch_id, judgement)
        yield from findings
    if judgement.meaning != "done":
        yield Finding("delete", lab.said(judgement), "no record could be deleted", False)
        return
    if lab.disappears(scratch_id):
        yield Finding("delete", lab.said(judgement), "the record is gone", True)
    else:
        meaning = "still shown afterwards: is it only marked? A delete is final for the connector"
        yield Finding("delete", lab.said(judgement), meaning, None)
    yield _delete_again(lab, scratch_id)
    yield from _update_missing(lab, scratch_id, link)
    list(lab.remove(scratch_id))
    lab.main = None


def _deleted_otherwise(
    lab: Lab, scratch_id: str, refused: Judgement
) -> tuple[Judgement, list[Finding]]:
    guess, before = shapes.deletion(lab), lab.as_now()
    lab.adapt(**guess.changes)
    judgement = lab.delete(scratch_id)
    if judgement.meaning == "done" and lab.disappears(scratch_id):
        found = f"{refused.status}; {guess.what}: taken"
        meaning = "no record could be deleted as it is configured"
        return judgement, [Finding("delete.form", found, meaning, False, guess.advice)]
    lab.put_back(before)
    return refused, []


def _delete_again(lab: Lab, scratch_id: str) -> Finding:
    judgement = lab.delete(scratch_id)
    found = f"a second delete: {lab.said(judgement)}"
    if judgement.meaning in ("done", "gone"):
        if judgement.status and judgement.status >= 400:
            found = f"a second delete: {judgement.status}"
        return Finding("delete_twice", found, "counts as done", True)
    if judgement.look:
        meaning = "the search tells that it is gone: counts as done"
        return Finding("delete_twice", found, meaning, True)
    rule = {"call": "delete", "status": judgement.status, "means": "gone"}
    meaning = "a delete of what is gone would become a dead letter"
    return Finding("delete_twice", found, meaning, False, {"answers": [rule]})


def _update_missing(lab: Lab, scratch_id: str, link: Link) -> Iterator[Finding]:
    """What an update by an id gets that is not there any more."""
    field = _one_field(lab)
    if field is None:
        return
    judgement = lab.update(scratch_id, dict([field]), headers={})
    found = f"an update of a record that is gone: {lab.said(judgement)}"
    if judgement.meaning == "gone" or judgement.look:
        meaning = f"it is noticed, and `gone: {lab.configured.gone}` is done"
        yield Finding("update_missing", found, meaning, True)
        return
    if judgement.meaning == "done":
        yield _done_to_nothing(lab, scratch_id, found)
        return
    rule = {"call": "update", "status": judgement.status, "means": "gone"}
    meaning = "what a person deletes in the CRM would make a dead letter of every later change"
    if judgement.status is None or judgement.meaning in ("not_now", "credentials", "misled"):
        yield Finding("update_missing", found, meaning, False)
        return
    yield Finding("update_missing", found, meaning, False, {"answers": [rule]})


def _done_to_nothing(lab: Lab, scratch_id: str, found: str) -> Finding:
    if not lab.can_look:
        lab.ledger.exists(scratch_id, None)
        return Finding("update_missing", found, "whether it created one cannot be seen", None)
    rows = lab.rows(scratch_id)
    if isinstance(rows, tuple) and rows:
        lab.ledger.exists(scratch_id, rows[0].link)
        return Finding("update_missing", f"{found}, and it is there", "it is created anew", True)
    if lab.appears(scratch_id):
        row = lab.look(scratch_id)
        lab.ledger.exists(scratch_id, row.link if isinstance(row, Row) else None)
        return Finding("update_missing", f"{found}, and it is there", "it is created anew", True)
    found += ", and nothing is there"
    meaning = "changes to what a person deleted in the CRM would be lost without a word"
    if lab.configured.crm_id is not None:
        suits = "link" in lab.configured.verify
        return Finding("update_missing", found, meaning, suits, _verify(lab, "link"))
    upsert = lab.configured.upsert
    suits = "read" in lab.configured.verify
    if upsert.strategy in ("put", "patch") and upsert.create is None:
        return Finding("update_missing", found, meaning, False, _with_create(lab))
    return Finding("update_missing", found, meaning, suits, _verify(lab, "read"))


def batch(lab: Lab) -> Iterator[Finding]:
    """Two records in the one call that `batch:` describes, each with its own outcome."""
    if lab.resource.batch is None:
        return
    ids = [lab.new_id(), lab.new_id()]
    before = len(lab.http.heard)
    outcomes = lab.deliver_together(ids)
    calls = len(lab.http.heard) - before
    bad = [lab.masked(each.reason) for each in outcomes if each and each.meaning != "done"]
    missing = [each for each in ids if not lab.appears(each)]
    for each in ids:
        list(lab.remove(each))
    if bad or missing:
        what = f"refused: {bad[0]}" if bad else f"answered, and {len(missing)} are not there"
        found, meaning = f"two records in one call: {what}", "is `batch:` right?"
        yield Finding("batch", found, meaning, False, {"batch": None})
        return
    if calls > 1:
        found = f"two records in one call: {calls} calls were needed"
        meaning = "the answer does not tell what became of each: are `results` and `match` right?"
        yield Finding("batch", found, meaning, False)
        return
    yield Finding("batch", "two records in one call: both are there", "batches are sent", True)


def ids_again(lab: Lab) -> Iterator[Finding]:
    """Whether the CRM gives the id of a deleted row to the next one."""
    if lab.resource.crm_id is None:
        return
    links = []
    for _ in range(2):
        scratch_id = lab.scratch()
        links.append(lab.ledger.link(scratch_id))
        list(lab.remove(scratch_id))
    if links[0] is None or links[0] != links[1]:
        yield Finding("ids_again", "the CRM gave two rows two ids", "", True)
        return
    found = f"after a delete the next row has the same id, {links[1]}"
    meaning = "an update by an old link would write to somebody else's row"
    suits = "link" in lab.configured.verify
    yield Finding("ids_again", found, meaning, suits, _verify(lab, "link"))
