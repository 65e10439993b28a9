"""`timestamp`, `date` and versions: every form that the vendors send, and none that is a guess."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.mapping.functions import FUNCTIONS, Context, FunctionError
from connector.mapping.times import micros
from connector.model import Json

SAMPLES = Path(__file__).parents[1] / "samples"
VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EDGES = [
    edge + step for edge in (0, 10**11, 253_402_300_800_000, 10**14) for step in (-2, -1, 0, 1, 2)
]


def call(name: str, *args: Json, zone: str = "Asia/Ho_Chi_Minh") -> Json:
    def no_warning(warning: str) -> None:
        raise AssertionError(warning)

    return FUNCTIONS[name].call(Context(ZoneInfo(zone), {}, no_warning), list(args))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # epoch
        (1633488353675, "2021-10-06T02:45:53.675Z"),
        ("1633488353675", "2021-10-06T02:45:53.675Z"),
        (1633488353, "2021-10-06T02:45:53.000Z"),
        (" 1633488353 ", "2021-10-06T02:45:53.000Z"),
        (1633488353675.0, "2021-10-06T02:45:53.675Z"),
        (1633488353675.9, "2021-10-06T02:45:53.675Z"),
        (1669200439.676389, "2022-11-23T10:47:19.676Z"),
        ("1669200439.676389", "2022-11-23T10:47:19.676Z"),
        ("1669200439.676999999999999999999999999999999999", "2022-11-23T10:47:19.676Z"),
        (1669108532.829, "2022-11-22T09:15:32.829Z"),
        (99_999_999_999, "5138-11-16T09:46:39.000Z"),
        (99_999_999_999.9, "5138-11-16T09:46:39.900Z"),
        (100_000_000_000, "1973-03-03T09:46:40.000Z"),
        (1e12, "2001-09-09T01:46:40.000Z"),
        (1, "1970-01-01T00:00:01.000Z"),
        (-1, "1969-12-31T23:59:59.000Z"),
        (-0.0001, "1969-12-31T23:59:59.999Z"),
        (-315619200000, "1960-01-01T00:00:00.000Z"),
        ("-1.0000001", "1969-12-31T23:59:58.999Z"),
        # ISO 8601
        ("2022-11-23T10:47Z", "2022-11-23T10:47:00.000Z"),
        ("2022-11-23t10:47z", "2022-11-23T10:47:00.000Z"),
        ("2022-11-23T10:47", "2022-11-23T03:47:00.000Z"),
        ("2022-11-23T10:47:19", "2022-11-23T03:47:19.000Z"),
        ("2023-01-01T15:12:39.390879Z", "2023-01-01T15:12:39.390Z"),
        ("2023-01-01T15:12:39.9999999999999Z", "2023-01-01T15:12:39.999Z"),
        ("2023-01-01T15:12:39,5Z", "2023-01-01T15:12:39.500Z"),
        ("2023-01-01T15:12:39.5+07", "2023-01-01T08:12:39.500Z"),
        ("2023-01-01T15:12:39+0700", "2023-01-01T08:12:39.000Z"),
        ("2023-01-01T15:12:39+07:00", "2023-01-01T08:12:39.000Z"),
        ("2023-01-01T15:12:39-05:30", "2023-01-01T20:42:39.000Z"),
        ("2023-01-01 15:12:39 +07:00", "2023-01-01T08:12:39.000Z"),
        ("2023-01-01 15:12:39 ICT", "2023-01-01T08:12:39.000Z"),
        ("20211006T024553Z", "2021-10-06T02:45:53.000Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z"),
        # the REST API's wall-clock times
        ("2024-03-21 15:04:04", "2024-03-21T08:04:04.000Z"),
        ("2024/03/21 15:04:04", "2024-03-21T08:04:04.000Z"),
        ("2024/03/21 15:04", "2024-03-21T08:04:00.000Z"),
        # Java's Date.toString()
        ("Wed Oct 06 09:45:53 ICT 2021", "2021-10-06T02:45:53.000Z"),
        ("Wed Oct 06 09:45:53 UTC 2021", "2021-10-06T09:45:53.000Z"),
        ("Wed Oct 06 09:45:53 GMT 2021", "2021-10-06T09:45:53.000Z"),
        ("Wed Oct 06 09:45:53 GMT+07:00 2021", "2021-10-06T02:45:53.000Z"),
        ("Wed Oct 06 09:45:53 +0700 2021", "2021-10-06T02:45:53.000Z"),
        ("Wed Oct 06 09:45:53 PDT 2021", "2021-10-06T16:45:53.000Z"),
        ("Wed Oct  6 09:45:53 2021", "2021-10-06T02:45:53.000Z"),
        ("WED OCT 06 09:45:53 ict 2021", "2021-10-06T02:45:53.000Z"),
    ],
)
def test_timestamp_reads_every_form_of_the_vendors(value, expected):
    assert call("timestamp", value) == expected


@pytest.mark.parametrize("value", [0, 0.0, -0.0, "0", "0.0", "000", "-0", " 0 "])
@pytest.mark.parametrize("name", ["timestamp", "date"])
def test_zero_has_not_happened(name, value):
    assert call(name, value) is None


@pytest.mark.parametrize("name", ["timestamp", "date"])
def test_text_of_blanks_is_empty(name):
    assert call(name, " \t ") == ""


@pytest.mark.parametrize("value", ["2024-03-21", "2024/03/21", " 2024-03-21 "])
def test_bare_date_is_no_timestamp_and_the_error_names_date(value):
    with pytest.raises(FunctionError, match=r"2024.03.21.*date\(\) reads a bare date"):
        call("timestamp", value)


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "-",
        "+",
        ".",
        "1.",
        "1e9",
        "NaN",
        "12:30",
        "21/03/2024 15:04",
        "2024-3-1 15:04:04",
        "2024-03/21 15:04",
        "2024-02-30 15:04",
        "2024-03-21 25:00",
        "2024-03-21 15:60",
        "tomorrow",
        "2024-03-21 15:04:04 PM",
        "2024-03-21T15:04:04+24:00",
        "2024-03-21T15:04:04+07:60",
        "2024-03-21T15",
        "2024-03-21T15:04:04Zx",
        "x2024-03-21T15:04:04Z",
        "2024-03-21T1504:04",
        "Wed Oct 06 09:45:53 XYZ 2021",
        "Wed Foo 06 09:45:53 ICT 2021",
        "Oct 06 2021",
        "٢٠٢٤-03-21 15:04:04",
        "٠",
        "9" * 300,
        "2024-03-21 15:04:04." + "9" * 300,
    ],
)
def test_unreadable_time_is_an_error_that_names_the_value(value):
    for name in ("timestamp", "date"):
        with pytest.raises(FunctionError) as failure:
            call(name, value)
        assert value[:70] in str(failure.value)


@pytest.mark.parametrize(
    "value",
    [
        253402300800000,
        10**15,
        10**17,
        1e300,
        -(10**15),
        "9" * 150,
        10**30,
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+07:00",
        "9999-12-31T23:59:59-07:00",
    ],
)
def test_year_beyond_the_calendar_is_an_error(value):
    with pytest.raises(FunctionError, match=r"calendar|years 1 and 9999"):
        call("timestamp", value)


def test_year_that_is_beyond_the_calendar_only_in_the_zone_is_an_error():
    for args in (["date", "9999-12-31T23:59:59Z"], ["timestamp", "9999-12-31T23:59:59Z", "%Y"]):
        with pytest.raises(FunctionError, match="years 1 and 9999"):
            call(*args)


def test_time_without_a_zone_stands_in_the_configured_one():
    assert call("timestamp", "2024-03-21 15:04:04", zone="Asia/Tokyo") == "2024-03-21T06:04:04.000Z"


def test_hour_that_happens_twice_is_the_first():
    value = "2024-10-27 02:30:00"
    assert call("timestamp", value, zone="Europe/Berlin") == "2024-10-27T00:30:00.000Z"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["%Y-%m-%d %H:%M:%S", "UTC"], "2021-10-06 02:45:53"),
        (["%Y-%m-%d %H:%M:%S"], "2021-10-06 09:45:53"),
        (["%d/%m/%Y", "Asia/Tokyo"], "06/10/2021"),
        (["%H:%M", "-05:00"], "21:45"),
        (["%H:%M", "ICT"], "09:45"),
        (["ngày %d tháng %m, %f %z %% %s", "Asia/Ho_Chi_Minh"], None),
        ([None, "UTC"], "2021-10-06T02:45:53.675Z"),
        ([None, None], "2021-10-06T02:45:53.675Z"),
    ],
)
def test_strftime_form_in_a_zone_or_the_configured_one(args, expected):
    expected = expected or "ngày 06 tháng 10, 675389 +0700 % 1633488353"
    assert call("timestamp", "1633488353.675389", *args) == expected


def test_strftime_year_always_has_four_digits():
    assert call("timestamp", "0987-01-02T00:00Z", "%Y", "UTC") == "0987"


@pytest.mark.parametrize("form", ["", "%", "%Q", "%-d", "50%", 5, True, ["%Y"]])
def test_strftime_form_that_cannot_be_written_is_an_error(form):
    with pytest.raises(FunctionError, match="strftime form"):
        call("timestamp", 1633488353675, form)


@pytest.mark.parametrize("zone", ["", "Asia", "Mars/Base", "../etc", "/etc/passwd", "+25:00", 7])
def test_unknown_zone_is_an_error(zone):
    with pytest.raises(FunctionError, match="time zone like"):
        call("timestamp", 1633488353675, "%Y", zone)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2021-10-06", "2021-10-06"),
        ("2021/10/06", "2021-10-06"),
        (" 2021-10-06 ", "2021-10-06"),
        (1713200399000, "2024-04-15"),
        ("1713200399000", "2024-04-15"),
        ("2021-10-05T17:00Z", "2021-10-06"),
        ("2021-10-05T16:59Z", "2021-10-05"),
        ("2024/04/15 23:59:59", "2024-04-15"),
        ("Wed Oct 06 00:45:53 ICT 2021", "2021-10-06"),
    ],
)
def test_date_is_the_day_in_the_configured_zone(value, expected):
    assert call("date", value) == expected


@pytest.mark.parametrize("value", ["2021-02-29", "2021-13-01", "2021-10-6", "06/10/2021"])
def test_day_that_the_calendar_does_not_have_is_an_error(value):
    with pytest.raises(FunctionError, match=value):
        call("date", value)


def test_comment_and_ticket_of_one_second_agree_in_the_vendors_sample():
    sample = json.loads((SAMPLES / "caresoft" / "ticket.update-3.json").read_text())
    whole = call("timestamp", sample["ticket"]["updated_at"])
    comment = call("timestamp", sample["ticket"]["ticket_comment"]["updated_at"])
    assert comment[:19] == whole[:19]


def every_time(value: Json, key: str = "") -> list[Json]:
    if isinstance(value, dict):
        return [time for name, part in value.items() for time in every_time(part, name)]
    if isinstance(value, list):
        return [time for part in value for time in every_time(part, key)]
    return [value] if key.endswith(("_at", "_time", "timestamp")) else []


def test_every_time_of_every_vendor_sample_can_be_read():
    files = sorted(SAMPLES.glob("*/*.json"))
    times = [time for file in files for time in every_time(json.loads(file.read_text()))]
    assert len(times) > 100
    for time in times:
        result = call("timestamp", time)
        assert result in (None, "") or result.endswith("Z")


# --- versions


def test_version_is_exact_to_the_microsecond():
    assert micros(1669200439.676389, VIETNAM) == 1669200439676389
    assert micros(1633488353675, VIETNAM) == 1633488353675000
    assert micros("2023-01-01T15:12:39.3908799Z", VIETNAM) == 1672585959390879


@pytest.mark.parametrize("value", [None, "", "  ", 0, "0", 0.0])
def test_version_that_is_not_told_is_none(value):
    assert micros(value, VIETNAM) is None


def test_version_that_cannot_be_read_is_an_error_in_the_name_given():
    with pytest.raises(FunctionError, match=r"version\(\) found"):
        micros("soon", VIETNAM, "version")


# --- properties

moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 2))  # noqa: DTZ001
offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def exactly(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@settings(max_examples=200, deadline=None)
@given(moments)
def test_iso_text_of_any_moment_reads_back(moment):
    cut = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    written = call("timestamp", moment.isoformat())
    assert datetime.fromisoformat(written) == cut
    assert micros(moment.isoformat(), VIETNAM) == exactly(moment)
    assert call("timestamp", written) == written


@settings(max_examples=200, deadline=None)
@given(
    st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001
    offsets,
    st.sampled_from("T "),
)
def test_offset_of_any_size_counts(local, offset, between):
    moment = local.replace(tzinfo=offset)
    assert micros(moment.isoformat(between), VIETNAM) == exactly(moment)


@settings(max_examples=200, deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001
def test_wall_clock_is_that_of_the_zone_also_when_clocks_change(local):
    berlin = ZoneInfo("Europe/Berlin")
    expected = exactly(local.replace(tzinfo=berlin, fold=0))  # a text cannot say which of two
    assert micros(local.isoformat(" "), berlin) == expected
    assert micros(local.strftime("%Y/%m/%d %H:%M:%S.%f"), berlin) == expected


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10**11 * 10**6 - 1))
def test_epoch_seconds_keep_every_microsecond(instant):
    text = f"{instant // 10**6}.{instant % 10**6:06}"
    assert micros(text, VIETNAM) == instant
    if instant < 2**32 * 10**6:  # above, a float knows less than a microsecond
        assert micros(float(text), VIETNAM) == instant


@settings(max_examples=200, deadline=None)
@given(st.integers(10**11, 253402300799999))
def test_epoch_milliseconds_are_exact(milliseconds):
    for value in (milliseconds, str(milliseconds), float(milliseconds)):
        assert micros(value, VIETNAM) == milliseconds * 1000


@settings(max_examples=100, deadline=None)
@given(moments.filter(lambda moment: 1000 <= moment.year < 9999), st.text(max_size=5))
def test_strftime_form_is_that_of_python(moment, between):
    between = between.replace("%", "%%")
    form = f"%Y{between}%m %d %H:%M:%S.%f"
    expected = moment.strftime("%Y|%m %d %H:%M:%S.%f").replace("|", between.replace("%%", "%"), 1)
    assert call("timestamp", moment.isoformat(), form, "UTC") == expected


@given(st.integers(min_value=-(10**16), max_value=10**16) | st.sampled_from(EDGES))
def test_a_number_and_its_digits_are_one_time(value: int) -> None:
    def told(given: Json) -> Json:
        try:
            return micros(given, VIETNAM)
        except FunctionError as error:
            return "a year that is none" if "years" in str(error) else str(error)

    assert told(value) == told(str(value)) == told(f"+{value}" if value > 0 else str(value))
