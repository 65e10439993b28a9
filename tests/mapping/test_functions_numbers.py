"""`number`, `integer` and `boolean`: exact, and never a guess."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mapping.functions import FUNCTIONS, Context, FunctionError
from connector.model import Json


def call(name: str, *args: Json) -> Json:
    return FUNCTIONS[name].call(Context(ZoneInfo("UTC"), {}, lambda warning: None), list(args))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["12.50"], 12.5),
        (["12"], 12),
        (["12.00"], 12),
        ([" -5 "], -5),
        (["+5"], 5),
        (["007"], 7),
        (["-0"], 0),
        (["-0.5"], -0.5),
        ([12.5], 12.5),
        ([12], 12),
        ([12.0], 12),
        ([1e300], 1e300),
        ([2**70], 2**70),
        ([str(2**70)], 2**70),
        (["9007199254740993.0"], 9007199254740993),
        (["1.000.000,5", "vi"], 1000000.5),
        (["1.000.000", "vi"], 1000000),
        (["1000000,25", "vi"], 1000000.25),
        (["-1.000", "vi"], -1000),
        (["1,000,000.5", "en"], 1000000.5),
        ([12.5, "vi"], 12.5),
        (["12", None], 12),
        (["  "], ""),
        (["", "vi"], ""),
    ],
)
def test_number(args, expected):
    result = call("number", *args)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    "args",
    [
        ["x"],
        ["1e5"],
        ["1,000"],
        ["1.000.000,5"],
        ["1 000"],
        [".5"],
        ["5."],
        ["--5"],
        ["0x10"],
        ["1_000"],
        ["NaN"],
        ["Infinity"],
        ["12.50đ"],
        ["٣"],
        ["１２"],
        ["1" * 400 + ".5"],
        ["12.50", "vi"],
        ["1.00.000", "vi"],
        ["1.0000", "vi"],
        [",5", "vi"],
        [float("nan")],
        [float("inf")],
        [True],
        [[1]],
        [{"a": 1}],
        ["9" * 5000],
    ],
)
def test_anything_else_is_no_number(args):
    with pytest.raises(FunctionError, match=r"number\(\) found"):
        call("number", *args)


@pytest.mark.parametrize("locale", ["fr", "", 5, True, ["vi"]])
def test_unknown_locale_is_an_error_that_names_the_known(locale):
    with pytest.raises(FunctionError, match="a locale, one of 'vi', 'en'"):
        call("number", "1", locale)


def test_error_says_which_locale_would_read_the_text():
    with pytest.raises(FunctionError, match=r"as a second argument 'vi' would read it"):
        call("number", "1.000.000,5")
    with pytest.raises(FunctionError, match=r"'vi' or 'en' would read it"):
        call("number", "1,000")


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["12"], 12),
        (["12.0"], 12),
        ([12.0], 12),
        ([-3], -3),
        ([1e22], 10**22),
        (["1.000", "vi"], 1000),
        ([2**70], 2**70),
        ([" "], ""),
    ],
)
def test_integer(args, expected):
    result = call("integer", *args)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize("value", [12.5, "12.5", "x", "1,000", True, [], float("inf"), 1e-9])
def test_anything_else_is_no_integer(value):
    with pytest.raises(FunctionError, match=r"integer\(\) found"):
        call("integer", value)


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "true", "TRUE", "Yes", " yes "])
def test_true(value):
    assert call("boolean", value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, -0.0, "0", "false", "False", "NO"])
def test_false(value):
    assert call("boolean", value) is False


@pytest.mark.parametrize("value", ["on", "y", "có", "2", 2, -1, 0.5, "1.0", [], {}, float("nan")])
def test_anything_else_is_no_boolean(value):
    with pytest.raises(FunctionError, match=r"boolean\(\) found"):
        call("boolean", value)


# --- properties


@settings(max_examples=200, deadline=None)
@given(st.integers())
def test_integers_of_any_length_are_exact(whole):
    for value in (whole, str(whole), f"{whole}.000"):
        for name in ("number", "integer"):
            result = call(name, value)
            assert result == whole
            assert type(result) is int
    assert call("integer", f"{whole:,}".replace(",", "."), "vi") == whole
    assert call("integer", f"{whole:,}", "en") == whole


@settings(max_examples=200, deadline=None)
@given(st.decimals(-(10**12), 10**12, places=4))
def test_decimals_are_the_nearest_number(amount):
    plain = f"{amount:f}"
    assert call("number", plain) == float(Decimal(plain))
    swapped = f"{amount:,f}".translate(str.maketrans(".,", ",."))
    assert call("number", swapped, "vi") == float(amount)


@settings(max_examples=100, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_number_keeps_the_value_of_every_number(value):
    assert call("number", value) == value
    if value.is_integer():
        assert call("integer", value) == Decimal(repr(value))
