"""The examples in the mapping files: each block shows what it does, and does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from connector.mapping.blocks import run_test
from connector.mapping.load import Surroundings, judge
from connector.model import Json
from connector.sources import VENDORS


@pytest.fixture(scope="module")
def documents(bench):
    def make(source: str, body: bytes) -> Sequence[Mapping[str, Json]]:
        return [bench.sources[source].document(event) for event in bench.events(source, body)]

    return make


def test_every_example_comes_out_as_it_says(bench, documents):
    results = [run_test(test, bench.mappings, documents) for test in bench.mappings.tests]
    wrong = [
        f"{result.place} {result.name}: {result.problem or result.differences}"
        for result in results
        if not result.passed
    ]
    assert not wrong, "\n".join(wrong)
    assert len(results) > 40


def test_every_block_has_an_example_of_each_of_its_kinds_of_record(bench, documents):
    for block in bench.mappings.blocks:
        shown = {entry.wanted.get("resource") for test in block.tests for entry in test.expect}
        assert {record.resource for record in block.records} <= shown, block.place


@pytest.mark.parametrize("sources", [("caresoft", "mobio"), ("caresoft",), ("mobio",)])
def test_the_shipped_set_has_no_error_and_no_warning_for_a_company_with_either_vendor(
    sources, shipped_folder, zone
):
    kinds = {name: vendor.kinds for name, vendor in VENDORS.items()}
    surroundings = Surroundings({name: name for name in sources}, ["crm"], zone, kinds)
    judged = judge(shipped_folder, surroundings)
    assert (judged.errors, judged.warnings) == ((), ())
