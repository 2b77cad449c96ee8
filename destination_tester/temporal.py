"""Dates and times in Java's notation, also those that Python's own types do not reach.

The Gregorian calendar repeats itself every 400 years, so a year that Python does not have is
computed with as one of 2000 to 2399.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from typing import TypeVar

DATE = r"(?P<year>[+-]?[0-9]{4,9})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
TIME = (
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?"
)
ZONE = r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?"
A_DATE = re.compile(DATE)
A_TIME = re.compile(TIME)
A_DATETIME = re.compile(f"{DATE}(?:[T ]{TIME}{ZONE})?")

ERA = 400
"""Years after which weekdays and leap years repeat themselves."""
BASE = 2000
FIRST, LAST = 1, 9999
"""The years that Python's types have."""

EARLIEST = (-4713, 11, 24)
LATEST_DATE = (5_874_897, 12, 31)
LATEST_DATETIME = (294_247, 1, 9)
"""The first and the last whole day that PostgreSQL holds, and microseconds in 64 bits reach."""


Day = TypeVar("Day", date, datetime)


class TemporalError(ValueError):
    """A text is no date or time, or one out of reach."""


def java_text(value: date | time | datetime) -> str:
    """A date or time as Java prints it.

    A fraction has no, three or six digits; seconds that are zero are left out where there is no zone.
    """
    match value:
        case datetime() if value.tzinfo is not None:
            return _clock(value.astimezone(UTC).replace(tzinfo=None), "seconds") + "Z"
        case datetime() | time():
            return _clock(value, "seconds" if value.second else "minutes")
        case date():
            return value.isoformat()


def _clock(value: datetime | time, shortest: str) -> str:
    if value.microsecond % 1000:
        return value.isoformat(timespec="microseconds")
    return value.isoformat(timespec="milliseconds" if value.microsecond else shortest)


def parse_date(text: str) -> date | str:
    """A date; the text that Java prints for one that Python does not have.

    Raises:
        TemporalError: if there is no such date.
    """
    parts = _match(A_DATE, text)
    moved, eras = _within_era(parts)
    return _back(moved.date(), eras, LATEST_DATE)


def parse_time(text: str) -> time:
    """A time of day; digits past the microsecond are cut.

    Raises:
        TemporalError: if there is no such time.
    """
    return _time(_match(A_TIME, text))


def parse_datetime(text: str, zone: tzinfo | None) -> datetime | str:
    """A date-time; the text that Java prints for one that Python does not have.

    Args:
        text: a date, a time of day and a zone; the last two may be missing.
        zone: UTC for an instant; None for a date-time without a zone, where that of the text is
            dropped.

    Raises:
        TemporalError: if there is no such date-time.
    """
    parts = _match(A_DATETIME, text)
    moved, eras = _within_era(parts)
    if parts["hour"] is not None:
        moved = datetime.combine(moved, _time(parts))
    if zone is not None:
        moved = moved.replace(tzinfo=_zone(parts["zone"])).astimezone(zone)
    return _back(moved, eras, LATEST_DATETIME)


def _match(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise TemporalError("not in ISO notation")
    return match


def _within_era(parts: re.Match[str]) -> tuple[datetime, int]:
    """The day in a year that Python has, and how many years it was moved."""
    year = int(parts["year"])
    same = BASE + year % ERA
    try:
        return datetime(same, int(parts["month"]), int(parts["day"])), year - same  # noqa: DTZ001
    except ValueError as error:
        raise TemporalError("no such day") from error


def _time(parts: re.Match[str]) -> time:
    fraction = (parts["fraction"] or "").ljust(6, "0")[:6]
    try:
        return time(
            int(parts["hour"]), int(parts["minute"]), int(parts["second"] or 0), int(fraction)
        )
    except ValueError as error:
        raise TemporalError("no such time of day") from error


def _zone(text: str | None) -> tzinfo:
    if text in (None, "Z"):
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    try:
        return timezone(-offset if text.startswith("-") else offset)
    except ValueError as error:
        raise TemporalError("no such offset") from error


def _back(moved: Day, years: int, latest: tuple[int, int, int]) -> Day | str:
    year = moved.year + years
    if FIRST <= year <= LAST:
        return moved.replace(year=year)
    if not EARLIEST <= (year, moved.month, moved.day) <= latest:
        raise TemporalError("out of reach")
    sign = "+" if year > LAST else "-" if year < 0 else ""
    return f"{sign}{abs(year):04}{java_text(moved)[4:]}"
