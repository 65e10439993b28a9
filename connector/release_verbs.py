"""`connector mappings plan | publish | versions | diff | rollback`: an edit shown, put into force,
and taken back.

As `cli`: parses, calls a room (`plan`, `release`, `replay`), prints. These verbs need Redis, and
with it the whole configuration; a progress bar, questions and complaints go to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from connector import assemble, journal, reports
from connector import plan as planning
from connector import release as releases
from connector.audit_verbs import noted
from connector.config import Config
from connector.errors import MappingInvalid
from connector.mapping import published
from connector.mapping.load import MappingSet
from connector.mapping.published import Note, Put, Superseded, Version
from connector.model import Json, Micros
from connector.plan import Example, Plan, Selection, Turn
from connector.redisdb import Redis
from connector.replay import Progress, Replay, Replayed
from connector.since import Since
from connector.terminal import complain, err, print_json, print_problems, print_table, say
from connector.verbs import (
    COULD_NOT_RUN,
    FOUND_WRONG,
    configuration,
    fail,
    open_redis,
    under_one_set,
)

SUMMARY_EVENTS = 10_000
"""The latest events that `publish` runs for its summary; `plan` runs all that it is asked for."""

LISTED = 20
"""Records and events that are listed for people; `--json` has all of them."""

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")
with_message = click.option("--message", "-m", default="", help="Why; kept with the version.")
with_author = click.option(
    "--author", help="Who; kept with the version.  [default: $USER, or git's user.name]"
)
without_question = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


def add_to(group: click.Group) -> None:
    """Make these verbs part of `connector mappings`."""
    for verb in (plan, publish, versions, diff, rollback):
        group.add_command(verb)


# --- the verbs


@click.command("plan")
@click.option("--since", type=Since(), help="Events received since: 15m, 2h, 7d, or an ISO time.")
@click.option("--kind", help="Events of this kind.")
@click.option("--record", nargs=2, metavar="RESOURCE ID", help="Events that went into this record.")
@click.option("--limit", type=click.IntRange(0), default=0, help="The latest so many; 0: all.")
@click.option("--apply", "apply_", is_flag=True, help="Publish, and replay what would change.")
@without_question
@with_message
@with_author
@as_json
def plan(
    since: int | None,
    kind: str | None,
    record: tuple[str, str] | None,
    limit: int,
    apply_: bool,
    yes: bool,
    message: str,
    author: str | None,
    json_: bool,
) -> None:
    """Run kept events through the files of the folder: what would change in which record?

    Nothing is sent or written, unless --apply is given and confirmed. Exit code 1 when events that
    pass now would fail.
    """
    config = configuration()
    client = open_redis(config.redis_url)
    mapping_set = _good_set(config, COULD_NOT_RUN)
    number = published.number_in_force(client) or 0
    selection = Selection(since, kind, record, limit)
    serials = planning.select(client, config, selection)
    found = _plan(config, client, mapping_set, serials)
    answer = planning.plan_to_json(found)
    if not json_:
        _say_plan(found)
    if apply_:
        _pass_tests(config, mapping_set)
        _ask(f"Publish the folder, and replay {len(found.to_replay)} events?", yes)
        put = _put(client, mapping_set, Note(_who(author), message), number)
        noted(client, "publish", f"mapping set {put.number}", message, author)
        replayed = _replay(config, client, put, found, selection, serials)
        answer |= {"published": put.number, "replayed": replayed.events}
        if not json_:
            say(f"mapping set {put.number} is in force", "green")
            say(f"{replayed.events} events replayed, {len(replayed.changed)} records written anew")
    if json_:
        print_json(answer)
    sys.exit(FOUND_WRONG if found.newly_failing else 0)


@click.command("publish")
@with_message
@with_author
@without_question
@click.option("--no-plan", is_flag=True, help="Do not work out first what would change.")
@as_json
def publish(message: str, author: str | None, yes: bool, no_plan: bool, json_: bool) -> None:
    """Put the files of the folder into force on every worker, at once and as a whole.

    They are checked and tested before; a folder that fails changes nothing (exit code 1). Events
    received before are not run again: `plan --apply` or `replay` does that.
    """
    config = configuration()
    client = open_redis(config.redis_url)
    now = releases.standing(config, client)
    if now.same:
        if json_:
            print_json({"number": now.number, "hash": now.hash, "published": False, "plan": None})
        else:
            say(f"the folder holds what is in force: mapping set {now.number}; nothing to publish")
        return
    mapping_set = _good_set(config, FOUND_WRONG)
    _pass_tests(config, mapping_set)
    found = None
    if not no_plan and journal.count(client):
        latest = Selection(limit=SUMMARY_EVENTS)
        serials = planning.select(client, config, latest)
        found = _plan(config, client, mapping_set, serials)
        if not json_:
            _say_summary(found)
    _ask("Publish the folder?", yes)
    put = _put(client, mapping_set, Note(_who(author), message), now.number)
    noted(client, "publish", f"mapping set {put.number}", message, author)
    if json_:
        plan_json = planning.plan_to_json(found) if found else None
        told = {"number": put.number, "hash": mapping_set.hash, "published": True}
        print_json({**told, "plan": plan_json})
        return
    say(f"mapping set {put.number} is in force ({mapping_set.hash[:SHORT]})", "green")
    if found and found.to_replay:
        say("kept events are as they were; `connector mappings plan --apply` runs them again")


@click.command("versions")
@as_json
def versions(json_: bool) -> None:
    """The mapping sets that are or were in force, the latest first."""
    config = configuration()
    client = open_redis(config.redis_url)
    known = published.versions(client)
    number = published.number_in_force(client)
    if json_:
        print_json({"versions": [_version_json(v, number) for v in known]})
        return
    print_table(
        ["number", "in force since", "author", "message", "hash", ""],
        (
            (
                version.number,
                _minute(version.at),
                version.note.author,
                _message(version),
                version.hash[:SHORT],
                "in force" if version.number == number else "",
            )
            for version in known
        ),
    )


@click.command("diff")
@click.argument("a", required=False)
@click.argument("b", default=releases.FOLDER)
@as_json
def diff(a: str | None, b: str, json_: bool) -> None:
    """What differs between two sets, file by file: A and B are numbers of versions, or `folder`.

    Without B, A is compared with the folder; without both, the set in force.
    """
    config = configuration()
    client = open_redis(config.redis_url)
    a = a or str(published.number_in_force(client) or fail("no mapping set is in force yet"))
    try:
        before, after = (releases.kept(config, client, which) for which in (a, b))
    except LookupError as error:
        fail(str(error.args[0]))
    found = list(releases.differences(before, after, (a, b)))
    zones = [str(before.timezone), str(after.timezone)]
    if json_:
        files = [{"file": d.file, "status": d.status, "diff": list(d.lines)} for d in found]
        print_json({"a": a, "b": b, "timezones": zones, "files": files})
        return
    if zones[0] != zones[1]:
        say(f"the time zone: {zones[0]} → {zones[1]}", "yellow")
    for difference in found:
        for line in difference.lines:
            say(line, _DIFF_STYLES.get(line[:1], ""))
    if not found and zones[0] == zones[1]:
        say(f"{a} and {b} hold the same")


@click.command("rollback")
@click.argument("number", type=click.IntRange(1), required=False)
@with_message
@with_author
@as_json
def rollback(number: int | None, message: str, author: str | None, json_: bool) -> None:
    """Put the set of an earlier NUMBER into force again.  [default: the one before]

    It gets a new number. The files of the folder stay as they are.
    """
    config = configuration()
    client = open_redis(config.redis_url)
    number = number or _number_before(client)
    try:
        put = releases.roll_back(config, client, number, Note(_who(author), message))
    except LookupError as error:
        fail(str(error.args[0]))
    except MappingInvalid as error:
        print_problems(error.problems, "bold red", "error", lines=False)
        fail(f"mapping set {number} cannot be used with the configuration of today", FOUND_WRONG)
    noted(client, "roll_back", f"mapping set {put.number}", f"back to {number}", author)
    if json_:
        print_json({"number": put.number, "back_to": number, "published": put.is_new})
        return
    if not put.is_new:
        say(f"mapping set {put.number} is in force and holds the same as {number}")
        return
    say(f"mapping set {put.number} is in force: the texts of {number}", "green")
    say("kept events are as they were; `connector replay --since …` runs them through it")
    if not releases.standing(config, client).same:
        say("the files of the folder differ: the next publish puts those into force", "yellow")


# --- what the verbs share


def _who(author: str | None) -> str:
    return releases.author(os.environ) if author is None else author


def _good_set(config: Config, code: int) -> MappingSet:
    judged = releases.judged(config)
    if judged.mapping_set is None:
        print_problems(judged.errors, "bold red", "error")
        fail(f"{len(judged.errors)} errors in {config.mappings}; nothing was published", code)
    return judged.mapping_set


def _pass_tests(config: Config, mapping_set: MappingSet) -> None:
    failed = releases.failed_tests(config, mapping_set)
    for result in failed:
        complain(f"test failed: {result.place}: {result.name}")
    if failed:
        what = f"{len(failed)} of {len(mapping_set.tests)} tests failed"
        fail(f"{what} (`connector mappings test` says why); nothing was published", FOUND_WRONG)


def _ask(question: str, yes: bool) -> None:
    if yes:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        fail("nobody answered, nothing was published; --yes does not ask")
    if not agreed:
        fail("nothing was published", FOUND_WRONG)


def _put(client: Redis, mapping_set: MappingSet, note: Note, after: int) -> Put:
    try:
        return published.put_in_force(client, mapping_set, note, after=after)
    except Superseded as error:
        fail(f"{error}; nothing was published. `connector mappings diff` shows how it differs")


def _plan(config: Config, client: Redis, mapping_set: MappingSet, serials: Sequence[int]) -> Plan:
    reconciler = assemble.reconciler(config, client)
    with _progress() as progress:
        return planning.plan(reconciler, mapping_set, serials, progress)


def _replay(
    config: Config,
    client: Redis,
    put: Put,
    found: Plan,
    selection: Selection,
    planned: Sequence[int],
) -> Replayed:
    """Replay what the plan said, and what an older set was given while the plan was made."""
    if not releases.wait_for_older_work(client):
        complain("a worker is still at events that it began under the set before")
    late = set(planning.select(client, config, selection)).difference(planned)
    entries = [
        entry
        for entry in journal.headers(client, sorted(late.union(found.to_replay)))
        if entry.serial not in late or entry.set_number < put.number
    ]
    with under_one_set(), _progress() as progress:
        return Replay(assemble.reconciler(config, client)).events(entries, progress)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar on standard error for each thing that is done; nothing where nobody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, TimeElapsedColumn(), console=err, disable=not err.is_terminal) as bar:
        tasks: dict[str, TaskID] = {}

        def progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield progress


def _number_before(client: Redis) -> int:
    current = published.number_in_force(client) or 0
    earlier = [v.number for v in published.versions(client) if v.number < current]
    return earlier[0] if earlier else fail("there is no mapping set before the one in force")


# --- how things are said


SHORT = 12
"""How many digits of a hash are shown to people."""

_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def _say_plan(found: Plan) -> None:
    _say_summary(found)
    for title, names in (
        ("created", found.created),
        ("changed", found.changed),
        ("deleted", found.deleted),
    ):
        if names:
            listed = ", ".join(f"{name.resource} {name.id}" for name in names[:LISTED])
            say(f"{title}: {listed}{_and_more(len(names))}")
    for title, turns in (
        ("would fail, and pass now", found.newly_failing),
        ("would pass, and do not now", found.newly_passing),
        ("would be named by no rule any more", found.newly_unmapped),
    ):
        _say_turns(title, turns)


def _say_turns(title: str, turns: Sequence[Turn]) -> None:
    """Events that would fare otherwise, one line for each kind and place of the error."""
    alike: dict[tuple[str | None, str], list[Turn]] = {}
    for turn in turns:
        place = turn.error.place if turn.error else None
        alike.setdefault((turn.entry.event.kind, str(place or "")), []).append(turn)
    for (kind, _), some in list(alike.items())[:LISTED]:
        say(f"{len(some)} {kind or 'unreadable'} {title}, such as {some[0].entry.event.id}")
        if some[0].error:
            say(f"    {some[0].error}", "red")
    if len(alike) > LISTED:
        say(f"…{_and_more(len(alike))} such lines")


def _say_summary(found: Plan) -> None:
    say(f"{found.events} kept events run through the files of the folder; nothing is sent", "bold")
    if found.is_empty:
        say("nothing would change", "green")
        return
    say(
        f"records: {len(found.created)} created, {len(found.changed)} changed,"
        f" {len(found.deleted)} deleted; {found.calls} calls"
    )
    say(
        f"events: {len(found.newly_failing)} would newly fail,"
        f" {len(found.newly_passing)} newly pass, {len(found.newly_unmapped)} newly be unmapped",
        "red" if found.newly_failing else "",
    )
    if found.fields:
        print_table(
            ["resource", "field", "records", "before → after", "rule"],
            (
                (
                    effect.resource,
                    effect.field,
                    effect.records,
                    "\n".join(map(_example, effect.examples)),
                    f"{effect.place.file}:{effect.place.line}" if effect.place else "",
                )
                for effect in found.fields
            ),
        )


def _example(example: Example) -> str:
    before = _value(example.before) if example.had else "nothing"
    after = _value(example.after) if example.has else "nothing"
    return f"{before} → {after}  ({example.name.id})"


def _value(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


WIDTH = 60
"""How many characters of a value are shown to people."""


def _and_more(count: int) -> str:
    return f" and {count - LISTED} more" if count > LISTED else ""


def _minute(at: Micros) -> str:
    return f"{reports.iso(at) or '':.16}Z"


def _message(version: Version) -> str:
    back = f"back to {version.note.back_to}" if version.note.back_to else ""
    return ": ".join(part for part in (back, version.note.message) if part)


def _version_json(version: Version, in_force: int | None) -> dict[str, Json]:
    return {
        "number": version.number,
        "hash": version.hash,
        "at": reports.iso(version.at),
        "author": version.note.author,
        "message": version.note.message,
        "back_to": version.note.back_to,
        "in_force": version.number == in_force,
    }
