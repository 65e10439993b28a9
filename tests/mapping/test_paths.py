"""Which parts of a document an expression reads, by its text alone."""

from __future__ import annotations

import pytest

from connector.mapping.expressions import compile_expression
from connector.mapping.paths import covers, elements, path_of, path_text, use_of


def reads(text: str) -> list[str]:
    return sorted(path_text(path) for path in use_of(compile_expression(text)).read)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("ticket.ticket_id", ["ticket.ticket_id"]),
        ('ticket."odd-name".x', ['ticket."odd-name".x']),
        ("hash([a.b, c[0].d, string(e)])", ["a.b", "c[].d", "e"]),
        ("{add: [id(x.y)], remove: z}", ["x.y", "z"]),
        ("a.b == c || d", ["a.b", "c", "d"]),
        ("a && b.c", ["a", "b.c"]),
        ("!a", ["a"]),
        ("coalesce(a.b, c.d).e", ["a.b.e", "c.d.e"]),
        ("default(a, `[]`)", ["a"]),
        ("lookup('t', slug(a.b))", ["a.b"]),
        ("a[].b.c", ["a[].b.c"]),
        ("a[*].b | [0].c", ["a[].b.c"]),
        ("a[1:2].b", ["a[].b"]),
        ("a[?x == 'y'].z | [0]", ["a[].x", "a[].z"]),
        ("map(&x.y, a.b)", ["a.b[].x.y"]),
        ("sort_by(a, &b)[0].c", ["a[].b", "a[].c"]),
        ("max_by(a, &b).c", ["a[].b", "a[].c"]),
        ("to_array(a.b)", ["a.b"]),
        ("a.*.b", ["a"]),
        ("a[][].b", ["a[].b", "a[][].b"]),
        ("custom_all(t.addition_fields)", ["t.addition_fields"]),
        ("a | b | c", ["a.b.c"]),
        ("'text'", []),
        ("to_string(@)", [""]),
    ],
)
def test_an_expression_reads_its_paths(text: str, read: list[str]) -> None:
    assert reads(text) == read


def test_one_custom_field_is_picked_and_its_list_is_not_read() -> None:
    use = use_of(compile_expression("custom(t.addition_fields, lookup('f', 'x'))"))
    (picked,) = use.picked
    assert (picked.path, picked.key["type"]) == (("t", "addition_fields"), "function_expression")
    assert use.read == frozenset()


def test_an_item_is_an_element_of_its_list() -> None:
    items = elements(use_of(compile_expression("to_array(m.secondary)")).result)
    use = use_of(compile_expression("item.id"), items)
    assert {path_text(path) for path in use.read} == {"m.secondary.id", "m.secondary[].id"}
    assert use_of(compile_expression("index"), items).read == frozenset()


def test_every_name_is_asked_for_with_its_place_once() -> None:
    asked = use_of(compile_expression("sort_by(a, &b)[0].c")).asked
    assert [(each.name, each.offset) for each in asked] == [("a", 8), ("b", 12), ("c", 18)]


@pytest.mark.parametrize("text", ["a", "a.b", "a[].b", "a[][].b.c"])
def test_a_path_is_its_text(text: str) -> None:
    assert path_text(path_of(text)) == text


def test_a_path_covers_what_is_within_it() -> None:
    assert covers(("a",), ("a", "b", "[]"))
    assert covers((), ("a",))
    assert not covers(("a", "b"), ("a",))
    assert not covers(("a", "b"), ("a", "bc"))
