"""The Parquet layer: AvroParquetWriter's files, row group by row group as record batches.

What Parquet has no native type for arrives as texts in CSV notation, and so may any other column.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from destination.batch.decoding import Converter, Decoder
from destination.batch.decompression import DecompressingReader
from destination.batch.values import round_decimals
from destination.errors import BatchFileError
from destination.memory import FILE_BYTES, Reservation
from destination.rows import arrow_type
from destination.schema import Column, DataType

MAGIC = b"PAR1"
ROWS_PER_BATCH = 16_384
READ_BYTES = 4 << 20


def read_whole(stream: DecompressingReader, reservation: Reservation) -> parquet.ParquetFile:
    """Read a Parquet file into memory (its index is at its end) and open it there.

    Raises:
        BatchFileError: if it is damaged.
        CapacityError: if it does not fit the memory budget.
    """
    sink = pa.BufferOutputStream()
    while piece := stream.read(READ_BYTES):
        sink.write(piece)
        reservation.require(sink.tell() + FILE_BYTES // 2)
    try:
        return parquet.ParquetFile(pa.BufferReader(sink.getvalue()))
    except (pa.ArrowInvalid, OSError) as error:
        raise BatchFileError("is a damaged or truncated Parquet file") from error


class ParquetReader:
    """Reads a Parquet file as record batches of typed columns.

    Args:
        file: the open file.
        decoder: turns texts into values; knows which columns are wanted and the file's null string.
    """

    def __init__(self, file: parquet.ParquetFile, decoder: Decoder) -> None:
        self._file = file
        self._decoder = decoder

    def rows(self) -> Generator[pa.RecordBatch]:
        """The file's rows."""
        names = [column.name for column in self._decoder.columns]
        first_row = 1
        batches = self._file.iter_batches(ROWS_PER_BATCH, columns=names)
        for batch in _guarded(batches):
            arrays = [self._as_texts(batch.column(name)) for name in names]
            converters = [self._converter(array.type) for array in arrays]
            yield self._decoder.decode(arrays, converters, first_row)
            first_row += batch.num_rows

    def _as_texts(self, array: pa.Array) -> pa.Array:
        """Text columns as plain strings with nulls for the null string; others as they are."""
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_large_string(array.type):
            array = array.cast(pa.string())
        if array.type != pa.string():
            return array
        null = pc.equal(array, self._decoder.null_string)
        return pc.if_else(pc.fill_null(null, False), None, array)

    def _converter(self, kind: pa.DataType) -> Converter:
        return self._decoder.from_texts if kind == pa.string() else self._from_native

    def _from_native(self, values: pa.Array, column: Column) -> pa.Array:
        """Values of a native Parquet type as the column's Arrow type."""
        target = arrow_type(column)
        if values.type == target:
            return values
        if column.type is DataType.DECIMAL and target != pa.string():
            return round_decimals(values, target)
        converted = self._cast(values, target)
        return self._decoder.from_texts(converted, column) if target == pa.string() else converted

    def _cast(self, values: pa.Array, target: pa.DataType) -> pa.Array:
        try:
            return pc.cast(values, target)
        except pa.ArrowNotImplementedError as error:
            raise pa.ArrowInvalid(f"{values.type} is not {target}") from error


def _guarded(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, with Arrow's errors (which may quote values) as the project's own."""
    try:
        yield from batches
    except (pa.ArrowInvalid, OSError) as error:
        raise BatchFileError("is a damaged or truncated Parquet file") from error
