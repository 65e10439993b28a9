"""`connector config check`: would web and worker run with this, and reach what is named in it?

Read-only: no event is stored, no mapping set put into force, no record written. Used before a
release, so that a bad one stops there.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis.exceptions import RedisError

from connector.agreement import disagreements
from connector.assemble import open_sources
from connector.config import Config
from connector.config import load as load_config
from connector.errors import ConfigInvalid, RedisUnfit
from connector.fit import fit_of
from connector.mapping.load import judge
from connector.model import Outcome, Problem
from connector.records import store
from connector.redisdb import connect, unchecked
from connector.targets.http import Http
from connector.targets.target import Target
from connector.tokens import RedisTokens
from connector.workbench import Workbench, surroundings
from connector.worker import judge_redis


@dataclass(slots=True)
class Report:
    """What was found; `fine` are the parts that are as they should be."""

    errors: list[Problem]
    warnings: list[Problem]
    fine: list[str]


def check() -> Report:
    """Everything that can be known without sending an event."""
    try:
        config = load_config()
    except ConfigInvalid as error:
        return Report(list(error.problems), list(error.warnings), [])
    report = Report([], list(config.warnings), [f"{config.path}: the configuration"])
    _check_mappings(config, report)
    _check_redis(config, report)
    # Where the workers keep theirs: a refresh token may be good for one exchange only.
    tokens = RedisTokens(connect(config.redis_url, timeout=5.0))
    for target in config.targets.values():
        _check_target(Target(target, tokens), report)
    return report


def _check_mappings(config: Config, report: Report) -> None:
    around = surroundings(open_sources(config), list(config.targets), config.timezone)
    judged = judge(config.mappings, around)
    report.errors += judged.errors
    report.warnings += judged.warnings
    if judged.mapping_set is not None:
        report.fine.append(f"{config.mappings}: {len(judged.mapping_set.rules)} rules")
        for found in disagreements(config.targets, judged.mapping_set):
            (report.warnings if found.doubtful else report.errors).append(found.problem)
        bench = Workbench(config.mappings, around, open_sources(config))
        fitting = fit_of(judged.mapping_set, config.targets, bench.documents)
        report.errors += fitting.errors
        report.warnings += fitting.warnings


def _check_redis(config: Config, report: Report) -> None:
    client = connect(config.redis_url, timeout=5.0)
    try:
        version = client.info("server")["redis_version"]
        judge_redis(client)
        store.refuse_older(client, config.targets)
        lasting = client.info("persistence").get("aof_enabled")
    except RedisError as error:
        what = f"Redis cannot be reached: {error}"
        hint = "is redis_url right, and the server running?"
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            hint = "a certificate of nobody's, as Heroku's is: redis_url: …?ssl_cert_reqs=none"
        report.errors.append(Problem(what, hint))
        return
    except RedisUnfit as error:
        report.errors.append(Problem(str(error)))
        return
    report.fine.append(f"Redis {version} answers")
    if unchecked(config.redis_url):
        what = "the certificate of Redis is not checked (ssl_cert_reqs=none in redis_url)"
        hint = "whoever stands between could read and change what is sent; ssl_ca_certs names one"
        report.warnings.append(Problem(what, hint))
    if not lasting:
        what = "Redis keeps no append-only file: what it holds is lost when it dies"
        report.warnings.append(Problem(what, "set appendonly yes"))


def _check_target(target: Target, report: Report) -> None:
    """One call that writes nothing: `check:`, or the base address where there is none."""
    name = f"target {target.config.name}"
    outcome = target.check(Http(), lambda: None)
    if outcome is None:
        what = f"{name} has no `check:` call, so it was not tried"
        report.warnings.append(Problem(what, "name a call that only credentials can refuse"))
    elif outcome.meaning == "done":
        report.fine.append(f"{name} answers")
    else:
        what = f"{name}: {outcome.reason}"
        report.errors.append(Problem(what, _hint(outcome)))


def _hint(outcome: Outcome) -> str:
    """What to look at: by what stood in the way of the call, else by what the answer means."""
    kind = outcome.reason.partition(":")[0]
    return _IN_THE_WAY.get(kind) or _HINTS.get(outcome.meaning, "look at its `check:`")


_IN_THE_WAY = {
    "certificate refused": "does `tls:` name the `cert` and `key` that it wants?",
    "proxy refused": "is `proxy` right, with its password?",
    "TLS": "where an authority of its own signs, name it: `tls: {ca: …}`",
    "name not found": "is the host of `base_url` right?",
}

_HINTS = {
    "credentials": "is `auth` right?",
    "not_now": "is `base_url` right, and the CRM running?",
    "misled": "`base_url` or the path is not the right one",
}
