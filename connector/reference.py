"""The generated parts of docs/: tables made from the code's own descriptions, and worked examples.

A page is written by hand, but for its parts: what stands between `<!-- made: NAME … -->` and
`<!-- /made -->` is made here, from the same objects that the product runs on, so it is right or it
is old, and a test says when it is old. `python -m connector.reference` makes all parts anew.

An example works on what stands before it in the page: the last ```json body, ```yaml fields or
```yaml mapping, and every ```yaml table NAME. Its result is what the real code gives for them.

Pure but for `main`, which reads and writes the pages. Like `cli` it may know every room; no room
knows it. The fields that the shipped mappings write are `schema_page`'s.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import jmespath
from marshmallow import Schema

from connector.cli import main as cli
from connector.config.fields import (
    REQUIRED,
    Choice,
    Group,
    Keyed,
    Keys,
    Listing,
    Number,
    OneOf,
)
from connector.config.model import App, CareSoft, Mobio, SourceConfig
from connector.config.schema import ConfigKeys
from connector.errors import MappingInvalid
from connector.mapping import core_functions
from connector.mapping import schema as grammar
from connector.mapping.functions import FUNCTIONS
from connector.mapping.load import MappingSet, set_from_texts
from connector.mapping.rendering import change_to_json
from connector.metrics import METRICS
from connector.model import Json, Micros
from connector.sources import VENDORS, open_source
from connector.sources.base import Source
from connector.targets import answers

DOCS = Path(__file__).parents[1] / "docs"

RECEIVED_AT: Micros = 1_713_150_365_000_000
"""When the bodies of the examples were received: 2024-04-15T03:06:05Z."""

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")

_PART = re.compile(
    r"(?P<head><!-- made: (?P<name>[a-z-]+)(?: (?P<with>[^\n]*?))? -->\n)"
    r".*?(?P<foot><!-- /made -->)",
    re.DOTALL,
)
_FENCE = r"^```{info}\n(.*?)^```$"


def renewed(page: str) -> str:
    """The page with all its parts made anew. Raises KeyError for a part that nobody makes."""
    out, end = "", 0
    for part in _PART.finditer(page):
        out += page[end : part.start()]
        made = MAKERS[part["name"]](part["with"] or "", out)
        out += f"{part['head']}\n{made}\n\n{part['foot']}"
        end = part.end()
    return out + page[end:]


def main() -> None:
    """Make the parts of every page of docs/ anew."""
    for path in sorted(DOCS.glob("*.md")):
        page = path.read_text(encoding="utf-8")
        path.write_text(renewed(page), encoding="utf-8")


# --- Markdown


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a column in which nothing stands is left out."""
    listed = [[_cell(cell) for cell in row] for row in rows]
    shown = [n for n in range(len(headings)) if any(row[n] for row in listed)]
    lines = [[headings[n] for n in shown], ["---"] * len(shown)]
    lines += [[row[n] for n in shown] for row in listed]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("\n", " ").replace("|", r"\|")


def _code(text: str) -> str:
    """Text as code, whatever backticks are in it (CommonMark 6.1)."""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def _said(value: Json) -> str:
    """A value as code: text as it is written, everything else as JSON."""
    if value is None or value == "":
        return "empty" if value == "" else "none"
    return _code(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _fenced(info: str, text: str) -> str:
    return f"```{info}\n{text}\n```"


# --- config.yaml

_CALL = ("method", "path", "query", "headers", "body", "escape")
_CALLS = (
    "check",
    "login",
    "search",
    "put",
    "patch",
    "post",
    "create",
    "update",
    "batch",
    "read",
    "delete",
)
_KEY_HEADINGS = ("key", "takes", "default", "what it is for")


def _configuration(_: str, __: str) -> str:
    """A section for each map of config.yaml, and one for the keys that all calls share."""
    calls: dict[str, type[Keys]] = {}
    about = "What stands at the top of the file."
    sections = list(_sections("", "", about, ConfigKeys, calls, set()))
    return "\n\n".join([*sections, f"### A call\n\n{_call_tables(calls)}"])


def _sections(
    path: str,
    name: str,
    about: str,
    schema: type[Keys],
    calls: dict[str, type[Keys]],
    seen: set[type[Keys]],
) -> Iterator[str]:
    """A section for a map of known keys, and for each map in it; each schema once.

    `calls` takes those that are calls, by what the call is for.
    """
    if schema in seen:
        return
    seen.add(schema)
    if rows := _rows_of(name, schema, calls):
        yield f"### {path or 'The whole file'}\n\n{about}\n\n{_table(_KEY_HEADINGS, rows)}"
    yield from _inner_sections(path, schema, calls, seen)


def _inner_sections(
    path: str, schema: type[Keys], calls: dict[str, type[Keys]], seen: set[type[Keys]]
) -> Iterator[str]:
    for attribute, field in schema().fields.items():
        key = _key_of(attribute, field)
        here = f"{path}.{key}" if path else key
        inner: Any = field
        while isinstance(inner, Listing | Keyed):
            here += ".NAME" if isinstance(inner, Keyed) else "[]"
            inner = inner.item
        if isinstance(inner, Group):
            about = inner.schema.__doc__ or inner.metadata["description"]
            yield from _sections(here, key, about, inner.schema, calls, seen)
        elif isinstance(inner, OneOf):
            yield _variants(here, inner, calls)
            for variant in inner.variants.values():
                yield from _inner_sections(here, variant, calls, seen)


def _variants(path: str, field: OneOf, calls: dict[str, type[Keys]]) -> str:
    """A map whose keys depend on a word in it: one table, the word in its first column."""
    told = [
        f"- {_code(word)}: {' '.join(schema.__doc__.split())}"
        for word, schema in field.variants.items()
        if schema.__doc__
    ]
    rows = [
        (_code(word), *row)
        for word, schema in field.variants.items()
        for row in _rows_of(word, schema, calls) or [("the keys of [a call](#a-call)", "", "", "")]
        if schema().fields
    ]
    parts = [f"### {path}", f"{field.metadata['description']} `{field.by}` decides its other keys."]
    parts += ["\n".join(told)] if told else []
    return "\n\n".join([*parts, _table((field.by, *_KEY_HEADINGS), rows)])


def _rows_of(name: str, schema: type[Keys], calls: dict[str, type[Keys]]) -> list[tuple[str, ...]]:
    """The keys of a map, those of a call told in one line; none for what is a call and no more."""
    keys = {_key_of(key, field): field for key, field in schema().fields.items()}
    rows: list[tuple[str, ...]] = [
        (_code(key), _takes(field), _default(field), _what(field)) for key, field in keys.items()
    ]
    if not keys.keys() >= set(_CALL):
        return rows
    calls.setdefault("login" if name == "call" else name, schema)
    more = [row for key, row in zip(keys, rows, strict=True) if key not in _CALL]
    return [("the keys of [a call](#a-call)", "", "", ""), *more] if more else []


def _key_of(attribute: str, field: Any) -> str:
    return str(field.data_key or attribute)


def _takes(field: Any) -> str:
    if isinstance(field, Choice):
        return " or ".join(map(_code, field.options))
    if isinstance(field, OneOf):
        return f"a map; `{field.by}` is {' or '.join(map(_code, field.variants))}"
    if isinstance(field, Number):
        return f"{field.wants}{f', {field.unit}' if field.unit else ''}"
    if isinstance(field, Listing):
        if isinstance(field.item, Group):
            return "a list of maps"
        item = _takes(field.item)
        return f"{item}; or a list of such" if field.single else f"a list, in it {item}"
    return str(field.wants)


def _default(field: Any) -> str:
    if field.default is REQUIRED:
        return "**required**"
    default = field.metadata["default"]
    if isinstance(default, str) and re.match(r"[a-z]+ [^{]*$", default):
        return default  # told in words
    return _said(list(default) if isinstance(default, tuple) else default)


def _what(field: Any) -> str:
    words = field.metadata.get("placeholders", ())
    more = f" Placeholders: {', '.join(f'`{{{word}}}`' for word in words)}." if words else ""
    return f"{field.metadata['description']}{more}"


def _call_tables(calls: Mapping[str, type[Keys]]) -> str:
    """What the keys of a call are for, and then by kind of call how their defaults differ."""
    fields: dict[str, dict[str, Any]] = {
        name: {_key_of(key, field): field for key, field in calls[name]().fields.items()}
        for name in _CALLS
    }
    rows = []
    for key in _CALL:
        told: dict[str, list[str]] = {}
        for name, known in fields.items():
            told.setdefault(known[key].metadata["description"], []).append(name)
        common = max(told, key=lambda text: len(told[text]))
        others = [f"({', '.join(names)}: {text})" for text, names in told.items() if text != common]
        rows.append((_code(key), _takes(fields["update"][key]), " ".join([common, *others])))
    kinds = (
        (
            _code(name),
            _default(known["method"]),
            _default(known["path"]),
            _words(known["path"]),
            _words(known["body"]),
        )
        for name, known in fields.items()
    )
    return "\n\n".join(
        (
            _table(("key", "takes", "what it is for"), rows),
            "What differs from call to call:",
            _table(
                ("call", "method", "path", "placeholders in path and headers", "in query and body"),
                kinds,
            ),
        )
    )


def _words(field: Any) -> str:
    words = field.metadata["placeholders"]
    return " ".join(f"`{{{word}}}`" for word in words) or "none"


# --- mapping files

_GRAMMARS: Mapping[str, type[Schema]] = {
    "block": grammar.BlockSchema,
    "record": grammar.RecordSchema,
    "value": grammar.ConstantForm,
    "from": grammar.ComputedForm,
    "ref": grammar.ReferenceForm,
    "test": grammar.TestSchema,
    "expect": grammar.ExpectedSchema,
}


def _grammar(name: str, _: str) -> str:
    """The keys of one map of the mapping language."""
    rows = []
    for attribute, field in _GRAMMARS[name]().fields.items():
        known: Any = field
        example = known.metadata.get("example")
        rows.append(
            (
                _code(_key_of(attribute, known)),
                "yes" if known.required else "",
                _code(json.dumps(example, ensure_ascii=False)) if example is not None else "",
                known.metadata["description"],
            )
        )
    return _table(("key", "required", "example", "what it is"), rows)


def _functions(_: str, __: str) -> str:
    rows = (
        (_code(function.signature), function.doc, _code(function.example))
        for function in FUNCTIONS.values()
    )
    return _table(("function", "gives", "example"), rows)


def _own_functions(_: str, __: str) -> str:
    return textwrap.fill(", ".join(map(_code, sorted(core_functions.names()))) + ".", 100)


# --- the command line


def _commands(_: str, __: str) -> str:
    """A section for each verb: how it is called, what it does, its options."""
    return "\n\n".join(_verbs(cli, "connector", None))


def _verbs(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(
        command, parent=parent, info_name=name if parent else "connector", terminal_width=1000
    )
    path = context.command_path
    usage = command.get_usage(context).removeprefix("Usage: ").removesuffix(" [ARGS]...")
    options = [
        record
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and (record := parameter.get_help_record(context))
        and "--help" not in parameter.opts
    ]
    rows = ((_code(option), " ".join(help_.split())) for option, help_ in options)
    parts = [
        f"### {path}",
        _fenced("text", usage),
        textwrap.fill(" ".join((command.help or "").split()), 100),
        *([_table(("option", "what it does"), rows)] if options else []),
    ]
    yield "\n\n".join(parts)
    if isinstance(command, click.Group):
        for word in command.list_commands(context):
            if found := command.get_command(context, word):
                yield from _verbs(found, word, context)


# --- metrics


def _metrics(_: str, __: str) -> str:
    rows = (
        (
            _code(f"{name}{{{','.join(known.labels)}}}" if known.labels else name),
            known.kind,
            known.what,
            known.alert,
        )
        for name, known in METRICS.items()
    )
    return _table(("metric", "type", "what it is", "alert when"), rows)


# --- events, and worked examples


def _kinds(vendor: str, _: str) -> str:
    return textwrap.fill(", ".join(map(_code, VENDORS[vendor].kinds)) + ".", 100)


def _document(arguments: str, before: str) -> str:
    """What a mapping sees of the last ```json body: of its one event, or of all in a list.

    `VENDOR EXPRESSION`: the JMESPath expression picks what is shown.
    """
    vendor, _, expression = arguments.partition(" ")
    documents = _documents(vendor, before)
    whole = documents[0] if len(documents) == 1 else documents
    return _fenced("json", _pretty(jmespath.search(expression or "@", whole)))


def _example_fields(vendor: str, before: str) -> str:
    """What the last ```yaml fields make of the last ```json body: one line for each field."""
    indented = textwrap.indent(_last("yaml fields", before), "      ")
    mapping_set = _set(
        f"source: {vendor}\nevents: ['*']\nrecords:\n"
        f"  - resource: examples\n    id: meta.event_id\n    fields:\n{indented}\n"
        "  - {resource: contacts, when: false, id: meta.event_id, fields: {}}",
        before,
    )
    (document,) = _documents(vendor, before)
    applied = mapping_set.apply(document)
    if applied.error:
        return _fenced("text", f"error: {applied.error.message}\nhint: {applied.error.hint}")
    fields = change_to_json(applied.changes[0])["fields"]
    lines = ",\n".join(
        f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in fields.items()
    )
    warnings = "".join(f"\nwarning: {warning.message}" for warning in applied.warnings)
    return _fenced("json", f"{{\n{lines}\n}}" if fields else "{}") + warnings


def _example_changes(vendor: str, before: str) -> str:
    """What the last ```yaml mapping makes of the last ```json body: its changes, or the error."""
    mapping_set = _set(_last("yaml mapping", before), before)
    told: list[Json] = []
    for document in _documents(vendor, before):
        applied = mapping_set.apply(document)
        if applied.error:
            return _fenced("text", f"error: {applied.error.message}\nhint: {applied.error.hint}")
        told += map(_shown, applied.changes)
    return _fenced("json", _pretty(told))


def _example_problems(_: str, before: str) -> str:
    """What `connector mappings check` finds wrong with the last ```yaml mapping."""
    try:
        _set(_last("yaml mapping", before), before)
    except MappingInvalid as error:
        return _fenced("text", "\n".join(map(str, error.problems)))
    raise ValueError("there is nothing wrong with this mapping")


def _shown(change: Any) -> dict[str, Json]:
    """A change as JSON, without what says nothing."""
    shown = change_to_json(change)
    quiet = {"target": "crm", "final": False, "write": {}, "version": None}
    return {key: value for key, value in shown.items() if key not in quiet or value != quiet[key]}


def _documents(vendor: str, before: str) -> list[dict[str, Json]]:
    source = _source(vendor)
    body = _last("json body", before).encode()
    return [source.document(event) for event in source.preview(body, RECEIVED_AT)]


def _source(vendor: str) -> Source:
    configs: dict[str, SourceConfig] = {
        "caresoft": CareSoft("caresoft", unsigned=True),
        "mobio": Mobio("mobio", (App("", ()),)),
    }
    return open_source(configs[vendor])


def _set(text: str, before: str) -> MappingSet:
    tables = re.findall(_FENCE.format(info=r"yaml table (\S+)"), before, re.DOTALL | re.MULTILINE)
    return set_from_texts(
        {"example.yaml": text, **{f"tables/{name}.yaml": table for name, table in tables}},
        sources={vendor: vendor for vendor in VENDORS},
        targets=["crm"],
        timezone=ZONE,
    )


def _last(info: str, before: str) -> str:
    found = re.findall(_FENCE.format(info=info), before, re.DOTALL | re.MULTILINE)
    if not found:
        raise ValueError(f"no ```{info} before this part")
    return str(found[-1])


def _pretty(value: Json) -> str:
    """JSON with short lists and objects on one line."""
    return _laid_out(value, "")


def _laid_out(value: Json, margin: str) -> str:
    flat = json.dumps(value, ensure_ascii=False)
    if len(margin) + len(flat) <= 90 or not isinstance(value, dict | list):
        return flat
    inner = f"{margin}  "
    if isinstance(value, dict):
        lines = [
            f"{inner}{json.dumps(k, ensure_ascii=False)}: {_laid_out(v, inner)}"
            for k, v in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    return "[\n" + ",\n".join(f"{inner}{_laid_out(v, inner)}" for v in value) + f"\n{margin}]"


MAKERS: Mapping[str, Callable[[str, str], str]] = {
    "configuration": _configuration,
    "grammar": _grammar,
    "functions": _functions,
    "own-functions": _own_functions,
    "commands": _commands,
    "metrics": _metrics,
    "answers": lambda _, __: answers.markdown(),
    "kinds": _kinds,
    "document": _document,
    "fields": _example_fields,
    "changes": _example_changes,
    "problems": _example_problems,
}
"""Who makes which part: given the words after its name, and the page before it."""


if __name__ == "__main__":
    main()
