"""Mapping sets held against what the CRM knows: where config.yaml names a `schema:` for a resource.

For `mappings check` and `config check`. Reads the schemas and runs the vendors' documented bodies
and the mapping files' own tests through the set; without a `schema:` nothing is read or run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from connector.checkup.samples import changes
from connector.config.model import TargetConfig
from connector.errors import Invalid
from connector.mapping.blocks import Documents
from connector.mapping.check import Report, folder_of
from connector.mapping.load import Surroundings, judge, shown_path
from connector.mapping.ruleset import MappingSet
from connector.model import Problem
from connector.openapi import known
from connector.openapi.fitting import Fitted, misfits


def fit(
    paths: Sequence[Path],
    surroundings: Surroundings,
    targets: Mapping[str, TargetConfig],
    documents: Documents,
) -> Report:
    """What does not fit in the mapping files of some paths, as `mappings check` takes them."""
    if not any(r.schema for target in targets.values() for r in target.resources.values()):
        return Report()
    errors: list[Problem] = []
    warnings: list[Problem] = []
    sets: dict[Path, Report] = {}
    for path in paths:
        folder = folder_of(path)
        if folder not in sets:
            mapping_set = judge(folder, surroundings).mapping_set
            sets[folder] = fit_of(mapping_set, targets, documents) if mapping_set else Report()
        only = None if folder == path else str(shown_path(path))
        errors += sets[folder].errors
        warnings += [
            each
            for each in sets[folder].warnings
            if only is None or (each.place is not None and each.place.file == only)
        ]
    return Report(tuple(dict.fromkeys(errors)), tuple(dict.fromkeys(warnings)))


def fit_of(
    mapping_set: MappingSet, targets: Mapping[str, TargetConfig], documents: Documents
) -> Report:
    """What does not fit in one set. A schema that cannot be read is an error."""
    fitted: dict[tuple[str, str], Fitted] = {}
    read: dict[Path, known.Known | None] = {}
    errors: list[Problem] = []
    for target, resource in sorted(mapping_set.resources):
        config = targets[target].resource(resource) if target in targets else None
        if config is None or config.schema is None:
            continue
        if config.schema not in read:
            read[config.schema] = _read(config.schema, errors)
        if schema := read[config.schema]:
            fitted[target, resource] = Fitted(config, schema)
    if not fitted:
        return Report(tuple(errors))
    examples = changes(mapping_set, documents)
    return Report(tuple(errors), tuple(misfits(mapping_set, fitted, examples)))


def _read(file: Path, errors: list[Problem]) -> known.Known | None:
    try:
        return known.read(file)
    except Invalid as error:
        errors += error.problems
        return None
