"""Staging: the rows of batch files in temporary tables, numbered in their order."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import DropTable

from destination.errors import BatchFileError, RequestError
from destination.rows import Rows, RowSource
from destination.schema import Column, Table
from destination.warehouse.base import Session
from destination.warehouse.ddl import NamedType
from destination.warehouse.naming import Alias
from destination.warehouse.stored import StoredColumn, StoredTable

ORDINAL = "ordinal"
MASK = "mask"

Values = dict[str, sa.ColumnElement[Any]]
"""Expressions for the values of a row, by the columns' full names."""
Build = Callable[..., sa.Executable]
"""Makes a statement from a session, rows and further arguments."""


@dataclass(frozen=True, slots=True)
class Part:
    """A table of some columns of staged rows.

    Args:
        table: the table; it has the rows' numbers too.
        numbers: which columns they are; number 3 has the name `c3`.
    """

    table: sa.Table
    numbers: range


@dataclass(frozen=True, slots=True)
class Staged:
    """The rows of batch files, staged.

    Args:
        session: the transaction.
        clause: where to select them from.
        parts: the staging tables.
        key: the values that are the target's key.
        columns: the target's columns that the rows hold.
        values: the rows' values, of the target's types.
        modified: whether each is modified.
        count: how many rows there are.
    """

    session: Session
    clause: sa.FromClause
    parts: tuple[Part, ...]
    key: tuple[sa.ColumnElement[Any], ...]
    columns: tuple[StoredColumn, ...]
    values: Values
    modified: dict[str, sa.ColumnElement[bool]]
    count: int

    @property
    def ordinal(self) -> sa.ColumnElement[Any]:
        """The rows' numbers in the order of the files."""
        return self.clause.c[ORDINAL]

    @property
    def mask(self) -> sa.ColumnElement[Any]:
        """Of partial rows, which values are modified."""
        return self.clause.c[MASK]

    def execute(self, build: Build, *content: Hashable) -> int:
        """Execute a statement about the rows; see `Carried.execute`."""
        return self.session.execute(build(self.session, self, *content))

    def nulls(self, name: str) -> int:
        """How many rows have no value in a column."""
        missing = sa.select(sa.func.count()).where(self.values[name].is_(None))
        return int(self.session.scalar(missing.select_from(self.clause)))

    def may_repeat(self, names: Sequence[str]) -> bool:
        """Whether rows share all of some values."""
        return is_repeated(self.session, self.clause, [self.values[name] for name in names])


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
    """Staging tables that are being filled.

    Their columns have the types in which values arrive, and short names: c0, c1 and so on. `staged`
    converts them to the types and collations of the target's columns, so that values compare, and are
    refused, as in the target.
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
        pairs = zip(self._kinds, self._wire, strict=True)
        arriving = [kind if kind.name == wire else NamedType(wire) for kind, wire in pairs]
        ranges = session.fitting([*self._kinds, *arriving], len(columns))
        self._parts = [self._create(numbers, arriving) for numbers in ranges]

    def append(self, rows: Rows, file: str) -> None:
        """Append the rows of a file."""
        self._files.append((self._count, file))
        fields = {column.name: i for i, column in enumerate(rows.columns)}
        numbered = _numbered(rows, self._count)
        if len(self._parts) == 1:
            self._count += self._copy(self._parts[0], fields, numbered)
            return
        first = self._count
        for batch in numbered:
            with _after_rows(self._count - first):
                for part in self._parts:
                    self._copy(part, fields, [batch])
            self._count += batch.num_rows

    def _copy(
        self, part: Part, fields: Mapping[str, int], batches: Iterable[pa.RecordBatch]
    ) -> int:
        """Copy the columns of a part; after the rows' fields come the mask, if any, and the number."""
        places = {f"c{i}": fields.get(self.columns[i].name) for i in part.numbers}
        taken = {name: place for name, place in places.items() if place is not None}
        if MASK in part.table.c:
            taken[MASK] = len(fields)
        taken[ORDINAL] = len(fields) + self._partial
        columns = [part.table.c[name] for name in taken]
        rows = (batch.select(list(taken.values())) for batch in batches)
        return self._session.copy(part.table, columns, rows)

    def staged(self) -> Staged:
        """What was staged.

        Raises:
            BatchFileError: if the target's type for a column refuses a value.
        """
        parts = tuple(self._converted(part) for part in self._parts)
        clause = joined(parts)
        names = [stored.column.name for stored in self._stored]
        modified = {
            name: self._session.is_modified(clause.c[MASK], i) if self._partial else sa.true()
            for i, name in enumerate(names)
        }
        values: Values = {name: clause.c[f"c{i}"] for i, name in enumerate(names)}
        key = tuple(value for name, value in values.items() if name in self._key)
        return Staged(
            self._session, clause, parts, key, self._stored, values, modified, self._count
        )

    def _create(self, numbers: range, kinds: Sequence[NamedType]) -> Part:
        columns: list[sa.Column[Any]] = [sa.Column(f"c{i}", kinds[i]) for i in numbers]
        if self._partial and numbers.start == 0:
            columns.append(sa.Column(MASK, sa.LargeBinary))
        columns.append(sa.Column(ORDINAL, sa.BigInteger))
        return Part(self._session.create_staging(columns), numbers)

    def _converted(self, part: Part) -> Part:
        """The rows of a part, converted to the target's types."""
        others = [i for i in part.numbers if self._kinds[i].name != self._wire[i]]
        if not others:
            return part
        converted = self._create(part.numbers, self._kinds)
        target, every = converted.table, [column.name for column in converted.table.c]
        conversion = self._conversion(part.table, target, every, 0, self._count)
        if self._session.refusal(conversion) is not None:
            raise self._refused(part.table, target, others)
        self._session.execute(DropTable(part.table))
        return converted

    def _conversion(
        self, source: sa.Table, target: sa.Table, names: Iterable[str], begin: int, end: int
    ) -> sa.Executable:
        """A statement that converts columns of staged rows."""
        kinds = {f"c{i}": pair for i, pair in enumerate(zip(self._wire, self._kinds, strict=True))}

        def converted(name: str) -> sa.ColumnElement[Any]:
            if name not in kinds:
                return source.c[name]
            wire, kind = kinds[name]
            return self._session.cast(source.c[name], wire, kind.name)

        values = {name: converted(name) for name in names}
        rows = sa.select(*values.values()).where(source.c[ORDINAL].between(begin, end - 1))
        return sa.insert(target).from_select(list(values), rows)

    def _refused(
        self, source: sa.Table, target: sa.Table, columns: Sequence[int]
    ) -> BatchFileError:
        """The first row that cannot be converted, found by halving: its number is not known."""

        def refusal(columns: Sequence[int], begin: int, end: int) -> str | None:
            names = [f"c{i}" for i in columns]
            return self._session.refusal(self._conversion(source, target, names, begin, end))

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


@contextmanager
def _after_rows(count: int) -> Iterator[None]:
    """Add so many earlier rows to the number of a row that is refused."""
    try:
        yield
    except BatchFileError as error:
        if error.row is not None:
            error.row += count
        raise


def joined(parts: Sequence[Part]) -> sa.FromClause:
    """Whole rows, to select from.

    The offset keeps the planner from joining anything else first: such a join could have more columns
    than the warehouse allows.
    """
    first, *others = (part.table for part in parts)
    if not others:
        return first
    columns = list(first.c)
    source: sa.FromClause = first
    for other in others:
        columns += [column for column in other.c if column.name != ORDINAL]
        source = source.join(other, other.c[ORDINAL] == first.c[ORDINAL])
    return sa.select(*columns).select_from(source).offset(0).subquery(Alias.ROWS)


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


def analyze(staged: Staged) -> None:
    """Let the planner know how many different keys there are, before rows are looked up by them.

    Without that it expects few keys and looks each one up, where reading the target once is faster.
    """
    names = {value.key for value in staged.key}
    for part in staged.parts:
        staged.session.analyze(
            part.table, [column for column in part.table.c if column.name in names]
        )


def is_repeated(
    session: Session, rows: sa.FromClause, values: Sequence[sa.ColumnElement[Any]]
) -> bool:
    """Whether rows share all of some values."""
    twice = sa.select(sa.literal(1)).select_from(rows).group_by(*values)
    return session.finds(twice.having(sa.func.count() > 1))


def same_key(
    target: StoredTable, key: Sequence[str], values: Values
) -> list[sa.ColumnElement[bool]]:
    """The condition that a row of the target has the key of other rows."""
    return [target[name] == values[name] for name in key]


def _numbered(rows: Rows, first: int) -> Iterator[pa.RecordBatch]:
    following = first

    def number(batch: pa.RecordBatch) -> pa.RecordBatch:
        nonlocal following
        begin, following = following, following + batch.num_rows
        return batch.append_column(ORDINAL, pa.arange(begin, following))

    return map(number, rows)
