"""Python values in the notation that Fivetran's batch files use for each type.

    BOOLEAN bool · SHORT, INT, LONG int · DECIMAL decimal.Decimal · FLOAT, DOUBLE float
    NAIVE_DATE date · NAIVE_TIME time · NAIVE_DATETIME datetime · UTC_DATETIME datetime with a zone
    BINARY bytes · STRING, XML, JSON str

A str stands for itself in a column of any type, so that odd notations can be written too.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal

from destination.sdk import common_pb2 as common

MAX_DIGITS = 100

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
        case datetime() if value.tzinfo is not None:
            return _java_time(value.astimezone(UTC).replace(tzinfo=None), "seconds") + "Z"
        case datetime() | time():
            return _java_time(value, "seconds" if value.second else "minutes")
        case date():
            return value.isoformat()
        case int() | Decimal():
            return str(value)


def _java_double(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value).replace("e", "E")


def _java_time(value: datetime | time, shortest: str) -> str:
    """A time as Java prints it: a fraction of no, three or six digits."""
    if value.microsecond % 1000:
        return value.isoformat(timespec="microseconds")
    return value.isoformat(timespec="milliseconds" if value.microsecond else shortest)


def from_text(text: str, column: common.Column) -> Value:  # noqa: C901, PLR0911
    """The value that a text stands for in a column, as a destination must store it."""
    match column.type:
        case common.BOOLEAN:
            return text == "true"
        case common.SHORT | common.INT | common.LONG:
            return int(text)
        case common.DECIMAL:
            return _decimal(text, column.params.decimal)
        case common.FLOAT:
            return float(struct.unpack("f", struct.pack("f", float(text)))[0])
        case common.DOUBLE:
            return float(text)
        case common.NAIVE_DATE:
            return date.fromisoformat(text)
        case common.NAIVE_TIME:
            return time.fromisoformat(_to_microseconds(text))
        case common.NAIVE_DATETIME:
            return datetime.fromisoformat(_to_microseconds(text))
        case common.UTC_DATETIME:
            moment = datetime.fromisoformat(_to_microseconds(text.removesuffix("Z")))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        case common.BINARY:
            return _bytes(text)
        case _:
            return text.replace("\0", "")


def _decimal(text: str, params: common.DecimalParams) -> Decimal:
    value = Decimal(text)
    if not params.precision:
        return value
    unit = Decimal(1).scaleb(-params.scale)
    return value.quantize(unit, ROUND_HALF_UP, Context(prec=MAX_DIGITS))


def _to_microseconds(text: str) -> str:
    """The text without the digits behind the microsecond."""
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def _bytes(text: str) -> bytes:
    padded = text + "=" * (-len(text) % 4)
    try:
        return base64.b64decode(padded, validate=True)
    except binascii.Error:
        return text.encode()
