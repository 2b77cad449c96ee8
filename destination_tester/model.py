"""What a table must hold: a plain implementation of every call, one row after the other.

It knows nothing of SQL. Rows are dicts by column name, values are those of `notation`, and times are
aware datetimes. What a connector must answer with a task raises RefusedError; what the table holds
then is undefined, so try it on a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester.files import Row
from destination_tester.notation import Cell
from destination_tester.stored import (
    ACTIVE,
    DELETED,
    END,
    HISTORY_COLUMNS,
    MINIMUM,
    OPEN_END,
    START,
    SYNCED,
    Key,
    RefusedError,
    Stored,
    comparable,
    end_before,
    moment,
    start_of,
    stored,
)
from destination_tester.table import Table


class TableModel(Table):
    """A table that plays the calls about its rows."""

    # WriteBatch

    def replace(self, rows: Iterable[Row]) -> None:
        """Insert rows, or update those of the same key; without a key, append them."""
        if not self.identity:
            self.rows += [dict.fromkeys(self.columns) | stored(row) for row in rows]
            return
        existing = self._by_identity()
        for key, row in self._identified(rows):
            if key in existing:
                existing[key].update(row)
            else:
                existing[key] = dict.fromkeys(self.columns) | row
                self.rows.append(existing[key])

    def update(self, rows: Sequence[Row]) -> None:
        """Update the modified values of rows that are there."""
        existing = self._by_identity()
        for key, row in self._identified(rows) if rows else ():
            existing.get(key, {}).update(row)

    def delete(self, rows: Sequence[Row]) -> None:
        """Delete rows by their keys."""
        gone = {key for key, _ in self._identified(rows)} if rows else set()
        names = self.identity
        self.rows = [row for row in self.rows if self._key(names, row) not in gone]

    def truncate(self, synced: str, before: datetime, deleted: str | None = None) -> None:
        """Delete, or mark as deleted, what was synced before an instant.

        In a table in history mode without the column of deleted rows, active versions end there.
        """
        self.require(synced)
        if deleted is None:
            self.rows = [row for row in self.rows if not _is_before(row[synced], before)]
            return
        closes = self.history and deleted not in self.columns
        if not closes:
            self.require(deleted)
        for row in self.rows:
            if _is_before(row[synced], before) and (row.get(ACTIVE) or not closes):
                row.update(_closed(before) if closes else {deleted: True})

    # WriteHistoryBatch

    def start_over(self, rows: Iterable[Row]) -> None:
        """Forget what starts at a record's earliest start or later, close what reaches past it."""
        records, gone = self._by_record(), set[int]()
        for row in map(stored, rows):
            self._require_record(row)
            start = start_of(row)
            for version in records[self._key(self.record, row)]:
                if start_of(version) >= start:
                    gone.add(id(version))
                elif version.get(ACTIVE) or (
                    version.get(END) is not None and moment(version[END]) >= start
                ):
                    version.update(_closed(start))
        self.rows = [row for row in self.rows if id(row) not in gone]

    def update_history(self, rows: Iterable[Row]) -> None:
        """Insert partial versions, completed from those that precede them in time."""
        records = self._by_record()
        partial: dict[Key, Stored] = {}
        for row in map(stored, rows):
            self._require_record(row)
            partial.setdefault(self._key(self.key, row), {}).update(row)
        for row in sorted(partial.values(), key=start_of):
            versions = records[self._key(self.record, row)]
            before = [version for version in versions if start_of(version) < start_of(row)]
            if not before:
                continue
            version = max(before, key=start_of) | {END: OPEN_END, ACTIVE: True} | row
            same = next((each for each in versions if start_of(each) == start_of(row)), None)
            if same is not None:
                same.update(version)
                continue
            self.rows.append(version)
            versions.append(version)

    def end_records(self, rows: Iterable[Row]) -> None:
        """Close the active versions of records."""
        records = self._by_record()
        for row in map(stored, rows):
            self._require_record(row)
            if row.get(END) is None:
                raise RefusedError(f"{END} is NULL")
            for version in records[self._key(self.record, row)]:
                if version.get(ACTIVE):
                    version.update({ACTIVE: False, END: row[END]})

    # Migrate

    def copy_column(self, source: str, target: str) -> None:
        """Add a column with the type and the values of another, unless it is there with them."""
        self.require(source)
        if target in self.columns:
            if self.columns[source].type != self.columns[target].type or any(
                row[source] != row[target] for row in self.rows
            ):
                raise RefusedError(f'column "{target}" holds other values')
            return
        column = common.Column()
        column.CopyFrom(self.columns[source])
        column.name, column.primary_key = target, False
        self.add_column(column)
        for row in self.rows:
            row[target] = row[source]

    def rename_column(self, source: str, target: str) -> None:
        """Give a column another name, unless it has it already."""
        if source not in self.columns and target in self.columns:
            return
        self.require(source)
        if target in self.columns:
            raise RefusedError(f'there is a column "{target}"')
        self.columns[source].name = target
        self.columns = {column.name: column for column in self.columns.values()}
        for row in self.rows:
            row[target] = row.pop(source)

    def change_from(self, name: str, value: Cell, instant: datetime, *, only_set: bool) -> None:
        """Change a column from an instant on, in new versions of what is active.

        Args:
            name: the column.
            value: its new value.
            instant: when it changes.
            only_set: whether versions in which it is NULL stay as they are.
        """
        self.require_history()
        self.require(name)
        if any(row.get(ACTIVE) and start_of(row) > instant for row in self.rows):
            raise RefusedError("an active version starts later")
        new = []
        for version in self.rows:
            if only_set and version[name] is None:
                continue
            if start_of(version) == instant:
                version[name] = comparable(value)
            elif version.get(ACTIVE) and start_of(version) < instant:
                changed = {name: comparable(value), START: instant, END: OPEN_END}
                new.append(version | changed)
                version.update(_closed(instant))
        self.rows += new

    def to_history(self, deleted: str | None) -> None:
        """Turn each row into the first version of its record, unless it is a version."""
        if self.history:
            return
        if not self.key:
            raise RefusedError("the table has no key")
        if deleted in self.columns and self.columns[deleted].type != common.BOOLEAN:
            raise RefusedError(f'column "{deleted}" is no BOOLEAN')
        self.require(SYNCED)
        synced = [row[SYNCED] for row in self.rows if row[SYNCED] is not None]
        if self.rows and not synced:
            raise RefusedError(f"{SYNCED} is NULL in every row")
        latest = max(synced, key=moment, default=None)
        for name, kind in HISTORY_COLUMNS.items():
            self.add_column(common.Column(name=name, type=kind))
        for row in self.rows:
            if deleted and row.get(deleted):
                row.update({START: MINIMUM, END: MINIMUM, ACTIVE: False})
            else:
                row.update({START: latest, END: OPEN_END, ACTIVE: True})
        self.set_key([*self.key, START])
        if DELETED in self.columns:
            self.drop_column(DELETED)

    def to_soft_delete(self, deleted: str) -> None:
        """Keep of each record its last version, marked as deleted unless it is active."""
        self.add_column(common.Column(name=DELETED, type=common.BOOLEAN))
        self.require(deleted)
        if not self.history:
            return
        if not self.record:
            raise RefusedError(f"nothing but {START} is in the key")
        self.rows = [max(versions, key=start_of) for versions in self._by_record().values()]
        for row in self.rows:
            row.update({DELETED: False, deleted: not row.get(ACTIVE)})
        self.set_key(self.record)
        for name in HISTORY_COLUMNS:
            if name in self.columns:
                self.drop_column(name)

    def require_history(self) -> None:
        """Refuse a table that is not in history mode."""
        if not self.history:
            raise RefusedError("the table is not in history mode")


def _is_before(value: Any, instant: datetime) -> bool:
    return value is not None and moment(value) < instant


def _closed(following: datetime) -> Stored:
    """What the end of a version changes in it where the next one starts."""
    return {ACTIVE: False, END: end_before(following)}
