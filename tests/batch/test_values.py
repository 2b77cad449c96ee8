"""Texts in CSV notation as the values of their types, and what is told of those that were changed."""

import base64
import math
import struct

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from destination.batch.binary import decode_base64
from destination.batch.refusals import REFUSALS, RefusedError
from destination.batch.values import (
    NOT_BASE64,
    Notices,
    count_byte,
    from_texts,
    holds_hexadecimal,
    narrow_doubles,
    overflowed,
)
from destination.schema import Column, DataType

LARGEST = 3.4028234663852886e38
"""The largest number of 32 bits."""
LARGEST_OF_THE_GUIDE = 3.4028237e38


def values(kind: DataType, *texts: str | None) -> list[object]:
    found = from_texts(pa.array(texts, pa.string()), Column("v", kind), Notices())
    values: list[object] = found.to_pylist()
    return values


@given(contents=st.lists(st.none() | st.binary(max_size=70), max_size=9), padded=st.booleans())
def test_base64_is_decoded_with_or_without_padding(
    contents: list[bytes | None], *, padded: bool
) -> None:
    texts = [None if each is None else base64.b64encode(each).decode() for each in contents]
    if not padded:
        texts = [text and text.rstrip("=") for text in texts]
    decoded, others = decode_base64(pa.array(texts, pa.string()))
    assert decoded.to_pylist() == contents
    assert others == 0


@pytest.mark.parametrize(
    "text",
    [
        "A",
        "AAAAA",
        "AA===",
        "=A",
        "A=A=",
        "_-AA",
        "[B@",
        "é",
        " AAA",
        "AAA ",
        "AA AA",
        "AAAA\n",
        "\tAA=",
        "AA= ",
        " ",
    ],
)
def test_what_is_not_base64_is_the_bytes_of_its_text_and_counted(text: str) -> None:
    notices = Notices()
    column = Column("v", DataType.BINARY)
    found = from_texts(pa.array(["AP8=", text, None, text]), column, notices)
    assert found.to_pylist() == [b"\0\xff", text.encode(), None, text.encode()]
    assert notices.texts() == [f'2 values of column "v" {NOT_BASE64}']


def test_notices_are_counted_by_column_and_kind() -> None:
    notices, one, other = Notices(), Column("one", DataType.STRING), Column("other", DataType.XML)
    for column, count in ((one, 1), (other, 5), (one, 2), (other, 0)):
        notices.add(column, "were changed", count)
    notices.add(one, "were lost", 1)
    assert notices.texts() == [
        '3 values of column "one" were changed',
        '5 values of column "other" were changed',
        '1 values of column "one" were lost',
    ]
    notices.clear()
    assert notices.texts() == []


def test_nothing_is_told_where_nothing_was_changed() -> None:
    notices = Notices()
    notices.add(Column("v", DataType.STRING), "were changed", 0)
    assert notices.texts() == []


@pytest.mark.parametrize("kind", [DataType.STRING, DataType.JSON, DataType.XML])
def test_what_the_warehouse_cannot_store_is_removed_and_counted_by_value(kind: DataType) -> None:
    notices, column = Notices("\0"), Column("v", kind)
    texts = pa.array(["\0a\0b", "c", None, "\0"])
    assert from_texts(texts, column, notices).to_pylist() == ["ab", "c", None, ""]
    assert notices.texts() == ['2 values of column "v" held U+0000, which was removed']
    for plain in (pa.array(["a", None]), pa.array([None], pa.string()), pa.array([], pa.string())):
        assert from_texts(plain, column, notices).equals(plain)
    assert len(notices.texts()) == 1
    assert from_texts(texts, column, Notices()).equals(texts)


@given(data=st.binary(max_size=99), byte=st.integers(0, 255))
def test_bytes_are_counted(data: bytes, byte: int) -> None:
    assert count_byte(pa.py_buffer(data), pa.scalar(byte, pa.uint8())) == data.count(bytes([byte]))


@given(
    texts=st.lists(st.text("01xX, ", max_size=5) | st.none(), max_size=5), first=st.integers(0, 3)
)
def test_hexadecimal_digits_are_found_where_they_stand(texts: list[str | None], first: int) -> None:
    found = any("0x" in (text or "").lower() for text in texts[first:])
    assert holds_hexadecimal(pa.array(texts, pa.string()).slice(min(first, len(texts)))) == found


@pytest.mark.parametrize("kind", [DataType.SHORT, DataType.INT, DataType.LONG])
@pytest.mark.parametrize("text", ["0x1F", "0XFF", " 0xFFFF "])
def test_hexadecimal_text_is_refused_and_only_where_it_stands(kind: DataType, text: str) -> None:
    """As of CSV, so of texts in Parquet, and of a column's default."""
    texts = pa.array(["1", text, None, "2"])
    for first, count in ((0, 4), (1, 1)):
        with pytest.raises(RefusedError, match="hexadecimal"):
            from_texts(texts.slice(first, count), Column("v", kind), Notices())
    assert from_texts(texts.slice(2), Column("v", kind), Notices()).to_pylist() == [None, 2]


def test_only_true_and_false_are_booleans() -> None:
    assert values(DataType.BOOLEAN, "true", None, "false") == [True, None, False]
    for text in ("True", "", "1", "f"):
        with pytest.raises(RefusedError, match="is neither true nor false"):
            values(DataType.BOOLEAN, "true", text)


@pytest.mark.parametrize(
    ("kind", "bits"), [(DataType.SHORT, 16), (DataType.INT, 32), (DataType.LONG, 64)]
)
def test_integers_to_the_last_one(kind: DataType, bits: int) -> None:
    first, last = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    assert values(kind, str(first), str(last), None) == [first, last, None]
    for text in (str(first - 1), str(last + 1), "1.0", "1e1", "", "1 1"):
        with pytest.raises(REFUSALS):
            values(kind, text)


@given(number=st.floats(allow_nan=False))
@example(math.inf)
@example(-math.inf)
def test_any_double_comes_back(number: float) -> None:
    text = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(number, repr(number))
    assert values(DataType.DOUBLE, text) == [number]


@given(number=st.floats(allow_nan=False, width=32))
@example(math.inf)
@example(-math.inf)
def test_any_float_comes_back(number: float) -> None:
    text = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(number, repr(number))
    assert values(DataType.FLOAT, text) == [number]


@pytest.mark.parametrize("kind", [DataType.FLOAT, DataType.DOUBLE])
@pytest.mark.parametrize("text", ["1E999", "-1E999", "9" * 400])
def test_number_that_overflows_is_no_infinity(kind: DataType, text: str) -> None:
    with pytest.raises(RefusedError, match="is too large for its type"):
        values(kind, "Infinity", None, text)


def test_float_of_the_guide_is_the_largest_and_no_more_than_it() -> None:
    texts = ("3.4028237E+38", "-3.4028237E+38", "-Infinity", None, "1.5")
    assert values(DataType.FLOAT, *texts) == [LARGEST, -LARGEST, -math.inf, None, 1.5]
    for text in ("3.4028238E+38", "-3.4028238E+38", "1E39"):
        with pytest.raises(RefusedError, match="is too large for FLOAT"):
            values(DataType.FLOAT, text)


@given(number=st.floats(-LARGEST, LARGEST))
def test_double_becomes_the_nearest_float(number: float) -> None:
    (nearest,) = struct.unpack("f", struct.pack("f", number))
    assert narrow_doubles(pa.array([number, None])).to_pylist() == [nearest, None]


def test_doubles_that_no_float_holds() -> None:
    edge = pa.array([LARGEST_OF_THE_GUIDE, -LARGEST_OF_THE_GUIDE, math.inf, -math.inf, None, 1.0])
    assert narrow_doubles(edge).to_pylist() == [LARGEST, -LARGEST, math.inf, -math.inf, None, 1.0]
    for number in (math.nextafter(LARGEST_OF_THE_GUIDE, math.inf), -1e300):
        with pytest.raises(RefusedError, match="is too large for FLOAT"):
            narrow_doubles(pa.array([number, math.inf]))


def test_which_floats_overflowed() -> None:
    assert overflowed(pa.array([1.0, math.inf]))
    assert overflowed(pa.array([None, -math.inf]))
    assert not overflowed(pa.array([1.0, None, math.nan]))
    assert not overflowed(pa.array([], pa.float64()))


@pytest.mark.parametrize(
    ("kind", "common", "java"),
    [
        (DataType.NAIVE_DATE, "2020-01-02", "+10000-01-02"),
        (DataType.NAIVE_DATETIME, "2020-01-02T03:04:05", "2020-01-02T03:04:05.123456789"),
        (DataType.UTC_DATETIME, "2020-01-02T03:04:05Z", "2020-01-02T03:04:05.123456789Z"),
        (DataType.NAIVE_TIME, "03:04:05", "03:04:05.123456789"),
    ],
)
def test_notation_of_java_is_read_beside_the_common_one(
    kind: DataType, common: str, java: str
) -> None:
    column = Column("v", kind)
    both = from_texts(pa.array([common, java]), column, Notices())
    alone = from_texts(pa.array([common]), column, Notices())
    assert both.type == alone.type
    assert both[0] == alone[0]
    with pytest.raises(RefusedError):
        values(kind, common, "yesterday")
