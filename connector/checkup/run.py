"""All probes in their order, and the sweep whatever happens.

The order matters: `reachable` first; `create` makes the scratch record that the probes after it
work on, `deletes` takes it away; those that make records of their own come after; what was heard
along the way is judged last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from connector.checkup import connection, identity, manners, searching, values, writing
from connector.checkup.finding import Finding, Left, Report
from connector.checkup.lab import STILL_SHOWN, Lab, Skip, Stop
from connector.checkup.scratch import sweep
from connector.checkup.trail import Earlier

Probe = Callable[[Lab], Iterator[Finding]]

PROBES: tuple[Probe, ...] = (
    connection.reachable,
    connection.transport,
    connection.check_call,
    connection.wrong_credentials,
    searching.place_of_hits,
    writing.create,
    writing.read,
    writing.read_back,
    writing.update,
    manners.etags,
    *values.PROBES,
    searching.equality,
    writing.second_create,
    writing.deletes,
    writing.two_at_once,
    writing.idempotency_key,
    writing.ids_again,
    writing.batch,
    searching.search_lag,
    searching.hidden_after_delete,
    identity.id_characters,
    manners.rate_limits,
    manners.latency,
)


def run(
    lab: Lab,
    tell: Callable[[Finding], None] = lambda finding: None,
    earlier: Earlier | None = None,
) -> Report:
    """Runs every probe; `tell` hears of each finding at once. Never leaves without sweeping.

    Ctrl-C (KeyboardInterrupt) ends the probes; the report says so. What runs before this one were
    killed over (`earlier`) is taken away once the CRM has answered.
    """
    findings: list[Finding] = []
    stop: Stop | None = None
    old: list[Left] = []
    try:
        for finding in _found(lab, earlier, old):
            findings.append(finding)
            tell(finding)
    except Stop as reason:
        stop = reason
    except KeyboardInterrupt:
        stop = Stop("interrupted", ran=False)
    finally:
        left = sweep(lab.ledger, lab.name, lab.remove)
        if lab.trail:
            lab.trail.end(each for each in (*old, *left) if each.why != STILL_SHOWN)
    return Report(
        target=lab.config.name,
        resource=lab.name,
        findings=tuple(findings),
        left_behind=(*old, *left),
        stopped=lab.masked(stop.why) if stop else "",
        ran=stop.ran if stop else True,
    )


def _found(lab: Lab, earlier: Earlier | None, old: list[Left]) -> Iterator[Finding]:
    for number, probe in enumerate(PROBES):
        begun = time.monotonic()
        for finding in _guarded(probe, lab):
            yield replace(_masked(finding, lab), seconds=time.monotonic() - begun)
            begun = time.monotonic()
        if number == 0 and earlier and earlier.traces:
            yield _clear_up(lab, earlier, old)


def _guarded(probe: Probe, lab: Lab) -> Iterator[Finding]:
    """What the probe finds; a Stop where it fails itself, so that the report is not lost."""
    try:
        yield from _unless_skipped(probe, lab)
    except (Stop, GeneratorExit):
        raise
    except Exception as error:
        raise Stop(f"the probe {probe.__name__} failed: {error!r}") from error


def _masked(finding: Finding, lab: Lab) -> Finding:
    """Without what is nobody's business: a CRM may answer with the request in it."""
    return replace(
        finding,
        found=lab.masked(finding.found),
        meaning=lab.masked(finding.meaning),
        advice=lab.masked_json(finding.advice),
    )


def _clear_up(lab: Lab, earlier: Earlier, old: list[Left]) -> Finding:
    """Takes away what earlier runs were killed over; what could not be is added to `old`."""
    begun = time.monotonic()
    for name in dict.fromkeys(trace.resource for trace in earlier.traces):
        other = lab.of(name)
        rows = [trace for trace in earlier.traces if trace.resource == name]
        old += [left for row in rows if (left := other.recall(row.id, row.link))]
        old += sweep(other.ledger, name, other.remove)
    earlier.done()
    ids = len({(trace.resource, trace.id) for trace in earlier.traces})
    found = f"{ids} scratch records of a run that was cut off: {_gone_or_left(ids, old)}"
    return Finding("earlier", found, "", seconds=time.monotonic() - begun)


def _gone_or_left(ids: int, old: list[Left]) -> str:
    left = len({(each.resource, each.id) for each in old})
    return f"{left} are still there" if left else "taken away"


def _unless_skipped(probe: Probe, lab: Lab) -> Iterator[Finding]:
    try:
        yield from probe(lab)
    except Skip as reason:
        meaning = "not tried; does the CRM want a value to be unique? `--fields` gives others"
        yield Finding(probe.__name__, lab.masked(str(reason)), meaning)
