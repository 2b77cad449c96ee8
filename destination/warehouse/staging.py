"""Staging: the rows of one batch file in a table of this transaction, numbered in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from destination.errors import RequestError
from destination.rows import RowSource, RowStream
from destination.schema import Column
from destination.warehouse.base import Session, StoredColumn, StoredTable
from destination.warehouse.ddl import NamedType

ORDINAL = "ordinal"
MASK = "mask"


Values = dict[str, sa.ColumnElement[Any]]
"""Expressions for the values of a row, by the columns' full names."""


@dataclass(frozen=True, slots=True)
class Staged:
    """The rows of a batch file, staged.

    Args:
        clause: the staging table.
        columns: the target's columns that the rows hold.
        values: the rows' values, of the target's types.
        modified: whether each is modified.
        count: how many rows there are.
    """

    clause: sa.Table
    columns: tuple[StoredColumn, ...]
    values: Values
    modified: dict[str, sa.ColumnElement[bool]]
    count: int

    @property
    def ordinal(self) -> sa.Column[Any]:
        """The rows' numbers in the order of the file."""
        return self.clause.c[ORDINAL]


@dataclass(frozen=True, slots=True)
class Changes:
    """Partial rows, of which no two share a key."""

    values: Values
    modified: dict[str, sa.ColumnElement[bool]]


def stage(session: Session, target: StoredTable, source: RowSource) -> Staged:
    """Copy a batch file into a staging table.

    The staging table's columns have the types of the wire, and names of their own that are short
    and cannot meet those that the project adds.

    Raises:
        RequestError: if the file holds a column that the target lacks.
        BatchFileError: if the file cannot be read.
    """
    with source.open() as rows:
        columns = stored_columns(target, rows.columns)
        types = [session.wire_type_name(column) for column in rows.columns]
        staged = [sa.Column(f"c{i}", NamedType(name)) for i, name in enumerate(types)]
        mask = [sa.Column(MASK, sa.LargeBinary)] if rows.partial else []
        ordinal = sa.Column(ORDINAL, sa.BigInteger)
        clause = session.create_staging([*staged, *mask, ordinal])
        count = session.copy(clause, [*staged, *mask, ordinal], _numbered(rows))
    values = {
        column.column.name: session.cast(clause.c[f"c{i}"], types[i], column.type_name)
        for i, column in enumerate(columns)
    }
    modified = {
        column.column.name: session.is_modified(clause.c[MASK], i) if rows.partial else sa.true()
        for i, column in enumerate(columns)
    }
    return Staged(clause, columns, values, modified, count)


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


def has_duplicates(session: Session, staged: Staged, key: Sequence[str]) -> bool:
    """Whether staged rows share a key."""
    values = [staged.values[name] for name in key]
    twice = sa.select(sa.literal(1)).select_from(staged.clause).group_by(*values)
    return bool(session.scalar(sa.select(sa.exists(twice.having(sa.func.count() > 1)))))


def folded(session: Session, staged: Staged, key: Sequence[str]) -> Changes:
    """Staged partial rows, those of one key folded into one.

    Each column takes the value of the last row that modifies it, as if the rows were applied one
    after the other.
    """
    if not has_duplicates(session, staged, key):
        return Changes(staged.values, staged.modified)
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
        {name: rows.c[f"v{i}"] for i, name in enumerate(names)},
        {name: rows.c[f"m{i}"] for i, name in enumerate(names)},
    )


def same_key(
    target: StoredTable, key: Sequence[str], values: Values
) -> list[sa.ColumnElement[bool]]:
    """The condition that a row of the target has the key of other rows."""
    return [target[name] == values[name] for name in key]


def _numbered(rows: RowStream) -> Iterator[pa.RecordBatch]:
    first = 0
    for batch in rows:
        numbers = pa.arange(first, first + batch.num_rows)
        yield batch.append_column(ORDINAL, numbers)
        first += batch.num_rows
