"""What a table must hold: a plain, slow implementation of every call, one row after the other.

It knows nothing of SQL. Rows are dicts by column name, values are those of `notation`, and times are
aware datetimes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester.files import Row
from destination_tester.notation import Cell, Unmodified, from_text, to_text

START = "_fivetran_start"
END = "_fivetran_end"
ACTIVE = "_fivetran_active"
DELETED = "_fivetran_deleted"
SYNCED = "_fivetran_synced"

HISTORY_COLUMNS = {
    START: common.UTC_DATETIME,
    END: common.UTC_DATETIME,
    ACTIVE: common.BOOLEAN,
}
MILLISECOND = timedelta(milliseconds=1)
OPEN_END = datetime(9999, 12, 31, 23, 59, 59, 999000, UTC)
MINIMUM = datetime(1, 1, 1, tzinfo=UTC)

Stored = dict[str, Any]
Key = tuple[Any, ...]


def comparable(value: Cell) -> Any:
    """A value as it is stored, such that equal ones are one key."""
    match value:
        case str():
            return value.replace("\0", "")
        case float() if math.isnan(value):
            return "NaN"
        case datetime() | time():
            return value.replace(fold=0)
        case Decimal():
            return value.normalize() if value else Decimal(0)
        case Unmodified():
            raise ValueError("an unmodified value is no value")
    return value


def stored(row: Row) -> Stored:
    """A row of a batch file as it is stored, without what it leaves unmodified."""
    return {
        name: comparable(value) for name, value in row.items() if not isinstance(value, Unmodified)
    }


@dataclass
class TableModel:
    """A table.

    Args:
        columns: its columns by name.
        rows: its rows, each with every column.
    """

    columns: dict[str, common.Column]
    rows: list[Stored] = field(default_factory=list)

    @classmethod
    def of(cls, table: common.Table) -> TableModel:
        """A new table."""
        return cls({column.name: column for column in table.columns})

    @property
    def key(self) -> list[str]:
        return [column.name for column in self.columns.values() if column.primary_key]

    @property
    def record(self) -> list[str]:
        return [name for name in self.key if name != START]

    def table(self, name: str) -> common.Table:
        """The table as the wire has it."""
        return common.Table(name=name, columns=self.columns.values())

    # WriteBatch

    def replace(self, rows: Iterable[Row]) -> None:
        """Insert rows, or update those of the same key."""
        for row in map(stored, rows):
            existing = self._find(self.key, row) if self.key else None
            if existing is None:
                self.rows.append(dict.fromkeys(self.columns) | row)
            else:
                existing.update(row)

    def update(self, rows: Iterable[Row]) -> None:
        """Update the modified values of rows that are there."""
        for row in map(stored, rows):
            existing = self._find(self.key, row)
            if existing is not None:
                existing.update(row)

    def delete(self, rows: Iterable[Row]) -> None:
        """Delete rows by their keys."""
        gone = {self._key(self.key, stored(row)) for row in rows}
        self.rows = [row for row in self.rows if self._key(self.key, row) not in gone]

    def truncate(self, synced: str, before: datetime, deleted: str | None = None) -> None:
        """Delete, or mark as deleted, what was synced before an instant."""
        old = [row for row in self.rows if row[synced] is not None and row[synced] < before]
        if deleted is None:
            self.rows = [row for row in self.rows if row not in old]
        for row in old:
            row.update({deleted: True} if deleted else {})

    # WriteHistoryBatch

    def start_over(self, rows: Iterable[Row]) -> None:
        """Forget what starts at a record's earliest start or later, close what reaches past it."""
        for row in map(stored, rows):
            start = row[START]
            later = [version for version in self.versions(row) if version[START] >= start]
            self.rows = [row for row in self.rows if row not in later]
            for version in self.versions(row):
                if version[ACTIVE] or (version[END] is not None and version[END] >= start):
                    version.update({ACTIVE: False, END: start - MILLISECOND})

    def update_history(self, rows: Iterable[Row]) -> None:
        """Insert partial versions, completed from those that precede them in time."""
        partial: dict[Key, Stored] = {}
        for row in map(stored, rows):
            partial.setdefault(self._key(self.key, row), {}).update(row)
        for row in sorted(partial.values(), key=lambda row: row[START]):
            before = [version for version in self.versions(row) if version[START] < row[START]]
            if before:
                latest = max(before, key=lambda version: version[START])
                self.replace([latest | row])

    def end_records(self, rows: Iterable[Row]) -> None:
        """Close the active versions of records."""
        for row in map(stored, rows):
            for version in self.versions(row):
                if version[ACTIVE]:
                    version.update({ACTIVE: False, END: row[END]})

    def versions(self, row: Stored) -> list[Stored]:
        """The versions of a row's record, in time."""
        record = self._key(self.record, row)
        same = [each for each in self.rows if self._key(self.record, each) == record]
        return sorted(same, key=lambda version: version[START])

    # Migrate

    def alter(self, table: common.Table) -> None:
        """Add what the table lacks, change types, change the key; drop nothing."""
        for column in table.columns:
            old = self.columns.get(column.name)
            self.add_column(column)
            if old is not None and (old.type, old.params) != (column.type, column.params):
                for row in self.rows:
                    value = row[column.name]
                    row[column.name] = None if value is None else from_text(to_text(value), column)
            self.columns[column.name] = column
        self.set_key([column.name for column in table.columns if column.primary_key])

    def add_column(self, column: common.Column) -> None:
        """Add a column, NULL in every row."""
        if column.name not in self.columns:
            self.columns[column.name] = column
            for row in self.rows:
                row[column.name] = None

    def set_column(self, name: str, value: Cell) -> None:
        """Set a column in every row."""
        for row in self.rows:
            row[name] = comparable(value)

    def drop_column(self, name: str) -> None:
        """Drop a column."""
        del self.columns[name]
        for row in self.rows:
            del row[name]

    def copy_column(self, source: str, target: str) -> None:
        """Add a column with the type and the values of another, unless it is there."""
        if target in self.columns:
            return
        column = common.Column()
        column.CopyFrom(self.columns[source])
        column.name, column.primary_key = target, False
        self.add_column(column)
        for row in self.rows:
            row[target] = row[source]

    def rename_column(self, source: str, target: str) -> None:
        """Give a column another name, unless it has it already."""
        if source not in self.columns:
            return
        self.columns[source].name = target
        self.columns = {column.name: column for column in self.columns.values()}
        for row in self.rows:
            row[target] = row.pop(source)

    def set_key(self, names: Sequence[str]) -> None:
        """Change the key."""
        for column in self.columns.values():
            column.primary_key = column.name in names

    def copy(self) -> TableModel:
        """A copy of the table."""
        columns = {}
        for name, column in self.columns.items():
            columns[name] = common.Column()
            columns[name].CopyFrom(column)
        return TableModel(columns, [dict(row) for row in self.rows])

    def change_from(self, name: str, value: Cell, instant: datetime, *, only_set: bool) -> None:
        """Change a column from an instant on, in new versions of what is active.

        Args:
            name: the column.
            value: its new value.
            instant: when it changes.
            only_set: whether versions in which it is NULL stay as they are.
        """
        new = []
        for version in self.rows:
            if only_set and version[name] is None:
                continue
            if version[START] == instant:
                version[name] = comparable(value)
            elif version[ACTIVE] and version[START] < instant:
                changed = {name: comparable(value), START: instant, END: OPEN_END}
                new.append(version | changed)
                version.update({ACTIVE: False, END: instant - MILLISECOND})
        self.rows += new

    def to_history(self, deleted: str | None) -> None:
        """Turn each row into the first version of its record, unless it is a version."""
        if START in self.key:
            return
        latest = max((row[SYNCED] for row in self.rows), default=None)
        for name, kind in HISTORY_COLUMNS.items():
            self.add_column(common.Column(name=name, type=kind))
        for row in self.rows:
            if deleted and row[deleted]:
                row.update({START: MINIMUM, END: MINIMUM, ACTIVE: False})
            else:
                row.update({START: latest, END: OPEN_END, ACTIVE: True})
        self.set_key([*self.key, START])
        if DELETED in self.columns:
            self.drop_column(DELETED)

    def to_soft_delete(self, deleted: str) -> None:
        """Keep of each record its last version, marked as deleted unless it is active."""
        if START not in self.key:
            return
        self.add_column(common.Column(name=DELETED, type=common.BOOLEAN))
        self.rows = [row for row in self.rows if row is self.versions(row)[-1]]
        for row in self.rows:
            row[deleted] = not row[ACTIVE]
        self.set_key(self.record)
        for name in (START, END, ACTIVE):
            self.drop_column(name)

    def _find(self, names: Sequence[str], row: Stored) -> Stored | None:
        key = self._key(names, row)
        return next((each for each in self.rows if self._key(names, each) == key), None)

    def _key(self, names: Sequence[str], row: Stored) -> Key:
        return tuple(row[name] for name in names)
