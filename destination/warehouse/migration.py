"""Migrations of tables and columns that leave history and keys as they must be.

Each is safe to send again: what an earlier run has done is success, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import DropTable

from destination.errors import BatchFileError, RequestError
from destination.rows import RowSource
from destination.schema import ACTIVE, DELETED, END, START, SYNCED, Column, DataType, record_key
from destination.warehouse import altering, tables
from destination.warehouse.base import Session
from destination.warehouse.comparing import hold_the_same
from destination.warehouse.ddl import NamedType, RenameColumn, RenameTable
from destination.warehouse.merging import merge_rows
from destination.warehouse.naming import Alias
from destination.warehouse.staging import Values, stage
from destination.warehouse.statements import OPEN_END
from destination.warehouse.stored import StoredTable, TableName
from destination.warehouse.tables import closed, is_empty

RequestValue = Callable[[Column, str], RowSource]
"""A value of the request, read as a column's type; see `Traits.unstorable`."""

INSTANT = sa.DateTime(timezone=True)
MINIMUM = datetime(1, 1, 1, tzinfo=UTC)
"""Start and end of what was deleted before there was a history."""
HISTORY_COLUMNS = (
    Column(START, DataType.UTC_DATETIME),
    Column(END, DataType.UTC_DATETIME),
    Column(ACTIVE, DataType.BOOLEAN),
)


def drop_table(session: Session, name: TableName, *, wanted: bool) -> None:
    """Drop a table, if that is wanted and it is there."""
    if not wanted:
        return
    session.lock(name)
    stored = session.find_table(name)
    if stored is not None:
        session.execute(DropTable(stored.clause))


def rename_table(session: Session, source: TableName, target: TableName) -> None:
    """Give a table another name."""
    stored = _source_of(session, source, target)
    if stored is None:
        return
    session.require_free_name(target)
    session.execute(RenameTable(stored.clause, session.name(target.table)))
    naming = session.traits.naming
    comment = naming.comment(naming.words(stored.clause.name, stored.comment), target.table)
    if comment != stored.comment:
        session.comment(session.clause(target), comment)


def copy_table(session: Session, source: TableName, target: TableName) -> None:
    """Make a table with the columns, types, key and rows of another."""
    _lock_both(session, source, target)
    stored = session.get_table(source)
    existing = session.find_table(target)
    if existing is None:
        _copy(session, stored, target)
        return
    existing = existing.as_called_by(stored.table)
    same = replace(existing.table, name=source.table) == stored.table
    names = stored.table.column_names
    if not same or not hold_the_same(session, stored, existing, {n: stored[n] for n in names}):
        raise RequestError(f"{target} exists already, and is no copy of {source}: drop it")


def _source_of(session: Session, source: TableName, target: TableName) -> StoredTable | None:
    """The table to rename; None if an earlier run has done so."""
    _lock_both(session, source, target)
    stored, existing = session.find_table(source), session.find_table(target)
    if stored is None and existing is None:
        raise RequestError(f"{source} does not exist: re-sync the table")
    if stored is not None and existing is not None:
        raise RequestError(f"{target} exists already: drop it, then retry")
    return stored


def _copy(session: Session, stored: StoredTable, target: TableName) -> None:
    types = {column.column.name: stored.clause.c[column.name].type for column in stored.columns}
    marked = [column.column.name for column in stored.columns if column.made_here]
    tables.create_as(session, target, stored.table, types, marked)
    names = [column.name for column in stored.columns]
    rows = sa.select(*[stored.clause.c[name] for name in names])
    copy = session.get_table(target)
    session.execute(sa.insert(copy.clause).from_select(names, rows))


def rename_column(session: Session, name: TableName, source: str, target: str) -> None:
    """Give a column another name."""
    stored = session.lock_table(name)
    column, existing = stored.find(source), stored.find(target)
    if column is None and existing is not None:
        return
    if existing is not None:
        raise RequestError(f'{name} has a column "{target}" already: drop it, then retry')
    column = stored.get(source)
    renamed = replace(column.column, name=target)
    with tables.concerning(source):
        session.execute(RenameColumn(stored.clause, column.name, session.name(target)))
    new = sa.Column(session.name(target), stored[source].type)
    clause = session.clause(name, [new])
    if column.made_here:
        session.mark(clause, [new.name])
    comment = tables.column_comment(session, renamed, column)
    if comment != column.comment:
        session.comment(new, comment)


def copy_column(session: Session, name: TableName, source: str, target: str) -> None:
    """Add a column with the type and the values of another."""
    stored = session.lock_table(name)
    column, existing = stored.get(source), stored.find(target)
    if existing is not None:
        one, other = (sa.cast(stored[each], sa.Text) for each in (source, target))
        differ = sa.select(sa.literal(1)).where(one.is_distinct_from(other))
        if existing.type_name != column.type_name or session.finds(differ):
            raise RequestError(f'{name} has another column "{target}" already: drop it, then retry')
        return
    copied = replace(column.column, name=target, primary_key=False)
    tables.add_column(session, stored, copied, stored[source].type)
    wider = session.get_table(name)
    session.execute(sa.update(wider.clause).values({wider.get(target).name: wider[source]}))


def add_column_with_default_value(
    session: Session, name: TableName, column: Column, default: RequestValue
) -> None:
    """Add a column if it is missing, and fill it in every row."""
    stored = _with_column(session, session.lock_table(name), column)
    _fill(session, stored, column.name, default)


def update_column_value(
    session: Session, name: TableName, column: str, value: RequestValue
) -> None:
    """Set a column in every row."""
    _fill(session, session.lock_table(name), column, value)


def add_column_in_history_mode(
    session: Session, name: TableName, column: Column, default: RequestValue, time: RequestValue
) -> None:
    """Add a column whose value, from an instant on, is a default: in new versions of active records.

    Raises:
        RequestError: if a version that is active starts after that instant.
    """
    stored = session.lock_table(name)
    stored.require_history_mode()
    empty = is_empty(session, stored)
    instant = None if empty else _instant(session, stored, time)
    stored = _with_column(session, stored, column)
    if instant is not None:
        value = _value(session, stored, column.name, default)
        _change_from(session, stored, column.name, value, instant, sa.true())


def drop_column_in_history_mode(
    session: Session, name: TableName, column: str, time: RequestValue
) -> None:
    """Set a column to NULL from an instant on, in new versions of the active records that have it.

    Raises:
        RequestError: if a version that is active starts after that instant.
    """
    stored = session.lock_table(name)
    stored.require_history_mode()
    holds = stored[column].is_not(None)
    if not is_empty(session, stored):
        instant = _instant(session, stored, time)
        _change_from(session, stored, column, sa.null(), instant, holds)


def _change_from(
    session: Session,
    stored: StoredTable,
    column: str,
    value: sa.ColumnElement[Any],
    instant: sa.ColumnElement[Any],
    where: sa.ColumnElement[bool],
) -> None:
    """Change a column in active versions from an instant on, keeping what was before as a version."""
    changed = {stored.get(column).name: value}
    at = stored[START] == instant
    session.execute(sa.update(stored.clause).where(at, where).values(changed))
    active = sa.and_(stored[ACTIVE], stored[START] < instant, where)
    new: dict[str, Any] = {
        **changed,
        stored.get(START).name: instant,
        stored.get(END).name: sa.literal(OPEN_END, INSTANT),
        stored.get(ACTIVE).name: sa.true(),
    }
    names = [each.name for each in stored.columns if not each.generated]
    source: sa.FromClause = stored.clause
    for table in {each.table for each in (value, instant) if isinstance(each, sa.Column)}:
        source = source.join(table, sa.true())
    versions = sa.select(*[new.get(name, stored.clause.c[name]) for name in names])
    versions = versions.select_from(source).where(active)
    merge_rows(session, stored, stored.table.key_names, versions, names)
    session.execute(sa.update(stored.clause).where(active).values(closed(session, stored, instant)))


def copy_table_to_history_mode(
    session: Session, source: TableName, target: TableName, deleted: str | None
) -> None:
    """Make a table in history mode of a table that is not."""
    _lock_both(session, source, target)
    stored = session.get_table(source)
    existing = session.find_table(target)
    if existing is None:
        # First, since a cluster makes no table once it has read all of another.
        _copy(session, stored, target)
        _require_records(session, stored)
        _to_history(session, session.get_table(target), deleted)
        return
    _require_records(session, stored)
    versions = _first_versions(session, stored, deleted)
    existing = existing.as_called_by(stored.table)
    same = START in existing.key and set(existing.table.column_names) == set(versions)
    if not same or not hold_the_same(session, stored, existing, versions):
        raise RequestError(
            f"{target} exists already, and is no copy of {source} in history mode: drop it"
        )


def soft_delete_to_history(session: Session, name: TableName, deleted: str | None) -> None:
    """Turn each row of a table into the first version of its record."""
    stored = session.lock_table(name)
    if START not in stored.key:
        _require_records(session, stored)
        _to_history(session, stored, deleted)


def _require_records(session: Session, stored: StoredTable) -> None:
    """Check that a table's rows can be the first versions of records.

    Raises:
        RequestError: if nothing tells records apart, or says since when they are there.
    """
    if not stored.key:
        raise RequestError(
            f"{stored.name} has no primary key, so it cannot keep the versions of its rows: re-sync "
            f"the table in history mode"
        )
    synced = sa.select(sa.func.max(stored[SYNCED]))
    if not is_empty(session, stored) and session.scalar(synced) is None:
        raise RequestError(
            f'{stored.name} has no value in column "{SYNCED}", so it is not known since when its '
            f"rows hold: re-sync the table in history mode"
        )


def _first_versions(session: Session, stored: StoredTable, deleted: str | None) -> Values:
    """What a table's rows hold as the first versions of their records.

    Args:
        session: the transaction.
        stored: the table.
        deleted: the column that says which rows are deleted; where the table lacks it, none is.
    """
    # Its text, since the driver has no date-times after the year 9999.
    latest = session.scalar(sa.select(sa.cast(sa.func.max(stored[SYNCED]), sa.Text)))
    synced = sa.literal(latest, NamedType(stored.get(SYNCED).type_name))
    flag = stored.find(deleted) if deleted else None
    is_deleted: sa.ColumnElement[bool] = sa.false()
    if flag is not None:
        value = stored.clause.c[flag.name]
        as_flag = session.conversion(value, flag, Column(DELETED, DataType.BOOLEAN))
        is_deleted = sa.func.coalesce(as_flag.value, sa.false())
    minimum, open_end = (sa.literal(at, INSTANT) for at in (MINIMUM, OPEN_END))
    return {
        **{name: stored[name] for name in stored.table.without(DELETED).column_names},
        START: sa.case((is_deleted, minimum), else_=sa.cast(synced, INSTANT)),
        END: sa.case((is_deleted, minimum), else_=open_end),
        ACTIVE: sa.not_(is_deleted),
    }


def _to_history(session: Session, stored: StoredTable, deleted: str | None) -> None:
    for column in HISTORY_COLUMNS:
        if stored.find(column.name) is None:
            tables.add_column(session, stored, column)
    wider = session.get_table(stored.name)
    versions = _first_versions(session, wider, deleted)
    first = {wider.get(each.name).name: versions[each.name] for each in HISTORY_COLUMNS}
    session.execute(sa.update(wider.clause).values(first))
    wanted = wider.table.with_key({*wider.key, START}).without(DELETED)
    altering.apply(session, wider, altering.Alteration.between(wider, wanted, {DELETED}))


def history_to_soft_delete(session: Session, name: TableName, deleted: str | None) -> None:
    """Keep of each record its last version, marked as deleted unless it is active."""
    stored = session.lock_table(name)
    if stored.find(DELETED) is None:
        tables.add_column(session, stored, Column(DELETED, DataType.BOOLEAN))
        stored = session.get_table(name)
    marked = stored.get(deleted or DELETED)
    if START not in stored.key:
        return
    stored.require_history_mode()
    later = stored.clause.alias(Alias.LATER)
    record = [stored.get(each).name for each in record_key(stored.table.key_names)]
    same = [later.c[each] == stored.clause.c[each] for each in record]
    after = later.c[stored.get(START).name] > stored[START]
    outlived = sa.exists(sa.select(sa.literal(1)).select_from(later).where(*same, after))
    session.execute(sa.delete(stored.clause).where(outlived))
    active = sa.func.coalesce(stored[ACTIVE], sa.false())
    flags = {stored.get(DELETED).name: sa.false(), marked.name: sa.not_(active)}
    session.execute(sa.update(stored.clause).values(flags))
    history = [column.name for column in HISTORY_COLUMNS]
    wanted = stored.table.with_key(stored.key - {START}).without(*history)
    altering.apply(session, stored, altering.Alteration.between(stored, wanted, history))


def _lock_both(session: Session, source: TableName, target: TableName) -> None:
    """Lock two tables, always in the same order, so that two sessions cannot wait for each other."""
    for name in sorted((source, target), key=str):
        session.lock(name)


def _with_column(session: Session, stored: StoredTable, column: Column) -> StoredTable:
    """The table with a column, added if it is missing."""
    if stored.find(column.name) is not None:
        return stored
    tables.add_column(session, stored, column)
    return session.get_table(stored.name)


def _fill(session: Session, stored: StoredTable, column: str, requested: RequestValue) -> None:
    value = _value(session, stored, column, requested)
    values = {stored.get(column).name: value}
    with tables.concerning(column):
        session.execute(sa.update(stored.clause).values(values))


def _value(
    session: Session, stored: StoredTable, column: str, requested: RequestValue
) -> sa.ColumnElement[Any]:
    """A value of the request as one of a column, in a table of one row.

    It takes the way of the rows of a batch file.
    """
    source = requested(stored.get(column).column, session.traits.unstorable)
    try:
        (staged,) = stage(session, stored, [source])
    except BatchFileError as error:
        raise RequestError(f"the {source.name} is refused: {error.reason}") from error
    return staged.values[column]


def _instant(
    session: Session, stored: StoredTable, requested: RequestValue
) -> sa.ColumnElement[Any]:
    """The instant from which on a migration changes versions.

    Raises:
        RequestError: if a version that is active starts after it.
    """
    instant = _value(session, stored, START, requested)
    if session.finds(sa.select(sa.literal(1)).where(stored[ACTIVE], stored[START] > instant)):
        raise RequestError(
            f"{stored.name} has active versions that start after the migration's operation "
            f"timestamp: re-sync the table"
        )
    return instant
