"""The end of a request is found wherever the network cuts it, and never before it is there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.gathering import Gathered

MOST = 1 << 20
HEAD = b"POST /webhooks/caresoft HTTP/1.1\r\nHost: x\r\n"

bodies = st.binary(max_size=400) | st.sampled_from([b"", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"])


def of_known_length(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


@st.composite
def in_chunks(draw: st.DrawFn) -> bytes:
    said = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for part in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6)):
        extension = draw(st.sampled_from([b"", b";a=b"]))
        said += b"%x%s\r\n%s\r\n" % (len(part), extension, part)
    trailers = draw(st.sampled_from([b"", b"X-A: b\r\n"]))
    return said + b"0\r\n" + trailers + b"\r\n"


def arrives(request: bytes, cuts: list[int]) -> int | None:
    """After how many bytes the request counts as whole."""
    gathered = Gathered(0.0)
    edges = sorted({min(cut, len(request)) for cut in cuts} | {len(request)})
    for before, edge in zip([0, *edges], edges, strict=False):
        gathered.data += request[before:edge]
        if gathered.data and gathered.whole(MOST):
            return edge
    return None


@settings(max_examples=300, deadline=None)
@given(bodies.map(of_known_length) | in_chunks(), st.lists(st.integers(1, 600), max_size=12))
def test_a_request_is_whole_with_its_last_byte(request: bytes, cuts: list[int]) -> None:
    assert arrives(request, cuts) == len(request)


@settings(max_examples=200, deadline=None)
@given(bodies.map(of_known_length) | in_chunks())
def test_a_request_that_is_cut_off_is_never_whole(request: bytes) -> None:
    assert arrives(request[:-1], [*range(1, len(request))]) is None


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_whatever_is_sent_is_judged_without_an_end_or_an_error(said: bytes, chunked: bool) -> None:
    head = HEAD + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked else b"\r\n")
    arrives(said, [*range(1, len(said))])
    arrives(head + said, [*range(len(head), len(head) + len(said))])


def test_sizes_that_are_none_end_the_search() -> None:
    for line in (b"-6", b"-1", b"zz", b"", b"0x5", b"+5", b" 5"):
        request = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + line + b"\r\n" + b"x" * 64
        assert arrives(request, []) == len(request)


def test_a_body_that_is_too_large_is_not_waited_for() -> None:
    known = Gathered(0.0, bytearray(HEAD + b"Content-Length: 9999999\r\n\r\n"))
    assert known.whole(MOST)
    assert known.unread
    chunked = Gathered(0.0, bytearray(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"))
    assert not chunked.whole(1000)
    chunked.data += b"fffffff\r\n" + b"x" * 70_000
    assert chunked.whole(1000)
    assert chunked.unread


@pytest.mark.parametrize("said", [b"1" + b"0" * 18, b"9" * 40, b"1" * 5000])
def test_a_length_of_any_number_of_digits_is_too_large(said: bytes) -> None:
    gathered = Gathered(0.0, bytearray(HEAD + b"Content-Length: " + said + b"\r\n\r\nab"))
    assert gathered.whole(MOST)
    assert gathered.unread


def test_zeros_before_a_length_mean_nothing() -> None:
    request = HEAD + b"Content-Length: " + b"0" * 30 + b"5\r\n\r\nhello"
    assert arrives(request, [*range(1, len(request))]) == len(request)


def test_a_request_without_a_body_ends_with_its_head() -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    assert arrives(request, [5, 20]) == len(request)


def test_a_body_that_is_all_framing_is_hopeless() -> None:
    gathered = Gathered(0.0, bytearray(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"))
    gathered.data += b"1\r\nx\r\n" * 20_000
    assert not gathered.whole(50_000)
    assert gathered.hopeless


def test_more_chunks_than_anybody_needs_are_hopeless_as_is_a_line_without_end() -> None:
    for said in (b"1\r\nx\r\n" * 10_001, b"1" * 2000):
        gathered = Gathered(0.0, bytearray(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + said))
        assert not gathered.whole(MOST)
        assert gathered.hopeless


def test_one_huge_chunk_is_for_the_application_to_refuse() -> None:
    gathered = Gathered(0.0, bytearray(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"))
    gathered.data += b"ffffff\r\n" + b"x" * 130_000
    assert gathered.whole(50_000)
    assert not gathered.hopeless
