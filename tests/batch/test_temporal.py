"""Dates and times in Java's notation, beside Python's own arithmetic; what there is not is refused."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from destination.batch import temporal
from destination.batch.refusals import RefusedError
from destination.rows import EARLIEST_DAY, LATEST_DAY

Parse = Callable[[pa.Array], pa.Array]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
DAY_MICROSECONDS = 86_400_000_000
LATEST_MICROSECOND = 2**63 - 1


def parsed(parse: Parse, *texts: str | None) -> list[int | None]:
    """The numbers behind what texts are read as."""
    found = parse(pa.array(texts, pa.string()))
    bits = pa.int32() if pa.types.is_date32(found.type) else pa.int64()
    numbers: list[int | None] = found.view(bits).to_pylist()
    return numbers


@given(day=st.dates())
@example(date(1, 1, 1))
@example(date(1969, 12, 31))
@example(date(2000, 2, 29))
@example(date(9999, 12, 31))
def test_iso_dates_are_read(day: date) -> None:
    assert parsed(temporal.parse_dates, day.isoformat()) == [(day - date(1970, 1, 1)).days]


@given(day=st.integers(EARLIEST_DAY, LATEST_DAY - 1))
@example(EARLIEST_DAY)
@example(LATEST_DAY - 1)
def test_days_of_any_year_follow_each_other(day: int) -> None:
    """Each is written by the calendar's rules alone, and stands for the day behind the one before."""
    year, month, date_of_month = civil(day)
    following = civil(day + 1)
    assert parsed(temporal.parse_dates, written(year, month, date_of_month)) == [day]
    assert parsed(temporal.parse_dates, written(*following)) == [day + 1]


def civil(day: int) -> tuple[int, int, int]:
    """A day of the proleptic Gregorian calendar, whose 400 years are 146,097 days."""
    cycles, within = divmod(day + 719_162, 146_097)
    plain = date.fromordinal(within + 1)
    return plain.year + 400 * cycles, plain.month, plain.day


def written(year: int, month: int, day: int) -> str:
    """A date as Java prints it."""
    sign = "+" if year > 9999 else "-" if year < 0 else ""
    return f"{sign}{abs(year):04}-{month:02}-{day:02}"


@given(clock=st.times(), digits=st.integers(0, 9))
@example(time(23, 59, 59, 999_999), 9)
@example(time(0, 0), 0)
def test_times_are_read_and_cut_to_microseconds(clock: time, digits: int) -> None:
    """Digits past the microsecond are cut."""
    fraction = f"{clock.microsecond:06}789"[:digits]
    seconds = f":{clock.second:02}" + (f".{fraction}" if fraction else "")
    text = f"{clock.hour:02}:{clock.minute:02}{seconds}"
    cut = clock.replace(microsecond=int(fraction[:6].ljust(6, "0")))
    since = datetime.combine(date.min, cut) - datetime.min
    assert parsed(temporal.parse_times, text, None) == [since // MICROSECOND, None]


def test_time_may_lack_its_seconds() -> None:
    assert parsed(temporal.parse_times, "10:15", "00:01") == [36_900_000_000, 60_000_000]


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59)


@given(moment=st.datetimes(), minutes=OFFSETS, colon=st.booleans(), separator=st.sampled_from("T "))
@example(moment=datetime(2020, 1, 1), minutes=-210, colon=True, separator="T")
@example(moment=datetime(2020, 1, 1), minutes=345, colon=False, separator=" ")
def test_date_times_are_read_with_and_without_zones(
    moment: datetime, minutes: int, separator: str, *, colon: bool
) -> None:
    hours, rest = divmod(abs(minutes), 60)
    zone = f"{'-' if minutes < 0 else '+'}{hours:02}{':' if colon else ''}{rest:02}"
    local = moment.replace(tzinfo=UTC)
    text = moment.isoformat(separator)
    utc = (local - EPOCH) // MICROSECOND
    for parse in (temporal.parse_naive_datetimes, temporal.parse_utc_datetimes):
        assert parsed(parse, text, f"{text}Z") == [utc, utc]
    assert parsed(temporal.parse_naive_datetimes, text + zone) == [utc]
    ahead = minutes * 60_000_000
    assert parsed(temporal.parse_utc_datetimes, text + zone) == [utc - ahead]


def test_offset_of_python_is_the_same() -> None:
    zone = timezone(-timedelta(hours=3, minutes=30))
    moment = datetime(2020, 1, 1, 12, tzinfo=zone)
    since = (moment - EPOCH) // MICROSECOND
    assert parsed(temporal.parse_utc_datetimes, moment.isoformat()) == [since]


@pytest.mark.parametrize("parse", [temporal.parse_naive_datetimes, temporal.parse_utc_datetimes])
def test_date_alone_is_its_midnight(parse: Parse) -> None:
    assert parsed(parse, "1970-01-02", "1969-12-31", None) == [
        DAY_MICROSECONDS, -DAY_MICROSECONDS, None
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (temporal.parse_times, "24:00"),
        (temporal.parse_times, "10:60"),
        (temporal.parse_times, "10:15:60"),
        (temporal.parse_times, "1:15"),
        (temporal.parse_times, "10:15:30.1234567890"),
        (temporal.parse_times, "10:15:30Z"),
        (temporal.parse_dates, "2020-00-10"),
        (temporal.parse_dates, "2020-13-10"),
        (temporal.parse_dates, "2020-01-00"),
        (temporal.parse_dates, "2020-01-32"),
        (temporal.parse_dates, "2020-04-31"),
        (temporal.parse_dates, "2020-06-31"),
        (temporal.parse_dates, "2020-09-31"),
        (temporal.parse_dates, "2020-11-31"),
        (temporal.parse_dates, "2020-02-30"),
        (temporal.parse_dates, "2019-02-29"),
        (temporal.parse_dates, "1900-02-29"),
        (temporal.parse_dates, "+1234567890-01-01"),
        (temporal.parse_dates, "2020-01-01T00:00"),
        (temporal.parse_utc_datetimes, "2020-01-01T10:15:60Z"),
        (temporal.parse_utc_datetimes, "2020-01-01T10:15:30+1:00"),
        (temporal.parse_naive_datetimes, "2020-01-01 24:00:00"),
    ],
)
def test_what_there_is_not_is_refused(parse: Parse, text: str) -> None:
    with pytest.raises(RefusedError, match=r"is no date or time that there is|is not in ISO"):
        parsed(parse, text)


INSTANTS = (temporal.parse_naive_datetimes, temporal.parse_utc_datetimes)


@pytest.mark.parametrize("parse", INSTANTS)
def test_first_and_last_instant(parse: Parse) -> None:
    first, last = "-4713-11-24T00:00:00", "+294247-01-10T04:00:54.775807"
    assert parsed(parse, first, last) == [EARLIEST_DAY * DAY_MICROSECONDS, LATEST_MICROSECOND]


@pytest.mark.parametrize("parse", INSTANTS)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-4713-11-23T23:59:59.999999", temporal.TOO_EARLY),
        ("-9999-01-01T00:00:00", temporal.TOO_EARLY),
        ("+294247-01-10T04:00:54.775808", temporal.TOO_LATE_AN_INSTANT),
        ("+294247-01-11T00:00:00", temporal.TOO_LATE_AN_INSTANT),
        ("+999999999-12-31T00:00:00", temporal.TOO_LATE_AN_INSTANT),
    ],
)
def test_instant_out_of_reach_is_told_which_is_the_last(parse: Parse, text: str, told: str) -> None:
    with pytest.raises(RefusedError) as refused:
        parsed(parse, text)
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("-4713-11-24T00:00:00+00:01", temporal.TOO_EARLY),
        ("+294247-01-10T04:00:54.775807-00:01", temporal.TOO_LATE_AN_INSTANT),
    ],
)
def test_instant_out_of_reach_by_its_zone(text: str, told: str) -> None:
    assert parsed(temporal.parse_naive_datetimes, text)
    with pytest.raises(RefusedError) as refused:
        parsed(temporal.parse_utc_datetimes, text)
    assert str(refused.value) == told


def test_first_and_last_day() -> None:
    assert parsed(temporal.parse_dates, "-4713-11-24", "+5874897-12-31") == [
        EARLIEST_DAY, LATEST_DAY
    ]  # fmt: skip
    for text, told in (
        ("-4713-11-23", temporal.TOO_EARLY),
        ("+5874898-01-01", temporal.TOO_LATE_A_DAY),
        ("+999999999-01-01", temporal.TOO_LATE_A_DAY),
    ):
        with pytest.raises(RefusedError) as refused:
            parsed(temporal.parse_dates, text)
        assert str(refused.value) == told


def test_days_out_of_reach_of_parquet() -> None:
    days = pa.array([EARLIEST_DAY, None, LATEST_DAY], pa.int32()).view(pa.date32())
    assert temporal.require_supported_dates(days).equals(days)
    for day, told in (
        (EARLIEST_DAY - 1, temporal.TOO_EARLY),
        (LATEST_DAY + 1, temporal.TOO_LATE_A_DAY),
    ):
        with pytest.raises(RefusedError) as refused:
            temporal.require_supported_dates(pa.array([day], pa.int32()).view(pa.date32()))
        assert str(refused.value) == told


def test_instants_and_times_out_of_reach_of_parquet() -> None:
    first = EARLIEST_DAY * DAY_MICROSECONDS
    instants = pa.array([first, LATEST_MICROSECOND, None], pa.timestamp("us"))
    assert temporal.require_supported_instants(instants).equals(instants)
    with pytest.raises(RefusedError):
        temporal.require_supported_instants(pa.array([first - 1], pa.timestamp("us")))
    times = pa.array([0, DAY_MICROSECONDS - 1, None], pa.int64())
    assert temporal.require_times_of_day(times.view(pa.time64("us"))).view(pa.int64()).equals(times)
    for outside in (-1, DAY_MICROSECONDS):
        with pytest.raises(RefusedError):
            temporal.require_times_of_day(pa.array([outside], pa.int64()).view(pa.time64("us")))


@given(nanoseconds=st.integers(-(2**63), 2**63 - 1))
@example(-1)
@example(-1000)
@example(999)
def test_nanoseconds_are_cut_as_texts_are(nanoseconds: int) -> None:
    """Towards the past, so that a moment of a day stays in it."""
    values = pa.array([nanoseconds, None], pa.int64())
    assert temporal.cut_to_microseconds(values).to_pylist() == [nanoseconds // 1000, None]


def test_coarse_units_become_microseconds_or_are_refused() -> None:
    seconds = pa.array([1, None], pa.timestamp("s"))
    assert temporal.to_microseconds(seconds).view(pa.int64()).to_pylist() == [1_000_000, None]
    with pytest.raises(RefusedError, match="294247"):
        temporal.to_microseconds(pa.array([2**62], pa.timestamp("s")))
