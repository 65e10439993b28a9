"""From what a resource says and inherits to all that must be known to deliver it.

The job: fill in each key of a resource (its own, else that of `default`, else what goes with the
strategy), and judge what only several keys together can get wrong. The rules of inheritance are
those of docs/configuration.md: each key whole, but `fields` merges by name and `answers` adds,
its own first; null takes a default back.

Input are the dicts that `schema.ResourceKeys` loads; every verdict carries the path of the key
that it is about, in the layer that it came from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Literal
from urllib.parse import parse_qsl

from connector.config.grammar import Issue, PlaceUnreadable, mentions, parse_at
from connector.config.model import (
    WHOLE,
    AnswerRule,
    Batch,
    Call,
    EtagAs,
    Expression,
    Field,
    Paging,
    ResourceConfig,
    Step,
    Upsert,
)
from connector.model import Json
from connector.yamltext import Path

_METHODS = {
    "check": "GET",
    "login": "POST",
    "first": "GET",
    "search": "GET",
    "create": "POST",
    "update": "PATCH",
    "read": "GET",
    "delete": "DELETE",
    "put": "PUT",
    "patch": "PATCH",
    "post": "POST",
    "batch": "POST",
}
_ONE_CALL = ("put", "patch", "post")
_BY_ID = "/{resource}/{external_id}"
_BY_LINK = "/{resource}/{crm_id}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something wrong, or doubtful, with the key at the path."""

    path: Path
    issue: Issue
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Layer:
    """What one entry under `resources:` says, and where."""

    said: Mapping[str, Any]
    path: Path


@dataclass(frozen=True, slots=True)
class Draft:
    """A completed resource, and where each of its keys came from."""

    config: ResourceConfig
    layers: tuple[Layer, Layer]

    def path(self, key: str, *more: str) -> Path:
        """The path of a key in the layer that gave it; of the resource for one left out."""
        for layer in self.layers:
            if key in layer.said:
                return (*layer.path, key, *more)
        return self.layers[0].path

    def said(self, key: str) -> bool:
        """Whether the file says the key, here or in `default`."""
        return any(layer.said.get(key) is not None for layer in self.layers)

    def calls(self) -> Iterator[tuple[str, Path, Call]]:
        """Every call by its kind (`upsert` for the one call of put, patch and post).

        A read or delete that the file does not say repeats the update, and is left out.
        """
        upsert = self.config.upsert
        if upsert.call:
            yield "upsert", self.path("upsert"), upsert.call
        for kind in ("search", "create", "update"):
            if call := getattr(upsert, kind):
                yield kind, self.path("upsert", kind), call
        for kind in ("read", "delete"):
            if self.said(kind):
                yield kind, self.path(kind), getattr(self.config, kind)


def complete(name: str, own: Layer, default: Layer) -> Draft:
    """The resource with everything filled in. `own` is `default` for the default itself."""

    def get(key: str, otherwise: Any = None) -> Any:
        for layer in (own, default):
            if key in layer.said:
                return otherwise if layer.said[key] is None else layer.said[key]
        return otherwise

    upsert = get("upsert", {"strategy": "put"})
    strategy = upsert["strategy"]
    crm_id = get("crm_id")
    body = get("body", "{fields}")
    empty = get("empty")
    linked = _BY_LINK if crm_id else _BY_ID
    calls = _upsert_calls(upsert, body, linked)
    one_record = _path_of_one(calls, linked)
    read = get("read")
    verify = get("verify", ())
    fields = _merged_fields(own, default, empty)
    external_id_field = get("external_id_field")
    config = ResourceConfig(
        name=get("name", name),
        upsert=Upsert(strategy, **calls),
        delete=make_call("delete", get("delete", {}), one_record, like=_like(calls)),
        read=None if read is None else make_call("read", read, one_record, like=_like(calls)),
        batch=_batch(get("batch"), body, get("hit_id", crm_id)),
        external_id_field=external_id_field,
        external_id=_external_id(external_id_field, fields, empty),
        crm_id=crm_id,
        hit_id=get("hit_id", crm_id),
        body=body,
        fields=fields,
        success=get("success"),
        several=get("several", "dead"),
        gone=get("gone", "recreate"),
        etag=get("etag"),
        etag_as=EtagAs(**get("etag_as", {})),
        values=get("values", "json"),
        empty=empty,
        send=get("send", "all" if strategy == "put" else "changed"),
        verify=frozenset(verify),
        id_format=get("id_format", "any"),
        answers=tuple(_rule(said) for said in _merged_answers(own, default)),
        schema=None if get("schema") is None else FilePath(get("schema")),
    )
    return Draft(config, (own, default))


def make_call(
    kind: str, said: Mapping[str, Any], path: str = "/", *, body: Json = None, like: Any = None
) -> Call:
    """A call with its defaults. `like`: a call whose `escape` it takes when it has none."""
    given = said.get("path")
    whole = path if given is None else given
    address, mark, inline = whole.partition("?")
    escape = said.get("escape")
    return Call(
        method=(said.get("method") or _METHODS[kind]).upper(),
        path=address,
        query={**(_inline_query(inline) if mark else {}), **(said.get("query") or {})},
        headers=said.get("headers") or {},
        body=body if said.get("body") is None else said["body"],
        escape=(like.escape if like else {}) if escape is None else escape,
        found=(said.get("found") or WHOLE) if kind == "search" else None,
        record=(said.get("record") or WHOLE) if kind in ("search", "read") else None,
        paging=_paging(said.get("next"), said.get("pages")) if kind == "search" else None,
    )


def _batch(said: Mapping[str, Any] | None, body: Json, hit_id: Expression | None) -> Batch | None:
    if said is None:
        return None
    call = make_call("batch", said, body="{records}")
    named = {key: said[key] for key in ("results", "match", "success", "created")}
    item = body if said.get("item") is None else said["item"]
    return Batch(call, item, said["size"], said["wait"], crm_id=said["crm_id"] or hit_id, **named)


def _paging(said: Mapping[str, Any] | None, pages: int | None) -> Paging:
    bound = 10 if pages is None else pages
    if said is None:
        return Paging(pages=bound)
    if "way" in said:
        return Paging(said["way"], said.get("at"), pages=bound)
    in_body = said["in_"] == "body"
    if said["cursor"] is not None:
        return Paging("cursor", said["cursor"], said["as_"], in_body, said["size"], bound)
    way: Literal["page", "offset"] = "offset" if said["page"] is None else "page"
    return Paging(way, None, said[way], in_body, said["size"], bound)


def _inline_query(text: str) -> dict[str, Json]:
    """A query that was written into the path."""
    query: dict[str, Json] = {}
    for key, value in parse_qsl(text, keep_blank_values=True):
        query[key] = [*query[key], value] if key in query else [value]
    return {key: values[0] if len(values) == 1 else values for key, values in query.items()}


def _upsert_calls(said: Mapping[str, Any], body: Json, linked: str) -> dict[str, Call | None]:
    strategy = said["strategy"]
    calls: dict[str, Call | None] = {}
    if strategy in _ONE_CALL:
        path = "/{resource}" if strategy == "post" else _BY_ID
        calls["call"] = make_call(strategy, said, path, body=body)
    if said.get("search") is not None:
        calls["search"] = make_call("search", said["search"])
    if strategy not in _ONE_CALL or said.get("create") is not None:
        calls["create"] = make_call("create", said.get("create") or {}, "/{resource}", body=body)
    if strategy not in _ONE_CALL:
        calls["update"] = make_call("update", said.get("update") or {}, linked, body=body)
    return calls


def _like(calls: Mapping[str, Call | None]) -> Call | None:
    return calls.get("update") or calls.get("call")


def _path_of_one(calls: Mapping[str, Call | None], linked: str) -> str:
    """The path of one record, for reading and deleting: that of an update, if it names one."""
    call = _like(calls)
    if call and (mentions(call.path, "external_id") or mentions(call.path, "crm_id")):
        return call.path
    return linked


def _merged_fields(own: Layer, default: Layer, empty: Json) -> dict[str, Field]:
    said: dict[str, Any] = {}
    for layer in _additive(own, default, "fields"):
        said = {**layer, **said}
    return {
        name: make_field(name, field, empty) for name, field in said.items() if field is not None
    }


def _merged_answers(own: Layer, default: Layer) -> list[Mapping[str, Any]]:
    return [rule for layer in _additive(own, default, "answers") for rule in layer]


def _additive(own: Layer, default: Layer, key: str) -> Iterator[Any]:
    """What each layer says of a key that adds up, own first; null ends it."""
    for layer in (own, default) if own is not default else (own,):
        if key in layer.said:
            if layer.said[key] is None:
                return
            yield layer.said[key]


def make_field(name: str, said: Mapping[str, Any], empty: Json) -> Field:
    """A field from what is said of it; `empty` is the resource's."""
    at = said.get("at") or (Step(name),)
    return Field(
        name=name,
        at=at,
        read=said.get("read") or reading(at),
        as_=said.get("as_"),
        empty=said.get("empty", empty),
    )


def reading(at: tuple[Step, ...]) -> Expression:
    """The expression that finds in a record what stands at the place."""
    text = ""
    for number, step in enumerate(at):
        text += f"{'.' if number else ''}{_name(step.name)}"
        if step.where:
            key, value = step.where
            literal = json.dumps(value).replace("`", "\\`")
            text += f"[?{_name(key)}==`{literal}`] | [0]"
    return Expression(text)


def _name(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else json.dumps(name)


def _external_id(name: str | None, fields: Mapping[str, Field], empty: Json) -> Field | None:
    if name is None:
        return None
    if name in fields:
        return fields[name]
    try:
        return make_field(name, {"at": parse_at(name)}, empty)
    except PlaceUnreadable:
        return make_field(name, {}, empty)


def _rule(said: Mapping[str, Any]) -> AnswerRule:
    calls: Any = ("upsert" if call in _ONE_CALL else call for call in said["call"])
    return AnswerRule(said["means"], frozenset(calls), frozenset(said["status"]), said["when"])


# --- what only several keys together can get wrong


def judge(draft: Draft) -> Iterator[Verdict]:
    """Every contradiction in a resource."""
    for check in _CHECKS:
        yield from check(draft)


def _holds(call: Call, word: str) -> bool:
    return any(mentions(part, word) for part in (call.path, call.query, call.headers, call.body))


def _parts(path: Path, call: Call) -> Iterator[tuple[Path, Json]]:
    for part in ("path", "query", "headers", "body"):
        yield (*path, part), getattr(call, part)


def _needs_crm_id(draft: Draft) -> Iterator[Verdict]:
    """{crm_id} where no record has one, or where it is not known yet."""
    config = draft.config
    issue = Issue(
        "{crm_id}, but this resource has no crm_id",
        "give crm_id, the place of the CRM's own id in an answer, or write {external_id}",
    )
    if config.crm_id is None:
        if mentions(config.body, "crm_id"):
            yield Verdict(draft.path("body"), issue)
        for _, path, call in draft.calls():
            for part, data in _parts(path, call):
                if data is not config.body and mentions(data, "crm_id"):
                    yield Verdict(part, issue)
        for name, field in config.fields.items():
            if mentions(field.as_, "crm_id"):
                yield Verdict(draft.path("fields", name, "as"), issue)
        if config.hit_id is not None:
            yield Verdict(
                draft.path("hit_id"),
                Issue("hit_id without crm_id", "give crm_id too: it makes records carry links"),
            )
        return
    upsert = config.upsert
    if upsert.call and not upsert.create and mentions(upsert.call.path, "crm_id"):
        yield Verdict(
            (*draft.path("upsert"), "path"),
            Issue(
                "{crm_id} in the call that creates a record too, which has none yet",
                "give `create:` for records never delivered, or write {external_id}",
            ),
        )


def _names_its_record(draft: Draft) -> Iterator[Verdict]:
    """A search, update, read or delete that says nothing of which record it means."""
    config = draft.config
    written = config.external_id_field is not None
    for kind, path, call in draft.calls():
        if kind == "search" and not _holds(call, "external_id"):
            yield Verdict(
                path,
                Issue(
                    "a search without {external_id} finds every row", "put it into query or body"
                ),
            )
        if kind not in ("update", "read", "delete", "upsert"):
            continue
        if _holds(call, "external_id") or _holds(call, "crm_id"):
            continue
        if kind in ("update", "upsert") and (written or _can_search(kind, draft)):
            continue
        yield Verdict(
            path,
            Issue(
                f"the {kind} does not say which record it means",
                "put {external_id} or {crm_id} into path, query or body"
                + (", or name external_id_field" if kind in ("update", "upsert") else ""),
            ),
        )


def _can_search(kind: str, draft: Draft) -> bool:
    return (
        kind == "upsert"
        and draft.config.upsert.strategy == "post"
        and draft.config.upsert.search is not None
    )


def _search_can_compare(draft: Draft) -> Iterator[Verdict]:
    if draft.config.upsert.search and draft.config.external_id_field is None:
        yield Verdict(
            draft.path("upsert", "search"),
            Issue(
                "hits cannot be compared with the external id",
                "name external_id_field, the CRM's field that holds it",
            ),
            doubtful=True,
        )


def _sends_fields(draft: Draft) -> Iterator[Verdict]:
    for kind, path, call in draft.calls():
        if kind not in ("create", "update", "upsert"):
            continue
        if not mentions(call.body, "fields") and not mentions(call.query, "fields"):
            yield Verdict(
                (*path, "body"),
                Issue(f"the {kind} sends no {{fields}}", 'e.g. body: {data: "{fields}"}'),
                doubtful=True,
            )


def _can_read(draft: Draft) -> Iterator[Verdict]:
    """etag and verify look at the record, so there must be a way to get it."""
    config = draft.config
    readable = config.read is not None or config.upsert.search is not None
    hint = "give `read:`, the call that reads one record"
    if config.etag == "header" and config.read is None:
        yield Verdict(draft.path("etag"), Issue("etag: header without `read:`", hint))
    elif config.etag is not None and not readable:
        yield Verdict(draft.path("etag"), Issue("an etag without `read:` or a search", hint))
    if config.verify and not readable:
        yield Verdict(draft.path("verify"), Issue("verify without `read:` or a search", hint))
    if "link" in config.verify and config.crm_id is None:
        yield Verdict(
            draft.path("verify"),
            Issue("verify: link without crm_id", "records without crm_id have no link"),
        )


def _creates_can_be_found(draft: Draft) -> Iterator[Verdict]:
    """A create whose answer was lost is made again: it must meet what it has made."""
    config, create = draft.config, draft.config.upsert.create
    if create is None or config.upsert.call or config.upsert.search:
        return
    if config.external_id_field is None and not _holds(create, "external_id"):
        what = "the create does not say which record it makes: made again after a lost answer it"
        issue = Issue(f"{what} may leave two rows", "name external_id_field, or give a search")
        yield Verdict(draft.path("upsert"), issue, doubtful=True)


def _batch_upserts(draft: Draft) -> Iterator[Verdict]:
    """A batch must say which records it means, and tell what became of each."""
    config, batch = draft.config, draft.config.batch
    if batch is None:
        return
    path = draft.path("batch")
    if not mentions(batch.call.body, "records"):
        yield Verdict((*path, "body"), Issue("no {records} in the batch", 'body: "{records}"'))
    if not mentions(batch.item, "fields"):
        issue = Issue("an item sends no {fields}", 'item: {id: "{external_id}", data: "{fields}"}')
        yield Verdict((*path, "item"), issue, doubtful=True)
    if not mentions(batch.item, "external_id") and config.external_id_field is None:
        hint = "put {external_id} into `item`, or name external_id_field"
        issue = Issue("the batch does not say which records it means", hint)
        yield Verdict(path, issue)
    if config.crm_id is None and mentions(batch.item, "crm_id"):
        issue = Issue("{crm_id}, but this resource has no crm_id", "write {external_id}")
        yield Verdict((*path, "item"), issue)
    if batch.results is None:
        for key in ("match", "success", "created"):
            if getattr(batch, key) is not None:
                issue = Issue(f"{key} without results", "give results, the list that it is about")
                yield Verdict((*path, key), issue)
        if config.crm_id is not None:
            issue = Issue(
                "a batch without results tells no id of the CRM: each new record is searched for",
                "give results, the list of what became of each record",
            )
            yield Verdict(path, issue, doubtful=True)


def _as_holds_value(draft: Draft) -> Iterator[Verdict]:
    for name, field in draft.config.fields.items():
        if field.as_ is not None and not mentions(field.as_, "value"):
            yield Verdict(
                draft.path("fields", name, "as"),
                Issue("`as` without {value}: every record would get the same", "put {value} in"),
            )


def _put_sends_all(draft: Draft) -> Iterator[Verdict]:
    if draft.config.upsert.strategy == "put" and draft.config.send == "changed":
        yield Verdict(
            draft.path("send"),
            Issue(
                "put replaces the record, so sending only changes loses the other fields",
                "leave `send` out, or use strategy patch",
            ),
            doubtful=True,
        )


_CHECKS: tuple[Callable[[Draft], Iterator[Verdict]], ...] = (
    _needs_crm_id,
    _names_its_record,
    _search_can_compare,
    _sends_fields,
    _can_read,
    _creates_can_be_found,
    _batch_upserts,
    _as_holds_value,
    _put_sends_all,
)
