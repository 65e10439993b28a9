"""The grammar of mapping files: one description, from which they are checked and documented.

The job: plain data of one YAML document in, data with compiled expressions out, or every fault in
it at its path. Each key carries a `description` (and `example`) in its metadata, so that a JSON
Schema and the reference can be made from the same classes. What needs more than one document to
judge (does anything create that resource?) is `lint`'s; places are `load`'s.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from marshmallow import EXCLUDE, Schema, ValidationError, validates_schema

from connector.mapping.arguments import described
from connector.mapping.keys import (
    Anything,
    Choice,
    Condition,
    Empty,
    Fault,
    Flag,
    Formula,
    Key,
    ListOf,
    Scalar,
    Table,
    Text,
    invalid,
    read_constant,
    read_each,
    read_expression,
)
from connector.model import Json
from connector.problems import did_you_mean, nearest

Path: TypeAlias = tuple[str | int, ...]

ACTIONS = ("upsert", "delete")
MISSING = ("later", "create", "omit", "error")
OTHERWISE = ("error", "keep", "skip")
WRITE = ("always", "on_create", "if_empty", "unless_edited")


def read_block(data: Json) -> tuple[dict[str, Any], list[tuple[Path, Fault]]]:
    """One document of a mapping file; nothing of it where there are faults."""
    if not isinstance(data, dict):
        hint = "it takes a map, with the keys source, events and records, without `- ` before them"
        return {}, [((), Fault(f"the document is {described(data)}", hint))]
    try:
        return BlockSchema().load(data), []
    except ValidationError as error:
        return {}, _without_echoes(list(_faults(error.messages, ())))


def salvaged(data: Json, faults: Iterable[tuple[Path, Fault]]) -> dict[str, Any]:
    """The document without its faults, read, so that what is left can be judged as well; nothing
    where too little is left.

    What others are judged by has a stand-in: a record whose `when` is faulty must not look as if it
    had none. Positions stay as they are.
    """
    rest = copy.deepcopy(data)
    for _ in range(_ROUNDS):
        if not isinstance(rest, dict) or not all(_take_out(rest, path) for path, _ in faults):
            return {}
        read, faults = read_block(rest)
        if not faults:
            return read
    return {}


_ROUNDS = 3  # what is taken out may be missed: a misspelt key takes its place with it


def _take_out(data: dict[str, Json], path: Path) -> bool:
    """Take a fault out of a document; whether enough of it is left."""
    if path[:1] == ("records",) and len(path) > 1 and isinstance(data.get("records"), list):
        return _take_out_of_record(data["records"], path)
    if len(path) == 0 or path[0] in ("source", "events", "records", "target"):
        return False
    data.pop(str(path[0]), None)
    return True


def _take_out_of_record(records: list[Json], path: Path) -> bool:
    index = path[1]
    if not isinstance(index, int) or index >= len(records):
        return False
    record = records[index]
    key = path[2] if len(path) > 2 else None
    if key is None or key == "each" or not isinstance(record, dict):
        records[index] = {**_stand_ins(index), "fields": {}}
    elif key in _STAND_INS:
        record[key] = _stand_ins(index)[key]
    elif key == "fields" and "fields" not in record:
        record["fields"] = {}
    elif key == "fields" and len(path) > 3 and isinstance(record["fields"], dict):
        record["fields"].pop(path[3], None)
    else:
        record.pop(key, None)
    return True


_STAND_INS = ("resource", "id", "when")


def _stand_ins(index: int) -> dict[str, Json]:
    return {"resource": f"(record {index})", "id": f"'(record {index})'", "when": False}


def _without_echoes(faults: list[tuple[Path, Fault]]) -> list[tuple[Path, Fault]]:
    """The faults without the keys that are only missing because they are misspelt."""
    meant = {(path[:-1], fault.hint) for path, fault in faults if fault.at == "key"}
    return [
        (path, fault)
        for path, fault in faults
        if not is_missing_key(path, fault)
        or (path[:-1], f"did you mean {path[-1]!r}?") not in meant
    ]


def is_missing_key(path: Path, fault: Fault) -> bool:
    """Whether a fault is that a key is not there."""
    return bool(path) and fault.message == _missing(path[-1])


def _missing(key: str | int) -> str:
    return f"the key {key!r} is missing"


def _faults(messages: Any, path: Path) -> Iterator[tuple[Path, Fault]]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from _faults(below, path if key == "_schema" else (*path, key))
        return
    for fault in messages:
        yield path, fault if isinstance(fault, Fault) else Fault(str(fault))


# --- forms of a field


class _Grammar(Schema):
    """A map whose keys are known; any other is a fault with the nearest known one."""

    error_messages = {"type": "a map of keys and values is needed here"}  # noqa: RUF012

    class Meta:
        unknown = EXCLUDE

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _unknown_keys(self, data: Any, original: Any, **_: Any) -> None:
        if not isinstance(original, dict):
            return
        known = [field.data_key or name for name, field in self.fields.items()]
        unknown = {
            key: [Fault(f"unknown key {key!r}", did_you_mean(key, known), at="key")]
            for key in original
            if key not in known
        }
        if unknown:
            raise ValidationError(unknown)


class _Options(_Grammar):
    on_null = Choice(
        ("clear",),
        metadata={
            "description": "what null does; left out, it leaves the field alone",
            "example": "clear",
        },
    )
    empty = Empty(
        metadata={"description": "what a cleared field is sent as: null (default) or ''"},
    )
    write = Choice(
        WRITE,
        metadata={
            "description": "whose field it is: always the source's (default), only on_create, "
            "if_empty in the CRM, or unless_edited there by a person",
            "example": "unless_edited",
        },
    )


class _Mergeable(_Options):
    merge = Choice(
        ("set",),
        metadata={
            "description": "the value is a list whose elements are merged one by one",
            "example": "set",
        },
    )

    @validates_schema(skip_on_field_errors=False)
    def _a_set_is_cleared_as_a_list(self, data: Any, **_: Any) -> None:
        if "merge" in data and "empty" in data:
            fault = Fault("'empty' beside 'merge: set'", "a cleared set is sent as []", at="key")
            raise ValidationError({"empty": [fault]})


class ConstantForm(_Mergeable):
    """`{value: caresoft}`: the same for every event; null and '' clear the field."""

    value = Anything(
        required=True, metadata={"description": "a constant of any type", "example": "caresoft"}
    )


class Otherwise(Key):
    """What becomes of a value that is not among `values`."""

    wanted = "error, keep, skip or {value: …}"

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> Any:
        if isinstance(value, dict):
            return ConstantOnly().load(value)
        if not isinstance(value, str):
            raise self.wrong_type(value)
        if value not in OTHERWISE:
            hint = did_you_mean(value, OTHERWISE)
            raise invalid(
                f"'otherwise' cannot be {value!r}", f"{hint} or, for a constant, {{value: {value}}}"
            )
        return value


class ConstantOnly(_Grammar):
    """`{value: OTHER}`, without options."""

    value = Anything(required=True, metadata={"description": "a constant of any type"})


class ComputedForm(_Mergeable):
    """`{from: ticket.status, values: {new: NEW}}`: an expression with options."""

    from_ = Formula(
        data_key="from",
        required=True,
        metadata={"description": "the expression", "example": "ticket.ticket_status"},
    )
    values = Table(
        metadata={
            "description": "what each value of the expression, as text, becomes",
            "example": {"new": "NEW"},
        }
    )
    otherwise = Otherwise(
        metadata={
            "description": "what becomes of a value that is not among them: error (default), "
            "keep it, skip the field, or a constant {value: …}",
            "example": "keep",
        }
    )

    @validates_schema(skip_on_field_errors=False)
    def _values_are_not_empty(self, data: Any, **_: Any) -> None:
        if data.get("values") == {}:
            raise ValidationError({"values": [Fault("'values' is empty", "name at least one")]})

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _otherwise_needs_values(self, data: Any, original: Any, **_: Any) -> None:
        if "otherwise" in original and "values" not in original:
            fault = Fault("'otherwise' without 'values'", "add values: {…}", at="key")
            raise ValidationError({"otherwise": [fault]})


class ReferenceForm(_Options):
    """`{ref: contacts, id: ticket.requester_id}`: the CRM's id of another record."""

    ref = Text(
        required=True,
        metadata={"description": "the resource that is referred to", "example": "contacts"},
    )
    id = Formula(
        required=True,
        metadata={
            "description": "the expression that gives the other record's external id",
            "example": "ticket.requester_id",
        },
    )
    missing = Choice(
        MISSING,
        metadata={
            "description": "what happens while the other record has no id in the CRM: set it "
            "later (default), create it empty, omit the field, or error: hold the record back",
            "example": "later",
        },
    )


FORMS: Mapping[str, type[_Options]] = {
    "value": ConstantForm,
    "from": ComputedForm,
    "ref": ReferenceForm,
}
"""The forms of a field that is a map, by the key that tells them apart."""

_TELLTALES = {"values": "from", "otherwise": "from", "id": "ref", "missing": "ref"}
_FORMS_HINT = (
    "a field is an expression, a number, true, false, null, "
    "{value: …}, {from: …} or {ref: …, id: …}"
)


class FieldForm(Key):
    """One field: an expression, a bare constant, or a map in one of the forms."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_none=True, **kwargs)

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> dict[str, Any]:
        if isinstance(value, str):
            if not value.strip():
                raise invalid("the expression is empty", "null or {value: null} clears a field")
            return {"from_": read_expression(value)}
        if isinstance(value, list):
            raise invalid(
                f"a field cannot be {described(value)}",
                "a constant list is {value: […]}; an expression that begins with [ needs quotes",
            )
        if isinstance(value, dict):
            form: dict[str, Any] = _form(value)().load(value)
            return form
        return {"value": read_constant(value)}


def _form(value: dict[str, Json]) -> type[_Options]:
    """Which form a map is meant to be."""
    found = [key for key in FORMS if key in value]
    if found == ["value", "from"] and isinstance(value["value"], dict):
        hint = "did you mean 'values'?"
        raise ValidationError({"value": [Fault("'value' beside 'from'", hint, at="key")]})
    if len(found) > 1:
        raise ValidationError(
            {found[1]: [Fault(f"{found[1]!r} beside {found[0]!r}", _FORMS_HINT, at="key")]}
        )
    if not found:
        found = [_TELLTALES[key] for key in value if key in _TELLTALES]
    if not found:
        found = [meant for key in value if (meant := nearest(key, FORMS))]
    if not found:
        raise invalid(f"a field cannot be {described(value)}", _FORMS_HINT)
    return FORMS[found[0]]


class Fields(Key):
    """The fields of a record by their names, in the file's order."""

    wanted = "a map of names to fields"
    form = FieldForm()

    def _validate_missing(self, value: Any) -> None:
        if value is None:
            raise invalid("'fields' has no value", "indent the names of the fields deeper than it")
        super()._validate_missing(value)

    def _deserialize(self, value: Json, *_: Any, **__: Any) -> dict[str, dict[str, Any]]:
        if isinstance(value, list):
            raise invalid(
                f"{self.label} is {described(value)}",
                f"it takes {self.wanted}: take away the `- ` before the names",
            )
        if not isinstance(value, dict):
            raise self.wrong_type(value)
        for name in value:
            if not name.strip():
                raise ValidationError({name: [Fault("a field without a name", "", at="key")]})
        forms = read_each(value.items(), self._read)
        return dict(zip(value, forms, strict=True))

    def _read(self, value: Json) -> dict[str, Any]:
        if value is None:
            return {"value": None}
        return self.form.deserialize(value) or {}


# --- records, tests, blocks


class RecordSchema(_Grammar):
    """One entry of `records:`: what an event says about one record of the CRM, or several."""

    resource = Text(
        required=True,
        metadata={"description": "the kind of record in the CRM", "example": "tickets"},
    )
    id = Formula(
        required=True,
        metadata={
            "description": "the expression that gives the record's external id",
            "example": "ticket.ticket_id",
        },
    )
    version = Formula(
        metadata={
            "description": "the expression that gives the time as of which the event holds; "
            "left out: the time of receipt",
            "example": "ticket.updated_at",
        }
    )
    when = Condition(
        metadata={
            "description": "the record is only made where this is true (0 is false)",
            "example": "ticket.ticket_source != 'Spam'",
        }
    )
    each = Formula(
        metadata={
            "description": "one record for each element of this list; "
            "`item` and `index` are in scope",
            "example": "to_array(mergeOption.secondaryTickets)",
        }
    )
    final = Flag(
        load_default=False,
        metadata={"description": "the fields beat any version that is not final, earlier or later"},
    )
    action = Choice(
        ACTIONS,
        load_default="upsert",
        metadata={"description": "upsert (default) or delete", "example": "delete"},
    )
    fields_ = Fields(
        data_key="fields",
        metadata={
            "description": "the record's fields by their names in the CRM",
            "example": {"subject": "ticket.ticket_subject"},
        },
    )

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def _fields_belong_to_upserts(self, data: Any, original: Any, **_: Any) -> None:
        if not isinstance(original, dict):
            return
        deletes = original.get("action") == "delete"
        if deletes and "fields" in original:
            fault = Fault("a delete with fields", "leave the fields out", at="key")
            raise ValidationError({"fields": [fault]})
        if not deletes and "fields" not in original and data.get("action") == "upsert":
            fault = Fault("the key 'fields' is missing", "or say action: delete")
            raise ValidationError({"fields": [fault]})


class ExpectedSchema(_Grammar):
    """One entry of `expect:`: what must be equal of one change; what is left out may be anything"""

    action = Choice(ACTIONS, metadata={"description": "upsert or delete", "example": "delete"})
    target = Text(metadata={"description": "the target of the change"})
    resource = Text(metadata={"description": "the resource", "example": "tickets"})
    id = Scalar(metadata={"description": "the external id", "example": "316702"})
    version = Scalar(
        metadata={
            "description": "a time in any of the vendors' forms, or null for the time of receipt",
            "example": "2021-10-06T03:11:52.859Z",
        }
    )
    final = Flag(metadata={"description": "whether the change is final"})
    fields_ = Table(
        data_key="fields",
        metadata={
            "description": "fields that must be so; a reference is {ref: …, id: …}",
            "example": {"status": "NEW"},
        },
    )
    write = Table(metadata={"description": "policies that must be so, by field"})


class TestSchema(_Grammar):
    """One entry of `tests:`: a body of a vendor, and the changes that the set makes of it."""

    __test__ = False

    name = Text(
        required=True,
        metadata={"description": "what the test shows", "example": "a delete deletes the record"},
    )
    event = Table(required=True, metadata={"description": "the body, as the vendor sends it"})
    expect = ListOf(
        ExpectedSchema,
        may_be_empty=True,
        required=True,
        metadata={"description": "as many changes as there are, in their order"},
    )


class BlockSchema(_Grammar):
    """One YAML document of a mapping file."""

    source = Text(
        required=True,
        metadata={
            "description": "a kind of source (caresoft, mobio), or one configured source's name",
            "example": "caresoft",
        },
    )
    events = ListOf(
        Text(),
        required=True,
        metadata={
            "description": "a list of the kinds of events this is for; * stands for anything",
            "example": ["ticket.create", "ticket.*"],
        },
    )
    target = Text(
        metadata={
            "description": "a configured target; may be left out where there is one",
            "example": "crm",
        }
    )
    records = ListOf(
        RecordSchema,
        required=True,
        metadata={"description": "a list of the records that such an event speaks of"},
    )
    tests = ListOf(
        TestSchema,
        may_be_empty=True,
        metadata={"description": "a list of examples that `connector mappings test` runs"},
    )
