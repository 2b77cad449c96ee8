"""Staging: the rows of batch files in a table of this transaction, numbered in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import DropTable

from destination.errors import BatchFileError, RequestError
from destination.rows import RowSource, RowStream
from destination.schema import Column, Table
from destination.warehouse.base import Session
from destination.warehouse.ddl import NamedType
from destination.warehouse.naming import Alias
from destination.warehouse.stored import StoredColumn, StoredTable

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
        BatchFileError: if a file cannot be read, or the target's type for a column refuses a value.
    """
    staging: _Staging | None = None
    for source in sources:
        with source.open() as rows:
            if staging is None or staging.columns != rows.columns:
                if staging is not None:
                    yield staging.staged()
                staging = _Staging(session, target, rows.columns, partial=False)
            staging.append(rows, source.name)
    if staging is not None:
        yield staging.staged()


def stage_partial(
    session: Session, target: StoredTable, table: Table, sources: Sequence[RowSource]
) -> Staged:
    """Copy batch files of partial rows into a staging table that has all columns of the table.

    Raises:
        RequestError: if the table of the request has a column that the target lacks.
        BatchFileError: if a file cannot be read, or the target's type for a column refuses a value.
    """
    staging = _Staging(session, target, table.columns, partial=True)
    for source in sources:
        with source.open() as rows:
            staging.append(rows, source.name)
    return staging.staged()


class _Staging:
    """A staging table that is being filled.

    Its columns have the types of the wire, and names of their own that are short and cannot meet
    those that the project adds. What is staged has the types and collations of the target's columns,
    so that values compare, and are refused, as they are there.
    """

    def __init__(
        self, session: Session, target: StoredTable, columns: tuple[Column, ...], *, partial: bool
    ) -> None:
        self.columns = columns
        self._session = session
        self._key = target.key
        self._stored = stored_columns(target, columns)
        self._kinds = [cast("NamedType", target.clause.c[each.name].type) for each in self._stored]
        self._wire = [session.wire_type_name(column) for column in columns]
        self._partial = partial
        self._files: list[tuple[int, str]] = []
        self._count = 0
        kinds = zip(self._kinds, self._wire, strict=True)
        self._table = self._create([k if k.name == wire else NamedType(wire) for k, wire in kinds])

    def append(self, rows: RowStream, file: str) -> None:
        """Copy the rows of a file behind those that are there."""
        self._files.append((self._count, file))
        held = {column.name for column in rows.columns}
        present = [
            clause
            for clause, column in zip(self._table.c, self.columns, strict=False)
            if column.name in held
        ]
        columns = [*present, *list(self._table.c)[len(self.columns) :]]
        self._count += self._session.copy(self._table, columns, _numbered(rows, self._count))

    def staged(self) -> Staged:
        """What was staged.

        Raises:
            BatchFileError: if the target's type for a column refuses a value.
        """
        table = self._converted()
        clauses = {stored.column.name: table.c[i] for i, stored in enumerate(self._stored)}
        modified = {
            name: self._session.is_modified(table.c[MASK], i) if self._partial else sa.true()
            for i, name in enumerate(clauses)
        }
        return Staged(
            clause=table,
            key=tuple(clause for name, clause in clauses.items() if name in self._key),
            columns=self._stored,
            values=dict(clauses),
            modified=modified,
            count=self._count,
        )

    def _create(self, kinds: Iterable[NamedType]) -> sa.Table:
        mask = [sa.Column(MASK, sa.LargeBinary)] if self._partial else []
        columns = [sa.Column(f"c{i}", kind) for i, kind in enumerate(kinds)]
        return self._session.create_staging([*columns, *mask, sa.Column(ORDINAL, sa.BigInteger)])

    def _converted(self) -> sa.Table:
        """The staged rows as a table of the target's types."""
        kinds = enumerate(zip(self._kinds, self._wire, strict=True))
        others = [i for i, (kind, wire) in kinds if kind.name != wire]
        if not others:
            return self._table
        table = self._create(self._kinds)
        every = range(len(table.c))
        if self._session.refusal(self._conversion(table, every, 0, self._count)) is not None:
            raise self._refused(table, others)
        self._session.execute(DropTable(self._table))
        return table

    def _conversion(
        self, table: sa.Table, columns: Iterable[int], begin: int, end: int
    ) -> sa.Executable:
        """A statement that converts columns of staged rows, these by their numbers."""
        source = self._table
        values = {
            table.c[i].name: self._session.cast(source.c[i], self._wire[i], self._kinds[i].name)
            if i < len(self._kinds)
            else source.c[i]
            for i in columns
        }
        rows = sa.select(*values.values()).where(source.c[ORDINAL].between(begin, end - 1))
        return sa.insert(table).from_select(list(values), rows)

    def _refused(self, table: sa.Table, columns: Sequence[int]) -> BatchFileError:
        """The first row that cannot be converted; found by halving, as its number is not told."""

        def refusal(columns: Sequence[int], begin: int, end: int) -> str | None:
            return self._session.refusal(self._conversion(table, columns, begin, end))

        begin, end = 0, self._count
        while end - begin > 1:
            middle = (begin + end) // 2
            if refusal(columns, begin, middle) is None:
                begin = middle
            else:
                end = middle
        reasons = {i: refusal([i], begin, end) for i in columns}
        column, reason = next((i, reason) for i, reason in reasons.items() if reason is not None)
        first, file = max(file for file in self._files if file[0] <= begin)
        return BatchFileError(
            reason, file=file, row=begin - first + 1, column=self.columns[column].name
        )


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
    rows = sa.select(*values, *modified).group_by(*keys).subquery(Alias.FOLDED)
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
