"""Column values: the Arrow type of each Fivetran type, and texts in CSV notation turned into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from destination.batch import temporal
from destination.batch.binary import decode_base64
from destination.rows import MAX_DECIMAL_DIGITS, arrow_type
from destination.schema import TEXT_TYPES, Column, DataType

NUMBER = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$"
WIDE_DECIMAL = pa.decimal256(76, MAX_DECIMAL_DIGITS)
MAGNITUDE_LIMIT = 1.5e38
"""Arrow's decimals wrap around silently where scaling a text overflows their bits: 128 bits at 1.7e38,
WIDE_DECIMAL at 5.7e38. Nothing that reaches this limit fits any DECIMAL."""
FRACTION_BEYOND_WIDE = rf"^([+-]?\d*\.\d{{{MAX_DECIMAL_DIGITS}}})\d+$"
BELOW_WIDE = 1e-39
"""Numbers below this are 0 at any scale that a DECIMAL can have."""
LARGEST_FLOAT = 3.4028237e38
"""The largest FLOAT of Fivetran's guide: 2**128 in eight digits, just past the largest 32-bit float
(3.4028235e38), which is what it is stored as."""

NOT_BASE64 = "were not base64 and are stored as the bytes of their text"
HELD_NUL = "held U+0000, which was removed"


class Notices:
    """What was changed in values on their way, counted by column, for the log."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, column: Column, what: str, count: int) -> None:
        if count:
            self._counts[column.name, what] += count

    def clear(self) -> None:
        self._counts.clear()

    def texts(self) -> list[str]:
        return [
            f'{count} values of column "{column}" {what}'
            for (column, what), count in self._counts.items()
        ]


def from_texts(texts: pa.Array, column: Column, notices: Notices) -> pa.Array:
    """Turn texts in CSV notation into the column's Arrow type.

    Args:
        texts: an array of strings; nulls stay null.
        column: whose type the texts are in.
        notices: told of values that could not be stored as they are.

    Raises:
        pa.ArrowInvalid: if a text is not of the type or does not fit it. Its message may quote the
            value: do not show it.
    """
    if column.type in TEXT_TYPES:
        return remove_nul(texts, column, notices)
    if column.type is DataType.BINARY:
        values, others = decode_base64(texts)
        notices.add(column, NOT_BASE64, others)
        return values
    if column.type is DataType.DECIMAL:
        return _decimals(texts, arrow_type(column))
    return PARSERS[column.type](texts)


def remove_nul(texts: pa.Array, column: Column, notices: Notices) -> pa.Array:
    """The texts without U+0000, which PostgreSQL's text cannot hold."""
    count = pc.sum(pc.match_substring(texts, "\0")).as_py()
    if not count:
        return texts
    notices.add(column, HELD_NUL, count)
    return pc.replace_substring(texts, "\0", "")


def overflowed(values: pa.Array) -> bool:
    """Whether floats hold infinities: real ones, or texts of numbers too large for the type."""
    return pc.any(pc.is_inf(values)).as_py() is True


def round_decimals(values: pa.Array, target: pa.DataType) -> pa.Array:
    """Round numbers to the scale of a decimal type, half away from zero as PostgreSQL does."""
    if pa.types.is_decimal(values.type) and values.type.scale > target.scale:
        values = pc.round(values, ndigits=target.scale, round_mode="half_towards_infinity")
    return pc.cast(values, target)


def _decimals(texts: pa.Array, target: pa.DataType) -> pa.Array:
    if target == pa.string():
        if pc.all(pc.match_substring_regex(texts, NUMBER)).as_py() is False:
            raise pa.ArrowInvalid("not a number")
        return texts
    if _obviously_fits(texts, target):
        try:
            return pc.cast(texts, target)
        except pa.ArrowInvalid:
            pass  # more fraction digits than the scale
    magnitudes = pc.abs(pc.cast(texts, pa.float64()))
    if pc.all(pc.less(magnitudes, MAGNITUDE_LIMIT)).as_py() is False:
        raise pa.ArrowInvalid("number out of range")
    shortened = pc.replace_substring_regex(texts, FRACTION_BEYOND_WIDE, r"\1")
    shortened = pc.if_else(pc.less(magnitudes, BELOW_WIDE), "0", shortened)
    return round_decimals(pc.cast(shortened, WIDE_DECIMAL), target)


def _obviously_fits(texts: pa.Array, target: pa.DataType) -> bool:
    """Whether every text is too short to have more digits before the point than the type has."""
    longest = pc.max(pc.binary_length(texts)).as_py()
    if longest is None or longest > target.precision - target.scale:
        return longest is None
    return not pc.any(pc.match_substring_regex(texts, "[eE]")).as_py()


def _booleans(texts: pa.Array) -> pa.Array:
    true = pc.equal(texts, "true")
    if pc.all(pc.or_(true, pc.equal(texts, "false"))).as_py() is False:
        raise pa.ArrowInvalid("neither true nor false")
    return true


def _integers(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return partial(pc.cast, target_type=kind)


def _doubles(texts: pa.Array) -> pa.Array:
    values = pc.cast(texts, pa.float64())
    if overflowed(values):
        _require_infinity_by_name(texts, pc.is_inf(values))
    return values


def _floats(texts: pa.Array) -> pa.Array:
    values = pc.cast(texts, pa.float32())
    if not overflowed(values):
        return values
    exact = pc.cast(texts, pa.float64())
    nearly = pc.and_(pc.is_inf(values), pc.less_equal(pc.abs(exact), LARGEST_FLOAT))
    largest = pa.scalar(3.4028234663852886e38, pa.float32())
    limit = pc.if_else(pc.greater(values, pa.scalar(0, pa.float32())), largest, pc.negate(largest))
    _require_infinity_by_name(texts, pc.and_not(pc.is_inf(values), nearly))
    return pc.if_else(nearly, limit, values)


def _require_infinity_by_name(texts: pa.Array, infinite: pa.Array) -> None:
    named = pc.match_substring_regex(texts, r"^[+-]?[Ii][Nn][Ff]")
    if pc.any(pc.and_not(infinite, named)).as_py():
        raise pa.ArrowInvalid("number out of range")


def _temporal(
    kind: pa.DataType, parse: Callable[[pa.Array], pa.Array]
) -> Callable[[pa.Array], pa.Array]:
    """Arrow's own parser, and where it refuses a notation the one that takes all of Java's."""

    def parse_either(texts: pa.Array) -> pa.Array:
        try:
            return pc.cast(texts, kind)
        except pa.ArrowInvalid:
            return parse(texts)

    return parse_either


PARSERS: dict[DataType, Callable[[pa.Array], pa.Array]] = {
    DataType.BOOLEAN: _booleans,
    DataType.SHORT: _integers(pa.int16()),
    DataType.INT: _integers(pa.int32()),
    DataType.LONG: _integers(pa.int64()),
    DataType.FLOAT: _floats,
    DataType.DOUBLE: _doubles,
    DataType.NAIVE_TIME: temporal.parse_times,
    DataType.NAIVE_DATE: _temporal(pa.date32(), temporal.parse_dates),
    DataType.NAIVE_DATETIME: _temporal(pa.timestamp("us"), temporal.parse_naive_datetimes),
    DataType.UTC_DATETIME: _temporal(pa.timestamp("us", "UTC"), temporal.parse_utc_datetimes),
}
