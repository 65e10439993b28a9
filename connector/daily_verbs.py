"""The verbs for people: each parses, calls a room, prints. No verb does anything itself.

Exit codes: 0 fine; 1 it found something wrong; 2 it could not run.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO

import click
import requests

from connector import (
    assemble,
    audit_verbs,
    deadletters,
    flow,
    journal,
    release_verbs,
    reports,
    target_verbs,
)
from connector.audit_verbs import noted
from connector.config import Config
from connector.deadletters import DeadLetter, Wanted
from connector.drift_verbs import drift
from connector.errors import SenderError
from connector.journal import Entry
from connector.mapping_verbs import mappings
from connector.model import Json, Name
from connector.problems import did_you_mean
from connector.redisdb import Redis
from connector.replay import Replay
from connector.since import Since
from connector.sources.base import Source
from connector.terminal import complain, print_json, print_problems, print_table, say
from connector.verbs import (
    COULD_NOT_RUN,
    FOUND_WRONG,
    configuration,
    fail,
    open_redis,
    under_one_set,
)

SHORT, VALUE, ANSWER = 80, 30, 30
"""How many characters are shown to people: of a value, and of one, or an answer, beside much else.
"""

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")


verbs = click.Group("connector")
"""What `connector.cli` offers besides the processes."""


# --- running


@verbs.command()
@click.option(
    "--once",
    is_flag=True,
    help="Stop when every sample event is done; 0 if all is as it should be.",
)
@click.option("--port", type=int, default=8080, show_default=True, help="Of the web process.")
@click.option("--crm-port", type=int, default=8081, show_default=True, help="Of the reference CRM.")
def demo(once: bool, port: int, crm_port: int) -> None:
    """The whole system on this machine, fed with every sample event of both vendors."""
    from connector.demo.run import run  # the only verb that needs the demo's own packages

    sys.exit(run(once=once, port=port, crm_port=crm_port))


@verbs.group()
def config() -> None:
    """The configuration file."""


@config.command("check")
@as_json
def config_check(json_: bool) -> None:
    """Check configuration and mappings, and that everything named in them can be reached."""
    from connector.preflight import check

    report = check()
    if json_:
        print_json(
            {
                "errors": [problem.to_json() for problem in report.errors],
                "warnings": [problem.to_json() for problem in report.warnings],
            }
        )
    else:
        print_problems(report.errors, "bold red", "error", masked=True)
        print_problems(report.warnings, "yellow", "warning", lines=False)
        for line in report.fine:
            say(f"ok: {line}", "green")
    sys.exit(FOUND_WRONG if report.errors else 0)


release_verbs.add_to(mappings)
verbs.add_command(mappings)
verbs.add_command(drift)
audit_verbs.add_to(verbs)


# --- the journal


@verbs.command()
@click.option("--state", type=click.Choice(reports.STATES), help="Only events in this state.")
@click.option("--kind", help="Only events of this kind, e.g. ticket.update.")
@click.option(
    "--since", type=Since(), help="Only events received since: 15m, 2h, 7d, or an ISO time."
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="At most so many; 0: all.",
)
@as_json
def events(state: str | None, kind: str | None, since: int | None, limit: int, json_: bool) -> None:
    """The journal: what was received, the latest first, and what became of it."""
    query = reports.Query(state, kind, since, limit)
    rows = [reports.event_json(entry, now) for entry, now in reports.events(open_redis(), query)]
    if json_:
        print_json({"events": rows})
        return
    print_table(
        ["received", "source", "kind", "state", "records", "event"],
        (
            (
                _when(row["received_at"]),
                row["source"],
                row["kind"] or "–",
                row["state"],
                ", ".join(f"{r['resource']} {r['id']}" for r in row["records"]),
                row["id"],
            )
            for row in rows
        ),
    )


@verbs.command()
@click.argument("event_id", metavar="ID")
@as_json
def event(event_id: str, json_: bool) -> None:
    """One event with everything that became of it. ID may be the beginning of one."""
    client = open_redis()
    entry = _one_event(client, event_id)
    detail = reports.event_detail(client, entry)
    number, effects = reports.event_effects(assemble.reconciler(configuration(), client), entry)
    detail |= {"effects": effects, "effects_by_set": number}
    if json_:
        print_json(detail)
        return
    say(f"{detail['kind'] or 'event'} {detail['id']}: {detail['state']}", "bold")
    say(
        f"received {detail['received_at']} from {detail['source']},"
        f" mapping set {detail['mapping_set']}"
    )
    if detail["error"]:
        complain(_told(detail["error"]))
    for warning in detail["warnings"]:
        say(f"warning: {_told(warning)}", "yellow")
    print_table(
        ["record", "state", "why", "due"],
        (
            (f"{r['target']} {r['resource']} {r['id']}", r["state"], r["why"], r["due"])
            for r in detail["records"]
        ),
    )
    _say_effects(effects)
    if effects and number != detail["mapping_set"]:
        say(f"told by mapping set {number}: the one that read the event is not kept any more")
    say(json.dumps(detail["body"], ensure_ascii=False, indent=2))


def _say_effects(effects: Sequence[Mapping[str, Json]]) -> None:
    """What an event changed, and then what it did not, with the reasons."""
    print_table(
        ["record", "field", "value", "went out", "", "mapping"],
        (
            (*_of_effect(e), _short(e["value"]), _when(e["delivered_at"]), e["why"], _place(e))
            for e in effects
            if e["did"] == "changed"
        ),
        title="what it changed",
    )
    print_table(
        ["record", "field", "", "why not", "by event", "mapping"],
        (
            (*_of_effect(e), e["did"], e["why"], (e["by"] or "")[:12], _place(e))
            for e in effects
            if e["did"] != "changed"
        ),
        title="what it did not change",
    )


def _of_effect(effect: Mapping[str, Json]) -> tuple[str, Json]:
    return f"{effect['resource']} {effect['id'] or ''}".strip(), effect["field"]


@verbs.command()
@click.argument("resource")
@click.argument("record_id", metavar="ID")
@click.option("--target", help="Where several targets have it.")
@as_json
def record(resource: str, record_id: str, target: str | None, json_: bool) -> None:
    """A record's state: each field with the event and the mapping line that set it."""
    client, loaded = open_redis(), configuration()
    states = [
        state
        for state in reports.find_records(client, loaded, resource, record_id)
        if target in (None, state.name.target)
    ]
    if not states:
        fail(f"no record {resource} {record_id} is known")
    if len(states) > 1:
        names = ", ".join(state.name.target for state in states)
        fail(f"several targets have {resource} {record_id}; say which with --target: {names}")
    detail = reports.record_detail(client, loaded, states[0])
    if json_:
        print_json(detail)
        return
    say(f"{detail['target']} {resource} {record_id}: {detail['state']}", "bold")
    if detail["why"]:
        say(f"{detail['why']}; due {detail['due'] or 'when something newer comes'}", "yellow")
    if detail["deleted"]:
        say(f"deleted by event {detail['deleted']['event']}", "red")
    print_table(
        ["field", "value", "version", "event", "mapping", "delivered"],
        (
            (
                field["field"],
                _short(field["value"], VALUE),
                _when(field["version"]),
                field["event"][:12],
                _place(field),
                _when(field["delivered_at"]) or "–",
            )
            for field in detail["fields"]
        ),
    )
    notes = [
        (field["field"], field["note"] or f"write: {field['write']}")
        for field in detail["fields"]
        if field["note"] or field["write"] != "always"
    ]
    if notes:
        print_table(["field", "note"], notes, title="of these")
    for warning in detail["warnings"]:
        say(f"warning: {warning}", "yellow")
    print_table(
        ["at", "call", "status", "meaning", "ms", "answer"],
        (
            (
                _when(c["at"]),
                f"{c['method']} {c['path']}",
                c["status"],
                c["meaning"],
                round(c["seconds"] * 1000),
                _short(c["answer"], ANSWER),
            )
            for c in detail["calls"]
        ),
        title="calls, the latest first",
    )


@verbs.command()
@click.argument("ids", metavar="EVENT…", nargs=-1)
@click.option("--since", type=Since(), help="Events received since: 15m, 2h, 7d, or an ISO time.")
@click.option("--kind", help="Events of this kind.")
@click.option("--state", type=click.Choice(reports.STATES), help="Events in this state.")
@click.option(
    "--rebuild",
    is_flag=True,
    help="Of the record RESOURCE ID; takes a delete back that no kept event asks for.",
)
@as_json
def replay(
    ids: tuple[str, ...],
    since: int | None,
    kind: str | None,
    state: str | None,
    rebuild: bool,
    json_: bool,
) -> None:
    """Run kept events again through the mappings in force. Safe to repeat."""
    client, loaded = open_redis(), configuration()
    filtered = since is not None or kind is not None or state is not None
    if rebuild:
        if len(ids) != 2 or filtered:
            raise click.UsageError("--rebuild takes RESOURCE ID and nothing else")
        _rebuild(client, loaded, ids[0], ids[1], json_)
        return
    if bool(ids) == filtered:
        raise click.UsageError("say which events: EVENT…, or one of --since, --kind, --state")
    if ids:
        entries = [_one_event(client, event_id) for event_id in ids]
    else:
        query = reports.Query(state, kind, since, 0)
        entries = [entry for entry, _ in reports.events(client, query)]
    _replay(client, loaded, entries, json_)


@verbs.command()
@as_json
def status(json_: bool) -> None:
    """One screen: sources, queue, workers, targets, dead letters, mappings, drift."""
    from connector.alive import live_workers

    client, loaded = open_redis(), configuration()
    now = reports.status(client, loaded, live_workers(client))
    if json_:
        print_json(now)
        return
    say(f"{now['events']} events kept, {now['queued']} queued, {now['dead']} dead letters")
    print_table(["source", "kind"], ((s["name"], s["kind"]) for s in now["sources"]))
    print_table(
        ["target", "state", "records waiting"],
        ((t["name"], t["state"], t["waiting"]) for t in now["targets"]),
    )
    workers = now["workers"]
    say(
        f"{len(workers)} workers: {', '.join(workers)}" if workers else "no worker is running",
        "" if workers else "red",
    )
    in_force = now["mappings"]
    say(
        f"mapping set {in_force['number'] or '–'} is in force; {in_force['folder']}",
        "" if in_force["same"] else "yellow",
    )
    if now["redis"]["full"]:
        say("Redis is full: events wait in the spool until it has room", "red")
    if now["drift"]:
        say(_drifted(now["drift"]))


def _drifted(drift: Mapping[str, int]) -> str:
    """What `connector drift` would tell more of."""
    found = ", ".join(
        f"{count} {sort.replace('_', ' ')}"
        for sort, count in drift.items()
        if count and sort != "events"
    )
    return f"drift in the latest {drift['events']} events: {found or 'none'}" + (
        "; see connector drift" if found else ""
    )


@verbs.command()
@click.option("--limit", type=click.IntRange(0), default=100, help="At most so many; 0: all.")
@as_json
def edits(limit: int, json_: bool) -> None:
    """Edits of people in the CRM that a delivery met: kept by a `write:` policy, or overwritten.

    Overwritten ones are only seen where the CRM's row is read before it is written.
    """
    rows = reports.edits(open_redis(), configuration(), limit)
    if json_:
        print_json({"edits": rows})
        return
    if not rows:
        say("no delivery has met an edit of a person")
        return
    print_table(
        ["at", "record", "field", "theirs", "ours", "theirs was", "policy", "mapping"],
        (
            (
                _when(r["at"]),
                f"{r['resource']} {r['id']}",
                r["field"],
                _short(r["theirs"]),
                _short(r["ours"]),
                r["fate"],
                r["write"],
                _place(r),
            )
            for r in rows
        ),
    )


# --- dead letters


@verbs.group(invoke_without_command=True)
@click.option("--reason", help="Only those whose reason holds this text.")
@click.option("--resource", help="Only deliveries of this resource.")
@click.option("--limit", type=click.IntRange(0), default=0, help="At most so many; 0: all.")
@as_json
@click.pass_context
def dead(
    context: click.Context, reason: str | None, resource: str | None, limit: int, json_: bool
) -> None:
    """Events and deliveries that were given up, and why."""
    if context.invoked_subcommand is not None:
        return
    letters = deadletters.find(open_redis(), Wanted((), reason, resource), limit)
    rows = [{**letter.to_json(), "since": reports.iso(letter.since)} for letter in letters]
    if json_:
        print_json({"dead": rows})
        return
    reasons = Counter(row["reason"] for row in rows)
    print_table(["how many", "reason"], ((n, text) for text, n in reasons.most_common()))
    print_table(
        ["since", "what", "reason", "status", "tries", "id"],
        ((r["since"], r["what"], r["reason"], r["status"], r["attempts"], r["id"]) for r in rows),
    )


def _which_letters(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.argument("ids", metavar="[ID…]", nargs=-1),
        click.option("--all", "all_", is_flag=True, help="All of them."),
        click.option("--reason", help="Those whose reason holds this text."),
        click.option("--resource", help="Deliveries of this resource."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@dead.command("retry")
@_which_letters
@as_json
def dead_retry(
    ids: tuple[str, ...], all_: bool, reason: str | None, resource: str | None, json_: bool
) -> None:
    """Try again: events run through the mappings in force, deliveries become due."""
    client, letters = _letters(ids, all_, reason, resource)
    with under_one_set():
        replay_ = Replay(assemble.reconciler(configuration(), client))
        retried = deadletters.retry(client, letters, replay_)
    noted(client, "retry", deadletters.named(letters))
    _tell_count("retried", retried, json_)


@dead.command("drop")
@_which_letters
@click.option("--why", required=True, help="Kept with what is dropped.")
@as_json
def dead_drop(
    ids: tuple[str, ...],
    all_: bool,
    reason: str | None,
    resource: str | None,
    why: str,
    json_: bool,
) -> None:
    """Give up for good. The reason is kept."""
    client, letters = _letters(ids, all_, reason, resource)
    now = reports.iso(time.time_ns() // 1000) or ""
    dropped = deadletters.drop(client, letters, why, now)
    noted(client, "drop", deadletters.named(letters), why)
    _tell_count("dropped", dropped, json_)


def _letters(
    ids: tuple[str, ...], all_: bool, reason: str | None, resource: str | None
) -> tuple[Redis, list[DeadLetter]]:
    if not (ids or all_ or reason or resource):
        raise click.UsageError("say which: ID…, --all, --reason or --resource")
    client = open_redis()
    letters = deadletters.find(client, Wanted(ids, reason, resource))
    if not ids:
        return client, letters
    chosen = [letter for id_ in ids for letter in _by_prefix(letters, id_)]
    return client, [letter for letter in letters if any(letter is one for one in chosen)]


def _by_prefix(letters: Sequence[DeadLetter], prefix: str) -> Sequence[DeadLetter]:
    """The dead letter with that id (several, where sources sent the same), or the only one whose
    id begins so."""
    fitting = [letter for letter in letters if letter.id.startswith(prefix)]
    whole = [letter for letter in fitting if letter.id == prefix]
    if not fitting:
        fail(f"no dead letter begins with {prefix}")
    if len(fitting) > 1 and not whole:
        names = ", ".join(letter.id for letter in fitting[:5])
        fail(f"{prefix} is the beginning of several dead letters: {names}")
    return whole or fitting


def _tell_count(word: str, count: int, json_: bool) -> None:
    if json_:
        print_json({word: count})
    else:
        say(f"{count} {word}")


# --- targets


@verbs.group(invoke_without_command=True)
@as_json
@click.pass_context
def targets(context: click.Context, json_: bool) -> None:
    """The targets: whether deliveries flow to them, and if not, why and since when."""
    if context.invoked_subcommand is not None:
        return
    rows = reports.targets(open_redis(), configuration())
    if json_:
        print_json({"targets": rows})
        return
    print_table(
        ["target", "state", "why", "since", "records waiting"],
        ((r["name"], r["state"], r["why"], r["since"], r["waiting"]) for r in rows),
    )


@targets.command("pause")
@click.argument("name")
def targets_pause(name: str) -> None:
    """Deliver nothing to a target until `resume`. Events are received and merged all the same."""
    client = open_redis()
    flow.pause(client, _target(name))
    noted(client, "pause", f"target {name}")
    say(f"{name} is paused")


@targets.command("resume")
@click.argument("name")
def targets_resume(name: str) -> None:
    """Let deliveries to a target flow again, at once."""
    client = open_redis()
    was = flow.resume(client, _target(name))
    noted(client, "resume", f"target {name}")
    say(f"{name} is open again" if was else f"{name} was not paused")


target_verbs.add_to(targets)


def _target(name: str) -> str:
    known = configuration().targets
    if name not in known:
        fail(f"no target {name!r} is configured; {did_you_mean(name, known)}")
    return name


# --- as the vendor would


@verbs.command()
@click.argument("source")
@click.argument("file", type=click.File("rb"))
@click.option("--app-id", help="Mobio: sign as this app. [default: the body's own]")
@as_json
def sign(source: str, file: BinaryIO, app_id: str | None, json_: bool) -> None:
    """Print the signature header that the vendor would send with FILE ('-': standard input)."""
    headers = _signed(_source(source), file.read(), app_id)
    if json_:
        print_json(headers)
        return
    for name, value in headers.items():
        sys.stdout.write(f"{name}: {value}\n")


@verbs.command()
@click.argument("source")
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.File("rb"))
@click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="The base address of the web process.",
)
@click.option("--app-id", help="Mobio: sign as this app. [default: the body's own]")
@as_json
def send(
    source: str,
    files: Sequence[BinaryIO],
    url: str,
    app_id: str | None,
    json_: bool,
) -> None:
    """Sign FILE… as the vendor would, and post each to the web process."""
    sender = _source(source)
    answers = [
        _send(sender, file, f"{url.rstrip('/')}/webhooks/{source}", app_id) for file in files
    ]
    if json_:
        print_json({"sent": answers})
    else:
        print_table(
            ["file", "status", "answer"],
            ((a["file"], a["status"], _shown(a["answer"])) for a in answers),
        )
    if any(answer["status"] is None for answer in answers):
        sys.exit(COULD_NOT_RUN)
    sys.exit(0 if all(answer["status"] == 200 for answer in answers) else FOUND_WRONG)


# --- what the verbs share


def _one_event(client: Redis, prefix: str) -> Entry:
    """The event with that id, or the only one whose id begins so. Where two sources were sent the
    same, `source/id` says which."""
    sources: Iterable[str] = configuration().sources
    source, slash, id_ = prefix.partition("/")
    if slash and source in sources:
        sources, prefix = [source], id_
    named = [(name, journal.find(client, name, prefix)) for name in sources]
    whole = [(name, entry) for name, entry in named if entry]
    if len(whole) > 1:
        names = " or ".join(f"{name}/{prefix}" for name, _ in whole)
        fail(f"several sources sent {prefix}: say {names}")
    if whole:
        return whole[0][1]
    found = [entry for entry in journal.search(client, prefix) if entry.event.source in sources]
    if not found:
        fail(f"no event begins with {prefix}")
    if len(found) > 1:
        fail(f"{prefix} is the beginning of several events: {', '.join(e.event.id for e in found)}")
    return journal.load(client, [found[0].serial])[0]


def _replay(client: Redis, loaded: Config, entries: Sequence[Entry], json_: bool) -> None:
    replay_ = Replay(assemble.reconciler(loaded, client))
    with under_one_set():
        done = replay_.events(entries)
    noted(client, "replay", f"{done.events} events", f"{len(done.changed)} records changed")
    if json_:
        print_json(
            {
                "replayed": done.events,
                "records": [_name(name) for name in done.changed],
                "failed": [reports.event_json(entry, entry.state) for entry in done.failed],
            }
        )
    else:
        say(f"{done.events} events run again; {len(done.changed)} records changed")
        for entry in done.failed:
            complain(f"{entry.event.id}: {entry.problem}")
    sys.exit(FOUND_WRONG if done.failed else 0)


def _rebuild(client: Redis, loaded: Config, resource: str, record_id: str, json_: bool) -> None:
    states = reports.find_records(client, loaded, resource, record_id)
    if not states:
        fail(f"no record {resource} {record_id} is known")
    replay_ = Replay(assemble.reconciler(loaded, client))
    with under_one_set():
        changed = [state.name for state in states if replay_.rebuild(state.name)]
    noted(client, "replay", f"record {resource}/{record_id}", "rebuilt")
    if json_:
        print_json({"records": [_name(name) for name in changed]})
    else:
        say(f"{len(changed)} records changed")


def _source(name: str) -> Source:
    sources = assemble.open_sources(configuration())
    if name not in sources:
        fail(f"no source {name!r} is configured; {did_you_mean(name, sources)}")
    return sources[name]


def _signed(source: Source, body: bytes, app_id: str | None) -> dict[str, str]:
    try:
        return source.sign(body, app_id)
    except SenderError as error:
        fail(str(error))


def _send(source: Source, file: BinaryIO, url: str, app_id: str | None) -> dict[str, Json]:
    body = file.read()
    headers = {"Content-Type": "application/json", **_signed(source, body, app_id)}
    started = time.monotonic()
    try:
        response = requests.post(url, data=body, headers=headers, timeout=10, allow_redirects=False)
    except requests.RequestException as error:
        return {"file": file.name, "status": None, "answer": str(error)}
    try:
        answer: Json = response.json()
    except ValueError:
        answer = response.text[:500]
    return {
        "file": file.name,
        "status": response.status_code,
        "answer": answer,
        "seconds": round(time.monotonic() - started, 4),
    }


def _name(name: Name) -> dict[str, str]:
    return {"target": name.target, "resource": name.resource, "id": name.id}


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _short(value: Json, length: int = SHORT) -> str:
    """A value for a table's cell; `--json` has all of it."""
    text = " ".join(_shown(value).split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _when(at: str | None) -> str:
    """A time for a table's cell, to the second, UTC."""
    return f"{at[:19].replace('T', ' ')}Z" if at else ""


def _place(row: Mapping[str, Json]) -> str:
    return f"{row['file']}:{row['line']}" if row["file"] else ""


def _told(problem: Mapping[str, Json]) -> str:
    where = f"{problem['file']}:{problem['line']}:{problem['column']}: " if problem["file"] else ""
    return f"{where}{problem['message']}"
