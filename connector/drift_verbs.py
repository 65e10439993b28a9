"""`connector drift`: what the vendors send and the mappings do not take, with the lines to add.

As `cli`: parses, calls a room, prints. Reads the journal and the mapping files; changes nothing but
the file that `--write` names, and that only by comments.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from connector import drift as finding
from connector.drift import (
    AlwaysNull,
    ChangedCustomField,
    Drift,
    NewCustomField,
    Uncovered,
    Unread,
)
from connector.model import Json, Micros, Place
from connector.observed import kept_events
from connector.reports import iso
from connector.since import Since
from connector.terminal import print_json, print_table, say
from connector.verbs import FOUND_WRONG, fail
from connector.workbench import counted, now, open_workbench

WEEK = "7d"

_Counted = TypeVar("_Counted", Unread, AlwaysNull)

LATEST = 20_000
"""Events that are judged unless somebody asks for more: a quarter of a minute's work."""


@click.command()
@click.option(
    "--since",
    type=Since(),
    default=WEEK,
    show_default=True,
    help="Events received since: 15m, 2h, 7d, or an ISO time. Older ones tell what is new.",
)
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=LATEST,
    show_default=True,
    help="Judge the latest so many of them; 0: all.",
)
@click.option(
    "--write",
    "file",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Add the lines, as comments, to the end of this file.",
)
@click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")
def drift(since: int, limit: int, file: Path | None, json_: bool) -> None:
    """What comes and is not mapped, what is mapped and never comes, and what has changed.

    Judged by the mapping files in the configured folder. Exit code 1 where events are dead because
    `values:` lacks a word.
    """
    bench = open_workbench()
    mapping_set = bench.load()
    unreadable: Counter[str] = Counter()
    kept = kept_events(bench.redis(), bench.sources, unreadable=unreadable)
    found = finding.find(kept, mapping_set, since, limit)
    if file:
        if not file.exists() and file.suffix == ".yaml" and _is_same(file.parent, bench.folder):
            fail(f"{file}: a mapping file of nothing but comments would break the set")
        _append(file, found, since)
    if json_:
        print_json(_to_json(found, since, sum(unreadable.values())))
    else:
        _say(found, since, sum(unreadable.values()))
        if file:
            say(f"{file}: {len(list(_suggestions(found)))} lines added as comments")
    sys.exit(FOUND_WRONG if any(word.dead for word in found.uncovered) else 0)


# --- JSON


def _to_json(found: Drift, since: Micros, unreadable: int) -> dict[str, Json]:
    return {
        "since": iso(since),
        "events": found.events,
        "unreadable": unreadable,
        "unread": [_unread_json(each) for each in found.unread],
        "new_custom_fields": [_new_json(each) for each in found.new_custom_fields],
        "uncovered_values": [_uncovered_json(each) for each in found.uncovered],
        "always_null": [_null_json(each) for each in found.always_null],
        "changed_custom_fields": [_changed_json(each) for each in found.changed_custom_fields],
    }


def _unread_json(unread: Unread) -> dict[str, Json]:
    return {
        "source": unread.source,
        "kinds": list(unread.kinds),
        "path": unread.path or None,
        "types": list(unread.types),
        "count": unread.count,
        "example": unread.example,
        "yaml": unread.yaml,
        "resource": unread.resource or None,
        **_place_json(unread.place),
    }


def _new_json(new: NewCustomField) -> dict[str, Json]:
    return {
        "source": new.source,
        "object": new.object,
        "field": new.code,
        "label": new.label or None,
        "type": new.type or None,
        "first_seen": iso(new.first_seen),
        "count": new.count,
        "example": new.example,
        "yaml": new.yaml,
        "resource": new.resource or None,
        **_place_json(new.place),
    }


def _uncovered_json(word: Uncovered) -> dict[str, Json]:
    return {
        "resource": word.resource,
        "field": word.field,
        "expression": word.expression,
        "value": word.value,
        "count": word.count,
        "dead": word.dead,
        "example": word.value,
        "event": word.event,
        "yaml": word.yaml,
        **_place_json(word.place),
    }


def _null_json(null: AlwaysNull) -> dict[str, Json]:
    return {
        "resource": null.resource,
        "field": null.field,
        "expression": null.expression,
        "count": null.count,
        "example": null.event,
        "event": null.event,
        "yaml": null.yaml,
        **_place_json(null.place),
    }


def _changed_json(changed: ChangedCustomField) -> dict[str, Json]:
    return {
        "source": changed.source,
        "object": changed.object,
        "field": changed.code,
        "what": changed.what,
        "before": changed.before,
        "after": changed.after,
        "changed_at": iso(changed.changed_at),
        "count": changed.count,
        "example": changed.example,
        "yaml": changed.yaml,
        "resource": changed.resource or None,
        **_place_json(changed.place),
    }


def _place_json(place: Place | None) -> dict[str, Json]:
    return {
        "file": place.file if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
    }


# --- for people


def _say(found: Drift, since: Micros, unreadable: int) -> None:
    beside = f", {unreadable} kept events cannot be read" if unreadable else ""
    say(f"{counted(found.events, 'event')} since {iso(since)}{beside}", "bold")
    for title, headings, rows in _tables(found):
        listed = list(rows)
        if listed:
            print_table(headings, listed, title=title)
        else:
            say(f"{title}: none", "green")
    lines = list(_lines(found))
    if lines:
        say("lines to consider:", "bold")
    for yaml, place in lines:
        say(f"    {_one_line(yaml)}")
        if place:
            say(f"        {place}", "bright_black")


def _tables(
    found: Drift,
) -> Iterator[tuple[str, Sequence[str], Iterable[Sequence[object]]]]:
    """What was found, a table for each sort: title, headings, rows."""
    yield (
        "events that carry what no rule reads",
        ["what", "events", "example"],
        (
            (u.path or f"all of {', '.join(u.kinds)}", u.count, _shown(u.example))
            for u in _most_first(found.unread)
        ),
    )
    yield (
        "new custom fields",
        ["field", "label", "since", "events", "example"],
        (
            (f"{n.object} {n.code}", n.label, iso(n.first_seen), n.count, _shown(n.example))
            for n in found.new_custom_fields
        ),
    )
    yield (
        "words that `values:` does not have",
        ["field", "word", "events", "of them dead", "place"],
        (
            (f"{w.resource}.{w.field}", w.value, w.count, w.dead, w.place)
            for w in _deadliest_first(found.uncovered)
        ),
    )
    yield (
        "expressions that are always null",
        ["field", "expression", "events", "place"],
        (
            (f"{n.resource}.{n.field}", n.expression, n.count, n.place)
            for n in _most_first(found.always_null)
        ),
    )
    yield (
        "custom fields that have changed",
        ["field", "what", "before", "now", "since", "events", "example"],
        (
            (
                f"{c.object} {c.code}",
                c.what,
                c.before,
                c.after,
                iso(c.changed_at),
                c.count,
                _shown(c.example),
            )
            for c in found.changed_custom_fields
        ),
    )


def _lines(found: Drift) -> Iterator[tuple[str, str]]:
    """Lines of YAML that would mend what was found, whole, so that they can be copied, and where
    they belong."""
    for unread in _most_first(found.unread):
        yield unread.yaml, _at(unread)
    for new in found.new_custom_fields:
        yield new.yaml, _at(new)
    for word in _deadliest_first(found.uncovered):
        yield word.yaml, f"in `values:` at {word.place}"
    for null in _most_first(found.always_null):
        if null.is_renamed:
            yield null.yaml, f"instead of {null.place}"
    for changed in found.changed_custom_fields:
        yield changed.yaml, f"see {changed.place}" if changed.place else ""


def _most_first(findings: Iterable[_Counted]) -> list[_Counted]:
    return sorted(findings, key=lambda each: -each.count)


def _deadliest_first(words: Iterable[Uncovered]) -> list[Uncovered]:
    return sorted(words, key=lambda word: (-word.dead, -word.count))


def _at(each: Unread | NewCustomField) -> str:
    return f"below {each.place}" if each.place else ""


def _shown(value: Json) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)


# --- into a file


def _append(file: Path, found: Drift, since: Micros) -> None:
    """Adds the suggestions as comments, which change nothing until a person takes them out."""
    lines = list(_suggestions(found))
    if not lines:
        return
    today = datetime.fromtimestamp(now() / 1e6, UTC).strftime("%Y-%m-%d")
    head = [
        f"# --- drift of {today}: {counted(found.events, 'event')} since {iso(since)}",
        "# Lines to consider, each below `fields:` of its record or `values:` of its field.",
        "# Take the # away, or delete the line.",
    ]
    try:
        raw = file.read_bytes() if file.exists() else b""
        line_end = "\r\n" if b"\r\n" in raw else "\n"
        gap = [""] * (1 + (not raw.endswith(b"\n"))) if raw else []
        file.write_bytes(raw + line_end.join([*gap, *head, *lines, ""]).encode())
    except OSError as error:
        fail(f"{file} cannot be written: {error.strerror}")


def _is_same(one: Path, other: Path) -> bool:
    return one.absolute().resolve() == other.absolute().resolve()


def _suggestions(found: Drift) -> Iterator[str]:
    """Two lines for each finding: why, and the YAML."""
    for way, findings in _WAYS:
        for each in findings(found):
            yield f"# {_one_line(way(each))}"
            yield f"#   {_one_line(each.yaml)}"


def _unread_why(unread: Unread) -> str:
    kinds = ", ".join(unread.kinds)
    if not unread.path:
        return f"no block is for {kinds}: {counted(unread.count, 'event')}"
    example = f", e.g. {_shown(unread.example)}" if unread.example is not None else ""
    events = counted(unread.count, "event")
    return f"{_where(unread)}{unread.path} carries data in {events} of {kinds}{example}"


def _new_why(new: NewCustomField) -> str:
    label = f" ({new.label})" if new.label else ""
    example = f", e.g. {_shown(new.example)}" if new.example is not None else ""
    first = iso(new.first_seen)
    return (
        f"{_where(new)}new custom field {new.code}{label} of {new.object}: "
        f"{counted(new.count, 'event')} since {first}{example}"
    )


def _uncovered_why(word: Uncovered) -> str:
    dead = f", {word.dead} of them dead" if word.dead else ""
    return (
        f"{word.resource} ({word.place}): `values` of {word.field} lacks {word.value!r}: "
        f"{counted(word.count, 'event')}{dead}"
    )


def _null_why(null: AlwaysNull) -> str:
    events = counted(null.count, "event")
    return f"{null.resource} ({null.place}): {null.expression} was null in all of {events}"


def _changed_why(changed: ChangedCustomField) -> str:
    return (
        f"{_where(changed)}the {changed.what} of {changed.code} of {changed.object} was "
        f"{changed.before!r} and is {changed.after!r} since {iso(changed.changed_at)} "
        f"({counted(changed.count, 'event')})"
    )


def _where(each: Unread | NewCustomField | ChangedCustomField) -> str:
    return f"{each.resource} ({each.place}): " if each.place else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


_WAYS: Sequence[tuple[Callable[[Json], str], Callable[[Drift], Sequence[Json]]]] = (
    (_uncovered_why, lambda found: found.uncovered),
    (_new_why, lambda found: found.new_custom_fields),
    (_changed_why, lambda found: found.changed_custom_fields),
    (_unread_why, lambda found: found.unread),
    (_null_why, lambda found: [null for null in found.always_null if null.is_renamed]),
)
