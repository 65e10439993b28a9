"""YAML 1.2 with places: what is read, where it stands, and what is said of mistakes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.errors import Invalid
from connector.model import Place, Problem
from connector.problems import did_you_mean, nearest, render
from connector.yamltext import (
    MAX_DEPTH,
    Document,
    lacks_blank,
    load_text,
    read_scalar,
    read_text,
)


def only(text: str | bytes) -> Document:
    (document,) = load_text(text, "f.yaml")
    return document


def problems(text: str | bytes) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        load_text(text, "f.yaml")
    return list(caught.value.problems)


def told(text: str | bytes) -> list[tuple[int, int, str]]:
    return [(p.place.line, p.place.column, p.message) for p in problems(text) if p.place]


# --- scalars


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("NULL", None),
        ("~", None),
        ("", None),
        ("nil", "nil"),
        ("7", 7),
        ("+7", 7),
        ("-7", -7),
        ("007", 7),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e3", -1500.0),
        ("1e3", 1000.0),
        ("1.2.3", "1.2.3"),
        ("1 2", "1 2"),
        ("-", "-"),
        (".", "."),
        ("316702316702316702316702", 316702316702316702316702),
        ("=", "="),
    ],
)
def test_scalar_is_read_by_the_core_schema(written, meant):
    assert read_scalar(written) == meant
    assert type(read_scalar(written)) is type(meant)
    if written not in ("-", ""):
        assert only(f"a: {written}").data == {"a": meant}


def test_quoted_scalar_is_text():
    assert only("a: '7'\nb: \"null\"\nc: ''\n").data == {"a": "7", "b": "null", "c": ""}


def test_block_scalar_is_text():
    assert only("a: |\n  7\nb: >-\n  x\n  y\n").data == {"a": "7\n", "b": "x y"}


@pytest.mark.parametrize("written", [".inf", "-.INF", ".nan", "1e999", "9" * 5000])
def test_number_that_json_lacks_is_an_error(written):
    assert [(line, column) for line, column, _ in told(f"a: 1\nb: {written}\n")] == [(2, 4)]
    with pytest.raises(ValueError, match=r"number|digits"):
        read_scalar(written)


def test_scalar_keys_are_text_as_written():
    text = "1: a\nno: b\n~: c\n1.0: d\n'': e\n007: f\n\"<<\": g\n"
    assert only(text).data == {
        "1": "a",
        "no": "b",
        "~": "c",
        "1.0": "d",
        "": "e",
        "007": "f",
        "<<": "g",
    }


# --- documents and encodings


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", b"", b"\xef\xbb\xbf"])
def test_empty_file_has_no_documents(text):
    assert load_text(text, "f.yaml") == []


def test_documents_come_in_order_with_their_places():
    first, second, third = load_text("a: 1\n---\nb: 2\n---\n", "f.yaml")
    assert (first.data, second.data, third.data) == ({"a": 1}, {"b": 2}, None)
    assert second.places.value(("b",)) == Place("f.yaml", 3, 4)
    assert second.file == "f.yaml"


def test_byte_order_mark_does_not_shift_columns():
    for text in ("\ufeffa: 1", b"\xef\xbb\xbfa: 1"):
        assert only(text).places.value(("a",)) == Place("f.yaml", 1, 4)


def test_columns_count_characters_of_any_plane():
    document = only('{"địa chỉ 😀": "Hà Nội", é: x}')
    assert document.places.value(("địa chỉ 😀",)).column == 16
    assert document.places.key(("é",)).column == 25
    assert document.places.value(("é",)).column == 28


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_with_every_line_end(line_end):
    document = only(line_end.join(["a: 1", "", "b:", "  - x", "  - y"]))
    assert document.data == {"a": 1, "b": ["x", "y"]}
    assert document.places.value(("b", 1)) == Place("f.yaml", 5, 5)


def test_unicode_separators_are_letters_not_line_breaks():
    document = only('a: "x\u2028y\x85z"\nb: p\u2029q\n')
    assert document.data == {"a": "x\u2028y\x85z", "b": "p\u2029q"}
    assert document.places.value(("b",)).line == 2


def test_wrong_encoding_is_told_with_its_byte():
    assert told("a: 1\nb: tên ".encode() + b"\xe1 x") == [
        (2, 8, "byte 0xE1 is no UTF-8 text"),
    ]
    assert told("a: 1".encode("utf-16")) == [(1, 1, "the file is UTF-16")]


def test_control_characters_are_told_all_at_once():
    assert told("a: \x00\nb: x\x07\nc: \ud800\nd: \ufeff") == [
        (1, 4, "the character U+0000 cannot stand in a YAML file"),
        (2, 5, "the character U+0007 cannot stand in a YAML file"),
        (3, 4, "the character U+D800 cannot stand in a YAML file"),
        (4, 4, "the character U+FEFF cannot stand in a YAML file"),
    ]


# --- places

PLACES = """\
plain: text
  # a comment
quoted: 'it''s'
block: |
  first
   second
folded: >-

  one
  two
list:
  - a: 1
    b: [x, "y"]
  -
    - deep
empty:
anchored: &mark  # comment
  text
"""


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        ((), (1, 1), (1, 1)),
        (("plain",), (1, 1), (1, 8)),
        (("quoted",), (3, 1), (3, 10)),
        (("block",), (4, 1), (5, 3)),
        (("folded",), (7, 1), (9, 3)),
        (("list",), (11, 1), (12, 3)),
        (("list", 0), (12, 5), (12, 5)),
        (("list", 0, "a"), (12, 5), (12, 8)),
        (("list", 0, "b"), (13, 5), (13, 8)),
        (("list", 0, "b", 1), (13, 13), (13, 13)),
        (("list", 1, 0), (15, 7), (15, 7)),
        (("empty",), (16, 1), (16, 7)),
        (("anchored",), (17, 1), (18, 3)),
        (("list", 0, "nothing", "here"), (12, 5), (12, 5)),
        (("list", 9), (11, 1), (12, 3)),
    ],
)
def test_every_key_and_value_has_its_place(path, key, value):
    places = only(PLACES).places
    assert places.key(path) == Place("f.yaml", *key)
    assert places.value(path) == Place("f.yaml", *value)


def test_alias_stands_where_it_is_used_and_its_parts_where_they_are_written():
    places = only("a: &x {k: v}\nb: *x\n").places
    assert places.value(("b",)) == Place("f.yaml", 2, 4)
    assert places.value(("b", "k")) == Place("f.yaml", 1, 11)


@pytest.mark.parametrize(
    ("text", "letter", "place"),
    [
        ("a: one two!", "!", (1, 11)),
        ("a: 'it''s!'", "!", (1, 10)),
        ('a: "\\u0111\\n\\x41!"', "!", (1, 17)),
        ('a: "one \\\n   two!"', "!", (2, 7)),
        ("a: |\n  one\n  two!\n", "!", (3, 6)),
        ("a: >\n  one\n  two!\n", "!", (3, 6)),
        ("a: |\n\n    one\n      two!\n", "!", (4, 10)),
        ("a: |2\n    one\n   two!\n", "!", (3, 7)),
        ("a: one\n   two\n\n   three!", "!", (4, 9)),
        ("a: 'one\n\n  two!'", "!", (3, 6)),
        ("a: >-\n  one\n    more\n  two!", "!", (4, 6)),
    ],
)
def test_place_inside_a_text_follows_escapes_and_folds(text, letter, place):
    document = only(text)
    offset = document.data["a"].index(letter)
    assert document.places.inside(("a",), offset) == Place("f.yaml", *place)


def test_place_beyond_the_end_of_a_text_is_its_end():
    document = only("a: 'one'")
    assert document.places.inside(("a",), 99) == Place("f.yaml", 1, 8)
    assert only("a: ''").places.inside(("a",), 5) == Place("f.yaml", 1, 5)
    assert only("a: []").places.inside(("a",), 5) == Place("f.yaml", 1, 4)


def test_scalar_as_written_is_kept():
    places = only("a: 007\nb: '08'\nc: [1.50]\nd: *x\n".replace("*x", "~")).places
    assert places.text(("a",)) == "007"
    assert places.text(("b",)) == "08"
    assert places.text(("c", 0)) == "1.50"
    assert places.text(("d",)) == "~"
    assert places.text(("c",)) is None
    assert places.text(("e",)) is None


# --- anchors


def test_alias_is_an_independent_copy():
    data = only("a: &x {k: [1]}\nb: *x\n").data
    data["a"]["k"].append(2)
    assert data["b"] == {"k": [1]}


def test_anchor_can_be_given_again_and_ends_with_its_document():
    assert only("a: &x 1\nb: *x\nc: &x 2\nd: *x\n").data == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert told("a: &x 1\n---\nb: *x\n") == [(3, 4, "*x refers to nothing")]


def test_alias_within_itself_is_an_error():
    assert told("a: &x [1, *x]") == [(1, 11, "*x stands within &x itself")]


def test_alias_bomb_is_refused_quickly():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    ((line, _, message),) = told("\n".join(lines))
    assert line == 5
    assert "expand to too much" in message


def test_depth_is_bounded_also_through_aliases():
    fits = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert only(fits)
    ((line, column, message),) = told("[" * 100_000)
    assert (line, column) == (1, MAX_DEPTH + 1)
    assert "100 lists and maps within each other" in message
    half = MAX_DEPTH // 2 + 1
    nested = f"- &a {'[' * half}{']' * half}\n- {'[' * half}*a{']' * half}\n"
    assert "expand to too much" in told(nested)[0][2]


# --- mistakes

MISTAKES = [
    ("a:\n\tb: 1", 2, 1, "a tab in the indentation"),
    ("a: |\n\tx", 2, 1, "a tab in the indentation"),
    ("a: x\n\tb: c", 2, 1, "a tab in the indentation"),
    ("a: 1\n'a': 2", 2, 1, "duplicate key 'a'"),
    ("1: a\n'1': b", 2, 1, "duplicate key '1'"),
    ("b:\n  <<: {c: 1}", 2, 3, "the merge key <<"),
    ("a: !!str 7", 1, 4, "the tag '!!str'"),
    ("a: ! x", 1, 4, "the tag '!'"),
    ("a: &x !foo [1]", 1, 7, "the tag '!foo'"),
    ("a: !h!t x", 1, 4, "the tag '!h!t'"),
    ("a: !<x", 1, 4, "is no tag"),
    ("%YAML 1.1\n---\na", 1, 1, "a directive"),
    ("%TAG ! x\n---\na", 1, 1, "a directive"),
    ("%FOO x\n---\na", 1, 1, "a directive"),
    ("%YAML 1.2\na: 1", 1, 1, "a directive"),
    ("%YAML 2.0\n---\na", 1, 1, "says it is not YAML 1.2"),
    ("a: *nix", 1, 4, "*nix refers to nothing"),
    ("a: *", 1, 4, "'*' names no anchor"),
    ("a: b\nc: 'x\nd: 1", 2, 4, "the quote that opens here is never closed"),
    ('a: "x\nd: 1', 1, 4, "the quote that opens here is never closed"),
    ("a: 'x\n---\nb: 1", 1, 4, "not closed before the next document"),
    ("a: 'x\nb: 'y'\nc: 1", 1, 4, "closes only in line 2"),
    ("a: 'it's'", 1, 8, "after the closing '"),
    ('a: "x" y', 1, 8, "'y' after the closing \""),
    ("a: ['x' 'y']", 1, 9, "after the closing '"),
    ("a: [1, 2\nb: 3", 1, 4, "the [ that opens here is never closed"),
    ("a:\n  b: {x: 1\n  c: 3", 2, 6, "the { that opens here is never closed"),
    ("a: [\n1,\n2", 1, 4, "the [ that opens here is never closed"),
    ("a: {x: 1 y: 2}", 1, 11, "where a comma or } should stand"),
    ("a: [b\n  c: d]", 2, 4, "where a comma or ] should stand"),
    ("a: [\n---\nb: 1", 2, 1, "the document ends within brackets"),
    ("a: [x]]", 1, 7, "a ] that closes nothing"),
    ("a: 1\n]", 2, 1, "a ] that closes nothing"),
    ("{a: 1}}", 1, 7, "a } that closes nothing"),
    ("a: }", 1, 4, "a } that closes nothing"),
    ("- [a,,b]", 1, 6, "nothing stands before this comma"),
    ("secrets: [${X}]", 1, 11, "a bare ${…} within [ ]"),
    ("auth: {token: ${X}}", 1, 15, "a bare ${…} within { }"),
    ("a:1\nb: 2", 1, 3, "no space after the colon"),
    ("a:\n  b: {c:1}", 2, 7, "no space after the colon of 'c:1'"),
    ("a: {b:}", 1, 7, "no space after the colon"),
    ('"a":1', 1, 5, "no space after the colon"),
    ("a: {b}", 1, 5, "'b' has no value"),
    ("- a\n-b\n- c", 2, 1, "no space after the dash"),
    ("a: b: c", 1, 5, "a second ': ' in one line"),
    ("a: Lỗi: c", 1, 7, "a second ': ' in one line"),
    ("a: 1\n  b: 2", 2, 3, "indented deeper than the one above"),
    ("a: 1\n\n b: 2", 3, 2, "indented deeper than the one above"),
    ("a: 1\n# c\n b: 2", 3, 2, "the indentation fits nothing above"),
    ("-\tx: y", 1, 2, "a tab"),
    ("[-", 1, 2, "'-' is no value"),
    ("[a, :", 1, 5, "':' is no value"),
    ("[a,", 1, 4, "the document ends within brackets"),
    ("? a\nb:c\nd: 1", 2, 3, "no space after the colon"),
    ("a:\n  b: 1\n c: 2", 3, 2, "the indentation fits nothing above"),
    ("a: b\n- c", 2, 1, "the indentation fits nothing above"),
    ("- a\nb: 1", 2, 1, "the indentation fits nothing above"),
    ("some words\nb: 2", 1, 1, "'some words' has no colon"),
    ("a:\n- b\nc", 3, 1, "'c' has no colon"),
    ("x" * 1100 + ": 1", 1, 1101, "longer than 1024 characters"),
    ("a: - b", 1, 4, "a list that begins on the line of its key"),
    ("a: ? b", 1, 4, "cannot begin a key here"),
    ("? b", 1, 3, "'b' has no value"),
    ("a: @x", 1, 4, "text cannot begin with @"),
    ("a: %x", 1, 4, "text cannot begin with %"),
    ("a: `x`", 1, 4, "text cannot begin with `"),
    (": x", 1, 1, "a colon without a key"),
    ("? \n: 1", 1, 2, "a value without a key"),
    ("? [a]\n: 1", 1, 3, "a list or map as a key"),
    ("a: {{ x }}", 1, 5, "a list or map as a key"),
    ("a: &x [1]\n*x : 1", 2, 1, "a list or map as a key"),
    ('a: "\\q"', 1, 5, "begins with no escape that YAML knows"),
    ('a: "\\xZZ"', 1, 7, "too few hexadecimal digits"),
    ('a: "\\ud83d\\ude00"', 1, 7, "an escape that is no character"),
    ("a: |0\n x", 1, 5, "an indentation of 0"),
    ("a: |x\n  foo", 1, 5, "'x' after | or >"),
    ("a: >-\n  x\n y", 3, 2, "the indentation fits nothing above"),
    ("--- a\n... b", 2, 5, "after the end of the document"),
    ("a: &x *x", 1, 7, "'*x' cannot stand here"),
    (", a", 1, 1, "nothing stands before this comma"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), MISTAKES)
def test_mistake_is_told_where_it_is_and_what_would_be_right(text, line, column, message):
    (problem,) = problems(text)
    assert problem.place == Place("f.yaml", line, column)
    assert message in problem.message
    assert problem.hint
    for jargon in ("mapping", "sequence", "scalar", "token", "expected", "node"):
        assert jargon not in problem.message


def test_duplicate_key_names_the_place_of_the_first():
    (problem,) = problems("a:\n  x: 1\n  y: 2\n  x: 3\n")
    assert "line 2, column 3" in problem.hint


def test_merge_key_says_to_repeat_the_keys():
    (problem,) = problems("<<: {a: 1}")
    assert "repeat the keys" in problem.hint


def test_everything_wrong_is_told_in_one_pass_in_order():
    text = "a: 1\na: !!int 2\n<<: *nix\nb: {c}\n---\nd: .nan\ne: 'x' y\n---\nf: never read\n"
    assert [(line, column) for line, column, _ in told(text)] == [
        (2, 1),
        (2, 4),
        (3, 1),
        (3, 5),
        (4, 5),
        (6, 4),
        (7, 8),
    ]


def test_every_line_without_a_blank_after_its_colon_is_told():
    assert [line for line, _, _ in told("a:1\nb:2\nc: 3\n")] == [1, 2]


@pytest.mark.parametrize(
    ("text", "looks"),
    [
        ("a:1", True),
        ("ticket.*:x y", True),
        ("a: 1", False),
        ("https://x", False),
        ("a b:c", False),
        ("::", False),
    ],
)
def test_text_that_looks_like_a_key_without_its_blank(text, looks):
    assert lacks_blank(text) is looks


# --- whatever it is given

TEXT = st.text(
    st.characters(
        blacklist_categories=["Cs", "Cc"], blacklist_characters="\ufeff\ufffe\uffff", codec="utf-8"
    )
    | st.sampled_from("\n\t\"'\\:-#{}[]")
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def block(data, indent=0):
    """The value in block style, every scalar as JSON writes it."""
    pad = "  " * indent
    if isinstance(data, dict) and data:
        return "".join(
            f"\n{pad}? {json.dumps(key, ensure_ascii=False)}\n{pad}: {block(value, indent + 1)}"
            for key, value in data.items()
        )
    if isinstance(data, list) and data:
        return "".join(f"\n{pad}- {block(item, indent + 1)}" for item in data)
    return json.dumps(data, ensure_ascii=False)


def every_path(data, path=()):
    yield path
    if isinstance(data, list):
        data = dict(enumerate(data))
    for step, value in data.items() if isinstance(data, dict) else ():
        yield from every_path(value, (*path, step))


@settings(max_examples=150, deadline=None)
@given(JSON)
def test_json_is_read_as_it_is(data):
    for text in (
        json.dumps(data, ensure_ascii=False),
        json.dumps(data, ensure_ascii=False, indent=1),
        block(data),
    ):
        document = only(text)
        assert document.data == data
        lines = text.split("\n")
        for path in every_path(data):
            for place in (document.places.key(path), document.places.value(path)):
                assert 1 <= place.column <= len(lines[place.line - 1]) + 1


@settings(max_examples=300, deadline=None)
@given(
    st.text(st.sampled_from("ab:-?#|>'\"\\[]{},&*!%@` \t\n\r0.<~đ😀\u2028\x00"), max_size=40)
    | st.text(max_size=30)
    | st.binary(max_size=30)
)
def test_any_text_is_read_or_refused_with_places(text):
    try:
        documents = load_text(text, "f.yaml")
    except Invalid as error:
        refused = error.problems
    else:
        refused = None
    if refused is not None:
        assert refused
        shown = text if isinstance(text, str) else text.decode("utf-8", "replace")
        for problem in refused:
            assert problem.place is not None
            assert problem.place.line >= 1
            assert problem.place.column >= 1
            assert str(problem) in render(problem, shown)
        return
    for document in documents:
        json.dumps(document.data, allow_nan=False)
        for path in every_path(document.data):
            document.places.key(path)
            document.places.value(path)
            written = document.places.text(path)
            if isinstance(written, str):
                document.places.inside(path, len(written))


@settings(max_examples=150, deadline=None)
@given(TEXT)
def test_place_inside_a_quoted_text_is_that_of_its_character(text):
    written = f"a: {json.dumps(text, ensure_ascii=False)}"
    places = only(written).places
    for offset, letter in enumerate(text):
        place = places.inside(("a",), offset)
        if letter not in '"\\\n\t':
            assert written[place.column - 1] == letter


# --- telling


def test_problem_is_shown_with_its_line_and_a_caret():
    text = "a: 1\n  b: Hà Nội\n"
    problem = Problem("wrong", "right", Place("f.yaml", 2, 6))
    assert render(problem, text) == (
        "f.yaml:2:6: wrong (right)\n"  # keep the caret under H
        "    2 |   b: Hà Nội\n"
        "      |      ^"
    )


def test_caret_stands_right_behind_tabs_and_wide_and_combining_letters():
    caret = render(Problem("x", "", Place("f", 1, 5)), "\t字e\u0301!").splitlines()[2]
    assert caret == "      | \t   ^"


def test_long_line_is_cut_around_the_caret():
    line = "x" * 500 + "!" + "y" * 500
    shown, caret = render(Problem("x", "", Place("f", 1, 501)), line).splitlines()[1:]
    assert len(shown) < 120
    assert shown[caret.index("^")] == "!"


def test_problem_without_a_line_is_only_its_message():
    assert render(Problem("wrong"), "a") == "wrong"
    assert render(Problem("wrong", "", Place("f", 9, 1)), "a") == "f:9:1: wrong"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("timout", "timeout"),
        ("Time-Out", "timeout"),
        ("search-lag", "search_lag"),
        ("baseurl", "base_url"),
        ("zzz", None),
        ("", None),
    ],
)
def test_nearest_option(word, meant):
    assert nearest(word, ["timeout", "search_lag", "base_url"]) == meant


def test_hint_names_the_nearest_option_or_all():
    assert did_you_mean("pots", ["put", "patch", "post"]) == "did you mean 'post'?"
    assert did_you_mean("zzz", ["put", "patch"]) == "known: put, patch"
    assert did_you_mean("zzz", []) == ""


def test_a_syntax_error_hides_only_its_own_document():
    reading = read_text("a: 1\n---\nb: [\n---\nc: 3\n---\n\td: 4\n---\ne: 5\n", "f.yaml")
    assert [document.data for document in reading.documents] == [{"a": 1}, {"c": 3}, {"e": 5}]
    assert [str(problem.place) for problem in reading.problems] == ["f.yaml:4:1", "f.yaml:7:1"]
    assert not reading.is_whole
    assert str(reading.documents[2].places.key(("e",))) == "f.yaml:9:1"


def test_a_duplicate_key_hides_nothing():
    reading = read_text("a: 1\na: 2\nb: 3\n", "f.yaml")
    assert reading.documents[0].data == {"a": 1, "b": 3}
    assert reading.is_whole
    assert len(reading.problems) == 1


def test_other_lines_with_tabs_are_named():
    (problem,) = read_text("a:\n\tb: 1\n  c: 2\n\td: 3\n \te: 4\n", "f.yaml").problems
    assert problem.hint == "indent with spaces; also in lines 4, 5"
