"""Reads config.yaml: text, environment, schema, resources, and at the end one `Config`.

Everything that is wrong is told at once: a missing variable, an unknown key and a contradiction
between two keys of a resource need one round, not three. Only a file that is not YAML ends early.
No Redis, no network, and no other files than the certificates that it names.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError

from connector.config.certificates import certificate_issues, make_tls
from connector.config.environment import Scalar, Substituted, substitute
from connector.config.grammar import Issue
from connector.config.model import (
    DEFAULT_RESOURCE,
    Alerts,
    App,
    Audit,
    Auth,
    Basic,
    Bearer,
    CareSoft,
    ClientCredentials,
    Config,
    Dashboard,
    First,
    HeaderAuth,
    Hmac,
    Login,
    Mobio,
    NoAuth,
    QueryAuth,
    Receiver,
    RefreshToken,
    ResourceConfig,
    Retention,
    Retry,
    SourceConfig,
    TargetConfig,
    Tls,
    Url,
    User,
)
from connector.config.resources import Draft, Layer, Verdict, complete, judge, make_call
from connector.config.schema import SOURCES, ConfigKeys
from connector.errors import ConfigInvalid, Invalid
from connector.model import Place, Problem
from connector.yamltext import Document, load_text
from connector.yamltext import Path as KeyPath

DEFAULT_FILE = "config.yaml"


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration in the file, else in the one that CONNECTOR_CONFIG names.

    Raises ConfigInvalid with every problem; a file that cannot be read is one too.
    """
    file = Path(path if path is not None else environ.get("CONNECTOR_CONFIG") or DEFAULT_FILE)
    document = _document(file)
    substituted = substitute(document, environ)
    tree = substituted.tree
    if not isinstance(tree, dict):
        raise ConfigInvalid(
            [Problem("the file is no map of keys", "e.g. timezone: …", Place(str(file), 1, 1))]
        )
    if "redis_url" not in tree and environ.get("REDIS_URL"):
        url = environ["REDIS_URL"]
        tree = {**tree, "redis_url": Scalar(url, url, ("REDIS_URL",))}
    problems = list(substituted.problems)
    broken: list[KeyPath] = []
    try:
        data: Any = ConfigKeys().load(tree)
    except ValidationError as error:
        data = error.valid_data or {}
        for key_path, issue in _issues(error.messages, ()):
            broken.append(key_path)
            problems.append(_problem(substituted, key_path, issue))
    warnings = list(_doubts(data, substituted))
    drafts: dict[str, dict[str, Draft]] = {}
    for target in data.get("targets") or {}:
        for doubtful, key_path, issue in _certificates(file, target, data["targets"][target]):
            told = warnings if doubtful else problems
            told.append(_problem(substituted, key_path, issue))
        drafts[target], verdicts = _resources(target, data["targets"][target], broken)
        for verdict in verdicts:
            told = warnings if verdict.doubtful else problems
            told.append(_problem(substituted, verdict.path, verdict.issue))
    doubts = _in_order([warning for warning in warnings if warning not in problems])
    if problems:
        raise ConfigInvalid(_in_order(problems), doubts)
    return _config(file, data, drafts, tuple(doubts))


def _document(file: Path) -> Document:
    try:
        documents = load_text(file.read_bytes(), str(file), quote=False)
    except OSError as error:
        hint = "copy config.example.yaml, or name the file in CONNECTOR_CONFIG"
        raise ConfigInvalid([Problem(f"cannot read {file}: {error.strerror}", hint)]) from None
    except Invalid as error:
        raise ConfigInvalid(error.problems) from None
    if not documents:
        raise ConfigInvalid([Problem("the file is empty", place=Place(str(file), 1, 1))])
    if len(documents) > 1:
        place = documents[1].places.value(())
        raise ConfigInvalid([Problem("a second document", "the file holds only one", place)])
    return documents[0]


# --- problems


def _issues(messages: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Issue]]:
    """The leaves of marshmallow's tree of errors."""
    if isinstance(messages, dict):
        for step, inner in messages.items():
            yield from _issues(inner, path if step == "_schema" else (*path, step))
    else:
        for issue in messages:
            yield path, issue


def _problem(substituted: Substituted, path: KeyPath, issue: Issue) -> Problem:
    place = substituted.key(path) if issue.at_key else substituted.value(path, issue.offset)
    return Problem(f"{_dotted(substituted.written(path))}{issue.message}", issue.hint, place)


def _dotted(path: KeyPath) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return f"{text}: " if text else ""


def _in_order(problems: list[Problem]) -> list[Problem]:
    """Without repetitions (an inherited mistake is told once), in the order of the file."""

    def place(problem: Problem) -> tuple[int, int]:
        return (problem.place.line, problem.place.column) if problem.place else (0, 0)

    return sorted(dict.fromkeys(problems), key=place)


def _doubts(data: Mapping[str, Any], substituted: Substituted) -> Iterator[Problem]:
    """What is allowed but hardly meant."""
    for key, what in (("sources", "nothing can be received"), ("targets", "nothing is delivered")):
        if not data.get(key):
            yield _problem(substituted, (key,), Issue(f"none: {what}", at_key=True))
    for name, source in (data.get("sources") or {}).items():
        kind = (source or {}).get("kind", name)
        if name in SOURCES and name != kind:
            issue = Issue(
                f"a {kind} account by the name of another kind",
                f"in a mapping `source: {name}` means the kind; choose another name",
                at_key=True,
            )
            yield _problem(substituted, ("sources", name), issue)


def _certificates(
    file: Path, target: str, data: Mapping[str, Any] | None
) -> Iterator[tuple[bool, KeyPath, Issue]]:
    """What is wrong with the files of `tls:`, and (the first part) what is merely doubtful."""
    root = ("targets", target, "tls")
    said = (data or {}).get("tls") or {}
    tls = make_tls(file.resolve().parent, said)
    if tls == Tls():
        return
    if str((data or {}).get("base_url") or "").startswith("http:"):
        issue = Issue("tls, but base_url is http: nothing is encrypted", "https://…", at_key=True)
        yield True, root, issue
    for key, issue in certificate_issues(tls):
        yield False, (*root, key), issue
    if tls.verify is False:
        issue = Issue(
            "the CRM's certificate is not looked at: whoever stands between can read and write",
            "give the certificate's authority as `ca`, and leave `verify` out",
        )
        yield True, (*root, "verify"), issue


# --- resources


def _resources(
    target: str, data: Mapping[str, Any] | None, broken: list[KeyPath]
) -> tuple[dict[str, Draft], list[Verdict]]:
    """Each resource of a target completed and judged; those with broken keys are left out."""
    said = (data or {}).get("resources") or {}
    root = ("targets", target, "resources")
    bad = {path[3] for path in broken if path[:3] == root and len(path) > 3}
    if DEFAULT_RESOURCE in bad or root in broken:
        return {}, []
    default = Layer(said.get(DEFAULT_RESOURCE) or {}, (*root, DEFAULT_RESOURCE))
    drafts = {DEFAULT_RESOURCE: complete(DEFAULT_RESOURCE, default, default)}
    for name, own in said.items():
        if name != DEFAULT_RESOURCE and name not in bad:
            drafts[name] = complete(name, Layer(own or {}, (*root, name)), default)
    others = len(said) > (DEFAULT_RESOURCE in said)  # which may say what `default` leaves out
    verdicts = [
        Verdict(
            verdict.path,
            verdict.issue,
            verdict.doubtful or (name == DEFAULT_RESOURCE and others),
        )
        for name, draft in drafts.items()
        for verdict in judge(draft)
    ]
    return drafts, verdicts


# --- the dataclasses


def _config(
    file: Path,
    data: Mapping[str, Any],
    drafts: Mapping[str, Mapping[str, Draft]],
    warnings: tuple[Problem, ...],
) -> Config:
    folder = file.resolve().parent
    return Config(
        path=file,
        redis_url=Url(data["redis_url"]),
        spool=None if data["spool"] is None else folder / data["spool"],
        mappings=folder / data["mappings"],
        timezone=data["timezone"],
        receiver=Receiver(**data["receiver"]),
        sources={name: _source(name, said) for name, said in data["sources"].items()},
        targets={
            name: _target(
                folder,
                data["timezone"],
                name,
                said,
                {key: _resource(folder, d) for key, d in drafts[name].items()},
            )
            for name, said in data["targets"].items()
        },
        retention=Retention(**data["retention"]),
        alerts=Alerts(**data["alerts"]),
        users={name: User(name, **said) for name, said in data["users"].items()},
        dashboard=Dashboard(**data["dashboard"]),
        audit=Audit(**data["audit"]),
        warnings=warnings,
    )


def _source(name: str, said: Mapping[str, Any]) -> SourceConfig:
    if said["kind"] == "caresoft":
        return CareSoft(name, said["secrets"], said["unsigned"])
    return Mobio(name, tuple(App(app["app_id"], app["secrets"]) for app in said["apps"]))


def _resource(folder: Path, draft: Draft) -> ResourceConfig:
    schema = draft.config.schema
    return replace(draft.config, schema=folder / schema) if schema else draft.config


def _target(
    folder: Path,
    timezone: ZoneInfo,
    name: str,
    said: Mapping[str, Any],
    resources: Mapping[str, ResourceConfig],
) -> TargetConfig:
    plain = {
        key: value
        for key, value in said.items()
        if key not in ("auth", "check", "retry", "resources", "tls")
    }
    return TargetConfig(
        name=name,
        auth=_auth(said["auth"]),
        check=None if said["check"] is None else make_call("check", said["check"]),
        retry=Retry(**said["retry"]),
        tls=make_tls(folder, said["tls"]),
        timezone=timezone,
        resources=resources,
        **plain,
    )


_AUTHS: Mapping[str, type[Any]] = {
    "none": NoAuth,
    "bearer": Bearer,
    "basic": Basic,
    "header": HeaderAuth,
    "query": QueryAuth,
    "oauth2_client_credentials": ClientCredentials,
    "oauth2_refresh_token": RefreshToken,
    "login": Login,
    "hmac": Hmac,
}


def _auth(said: Mapping[str, Any]) -> Auth:
    given = {key: value for key, value in said.items() if key != "type"}
    if "call" in given:
        given["call"] = make_call("login", given["call"])
    if first := given.get("first"):
        given["first"] = First(make_call("first", first), first["token"])
    auth: Auth = _AUTHS[said["type"]](**given)
    return auth
