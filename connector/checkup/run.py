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
from connector.checkup.finding import Finding, Report
from connector.checkup.lab import Lab, Skip, Stop
from connector.checkup.scratch import sweep

Probe = Callable[[Lab], Iterator[Finding]]

PROBES: tuple[Probe, ...] = (
    connection.reachable,
    connection.transport,
    connection.check_call,
    connection.wrong_credentials,
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
    searching.search_lag,
    searching.hidden_after_delete,
    identity.id_characters,
    manners.rate_limits,
    manners.latency,
)


def run(lab: Lab, tell: Callable[[Finding], None] = lambda finding: None) -> Report:
    """Runs every probe; `tell` hears of each finding at once. Never leaves without sweeping.

    Ctrl-C (KeyboardInterrupt) ends the probes; the report says so.
    """
    findings: list[Finding] = []
    stop: Stop | None = None
    try:
        for finding in _found(lab):
            findings.append(finding)
            tell(finding)
    except Stop as reason:
        stop = reason
    except KeyboardInterrupt:
        stop = Stop("interrupted", ran=False)
    finally:
        left = sweep(lab.ledger, lab.name, lab.remove)
    return Report(
        target=lab.config.name,
        resource=lab.name,
        findings=tuple(findings),
        left_behind=tuple(left),
        stopped=stop.why if stop else "",
        ran=stop.ran if stop else True,
    )


def _found(lab: Lab) -> Iterator[Finding]:
    for probe in PROBES:
        begun = time.monotonic()
        for finding in _unless_skipped(probe, lab):
            yield replace(finding, seconds=time.monotonic() - begun)
            begun = time.monotonic()


def _unless_skipped(probe: Probe, lab: Lab) -> Iterator[Finding]:
    try:
        yield from probe(lab)
    except Skip as reason:
        meaning = "not tried; does the CRM want a value to be unique? `--fields` gives others"
        yield Finding(probe.__name__, lab.masked(str(reason)), meaning)
