"""The Parquet layer: AvroParquetWriter's files, row group by row group as record batches.

What Parquet has no native type for arrives as texts in CSV notation, and so may any other column.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from functools import reduce
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from destination.batch.decoding import Decoder, equals_text
from destination.batch.decompression import DecompressingReader
from destination.batch.native import from_native, plain
from destination.errors import BatchFileError
from destination.memory import BATCH_BYTES, FILE_BYTES, FORMS, Part, Reservation
from destination.schema import Column

MAGIC = b"PAR1"
ROWS_PER_BATCH = 16_384
READ_BYTES = 4 << 20
DAMAGED = "is a damaged or truncated Parquet file"
DAMAGE = (pa.ArrowException, OSError, UnicodeDecodeError)
"""What Arrow raises for pages and metadata that make no sense; the texts may quote values."""
UNSHARED = frozenset({"PLAIN", "RLE", "BIT_PACKED", "DELTA_LENGTH_BYTE_ARRAY"})
"""Encodings in which each value takes its own space, and those of levels. In others, many long values
may take little space; their size is known beforehand only for dictionaries."""
IN_DICTIONARY = frozenset({"PLAIN", "RLE", "BIT_PACKED", "RLE_DICTIONARY", "PLAIN_DICTIONARY"})
"""Encodings of columns whose values Arrow can leave in their dictionary."""
VARYING = (
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_large_string,
    pa.types.is_large_binary,
    pa.types.is_string_view,
    pa.types.is_binary_view,
)
"""Which types have values of any length."""

Result = TypeVar("Result")


class File:
    """A Parquet file in memory, where it must be whole: its index is at its end.

    Args:
        content: the file.

    Raises:
        BatchFileError: if it is damaged.
    """

    def __init__(self, content: pa.Buffer) -> None:
        self._content = content
        file = _guarded(lambda: self._open([]))
        self.metadata = file.metadata
        self.schema = _guarded(lambda: file.schema_arrow)
        self.names: list[str] = _guarded(lambda: self.schema.names)
        _require_every_column(self.metadata)

    @classmethod
    def read(cls, stream: DecompressingReader, memory: Part) -> File:
        """Read a file into memory.

        Raises:
            BatchFileError: if it is damaged.
            CapacityError: if it does not fit the memory budget.
        """
        sink = pa.BufferOutputStream()
        while piece := stream.read(READ_BYTES):
            sink.write(piece)
            memory.require(sink.tell() + FILE_BYTES // 2)
        return cls(sink.getvalue())

    @property
    def inflated_bytes(self) -> int:
        """The size of its pages, as the file says; values that repeat may stand there once."""
        groups = range(self.metadata.num_row_groups)
        return sum(self.metadata.row_group(group).total_byte_size for group in groups)

    def read_group(
        self, group: int, rows: int, names: list[str], dictionaries: Iterable[str]
    ) -> Iterator[pa.RecordBatch]:
        """A row group in record batches.

        Args:
            group: its number.
            rows: how many rows a batch has at most.
            names: the columns to read.
            dictionaries: those whose values are left in their dictionary.
        """
        file = self._open(list(dictionaries))
        yield from file.iter_batches(rows, row_groups=[group], columns=names)

    def chunks(self, group: int, names: list[str]) -> dict[str, parquet.ColumnChunkMetaData]:
        """The metadata of columns in a row group. Read one row of the group before.

        That checks the metadata: on metadata that makes no sense, pyarrow ends the process.
        """
        schema, metadata = self.metadata.schema, self.metadata.row_group(group)
        paths = {schema.column(i).path: i for i in range(metadata.num_columns)}
        return {name: metadata.column(paths[name]) for name in names}

    def _open(self, dictionaries: list[str]) -> parquet.ParquetFile:
        return parquet.ParquetFile(
            pa.BufferReader(self._content),
            read_dictionary=dictionaries,
            coerce_int96_timestamp_unit="us",
            page_checksum_verification=True,
            arrow_extensions_enabled=True,
        )


def read_rows(file: File, decoder: Decoder, reservation: Reservation) -> Generator[pa.RecordBatch]:
    """The rows of a file.

    Args:
        file: in memory.
        decoder: turns values into those of the columns; knows which columns are wanted.
        reservation: the memory of this file.

    Raises:
        BatchFileError: if it is damaged, or naming the row and column that cannot be taken.
    """
    names = [column.name for column in decoder.columns]
    _require_flat(file.schema, names)
    decoded, first_row = reservation.part(), 1

    def convert(values: pa.Array, column: Column) -> pa.Array:
        return from_native(values, column, decoder.notices)

    for batch in _guarded_each(_read_batches(file, names)):
        decoded.require(max(0, FORMS * batch.nbytes - FILE_BYTES // 2))
        for piece in cut(batch, BATCH_BYTES):
            arrays = [_with_nulls(plain(piece.column(name)), decoder) for name in names]
            yield decoder.decode(arrays, [convert] * len(arrays), first_row)
            first_row += piece.num_rows
    if first_row - 1 != file.metadata.num_rows:
        raise BatchFileError(DAMAGED)


def cut(batch: pa.RecordBatch, size: int) -> Iterator[pa.RecordBatch]:
    """A record batch in pieces that take about so many bytes, unless a single row takes more.

    Args:
        batch: its values may be in dictionaries; the pieces are measured without.
        size: in bytes.
    """
    shared = any(pa.types.is_dictionary(column.type) for column in batch.columns)
    if batch.nbytes <= size and not shared:
        yield batch
        return
    varying = [_lengths(column) for column in batch.columns if _is_varying(column.type)]
    if not varying or not batch.num_rows:
        yield batch
        return
    lengths = reduce(pc.add, varying)
    before = pc.subtract(pc.cumulative_sum(lengths), lengths)
    pieces = pc.run_end_encode(pc.cast(pc.divide(before, size), pa.int32()))
    begin = 0
    for end in pieces.run_ends.to_pylist():
        yield batch.slice(begin, end - begin)
        begin = end


def _lengths(values: pa.Array) -> pa.Array:
    """How many bytes each value takes outside of its dictionary."""
    if pa.types.is_dictionary(values.type):
        return pc.fill_null(_lengths(values.dictionary).take(values.indices), 0)
    stored = values.storage if isinstance(values.type, pa.BaseExtensionType) else values
    return pc.cast(pc.fill_null(pc.binary_length(stored), 0), pa.int64())


def _stored(kind: pa.DataType) -> pa.DataType:
    """The type of a column's values, whatever they mean and wherever they are."""
    if pa.types.is_dictionary(kind):
        return _stored(kind.value_type)
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _is_varying(kind: pa.DataType) -> bool:
    stored = _stored(kind)
    return any(is_varying(stored) for is_varying in VARYING)


def _require_every_column(metadata: parquet.FileMetaData) -> None:
    """Refuse row groups that lack columns or have others, which Arrow does not check."""
    groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
    if any(group.num_columns != metadata.num_columns for group in groups):
        raise BatchFileError(DAMAGED)


def _require_flat(schema: pa.Schema, names: Iterable[str]) -> None:
    """Refuse nested columns unread: a few bytes may hold any number of elements."""
    for name in names:
        kind = schema.field(name).type
        if pa.types.is_nested(_stored(kind)):
            raise BatchFileError(f"is of the nested Parquet type {kind}", column=name)


def _read_batches(file: File, names: list[str]) -> Iterator[pa.RecordBatch]:
    for group in range(file.metadata.num_row_groups):
        rows, dictionaries = _plan(file, group, names)
        yield from file.read_group(group, rows, names, dictionaries)


def _plan(file: File, group: int, names: list[str]) -> tuple[int, list[str]]:
    """How a row group is read so that no batch outgrows its size.

    Args:
        file: in memory.
        group: the row group's number.
        names: the columns to read.

    Returns:
        How many rows a batch may have, and the columns whose values are long and shared: they are
        measured before they leave their dictionary.
    """
    types = {name: file.schema.field(name).type for name in names}
    varying = [name for name in names if _is_varying(types[name])]
    if varying and next(file.read_group(group, 1, varying, []), None) is None:
        return 1, []
    chunks = file.chunks(group, varying)
    measurable = [n for n in varying if _is_measurable(chunks[n], types[n])]
    unmeasured = sum(
        chunks[name].total_uncompressed_size
        for name in varying
        if name not in measurable and not UNSHARED.issuperset(chunks[name].encodings)
    )
    size = sum(chunks[name].total_uncompressed_size for name in varying)
    rows = max(1, file.metadata.row_group(group).num_rows)
    width = sum(map(_width, types.values())) + size // rows
    rows = min(ROWS_PER_BATCH, BATCH_BYTES // max(1, width), FILE_BYTES // max(1, unmeasured))
    return max(1, rows), _long_dictionaries(file, group, measurable)


def _is_measurable(chunk: parquet.ColumnChunkMetaData, kind: pa.DataType) -> bool:
    """Whether Arrow can leave a column's values in their dictionary."""
    extension = isinstance(kind, pa.BaseExtensionType)
    return chunk.has_dictionary_page and not extension and IN_DICTIONARY.issuperset(chunk.encodings)


def _long_dictionaries(file: File, group: int, names: list[str]) -> list[str]:
    """The columns that could take more than a batch's size when values leave their dictionary."""
    first = next(file.read_group(group, 1, names, names)) if names else {}
    longest = {name: pc.max(_lengths(first[name].dictionary)).as_py() or 0 for name in names}
    return [name for name, size in longest.items() if size * ROWS_PER_BATCH > BATCH_BYTES]


def _width(kind: pa.DataType) -> int:
    """How many bytes a value takes, those of varying length aside."""
    try:
        return int(kind.byte_width)
    except ValueError:
        return 8


def _with_nulls(values: pa.Array, decoder: Decoder) -> pa.Array:
    """Values with nulls for texts and bytes that are the null string."""
    null = equals_text(values, decoder.null_string)
    return values if null is None else pc.if_else(null, None, values)


def _guarded(read: Callable[[], Result]) -> Result:
    """What a function reads, with Arrow's errors as the project's own."""
    try:
        return read()
    except DAMAGE as error:
        raise BatchFileError(DAMAGED) from error


def _guarded_each(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, with Arrow's errors as the project's own."""
    while (batch := _guarded(lambda: next(batches, None))) is not None:
        yield batch
