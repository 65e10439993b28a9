"""How the two halves of a record are written down: pure, and each the inverse of the other.

Names of fields are not in them: a half of which fields are known refers to a shape
(`connector.records.shapes`) and holds a column of what is of each field, in the shape's order.

    merged     `[` JSON of a record without fields, or `j` key of the shape, JSON, or `z` key of the
               shape, the same JSON deflated, where that is shorter
    delivered  `{` JSON of a record without digests, or `d` key of the shape, six bytes of digest
               for each field, JSON

The JSON of `merged` is [stamps, values] and maybe what is not usual. Usual is that all fields come
from the first stamp, hold plain values, and are written whatever people did; all that the record
keeps besides fields counts as unusual, too. That of `delivered` is what differs from a record that
was never delivered; it is never compressed, so that it can be searched.
"""

from __future__ import annotations

import zlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from operator import attrgetter

from connector import compact
from connector.model import Json, Micros, Ref, Write
from connector.records import shapes
from connector.records.shapes import Shape, shape_of
from connector.records.state import (
    NO_ELEMENTS,
    Cell,
    Dead,
    Delivered,
    Element,
    Merged,
    Stamp,
    canonical,
)

Packed = tuple[bytes, Shape | None]
"""A half, and the shape that it refers to."""

_BODY = 1 + shapes.KEY_BYTES
"""Where that begins which follows the key of the shape."""


def shape_key(half: bytes) -> bytes | None:
    """The key of the shape that a half refers to."""
    return half[1:_BODY] if half[:1] in _KINDS else None


_KINDS = frozenset({b"j", b"z", b"d"})


# --- Merged ⇄ bytes

_WORTH_IT = 200
"""Bytes below which nothing is compressed."""

_WINDOW, _MEMORY = -12, 5
"""Deflated without zlib's head and checksum, looking back 4 KiB: as short as with all the memory
that zlib takes otherwise, 256 KiB a time, which cost six times as much time (CPython 3.11)."""

_USUAL: Write = "always"


class _Stamps:
    """The table of the stamps of a record: most of its fields come from the same few events."""

    __slots__ = ("_seen", "table")

    def __init__(self) -> None:
        self.table: dict[Stamp, int] = {}
        self._seen: dict[int, int] = {id(None): -1}  # mostly one object stands in all the fields

    def index(self, stamp: Stamp | None) -> int:
        at = self._seen.get(id(stamp))
        if at is None and stamp is not None:
            at = self._seen[id(stamp)] = self.table.setdefault(stamp, len(self.table))
        return -1 if at is None else at

    def rows(self) -> list[Json]:
        return [[s.version, s.event, s.serial, s.set, int(s.final)] for s in self.table]


def pack_merged(merged: Merged) -> Packed:
    """What the sources say of a record. Stamps that differ in nothing that decides are one."""
    stamps = _Stamps()
    values: list[Json] = []
    unusual: dict[str, Json] = {}
    shape = None
    if merged.fields:
        cells = list(merged.fields.values())
        shape, order = shape_of(tuple(merged.fields), tuple([cell.rule for cell in cells]))
        if order is not None:
            cells = [cells[at] for at in order]
        first = cells[0].stamp
        if len({id(cell.stamp) for cell in cells}) > 1 or stamps.index(first):
            indexes = [stamps.index(cell.stamp) for cell in cells]
            if any(indexes):
                unusual["s"] = indexes
        values = [cell.value for cell in cells]
        for at, cell in enumerate(cells):
            if cell.elements or cell.write != _USUAL or isinstance(cell.value, Ref):
                _note_unusual(unusual, values, at, cell, stamps)
    if merged.deleted:
        unusual["d"] = stamps.index(merged.deleted)
    if merged.floor:
        unusual["f"] = stamps.index(merged.floor)
    whole = [stamps.rows(), values, unusual] if unusual else [stamps.rows(), values]
    text = compact.write(whole).encode()
    if shape is None:
        return text, None
    if len(text) >= _WORTH_IT:
        packer = zlib.compressobj(1, zlib.DEFLATED, _WINDOW, _MEMORY)
        deflated = packer.compress(text) + packer.flush()
        if len(deflated) < len(text):
            return b"z" + shape.key + deflated, shape
    return b"j" + shape.key + text, shape


def _note_unusual(
    unusual: dict[str, Json], values: list[Json], at: int, cell: Cell, stamps: _Stamps
) -> None:
    """Which fields are references, which are sets with words on their elements, and which have a
    policy of their own."""
    if isinstance(cell.value, Ref):
        values[at] = [cell.value.resource, cell.value.id, cell.value.missing]
        unusual.setdefault("r", []).append(at)
    if cell.elements:
        words = [[e.value, int(e.present), stamps.index(e.stamp)] for e in cell.elements.values()]
        unusual.setdefault("e", []).append([at, words])
    if cell.write != _USUAL:
        unusual.setdefault("w", {}).setdefault(cell.write, []).append(at)


def unpack_merged(half: bytes, known: Mapping[bytes, Shape]) -> Merged:
    """The inverse of `pack_merged`. Raises ShapeMissing."""
    kind, key = half[:1], shape_key(half)
    text = half if key is None else half[_BODY:]
    table, values, *more = compact.read(zlib.decompress(text, _WINDOW) if kind == b"z" else text)
    stamps = [Stamp(bool(final), v, event, number, n) for v, event, n, number, final in table]
    unusual = more[0] if more else {}
    fields = _cells(shapes.of(known, key), values, stamps, unusual) if key else {}
    deleted, floor = unusual.get("d"), unusual.get("f")
    return Merged(
        fields,
        None if deleted is None else stamps[deleted],
        None if floor is None else stamps[floor],
    )


def _cells(shape: Shape, values: list[Json], stamps: list[Stamp], unusual: Json) -> dict[str, Cell]:
    for at in unusual.get("r", ()):
        values[at] = Ref(*values[at])
    indexes = unusual.get("s") or [0] * len(values)
    elements = [NO_ELEMENTS] * len(values)
    for at, words in unusual.get("e", ()):
        elements[at] = {canonical(v): Element(v, bool(p), stamps[i]) for v, p, i in words}
    writes = [_USUAL] * len(values)
    for write, places in unusual.get("w", {}).items():
        for at in places:
            writes[at] = write
    columns = (values, indexes, shape.rules, writes, elements)
    return {
        name: Cell(value, None if index < 0 else stamps[index], rule, write, words)
        for name, value, index, rule, write, words in zip(shape.names, *columns, strict=True)
    }


# --- Delivered ⇄ bytes

_KEYS = {
    "exists": "e",
    "gone": "g",
    "link": "l",
    "calls": "n",
    "attempts": "a",
    "why": "w",
    "since": "s",
    "at": "t",
    "warnings": "o",
    "doubt": "d",
    "intended": "i",
    "baseline": "b",
    "unheard": "u",
}
_NAMES = {key: name for name, key in _KEYS.items()}
_kept = attrgetter(*_KEYS)
_NOTHING = _kept(Delivered())

_DIGEST_LETTERS, _DIGEST_BYTES = 8, 6

_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LAST, _NEVER = " ", "-"


def pack_delivered(delivered: Delivered) -> Packed:
    """What the CRM was told of a record, without the generation."""
    packed: dict[str, Json] = {
        key: value
        for key, value, nothing in zip(_NAMES, _kept(delivered), _NOTHING, strict=True)
        if value != nothing
    }
    if dead := delivered.dead:
        packed["x"] = [dead.reason, dead.status, dead.answer, dead.since, dead.attempts]
    if not delivered.digests:
        return compact.write(packed).encode(), None
    names, marks = tuple(delivered.digests), list(delivered.digests.values())
    shape, order = shape_of(names)
    if order is not None:
        marks = [marks[at] for at in order]
    digests = a2b_base64("".join(marks))
    if len(digests) != _DIGEST_BYTES * len(marks):
        raise ValueError(f"a digest has {_DIGEST_LETTERS} letters")
    packed |= _pack_times(delivered, shape.names)
    return b"d" + shape.key + digests + compact.write(packed).encode(), shape


def _pack_times(delivered: Delivered, names: tuple[str, ...]) -> dict[str, Json]:
    """For a record of which not all went out with the last delivery a letter for each field: which
    of the earlier times (milliseconds) it was, `-` for none, a blank for the last."""
    times = delivered.times
    if len(times) == len(names) and set(times.values()) == {delivered.at}:
        return {}
    last = delivered.at // 1000
    earlier = sorted({at // 1000 for at in times.values()} - {last})[-len(_LETTERS) :]
    letters = dict(zip(earlier, _LETTERS, strict=False)) | {last: _LAST}

    def letter(name: str) -> str:
        at = times.get(name)
        # Of more times than there are letters the oldest are forgotten.
        return _NEVER if at is None else letters.get(at // 1000, _LETTERS[0])

    return {"L": "".join(map(letter, names)), **({"T": earlier} if earlier else {})}


def _unpack_times(
    names: tuple[str, ...], letters: str, earlier: list[int], at: Micros
) -> dict[str, Micros]:
    """The inverse of `_pack_times`."""

    def time(letter: str) -> Micros:
        return at if letter == _LAST else earlier[_LETTERS.index(letter)] * 1000

    return {
        name: time(letter) for name, letter in zip(names, letters, strict=True) if letter != _NEVER
    }


def unpack_link(half: bytes, known: Mapping[bytes, Shape]) -> tuple[bool, str | int | None]:
    """Of `unpack_delivered` no more than whether the record is in the CRM, and its id there."""
    key = shape_key(half)
    begins = 0 if key is None else _BODY + _DIGEST_BYTES * len(shapes.of(known, key).names)
    packed = compact.read(half[begins:]) if half else {}
    return bool(packed.get(_KEYS["exists"])), packed.get(_KEYS["link"])


def unpack_delivered(generation: int, half: bytes, known: Mapping[bytes, Shape]) -> Delivered:
    """The inverse of `pack_delivered`; `generation` stands elsewhere. Raises ShapeMissing."""
    key = shape_key(half)
    if key is None:
        return _delivered(generation, compact.read(half) if half else {}, {}, {})
    shape = shapes.of(known, key)
    names = shape.names
    end = _BODY + _DIGEST_BYTES * len(names)
    packed = compact.read(half[end:])
    marks = b2a_base64(half[_BODY:end], newline=False).decode()
    starts = range(0, len(marks), _DIGEST_LETTERS)
    digests = dict(zip(names, [marks[at : at + _DIGEST_LETTERS] for at in starts], strict=True))
    at = packed.get("t", 0)
    letters, earlier = packed.pop("L", None), packed.pop("T", [])
    if letters is None:
        times = dict.fromkeys(names, at)
    else:
        times = _unpack_times(names, letters, earlier, at)
    return _delivered(generation, packed, digests, times)


def _delivered(
    generation: int,
    packed: dict[str, Json],
    digests: Mapping[str, str],
    times: Mapping[str, Micros],
) -> Delivered:
    dead = Dead(*packed.pop("x")) if "x" in packed else None
    known = {_NAMES[key]: value for key, value in packed.items()}
    if "warnings" in known:
        known["warnings"] = tuple(known["warnings"])
    return Delivered(generation=generation, dead=dead, digests=digests, times=times, **known)
