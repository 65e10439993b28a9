"""The registry: every function is described truly, keeps the general rule, and fails in one way."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import suppress
from zoneinfo import ZoneInfo

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st
from jmespath import parser

from connector.errors import ConnectorError
from connector.mapping.functions import FUNCTIONS, Context, FunctionError
from connector.model import Json

TABLES = {"cities": {"hn": "Hà Nội", "5": "five", "true": "yes", "gone": None}, "empty": {"": "-"}}
NAMES = [
    "timestamp",
    "date",
    "number",
    "integer",
    "boolean",
    "string",
    "id",
    "text",
    "html_clean",
    "phone",
    "email",
    "custom",
    "custom_id",
    "custom_all",
    "lower",
    "upper",
    "trim",
    "slug",
    "default",
    "coalesce",
    "concat",
    "hash",
    "lookup",
]
OF_A_VALUE = [name for name in NAMES if name not in {"default", "coalesce", "concat", "lookup"}]
REST = {"custom": ["key"], "custom_id": ["key"]}


def call(name: str, *args: Json, warnings: list[str] | None = None) -> Json:
    heard: list[str] = [] if warnings is None else warnings
    context = Context(ZoneInfo("Asia/Ho_Chi_Minh"), TABLES, heard.append)
    return FUNCTIONS[name].call(context, list(args))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=30)
    | st.sampled_from(
        ["0", "1", "0889999999", "2024-03-21", "2024-03-21 15:04:04", "12.50", "<b>"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["field", "type", "value", "value_id"]) | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


def test_every_function_of_the_documentation_is_there_and_no_other():
    assert list(FUNCTIONS) == NAMES
    assert all(name == function.name for name, function in FUNCTIONS.items())


@pytest.mark.parametrize("name", NAMES)
def test_example_of_the_documentation_is_true(name):
    expression, _, expected = FUNCTIONS[name].example.partition(" → ")
    node = parser.Parser().parse(expression).parsed
    assert node["value"] == name
    assert call(name, *(child["value"] for child in node["children"])) == json.loads(expected)


@pytest.mark.parametrize("name", NAMES)
def test_signature_tells_how_many_arguments_there_are(name):
    function = FUNCTIONS[name]
    assert function.signature.startswith(f"{name}(")
    arguments = function.signature[len(name) + 1 : -1].split(", ")
    if function.max_args is None:
        assert arguments[-1] == "…"
    else:
        assert len(arguments) == function.max_args
        assert sum(not argument.endswith("?") for argument in arguments) == function.min_args


@pytest.mark.parametrize("name", OF_A_VALUE)
def test_null_in_gives_null_and_empty_text_in_gives_empty_text(name):
    rest = REST.get(name, [])
    assert call(name, None, *rest) is None
    assert call(name, "", *rest) == ""


@pytest.mark.parametrize("name", ["lower", "upper", "trim", "slug", "text", "html_clean", "string"])
def test_text_functions_take_a_number_as_its_text(name):
    assert call(name, 5.0) == "5"
    assert call(name, 2**70) == str(2**70)


@pytest.mark.parametrize(
    "name",
    [
        "timestamp",
        "date",
        "number",
        "integer",
        "boolean",
        "id",
        "text",
        "html_clean",
        "phone",
        "email",
        "lower",
        "upper",
        "trim",
        "slug",
        "concat",
    ],
)
@pytest.mark.parametrize(
    ("value", "shown"),
    [({"a": 1}, 'the object {"a": 1}'), ([1, "x"], 'the list [1, "x"]')],
)
def test_value_of_a_wrong_type_is_named_in_the_error(name, value, shown):
    with pytest.raises(FunctionError) as failure:
        call(name, value)
    assert f"{name}() found {shown}; right would be " in str(failure.value)


@pytest.mark.parametrize("name", ["timestamp", "date", "number", "integer", "lower", "id", "text"])
def test_boolean_is_neither_text_nor_number(name):
    with pytest.raises(FunctionError, match="found the boolean true"):
        call(name, True)


@pytest.mark.parametrize(
    "value",
    ["x" * 100_000, ["y" * 1000] * 1000, {"z" * 1000: 1}, "\ud800", 10**5000, float("nan")],
    ids=["text", "list", "object", "surrogate", "digits", "nan"],
)
def test_message_is_short_and_can_be_printed_whatever_the_value(value):
    with pytest.raises(FunctionError) as failure:
        call("timestamp", value)
    message = str(failure.value)
    assert len(message) < 400
    message.encode()


def test_function_error_is_one_of_ours():
    assert issubclass(FunctionError, ConnectorError)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NAMES), st.lists(json_values, min_size=4, max_size=4), st.data())
def test_no_function_fails_otherwise_than_by_function_error(name, args, data):
    function = FUNCTIONS[name]
    most = 4 if function.max_args is None else function.max_args
    count = data.draw(st.integers(function.min_args, most))
    try:
        result = call(name, *args[:count])
    except FunctionError:
        return
    json.dumps(result)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_custom_field_functions_survive_any_field(field):
    for name in ("custom", "custom_id"):
        with suppress(FunctionError):  # for NaN and the like, which no JSON holds
            json.dumps(call(name, [field, {"field": "k", "type": 1, "value": field}], "k"))


# --- default, coalesce


def test_default_replaces_null_only():
    assert call("default", None, 5) == 5
    assert call("default", "", 5) == ""
    assert call("default", False, 5) is False
    assert call("default", None, None) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([None, "", "c"], "c"),
        ([None, "", [], {}, 0], 0),
        ([False, "x"], False),
        ([None, ""], None),
        (["a"], "a"),
        ([" "], " "),
    ],
)
def test_coalesce_gives_the_first_that_is_neither_null_nor_empty(values, expected):
    result = call("coalesce", *values)
    assert result == expected
    assert type(result) is type(expected)


# --- hash


def test_hash_is_that_of_canonical_json():
    value = {"b": [1.0, 0.5, "đ", None, True], "a": {"\U0001f600": 1e21, "\ufb33": 1e-7}}
    expected = hashlib.sha256(rfc8785.dumps(value)).hexdigest()[:32]
    assert call("hash", value) == expected
    assert call("hash", "x") == hashlib.sha256(b'"x"').hexdigest()[:32]
    assert call("hash", 5.0) == call("hash", 5) == hashlib.sha256(b"5").hexdigest()[:32]


def test_hash_does_not_depend_on_the_order_of_keys():
    assert call("hash", {"a": 1, "b": 2**60}) == call("hash", {"b": 2**60, "a": 1})


def test_hash_tells_long_ids_apart_that_are_one_double():
    assert call("hash", [2**60]) != call("hash", [2**60 + 1])
    assert call("hash", [2**60]) == hashlib.sha256(b"[1152921504606846976]").hexdigest()[:32]


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_long_integers_change_nothing_else_of_canonical_json(value):
    try:
        plain = rfc8785.dumps(value).decode()
    except ValueError:
        return
    with_long = call("string", [value, 2**64])
    assert with_long == f"[{plain},{2**64}]"


@pytest.mark.parametrize("value", [[float("nan")], ["\ud800"], {"\ud800": 2**60}, [float("inf")]])
def test_hash_of_what_is_no_json_is_an_error(value):
    with pytest.raises(FunctionError, match="right would be JSON"):
        call("hash", value)


def test_hash_of_a_bottomless_list_is_an_error():
    deep: Json = []
    for _ in range(sys.getrecursionlimit() + 10):
        deep = [deep]
    with pytest.raises(FunctionError):
        call("hash", deep)


# --- lookup


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["cities", "hn"], "Hà Nội"),
        (["cities", 5], "five"),
        (["cities", 5.0], "five"),
        (["cities", True], "yes"),
        (["cities", "sg"], None),
        (["cities", "sg", "other"], "other"),
        (["cities", None], None),
        (["cities", None, "other"], None),
        (["cities", "gone", "other"], None),
        (["cities", ""], ""),
        (["cities", "", "other"], ""),
        (["empty", ""], "-"),
    ],
)
def test_lookup(args, expected):
    assert call("lookup", *args) == expected


def test_lookup_in_an_unknown_table_suggests_the_known_one():
    with pytest.raises(FunctionError, match="did you mean 'cities'"):
        call("lookup", "citys", "hn")


@pytest.mark.parametrize("args", [[None, "x"], [5, "x"], [["cities"], "x"], ["cities", ["hn"]]])
def test_lookup_wants_a_table_name_and_a_scalar_key(args):
    with pytest.raises(FunctionError, match=r"lookup\(\) found"):
        call("lookup", *args)


# --- constants that a check can judge before any event


@pytest.mark.parametrize(
    ("name", "position", "good", "bad"),
    [
        ("timestamp", 1, "%d/%m/%Y", "%Q"),
        ("timestamp", 2, "Asia/Tokyo", "Asia/Tokio"),
        ("number", 1, "vi", "vn"),
        ("integer", 1, "en", 5),
        ("phone", 1, "VN", "Vietnam"),
        ("custom", 2, ";", ""),
        ("lookup", 0, "cities", "citys"),
    ],
)
def test_constant_argument_is_judged_without_a_value(name, position, good, bad):
    context = Context(ZoneInfo("UTC"), TABLES, lambda warning: None)
    read = FUNCTIONS[name].constants[position]
    read(context, good)
    with pytest.raises(FunctionError, match=rf"{name}\(\) found"):
        read(context, bad)
