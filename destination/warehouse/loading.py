"""Loading: the files of a WriteBatch request merged into a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from destination.errors import RequestError
from destination.rows import RowSource
from destination.schema import Table
from destination.warehouse.base import Landed, Session
from destination.warehouse.carried import carry, gather
from destination.warehouse.chains import folded
from destination.warehouse.merging import replace
from destination.warehouse.staging import analyze, stage_partial
from destination.warehouse.statements import deleting, updating
from destination.warehouse.stored import StoredTable, TableName
from destination.warehouse.tables import lock_called


@dataclass(frozen=True, slots=True)
class Batch:
    """The files of one request, in the order in which they apply."""

    replace: Sequence[RowSource]
    update: Sequence[RowSource]
    delete: Sequence[RowSource]


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many rows the files of each kind held."""

    replaced: int
    updated: int
    deleted: int

    def __str__(self) -> str:
        return f"{self.replaced} rows replaced, {self.updated} updated, {self.deleted} deleted"


def write_batch(
    session: Session, name: TableName, table: Table, batch: Batch
) -> tuple[Loaded, Landed | None]:
    """Apply replace, update and delete files to a table, in this order.

    Returns:
        How many rows there were, and how to find out whether they were committed: rows without a key
        must not be appended again.

    Raises:
        RequestError: if the table in the warehouse does not match the request.
        BatchFileError: if a file cannot be read.
    """
    target = lock_called(session, name, table)
    key = target.key_of(table)
    if not key and (batch.update or batch.delete):
        raise RequestError(
            f"{target.name} has no primary key, so its rows cannot be updated or deleted: re-sync "
            f"the table"
        )
    landed = None if key or not batch.replace else session.has_written(target.clause)
    loaded = Loaded(
        replaced=replace(session, target, key, batch.replace),
        updated=_update(session, target, table, key, batch.update),
        deleted=_delete(session, target, key, batch.delete),
    )
    return loaded, landed


def _update(
    session: Session,
    target: StoredTable,
    table: Table,
    key: tuple[str, ...],
    sources: Sequence[RowSource],
) -> int:
    if not sources or len(key) == len(table.columns):
        return 0
    carried = carry(session, target, sources, table)
    if carried is not None and not any(rows.may_repeat(key) for rows in carried):
        for rows in carried:
            rows.execute(updating, target, key)
        return sum(rows.count for rows in carried)
    staged = stage_partial(session, target, table, sources)
    analyze(staged)
    session.execute(updating(session, folded(session, staged, key), target, key))
    return staged.count


def _delete(
    session: Session, target: StoredTable, key: tuple[str, ...], sources: Sequence[RowSource]
) -> int:
    count = 0
    for rows in gather(session, target, sources):
        rows.execute(deleting, target, key)
        count += rows.count
    return count
