"""`mappings check` with a `schema:`: every doubt stands at the place of the rule that causes it."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from connector import terminal
from connector.cli import main
from connector.config import load
from connector.demo.crm_openapi import openapi
from connector.demo.crm_schema import DEFAULT_SCHEMA, load_schema
from connector.openapi.fitting import misfit

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["subject", "source_system"],
    "properties": {
        "subject": {"type": "string", "maxLength": 20},
        "status": {"type": ["string", "null"], "enum": ["NEW", "OPEN", "SOLVED", None]},
        "number": {"type": "integer", "minimum": 1},
        "opened_at": {"type": "string", "format": "date-time"},
        "email": {"type": "string", "format": "email"},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "customer": {"type": "object", "properties": {"name": {"type": "string"}}},
        "anything": {},
        "created": {"type": "string", "readOnly": True},
        "source_system": {"type": "string"},
        "contact": {"type": "integer"},
    },
}

CONFIG = """\
sources:
  caresoft: {kind: caresoft, unsigned: true}
targets:
  crm:
    base_url: http://127.0.0.1:9
    resources:
      tickets:
        schema: tickets.json
        fields: {who: customer.name, whose: customer.nmae}
"""

MAPPING = """\
source: caresoft
events: [ticket.update]
target: crm
records:
  - resource: tickets
    id: ticket.ticket_id
    fields:
{fields}
tests:
  - name: a ticket
    event:
      object: ticket
      action: update
      ticket: {{ticket_id: 7, ticket_subject: A subject that is much too long,
        ticket_status: new, n: "12", at: "2024-01-02", mail: nobody, tags: [a, 5]}}
    expect: [{{resource: tickets}}]
"""

Check = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """The warnings for a mapping with these fields."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTOR_CONFIG", raising=False)
    monkeypatch.setattr(terminal.out, "width", 200)
    Path("mappings").mkdir()
    Path("config.yaml").write_text(CONFIG, "utf-8")
    Path("tickets.json").write_text(json.dumps(SCHEMA), "utf-8")

    def warnings(fields: str, *words: str, code: int = 0) -> list[dict[str, Any]]:
        inner = textwrap.indent(textwrap.dedent(fields), "      ")
        Path("mappings/t.yaml").write_text(MAPPING.format(fields=inner), "utf-8")
        result = CliRunner().invoke(main, ["mappings", "check", "--json", *words])
        assert result.exit_code == code, result.output
        found: list[dict[str, Any]] = json.loads(result.stdout)["warnings"]
        # What is doubtful about the vendor's document is told by another part of the check.
        return [each for each in found if "connector mappings fields" not in str(each["hint"])]

    return warnings


GOOD = "subject: {value: short}\nsource_system: {value: caresoft}\n"


def test_a_mapping_that_fits_has_no_warnings(check: Check) -> None:
    fields = GOOD + (
        "status: {from: ticket.ticket_status, values: {new: NEW, open: OPEN}, otherwise: skip}\n"
        "number: integer(ticket.n)\nopened_at: timestamp('2024-01-02T03:04:05Z')\n"
        "anything: ticket\nwho: ticket.ticket_subject\n"
        "contact: {ref: tickets, id: ticket.ticket_id}\n"
    )
    assert check(fields) == []


CASES = [
    (
        "sbject: ticket.ticket_subject",
        "does not know the field 'sbject'",
        "did you mean 'subject'?",
    ),
    (
        "xyzzy: ticket.ticket_subject",
        "does not know the field 'xyzzy'",
        "known: subject, status, number",
    ),
    (
        "whose: ticket.ticket_subject",
        "'customer.nmae' of tickets (the mapping's 'whose')",
        "'name'?",
    ),
    ("created: ticket.ticket_status", "can only be read", "readOnly"),
    ("number: ticket.n", "'number' of tickets may be '12'", "the CRM wants a whole number"),
    ("number: {value: 0}", "'number' of tickets may be '0 (a whole number)'", "at least 1"),
    ("email: ticket.mail", "may be 'nobody'", "the CRM wants text in the format email"),
    ("opened_at: ticket.at", "may be '2024-01-02'", "the CRM wants text in the format date-time"),
    ("urgent: ticket.ticket_status", "may be 'new'", "the CRM wants true or false"),
    ("tags: ticket.tags", "'tags' of tickets may be", "a list of text"),
    ("status: ticket.ticket_status", "may be 'new'", "one of NEW, OPEN, SOLVED"),
]


@pytest.mark.parametrize(("field", "message", "hint"), CASES, ids=[case[0] for case in CASES])
def test_what_does_not_fit_is_told_at_the_rule(
    check: Check, field: str, message: str, hint: str
) -> None:
    (warning,) = check(GOOD + field + "\n")
    assert message in warning["message"]
    assert hint in warning["hint"]
    assert (warning["file"], warning["line"], warning["column"]) == ("mappings/t.yaml", 10, 7)


def test_a_text_that_is_too_long_is_told_with_its_beginning(check: Check) -> None:
    (warning,) = check("subject: ticket.ticket_subject\nsource_system: {value: x}\n")
    assert "may be 'A subject that is much too long'" in warning["message"]
    assert warning["hint"] == "the CRM wants at most 20 characters"


def test_a_choice_that_the_crm_does_not_have_is_told_at_its_own_line(check: Check) -> None:
    field = "status:\n  from: ticket.ticket_status\n  values:\n    new: NEW\n    closed: CLOSED\n"
    field += "  otherwise: skip\n"
    (warning,) = check(GOOD + field)
    assert "may be 'CLOSED'" in warning["message"]
    assert (warning["line"], warning["column"]) == (14, 11)


def test_a_required_field_that_no_rule_sets_is_told_at_the_first_record(check: Check) -> None:
    (warning,) = check("subject: {value: short}\n")
    assert "no rule sets 'source_system', which the CRM requires of tickets" in warning["message"]
    assert (warning["file"], warning["line"]) == ("mappings/t.yaml", 5)


def test_texts_fit_where_the_crm_takes_only_texts(check: Check) -> None:
    Path("config.yaml").write_text(CONFIG + "        values: strings\n", "utf-8")
    assert "a whole number" in check(GOOD + "number: integer(ticket.n)\n")[0]["hint"]


def test_a_file_is_told_of_its_own_doubts_only(check: Check) -> None:
    Path("mappings/other.yaml").write_text(
        "source: caresoft\nevents: [ticket.create]\ntarget: crm\n"
        "records: [{resource: tickets, id: ticket.ticket_id, fields: {odd: ticket.n}}]\n",
        "utf-8",
    )
    found = check(GOOD + "sbject: ticket.ticket_subject\n", "mappings/other.yaml")
    assert ["'odd'" in each["message"] for each in found] == [True]


def test_a_strict_check_fails_for_what_does_not_fit(check: Check) -> None:
    assert check(GOOD + "sbject: ticket.ticket_subject\n", "--strict", code=1)


@pytest.mark.parametrize("text", [None, "{", "[]", '{"properties": {"a": 5}}'])
def test_a_schema_that_cannot_be_read_is_an_error(check: Check, text: str | None) -> None:
    Path("tickets.json").unlink()
    if text is not None:
        Path("tickets.json").write_text(text, "utf-8")
    check(GOOD, code=1)


def test_a_schema_is_looked_for_beside_the_configuration(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`default` hands it on; null takes that back."""
    (tmp_path / "elsewhere").mkdir()
    text = CONFIG.replace("tickets:", "default:") + "      calls: {schema: null}\n"
    (tmp_path / "elsewhere" / "config.yaml").write_text(text, "utf-8")
    monkeypatch.setenv("CONNECTOR_CONFIG", "elsewhere/config.yaml")
    target = load(Path("elsewhere/config.yaml"), {}).targets["crm"]
    assert target.resource("tickets").schema == tmp_path / "elsewhere" / "tickets.json"
    assert target.resource("calls").schema is None


def test_config_check_tells_it_too(check: Check) -> None:
    check(GOOD + "sbject: ticket.ticket_subject\n")
    result = CliRunner().invoke(main, ["config", "check", "--json"])
    warnings = json.loads(result.stdout)["warnings"]
    assert any("'sbject'" in each["message"] for each in warnings)


# --- values


@pytest.mark.parametrize(
    ("value", "schema", "wanted"),
    [
        (1, {"type": "integer"}, ""),
        (1.0, {"type": "integer"}, ""),
        (1.5, {"type": "integer"}, "a whole number"),
        (True, {"type": "integer"}, "a whole number"),
        (True, {"type": ["boolean", "null"]}, ""),
        ("x", {"type": ["integer", "string"]}, ""),
        ("x", {}, ""),
        ("x", {"type": "strange"}, "strange"),
        ({"a": 1}, {"type": "string"}, "text"),
        ("b", {"const": "a"}, "'a'"),
        ("ab", {"minLength": 3}, "at least 3 characters"),
        (7, {"maximum": 5}, "at most 5"),
        ("2024-01-02T03:04:05.678Z", {"format": "date-time"}, ""),
        ("2024-01-02T03:04:05", {"format": "date-time"}, "text in the format date-time"),
        ("2024-01-02", {"format": "date"}, ""),
        ("x", {"format": "made-up"}, ""),
        ("x", {"enum": "x"}, ""),
        ("x", {"maxLength": "no number"}, ""),
    ],
)
def test_a_value_fits_or_it_is_said_what_is_wanted(
    value: Any, schema: dict[str, Any], wanted: str
) -> None:
    assert misfit(value, schema) == wanted


# --- the shipped mappings


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CONNECTOR_CONFIG", raising=False)
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    return tmp_path


def test_the_shipped_mappings_fit_the_reference_crm(shipped: Path) -> None:
    Path("openapi.json").write_text(
        json.dumps(openapi(load_schema(DEFAULT_SCHEMA), secured=False)), "utf-8"
    )
    words = [word for name in load_schema(DEFAULT_SCHEMA) for word in ("--resource", name)]
    result = CliRunner().invoke(main, ["targets", "import", "openapi.json", *words])
    sources = "sources:\n  caresoft: {kind: caresoft, unsigned: true}\n"
    Path("config.yaml").write_text(sources + result.stdout, "utf-8")
    assert "schema: schemas/crm.tickets.json" in result.stdout
    result = CliRunner().invoke(main, ["mappings", "check", "--json"])
    assert json.loads(result.stdout) == {"errors": [], "warnings": []}
