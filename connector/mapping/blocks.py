"""The `tests:` of mapping files: a vendor's body through the whole set, compared with `expect`.

A test runs as an event does: through every block of the set that speaks of its kind, not only
through the block that it stands in. Its body becomes documents by a function of the caller's,
because this room knows no vendor. The changes of all documents of the body, in their order, must
be as many as are expected, and each must be equal in what its expectation names: of `fields` and
`write` those that are named, everything else whole. Ids are compared as text, versions as times.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from connector.errors import ConnectorError
from connector.mapping.functions import FunctionError
from connector.mapping.rendering import change_to_json, version_to_json
from connector.mapping.rules import Expected, TestBlock
from connector.mapping.ruleset import MappingSet
from connector.mapping.times import micros
from connector.mapping.values import same, scalar_text
from connector.model import Change, Json, Place, Problem

Documents = Callable[[str, bytes], Sequence[Mapping[str, Json]]]
"""A source's name (or, where none of the kind is configured, the kind) and a body → documents."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected. `what` is `fields.status`, or `changes`: how many.

    `found` is None with `is_absent` where the change does not have it at all. `change` counts
    from 1; 0 where the difference is in no change.
    """

    change: int
    what: str
    expected: Json
    found: Json
    place: Place
    is_absent: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test.

    `problem` is why the event could not be mapped at all; `unmapped` are the kinds in its body
    that no block of the set names.
    """

    name: str
    place: Place
    changes: tuple[Json, ...] = ()
    differences: tuple[Difference, ...] = ()
    unmapped: tuple[str, ...] = ()
    problem: Problem | None = None

    @property
    def passed(self) -> bool:
        return self.problem is None and not self.differences


def run_tests(mapping_set: MappingSet, documents: Documents) -> tuple[Result, ...]:
    """Runs every test of a set, in the order of its files."""
    return tuple(run_test(test, mapping_set, documents) for test in mapping_set.tests)


def run_test(test: TestBlock, mapping_set: MappingSet, documents: Documents) -> Result:
    """Runs one test. A body that cannot be read fails it; nothing is raised for it."""
    body = json.dumps(test.event, ensure_ascii=False).encode()
    try:
        made = documents(mapping_set.source_of(test), body)
    except ConnectorError as error:
        problem = Problem(f"the body of the test cannot be read: {error}", "", test.place)
        return Result(test.name, test.place, problem=problem)
    changes: list[Change] = []
    unmapped: list[str] = []
    for document in made:
        applied = mapping_set.apply(document)
        if applied.error:
            return Result(test.name, test.place, problem=applied.error)
        changes += applied.changes
        if applied.status == "unmapped":
            unmapped.append(str(document["meta"]["kind"]))
    return Result(
        test.name,
        test.place,
        tuple(map(change_to_json, changes)),
        tuple(_differences(test, changes, mapping_set)),
        tuple(unmapped),
    )


def _differences(
    test: TestBlock, changes: Sequence[Change], mapping_set: MappingSet
) -> Iterator[Difference]:
    if len(changes) != len(test.expect):
        yield Difference(0, "changes", len(test.expect), len(changes), test.place)
    for number, (expected, change) in enumerate(zip(test.expect, changes, strict=False), 1):
        yield from _of_change(number, expected, change, mapping_set)


def _of_change(
    number: int, expected: Expected, change: Change, mapping_set: MappingSet
) -> Iterator[Difference]:
    found = change_to_json(change)
    for key, wanted in expected.wanted.items():
        if key in ("fields", "write"):
            for name, value in wanted.items():
                absent = name not in found[key]
                if absent or not same(_as_written(value), found[key][name]):
                    yield Difference(
                        number,
                        f"{key}.{name}",
                        value,
                        found[key].get(name),
                        expected.place,
                        absent,
                    )
        elif not _EQUAL.get(key, _same)(wanted, found[key], mapping_set):
            yield Difference(number, key, wanted, found[key], expected.place)


def _as_written(value: Json) -> Json:
    """An expected reference with its id as text, as ids are."""
    if isinstance(value, dict) and value.keys() == {"ref", "id"}:
        return {"ref": value["ref"], "id": scalar_text(value["id"])}
    return value


def _same(wanted: Json, found: Json, _: MappingSet) -> bool:
    return same(wanted, found)


def _same_time(wanted: Json, found: Json, mapping_set: MappingSet) -> bool:
    try:
        version = micros(wanted, mapping_set.timezone, "version")
    except FunctionError:
        return False
    return version_to_json(version) == str(found) if version else found is None


_EQUAL: Mapping[str, Callable[[Json, Json, MappingSet], bool]] = {
    "version": _same_time,
}
