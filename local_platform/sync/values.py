"""Values of the wire as texts in Fivetran's notation, a column at a time.

A text in the notation of one type is one in that of every wider type, so that a column can be widened
without touching what is in a window; a date that becomes a date-time is the one exception.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from destination.sdk import common_pb2 as common
from local_platform.sync.types import BOOLEAN, MAX_DIGITS, STRING, UTC_DATETIME, Type

Texts = tuple[Type | None, pa.Array]
NUL = "\0"
DATE_LENGTH = len("2007-12-03")
JAVA_PLAIN = (1e-3, 1e7)
"""Java writes absolute values from the first up to the second without an exponent."""


def texts(kind: str, values: Sequence[Any]) -> Texts:
    """The texts of values that came as one member of ValueType's oneof, and their type, if any."""
    return CONVERSIONS[kind](values)


def _nulls(values: Sequence[Any]) -> Texts:
    return None, pa.nulls(len(values), pa.string())


def _integers(kind: int, values: Sequence[int]) -> Texts:
    array = pa.array(values, pa.int64())
    largest = pc.min_max(array).as_py()
    digits = max(len(str(abs(each))) for each in largest.values())
    return Type(kind, digits), array.cast(pa.string())


def _booleans(values: Sequence[bool]) -> Texts:
    return BOOLEAN, pa.array(values, pa.bool_()).cast(pa.string())


def _floats(kind: int, dtype: type[np.floating[Any]], values: Sequence[float]) -> Texts:
    array = np.asarray(values, dtype)
    written = pa.array(array).cast(pa.string())
    whole = pc.equal(pc.find_substring(written, "."), -1)
    written = pc.if_else(whole, pc.binary_join_element_wise(written, ".0", ""), written)
    size = np.abs(array)
    plain = (size >= JAVA_PLAIN[0]) & (size < JAVA_PLAIN[1]) | (size == 0)
    if not plain.all():
        others = pa.array([_java_float(each) for each in array[~plain]], pa.string())
        written = pc.replace_with_mask(written, pa.array(~plain), others)
    return Type(kind), written


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


def _strings(kind: int, values: Sequence[str]) -> Texts:
    return Type(kind), pa.array(values, pa.string())


def _binaries(values: Sequence[bytes]) -> Texts:
    encoded = [base64.b64encode(each).decode() for each in values]
    return Type(common.BINARY), pa.array(encoded, pa.string())


def _moments(kind: Type, suffix: str, values: Sequence[Any]) -> Texts:
    """Date-times, of seconds and nanoseconds, with a fraction as Java prints it."""
    seconds = np.array([each.seconds for each in values], "datetime64[s]")
    written = np.datetime_as_string(seconds).tolist()
    if any(each.nanos for each in values):
        pairs = zip(written, values, strict=True)
        written = [begin + _fraction(each.nanos) for begin, each in pairs]
    array = pa.array(written, pa.string())
    return kind, pc.binary_join_element_wise(array, suffix, "") if suffix else array


def _fraction(nanos: int) -> str:
    return "." + re.sub(r"(?:000){1,2}$", "", f"{nanos:09}") if nanos else ""


def _dates(values: Sequence[Any]) -> Texts:
    days = np.array([each.seconds for each in values], "datetime64[s]").astype("datetime64[D]")
    return Type(common.NAIVE_DATE), pa.array(np.datetime_as_string(days).tolist(), pa.string())


def _times(values: Sequence[Any]) -> Texts:
    """Times of day, as text: sources have no such type. [C]"""
    _, written = _moments(STRING, "", values)
    return STRING, pc.utf8_slice_codeunits(written, DATE_LENGTH + 1)


CONVERSIONS: dict[str, Callable[[Sequence[Any]], Texts]] = {
    "null": _nulls,
    "bool": _booleans,
    "short": partial(_integers, common.SHORT),
    "int": partial(_integers, common.INT),
    "long": partial(_integers, common.LONG),
    "float": partial(_floats, common.FLOAT, np.float32),
    "double": partial(_floats, common.DOUBLE, np.float64),
    "naive_date": _dates,
    "naive_datetime": partial(_moments, Type(common.NAIVE_DATETIME), ""),
    "utc_datetime": partial(_moments, UTC_DATETIME, "Z"),
    "decimal": _decimals,
    "binary": _binaries,
    "string": partial(_strings, common.STRING),
    "json": partial(_strings, common.JSON),
    "xml": partial(_strings, common.XML),
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
