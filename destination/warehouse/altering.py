"""AlterTable: a table is made to match the one that is wanted."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from destination.errors import RequestError
from destination.schema import (
    MAX_PRECISION,
    MAX_SCALE,
    NUMBER_TYPES,
    TEXT_TYPES,
    Column,
    DataType,
    Table,
)
from destination.warehouse.base import Session
from destination.warehouse.ddl import (
    AddPrimaryKey,
    Conversion,
    DropColumn,
    DropConstraint,
    DropNotNull,
    NamedType,
)
from destination.warehouse.stored import StoredColumn, StoredTable, TableName
from destination.warehouse.tables import (
    add_column,
    column_comment,
    concerning,
    is_empty,
    key_name,
    require_distinct_columns,
)

logger = logging.getLogger(__name__)

NEUTRAL: dict[DataType, str] = {
    **dict.fromkeys(NUMBER_TYPES, "0"),
    **dict.fromkeys((*TEXT_TYPES, DataType.BINARY), ""),
    DataType.JSON: "{}",
    DataType.BOOLEAN: "false",
    DataType.NAIVE_DATE: "1970-01-01",
    DataType.NAIVE_DATETIME: "1970-01-01 00:00:00",
    DataType.UTC_DATETIME: "1970-01-01 00:00:00+00",
    DataType.NAIVE_TIME: "00:00:00",
}
"""The neutral value of each type, as SQL writes it."""


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


def alter(session: Session, name: TableName, table: Table, *, drop_columns: bool) -> Alteration:
    """Make a table match the one wanted.

    Args:
        session: the transaction.
        name: the table's.
        table: the table that is wanted.
        drop_columns: whether columns that it lacks are dropped; those that this project did not make
            stay.

    Raises:
        RequestError: if the table does not exist.
    """
    require_distinct_columns(session, name, table)
    stored = session.lock_table(name).as_called_by(table)
    made_here = {column.column.name for column in stored.columns if column.made_here}
    alteration = Alteration.between(stored, table, made_here if drop_columns else None)
    apply(session, stored, alteration)
    return alteration


def apply(session: Session, stored: StoredTable, alteration: Alteration) -> None:
    """Carry an alteration out.

    Raises:
        RequestError: if rows would share a key.
    """
    retyped = [old for old, new in alteration.retyped if session.type_name(new) != old.type_name]
    with session.reshaping(stored, [*alteration.dropped, *retyped], alteration.key):
        _apply(session, stored, alteration)


def _apply(session: Session, stored: StoredTable, alteration: Alteration) -> None:
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
        _remark(session, stored, old, column)
    if alteration.key:
        _fill_new_key(session, stored, alteration)
        _add_key(session, stored, alteration.key)


def _fill_new_key(session: Session, stored: StoredTable, alteration: Alteration) -> None:
    """Fill new columns of the key in existing rows."""
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
    """The neutral value of a column."""
    text = sa.literal(NEUTRAL[stored.column.type], sa.Text())
    return sa.cast(text, NamedType(stored.type_name))


def _add_key(session: Session, stored: StoredTable, columns: tuple[Column, ...]) -> None:
    key = tuple(session.name(column.name) for column in columns)
    adding = AddPrimaryKey(stored.clause, key_name(session, stored.clause), key)
    with concerning(*[column.name for column in columns]):
        if session.unless_duplicate(lambda: session.execute(adding)) is None:
            names = ", ".join(f'"{column.name}"' for column in columns)
            raise RequestError(
                f"{stored.name}: rows that are there would share a primary key of ({names}): drop "
                f"the table and re-sync it"
            )


def _retype(session: Session, stored: StoredTable, old: StoredColumn, column: Column) -> None:
    value = stored.clause.c[old.name]
    if session.type_name(column) == old.type_name:
        return
    conversion = session.conversion(value, old, column)
    with concerning(column.name):
        column = _surviving(session, stored, old, column, conversion)
        target = session.type_name(column)
        if target != old.type_name:
            session.change_type(value, target, conversion.value)


def _remark(session: Session, stored: StoredTable, old: StoredColumn, column: Column) -> None:
    """Write into a column's comment what its stored name and type do not show."""
    comment = column_comment(session, column, old)
    if comment != old.comment:
        session.comment(stored.clause.c[old.name], comment)


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
            f"{decimal.precision} digits, {decimal.scale} of them after the decimal point, more than "
            f"there is: correct them in the table, or drop the table and re-sync it"
        )
    logger.info(
        '%s: column "%s" becomes %s, since its values need more digits than %s',
        stored.name, column.name, decimal, column.decimal,
    )  # fmt: skip
    return replace(column, decimal=decimal)


def _differs(old: Column, new: Column) -> bool:
    if old.type is not new.type:
        return True
    if old.type is DataType.DECIMAL:
        return old.decimal != new.decimal
    longer = new.string_byte_length or 0
    return old.string_byte_length is not None and longer > old.string_byte_length
