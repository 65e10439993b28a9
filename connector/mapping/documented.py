"""What is doubtful about a mapping set in the light of what the vendor documents.

Three doubts, all of them warnings, because a vendor may send more than it documents: a name that
no documented event of the block's kinds has, a `values:` that does not fit the words that the
vendor sends, and an id that some events do not have. The catalogue comes as a function of the
caller's, because this room knows no vendor. The invariant: a block that names a kind which nobody
documents is not judged, nor is what stands below an object of which not all keys are known.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from connector.mapping.evaluation import EvaluationFailed, evaluate
from connector.mapping.expressions import Expression
from connector.mapping.functions import Context
from connector.mapping.paths import (
    ELEMENT,
    NOWHERE,
    Asked,
    Path,
    Spots,
    Use,
    covers,
    items_of,
    path_of,
    path_text,
    use_of,
)
from connector.mapping.rules import (
    VENDORS,
    Block,
    Computed,
    FieldRule,
    Located,
    RecordRule,
    Reference,
    matches,
)
from connector.mapping.values import scalar_text
from connector.model import Json, Problem
from connector.problems import did_you_mean, nearest

_ALIKE = 0.8  # of two texts, from 0 to 1: probably one of them is misspelt
_FEW = 3  # kinds that a message names one by one

_TYPE_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("integer", "number"), "a number"),
    "string": "a text",
    "boolean": "a boolean",
}
_PLACEHOLDERS: Mapping[str, Json] = {"string": "x", "integer": 1, "number": 1.5, "boolean": True}


class Field(Protocol):
    """One path of the documents of a kind, as `sources.catalogue` describes it."""

    @property
    def path(self) -> str: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def example(self) -> Json: ...
    @property
    def open(self) -> bool: ...
    @property
    def also(self) -> str: ...
    @property
    def values(self) -> tuple[Json, ...]: ...
    @property
    def more(self) -> bool: ...
    @property
    def any_case(self) -> bool: ...
    @property
    def absent(self) -> tuple[str, ...]: ...


Offered: TypeAlias = Callable[[str, str], Sequence[Field]]
"""A vendor and a kind → what a document of that kind offers."""

Seen: TypeAlias = Callable[[str, Collection[str], Path], bool]
"""A vendor, kinds and a path → whether an event of one of the kinds that really came had it."""


class Judge:
    """Compares blocks with what their vendors document."""

    def __init__(
        self,
        offered: Offered,
        kinds: Mapping[str, Collection[str]],
        sources: Mapping[str, str],
        context: Context,
        seen: Seen | None = None,
    ) -> None:
        self._offered = offered
        self._seen = seen
        self._kinds = kinds
        self._sources = sources
        self._context = context

    def doubts(self, blocks: Iterable[Block]) -> Iterator[Problem]:
        """Every doubt about the blocks, in their order."""
        for block in blocks:
            known = self._known(block)
            for record in block.records if known else ():
                yield from self._of_record(record, known)

    def _known(self, block: Block) -> _Known:
        """What the block's events offer; nothing where one of its kinds is not documented."""
        vendor = block.source if block.source in VENDORS else self._sources.get(block.source, "")
        documented = self._kinds.get(vendor, ())
        named = [{k for k in documented if matches(pattern, k)} for pattern in block.events]
        if not all(named):
            return _Known({}, vendor, lambda _: {})
        mine = sorted(set().union(*named), key=list(documented).index)
        return _Known(
            {kind: self._fields(vendor, kind) for kind in mine},
            vendor,
            lambda kind: self._fields(vendor, kind),
            tuple(documented),
        )

    def _fields(self, vendor: str, kind: str) -> dict[Path, Field]:
        return {path_of(field.path): field for field in self._offered(vendor, kind)}

    def _of_record(self, record: RecordRule, known: _Known) -> Iterator[Problem]:
        items = items_of(record)
        for located, spots in _expressions(record, items):
            yield from _unknown_names(located, use_of(located.expression, spots), known, self._seen)
        for rule in record.fields:
            if isinstance(rule.source, Computed) and rule.source.values:
                yield from self._words(rule, rule.source, record, items, known)
        if record.when is True and record.each is None:
            yield from self._missing_id(record.id, known)

    # --- values

    def _words(
        self, rule: FieldRule, source: Computed, record: RecordRule, items: Spots, known: _Known
    ) -> Iterator[Problem]:
        """Keys of `values:` that never come, and words that come and are no key."""
        use = use_of(source.value.expression, items)
        words = _truths(source.value.expression) or self._sent(source.value, use, known)
        if words is None:
            return
        keys = source.values or {}
        for key in keys:
            if key and (hint := words.why_never(key, keys)) is not None:
                yield Problem(
                    f"`{source.value.text}` never gives {key!r}", hint, source.keys.get(key)
                )
        missing = [word for word in words.sent if word not in keys]
        if missing and source.otherwise == "error" and not _is_chosen(record, use):
            yield Problem(
                f"`{source.value.text}` may give {_listed(missing)}, which `values` of "
                f"{rule.name!r} does not have",
                "such an event becomes a dead letter: " + _remedy(missing, keys, source.value),
                source.keys.get(None, rule.place),
            )

    def _sent(self, located: Located, use: Use, known: _Known) -> _Words | None:
        """The texts that the expression gives for what the vendor documents; None: unknown."""
        if len(use.read) != 1 or use.picked:
            return None
        (path,) = use.read
        fields = [fields[path] for fields in known.by_kind.values() if path in fields]
        if not fields or ELEMENT in path or not all(field.values for field in fields):
            return None
        sent: dict[str, None] = {}
        for field in fields:
            for value in _spellings(field):
                try:
                    given = evaluate(located.expression, _document({path: value}), self._context)
                except EvaluationFailed:
                    return None
                text = scalar_text(given)
                if given is not None and text is None:
                    return None
                if text:
                    sent[text] = None
        return _Words(tuple(sent), any(f.more for f in fields), any(f.any_case for f in fields))

    # --- ids

    def _missing_id(self, located: Located, known: _Known) -> Iterator[Problem]:
        """An id that is null in some events: they become dead letters."""
        use = use_of(located.expression)
        paths = sorted(path for path in use.read if path and ELEMENT not in path)
        if use.picked or len(paths) != len(use.read):
            return
        for path in paths:
            kinds = [kind for kind in known.by_kind if known.lacks(kind, path)]
            if not kinds or not self._needs(located, path, paths, known):
                continue
            always = all(path not in known.by_kind[kind] for kind in kinds)
            yield Problem(
                f"the id `{located.text}` can be null: "
                f"{'' if always else 'some '}{_listed(kinds, 'and')} events have no "
                f"`{path_text(path)}`",
                f"such an event becomes a dead letter: hold the record back with "
                f"when: {path_text(path)}, or name what is always sent",
                located.place,
            )

    def _needs(self, located: Located, path: Path, paths: Sequence[Path], known: _Known) -> bool:
        """Whether the id is null where one path is missing and everything else is there."""
        examples = {each: known.example(each) for each in paths}
        try:
            whole = evaluate(located.expression, _document(examples), self._context)
            del examples[path]
            without = evaluate(located.expression, _document(examples), self._context)
        except EvaluationFailed:
            return False
        return bool(whole) and without in (None, "")


# --- what a block's events offer


class _Known:
    """The documented fields of each kind that a block speaks of; false where it is not judged."""

    def __init__(
        self,
        by_kind: Mapping[str, Mapping[Path, Field]],
        vendor: str,
        of_kind: Callable[[str], Mapping[Path, Field]],
        every: Sequence[str] = (),
    ) -> None:
        self.by_kind = by_kind
        self.vendor = vendor
        self._of_kind = of_kind
        self._every = every

    def __bool__(self) -> bool:
        return bool(self.by_kind)

    def has(self, path: Path) -> bool:
        """Whether a document of any of the kinds may have the path."""
        return any(path in fields or _is_open(path, fields) for fields in self.by_kind.values())

    def types(self, path: Path) -> set[str]:
        return {
            type_
            for fields in self.by_kind.values()
            if path in fields
            for type_ in fields[path].types
        }

    def below(self, path: Path) -> list[str]:
        """The names that are documented directly below a path."""
        return list(
            dict.fromkeys(
                known[-1]
                for fields in self.by_kind.values()
                for known in fields
                if known[:-1] == path and known[-1] != ELEMENT
            )
        )

    def ending_in(self, name: str, above: Path) -> list[Path]:
        """The documented paths below `above` that end in a name, the plainest first."""
        found = {
            path
            for fields in self.by_kind.values()
            for path in fields
            if path[-1] == name and covers(above, path)
        }
        return sorted(found, key=lambda path: (ELEMENT in path, len(path), path))

    def others_with(self, path: Path) -> list[str]:
        """Other kinds of the vendor whose documents have the path."""
        return [k for k in self._every if k not in self.by_kind and path in self._of_kind(k)]

    def lacks(self, kind: str, path: Path) -> bool:
        """Whether documents of a kind are known that do not have a documented path."""
        fields = self.by_kind[kind]
        if path in fields:
            return kind in fields[path].absent
        return not _is_open(path, fields) and any(path in each for each in self.by_kind.values())

    def example(self, path: Path) -> Json:
        """A value that may stand at a path."""
        found = [fields[path] for fields in self.by_kind.values() if path in fields]
        if not found or found[0].example is not None:
            return found[0].example if found else "x"
        return _PLACEHOLDERS.get(found[0].types[0], "x")


def _is_open(path: Path, fields: Mapping[Path, Field]) -> bool:
    """Whether an object above the path holds keys that nobody lists, this one perhaps."""
    for end in range(1, len(path)):
        above = fields.get(path[:end])
        if above and (above.open or (above.also and re.fullmatch(above.also, path[end]))):
            return True
    return False


# --- names


def _expressions(record: RecordRule, items: Spots) -> Iterator[tuple[Located, Spots]]:
    """Every expression of a record, and where its `item` comes from."""
    if record.each:
        yield record.each, NOWHERE
    for part in (record.id, record.version, record.when):
        if isinstance(part, Located):
            yield part, items
    for rule in record.fields:
        if isinstance(rule.source, Computed):
            yield rule.source.value, items
        elif isinstance(rule.source, Reference):
            yield rule.source.id, items


def _unknown_names(
    located: Located, use: Use, known: _Known, seen: Seen | None
) -> Iterator[Problem]:
    expression = located.expression  # `lint` tells of those that stand for constants
    told = {name for name, _ in (*expression.suspects, *expression.bare_words())}
    for asked in use.asked:
        if asked.name in told or not _is_unknown(asked, known):
            continue
        told.add(asked.name)
        if seen and any(seen(known.vendor, known.by_kind, (*p, asked.name)) for p in asked.parents):
            continue
        path = (*min(asked.parents), asked.name)
        shown = path_text(path)
        within = "" if shown == located.text else f" in `{located.text}`"
        yield Problem(
            f"no {known.vendor} event of {_kinds(known)} has `{shown}`{within}",
            _instead(path, known),
            located.at(asked.offset),
        )


def _is_unknown(asked: Asked, known: _Known) -> bool:
    """Whether nobody documents the name, although everything above it is documented."""
    if any(parent and not known.has(parent) for parent in asked.parents):
        return False
    if any(known.has((*parent, asked.name)) for parent in asked.parents):
        return False
    # an object that is listed without its keys may hold any
    return not any(
        "object" in known.types(parent) and not known.below(parent) for parent in asked.parents
    )


def _instead(path: Path, known: _Known) -> str:
    """What was probably meant by a path that nobody documents."""
    above, name = path[:-1], path[-1]
    if others := known.others_with(path):
        return f"only {_listed(others, 'and')} events have it"
    types = known.types(above)
    if types == {"array"}:
        element = path_text((*above, ELEMENT, name)).replace(ELEMENT, "[0]")
        custom = f"custom({path_text(above)}, '{name}')"
        return f"`{path_text(above)}` is a list: `{element}`, or `{custom}` for a custom field"
    if types and not types & {"array", "object"}:
        words = sorted({_TYPE_WORDS.get(type_, type_) for type_ in types})
        return f"`{path_text(above)}` is {_listed(words)}, with nothing in it"
    close = nearest(name, known.below(above))
    meant = [(*above, close)] if close else []
    if not close or difflib.SequenceMatcher(None, name, close).ratio() < _ALIKE:
        meant += known.ending_in(name, above if close else ())[:1]
    if meant:
        return f"did you mean {_listed([f'`{path_text(each)}`' for each in meant])}?"
    listed = f"`connector mappings fields {next(iter(known.by_kind))}` lists what there is"
    return listed if above else f"a text is written '{name}'; {listed}"


def _kinds(known: _Known) -> str:
    kinds = list(known.by_kind)
    return _listed(kinds) if len(kinds) <= _FEW else f"the {len(kinds)} kinds of this block"


# --- words


class _Words:
    """The texts that an expression may give; with `more` the list is not complete."""

    def __init__(self, sent: tuple[str, ...], more: bool = False, any_case: bool = False) -> None:
        self.sent = sent
        self._more = more
        self._any_case = any_case

    def why_never(self, key: str, keys: Collection[str]) -> str | None:
        """What was meant by a key that never comes; None for one that may come."""
        if key in self.sent:
            return None
        if self._any_case and _folded(key) in map(_folded, self.sent):
            return None
        free = [word for word in self.sent if word not in keys] or list(self.sent)
        if not self._more:
            return did_you_mean(key, free)
        close = difflib.get_close_matches(_folded(key), map(_folded, free), 1, _ALIKE)
        return did_you_mean(key, free) if close else None


def _remedy(missing: Sequence[str], keys: Collection[str], located: Located) -> str:
    if {word.lower() for word in missing} <= {key.lower() for key in keys}:
        return f"it comes in any case, so look up lower({located.text})"
    return "add it, or say otherwise: keep, skip or {value: …}"


def _folded(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word).casefold()


def _truths(expression: Expression) -> _Words | None:
    """For an expression that can only be true or false."""
    tree = expression.tree
    is_truth = (
        tree["type"] == "not_expression"
        or (tree["type"] == "comparator" and tree["value"] in ("eq", "ne"))
        or (tree["type"] == "function_expression" and tree["value"] == "boolean")
    )
    return _Words(("true", "false")) if is_truth else None


def _spellings(field: Field) -> Iterator[Json]:
    for value in field.values:
        yield value
        if field.any_case and isinstance(value, str):
            yield value.lower()


def _is_chosen(record: RecordRule, use: Use) -> bool:
    """Whether the record's `when` looks at the same value: it may leave out what is not covered."""
    if not isinstance(record.when, Located):
        return False
    condition = use_of(record.when.expression, items_of(record))
    return bool(condition.read & use.read)


# --- small things


def _document(values: Mapping[Path, Json]) -> Json:
    """The smallest document that holds these values at these paths; longer paths win."""
    document: dict[str, Json] = {}
    for path in sorted(values, key=len):
        inner = document
        for name in path[:-1]:
            if not isinstance(inner.get(name), dict):
                inner[name] = {}
            inner = inner[name]
        inner[path[-1]] = values[path]
    return document


def _listed(words: Sequence[str], last: str = "or") -> str:
    head, tail = list(words[:-1]), words[-1]
    return f"{', '.join(head)} {last} {tail}" if head else tail
