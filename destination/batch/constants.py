"""Single values in CSV notation, read by the same rules as those of batch files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from destination.batch.decoding import Decoder
from destination.batch.values import Notices
from destination.errors import BatchFileError, RequestError
from destination.schema import Column

NULL_TEXTS = frozenset({"", "NULL"})


@dataclass(frozen=True, slots=True)
class ConstantReader:
    """One row of one value."""

    columns: tuple[Column, ...]
    batch: pa.RecordBatch

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield self.batch


@dataclass(frozen=True, slots=True)
class Constant:
    """A value of a request as a source of one row.

    Args:
        column: whose type it has.
        text: the value in CSV notation; `NULL` and the empty string are NULL.
    """

    column: Column
    text: str

    @property
    def name(self) -> str:
        """What the value is for, for messages."""
        return f'value of column "{self.column.name}"'

    @property
    def size(self) -> int:
        """It is on no disk."""
        return 0

    @contextmanager
    def open(self) -> Iterator[ConstantReader]:
        """Read the value.

        Raises:
            RequestError: if it is not of the column's type.
        """
        value = None if self.text in NULL_TEXTS else self.text
        decoder = Decoder([self.column], "", Notices())
        texts = pa.array([value], pa.string())
        try:
            batch = decoder.decode([texts], [decoder.from_texts], 1)
        except BatchFileError as error:
            raise RequestError(f"the {self.name} {error.reason}") from error
        yield ConstantReader(decoder.columns, batch)
