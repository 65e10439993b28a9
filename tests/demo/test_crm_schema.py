"""What a schema file may say, and how it is told what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from connector.demo.crm_schema import DEFAULT_SCHEMA, load_schema, schema_from
from connector.errors import Invalid


def one_field(**field: Any) -> dict[str, Any]:
    return {"people": {"fields": {"name": field}}}


def test_shipped_schema_is_valid_and_described() -> None:
    for resource in load_schema(DEFAULT_SCHEMA).values():
        assert resource.description
        assert all(field.description for field in resource.fields.values())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "should be an object of names"),
        ({}, "should be an object of names"),
        ({"people": 5}, "people: should be an object"),
        ({"people": {}}, "people.fields: should be an object of names"),
        ({"people": {"fields": {"name": "text"}}}, "people.fields.name: should be an object"),
        ({"peo ple": {"fields": {}}}, "the name 'peo ple'"),
        ({"people": {"fields": {"limit": {"type": "text"}}}}, "the name 'limit' is reserved"),
        ({"people": {"fields": {"_x": {"type": "text"}}}}, "the name '_x'"),
        ({"people": {"fields": {"x": {"type": "text"}}, "feilds": {}}}, "did you mean 'fields'?"),
        (one_field(type="txt"), "did you mean 'text'?"),
        (one_field(), "unknown type 'None'"),
        (one_field(type="text", resource="people"), "only a reference has a `resource`"),
        (one_field(type="reference"), "a reference needs `resource`"),
        (one_field(type="reference", resource="poeple"), "did you mean 'people'?"),
        (one_field(type="text", required=True), "unknown key 'required'"),
    ],
)
def test_wrong_schema_says_where_and_what_would_be_right(data: Any, told: str) -> None:
    with pytest.raises(Invalid) as caught:
        schema_from(data)
    assert told in str(caught.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    data = {"a": {"fields": {"x": {"type": "no"}, "y": {"type": "nope"}}}, "b": 5}
    with pytest.raises(Invalid) as caught:
        schema_from(data)
    assert len(caught.value.problems) == 3
