"""Tables: described, created, given columns, truncated."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import TypeEngine

from destination.errors import RequestError
from destination.remembered import Remembered
from destination.schema import ACTIVE, END, START, Column, Table
from destination.warehouse.base import Landed, Session
from destination.warehouse.ddl import AddColumn, NamedType
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

logger = logging.getLogger(__name__)

_CALLED: Remembered[StoredTable] = Remembered(
    32 << 20, lambda table: 4096 * (len(table.columns) + 1)
)
"""Tables with the requests' column names; a SQLAlchemy column takes about 4 KB."""


def describe(session: Session, name: TableName) -> Table | None:
    """The table as Fivetran sees it; None if the table or its schema is missing."""
    stored = session.find_table(name)
    return stored.table if stored else None


def create(session: Session, name: TableName, table: Table) -> Landed:
    """Create a table, and its schema if that is missing.

    Returns:
        Finds out whether it was committed: it must not be repeated.

    Raises:
        RequestError: if the table exists.
    """
    require_distinct_columns(session, name, table)
    session.create_schema(name.schema)
    session.lock(name)
    if session.find_table(name) is not None:
        raise RequestError(f"{name} exists already: drop it, or re-sync into another schema")
    types = {column.name: NamedType(session.type_name(column)) for column in table.columns}
    create_as(session, name, table, types, marked=table.column_names)
    return lambda later: later.find_table(name) is not None


def create_as(
    session: Session,
    name: TableName,
    table: Table,
    types: Mapping[str, TypeEngine[Any]],
    marked: Iterable[str],
) -> None:
    """Create a table.

    Args:
        session: the transaction.
        name: its name.
        table: its columns and key.
        types: the columns' types in the warehouse, by their full names.
        marked: the full names of the columns that are to be marked as made by this project.

    Raises:
        RequestError: if something that is no table has the name.
    """
    session.require_free_name(name)
    columns = {
        column.name: sa.Column(
            session.name(column.name), types[column.name], nullable=not column.primary_key
        )
        for column in table.columns
    }
    clause = session.clause(name, columns.values())
    if table.key:
        key = [session.name(column.name) for column in table.key]
        clause.append_constraint(sa.PrimaryKeyConstraint(*key, name=key_name(session, clause)))
    clause.kwargs.update(session.storage(table))
    session.execute(CreateTable(clause))
    session.mark(clause, [columns[each].name for each in marked])
    session.place(clause, table.key_names)
    if comment := session.traits.naming.comment("", name.table):
        session.comment(clause, comment)
    for column in table.columns:
        if comment := column_comment(session, column):
            session.comment(columns[column.name], comment)


def column_comment(session: Session, column: Column, old: StoredColumn | None = None) -> str | None:
    """The comment that says what the column's stored name and type do not.

    Args:
        session: the transaction.
        column: the column.
        old: as it is stored so far; other text in its comment stays.
    """
    naming = session.traits.naming
    words = naming.words(old.name, old.comment) if old is not None else ""
    noted_type = column.type if session.type_remark(column) else None
    return naming.comment(words, column.name, noted_type)


def key_name(session: Session, clause: sa.Table) -> quoted_name:
    """A name for the primary key of a table, which nothing else has."""
    return quoted_name(session.traits.naming.key(clause.name), quote=True)


def is_empty(session: Session, target: StoredTable) -> bool:
    """Whether a table has no rows."""
    return not session.finds(sa.select(sa.literal(1)).select_from(target.clause))


def add_column(
    session: Session, stored: StoredTable, column: Column, kind: TypeEngine[Any] | None = None
) -> None:
    """Add a column, NULL in every row.

    Args:
        session: the transaction.
        stored: the table.
        column: the column.
        kind: its type in the warehouse, if it is not the one for columns of its type.
    """
    new = sa.Column(session.name(column.name), kind or NamedType(session.type_name(column)))
    clause = session.clause(stored.name, [new])
    with concerning(column.name):
        session.execute(AddColumn(clause, new))
    session.mark(clause, [new.name])
    if comment := column_comment(session, column):
        session.comment(new, comment)


def truncate(
    session: Session, name: TableName, synced: str, before: datetime, deleted: str | None
) -> int:
    """Delete rows last synced before an instant, or mark them as deleted.

    Args:
        session: the transaction.
        name: the table; nothing happens if it does not exist.
        synced: the column that says when a row was synced.
        before: the instant; rows synced at it stay.
        deleted: the column to set to true instead of deleting; where a table in history mode lacks
            it, active versions are closed instead.

    Returns:
        How many rows were deleted or marked.
    """
    session.lock(name)
    stored = session.find_table(name)
    if stored is None:
        return 0
    stored.require_every_row()
    instant = sa.literal(before, sa.DateTime(timezone=True))
    old = stored[synced] < instant
    if deleted is None:
        return session.execute(sa.delete(stored.clause).where(old))
    if stored.find(deleted) is None and START in stored.key:
        closing = sa.update(stored.clause).where(old, stored[ACTIVE])
        return session.execute(closing.values(closed(session, stored, instant)))
    unmarked = stored[deleted].is_distinct_from(sa.true())
    marked = {stored.get(deleted).name: sa.true()}
    return session.execute(sa.update(stored.clause).where(old, unmarked).values(marked))


def closed(session: Session, stored: StoredTable, start: sa.ColumnElement[Any]) -> dict[str, Any]:
    """The changes that close a version before another one starts."""
    return {
        stored.get(ACTIVE).name: sa.false(),
        stored.get(END).name: session.just_before(start),
    }


@contextmanager
def concerning(*columns: str) -> Iterator[None]:
    """Add to an error of the warehouse which columns the statement was about."""
    try:
        yield
    except DBAPIError as error:
        error.add_note(" and ".join(f'column "{column}"' for column in columns))
        raise


def lock_called(session: Session, name: TableName, table: Table) -> StoredTable:
    """The table of a request, locked, its columns under the names that the request has for them.

    Raises:
        RequestError: if it does not exist, or two columns of the request are stored as one.
    """
    stored = session.lock_table(name)

    def called() -> StoredTable:
        require_distinct_columns(session, name, table)
        return stored.as_called_by(table)

    return _CALLED.get((stored, table), called)


def require_distinct_columns(session: Session, name: TableName, table: Table) -> None:
    """Check that a request has columns, no two of which are stored as one.

    Raises:
        RequestError: if it has not.
    """
    if not table.columns:
        raise RequestError(f"{name} has no columns in the request: contact Fivetran")
    stored = Counter(session.name(column.name) for column in table.columns)
    for column in table.columns:
        if stored[session.name(column.name)] > 1:
            raise RequestError(
                f'{name} has column "{column.name}" more than once in the request: contact Fivetran'
            )
