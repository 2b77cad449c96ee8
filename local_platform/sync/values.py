"""Values of the wire as texts in Fivetran's notation, a column at a time.

A text in the notation of one type is one in that of every wider type, so that a column can be widened
without touching what is in a window; a date that becomes a date-time is the one exception.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from destination.sdk import common_pb2 as common
from local_platform.sync.types import BOOLEAN, MAX_DIGITS, STRING, UTC_DATETIME, Type

Texts = tuple[Type, pa.Array]
NUL = "\0"
DATE_LENGTH = len("2007-12-03")
INTEGER_TYPES = {"short": common.SHORT, "int": common.INT, "long": common.LONG}
JAVA_PLAIN = (1e-3, 1e7)
"""Java writes absolute values from the first up to the second without an exponent."""


def texts(kind: str, values: Sequence[Any]) -> Texts:
    """The texts of values that came as one member of ValueType's oneof, and their type."""
    return CONVERSIONS[kind](values)


def _integers(kind: int) -> Callable[[Sequence[int]], Texts]:
    def convert(values: Sequence[int]) -> Texts:
        array = pa.array(values, pa.int64())
        largest = pc.min_max(array).as_py()
        digits = max(len(str(abs(each))) for each in largest.values())
        return Type(kind, digits), array.cast(pa.string())

    return convert


def _booleans(values: Sequence[bool]) -> Texts:
    return BOOLEAN, pa.array(values, pa.bool_()).cast(pa.string())


def _floats(kind: int, dtype: type[np.floating[Any]]) -> Callable[[Sequence[float]], Texts]:
    def convert(values: Sequence[float]) -> Texts:
        array = np.asarray(values, dtype)
        written = pa.array(array).cast(pa.string())
        whole = pc.equal(pc.find_substring(written, "."), -1)
        written = pc.if_else(whole, pc.binary_join_element_wise(written, ".0", ""), written)
        size = np.abs(array)
        plain = (size >= JAVA_PLAIN[0]) & (size < JAVA_PLAIN[1]) | (size == 0)
        if not plain.all():
            others = iter([_java_float(each) for each in array[~plain]])
            written = pc.replace_with_mask(written, pa.array(~plain), pa.array(others, pa.string()))
        return Type(kind), written

    return convert


def _java_float(value: np.floating[Any]) -> str:
    """A float as Java prints it, with the fewest digits that tell it apart in its own width."""
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    digits, exponent = np.format_float_scientific(value, unique=True, trim="0").split("e")
    return f"{digits}E{int(exponent)}"


def _decimals(values: Sequence[str]) -> Texts:
    """Plain digits; the type has as many as the longest value, or text if one is no number."""
    try:
        parsed = [Decimal(each) for each in values]
        if not all(each.is_finite() for each in parsed):
            return STRING, pa.array(values, pa.string())
    except ArithmeticError:
        return STRING, pa.array(values, pa.string())
    written = [format(each, "f") for each in parsed]
    scale = max(max(-int(each.as_tuple().exponent), 0) for each in parsed)
    whole = max(len(each.partition(".")[0].lstrip("-0")) for each in written)
    if whole + scale > MAX_DIGITS:
        return STRING, pa.array(written, pa.string())
    return Type(common.DECIMAL, max(whole + scale, 1), scale), pa.array(written, pa.string())


def _strings(kind: int) -> Callable[[Sequence[str]], Texts]:
    def convert(values: Sequence[str]) -> Texts:
        return Type(kind), pa.array(values, pa.string())

    return convert


def _binaries(values: Sequence[bytes]) -> Texts:
    encoded = [base64.b64encode(each).decode() for each in values]
    return Type(common.BINARY), pa.array(encoded, pa.string())


def _moments(kind: int, suffix: str = "") -> Callable[[Sequence[Any]], Texts]:
    """Date-times, of seconds and nanoseconds, with a fraction as Java prints it."""

    def convert(values: Sequence[Any]) -> Texts:
        seconds = np.array([each.seconds for each in values], "datetime64[s]")
        nanos = [each.nanos for each in values]
        written = np.datetime_as_string(seconds)
        if any(nanos):
            ends = [f"{_fraction(each)}{suffix}" for each in nanos]
            pairs = zip(written.tolist(), ends, strict=True)
            return Type(kind), pa.array([begin + end for begin, end in pairs], pa.string())
        array = pa.array(written.tolist(), pa.string())
        return Type(kind), pc.binary_join_element_wise(array, suffix, "") if suffix else array

    return convert


def _fraction(nanos: int) -> str:
    return "." + re.sub(r"(?:000){1,2}$", "", f"{nanos:09}") if nanos else ""


def _dates(values: Sequence[Any]) -> Texts:
    days = np.array([each.seconds for each in values], "datetime64[s]").astype("datetime64[D]")
    return Type(common.NAIVE_DATE), pa.array(np.datetime_as_string(days).tolist(), pa.string())


def _times(values: Sequence[Any]) -> Texts:
    """Times of day, as text: sources have no such type. [C]"""
    seconds = np.array([each.seconds for each in values], "datetime64[s]")
    clock = [text[DATE_LENGTH + 1 :] for text in np.datetime_as_string(seconds).tolist()]
    ends = [_fraction(each.nanos) for each in values]
    return STRING, pa.array([a + b for a, b in zip(clock, ends, strict=True)], pa.string())


CONVERSIONS: dict[str, Callable[[Sequence[Any]], Texts]] = {
    "bool": _booleans,
    **{name: _integers(kind) for name, kind in INTEGER_TYPES.items()},
    "float": _floats(common.FLOAT, np.float32),
    "double": _floats(common.DOUBLE, np.float64),
    "naive_date": _dates,
    "naive_datetime": _moments(common.NAIVE_DATETIME),
    "utc_datetime": _moments(UTC_DATETIME.kind, "Z"),
    "decimal": _decimals,
    "binary": _binaries,
    "string": _strings(common.STRING),
    "json": _strings(common.JSON),
    "xml": _strings(common.XML),
    "naive_time": _times,
}


def widened(array: pa.Array, wide: Type) -> pa.Array:
    """Texts in the notation of a wider type: dates among date-times get a time."""
    if wide.kind != common.NAIVE_DATETIME:
        return array
    short = pc.equal(pc.utf8_length(array), DATE_LENGTH)
    return pc.if_else(short, pc.binary_join_element_wise(array, "T00:00:00", ""), array)


def comparable(array: pa.Array, kind: Type) -> pa.Array:
    """Texts of a key such that those a destination stores as one value are one text.

    Numbers have many notations, times are stored to the microsecond, and no text holds a NUL.
    """
    if kind.kind in COMPARABLE:
        encoded = array.dictionary_encode()
        unique = [COMPARABLE[kind.kind](each) for each in encoded.dictionary.to_pylist()]
        return pa.array(unique, pa.string()).take(encoded.indices)
    return pc.replace_substring(array, NUL, "")


def _comparable_decimal(text: str) -> str:
    plain = format(abs(Decimal(text)) if Decimal(text) == 0 else Decimal(text), "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _comparable_real(text: str) -> str:
    return str(np.float32(text) + np.float32(0))


def _comparable_double(text: str) -> str:
    return str(float(text) + 0.0)


def _comparable_moment(text: str) -> str:
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


COMPARABLE: dict[int, Callable[[str], str]] = {
    common.DECIMAL: _comparable_decimal,
    common.FLOAT: _comparable_real,
    common.DOUBLE: _comparable_double,
    common.NAIVE_DATETIME: _comparable_moment,
    common.UTC_DATETIME: _comparable_moment,
}
