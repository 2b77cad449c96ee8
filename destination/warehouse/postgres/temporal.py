"""Dates and times in Fivetran's notation, written and read by expressions that raise no error.

They depend on none of the settings that say how PostgreSQL writes and reads dates.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from destination.schema import DATETIME_TYPES, DataType
from destination.warehouse.ddl import NamedType

Value = sa.ColumnElement[Any]

YEAR = "[+-]?[0-9]{4,9}"
LEAP_YEAR = (
    "[+-]?[0-9]{0,5}(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
)
DATE = (
    f"(?:{YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{LEAP_YEAR}-02-29)"
)
TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
ZONE = "(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])?"
PATTERNS = {
    DataType.NAIVE_DATE: f"^{DATE}$",
    DataType.NAIVE_TIME: f"^{TIME}$",
    **dict.fromkeys(DATETIME_TYPES, f"^{DATE}(?:[T ]{TIME}{ZONE})?$"),
}
TO_MICROSECONDS = r"[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,6})?)?"
TIME_IN_DATETIME = f"[T ]({TO_MICROSECONDS})"
OFFSET = r":[0-9.]+([+-][0-9]{2}:?[0-9]{2})$"

EARLIEST = (-4713, "-11-24")
LATEST = {DataType.NAIVE_DATE: (5_874_897, "-12-31")}
LATEST_INSTANT = (294_247, "-01-09")
"""The first and the last day that PostgreSQL's types hold; of instants, that a load can hold too."""
LATEST_DAY: Value = sa.literal_column("'294247-01-09'::date")

LAST_PLAIN_YEAR = 9999
NO_FRACTION = "(?:\\.000000|000)$"
NO_SECONDS = "(?::00\\.000000|\\.000000|000)$"


def notation(value: Value, kind: DataType) -> Value:
    """The text of a date or time as Java prints it; NULL of an infinite one."""
    if kind is DataType.NAIVE_TIME:
        return sa.func.regexp_replace(sa.func.to_char(value, "HH24:MI:SS.US"), NO_SECONDS, "")
    local = sa.func.timezone("UTC", value) if kind is DataType.UTC_DATETIME else value
    text = _day(local)
    if kind is not DataType.NAIVE_DATE:
        zeros, zone = (NO_FRACTION, "Z") if kind is DataType.UTC_DATETIME else (NO_SECONDS, "")
        clock = sa.func.regexp_replace(sa.func.to_char(local, "HH24:MI:SS.US"), zeros, "")
        text = text.concat(sa.literal("T")).concat(clock).concat(sa.literal(zone))
    return sa.case((sa.func.isfinite(local), text))


def _day(value: Value) -> Value:
    """A date with its year as Java prints it: 1 BC is the year 0.

    `to_char` would do, but for dates that are out of reach as date-times.
    """
    stored, *rest = (
        sa.cast(sa.extract(part, value), sa.Integer) for part in ("year", "month", "day")
    )
    month, day = (sa.func.lpad(sa.cast(part, sa.Text), 2, "0") for part in rest)
    year = sa.case((stored < 0, stored + 1), else_=stored)
    digits = sa.func.lpad(sa.cast(sa.func.abs(year), sa.Text), 4, "0")
    sign = sa.case((year < 0, "-"), else_="")
    far = sa.literal("+").concat(sa.cast(year, sa.Text))
    written = sa.case((year > LAST_PLAIN_YEAR, far), else_=sign.concat(digits))
    dash = sa.literal("-")
    return written.concat(dash).concat(month).concat(dash).concat(day)


def read(text: Value, kind: DataType) -> Value:
    """What a text stands for; NULL where it is not in the type's notation, or out of reach.

    Digits past the microsecond are cut; a date-time without a zone is one in UTC, and the zone of a
    text is dropped where the type has none.
    """
    if kind is DataType.NAIVE_TIME:
        value = _time(sa.func.substring(text, TO_MICROSECONDS))
    elif kind is DataType.NAIVE_DATE:
        value = _date(text)
    else:
        midnight = sa.literal("00:00")
        clock = sa.func.coalesce(sa.func.substring(text, TIME_IN_DATETIME), midnight)
        local = _date(text) + _time(clock)
        value = in_utc(local, kind)
        if kind is DataType.UTC_DATETIME:
            value = value - _offset(text)
    if kind is not DataType.NAIVE_TIME:
        value = sa.case((_within_reach(text, kind), value))
    return sa.case((text.regexp_match(PATTERNS[kind]), value))


def in_utc(local: Value, kind: DataType) -> Value:
    """A date-time as it is, or as an instant."""
    return sa.func.timezone("UTC", local) if kind is DataType.UTC_DATETIME else local


def _year(text: Value) -> Value:
    return sa.cast(sa.func.substring(text, "^[+-]?[0-9]+"), sa.Integer)


def _month_and_day(text: Value) -> Value:
    return sa.func.substring(text, "-[0-9]{2}-[0-9]{2}")


def _within_reach(text: Value, kind: DataType) -> sa.ColumnElement[bool]:
    year, rest = _year(text), sa.collate(_month_and_day(text), "C")
    (first, begin), (last, end) = EARLIEST, LATEST.get(kind, LATEST_INSTANT)
    return sa.or_(
        sa.and_(year > first, year < last),
        sa.and_(year == first, rest >= begin),
        sa.and_(year == last, rest <= end),
    )


def _date(text: Value) -> Value:
    year = _year(text)
    before = year <= 0
    counted = sa.cast(sa.case((before, 1 - year), else_=year), sa.Text)
    era = sa.case((before, " BC"), else_="")
    written = sa.func.lpad(counted, sa.func.greatest(4, sa.func.length(counted)), "0")
    return sa.cast(written.concat(_month_and_day(text)).concat(era), NamedType("date"))


def _time(text: Value) -> Value:
    return sa.cast(text, NamedType("time"))


def _offset(text: Value) -> Value:
    """How far a text's zone is ahead of UTC."""
    digits = sa.func.replace(sa.func.substring(text, OFFSET), ":", "")
    hours, minutes = (sa.cast(sa.func.substr(digits, start, 2), sa.Integer) for start in (2, 4))
    ahead = sa.func.make_interval(0, 0, 0, 0, hours, minutes)
    signed = sa.case((digits.startswith("-"), -ahead), else_=ahead)
    return sa.func.coalesce(signed, sa.func.make_interval())
