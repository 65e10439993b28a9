"""`phone`: one spelling of every number, and nothing made up."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mapping.functions import FUNCTIONS, Context, FunctionError
from connector.model import Json


def call(*args: Json, warnings: list[str]) -> Json:
    return FUNCTIONS["phone"].call(Context(ZoneInfo("UTC"), {}, warnings.append), list(args))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["0889999999"], "+84889999999"),
        (["0889999999", "VN"], "+84889999999"),
        (["0889999999", "vn"], "+84889999999"),
        (["0889999999", None], "+84889999999"),
        ([" 0889 999 999 "], "+84889999999"),
        (["0889.999.999"], "+84889999999"),
        (["088-999-9999"], "+84889999999"),
        (["(088) 999 9999"], "+84889999999"),
        (["+84 889 999 999"], "+84889999999"),
        (["+84889999999"], "+84889999999"),
        (["(+84) 889999999"], "+84889999999"),
        (["+84 (0) 889 999 999"], "+84889999999"),
        (["84889999999"], "+84889999999"),
        (["0084889999999"], "+84889999999"),
        (["tel:+84-889-999-999"], "+84889999999"),
        (["\u202a0889999999\u202c"], "+84889999999"),
        (["０８８９９９９９９９"], "+84889999999"),
        ([889999999], "+84889999999"),
        ([889999999.0], "+84889999999"),
        ([84889999999], "+84889999999"),
        (["0841234567"], "+84841234567"),
        ([841234567], "+84841234567"),
        (["02838123456"], "+842838123456"),
        (["024 3825 5678"], "+842438255678"),
        (["+1 650-253-0000"], "+16502530000"),
        (["+1 650-253-0000", "VN"], "+16502530000"),
        (["(650) 253-0000", "US"], "+16502530000"),
        (["  "], ""),
    ],
)
def test_phone_number_becomes_e164(args, expected):
    heard: list[str] = []
    assert call(*args, warnings=heard) == expected
    assert heard == []


@pytest.mark.parametrize("value", ["19009999", "1900 1234", "1800-599-920", "113", "115", "123456"])
def test_hotline_stays_as_it_came_without_a_warning(value):
    heard: list[str] = []
    assert call(f" {value} ", "VN", warnings=heard) == value
    assert heard == []


def test_hotline_as_a_number_becomes_text():
    assert call(19009999, warnings=[]) == "19009999"


@pytest.mark.parametrize(
    "value",
    [
        "anonymous",
        "Unknown",
        "0889xxx999",
        "08899****9",
        "0889999999/0912345678",
        "*100#",
        "-5",
        "0889999999, 0912345678",
        "0889999999 0912345678",
        "08899999999999999",
        "+113",
        "0000000000",
        "nam@x.vn",
        "+",
        "01234567890",
        "sip:100",
        "1" * 500,
        "0889999999 (Nam)",
    ],
)
def test_what_is_no_phone_number_stays_as_it_came_with_a_warning(value):
    heard: list[str] = []
    assert call(f" {value} ", "VN", warnings=heard) == value
    assert len(heard) == 1
    assert "no phone number" in heard[0]
    assert value[:60] in heard[0]


@pytest.mark.parametrize("region", ["XX", "Vietnam", "", 84, True, ["VN"]])
def test_unknown_region_is_an_error(region):
    with pytest.raises(FunctionError, match="a region's two letters like 'VN'"):
        call("0889999999", region, warnings=[])


@settings(max_examples=150, deadline=None)
@given(st.text("0123456789+ ().-/x*", max_size=20) | st.text(max_size=20))
def test_phone_gives_e164_or_what_came(value):
    heard: list[str] = []
    result = call(value, warnings=heard)
    if result != value.strip():
        assert re.fullmatch(r"\+[1-9]\d{6,14}", result)
        assert heard == []
        assert call(result, warnings=heard) == result
