"""`connector targets …`: what an integrator asks of a CRM's API.

As `cli`: parses, calls a room, prints. Needs no Redis. Exit codes: 0 fine, 1 the configuration does
not suit what was found, 2 it could not run.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from connector import assemble
from connector.checkup.finding import Finding, Report, better
from connector.config import Config
from connector.config.model import TargetConfig
from connector.errors import Invalid
from connector.mapping.ruleset import MappingSet
from connector.model import Json
from connector.problems import did_you_mean
from connector.redisdb import connect
from connector.targets.tokens import FETCHED, MemoryTokens, TokenStore
from connector.terminal import complain, err, print_json, print_problems, print_table, say
from connector.tokens import RedisTokens
from connector.verbs import COULD_NOT_RUN, FOUND_WRONG, configuration, fail, open_redis
from connector.workbench import Workbench, surroundings
from connector.yamltext import load_text

if TYPE_CHECKING:
    from connector.checkup.trail import Trail

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON for programs.")


def add_to(group: click.Group) -> None:
    """The verbs of this file."""
    group.add_command(check_verb)
    group.add_command(import_verb)


# --- check


@click.command("check")
@click.argument("name")
@click.option("--resource", help="Of which a scratch record is made.  [default: an easy one]")
@click.option(
    "--fields",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The scratch record's own fields, a map in JSON or YAML.",
)
@click.option("--yes", "-y", is_flag=True, help="Do not ask; for CI.")
@as_json
def check_verb(name: str, resource: str | None, file: Path | None, yes: bool, json_: bool) -> None:
    """Find out what the API of target NAME really does, on scratch records.

    They are created, changed and deleted again; nothing else in the CRM is touched.
    """
    from connector.checkup.lab import Lab
    from connector.checkup.run import run
    from connector.checkup.samples import gather, given, resource_of
    from connector.checkup.trail import Earlier

    config = configuration()
    target = _target(config, name)
    bench = _bench(config)
    mapping_set = bench.load()
    chosen = resource or resource_of(mapping_set, name, bench.documents)
    if chosen is None:
        fail(_nothing_to_try(mapping_set, name))
    sample = gather(mapping_set, name, chosen, bench.documents)
    if file:
        sample = given(_fields_in(file), sample)
    if not sample.fields:
        fail(f"nothing maps to {chosen!r}: say which fields a scratch record has, with --fields")
    tokens = _tokens(config, target)
    folder = (config.spool.parent if config.spool else config.path.parent / "var") / "checks"
    with Earlier(folder, name) as earlier, _ended_by_sigterm():
        if not yes:
            _ask(target, chosen, len(sample.references), len({t.id for t in earlier.traces}))
        lab = Lab(
            target,
            chosen,
            sample.fields,
            sample.id_kind,
            sample.free_text,
            tokens,
            trail=_trail(folder, name),
        )
        report = run(lab, (lambda finding: None) if json_ else _say_progress, earlier)
    if json_:
        print_json(report.to_json())
    else:
        _say_report(report)
    if not report.ran:
        sys.exit(COULD_NOT_RUN)
    sys.exit(0 if report.suits and not report.stopped else FOUND_WRONG)


def _nothing_to_try(mapping_set: MappingSet, target: str) -> str:
    """Why no resource offers itself for the check."""
    if any(rule.target == target for rule in mapping_set.rules):
        return "no documented event has a value for any mapped field: say --resource and --fields"
    return "no mapping writes to this target: say --resource and --fields"


def _ask(target: TargetConfig, resource: str, references: int, earlier: int) -> None:
    """Says what will be done. Ends the process where nobody agrees, or nobody is there to."""
    said = (
        f"About twenty scratch records of {resource} will be created in {target.base_url}, one"
        " after the other, changed and deleted again. Their ids begin with connector-check, or are"
        " numbers above 1900000000 where the ids of this resource are numbers."
    )
    if references:
        said += f" {references} fields that refer to other records are left out."
    if earlier:
        said += f" {earlier} that a run before this one left behind are taken away first."
    err.print(said)
    try:
        agreed = click.confirm("Go on?", err=True)
    except click.Abort:
        fail("nobody is there to agree: say --yes")
    if not agreed:
        fail("nothing was done")


def _trail(folder: Path, target: str) -> Trail | None:
    """Where scratch records are written down; None, with a word, where nothing can be written."""
    from connector.checkup.trail import Trail

    try:
        return Trail(folder, target)
    except OSError as error:
        complain(
            f"{folder} cannot be written to ({error.strerror}): should this run be killed, look in "
            "the CRM for ids that begin with connector-check"
        )
        return None


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """A CI system ends a job with SIGTERM: scratch records are taken away then, too."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fields_in(file: Path) -> Mapping[str, Json]:
    try:
        documents = load_text(file.read_bytes(), str(file))
    except Invalid as error:
        print_problems(error.problems, "bold red", "error")
        sys.exit(COULD_NOT_RUN)
    data = documents[0].data if documents else None
    if not isinstance(data, dict) or not data:
        fail(f"{file}: a map of fields is wanted, e.g. {{name: An example}}")
    return data


_VERDICTS = {True: "suits", False: "does not suit", None: ""}


def _say_progress(finding: Finding) -> None:
    """While it runs, on standard error: some probes wait for the CRM's index."""
    if err.is_terminal:
        err.print(f"{finding.probe} …", style="dim")


def _say_report(report: Report) -> None:
    from connector.checkup.lab import STILL_SHOWN

    print_table(
        ["probe", "found, and what it means", "", "ms"],
        ((f.probe, _told(f), _VERDICTS[f.suits], round(f.seconds * 1000)) for f in report.findings),
        title=f"{report.target}: what its API does, on scratch records of {report.resource}",
    )
    if report.stopped:
        complain(f"ended early: {report.stopped}")
    for left in report.left_behind:
        own = "" if left.crm_id is None else f" (the CRM's id: {left.crm_id})"
        complain(f"left behind: {left.resource} {left.id}{own}: {left.why}")
    if any(left.why != STILL_SHOWN for left in report.left_behind):
        complain(
            "the next check of this target tries again; or delete them in the CRM by these ids"
        )
    if lines := better(report):
        say("This would suit better:", "bold")
        say(lines.rstrip())
    elif not report.stopped and report.suits:
        say("The configuration suits what was found.", "green")


def _told(finding: Finding) -> str:
    lines = [finding.found]
    if finding.meaning:
        lines.append(finding.meaning)
    if finding.config:
        lines += [f"  {each}" for each in finding.config.splitlines()]
    return "\n".join(lines)


# --- import


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--resource",
    "wanted",
    metavar="NAME[=SCHEMA or path]",
    multiple=True,
    help="A word of the mappings, and where it is not a path's, what it is in FILE; repeatable.",
)
@click.option("--target", default="crm", show_default=True, help="The name of the target.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the proposal to this new file instead of printing it.",
)
@click.option("--fields", "only_fields", is_flag=True, help="Only list the fields; write nothing.")
@as_json
def import_verb(
    file: Path,
    wanted: tuple[str, ...],
    target: str,
    output: Path | None,
    only_fields: bool,
    json_: bool,
) -> None:
    """Propose a target's configuration from the OpenAPI document FILE.

    What the CRM knows of each resource is kept in a file beside config.yaml, for `mappings check`.
    Without --resource: which resources the document has. Nothing is fetched or called.
    """
    from connector.import_target import Wanted, run

    sys.exit(run(file, Wanted(wanted, target, output, only_fields, json_)))


# --- what the verbs share


def _target(config: Config, name: str) -> TargetConfig:
    if name not in config.targets:
        fail(f"no target {name!r} is configured; {did_you_mean(name, config.targets)}")
    return config.targets[name]


def _tokens(config: Config, target: TargetConfig) -> TokenStore:
    """Where the workers keep theirs: a refresh token may be good for one exchange only."""
    if target.auth.type == "oauth2_refresh_token":
        return RedisTokens(open_redis(config.redis_url))
    fetched = target.auth.type in FETCHED
    return RedisTokens(connect(config.redis_url)) if fetched else MemoryTokens()


def _bench(config: Config) -> Workbench:
    sources = assemble.open_sources(config)
    around = surroundings(sources, list(config.targets), config.timezone)
    return Workbench(config.mappings, around, sources, config.redis_url)
