"""Calls that are signed with an HMAC: what the far side can check, and cannot be fooled with."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import datetime
from email.utils import parsedate_to_datetime

import pytest

from connector.errors import ConfigInvalid

SECRET = "sign-secret-1234"


def signing(**more):
    """`auth:` in one line; what is given replaces or adds keys."""
    keys = {"type": "hmac", "secret": SECRET, "sign": '"{body}"', **more}
    return "auth: {" + ", ".join(f"{key}: {value}" for key, value in keys.items()) + "}"


def digest(text, algorithm="sha256"):
    signed = text if isinstance(text, bytes) else text.encode()
    return hmac.new(SECRET.encode(), signed, algorithm)


def test_body_is_signed_as_the_bytes_that_are_sent(crm, configure):
    bench = configure(target=signing())
    assert bench.upsert({"subject": "Xin chào"}).meaning == "done"
    seen = crm.seen[0]
    assert seen.headers["x-signature"] == digest(seen.body).hexdigest()
    assert SECRET not in str(dict(seen.headers))


def test_call_without_a_body_signs_an_empty_one(crm, configure):
    bench = configure(target=signing())
    bench.delete()
    assert crm.seen[0].headers["x-signature"] == digest("").hexdigest()


def test_method_path_query_and_host_are_those_of_the_wire(crm, configure):
    sign = r'"{method}\n{path}\n{query}\n{host}\n{url}"'
    bench = configure(
        'upsert: {strategy: put, path: "/a b/{external_id}", query: {x: "đ", y: [1, 2]}}',
        target=signing(sign=sign),
        base_url=crm.url + "/api/v2",
    )
    bench.upsert(id="9/9")
    (seen,) = crm.seen
    path, _, query = seen.path.partition("?")
    assert (path, query) == ("/api/v2/a%20b/9%2F9", "x=%C4%91&y=1&y=2")
    host = crm.url.removeprefix("http://")
    expected = f"PUT\n{path}\n{query}\n{host}\n{crm.url}{seen.path}"
    assert seen.headers["x-signature"] == digest(expected).hexdigest()


def test_timestamp_nonce_and_key_are_sent_as_they_were_signed(crm, configure):
    bench = configure(
        target=signing(
            key="app-7",
            sign=r'"{timestamp}\n{nonce}\n{key}\n{body_hash}"',
            value='"HMAC {key}:{signature}"',
            header="Authorization",
            headers='{X-Time: "{timestamp}", X-Nonce: "{nonce}"}',
        )
    )
    bench.upsert()
    bench.upsert()
    first, second = crm.seen
    moment, nonce = first.headers["x-time"], first.headers["x-nonce"]
    assert abs(int(moment) - time.time()) < 5
    signed = f"{moment}\n{nonce}\napp-7\n{hashlib.sha256(first.body).hexdigest()}"
    assert first.headers["authorization"] == f"HMAC app-7:{digest(signed).hexdigest()}"
    assert second.headers["x-nonce"] != nonce


@pytest.mark.parametrize(
    ("form", "read"),
    [
        ("milliseconds", lambda text: int(text) / 1000),
        ("iso", lambda text: datetime.fromisoformat(text).timestamp()),
        ("http", lambda text: parsedate_to_datetime(text).timestamp()),
    ],
)
def test_time_is_written_as_the_crm_reads_it(crm, configure, form, read):
    bench = configure(target=signing(timestamp=form, headers='{X-Time: "{timestamp}"}'))
    bench.upsert()
    assert abs(read(crm.seen[0].headers["x-time"]) - time.time()) < 5


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha384", "sha512"])
def test_hash_and_encoding_are_those_that_are_said(crm, configure, algorithm):
    bench = configure(target=signing(algorithm=algorithm, encoding="base64"))
    bench.upsert()
    expected = digest(crm.seen[0].body, algorithm=algorithm).digest()
    assert base64.b64decode(crm.seen[0].headers["x-signature"]) == expected


@pytest.mark.parametrize(
    ("form", "secret"),
    [("hex", SECRET.encode().hex()), ("base64", base64.b64encode(SECRET.encode()).decode())],
)
def test_secret_may_be_written_in_another_form(crm, configure, form, secret):
    bench = configure(target=signing(secret=f'"{secret}"', secret_is=form))
    bench.upsert()
    assert crm.seen[0].headers["x-signature"] == digest(crm.seen[0].body).hexdigest()


def test_signature_may_stand_in_the_address(crm, configure):
    sign = '"{key}{path}{timestamp}"'
    query = '{partner: "{key}", ts: "{timestamp}", sign: "{signature}"}'
    bench = configure(target=signing(key="app-7", header="null", sign=sign, query=query))
    report = bench.upsert()
    (seen,) = crm.seen
    said = dict(seen.query)
    assert said["sign"] == digest(f"app-7/tickets/9999{said['ts']}").hexdigest()
    assert "x-signature" not in seen.headers
    assert report.calls[0].path == "/tickets/9999", "what is added shows in no log"


def test_repeat_is_signed_anew_and_keeps_its_idempotency_key(crm, configure):
    bench = configure(target=signing(headers='{X-Nonce: "{nonce}"}'))
    crm.say(cut="read")
    assert bench.upsert().meaning == "done"
    one, other = crm.seen
    assert one.headers["x-nonce"] != other.headers["x-nonce"]
    assert one.key == other.key


def test_refused_signature_pauses_without_another_try(crm, configure):
    crm.otherwise = crm.reply(401, {"message": f"wrong, not by {SECRET}"})
    report = configure(target=signing()).upsert()
    assert (report.meaning, len(crm.seen)) == ("credentials", 1)
    assert SECRET not in repr(report)


WRONG = {
    signing(secret="zz", secret_is="hex"): "this secret is no hex",
    signing(sign='"{body}{sekret}"'): "unknown placeholder {sekret}",
    signing(sign='"{signature}"'): "unknown placeholder {signature}",
    signing(algorithm="md5"): "md5",
    "auth: {type: hmac, secret: abcd}": "sign: is missing",
    "auth: {type: hmac, sign: x}": "secret: is missing",
    signing(header='"X Y"'): "not the name of an HTTP header",
}


@pytest.mark.parametrize("target", WRONG)
def test_unfit_signature_is_an_error_with_its_place(configure, target):
    with pytest.raises(ConfigInvalid) as caught:
        configure(target=target)
    (problem,) = caught.value.problems
    assert WRONG[target] in str(problem), str(problem)
    assert problem.place.line == 4
    assert SECRET not in str(problem)
