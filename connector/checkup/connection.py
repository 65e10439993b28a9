"""Probes of the way to the CRM: is it there, whose certificate is it, are we let in, who else is.

Nothing is written. `reachable` comes first and ends the run where nobody answers.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http.client import HTTPConnection
from ipaddress import ip_address
from ssl import cert_time_to_seconds
from typing import Any
from urllib.parse import urlsplit

from connector.checkup.finding import Finding
from connector.checkup.lab import Lab, Stop
from connector.config.model import (
    Auth,
    Basic,
    Bearer,
    Call,
    HeaderAuth,
    QueryAuth,
    Secret,
)
from connector.model import Delivery, Json, Name
from connector.targets.answers import Judgement
from connector.targets.http import Answer, Failure, tls_context
from connector.targets.proxies import proxy_headers
from connector.targets.routes import routes_of
from connector.targets.target import Target
from connector.targets.template import render_text

_SOON = 14  # days before its end that a certificate should have been renewed
_NOBODY = "connector-check-nobody"
_WRONG = "connector-check-wrong"
_WRONG_KEY = "00ff00ff00ff00ff00ff00ff00ff00ff"  # as text, as hex and as base64


def reachable(lab: Lab) -> Iterator[Finding]:
    """The `check:` call, or a look for a record that nobody has."""
    asked = "check" if lab.config.check else "a look for a record that nobody has"
    result, reason = _first_answer(lab)
    if isinstance(result, Failure):
        yield Finding(
            "reachable",
            lab.masked(result.text),
            _FAILURES.get(result.kind, "the CRM cannot be reached: is it running?"),
            False,
        )
        raise Stop(f"the CRM cannot be reached: {lab.masked(result.text)}", ran=False)
    if result is None:
        yield Finding("reachable", reason, "no call could be made", False)
        raise Stop(reason, ran=False)
    yield from _let_in(lab, result)
    milliseconds = round(result.seconds * 1000)
    found = f"{asked}: answered {result.status} after {milliseconds} ms"
    yield Finding("reachable", found, "the CRM answers", True)


def _first_answer(lab: Lab) -> tuple[Answer | Failure | None, str]:
    """What the first call got; of credentials that must be fetched it is the call that fetches."""
    outcome = lab.target().check(lab.http, lambda: None)
    reason = outcome.reason if outcome else ""
    if outcome is None:
        answered = _look_for_nobody(lab, lab.target())
        reason = lab.said(answered)
    return (lab.http.heard[-1].result if lab.http.heard else None), reason


def _let_in(lab: Lab, answer: Answer) -> Iterator[Finding]:
    """Raises Stop where the answer says that nothing further can be found out."""
    status = answer.status
    if 300 <= status < 400:
        where = lab.masked(answer.headers.get("Location") or "")
        meaning = "redirects are never followed: a followed 301 turns POST into GET"
        yield Finding(
            "redirects",
            f"{status} to {where}",
            meaning,
            False,
            _moved(lab, where),
            "target",
        )
        raise Stop(f"every call is sent elsewhere: {where}")
    if status in (429, 503, 502, 504, 408, 425) or status >= 500:
        yield Finding("reachable", f"answered {status}", "the CRM is out of order", False)
        raise Stop(f"the CRM answers {status}", ran=False)
    if status == 401 or (status == 403 and lab.config.check):
        found = f"the configured credentials are refused: {status}"
        yield Finding("auth", found, "the target would pause at once", False, scope="target")
        raise Stop(found)


def _moved(lab: Lab, where: str) -> dict[str, Json]:
    """The base address that would have been right, where the redirect tells."""
    path = lab.http.heard[-1].path
    if "://" not in where or not urlsplit(where).path.rstrip("/").endswith(path.rstrip("/")):
        return {}
    whole = urlsplit(where)._replace(query="", fragment="").geturl().rstrip("/")
    base = urlsplit(lab.config.base_url).path.rstrip("/")
    rest = path.rstrip("/").removeprefix(base)
    return {"base_url": whole.removesuffix(rest)}


_FAILURES: Mapping[str, str] = {
    "name not found": "there is no such host: is `base_url` right?",
    "refused": "nobody listens there: is `base_url` right, and the CRM running?",
    "timed out": "no answer within `timeout`",
    "TLS": "its certificate is not trusted, or it speaks no TLS",
    "reset": "the connection was cut before an answer",
    "certificate refused": "the CRM wants another client certificate",
    "proxy refused": "the proxy lets the call not through",
}


def transport(lab: Lab) -> Iterator[Finding]:
    """TLS or not, and whose certificate it is and until when."""
    parts = urlsplit(lab.config.base_url)
    if parts.scheme == "https":
        yield _certificate(lab, parts.hostname or "", parts.port or 443)
        return
    if _is_own_machine(parts.hostname or ""):
        yield Finding("tls", "plain HTTP, on this machine", "nothing leaves the machine", True)
        return
    meaning = "credentials and customers' data can be read on the way"
    yield Finding("tls", "plain HTTP", meaning, None)


def _certificate(lab: Lab, host: str, port: int) -> Finding:
    _, route = routes_of(lab.config)
    if route.proxy and not route.proxy.startswith("http://"):
        return Finding("tls", "TLS through a proxy", "the certificate was not looked at")
    try:
        with (
            _connected(host, port, route.proxy, lab.config.timeout) as plain,
            tls_context(route).wrap_socket(plain, server_hostname=host) as secure,
        ):
            version, certificate = secure.version(), secure.getpeercert() or {}
    except OSError as error:
        return Finding("tls", str(error), "the certificate could not be looked at", False)
    if not certificate:
        meaning = "whoever stands in between is believed: name the authority with `tls: {ca: …}`"
        return Finding("tls", f"{version}; the certificate is not verified", meaning)
    return _until(host, version or "TLS", certificate)


def _connected(host: str, port: int, proxy: str | None, timeout: float) -> socket.socket:
    """A connection to the host, through a proxy where there is one (RFC 9110 section 9.3.6)."""
    if not proxy:
        return socket.create_connection((host, port), timeout)
    parts = urlsplit(proxy)
    tunnel = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout)
    tunnel.set_tunnel(host, port, proxy_headers(proxy))
    tunnel.connect()
    return tunnel.sock


def _until(host: str, version: str, certificate: Mapping[str, Any]) -> Finding:
    ends = cert_time_to_seconds(str(certificate["notAfter"]))
    days = int((ends - time.time()) // 86_400)
    names = dict(pair for part in certificate.get("issuer", ()) for pair in part)
    issuer = names.get("organizationName") or names.get("commonName") or "nobody"
    found = f"{version}; the certificate of {host}, given by {issuer}, ends in {days} days"
    if days < _SOON:
        return Finding("tls", found, "when it has ended, nothing is delivered any more", False)
    return Finding("tls", found, "it is trusted", True)


def _is_own_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# --- who is let in


def check_call(lab: Lab) -> Iterator[Finding]:
    """Whether `check:` can do its job: be refused for nothing but credentials and outages."""
    if lab.config.check is None:
        meaning = "an outage or wrong credentials are noticed by records alone"
        advice = {"check": {"path": "/"}}
        yield Finding("check", "no `check:` is configured", meaning, None, advice, "target")
        return
    before = len(lab.http.heard)
    lab.target().check(lab.http, lambda: None)
    answer = next(
        (h.result for h in reversed(lab.http.heard[before:]) if isinstance(h.result, Answer)), None
    )
    if answer is None:
        return
    if isinstance(answer.data, str) and answer.data.lstrip().startswith("<"):
        found = f"{answer.status} with a page of HTML"
        meaning = "perhaps a login page: such an answer proves nothing"
        yield Finding("check", found, meaning, False, scope="target")
        return
    if isinstance(answer.data, str) and answer.status < 300:
        found = f"{answer.status} with a body that is no JSON"
        meaning = "is this the API? `base_url` or the path of `check:` may be wrong"
        yield Finding("check", found, meaning, None, scope="target")
        return
    meaning = "it can be asked whether the CRM is back"
    yield Finding("check", f"answered {answer.status}", meaning, True, scope="target")


def wrong_credentials(lab: Lab) -> Iterator[Finding]:
    """What a wrong token gets, from `check:` and from a look for a record that nobody has."""
    auth = lab.config.auth
    if auth.type == "none":
        meaning = "whoever reaches the CRM may write into it"
        yield Finding("auth", "no credentials are configured", meaning, None, scope="target")
        return
    make = _WRONG_AUTHS.get(auth.type)
    if make is None:
        found = f"not tried with credentials of type {auth.type}"
        yield Finding("auth", found, "no wrong ones can be made up", None, scope="target")
        return
    stranger = Target(replace(lab.config, auth=make(auth)))
    looked = _look_for_nobody(lab, stranger)
    refused = looked.meaning == "credentials"
    yield _of_records(lab, looked)
    outcome = stranger.check(lab.http, lambda: None)
    if outcome is None:
        return
    if outcome.meaning == "credentials":
        found = f"`check:` with a wrong token: {lab.masked(outcome.reason)}"
        yield Finding("auth.check", found, "wrong credentials are told from outages", True)
        return
    last = lab.http.heard[-1].result
    status = last.status if isinstance(last, Answer) else "nothing"
    better = {"check": {"path": _path_that_asks(lab)}} if refused else {}
    yield Finding(
        "auth.check",
        f"`check:` with a wrong token: answered {status}",
        "a check that answers anyone proves nothing: choose a call that needs the credentials",
        None if outcome.meaning == "misled" else False,
        better,
        "target",
    )


def _of_records(lab: Lab, looked: Judgement) -> Finding:
    found = f"a wrong token gets: {lab.said(looked)}"
    if looked.meaning == "credentials":
        return Finding("auth", found, "the target pauses, no record is lost", True)
    if looked.meaning in ("done", "gone"):
        return Finding("auth", found, "reading asks for no credentials", None)
    if looked.meaning == "misled":
        meaning = "the target pauses, though not for its credentials"
        return Finding("auth", found, meaning, None)
    if looked.status == 403 and lab.config.check is None:
        meaning = "without `check:` a 403 is this record's fault: each would be a dead letter"
        advice = {"check": {"path": _path_that_asks(lab)}}
        return Finding("auth", found, meaning, False, advice, "target")
    rule = {
        "status": looked.status,
        **_told_by(looked.data),
        "means": "credentials",
    }
    meaning = "every record would become a dead letter once the token has ended"
    return Finding("auth", found, meaning, False, {"answers": [rule]})


def _told_by(data: Json) -> dict[str, Json]:
    """The condition that tells such an answer from others of its status."""
    inner = data.get("error") if isinstance(data, dict) else None
    for prefix, part in (("error.", inner), ("", data)):
        for key in ("code", "error", "type", "message", "detail"):
            value = part.get(key) if isinstance(part, dict) else None
            if isinstance(value, str) and 0 < len(value) < 80 and "'" not in value:
                return {"when": f"{prefix}{key} == '{value}'"}
    return {}


def _look_for_nobody(lab: Lab, target: Target) -> Judgement:
    """Asks for a record that nobody has, by search, else by reading, else by the update's path."""
    order = Delivery(
        name=Name(lab.config.name, lab.name, _NOBODY),
        action="upsert",
        fields={},
        changed=frozenset(),
        link=_nobody_link(lab),
        delivered=True,
        number=0,
    )
    talk = target.converse(order, lab.http, lambda: None)
    upsert = talk.resource.upsert
    if upsert.search:
        return talk.ask("search", upsert.search)
    return talk.ask("read", talk.resource.read or Call("GET", talk.update_call.path))


def _nobody_link(lab: Lab) -> str | int | None:
    return None if lab.resource.crm_id is None else 0


def _path_that_asks(lab: Lab) -> str:
    """The path by which a record that nobody has was asked for."""
    heard = [h.path for h in lab.http.heard if _NOBODY in h.path]
    if heard:
        return heard[-1].removeprefix(urlsplit(lab.config.base_url).path.rstrip("/"))
    search = lab.resource.upsert.search
    path = search.path if search else "/"
    return path.replace("{resource}", lab.resource.name)


_WRONG_AUTHS: Mapping[str, Callable[[Any], Auth]] = {
    "bearer": lambda auth: Bearer(Secret(_WRONG)),
    "basic": lambda auth: Basic(auth.username, Secret(_WRONG)),
    "header": lambda auth: HeaderAuth(auth.name, _like(auth.value)),
    "query": lambda auth: QueryAuth(auth.name, Secret(_WRONG)),
    "oauth2_client_credentials": lambda auth: Bearer(Secret(_WRONG)),
    "oauth2_refresh_token": lambda auth: Bearer(Secret(_WRONG)),
    "hmac": lambda auth: replace(auth, secret=Secret(_WRONG_KEY)),
    "login": lambda auth: HeaderAuth(
        auth.header, Secret(render_text(auth.value, {"token": _WRONG}))
    ),
}


def _like(value: str) -> Secret:
    """A wrong value in the form of a right one: `Token …` stays `Token …`."""
    return Secret(" ".join([*value.split()[:-1], _WRONG]))
