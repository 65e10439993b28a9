"""YAML of other people: borne where it is legal, bounded where it is not kind."""

from __future__ import annotations

from connector.openapi.tolerant import load


def test_values_are_those_of_yaml_1_2() -> None:
    text = "{a: no, b: 012, c: 1.5, d: ~, e: 'true', f: true, 200: x, g: 2020-01-01}"
    assert load(text, "f") == {
        "a": "no",
        "b": 12,
        "c": 1.5,
        "d": None,
        "e": "true",
        "f": True,
        "200": "x",
        "g": "2020-01-01",
    }


def test_merges_tags_and_keys_without_a_value_are_borne() -> None:
    text = "z: &z {a: 1, b: 2}\ny: {<<: *z, b: 3}\nx: {or not valid}\nw: !own text\n"
    assert load(text, "f") == {
        "z": {"a": 1, "b": 2},
        "y": {"b": 3, "a": 1},
        "x": {"or not valid": None},
        "w": "text",
    }


def test_aliases_are_shared_so_that_they_cannot_grow() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join(['*' + before] * 10)}]")
    made = load("\n".join(lines), "f")  # copies would be a thousand million
    assert made["i"][0] is made["i"][9]
