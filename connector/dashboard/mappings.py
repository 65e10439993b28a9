"""Mappings: the set in force and its history; an edit, what it would do, into force and back.

The way of an edit: typed (`preview` after every pause), kept as the person's draft, judged as a
whole set, run over one kept event and over the last many, published after a page that says what
will happen. `release`, `plan` and `replay` do all of it.

Invariant: what is published is what was shown: the same texts, on top of the same set. It is put
into Redis, where every worker takes it from. The folder is written only where that is asked for;
what it holds otherwise stays, and the page says that the next publish from there would put it back.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Semaphore

from flask import Blueprint, Response, abort, redirect, request, session, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as BaseResponse

from connector import drafts, journal, release
from connector import plan as planning
from connector.config import Config
from connector.dashboard.masking import masked
from connector.dashboard.room import Room, page, person
from connector.dashboard.shown import count
from connector.drafts import Draft
from connector.effects import is_told
from connector.errors import EventUnreadable, MappingInvalid
from connector.journal import Entry
from connector.mapping import published
from connector.mapping.explain import LeftAlone, Skipped, left_alone, skipped
from connector.mapping.load import Judged, MappingSet
from connector.mapping.published import Kept, Note, Superseded
from connector.mapping.rendering import value_to_json
from connector.mapping.ruleset import set_hash
from connector.model import Applied, Change, Json, Name
from connector.plan import Plan, Selection
from connector.records import store
from connector.records.state import canonical
from connector.records.store import State
from connector.release import FileDifference
from connector.replay import Replay

PLANNED = (100, 500, 2000)
"""How many of the latest events a plan in the browser may run; the command line runs any number."""

LARGEST_FILE = 256 * 1024
"""Characters of a file that is edited here: judging it at every pause must stay quick."""

LARGEST_TRIED = 256 * 1024
"""Bytes of an event that an edit is tried on while it is typed; plans run larger ones, too."""

PROBLEMS_SHOWN = 100
"""Of the errors and of the warnings of a set; how many there are is told."""

CHOICES = 40
"""Kept events that are offered to try an edit on."""

_ONE_PLAN = Semaphore(1)
"""A plan keeps a processor busy that the receiver needs, too: one at a time."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A set as somebody edits it: the texts in force with the draft over them."""

    in_force: int
    draft: Draft | None
    texts: Mapping[str, str]

    @property
    def is_outdated(self) -> bool:
        """Whether another set came into force after the draft was begun."""
        return self.draft is not None and self.draft.base != self.in_force


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field of a record: what the edit would give it, and what it has now. `told`: the CRM has
    been sent that."""

    name: str
    value: Json
    has: Json
    had: bool
    differs: bool
    told: bool


@dataclass(frozen=True, slots=True)
class Tried:
    """What an edited set makes of one kept event."""

    entry: Entry
    document: Json
    applied: Applied
    changes: tuple[tuple[Change, tuple[FieldRow, ...]], ...]
    left_alone: tuple[LeftAlone, ...]
    skipped: tuple[Skipped, ...]


def blueprint(room: Room) -> Blueprint:
    """The pages of mappings."""
    pages = Blueprint("mappings", __name__, url_prefix="/mappings")

    @pages.before_request
    def only_where_editing_is_on() -> None:
        ends = (request.endpoint or "").rpartition(".")[2]
        if not room.config.dashboard.edit_mappings and ends not in _READING:
            abort(403, _("Editing in the browser is switched off here."))

    @pages.get("")
    def listed() -> str:
        known = published.versions(room.client)
        number = published.number_in_force(room.client)
        kept = published.read(room.client, number) if number else None
        return page(
            "mappings.html",
            versions=known,
            number=number,
            texts=kept.texts if kept else {},
            file=_file(kept.texts if kept else {}),
            standing=room.standing(),
            draft=drafts.read(room.client, person().name),
            editing=room.config.dashboard.edit_mappings,
            folder=_folder(room.config),
        )

    @pages.get("/versions/<int:number>")
    def version(number: int) -> str:
        in_force, known = _both(room, number)
        shown = published.version(room.client, number)
        return page(
            "mappings_version.html",
            number=number,
            version=shown,
            differences_found=list(
                release.differences(known, in_force, (str(number), _("in force")))
            ),
            is_in_force=number == published.number_in_force(room.client),
            editing=room.config.dashboard.edit_mappings,
        )

    @pages.get("/download/<int:number>")
    def download(number: int) -> Response:
        kept = published.read(room.client, number)
        if kept is None:
            abort(404, _("There is no such mapping set."))
        return Response(
            _zipped(kept.texts),
            mimetype="application/zip",
            headers={"Content-Disposition": f'attachment; filename="mappings-{number}.zip"'},
        )

    @pages.get("/edit")
    def edit() -> str:
        edited = _edit(room)
        return page("mappings_edit.html", **_editor(room, edited))

    @pages.post("/preview")
    def preview() -> str:
        file = _keep(room)
        return page("mappings_preview.html", **_previewed(room, _edit(room), file))

    @pages.post("/save")
    def save() -> BaseResponse:
        _keep(room)
        step = _STEPS.get(request.form.get("step", ""), ".edit")
        file, event = request.form.get("file"), request.form.get("event")
        return redirect(url_for(step, file=file, event=event or None))

    @pages.post("/discard")
    def discard() -> BaseResponse:
        drafts.discard(room.client, person().name)
        session["notice"] = _("The draft is gone; the set in force is as it was.")
        return redirect(url_for(".listed"))

    @pages.get("/plan")
    def plan() -> str:
        edited = _edit(room)
        judged = release.judged_texts(room.config, edited.texts)
        return page(
            "mappings_plan.html",
            edited=edited,
            judged=judged,
            sizes=PLANNED,
            size=_size(),
            found=_plan(room, judged.mapping_set, _size()) if judged.mapping_set else None,
        )

    @pages.get("/publish")
    def ask_publish() -> str:
        edited = _edit(room)
        judged = release.judged_texts(room.config, edited.texts)
        mapping_set = judged.mapping_set
        now = published.read(room.client, edited.in_force)
        return page(
            "mappings_publish.html",
            edited=edited,
            judged=judged,
            failed=release.failed_tests(room.config, mapping_set) if mapping_set else [],
            differences_found=_differences(room.config, now, edited.texts),
            sizes=PLANNED,
            size=_size(),
            found=_plan(room, mapping_set, _size()) if mapping_set else None,
            hash=set_hash(edited.texts, room.config.timezone),
            folder=_folder(room.config),
        )

    @pages.post("/publish")
    def publish() -> BaseResponse:
        return _publish(room)

    @pages.get("/rollback/<int:number>")
    def ask_roll_back(number: int) -> str:
        known, in_force = _both(room, number)[::-1]
        return page(
            "mappings_rollback.html",
            number=number,
            version=published.version(room.client, number),
            current=published.number_in_force(room.client),
            differences_found=list(
                release.differences(in_force, known, (_("in force"), str(number)))
            ),
        )

    @pages.post("/rollback/<int:number>")
    def roll_back(number: int) -> BaseResponse:
        if str(published.number_in_force(room.client)) != request.form.get("current"):
            session["notice"] = _("Another set came into force meanwhile; nothing was done.")
            return redirect(url_for(".ask_roll_back", number=number))
        try:
            put = release.roll_back(room.config, room.client, number, _note())
        except LookupError:
            abort(404, _("There is no such mapping set."))
        except MappingInvalid as error:
            abort(409, _("It cannot be used any more: %(error)s", error=error.problems[0]))
        room.remembered.forget()
        room.note("roll_back", f"mapping set {put.number}", f"back to {number}")
        session["notice"] = _(
            "Set %(new)s is in force: the texts of %(old)s.", new=put.number, old=number
        )
        return redirect(url_for(".listed"))

    return pages


_READING = frozenset({"listed", "version", "download"})
"""What may be seen where editing is switched off."""

_STEPS = {"plan": ".plan", "publish": ".ask_publish"}
"""Where a saved draft may go next."""


# --- what is edited


def _edit(room: Room) -> Edit:
    number = published.number_in_force(room.client) or 0
    kept = published.read(room.client, number) if number else None
    texts = kept.texts if kept else {}
    draft = drafts.read(room.client, person().name)
    return Edit(number, draft, draft.over(texts) if draft else texts)


def _written() -> tuple[str, str]:
    """The file of a form, and its text."""
    file = request.form.get("file", "")
    # A form gives line ends as \r\n (HTML standard, form submission).
    text = request.form.get("text", "").replace("\r\n", "\n")
    if len(text) > LARGEST_FILE:
        abort(413, _("A file may have %(n)s characters.", n=count(LARGEST_FILE)))
    if not drafts.is_file_name(file):
        abort(400, _("A file is called like this: orders.yaml, or tables/colours.yaml."))
    return file, text


def _keep(room: Room) -> str:
    """Keep what a form holds as the person's draft; the file that it is of."""
    file, text = _written()
    edited = _edit(room)
    if edited.texts.get(file) != text:
        drafts.write(room.client, person().name, edited.in_force, file, text)
    return file


def _file(texts: Mapping[str, str]) -> str:
    """The file that is asked for, else the first."""
    asked = request.values.get("file", "")
    return asked if asked in texts else next(iter(sorted(texts)), "")


def _editor(room: Room, edited: Edit) -> dict[str, Json]:
    asked = request.args.get("file", "")
    texts = dict(edited.texts)
    if drafts.is_file_name(asked):
        texts.setdefault(asked, "")
    file = _file(texts)
    shown = Edit(edited.in_force, edited.draft, texts)
    now = published.read(room.client, edited.in_force)
    previewed = _previewed(room, shown, file)
    return {
        "file": file,
        "text": texts.get(file, ""),
        "files": sorted(texts),
        "edited_files": {
            name for name in texts if now is None or now.texts.get(name) != texts[name]
        },
        "choices": _choices(room, previewed["event"]),
        "folder": _folder(room.config),
        **previewed,
    }


# --- what it would do


def _previewed(room: Room, edited: Edit, file: str) -> dict[str, Json]:
    """What is wrong with the set, and what it makes of the chosen event."""
    judged = release.judged_texts(room.config, edited.texts)
    entry = _entry(room, judged.mapping_set, file)
    hide = _as_it_is if entry and _reveals(room, entry) else masked
    is_large = entry is not None and len(entry.event.body) > LARGEST_TRIED
    tried = None
    if judged.mapping_set and entry and not is_large:
        tried = _try(room, judged.mapping_set, entry, hide)
    return {
        "edited": edited,
        "judged": judged,
        "problems": _of(judged, file),
        "tried": tried,
        "is_large": is_large,
        "revealed": hide is not masked,
        "event": entry.serial if entry else None,
    }


def _of(judged: Judged, file: str) -> list[dict[str, Json]]:
    """Errors and warnings; those of the file at hand the editor shows at their line."""
    return [
        {"level": level, "here": bool(p.place and p.place.file == file), **p.to_json()}
        for level, problems in (("error", judged.errors), ("warning", judged.warnings))
        for p in problems[:PROBLEMS_SHOWN]
    ]


def _choices(room: Room, chosen: int | None) -> list[Entry]:
    """The chosen event, and the latest kept ones, at most a few of each kind."""
    found: dict[str, list[Entry]] = {"": journal.headers(room.client, [chosen] if chosen else [])}
    for seen, entry in enumerate(journal.newest_first(room.client, page=200)):
        some = found.setdefault(f"{entry.event.source} {entry.event.kind}", [])
        if len(some) < 3 and entry.serial != chosen:
            some.append(entry)
        if seen > 400 or sum(map(len, found.values())) >= CHOICES:
            break
    return [entry for kind in sorted(found) for entry in found[kind]]


def _entry(room: Room, mapping_set: MappingSet | None, file: str) -> Entry | None:
    """The chosen event; else the latest that the file has a rule for, else the latest."""
    chosen = request.values.get("event", "")
    found = journal.load(room.client, [int(chosen)]) if chosen.isdecimal() else []
    if found:
        return found[0]
    latest = list(islice(journal.newest_first(room.client, page=200), 200))
    fitting = [entry for entry in latest if mapping_set and _is_for(mapping_set, file, entry)]
    entries = journal.load(room.client, [entry.serial for entry in (fitting or latest)[:1]])
    return entries[0] if entries else None


def _is_for(mapping_set: MappingSet, file: str, entry: Entry) -> bool:
    rules = mapping_set.rules_for(entry.event.source, entry.event.kind)
    return any(rule.place.file == file for rule in rules)


def _reveals(room: Room, entry: Entry) -> bool:
    """Whether personal data of the event is asked for by somebody who may see it. That is noted
    once an hour, and not with every letter that is typed."""
    who = person()
    if request.form.get("reveal") != "yes" or not who.may("reveal"):
        return False
    what = f"event {entry.event.id}"
    room.remembered.get(f"{who.name} {what}", 3600.0, lambda: room.note("reveal", what))
    return True


def _as_it_is(value: Json) -> Json:
    return value


def _try(
    room: Room, mapping_set: MappingSet, entry: Entry, hide: Callable[[Json], Json]
) -> Tried | None:
    source = room.reconciler.sources.get(entry.event.source)
    if source is None:
        return None
    applied = room.reconciler.apply(entry, mapping_set)
    try:
        document = source.document(entry.event)
    except EventUnreadable:
        return Tried(entry, None, applied, (), (), ())
    names = [Name(change.target, change.resource, change.id) for change in applied.changes]
    rows = [
        (change, tuple(_rows(change, state, hide)))
        for change, state in zip(applied.changes, store.read(room.client, names), strict=True)
    ]
    raw = {key: value for key, value in document.items() if key != "raw"}
    return Tried(
        entry,
        hide(raw),
        applied,
        tuple(rows),
        left_alone(mapping_set, document),
        tuple(reason for reason in skipped(mapping_set, document) if not reason.is_other_kind),
    )


def _rows(change: Change, state: State, hide: Callable[[Json], Json]) -> Iterator[FieldRow]:
    """Each field that the event tells of, beside what the record holds."""
    held, digests = planning.values(state.merged), state.delivered.digests
    given = {name: value_to_json(value) for name, value in change.fields.items()}
    for name, value in hide(given).items():
        had = name in held
        differs = not had or canonical(held[name]) != canonical(given[name])
        told = name in digests and had and is_told(state.merged.fields[name], digests[name])
        yield FieldRow(name, value, hide({name: held.get(name)})[name], had, differs, told)


def _size() -> int:
    asked = request.values.get("last", "")
    return int(asked) if asked.isdecimal() and int(asked) in PLANNED else PLANNED[0]


def _plan(room: Room, mapping_set: MappingSet, size: int) -> Plan | None:
    """What would change in the last `size` events; None while another plan runs."""
    if not _ONE_PLAN.acquire(timeout=2):
        return None
    try:
        serials = planning.select(room.client, room.config, Selection(limit=size))
        return planning.plan(room.reconciler, mapping_set, serials)
    finally:
        _ONE_PLAN.release()


# --- into force


def _publish(room: Room) -> BaseResponse:
    """What was shown, put into force; or the page again, which says why not."""
    edited = _edit(room)
    asked = request.form.get("hash", "")
    if asked != set_hash(edited.texts, room.config.timezone) or edited.is_outdated:
        session["notice"] = _(
            "Draft or set in force changed meanwhile: look again, nothing was done."
        )
        return redirect(url_for(".ask_publish"))
    mapping_set = release.judged_texts(room.config, edited.texts).mapping_set
    if mapping_set is None or release.failed_tests(room.config, mapping_set):
        return redirect(url_for(".ask_publish"))
    again = request.form.get("replay") == "yes"
    found = _plan(room, mapping_set, _size()) if again else None
    try:
        put = published.put_in_force(room.client, mapping_set, _note(), after=edited.in_force)
    except Superseded:
        session["notice"] = _("Another set came into force meanwhile; nothing was done.")
        return redirect(url_for(".ask_publish"))
    drafts.discard(room.client, person().name)
    files = ", ".join(sorted(edited.draft.texts)) if edited.draft else ""
    room.note("publish", f"mapping set {put.number}", files)
    told = [_("Set %(number)s is in force.", number=put.number)]
    if request.form.get("folder") == "yes" and _folder(room.config).writable:
        _write_folder(room.config.mappings, edited.draft)
        told.append(_("The files of the folder were written, too."))
    room.remembered.forget()
    if found and found.to_replay:
        release.wait_for_older_work(room.client)
        done = Replay(room.reconciler).events(journal.headers(room.client, found.to_replay))
        room.note("replay", f"{done.events} events", f"after mapping set {put.number}")
        told.append(
            _("%(n)s events ran again, %(m)s records changed.", n=done.events, m=len(done.changed))
        )
    session["notice"] = " ".join(told)
    return redirect(url_for(".listed"))


def _note() -> Note:
    return Note(person().name, request.form.get("message", "").strip()[:500])


@dataclass(frozen=True, slots=True)
class Folder:
    """The mappings folder, and whether what is written there is likely to be there tomorrow."""

    path: Path
    writable: bool


def _folder(config: Config) -> Folder:
    return Folder(config.mappings, os.access(config.mappings, os.W_OK))


def _write_folder(folder: Path, draft: Draft | None) -> None:
    """The draft's files in place of the folder's, each whole or not at all."""
    for name, text in (draft.texts if draft else {}).items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        new = file.with_name(f".{file.name}.new")
        new.write_text(text, encoding="utf-8")
        new.replace(file)


def _both(room: Room, number: int) -> tuple[Kept, Kept]:
    """The texts in force, and those of the set of that number."""
    current = published.number_in_force(room.client) or 0
    in_force, known = (published.read(room.client, which) for which in (current, number))
    if in_force is None or known is None:
        abort(404, _("There is no such mapping set."))
    return in_force, known


def _differences(
    config: Config, now: Kept | None, texts: Mapping[str, str]
) -> Sequence[FileDifference]:
    before = now or Kept({}, config.timezone)
    return list(
        release.differences(before, Kept(texts, config.timezone), (_("in force"), _("edited")))
    )


def _zipped(texts: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in sorted(texts.items()):
            archive.writestr(name, text)
    return packed.getvalue()
