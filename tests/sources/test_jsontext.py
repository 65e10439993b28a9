"""Bytes → JSON: what is refused, what is flawed, what passes."""

import json
import time

import pytest

from connector.errors import NotJson
from connector.sources import jsontext


def nested(depth: int) -> bytes:
    """`depth` lists, one in the other."""
    return b"[" * depth + b"]" * depth


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": NaN}',
        b"Infinity",
        b"[-Infinity]",
        b'{"a": "\x01"}',
        b'"open',
        b"\xff",
        b'{"a": "\xed\xa0\x80"}',
        '{"a": 1}'.encode("utf-16"),
        "\ufeff\ufeff{}".encode(),
    ],
)
def test_what_is_no_json_is_refused(body):
    with pytest.raises(NotJson):
        jsontext.read(body)


def test_a_byte_order_mark_is_skipped():
    assert jsontext.read(b'\xef\xbb\xbf{"a": 1}').value == {"a": 1}


def test_of_equal_keys_the_last_wins():
    assert jsontext.read(b'{"a": 1, "a": 2}').value == {"a": 2}


@pytest.mark.parametrize("text", ["0.1", "1669200439.676389", "9007199254740993", "-0.0", "1e308"])
def test_a_number_keeps_its_value(text):
    value = jsontext.read(text.encode()).value
    assert value == json.loads(text)
    assert type(value) is type(json.loads(text))


def test_fifty_levels_are_clean_and_one_more_is_too_deep():
    fifty = jsontext.read(nested(50))
    assert fifty.flaw(fifty.value, 1) is None
    deeper = jsontext.read(nested(51))
    assert deeper.flaw(deeper.value, 1) == jsontext.TOO_DEEP


def test_a_wide_text_is_not_deep():
    wide = jsontext.read(b"[" + b",".join([b'{"a": [{}]}'] * 1000) + b"]")
    assert wide.clean


def test_brackets_in_texts_are_not_nesting():
    reading = jsontext.read(json.dumps({"a": "[{" * 500, "b": '"[' * 60}).encode())
    assert reading.clean


@pytest.mark.parametrize("depth", [999, 5_000, 500_000])
def test_no_depth_crashes(depth):
    began = time.monotonic()
    reading = jsontext.read(nested(depth))
    assert reading.flaw(reading.value, 1) == jsontext.TOO_DEEP
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 5_000 + b"]" * 4_999,
        b"[" * 5_000 + b"]" * 5_001,
        b"[" * 5_000 + b"x" + b"]" * 5_000,
        b"[" * 5_000 + b"}" * 5_000,
        b"[" * 2_500 + b'{"a":' * 2_500 + b"1" + b"]" * 2_500 + b"}" * 2_500,
        b"[" * 5_000 + b'"open' + b"]" * 5_000,
        b"[" * 5_000 + b'"' + rb"\"" * 100_000,
        b"[" * 5_000 + b"NaN" + b"]" * 5_000,
    ],
)
def test_deep_text_that_is_no_json_is_refused(body):
    with pytest.raises(NotJson):
        jsontext.read(body)


def test_deep_texts_that_differ_below_stay_different():
    first, second = (
        jsontext.read(b"[" * 200 + leaf + b"]" * 200).value for leaf in (b"1", b'"]["')
    )
    assert first != second


def test_what_stands_beside_a_deep_part_is_read():
    body = b'{"deep": ' + nested(3_000) + b', "after": {"a": [1, 2]}}'
    reading = jsontext.read(body)
    assert reading.value["after"] == {"a": [1, 2]}
    assert reading.flaw(reading.value["after"], 2) is None
    assert reading.flaw(reading.value["deep"], 2) == jsontext.TOO_DEEP


@pytest.mark.parametrize("number", [b"1" * 5_000, b"-" + b"9" * 5_000, b"1e999", b"-1e400"])
def test_a_number_beyond_python_is_a_flaw_where_it_stands(number):
    reading = jsontext.read(b'{"good": [1.5, 2], "bad": [' + number + b"]}")
    assert reading.flaw(reading.value["good"], 2) is None
    assert reading.flaw(reading.value["bad"], 2) == jsontext.TOO_LARGE


def test_half_a_surrogate_pair_is_a_flaw_where_it_stands():
    reading = jsontext.read(rb'{"good": "\ud83d\ude00", "bad": "\ud83d", "\udc00": 1}')
    assert reading.value["good"] == "😀"
    assert reading.flaw(reading.value["good"], 2) is None
    assert reading.flaw(reading.value["bad"], 2) == jsontext.HALF_PAIR
    assert reading.flaw({"\udc00": 1}, 2) == jsontext.HALF_PAIR


def test_whole_pairs_and_escaped_backslashes_are_clean():
    assert jsontext.read(rb'{"a": "\ud83d\ude00", "b": "\\ud83d"}').clean


def test_a_refusal_tells_nothing_of_the_body():
    with pytest.raises(NotJson) as caught:
        jsontext.read(b'{"password": hunter2}')
    assert "hunter2" not in str(caught.value)
    assert "column 14" in str(caught.value)
