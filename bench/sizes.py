"""Bytes of Redis per kept event beyond its compressed body, and per record beyond its field values.

Every key is asked for its size (MEMORY USAGE: key, value, and their share of the dictionary), after
all events were delivered, and put to the account of events or of records. Bodies compressed by
other means are measured on the same events.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

from bench.events import CONTACTS, SAMPLES, TEMPLATES, Events
from bench.redis_use import bytes_by
from bench.systems import Connector
from bench.tables import Table
from connector.model import Ref
from connector.records import store
from connector.records.state import canonical

Json: TypeAlias = Any

EVENT_GOAL = 400
RECORD_GOAL = 350
"""Bytes (DESIGN section 7)."""

_DICTIONARY = 8192
"""Bytes of a dictionary for compression; a longer one costs more time than it saves space."""

_EVENT_KEYS = frozenset({"i", "e", "events", "queued", "serial"})
_RECORD_KEYS = frozenset(
    {"r", "from", "shapes", "refs", "gone", "dirty", "lease", "leased", "doubt"}
    | {"m", "d"}  # of older connectors (`--commit`)
)


def measure(count: int, threads: int, say: Callable[[str], None]) -> Json:
    """Deliver `count` events about as many tickets, and weigh what is kept of them."""
    events = Events(count=count)
    with Connector(threads=threads) as site:
        site.deliver(Events("contact", 0, CONTACTS))
        site.deliver(events)
        client = site.client
        by_key = bytes_by(client, _part)
        bodies = sum(
            len(zlib.compress(body, 1))
            for known in (events, Events("contact", 0, CONTACTS))
            for body in known.bodies()
        )
        values = _field_values(client)
        memory = client.info("memory")
    everything = count + CONTACTS
    kept = sum(size for part, size in by_key.items() if part in _EVENT_KEYS)
    known = sum(size for part, size in by_key.items() if part in _RECORD_KEYS)
    data = {
        "events": everything,
        "records": everything,
        "body_bytes": sum(map(len, events.bodies())) / count,
        "compressed_bytes": bodies / everything,
        "event_bytes": kept / everything,
        "event_beyond_body": (kept - bodies) / everything,
        "value_bytes": values / everything,
        "record_bytes": known / everything,
        "record_beyond_values": (known - values) / everything,
        "used_memory_per_event_and_record": memory["used_memory"] / everything,
        "by_key": {part: size / everything for part, size in sorted(by_key.items())},
        "codecs": codecs(events),
    }
    say(
        f"event {data['event_beyond_body']:.0f} bytes beyond its body, "
        f"record {data['record_beyond_values']:.0f} beyond its values"
    )
    return data


def _part(key: str) -> str:
    """`c:r:crm:tickets:1` → `r`; what is not ours keeps its two first words."""
    words = key.split(":")
    return words[1] if words[0] == "c" else ":".join(words[:2])


def _field_values(client: Any) -> int:
    """Bytes of the JSON of all values of all fields of all records."""
    total = cursor = 0
    while True:
        cursor, states = store.scan(client, cursor, 1000)
        values = [cell.value for state in states for cell in state.merged.fields.values()]
        total += sum(
            len(canonical(astuple(value) if isinstance(value, Ref) else value).encode())
            for value in values
        )
        if cursor == 0:
            return total


# --- compression


@dataclass(frozen=True, slots=True)
class Codec:
    """How a body may be compressed."""

    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]


def codecs(events: Events) -> Mapping[str, Json]:
    """Bytes and microseconds per body: zlib, and zstd where the package `zstandard` is there."""
    bodies = list(events.bodies())[:2000]
    found = {
        "zlib 1": Codec(lambda body: zlib.compress(body, 1), zlib.decompress),
        "zlib 6": Codec(zlib.compress, zlib.decompress),
        "zlib 1, other samples as dictionary": _zlib_with(_dictionary()),
        **_zstd(_dictionary()),
    }
    return {name: _weigh(codec, bodies) for name, codec in found.items()}


def _dictionary() -> bytes:
    """Documented bodies, those that the events are made of left out: what a release could ship."""
    files = sorted(SAMPLES.glob("*.json"))
    others = (file.read_text() for file in files if file.name not in TEMPLATES)
    texts = (json.dumps(json.loads(text), ensure_ascii=False) for text in others)
    return "".join(texts).encode()[-_DICTIONARY:]


def _zlib_with(dictionary: bytes) -> Codec:
    def compress(body: bytes) -> bytes:
        packer = zlib.compressobj(1, zdict=dictionary)
        return packer.compress(body) + packer.flush()

    def decompress(data: bytes) -> bytes:
        return zlib.decompressobj(zdict=dictionary).decompress(data)

    return Codec(compress, decompress)


def _zstd(dictionary: bytes) -> Mapping[str, Codec]:
    if find_spec("zstandard") is None:
        return {}
    zstandard: Any = import_module("zstandard")
    known = zstandard.ZstdCompressionDict(dictionary)
    packers = {
        "zstd 1": (
            zstandard.ZstdCompressor(level=1),
            zstandard.ZstdDecompressor(),
        ),
        "zstd 1, other samples as dictionary": (
            zstandard.ZstdCompressor(level=1, dict_data=known),
            zstandard.ZstdDecompressor(dict_data=known),
        ),
    }
    return {name: Codec(one.compress, two.decompress) for name, (one, two) in packers.items()}


def _weigh(codec: Codec, bodies: list[bytes]) -> Json:
    packed = [codec.compress(body) for body in bodies]
    return {
        "bytes": sum(map(len, packed)) / len(bodies),
        "compress_us": _cost_us(codec.compress, bodies),
        "decompress_us": _cost_us(codec.decompress, packed),
    }


def _cost_us(function: Callable[[bytes], bytes], texts: list[bytes]) -> float:
    """Microseconds of CPU for one text, the best of five rounds."""

    def once() -> float:
        begun = time.thread_time()
        for text in texts:
            function(text)
        return time.thread_time() - begun

    return 1e6 * min(once() for _ in range(5)) / len(texts)


# --- what it says


def tables(data: Json) -> list[Table]:
    """Sizes against the goals, by key, and compression."""
    return [_against_goals(data), _by_key(data), _codecs(data)]


def _against_goals(data: Json) -> Table:
    def row(what: str, whole: str, own: str, beyond: str, goal: int) -> tuple[str, ...]:
        cells = (f"{data[key]:,.0f}" for key in (whole, own, beyond))
        return (what, *cells, f"{goal}")

    rows = (
        row("kept event", "event_bytes", "compressed_bytes", "event_beyond_body", EVENT_GOAL),
        row("record", "record_bytes", "value_bytes", "record_beyond_values", RECORD_GOAL),
    )
    note = (
        f"{data['events']:,} events of {data['body_bytes']:,.0f} bytes, one record each. The own"
        " part is the compressed body, or the JSON of the record's field values. used_memory of"
        f" Redis: {data['used_memory_per_event_and_record']:,.0f} bytes for both together."
    )
    headings = ("", "bytes in all", "its own part", "beyond it", "goal")
    return Table("Bytes of Redis", headings, rows, note)


def _by_key(data: Json) -> Table:
    rows = tuple((part, f"{size:,.1f}") for part, size in data["by_key"].items() if size >= 0.1)
    return Table("Bytes of Redis by key, per event", ("key", "bytes"), rows)


def _codecs(data: Json) -> Table:
    rows = tuple(
        (
            name,
            f"{one['bytes']:,.0f}",
            f"{one['compress_us']:.1f}",
            f"{one['decompress_us']:.1f}",
        )
        for name, one in data["codecs"].items()
    )
    headings = ("", "bytes", "compress, µs", "decompress, µs")
    return Table("Compressing a body", headings, rows)
