"""How a record stands in one string of Redis: both halves, and the events that went into it.

    8 hex digits   generation of what the sources say; zeros: nothing was said yet
    8 hex digits   generation that the CRM is up to date with
    4 + 4 bytes    lengths of the two halves, big-endian
    ...            what the sources say (`pack_merged`)
    ...            what the CRM was told (`pack_delivered`); empty: it was never told anything
    ...            serials of events, decimal, a comma behind each

Invariants:
- Each half has one writer (`connector.records.state`). In Lua `record_of` takes the string apart
  and `keep` puts it together; whoever writes one half gives the other back byte for byte.
- The generations stand first and never change their width, so that one can be read, and the first
  overwritten, without the rest.
- The first `SERIALS` events stand in the string, more in a set beside it (`c:from:R`), so that what
  a record is rewritten with does not grow with its events. An event may stand in both: readers join
  the two, and forgetting looks into both.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

SERIALS = 8
"""Events that stand in the record's own string; a set of its own takes 80 bytes for the first."""

TOLD_FROM, TOLD_TO = 8, 15
"""Where the generation that the CRM is up to date with stands (GETRANGE)."""

_HEAD = Struct(">8s8sII")


class Parts(NamedTuple):
    """A record as Redis has it. Generation 0: nothing was said of it."""

    generation: int
    told: int
    merged: bytes
    delivered: bytes
    serials: bytes = b""

    def heard(self) -> list[int]:
        """The serials that stand here, in the order in which they came."""
        return [int(serial) for serial in self.serials.split(b",")[:-1]]


NOTHING = Parts(0, 0, b"", b"")
"""A record that Redis does not have."""


def take_apart(text: bytes | None) -> Parts:
    """The parts of a record's string."""
    if not text:
        return NOTHING
    generation, told, merged, delivered = _HEAD.unpack_from(text)
    middle = _HEAD.size + merged
    end = middle + delivered
    return Parts(
        int(generation, 16), int(told, 16), text[_HEAD.size : middle], text[middle:end], text[end:]
    )


def put_together(parts: Parts) -> bytes:
    """The inverse of `take_apart`."""
    generation, told, merged, delivered, serials = parts
    head = _HEAD.pack(b"%08x" % generation, b"%08x" % told, len(merged), len(delivered))
    return head + merged + delivered + serials


RECORD = """
local function record_of(R)
  local text = redis.call('GET', 'c:r:' .. R)
  if not text then
    return {generation = '00000000', told = '00000000', merged = '', delivered = '', serials = ''}
  end
  local merged, delivered = struct.unpack('>I4I4', text, 17)
  local middle = HEAD + merged
  return {
    generation = string.sub(text, 1, 8),
    told = string.sub(text, 9, 16),
    merged = string.sub(text, HEAD + 1, middle),
    delivered = string.sub(text, middle + 1, middle + delivered),
    serials = string.sub(text, middle + delivered + 1),
  }
end
local function keep(R, record)
  redis.call('SET', 'c:r:' .. R, record.generation .. record.told
    .. struct.pack('>I4I4', #record.merged, #record.delivered)
    .. record.merged .. record.delivered .. record.serials)
end
""".replace("HEAD", str(_HEAD.size))
"""Lua: a record taken apart, and put together again. Its halves are opaque."""

BUMP = """
local function generation_of(R)
  local generation = redis.call('GETRANGE', 'c:r:' .. R, 0, 7)
  return generation == '' and '00000000' or generation
end
local function bump(R)
  -- a new generation of a record of which something was said; whether it is one
  local generation = generation_of(R)
  if generation == '00000000' then return false end
  redis.call('SETRANGE', 'c:r:' .. R, 0, string.format('%08x', tonumber(generation, 16) + 1))
  return true
end
"""
"""Lua: the generation of what the sources say, without the rest of the record."""

HEARD = """
local function hear(R, record, serial)
  -- whether the record's string is another one now
  if string.find(',' .. record.serials, ',' .. serial .. ',', 1, true) then return false end
  local _, count = string.gsub(record.serials, ',', '')
  if count >= SERIALS then
    redis.call('SADD', 'c:from:' .. R, serial)
    return false
  end
  record.serials = record.serials .. serial .. ','
  return true
end
local function unhear(R, record, serial)
  -- as above
  redis.call('SREM', 'c:from:' .. R, serial)
  local first, last = string.find(',' .. record.serials, ',' .. serial .. ',', 1, true)
  if not first then return false end
  record.serials = string.sub(record.serials, 1, first - 1) .. string.sub(record.serials, last)
  return true
end
""".replace("SERIALS", str(SERIALS))
"""Lua: an event noted with a record, and forgotten."""
