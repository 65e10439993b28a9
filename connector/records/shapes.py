"""The names of a record's fields, kept once for all records that have the same.

A shape is a list of names and, for what the sources say, the rule that wrote each field. It stands
in the hash `c:shapes` under the first eight bytes of its SHA-256, and records refer to it by them.

Invariants:
- Who writes a record writes its shapes in the same step (`KEEP_SHAPES`), whatever it knows of
  Redis: that may have been emptied or restored a moment ago.
- A key means the same names for ever, so what was read once is never old. Of two lists of names to
  have one key there is a chance of 1 in 37,000,000 among a million shapes.
- Names stand in the order of rule and name, whatever order the events came in.

What it costs: a shape takes some 300 bytes for fifteen fields, and is never dropped, for a record
may refer to it. There is one for each set of fields that a record ever had with the rules that
wrote them, so their number grows with the kinds of events and the published mapping sets, not with
the records: a set that is put into force adds some kilobytes. Events that tell few fields each make
one for each sum of such events that a record really is. If every record had shapes of its own, each
would take about what it takes with its names written out, and a hundred bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import sha256

from connector import compact
from connector.errors import RedisUnfit
from connector.frozen import dataclass
from connector.redisdb import PREFIX, Redis

KEY_BYTES = 8

SHAPES = f"{PREFIX}shapes"

REMEMBERED = 1024
"""Shapes that a process remembers; when there are more it reads them anew."""

KEEP_SHAPES = """
local function keep_shapes(at)
  -- ARGV: how many, then key and text of each; where the rest of the arguments begins
  local last = at + 2 * tonumber(ARGV[at])
  for i = at + 1, last, 2 do redis.call('HSETNX', 'c:shapes', ARGV[i], ARGV[i + 1]) end
  return last + 1
end
"""
"""Lua: the shapes of the records that a script is about to write."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Names, the rule of each (none where rules do not matter), and how Redis keeps them."""

    key: bytes
    text: bytes
    names: tuple[str, ...]
    rules: tuple[int, ...]


class ShapeMissing(LookupError):
    """A record refers to a shape that Redis does not have."""


@lru_cache(maxsize=REMEMBERED)
def shape_of(
    names: tuple[str, ...], rules: tuple[int, ...] = ()
) -> tuple[Shape, tuple[int, ...] | None]:
    """The shape of these names, and where each of its names stands among them; None: in order."""
    places = range(len(names))
    if rules:
        order = tuple(sorted(places, key=lambda at: (rules[at], names[at])))
    else:
        order = tuple(sorted(places, key=names.__getitem__))
    ordered = tuple(names[at] for at in order)
    their_rules = tuple(rules[at] for at in order) if rules else ()
    text = compact.write([ordered, their_rules]).encode("utf-8", "surrogatepass")
    shape = Shape(_key(text), text, ordered, their_rules)
    return shape, None if order == tuple(places) else order


def arguments(shapes: Iterable[Shape | None]) -> list[bytes | int]:
    """The shapes, each once, as `keep_shapes` takes them."""
    texts = {shape.key: shape.text for shape in shapes if shape}
    return [len(texts), *(part for item in texts.items() for part in item)]


_remembered: dict[bytes, Shape] = {}


def named(client: Redis, keys: Iterable[bytes]) -> Mapping[bytes, Shape]:
    """Shapes by their keys, those that Redis has: one question for all that this process does not
    remember. Raises RedisUnfit for one that is not what its key says."""
    global _remembered
    wanted = set(keys)
    remembered = _remembered  # stays whole if another thread begins anew
    unknown = [key for key in wanted if key not in remembered]
    if not unknown:
        return remembered
    texts = client.hmget(SHAPES, unknown)
    found = {key: _read(key, text) for key, text in zip(unknown, texts, strict=True) if text}
    if len(remembered) + len(found) > REMEMBERED:
        _remembered = found
    else:
        remembered.update(found)
    return {key: remembered[key] for key in wanted if key in remembered} | found


def of(shapes: Mapping[bytes, Shape], key: bytes) -> Shape:
    """The shape of that key. Raises ShapeMissing."""
    try:
        return shapes[key]
    except KeyError:
        raise ShapeMissing(f"{SHAPES} does not hold {key.hex()}") from None


def _key(text: bytes) -> bytes:
    return sha256(text).digest()[:KEY_BYTES]


def _read(key: bytes, text: bytes) -> Shape:
    if _key(text) != key:
        raise RedisUnfit(f"{SHAPES} holds under {key.hex()} what is not of that key")
    names, rules = compact.read(text)
    return Shape(key, text, tuple(names), tuple(rules))
