"""Merging: rows inserted into a table, or in the place of those of the same key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from destination.rows import PeekedSource, RowSource
from destination.schema import INTEGER_TYPES
from destination.warehouse.base import Session
from destination.warehouse.carried import Carried, carry
from destination.warehouse.naming import Alias
from destination.warehouse.staging import (
    Staged,
    analyze,
    is_repeated,
    stage,
    stored_columns,
)
from destination.warehouse.statements import deleting, inserting, last_rows, upserting
from destination.warehouse.stored import StoredTable
from destination.warehouse.tables import is_empty

FAST_WAY_BYTES = 1 << 20
"""From this size of batch files on, a faster way is tried."""
TABLE_SHARE = 8
"""A batch is a small one if the table has more than so many times as many bytes."""

Then = Callable[[Staged | Carried | None], None]
"""What to do after rows were written: with staged or carried rows, or with the whole table (None)."""


def _nothing(_rows: Staged | Carried | None) -> None:
    """Do nothing after rows were written."""


def replace(
    session: Session,
    target: StoredTable,
    key: tuple[str, ...],
    sources: Sequence[RowSource],
    then: Then = _nothing,
) -> int:
    """Upsert files; straight into the table if they seem to hold new rows only.

    Args:
        session: the transaction.
        target: the table.
        key: the full names of its key's columns.
        sources: the files.
        then: what to do with the rows that were staged; with None after all went straight into the
            table, which had been empty.

    Returns:
        How many rows they held.
    """
    if not sources:
        return 0
    if not key:
        return _append(session, target, sources)
    large = sum(source.size for source in sources) >= FAST_WAY_BYTES
    carried = None if large or not target.mergeable else carry(session, target, sources)
    if carried is not None:
        return _upsert_carried(target, key, carried, then)
    empty = is_empty(session, target)
    copied: int | None = None
    with ExitStack() as opened:
        first = PeekedSource(sources[0], opened)
        files = [first, *sources[1:]]
        if empty or (large and _follows(session, target, key, first)):
            copy = partial(_copy_straight, session, target, key, files)
            if empty and large:
                copy = partial(session.key_built_last, target, copy)
            copied = session.unless_duplicate(copy)
            if copied is not None:
                then(None)
            elif empty and large:
                session.free_undone_rows(target)
        merge = partial(_merge, session, target, key, files, then, empty=empty)
        count = merge() if copied is None else copied
    if empty and large:
        session.survey(target.clause)
    return count


def _append(session: Session, target: StoredTable, sources: Sequence[RowSource]) -> int:
    """Insert the rows of files into a table that has no key.

    No savepoint: rows written in one do not have the number of the transaction.
    """
    carried = carry(session, target, sources)
    if carried is not None:
        return sum(rows.execute(inserting, target) for rows in carried)
    count = 0
    for source in sources:
        copied = _copy(session, target, source)
        for staged in stage(session, target, [source] if copied is None else []):
            staged.execute(inserting, target)
            count += staged.count
        count += copied or 0
    return count


def _copy_straight(
    session: Session, target: StoredTable, key: Sequence[str], sources: Sequence[RowSource]
) -> int | None:
    """Copy files into the table; None where one of them cannot be, or rows share a key."""
    count = 0
    for source in sources:
        copied = _copy(session, target, source)
        if copied is None:
            return None
        count += copied
    if not target.mergeable and is_repeated(session, target.clause, [target[k] for k in key]):
        return None
    return count


def _copy(session: Session, target: StoredTable, source: RowSource) -> int | None:
    """Copy a file into the table; None where the types of its columns are not those of the wire."""
    with source.open() as rows:
        columns = stored_columns(target, rows.columns)
        pairs = zip(columns, rows.columns, strict=True)
        if any(stored.type_name != session.wire_type_name(column) for stored, column in pairs):
            return None
        clauses = [target.clause.c[column.name] for column in columns]
        return session.copy(target.clause, clauses, rows)


def _follows(
    session: Session, target: StoredTable, key: Sequence[str], source: PeekedSource
) -> bool:
    """Whether a file's first rows have greater keys than all of the table's."""
    name = key[0]
    if not target.mergeable or len(key) > 1 or target.get(name).column.type not in INTEGER_TYPES:
        return False
    last = session.scalar(sa.select(sa.func.max(target[name])))
    first = source.first_rows()
    if first is None or not pa.types.is_integer(first.schema.field(name).type):
        return False
    lowest = pc.min(first.column(name)).as_py()
    return lowest is not None and lowest > last


def _merge(
    session: Session,
    target: StoredTable,
    key: Sequence[str],
    sources: Sequence[RowSource],
    then: Then,
    *,
    empty: bool,
) -> int:
    """Merge files; for an empty table, check first whether keys repeat."""
    count = 0
    for staged in stage(session, target, sources):
        replacing = _may_replace_rows(session, target, staged)
        if empty and replacing:
            replacing = not staged.may_repeat(key)
        if not (replacing and _replace_rows(session, target, key, staged)):
            names = [column.name for column in staged.columns]
            merge_rows(session, target, key, last_rows(session, staged, key), names)
        then(staged)
        count += staged.count
    return count


def _upsert_carried(
    target: StoredTable, key: tuple[str, ...], carried: Sequence[Carried], then: Then
) -> int:
    for rows in carried:
        rows.execute(upserting, target, key)
        then(rows)
    return sum(rows.count for rows in carried)


def _may_replace_rows(session: Session, target: StoredTable, staged: Staged) -> bool:
    """Whether to delete rows and insert them again: allowed, and faster since they are many.

    Few rows of a large table are scattered over it: an upsert visits each page once.
    """
    whole = {column.name for column in staged.columns} == {c.name for c in target.columns}
    if not (target.mergeable and whole and target.standalone):
        return False
    size = sum(session.size(part.table) for part in staged.parts)
    return size * TABLE_SHARE >= session.size(target.clause)


def _replace_rows(
    session: Session, target: StoredTable, key: Sequence[str], staged: Staged
) -> bool:
    """Delete existing rows and insert all; rolled back if a key repeats in the files."""
    analyze(staged)
    statements = (deleting(session, staged, target, key), inserting(session, staged, target))
    return bool(session.unless_duplicate(lambda: [session.execute(each) for each in statements]))


def merge_rows(
    session: Session,
    target: StoredTable,
    key: Sequence[str],
    rows: sa.Select[Any],
    names: Sequence[str],
) -> None:
    """Insert rows, or update those of the same key.

    Args:
        session: the transaction.
        target: the table.
        key: the full names of the key's columns.
        rows: the rows, each key at most once.
        names: the stored names of their columns.
    """
    stored_key = [target.get(name).name for name in key]
    if target.mergeable:
        session.execute(session.upsert(target.clause, rows, names, stored_key))
        return
    incoming = rows.subquery(Alias.INCOMING)
    values = dict(zip(names, incoming.c, strict=True))
    same = [target.clause.c[name] == values[name] for name in stored_key]
    others = {name: value for name, value in values.items() if name not in stored_key}
    if others:
        session.execute(sa.update(target.clause).values(others).where(*same))
    there = incoming.outerjoin(target.clause, sa.and_(*same))
    new = sa.select(*incoming.c).select_from(there).where(target.clause.c[stored_key[0]].is_(None))
    session.execute(sa.insert(target.clause).from_select(list(names), new))
