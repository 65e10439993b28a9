"""The shipped mappings between both vendors' sources and a CRM that is nothing but a merge.

`bench` takes a vendor's body the whole way that an event goes without Redis and HTTP: signed,
verified, parsed, made a document, mapped. What it makes of many events is merged here by the plain
words of docs/mapping-language.md (*Versions*), not by the code of the product: the two must agree.
"""

from __future__ import annotations

import copy
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connector.config import App, CareSoft, Mobio, Secret
from connector.mapping.load import MappingSet, load_set
from connector.model import Applied, Change, Delta, Event, Json, Ref, Whole
from connector.sources import open_source
from connector.sources.base import Source

ROOT = Path(__file__).parents[2]
MAPPINGS = ROOT / "mappings"
SAMPLES = ROOT / "tests" / "samples"
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
NOW = 1_760_000_000_000_000  # microseconds; later than every sample
MOBIO_APPS = ("16453496-6a17-11ed-8a77-6632ed169876", "c71f0b7a-6ecc-11ed-9704-468042e8692e")

Crm = dict[str, dict[str, dict[str, Json]]]
Fields = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Bench:
    """The way of an event from a signed body to changes, and of changes to the CRM's rows."""

    mappings: MappingSet
    sources: Mapping[str, Source]

    def events(self, vendor: str, body: Json | bytes, received_at: int = NOW) -> list[Event]:
        """The events of a body that its vendor signed."""
        raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        source = self.sources[vendor]
        return source.parse(source.verify(raw, source.sign(raw)), received_at)

    def applied(self, vendor: str, body: Json | bytes) -> Applied:
        """What the mappings make of a body with one event."""
        (event,) = self.events(vendor, body)
        return self.mappings.apply(self.sources[vendor].document(event))

    def changes(self, vendor: str, body: Json | bytes) -> tuple[Change, ...]:
        """The changes of a body with one event that is mapped without an error."""
        applied = self.applied(vendor, body)
        assert applied.error is None, str(applied.error)
        assert applied.status == "mapped"
        return applied.changes

    def fields(self, vendor: str, body: Json | bytes, resource: str) -> Fields:
        """All fields that a body's one event tells of the one record of a resource."""
        told = [c for c in self.changes(vendor, body) if c.resource == resource]
        assert len({change.id for change in told}) == 1, told
        return {name: value for change in told for name, value in change.fields.items()}

    def crm(self, *bodies: tuple[str, Json | bytes, int] | tuple[str, Json | bytes]) -> Crm:
        """The CRM's rows after these bodies, each (vendor, body[, time of receipt])."""
        told: list[tuple[Event, Change]] = []
        for vendor, body, *received_at in bodies:
            for event in self.events(vendor, body, *received_at):
                applied = self.mappings.apply(self.sources[vendor].document(event))
                assert applied.error is None, str(applied.error)
                told.extend((event, change) for change in applied.changes)
        return merged(told)


def merged(told: Iterable[tuple[Event, Change]]) -> Crm:
    """The rows that changes add up to: per field the greatest (final, version, event id) wins, a
    delete is for ever, a cleared field is no field, a reference waits for its row."""
    words: dict[tuple[str, str], dict[str, list[tuple[tuple[bool, int, str], Json]]]] = {}
    deleted: set[tuple[str, str]] = set()
    for event, change in told:
        key = (change.resource, change.id)
        if change.action == "delete":
            deleted.add(key)
            continue
        version = event.received_at if change.version is None else change.version
        record = words.setdefault(key, defaultdict(list))
        for name, value in change.fields.items():
            record[name].append(((change.final, version, event.id), value))
    rows = {
        key: {name: _value(spoken) for name, spoken in record.items()}
        for key, record in words.items()
        if key not in deleted
    }
    crm: Crm = {}
    for (resource, record_id), fields in rows.items():
        crm.setdefault(resource, {})[record_id] = {
            name: value.id if isinstance(value, Ref) else value
            for name, value in fields.items()
            if value is not None and (not isinstance(value, Ref) or _exists(value, rows))
        }
    return crm


def _exists(ref: Ref, rows: Mapping[tuple[str, str], Fields]) -> bool:
    return (ref.resource, ref.id) in rows


def _value(spoken: list[tuple[tuple[bool, int, str], Json]]) -> Json:
    ordered = sorted(spoken, key=lambda word: word[0])
    if not any(isinstance(value, Whole | Delta) for _, value in ordered):
        return ordered[-1][1]
    elements: list[Json] = []
    for _, value in ordered:
        if isinstance(value, Delta):
            kept = [item for item in elements if item not in (*value.add, *value.remove)]
            elements = kept + [item for item in value.add if item not in value.remove]
        else:
            elements = list(value.items) if isinstance(value, Whole) else []
    return elements


def open_sources() -> dict[str, Source]:
    """Both vendors, each with a secret, Mobio with the two apps of its documentation."""
    caresoft = CareSoft("caresoft", secrets=(Secret("CS123"),))
    mobio = Mobio("mobio", apps=tuple(App(app, (Secret("M456"),)) for app in MOBIO_APPS))
    return {config.name: open_source(config) for config in (caresoft, mobio)}


def open_mappings(folder: Path) -> MappingSet:
    """The set in a folder, for one account of each vendor and one CRM."""
    kinds = {"caresoft": "caresoft", "mobio": "mobio"}
    return load_set(folder, sources=kinds, targets=["crm"], timezone=ZONE)


@pytest.fixture(scope="session")
def bench() -> Bench:
    """The shipped mappings."""
    return Bench(open_mappings(MAPPINGS), open_sources())


@pytest.fixture(scope="session")
def bench_of() -> Callable[[Path], Bench]:
    """A bench with the mappings of another folder."""
    return lambda folder: Bench(open_mappings(folder), open_sources())


@pytest.fixture
def bench_with(tmp_path: Path, bench_of: Callable[[Path], Bench]) -> Callable[[str], Bench]:
    """A bench with one mapping of one's own instead of the shipped ones."""

    def make(text: str) -> Bench:
        (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
        return bench_of(tmp_path)

    return make


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Json]:
    """A vendor's example by its name (`ticket.update-2`), to be changed at will."""
    known = {path.stem: json.loads(path.read_bytes()) for path in SAMPLES.rglob("*.json")}
    return lambda name: copy.deepcopy(known[name])


@pytest.fixture(scope="session")
def all_samples() -> list[tuple[str, bytes, int]]:
    """Every example of both vendors as (vendor, body, time of receipt), a second apart."""
    paths = sorted(SAMPLES.rglob("*.json"))
    return [
        (path.parent.name, path.read_bytes(), NOW + second * 1_000_000)
        for second, path in enumerate(paths)
    ]


@pytest.fixture(scope="session")
def shipped_folder() -> Path:
    """The folder of the shipped mappings."""
    return MAPPINGS


@pytest.fixture(scope="session")
def zone() -> ZoneInfo:
    """The time zone of the configuration's example."""
    return ZONE
