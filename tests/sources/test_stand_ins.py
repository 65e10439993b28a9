"""Personal data in what vendors send is replaced, and its form kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from connector.mapping.arguments import Context
from connector.mapping.phones import phone
from connector.sources.stand_ins import StandIns, personal

SAMPLES = sorted((Path(__file__).parents[1] / "samples").glob("*/*.json"))


@pytest.mark.parametrize(
    ("key", "value", "stand_in"),
    [
        ("username", "Trần Thị Lan", "Alfa Bravo Charlie"),
        ("username", "TRAN LAN", "ALFA BRAVO"),
        ("username", "Tan9999", "Alfa1234"),
        ("phone_no", "0912345678", "0912000001"),
        ("phone_no", "+84 912 345 678", "+84 912 000 001"),
        ("phone_no", "024 7108 1080", "024 7000 0001"),
        ("phone_no", 912345678, 912000001),
        ("phone_no", "19009999", "19009999"),
        ("phone_no", "1800 1091", "1800 1091"),
        ("phone_no", "anonymous", "anonymous"),
        ("email", " Lan@Real.VN ", " person1@example.vn "),
        ("email", "none", "lore"),
        ("ticket_subject", "Cuộc gọi nhỡ từ 0912345678", "Lore mip sum do 0912000001"),
        ("comment", "<p>chị Lan</p>&nbsp;a@b.vn", "<p>lor Emi</p>&nbsp;person1@example.vn"),
        (
            "comment",
            '<a class="big" href="https://real.vn/lan?a=1" title="Lan">x</a>',
            '<a class="big" href="https://example.vn/1" title="Lor">l</a>',
        ),
        ("avatar", "https://cdn.real.vn/lan.png", "https://example.vn/1.png"),
        ("facebook", "lan.tran", "lor.emip"),
        ("organization_domain", "shop.real.vn", "example1.vn"),
        ("dtmf", "-2-#", "-1-#"),
        ("whatever", "viết cho a@b.vn, 0912 345 678", "viết cho person1@example.vn, 0912 000 001"),
        ("ticket_status", "open", "open"),
        ("call_id", "20211006101009-HRFZNHMV-9999", "20211006101009-HRFZNHMV-9999"),
        ("note_id", "637dfa373e395b0cead72666", "637dfa373e395b0cead72666"),
        ("node_name", "Gọi vào", "Gọi vào"),
        ("created_at", "Wed Oct 06 09:45:53 ICT 2021", "Wed Oct 06 09:45:53 ICT 2021"),
        ("username", "", ""),
        ("note", None, None),
        ("ticket_no", 5, 5),
    ],
)
def test_the_form_stays(key: str, value: Any, stand_in: Any) -> None:
    assert StandIns().body(value, key) == stand_in


def test_a_stand_in_of_a_phone_number_is_one_too() -> None:
    warnings: list[str] = []
    context = Context(ZoneInfo("Asia/Ho_Chi_Minh"), {}, warnings.append)
    for number in ("0912345678", "84912345678", "+84 24 7108 1080", "028 3823 4567"):
        shown = StandIns().body(number, "phone_no")
        assert str(phone(context, shown, "VN")).startswith("+84"), shown
    assert warnings == []


def test_equal_values_have_equal_stand_ins_and_others_others() -> None:
    masks = StandIns()
    body = {
        "phone_no": "0912345678",
        "caller": "+84912345678",
        "note": "0912 345 678",
        "phone_no2": "0987654321",
        "username": "Lan Lan",
        "comment": "hello",
        "detail": "hello",
    }
    found = masks.body(body)
    assert found["phone_no"] == "0912000001"
    assert found["caller"] == "+84912000001"
    assert found["note"] == "0912 000 001"
    assert found["phone_no2"] == "0987000002"
    assert found["username"] == "Alfa Alfa"
    assert found["comment"] == found["detail"]


def test_a_field_that_is_named_beside_its_value_is_known() -> None:
    body = {
        "changes": [{"field": "username", "value": "Lan"}, {"field": "role_id", "value": 3}],
        "addition_fields": [
            {"field": "addition_field1", "label": "Tên", "type": 0, "value": "Lan"},
            {"field": "addition_field2", "label": "Hạng", "type": "3", "value": "Vàng"},
            {"field": "addition_field3", "type": 2, "value": "2024/04/15"},
        ],
        "addition_field4": "Lan",
        "event_detail": [
            {"field_key": "description", "field_name": "Nội dung", "add": ["Lan"], "change": []},
            {"field_key": "description", "change": [{"from": "Lan", "to": "Chị Lan"}]},
            {"field_key": "status", "add": ["created"]},
        ],
    }
    found = StandIns().body(body)
    assert found["changes"][0]["value"] == "Alfa"
    assert [field["value"] for field in found["addition_fields"]] == ["Lor", "Vàng", "2024/04/15"]
    assert found["addition_fields"][0]["label"] == "Tên"
    assert found["addition_field4"] == "Lor"
    assert found["event_detail"][0]["field_name"] == "Nội dung"
    assert found["event_detail"][0]["add"] == ["Lor"]
    assert found["event_detail"][1]["change"] == [{"from": "Lor", "to": "Lor Emi"}]
    assert found["event_detail"][2]["add"] == ["created"]


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("customer_name", "name"),
        ("full_name", "name"),
        ("fullName", "name"),
        ("mobilePhone", "phone"),
        ("primary_email", "email"),
        ("internal_note", "text"),
        ("shipping_address", "text"),
        ("zalo_link", "link"),
        ("field_name", ""),
        ("content_type", ""),
        ("phone_id", ""),
        ("status", ""),
        ("", ""),
    ],
)
def test_keys_that_nobody_documents_are_judged_by_their_words(key: str, what: str) -> None:
    assert personal(key) == what


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_shape_of_a_body_stays(path: Path) -> None:
    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: shape(inner) for key, inner in value.items()}
        return [shape(inner) for inner in value] if isinstance(value, list) else type(value)

    body = json.loads(path.read_bytes())
    found = StandIns().body(body)
    assert shape(found) == shape(body)
    assert StandIns().body(body) == found
