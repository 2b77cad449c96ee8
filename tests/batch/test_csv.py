"""Jackson's CSV, cut into blocks and read as typed columns."""

import csv as python_csv
import io
import math

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from destination.batch import csv
from destination.batch.decoding import Decoder, Partial
from destination.batch.decompression import Compression, DecompressingReader
from destination.batch.values import Notices
from destination.errors import BatchFileError
from destination.memory import FORMS, Budget
from destination.rows import MODIFIED
from destination.schema import TEXT_TYPES, Column, DataType, DecimalParams
from destination_tester import jackson

NULL = "null-string"


def read(content: bytes, *columns: Column) -> list[tuple[object, ...]]:
    header = csv.Header.parse(content)
    reader = csv.BlockReader(header.names, Decoder(columns, NULL, Notices("\0")))
    with Budget().reserve() as reservation:
        rest = io.BytesIO(content[header.size :])
        stream = DecompressingReader(rest, Compression.OFF, reservation.part())
        batches = [reader.read(block) for block in csv.read_blocks(stream, reservation.part())]
    return [tuple(row.values()) for batch in batches for row in batch.to_pylist()]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.sampled_from(
    ["", "\n", '"', ",", "\r\n", '","', "\\", '"\n']
)


@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=20),
    block_bytes=st.sampled_from([1, 7, 64, 4096]),
)
def test_rows_come_back_whatever_they_hold_and_however_blocks_fall(
    rows: list[tuple[str, str]], block_bytes: int
) -> None:
    content = jackson.encode(["a", "b"], rows, NULL)
    whole = csv.BLOCK_BYTES
    csv.BLOCK_BYTES = block_bytes
    try:
        found = read(content, Column("a", DataType.STRING), Column("b", DataType.STRING))
    finally:
        csv.BLOCK_BYTES = whole
    assert found == rows


@given(content=st.text('ab,"\n', max_size=40).map(str.encode), quoted=st.booleans())
def test_last_record_end_is_the_last_newline_outside_quotes(
    content: bytes, *, quoted: bool
) -> None:
    ends = [
        i + 1
        for i, byte in enumerate(content)
        if byte == ord("\n") and (content[:i].count(b'"') + quoted) % 2 == 0
    ]
    assert csv.last_record_end(content, quoted=quoted) == max(ends, default=0)


def test_null_quoted_or_not_is_told_from_empty() -> None:
    content = f'a,b\n{NULL},""\n,"{NULL}"\n'.encode()
    columns = Column("a", DataType.STRING), Column("b", DataType.STRING)
    assert read(content, *columns) == [(None, ""), ("", None)]


def test_columns_are_read_in_the_order_asked_for() -> None:
    columns = Column("c", DataType.INT), Column("a", DataType.BOOLEAN)
    assert read(b'a,b,c\ntrue,x,"1"\n"false",y,2\n', *columns) == [(1, True), (2, False)]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_last_record_may_lack_its_newline(end: bytes) -> None:
    assert read(b"a\n1\n2" + end, Column("a", DataType.INT)) == [(1,), (2,)]


@given(names=st.lists(TEXTS, min_size=2, unique=True))
def test_header_is_read_as_python_reads_it(names: list[str]) -> None:
    content = jackson.encode(names, [], NULL)
    header = csv.Header.parse(content + b"1,2\n")
    (expected,) = python_csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    assert header.names == expected == names
    assert header.size == len(content)


def test_types_of_arrow_arrive() -> None:
    reader = csv.BlockReader(["a"], Decoder([Column("a", DataType.UTC_DATETIME)], NULL, Notices()))
    batch = reader.read(b"2020-01-01T00:00:00Z\n2020-01-01T00:00:00.123456789Z\n")
    assert batch.schema.field("a").type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize("kind", [DataType.STRING, DataType.JSON, DataType.XML])
def test_mark_at_the_front_of_a_block_is_kept_and_no_nul(kind: DataType) -> None:
    """Arrow takes the one away, and would let the other through."""
    content = "a\n\ufeffx\n".encode()
    assert read(content, Column("a", kind)) == [("\ufeffx",)]
    assert read(b"a\nx\0y\n\0\n", Column("a", kind)) == [("xy",), ("",)]


def test_each_block_tells_its_rows_by_their_numbers_in_the_file() -> None:
    reader = csv.BlockReader(["a"], Decoder([Column("a", DataType.INT)], NULL, Notices()))
    assert reader.read(b"1\n2\n").num_rows == 2
    with pytest.raises(BatchFileError) as value:
        reader.read(b"3\nno number\n")
    assert (value.value.row, value.value.column) == (4, "a")
    with pytest.raises(BatchFileError, match="does not have 1 cells, as the header") as uneven:
        reader.read(b"3\n4,5\n")
    assert uneven.value.row == 4
    with pytest.raises(BatchFileError) as foreign:
        reader.read(b"3\n4\n\xff\n")
    assert (foreign.value.row, foreign.value.column) == (5, "a")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "has no header line"),
        (b"\n1\n", "has no header line"),
        (b"\xff,a\n", "its header line cannot be read"),
        (b'"a', "its header line cannot be read"),
        (b'"a"b\n', "its header line cannot be read"),
    ],
)
def test_header_that_cannot_be_read(content: bytes, told: str) -> None:
    with pytest.raises(BatchFileError) as refused:
        csv.Header.parse(content)
    assert refused.value.reason == told


def test_header_without_a_line_end_is_the_whole_file() -> None:
    header = csv.Header.parse(b"a,b")
    assert (header.names, header.size) == (["a", "b"], 3)


@pytest.mark.parametrize("text", ["TRUE", "1", "t", "0", "yes", ""])
def test_truth_has_two_words(text: str) -> None:
    with pytest.raises(BatchFileError):
        read(f'a,b\n"{text}",x\n'.encode(), Column("a", DataType.BOOLEAN))


@pytest.mark.parametrize("kind", [DataType.FLOAT, DataType.DOUBLE])
def test_infinity_is_taken_by_its_name_alone(kind: DataType) -> None:
    assert read(b"a\n-inf\nInfinity\n", Column("a", kind)) == [(-math.inf,), (math.inf,)]
    with pytest.raises(BatchFileError):
        read(b"a\n1E999\n", Column("a", kind))


def test_memory_of_blocks_grows_with_a_record_and_shrinks_behind_it() -> None:
    record = b'"' + b"x" * (3 * csv.BLOCK_BYTES) + b'"\n'
    content = b"short\n" + record + b"short\n" * csv.BLOCK_BYTES
    sizes = []
    with Budget().reserve() as reservation:
        memory = reservation.part()
        stream = DecompressingReader(io.BytesIO(content), Compression.OFF, reservation.part())
        blocks = []
        for block in csv.read_blocks(stream, memory):
            sizes.append(memory.size)
            blocks.append(block)
    assert b"".join(blocks) == content
    assert max(sizes) >= FORMS * len(record)
    assert sizes[-1] <= FORMS * 2 * csv.BLOCK_BYTES


NOTATIONS = ("0x1F", "+5", "-5", "1_000", "007", "1.", ".5", "1.0", "1e2", "1E+2", "NaN", "nan", "Infinity", "inf", "true", "TRUE", "t", "1", "", "2020-01-31", "2020-1-1", "20200131", "2020-01-31T10", "2020-01-31 10:15", "2020-01-31T10:15:30.", "2020-01-31T10:15:30.5Z", "2020-01-31T10:15:30+01", "2020-01-31T10:15:30+0130", "2020-01-31T10:15:30+24:00", "2020-01-31T24:00:00", "10:15", "10:15:30.", "10", "24:00")  # fmt: skip
VALUE_TYPES = [
    *(Column("a", kind) for kind in DataType if kind not in TEXT_TYPES | {DataType.BINARY}),
    Column("a", DataType.DECIMAL, decimal=DecimalParams(4, 1)),
    Column("a", DataType.DECIMAL, decimal=DecimalParams(38, 37)),
]
SLOW_NEIGHBOURS: dict[DataType, str] = {
    DataType.FLOAT: "3.4028237E+38",
    DataType.DOUBLE: "Infinity",
    DataType.DECIMAL: "1." + "0" * 40 + "1",
    DataType.NAIVE_DATE: "-0005-01-01",
    DataType.NAIVE_TIME: "10:15:30.123456789",
    DataType.NAIVE_DATETIME: "-0005-01-01T10:15:30.123456789",
    DataType.UTC_DATETIME: "-0005-01-01T10:15:30.123456789",
}
"""What only the last of all ways to read a type takes."""
blanks = st.text(" \t", max_size=2)
notations = st.sampled_from(NOTATIONS) | st.text("0123456789+-.:eETZx_,", max_size=12)


def first_value(column: Column, *texts: str, partial: bool = False) -> str:
    """What becomes of the first of some texts in a block of one column."""
    kept = Partial("unmodified-string", (column,)) if partial else None
    reader = csv.BlockReader([column.name], Decoder([column], NULL, Notices(), kept))
    block = "".join(f'"{text}"\n' for text in texts).encode()
    try:
        value = reader.read(block).column(0)[:1]
    except BatchFileError:
        return "refused"
    return str(value.view(pa.int64()) if pa.types.is_timestamp(value.type) else value)


@given(column=st.sampled_from(VALUE_TYPES), before=blanks, notation=notations, after=blanks)
@example(Column("a", DataType.INT), " ", "1", "")
@example(Column("a", DataType.NAIVE_TIME), "", "10:15:30.", "")
@example(Column("a", DataType.UTC_DATETIME), "", "2020-01-31 10Z", "")
@example(Column("a", DataType.UTC_DATETIME), "", "2020-01-31T10:15:30+01", "")
def test_value_is_taken_or_refused_whatever_stands_beside_it(
    column: Column, before: str, notation: str, after: str
) -> None:
    text = before + notation + after
    beside = SLOW_NEIGHBOURS.get(column.type)
    found = {first_value(column, text), first_value(column, text, partial=True)}
    if beside is not None:
        assert first_value(column, beside) != "refused"
        found |= {first_value(column, text, beside, partial=kept) for kept in (False, True)}
    assert found == {first_value(column, notation)}


@pytest.mark.parametrize(
    ("kind", "taken", "refused"),
    [
        (DataType.BOOLEAN, ["true", " false"], ["TRUE", "True", "t", "1", "yes", ""]),
        (DataType.SHORT, ["-5", "007", " 1\t"], ["0x1F", "0XF", " 0xFFFF", "+5", "1_000", "1.0", "1e2", "", " "]),
        (DataType.LONG, ["-5", "007", " 1\t"], ["0x1F", "0XF", " 0xFFFF", "+5", "1_000", "1.0", "1e2", "", " "]),
        (DataType.DOUBLE, ["+5", "1.", ".5", "1e2", "nan", "inf"], ["1_000", "0x1F", "1d", "", " "]),
        (DataType.DECIMAL, ["+5", "1.", ".5", "1e2", " 1"], ["1_000", "0x1F", "NaN", "", " "]),
        (DataType.NAIVE_DATE, ["2020-01-31", " 2020-01-31"], ["2020-1-31", "20200131", "31.1.2020"]),
        (DataType.NAIVE_TIME, ["10:15", "10:15:30."], ["10", "1:15", "24:00", "10:15:60"]),
        (DataType.UTC_DATETIME, ["2020-01-31", "2020-01-31T10:15+01"], ["2020-01-31T10:15+24:00", "2020-01-31T10:15+01:60", "2020-01-31T10:15 CET"]),
        (DataType.NAIVE_DATETIME, ["2020-01-31", "2020-01-31 10:15+01"], ["2020-01-31T10:15+24:00", "2020-01-31T1015"]),
    ],
)  # fmt: skip
def test_notations_beside_fivetrans(kind: DataType, taken: list[str], refused: list[str]) -> None:
    column = Column("a", kind)
    assert [text for text in taken if first_value(column, text) == "refused"] == []
    assert [text for text in refused if first_value(column, text) != "refused"] == []


@pytest.mark.parametrize("null", ["null", ""])
@pytest.mark.parametrize("unmodified", ["unmodified", 'un"modified'])
def test_null_and_unmodified_values_of_a_block_are_told_apart(null: str, unmodified: str) -> None:
    columns = [Column("id", DataType.INT, primary_key=True)]
    columns += [Column("text", DataType.STRING), Column("more", DataType.STRING)]
    rows = [["1", unmodified, null], ["2", null, unmodified], ["3", "x", "y"]]
    block = jackson.encode([column.name for column in columns], rows, "no null")
    block = block.replace(b",unmodified", b',"unmodified"')
    header = csv.Header.parse(block)
    kept = Decoder(columns, null, Notices(), Partial(unmodified, tuple(columns)))
    found = csv.BlockReader(header.names, kept).read(block[header.size :])
    assert found.to_pydict() == {
        "id": [1, 2, 3],
        "text": [None, None, "x"],
        "more": [None, None, "y"],
        MODIFIED: [b"\1\0\1", b"\1\1\0", b"\1\1\1"],
    }


PARTIAL_COLUMNS = [
    Column("id", DataType.INT, primary_key=True),
    Column("text", DataType.STRING),
    Column("number", DataType.DOUBLE),
    Column("data", DataType.BINARY),
    Column("amount", DataType.DECIMAL, decimal=DecimalParams(9, 2)),
    Column("flag", DataType.BOOLEAN),
]
PARTIAL_ROWS = [
    ("1", "x", "unmodified", "AP8=", "1.25", "true"),
    ("2", "unmodified", "1.5", "unmodified", "unmodified", "unmodified"),
]


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["1", "2", "3", "unmodified"]),
            *(
                st.sampled_from([text, "null", "unmodified", " unmodified", ""])
                for text in ("x", "1.5", "AP8=", "1.25", "true")
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    null=st.sampled_from(["null", ""]),
    unmodified=st.sampled_from(["unmodified", 'un"modified', "null", ""]),
    quoted=st.booleans(),
)
@example(rows=PARTIAL_ROWS, null="null", unmodified="unmodified", quoted=False)
@example(rows=PARTIAL_ROWS, null="null", unmodified='un"modified', quoted=True)
@example(rows=PARTIAL_ROWS, null="", unmodified="unmodified", quoted=False)
def test_partial_rows_are_the_same_read_typed_or_as_texts(
    rows: list[tuple[str, ...]], null: str, unmodified: str, *, quoted: bool
) -> None:
    names = [column.name for column in PARTIAL_COLUMNS]

    def cell(text: str) -> str:
        text = text.replace("unmodified", unmodified).replace('"', '""')
        return f'"{text}"' if quoted or '"' in text else text

    block = "".join(",".join(map(cell, row)) + "\n" for row in rows).encode()

    def found() -> object:
        kept = Partial(unmodified, tuple(PARTIAL_COLUMNS))
        reader = csv.BlockReader(names, Decoder(PARTIAL_COLUMNS, null, Notices(), kept))
        try:
            return reader.read(block).to_pylist()
        except BatchFileError as error:
            return error.reason, error.row, error.column

    typed = found()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv, "READ_TWICE_BYTES", -1)
        assert found() == typed
