"""Rows as a table holds them, and the columns that Fivetran adds to its tables."""

from __future__ import annotations

import math
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester.files import Row
from destination_tester.notation import EXACT, Cell, NotationError, Unmodified, Value, from_text

ID = "_fivetran_id"
START = "_fivetran_start"
END = "_fivetran_end"
ACTIVE = "_fivetran_active"
DELETED = "_fivetran_deleted"
SYNCED = "_fivetran_synced"

HISTORY_COLUMNS = {
    START: common.UTC_DATETIME,
    END: common.UTC_DATETIME,
    ACTIVE: common.BOOLEAN,
}
MILLISECOND = timedelta(milliseconds=1)
OPEN_END = datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)
MINIMUM = datetime(1, 1, 1, tzinfo=UTC)

Stored = dict[str, Any]
Key = tuple[Any, ...]


class RefusedError(Exception):
    """A call that must be answered with a task."""


def comparable(value: Cell) -> Any:
    """A value as it is stored, such that equal ones are one key."""
    match value:
        case str():
            return value.replace("\0", "")
        case float() if math.isnan(value):
            return "NaN"
        case datetime() | time():
            return value.replace(fold=0) if value.fold else value
        case Decimal() if value.is_nan():
            return "NaN"
        case Decimal():
            return value.normalize(EXACT) if value else Decimal(0)
        case Unmodified():
            raise ValueError("an unmodified value is no value")
    return value


def read(text: str, column: common.Column) -> Value:
    """The value that a text stands for in a column.

    Raises:
        RefusedError: if it is not in its type's notation, which a destination must not take.
    """
    try:
        return from_text(text, column)
    except NotationError as error:
        raise RefusedError(f'column "{column.name}": {error}') from error


def stored(row: Row) -> Stored:
    """A row of a batch file as it is stored, without what it leaves unmodified."""
    return {
        name: comparable(value) for name, value in row.items() if not isinstance(value, Unmodified)
    }


def moment(value: Any) -> datetime:
    """Where an instant stands in time; one that Python has no value for, at that end of time."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value
    return OPEN_END if isinstance(value, str) and value.startswith("+") else MINIMUM


def start_of(version: Stored) -> datetime:
    """When a version starts."""
    return moment(version.get(START))


def end_before(following: datetime) -> datetime:
    """When a version ends, the next one of which starts at an instant."""
    return max(following, MINIMUM + MILLISECOND) - MILLISECOND
