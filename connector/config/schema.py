"""Every key of config.yaml: its kind, its default and what it is for.

The one description of the keys. Reading, checking, the reference and the JSON Schema for editors
follow it; what a key means together with others is judged in `resources`. A schema loads a tree
of `Scalar`s into a dict; `load` makes the dataclasses of `model` from that.

In a resource every key may be left out: what comes from the strategy is worked out in
`resources`, so there its default is only described.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from marshmallow import ValidationError, validates_schema

from connector.config.environment import Scalar, Tree
from connector.config.fields import (
    ABSENT,
    REQUIRED,
    Choice,
    Empty,
    Flag,
    Free,
    Group,
    Key,
    Keyed,
    Keys,
    Listing,
    Number,
    OneOf,
    SecretText,
    Text,
    Whole,
)
from connector.config.grammar import (
    Issue,
    cookie_name_issue,
    header_key_issue,
    header_name_issue,
    method_issue,
    name_issue,
    not_empty_issue,
    pattern_issue,
    resource_name_issue,
    secret_issue,
    user_name_issue,
)
from connector.config.model import TokenAt
from connector.config.texts import (
    Address,
    At,
    Etag,
    Header,
    Jmespath,
    PasswordHash,
    PathText,
    Rate,
    Template,
    TextTemplate,
    Zone,
)

_RECORD = ("external_id", "crm_id", "resource")
_NEW = ("external_id", "resource")


# --- calls


def _call(
    method: str,
    path: Any = ABSENT,
    *,
    at: Sequence[str],
    writes: bool = False,
    shown: str | None = None,
    login: bool = False,
) -> dict[str, Key]:
    """The keys of a call. `at`: the placeholders that mean something in it."""
    where = "After base_url, or a whole URL." if login else "After base_url."
    data = (*at, "fields") if writes else at
    return {
        "method": Text(
            "The HTTP method.", default=ABSENT, shown=method, check=method_issue, wants="a method"
        ),
        "path": PathText(
            f"{where} What a placeholder brings is percent-encoded.",
            at,
            whole_url=login,
            private=login,
            sealed=login,
            default=path,
            **({"shown": shown} if shown else {}),
        ),
        "query": Keyed(
            "Parameters of the address. A list repeats its parameter, a map goes as JSON, null "
            "is left out.",
            Template("The parameter's value.", data, private=login, sealed=login, nullable=True),
            default=ABSENT,
            shown={},
        ),
        "headers": Keyed(
            "Headers of this call, besides those of the target.",
            Header("The header's value.", at, sealed=login),
            name=header_key_issue,
            default=ABSENT,
            shown={},
        ),
        "body": Template(
            "What is sent, instead of the resource's `body`."
            if writes
            else "What is sent; nothing when left out.",
            data,
            private=login,
            sealed=login,
            default=ABSENT,
            shown="the resource's `body`" if writes else None,
        ),
        "escape": Keyed(
            "What is replaced in ids of path and query, before they are percent-encoded.",
            Text("What stands for it.", default=""),
            default=ABSENT,
            shown={},
        ),
    }


def _keys(name: str, keys: Mapping[str, Key], strangers: Mapping[str, str] | None = None) -> Any:
    return type(name, (Keys,), {**keys, "strangers": strangers or {}})


class NextKeys(Keys):
    """How a search goes on after a page of hits, where the answer holds no address of the next."""

    cursor = Jmespath(
        "From the answer to the next page's cursor; null there ends it.", default=None
    )
    page = Text(
        "The parameter that numbers pages; begins with what `query` or `body` says, else 1.",
        default=None,
        check=not_empty_issue,
    )
    offset = Text(
        "The parameter that says how many hits to skip.", default=None, check=not_empty_issue
    )
    as_ = Text(
        "The parameter that the cursor goes into.",
        data_key="as",
        default=None,
        check=not_empty_issue,
    )
    in_ = Choice("Where that parameter stands.", ("query", "body"), data_key="in", default="query")
    size = Whole(
        "Hits of a full page: one with fewer is the last; left out: an empty one is.",
        unit="hits",
        least=1,
        default=None,
    )

    @validates_schema
    def _one_way(self, data: dict[str, Any], **_: Any) -> None:
        ways = [way for way in ("cursor", "page", "offset") if data[way] is not None]
        if len(ways) != 1:
            issue = Issue("one of cursor, page and offset", "give exactly one", at_key=True)
            raise ValidationError({ways[1] if ways else "cursor": [issue]})
        if (data["cursor"] is None) != (data["as_"] is None):
            hint = "give cursor, an expression, and as, the parameter that it goes into"
            issue = Issue("cursor and as go together", hint, at_key=True)
            raise ValidationError({"cursor" if data["as_"] is None else "as": [issue]})


class NextPage(Group):
    """auto, none, link, an expression, or a map."""

    wants = "auto, none, link, a JMESPath expression, or a map"

    def read(self, value: Tree) -> Any:
        if not isinstance(value, Scalar):
            return super().read(value)
        if value.text in ("auto", "none", "link"):
            return {"way": value.text}
        return {"way": "address", "at": Jmespath("").read(value)}


_FOUND = Jmespath("From the answer of a search to the list of hits.", default=ABSENT, shown="@")
_HIT = Jmespath("From a hit to the record's fields.", default=ABSENT, shown="@")
_RECORD_OF = Jmespath("From the answer to the record's fields.", default=ABSENT, shown="@")

CheckCall: type[Keys] = _keys("CheckCall", _call("GET", "/", at=()))
LoginCall: type[Keys] = _keys("LoginCall", _call("POST", REQUIRED, at=("token",), login=True))


class TokenAtKeys(Keys):
    """Where a token stands that is not in the JSON of an answer: one of these."""

    header = Text(
        "The header of the answer that holds it.",
        default=None,
        check=header_name_issue,
        wants="the name of a header",
    )
    cookie = Text(
        "The cookie of the answer that holds it, percent-encoded or not.",
        default=None,
        check=cookie_name_issue,
        wants="the name of a cookie",
    )
    pattern = Text(
        "A regular expression whose first group is the token, in the text of a page.",
        default=None,
        check=pattern_issue,
        wants="a regular expression with one group",
    )

    @validates_schema
    def _one_place(self, data: dict[str, Any], **_: Any) -> None:
        places = [key for key, value in data.items() if value is not None]
        if len(places) != 1:
            issue = Issue("one of header, cookie and pattern", "give exactly one", at_key=True)
            raise ValidationError({places[1] if places else "header": [issue]})


class TokenPlace(Group):
    """A JMESPath expression, or a map."""

    wants = "a JMESPath expression, or a map with header, cookie or pattern"

    def __init__(self, description: str, **more: Any) -> None:
        super().__init__(description, TokenAtKeys, **more)

    def read(self, value: Tree) -> Any:
        if isinstance(value, Scalar):
            return Jmespath("").read(value)
        said = super().read(value)
        return next(TokenAt(where, text) for where, text in said.items() if text is not None)


FirstCall: type[Keys] = _keys(
    "FirstCall",
    {
        **_call("GET", REQUIRED, at=(), login=True),
        "token": TokenPlace("From the answer to the token that the login brings along."),
    },
)
SearchCall: type[Keys] = _keys(
    "SearchCall",
    {
        "path": PathText("After base_url.", _NEW),
        **{key: item for key, item in _call("GET", at=_NEW).items() if key != "path"},
        "found": _FOUND,
        "record": _HIT,
        "next": NextPage(
            "How to go on after a page of hits. auto: where the answer plainly holds the address "
            "of the next page; link: by the header Link (RFC 8288); an expression: from the "
            "answer to that address; none: one page is all.",
            NextKeys,
            default=ABSENT,
            shown="auto",
        ),
        "pages": Whole(
            "Pages that are looked at; nothing found in them, and more to come, is an error.",
            unit="pages",
            least=1,
            default=ABSENT,
            shown=10,
        ),
    },
)
CreateCall: type[Keys] = _keys(
    "CreateCall", _call("POST", at=_NEW, writes=True, shown="/{resource}")
)
UpdateCall: type[Keys] = _keys(
    "UpdateCall",
    _call(
        "PATCH",
        at=_RECORD,
        writes=True,
        shown="/{resource}/{crm_id}; without crm_id: /{resource}/{external_id}",
    ),
)
ReadCall: type[Keys] = _keys(
    "ReadCall", {**_call("GET", at=_RECORD, shown="as of update"), "record": _RECORD_OF}
)
DeleteCall: type[Keys] = _keys("DeleteCall", _call("DELETE", at=_RECORD, shown="as of update"))

_SEARCH = "Finds the record by its external id."
_CREATE = "Creates a record."
_UPDATE = "Updates a record that the CRM has."


def _search(*, required: bool = False) -> Group:
    if required:
        return Group(_SEARCH, SearchCall)
    return Group(_SEARCH, SearchCall, default=ABSENT, shown=None)


def _one_call(method: str, path: str) -> dict[str, Key]:
    return {**_call(method, at=_RECORD, writes=True, shown=path), "search": _search()}


_CREATE_FIRST = Group(
    "Creates a record never delivered before, for an API whose call above writes nothing then.",
    CreateCall,
    default=ABSENT,
    shown=None,
)
_BOTH = {
    "create": Group(_CREATE, CreateCall, default=ABSENT, shown={}),
    "update": Group(_UPDATE, UpdateCall, default=ABSENT, shown={}),
}
_UPSERT_KEYS: dict[str, dict[str, Key]] = {
    "put": {**_one_call("PUT", "/{resource}/{external_id}"), "create": _CREATE_FIRST},
    "patch": {**_one_call("PATCH", "/{resource}/{external_id}"), "create": _CREATE_FIRST},
    "post": _one_call("POST", "/{resource}"),
    "search_then_write": {"search": _search(required=True), **_BOTH},
    "create_then_update": {**_BOTH, "search": _search()},
}


def _strangers(strategy: str) -> dict[str, str]:
    """Keys that only other strategies have, and which."""
    homes: dict[str, list[str]] = {}
    for other, keys in _UPSERT_KEYS.items():
        for key in keys:
            homes.setdefault(key, []).append(other)
    return {
        key: f"with strategy {strategy} it is not used; it is with {', '.join(where)}"
        for key, where in homes.items()
        if key not in _UPSERT_KEYS[strategy]
    }


UPSERTS: Mapping[str, type[Keys]] = {
    strategy: _keys(f"Upsert_{strategy}", keys, _strangers(strategy))
    for strategy, keys in _UPSERT_KEYS.items()
}


# --- a resource


class FieldKeys(Keys):
    """A field that does not simply stand under its own name."""

    at = At(
        'Where it stands in the record: a.b, custom_fields[id=4].value, "odd.name".',
        default=ABSENT,
        shown="its own name",
    )
    as_ = Template(
        "How it is written: text or data that holds {value}.",
        ("value", *_RECORD),
        data_key="as",
        default=ABSENT,
        shown="{value}",
    )
    read = Jmespath(
        "Where it stands in a record that was read, or in a hit.", default=ABSENT, shown="as `at`"
    )
    empty = Free("What clears it.", default=ABSENT, shown="as the resource's `empty`")


class FieldPlace(Group):
    """Where a field stands: text, or a map with more."""

    wants = "a place such as a.b, or a map"

    def read(self, value: Tree) -> Any:
        if isinstance(value, Scalar):
            return {"at": At("").read(value)}
        return super().read(value)


BatchKeys: type[Keys] = _keys(
    "BatchKeys",
    {
        "path": PathText("After base_url.", ("resource",)),
        **{key: item for key, item in _call("POST", at=("resource",)).items() if key != "path"},
        "body": Template(
            "What is sent: {records} is the list of records, each as `item` says.",
            ("resource", "records"),
            default=ABSENT,
            shown="{records}",
        ),
        "item": Template(
            "One record of the list.",
            (*_RECORD, "fields"),
            default=ABSENT,
            shown="the resource's `body`",
        ),
        "size": Whole("Records in one call, at the most.", unit="records", least=2, default=100),
        "wait": Number(
            "How long a record waits for others to go along with.",
            unit="seconds",
            least=0,
            default=0.2,
        ),
        "results": Jmespath(
            "From the answer to the list of what became of each record; left out: a 2xx says that "
            "all are done.",
            default=None,
        ),
        "match": Jmespath(
            "From a result to the external id of its record; left out: results come in the order "
            "of the records.",
            default=None,
        ),
        "success": Jmespath(
            "What must be true of a good result; left out: no status of 400 or more or of error, "
            "no error in it, and success, if it says any, true.",
            default=None,
        ),
        "crm_id": Jmespath(
            "From a result to the CRM's own id.", default=None, shown="as the resource's `hit_id`"
        ),
        "created": Jmespath(
            "True of a result whose record was not there before: one that was believed to be there "
            "is then sent as a whole.",
            default=None,
        ),
    },
)


CALLS = ("check", "search", "create", "update", "upsert", "batch", "read", "delete")
MEANINGS = ("done", "conflict", "gone", "refused", "credentials", "not_now")


class AnswerKeys(Keys):
    """A correction of what an answer means; it needs a status or a condition."""

    call = Listing(
        "The call or calls that it is about; any when left out. upsert: the call of put, patch "
        "or post.",
        Choice("A call.", (*CALLS, "put", "patch", "post")),
        single=True,
        default=(),
    )
    status = Listing(
        "The HTTP status or statuses; any when left out.",
        Whole("A status.", least=100, most=999),
        single=True,
        default=(),
    )
    when = Jmespath(
        "What must be true of the answer; of one that is no JSON: of its text.",
        default=None,
    )
    means = Choice("What such an answer means.", MEANINGS)

    @validates_schema
    def _not_everything(self, data: dict[str, Any], **_: Any) -> None:
        if not data["status"] and data["when"] is None:
            issue = Issue("this fits every answer", "give a status or a `when`", at_key=True)
            raise ValidationError({"means": [issue]})


class EtagAsKeys(Keys):
    """Where an etag goes instead of the header If-Match."""

    field = At("Its place among the fields, in calls that send some.", default=None)
    query = Text(
        "The parameter that says it, in calls that send no fields, or where `field` is left out.",
        default=None,
        check=not_empty_issue,
    )


class ResourceKeys(Keys):
    """How the records of one resource are found and written."""

    name = TextTemplate(
        "What {resource} stands for.", (), default=ABSENT, shown="the mapping's word"
    )
    upsert = OneOf(
        "How a record is created and updated.",
        "strategy",
        UPSERTS,
        default=ABSENT,
        shown={"strategy": "put", "path": "/{resource}/{external_id}"},
    )
    external_id_field = Text(
        "The CRM's field that holds the external id; left out: it is not written.",
        default=ABSENT,
        shown=None,
        check=not_empty_issue,
    )
    crm_id = Jmespath(
        "From an answer to the CRM's own id; left out: the external id is the id. Where the answer "
        "to a create does not hold it, it is taken from an address in its header Location.",
        default=ABSENT,
        shown=None,
    )
    hit_id = Jmespath("The same in one hit of a search.", default=ABSENT, shown="as crm_id")
    body = Template(
        "What a call that writes sends.", (*_RECORD, "fields"), default=ABSENT, shown="{fields}"
    )
    fields_ = Keyed(
        "Where fields stand, when not under their own names.",
        FieldPlace("Where the field stands.", FieldKeys, default=ABSENT),
        data_key="fields",
        attribute="fields",
        default=ABSENT,
        shown={},
    )
    batch = Group(
        "A call that creates or updates many records by their external ids.",
        BatchKeys,
        default=ABSENT,
        shown=None,
    )
    read = Group(
        "Reads one record; left out: the search's hit serves.",
        ReadCall,
        default=ABSENT,
        shown=None,
    )
    delete = Group(
        "Deletes one record.",
        DeleteCall,
        default=ABSENT,
        shown={"method": "DELETE", "path": "as of put, patch or update"},
    )
    success = Jmespath(
        "What must be true of a 2xx answer, with a body, of a write.", default=ABSENT, shown=None
    )
    several = Choice(
        "What to do when a search has several equal hits: make a dead letter, or take one.",
        ("dead", "first", "last"),
        default=ABSENT,
        shown="dead",
    )
    gone = Choice(
        "What to do when an update finds nothing: create it anew, make a dead letter, let it be.",
        ("recreate", "dead", "ignore"),
        default=ABSENT,
        shown="recreate",
    )
    etag = Etag(
        "Read before each update and delete and sent as If-Match: from the header ETag, or from "
        "where it stands in the record.",
        default=ABSENT,
        shown="none",
    )
    etag_as = Group(
        "Where it goes instead of If-Match: a lock version among the fields, say.",
        EtagAsKeys,
        default=ABSENT,
        shown="If-Match",
    )
    values = Choice(
        "How values are sent: as JSON, or every one as text.",
        ("json", "strings"),
        default=ABSENT,
        shown="json",
    )
    empty = Empty("What clears a field: null, '' or false.", default=ABSENT, shown=None)
    send = Choice(
        "What an update sends: the changed fields, or all that are known.",
        ("changed", "all"),
        default=ABSENT,
        shown="all for put, else changed",
    )
    verify = Listing(
        "link: before an update by the CRM's id, make sure that its row still has our external "
        "id. read: read back after a write and tell what the CRM did not keep.",
        Choice("A check.", ("link", "read")),
        single=True,
        default=ABSENT,
        shown=[],
    )
    id_format = Choice(
        "What the CRM can take as an external id: any text; letters, digits, _ and - only; a "
        "UUID made from it.",
        ("any", "slug", "uuid"),
        default=ABSENT,
        shown="any",
    )
    schema = Text(
        "A JSON Schema of the record's fields, a file that `connector targets import` writes: "
        "`mappings check` holds the mappings against it.",
        default=ABSENT,
        shown=None,
        check=not_empty_issue,
        wants="the name of a file",
    )
    answers = Listing(
        "Corrections of what an answer means; the first that fits wins.",
        Group("A correction.", AnswerKeys),
        default=ABSENT,
        shown=[],
    )


# --- targets


class NoAuthKeys(Keys):
    """No credentials."""


class BearerKeys(Keys):
    """Authorization: Bearer …"""

    token = SecretText("The token.", in_header=True)


class BasicKeys(Keys):
    """Authorization: Basic … (RFC 7617)"""

    username = SecretText("The user name.")
    password = SecretText("The password.", blank=True)


class HeaderAuthKeys(Keys):
    """A key in a header of its own."""

    name = Text("The header.", check=header_name_issue, wants="the name of a header")
    value = SecretText("The key.", in_header=True)


class QueryAuthKeys(Keys):
    """A key in every address."""

    name = Text("The parameter.", check=not_empty_issue)
    value = SecretText("The key.")


class ClientCredentialsKeys(Keys):
    """OAuth 2 client credentials (RFC 6749 section 4.4)."""

    token_url = Address("Where tokens are given out.", ("https", "http"))
    client_id = SecretText("The client's id.")
    client_secret = SecretText("The client's secret.")
    scope = Text("What is asked for.", default="")
    params = Keyed("More parameters of the token request.", Text("Its value."), default={})


class RefreshTokenKeys(Keys):
    """OAuth 2 refresh token (RFC 6749 section 6). One that the answer brings takes the place of
    the configured one, for all workers."""

    token_url = Address("Where tokens are given out.", ("https", "http"))
    refresh_token = SecretText("The refresh token that a person was given once.")
    client_id = SecretText("The client's id.")
    client_secret = SecretText("The client's secret; left out for a public client.", default=None)
    scope = Text("What is asked for.", default="")
    params = Keyed("More parameters of the token request.", Text("Its value."), default={})


def _says(tree: Tree | None, word: str) -> bool:
    """Whether the file itself, and not only a variable, has the word in a text."""
    if isinstance(tree, Scalar):
        return word in tree.text and not tree.variables
    inner = tree.values() if isinstance(tree, dict) else tree or ()
    return any(_says(item, word) for item in inner)


class LoginKeys(Keys):
    """A call that answers with a token or sets a cookie: a session login or a refresh-token
    exchange."""

    call = Group("The call; only here may its path be a whole URL.", LoginCall)
    first = Group(
        "A call that is made before it, where the login must bring along a token against forged "
        "requests: `{token}` in `call`. The cookies of its answer go along too.",
        FirstCall,
        default=None,
    )
    token = TokenPlace("From the answer to the token. Required without cookies.", default=None)
    cookies = Listing(
        "Which cookies of the answer go along with every call: their names, or * for all.",
        Text("A name.", check=cookie_name_issue, wants="the name of a cookie"),
        single=True,
        default=(),
    )
    expires = Jmespath(
        "From the answer to when it ends: seconds from now, or a time; left out: it holds until "
        "it is refused.",
        default=None,
    )
    header = Text(
        "The header that carries it.",
        default="Authorization",
        check=header_name_issue,
        wants="the name of a header",
    )
    value = TextTemplate("What that header says.", ("token",), default="Bearer {token}")

    @validates_schema
    def _token_or_cookies(self, data: dict[str, Any], **_: Any) -> None:
        if data["token"] is None and not data["cookies"]:
            issue = Issue("is missing", "give the place of the token, or cookies", at_key=True)
            raise ValidationError({"token": [issue]})

    @validates_schema(pass_original=True)
    def _token_of_the_first(self, data: dict[str, Any], original: Tree, **_: Any) -> None:
        call = original["call"] if isinstance(original, dict) else None
        if data["first"] is None and _says(call, "{token}"):
            issue = Issue("{token}, but no call is made before", "give `first:`", at_key=True)
            raise ValidationError({"call": [issue]})


SIGNED = ("method", "path", "query", "url", "host", "body", "body_hash", "timestamp", "nonce")
"""What of a call may be signed; `signature` itself may only be sent."""


class HmacKeys(Keys):
    """Every call is signed with a secret that both sides know."""

    secret = SecretText("The secret; it is never sent.")
    sign = TextTemplate(
        "What is signed. path is that of the address as sent (base_url's included, without "
        "query), query the part after `?`, url the whole address, body_hash the digest of the "
        "body, nonce a random word.",
        (*SIGNED, "key"),
    )
    key = SecretText("What {key} stands for: by what the CRM knows whose secret it is.", default="")
    secret_is = Choice("How the secret is written.", ("text", "hex", "base64"), default="text")
    algorithm = Choice(
        "The hash of the HMAC, and of body_hash.",
        ("sha1", "sha256", "sha384", "sha512"),
        default="sha256",
    )
    encoding = Choice("How signature and body_hash are written.", ("hex", "base64"), default="hex")
    timestamp = Choice(
        "What {timestamp} stands for: the time of the call, since 1970 or as text, in UTC.",
        ("seconds", "milliseconds", "iso", "http"),
        default="seconds",
    )
    header = Text(
        "The header that carries the signature; null for none.",
        default="X-Signature",
        nullable=True,
        check=header_name_issue,
        wants="the name of a header",
    )
    value = TextTemplate(
        "What that header says.", ("signature", *SIGNED, "key"), default="{signature}"
    )
    headers = Keyed(
        "More headers, for a timestamp, say.",
        TextTemplate("The header's value.", ("signature", *SIGNED, "key")),
        name=header_key_issue,
        default={},
    )
    query = Keyed(
        "Parameters that are added to the address, after what is signed.",
        TextTemplate("The parameter's value.", ("signature", *SIGNED, "key")),
        default={},
    )

    @validates_schema
    def _secret_fits(self, data: dict[str, Any], **_: Any) -> None:
        secret, how = data["secret"], data["secret_is"]
        if secret is None or not secret_issue(secret, how):
            return
        raise ValidationError({"secret": [Issue(f"this secret is no {how}", f"as {how} says")]})


AUTHS: Mapping[str, type[Keys]] = {
    "none": NoAuthKeys,
    "bearer": BearerKeys,
    "basic": BasicKeys,
    "header": HeaderAuthKeys,
    "query": QueryAuthKeys,
    "oauth2_client_credentials": ClientCredentialsKeys,
    "oauth2_refresh_token": RefreshTokenKeys,
    "login": LoginKeys,
    "hmac": HmacKeys,
}


class TlsKeys(Keys):
    """Whose certificates are trusted, and which one the CRM is shown."""

    ca = Text(
        "A file of the authorities that are trusted, instead of the public ones; PEM.",
        default=None,
        check=not_empty_issue,
        wants="the name of a file",
    )
    cert = Text(
        "A file with the certificate that the CRM is shown, and those that vouch for it; PEM.",
        default=None,
        check=not_empty_issue,
        wants="the name of a file",
    )
    key = Text(
        "The file of its private key; left out: it stands in the file of cert.",
        default=None,
        check=not_empty_issue,
        wants="the name of a file",
    )
    key_password = SecretText("The password of an encrypted key.", default="")
    verify = Flag(
        "false: any certificate is believed, and so is whoever stands between.", default=True
    )

    @validates_schema
    def _together(self, data: dict[str, Any], **_: Any) -> None:
        if data["key"] and not data["cert"]:
            raise ValidationError({"key": [Issue("a key without cert", "give both")]})
        if data["ca"] and data["verify"] is False:
            issue = Issue("verify: false beside ca", "keep one of the two")
            raise ValidationError({"verify": [issue]})


class RetryKeys(Keys):
    """When a record whose call found the CRM away is tried again."""

    schedule = Listing(
        "The wait before each further try, the last one repeated; a little chance is added.",
        Number("A wait.", unit="seconds", above=0),
        least=1,
        default=(5, 30, 120, 600, 1800, 7200, 21600, 43200, 86400),
    )
    give_up_after = Number(
        "From the first such answer until the record becomes a dead letter; it stands still while "
        "the target is paused.",
        unit="seconds",
        above=0,
        default=604_800,
    )
    max_retry_after = Number(
        "The longest Retry-After that is obeyed.", unit="seconds", least=0, default=3600
    )


class TargetKeys(Keys):
    """One CRM."""

    base_url = Address("The address that every path is put after.", ("https", "http"), base=True)
    auth = OneOf(
        "The credentials of every call.",
        "type",
        AUTHS,
        shorthand=True,
        default=lambda: {"type": "none"},
        shown={"type": "none"},
    )
    headers = Keyed(
        "Headers of every call.",
        Header("The header's value."),
        name=header_key_issue,
        default={},
    )
    tls = Group(
        "Certificates, for a CRM with a private authority or one that asks for ours.",
        TlsKeys,
        default=lambda: TlsKeys().load({}),
        shown={},
    )
    proxy = Address(
        "The proxy that every call goes through, user and password in it; left out: none, "
        "whatever the environment says.",
        ("http",),
        default=None,
    )
    idempotency_header = Text(
        "The header that carries the key of a call, the same over every repeat; null for none.",
        default="Idempotency-Key",
        nullable=True,
        check=header_name_issue,
        wants="the name of a header",
    )
    check = Group(
        "A call that only credentials or an outage can refuse: tells whether a target is well.",
        CheckCall,
        wants="a map such as {path: /}",
        default=None,
    )
    timeout = Number("For a whole call.", unit="seconds", above=0, default=10)
    search_lag = Number(
        "Until a search finds what was just created.", unit="seconds", least=0, default=2
    )
    rate_limit = Rate(
        "Calls over all workers together, as in 20/second or 100/10 seconds; left out: no limit.",
        default=None,
    )
    concurrency = Whole(
        "Calls at the same time, of all workers together. Calls of a `batch:` do not count: of them"
        " there are at most as many as a worker has threads.",
        unit="calls",
        least=1,
        default=16,
    )
    probe_interval = Number(
        "Between probes of a target that paused by itself, growing to 300.",
        unit="seconds",
        above=0,
        default=30,
    )
    pause_after_refusals = Whole(
        "The same refusal for so many different records in a row pauses the target.",
        unit="records",
        least=1,
        default=20,
    )
    pause_after_failures = Whole(
        "Failures (500, 501, 505) of so many different records in a row pause the target.",
        unit="records",
        least=1,
        default=5,
    )
    dead_after_failures = Whole(
        "A record that fails alone is a dead letter after so many calls.",
        unit="calls",
        least=1,
        default=6,
    )
    retry = Group(
        "When a record is tried again after the CRM was away.",
        RetryKeys,
        default=lambda: RetryKeys().load({}),
        shown={},
    )
    resources = Keyed(
        "How records are written, by resource; `default` stands for every resource not named.",
        Group("The resource.", ResourceKeys, default=dict, shown={}),
        name=resource_name_issue,
        default={},
    )


# --- sources


class CareSoftKeys(Keys):
    """A CareSoft account."""

    secrets = Listing(
        "The keys of its signatures; several while they rotate.",
        SecretText("A key."),
        single=True,
        default=(),
    )
    unsigned = Flag(
        "true: whoever posts is believed, for an account that was given no key.", default=False
    )

    @validates_schema
    def _signed_or_not(self, data: dict[str, Any], **_: Any) -> None:
        if data["secrets"] is None or data["unsigned"] is None:
            return  # a variable is missing, which is told already
        if data["secrets"] and data["unsigned"]:
            issue = Issue("both secrets and unsigned", "keep one of the two")
            raise ValidationError({"unsigned": [issue]})
        if not data["secrets"] and not data["unsigned"]:
            hint = "give them, or say `unsigned: true` if the account signs nothing"
            issue = Issue("is missing", hint, at_key=True)
            raise ValidationError({"secrets": [issue]})


class AppKeys(Keys):
    """One app of a Mobio merchant."""

    app_id = Text("Its id, part of what is signed.", check=not_empty_issue)
    secrets = Listing(
        "The keys of its signatures; several while they rotate.",
        SecretText("A key."),
        single=True,
        least=1,
    )


class MobioKeys(Keys):
    """A Mobio merchant."""

    apps = Listing("Its apps.", Group("An app.", AppKeys), least=1)

    @validates_schema
    def _apps_differ(self, data: dict[str, Any], **_: Any) -> None:
        seen: set[str] = set()
        errors: dict[int, Any] = {}
        for number, app in enumerate(data["apps"] or ()):
            app_id = app and app["app_id"]
            if app_id in seen:
                issue = Issue("an app_id that another app has", "put all its secrets in one list")
                errors[number] = {"app_id": [issue]}
            if app_id:
                seen.add(app_id)
        if errors:
            raise ValidationError({"apps": errors})


SOURCES: Mapping[str, type[Keys]] = {"caresoft": CareSoftKeys, "mobio": MobioKeys}


# --- the whole


class ReceiverKeys(Keys):
    """The receiver of webhooks."""

    max_body = Whole("The largest body that is taken.", unit="bytes", least=1, default=1_048_576)
    max_spool = Whole(
        "How much the spool may hold. Beyond it the answer is 503, and the sender must try again.",
        unit="bytes",
        least=65_536,
        default=1 << 30,
    )


class RetentionKeys(Keys):
    """How long the journal keeps events that are done, by age and by count, and records theirs."""

    days = Number("How long.", unit="days", above=0, default=30)
    events = Whole("How many at most.", unit="events", least=1, default=1_000_000)
    records = Number(
        "How long after the last word on a record, and after its events are forgotten, what it"
        " holds is kept. Its id in the CRM, and that it was deleted, stay. Left out: for ever.",
        unit="days",
        above=0,
        default=None,
    )


class AlertKeys(Keys):
    """Messages to a chat when something changes for the worse, and when it is well again."""

    url = Address(
        "Where they are posted, as JSON with a `text`: an incoming webhook of Slack, Mattermost or "
        "the like. Left out: nowhere.",
        ("https", "http"),
        default=None,
    )
    queue_minutes = Number(
        "The queue counts as old when its first event has waited for so long.",
        unit="minutes",
        above=0,
        default=10,
    )
    silence_hours = Whole(
        "A source counts as silent when it has sent nothing for so long, though it talked in the "
        "same hours a week ago.",
        unit="hours",
        least=1,
        default=3,
    )


ROLES = ("viewer", "operator", "editor")


class UserKeys(Keys):
    """Someone who may sign in to the dashboard."""

    password = PasswordHash(
        "The hash of the password, as `connector user hash` makes it; best from the environment."
    )
    role = Choice(
        "What they may do: look; also retry, replay, pause; also publish mappings.",
        ROLES,
        default="viewer",
    )


class DashboardKeys(Keys):
    """The pages at `/`."""

    edit_mappings = Flag(
        "false: mappings can be read in the browser, not edited or published.", default=True
    )
    session_key = SecretText(
        "What sessions are signed with; left out, one is made up and kept in Redis.", default=None
    )
    session_hours = Number(
        "After so long without a request a session has ended.", unit="hours", above=0, default=12
    )
    proxies = Whole(
        "So many proxies in front are believed about the caller's address and scheme.",
        unit="proxies",
        least=0,
        default=0,
    )
    local_role = Choice(
        "What a visitor from the machine itself may do while no user is configured.",
        ROLES,
        default="viewer",
    )


class AuditKeys(Keys):
    """How long it is kept who did what: by age and by count."""

    days = Number("How long.", unit="days", above=0, default=400)
    entries = Whole("How many at most.", unit="entries", least=1, default=100_000)


class ConfigKeys(Keys):
    """config.yaml"""

    redis_url = Address(
        "The Redis that holds queue, journal and records.",
        ("redis", "rediss", "unix"),
        default="redis://127.0.0.1:6379/0",
    )
    spool = Text(
        "The file that keeps events while Redis is away; null: answer 503 instead.",
        default="var/spool.sqlite",
        nullable=True,
        check=not_empty_issue,
        wants="the name of a file",
    )
    mappings = Text(
        "The folder of the mapping files, with tables/ in it.",
        default="mappings/",
        check=not_empty_issue,
        wants="the name of a folder",
    )
    timezone = Zone(
        "The zone of times that are written without one.",
        default=lambda: ZoneInfo("Asia/Ho_Chi_Minh"),
        shown="Asia/Ho_Chi_Minh",
    )
    receiver = Group(
        "The receiver of webhooks.",
        ReceiverKeys,
        default=lambda: ReceiverKeys().load({}),
        shown={},
    )
    alerts = Group(
        "Messages to a chat.",
        AlertKeys,
        default=lambda: AlertKeys().load({}),
        shown={},
    )
    retention = Group(
        "How long the journal keeps events that are done.",
        RetentionKeys,
        default=lambda: RetentionKeys().load({}),
        shown={},
    )
    users = Keyed(
        "Who may sign in to the dashboard, by name; with none it answers this machine only.",
        Group("A person.", UserKeys),
        name=user_name_issue,
        default={},
    )
    dashboard = Group(
        "The pages at `/`.",
        DashboardKeys,
        default=lambda: DashboardKeys().load({}),
        shown={},
    )
    audit = Group(
        "How long it is kept who did what.",
        AuditKeys,
        default=lambda: AuditKeys().load({}),
        shown={},
    )
    sources = Keyed(
        "Who sends, by a name of your choice: the last part of the webhook's address.",
        OneOf("A sender.", "kind", SOURCES),
        name=name_issue,
        default={},
    )
    targets = Keyed(
        "The CRMs, by a name of your choice.",
        Group("A CRM.", TargetKeys),
        name=name_issue,
        default={},
    )
