"""Dates and times in Java's ISO notation, as Arrow arrays, beyond what Arrow's own parser takes.

Java prints 0 to 9 fraction digits, leaves out seconds that are zero, and gives years past 9999 or
before 1 a sign. Digits past the microsecond are cut: rounding would move 23:59:59.999999999 to the
next day. Year 0000 is 1 BC, in the proleptic Gregorian calendar.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from destination.batch.decimals import integers
from destination.batch.refusals import RefusedError
from destination.rows import EARLIEST_DAY, LATEST_DAY

DATE = r"(?P<year>[+-]?\d{4,9})-(?P<month>\d\d)-(?P<day>\d\d)"
HOUR_OF_DAY = r"(?P<hour>\d\d)"
MINUTES = r":(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{0,9}))?)?"
ZONE = r"(?P<zone>Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?"
TIME = HOUR_OF_DAY + MINUTES
DATE_TIME = f"^{DATE}(?:[T ]{HOUR_OF_DAY}(?:{MINUTES})?{ZONE})?$"
"""These accept all that Arrow accepts, so that a value is read alike beside any others."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
LATEST_INSTANT_DAY = (2**63 - 1) // DAY
DAYS_BEFORE_EPOCH = 719_468
"""From 0000-03-01, where the year of the calendar arithmetic begins, to 1970-01-01."""
TOO_EARLY = "lies before 4714-11-24 BC, the first day that is supported"
OUTSIDE = "lies before 4714-11-24 BC or after +294247-01-10T04:00:54.775807Z"
TOO_LATE_A_DAY = "lies after 5874897-12-31, the last day that is supported"
TOO_LATE_AN_INSTANT = (
    "lies after +294247-01-10T04:00:54.775807Z, the last instant that is supported"
)


def parse_dates(texts: pa.Array) -> pa.Array:
    """ISO dates as `date32`.

    Raises:
        RefusedError: if a text is no date, or not between the first and the last day.
    """
    days = _days(_match(texts, f"^{DATE}$"))
    _require_days(days, LATEST_DAY, TOO_LATE_A_DAY)
    return pc.cast(days, pa.int32()).view(pa.date32())


def parse_times(texts: pa.Array) -> pa.Array:
    """ISO times of day as `time64[us]`.

    Raises:
        RefusedError: if a text is no time of day.
    """
    return _microseconds(_match(texts, f"^{TIME}$")).view(pa.time64("us"))


def parse_naive_datetimes(texts: pa.Array) -> pa.Array:
    """ISO date-times as `timestamp[us]`; a zone is dropped, and the local time kept.

    Raises:
        RefusedError: if a text is no date-time, or not between the first and the last instant.
    """
    return _instants(_match(texts, DATE_TIME)).view(pa.timestamp("us"))


def parse_utc_datetimes(texts: pa.Array) -> pa.Array:
    """ISO instants as `timestamp[us, UTC]`; one without a zone is taken as UTC.

    Raises:
        RefusedError: if a text is no instant, or not between the first and the last.
    """
    parts = _match(texts, DATE_TIME)
    offset = _offset(pc.struct_field(parts, "zone"))
    return _instants(parts, offset).view(pa.timestamp("us", "UTC"))


def require_supported_dates(dates: pa.Array) -> pa.Array:
    """The dates of a `date32` array.

    Raises:
        RefusedError: if one is not between the first and the last day.
    """
    _require_days(dates.view(pa.int32()), LATEST_DAY, TOO_LATE_A_DAY)
    return dates


def require_supported_instants(instants: pa.Array) -> pa.Array:
    """The instants of a `timestamp[us]` array.

    Raises:
        RefusedError: if one lies before the first day.
    """
    _require(pc.greater_equal(instants.view(pa.int64()), EARLIEST_DAY * DAY), TOO_EARLY)
    return instants


def require_times_of_day(times: pa.Array) -> pa.Array:
    """The times of a `time64[us]` array.

    Raises:
        RefusedError: if one is not within a day.
    """
    _require_between(times.view(pa.int64()), 0, DAY - 1)
    return times


def to_microseconds(values: pa.Array) -> pa.Array:
    """Dates, or timestamps of a coarser unit, as `timestamp[us]`.

    Raises:
        RefusedError: if one does not fit 64 bits of microseconds.
    """
    try:
        return pc.cast(values, pa.timestamp("us"))
    except pa.ArrowInvalid as error:
        raise RefusedError(OUTSIDE) from error


def cut_to_microseconds(nanoseconds: pa.Array) -> pa.Array:
    """64-bit nanoseconds as microseconds; further digits are cut, as in texts."""
    return _floor_divide(nanoseconds.view(pa.int64()), 1000)


def _match(texts: pa.Array, pattern: str) -> pa.StructArray:
    parts = pc.extract_regex(texts, pattern=pattern)
    if parts.null_count != texts.null_count:
        raise RefusedError("is not in ISO notation")
    return parts


def _integer(parts: pa.StructArray, name: str) -> pa.Array:
    return integers(pc.struct_field(parts, name))


def _days(parts: pa.StructArray) -> pa.Array:
    """Days since 1970-01-01, by the civil calendar arithmetic of eras of 400 years."""
    year, month, day = (_integer(parts, name) for name in ("year", "month", "day"))
    _require_between(month, 1, 12)
    _require_between(day, 1, _days_in_month(year, month))
    early = pc.less_equal(month, 2)
    year = pc.subtract(year, pc.cast(early, pa.int64()))
    month = pc.if_else(early, pc.add(month, 9), pc.subtract(month, 3))
    era = _floor_divide(year, 400)
    year_of_era = pc.subtract(year, pc.multiply(era, 400))
    day_of_year = pc.add(pc.divide(pc.add(pc.multiply(month, 153), 2), 5), pc.subtract(day, 1))
    leap_days = pc.subtract(pc.divide(year_of_era, 4), pc.divide(year_of_era, 100))
    day_of_era = pc.add(pc.add(pc.multiply(year_of_era, 365), leap_days), day_of_year)
    return pc.subtract(pc.add(pc.multiply(era, 146_097), day_of_era), DAYS_BEFORE_EPOCH)


def _days_in_month(year: pa.Array, month: pa.Array) -> pa.Array:
    leap = pc.and_(
        _divisible(year, 4), pc.or_(pc.invert(_divisible(year, 100)), _divisible(year, 400))
    )
    short = pc.is_in(month, pa.array([4, 6, 9, 11], pa.int64()))
    february = pc.if_else(leap, 29, 28)
    return pc.if_else(pc.equal(month, 2), february, pc.if_else(short, 30, 31))


def _microseconds(parts: pa.StructArray) -> pa.Array:
    hour, minute, second = (_integer(parts, name) for name in ("hour", "minute", "second"))
    _require_between(hour, 0, 23)
    _require_between(minute, 0, 59)
    _require_between(second, 0, 59)
    digits = pc.utf8_slice_codeunits(pc.struct_field(parts, "fraction"), 0, 6)
    fraction = pc.cast(pc.utf8_rpad(digits, 6, "0"), pa.int64())
    return pc.add(
        pc.add(pc.multiply(hour, HOUR), pc.multiply(minute, MINUTE)),
        pc.add(pc.multiply(second, SECOND), fraction),
    )


def _instants(parts: pa.StructArray, offset: pa.Array | int = 0) -> pa.Array:
    """Microseconds since 1970-01-01T00:00, less `offset`."""
    days = _days(parts)
    _require_days(days, LATEST_INSTANT_DAY, TOO_LATE_AN_INSTANT)
    time = pc.subtract(_microseconds(parts), offset)
    try:
        instants = pc.add_checked(pc.multiply_checked(days, DAY), time)
    except pa.ArrowInvalid as error:
        raise RefusedError(TOO_LATE_AN_INSTANT) from error
    return require_supported_instants(instants)


def _offset(zone: pa.Array) -> pa.Array:
    numeric = pc.if_else(pc.is_in(zone, pa.array(["", "Z"])), "+0000", zone)
    digits = pc.utf8_rpad(pc.replace_substring(numeric, ":", ""), 5, "0")
    hours = pc.cast(pc.utf8_slice_codeunits(digits, 1, 3), pa.int64())
    minutes = pc.cast(pc.utf8_slice_codeunits(digits, 3, 5), pa.int64())
    size = pc.add(pc.multiply(hours, HOUR), pc.multiply(minutes, MINUTE))
    return pc.if_else(pc.starts_with(digits, "-"), pc.negate(size), size)


def _require_between(values: pa.Array, low: int, high: int | pa.Array) -> None:
    inside = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
    _require(inside, "is no date or time that there is")


def _require_days(days: pa.Array, latest: int, too_late: str) -> None:
    _require(pc.greater_equal(days, EARLIEST_DAY), TOO_EARLY)
    _require(pc.less_equal(days, latest), too_late)


def _require(holds: pa.Array, reason: str) -> None:
    """Raise RefusedError unless a condition holds for every value that is not null."""
    if pc.all(holds).as_py() is False:
        raise RefusedError(reason)


def _floor_divide(values: pa.Array, divisor: int) -> pa.Array:
    towards_zero = pc.divide(values, divisor)
    below = pc.less(values, pc.multiply(towards_zero, divisor))
    return pc.subtract(towards_zero, pc.cast(below, pa.int64()))


def _divisible(values: pa.Array, divisor: int) -> pa.Array:
    return pc.equal(pc.multiply(pc.divide(values, divisor), divisor), values)
