"""Values of native Parquet types converted to the Arrow type of their column: exactly, or refused."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from destination.batch import temporal
from destination.batch.decimals import convert_decimals, parse_decimals
from destination.batch.decoding import Converter
from destination.batch.refusals import RefusedError
from destination.batch.values import Notices, from_texts, narrow_doubles
from destination.rows import arrow_type
from destination.schema import (
    DATETIME_TYPES,
    FLOAT_TYPES,
    INTEGER_TYPES,
    TEXT_TYPES,
    Column,
    DataType,
)

SIMPLE: dict[Callable[[pa.DataType], bool], pa.DataType] = {
    pa.types.is_large_string: pa.string(),
    pa.types.is_string_view: pa.string(),
    pa.types.is_large_binary: pa.binary(),
    pa.types.is_binary_view: pa.binary(),
    pa.types.is_fixed_size_binary: pa.binary(),
}
INTEGER_DIGITS = 20
"""As many as the largest integer of 64 bits has."""


def plain(values: pa.Array) -> pa.Array:
    """The same values in plain Arrow types: no dictionaries, views, large or fixed sizes.

    UUIDs become texts in their canonical notation.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return plain(values.dictionary_decode())
    if isinstance(kind, pa.UuidType):
        return _uuid_texts(values.storage)
    if isinstance(kind, pa.BaseExtensionType):
        return plain(values.storage)
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pc.cast(values, pa.decimal128(kind.precision, kind.scale))
    simple = next((simple for is_kind, simple in SIMPLE.items() if is_kind(kind)), None)
    return values if simple is None else pc.cast(values, simple)


def from_native(values: pa.Array, column: Column, notices: Notices) -> pa.Array:
    """Plain values of any type as the column's Arrow type.

    Args:
        values: what `plain` returned.
        column: the column that they are for.
        notices: counts the values that were changed to fit.

    Raises:
        RefusedError, pa.ArrowException: if a value cannot be taken exactly.
    """
    if values.null_count == len(values):
        return pa.nulls(len(values), arrow_type(column))
    if pa.types.is_string(values.type):
        return from_texts(_valid_texts(values.view(pa.binary())), column, notices)
    if pa.types.is_binary(values.type) and column.type is not DataType.BINARY:
        return from_texts(_valid_texts(values), column, notices)
    goals = next((goals for is_kind, goals in CONVERSIONS.items() if is_kind(values.type)), {})
    convert = goals.get(column.type)
    if convert is None:
        raise RefusedError(f"is of the Parquet type {values.type}, which is no {column.type.value}")
    return convert(values, column)


def _valid_texts(values: pa.Array) -> pa.Array:
    """Bytes as texts; Arrow's Parquet reader does not check that they are UTF-8."""
    try:
        return pc.cast(values, pa.string())
    except pa.ArrowInvalid as error:
        raise RefusedError("is not UTF-8") from error


def _uuid_texts(values: pa.Array) -> pa.Array:
    """UUIDs of 16 bytes in canonical notation."""
    present = pc.fill_null(pc.cast(values, pa.binary()), bytes(16))
    joined = pc.binary_join(pa.ListArray.from_arrays([0, len(present)], present), b"")[0]
    digits = pa.py_buffer(joined.as_buffer().to_pybytes().hex().encode())
    texts = pa.Array.from_buffers(pa.binary(32), len(values), [None, digits]).cast(pa.string())
    groups = [
        pc.utf8_slice_codeunits(texts, start, stop)
        for start, stop in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))
    ]
    return pc.if_else(values.is_null(), None, pc.binary_join_element_wise(*groups, "-"))


def _cast(values: pa.Array, column: Column) -> pa.Array:
    """Arrow's own conversion, which refuses what does not fit.

    An integer becomes a float only if the float type holds every integer up to its size.
    """
    return pc.cast(values, arrow_type(column))


def _integers_to_decimals(values: pa.Array, column: Column) -> pa.Array:
    return convert_decimals(pc.cast(values, pa.decimal128(INTEGER_DIGITS)), column)


def _floats_to_floats(values: pa.Array, _: Column) -> pa.Array:
    return narrow_doubles(pc.cast(values, pa.float64()))


def _by_text(values: pa.Array, column: Column) -> pa.Array:
    """Numbers by their shortest text that is read as the same number."""
    if pa.types.is_float16(values.type):
        values = pc.cast(values, pa.float32())
    texts = pc.cast(values, pa.string())
    if column.type is DataType.DECIMAL:
        return parse_decimals(texts, column)
    return from_texts(texts, column, Notices())


def _dates(values: pa.Array, _: Column) -> pa.Array:
    return temporal.require_supported_dates(pc.cast(values, pa.date32()))


def _times(values: pa.Array, _: Column) -> pa.Array:
    if values.type == pa.time64("ns"):
        values = temporal.cut_to_microseconds(values).view(pa.time64("us"))
    return temporal.require_times_of_day(pc.cast(values, pa.time64("us")))


def _timestamps(values: pa.Array, column: Column) -> pa.Array:
    """Instants and local date-times in microseconds; UTC stands for the missing zone."""
    if values.type.unit == "ns":
        microseconds = temporal.cut_to_microseconds(values)
    else:
        naive = values.view(pa.timestamp(values.type.unit))
        microseconds = temporal.to_microseconds(naive).view(pa.int64())
    return temporal.require_supported_instants(microseconds).view(arrow_type(column))


def _dates_to_timestamps(values: pa.Array, column: Column) -> pa.Array:
    return _timestamps(temporal.to_microseconds(values), column)


CONVERSIONS: dict[Callable[[pa.DataType], bool], dict[DataType, Converter]] = {
    pa.types.is_boolean: dict.fromkeys((DataType.BOOLEAN, *TEXT_TYPES), _cast),
    pa.types.is_integer: {
        **dict.fromkeys((*INTEGER_TYPES, *FLOAT_TYPES, *TEXT_TYPES), _cast),
        DataType.DECIMAL: _integers_to_decimals,
    },
    pa.types.is_floating: {
        DataType.FLOAT: _floats_to_floats,
        DataType.DOUBLE: _cast,
        DataType.DECIMAL: _by_text,
    },
    pa.types.is_decimal: {
        DataType.DECIMAL: convert_decimals,
        **dict.fromkeys((*INTEGER_TYPES, *TEXT_TYPES), _cast),
        **dict.fromkeys(FLOAT_TYPES, _by_text),
    },
    pa.types.is_date: {
        DataType.NAIVE_DATE: _dates,
        **dict.fromkeys(DATETIME_TYPES, _dates_to_timestamps),
    },
    pa.types.is_time: {DataType.NAIVE_TIME: _times},
    pa.types.is_timestamp: dict.fromkeys(DATETIME_TYPES, _timestamps),
    pa.types.is_binary: {DataType.BINARY: _cast},
}
"""How values of Arrow types, whatever their width or unit, become those of a type; whatever else is
refused. A plain integer is no timestamp, and no number is a truth value."""
