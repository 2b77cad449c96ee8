"""Staging: the rows of batch files in a table of this transaction, numbered in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from destination.errors import RequestError
from destination.rows import RowSource, RowStream
from destination.schema import Column, Table
from destination.warehouse.base import Session, StoredColumn, StoredTable
from destination.warehouse.ddl import NamedType

ORDINAL = "ordinal"
MASK = "mask"


Values = dict[str, sa.ColumnElement[Any]]
"""Expressions for the values of a row, by the columns' full names."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The rows of batch files, staged.

    Args:
        clause: the staging table.
        key: its columns that hold the key.
        columns: the target's columns that the rows hold.
        values: the rows' values, of the target's types.
        modified: whether each is modified.
        count: how many rows there are.
    """

    clause: sa.Table
    key: tuple[sa.Column[Any], ...]
    columns: tuple[StoredColumn, ...]
    values: Values
    modified: dict[str, sa.ColumnElement[bool]]
    count: int

    @property
    def ordinal(self) -> sa.Column[Any]:
        """The rows' numbers in the order of the files."""
        return self.clause.c[ORDINAL]


@dataclass(frozen=True, slots=True)
class Changes:
    """Partial rows, of which no two share a key, and where to select them from."""

    source: sa.FromClause
    values: Values
    modified: dict[str, sa.ColumnElement[bool]]


def stage(session: Session, target: StoredTable, sources: Sequence[RowSource]) -> Iterator[Staged]:
    """Copy batch files of whole rows into staging tables; those with the same columns into one.

    Raises:
        RequestError: if a file holds a column that the target lacks.
        BatchFileError: if a file cannot be read.
    """
    staging: _Staging | None = None
    for source in sources:
        with source.open() as rows:
            if staging is None or staging.columns != rows.columns:
                if staging is not None:
                    yield staging.staged()
                staging = _Staging(session, target, rows.columns, partial=False)
            staging.append(rows)
    if staging is not None:
        yield staging.staged()


def stage_partial(
    session: Session, target: StoredTable, table: Table, sources: Sequence[RowSource]
) -> Staged:
    """Copy batch files of partial rows into a staging table that has all columns of the table.

    Raises:
        RequestError: if the table of the request has a column that the target lacks.
        BatchFileError: if a file cannot be read.
    """
    staging = _Staging(session, target, table.columns, partial=True)
    for source in sources:
        with source.open() as rows:
            staging.append(rows)
    return staging.staged()


class _Staging:
    """A staging table that is being filled.

    Its columns have the types of the wire, and names of their own that are short and cannot meet
    those that the project adds.
    """

    def __init__(
        self, session: Session, target: StoredTable, columns: tuple[Column, ...], *, partial: bool
    ) -> None:
        self.columns = columns
        self._session = session
        self._key = target.key
        self._stored = stored_columns(target, columns)
        self._types = {column.name: session.wire_type_name(column) for column in columns}
        self._clauses = {
            name: sa.Column(f"c{i}", NamedType(kind))
            for i, (name, kind) in enumerate(self._types.items())
        }
        self._mask = [sa.Column(MASK, sa.LargeBinary)] if partial else []
        self._ordinal = sa.Column(ORDINAL, sa.BigInteger)
        self._count = 0
        self._table = session.create_staging([*self._clauses.values(), *self._mask, self._ordinal])

    def append(self, rows: RowStream) -> None:
        """Copy the rows of a file behind those that are there."""
        present = [self._clauses[column.name] for column in rows.columns]
        columns = [*present, *self._mask, self._ordinal]
        self._count += self._session.copy(self._table, columns, _numbered(rows, self._count))

    def staged(self) -> Staged:
        """What was staged."""
        key = tuple(clause for name, clause in self._clauses.items() if name in self._key)
        values = {
            stored.column.name: self._session.cast(
                self._clauses[stored.column.name], self._types[stored.column.name], stored.type_name
            )
            for stored in self._stored
        }
        modified = {
            name: self._session.is_modified(self._mask[0], position) if self._mask else sa.true()
            for position, name in enumerate(self._clauses)
        }
        return Staged(self._table, key, self._stored, values, modified, self._count)


def stored_columns(target: StoredTable, columns: Iterable[Column]) -> tuple[StoredColumn, ...]:
    """The target's columns that rows hold.

    Raises:
        RequestError: if it lacks one.
    """
    pairs = [(target.find(column.name), column) for column in columns]
    if missing := [column.name for stored, column in pairs if stored is None]:
        names = ", ".join(f'"{name}"' for name in missing)
        raise RequestError(f"{target.name} lacks columns that its batch files hold: {names}")
    return tuple(stored for stored, _ in pairs if stored is not None)


def analyze(session: Session, staged: Staged) -> None:
    """Tell the planner how many different keys there are, before rows are looked up by them.

    It would take every staging table for one of few keys, and look each up where reading the target
    once is faster.
    """
    session.analyze(staged.clause, staged.key)


def has_duplicates(session: Session, staged: Staged, key: Sequence[str]) -> bool:
    """Whether staged rows share a key."""
    return is_repeated(session, staged.clause, [staged.values[name] for name in key])


def is_repeated(
    session: Session, rows: sa.FromClause, values: Sequence[sa.ColumnElement[Any]]
) -> bool:
    """Whether rows share all of some values."""
    twice = sa.select(sa.literal(1)).select_from(rows).group_by(*values)
    return bool(session.scalar(sa.select(sa.exists(twice.having(sa.func.count() > 1)))))


def folded(session: Session, staged: Staged, key: Sequence[str]) -> Changes:
    """Staged partial rows, those of one key folded into one.

    Each column takes the value of the last row that modifies it, as if the rows were applied one
    after the other.
    """
    if not has_duplicates(session, staged, key):
        return Changes(staged.clause, staged.values, staged.modified)
    names = [column.column.name for column in staged.columns]
    keys = [staged.values[name] for name in key]
    values, modified = [], []
    for i, name in enumerate(names):
        value, changes = staged.values[name], staged.modified[name]
        last = value if name in key else session.last_value(value, changes, staged.ordinal)
        values.append(last.label(f"v{i}"))
        modified.append((sa.func.max(sa.case((changes, 1), else_=0)) == 1).label(f"m{i}"))
    rows = sa.select(*values, *modified).group_by(*keys).subquery("folded")
    return Changes(
        rows,
        {name: rows.c[f"v{i}"] for i, name in enumerate(names)},
        {name: rows.c[f"m{i}"] for i, name in enumerate(names)},
    )


def same_key(
    target: StoredTable, key: Sequence[str], values: Values
) -> list[sa.ColumnElement[bool]]:
    """The condition that a row of the target has the key of other rows."""
    return [target[name] == values[name] for name in key]


def _numbered(rows: RowStream, first: int) -> Iterator[pa.RecordBatch]:
    following = first

    def number(batch: pa.RecordBatch) -> pa.RecordBatch:
        nonlocal following
        begin, following = following, following + batch.num_rows
        return batch.append_column(ORDINAL, pa.arange(begin, following))

    return map(number, rows)
