"""History: the files of a WriteHistoryBatch request applied to a table that keeps every version.

A version of a record is a row; its key is the record's key and the instant it starts. Versions of a
record never overlap, and at most one of them is active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from datetime import UTC, datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from destination.errors import RequestError
from destination.rows import RowSource
from destination.schema import ACTIVE, END, START, Table
from destination.warehouse.base import Session
from destination.warehouse.chains import (
    BASE,
    FLAGS,
    Changes,
    folded,
    inherit,
    link,
    modified_by,
)
from destination.warehouse.loading import key_of, merge_rows, replace
from destination.warehouse.naming import Alias
from destination.warehouse.parts import ORDINAL
from destination.warehouse.staging import (
    Staged,
    Values,
    analyze,
    has_duplicates,
    same_key,
    stage,
    stage_partial,
)
from destination.warehouse.stored import StoredTable, TableName
from destination.warehouse.tables import closed, require_distinct_columns

OPEN_END = datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)
"""The end of an active version."""
OPEN: Values = {END: sa.literal(OPEN_END, sa.DateTime(timezone=True)), ACTIVE: sa.true()}
"""What holds of a version that does not say how long it holds: no earlier one tells."""

FOLLOWING = "following"


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    """The files of one request, in the order in which they apply."""

    earliest_start: Sequence[RowSource]
    replace: Sequence[RowSource]
    update: Sequence[RowSource]
    delete: Sequence[RowSource]


@dataclass(frozen=True, slots=True)
class HistoryLoaded:
    """How many rows the files of each kind held."""

    started: int
    replaced: int
    updated: int
    deleted: int

    def __str__(self) -> str:
        return (
            f"{self.started} records from their earliest start, {self.replaced} versions replaced, "
            f"{self.updated} updated, {self.deleted} records deleted"
        )


def write_history_batch(
    session: Session, schema: str, table: Table, batch: HistoryBatch
) -> HistoryLoaded:
    """Apply earliest start, replace, update and delete files to a table in history mode.

    Raises:
        RequestError: if the table in the warehouse does not match the request.
        BatchFileError: if a file cannot be read.
    """
    name = TableName(schema, table.name)
    require_distinct_columns(session, name, table)
    target = session.lock_table(name).as_called_by(table)
    key = key_of(target, table)
    require_history_mode(target)
    record = record_key(key)
    close = partial(_close_overtaken, session, target, record)
    replaced = {} if batch.earliest_start else {"then": close}
    return HistoryLoaded(
        started=_start_over(session, target, record, batch.earliest_start),
        replaced=replace(session, target, key, batch.replace, **replaced),
        updated=_update(session, target, table, key, batch),
        deleted=_delete(session, target, record, batch.delete),
    )


def record_key(key: Sequence[str]) -> tuple[str, ...]:
    """What of a table's key tells records apart, and not their versions."""
    return tuple(name for name in key if name != START)


def require_history_mode(target: StoredTable) -> None:
    """Check that a table keeps versions, and that something tells its records apart.

    Raises:
        RequestError: if not.
    """
    if START not in target.key or target.find(END) is None or target.find(ACTIVE) is None:
        raise RequestError(f"{target.name} is not in history mode: re-sync the table")
    if target.key == {START}:
        raise RequestError(
            f'{target.name} has no column in its primary key but "{START}", so its records cannot be '
            f"told apart: re-sync the table"
        )


def _start_over(
    session: Session, target: StoredTable, record: Sequence[str], sources: Sequence[RowSource]
) -> int:
    """Forget of each record what starts at its earliest start or later, and close what is before."""
    count = 0
    for staged in stage(session, target, sources):
        analyze(session, staged)
        keys = [staged.values[name].label(f"k{i}") for i, name in enumerate(record)]
        start = sa.func.min(staged.values[START]).label("start")
        grouping = [staged.values[name] for name in record]
        earliest = sa.select(*keys, start).group_by(*grouping).subquery(Alias.EARLIEST)
        same = same_key(
            target, record, {name: earliest.c[f"k{i}"] for i, name in enumerate(record)}
        )
        later = target[START] >= earliest.c.start
        if _is_any(session, target, earliest, [*same, later]):
            session.execute(sa.delete(target.clause).where(*same, later))
        reaching = sa.or_(target[ACTIVE], target[END] >= earliest.c.start)
        closing = closed(target, earliest.c.start)
        session.execute(sa.update(target.clause).where(*same, reaching).values(closing))
        count += staged.count
    return count


def _close_overtaken(
    session: Session, target: StoredTable, record: Sequence[str], staged: Staged | None
) -> None:
    """Close the versions before a record's latest that still reach the next one.

    Args:
        session: the transaction.
        target: the table.
        record: the full names of the record key's columns.
        staged: rows of the records to look at; None for all records.
    """
    each = target.clause.alias(Alias.FOLLOWED)
    keys = [each.c[target.get(name).name] for name in record]
    start = each.c[target.get(START).name]
    following = sa.func.lead(start).over(partition_by=keys, order_by=start)
    versions = sa.select(*keys, start, following.label(FOLLOWING))
    if staged is not None:
        analyze(session, staged)
        same = [key == staged.values[name] for key, name in zip(keys, record, strict=True)]
        versions = versions.where(
            sa.exists(sa.select(sa.literal(1)).select_from(staged.clause).where(*same))
        )
    found = versions.subquery(Alias.OVERTAKEN)
    after = found.c[FOLLOWING]
    itself = [target[name] == found.c[target.get(name).name] for name in (*record, START)]
    reaching = sa.or_(target[ACTIVE], target[END] >= after)
    closing = sa.update(target.clause).values(closed(target, after))
    session.execute(closing.where(*itself, after.is_not(None), reaching))


def _is_any(
    session: Session,
    target: StoredTable,
    each: sa.FromClause,
    conditions: Sequence[sa.ColumnElement[bool]],
) -> bool:
    """Whether any version fulfils conditions on the key; found by the key's index alone."""
    version = sa.select(sa.literal(1)).select_from(target.clause).where(*conditions).limit(1)
    found = sa.select(sa.literal(1)).select_from(
        each.join(version.lateral(Alias.VERSION), sa.true())
    )
    return bool(session.scalar(sa.select(sa.exists(found))))


def _update(
    session: Session,
    target: StoredTable,
    table: Table,
    key: Sequence[str],
    batch: HistoryBatch,
) -> int:
    """Insert partial versions, completed from those that precede them."""
    if not batch.update:
        return 0
    staged = stage_partial(session, target, table, batch.update)
    analyze(session, staged)
    changes = folded(session, staged, key)
    record = record_key(key)
    if has_duplicates(session, staged, record):
        rows = _completed_in_chains(session, target, changes, staged, record)
    else:
        base = _preceding(target, record, changes)
        rows = _completed(changes, changes.modified, staged, base, sa.true())
    names = [column.name for column in staged.columns]
    insert = sa.insert(target.clause).from_select(names, rows)
    new = target.mergeable and session.unless_duplicate(lambda: session.execute(insert)) is not None
    if not new:
        merge_rows(session, target, key, rows, names)
    if not batch.earliest_start or _leaves_ends_open(session, staged):
        _close_overtaken(session, target, record, staged)
    return staged.count


def _leaves_ends_open(session: Session, staged: Staged) -> bool:
    """Whether partial versions do not say how long they hold."""
    told = sa.and_(*[staged.modified.get(name, sa.false()) for name in OPEN])
    untold = sa.select(sa.literal(1)).select_from(staged.clause).where(sa.not_(told))
    return bool(session.scalar(sa.select(sa.exists(untold))))


def _preceding(target: StoredTable, record: Sequence[str], changes: Changes) -> sa.FromClause:
    """Of each partial version, the one in the table that precedes it in time; found by the key."""
    preceding = target.clause.alias(Alias.PRECEDING)
    start = preceding.c[target.get(START).name]
    same = [preceding.c[target.get(name).name] == changes.values[name] for name in record]
    earlier = sa.select(preceding).where(*same, start < changes.values[START])
    return earlier.order_by(start.desc()).limit(1).lateral(Alias.BASE)


def _completed(
    changes: Changes,
    modified: dict[str, sa.ColumnElement[bool]],
    staged: Staged,
    base: sa.FromClause,
    on: sa.ColumnElement[bool],
) -> sa.Select[Any]:
    """Partial versions, no two of one key, completed from versions that the table has.

    Args:
        changes: the partial versions.
        modified: which of their values are not those of the version in the table.
        staged: the partial versions as they came.
        base: the versions in the table.
        on: whether a version in the table is the one to complete from.
    """
    values = []
    for column in staged.columns:
        name = column.column.name
        own = changes.modified if name in OPEN else modified
        other = OPEN.get(name, base.c[column.name])
        values.append(sa.case((own[name], changes.values[name]), else_=other))
    return sa.select(*values).select_from(changes.source.join(base, on))


def _completed_in_chains(
    session: Session,
    target: StoredTable,
    changes: Changes,
    staged: Staged,
    record: Sequence[str],
) -> sa.Select[Any]:
    """Partial versions completed from the table or from the partial version before.

    The partial versions of a record between two versions of the table are a chain: an unmodified
    value is that of the last in the chain to modify it, or else of the table's version that the
    chain begins after. A version of the table that starts together with a partial one does not end
    a chain, since the partial version takes its place.
    """
    begun = _preceding(target, record, changes).c[target.get(START).name]
    in_time: dict[str, Any] = {
        "partition_by": [changes.values[name] for name in record],
        "order_by": changes.values[START],
    }
    start, ordinal = (
        sa.func.lag(value).over(**in_time) for value in (changes.values[START], changes.ordinal)
    )
    rows = sa.select(
        changes.ordinal, sa.case((begun <= start, ordinal)), begun, changes.flags
    ).select_from(changes.source.join(begun.table, sa.true()))
    links = link(session, rows, sa.Column(BASE, target[START].type))
    inherit(session, staged, links, [*record, START, *OPEN])
    base = target.clause.alias(Alias.PRECEDING)
    same = [base.c[target.get(name).name] == changes.values[name] for name in record]
    source = changes.source.join(links, changes.ordinal == links.c[ORDINAL])
    on = sa.and_(*same, base.c[target.get(START).name] == links.c[BASE])
    return _completed(
        replaced(changes, source=source),
        modified_by(session, staged, links.c[FLAGS]),
        staged,
        base,
        on,
    )


def _delete(
    session: Session, target: StoredTable, record: Sequence[str], sources: Sequence[RowSource]
) -> int:
    """Close the active versions of records at the ends that the files give.

    The first row of a record closes it; a further one finds no active version.

    Raises:
        RequestError: if a file gives none.
    """
    count = 0
    for staged in stage(session, target, sources):
        analyze(session, staged)
        endless = sa.select(sa.func.count()).where(staged.values[END].is_(None))
        if rows := session.scalar(endless.select_from(staged.clause)):
            raise RequestError(
                f'{target.name}: {rows} rows of delete files have no value in column "{END}", so it '
                f"is not known when their records end"
            )
        ends: Values = {name: staged.values[name] for name in (*record, END)}
        if has_duplicates(session, staged, record):
            labels = {name: f"e{i}" for i, name in enumerate(ends)}
            columns = [value.label(labels[name]) for name, value in ends.items()]
            keys = [ends[name] for name in record]
            rows = session.last_rows(columns, keys, -staged.ordinal).subquery(Alias.ENDS)
            ends = {name: rows.c[label] for name, label in labels.items()}
        same = same_key(target, record, ends)
        ending = {target.get(ACTIVE).name: sa.false(), target.get(END).name: ends[END]}
        session.execute(sa.update(target.clause).where(*same, target[ACTIVE]).values(ending))
        count += staged.count
    return count
