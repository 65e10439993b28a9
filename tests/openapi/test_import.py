"""From an API's own description to a configuration: what is proposed, and that it holds."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from click.testing import CliRunner
from system import SAMPLES, System, wait_for

from connector import terminal
from connector.cli import main
from connector.config import load
from connector.config.model import TargetConfig
from connector.demo.crm_openapi import openapi
from connector.demo.crm_schema import DEFAULT_SCHEMA, load_schema
from connector.demo.run import EXPECTED

DOCUMENTS = Path(__file__).with_name("documents")
ENVIRON = dict.fromkeys(
    [
        *("CRM_TOKEN", "CRM_USER", "CRM_PASSWORD", "CRM_KEY"),
        *("CRM_ID", "CRM_SECRET", "CRM_REFRESH_TOKEN"),
    ],
    "xxxx",
) | {"CRM_BASE_URL": "https://crm.example"}

Run = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`connector targets import …` in an empty folder, with the documents beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTOR_CONFIG", raising=False)
    monkeypatch.setattr(terminal.out, "width", 200)
    for file in DOCUMENTS.iterdir():
        shutil.copy(file, tmp_path)

    def verb(*words: str, code: int = 0) -> Any:
        result = CliRunner().invoke(main, ["targets", "import", *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return verb


def proposed(run: Run, *words: str) -> dict[str, Any]:
    """The configuration of the only resource that was asked for."""
    out = json.loads(run(*words, "--json").stdout)
    assert loaded(out["yaml"])
    (resource,) = out["resources"]
    config: dict[str, Any] = resource["config"]
    return config


def loaded(text: str) -> TargetConfig:
    """What the connector makes of a proposal."""
    Path("proposal.yaml").write_text(text, "utf-8")
    return load(Path("proposal.yaml"), ENVIRON).targets["crm"]


# --- styles of APIs


def test_an_api_with_ids_of_its_own_and_a_wrapper_is_searched_first(run: Run) -> None:
    assert proposed(run, "wrapped.yaml", "--resource", "tickets") == {
        "upsert": {
            "strategy": "search_then_write",
            "search": {
                "path": "/items/tickets",
                "query": {"filter[external_id][_eq]": "{external_id}"},
                "found": "data",
            },
            "create": {"path": "/items/tickets"},
            "update": {"path": "/items/tickets/{crm_id}"},
        },
        "body": {"data": "{fields}"},
        "external_id_field": "external_id",
        "crm_id": "data.id",
        "hit_id": "id",
        "read": {"path": "/items/tickets/{crm_id}", "record": "data"},
        "delete": {"path": "/items/tickets/{crm_id}"},
        "schema": "schemas/crm.tickets.json",
    }


def test_json_api_gets_its_envelope_media_type_and_headers(run: Run) -> None:
    config = proposed(run, "jsonapi.yaml", "--resource", "persons=/people")
    kind = {"Content-Type": "application/vnd.api+json"}
    origin = {"Origin": "https://us.example"}
    assert config["body"] == {"data": {"type": "people", "attributes": "{fields}"}}
    assert config["upsert"] == {
        "strategy": "search_then_write",
        "search": {
            "path": "/people",
            "query": {"filter[externalId]": "{external_id}"},
            "found": "data",
            "record": "attributes",
        },
        "create": {"path": "/people", "headers": kind},
        "update": {
            "path": "/people/{crm_id}",
            "headers": {**origin, **kind},
            "body": {"data": {"type": "people", "id": "{crm_id}", "attributes": "{fields}"}},
        },
    }
    assert config["read"] == {
        "path": "/people/{crm_id}",
        "headers": origin,
        "record": "data.attributes",
    }
    assert (config["crm_id"], config["hit_id"], config["etag"]) == ("data.id", "id", "header")


def test_an_id_in_the_query_stands_in_the_query(run: Run) -> None:
    config = proposed(run, "query.json", "--resource", "customers")
    assert config["upsert"] == {
        "strategy": "create_then_update",
        "create": {"path": "/Customer"},
        "update": {"method": "PUT", "path": "/Customer", "query": {"customerId": "{crm_id}"}},
    }
    assert config["read"]["query"] == {"customerId": "{crm_id}", "version": "2"}
    assert config["delete"]["query"] == {"customerId": "{crm_id}"}
    assert (config["crm_id"], config["send"]) == ("customerId", "all")


def test_an_id_that_the_client_chooses_is_ours(run: Run) -> None:
    config = proposed(run, "ours.yaml", "--resource", "contacts")
    assert config["upsert"] == {
        "strategy": "create_then_update",
        "create": {"path": "/buckets/BUCKET/contacts"},
        "update": {"method": "PUT", "path": "/buckets/BUCKET/contacts/{external_id}"},
    }
    assert (config["external_id_field"], "crm_id" in config) == ("id", False)


# --- the reference CRM


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("reference") / "openapi.json"
    file.write_text(json.dumps(openapi(load_schema(DEFAULT_SCHEMA), secured=False)), "utf-8")
    return file


def test_the_whole_demo_runs_with_what_is_proposed_for_its_crm(
    run: Run, reference: Path, tmp_path: Path
) -> None:
    expected: Mapping[str, Any] = json.loads(EXPECTED.read_text("utf-8"))
    wanted = [word for name in load_schema(DEFAULT_SCHEMA) for word in ("--resource", name)]
    text = run(str(reference), *wanted).stdout
    resources = yaml.safe_load(text)["targets"]["crm"]["resources"]
    assert resources.keys() == load_schema(DEFAULT_SCHEMA).keys()
    system = System(tmp_path, target=f"    resources: {json.dumps(resources)}\n")
    try:
        system.redis.start()
        system.write_config()
        crm = ["-m", "connector.demo.crm", "--port", str(system.crm_port), "--db", "crm.sqlite"]
        system.start("crm", *crm)
        wait_for(lambda: _answers(f"{system.crm_url}/openapi.json"), "the CRM")
        system.start_web()
        system.start_worker()
        samples = sorted(SAMPLES.glob("*/*.json"))
        for sample in samples:
            answer = system.send(sample.parent.name, sample.read_bytes())
            assert answer.status_code == 200, answer.text
        states = system.wait_until_settled(len(samples), within=60)
        assert not states.keys() & {"dead", "waiting"}, states
        for name, rows in expected.items():
            found = {row["id"]: row for row in system.crm(f"{name}?limit=200")["items"]}
            assert found.keys() == rows.keys()
            for key, row in rows.items():
                assert {field: found[key][field] for field in row} == row
        assert system.cli("mappings", "check")["warnings"] == []
    finally:
        for name in list(system.processes):
            system.kill9(name)
        system.redis.stop()


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False


# --- what is said


def test_reasons_stand_above_the_keys_and_guesses_are_called_guesses(run: Run) -> None:
    text = run("wrapped.yaml", "--resource", "tickets").stdout
    assert "        # a record has the CRM's own id, so it is searched for by ours, once\n" in text
    assert "A guess" not in text
    text = run("query.json", "--resource", "customers").stdout
    assert (
        "# A guess: no field sounds like another system's id: name the one that holds ours" in text
    )
    text = run("ours.yaml", "--resource", "contacts").stdout
    assert "# `BUCKET` in /buckets/{bucket}/contacts: put in what it should be." in text
    assert "# No DELETE is documented: a delete would become a dead letter." in text


def test_address_credentials_and_the_header_for_keys_are_taken_over(run: Run) -> None:
    def target(*words: str) -> Any:
        return yaml.safe_load(run(*words).stdout)["targets"]["crm"]

    wrapped = target("wrapped.yaml", "--resource", "tickets")
    assert wrapped["base_url"] == "https://wrapped.example/api"
    assert wrapped["auth"] == {"type": "bearer", "token": "${CRM_TOKEN}"}
    assert target("jsonapi.yaml", "--resource", "people")["auth"] == {
        "type": "header",
        "name": "X-Api-Key",
        "value": "${CRM_KEY}",
    }
    old = target("query.json", "--resource", "customers")
    assert old["base_url"] == "https://old.example/crm"
    assert old["auth"]["type"] == "basic"
    assert old["idempotency_header"] == "X-Request-Idempotency-Id"


def test_fields_are_kept_beside_the_configuration_without_references(run: Run) -> None:
    out = json.loads(run("wrapped.yaml", "--resource", "tickets", "--json").stdout)
    kept = json.loads(Path("schemas/crm.tickets.json").read_text("utf-8"))
    assert kept["additionalProperties"] is False
    assert kept["required"] == ["subject"]
    assert kept["properties"]["status"]["type"] == ["string", "null"]
    assert kept["properties"]["contact"]["type"] == ["integer", "object"]
    assert "$ref" not in json.dumps(kept["properties"])
    fields = {field["name"]: field for field in out["resources"][0]["fields"]}
    assert fields["subject"] == {
        "name": "subject",
        "required": True,
        "type": "string",
        "maxLength": 20,
    }


def test_without_a_resource_those_of_the_document_are_listed(run: Run) -> None:
    assert "/buckets/{bucket}/contacts/{id}" in run("ours.yaml").stdout
    rows = json.loads(run("wrapped.yaml", "--json").stdout)["resources"]
    assert rows == [
        {
            "name": "tickets",
            "path": "/items/tickets",
            "methods": ["GET", "POST"],
            "item": "/items/tickets/{id}",
            "item_methods": ["DELETE", "GET", "PATCH"],
        }
    ]


@pytest.mark.parametrize("hint", ["TicketWrite", "/items/tickets", "/items/tickets/{id}", "ticket"])
def test_a_resource_of_another_name_is_found_by_schema_or_path(run: Run, hint: str) -> None:
    config = proposed(run, "wrapped.yaml", "--resource", f"issues={hint}")
    assert config["upsert"]["update"]["path"] == "/items/tickets/{crm_id}"


def test_a_resource_that_the_document_has_not_is_told_with_those_that_it_has(run: Run) -> None:
    result = run("wrapped.yaml", "--resource", "deals", code=1)
    assert "no path of wrapped.yaml is about deals" in result.stderr
    assert "it has tickets" in result.stderr


def test_a_file_that_exists_is_not_written_over(run: Run) -> None:
    run("wrapped.yaml", "--resource", "tickets", "--output", "new.yaml")
    assert loaded(Path("new.yaml").read_text("utf-8")).resource("tickets").crm_id
    result = run("wrapped.yaml", "--resource", "tickets", "--output", "new.yaml", code=2)
    assert "new.yaml exists already" in result.stderr


# --- what frameworks and vendors write


JSON_ = "application/json"
OPTIONAL = {"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]}
TICKET = {
    "type": "object",
    "required": ["ticket_subject"],
    "properties": {"ticket_subject": OPTIONAL, "ext_id": {"type": "string"}},
}


def api(paths: Mapping[str, Any], **more: Any) -> None:
    """Writes `api.json`, of OpenAPI 3.1."""
    text = json.dumps({"openapi": "3.1.0", "info": {"title": "x"}, "paths": paths, **more})
    Path("api.json").write_text(text, "utf-8")


def sends(schema: Any, media: str = JSON_) -> dict[str, Any]:
    return {"requestBody": {"content": {media: {"schema": schema}}}, "responses": {}}


def gives(schema: Any, media: str = JSON_) -> dict[str, Any]:
    return {"responses": {"200": {"content": {media: {"schema": schema}}}}}


def test_a_wrapper_of_any_properties_and_a_search_by_post_are_seen(run: Run) -> None:
    free = {"type": "object", "additionalProperties": {"type": "string"}}
    row = {"type": "object", "properties": {"id": {"type": "string"}, "properties": free}}
    hits = {"type": "object", "properties": {"results": {"type": "array", "items": row}}}
    new = {
        "type": "object",
        "required": ["properties", "associations"],
        "properties": {"properties": free, "associations": {"type": "array", "items": {}}},
    }
    asked = {"type": "object", "properties": {"filterGroups": {"type": "array"}}}
    api(
        {
            "/contacts": {"post": {**sends(new), **gives(row)}},
            "/contacts/search": {"post": {**sends(asked), **gives(hits)}},
            "/contacts/{id}": {
                "patch": sends({"properties": {"properties": free}}),
                "get": gives(row),
            },
        }
    )
    config = proposed(run, "api.json", "--resource", "contacts")
    equal = {"propertyName": "external_id", "operator": "EQ", "value": "{external_id}"}
    assert config["upsert"] == {
        "strategy": "search_then_write",
        "search": {
            "method": "POST",
            "path": "/contacts/search",
            "body": {"filterGroups": [{"filters": [equal]}]},
            "found": "results",
            "record": "properties",
        },
        "create": {
            "path": "/contacts",
            "body": {"properties": "{fields}", "associations": []},
        },
        "update": {"path": "/contacts/{crm_id}"},
    }
    assert (config["body"], config["values"]) == ({"properties": "{fields}"}, "strings")
    assert config["read"]["record"] == "properties"


def test_an_update_that_names_its_record_in_the_body_says_so(run: Run) -> None:
    pet = {"properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}
    api({"/pet": {"post": {**sends(pet), **gives(pet)}, "put": sends(pet)}, "/pet/{petId}": {}})
    config = proposed(run, "api.json", "--resource", "pets")
    assert config["upsert"]["update"] == {
        "method": "PUT",
        "path": "/pet",
        "body": {"id": "{crm_id}", "**": "{fields}"},
    }


def test_a_form_is_proposed_where_no_json_is_taken(run: Run) -> None:
    form = "application/x-www-form-urlencoded"
    api(
        {
            "/tickets/": {"post": {**sends(TICKET, form), **gives(TICKET, "*/*")}},
            "/tickets/{id}/": {"patch": sends(TICKET, form)},
        }
    )
    config = proposed(run, "api.json", "--resource", "tickets")
    assert config["upsert"]["create"] == {"path": "/tickets/", "headers": {"Content-Type": form}}
    kept = json.loads(Path("schemas/crm.tickets.json").read_text("utf-8"))
    assert kept["properties"]["ticket_subject"] == {"type": ["string", "null"], "maxLength": 5}


def test_the_form_fields_of_swagger_2_are_those_that_the_crm_knows(run: Run) -> None:
    fields = [
        {"in": "formData", "name": "ticket_subject", "type": "string", "required": True},
        {"in": "formData", "name": "ticket_status", "type": "string", "enum": ["new"]},
    ]
    many = {"post": {"parameters": fields, "responses": {}}}
    one = {"put": {"parameters": fields[1:], "responses": {}}}
    paths = {"/tickets": many, "/tickets/{id}": one}
    Path("api.json").write_text(json.dumps({"swagger": "2.0", "paths": paths}), "utf-8")
    out = json.loads(run("api.json", "--resource", "tickets", "--json").stdout)
    assert [(f["name"], f["required"]) for f in out["resources"][0]["fields"]] == [
        ("ticket_subject", True),
        ("ticket_status", False),
    ]


def test_the_module_of_a_path_is_the_name_of_the_resource(run: Run) -> None:
    rows = {"properties": {"data": {"type": "array", "items": TICKET}, "trigger": {}}}
    api({"/crm/{module}": {"post": sends(rows)}, "/crm/{module}/{id}": {"put": sends(rows)}})
    config = proposed(run, "api.json", "--resource", "leads=/crm/{module}")
    assert config["upsert"]["create"]["path"] == "/crm/{resource}"
    assert config["upsert"]["update"]["path"] == "/crm/{resource}/{crm_id}"
    assert config["body"] == {"data": ["{fields}"]}


SCHEMES: list[tuple[dict[str, Any], dict[str, str]]] = [
    (
        {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Bearer {key}"},
        {"type": "bearer", "token": "${CRM_TOKEN}"},
    ),
    (
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": 'Token-based authentication with required prefix "Token"',
        },
        {"type": "header", "name": "Authorization", "value": "Token ${CRM_KEY}"},
    ),
    (
        {
            "type": "oauth2",
            "flows": {"authorizationCode": {"tokenUrl": "https://crm.example/token"}},
        },
        {
            "type": "oauth2_refresh_token",
            "token_url": "https://crm.example/token",
            "refresh_token": "${CRM_REFRESH_TOKEN}",
            "client_id": "${CRM_ID}",
            "client_secret": "${CRM_SECRET}",
        },
    ),
]


@pytest.mark.parametrize(("scheme", "auth"), SCHEMES, ids=["bearer", "prefix", "refresh"])
def test_credentials_that_the_calls_name_come_before_others(
    run: Run, scheme: dict[str, Any], auth: dict[str, str]
) -> None:
    post = {**sends(TICKET), "security": [{"ours": []}]}
    schemes = {"another": {"type": "http", "scheme": "basic"}, "ours": scheme}
    api({"/tickets": {"post": post}}, components={"securitySchemes": schemes})
    out = json.loads(run("api.json", "--resource", "tickets", "--json").stdout)
    assert yaml.safe_load(out["yaml"])["targets"]["crm"]["auth"] == auth


def test_a_server_without_a_host_and_a_call_about_oneself_are_taken_over(run: Run) -> None:
    paths = {"/tickets": {"post": sends(TICKET)}, "/users/me": {"get": gives({})}}
    api(paths, servers=[{"url": "/api/{v}", "variables": {"v": {"default": "v1"}}}])
    out = json.loads(run("api.json", "--resource", "tickets", "--json").stdout)
    target = yaml.safe_load(out["yaml"])["targets"]["crm"]
    assert target["base_url"] == "${CRM_BASE_URL}/api/v1"
    assert target["check"] == {"path": "/users/me"}


# --- files that are no good, and files that mean no good


BAD = [
    ("{", "no JSON"),
    ("a: [", "bad.yaml:2:1: no YAML"),
    ("[]", "no OpenAPI document"),
    ("openapi: 1.2\npaths: {/a: {}}", "no OpenAPI document"),
    ("openapi: 3.0.0\n", "it describes no paths"),
    ("", "no OpenAPI document"),
    ('{"a": ' + "[" * 100_000, "bad.yaml"),
    ("a: " + "[" * 100_000, "more than 200 levels"),
    ("a: *b", "*b names nothing"),
    ("? [a]\n: b", "a key that is no text"),
]


@pytest.mark.parametrize(("text", "told"), BAD, ids=[told for _, told in BAD])
def test_a_file_that_is_no_openapi_document_could_not_be_read(
    run: Run, text: str, told: str
) -> None:
    Path("bad.yaml").write_text(text, "utf-8")
    assert told in run("bad.yaml", code=2).stderr


def test_nothing_is_fetched_and_what_was_not_followed_is_told(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket", None)
    result = run("query.json", "--resource", "customers")
    assert "not followed: https://elsewhere.example/schema.json#/X" in result.stderr


def document(schemas: Mapping[str, Any]) -> str:
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}}
    item = {"put": {"requestBody": body, "responses": {"201": {"description": ""}}}}
    return json.dumps(
        {"openapi": "3.0.0", "paths": {"/a/{id}": item}, "components": {"schemas": schemas}}
    )


HOSTILE = {
    "itself": {"A": {"$ref": "#/components/schemas/A"}},
    "a ring": {
        "A": {"allOf": [{"$ref": "#/components/schemas/B"}]},
        "B": {"$ref": "#/components/schemas/A"},
    },
    "a tree without end": {
        "A": {"properties": {f"p{n}": {"$ref": "#/components/schemas/B"} for n in range(200)}},
        "B": {"properties": {f"q{n}": {"$ref": "#/components/schemas/C"} for n in range(200)}},
        "C": {"properties": {f"r{n}": {"$ref": "#/components/schemas/A"} for n in range(200)}},
    },
    "nowhere": {"A": {"properties": {"x": {"$ref": "#/components/schemas/Z/9"}}}},
    "of odd types": {"A": {"properties": [], "required": 7, "allOf": "x", "type": {}, "enum": 5}},
}


@pytest.mark.parametrize("schemas", HOSTILE.values(), ids=list(HOSTILE))
def test_a_document_that_refers_to_itself_ends(run: Run, schemas: dict[str, Any]) -> None:
    Path("bad.json").write_text(document(schemas), "utf-8")
    run("bad.json", "--resource", "a")
    kept = Path("schemas/crm.a.json")
    assert not kept.exists() or kept.stat().st_size < 5_000_000


def test_aliases_that_stand_for_very_much_end(run: Run) -> None:
    lines = ["openapi: 3.0.0", "x0: &a0 {properties: {a: {type: string}}}"]
    for n in range(1, 12):
        inner = ", ".join(f"k{m}: *a{n - 1}" for m in range(30))
        lines.append(f"x{n}: &a{n} {{type: object, properties: {{{inner}}}}}")
    body = "requestBody: {content: {application/json: {schema: *a11}}}"
    lines.append(f"paths: {{/tickets: {{post: {{{body}, responses: {{}}}}}}}}")
    Path("laugh.yaml").write_text("\n".join(lines), "utf-8")
    run("laugh.yaml", "--resource", "tickets")
    run("laugh.yaml", "--resource", "tickets=Nothing", code=1)


def test_the_proposal_of_this_python_is_that_of_every_run(run: Run) -> None:
    first = run("wrapped.yaml", "--resource", "tickets").stdout
    assert run("wrapped.yaml", "--resource", "tickets").stdout == first
    assert sys.version_info >= (3, 11)
