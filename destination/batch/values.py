"""Texts in CSV notation turned into the Arrow type of their column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from destination.batch import temporal
from destination.batch.binary import decode_base64
from destination.batch.decimals import parse_decimals
from destination.batch.refusals import REFUSALS, RefusedError
from destination.schema import BLANKS, TEXT_TYPES, Column, DataType

LARGEST_FLOAT = 3.4028237e38
"""The largest FLOAT of Fivetran's guide: 2**128 in eight digits, just past the largest 32-bit float
(3.4028235e38), which is what it is stored as."""

NOT_BASE64 = "were not base64 and are stored as the bytes of their text"


class Notices:
    """What is changed in values on their way, counted by column, for the log.

    Args:
        unstorable: the character of ASCII that no text of the warehouse holds; empty if it holds all.
    """

    def __init__(self, unstorable: str = "") -> None:
        self.unstorable = unstorable
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, column: Column, what: str, count: int) -> None:
        if count:
            self._counts[column.name, what] += count

    def clear(self) -> None:
        self._counts.clear()

    def concern(self, block: bytes) -> bool:
        """Whether bytes of a file hold the character that is to be removed."""
        return bool(self.unstorable) and self.unstorable.encode() in block

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
        notices: counts the values that could not be stored as they are.

    Raises:
        RefusedError, pa.ArrowInvalid: if a text is not of the type or does not fit it.
    """
    if column.type in TEXT_TYPES:
        return storable(texts, column, notices)
    if column.type is DataType.BINARY:
        values, others = decode_base64(texts)
        notices.add(column, NOT_BASE64, others)
        return values
    try:
        return _parse(texts, column)
    except REFUSALS:
        trimmed = pc.ascii_trim(texts, BLANKS)
        if trimmed.equals(texts):
            raise
    return _parse(trimmed, column)


def _parse(texts: pa.Array, column: Column) -> pa.Array:
    if column.type is DataType.DECIMAL:
        return parse_decimals(texts, column)
    return PARSERS[column.type](texts)


def storable(texts: pa.Array, column: Column, notices: Notices) -> pa.Array:
    """The texts without the character that the warehouse cannot store."""
    data, character = texts.buffers()[2], notices.unstorable
    if data is None or not character or not count_byte(data, pa.scalar(ord(character), pa.uint8())):
        return texts
    count = pc.sum(pc.match_substring(texts, character)).as_py() or 0
    notices.add(column, f"held U+{ord(character):04X}, which was removed", count)
    return pc.replace_substring(texts, character, "")


def count_byte(data: pa.Buffer, byte: pa.UInt8Scalar) -> int:
    """How often a byte occurs; many times as fast as a search in each text."""
    characters = pa.Array.from_buffers(pa.uint8(), data.size, [None, data])
    return int(pc.equal(characters, byte).true_count)


def holds_hexadecimal(integers: pa.Array) -> bool:
    """Whether texts of integers hold one that Arrow reads as hexadecimal, by its bits: 0xFFFF as -1."""
    data = integers.buffers()[2]
    characters = data.to_pybytes() if data is not None else b""
    if b"x" not in characters and b"X" not in characters:
        return False
    return pc.any(pc.match_substring(integers, "0x", ignore_case=True)).as_py() is True


def overflowed(values: pa.Array) -> bool:
    """Whether floats hold infinities: real ones, or texts of numbers too large for the type."""
    return bool(pc.is_inf(values).true_count)


def _booleans(texts: pa.Array) -> pa.Array:
    true = pc.equal(texts, "true")
    if pc.all(pc.or_(true, pc.equal(texts, "false"))).as_py() is False:
        raise RefusedError("is neither true nor false")
    return true


def _integers(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    def parse(texts: pa.Array) -> pa.Array:
        if holds_hexadecimal(texts):
            raise RefusedError("is in hexadecimal notation")
        return pc.cast(texts, kind)

    return parse


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
    _require_infinity_by_name(texts, pc.is_inf(exact))
    return pc.if_else(pc.is_inf(values), narrow_doubles(exact), values)


def narrow_doubles(values: pa.Array) -> pa.Array:
    """Doubles as the nearest FLOAT.

    Raises:
        RefusedError: if one is too large for a FLOAT.
    """
    narrow = pc.cast(values, pa.float32())
    if not overflowed(narrow):
        return narrow
    size = pc.abs(values)
    if pc.any(pc.and_(pc.greater(size, LARGEST_FLOAT), pc.is_finite(size))).as_py():
        raise RefusedError("is too large for FLOAT")
    largest = pa.scalar(3.4028234663852886e38, pa.float32())
    limit = pc.if_else(pc.greater(values, 0.0), largest, pc.negate(largest))
    return pc.if_else(pc.and_(pc.is_inf(narrow), pc.is_finite(size)), limit, narrow)


def _require_infinity_by_name(texts: pa.Array, infinite: pa.Array) -> None:
    named = pc.match_substring_regex(texts, r"^[+-]?[Ii][Nn][Ff]")
    if pc.any(pc.and_not(infinite, named)).as_py():
        raise RefusedError("is too large for its type")


def _temporal(
    kind: pa.DataType, parse: Callable[[pa.Array], pa.Array]
) -> Callable[[pa.Array], pa.Array]:
    """Arrow's own parser; where it refuses a notation, the one that reads all of Java's."""

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
