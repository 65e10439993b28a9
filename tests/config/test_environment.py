"""What `${NAME}` gives, where it stands and what it may be."""

import pytest

from connector.config.environment import plain, substitute
from connector.yamltext import load_text

ENV = {
    "N": "5",
    "F": "2.5",
    "T": "true",
    "Z": "007",
    "NULL": "null",
    "EMPTY": "",
    "TEXT": "a b",
    "LIST": "[1, 2]",
    "COLON": "a: b",
    "BLANKS": " 7 ",
    "DOLLAR": "${N}",
    "lower": "x",
    "INF": ".inf",
}


def put_in(text: str):
    (document,) = load_text(text, "f.yaml")
    return substitute(document, ENV)


@pytest.mark.parametrize(
    ("written", "value", "text"),
    [
        ("${N}", 5, "5"),
        ("'${N}'", 5, "5"),
        ('"${F}"', 2.5, "2.5"),
        ("${T}", True, "true"),
        ("${Z}", 7, "007"),
        ("${NULL}", None, "null"),
        ("${EMPTY}", None, ""),
        ("${TEXT}", "a b", "a b"),
        ("${LIST}", "[1, 2]", "[1, 2]"),
        ("${COLON}", "a: b", "a: b"),
        ("${BLANKS}", 7, " 7 "),
        ("${DOLLAR}", "${N}", "${N}"),
        ("${lower}", "x", "x"),
        ("${INF}", ".inf", ".inf"),
        ("${C:-16}", 16, "16"),
        ("${C:-}", None, ""),
        ("${C:-a b}", "a b", "a b"),
        ("${N:-16}", 5, "5"),
        ("${EMPTY:-16}", 16, "16"),
        ("${R:-redis://127.0.0.1:6379/0}", "redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("x${N}", "x5", "x5"),
        ("${N}${F}", "52.5", "52.5"),
        ("${N} ", 5, "5"),
        ("'${N} '", "5 ", "5 "),
        ("a ${TEXT} ${C:-c} z", "a a b c z", "a a b c z"),
        ("$${N}", "${N}", "${N}"),
        ("$$${N}", "$${N}", "$${N}"),
        ("$N and $", "$N and $", "$N and $"),
        ("'{external_id}'", "{external_id}", "{external_id}"),
        ("|-\n  ${N}\n", 5, "5"),
        ("|\n  ${N}\n", "5\n", "5\n"),
    ],
)
def test_placeholders_in_a_value(written, value, text):
    found = put_in(f"a: {written}")
    assert found.problems == ()
    leaf = found.tree["a"]
    assert leaf.value == value
    assert type(leaf.value) is type(value)
    assert leaf.text == text


def test_values_without_placeholders_keep_their_text_and_type():
    tree = put_in("a: 007\nb: '7'\nc: [null, 1.50]\n").tree
    assert plain(tree) == {"a": 7, "b": "7", "c": [None, 1.5]}
    assert [tree["a"].text, tree["b"].text, tree["c"][1].text] == ["007", "7", "1.50"]


def test_placeholders_in_keys():
    found = put_in('m:\n  ${TEXT}: {"x-${N}": 1}\n  ${C:-c}: 2\n')
    assert plain(found.tree) == {"m": {"a b": {"x-5": 1}, "c": 2}}
    assert (found.key(("m", "a b")).line, found.key(("m", "a b")).column) == (2, 3)
    assert found.value(("m", "a b", "x-5")).column == 23
    assert found.written(("m", "a b", "x-5")) == ("m", "${TEXT}", "x-${N}")
    assert found.written(("m", "c", "unknown")) == ("m", "${C:-c}", "unknown")


def test_keys_that_become_equal_are_an_error():
    (problem,) = put_in("'5': a\n${N}: b\n").problems
    assert "duplicate key ${N}" in problem.message
    assert (problem.place.line, problem.place.column) == (2, 1)
    assert "line 1" in problem.hint


def test_missing_variables_are_named_where_they_stand_all_at_once():
    found = put_in("a: x ${NO1} ${NO2}\nb:\n  - '${NO3}'\n  - ${N}\n${NO4}: c\n")
    assert [(p.place.line, p.place.column, p.message) for p in found.problems] == [
        (1, 6, "the environment variable NO1 is not set"),
        (1, 13, "the environment variable NO2 is not set"),
        (3, 6, "the environment variable NO3 is not set"),
        (5, 1, "the environment variable NO4 is not set"),
    ]
    assert found.tree["a"].missing
    assert found.tree["b"][1].value == 5


@pytest.mark.parametrize(
    "written", ["${}", "${1A}", "${N-x}", "${N:x}", "${a.b}", "${N", "${A:-${B}}"]
)
def test_what_looks_like_a_placeholder_but_is_none_is_an_error(written):
    (problem,) = put_in(f"a: 'x {written}'").problems
    assert "begins no placeholder" in problem.message
    assert problem.place.column == 7
    assert "$${" in problem.hint


def test_variables_are_remembered_so_that_they_are_not_shown():
    tree = put_in("a: x${TEXT}${N}\nb: plain\n").tree
    assert tree["a"].variables == ("TEXT", "N")
    assert tree["b"].variables == ()
    assert "a b" not in repr(tree["a"])
