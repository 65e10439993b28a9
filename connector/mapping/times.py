"""Reads every form in which the vendors write a time: `timestamp`, `date`, and versions.

Invariant: a time is whole microseconds since the epoch, read by its decimal digits and never
through binary fractions, and a text is read whole or refused. Neighbours: `functions` registers
the two functions, `custom_fields` reads dates, applying a mapping reads versions with `micros`.
The forms are those of the vendors' documents: CareSoft sends epoch milliseconds, Java's
`Date.toString()` and wall-clock times, Mobio epoch seconds with microseconds and ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from connector.mapping.arguments import Context, is_number, number_text, wrong
from connector.model import Json, Micros
from connector.problems import nearest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - to count from; what is made of it says Z
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_SECONDS_BELOW = 10**11  # docs/mapping-language.md: a smaller epoch value counts seconds
_PLAIN_BELOW = 253_402_300_800_000  # what follows the last millisecond of the year 9999
_LONGEST = 200  # characters of a text that can still be a time

_READABLE = (
    "epoch seconds or milliseconds, ISO 8601 like '2021-10-06T09:45:53+07:00', "
    "'2021-10-06 09:45:53', or 'Wed Oct 06 09:45:53 ICT 2021'"
)

_EPOCH_FORM = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]+))?", re.ASCII)
_DATE = re.compile(r"([0-9]{4})([-/])([0-9]{2})\2([0-9]{2})")
_ISO = re.compile(
    r"(?P<year>[0-9]{4})(?P<dash>[-/]?)(?P<month>[0-9]{2})(?P=dash)(?P<day>[0-9]{2})"
    r"(?:[Tt]|[ ]+)"
    r"(?P<hour>[0-9]{2})(?P<colon>:?)(?P<minute>[0-9]{2})"
    r"(?:(?P=colon)(?P<second>[0-9]{2})(?:[.,](?P<fraction>[0-9]+))?)?"
    r"[ ]*(?P<zone>[A-Za-z]{1,5}|(?:UTC|GMT)?[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
_JAVA = re.compile(
    r"[A-Za-z]{3}[ ]+(?P<month_name>[A-Za-z]{3})[ ]+(?P<day>[0-9]{1,2})[ ]+"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})[ ]+"
    r"(?:(?P<zone>[A-Za-z]{1,5}|(?:UTC|GMT)?[+-][0-9]{2}(?::?[0-9]{2})?)[ ]+)?(?P<year>[0-9]{4})"
)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])([0-9]{2}):?([0-9]{2})?", re.IGNORECASE)

_MONTHS: Mapping[str, int] = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}

# Hours east of Greenwich. The North American ones are RFC 5322 section 4.3; names that mean
# several zones without a usual one (IST, BST, AST) are left out: an error beats a wrong time.
_ABBREVIATIONS: Mapping[str, float] = {
    "Z": 0,
    "UTC": 0,
    "UT": 0,
    "GMT": 0,
    "WET": 0,
    "WEST": 1,
    "CET": 1,
    "CEST": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "GST": 4,
    "PKT": 5,
    "NPT": 5.75,
    "MMT": 6.5,
    "ICT": 7,
    "WIB": 7,
    "WITA": 8,
    "HKT": 8,
    "MYT": 8,
    "PHT": 8,
    "SGT": 8,
    "AWST": 8,
    "WIT": 9,
    "JST": 9,
    "KST": 9,
    "ACST": 9.5,
    "ACDT": 10.5,
    "AEST": 10,
    "AEDT": 11,
    "NZST": 12,
    "NZDT": 13,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
}

_DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
_DIRECTIVES = frozenset("aAbBcdfGHIjmMpSsuUVwWxXyYzZ%")


def timestamp(context: Context, value: Json, form: Json = None, zone: Json = None) -> Json:
    """A time as `2021-10-06T02:45:53.675Z`: UTC, milliseconds, finer digits cut.

    With `form`, a strftime form instead, in `zone` (an IANA name or an offset; without one in the
    configured zone, because a time without a zone is read there too). `%f` gives all six digits,
    `%s` epoch seconds. 0 has not happened: null. Raises FunctionError for anything unreadable, a
    bare date, or a time outside the years 1 to 9999.
    """
    if _blank(value):
        return ""
    written = None if form is None else strftime_form("timestamp", form)
    there = context.timezone if zone is None else zone_named("timestamp", zone)
    instant = micros(value, context.timezone)
    if instant is None:
        return None
    if written is None:
        moment = _NAIVE_EPOCH + instant * _MICROSECOND
        return f"{moment.isoformat(timespec='milliseconds')}Z"
    return _formatted(_local(instant, there, value, "timestamp"), written)


def date(context: Context, value: Json) -> Json:
    """The day in the configured zone, as `2021-10-06`.

    A bare date (`2021-10-06` or `2021/10/06`) stays itself, in ISO form. Everything else is read
    as `timestamp` reads it, and fails as it does.
    """
    if _blank(value):
        return ""
    if isinstance(value, str) and (bare := _DATE.fullmatch(value.strip())):
        try:
            return datetime(int(bare[1]), int(bare[3]), int(bare[4]), tzinfo=UTC).date().isoformat()
        except ValueError:
            raise wrong("date", value, "a day that the calendar has") from None
    instant = micros(value, context.timezone, "date")
    if instant is None:
        return None
    return _local(instant, context.timezone, value, "date").date().isoformat()


def micros(value: Json, zone: ZoneInfo, function: str = "timestamp") -> Micros | None:
    """Microseconds since the epoch, UTC; None for null, blank text and 0 ("has not happened").

    `zone` is where a time without a zone stands; of an hour that happens twice it is the first.
    Finer digits are cut. Errors as `timestamp`, in the name of `function`.
    """
    if value is None:
        return None
    if type(value) is int and 0 < value < _PLAIN_BELOW:
        return value * (1_000_000 if value < _SECONDS_BELOW else 1000)
    if is_number(value):
        text = number_text(value, function)
    elif isinstance(value, str):
        text = value.strip()
    else:
        raise wrong(function, value, f"a time: {_READABLE}")
    if not text:
        return None
    if len(text) > _LONGEST and isinstance(value, str):
        raise wrong(function, value, f"a time: {_READABLE}")
    if (epoch := _EPOCH_FORM.fullmatch(text)) and text[-1].isdigit():
        instant = _from_epoch(epoch)
        if instant == 0:
            return None
    elif parts := _ISO.fullmatch(text) or _JAVA.fullmatch(text):
        instant = _from_calendar(parts, zone, value, function)
    elif _DATE.fullmatch(text):
        raise wrong(function, value, "a date with a time of day; date() reads a bare date")
    else:
        raise wrong(function, value, f"a time: {_READABLE}")
    if not _FIRST <= instant <= _LAST:
        raise wrong(function, value, "a time between the years 1 and 9999")
    return instant


@lru_cache(maxsize=64)
def _known_zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name, a folder of names
        return _abbreviated(name)


def zone_named(function: str, zone: Json) -> tzinfo:
    """A zone by its IANA name, abbreviation or offset. Raises FunctionError for an unknown one."""
    found = _known_zone(zone) if isinstance(zone, str) and zone else None
    if found is None:
        right = "a time zone like 'Asia/Ho_Chi_Minh', 'UTC' or '+07:00'"
        close = nearest(zone, available_timezones()) if isinstance(zone, str) else None
        raise wrong(function, zone, f"{right}; did you mean {close!r}?" if close else right)
    return found


def strftime_form(function: str, form: Json) -> str:
    """A strftime form, known to be writable. Raises FunctionError for an unknown directive."""
    if not isinstance(form, str) or not form:
        raise wrong(function, form, "a strftime form like '%Y-%m-%d %H:%M:%S'")
    if not set(_DIRECTIVE.findall(form)) <= _DIRECTIVES:
        known = " ".join(f"%{letter}" for letter in sorted(_DIRECTIVES))
        raise wrong(function, form, f"a strftime form made of {known}")
    return form


def _blank(value: Json) -> bool:
    return isinstance(value, str) and not value.strip()


def _from_epoch(parts: re.Match[str]) -> int:
    sign, whole, fraction = parts[1], parts[2] or "0", parts[3] or ""
    if len(whole) > 18:  # beyond any year; and Python reads no text of thousands of digits
        return _LAST + 1
    digits = 6 if int(whole) < _SECONDS_BELOW else 3
    instant = int(whole + fraction[:digits].ljust(digits, "0"))
    if sign != "-":
        return instant
    return -instant - bool(fraction[digits:].strip("0"))  # cut towards the past, as ISO text is


def _from_calendar(parts: re.Match[str], zone: ZoneInfo, value: Json, function: str) -> int:
    found = parts.groupdict()
    name = found["zone"]
    there = zone if name is None else _abbreviated(name)
    if there is None:
        known = ", ".join(_ABBREVIATIONS)
        raise wrong(function, value, f"an offset like +07:00 or a zone among {known}")
    month = found.get("month") or _MONTHS.get((found.get("month_name") or "").lower(), 0)
    try:
        moment = datetime(
            int(found["year"]),
            int(month),
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            int(found["second"] or 0),
            int((found.get("fraction") or "0")[:6].ljust(6, "0")),
            there,
        )
    except ValueError:
        raise wrong(function, value, "a day and hour that the calendar has") from None
    return (moment - _EPOCH) // _MICROSECOND


def _abbreviated(name: str) -> tzinfo | None:
    if (hours := _ABBREVIATIONS.get(name.upper())) is not None:
        return timezone(timedelta(hours=hours))
    if not (parts := _OFFSET.fullmatch(name)):
        return None
    offset = timedelta(hours=int(parts[2]), minutes=int(parts[3] or 0))
    if offset >= timedelta(days=1) or int(parts[3] or 0) > 59:
        return None
    return timezone(-offset if parts[1] == "-" else offset)


def _local(instant: int, zone: tzinfo, value: Json, function: str) -> datetime:
    try:
        return (_EPOCH + instant * _MICROSECOND).astimezone(zone)
    except OverflowError:
        raise wrong(function, value, "a time between the years 1 and 9999") from None


def _formatted(moment: datetime, form: str) -> str:
    """strftime, directive by directive: the same on every platform, whatever stands between."""

    def written(directive: re.Match[str]) -> str:
        match directive[1]:
            case "Y":
                return f"{moment.year:04}"  # strftime pads years below 1000 on some platforms only
            case "s":
                return str((moment - _EPOCH) // timedelta(seconds=1))
            case _:
                return moment.strftime(directive[0])

    return _DIRECTIVE.sub(written, form)
