"""`text` and `html_clean`: what people read stays, what runs goes, crafted HTML costs nothing."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from time import process_time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mapping.functions import FUNCTIONS, Context
from connector.model import Json

SAMPLES = Path(__file__).parents[1] / "samples"


def call(name: str, value: Json) -> Json:
    return FUNCTIONS[name].call(Context(ZoneInfo("UTC"), {}, lambda warning: None), [value])


# --- text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # lines
        ("a<br>b", "a\nb"),
        ("a<br/>b<BR />c", "a\nb\nc"),
        ("a </br> b", "a\nb"),
        ("<p>a</p><p>b</p>", "a\nb"),
        ("<p>a</p>\n  <p>b</p>\n", "a\nb"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<ul><li>a</li><li>b</li></ul>c", "a\nb\nc"),
        ("a<br><br>b", "a\n\nb"),
        ("a<br> <br>&nbsp;<br><br>b", "a\n\nb"),
        ("<br><br>a<br><br>", "a"),
        ("Hello<div>World</div>", "Hello\nWorld"),
        ("<h1>a</h1>b", "a\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc"),
        ("<b>a</b><i>b</i>", "ab"),
        # blanks
        ("a \t\n  b<br>", "a b"),
        ("a&nbsp;&nbsp;b<br/>", "a b"),
        ("<p>  a  </p>", "a"),
        ("a\nb<b>c</b>", "a bc"),
        # entities
        ("&lt;b&gt; &amp; &quot;&#39;&#x1F600;", "<b> & \"'\U0001f600"),
        ("Đ&agrave; N&#7861;ng", "Đà Nẵng"),
        ("&copy 2024 &unknown; &", "© 2024 &unknown; &"),
        ("https://x.vn/?a=1&section=2&reg=3", "https://x.vn/?a=1&section=2&reg=3"),
        ("&amp;lt;", "&lt;"),
        ("&lt;br&gt;", "<br>"),
        # what is not shown
        ("a<script>x<b>y</script>b<STYLE a=b>p {}</style >c", "abc"),
        ("a<script>x", "a"),
        ("a<script>x</scripts>y</SCRIPT >b", "ab"),
        ("a<!-- c <b> -->b<!---->c<!-->d", "abcd"),
        ("a<!DOCTYPE html><?xml x?>b", "ab"),
        ("a<!-- b > c", "a"),
        ("<a title='1 > 0' href=\"x>y\">t</a>", "t"),
        ("<o:p>a</o:p>", "a"),
        # no markup at all
        ("plain", "plain"),
        ("a < b and c > d", "a < b and c > d"),
        ("a <b and no end", "a <b and no end"),
        ("I <3 you", "I <3 you"),
        ("x<y", "x<y"),
        ("Nam <nam@x.vn> <https://x.vn/a>", "Nam <nam@x.vn> <https://x.vn/a>"),
        ("one\r\ntwo\n\n\n\n  three  3 ", "one\ntwo\n\nthree 3"),
        ("\n\n", ""),
        ("  ", ""),
        # malformed
        ("<p>a<p>b", "a\nb"),
        ("</p>a</b>", "a"),
        ("<b<i>a", "a"),
        ("<a title='x>t</a> <b>u</b>", "t u"),
        ("<>a</>b", "<>ab"),
        ("\x00a\x0bb\x7f", "a\nb"),
    ],
)
def test_text(value, expected):
    assert call("text", value) == expected


def test_text_of_the_vendors_comment_with_broken_line_breaks():
    comments = [
        json.loads(file.read_text())["ticket"]["ticket_comment"]["comment"]
        for file in sorted((SAMPLES / "caresoft").glob("ticket.update-*.json"))
    ]
    ivr = next(comment for comment in comments if "IVR" in comment)
    lines = call("text", ivr).split("\n")
    assert lines[:3] == ["Cuộc gọi vào IVR", "Số gọi đến: 0889999999", "Đầu số: 19009999"]
    assert lines[-1] == "Dtmf: -2-#"
    assert not any("<" in line for comment in comments for line in call("text", comment))


words = st.text("aăđ1.,:;!?'\"()=", min_size=1, max_size=6).filter(str.strip)
tag_names = st.sampled_from(
    [
        "p",
        "div",
        "li",
        "ul",
        "b",
        "i",
        "span",
        "br",
        "a",
        "td",
        "tr",
        "table",
        "h1",
        "font",
        "img",
        "o:p",
        "custom",
    ]
)
attributes = st.lists(
    st.sampled_from([" href='x>y'", ' title="a < b > c"', " x", " y=z", ' style="a:b"', "\n"]),
    max_size=3,
).map("".join)
tags = st.builds("<{}{}{}>".format, st.sampled_from(["", "/"]), tag_names, attributes)
comments = st.text("ab<> !", max_size=8).map(lambda inside: f"<!-- {inside} -->")
pieces = st.lists(st.tuples(tags | comments, words), max_size=12)


@settings(max_examples=200, deadline=None)
@given(pieces)
def test_text_leaves_no_tag_and_loses_no_word(parts):
    source = "".join(tag + word for tag, word in parts)
    result = call("text", source)
    assert "<" not in result
    assert "".join(result.split()) == "".join("".join(word for _, word in parts).split())


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.text("<>/!-='\"ab &;#p\n", max_size=80))
def test_text_is_tidy_whatever_came(source):
    result = call("text", source)
    assert "\n\n\n" not in result
    assert result == result.strip()
    for line in result.split("\n"):
        assert line == " ".join(line.split())


@settings(max_examples=200, deadline=None)
@given(st.text("abđ <&;=.", max_size=40).map(lambda text: f"{text} "))
def test_text_without_any_closing_bracket_loses_nothing(source):
    result = call("text", html.escape(source))
    assert result.split() == source.split()
    assert "".join(call("text", source).split()).count("<") >= source.count("<")


# --- html_clean


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("<p>Hi <b>you</b></p>", "<p>Hi <b>you</b></p>"),
        ('<p onclick="x()">Hi</p>', "<p>Hi</p>"),
        ("a<script>alert(1)</script>b", "ab"),
        ("a<style>p{}</style>b", "ab"),
        ("a<iframe src='//x'></iframe>b", "ab"),
        ("<img src=https://x.vn/a.png onerror=x()>", '<img src="https://x.vn/a.png">'),
        ('<p style="x" class="y">a</p>', "<p>a</p>"),
        ("a<!-- x -->b", "ab"),
        ("a < b", "a &lt; b"),
        (
            '<a href="https://x.vn" target="_blank">l</a>',
            '<a href="https://x.vn" rel="noopener noreferrer">l</a>',
        ),
        (
            '<a href="mailto:a@b.vn">l</a>',
            '<a href="mailto:a@b.vn" rel="noopener noreferrer">l</a>',
        ),
    ],
)
def test_html_clean(value, expected):
    assert call("html_clean", value) == expected


DANGEROUS = [
    '<a href="javascript:alert(1)">x</a>',
    '<a href=" java\nscript:alert(1)">x</a>',
    '<a href="&#106;avascript:alert(1)">x</a>',
    '<a href="vbscript:x">x</a><a href="data:text/html,<script>alert(1)</script>">y</a>',
    '<img src="javascript:alert(1)" srcset="x" onload=alert(1)>',
    "<svg onload=alert(1)><script>alert(1)</script><a xlink:href='javascript:x'>y</a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style>",
    "<form action=javascript:x><input autofocus onfocus=x><button formaction=y>z</button></form>",
    "<object data=x></object><embed src=x><base href=//x><meta http-equiv=refresh content=0>",
    '<p title="&quot;><script>alert(1)</script>">x</p>',
    "<scr<script>ipt>alert(1)</script>",
    "<b title='x\" onmouseover=\"alert(1)'>y</b>",
]


class Judge(HTMLParser):
    """Reads cleaned HTML as a browser would and refuses everything that could run."""

    harmless = frozenset(
        [
            "a",
            "abbr",
            "b",
            "big",
            "blockquote",
            "br",
            "caption",
            "center",
            "cite",
            "code",
            "col",
            "colgroup",
            "dd",
            "del",
            "dfn",
            "div",
            "dl",
            "dt",
            "em",
            "figcaption",
            "figure",
            "font",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "hr",
            "i",
            "img",
            "ins",
            "kbd",
            "li",
            "mark",
            "ol",
            "p",
            "pre",
            "q",
            "s",
            "samp",
            "small",
            "span",
            "strike",
            "strong",
            "sub",
            "sup",
            "table",
            "tbody",
            "td",
            "tfoot",
            "th",
            "thead",
            "tr",
            "tt",
            "u",
            "ul",
            "var",
            "wbr",
        ]
    )

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.harmless
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in {"style", "srcset", "action"}
            if name in {"href", "src"}:
                scheme = re.match(r"\s*([a-z0-9+.-]+):", value or "", re.IGNORECASE)
                assert scheme is None or scheme[1].lower() in {"http", "https", "mailto", "tel"}
        if tag == "a":
            assert "noopener" in (dict(attrs).get("rel") or "")


@pytest.mark.parametrize("source", DANGEROUS)
@pytest.mark.parametrize("padding", ["", "<p>x</p>" * 600], ids=["small", "large"])
def test_nothing_that_runs_survives(source, padding):
    Judge().feed(call("html_clean", padding + source + padding))


@settings(max_examples=200, deadline=None)
@given(st.lists(tags | comments | words | st.sampled_from(DANGEROUS), max_size=10), st.booleans())
def test_nothing_that_runs_survives_any_mixture(parts, large):
    Judge().feed(call("html_clean", "<br>" * 1001 * large + "".join(parts)))


flow = st.recursive(
    words.map(html.escape),
    lambda inner: (
        st.lists(inner, max_size=3).map("".join).map("<div>{}</div>".format)
        | st.lists(inner, max_size=3).map("".join).map('<div title="a &lt; b">{}</div>'.format)
        | st.lists(inner, max_size=2).map("".join).map("<ul><li>{}</li></ul>".format)
        | inner.map("<table><tbody><tr><td>{}</td></tr></tbody></table>".format)
        | words.map(html.escape).map('<b>{}</b><img src="https://x.vn/i.png" alt="x">'.format)
    ),
    max_leaves=10,
)


@settings(max_examples=100, deadline=None)
@given(flow)
def test_large_html_is_cleaned_like_small_html(source):
    padding = "<br>" * 1001
    assert call("html_clean", padding + source) == padding + call("html_clean", source)


@pytest.mark.parametrize(
    ("source", "kept"),
    [
        ("<div>" * 5000 + "deep" + "</div>" * 5000, "deep"),
        ("<b><i><u><s><em><code>" * 300 + "bold", "bold"),
        ("<table>" * 2000 + "loose<td>cell", "loose"),
        ("<table><colgroup><col>x<tr>y<td>z</table></td>" * 400, "x"),
        ("<td>x</td>" * 1001, "x"),
    ],
    ids=["deep", "formatting", "tables", "parts", "cells"],
)
def test_large_html_loses_tags_but_no_text(source, kept):
    cleaned = call("html_clean", source)
    Judge().feed(cleaned)
    assert kept in cleaned
    assert "".join(call("text", cleaned).split()) == "".join(call("text", source).split())


def test_text_in_a_table_of_large_html_gets_a_cell():
    padding = "<br>" * 1001
    cleaned = call("html_clean", f"{padding}<table>loose<tr>too</table>")
    cell = "<tr><td>{}</td></tr>"
    expected = f"<table><tbody>{cell.format('loose')}{cell.format('too')}</tbody></table>"
    assert cleaned == padding + expected


def test_large_html_grows_no_more_than_its_nesting_allows():
    bold = "".join(f"<b title={number}>" for number in range(60))
    source = f"<p>{bold}{'<div>x</div>' * 2000}"
    assert len(call("html_clean", source)) < 8 * len(source)


# --- hostile input

SIZE = 300_000
HOSTILE = {
    "brackets": "<" * SIZE,
    "open tags": "<b" * (SIZE // 2),
    "tags": "<b>" * (SIZE // 3),
    "blocks": "<div>" * (SIZE // 5),
    "comments": "<!--" * (SIZE // 4),
    "comments that may close": "<!--" * (SIZE // 4) + ">",
    "declarations": "<!>" * (SIZE // 3),
    "scripts": "<script></script " * (SIZE // 17) + ">",
    "quotes": "<a =\"'>" * (SIZE // 7),
    "one quote": "<a b='>" * (SIZE // 7) + '"',
    "quotes around every end": '<a =">="' * (SIZE // 8),
    "quotes at the end": '<a b="' * (SIZE // 6) + ">",
    "blanks in a tag": "<a title" + " " * SIZE + ">",
    "a long name": "<a " + "x" * SIZE + ">",
    "equal signs": "<a " + "= " * (SIZE // 2) + ">",
    "attributes": "<a " + " ".join(f"a{number}" for number in range(SIZE // 8)) + ">",
    "addresses": "<a@" * (SIZE // 3) + ">",
    "ampersands": "&" * SIZE,
    "references": "&amp" * (SIZE // 4),
    "digits": "&#" + "9" * SIZE + ";",
    "line breaks": "<br>" * (SIZE // 4),
    "newlines": "\r\n" * (SIZE // 2),
    "blanks": " " * SIZE + "x",
    "formatting opened again": (
        "<div>"
        + "".join(f"<b title={number}>" for number in range(SIZE // 40))
        + "</div>"
        + "<p>x</p>" * (SIZE // 16)
    ),
    "wrong nesting": "<p><b><i><u><s>" + "<div>x</div>" * (SIZE // 12),
    "text between tables": "<table>" * 60 + "x<b>y</b>" * (SIZE // 9),
    "cells": "<table><td>" * (SIZE // 11),
}


@pytest.mark.parametrize("name", ["text", "html_clean"])
@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_html_is_read_in_linear_time(name, source):
    begun = process_time()
    call(name, source)
    assert process_time() - begun < 30


def test_html_just_below_the_bounds_is_cleaned_quickly():
    tags = 500
    source = (
        "<div>" + "".join(f"<b title={number}>" for number in range(tags)) + "</div>" + "<p>x" * 490
    )
    begun = process_time()
    assert "x" in call("html_clean", source)
    call("html_clean", ("<a " + " ".join(f"a{number}" for number in range(20_000)))[:65_000] + ">")
    assert process_time() - begun < 30
