"""Tables: described, created, altered, truncated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from destination.errors import RequestError
from destination.schema import (
    ACTIVE,
    END,
    MAX_PRECISION,
    MAX_SCALE,
    START,
    TEXT_TYPES,
    Column,
    DataType,
    Table,
)
from destination.warehouse.base import (
    Session,
    StoredColumn,
    StoredTable,
    TableName,
)
from destination.warehouse.ddl import (
    AddColumn,
    AddPrimaryKey,
    AlterColumnType,
    Conversion,
    DropColumn,
    DropConstraint,
    DropNotNull,
    NamedType,
)
from destination.warehouse.naming import comment_for

logger = logging.getLogger(__name__)

CLOSING_UNIT = sa.literal(timedelta(milliseconds=1), sa.Interval())
"""A version ends this long before the next one starts."""
NEUTRAL: dict[DataType, str] = {
    **dict.fromkeys(DataType, "0"),
    **dict.fromkeys((*TEXT_TYPES, DataType.BINARY), ""),
    DataType.BOOLEAN: "false",
    DataType.NAIVE_DATE: "1970-01-01",
    DataType.NAIVE_DATETIME: "1970-01-01 00:00:00",
    DataType.UTC_DATETIME: "1970-01-01 00:00:00+00",
    DataType.NAIVE_TIME: "00:00:00",
}
"""The value of each type that says least, as SQL writes it."""


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
    _require_distinct_columns(session, name, table)
    session.create_schema(schema)
    session.lock(name)
    if session.find_table(name) is not None:
        raise RequestError(f"{name} exists already: drop it, or re-sync into another schema")
    session.landed = lambda later: later.find_table(name) is not None
    create_as(session, name, table, {c.name: session.type_name(c) for c in table.columns})


def create_as(session: Session, name: TableName, table: Table, types: Mapping[str, str]) -> None:
    """Create a table whose columns have these types of the warehouse, by full names."""
    columns = {
        column.name: sa.Column(
            session.name(column.name),
            NamedType(types[column.name]),
            nullable=not column.primary_key,
        )
        for column in table.columns
    }
    clause = session.clause(name, columns.values())
    if table.key:
        key = [session.name(column.name) for column in table.key]
        clause.append_constraint(sa.PrimaryKeyConstraint(*key))
    clause.kwargs.update(session.storage(table))
    session.execute(CreateTable(clause))
    if comment := comment_for(name.table, clause.name):
        session.comment(clause, comment)
    for column in table.columns:
        if comment := column_comment(session, column):
            session.comment(columns[column.name], comment)


def column_comment(session: Session, column: Column) -> str | None:
    """The comment that keeps what the column's stored name and type do not tell."""
    remarked = column.type if session.type_remark(column) else None
    return comment_for(column.name, session.name(column.name), remarked)


@dataclass(frozen=True, slots=True)
class Alteration:
    """What is to change in a table, as AlterTable found it."""

    added: tuple[Column, ...]
    retyped: tuple[tuple[StoredColumn, Column], ...]
    dropped: tuple[StoredColumn, ...]
    key: tuple[Column, ...] | None
    """The new primary key; None if it stays."""
    left_key: tuple[StoredColumn, ...]

    def __str__(self) -> str:
        counts = {
            "added": len(self.added),
            "retyped": len(self.retyped),
            "dropped": len(self.dropped),
        }
        changes = [f"{count} columns {what}" for what, count in counts.items() if count]
        if self.key is not None:
            changes.append("another primary key")
        return ", ".join(changes) or "nothing to change"

    @classmethod
    def between(cls, stored: StoredTable, wanted: Table, *, drop_columns: bool) -> Alteration:
        """What makes a table match the one wanted."""
        pairs = [(stored.find(column.name), column) for column in wanted.columns]
        dropped = tuple(
            column
            for column in stored.columns
            if drop_columns and wanted.column(column.column.name) is None
        )
        key_stays = stored.key == {column.name for column in wanted.key}
        return cls(
            added=tuple(column for old, column in pairs if old is None),
            retyped=tuple(
                (old, column) for old, column in pairs if old and _differs(old.column, column)
            ),
            dropped=dropped,
            key=None if key_stays else wanted.key,
            left_key=tuple(
                column
                for column in stored.columns
                if column.column.name in stored.key - {key.name for key in wanted.key}
                and column not in dropped
            ),
        )


def alter(session: Session, schema: str, table: Table, *, drop_columns: bool) -> Alteration:
    """Make a table match the one wanted; columns are dropped only if asked for.

    Raises:
        RequestError: if the table does not exist.
    """
    name = TableName(schema, table.name)
    _require_distinct_columns(session, name, table)
    stored = session.lock_table(name)
    alteration = Alteration.between(stored, table, drop_columns=drop_columns)
    apply(session, stored, alteration)
    return alteration


def apply(session: Session, stored: StoredTable, alteration: Alteration) -> None:
    """Carry an alteration out.

    Raises:
        RequestError: if rows would share a key.
    """
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
    if alteration.key:
        _fill_new_key(session, stored, alteration)
        _add_key(session, stored, alteration.key)


def _fill_new_key(session: Session, stored: StoredTable, alteration: Alteration) -> None:
    """Give the rows that are there a value in the columns that are new and part of the key."""
    new = [column for column in alteration.added if column in (alteration.key or ())]
    if not new or is_empty(session, stored):
        return
    table = session.get_table(stored.name)
    values = {table.get(column.name).name: _neutral(table.get(column.name)) for column in new}
    count = session.execute(sa.update(table.clause).values(values))
    names = ", ".join(f'"{column.name}"' for column in new)
    logger.info(
        "%s: %d rows took the neutral value of their type in new columns of the key: %s",
        stored.name, count, names,
    )  # fmt: skip


def _neutral(stored: StoredColumn) -> sa.ColumnElement[Any]:
    """The value of a key's column where nothing is known of it."""
    text = sa.literal(NEUTRAL[stored.column.type], sa.Text())
    return sa.cast(text, NamedType(stored.type_name))


def _add_key(session: Session, stored: StoredTable, columns: tuple[Column, ...]) -> None:
    key = tuple(session.name(column.name) for column in columns)
    adding = AddPrimaryKey(stored.clause, key)
    with concerning(*[column.name for column in columns]):
        if session.unless_duplicate(lambda: session.execute(adding)) is None:
            names = ", ".join(f'"{column.name}"' for column in columns)
            raise RequestError(
                f"{stored.name}: rows that are there would share a primary key of ({names}): drop "
                f"the table and re-sync it"
            )


def is_empty(session: Session, target: StoredTable) -> bool:
    """Whether a table has no rows."""
    row = sa.select(sa.literal(1)).select_from(target.clause)
    return not session.scalar(sa.select(sa.exists(row)))


def add_column(
    session: Session, stored: StoredTable, column: Column, type_name: str | None = None
) -> None:
    """Add a column, NULL in every row.

    Args:
        session: the transaction.
        stored: the table.
        column: the column.
        type_name: its type in the warehouse, if it is not the one for columns of its type.
    """
    kind = NamedType(type_name or session.type_name(column))
    new = sa.Column(session.name(column.name), kind)
    clause = session.clause(stored.name, [new])
    with concerning(column.name):
        session.execute(AddColumn(clause, new))
    if comment := column_comment(session, column):
        session.comment(new, comment)


def _retype(session: Session, stored: StoredTable, old: StoredColumn, column: Column) -> None:
    value = stored.clause.c[old.name]
    if session.type_name(column) != old.type_name:
        conversion = session.conversion(value, old, column)
        with concerning(column.name):
            column = _surviving(session, stored, old, column, conversion)
            target = session.type_name(column)
            if target != old.type_name:
                using = conversion.value
                session.execute(AlterColumnType(stored.clause, old.name, target, using))
    if old.column.type is not column.type:
        session.comment(value, column_comment(session, column))


def _surviving(
    session: Session,
    stored: StoredTable,
    old: StoredColumn,
    column: Column,
    conversion: Conversion,
) -> Column:
    """The column as all values survive in it: a DECIMAL becomes as wide as they need.

    Raises:
        RequestError: if some do not survive.
    """
    if conversion.total and column.decimal is None:
        return column
    session.keep_writers_out(stored.clause)
    value = conversion.value
    lost = sa.func.count(stored.clause.c[old.name]).filter(value.is_(None))
    count = session.scalar(sa.select(lost).select_from(stored.clause))
    if count:
        raise RequestError(
            f'{stored.name}, column "{column.name}": {count} values do not survive the change from '
            f"{old.column.type.value} to {column.type.value}: correct them in the table, or drop "
            f"the table and re-sync it"
        )
    if column.decimal is None:
        return column
    largest = session.scalar(sa.select(sa.func.max(sa.func.abs(value))))
    scale = session.scalar(sa.select(sa.func.max(session.fraction_digits(value))))
    decimal = column.decimal.holding(largest or Decimal(), scale or 0)
    if decimal == column.decimal:
        return column
    if decimal.precision > MAX_PRECISION or decimal.scale > MAX_SCALE:
        raise RequestError(
            f'{stored.name}, column "{column.name}": its values need a DECIMAL of '
            f"{decimal.precision} digits, {decimal.scale} of them behind the point, more than there "
            f"is: correct them in the table, or drop the table and re-sync it"
        )
    logger.info(
        '%s: column "%s" becomes %s, since its values need more digits than %s',
        stored.name, column.name, decimal, column.decimal,
    )  # fmt: skip
    return replace(column, decimal=decimal)


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
        closing = (
            sa.update(stored.clause).where(old, stored[ACTIVE]).values(closed(stored, instant))
        )
        return session.execute(closing)
    unmarked = stored[deleted].is_distinct_from(sa.true())
    marked = {stored.get(deleted).name: sa.true()}
    return session.execute(sa.update(stored.clause).where(old, unmarked).values(marked))


def closed(stored: StoredTable, start: sa.ColumnElement[Any]) -> dict[str, Any]:
    """What closes a version before another one starts."""
    return {
        stored.get(ACTIVE).name: sa.false(),
        stored.get(END).name: start - CLOSING_UNIT,
    }


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


def _require_distinct_columns(session: Session, name: TableName, table: Table) -> None:
    if not table.columns:
        raise RequestError(f"{name} has no columns in the request")
    stored = [session.name(column.name) for column in table.columns]
    for column in table.columns:
        if stored.count(session.name(column.name)) > 1:
            raise RequestError(f'{name} has column "{column.name}" more than once in the request')
