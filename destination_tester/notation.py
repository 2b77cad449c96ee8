"""Python values in the notation that Fivetran's batch files use for each type.

    BOOLEAN bool · SHORT, INT, LONG int · DECIMAL decimal.Decimal · FLOAT, DOUBLE float
    NAIVE_DATE date · NAIVE_TIME time · NAIVE_DATETIME datetime · UTC_DATETIME datetime with a zone
    BINARY bytes · STRING, XML, JSON str

A str stands for itself in a column of any type, so that odd notations can be written too.
"""

from __future__ import annotations

import base64
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal

Value = bool | int | float | Decimal | date | time | datetime | bytes | str
"""A value that is not NULL."""


class Unmodified:
    """Stands for a value that an update leaves as it is."""

    def __repr__(self) -> str:
        return "UNMODIFIED"


UNMODIFIED = Unmodified()

Cell = Value | None | Unmodified
"""What stands in one column of one row; None is NULL."""


def to_text(value: Value) -> str:  # noqa: PLR0911
    """A value as Fivetran's CSV has it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return _java_double(value)
        case bytes():
            return base64.b64encode(value).decode()
        case datetime():
            return _datetime(value)
        case date() | time():
            return value.isoformat()
        case int() | Decimal():
            return str(value)


def _java_double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).replace("e", "E")


def _datetime(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
