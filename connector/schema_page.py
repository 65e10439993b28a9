"""docs/crm-schema.md: every field that the mappings write, what it means and where it comes from.

The job: a mapping set and the CRM's schema in, one Markdown page out. The invariant: what the page
says of a field's origin is read from the rules themselves, so the page is right or it is old, and a
test says when it is old. Meanings and types come from the schema (`demo/schema.json`); a field that
it does not know is listed without them. `python -m connector.schema_page` writes the page of the
shipped mappings. Pure but for that; knows the rules of `mapping` and nothing that runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from zoneinfo import ZoneInfo

from connector.mapping.load import load_set
from connector.mapping.rules import (
    VENDORS,
    Block,
    Computed,
    Constant,
    FieldRule,
    RecordRule,
    Reference,
)
from connector.mapping.ruleset import MappingSet
from connector.model import Json

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "crm-schema.md"
SCHEMA = Path(__file__).parent / "demo" / "schema.json"

_HEAD = """\
# What the CRM holds

Every resource and field that the shipped mappings write: what it means, its type, and from which
events it comes. This page is made from `mappings/` and `connector/demo/schema.json` by
`python -m connector.schema_page`; edit those, not this.

- An event that does not tell a field leaves it alone; an empty text empties it.
- The newest event that tells a field wins, by the vendor's own time and not by arrival. What is
  told *for good* beats all that is not.
- A reference is the CRM's id of the other record, set as soon as that record is in the CRM.
- Times are UTC with milliseconds, `2021-10-06T02:45:53.675Z`; days are in the configured time zone.

How to change what stands here is told at the top of `mappings/contacts.yaml`.
"""

_BAR = r"\|"  # within a cell of a Markdown table, in code too
_OTHERWISE = {"error": "else an error", "keep": "else as it is", "skip": "else left alone"}

_Told = list[tuple[str, Block]]
"""What is told, and by which block."""


def render(mapping_set: MappingSet, schema: Mapping[str, Json]) -> str:
    """The page. `schema` is resource → {description, fields: name → {type, description}}."""
    records: dict[str, list[tuple[RecordRule, Block]]] = {name: [] for name in schema}
    for block in mapping_set.blocks:
        for record in block.records:
            records.setdefault(record.resource, []).append((record, block))
    sections = [_section(name, schema.get(name, {}), told) for name, told in records.items()]
    return "\n".join([_HEAD, *sections])


def _section(
    resource: str, described: Mapping[str, Json], records: Sequence[tuple[RecordRule, Block]]
) -> str:
    upserts = [(record, block) for record, block in records if record.action == "upsert"]
    named = [(f"one for each {_identity(record)}", block) for record, block in upserts]
    deleted = [("deleted", block) for record, block in records if record.action == "delete"]
    files = _distinct(_code(PurePosixPath(record.place.file).name) for record, _ in records)
    lines = [
        f"## {resource}",
        "",
        f"{described.get('description', '')} Mapped in {' and '.join(files) or 'no file'}.",
        "",
        *(f"- {text}: {kinds}" for text, kinds in _by_text([*named, *deleted])),
        "",
        "| field | type | meaning | comes from |",
        "|---|---|---|---|",
        *_rows(described.get("fields", {}), upserts),
    ]
    return "\n".join([*lines, ""])


def _rows(
    described: Mapping[str, Json], upserts: Sequence[tuple[RecordRule, Block]]
) -> Iterable[str]:
    """The fields in the schema's order; kinds are named only where they differ by field."""
    fields: dict[str, _Told] = {name: [] for name in described}
    for record, block in upserts:
        for rule in record.fields:
            told = _value(rule) + (" *for good*" if record.final else "")
            fields.setdefault(rule.name, []).append((told, block))
    only_kinds = len({block.events for _, block in upserts}) == 1
    for name, told_by in fields.items():
        entry = described.get(name, {})
        origins = [text if only_kinds else f"{text}: {kinds}" for text, kinds in _by_text(told_by)]
        cells = [
            _code(name),
            _type(entry),
            entry.get("description", ""),
            "<br>".join(origins),
        ]
        yield f"| {' | '.join(cell.replace('|', _BAR) for cell in cells)} |"


def _by_text(told: _Told) -> list[tuple[str, str]]:
    """Each text once, with the kinds of all blocks that tell it."""
    kinds: dict[str, list[str]] = {}
    for text, block in told:
        kinds.setdefault(text, []).extend(block.events)
    return [(text, ", ".join(_distinct(map(_code, names)))) for text, names in kinds.items()]


def _identity(record: RecordRule) -> str:
    each = f" of each item of {_code(record.each.text)}" if record.each else ""
    return f"{_code(record.id.text)}{each}"


def _value(rule: FieldRule) -> str:
    source = rule.source
    if isinstance(source, Constant):
        text = f"always {_code(_written(source.value))}"
    elif isinstance(source, Reference):
        text = _code(source.id.text)
    else:
        text = _code(source.value.text) + _translation(source)
    return f"{text}, added and removed one by one" if rule.is_set else text


def _translation(source: Computed) -> str:
    if source.values is None:
        return ""
    pairs = [f"{key} → {_written(value)}" for key, value in source.values.items()]
    if isinstance(source.otherwise, Constant):
        rest = f"else {_written(source.otherwise.value)}"
    else:
        rest = _OTHERWISE[source.otherwise]
    return f" ({', '.join([*pairs, rest])})"


def _type(entry: Mapping[str, Json]) -> str:
    if entry.get("type") == "reference":
        return f"reference to [{entry['resource']}](#{entry['resource']})"
    return str(entry.get("type", ""))


def _written(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _code(text: str) -> str:
    """Text as code on one line, whatever backticks are in it (CommonMark 6.1)."""
    folded = " ".join(text.split())
    return f"`` {folded} ``" if "`" in folded else f"`{folded}`"


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def shipped_page() -> str:
    """The page of the mappings that come with the project, for one account of each vendor."""
    mapping_set = load_set(
        ROOT / "mappings",
        sources={vendor: vendor for vendor in VENDORS},
        targets=["crm"],
        timezone=ZoneInfo("Asia/Ho_Chi_Minh"),
    )
    return render(mapping_set, json.loads(SCHEMA.read_text(encoding="utf-8")))


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(shipped_page(), encoding="utf-8")
