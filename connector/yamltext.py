"""YAML 1.2 as people write it, read into plain data that knows where each piece stands.

The job: text in, documents out, with file, line and column for every key and value, and every
mistake told in words that say what would be right. The invariant: `load_text` raises nothing but
`Invalid`, whatever it is given, and what it returns is what JSON could hold.

The scalars are those of the core schema of YAML 1.2.2 (section 10.3): `no`, `on` and `yes` are
text, `0o17` is octal and `017` is seventeen. Keys are always text, as written. Refused, although
YAML has them: tags, merge keys (`<<`), keys that are not scalars, duplicate keys, numbers that
JSON does not have, `%` directives. Anchors are fine; what they expand to is bounded.

libyaml splits the text into events; the composing is done here, because its own composer knows
neither places nor YAML 1.2. `yamlsyntax` explains what libyaml complains of. `config` and
`mapping` build on this page; it knows neither.
"""

from __future__ import annotations

import bisect
import codecs
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

from connector import yamlsyntax
from connector.errors import Invalid
from connector.model import Json, Place, Problem

__all__ = [
    "MAX_DEPTH",
    "MAX_EXPANDED",
    "Document",
    "Path",
    "Places",
    "Reading",
    "lacks_blank",
    "load_text",
    "read_scalar",
    "read_text",
]

Path: TypeAlias = tuple[str | int, ...]

MAX_DEPTH = 100  # lists and maps within each other, the outermost being 1
MAX_EXPANDED = 100_000  # values that the aliases of one file may add up to
_MAX_CHARACTERS_TOLD = 20  # unusable characters reported of one file

_LINE_END = re.compile(r"\r\n|\r|\n")
_NOT_LINE_END = re.compile(r"[^\r\n]")
_DOCUMENT = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
_UNUSABLE = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
# Line breaks to libyaml (YAML 1.1) but letters in YAML 1.2: they pass it under other names.
_OLD_BREAKS = "\x85\u2028\u2029"

_CONSTANTS: dict[str, Json] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text[2:], 8)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text[2:], 16)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
)
_KEY_WITHOUT_BLANK = re.compile(r"[\w.*-]+:(?!//)[^\s:]")
_NOT_JSON = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def read_scalar(text: str) -> Json:
    """What an unquoted YAML 1.2 scalar means: null, a boolean, a number, else the text itself.

    Raises ValueError, with what was found, for a number that JSON cannot hold.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _NOT_JSON.fullmatch(text):
        raise ValueError(f"{text} is a number that JSON does not have")
    for pattern, read in _NUMBERS:
        if pattern.fullmatch(text):
            try:
                number = read(text)
            except ValueError:
                raise ValueError(f"a number of {len(text)} digits") from None
            if number in (float("inf"), float("-inf")):
                raise ValueError(f"{text} is larger than any number with a point can be")
            return number
    return text


def lacks_blank(text: str) -> bool:
    """Whether a text looks like `key: value` written without the blank, which YAML reads as text.

    For the hint of whoever wanted a map and found this text. `https://…` does not.
    """
    return _KEY_WITHOUT_BLANK.match(text) is not None


@dataclass(slots=True)
class _Node:
    """One value of the file: what it means, and the characters that it was written with."""

    data: Json
    start: int  # index of its first character; within the quotes of a quoted text
    end: int
    style: str = ""
    text: str | None = None
    entries: dict[str | int, tuple[int, _Node]] = field(default_factory=dict)
    size: int = 1  # values in it, aliases expanded
    height: int = 0  # lists and maps within each other

    @property
    def is_plain(self) -> bool:
        """Whether it is a scalar without quotes that says something."""
        return bool(self.text) and not self.style


class _Text:
    """The characters of one file, and the place of each."""

    __slots__ = ("_lines", "file", "text")

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self._lines = [0, *(match.end() for match in _LINE_END.finditer(text))]

    def place(self, index: int) -> Place:
        line = bisect.bisect_right(self._lines, index)
        return Place(self.file, line, index - self._lines[line - 1] + 1)


class Places:
    """Where the parts of one document stand.

    A path is the keys and list positions from the root: `("records", 0, "id")`. For a path that
    does not exist, the nearest existing ancestor answers.
    """

    __slots__ = ("_root", "_source")

    def __init__(self, source: _Text, root: _Node) -> None:
        self._source = source
        self._root = root

    def key(self, path: Path) -> Place:
        """The place of the key at the path (of a list item: of the item)."""
        return self._source.place(self._find(path)[0])

    def value(self, path: Path) -> Place:
        """The place of the value's first character; in a quoted or block text of the text's own.

        Of a block text that begins with empty lines it is the first character that shows.
        """
        return self._source.place(self._find(path)[1].start)

    def inside(self, path: Path, offset: int) -> Place:
        """The place of the character `offset` (from 0) of the text at the path.

        Escapes, doubled quotes and folded lines are followed; an offset beyond the end is the end.
        """
        node = self._find(path)[1]
        end = node.start
        for position, index in enumerate(_characters(self._source.text, node)):
            if position == offset:
                return self._source.place(index)
            end = index + 1
        return self._source.place(end)

    def text(self, path: Path) -> str | None:
        """The scalar at the path as it was written, before it was read as a number or a null.

        Quotes and escapes are resolved. None for a list, a map, or a path that does not exist.
        """
        node = self._root
        for step in path:
            if step not in node.entries:
                return None
            node = node.entries[step][1]
        return node.text

    def _find(self, path: Path) -> tuple[int, _Node]:
        found = (self._root.start, self._root)
        for step in path:
            if step not in found[1].entries:
                break
            found = found[1].entries[step]
        return found


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file: plain dicts, lists and scalars, and where they stand."""

    data: Json
    places: Places
    file: str


def load_text(text: str | bytes, file: str, *, quote: bool = True) -> list[Document]:
    """The documents of a YAML file, in their order; none for a file that holds nothing.

    `file` is the name that places carry. `quote` False keeps values out of the messages, for a
    file that may hold secrets. Raises Invalid with everything that is wrong; a syntax error ends
    the reading of its document, and the next `---` begins anew.
    """
    reading = read_text(text, file, quote=quote)
    if reading.problems:
        raise Invalid(reading.problems)
    return list(reading.documents)


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a file, and what is wrong with it. Of a document with a syntax error
    there is nothing; `is_whole` says that none is missing."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]
    is_whole: bool


def read_text(text: str | bytes, file: str, *, quote: bool = True) -> Reading:
    """As `load_text`, but what can be read of a file with mistakes is read all the same."""
    try:
        source = _Text(_decode(text, file), file)
    except Invalid as error:
        return Reading((), error.problems, is_whole=False)
    if problems := _unusable(source):
        return Reading((), tuple(problems), is_whole=False)
    return _Composer(source, quote=quote).reading()


def _decode(text: str | bytes, file: str) -> str:
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Invalid([Problem("the file is UTF-16", "save it as UTF-8", Place(file, 1, 1))])
    try:
        return text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        good = _Text(text[: error.start].decode("utf-8").removeprefix("\ufeff"), file)
        message = f"byte 0x{text[error.start]:02X} is no UTF-8 text"
        place = good.place(len(good.text))
        raise Invalid([Problem(message, "save the file as UTF-8", place)]) from None


def _unusable(source: _Text) -> list[Problem]:
    """Control characters, lone surrogates and the like, which no YAML file may hold."""
    problems = []
    for match in _UNUSABLE.finditer(source.text):
        code = ord(match[0])
        if 0xD800 <= code <= 0xDFFF:
            hint = "half of a surrogate pair is no character: delete it"
        else:
            hint = f'delete it, or write "\\u{code:04X}" in double quotes'
        message = f"the character U+{code:04X} cannot stand in a YAML file"
        problems.append(Problem(message, hint, source.place(match.start())))
        if len(problems) == _MAX_CHARACTERS_TOLD:
            break
    return problems


def _is(event: Any, kind: type[yaml.Event] | tuple[type[yaml.Event], ...]) -> bool:
    """isinstance, but the event keeps its looser type: the stubs do not know that marks exist."""
    return isinstance(event, kind)


class _Stop(Exception):
    """The rest of the file is not worth reading; the reason is among the problems."""


class _Composer:
    """Turns libyaml's events of one file into documents, collecting what is wrong."""

    def __init__(self, source: _Text, *, quote: bool) -> None:
        self._source = source
        self._quote = quote
        self._problems: list[Problem] = []
        self._anchors: dict[str, _Node | None] = {}  # None while the value is being read
        self._expanded = 0
        self._last: Any = None
        self._text, self._restore = _hide_old_breaks(source.text)
        self._events: Iterator[Any] = iter(())

    def reading(self) -> Reading:
        """All documents but those with a syntax error, and everything that is wrong."""
        documents: list[Document] = []
        is_whole = True
        start: int | None = 0
        while start is not None:
            try:
                self._read_from(start, documents)
                break
            except yaml.YAMLError as error:
                is_whole = False
                self._problems += yamlsyntax.explain(
                    error, self._source.text, self._source.place, self._last, quote=self._quote
                )
                start = self._next_document(error, start)
            except _Stop:
                is_whole = False
                break
        problems = sorted(dict.fromkeys(self._problems), key=_by_place)
        return Reading(tuple(documents), tuple(problems), is_whole)

    def _read_from(self, start: int, documents: list[Document]) -> None:
        """Adds the documents from an index on, until one has a syntax error."""
        self._last = None
        blank = _NOT_LINE_END.sub(" ", self._text[:start])  # so that every index stays
        self._events = yaml.parse(blank + self._text[start:], Loader=yaml.CSafeLoader)
        while not _is(event := self._next(), yaml.StreamEndEvent):
            if _is(event, yaml.DocumentStartEvent):
                self._directives(event)
                self._anchors = {}
                root = self._node(self._next(), 1)
                places = Places(self._source, root)
                documents.append(Document(root.data, places, self._source.file))

    def _next_document(self, error: yaml.YAMLError, start: int) -> int | None:
        """Where the next document begins after an error; None where there is none."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        after = max(mark.index if mark else len(self._text), start)
        line = self._text.rfind("\n", 0, after) + 1
        begins = _DOCUMENT.search(self._text, max(line, start + 1))
        return begins.start() if begins else None

    def _next(self) -> Any:
        event = next(self._events)
        if _is(event, yaml.ScalarEvent):
            self._last = event
        return event

    def _wrong(self, message: str, hint: str, index: int) -> None:
        self._problems.append(Problem(message, hint, self._source.place(index)))

    def _directives(self, event: Any) -> None:
        if event.version or event.tags:
            self._wrong(
                "a directive (a line that begins with %)",
                "delete it: the file is read as YAML 1.2 without tags",
                event.start_mark.index,
            )

    def _node(self, event: Any, depth: int) -> _Node:
        """The value that begins with the event; `depth` is what a list or map here would have."""
        if _is(event, yaml.AliasEvent):
            return self._alias(event, depth)
        start = self._past_properties(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if getattr(event, "tag", None) is not None:
            self._wrong(
                f"the tag {self._tag(event.start_mark.index)}",
                "tags are not used here: delete it; text that begins with ! needs quotes",
                self._source.text.find("!", event.start_mark.index),
            )
        if _is(event, yaml.ScalarEvent):
            node = self._scalar(event, start)
        else:
            if depth > MAX_DEPTH:
                self._wrong(
                    f"more than {MAX_DEPTH} lists and maps within each other",
                    "make it flatter",
                    start,
                )
                raise _Stop
            compose = self._map if _is(event, yaml.MappingStartEvent) else self._list
            node = compose(start, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _scalar(self, event: Any, start: int) -> _Node:
        text: str = self._restore(event.value)
        style: str = event.style or ""
        data: Json = text
        if event.implicit[0] or not style:
            style = ""
            try:
                data = read_scalar(text)
            except ValueError as error:
                message = str(error) if self._quote else "a number that JSON does not have"
                self._wrong(message, "put it in quotes if it is meant as text", start)
        end = event.end_mark.index
        return _Node(
            data, _first_character(self._source.text, start, style, text), end, style, text
        )

    def _list(self, start: int, depth: int) -> _Node:
        node = _Node([], start, start, "[")
        while not _is(event := self._next(), yaml.SequenceEndEvent):
            item = self._node(event, depth + 1)
            node.entries[len(node.data)] = (item.start, item)
            node.data.append(item.data)
            node.size += item.size
            node.height = max(node.height, item.height)
        node.height += 1
        node.end = event.end_mark.index
        return node

    def _map(self, start: int, depth: int) -> _Node:
        node = _Node({}, start, start, "{")
        text: tuple[int, int] | None = None  # where the plain text before this key stands
        cut = False  # whether commas of that text were taken for the map's
        while not _is(event := self._next(), yaml.MappingEndEvent):
            key_start = event.start_mark.index
            key = self._key(event, depth)
            key_end = event.end_mark.index
            event = self._next()
            value = self._node(event, depth + 1)
            if key is None:
                continue
            if self._lacks_value(event, key_end):
                if text and self._is_open(text):
                    text, cut = (text[0], key_end), True
                    continue
                self._wrong(*_without_value(key if self._quote else "…"), key_start)
            if text and cut:
                self._cut(text)
            text, cut = (value.start, value.end) if value.is_plain else None, False
            if key in node.entries:
                first = self._source.place(node.entries[key][0])
                self._wrong(
                    f"duplicate key {_short(key)}",
                    f"it stands in line {first.line}, column {first.column} already: "
                    "keep one of the two",
                    key_start,
                )
                continue
            node.entries[key] = (key_start, value)
            node.data[key] = value.data
            node.size += value.size
            node.height = max(node.height, value.height)
        if text and cut:
            self._cut(text)
        node.height += 1
        node.end = event.end_mark.index
        return node

    def _is_open(self, text: tuple[int, int]) -> bool:
        """Whether a call begins in the text that does not end in it."""
        return yamlsyntax.open_call(self._source.text[slice(*text)]) is not None

    def _cut(self, text: tuple[int, int]) -> None:
        """A call in braces without quotes: its commas part the entries of the map."""
        written = self._source.text[slice(*text)] if self._quote else ""
        self._wrong(*yamlsyntax.cut_at_comma(written, "{}"), text[0])

    def _key(self, event: Any, depth: int) -> str | None:
        """The text of a key; None, with a problem, for what cannot be one."""
        index = event.start_mark.index
        if _is(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._node(event, depth + 1)
            self._wrong(
                "a list or map as a key",
                'a key is text: put it in quotes, e.g. "{external_id}"',
                index,
            )
            return None
        node = self._node(event, depth + 1)
        if node.text is None:
            self._wrong("a list or map as a key", "a key is text", index)
            return None
        if node.text == "<<" and not node.style:
            self._wrong(
                "the merge key <<",
                "YAML 1.2 does not have it: repeat the keys here "
                "(a single value can be shared with &name and *name)",
                index,
            )
            return None
        if node.text == "" and not node.style:
            self._wrong("a value without a key", "write a key before the colon", index)
            return None
        return node.text

    def _lacks_value(self, event: Any, key_end: int) -> bool:
        """Whether `{key}` was written, without a colon: neither a value nor a null."""
        return (
            _is(event, yaml.ScalarEvent)
            and event.start_mark.index == event.end_mark.index == key_end
            and ":" not in self._source.text[key_end - 1 : key_end + 1]
            and self._source.text[key_end - 1 : key_end + 1] != "${"  # an error of its own
        )

    def _alias(self, event: Any, depth: int) -> _Node:
        index = event.start_mark.index
        end = event.end_mark.index
        name = event.anchor if self._quote else "…"
        missing = _Node(None, index, end, text="")
        if event.anchor not in self._anchors:
            self._wrong(
                f"*{name} refers to nothing",
                f"put &{name} before the value that is meant, above this line in the "
                "same document; text that begins with * needs quotes",
                index,
            )
            return missing
        target = self._anchors[event.anchor]
        if target is None:
            self._wrong(
                f"*{name} stands within &{name} itself",
                "a value cannot contain itself",
                index,
            )
            return missing
        self._expanded += target.size
        if self._expanded > MAX_EXPANDED or depth + target.height - 1 > MAX_DEPTH:
            self._wrong(
                f"with *{name} the aliases of this file expand to too much",
                f"together they may stand for {MAX_EXPANDED} values, {MAX_DEPTH} levels deep",
                index,
            )
            raise _Stop
        return _Node(
            copy.deepcopy(target.data),
            index,
            end,
            target.style,
            target.text,
            target.entries,
            target.size,
            target.height,
        )

    def _past_properties(self, event: Any) -> int:
        """Where the value itself begins, behind `&anchor` and `!tag`."""
        index: int = event.start_mark.index
        if event.anchor is None and getattr(event, "tag", None) is None:
            return index
        match = _PROPERTIES.match(self._source.text, index, event.end_mark.index)
        if _is(event, yaml.ScalarEvent):
            return match.end() if match else index
        match = _PROPERTIES.match(self._source.text, index)
        return match.end() if match else index

    def _tag(self, index: int) -> str:
        found = _TAG.search(self._source.text, index)
        return _short(found[0]) if found and self._quote else "!…"


_TAG = re.compile(r"![^\s,\[\]{}]*")
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*(?:[ \t\r\n]+(?:#[^\r\n]*)?)*)+")


def _hide_old_breaks(text: str) -> tuple[str, Callable[[str], str]]:
    """The text with the line breaks of YAML 1.1 replaced by characters of which it has none."""
    found = [letter for letter in _OLD_BREAKS if letter in text]
    if not found:
        return text, lambda value: value
    lower = text.lower()  # an escape must not name the stand-in either
    free = (c for c in range(0xE000, 0xF8FF) if chr(c) not in text and f"{c:04x}" not in lower)
    hide = {ord(letter): next(free) for letter in found}
    restore = {hidden: letter for letter, hidden in hide.items()}
    return text.translate(hide), lambda value: value.translate(restore)


def _first_character(source: str, start: int, style: str, text: str) -> int:
    """The index of the first character of a scalar's text, behind its quote or block header."""
    if style in ("'", '"'):
        return start + 1
    if style not in ("|", ">"):
        return start
    shown = text.lstrip("\n")
    index = start
    while line_end := _LINE_END.search(source, index):
        index = line_end.end()
        if not shown:
            return index
        blanks = _BLANKS.match(source, index)
        after = blanks.end() if blanks else index
        if not source.startswith(("\r", "\n"), after):
            return max(index, after - (len(shown) - len(shown.lstrip(" "))))
    return start


_BLANKS = re.compile(" *")
_ESCAPE_DIGITS = {"x": 2, "u": 4, "U": 8}
_FOLD = re.compile(r"[ \t]*(?:\r\n|\r|\n)[ \t\r\n]*")
_CONTINUED = re.compile(r"(?:\\(?:\r\n|\r|\n)[ \t\r\n]*)+")


def _characters(source: str, node: _Node) -> Iterator[int]:
    """For each character of a scalar's text the index where it was written."""
    text = node.text or ""
    index = node.start
    position = 0
    if node.style in ("|", ">"):
        while position < len(text) and text[position] == "\n":
            yield index
            position += 1
    while position < len(text):
        if node.style == '"' and (skipped := _CONTINUED.match(source, index)):
            index = skipped.end()
        if text[position] in " \t\n" and (fold := _FOLD.match(source, index)):
            while position < len(text) and text[position] in " \t\n":
                yield index
                position += 1
            index = fold.end()
            continue
        yield index
        index += _written_length(source, index, node.style)
        position += 1


def _written_length(source: str, index: int, style: str) -> int:
    if style == '"' and source[index : index + 1] == "\\":
        return 2 + _ESCAPE_DIGITS.get(source[index + 1 : index + 2], 0)
    return 2 if style == "'" and source[index : index + 1] == "'" else 1


def _without_value(key: str) -> tuple[str, str]:
    name, colon, rest = key.partition(":")
    if colon and name and rest:
        return (
            f"no space after the colon of {_short(key)}",
            f"write {_short(f'{name}: {rest}')}",
        )
    return (
        f"{_short(key)} has no value",
        f"write {_short(f'{key}: null')} for none; braces that are meant as text need quotes: "
        f'"{{{key}}}"',
    )


def _short(text: str, length: int = 60) -> str:
    return repr(text if len(text) <= length else f"{text[:length]}…")


def _by_place(problem: Problem) -> tuple[int, int]:
    return (problem.place.line, problem.place.column) if problem.place else (0, 0)
