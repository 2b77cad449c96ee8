"""The model of type changes: what each pair of types makes of values, and what does not survive."""

from datetime import UTC, date, datetime, time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination.sdk import common_pb2 as common
from destination_tester.conversions import (
    FLOATS,
    INTEGERS,
    RULES,
    TYPES,
    NotSurvivedError,
    convert,
    convert_column,
)
from destination_tester.notation import Unmodified, Value, from_text, to_text
from tests.support.fix_connector import column
from tests.support.strategies import values

B, S, N, L = common.BOOLEAN, common.SHORT, common.INT, common.LONG
D, F, DB = common.DECIMAL, common.FLOAT, common.DOUBLE
NT, ND, NDT, UDT = common.NAIVE_TIME, common.NAIVE_DATE, common.NAIVE_DATETIME, common.UTC_DATETIME
BIN, XML, STR, JSON = common.BINARY, common.XML, common.STRING, common.JSON


def converted(text: str, source: common.DataType, target: common.DataType) -> Value:
    old, new = column("v", source), column("v", target)
    return convert(from_text(text, old), old, new)


def test_every_pair_of_the_fifteen_types_has_a_rule() -> None:
    assert len(TYPES) == 15
    assert set(RULES) == {(source, target) for source in TYPES for target in TYPES}


@pytest.mark.parametrize(
    ("source", "text", "target", "expected"),
    [
        (DB, "200", STR, "200.0"),
        (DB, "1e300", STR, "1.0E+300"),
        (DB, "9999999", STR, "9999999.0"),
        (DB, "1E7", STR, "1.0E+7"),
        (DB, "0.001", STR, "0.001"),
        (DB, "0.00099", STR, "9.9E-4"),
        (DB, "-0", STR, "-0.0"),
        (DB, "-Infinity", STR, "-Infinity"),
        (F, "3.4028237E+38", STR, "3.4028235E+38"),
        (F, "0.1", STR, "0.1"),
        (B, "true", STR, "true"),
        (BIN, "AP8", STR, "AP8="),
        (BIN, "[B@1", STR, "W0JAMQ=="),
        (NT, "10:15:00", STR, "10:15"),
        (NT, "10:15:30.12", STR, "10:15:30.120"),
        (NDT, "2007-12-03 10:15:00Z", STR, "2007-12-03T10:15"),
        (UDT, "2007-12-03T10:15:30.123", STR, "2007-12-03T10:15:30.123Z"),
        (UDT, "2007-12-03T10:15+02:00", STR, "2007-12-03T08:15:00Z"),
        (UDT, "+10000-01-01T00:00:00+01:00", STR, "9999-12-31T23:00:00Z"),
        (ND, "0000-02-29", STR, "0000-02-29"),
        (ND, "-0005-02-28", XML, "-0005-02-28"),
        (JSON, ' {"a":  1}', STR, ' {"a":  1}'),
        (F, "123456.78", D, Decimal("123456.78")),
        (DB, "99999999999999.98", D, Decimal("99999999999999.98")),
        (F, "0.1", DB, 0.1),
        (DB, "100.45", F, pytest.approx(100.45, rel=1e-7)),
        (DB, "2", N, 2),
        (D, "7.000", S, 7),
        (L, "9007199254740992", DB, 2.0**53),
        (DB, "NaN", JSON, '"NaN"'),
        (DB, "1e300", JSON, "1.0E+300"),
        (ND, "2007-12-03", JSON, '"2007-12-03"'),
        (STR, "23:59:59.9999999", NT, time(23, 59, 59, 999999)),
        (STR, "2007-12-03T10:15:30.123456999Z", UDT, datetime(2007, 12, 3, 10, 15, 30, 123456, UTC)),
        (STR, "2007-12-03T10:15:30+05:00", NDT, datetime(2007, 12, 3, 10, 15, 30)),
        (STR, "[B@1", BIN, b"[B@1"),
        (STR, "AP8", BIN, b"\0\xff"),
        (STR, "3.4028237E+38", F, 3.4028234663852886e38),
        (STR, "1.1102230246251565E-25", D, Decimal("1.1102230246251565E-25")),
        (JSON, ' "2007-12-03" ', ND, date(2007, 12, 3)),
        (JSON, " 7\n", N, 7),
        (JSON, "true", B, True),
        (B, "true", D, Decimal(1)),
        (L, "1", B, True),
        (ND, "2007-12-03", UDT, datetime(2007, 12, 3, tzinfo=UTC)),
        (ND, "0000-01-01", NDT, "0000-01-01T00:00"),
        (UDT, "2007-12-03T00:00:00Z", ND, date(2007, 12, 3)),
        (UDT, "-0005-12-03T00:00:00Z", ND, "-0005-12-03"),
    ],
)  # fmt: skip
def test_converted_value_is_what_a_load_of_its_text_stores(
    source: common.DataType, text: str, target: common.DataType, expected: Value
) -> None:
    found = converted(text, source, target)
    assert found == expected
    assert type(found) is type(expected) or isinstance(found, float)


@pytest.mark.parametrize(
    ("source", "text", "target"),
    [
        (DB, "1.7", N),
        (L, "9007199254740993", DB),
        (N, "16777217", F),
        (L, "32768", S),
        (L, "2", B),
        (DB, "1e39", F),
        (DB, "0.123456789", F),
        (DB, "NaN", D),
        (DB, "Infinity", L),
        (STR, "9007199254740993", DB),
        (STR, "7.0", N),
        (STR, "TRUE", B),
        (STR, "2007-12-03T00:00", ND),
        (STR, "{", JSON),
        (STR, "NaN", JSON),
        (STR, "[" * 100_000, JSON),
        (JSON, "null", N),
        (JSON, '"\\u0000"', BIN),
        (JSON, '"\\ud800"', BIN),
        (UDT, "2007-12-03T00:00:00.000001Z", ND),
        (NDT, "2007-12-03T10:15", ND),
        (ND, "+300000-01-01", UDT),
        (NT, "10:15", NDT),
        (N, "7", ND),
        (BIN, "AP8=", L),
        (N, "7", BIN),
    ],
)
def test_value_that_would_lose_something_does_not_survive(
    source: common.DataType, text: str, target: common.DataType
) -> None:
    with pytest.raises(NotSurvivedError):
        converted(text, source, target)


@pytest.mark.parametrize(
    ("old", "texts", "asked", "becomes"),
    [
        ((10, 2), ["12345.67"], (6, 4), (9, 4)),
        ((10, 4), ["1.2345"], (10, 2), (12, 4)),
        ((10, 4), ["1.2300"], (10, 2), (10, 2)),
        ((10, 4), [], (6, 2), (6, 2)),
        ((38, 0), ["1" * 38], (38, 0), (38, 0)),
        ((0, 0), ["0", "-1E+5", "1E-3"], (4, 2), (9, 3)),
    ],
)
def test_decimal_becomes_the_narrowest_that_holds_what_is_asked_for_and_what_is_there(
    old: tuple[int, int], texts: list[str], asked: tuple[int, int], becomes: tuple[int, int]
) -> None:
    before, after = column("v", D, decimal=old), column("v", D, decimal=asked)
    numbers = [from_text(text, before) for text in texts]
    found, kept = convert_column([*numbers, None], before, after)
    assert (found.params.decimal.precision, found.params.decimal.scale) == becomes
    assert kept == [*numbers, None]


def test_decimal_that_would_need_more_than_38_digits_does_not_survive() -> None:
    old, asked = column("v", D, decimal=(38, 37)), column("v", D, decimal=(38, 0))
    with pytest.raises(NotSurvivedError):
        convert_column([Decimal("0.1")], old, asked)


def test_how_many_values_do_not_survive_is_told() -> None:
    texts = ["1", "x", None, "2.5"]
    with pytest.raises(NotSurvivedError, match="2 values"):
        convert_column(texts, column("v"), column("v", N))


@given(st.data())
def test_what_survives_comes_back_as_it_was(data: st.DataObject) -> None:
    kinds = [kind for kind in TYPES if kind not in (STR, XML, JSON)]
    old = column("v", data.draw(st.sampled_from(kinds)))
    new = column("v", data.draw(st.sampled_from(TYPES)))
    value = data.draw(values(old))
    assert value is not None
    assert not isinstance(value, Unmodified)
    try:
        back = convert(convert(value, old, new), new, old)
    except NotSurvivedError:
        return
    assert back == value or to_text(back, old) == to_text(value, old)


@pytest.mark.parametrize("target", [*INTEGERS, *FLOATS])
def test_no_digit_of_a_text_is_lost_in_silence(target: common.DataType) -> None:
    text = "0.12345678901234567890123"
    assert converted(text, STR, D) == Decimal(text)
    with pytest.raises(NotSurvivedError):
        converted(text, STR, target)
