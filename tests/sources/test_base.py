"""The door: nothing becomes `Verified` but by verification."""

import dataclasses

import pytest

from connector.errors import BadSignature
from connector.sources import VENDORS, Verified, base


def test_nobody_else_can_make_a_verified_request():
    with pytest.raises(TypeError):
        Verified("care", b"{}", None, "<hex>", object())


def test_a_verified_request_cannot_be_copied_with_another_body(caresoft):
    verified = caresoft.verify(b"{}", caresoft.sign(b"{}"))
    with pytest.raises(ValueError, match="seal"):
        dataclasses.replace(verified, body=b'{"forged": true}')


def test_a_verified_request_does_not_change(caresoft):
    verified = caresoft.verify(b"{}", caresoft.sign(b"{}"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.body = b'{"forged": true}'


@pytest.mark.parametrize("name", ["X-Hub-Signature", "x-hub-signature", "X-HUB-SIGNATURE"])
def test_a_header_is_found_in_any_case(name):
    assert base.header({"Other": "a", name: "b"}, "X-Hub-Signature") == "b"


def test_a_missing_header_is_a_bad_signature():
    with pytest.raises(BadSignature, match="X-Hub-Signature"):
        base.header({"Other": "a"}, "X-Hub-Signature")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a1", "a1"),
        (" a ", " a "),
        (7, "7"),
        (-1, "-1"),
        (7.0, "7"),
        (7.5, "7.5"),
        (2**70, str(2**70)),
        (0, "0"),
        ("", None),
        ("  ", None),
        ("\ud800", None),
        (True, None),
        (None, None),
        ([], None),
        ({}, None),
    ],
)
def test_an_id_is_text_or_a_number_without_a_point(value, text):
    assert base.text_of(value) == text


def test_the_vendors_document_24_and_6_kinds():
    assert {name: len(vendor.kinds) for name, vendor in VENDORS.items()} == {
        "caresoft": 24,
        "mobio": 6,
    }
    assert all(len(set(vendor.kinds)) == len(vendor.kinds) for vendor in VENDORS.values())


def test_secrets_show_in_no_repr(caresoft, mobio):
    assert "CS123" not in repr(caresoft)
    assert "secret" not in repr(mobio)
