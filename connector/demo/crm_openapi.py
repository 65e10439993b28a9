"""The reference CRM's API as an OpenAPI 3.1 document, made from its schema."""

from __future__ import annotations

from collections.abc import Mapping

from connector.demo.crm_calls import KEY_LENGTH, LIMIT, MOST
from connector.demo.crm_schema import ID_LENGTH, Field, Resource, Schema
from connector.model import Json

_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": ID_LENGTH}
_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "The external id.",
    "schema": _ID_SCHEMA,
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same call gives the first answer again, for 24 hours.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH},
}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "Write only while the record's ETag is one of these.",
    "schema": {"type": "string"},
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "id": {"type": "string"},
                "fields": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        }
    },
}
_ERRORS = {
    "400": "The request cannot be read.",
    "401": "Credentials are missing or wrong.",
    "404": "No such record.",
    "409": "The id is known already.",
    "412": "The record has another ETag.",
    "413": "The body is larger than 1 MiB.",
    "415": "The body is not JSON.",
    "422": "A field is unknown or has a wrong type, or the idempotency key was used before.",
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "basic": {"type": "http", "scheme": "basic"},
}


def openapi(schema: Schema, *, secured: bool) -> dict[str, Json]:
    """The document; `secured` where credentials are asked for."""
    paths: dict[str, Json] = {}
    schemas: dict[str, Json] = {"error": _ERROR}
    for resource in schema.values():
        paths[f"/{resource.name}"] = _collection(resource)
        paths[f"/{resource.name}/{{id}}"] = _item(resource)
        schemas[f"{resource.name}.fields"] = _fields(resource)
        schemas[f"{resource.name}.new"] = _new(resource)
        schemas[f"{resource.name}.record"] = _record(resource)
    document: dict[str, Json] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Reference CRM",
            "version": "1",
            "description": "A small CRM to try the connector with.",
        },
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if secured:
        document["components"]["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
    return document


def _collection(resource: Resource) -> dict[str, Json]:
    return {
        "get": {
            "operationId": f"search_{resource.name}",
            "summary": f"Search {resource.name}; every parameter must be equal.",
            "parameters": [
                {"name": "id", "in": "query", "schema": _ID_SCHEMA},
                *(
                    {"name": field.name, "in": "query", "schema": _type(field)}
                    for field in resource.fields.values()
                    if field.rule.parse
                ),
                _number("limit", 1, MOST, LIMIT),
                _number("offset", 0, None, 0),
            ],
            "responses": _answers({"200": _page(resource)}, "400"),
        },
        "post": {
            "operationId": f"create_{resource.name}",
            "summary": "Create a record; with `upsert`, or change the one that has the id.",
            "parameters": [_flag("upsert", False), _KEY, _IF_MATCH],
            "requestBody": _body(f"{resource.name}.new"),
            "responses": _answers(_written(resource), "400", "409", "412", "413", "415", "422"),
        },
    }


def _item(resource: Resource) -> dict[str, Json]:
    one = _json("The record.", _link(f"{resource.name}.record"))
    write = {
        "parameters": [_KEY, _IF_MATCH],
        "requestBody": _body(f"{resource.name}.fields"),
        "responses": _answers(_written(resource), "400", "412", "413", "415", "422"),
    }
    return {
        "parameters": [_ID],
        "get": {
            "operationId": f"read_{resource.name}",
            "summary": "One record.",
            "responses": _answers({"200": one}, "404"),
        },
        "put": {
            "operationId": f"put_{resource.name}",
            "summary": "Create or replace; fields that are not given become empty.",
            **write,
        },
        "patch": {
            "operationId": f"patch_{resource.name}",
            "summary": "Create or change; fields that are not given stay, null makes empty.",
            **write,
            "parameters": [_flag("create", True), _KEY, _IF_MATCH],
            "responses": _answers(_written(resource), "400", "404", "412", "413", "415", "422"),
        },
        "delete": {
            "operationId": f"delete_{resource.name}",
            "summary": "Delete.",
            "parameters": [_KEY, _IF_MATCH],
            "responses": _answers({"204": {"description": "Deleted."}}, "404", "412", "422"),
        },
    }


def _type(field: Field) -> dict[str, Json]:
    told: dict[str, Json] = dict(field.rule.schema)
    if field.description:
        told["description"] = field.description
    if field.resource:
        told["x-reference"] = field.resource
    return told


def _nullable(field: Field) -> dict[str, Json]:
    told = _type(field)
    types = told["type"] if isinstance(told["type"], list) else [told["type"]]
    return {**told, "type": [*types, "null"]}


def _fields(resource: Resource) -> dict[str, Json]:
    return {
        "type": "object",
        "description": resource.description,
        "properties": {
            "id": {**_ID_SCHEMA, "description": "If given, the same as in the path."},
            **{name: _nullable(field) for name, field in resource.fields.items()},
        },
        "additionalProperties": False,
    }


def _new(resource: Resource) -> dict[str, Json]:
    return {**_fields(resource), "required": ["id"]}


def _record(resource: Resource) -> dict[str, Json]:
    time = {"type": "string", "format": "date-time"}
    properties = {
        "id": _ID_SCHEMA,
        **{name: _nullable(field) for name, field in resource.fields.items()},
        "_created_at": time,
        "_updated_at": time,
        "_version": {"type": "integer", "minimum": 1},
    }
    return {
        "type": "object",
        "description": resource.description,
        "required": list(properties),
        "properties": properties,
    }


def _page(resource: Resource) -> dict[str, Json]:
    number = {"type": "integer", "minimum": 0}
    return _json(
        "The records found.",
        {
            "type": "object",
            "required": ["items", "total", "limit", "offset"],
            "properties": {
                "items": {"type": "array", "items": _link(f"{resource.name}.record")},
                "total": number,
                "limit": number,
                "offset": number,
            },
        },
    )


def _written(resource: Resource) -> dict[str, Json]:
    record = _link(f"{resource.name}.record")
    return {"200": _json("Changed.", record), "201": _json("Created.", record)}


def _answers(good: Mapping[str, Json], *errors: str) -> dict[str, Json]:
    bad = {code: _json(_ERRORS[code], _link("error")) for code in ("401", *errors)}
    return dict(sorted({**good, **bad}.items()))


def _json(description: str, schema: Mapping[str, Json]) -> dict[str, Json]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _body(schema: str) -> dict[str, Json]:
    return {"required": True, "content": {"application/json": {"schema": _link(schema)}}}


def _link(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _flag(name: str, default: bool) -> dict[str, Json]:
    return {"name": name, "in": "query", "schema": {"type": "boolean", "default": default}}


def _number(name: str, lowest: int, highest: int | None, default: int) -> dict[str, Json]:
    limits = {"minimum": lowest} if highest is None else {"minimum": lowest, "maximum": highest}
    return {
        "name": name,
        "in": "query",
        "schema": {"type": "integer", "default": default, **limits},
    }
