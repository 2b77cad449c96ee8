"""Statements about the rows of batch files: staged ones, or those that the statement carries.

Each is made by a pure function of its arguments, so that it can be cached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from destination.schema import ACTIVE, END, START, Table
from destination.warehouse.base import Session
from destination.warehouse.naming import Alias
from destination.warehouse.staging import Values, same_key, stored_columns
from destination.warehouse.stored import StoredColumn, StoredTable
from destination.warehouse.tables import closed

OPEN_END = datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)
"""The end of an active version."""
OPEN: Values = {END: sa.literal(OPEN_END, sa.DateTime(timezone=True)), ACTIVE: sa.true()}
"""End and active flag of a version that says neither: they are never taken from an earlier version."""
FOLLOWING = "following"


class Rows(Protocol):
    """The rows of batch files, as expressions; see `Staged`."""

    @property
    def clause(self) -> sa.FromClause: ...
    @property
    def columns(self) -> tuple[StoredColumn, ...]: ...
    @property
    def values(self) -> Values: ...
    @property
    def modified(self) -> dict[str, sa.ColumnElement[bool]]: ...
    @property
    def ordinal(self) -> sa.ColumnElement[Any]: ...


def inserting(_session: Session, rows: Rows, target: StoredTable) -> sa.Executable:
    """Insert rows."""
    names = [column.name for column in rows.columns]
    return sa.insert(target.clause).from_select(names, sa.select(*rows.values.values()))


def last_rows(session: Session, rows: Rows, key: Sequence[str]) -> sa.Select[Any]:
    """The last row of each key."""
    keys = [rows.values[name] for name in key]
    return session.last_rows(list(rows.values.values()), keys, rows.ordinal)


def upserting(
    session: Session, rows: Rows, target: StoredTable, key: Sequence[str]
) -> sa.Executable:
    """Insert rows, or update those of the same key; of several rows with one key, the last is taken."""
    stored_key = [target.get(name).name for name in key]
    names = [column.name for column in rows.columns]
    return session.upsert(target.clause, last_rows(session, rows, key), names, stored_key)


def updating(
    _session: Session, rows: Rows, target: StoredTable, key: Sequence[str]
) -> sa.Executable:
    """Apply partial rows, no two of one key."""
    changed = {
        target.get(name).name: sa.case((rows.modified[name], value), else_=target[name])
        for name, value in rows.values.items()
        if name not in key
    }
    return sa.update(target.clause).values(changed).where(*same_key(target, key, rows.values))


def deleting(
    _session: Session, rows: Rows, target: StoredTable, key: Sequence[str]
) -> sa.Executable:
    """Delete the rows of these keys."""
    return sa.delete(target.clause).where(*same_key(target, key, rows.values))


def forgetting_later(
    _session: Session, rows: Rows, target: StoredTable, record: Sequence[str]
) -> sa.Executable:
    """Delete the versions that start at their record's earliest start or later."""
    starts, of_record = earliest(rows, target, record)
    return sa.delete(target.clause).where(*of_record, target[START] >= starts.c.start)


def closing_earlier(
    session: Session, rows: Rows, target: StoredTable, record: Sequence[str]
) -> sa.Executable:
    """Close the versions that reach their record's earliest start."""
    starts, of_record = earliest(rows, target, record)
    reaching = sa.or_(target[ACTIVE], target[END] >= starts.c.start)
    closing = sa.update(target.clause).where(*of_record, reaching)
    return closing.values(closed(session, target, starts.c.start))


def earliest(
    rows: Rows, target: StoredTable, record: Sequence[str]
) -> tuple[sa.Subquery, list[sa.ColumnElement[bool]]]:
    """Each record's earliest start, and the condition that a version is of that record."""
    keys = [rows.values[name].label(f"k{i}") for i, name in enumerate(record)]
    start = sa.func.min(rows.values[START]).label("start")
    grouping = [rows.values[name] for name in record]
    starts = sa.select(*keys, start).group_by(*grouping).subquery(Alias.EARLIEST)
    values: Values = {name: starts.c[f"k{i}"] for i, name in enumerate(record)}
    return starts, same_key(target, record, values)


def closing_overtaken(
    session: Session, rows: Rows | None, target: StoredTable, record: Sequence[str]
) -> sa.Executable:
    """Close the versions before a record's latest that still reach the next one.

    Args:
        session: the transaction.
        rows: of the records to look at; None for all records.
        target: the table.
        record: the full names of the record key's columns.
    """
    each = target.clause.alias(Alias.FOLLOWED)
    keys = [each.c[target.get(name).name] for name in record]
    start = each.c[target.get(START).name]
    following = sa.func.lead(start).over(partition_by=keys, order_by=start)
    versions = sa.select(*keys, start, following.label(FOLLOWING))
    if rows is not None:
        values = [rows.values[name] for name in record]
        # A query of its own, since a cluster joins its tables with others only in FROM.
        records = sa.select(*values).select_from(rows.clause).subquery(Alias.RECORDS)
        same = [key == value for key, value in zip(keys, records.c, strict=True)]
        versions = versions.where(
            sa.exists(sa.select(sa.literal(1)).select_from(records).where(*same))
        )
    found = versions.subquery(Alias.OVERTAKEN)
    after = found.c[FOLLOWING]
    itself = [target[name] == found.c[target.get(name).name] for name in (*record, START)]
    reaching = sa.or_(target[ACTIVE], target[END] >= after)
    closing = sa.update(target.clause).values(closed(session, target, after))
    return closing.where(*itself, after.is_not(None), reaching)


def completing(
    session: Session,
    rows: Rows,
    target: StoredTable,
    table: Table,
    key: Sequence[str],
    record: Sequence[str],
) -> sa.Executable:
    """Merge partial versions, no two of one record, each completed from the version before it."""
    columns = stored_columns(target, table.columns)
    complete = completed(rows, columns, *preceding(session, rows, target, record))
    names, stored_key = [c.name for c in columns], [target.get(name).name for name in key]
    return session.upsert(target.clause, complete, names, stored_key)


def completed(
    rows: Rows,
    columns: Sequence[StoredColumn],
    base: sa.FromClause,
    on: sa.ColumnElement[bool],
    inherited: Mapping[str, sa.ColumnElement[bool]] | None = None,
) -> sa.Select[Any]:
    """Partial versions, no two of one key, completed from versions that the table has.

    Args:
        rows: the partial versions.
        columns: those of the complete versions.
        base: the versions in the table.
        on: whether a version in the table is the one to complete from.
        inherited: which values are not those of the version in the table, if some were taken from
            other partial versions.
    """
    modified = rows.modified if inherited is None else inherited

    def value(column: StoredColumn) -> sa.ColumnElement[Any]:
        name = column.column.name
        unmodified = OPEN.get(name, base.c[column.name])
        if name not in rows.values:
            return unmodified
        own = rows.modified if name in OPEN else modified
        return sa.case((own[name], rows.values[name]), else_=unmodified)

    return sa.select(*map(value, columns)).select_from(rows.clause.join(base, on))


def preceding(
    session: Session, rows: Rows, target: StoredTable, record: Sequence[str]
) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
    """Of each partial version, the latest version in the table that starts before it.

    See `Session.preceding`.
    """
    same = {target.get(name).name: rows.values[name] for name in record}
    start = target.get(START).name, rows.values[START]
    return session.preceding(rows.clause, target.clause, same, start)


def ending(
    _session: Session, rows: Rows, target: StoredTable, record: Sequence[str]
) -> sa.Executable:
    """Close the active versions of records, no two rows of one record."""
    return _ending_at(rows.values, target, record)


def ending_at_first(
    session: Session, rows: Rows, target: StoredTable, record: Sequence[str]
) -> sa.Executable:
    """Close the active versions of records, each by its first row."""
    labels = {name: f"e{i}" for i, name in enumerate((*record, END))}
    columns = [rows.values[name].label(label) for name, label in labels.items()]
    keys = [rows.values[name] for name in record]
    first = session.last_rows(columns, keys, -rows.ordinal).subquery(Alias.ENDS)
    return _ending_at({name: first.c[label] for name, label in labels.items()}, target, record)


def _ending_at(ends: Values, target: StoredTable, record: Sequence[str]) -> sa.Executable:
    """Close the active versions of records at their ends."""
    closing = {target.get(ACTIVE).name: sa.false(), target.get(END).name: ends[END]}
    same = same_key(target, record, ends)
    return sa.update(target.clause).where(*same, target[ACTIVE]).values(closing)
