"""A batch file's columns as typed record batches; errors name row and column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from destination.batch.refusals import REFUSALS, RefusedError, misfit
from destination.batch.values import Notices, from_texts
from destination.errors import BatchFileError
from destination.rows import MODIFIED, arrow_type
from destination.schema import Column

PRESENT, ABSENT = pa.scalar(b"\1"), pa.scalar(b"\0")
"""What a mask of partial rows says of a value."""
Converter = Callable[[pa.Array, Column], pa.Array]
"""Turns an array into the column's Arrow type; raises one of `REFUSALS` for what is not of it."""


@dataclass(frozen=True, slots=True)
class Partial:
    """How rows leave values unmodified.

    Args:
        unmodified_string: the text that stands for such a value; the empty string if none does.
        table: the columns of the table, of which those that the file lacks are unmodified too.
    """

    unmodified_string: str
    table: tuple[Column, ...]


class Decoder:
    """Assembles record batches from arrays of texts or values.

    Args:
        columns: the columns of the record batches, in their order.
        null_string: the text that stands for NULL.
        notices: counts the values that could not be stored as they are.
        partial: how rows may leave values unmodified; None where they are whole.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        null_string: str,
        notices: Notices,
        partial: Partial | None = None,
    ) -> None:
        self.columns = tuple(columns)
        self.null_string = null_string
        self.partial = partial
        self.notices = notices
        fields = [pa.field(column.name, arrow_type(column)) for column in columns]
        if partial is not None:
            fields.append(pa.field(MODIFIED, pa.binary()))
        self._schema = pa.schema(fields)

    @property
    def unmodified_string(self) -> str:
        """The text that stands for an unmodified value; the empty string if none does."""
        return self.partial.unmodified_string if self.partial is not None else ""

    def decode(
        self,
        arrays: Sequence[pa.Array],
        converters: Sequence[Converter | None],
        first_row: int,
        masks: Mapping[str, pa.Array] | None = None,
    ) -> pa.RecordBatch:
        """Convert one array a column.

        Args:
            arrays: the columns' texts or values, all of the same length.
            converters: what to do with each; None takes it as it is.
            first_row: the number in the file of the arrays' first row.
            masks: of arrays whose unmodified values are null already, the `masks` of the columns that
                may have some; None where arrays hold the texts themselves.

        Raises:
            BatchFileError: naming the row and column that is not of its type, or a key that is NULL.
        """
        values, found = [], dict(masks or {})
        for column, array, converter in zip(self.columns, arrays, converters, strict=True):
            present = array
            unmodified = equals_text(array, self.unmodified_string) if masks is None else None
            if unmodified is not None:
                if column.primary_key:
                    reason = "is unmodified, but part of the primary key"
                    raise _error(reason, unmodified, column, first_row)
                found[column.name] = pc.if_else(unmodified, ABSENT, PRESENT)
                present = pc.if_else(unmodified, None, array)
            if converter is not None:
                present = _convert(present, column, converter, first_row)
            if column.primary_key and present.null_count:
                reason = "is NULL, but part of the primary key"
                raise _error(reason, present.is_null(), column, first_row)
            values.append(present)
        if self.partial is not None:
            held = dict.fromkeys((column.name for column in self.columns), PRESENT) | found
            each = [held.get(column.name, ABSENT) for column in self.partial.table]
            values.append(_joined(each, len(values[0])))
        return pa.RecordBatch.from_arrays(values, schema=self._schema)

    def masks(self, names: Sequence[str], texts: Sequence[pa.Array]) -> dict[str, pa.Array]:
        """What of columns is modified, by their texts, all of the same length; found at once."""
        if not texts:
            return {}
        size = len(texts[0])
        equal = pc.equal(pa.concat_arrays(texts), self.unmodified_string)
        masks = pc.if_else(pc.fill_null(equal, False), ABSENT, PRESENT)
        return {name: masks.slice(i * size, size) for i, name in enumerate(names)}

    def from_texts(self, texts: pa.Array, column: Column) -> pa.Array:
        """A converter of texts in CSV notation."""
        return from_texts(texts, column, self.notices)


def _joined(masks: Sequence[pa.Array | pa.Scalar], count: int) -> pa.Array:
    """The masks of columns as those of so many rows."""
    joined = pc.binary_join_element_wise(*masks, b"")
    return pa.repeat(joined, count) if isinstance(joined, pa.Scalar) else joined


def equals_text(array: pa.Array, text: str) -> pa.Array | None:
    """Which values of an array of strings or binaries are a text; None where none is."""
    if not text or array.type not in (pa.string(), pa.binary()):
        return None
    equal = pc.fill_null(pc.equal(array, pa.scalar(text.encode()).cast(array.type)), False)
    return equal if pc.any(equal).as_py() else None


def _convert(array: pa.Array, column: Column, converter: Converter, first_row: int) -> pa.Array:
    try:
        return converter(array, column)
    except REFUSALS as error:
        index, reason = _first_refused(array, column, converter)
        raise BatchFileError(reason, row=first_row + index, column=column.name) from error


def _first_refused(array: pa.Array, column: Column, converter: Converter) -> tuple[int, str]:
    """The index of the first value that a converter refuses, found by halving, and why."""
    start, size = 0, len(array)
    while size > 1:
        half = size // 2
        if _refusal(array.slice(start, half), column, converter):
            size = half
        else:
            start, size = start + half, size - half
    return start, _refusal(array.slice(start, 1), column, converter) or misfit(column)


def _refusal(array: pa.Array, column: Column, converter: Converter) -> str | None:
    """Why a converter refuses an array, None if it does not."""
    try:
        converter(array, column)
    except RefusedError as error:
        return str(error)
    except REFUSALS:
        return misfit(column)
    return None


def _error(reason: str, where: pa.Array, column: Column, first_row: int) -> BatchFileError:
    row = first_row + pc.index(where, True).as_py()
    return BatchFileError(reason, row=row, column=column.name)
