"""Parquet files: damage is always refused, and batches stay small whatever the file holds."""

import io
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet as arrow_parquet

from destination.batch import parquet
from destination.batch.decoding import Decoder
from destination.batch.values import Notices
from destination.errors import BatchFileError
from destination.memory import BATCH_BYTES, Budget
from destination.schema import Column, DataType
from tests.support.examples import examples

COLUMNS = (
    Column("number", DataType.LONG),
    Column("text", DataType.STRING),
    Column("day", DataType.NAIVE_DATE),
    Column("flag", DataType.BOOLEAN),
)
ROWS = 300
TABLE = pa.table(
    {
        "number": pa.array([i if i % 5 else None for i in range(ROWS)], pa.int64()),
        "text": [f"text {i % 7}" for i in range(ROWS)],
        "day": [date(2000, 1, 1 + i % 28).isoformat() for i in range(ROWS)],
        "flag": [i % 3 == 0 for i in range(ROWS)],
    }
)
LAYOUTS: dict[str, dict[str, Any]] = {
    "dictionaries": {},
    "plain": {"use_dictionary": False},
    "second version": {"data_page_version": "2.0"},
    "deltas": {
        "use_dictionary": False,
        "column_encoding": {"text": "DELTA_BYTE_ARRAY", "number": "DELTA_BINARY_PACKED"},
    },
    "many pages": {"data_page_size": 64, "write_batch_size": 16, "row_group_size": 100},
    "uncompressed": {"compression": "none"},
}


def written(table: pa.Table, **layout: Any) -> bytes:
    sink = io.BytesIO()
    arrow_parquet.write_table(table, sink, write_page_checksum=True, **layout)
    return sink.getvalue()


def read(content: bytes, columns: tuple[Column, ...] = COLUMNS) -> Iterator[pa.RecordBatch]:
    with Budget().reserve() as reservation:
        file = parquet.File(pa.py_buffer(content))
        names = set(file.names)
        decoder = Decoder([c for c in columns if c.name in names], "null-string", Notices())
        yield from parquet.read_rows(file, decoder, reservation)


def pages(content: bytes) -> list[range]:
    """Where the column chunks are, dictionaries included: headers and pages, one behind the other."""
    metadata = arrow_parquet.read_metadata(io.BytesIO(content))
    chunks = []
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            chunks.append(range(start, start + chunk.total_compressed_size))
    return chunks


def flipped(content: bytes, position: int, bits: int) -> bytes:
    changed = bytearray(content)
    changed[position] ^= bits
    return bytes(changed)


def bodies(content: bytes) -> list[int]:
    """The positions within pages that a checksum covers: those whose change it alone can tell.

    A header of a page is a struct of Thrift's compact protocol, which begins with the page's type and
    its two sizes.
    """
    positions: list[int] = []
    for chunk in pages(content):
        at = chunk.start
        while at < chunk.stop:
            size, length = header(content, at)
            positions += range(at + length, at + length + size)
            at += length + size
    return positions


def header(content: bytes, at: int) -> tuple[int, int]:
    """The bytes of a page, and of its header."""
    fields: dict[int, int] = {}
    end = struct_end(content, at, fields)
    return fields[3], end - at


def varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def struct_end(content: bytes, at: int, fields: dict[int, int]) -> int:
    """Read a Thrift struct; its integers come into `fields` by their number."""
    number = 0
    while (byte := content[at]) != 0:
        number, kind, at = number + (byte >> 4), byte & 15, at + 1
        if kind in {4, 5, 6}:
            value, at = varint(content, at)
            fields[number] = value >> 1
        elif kind == 8:
            size, at = varint(content, at)
            at += size
        elif kind == 12:
            at = struct_end(content, at, {})
    return at + 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole_file_is_read(layout: str) -> None:
    batches = list(read(written(TABLE, **LAYOUTS[layout])))
    found = pa.Table.from_batches(batches)
    assert found["number"].to_pylist() == TABLE["number"].to_pylist()
    assert found["text"].to_pylist() == TABLE["text"].to_pylist()
    assert [day.isoformat() for day in found["day"].to_pylist()] == TABLE["day"].to_pylist()
    assert found["flag"].to_pylist() == TABLE["flag"].to_pylist()


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_byte_flipped_in_a_page_is_refused(layout: str) -> None:
    content = written(TABLE, **LAYOUTS[layout])
    positions = bodies(content)
    assert len(positions) > 100
    for position in positions[:: max(1, len(positions) // 300)]:
        for bits in (1, 0x80, 0xFF):
            with pytest.raises(BatchFileError, match="damaged"):
                list(read(flipped(content, position, bits)))


@pytest.mark.parametrize("layout", LAYOUTS)
@examples(80)
@given(data=st.data())
def test_metadata_damaged_in_any_way_is_no_other_error(layout: str, data: st.DataObject) -> None:
    """No checksum covers what stands around the pages."""
    content = written(TABLE, **LAYOUTS[layout])
    covered = set(bodies(content))
    bare = [position for position in range(len(content)) if position not in covered]
    for _ in range(data.draw(st.integers(1, 3))):
        position, bits = data.draw(st.sampled_from(bare)), data.draw(st.integers(1, 255))
        content = flipped(content, position, bits)
    try:
        rows = sum(batch.num_rows for batch in read(content))
    except BatchFileError:
        return
    assert rows >= 0


@pytest.mark.parametrize("size", range(0, 4000, 97))
def test_truncated_file_is_refused(size: int) -> None:
    content = written(TABLE)
    with pytest.raises(BatchFileError):
        list(read(content[: len(content) - 1 - size]))


def test_file_with_other_rows_than_it_says_is_refused() -> None:
    file = parquet.File(pa.py_buffer(written(TABLE)))
    other = written(TABLE.slice(0, 10), use_dictionary=False)
    file.metadata = arrow_parquet.read_metadata(io.BytesIO(other))
    with Budget().reserve() as reservation, pytest.raises(BatchFileError, match="damaged"):
        list(parquet.read_rows(file, Decoder(COLUMNS, "", Notices()), reservation))


def value(i: int, size: int) -> str:
    return f"{i}".ljust(size, ".")


LONG: dict[str, Callable[[], bytes]] = {
    "one long value, shared": lambda: written(pa.table({"text": ["x" * 60_000] * 3_000})),
    "a long value among short ones": lambda: written(
        pa.table({"text": [value(i % 9, 60_000 if i % 9 == 8 else 10) for i in range(4_000)]})
    ),
    "prefixes": lambda: written(
        pa.table({"text": [value(7, 60_000)] * 2_000}),
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    ),
    "compressed": lambda: written(
        pa.table({"text": [value(i, 30_000) for i in range(2_000)]}),
        use_dictionary=False,
        compression="zstd",
    ),
    "dictionary of the schema": lambda: written(
        pa.table({"text": pa.array(["x" * 60_000] * 2_000).dictionary_encode()})
    ),
    "documents": lambda: written(
        pa.table({"text": pa.array([f'"{"x" * 60_000}"'] * 2_000, pa.json_())})
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LONG)
def test_batches_are_cut_by_bytes(kind: str) -> None:
    """A batch is at most one row larger; of what cannot be measured, a few batches' size."""
    sizes = [batch.nbytes for batch in read(LONG[kind](), (Column("text", DataType.JSON),))]
    assert max(sizes) <= (
        8 * BATCH_BYTES if kind in {"prefixes", "documents"} else BATCH_BYTES * 1.1
    )


@pytest.mark.slow
def test_wide_tables_have_short_batches() -> None:
    names = [f"c{i}" for i in range(400)]
    columns = tuple(Column(name, DataType.LONG) for name in names)
    table = pa.table({name: pa.array([7] * 16_384, pa.int64()) for name in names})
    sizes = [batch.nbytes for batch in read(written(table), columns)]
    assert max(sizes) <= BATCH_BYTES * 1.1


@given(
    lengths=st.lists(st.integers(0, 50), max_size=60),
    dictionary=st.booleans(),
    size=st.integers(1, 200),
)
def test_cut_keeps_every_row(lengths: list[int], size: int, *, dictionary: bool) -> None:
    texts = pa.array([None if n % 7 == 3 else "x" * n for n in lengths], pa.string())
    array = texts.dictionary_encode() if dictionary else texts
    batch = pa.record_batch({"text": array})
    pieces = list(parquet.cut(batch, size))
    assert pa.Table.from_batches(pieces, batch.schema).to_pydict() == batch.to_pydict()
    for piece in pieces:
        *before, _ = [len(text or "") for text in piece["text"].to_pylist()] or [0]
        assert sum(before) <= size or batch.nbytes <= size


@pytest.mark.parametrize("row", [1, parquet.ROWS_PER_BATCH + 1, 20_000])
def test_row_that_is_refused_is_told_by_its_number_in_the_file(row: int) -> None:
    numbers = ["7"] * 20_000
    numbers[row - 1] = "no number"
    content = written(pa.table({"number": numbers}), use_dictionary=False)
    with pytest.raises(BatchFileError) as refused:
        list(read(content))
    assert (refused.value.row, refused.value.column) == (row, "number")
