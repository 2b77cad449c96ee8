"""The seam between batch files and warehouses: streams of typed Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from typing import Protocol

import pyarrow as pa

from destination.ahead import handing_over
from destination.schema import Column, DataType

MODIFIED = "_fivetran_modified"
"""The column that a stream of partial rows carries besides its own: for each row a binary value with
one byte a column of the table, in its order: 1 where the row holds a value for it, 0 where the value is
unmodified or the file does not have the column."""

MAX_DECIMAL_DIGITS = 38
MAX_WHOLE_DIGITS = 131_072
MAX_FRACTION_DIGITS = 16_383
"""What a DECIMAL that travels as text may have before its decimal point and after it."""
EARLIEST_DAY = -2_440_588
LATEST_DAY = 2_145_042_905
"""From 4714-11-24 BC, where Julian days begin, to 5874897-12-31, in days since 1970-01-01. Instants
begin on the first of them, and end with what 64 bits of microseconds hold."""

ARROW_TYPES: dict[DataType, pa.DataType] = {
    DataType.BOOLEAN: pa.bool_(),
    DataType.SHORT: pa.int16(),
    DataType.INT: pa.int32(),
    DataType.LONG: pa.int64(),
    DataType.FLOAT: pa.float32(),
    DataType.DOUBLE: pa.float64(),
    DataType.NAIVE_TIME: pa.time64("us"),
    DataType.NAIVE_DATE: pa.date32(),
    DataType.NAIVE_DATETIME: pa.timestamp("us"),
    DataType.UTC_DATETIME: pa.timestamp("us", "UTC"),
    DataType.BINARY: pa.binary(),
    DataType.XML: pa.string(),
    DataType.STRING: pa.string(),
    DataType.JSON: pa.string(),
}


def arrow_type(column: Column) -> pa.DataType:
    """The type in which a column's values travel; a DECIMAL that no Arrow type fits, as text."""
    if column.type is not DataType.DECIMAL:
        return ARROW_TYPES[column.type]
    decimal = column.decimal
    if decimal is None or not decimal.scale <= decimal.precision <= MAX_DECIMAL_DIGITS:
        return pa.string()
    return pa.decimal128(decimal.precision, decimal.scale)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one batch file, decoded on demand.

    Args:
        columns: the columns that the rows hold, in the order of the record batches' fields.
        batches: the rows; partial ones end with `MODIFIED`.
        few: whether they are of few bytes; if not, decoding the first batch may take long.
    """

    columns: tuple[Column, ...]
    batches: Iterator[pa.RecordBatch]
    few: bool = True

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches

    def within(self, size: int) -> list[pa.RecordBatch] | None:
        """All rows, if they take no more than so many bytes; else None, and some of them are gone."""
        if not self.few:
            return None
        batches = []
        for batch in self.batches:
            size -= batch.nbytes
            if size < 0:
                return None
            batches.append(batch)
        return batches


class RowSource(Protocol):
    """A batch file that can be read, and read again when a fast way turns out to be closed."""

    @property
    def name(self) -> str:
        """The file's path as it stood in the request, for messages."""

    @property
    def size(self) -> int:
        """Its bytes on disk; 0 where that is not known."""

    def open(self) -> AbstractContextManager[Rows]: ...


class PeekedSource:
    """A source whose first rows may be looked at; the next `open` goes on with them.

    Args:
        source: what it reads; open at most once at a time.
        opened: keeps it open between the first rows and the others.
    """

    def __init__(self, source: RowSource, opened: ExitStack) -> None:
        self._source = source
        self._opened = opened
        self._started: Rows | None = None

    @property
    def name(self) -> str:
        return self._source.name

    @property
    def size(self) -> int:
        return self._source.size

    def first_rows(self) -> pa.RecordBatch | None:
        """The first record batch; None if the source is empty."""
        rows = self._opened.enter_context(self._source.open())
        batches = iter(rows)
        first = next(batches, None)
        started = [] if first is None else [first]
        self._started = replace(rows, batches=chain(handing_over(started), batches))
        return first

    @contextmanager
    def open(self) -> Iterator[Rows]:
        started, self._started = self._started, None
        with self._opened:
            yield started or self._opened.enter_context(self._source.open())
