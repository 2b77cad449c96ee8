"""History: the files of a WriteHistoryBatch request applied to a table that keeps every version.

A version of a record is a row; its key is the record's key and the instant it starts. Versions of a
record never overlap, and at most one of them is active.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from functools import partial
from typing import Any

import sqlalchemy as sa

from destination.errors import RequestError
from destination.rows import RowSource
from destination.schema import END, START, Table, record_key
from destination.warehouse.base import Session
from destination.warehouse.carried import Carried, carry, gather
from destination.warehouse.chains import BASE, FLAGS, Changes, folded, inherit, link, modified_by
from destination.warehouse.merging import merge_rows, replace
from destination.warehouse.naming import Alias
from destination.warehouse.staging import ORDINAL, Staged, analyze, stage_partial
from destination.warehouse.statements import (
    OPEN,
    closing_earlier,
    closing_overtaken,
    completed,
    completing,
    earliest,
    ending,
    ending_at_first,
    forgetting_later,
    preceding,
)
from destination.warehouse.stored import StoredTable, TableName
from destination.warehouse.tables import lock_called


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
    session: Session, name: TableName, table: Table, batch: HistoryBatch
) -> HistoryLoaded:
    """Apply earliest start, replace, update and delete files to a table in history mode.

    Raises:
        RequestError: if the table in the warehouse does not match the request.
        BatchFileError: if a file cannot be read.
    """
    target = lock_called(session, name, table)
    key = target.key_of(table)
    target.require_history_mode()
    record = record_key(key)
    close = partial(_close_overtaken, session, target, record)
    replaced = {} if batch.earliest_start else {"then": close}
    return HistoryLoaded(
        started=_start_over(session, target, record, batch.earliest_start),
        replaced=replace(session, target, key, batch.replace, **replaced),
        updated=_update(session, target, table, key, batch),
        deleted=_delete(session, target, record, batch.delete),
    )


def _start_over(
    session: Session, target: StoredTable, record: tuple[str, ...], sources: Sequence[RowSource]
) -> int:
    """Delete each record's versions from its earliest start on, and close those before it."""
    count = 0
    for rows in gather(session, target, sources):
        # Of few rows, the search would cost a round trip more than it spares.
        if isinstance(rows, Carried) or _any_later(rows, target, record):
            rows.execute(forgetting_later, target, record)
        rows.execute(closing_earlier, target, record)
        count += rows.count
    return count


def _any_later(staged: Staged, target: StoredTable, record: Sequence[str]) -> bool:
    """Whether a version starts at its record's earliest start or later; a search in the key's index."""
    starts, of_record = earliest(staged, target, record)
    later = sa.and_(*of_record, target[START] >= starts.c.start)
    return staged.session.finds(staged.session.matched(starts, target.clause, later))


def _close_overtaken(
    session: Session, target: StoredTable, record: tuple[str, ...], rows: Staged | Carried | None
) -> None:
    """Close the versions before a record's latest that still reach the next one.

    Args:
        session: the transaction.
        target: the table.
        record: the full names of the record key's columns.
        rows: of the records to look at; None for all records.
    """
    if isinstance(rows, Carried):
        rows.execute(closing_overtaken, target, record)
        return
    if rows is not None and not session.narrows(target):
        rows = None
    if rows is not None:
        analyze(rows)
    session.execute(closing_overtaken(session, rows, target, record))


def _update(
    session: Session,
    target: StoredTable,
    table: Table,
    key: tuple[str, ...],
    batch: HistoryBatch,
) -> int:
    """Insert partial versions, each completed from the version before it."""
    if not batch.update:
        return 0
    carried = _carried_by_rounds(session, target, table, key, batch.update)
    if carried is not None:
        for versions, rounds in carried:
            for each in rounds:
                each.execute(completing, target, table, key, record_key(key))
            if not batch.earliest_start or not versions.tells(OPEN):
                _close_overtaken(session, target, record_key(key), versions)
        return sum(versions.count for versions, _ in carried)
    staged = stage_partial(session, target, table, batch.update)
    analyze(staged)
    changes = folded(session, staged, key)
    record = record_key(key)
    if staged.may_repeat(record):
        rows = _completed_in_chains(session, target, changes, staged, record)
    else:
        base = preceding(session, changes, target, record)
        rows = completed(changes, staged.columns, *base)
    names = [column.name for column in staged.columns]
    insert = sa.insert(target.clause).from_select(names, rows)
    new = target.mergeable and session.unless_duplicate(lambda: session.execute(insert)) is not None
    if not new:
        merge_rows(session, target, key, rows, names)
    if not batch.earliest_start or _leaves_ends_open(session, staged):
        _close_overtaken(session, target, record, staged)
    return staged.count


def _carried_by_rounds(
    session: Session,
    target: StoredTable,
    table: Table,
    key: Sequence[str],
    sources: Sequence[RowSource],
) -> list[tuple[Carried, list[Carried]]] | None:
    """Small partial versions, and in rounds: a version may need one that an earlier round inserts.

    None where they must be staged, or two of them have one key.
    """
    carried = carry(session, target, sources, table) if target.mergeable else None
    if carried is None or len(sources) > 1 or any(rows.may_repeat(key) for rows in carried):
        return None
    rounds = [rows.in_rounds(record_key(key), START) for rows in carried]
    pairs = zip(carried, rounds, strict=True)
    return None if None in rounds else [(rows, each) for rows, each in pairs if each]


def _leaves_ends_open(session: Session, staged: Staged) -> bool:
    """Whether any partial version lacks its end or its active flag."""
    ends_given = sa.and_(*[staged.modified.get(name, sa.false()) for name in OPEN])
    open_ended = sa.select(sa.literal(1)).select_from(staged.clause).where(sa.not_(ends_given))
    return session.finds(open_ended)


def _completed_in_chains(
    session: Session,
    target: StoredTable,
    changes: Changes,
    staged: Staged,
    record: Sequence[str],
) -> sa.Select[Any]:
    """Partial versions completed from the partial versions before them, then from the table.

    An unmodified value is taken from the last version of the chain that modifies it, or else from the
    table's version before the chain. For example, versions of a record by their starts:

        in the table      1           4  5
        partial              2  3        5     7
        chains               2 ← 3       5 ← 7

    3 continues 2. The table's 4 begins another chain: 5 is completed from it. 7 continues 5, which
    replaces the table's 5.
    """
    version, on = preceding(session, changes, target, record)
    before = version.c[target.get(START).name]
    in_time: dict[str, Any] = {
        "partition_by": [changes.values[name] for name in record],
        "order_by": changes.values[START],
    }
    start, ordinal = (
        sa.func.lag(value).over(**in_time) for value in (changes.values[START], changes.ordinal)
    )
    rows = sa.select(
        changes.ordinal, sa.case((before <= start, ordinal)), before, changes.flags
    ).select_from(changes.clause.join(version, on))
    links = link(session, rows, sa.Column(BASE, target[START].type))
    inherit(session, staged, links, [*record, START, *OPEN])
    base = target.clause.alias(Alias.PRECEDING)
    same = [base.c[target.get(name).name] == changes.values[name] for name in record]
    linked = changes.clause.join(links, changes.ordinal == links.c[ORDINAL])
    on = sa.and_(*same, base.c[target.get(START).name] == links.c[BASE])
    inherited = modified_by(session, staged, links.c[FLAGS])
    return completed(replaced(changes, clause=linked), staged.columns, base, on, inherited)


def _delete(
    session: Session, target: StoredTable, record: tuple[str, ...], sources: Sequence[RowSource]
) -> int:
    """Close the active versions of records at the ends that the files give.

    The first row of a record counts: after it, no version is active.

    Raises:
        RequestError: if a file gives none.
    """
    count = 0
    for rows in gather(session, target, sources):
        if endless := rows.nulls(END):
            raise RequestError(
                f'{target.name}: {endless} rows of delete files have no value in column "{END}", so '
                f"it is not known when their records end"
            )
        rows.execute(ending_at_first if rows.may_repeat(record) else ending, target, record)
        count += rows.count
    return count
