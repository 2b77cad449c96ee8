"""Dates and times in Java's ISO notation, as Arrow arrays, beyond what Arrow's own parser takes.

Java prints 0 to 9 fraction digits, leaves out seconds that are zero, and gives years past 9999 or
before 1 a sign. Digits past the microsecond are cut: rounding would move 23:59:59.999999999 to the
next day. Year 0000 is 1 BC, in the proleptic Gregorian calendar that PostgreSQL uses too.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

DATE = r"(?P<year>[+-]?\d{4,9})-(?P<month>\d\d)-(?P<day>\d\d)"
TIME = r"(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
ZONE = r"(?P<zone>Z|[+-]\d\d:?\d\d)?"

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
DAYS_BEFORE_EPOCH = 719_468
"""From 0000-03-01, where the year of the calendar arithmetic begins, to 1970-01-01."""


def parse_dates(texts: pa.Array) -> pa.Array:
    """ISO dates as `date32`.

    Raises:
        pa.ArrowInvalid: if a text is no date, or one that 32 bits of days cannot hold.
    """
    return pc.cast(_days(_match(texts, f"^{DATE}$")), pa.int32()).view(pa.date32())


def parse_times(texts: pa.Array) -> pa.Array:
    """ISO times of day as `time64[us]`.

    Raises:
        pa.ArrowInvalid: if a text is no time of day.
    """
    return _microseconds(_match(texts, f"^{TIME}$")).view(pa.time64("us"))


def parse_naive_datetimes(texts: pa.Array) -> pa.Array:
    """ISO date-times without a zone as `timestamp[us]`.

    Raises:
        pa.ArrowInvalid: if a text is no date-time, or one that 64 bits of microseconds cannot hold.
    """
    return _instants(_match(texts, f"^{DATE}(?:[T ]{TIME})?$")).view(pa.timestamp("us"))


def parse_utc_datetimes(texts: pa.Array) -> pa.Array:
    """ISO instants as `timestamp[us, UTC]`; one without a zone is taken as UTC.

    Raises:
        pa.ArrowInvalid: if a text is no instant, or one that 64 bits of microseconds cannot hold.
    """
    parts = _match(texts, f"^{DATE}(?:[T ]{TIME}{ZONE})?$")
    instants = pc.subtract_checked(_instants(parts), _offset(pc.struct_field(parts, "zone")))
    return instants.view(pa.timestamp("us", "UTC"))


def _match(texts: pa.Array, pattern: str) -> pa.StructArray:
    parts = pc.extract_regex(texts, pattern=pattern)
    if parts.null_count != texts.null_count:
        raise pa.ArrowInvalid("not in ISO notation")
    return parts


def _integer(parts: pa.StructArray, name: str) -> pa.Array:
    digits = pc.utf8_ltrim(pc.struct_field(parts, name), "+")
    return pc.cast(pc.if_else(pc.equal(digits, ""), "0", digits), pa.int64())


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


def _instants(parts: pa.StructArray) -> pa.Array:
    return pc.add_checked(pc.multiply_checked(_days(parts), DAY), _microseconds(parts))


def _offset(zone: pa.Array) -> pa.Array:
    numeric = pc.if_else(pc.is_in(zone, pa.array(["", "Z"])), "+0000", zone)
    digits = pc.replace_substring(numeric, ":", "")
    hours = pc.cast(pc.utf8_slice_codeunits(digits, 1, 3), pa.int64())
    minutes = pc.cast(pc.utf8_slice_codeunits(digits, 3, 5), pa.int64())
    size = pc.add(pc.multiply(hours, HOUR), pc.multiply(minutes, MINUTE))
    return pc.if_else(pc.starts_with(digits, "-"), pc.negate(size), size)


def _require_between(values: pa.Array, low: int, high: int | pa.Array) -> None:
    inside = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
    if pc.all(inside).as_py() is False:
        raise pa.ArrowInvalid("no such date or time")


def _floor_divide(values: pa.Array, divisor: int) -> pa.Array:
    towards_zero = pc.divide(values, divisor)
    below = pc.less(values, pc.multiply(towards_zero, divisor))
    return pc.subtract(towards_zero, pc.cast(below, pa.int64()))


def _divisible(values: pa.Array, divisor: int) -> pa.Array:
    return pc.equal(pc.multiply(pc.divide(values, divisor), divisor), values)
