"""Single values in CSV notation, read by the same rules as those of batch files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from destination.batch.decoding import Decoder
from destination.batch.values import Notices
from destination.errors import BatchFileError, RequestError
from destination.rows import Rows
from destination.schema import Column, DataType

NULL_TEXTS = frozenset({"", "NULL"})
VERBATIM = frozenset({DataType.STRING, DataType.XML})
"""The types of which every text is a value."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value of a request as a source of one row.

    Args:
        column: whose type it has.
        unstorable: the character that no text of the warehouse holds; empty if it holds all.
        text: the value in CSV notation.
        name: what it is for, for messages.
        nulls: the texts that stand for NULL.
    """

    column: Column
    unstorable: str
    text: str
    name: str
    nulls: frozenset[str] = NULL_TEXTS

    @classmethod
    def value(cls, column: Column, unstorable: str, text: str) -> Constant:
        """A value that a column takes."""
        return cls(column, unstorable, text, f'value of column "{column.name}"')

    @classmethod
    def default(cls, column: Column, unstorable: str, text: str) -> Constant:
        """A new column's value in existing rows; for text columns the text itself, never NULL."""
        nulls = frozenset[str]() if column.type in VERBATIM else NULL_TEXTS
        return cls(column, unstorable, text, f'default value of column "{column.name}"', nulls)

    @classmethod
    def instant(cls, column: Column, unstorable: str, text: str) -> Constant:
        """When a migration takes place."""
        return cls(column, unstorable, text, "operation timestamp", frozenset())

    @property
    def size(self) -> int:
        """0: it is not on disk."""
        return 0

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Read the value.

        Raises:
            RequestError: if it is not of the column's type.
        """
        value = None if self.text in self.nulls else self.text
        decoder = Decoder([self.column], "", Notices(self.unstorable))
        texts = pa.array([value], pa.string())
        try:
            batch = decoder.decode([texts], [decoder.from_texts], 1)
        except BatchFileError as error:
            raise RequestError(f"the {self.name} {error.reason}") from error
        yield Rows(decoder.columns, iter([batch]))
