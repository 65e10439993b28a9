"""The `tests:` of mapping files: a vendor's body through the whole set, compared with `expect`.

A test runs as an event does: through every block of the set that speaks of its kind, not only
through the block that it stands in. Its body becomes documents by a function of the caller's,
because this room knows no vendor. The changes of all documents of the body, in their order, must
be as many as are expected, and each must be equal in what its expectation names: of `fields` and
`write` those that are named, everything else whole. Ids are compared as text, versions as times.
Where there are more or fewer, each is compared with the expectation that it fits best, in order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from connector.errors import ConnectorError
from connector.mapping.explain import left_alone
from connector.mapping.functions import FunctionError
from connector.mapping.rendering import change_to_json, version_to_json
from connector.mapping.rules import Expected, TestBlock
from connector.mapping.ruleset import MappingSet
from connector.mapping.times import micros
from connector.mapping.values import same, scalar_text
from connector.model import Change, Json, Place, Problem
from connector.problems import nearest

Documents = Callable[[str, bytes], Sequence[Mapping[str, Json]]]
"""A source's name (or, where none of the kind is configured, the kind) and a body → documents."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected. `what` is `fields.status`, or `changes`: how many.

    `found` is None with `is_absent` where the change does not have it at all. `change` counts
    from 1; 0 where the difference is in no change. `hint` says why, or what was probably meant.
    """

    change: int
    what: str
    expected: Json
    found: Json
    place: Place
    is_absent: bool = False
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one test.

    `problem` is why the event could not be mapped at all; `unmapped` are the kinds in its body
    that no block of the set names. `unexpected` are the numbers of changes, and `unmet` the
    expectations, that have no counterpart where there are more of one than of the other.
    """

    name: str
    place: Place
    changes: tuple[Json, ...] = ()
    differences: tuple[Difference, ...] = ()
    unmapped: tuple[str, ...] = ()
    unexpected: tuple[int, ...] = ()
    unmet: tuple[Expected, ...] = ()
    problem: Problem | None = None

    @property
    def passed(self) -> bool:
        return self.problem is None and not self.differences


def run_tests(mapping_set: MappingSet, documents: Documents) -> tuple[Result, ...]:
    """Runs every test of a set, in the order of its files."""
    return tuple(run_test(test, mapping_set, documents) for test in mapping_set.tests)


def run_test(test: TestBlock, mapping_set: MappingSet, documents: Documents) -> Result:
    """Runs one test. A body that cannot be read fails it; nothing is raised for it."""
    try:
        made = documents(mapping_set.source_of(test), body_of(test))
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
    found = [change_to_json(change) for change in changes]
    pairs = paired(test.expect, found)
    differences = [
        difference
        for expected, number in pairs
        for difference in _of_change(number + 1, expected, found[number], mapping_set)
    ]
    if len(found) != len(test.expect):
        differences.insert(0, Difference(0, "changes", len(test.expect), len(found), test.place))
    met = [expected for expected, _ in pairs]
    return Result(
        test.name,
        test.place,
        tuple(found),
        tuple(_explained(differences, found, made, mapping_set)),
        tuple(unmapped),
        tuple(sorted({*range(1, len(found) + 1)} - {number + 1 for _, number in pairs})),
        tuple(expected for expected in test.expect if expected not in met),
    )


def body_of(test: TestBlock) -> bytes:
    """The body of a test's event, as the vendor would send it."""
    return json.dumps(test.event, ensure_ascii=False).encode()


def paired(expect: Sequence[Expected], found: Sequence[Json]) -> list[tuple[Expected, int]]:
    """Each expectation with the index of the change that it is compared with.

    One by one where there are as many; else as many as fit by action, resource and id, in order.
    """
    if len(expect) == len(found):
        return list(zip(expect, range(len(found)), strict=True))
    best: dict[tuple[int, int], list[tuple[Expected, int]]] = {}
    for i in range(len(expect), -1, -1):
        for j in range(len(found), -1, -1):
            if i == len(expect) or j == len(found):
                best[i, j] = []
                continue
            ways = [best[i + 1, j], best[i, j + 1]]
            if _names(expect[i], found[j]):
                ways.insert(0, [(expect[i], j), *best[i + 1, j + 1]])
            best[i, j] = max(ways, key=len)
    return best[0, 0]


def _names(expected: Expected, found: Json) -> bool:
    """Whether a change is of the record that an expectation names."""
    keys = ("action", "target", "resource", "id")
    return all(expected.wanted.get(key, found[key]) == found[key] for key in keys)


def _of_change(
    number: int, expected: Expected, found: Json, mapping_set: MappingSet
) -> Iterator[Difference]:
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


def _explained(
    differences: Sequence[Difference],
    found: Sequence[Json],
    documents: Sequence[Mapping[str, Json]],
    mapping_set: MappingSet,
) -> Iterator[Difference]:
    """The differences, those about fields that are not there with the reason."""
    reasons: dict[tuple[str, str, str], str] = {}
    if any(difference.is_absent for difference in differences):
        alone = (a for document in documents for a in left_alone(mapping_set, document))
        reasons = {(a.resource, a.id, a.field): f"left alone: {a.reason}" for a in alone}
    for difference in differences:
        part, _, name = difference.what.partition(".")
        if not difference.is_absent or part != "fields":
            yield difference
            continue
        change = found[difference.change - 1]
        close = nearest(name, change["fields"])
        meant = f"did you mean {close!r}?" if close else ""
        why = reasons.get((change["resource"], change["id"], name), meant)
        yield replace(difference, hint=why)


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
