"""Decimals, whoever wrote them: exact to the last digit, rounded half away from zero, or refused."""

import io
from decimal import ROUND_HALF_UP, Context, Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv
from pyarrow import parquet as arrow_parquet

from destination.batch import csv, csv_stream, parquet
from destination.batch.decoding import Decoder
from destination.batch.decompression import Compression, DecompressingReader
from destination.batch.values import Notices
from destination.errors import BatchFileError
from destination.memory import Budget
from destination.schema import Column, DataType, DecimalParams
from tests.support.examples import examples

EXACT = Context(prec=1000, rounding=ROUND_HALF_UP)

Found = list[Decimal] | int
"""What a column holds, or the row that was refused."""


def column(precision: int, scale: int) -> Column:
    return Column("v", DataType.DECIMAL, decimal=DecimalParams(precision, scale))


def expected(values: list[Decimal], target: Column) -> Found:
    """What must be stored, by Python's decimals."""
    params = target.decimal
    assert params is not None
    unit, limit = EXACT.scaleb(1, -params.scale), EXACT.scaleb(1, params.precision - params.scale)
    rounded = [value.quantize(unit, context=EXACT) for value in values]
    misfits = [row for row, value in enumerate(rounded, 1) if EXACT.abs(value) >= limit]
    return misfits[0] if misfits else rounded


def by_stream(texts: list[str], target: Column) -> Found:
    """As Arrow's CSV stream reads them, and behind what it refuses the reader of blocks."""
    content = "\n".join(["v", *texts, ""]).encode()
    try:
        return read_csv(content, target, streamed=True)
    except pa.ArrowInvalid:
        return by_blocks(texts, target)


def by_blocks(texts: list[str], target: Column) -> Found:
    return read_csv("\n".join(["v", *texts, ""]).encode(), target, streamed=False)


def read_csv(content: bytes, target: Column, *, streamed: bool) -> Found:
    header, decoder = csv.Header.parse(content), Decoder([target], "null-string", Notices())
    with Budget().reserve() as reservation:
        rest = io.BytesIO(content[header.size :])
        stream = DecompressingReader(rest, Compression.OFF, reservation.part())
        read = csv_stream.read_stream if streamed else csv.read_rows
        try:
            batches = list(read(stream, header, decoder, reservation))
        except BatchFileError as error:
            return refusal(error)
    return [value for batch in batches for value in batch.column("v").to_pylist()]


def by_parquet(array: pa.Array, target: Column) -> Found:
    sink = io.BytesIO()
    arrow_parquet.write_table(pa.table({"v": array}), sink)
    file = parquet.File(pa.py_buffer(sink.getvalue()))
    with Budget().reserve() as reservation:
        try:
            decoder = Decoder([target], "null-string", Notices())
            batches = list(parquet.read_rows(file, decoder, reservation))
        except BatchFileError as error:
            return refusal(error)
    return [value for batch in batches for value in batch.column("v").to_pylist()]


def refusal(error: BatchFileError) -> int:
    assert error.row is not None
    assert error.column == "v"
    return error.row


@st.composite
def targets(draw: st.DrawFn) -> Column:
    precision = draw(st.integers(1, 38) | st.sampled_from([1, 37, 38]))
    return column(precision, draw(st.integers(0, min(precision, 37))))


DIGITS = st.text("0123456789", min_size=1, max_size=45) | st.text("09", min_size=1, max_size=45)
NINES = st.integers(1, 40).map("9".__mul__)


@st.composite
def numbers(draw: st.DrawFn) -> str:
    """Numbers as Java prints them, and with more digits than it would."""
    digits = draw(DIGITS | NINES)
    fraction = draw(st.just("") | DIGITS | NINES | st.builds("{}{}".format, NINES, DIGITS))
    sign = draw(st.sampled_from(["", "-"]))
    exponent = draw(st.just("") | st.integers(-60, 40).map("E{:+}".format))
    return f"{sign}{digits}{'.' if fraction else ''}{fraction}{exponent}"


@examples(80)
@given(texts=st.lists(numbers(), min_size=1, max_size=4), target=targets())
@example(["9" * 38 + ".5"], column(38, 0))
@example(["999999999999999999999999999999.993"], column(32, 2))
@example(["1.1102230246251565E-25", "9.99E-39", "1.5E-38"], column(38, 37))
@example(["1000"], column(4, 1))
@example(["35"], column(38, 37))
@example(["1" + "0" * 29], column(38, 10))
@example(["-" + "9" * 30], column(38, 10))
@example(["0E+400", "-0E-400"], column(1, 1))
@example(["1" * 60 + "E-59"], column(1, 0))
def test_numbers_are_rounded_alike_however_they_arrive(texts: list[str], target: Column) -> None:
    right = expected([Decimal(text) for text in texts], target)
    assert by_stream(texts, target) == right
    assert by_blocks(texts, target) == right
    assert by_parquet(pa.array(texts), target) == right


@st.composite
def arrays(draw: st.DrawFn) -> pa.Array:
    """Decimals of any precision and scale, up to those that Parquet can hold."""
    precision = draw(st.integers(1, 38) | st.integers(1, 76))
    scale = draw(st.integers(0, precision))
    limit = 10**precision - 1
    units = st.integers(-limit, limit) | st.integers(0, precision).map(lambda n: 10**n - 1)
    fives = st.integers(0, precision - 1).map(lambda n: 5 * 10**n)
    drawn = draw(st.lists(units | fives | st.sampled_from([limit, -limit]), min_size=1, max_size=4))
    kind = pa.decimal128 if precision <= 38 else pa.decimal256
    return pa.array([EXACT.scaleb(value, -scale) for value in drawn], kind(precision, scale))


def decimals(texts: list[str], precision: int, scale: int) -> pa.Array:
    return pa.array([Decimal(text) for text in texts], pa.decimal128(precision, scale))


@examples(80)
@given(values=arrays(), target=targets())
@example(decimals(["9.5", "-9.5"], 2, 1), column(38, 0))
@example(decimals(["99999999.99"], 10, 2), column(38, 0))
@example(decimals(["34.03"], 10, 2), column(38, 37))
@example(decimals(["0.12345"], 5, 5), column(38, 0))
def test_decimals_of_parquet(values: pa.Array, target: Column) -> None:
    right = expected(values.to_pylist(), target)
    assert by_parquet(values, target) == right


@given(values=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), target=targets())
def test_integers_of_parquet(values: list[int], target: Column) -> None:
    right = expected([Decimal(value) for value in values], target)
    assert by_parquet(pa.array(values, pa.int64()), target) == right


@given(
    values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), target=targets()
)
def test_doubles_of_parquet(values: list[float], target: Column) -> None:
    right = expected([Decimal(repr(value)) for value in values], target)
    assert by_parquet(pa.array(values, pa.float64()), target) == right


@pytest.mark.parametrize(
    "text", ["", ".", "-", "1e", "e5", "NaN", "0x10", "1_0", "١", "1 2", "--1"]
)
@pytest.mark.parametrize("target", [column(38, 10), column(5, 2), Column("v", DataType.DECIMAL)])
def test_what_is_no_number_is_refused(text: str, target: Column) -> None:
    assert by_blocks([f'"{text}"'], target) == 1
    assert by_parquet(pa.array([text]), target) == 1


@pytest.mark.parametrize("text", ["1E+131071", "1E-16383", "0.1", "9" * 200 + "." + "1" * 200])
def test_number_without_params_is_taken_as_it_is(text: str) -> None:
    found: object = by_blocks([text], Column("v", DataType.DECIMAL))
    assert found == [text]


@pytest.mark.parametrize("text", ["1E+131072", "1E-16384", "1E+999999999", "1E-999999999"])
def test_number_that_no_warehouse_holds(text: str) -> None:
    assert by_blocks([text], Column("v", DataType.DECIMAL)) == 1


def test_arrows_reader_is_the_one_that_does_not_check() -> None:
    """Where this fails, the check of the direct way may go."""
    table = arrow_csv.read_csv(
        pa.BufferReader(b"v\n1000\n"),
        convert_options=arrow_csv.ConvertOptions(column_types={"v": pa.decimal128(4, 1)}),
    )
    assert table["v"].to_pylist() == [Decimal(1000)]
