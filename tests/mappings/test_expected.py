"""The CRM after all examples of both vendors is what a person worked out from their documents.

`connector/demo/expected.json` was written by hand; nothing of it was copied from a run. Here every
example goes through sources and mappings, and the merge of `conftest` says what the CRM holds.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "connector" / "demo"


@pytest.fixture(scope="module")
def expected():
    return json.loads((DEMO / "expected.json").read_bytes())


@pytest.fixture(scope="module")
def schema():
    return json.loads((DEMO / "schema.json").read_bytes())


def test_the_crm_is_as_expected_after_all_examples(bench, all_samples, expected, schema):
    crm = bench.crm(*all_samples)
    for resource in schema:
        assert crm.get(resource, {}) == expected[resource], resource


@pytest.mark.parametrize("seed", range(10))
def test_the_crm_is_as_expected_in_any_order_and_with_duplicates(
    bench, all_samples, expected, seed
):
    chance = random.Random(seed)
    bodies = [*all_samples, *chance.sample(all_samples, 10)]
    chance.shuffle(bodies)
    crm = bench.crm(*bodies)
    assert crm == {resource: rows for resource, rows in expected.items() if rows}


def test_what_is_expected_names_every_resource_and_no_unknown_field(expected, schema):
    assert list(expected) == list(schema)
    for resource, rows in expected.items():
        for row in rows.values():
            assert set(row) <= set(schema[resource]["fields"]), resource
