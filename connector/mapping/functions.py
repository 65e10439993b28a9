"""The functions that a mapping may call beside JMESPath's own: one table, for all who ask.

`FUNCTIONS` drives the evaluation of expressions, their checks and `connector mappings functions`.
Invariant: a function is pure but for `context.warn`, fails only with `FunctionError`, and keeps the
general rule of the mapping language: null in, null out; empty text in, empty text out, unless its
line says otherwise. Neighbours: the modules named after what they read do the reading; evaluation
calls, and adds the place to errors and warnings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from connector.mapping.arguments import Context, FunctionError, canonical, wrong
from connector.mapping.clean_html import html_clean
from connector.mapping.custom_fields import custom, custom_all, custom_id, separator_of
from connector.mapping.numerals import boolean, integer, notation, number
from connector.mapping.phones import phone, region_named
from connector.mapping.plain_text import text
from connector.mapping.texts import concat, email, identifier, lower, slug, string, trim, upper
from connector.mapping.times import date, strftime_form, timestamp, zone_named
from connector.model import Json
from connector.problems import did_you_mean

__all__ = ["FUNCTIONS", "OF_VALUE", "Call", "Context", "Function", "FunctionError"]

Call: TypeAlias = Callable[[Context, Sequence[Json]], Json]
Constant: TypeAlias = Callable[[Context, Json], object]


@dataclass(frozen=True, slots=True)
class Function:
    """A function of mapping expressions.

    `signature` is what people are shown, `?` after an argument that may be left out and `…` for
    any number more. `max_args` None: no limit; the caller checks the number. `example` is a call
    and its value: `slug('Đà Nẵng') → "da-nang"`. `constants` reads arguments that are written out
    in a mapping, by position: it raises FunctionError for one that could never work, so that a
    misspelled zone is found when the mapping is checked and not at the first event.
    """

    name: str
    signature: str
    doc: str
    min_args: int
    max_args: int | None
    call: Call
    example: str
    constants: Mapping[int, Constant] = field(default_factory=dict)


def default(context: Context, value: Json, otherwise: Json) -> Json:
    """`otherwise` when the value is null; an empty text stays."""
    return otherwise if value is None else value


def coalesce(context: Context, *values: Json) -> Json:
    """The first value that is neither null nor empty (`''`, `[]`, `{}`); none: null."""
    return next((value for value in values if value not in (None, "", [], {})), None)


def digest(context: Context, value: Json) -> Json:
    """The first 32 hex digits of the SHA-256 of canonical JSON (RFC 8785)."""
    return hashlib.sha256(canonical(value, "hash").encode()).hexdigest()[:32]


def lookup(context: Context, table: Json, key: Json, missing: Json = None) -> Json:
    """The table's value for the key as text; an unknown key gives `missing`, a null key null.

    An empty key stays an empty text unless the table has one.
    """
    rows = _table(context, table)
    if key is None:
        return None
    if not isinstance(key, str):
        if isinstance(key, (list, Mapping)):
            raise wrong("lookup", key, "a text, a number or a boolean as key")
        key = string(context, key)
    return rows.get(key, missing if key != "" else "")


def _table(context: Context, name: Json) -> Mapping[str, Json]:
    rows = context.tables.get(name) if isinstance(name, str) else None
    if rows is None:
        known = did_you_mean(name, context.tables) if isinstance(name, str) else ""
        raise wrong("lookup", name, "the name of a table in tables/" + (known and f"; {known}"))
    return rows


def _spread(function: Callable[..., Json]) -> Call:
    """A function called with all its arguments, whatever they are."""

    def call(context: Context, args: Sequence[Json]) -> Json:
        return function(context, *args)

    return call


def _of_value(function: Callable[..., Json]) -> Call:
    """A function under the general rule: its first argument null or `''` is also its result."""

    def call(context: Context, args: Sequence[Json]) -> Json:
        value = args[0]
        return value if value is None or value == "" else function(context, *args)

    OF_VALUE[call] = function
    return call


OF_VALUE: dict[Call, Callable[..., Json]] = {}
"""What is called by those under the general rule, when they are given neither null nor `''`."""


def _locale(function: str) -> Constant:
    return lambda context, locale: notation(function, locale)


def _optional(read: Callable[[str, Json], object], function: str) -> Constant:
    return lambda context, value: value is None or read(function, value)


_ALL = (
    Function(
        "timestamp",
        "timestamp(x, format?, zone?)",
        "the time in UTC with milliseconds, or in a strftime form in a zone (the configured one "
        "unless said); 0 gives null, a bare date is an error",
        1,
        3,
        _of_value(timestamp),
        'timestamp(`1633488353675`) → "2021-10-06T02:45:53.675Z"',
        {1: _optional(strftime_form, "timestamp"), 2: _optional(zone_named, "timestamp")},
    ),
    Function(
        "date",
        "date(x)",
        "the day in the configured zone; a bare date stays itself",
        1,
        1,
        _of_value(date),
        'date(`1713200399000`) → "2024-04-15"',
    ),
    Function(
        "number",
        "number(x, locale?)",
        "a number from a number or plain text; locale 'vi' reads 1.000.000,5",
        1,
        2,
        _of_value(number),
        "number('1.000.000,5', 'vi') → 1000000.5",
        {1: _locale("number")},
    ),
    Function(
        "integer",
        "integer(x, locale?)",
        "a whole number from a number or plain text; 12.5 is an error",
        1,
        2,
        _of_value(integer),
        "integer('12') → 12",
        {1: _locale("integer")},
    ),
    Function(
        "boolean",
        "boolean(x)",
        "true or false, from true/false, 1/0 or yes/no, in text of any case too",
        1,
        1,
        _of_value(boolean),
        "boolean('Yes') → true",
    ),
    Function(
        "string",
        "string(x)",
        "text; a number without a needless point, a list or an object as canonical JSON",
        1,
        1,
        _of_value(string),
        'string(`5.0`) → "5"',
    ),
    Function(
        "id",
        "id(x)",
        "an id as text; 0, -1 and their texts give '' (nobody)",
        1,
        1,
        _of_value(identifier),
        'id(`-1`) → ""',
    ),
    Function(
        "text",
        "text(html)",
        "HTML as plain text with its line breaks",
        1,
        1,
        _of_value(text),
        "text('<b>Gọi vào</b></br>Đầu số: 1900') → \"Gọi vào\\nĐầu số: 1900\"",
    ),
    Function(
        "html_clean",
        "html_clean(html)",
        "the same HTML without anything that runs",
        1,
        1,
        _of_value(html_clean),
        'html_clean(\'<p onclick="x()">Hi</p>\') → "<p>Hi</p>"',
    ),
    Function(
        "phone",
        "phone(x, region?)",
        "E.164 with plus, region VN unless said; a hotline as it came, so is what is no phone "
        "number, with a warning",
        1,
        2,
        _of_value(phone),
        "phone('0889 999 999', 'VN') → \"+84889999999\"",
        {1: lambda context, region: region_named("phone", region)},
    ),
    Function(
        "email",
        "email(x)",
        "trimmed, in lower case; what is no address is trimmed, with a warning",
        1,
        1,
        _of_value(email),
        "email(' Nam@Example.VN ') → \"nam@example.vn\"",
    ),
    Function(
        "custom",
        "custom(fields, key, separator?)",
        "the value of a custom field by its type: number, date, list, label or text; no such "
        "field: null",
        2,
        3,
        _of_value(custom),
        'custom(`[{"field": "addition_field1", "type": 1, "value": "12.50"}]`, '
        "'addition_field1') → 12.5",
        {2: lambda context, separator: separator_of("custom", separator)},
    ),
    Function(
        "custom_id",
        "custom_id(fields, key)",
        "the value_id of a custom field as text; '' and 0 give '', absent: null",
        2,
        2,
        _of_value(custom_id),
        'custom_id(`[{"field": "addition_field1", "value_id": 1242}]`, \'addition_field1\') → '
        '"1242"',
    ),
    Function(
        "custom_all",
        "custom_all(fields)",
        "an object of all custom fields: key → custom; of an empty list: null",
        1,
        1,
        _of_value(custom_all),
        'custom_all(`[{"field": "addition_field1", "type": 0, "value": "b"}]`) → '
        '{"addition_field1": "b"}',
    ),
    Function(
        "lower",
        "lower(x)",
        "lower case",
        1,
        1,
        _of_value(lower),
        "lower('ĐÀ NẴNG') → \"đà nẵng\"",
    ),
    Function(
        "upper",
        "upper(x)",
        "upper case",
        1,
        1,
        _of_value(upper),
        "upper('đà nẵng') → \"ĐÀ NẴNG\"",
    ),
    Function(
        "trim",
        "trim(x)",
        "without blanks at the ends",
        1,
        1,
        _of_value(trim),
        "trim('  Nam ') → \"Nam\"",
    ),
    Function(
        "slug",
        "slug(x)",
        "ASCII in lower case, words joined by -; đ gives d",
        1,
        1,
        _of_value(slug),
        "slug('Đà Nẵng') → \"da-nang\"",
    ),
    Function(
        "default",
        "default(x, y)",
        "y when x is null",
        2,
        2,
        _spread(default),
        "default(`null`, 'none') → \"none\"",
    ),
    Function(
        "coalesce",
        "coalesce(a, b, …)",
        "the first that is neither null nor empty; none: null",
        1,
        None,
        _spread(coalesce),
        "coalesce(`null`, '', 'c') → \"c\"",
    ),
    Function(
        "concat",
        "concat(a, b, …)",
        "the parts as text, null skipped; none: null",
        1,
        None,
        _spread(concat),
        "concat('T-', `5`, `null`) → \"T-5\"",
    ),
    Function(
        "hash",
        "hash(x)",
        "the first 32 hex digits of the SHA-256 of canonical JSON (RFC 8785)",
        1,
        1,
        _of_value(digest),
        'hash(`[1, "a"]`) → "2010945388e2de98f5651051478912aa"',
    ),
    Function(
        "lookup",
        "lookup(table, key, missing?)",
        "from mappings/tables/table.yaml, keys as text; missing: null, or the third argument; a "
        "null key: null",
        2,
        3,
        _spread(lookup),
        "lookup('cities', 'hn') → \"Hà Nội\"",
        {0: _table},
    ),
)

FUNCTIONS: Mapping[str, Function] = {function.name: function for function in _ALL}
"""Every function by its name, in the order people are shown them."""
