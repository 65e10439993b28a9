"""One call on the wire: its deadline, its connections, its failures."""

from __future__ import annotations

import gzip
import socket
import threading

import pytest
from system import IN_VAIN

from connector.targets import sockets
from connector.targets.http import LIMIT, Answer, Failure, Request


def get(url: str, **headers: str) -> Request:
    return Request("GET", url, headers)


def failed(result: object) -> Failure:
    assert isinstance(result, Failure)
    return result


def answered(result: object) -> Answer:
    assert isinstance(result, Answer)
    return result


def test_answer_has_status_json_and_headers(crm, http):
    crm.say(201, {"id": 7}, headers={"ETag": '"5"'})
    answer = answered(http.send(Request("POST", crm.url + "/a", {"X-Y": "z"}, b"{}"), 5))
    assert (answer.status, answer.data, answer.headers["etag"]) == (201, {"id": 7}, '"5"')
    assert crm.seen[0].headers["x-y"] == "z"
    assert crm.seen[0].headers["content-length"] == "2"


def test_body_that_is_no_json_is_its_text_and_an_empty_one_none(crm, http):
    crm.say(200, "fine")
    crm.say(204)
    assert answered(http.send(get(crm.url), 5)).data == "fine"
    assert answered(http.send(get(crm.url), 5)).data is None


def test_json_nested_without_end_is_text(crm, http):
    crm.say(200, b"[" * 100_000)
    assert isinstance(answered(http.send(get(crm.url), 5)).data, str)


def test_connection_is_used_again(crm, http):
    for _ in range(5):
        http.send(get(crm.url), 5)
    assert crm.connections == 1


def test_connection_is_used_again_after_every_kind_of_answer(crm, http):
    chunks = b"3\r\n[1]\r\n0\r\n\r\n"
    crm.say(204)
    crm.say(304)
    crm.say(200, "")
    crm.say(200, chunks, headers={"Transfer-Encoding": "chunked", "Content-Length": None})
    crm.say(500, {"error": "x"})
    answers = [answered(http.send(get(crm.url), 5)) for _ in range(6)]
    assert [answer.data for answer in answers] == [None, None, None, [1], {"error": "x"}, {}]
    assert crm.connections == 1


def test_threads_share_the_pool(crm, http):
    ready = threading.Barrier(4)

    def call() -> None:
        ready.wait()
        for _ in range(5):
            assert answered(http.send(get(crm.url), 5)).status == 200

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(crm.seen) == 20
    assert crm.connections <= 4


def test_redirect_is_an_answer_and_not_followed(crm, http):
    crm.say(302, headers={"Location": crm.url + "/login"})
    assert answered(http.send(get(crm.url + "/a"), 5)).status == 302
    assert [seen.path for seen in crm.seen] == ["/a"]


def test_answer_that_drips_ends_at_the_deadline(crm, http, stopwatch):
    crm.say(200, {"id": 1}, drip=0.3)
    failure = failed(http.send(get(crm.url), 1.0))
    assert (failure.kind, failure.sent) == ("timed out", True)
    assert 0.9 < stopwatch() < IN_VAIN


def test_body_that_drips_ends_at_the_deadline(crm, http, stopwatch):
    crm.say(200, {"id": 1, "text": "long enough" * 20}, drip_body=0.1)
    failure = failed(http.send(get(crm.url), 1.0))
    assert (failure.kind, failure.sent) == ("timed out", True)
    assert 0.9 < stopwatch() < IN_VAIN


def test_silent_server_ends_at_the_deadline(crm, http, stopwatch):
    crm.say(hang=30)
    failure = failed(http.send(get(crm.url), 1.0))
    assert failure.text == "timed out after 1 s"
    assert stopwatch() < IN_VAIN


def test_call_after_a_late_one_gets_its_own_answer(crm, http):
    crm.say(200, {"answer": "late"}, hang=0.3)
    http.send(get(crm.url), 0.1)
    crm.say(200, {"answer": "own"})
    assert answered(http.send(get(crm.url), 5)).data == {"answer": "own"}


def test_server_that_takes_no_more_of_the_body_ends_at_the_deadline(http, stopwatch):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        failure = failed(http.send(Request("PUT", url, {}, b"x" * 20_000_000), 1.0))
    assert (failure.kind, failure.sent) == ("timed out", True)
    assert stopwatch() < IN_VAIN


def test_server_that_takes_the_body_slowly_ends_at_the_deadline(http, stopwatch):
    ended = threading.Event()

    def sip(server: socket.socket) -> None:
        taken, _ = server.accept()
        with taken:
            while not ended.wait(0.05) and taken.recv(4096):
                pass

    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        server.bind(("127.0.0.1", 0))
        server.listen()
        threading.Thread(target=sip, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        failure = failed(http.send(Request("PUT", url, {}, b"x" * 20_000_000), 1.0))
        ended.set()
    assert (failure.kind, failure.sent) == ("timed out", True)
    assert 0.9 < stopwatch() < IN_VAIN


def test_what_comes_after_the_deadline_was_not_sent():
    ours, theirs = socket.socketpair()
    with sockets.PlainSocket(fileno=ours.detach()) as sock, theirs:
        call = sockets.begin(0.0, with_body=False)
        with pytest.raises(TimeoutError):
            sock.sendall(b"PUT / HTTP/1.1")
    assert not call.sent


def test_each_call_has_its_own_deadline_over_the_same_connection(crm, http, stopwatch):
    assert answered(http.send(get(crm.url), 1.0)).status == 200
    crm.say(200, {"id": 1}, hang=1.5)
    assert answered(http.send(get(crm.url), 20)).data == {"id": 1}
    crm.say(hang=30)
    assert failed(http.send(get(crm.url), 1.0)).kind == "timed out"
    assert stopwatch() < IN_VAIN


def test_large_answer_is_read_whole(crm, http):
    for size in (5_000, 100_000, LIMIT):
        crm.say(200, b"x" * size)
        assert answered(http.send(get(crm.url), 20)).content == b"x" * size
    assert crm.connections == 1


def test_answer_is_read_up_to_its_limit(crm, http):
    crm.say(200, b"x" * (LIMIT + 10))
    assert len(answered(http.send(get(crm.url), 5)).content) == LIMIT
    crm.say(200, {"next": True})
    assert answered(http.send(get(crm.url), 5)).data == {"next": True}
    assert crm.connections == 2, "the connection with the rest of the answer is not used again"


def test_compressed_answer_is_bounded_as_unpacked(crm, http):
    crm.say(200, gzip.compress(b"x" * (20 * LIMIT)), headers={"Content-Encoding": "gzip"})
    assert len(answered(http.send(get(crm.url), 5)).content) == LIMIT


def test_refused_connection_was_not_sent(http, free_port):
    failure = failed(http.send(get(f"http://127.0.0.1:{free_port}/"), 5))
    assert (failure.kind, failure.sent) == ("refused", False)


def test_reset_after_the_request_was_sent(crm, http):
    crm.say(cut="read")
    failure = failed(http.send(get(crm.url), 5))
    assert (failure.kind, failure.sent) == ("reset", True)


def test_connection_that_the_server_closed_meanwhile_is_replaced(crm, http):
    crm.say(200, {}, headers={"Connection": "close"})
    http.send(get(crm.url), 5)
    assert answered(http.send(get(crm.url), 5)).status == 200
    assert crm.connections == 2


def test_answer_cut_short_is_no_answer(crm, http):
    crm.say(200, {"id": 1}, headers={"Content-Length": "5000", "Connection": "close"})
    failure = failed(http.send(get(crm.url), 5))
    assert (failure.kind, failure.sent) == ("reset", True)


def test_answer_that_is_not_http_is_a_reset(http):
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_greet, args=(server,)).start()
        failure = failed(http.send(get(f"http://127.0.0.1:{server.getsockname()[1]}/"), 5))
    assert (failure.kind, failure.sent) == ("reset", True)


def test_unknown_name_was_not_sent(http):
    failure = failed(http.send(get("http://crm.invalid/"), 5))
    assert (failure.kind, failure.sent) == ("name not found", False)


def test_header_with_a_line_break_is_unwritable(crm, http):
    failure = failed(http.send(get(crm.url, x="a\r\nevil: 1"), 5))
    assert (failure.kind, failure.sent) == ("unwritable", False)
    assert crm.seen == []


def test_environment_has_no_say(crm, http, monkeypatch, free_port):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    assert answered(http.send(get(crm.url), 5)).status == 200


def test_cookies_are_not_kept(crm, http):
    crm.say(200, {}, headers={"Set-Cookie": "session=1"})
    http.send(get(crm.url), 5)
    http.send(get(crm.url), 5)
    assert "cookie" not in crm.seen[1].headers


def _greet(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(b"220 mail.example ESMTP\r\n")
