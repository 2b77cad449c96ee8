"""Tables: described, created, altered, truncated."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql import quoted_name
from sqlalchemy.types import TypeEngine

from destination.errors import RequestError
from destination.schema import Column, DataType, Table
from destination.warehouse.base import Session
from destination.warehouse.ddl import (
    AddColumn,
    AddPrimaryKey,
    AlterColumnType,
    DropColumn,
    DropConstraint,
    DropNotNull,
    NamedType,
)
from destination.warehouse.stored import StoredColumn, StoredTable, TableName


def describe(session: Session, name: TableName) -> Table | None:
    """The table as Fivetran sees it; None if the table or its schema is missing."""
    stored = session.find_table(name)
    return stored.table if stored else None


def create(session: Session, schema: str, table: Table) -> None:
    """Create a table, and its schema if that is missing.

    Raises:
        RequestError: if the table exists.
    """
    name = TableName(schema, table.name)
    require_distinct_columns(session, name, table)
    session.create_schema(schema)
    session.lock(name)
    if session.find_table(name) is not None:
        raise RequestError(f"{name} exists already: drop it, or re-sync into another schema")
    session.landed = lambda later: later.find_table(name) is not None
    types = {column.name: NamedType(session.type_name(column)) for column in table.columns}
    create_as(session, name, table, types, marked=table.column_names)


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
        clause.append_constraint(sa.PrimaryKeyConstraint(*key, name=_key_name(session, clause)))
    clause.kwargs.update(session.storage(table))
    session.execute(CreateTable(clause))
    session.mark(clause, [columns[each].name for each in marked])
    if comment := session.capabilities.naming.comment("", name.table):
        session.comment(clause, comment)
    for column in table.columns:
        if comment := column_comment(session, column):
            session.comment(columns[column.name], comment)


def column_comment(session: Session, column: Column, old: StoredColumn | None = None) -> str | None:
    """The comment that tells what the column's stored name and type do not.

    Args:
        session: the transaction.
        column: the column.
        old: as it is stored so far; what else its comment says stays.
    """
    naming = session.capabilities.naming
    words = naming.words(old.name, old.comment) if old is not None else ""
    told_type = column.type if session.type_remark(column) else None
    return naming.comment(words, column.name, told_type)


def _key_name(session: Session, clause: sa.Table) -> quoted_name:
    return quoted_name(session.capabilities.naming.key(clause.name), quote=True)


@dataclass(frozen=True, slots=True)
class Alteration:
    """What is to change in a table, as AlterTable found it."""

    added: tuple[Column, ...]
    retyped: tuple[tuple[StoredColumn, Column], ...]
    stays: tuple[tuple[StoredColumn, Column], ...]
    """The columns that keep their types."""
    dropped: tuple[StoredColumn, ...]
    kept: tuple[StoredColumn, ...]
    """The columns that are not wanted, and that this project did not make."""
    key: tuple[Column, ...] | None
    """The new primary key; None if it stays."""
    left_key: tuple[StoredColumn, ...]

    def __str__(self) -> str:
        counts = {
            "added": len(self.added),
            "retyped": len(self.retyped),
            "dropped": len(self.dropped),
            "kept that this connector did not make": len(self.kept),
        }
        changes = [f"{count} columns {what}" for what, count in counts.items() if count]
        if self.key is not None:
            changes.append("another primary key")
        return ", ".join(changes) or "nothing to change"

    @classmethod
    def between(
        cls, stored: StoredTable, wanted: Table, droppable: Collection[str] | None
    ) -> Alteration:
        """What makes a table match the one wanted.

        Args:
            stored: the table, its columns called as the wanted one calls them.
            wanted: the table that is wanted.
            droppable: the columns that may be dropped where they are not wanted; None if all stay.
        """
        found = [(stored.find(column.name), column) for column in wanted.columns]
        pairs = [(old, column) for old, column in found if old is not None]
        unwanted = [
            column
            for column in stored.columns
            if droppable is not None and wanted.column(column.column.name) is None
        ]
        dropped = [column for column in unwanted if column.column.name in (droppable or ())]
        key_stays = stored.key == {column.name for column in wanted.key}
        return cls(
            added=tuple(column for old, column in found if old is None),
            retyped=tuple(pair for pair in pairs if _differs(pair[0].column, pair[1])),
            stays=tuple(pair for pair in pairs if not _differs(pair[0].column, pair[1])),
            dropped=tuple(dropped),
            kept=tuple(column for column in unwanted if column not in dropped),
            key=None if key_stays else wanted.key,
            left_key=tuple(
                column
                for column in stored.columns
                if column.column.name in stored.key - {key.name for key in wanted.key}
                and column not in dropped
            ),
        )


def alter(session: Session, schema: str, table: Table, *, drop_columns: bool) -> Alteration:
    """Make a table match the one wanted.

    Args:
        session: the transaction.
        schema: the table's schema.
        table: the table that is wanted.
        drop_columns: whether columns that it lacks are dropped; those that this project did not make
            stay.

    Raises:
        RequestError: if the table does not exist.
    """
    name = TableName(schema, table.name)
    require_distinct_columns(session, name, table)
    stored = session.lock_table(name).as_called_by(table)
    made_here = {column.column.name for column in stored.columns if column.made_here}
    alteration = Alteration.between(stored, table, made_here if drop_columns else None)
    apply(session, stored, alteration)
    return alteration


def apply(session: Session, stored: StoredTable, alteration: Alteration) -> None:
    """Carry an alteration out."""
    clause = stored.clause
    if alteration.key is not None and stored.key_constraint is not None:
        session.execute(DropConstraint(clause, stored.key_constraint))
    for left in alteration.left_key:
        session.execute(DropNotNull(clause, left.name))
    for dropped in alteration.dropped:
        with concerning(dropped.column.name):
            session.execute(DropColumn(clause, dropped.name))
    for column in alteration.added:
        add_column(session, stored, column)
    for old, column in alteration.retyped:
        _retype(session, stored, old, column)
    for old, column in (*alteration.retyped, *alteration.stays):
        _tell(session, stored, old, column)
    if alteration.key:
        key = tuple(session.name(column.name) for column in alteration.key)
        with concerning(*[column.name for column in alteration.key]):
            session.execute(AddPrimaryKey(clause, _key_name(session, clause), key))


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


def _retype(session: Session, stored: StoredTable, old: StoredColumn, column: Column) -> None:
    target = session.type_name(column)
    value = stored.clause.c[old.name]
    with concerning(column.name):
        if target != old.type_name:
            using = session.cast(value, old.type_name, target)
            session.execute(AlterColumnType(stored.clause, old.name, target, using))


def _tell(session: Session, stored: StoredTable, old: StoredColumn, column: Column) -> None:
    """Have a column's comment tell what its name and type do not, be it that it has never done so."""
    comment = column_comment(session, column, old)
    if comment != old.comment:
        session.comment(stored.clause.c[old.name], comment)


def truncate(
    session: Session, name: TableName, synced: str, before: datetime, deleted: str | None
) -> int:
    """Delete rows last synced before an instant, or mark them as deleted.

    Args:
        session: the transaction.
        name: the table; nothing happens if it does not exist.
        synced: the column that says when a row was synced.
        before: the instant; rows synced at it stay.
        deleted: the column to set to true instead of deleting.

    Returns:
        How many rows were deleted or marked.
    """
    session.lock(name)
    stored = session.find_table(name)
    if stored is None:
        return 0
    stored.require_every_row()
    old = stored[synced] < sa.literal(before, sa.DateTime(timezone=True))
    if deleted is None:
        return session.execute(sa.delete(stored.clause).where(old))
    unmarked = stored[deleted].is_distinct_from(sa.true())
    marked = {stored.get(deleted).name: sa.true()}
    return session.execute(sa.update(stored.clause).where(old, unmarked).values(marked))


@contextmanager
def concerning(*columns: str) -> Iterator[None]:
    """Note on an error of the warehouse which columns the statement was about."""
    try:
        yield
    except DBAPIError as error:
        error.add_note(" and ".join(f'column "{column}"' for column in columns))
        raise


def _differs(old: Column, new: Column) -> bool:
    if old.type is not new.type:
        return True
    if old.type is DataType.DECIMAL:
        return old.decimal != new.decimal
    longer = new.string_byte_length or 0
    return old.string_byte_length is not None and longer > old.string_byte_length


def require_distinct_columns(session: Session, name: TableName, table: Table) -> None:
    """Check that a request has columns, no two of which are stored as one.

    Raises:
        RequestError: if it has not.
    """
    if not table.columns:
        raise RequestError(f"{name} has no columns in the request")
    stored = [session.name(column.name) for column in table.columns]
    for column in table.columns:
        if stored.count(session.name(column.name)) > 1:
            raise RequestError(f'{name} has column "{column.name}" more than once in the request')
