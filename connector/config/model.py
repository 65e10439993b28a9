"""What config.yaml says, as frozen data: complete, checked, every default filled in.

The invariant: nothing here shows a secret when it is printed. Whoever needs one just uses it: a
`Secret` is a str whose repr says nothing, and what may hold one inside (headers, queries, bodies)
is left out of the repr. `load` makes these; `sources`, `targets`, `mapping`, `web` and `worker`
read them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import jmespath

from connector.errors import UnknownSource
from connector.model import Json, Problem

DEFAULT_RESOURCE = "default"
"""The entry under `resources:` that stands for every resource not named there."""

Strategy: TypeAlias = Literal["put", "patch", "post", "search_then_write", "create_then_update"]
CallKind: TypeAlias = Literal[
    "check", "search", "create", "update", "upsert", "batch", "read", "delete"
]
AnswerMeans: TypeAlias = Literal["done", "conflict", "gone", "refused", "credentials", "not_now"]


class Secret(str):
    """A text that is used like any other and shown by no repr, and so by no log of an object."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Url(str):
    """An address that may hold a password, or a key in its path: whole when used, not in a repr."""

    __slots__ = ()

    def __repr__(self) -> str:
        scheme, mark, rest = self.shown.partition("://")
        host, slash, _ = rest.partition("/")
        return repr(
            f"{scheme}{mark}{host}/…" if slash and scheme.startswith("http") else self.shown
        )

    @property
    def shown(self) -> str:
        """The address for people: no password, no query."""
        parts = urlsplit(self)
        user, at, host = parts.netloc.rpartition("@")
        if at:
            user = f"{user.partition(':')[0]}:***@" if ":" in user else f"{user}@"
        return f"{parts.scheme}://{user}{host}{parts.path}"


@dataclass(frozen=True, slots=True)
class Expression:
    """A JMESPath expression that compiles (its own functions only, none of the mappings')."""

    text: str
    _compiled: Any = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", jmespath.compile(self.text))

    def search(self, data: Json) -> Json:
        """What the expression finds in the data; null where it cannot be applied to them.

        Raises jmespath.exceptions.JMESPathError for a function that refuses its argument.
        """
        return self._compiled.search(data)


WHOLE = Expression("@")


# --- sources


@dataclass(frozen=True, slots=True)
class CareSoft:
    """A CareSoft account: one of several secrets signs while they rotate; none when unsigned."""

    name: str
    secrets: tuple[Secret, ...] = ()
    unsigned: bool = False
    kind: Literal["caresoft"] = field(init=False, default="caresoft")


@dataclass(frozen=True, slots=True)
class App:
    """One app of a Mobio merchant."""

    app_id: str
    secrets: tuple[Secret, ...]


@dataclass(frozen=True, slots=True)
class Mobio:
    """A Mobio merchant with its apps; app ids differ."""

    name: str
    apps: tuple[App, ...]
    kind: Literal["mobio"] = field(init=False, default="mobio")


SourceConfig: TypeAlias = CareSoft | Mobio


# --- targets


@dataclass(frozen=True, slots=True)
class Paging:
    """How a search goes on after a page of hits, for at most `pages` of them.

    `way`: `auto` follows what an answer plainly says; `none`; `link`, the header of RFC 8288;
    `address` and `cursor` stand in the answer `at`; `page` and `offset` are counted. All but the
    first four go into the parameter `name` of the query, or that key of the body. `size`: a page
    with fewer hits is the last; None: an empty one is.
    """

    way: Literal["auto", "none", "link", "address", "cursor", "page", "offset"] = "auto"
    at: Expression | None = None
    name: str = ""
    in_body: bool = False
    size: int | None = None
    pages: int = 10


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call as configured. Path, query, headers and body are templates.

    `path` begins with `/` (or is empty: `base_url` itself; or, for a login only, is a whole URL)
    and holds no query. `body` None sends none; for calls that write, the resource's body is
    already filled in. `escape`: what to replace in ids of path and query before percent-encoding.
    `found`, `record` and `paging` are set for a search, `record` for a read.
    """

    method: str
    path: str
    query: Mapping[str, Json] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Json = field(default=None, repr=False)
    escape: Mapping[str, str] = field(default_factory=dict)
    found: Expression | None = None
    record: Expression | None = None
    paging: Paging | None = None


@dataclass(frozen=True, slots=True)
class NoAuth:
    type: Literal["none"] = field(init=False, default="none")


@dataclass(frozen=True, slots=True)
class Bearer:
    token: Secret
    type: Literal["bearer"] = field(init=False, default="bearer")


@dataclass(frozen=True, slots=True)
class Basic:
    username: Secret
    password: Secret
    type: Literal["basic"] = field(init=False, default="basic")


@dataclass(frozen=True, slots=True)
class HeaderAuth:
    name: str
    value: Secret
    type: Literal["header"] = field(init=False, default="header")


@dataclass(frozen=True, slots=True)
class QueryAuth:
    name: str
    value: Secret
    type: Literal["query"] = field(init=False, default="query")


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """RFC 6749 section 4.4; `params` go into the token request's form as they are."""

    token_url: str
    client_id: Secret
    client_secret: Secret
    scope: str = ""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    type: Literal["oauth2_client_credentials"] = field(
        init=False, default="oauth2_client_credentials"
    )


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """RFC 6749 section 6: access tokens for a refresh token that a person was given once.

    A refresh token that comes along with an access token takes the place of the one before it.
    """

    token_url: str
    refresh_token: Secret
    client_id: Secret
    client_secret: Secret | None = None
    scope: str = ""
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    type: Literal["oauth2_refresh_token"] = field(init=False, default="oauth2_refresh_token")


@dataclass(frozen=True, slots=True)
class TokenAt:
    """A token that does not stand in the JSON of an answer: in a `header` or a `cookie` of that
    name, or where the first group of the regular expression `pattern` finds it in the text."""

    where: Literal["header", "cookie", "pattern"]
    text: str


@dataclass(frozen=True, slots=True)
class First:
    """A call that is made before a login, for the `token` that the login must bring along."""

    call: Call = field(repr=False)
    token: Expression | TokenAt


@dataclass(frozen=True, slots=True)
class Login:
    """A call that answers with a token: a session login or a refresh-token exchange.

    `token` finds it in the answer, None where only `cookies` count: the names of those that the
    answer sets and that go along with every call, `*` for all. What `first` finds stands in `call`
    as `{token}`. `expires` finds seconds from now or a time; None: the token holds until it is
    refused. `value` is a template of `{token}`, sent as `header`.
    """

    call: Call = field(repr=False)
    first: First | None = None
    token: Expression | TokenAt | None = None
    cookies: tuple[str, ...] = ()
    expires: Expression | None = None
    header: str = "Authorization"
    value: str = field(default="Bearer {token}", repr=False)
    type: Literal["login"] = field(init=False, default="login")


@dataclass(frozen=True, slots=True)
class Hmac:
    """Every call is signed with a secret that both sides know; the secret itself is never sent.

    `sign` is the template of what is signed; `value`, `headers` and `query` are templates of what
    is added to the call, `value` as `header`.
    """

    secret: Secret
    sign: str
    key: str = field(default="", repr=False)
    secret_is: Literal["text", "hex", "base64"] = "text"  # noqa: S105 - how it is written
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp: Literal["seconds", "milliseconds", "iso", "http"] = "seconds"
    header: str | None = "X-Signature"
    value: str = field(default="{signature}", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    type: Literal["hmac"] = field(init=False, default="hmac")


Auth: TypeAlias = (
    NoAuth
    | Bearer
    | Basic
    | HeaderAuth
    | QueryAuth
    | ClientCredentials
    | RefreshToken
    | Login
    | Hmac
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Whose certificates a target trusts, and which one it is shown. Files are PEM.

    `ca` None: the public authorities; else those in the file alone. `key` None: it stands in the
    file of `cert`. `verify` False: any certificate will do.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)
    verify: bool = True


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `count` calls in any `seconds`."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Retry:
    """When a record whose call found the CRM away is tried again; all in seconds.

    `schedule`: the wait before each further try, the last one repeated, jitter added by whoever
    waits. `give_up_after`: from the first such answer until the record is a dead letter, not
    counting pauses of the target. `max_retry_after`: the longest `Retry-After` that is obeyed.
    """

    schedule: tuple[float, ...]
    give_up_after: float
    max_retry_after: float


@dataclass(frozen=True, slots=True)
class Step:
    """One step to a place in a record: a key, then maybe the list element whose `key` is `value`.

    `custom_fields[id=4].value` is (`custom_fields`, `id` = 4), (`value`).
    """

    name: str
    where: tuple[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """Where one field of the mapping stands in the CRM's record, and how it is written and read.

    `as_` is a template of `{value}`, None for the value itself. `read` finds the value in a record
    or hit; unless configured it follows `at`. `empty` is what clears the field.
    """

    name: str
    at: tuple[Step, ...]
    read: Expression
    as_: Json = None
    empty: Json = None


@dataclass(frozen=True, slots=True)
class AnswerRule:
    """A correction of what an answer means; the first that fits wins.

    Empty `calls` or `statuses` fit any; `when` looks into the answer.
    """

    means: AnswerMeans
    calls: frozenset[CallKind] = frozenset()
    statuses: frozenset[int] = frozenset()
    when: Expression | None = None


@dataclass(frozen=True, slots=True)
class Upsert:
    """The calls that create and update a record.

    `put`, `patch`, `post`: `call`; `put` and `patch` maybe `create` for a record never delivered;
    maybe `search`, to find what an interrupted call did. `search_then_write`: `search`, `create`,
    `update`. `create_then_update`: `create`, `update`, maybe `search`.
    """

    strategy: Strategy
    call: Call | None = None
    search: Call | None = None
    create: Call | None = None
    update: Call | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """One call that creates or updates many records by their external ids.

    `item` is the template of one record, of which `{records}` in the call is the list. `size`: the
    most records of a call; `wait`: seconds that a record waits for others. `results` finds the list
    of what became of each, None where a 2xx is all that is said; `match` finds a result's external
    id, None where results come in the order of the records. `success` must be true of a good
    result; `crm_id` finds the CRM's own id in one; `created` tells a record that was not there.
    """

    call: Call
    item: Json = field(repr=False)
    size: int = 100
    wait: float = 0.2
    results: Expression | None = None
    match: Expression | None = None
    success: Expression | None = None
    crm_id: Expression | None = None
    created: Expression | None = None


@dataclass(frozen=True, slots=True)
class EtagAs:
    """Where an etag goes instead of `If-Match`: among the fields of a call that sends some, and
    else in a parameter."""

    field: tuple[Step, ...] | None = None
    query: str | None = None


@dataclass(frozen=True, slots=True)
class ResourceConfig:
    """How the records of one resource are found and written (docs/configuration.md).

    `name` is what `{resource}` stands for. `etag`: None, "header", or where it stands in a record;
    sent as `etag_as` says.
    `external_id` is the place of `external_id_field`. `hit_id` is None exactly if `crm_id` is.
    `schema` is the file that says what the CRM knows of the record's fields.
    """

    name: str
    upsert: Upsert
    delete: Call
    read: Call | None = None
    batch: Batch | None = None
    external_id_field: str | None = None
    external_id: Field | None = None
    crm_id: Expression | None = None
    hit_id: Expression | None = None
    body: Json = "{fields}"
    fields: Mapping[str, Field] = field(default_factory=dict)
    success: Expression | None = None
    several: Literal["dead", "first", "last"] = "dead"
    gone: Literal["recreate", "dead", "ignore"] = "recreate"
    etag: Literal["header"] | Expression | None = None
    etag_as: EtagAs = field(default_factory=EtagAs)
    values: Literal["json", "strings"] = "json"
    empty: Json = None
    send: Literal["changed", "all"] = "all"
    verify: frozenset[Literal["link", "read"]] = frozenset()
    id_format: Literal["any", "slug", "uuid"] = "any"
    answers: tuple[AnswerRule, ...] = ()
    schema: Path | None = None

    def field(self, name: str) -> Field:
        """Where the field stands: as configured, else under its own name."""
        return self.fields.get(name) or Field(
            name, (Step(name),), _own_name(name), empty=self.empty
        )


@lru_cache(maxsize=4096)
def _own_name(name: str) -> Expression:
    return Expression(json.dumps(name))


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One CRM. Durations are seconds; the three counts are those of docs/answers.md; `timezone` is
    that of the whole file."""

    name: str
    base_url: str
    auth: Auth
    retry: Retry
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Tls = Tls()
    proxy: Url | None = None
    timezone: tzinfo = UTC
    idempotency_header: str | None = "Idempotency-Key"
    check: Call | None = None
    timeout: float = 10
    search_lag: float = 2
    rate_limit: RateLimit | None = None
    concurrency: int = 16
    probe_interval: float = 30
    pause_after_refusals: int = 20
    pause_after_failures: int = 5
    dead_after_failures: int = 6
    resources: Mapping[str, ResourceConfig] = field(default_factory=dict)
    _unnamed: dict[str, ResourceConfig] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def resource(self, name: str) -> ResourceConfig:
        """How records of the resource are written; one not named goes by `default`."""
        if found := self.resources.get(name) or self._unnamed.get(name):
            return found
        default = self.resources[DEFAULT_RESOURCE]
        own = default.name == DEFAULT_RESOURCE
        return self._unnamed.setdefault(name, replace(default, name=name) if own else default)


# --- the whole


@dataclass(frozen=True, slots=True)
class Receiver:
    """`max_body`: the largest webhook body that is taken, in bytes; `max_spool`: how many the spool
    may hold."""

    max_body: int = 1_048_576
    max_spool: int = 1 << 30


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the journal keeps events that are done: by age and by count, whichever is less.

    `records`: days after the last word on a record until what it holds is forgotten; None: never.
    """

    days: float = 30
    events: int = 1_000_000
    records: float | None = None


Role: TypeAlias = Literal["viewer", "operator", "editor"]


@dataclass(frozen=True, slots=True)
class User:
    """Who may sign in to the dashboard. `password` is an argon2 hash."""

    name: str
    password: Secret
    role: Role = "viewer"


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The pages. `proxies`: how many proxies in front are believed about the caller's address.

    `local_role`: what a visitor from the machine itself may do while no user is configured.
    """

    edit_mappings: bool = True
    session_key: Secret | None = None
    session_hours: float = 12
    proxies: int = 0
    local_role: Role = "viewer"


@dataclass(frozen=True, slots=True)
class Audit:
    """How long it is kept who did what: by age and by count, whichever is less."""

    days: float = 400
    entries: int = 100_000


@dataclass(frozen=True, slots=True)
class Alerts:
    """Where messages about changes for the worse are posted (None: nowhere), and what is worth one:
    an event queued for `queue_minutes`, a source silent for `silence_hours`."""

    url: Url | None = None
    queue_minutes: float = 10
    silence_hours: int = 3


@dataclass(frozen=True, slots=True)
class Config:
    """config.yaml with the environment put in. `spool` None: answer 503 while Redis is away."""

    path: Path
    redis_url: Url
    spool: Path | None
    mappings: Path
    timezone: ZoneInfo
    receiver: Receiver
    sources: Mapping[str, SourceConfig]
    targets: Mapping[str, TargetConfig]
    retention: Retention = Retention()
    alerts: Alerts = Alerts()
    users: Mapping[str, User] = field(default_factory=dict)
    dashboard: Dashboard = Dashboard()
    audit: Audit = Audit()
    warnings: tuple[Problem, ...] = ()

    def source(self, name: str) -> SourceConfig:
        """The source of that name. Raises UnknownSource."""
        if name not in self.sources:
            raise UnknownSource(f"no source {name!r}; known: {', '.join(self.sources) or 'none'}")
        return self.sources[name]
