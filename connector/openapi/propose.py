"""From what an API documents to a configuration that suits it, with the reasons.

A proposal is a list of lines of config.yaml, each with why; what is only a guess is `doubtful`, and
said so. Pure. What the API does may differ from what it documents: `checkup` finds that out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from connector.model import Json
from connector.openapi.document import Operation, Spec
from connector.openapi.known import Known
from connector.openapi.paths import Resource
from connector.openapi.places import Body, Hits, body_of, hits_in, id_in, is_external, record_in
from connector.openapi.shapes import is_object, plain, properties, types

_JSON = ("application/json", None)
_ASIDE = re.compile(r"authorization|content-type|accept.*|if-(none-)?match|user-agent", re.I)
_KEY = re.compile(r"idempotency", re.I)
_FILTER = re.compile(r"^(?:filters?|where|q|query|search|eq)\[(?P<name>[\w.-]+)\](?:\[\$?_?eq\])?$")
_ANY = ("filter", "$filter", "where", "q", "query", "search", "keyword", "term")


@dataclass(frozen=True, slots=True)
class Line:
    """A key of the resource, and why it says so."""

    key: str
    value: Json
    why: str
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """A resource's configuration. `notes` are what no key can say."""

    name: str
    resource: Resource
    lines: tuple[Line, ...]
    known: Known
    notes: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, Json]:
        """The keys without their reasons."""
        return {line.key: line.value for line in self.lines}


@dataclass(slots=True)
class _Draft:
    """What is being found out about one resource."""

    spec: Spec
    name: str
    resource: Resource
    lines: list[Line] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    body: Body = field(default_factory=lambda: Body("{fields}", {}))
    crm_id: str | None = None
    external: str | None = None
    created_by: Operation | None = None

    def say(self, key: str, value: Json, why: str, *, doubtful: bool = False) -> None:
        self.lines.append(Line(key, value, why, doubtful))

    def schema(self, given: Json) -> dict[str, Json]:
        return plain(self.spec, given)

    @property
    def word(self) -> str:
        return self.resource.word or self.name


def propose(spec: Spec, name: str, resource: Resource) -> Proposal:
    """The configuration of one resource."""
    draft = _Draft(spec, name, resource)
    _writes(draft)
    _looks(draft)
    _deletes(draft)
    _manners(draft)
    known = Known.of(_fields(draft))
    return Proposal(name, resource, tuple(draft.lines), known, tuple(draft.notes))


# --- which strategy


def _writes(draft: _Draft) -> None:
    one = draft.resource.of_one
    patch, put, post = one.get("PATCH"), one.get("PUT"), draft.resource.of_many.get("POST")
    creating = next((o for o in (patch, put) if o and "201" in o.answers), None)
    if creating is None and is_external(draft.resource.id_name or ""):
        creating = patch or put
    if creating is not None:
        _one_call(draft, creating)
    elif post is not None and (update := patch or put or _other_update(draft)):
        _two_calls(draft, post, update)
    elif post is not None:
        _post_alone(draft, post)
    elif patch or put:
        _one_call(draft, patch or put or one["PATCH"])
        draft.notes.append("No call creates a record: does the one above?")


def _other_update(draft: _Draft) -> Operation | None:
    """A call that changes a record whose id stands in the body, or a POST to the record."""
    many, post = draft.resource.of_many, draft.resource.of_one.get("POST")
    for method in ("PATCH", "PUT"):
        operation = many.get(method)
        if operation and _own_id(body_of(draft.schema(operation.request), draft.word).fields):
            return operation
    return post if post is not None and post.request is not None else None


def _own_id(fields: Mapping[str, Json]) -> str | None:
    """The field of a body that seems to name the record."""
    return next((n for n in ("id", "_id", "Id", "uuid") if n in properties(fields)), None)


def _one_call(draft: _Draft, operation: Operation) -> None:
    draft.created_by = operation
    draft.body = body_of(draft.schema(operation.request), draft.word)
    strategy = operation.method.lower()
    call = _call(draft, operation, "{external_id}", default="")
    why = f"{operation.method} {operation.path} creates and updates by our id"
    if "201" in operation.answers:
        why += " (it documents 201)"
    if strategy == "patch" and "PUT" in draft.resource.of_one:
        why += "; PUT would empty the fields that no mapping names"
    call.pop("method", None)
    draft.say(
        "upsert", {"strategy": strategy, **call}, why, doubtful="201" not in operation.answers
    )
    _body(draft)


def _post_alone(draft: _Draft, post: Operation) -> None:
    draft.created_by = post
    draft.body = body_of(draft.schema(post.request), draft.word)
    draft.external = _external_field(draft)
    call = _call(draft, post, "", default="")
    call.pop("method", None)
    why = f"only POST {post.path} writes: it should create and update by the id in the body"
    draft.say("upsert", {"strategy": "post", **call}, why, doubtful=True)
    _body(draft)
    _say_external(draft)


def _two_calls(draft: _Draft, post: Operation, update: Operation) -> None:
    draft.created_by = post
    draft.body = body_of(draft.schema(post.request), draft.word)
    if own := _chosen_by_us(draft):
        _ids_of_ours(draft, post, update, own)
        return
    draft.crm_id = id_in(draft.schema(post.answer), draft.word)
    draft.external = _external_field(draft)
    search, doubtful = _search(draft)
    if search is None:
        search, doubtful = _search_by_post(draft)
    calls = {
        "create": _call(draft, post, "", default="POST", body=_body_of_new(draft)),
        "update": _call(
            draft, update, "{crm_id}", default="PATCH", body=_body_of_one(draft, update)
        ),
    }
    if search is not None:
        why = "a record has the CRM's own id, so it is searched for by ours, once"
        draft.say(
            "upsert",
            {"strategy": "search_then_write", "search": search, **calls},
            why,
            doubtful=doubtful,
        )
    else:
        why = "no search by our id is documented: a create that meets a known record must answer"
        why += " 409 with the CRM's id" + ("" if "409" in post.answers else ", which is not said")
        draft.say("upsert", {"strategy": "create_then_update", **calls}, why, doubtful=True)
    _body(draft)
    _say_external(draft)
    _say_crm_id(draft, post)
    if update.method == "PUT":
        draft.say("send", "all", "PUT replaces the record")


def _chosen_by_us(draft: _Draft) -> str | None:
    """The field of a create that holds the id of the item's path, where the client chooses it."""
    fields, name = draft.body.fields, draft.resource.id_name or ""
    required = fields.get("required") or ()
    for candidate in (name, "id"):
        schema = properties(fields).get(candidate)
        if schema is not None and candidate in required and not schema.get("readOnly"):
            return candidate
    return None


def _ids_of_ours(draft: _Draft, post: Operation, update: Operation, own: str) -> None:
    calls = {
        "create": _call(draft, post, "", default="POST"),
        "update": _call(draft, update, "{external_id}", default="PATCH"),
    }
    why = f"a create needs `{own}`, so the id is ours; " + (
        "POST documents 409 for a known one"
        if "409" in post.answers
        else "what POST answers to a known one is not said"
    )
    upsert = {"strategy": "create_then_update", **calls}
    draft.say("upsert", upsert, why, doubtful="409" not in post.answers)
    _body(draft)
    draft.external = own
    draft.say("external_id_field", own, "where the create wants our id")
    if update.method == "PUT":
        draft.say("send", "all", "PUT replaces the record")


# --- calls


def _call(
    draft: _Draft, operation: Operation, record: str, *, default: str, body: Json = None
) -> dict[str, Json]:
    """A call of the configuration. `record`: the placeholder of the id that names a record."""
    resource = draft.resource
    call: dict[str, Json] = {}
    if operation.method != default:
        call["method"] = operation.method
    in_path = resource.id_name if resource.id_in == "path" else None
    call["path"] = _path(draft, operation, record, in_path)
    query = _query(draft, operation)
    if record and resource.id_in == "query" and resource.id_name:
        query = {resource.id_name: record, **query}
    if query:
        call["query"] = query
    if headers := _headers(draft, operation):
        call["headers"] = headers
    if body is not None:
        call["body"] = body
    return call


def _path(draft: _Draft, operation: Operation, record: str, id_name: str | None) -> str:
    def placed(match: re.Match[str]) -> str:
        if match[1] == id_name and record:
            return record
        if draft.resource.collection.endswith(match[0]):
            return "{resource}"
        word = re.sub(r"\W", "_", match[1]).upper()
        draft.notes.append(f"`{word}` in {operation.path}: put in what it should be.")
        return word

    return re.sub(r"\{([^{}]+)\}", placed, operation.path)


def _query(draft: _Draft, operation: Operation) -> dict[str, Json]:
    """The parameters that the call cannot do without."""
    return {
        str(each.get("name")): _value(draft, each, operation)
        for each in operation.parameter("query")
        if each.get("required") is True and each.get("name") != draft.resource.id_name
    }


def _headers(draft: _Draft, operation: Operation) -> dict[str, Json]:
    headers = {
        str(each.get("name")): _value(draft, each, operation)
        for each in operation.parameter("header")
        if each.get("required") is True
        and not _ASIDE.fullmatch(str(each.get("name")))
        and not _KEY.search(str(each.get("name")))
    }
    if operation.media_type not in _JSON and operation.request is not None:
        headers["Content-Type"] = operation.media_type
    return headers


def _value(draft: _Draft, parameter: Mapping[str, Json], operation: Operation) -> Json:
    schema = draft.schema(parameter.get("schema") or parameter)
    found = draft.spec.resolve(parameter.get("schema"))
    raw = found if isinstance(found, dict) else parameter
    choices = schema.get("enum") or [None]
    for value in (schema.get("const"), raw.get("default"), parameter.get("example"), choices[0]):
        if value is not None:
            return value
    word = re.sub(r"\W", "_", str(parameter.get("name"))).upper()
    draft.notes.append(f"`{word}` of {operation.method} {operation.path}: it must be given.")
    return word


def _body(draft: _Draft) -> None:
    if draft.body.template != "{fields}":
        draft.say("body", draft.body.template, "what is sent is wrapped")
    free = draft.body.fields.get("additionalProperties")
    if isinstance(free, dict) and types(free) == ("string",):
        draft.say("values", "strings", "every value is text")


def _body_of_new(draft: _Draft) -> Json:
    """The body of a create, where lists beside the wrapper are required: none of them."""
    template, sent = draft.body.template, draft.created_by and draft.created_by.request
    if not isinstance(template, dict) or not sent:
        return None
    whole = draft.schema(sent)
    lists: dict[str, Json] = {
        name: []
        for name in whole.get("required") or ()
        if name not in template and types(properties(whole).get(name, {})) == ("array",)
    }
    return {**template, **lists} if lists else None


def _body_of_one(draft: _Draft, update: Operation) -> Json:
    """The body of an update, where it must say which record it is about: in JSON:API, or because
    its path does not."""
    if update.path == draft.resource.collection and draft.resource.id_in == "path":
        body = body_of(draft.schema(update.request), draft.word)
        inner = {_own_id(body.fields) or "id": "{crm_id}", "**": "{fields}"}
        return _in_template(body.template, inner)
    data = draft.body.template.get("data") if isinstance(draft.body.template, dict) else None
    if not isinstance(data, dict) or "attributes" not in data:
        return None
    kind = {"type": data["type"]} if "type" in data else {}
    return {"data": {**kind, "id": "{crm_id}", "attributes": "{fields}"}}


def _in_template(template: Json, fields: Json) -> Json:
    """A body with something else in the place of `{fields}`."""
    if template == "{fields}":
        return fields
    if isinstance(template, dict):
        return {key: _in_template(value, fields) for key, value in template.items()}
    return (
        [_in_template(each, fields) for each in template] if template == ["{fields}"] else template
    )


# --- looking


def _external_field(draft: _Draft) -> str | None:
    return next((name for name in properties(draft.body.fields) if is_external(name)), None)


def _say_external(draft: _Draft) -> None:
    if draft.external:
        draft.say("external_id_field", draft.external, "the field that sounds like our id")
        return
    why = "no field sounds like another system's id: name the one that holds ours"
    draft.external = "external_id"
    draft.say("external_id_field", draft.external, why, doubtful=True)


def _say_crm_id(draft: _Draft, post: Operation) -> None:
    if draft.crm_id:
        draft.say("crm_id", draft.crm_id, f"where the answer to POST {post.path} holds the id")
    else:
        draft.crm_id = "id"
        why = f"no answer to POST {post.path} is documented: where does it hold the CRM's id?"
        draft.say("crm_id", draft.crm_id, why, doubtful=True)
    if (hits := _hits(draft)) and hits.hit_id and hits.hit_id != draft.crm_id:
        draft.say("hit_id", hits.hit_id, "the same in one hit of a search")


def _search(draft: _Draft) -> tuple[dict[str, Json] | None, bool]:
    """The search, and whether it is a guess."""
    listing = draft.resource.of_many.get("GET")
    if listing is None:
        return None, True
    parameter, doubtful = _search_parameter(draft, listing)
    if parameter is None:
        return None, True
    query = {parameter: "{external_id}", **_query(draft, listing)}
    search: dict[str, Json] = {"path": _path(draft, listing, "", None), "query": query}
    if headers := _headers(draft, listing):
        search["headers"] = headers
    hits = _hits(draft)
    if hits is None:
        draft.notes.append(f"Where GET {listing.path} holds its hits is not said: see `found`.")
        return search, True
    if hits.found != "@":
        search["found"] = hits.found
    if hits.record:
        search["record"] = hits.record
    return search, doubtful


def _search_parameter(draft: _Draft, listing: Operation) -> tuple[str | None, bool]:
    parameters = listing.parameter("query")
    names = [str(each.get("name")) for each in parameters]
    plain_names = {name: (m["name"] if (m := _FILTER.match(name)) else name) for name in names}
    for name, inner in plain_names.items():
        if (draft.external and inner == draft.external) or is_external(inner):
            draft.external = draft.external or inner
            return name, False
    for each in parameters:  # a parameter that is an object: `filter[external_id]=…`
        for inner in properties(draft.schema(each.get("schema"))):
            if (draft.external and inner == draft.external) or is_external(inner):
                draft.external = draft.external or inner
                return f"{each.get('name')}[{inner}]", each.get("style") != "deepObject"
    general = next((name for name in names if name in _ANY), None)
    if general:
        field_name = draft.external or "external_id"
        draft.notes.append(
            f"`{general}` of GET {listing.path} may want an expression, e.g. {field_name}:…"
        )
    return general, True


def _search_by_post(draft: _Draft) -> tuple[dict[str, Json] | None, bool]:
    """A search that is a POST with conditions in its body, as far as its form is known."""
    path = f"{draft.resource.collection}/search"
    post = next((o for o in draft.spec.operations() if (o.method, o.path) == ("POST", path)), None)
    if post is None:
        return None, True
    fields = properties(draft.schema(post.request))
    name = draft.external or "external_id"
    condition: Json = None
    if "filterGroups" in fields:
        equal = {"propertyName": name, "operator": "EQ", "value": "{external_id}"}
        condition = {"filterGroups": [{"filters": [equal]}]}
    elif {"field", "operator", "value"} <= properties(fields.get("query", {})).keys():
        condition = {"query": {"field": name, "operator": "=", "value": "{external_id}"}}
    else:
        draft.notes.append(f"POST {path} finds records: with a `body` it may be the `search:`.")
        return None, True
    hits = hits_in(draft.schema(post.answer), draft.word)
    search: dict[str, Json] = {"method": "POST", "path": path, "body": condition}
    if hits and hits.found != "@":
        search["found"] = hits.found
    if hits and hits.record:
        search["record"] = hits.record
    return search, True


def _hits(draft: _Draft) -> Hits | None:
    listing = draft.resource.of_many.get("GET")
    return hits_in(draft.schema(listing.answer), draft.word) if listing else None


def _looks(draft: _Draft) -> None:
    read = draft.resource.of_one.get("GET")
    if read is None:
        return
    call = _call(draft, read, _record(draft), default="GET")
    place, _ = record_in(draft.schema(read.answer), draft.word)
    if place != "@":
        call["record"] = place
    draft.say("read", call, "for `write:` policies, `verify` and conflicts")


def _record(draft: _Draft) -> str:
    return "{crm_id}" if draft.crm_id else "{external_id}"


def _deletes(draft: _Draft) -> None:
    delete = draft.resource.of_one.get("DELETE")
    if delete is None:
        draft.notes.append("No DELETE is documented: a delete would become a dead letter.")
        return
    draft.say("delete", _call(draft, delete, _record(draft), default="DELETE"), "")


def _manners(draft: _Draft) -> None:
    operations = [*draft.resource.of_one.values(), *draft.resource.of_many.values()]
    matches = [
        each
        for operation in operations
        for each in operation.parameter("header")
        if str(each.get("name")).lower() == "if-match"
    ]
    if any(each.get("required") is True for each in matches):
        draft.say("etag", "header", "If-Match is required")
    elif matches:
        draft.notes.append("If-Match is offered: `etag: header` notices an edit in between.")


# --- what the CRM knows


def _fields(draft: _Draft) -> dict[str, Json]:
    """The schema of what stands for `{fields}`, without the external id where it is added."""
    schema = dict(draft.body.fields)
    if not is_object(schema):
        read = draft.resource.of_one.get("GET")
        schema = dict(record_in(draft.schema(read.answer), draft.word)[1]) if read else {}
        schema.pop("required", None)
    required = [
        name
        for name in schema.get("required") or ()
        if name != draft.external and not properties(schema).get(name, {}).get("readOnly")
    ]
    return {**schema, "required": required}


# --- the target


def target_lines(spec: Spec, resources: list[Resource]) -> Iterator[Line]:
    """What the file says of all calls: address, credentials, the header for keys."""
    servers = [url for url in spec.servers() if re.match(r"https?://[^{}]+$", url)]
    paths = [url for url in spec.servers() if re.match(r"/[^{}]+$", url)]
    if servers:
        yield Line("base_url", servers[0], "from `servers`")
    elif paths:
        why = f"the file names no host; its paths begin with {paths[0]}"
        yield Line("base_url", "${CRM_BASE_URL}" + paths[0], why)
    else:
        yield Line("base_url", "${CRM_BASE_URL}", "the file names no server")
    yield from _credentials(spec, resources)
    yield from _check(spec, resources)
    names = {
        str(each.get("name"))
        for resource in resources
        for operation in (*resource.of_many.values(), *resource.of_one.values())
        for each in operation.parameter("header")
        if _KEY.search(str(each.get("name")))
    }
    if names and "Idempotency-Key" not in names:
        yield Line("idempotency_header", min(names), "the header for keys, by its own name here")


_OF_ME = re.compile(r".*/(me|self|whoami|myself|current)/?")


def _check(spec: Spec, resources: list[Resource]) -> Iterator[Line]:
    """A call that needs the credentials and no record: about who calls, else a list."""
    gets = [o for o in spec.operations() if o.method == "GET" and not _needs(o)]
    me = next((each for each in gets if _OF_ME.fullmatch(each.path)), None)
    if me is not None:
        yield Line("check", {"path": me.path}, "a call about whoever calls")
        return
    lists = {r.collection for r in resources}
    if found := next((o for o in gets if o.path in lists), None):
        yield Line("check", {"path": found.path}, "a list: only credentials can refuse it")


def _needs(operation: Operation) -> bool:
    """Whether a call wants anything to be said."""
    return "{" in operation.path or any(e.get("required") is True for e in operation.parameters)


_BEST = ("bearer", "header", "oauth2_client_credentials", "basic", "oauth2_refresh_token", "query")
"""The fewer steps and secrets, the better."""


def _credentials(spec: Spec, resources: list[Resource]) -> Iterator[Line]:
    """The best of the ways that the resource's calls name, else of those that the file has."""
    calls = [o for r in resources for o in (*r.of_many.values(), *r.of_one.values())]
    named = {name for call in calls for name in call.credentials}
    known = {
        name: auth for name, each in spec.security().items() if (auth := _auth(spec.resolve(each)))
    }
    choices = {name: auth for name, auth in known.items() if name in named} or known
    if not choices:
        yield Line("auth", {"type": "none"}, "it tells of no credentials", doubtful=True)
        return
    name = min(choices, key=lambda each: ("legacy" in each, _BEST.index(choices[each]["type"])))
    yield Line("auth", choices[name], f"`{name}` of its security schemes")


_PREFIX = re.compile(r"\bprefix:?\s+[\"'`](\w+)[\"'`]|\b(Bearer|Token)\s+[<{\[]", re.IGNORECASE)
"""How descriptions tell what stands before a key in `Authorization`."""


def _key_auth(scheme: Mapping[str, Json]) -> dict[str, Json]:
    name, told = str(scheme.get("name")), str(scheme.get("description", ""))
    found = _PREFIX.search(told) if name.lower() == "authorization" else None
    word = (found[1] or found[2]) if found else ""
    if word.lower() == "bearer":
        return {"type": "bearer", "token": "${CRM_TOKEN}"}
    return {"type": scheme["in"], "name": name, "value": f"{word} ${{CRM_KEY}}".strip()}


def _auth(scheme: Json) -> dict[str, Json] | None:
    if not isinstance(scheme, dict):
        return None
    kind, how = scheme.get("type"), str(scheme.get("scheme", "")).lower()
    if kind == "http" and how == "bearer":
        return {"type": "bearer", "token": "${CRM_TOKEN}"}
    if kind == "basic" or (kind == "http" and how == "basic"):
        return {"type": "basic", "username": "${CRM_USER}", "password": "${CRM_PASSWORD}"}
    if kind == "apiKey" and scheme.get("in") in ("header", "query"):
        return _key_auth(scheme)
    return _oauth2(scheme) if kind == "oauth2" else None


_FLOWS = {
    "clientCredentials": "oauth2_client_credentials",
    "application": "oauth2_client_credentials",
    "authorizationCode": "oauth2_refresh_token",
    "accessCode": "oauth2_refresh_token",
}


def _oauth2(scheme: Mapping[str, Json]) -> dict[str, Json]:
    """By the flow that a program can go; a token by hand where the file says no address."""
    said = scheme.get("flows")
    flows: dict[str, Json] = said if isinstance(said, dict) else {str(scheme.get("flow")): scheme}
    for name, kind in _FLOWS.items():
        flow = flows.get(name)
        if isinstance(flow, dict) and str(flow.get("tokenUrl", "")).startswith("http"):
            token = {"refresh_token": "${CRM_REFRESH_TOKEN}"} if kind.endswith("token") else {}
            ids = {"client_id": "${CRM_ID}", "client_secret": "${CRM_SECRET}"}
            return {"type": kind, "token_url": flow["tokenUrl"], **token, **ids}
    return {"type": "bearer", "token": "${CRM_TOKEN}"}
