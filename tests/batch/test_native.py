"""Every native Parquet type in every Fivetran type: taken exactly, or refused with its place."""

import io
import math
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as arrow_parquet

from destination.batch import parquet
from destination.batch.decoding import Decoder, Partial
from destination.batch.values import Notices
from destination.errors import BatchFileError
from destination.memory import Budget
from destination.rows import MODIFIED
from destination.schema import Column, DataType, DecimalParams

NULL, UNMODIFIED = "null-string", "unmodified-string"
DAY = 86_400_000_000
EARLIEST = -2_440_588 * DAY


def column(kind: DataType, decimal: tuple[int, int] = (20, 3)) -> Column:
    return Column("v", kind, decimal=DecimalParams(*decimal) if kind is DataType.DECIMAL else None)


def read(array: pa.Array, target: Column, *, partial: bool = False, **written: Any) -> pa.Array:
    """What becomes of a Parquet column."""
    sink = io.BytesIO()
    arrow_parquet.write_table(pa.table({"v": array}), sink, **written)
    leaving = Partial(UNMODIFIED, (target,)) if partial else None
    decoder = Decoder([target], NULL, Notices(), leaving)
    with Budget().reserve() as reservation:
        file = parquet.File(pa.py_buffer(sink.getvalue()))
        batches = list(parquet.read_rows(file, decoder, reservation))
    return pa.Table.from_batches(batches)


def taken(array: pa.Array, target: Column, **written: Any) -> list[Any]:
    """The values, those of dates and times as days and microseconds."""
    values = read(array, target, **written)["v"].combine_chunks()
    assert len(values) == len(array)
    if pa.types.is_date(values.type):
        values = values.view(pa.int32())
    elif pa.types.is_temporal(values.type):
        values = values.view(pa.int64())
    return list(values.to_pylist())


def of_units(kind: pa.DataType, units: list[int]) -> pa.Array:
    return pa.array(units, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)


def single(value: float) -> float:
    """The nearest FLOAT."""
    return float(struct.unpack("f", struct.pack("f", value))[0])


def exact_integer(value: Any, target: DataType) -> Any:
    bits = {DataType.SHORT: 16, DataType.INT: 32, DataType.LONG: 64}[target]
    if value != int(value) or not -(2 ** (bits - 1)) <= value < 2 ** (bits - 1):
        raise ValueError
    return int(value)


def rounded(value: Any) -> Decimal:
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    sign = -1 if number < 0 else 1
    units = sign * int(abs(number) * 1000 + Decimal("0.5"))
    if abs(units) >= 10**20:
        raise ValueError
    return Decimal(units).scaleb(-3)


def within(low: int, value: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError
    return value


def instant(microseconds: int) -> int:
    return within(EARLIEST, microseconds, 2**63 - 1)


def of_float(value: float, target: DataType) -> float:
    if target is DataType.DOUBLE or not math.isfinite(value):
        return value
    if abs(value) > 3.4028237e38:
        raise ValueError
    return single(min(max(value, -3.4028234663852886e38), 3.4028234663852886e38))


def of_integer(value: int, target: DataType) -> float:
    """Up to where a float has every integer."""
    digits = 24 if target is DataType.FLOAT else 53
    return float(within(-(2**digits), value, 2**digits))


def shortest(value: float) -> Decimal:
    """The shortest decimal that is read as the same FLOAT."""
    if not math.isfinite(value):
        return Decimal(value)
    texts = (f"{value:.{digits}g}" for digits in range(1, 18))
    return Decimal(next(text for text in texts if single(float(text)) == value))


def same(one: Any, other: Any) -> bool:
    both_nan = isinstance(one, float) and math.isnan(one) and math.isnan(other)
    return bool(both_nan or one == other)


INTEGERS = (DataType.SHORT, DataType.INT, DataType.LONG)
FLOATS = (DataType.FLOAT, DataType.DOUBLE)
TIMESTAMPS = (DataType.NAIVE_DATETIME, DataType.UTC_DATETIME)
TEXTS = (DataType.STRING, DataType.JSON, DataType.XML)
EDGES = [0, 1, -1, *(s * 2**b + d for b in (7, 15, 24, 31, 53) for s in (1, -1) for d in (-1, 0, 1)), 2**63 - 1, -(2**63)]  # fmt: skip
DOUBLES = [0.0, -0.0, 0.1, 1.5, 0.0005, -0.0005, 1e16, 123456789012345680.0, 1e39, 1e300, 5e-324, 3.4028234663852886e38, 3.4028236e38, 2.0**63, math.inf, -math.inf, math.nan]  # fmt: skip
INSTANTS = [0, 1, -1, 999, -999, 1000, -1001, 10**15, -(10**15), 2**62, -(2**62), 2**63 - 1, -(2**63)]  # fmt: skip

Model = Callable[[Any, DataType], Any]
"""The value that must be stored; ValueError where it must be refused."""


def scaled(factor: int) -> Model:
    """Instants of units of so many microseconds, or of so many parts of one if negative."""
    return lambda units, _: instant(units * factor if factor > 0 else units // -factor)


def integers(low: int, high: int) -> list[int]:
    return [value for value in EDGES if low <= value <= high] + [high]


def text_of(value: Any, _: DataType) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


Case = tuple[pa.DataType, list[Any], dict[DataType, Model]]
"""A type, values at its edges, and the types that take it."""

BOOLEAN_MODELS: dict[DataType, Model] = {
    DataType.BOOLEAN: lambda value, _: value,
    **dict.fromkeys(TEXTS, text_of),
}
INTEGER_MODELS: dict[DataType, Model] = {
    **dict.fromkeys(INTEGERS, exact_integer),
    **dict.fromkeys(FLOATS, of_integer),
    DataType.DECIMAL: lambda value, _: rounded(value),
    **dict.fromkeys(TEXTS, text_of),
}
FLOAT_MODELS: dict[DataType, Model] = {
    **dict.fromkeys(FLOATS, of_float),
    DataType.DECIMAL: lambda value, _: rounded(shortest(value)),
}
DOUBLE_MODELS: dict[DataType, Model] = {
    **dict.fromkeys(FLOATS, of_float),
    DataType.DECIMAL: lambda value, _: rounded(value),
}
DECIMAL_MODELS: dict[DataType, Model] = {
    **dict.fromkeys(INTEGERS, exact_integer),
    DataType.FLOAT: lambda value, _: single(float(value)),
    DataType.DOUBLE: lambda value, _: float(value),
    DataType.DECIMAL: lambda value, _: rounded(value),
    **dict.fromkeys(TEXTS, text_of),
}
DATE_MODELS: dict[DataType, Model] = {
    DataType.NAIVE_DATE: lambda days, _: within(-2_440_588, days, 2_145_042_905),
    **dict.fromkeys(TIMESTAMPS, scaled(DAY)),
}


def time(units: int) -> dict[DataType, Model]:
    """Of times in units, so many of which are a millisecond."""
    return {DataType.NAIVE_TIME: lambda value, _: within(0, value * 1000 // units, DAY - 1)}


def whole(kind: pa.DataType, low: int, high: int) -> Case:
    return kind, integers(low, high), INTEGER_MODELS


def instants(kind: pa.DataType, factor: int) -> Case:
    return kind, INSTANTS, dict.fromkeys(TIMESTAMPS, scaled(factor))


SINGLES = [single(value) for value in DOUBLES if not 3.4028235e38 < abs(value) < math.inf]
DECIMALS = [Decimal(text) for text in ("0.00", "1.00", "-1.50", "7.00", "999.99")]
DAYS = [0, -1, 20_000, -2_440_588, -2_440_589, 106_751_991, 106_751_992, 2_145_042_905, 2_145_042_906, 2**31 - 1, -(2**31)]  # fmt: skip

CASES: list[Case] = [
    (pa.bool_(), [True, False], BOOLEAN_MODELS),
    whole(pa.int8(), -(2**7), 2**7 - 1),
    whole(pa.int16(), -(2**15), 2**15 - 1),
    whole(pa.int32(), -(2**31), 2**31 - 1),
    whole(pa.int64(), -(2**63), 2**63 - 1),
    whole(pa.uint8(), 0, 2**8 - 1),
    whole(pa.uint16(), 0, 2**16 - 1),
    whole(pa.uint32(), 0, 2**32 - 1),
    whole(pa.uint64(), 0, 2**64 - 1),
    (pa.float16(), [0.0, 1.5, -0.5, 65504.0, math.inf, math.nan], FLOAT_MODELS),
    (pa.float32(), SINGLES, FLOAT_MODELS),
    (pa.float64(), DOUBLES, DOUBLE_MODELS),
    (pa.decimal32(5, 2), DECIMALS, DECIMAL_MODELS),
    (pa.decimal64(10, 2), DECIMALS, DECIMAL_MODELS),
    (pa.decimal128(10, 2), DECIMALS, DECIMAL_MODELS),
    (pa.decimal256(50, 2), DECIMALS, DECIMAL_MODELS),
    (pa.date32(), DAYS, DATE_MODELS),
    (pa.time32("ms"), [0, 1, 86_399_999, 86_400_000, -1], time(1)),
    (pa.time64("us"), [0, 1, DAY - 1, DAY, -1, 2**63 - 1], time(1000)),
    (pa.time64("ns"), [0, 999, 1001, DAY * 1000 - 1, DAY * 1000, -1], time(1_000_000)),
    instants(pa.timestamp("ms"), 1000),
    instants(pa.timestamp("us"), 1),
    instants(pa.timestamp("ns"), -1000),
    instants(pa.timestamp("ms", "UTC"), 1000),
    instants(pa.timestamp("us", "Europe/Berlin"), 1),
    instants(pa.timestamp("ns", "UTC"), -1000),
    (pa.duration("us"), [0, 1], {}),
]
TARGETS = list(DataType)


def written(kind: pa.DataType, values: list[Any]) -> pa.Array:
    if pa.types.is_temporal(kind):
        return of_units(kind, values)
    return pa.array(values, kind)


@pytest.mark.parametrize("target", TARGETS, ids=lambda kind: kind.value)
@pytest.mark.parametrize(("kind", "values", "models"), CASES, ids=lambda case: str(case) if isinstance(case, pa.DataType) else "")  # fmt: skip
def test_native_value_is_converted_exactly_or_refused(
    kind: pa.DataType, values: list[Any], models: dict[DataType, Model], target: DataType
) -> None:
    model = models.get(target)
    for value in values:
        array = written(kind, [None, value])
        try:
            if model is None:
                raise ValueError
            expected = model(value, target)
        except (ValueError, OverflowError, ArithmeticError):
            with pytest.raises(BatchFileError) as raised:
                read(array, column(target))
            assert (raised.value.row, raised.value.column) == (2, "v"), value
            assert str(value) not in raised.value.reason or len(str(value)) < 3
            continue
        none, found = taken(array, column(target))
        assert none is None
        assert same(found, expected), value


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
    ids=str,
)
@pytest.mark.parametrize("store_schema", [True, False])
def test_texts_of_any_kind_are_read_as_texts(kind: pa.DataType, *, store_schema: bool) -> None:
    array = pa.array([NULL, "5", None]).cast(kind)
    for target, value in ((DataType.STRING, "5"), (DataType.INT, 5), (DataType.DOUBLE, 5.0)):
        assert taken(array, column(target), store_schema=store_schema) == [None, value, None]


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(len(NULL))], ids=str
)
def test_bytes_are_binary_and_texts_elsewhere(kind: pa.DataType) -> None:
    array = pa.array([b"01234567890", NULL.encode(), None]).cast(kind)
    assert taken(array, column(DataType.BINARY)) == [b"01234567890", None, None]
    assert taken(array, column(DataType.STRING)) == ["01234567890", None, None]
    assert taken(array, column(DataType.LONG)) == [1234567890, None, None]


@pytest.mark.parametrize("kind", [pa.binary(), pa.binary_view(), pa.string()], ids=str)
def test_unmodified_binary(kind: pa.DataType) -> None:
    array = pa.array([UNMODIFIED, NULL, "eA=="]).cast(pa.binary()).cast(kind)
    table = read(array, column(DataType.BINARY), partial=True)
    value = b"x" if kind == pa.string() else b"eA=="
    assert table["v"].to_pylist() == [None, None, value]
    assert table[MODIFIED].to_pylist() == [b"\0", b"\1", b"\1"]


def test_bytes_that_are_no_text() -> None:
    for kind in (pa.binary(), pa.string()):
        array = pa.array([b"a", b"\xff\xfe"], pa.binary()).view(kind)
        with pytest.raises(BatchFileError) as raised:
            read(array, column(DataType.STRING))
        assert str(raised.value) == 'row 2, column "v": is not UTF-8'


@given(uuids=st.lists(st.none() | st.uuids(), min_size=1))
def test_uuid_is_its_canonical_text(uuids: list[UUID | None]) -> None:
    array = pa.array([uuid and uuid.bytes for uuid in uuids], pa.uuid())
    assert taken(array, column(DataType.STRING)) == [uuid and str(uuid) for uuid in uuids]


def test_json_is_its_text() -> None:
    array = pa.array(['{"a": 1}', NULL], pa.json_())
    assert taken(array, column(DataType.JSON)) == ['{"a": 1}', None]


@pytest.mark.parametrize("year", [1, 1600, 2026, 9999])
def test_int96_of_any_year(year: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, 999_999)
    sink = io.BytesIO()
    array = pa.array([moment], pa.timestamp("us"))
    arrow_parquet.write_table(pa.table({"v": array}), sink, use_deprecated_int96_timestamps=True)
    with Budget().reserve() as reservation:
        file = parquet.File(pa.py_buffer(sink.getvalue()))
        decoder = Decoder([column(DataType.UTC_DATETIME)], NULL, Notices())
        (batch,) = parquet.read_rows(file, decoder, reservation)
    if 1678 <= year <= 2261:  # what pyarrow writes right
        assert batch["v"].to_pylist() == [moment.replace(tzinfo=UTC)]


def test_digits_of_int96_below_the_microsecond_are_cut_downwards() -> None:
    sink = io.BytesIO()
    array = pa.array([-1001, 1999, 0], pa.timestamp("ns"))
    arrow_parquet.write_table(pa.table({"v": array}), sink, use_deprecated_int96_timestamps=True)
    with Budget().reserve() as reservation:
        file = parquet.File(pa.py_buffer(sink.getvalue()))
        decoder = Decoder([column(DataType.UTC_DATETIME)], NULL, Notices())
        (batch,) = parquet.read_rows(file, decoder, reservation)
    assert batch["v"].cast(pa.int64()).to_pylist() == [-2, 1, 0]


@pytest.mark.parametrize("target", TARGETS, ids=lambda kind: kind.value)
def test_column_of_nulls_is_of_any_type(target: DataType) -> None:
    for kind in (pa.null(), pa.duration("us"), pa.float64(), pa.bool_()):
        assert taken(pa.nulls(3, kind), column(target)) == [None] * 3


@pytest.mark.parametrize("target", TARGETS, ids=lambda kind: kind.value)
@pytest.mark.parametrize(
    "array",
    [
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int32())),
    ],
    ids=lambda array: str(array.type),
)
def test_nested_column_is_refused(array: pa.Array, target: DataType) -> None:
    with pytest.raises(BatchFileError, match="nested") as raised:
        read(array, column(target))
    assert raised.value.column == "v"


@given(days=st.lists(st.integers(-2_440_588, 2_145_042_905), min_size=1))
def test_any_native_date_is_taken(days: list[int]) -> None:
    assert taken(of_units(pa.date32(), days), column(DataType.NAIVE_DATE)) == days
