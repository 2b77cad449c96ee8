"""The narrowest type that holds two, and the texts of values."""

import itertools
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from destination.sdk import common_pb2 as common
from local_platform.sync.types import Type, widest
from local_platform.sync.values import comparable, texts, widened

SHORT, INT, LONG = (Type(kind) for kind in (common.SHORT, common.INT, common.LONG))
FLOAT, DOUBLE = Type(common.FLOAT), Type(common.DOUBLE)
STRING, JSON, BOOLEAN = (Type(kind) for kind in (common.STRING, common.JSON, common.BOOLEAN))
DATE, NAIVE, INSTANT = (
    Type(kind) for kind in (common.NAIVE_DATE, common.NAIVE_DATETIME, common.UTC_DATETIME)
)
SIMPLE = [
    SHORT, INT, LONG, FLOAT, DOUBLE, STRING, JSON, BOOLEAN, DATE, NAIVE, INSTANT,
    Type(common.XML), Type(common.BINARY), Type(common.DECIMAL, 5, 2), Type(common.DECIMAL, 38, 38),
    Type(common.DECIMAL),
]  # fmt: skip
kinds = st.sampled_from(SIMPLE)


def decimal(precision: int, scale: int) -> Type:
    return Type(common.DECIMAL, precision, scale)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (SHORT, LONG, LONG), (SHORT, INT, INT), (FLOAT, DOUBLE, DOUBLE), (DATE, NAIVE, NAIVE),
        (LONG, FLOAT, DOUBLE), (SHORT, FLOAT, DOUBLE), (decimal(5, 2), FLOAT, DOUBLE),
        (DATE, INSTANT, STRING), (NAIVE, INSTANT, STRING), (BOOLEAN, LONG, STRING),
        (JSON, STRING, STRING), (Type(common.XML), STRING, STRING), (Type(common.BINARY), LONG, STRING),
        (decimal(5, 2), decimal(4, 3), decimal(6, 3)), (LONG, decimal(5, 2), decimal(21, 2)),
        (Type(common.LONG, 2), decimal(5, 2), decimal(5, 2)), (decimal(38, 0), decimal(2, 1), STRING),
        (Type(common.DECIMAL), decimal(5, 2), Type(common.DECIMAL)), (Type(common.DECIMAL), LONG, Type(common.DECIMAL)),
    ],
)  # fmt: skip
def test_wider_type_holds_both(one: Type, other: Type, both: Type) -> None:
    assert widest(one, other) == widest(other, one)
    found = widest(one, other)
    assert found is not None
    assert found.stored == both


def test_unknown_types_add_nothing() -> None:
    assert widest(None, None) is None
    assert widest(None, DATE) == DATE


@given(kinds, kinds, kinds)
def test_order_of_arrival_changes_no_type(one: Type, other: Type, third: Type) -> None:
    found = {widest(*each) for each in itertools.permutations([one, other, third])}
    numbers = {each.kind for each in (one, other, third)} & {common.DECIMAL}
    assert len(found) == 1 or numbers, found


@given(kinds, kinds)
def test_column_never_becomes_narrower(one: Type, other: Type) -> None:
    both = widest(one, other)
    assert widest(both, one) == widest(both, other) == both


@pytest.mark.parametrize(
    ("one", "other", "rounds"),
    [
        (LONG, DOUBLE, True),
        (FLOAT, decimal(20, 2), True),
        (INT, DOUBLE, False),
        (FLOAT, DOUBLE, False),
    ],
)
def test_large_numbers_among_floats_round(one: Type, other: Type, *, rounds: bool) -> None:
    both = widest(one, other)
    assert both is not None
    assert both.rounds == rounds


def test_times_of_day_are_text() -> None:
    assert Type.of(common.Column(name="t", type=common.NAIVE_TIME)) == STRING
    assert texts("naive_time", [Timestamp(seconds=3661, nanos=5_000_000)]) == (
        STRING, pa.array(["01:01:01.005"]),
    )  # fmt: skip


def stamp(moment: datetime, nanos: int = 0) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    message.nanos = nanos
    return message


@pytest.mark.parametrize(
    ("kind", "values", "written"),
    [
        ("float", [42.42, 1e20, 5.0, 0.0, -0.5, 1e-5, float("nan"), float("-inf"), 9.223372e18],
         ["42.42", "1.0E20", "5.0", "0.0", "-0.5", "1.0E-5", "NaN", "-Infinity", "9.223372E18"]),
        ("double", [110.234, 1e7, 123456.5, float("inf")], ["110.234", "1.0E7", "123456.5", "Infinity"]),
        ("bool", [True, False], ["true", "false"]),
        ("long", [-(2**63), 2**63 - 1], [str(-(2**63)), str(2**63 - 1)]),
        ("decimal", ["105.34", "1E+5", "-0.001"], ["105.34", "100000", "-0.001"]),
        ("binary", [b"\0\1\2\3", b""], ["AAECAw==", ""]),
        ("naive_date", [stamp(datetime(2007, 12, 3)), stamp(datetime(9999, 12, 31))], ["2007-12-03", "9999-12-31"]),
        ("naive_datetime", [stamp(datetime(2007, 12, 3, 10, 15, 30))], ["2007-12-03T10:15:30"]),
        ("utc_datetime", [stamp(datetime(2007, 12, 3, 10, 15, 30), 123_000_000), stamp(datetime(1, 1, 1), 1)],
         ["2007-12-03T10:15:30.123Z", "0001-01-01T00:00:00.000000001Z"]),
        ("utc_datetime", [stamp(datetime(1969, 12, 31, 23, 59, 59))], ["1969-12-31T23:59:59Z"]),
        ("string", ["", "null", "ü\0"], ["", "null", "ü\0"]),
        ("json", ['{"a": 1}'], ['{"a": 1}']),
    ],
)  # fmt: skip
def test_values_are_written_as_fivetran_writes_them(
    kind: str, values: list[Any], written: list[str]
) -> None:
    assert texts(kind, values)[1].to_pylist() == written


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1.10", "22"], decimal(4, 2)), (["0.001"], decimal(3, 3)), (["0"], decimal(1, 0)),
        (["1E+5", "0.5"], decimal(7, 1)), (["9" * 38], decimal(38, 0)), (["9" * 39], STRING),
        (["NaN"], STRING), (["no number"], STRING),
    ],
)  # fmt: skip
def test_decimals_are_as_wide_as_what_arrived(values: list[str], kind: Type) -> None:
    assert texts("decimal", values)[0] == kind


@given(
    st.lists(st.decimals(allow_nan=False, allow_infinity=False, places=3), min_size=1, max_size=5)
)
def test_decimals_keep_every_digit(values: list[Decimal]) -> None:
    _, written = texts("decimal", [str(each) for each in values])
    assert [Decimal(each) for each in written.to_pylist()] == values


@given(st.lists(st.floats(width=32), min_size=1, max_size=5))
def test_floats_keep_their_value(values: list[float]) -> None:
    _, written = texts("float", values)
    found = [float(each.replace("Infinity", "inf")) for each in written.to_pylist()]
    exact = pa.array(values, pa.float32())
    assert pa.array(found, pa.float32()).cast(pa.string()) == exact.cast(pa.string())


@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))
def test_instants_keep_every_microsecond(moment: datetime) -> None:
    _, written = texts("utc_datetime", [stamp(moment, moment.microsecond * 1000)])
    assert datetime.fromisoformat(written[0].as_py()) == moment.replace(tzinfo=UTC)


def test_dates_among_date_times_get_a_time() -> None:
    array = pa.array([date(2007, 12, 3).isoformat(), "2007-12-03T10:15:30", None])
    assert widened(array, NAIVE).to_pylist() == ["2007-12-03T00:00:00", "2007-12-03T10:15:30", None]
    assert widened(array, STRING) is array


@pytest.mark.parametrize(
    ("kind", "one", "other", "same"),
    [
        (decimal(38, 20), "1.0", "1", True), (decimal(38, 20), "-0", "0.00", True),
        (decimal(38, 20), "100", "1", False),
        (decimal(38, 20), "1.00000000000000000000000000001", "1", False),
        (DOUBLE, "1.0E7", "10000000", True), (DOUBLE, "-0.0", "0", True), (FLOAT, "0.1", "0.10000000149", True),
        (INSTANT, "2007-12-03T10:15:30.1234561Z", "2007-12-03T10:15:30.1234569Z", True),
        (INSTANT, "2007-12-03T10:15:30.123Z", "2007-12-03T10:15:30.124Z", False),
        (STRING, "a\0b", "ab", True), (STRING, "A", "a", False), (LONG, "1", "2", False),
    ],
)  # fmt: skip
def test_keys_are_compared_as_they_are_stored(
    kind: Type, one: str, other: str, *, same: bool
) -> None:
    first, second = comparable(pa.array([one, other]), kind).to_pylist()
    assert (first == second) == same
