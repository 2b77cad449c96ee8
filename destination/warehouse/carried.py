"""Small batches, whose rows are parameters of the statements: no staging table is needed."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from destination.remembered import Remembered
from destination.rows import MODIFIED, RowSource
from destination.schema import Column, DataType, Table
from destination.warehouse.base import Parameters, Session
from destination.warehouse.staging import Build, Staged, Values, analyze, stage, stored_columns
from destination.warehouse.stored import StoredColumn, StoredTable

FILE_BYTES = 256 << 10
"""The most bytes that the files of a small batch have together."""
ROW_BYTES = 1 << 20
"""The most bytes that their rows take, decoded."""
ORDINAL, MASK = "ordinal", "mask"
ROUNDS = 16
OTHER_EQUALS = frozenset({DataType.FLOAT, DataType.DOUBLE, DataType.DECIMAL})
MASKED = Column(MODIFIED, DataType.BINARY)


@dataclass(frozen=True)
class _Shape:
    """All that a statement about rows depends on, besides their values.

    Args:
        target: the table that the rows are for.
        columns: the columns that they hold.
        table: the request's table, if they are partial.
    """

    target: StoredTable
    columns: tuple[Column, ...]
    table: Table | None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.target, *[column.name for column in self.columns], self.table))

    def types(self, session: Session) -> tuple[str, ...] | None:
        """The types in which rows are sent; None if they cannot be parameters."""
        types = [
            session.carried_type(column, stored)
            for column, stored in zip(self.columns, self.stored, strict=True)
        ]
        if self.table is not None:
            stored_columns(self.target, self.table.columns)
            types.append(session.wire_type_name(MASKED))
        known = tuple(each for each in types if each is not None)
        return known if len(known) == len(types) else None

    @property
    def stored(self) -> tuple[StoredColumn, ...]:
        """The target's columns that the rows hold."""
        return stored_columns(self.target, self.columns)

    @property
    def positions(self) -> Sequence[int] | None:
        """Where each column stands in the mask of partial rows."""
        if self.table is None:
            return None
        names = self.table.column_names
        return [names.index(column.name) for column in self.columns]


_TYPES: Remembered[tuple[str, ...] | None] = Remembered(
    4 << 20, lambda types: 64 * len(types or ()) + 512
)
"""The types in which rows are sent, by their shapes."""


@dataclass(frozen=True, slots=True)
class _Expressions:
    """The carried rows as expressions; see `statements.Rows`."""

    clause: sa.FromClause
    columns: tuple[StoredColumn, ...]
    values: Values
    modified: dict[str, sa.ColumnElement[bool]]
    ordinal: sa.ColumnElement[Any]


def _numbered(rows: pa.RecordBatch, names: Sequence[str]) -> pa.Table:
    """Columns by their number: to Arrow's grouping, a name like ".a" is a path, to a column "a"."""
    numbers = [str(number) for number in range(len(names))]
    return pa.Table.from_batches([rows.select(list(names)).rename_columns(numbers)])


@dataclass(frozen=True)
class Carried:
    """The rows of a small batch file.

    Args:
        session: the transaction.
        shape: their table and columns.
        types: those in which they are sent.
        rows: the rows.
    """

    session: Session
    shape: _Shape
    types: tuple[str, ...]
    rows: pa.RecordBatch

    @property
    def count(self) -> int:
        """How many rows there are."""
        return int(self.rows.num_rows)

    @cached_property
    def _parameters(self) -> Parameters:
        return self.session.parameters(self.rows, self.types)

    def execute(self, build: Build, *content: Hashable) -> int:
        """Execute a statement about the rows.

        Args:
            build: makes it.
            content: its further arguments.

        Returns:
            How many rows it changed.
        """
        return self.session.execute_carrying(
            self._parameters,
            (build, self.shape, content),
            lambda: build(self.session, self._expressions(), *content),
        )

    def _expressions(self) -> _Expressions:
        shape = self.shape
        names = [f"c{i}" for i in range(len(shape.columns))]
        masked = [] if shape.table is None else [MASK]
        types = dict(zip([*names, *masked], self.types, strict=True))
        clause = self.session.carried(types, ORDINAL)
        values: Values = {
            column.name: clause.c[name] for column, name in zip(shape.columns, names, strict=True)
        }
        modified = {
            name: self.session.is_modified(clause.c[MASK], position)
            for name, position in zip(values, shape.positions or (), strict=False)
        }
        return _Expressions(clause, shape.stored, values, modified, clause.c[ORDINAL])

    def nulls(self, name: str) -> int:
        """How many rows have no value in a column."""
        return int(self.rows.column(name).null_count)

    def tells(self, names: Iterable[str]) -> bool:
        """Whether all partial rows have values for these columns."""
        held = self.shape.table.column_names if self.shape.table else ()
        if not frozenset(names) <= frozenset(held):
            return False
        mask = self.rows.column(MODIFIED)
        starts = [held.index(name) for name in names]
        flags = [pc.binary_slice(mask, start, start + 1) for start in starts]
        return all(pc.all(pc.equal(each, b"\1")).as_py() for each in flags)

    def in_rounds(self, names: Sequence[str], order: str) -> list[Carried] | None:
        """The rows by rounds, in which no two share all of some values.

        Args:
            names: the columns of these values.
            order: a column; of rows that share them, a lower value is in an earlier round.

        Returns:
            The rounds; None where there are more than `ROUNDS`, or values may be equal that differ here.
        """
        if self._has_other_equals(names):
            return None
        if not self.may_repeat(names):
            return [self]
        ordered = pc.array_sort_indices(self.rows.column(order))
        keys = _numbered(self.rows, names).take(ordered)
        rest = keys.append_column(ORDINAL, pa.arange(0, keys.num_rows))
        rounds: list[pa.RecordBatch] = []
        while rest.num_rows and len(rounds) < ROUNDS:
            groups = rest.group_by(keys.column_names, use_threads=False)
            first = groups.aggregate([(ORDINAL, "min")]).column(f"{ORDINAL}_min")
            rounds.append(self.rows.take(ordered.take(first.combine_chunks())))
            rest = rest.filter(pc.invert(pc.is_in(rest.column(ORDINAL), first)))
        return None if rest.num_rows else [replace(self, rows=each) for each in rounds]

    def may_repeat(self, names: Sequence[str]) -> bool:
        """Whether rows may share all of some values."""
        if self._has_other_equals(names):
            return True
        values = _numbered(self.rows, names)
        different = values.group_by(values.column_names, use_threads=False).aggregate([])
        return bool(different.num_rows < self.count)

    def _has_other_equals(self, names: Sequence[str]) -> bool:
        """Whether values may be equal in SQL and differ here: -0.0 and 0.0, texts of numbers."""
        kinds = {column.type for column in self.shape.columns if column.name in names}
        return not kinds.isdisjoint(OTHER_EQUALS)


def carry(
    session: Session, target: StoredTable, sources: Sequence[RowSource], table: Table | None = None
) -> list[Carried] | None:
    """The rows of small batch files, in their order; None where they must be staged.

    Args:
        session: the transaction.
        target: the table that they are for.
        sources: the files.
        table: the request's table, if the rows are partial.

    Raises:
        RequestError: if a file holds a column that the target lacks.
        BatchFileError: if a file cannot be read.
    """
    if not session.carrying or sum(source.size for source in sources) > FILE_BYTES:
        return None
    carried, room = [], ROW_BYTES
    for source in sources:
        with source.open() as rows:
            shape = _Shape(target, rows.columns, table)
            types = _TYPES.get(shape, partial(shape.types, session))
            if types is None:
                return None
            batches = rows.within(room)
        if batches is None:
            return None
        room -= sum(batch.nbytes for batch in batches)
        if len(batches) > 1:
            batches = pa.Table.from_batches(batches).combine_chunks().to_batches()
        carried += [Carried(session, shape, types, each) for each in batches if each.num_rows]
    return carried


def gather(
    session: Session, target: StoredTable, sources: Sequence[RowSource]
) -> Iterator[Carried | Staged]:
    """The rows of batch files, in their order: carried if they are few, else staged and analyzed.

    Raises:
        RequestError: if a file holds a column that the target lacks.
        BatchFileError: if a file cannot be read, or the target's type for a column refuses a value.
    """
    carried = carry(session, target, sources)
    if carried is not None:
        yield from carried
        return
    for staged in stage(session, target, sources):
        analyze(staged)
        yield staged
