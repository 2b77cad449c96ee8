"""Python values in the notation that Fivetran's batch files use for each type.

    BOOLEAN bool · SHORT, INT, LONG int · DECIMAL decimal.Decimal · FLOAT, DOUBLE float
    NAIVE_DATE date · NAIVE_TIME time · NAIVE_DATETIME datetime · UTC_DATETIME datetime with a zone
    BINARY bytes · STRING, XML, JSON str

A str stands for itself in a column of any type, so that odd notations can be written too. Dates and
date-times that Python has no value for, before year 1 or after 9999, are the str that Java prints.
"""

from __future__ import annotations

import base64
import json
import math
import re
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import lru_cache

import numpy as np

from destination.sdk import common_pb2 as common
from destination_tester import temporal

MAX_DIGITS = 2000
"""Digits that decimal arithmetic keeps: more than any DECIMAL or double has."""
EXACT = Context(prec=MAX_DIGITS)

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?")
NOT_A_NUMBER = re.compile(r"[+-]?nan", re.IGNORECASE)
INFINITY = re.compile(r"(?P<sign>[+-]?)inf(?:inity)?", re.IGNORECASE)
INTEGER = re.compile(r"-?[0-9]{1,40}")
BITS = {common.SHORT: 16, common.INT: 32, common.LONG: 64}
"""How many bits the integers of each type have."""
LARGEST_EXPONENT = 20_000
"""Exponents beyond this are no number of any warehouse, and would fill the memory as plain digits."""

LARGEST_FLOAT = Decimal("3.4028237E+38")
"""The largest FLOAT of Fivetran's guide, a little more than the largest that 32 bits hold."""
LARGEST_32_BITS = float(np.finfo(np.float32).max)

BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
GROUP = 4
"""Base64 stands in groups of so many characters; one alone in a group is no base64."""

CACHED_TEXTS = 10_000
"""Dates and times repeat themselves: all rows of a file were synced at once."""

PLAIN_EXPONENTS = range(-3, 7)
"""Java writes floats between 10**-3 and 10**7 without an exponent."""

Value = bool | int | float | Decimal | date | time | datetime | bytes | str
"""A value that is not NULL."""


class NotationError(ValueError):
    """A text is not in its type's notation, or does not fit the type."""


class Unmodified:
    """Stands for a value that an update leaves as it is."""

    def __repr__(self) -> str:
        return "UNMODIFIED"


UNMODIFIED = Unmodified()

Cell = Value | None | Unmodified
"""What stands in one column of one row; None is NULL."""


def to_text(value: Value, column: common.Column | None = None) -> str:  # noqa: PLR0911
    """A value as Fivetran's CSV has it.

    Args:
        value: the value.
        column: whose value it is: FLOATs have fewer digits, DECIMALs those of their scale.
    """
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float() if column is not None and column.type == common.FLOAT:
            return java_float(float(value), np.float32(value))
        case float():
            return java_float(float(value), np.float64(value))
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return temporal.java_text(value)
        case Decimal():
            return f"{value if column is None else to_scale(value, column):f}"
        case int():
            return str(value)


def java_float(value: float, exact: np.floating) -> str:
    """A float as Java prints it, in the fewest digits that read back as the same.

    Args:
        value: the number.
        exact: the number in the bits that its column has.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    number = shortest(exact)
    if number == 0:
        return "-0.0" if number.is_signed() else "0.0"
    exponent = number.adjusted()
    if exponent in PLAIN_EXPONENTS:
        text = f"{number:f}"
        return text if "." in text else f"{text}.0"
    sign, digits = ("-" if number < 0 else ""), number.as_tuple().digits
    first, *others = (str(digit) for digit in digits)
    return f"{sign}{first}.{''.join(others) or '0'}E{exponent:+d}"


def shortest(value: np.floating) -> Decimal:
    """The number of the fewest digits that a float reads back from."""
    return Decimal(np.format_float_scientific(value, trim="-")).normalize(EXACT)


def to_scale(number: Decimal, column: common.Column) -> Decimal:
    """A number with as many fraction digits as its column has, rounded half away from zero."""
    params = column.params.decimal
    if not params.precision:
        return number
    return number.quantize(Decimal(1).scaleb(-params.scale), ROUND_HALF_UP, EXACT)


def from_text(text: str, column: common.Column) -> Value:  # noqa: PLR0911
    """The value that a text stands for in a column, as a destination must store it.

    Raises:
        NotationError: if the text is not in the notation of the column's type, or does not fit it.
    """
    match column.type:
        case common.BOOLEAN:
            return _boolean(text)
        case common.SHORT | common.INT | common.LONG:
            return _integer(text, BITS[column.type])
        case common.DECIMAL:
            return _decimal(text, column)
        case common.FLOAT:
            return _float(text)
        case common.DOUBLE:
            return _double(text)
        case common.NAIVE_DATE | common.NAIVE_TIME | common.NAIVE_DATETIME | common.UTC_DATETIME:
            return _temporal(text, column.type)
        case common.BINARY:
            return _bytes(text)
        case common.JSON if not is_json(text):
            raise NotationError("not JSON")
        case common.STRING | common.XML | common.JSON:
            return text.replace("\0", "")
    raise NotationError(f"of the type {column.type}, which the tester does not know")


def is_json(text: str) -> bool:
    """Whether a text is a JSON document; Python's own NaN and infinities are none."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def to_number(text: str) -> Decimal:
    """The number that a text stands for, to its last digit.

    Raises:
        NotationError: if it is none.
    """
    if NUMBER.fullmatch(text):
        number = EXACT.create_decimal(text)
        if abs(number.adjusted()) < LARGEST_EXPONENT:
            return number
    raise NotationError("not a number")


def nearest_float(number: Decimal) -> float:
    """The 32-bit float nearest to a number, not by way of a double; infinite if it is too large."""
    with np.errstate(over="ignore", under="ignore"):
        close = np.float32(float(number))
    if not np.isfinite(close):
        return float(close)
    with np.errstate(over="ignore", under="ignore"):
        neighbours = [np.nextafter(close, np.float32(end)) for end in (-math.inf, math.inf)]
    candidates = [each for each in (close, *neighbours) if np.isfinite(each)]
    nearest = min(
        candidates,
        key=lambda each: (
            abs(EXACT.subtract(Decimal(float(each)), number)),
            each.view(np.int32) & 1,
        ),
    )
    return float(nearest) if nearest else math.copysign(0.0, number)


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise NotationError("neither true nor false")
    return text == "true"


def _integer(text: str, bits: int) -> int:
    if not INTEGER.fullmatch(text):
        raise NotationError("not an integer")
    return fitting(int(text), bits)


def fitting(number: int, bits: int) -> int:
    """An integer, if it fits so many bits.

    Raises:
        NotationError: if it does not.
    """
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise NotationError("an integer out of range")
    return number


def _decimal(text: str, column: common.Column) -> Decimal:
    number = to_scale(to_number(text), column)
    params = column.params.decimal
    if params.precision and number and number.adjusted() >= params.precision - params.scale:
        raise NotationError("a number out of range")
    return number


def _double(text: str) -> float:
    if NOT_A_NUMBER.fullmatch(text):
        return math.nan
    if infinity := INFINITY.fullmatch(text):
        return -math.inf if infinity["sign"] == "-" else math.inf
    if not NUMBER.fullmatch(text):
        raise NotationError("not a number")
    value = float(text)
    if math.isinf(value):
        raise NotationError("a number out of range")
    return value


def _float(text: str) -> float:
    value = _double(text)
    if not math.isfinite(value):
        return value
    rounded = nearest_float(to_number(text))
    if math.isfinite(rounded):
        return rounded
    if abs(to_number(text)) <= LARGEST_FLOAT:
        return math.copysign(LARGEST_32_BITS, value)
    raise NotationError("a number out of range")


@lru_cache(CACHED_TEXTS)
def _temporal(text: str, kind: int) -> date | time | datetime | str:
    try:
        match kind:
            case common.NAIVE_DATE:
                return temporal.parse_date(text)
            case common.NAIVE_TIME:
                return temporal.parse_time(text)
            case common.NAIVE_DATETIME:
                return temporal.parse_datetime(text, None)
        return temporal.parse_datetime(text, UTC)
    except temporal.TemporalError as error:
        raise NotationError(str(error)) from error


def _bytes(text: str) -> bytes:
    """The bytes of base64 with or without padding; of what is no base64, the text's own."""
    bare = text.rstrip("=")
    if not BASE64.fullmatch(text) or len(bare) % GROUP == 1:
        return text.encode()
    return base64.b64decode(bare + "=" * (-len(bare) % GROUP))
