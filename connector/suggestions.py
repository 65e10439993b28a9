"""Which rule would take a value that no rule takes yet, and the line of YAML that would do it.

The job: a mapping set and what was seen in the journal in; names, expressions and places out, for
`drift` to show and to write. Nothing here decides what is worth a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import PurePath
from zoneinfo import ZoneInfo

from connector.mapping.evaluation import EvaluationFailed, evaluate_node
from connector.mapping.functions import Context
from connector.mapping.paths import (
    ELEMENT,
    Path,
    covers,
    items_of,
    path_text,
    use_of,
    uses_of,
)
from connector.mapping.rules import Located, RecordRule
from connector.mapping.ruleset import MappingSet
from connector.mapping.texts import slug
from connector.model import Json, Place
from connector.observed import CUSTOM_FIELDS, CustomField, Seen, latest
from connector.sources import catalogue
from connector.sources.stand_ins import StandIns
from connector.yamlwrite import line

_SHOWN = 60  # characters of an example
_EPOCH_SECONDS = 1_000_000_000  # a greater number under a name like a time's is one
_TIME = re.compile(r"(?:^|_)(?:at|time|date)$")
_TAG = re.compile(r"</?[A-Za-z]\w*[^>]*>")
_NO_CONTEXT = Context(ZoneInfo("UTC"), {}, lambda _: None)


class Read:
    """What the rules for one kind of one source read of its documents."""

    def __init__(self, records: Sequence[RecordRule], context: Context) -> None:
        self.whole: set[Path] = set()
        self.tested: set[Path] = set()
        self.picked: dict[tuple[Path, str], RecordRule] = {}
        for record in records:
            for use in uses_of(record):
                self.whole |= {_sent(path) for path in use.read}
                for pick in use.picked:
                    code = _constant(pick.key, context)
                    if code is None:
                        self.whole.add(_sent(pick.path))
                    else:
                        self.picked.setdefault((_sent(pick.path), code), record)
            if isinstance(record.when, Located):
                condition = use_of(record.when.expression, items_of(record))
                self.tested |= {_sent(path) for path in condition.read}

    def has(self, path: Path) -> bool:
        """Whether some rule takes the value at a path, or asks for it in `when`."""
        return path in self.tested or any(covers(read, path) for read in self.whole)


def _sent(path: Path) -> Path:
    """A path below `raw` is the one that it is in the document."""
    return path[1:] if path[:1] == ("raw",) else path


def _constant(node: Mapping[str, Json], context: Context) -> str | None:
    """The text that an argument gives without any document; None where it needs one."""
    try:
        value = evaluate_node(dict(node), {}, context)
    except EvaluationFailed:
        return None
    return value if isinstance(value, str) else None


class Writer:
    """Knows which rule would take a value, and what the line would look like.

    `read` is what the rules read, for each source and kind that was seen and that they name.
    """

    def __init__(self, mapping_set: MappingSet, seen: Mapping[tuple[str, str], Seen]) -> None:
        self._set = mapping_set
        self._seen = seen
        self._context = Context(mapping_set.timezone, mapping_set.tables, lambda _: None)
        self._masks = StandIns()
        self._records = {
            key: mapping_set.rules_for(*key) for key in seen if mapping_set.rules_for(*key)
        }
        self.read = {key: Read(records, self._context) for key, records in self._records.items()}

    def names(self, source: str, path: Path, code: str) -> RecordRule | None:
        """The record that names a custom field, in the rules for any kind of the source."""
        for (of, _), read in self.read.items():
            if of == source and (path, code) in read.picked:
                return read.picked[path, code]
        return None

    def record(self, source: str, kind: str, path: Path) -> RecordRule | None:
        """The record that reads most of what stands beside a path; none where all are deletes."""
        records = [r for r in self._records.get((source, kind), ()) if r.action != "delete"]
        near = {record.place: self._beside(record, path[:-1]) for record in records}
        return max(records, key=lambda r: (*near[r.place], len(r.fields)), default=None)

    def _beside(self, record: RecordRule, above: Path) -> tuple[int, int]:
        """How many paths a record reads in an object, and how many anywhere within it."""
        reads = [_sent(path) for use in uses_of(record) for path in use.read]
        within = [path for path in reads if covers(above, path)]
        return sum(path[:-1] == above for path in within), len(within)

    def current_line(self, located: Located) -> str:
        """The line of the file that an expression stands in."""
        text = self._set.texts[PurePath(located.place.file).name]
        return text.splitlines()[located.place.line - 1].strip()

    def record_of_list(self, source: str, path: Path) -> RecordRule | None:
        """The record that would take a custom field, whatever kind of event tells of it."""
        holding = (
            key for key in self._records if key[0] == source and path in self._seen[key].paths
        )
        found = (self.record(*key, path) for key in holding)
        return next((record for record in found if record), None)

    def below(self, record: RecordRule | None) -> Place | None:
        """Where the line would go: below the last field of the record."""
        if record is None:
            return None
        return record.fields[-1].place if record.fields else record.place

    def is_plumbing(self, source: str, kind: str, path: Path) -> bool:
        """Whether a path says what another says, or is part of what is judged by itself."""
        known = _documented(self._set.vendor_of(source), kind)
        for end in range(1, len(path) + 1):
            entry = known.get(path_text(path[:end]))
            if entry and entry.is_repeated_in(kind):
                return True
            above = known.get(path_text(path[: end - 1])) if end > 1 else None
            if above and above.also and re.fullmatch(above.also, path[end - 1]):
                return True
        return CUSTOM_FIELDS in path

    def masked(self, key: str, example: Json, custom: CustomField | None = None) -> Json:
        """An example without personal data, and not too much of it."""
        if custom is not None:
            element = {"field": custom.code, "type": latest(custom.types), "value": example}
            shown: Json = self._masks.body(element)["value"]
        else:
            shown = self._masks.body(example, key)
        if isinstance(shown, str) and len(shown) > _SHOWN:
            return f"{shown[: _SHOWN - 1]}…"
        return shown

    def line(self, path: Path, example: Json, record: RecordRule | None) -> str:
        """`sla_id: id(ticket.sla_id)`"""
        last = next(part for part in reversed(path) if part != ELEMENT)
        name = self._free(snake(last) or "field", record)
        expression = path_text(path).replace(ELEMENT, "[*]").removesuffix("[*]")
        return line(name, _wrapped(name, expression, example))

    def custom_line(self, found: CustomField, record: RecordRule | None) -> str:
        """`sla: custom(ticket.addition_fields, 'addition_field9')`"""
        name = self._free(snake(latest(found.labels)) or found.code, record)
        return line(name, f"custom({path_text(found.path)}, '{found.code}')")

    def _free(self, name: str, record: RecordRule | None) -> str:
        """A name that no field of the resource has."""
        taken = {
            rule.field for rule in self._set.rules if record and rule.resource == record.resource
        }
        free = name
        number = 2
        while free in taken:
            free, number = f"{name}_{number}", number + 1
        return free


@cache
def _documented(vendor: str, kind: str) -> Mapping[str, catalogue.DocumentField]:
    return {entry.path: entry for entry in catalogue.fields(vendor, kind)}


def _wrapped(name: str, expression: str, example: Json) -> str:
    """The expression with the function that such values are usually read by."""
    for fits, form in _FORMS:
        if fits(name, example):
            return form.format(expression)
    return expression


_FORMS: Sequence[tuple[Callable[[str, Json], bool], str]] = (
    (lambda name, value: _is_epoch(value) and bool(_TIME.search(name)), "timestamp({})"),
    (lambda name, _: name.endswith("_id"), "id({})"),
    (lambda name, value: isinstance(value, str) and "phone" in name, "phone({}, 'VN')"),
    (lambda name, value: isinstance(value, str) and "@" in value and "mail" in name, "email({})"),
    (
        lambda _, value: isinstance(value, str) and bool(_TAG.search(value)),
        "text({})",
    ),
)


def _is_epoch(value: Json) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and value > _EPOCH_SECONDS


def snake(words: str) -> str:
    """A field's name: `Phân loại` is `phan_loai`, `campaignId` is `campaign_id`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", words)
    return str(slug(_NO_CONTEXT, parted) or "").replace("-", "_")
