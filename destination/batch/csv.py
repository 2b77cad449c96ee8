"""The CSV layer: Jackson's notation, cut into blocks of whole records, each read as a record batch.

Each block is first read straight into the columns' types. Unmodified values are nulls there, too, and
the texts of columns with nulls tell the two apart. Where Arrow refuses a value, the block is read again
as texts: that accepts every notation of the types, and finds the row that is wrong. Large blocks of
partial rows are read as texts at once.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cached_property
from itertools import repeat

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as arrow_csv

from destination.ahead import ahead, handing_over
from destination.batch.decimals import fit_precision
from destination.batch.decoding import Converter, Decoder
from destination.batch.decompression import DecompressingReader
from destination.batch.values import count_byte, overflowed
from destination.errors import BatchFileError
from destination.memory import FORMS, Part, Reservation
from destination.rows import MAX_DECIMAL_DIGITS, arrow_type
from destination.schema import INTEGER_TYPES, TEXT_TYPES, Column, DataType

BLOCK_BYTES = 2 << 20
"""Smaller blocks need more calls, larger ones do not fit the processor's cache."""
QUOTE = pa.scalar(ord('"'), pa.uint8())
BYTE_ORDER_MARK = codecs.BOM_UTF8
"""Arrow drops one at the start of its input."""
SEARCHED_BYTES = 2 << 10
"""So many bytes a column are searched in less time than a column of integers is read as texts."""
READ_TWICE_BYTES = 32 << 10
"""The largest block of partial rows, for each of its columns, that is read typed and, where values are
unmodified, as texts, too: to convert a column takes as long as to read so many bytes again."""
ENDS_QUOTED = "ends inside a quoted value: it is damaged or truncated"


class Header:
    """The column names of a CSV file, and the size in bytes of the record that holds them."""

    def __init__(self, names: list[str], size: int) -> None:
        self.names = names
        self.size = size

    @classmethod
    def parse(cls, block: bytes) -> Header:
        """Read the first record of a block as the header."""
        end = block.find(b"\n")
        while end >= 0 and block.count(b'"', 0, end) % 2:
            end = block.find(b"\n", end + 1)
        record = block if end < 0 else block[:end]
        try:
            rows = list(csv.reader([record.decode()], strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise BatchFileError("its header line cannot be read") from error
        if not rows or not rows[0]:
            raise BatchFileError("has no header line")
        return cls(rows[0], len(block) if end < 0 else end + 1)


def read_blocks(stream: DecompressingReader, memory: Part) -> Iterator[bytes]:
    """Cut a stream into blocks that end where a record ends, whatever its values hold.

    Args:
        stream: the decompressed file after its header.
        memory: of the blocks in all their forms; grows with a record larger than a block.
    """
    rest, quoted, size = b"", False, BLOCK_BYTES
    while piece := stream.read(size):
        end = last_record_end(piece, quoted=quoted)
        if end:
            ready = [b"".join((rest, memoryview(piece)[:end]))]
            rest, quoted = piece[end:], ends_quoted(piece[end:])
            del piece
            yield from handing_over(ready)
        else:
            rest, quoted = rest + piece, ends_quoted(piece, quoted=quoted)
        size = max(BLOCK_BYTES, len(rest))
        memory.require(FORMS * (len(rest) + size))
    if quoted:
        raise BatchFileError(ENDS_QUOTED)
    ready = [rest] if rest else []
    del rest
    yield from handing_over(ready)


def read_rows(
    stream: DecompressingReader, header: Header, decoder: Decoder, reservation: Reservation
) -> Generator[pa.RecordBatch]:
    """The rows of a file, block by block.

    Args:
        stream: the decompressed file after its header.
        header: the names of its columns.
        decoder: knows which of them are wanted.
        reservation: the memory of this file.

    Raises:
        BatchFileError: naming the row and column that cannot be read.
    """
    reader, decoded = BlockReader(header.names, decoder), reservation.part()
    with closing(ahead(read_blocks(stream, reservation.part()), "inflater", len)) as blocks:
        for block in blocks:
            batch = reader.read(block)
            decoded.require(FORMS * max(0, batch.nbytes - len(block)))
            del block
            yield from handing_over([batch])


def read_whole(
    content: bytes, header: Header, decoder: Decoder, reservation: Reservation
) -> Generator[pa.RecordBatch]:
    """The rows of a file that is a single block; see `read_rows`.

    Args:
        content: the file after its header.
        header: the names of its columns.
        decoder: knows which of them are wanted.
        reservation: the memory of this file.
    """
    if ends_quoted(content):
        raise BatchFileError(ENDS_QUOTED)
    if content:
        batch = BlockReader(header.names, decoder).read(content)
        reservation.part().require(FORMS * batch.nbytes)
        yield batch


def last_record_end(piece: bytes, *, quoted: bool = False) -> int:
    """The offset after the last record that ends in a piece, 0 if none does.

    A record ends at a newline outside of quotes; since a quote inside a value is doubled, that is a
    newline with an even number of quotes before it.

    Args:
        piece: bytes of a file.
        quoted: whether they begin inside of quotes.
    """
    end, quoted = len(piece), ends_quoted(piece, quoted=quoted)
    while end >= 0 and (newline := piece.rfind(b"\n", 0, end)) >= 0:
        if piece.count(b'"', newline, end) % 2:
            quoted = not quoted
        if not quoted:
            return newline + 1
        end, quoted = piece.rfind(b'"', 0, newline), False
    return 0


def ends_quoted(piece: bytes, *, quoted: bool = False) -> bool:
    """Whether a piece ends inside quotes."""
    return (count_byte(pa.py_buffer(piece), QUOTE) % 2 == 1) != quoted


class TypedColumns:
    """How Arrow's reader parses columns straight into their types, exactly or not at all.

    Args:
        decoder: knows which columns are wanted and the file's null string.
        as_texts: the types of columns that it parses to texts nevertheless.
    """

    def __init__(self, decoder: Decoder, as_texts: Collection[DataType] = ()) -> None:
        kinds = [
            None if column.type in as_texts else _direct_type(column) for column in decoder.columns
        ]
        nulls = [decoder.null_string, *filter(None, [decoder.unmodified_string])]
        types = [pa.string() if kind is None else kind for kind in kinds]
        self.options = _convert_options(decoder.columns, types, nulls)
        self._decoder = decoder
        self._checked = [
            i for i, kind in enumerate(kinds) if kind is not None and _may_misfit(kind)
        ]
        self._converters: list[Converter | None] = [
            decoder.from_texts if kind is None else None for kind in kinds
        ]

    def decode(
        self,
        arrays: Sequence[pa.Array],
        first_row: int,
        masks: Mapping[str, pa.Array] | None = None,
    ) -> pa.RecordBatch:
        """The rows of arrays that Arrow parsed.

        Args:
            arrays: one a column.
            first_row: the number in the file of their first row.
            masks: as `Decoder.decode` takes them.

        Raises:
            pa.ArrowInvalid: if a number does not fit its type, which Arrow does not check.
        """
        if not all(_fits(arrays[i]) for i in self._checked):
            raise pa.ArrowInvalid("number out of range")
        return self._decoder.decode(arrays, self._converters, first_row, masks)


class BlockReader:
    """Reads blocks of records as record batches of typed columns.

    Args:
        header: the names of the file's columns.
        decoder: turns texts into values; knows which columns are wanted and the file's null string.
    """

    def __init__(self, header: Sequence[str], decoder: Decoder) -> None:
        self._decoder = decoder
        self._header = list(header)
        self._first_row = 1

    @cached_property
    def _typed(self) -> TypedColumns:
        return TypedColumns(self._decoder)

    @cached_property
    def _careful(self) -> TypedColumns:
        return TypedColumns(self._decoder, as_texts=INTEGER_TYPES)

    @cached_property
    def _texts(self) -> arrow_csv.ConvertOptions:
        return self._options(self._decoder.columns, pa.string())

    def _options(self, columns: Sequence[Column], kind: pa.DataType) -> arrow_csv.ConvertOptions:
        return _convert_options(columns, repeat(kind), [self._decoder.null_string])

    def read(self, block: bytes) -> pa.RecordBatch:
        """The block's rows.

        Raises:
            BatchFileError: naming the row and column that cannot be read.
        """
        if block.startswith(BYTE_ORDER_MARK):
            block = BYTE_ORDER_MARK + block
        batch = None if self._must_read_texts(block) else self._read_typed(block)
        if batch is None:
            batch = self._read_texts(block)
        if len(block) > BLOCK_BYTES:  # of a huge value, Arrow would keep what parsing took
            pa.default_memory_pool().release_unused()
        self._first_row += batch.num_rows
        return batch

    def _must_read_texts(self, block: bytes) -> bool:
        if self._decoder.notices.concern(block):
            return True
        unmodified = self._decoder.unmodified_string
        if not unmodified:
            return False
        unsure = '"' in unmodified or not self._decoder.null_string
        return unsure or len(block) > READ_TWICE_BYTES * len(self._header)

    def _read_typed(self, block: bytes) -> pa.RecordBatch | None:
        """The block's rows, or None where a value cannot be read straight into its type."""
        typed = self._careful if self._may_hold_hexadecimal(block) else self._typed
        try:
            arrays = self._parse(block, typed.options)
            masks = self._masks(block, arrays) if self._decoder.unmodified_string else None
            return typed.decode(arrays, self._first_row, masks)
        except pa.ArrowInvalid:
            return None

    def _may_hold_hexadecimal(self, block: bytes) -> bool:
        """Whether integers are to be read as texts: Arrow reads hexadecimal ones too, by their bits.

        That takes less time than a search of all bytes, but where columns are many and rows few.
        """
        if len(block) > SEARCHED_BYTES * len(self._header):
            return True
        return b"0x" in block or b"0X" in block

    def _masks(self, block: bytes, arrays: Sequence[pa.Array]) -> dict[str, pa.Array]:
        """What of the columns is modified in which unmodified values may have been read as nulls.

        Raises:
            pa.ArrowInvalid: if a key is among them.
        """
        if self._decoder.unmodified_string.encode() not in block:
            return {}
        pairs = zip(self._decoder.columns, arrays, strict=True)
        columns = [column for column, array in pairs if array.null_count]
        if any(column.primary_key for column in columns):
            raise pa.ArrowInvalid("key that is NULL or unmodified")
        texts = self._parse(block, self._options(columns, pa.string())) if columns else []
        return self._decoder.masks([column.name for column in columns], texts)

    def _read_texts(self, block: bytes) -> pa.RecordBatch:
        try:
            arrays = self._parse(block, self._texts)
        except pa.ArrowInvalid as error:
            self._report_uneven_row(block.decode(errors="replace").encode())
            self._report_foreign_bytes(block)
            raise BatchFileError("cannot be read as CSV") from error
        converters = [self._decoder.from_texts] * len(arrays)
        return self._decoder.decode(arrays, converters, self._first_row)

    def _report_uneven_row(self, block: bytes) -> None:
        """Raise a BatchFileError if a row has too few or too many cells."""
        uneven: list[int] = []

        def note(row: arrow_csv.InvalidRow) -> str:
            uneven.append(row.number)
            return "skip"

        self._parse(block, self._options(self._decoder.columns, pa.binary()), note)
        if uneven:
            row = self._first_row + uneven[0] - 1
            raise BatchFileError(f"does not have {len(self._header)} cells, as the header", row=row)

    def _report_foreign_bytes(self, block: bytes) -> None:
        """Raise a BatchFileError if a text is not UTF-8."""
        arrays = self._parse(block, self._options(self._decoder.columns, pa.binary()))
        self._decoder.decode(arrays, [_require_utf8] * len(arrays), self._first_row)

    def _parse(
        self,
        block: bytes,
        convert: arrow_csv.ConvertOptions,
        on_invalid_row: Callable[[arrow_csv.InvalidRow], str] | None = None,
    ) -> list[pa.Array]:
        table = arrow_csv.read_csv(
            pa.BufferReader(block),
            read_options=arrow_csv.ReadOptions(
                column_names=self._header,
                block_size=len(block) + 1,
                use_threads=False,
            ),
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=on_invalid_row,
            ),
            convert_options=convert,
        )
        return [column.chunk(0) for column in table.columns]


def _convert_options(
    columns: Sequence[Column], types: Iterable[pa.DataType], nulls: Sequence[str]
) -> arrow_csv.ConvertOptions:
    names = [column.name for column in columns]
    return arrow_csv.ConvertOptions(
        column_types=dict(zip(names, types, strict=False)),
        include_columns=names,
        null_values=nulls,
        strings_can_be_null=True,
        quoted_strings_can_be_null=all(nulls),
        true_values=["true"],
        false_values=["false"],
    )


def _direct_type(column: Column) -> pa.DataType | None:
    """The type to which Arrow's reader parses a column's values exactly or refuses them.

    There is none for BINARY, which needs decoding; for a DECIMAL that travels as text and must be
    checked; and for one so large that scaling a text of as many digits as it may have can overflow 128
    bits, because Arrow's decimals then wrap around silently.
    """
    kind = arrow_type(column)
    if pa.types.is_decimal(kind):
        return kind if kind.precision + kind.scale <= MAX_DECIMAL_DIGITS else None
    direct = column.type in TEXT_TYPES or kind not in (pa.string(), pa.binary())
    return kind if direct else None


def _may_misfit(kind: pa.DataType) -> bool:
    """Whether Arrow's reader takes numbers that do not fit a type."""
    return bool(pa.types.is_decimal(kind) or pa.types.is_floating(kind))


def _fits(array: pa.Array) -> bool:
    return fit_precision(array) if pa.types.is_decimal(array.type) else not overflowed(array)


def _require_utf8(values: pa.Array, _: Column) -> pa.Array:
    return pc.cast(values, pa.string())
