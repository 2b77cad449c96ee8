"""What a table must hold: a plain implementation of every call, one row after the other.

It knows nothing of SQL. Rows are dicts by column name, values are those of `notation`, and times are
aware datetimes. What a connector must answer with a task raises RefusedError; what the table holds
then is undefined, so try it on a copy.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester.conversions import INTEGERS, NotSurvivedError, convert_column
from destination_tester.files import Row
from destination_tester.notation import Cell, Value
from destination_tester.stored import (
    ACTIVE,
    DELETED,
    END,
    HISTORY_COLUMNS,
    ID,
    MILLISECOND,
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

__all__ = [
    "ACTIVE",
    "DELETED",
    "END",
    "HISTORY_COLUMNS",
    "ID",
    "MILLISECOND",
    "MINIMUM",
    "OPEN_END",
    "START",
    "SYNCED",
    "RefusedError",
    "Stored",
    "TableModel",
    "comparable",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEUTRAL: dict[int, Value] = {
    common.BOOLEAN: False,
    **dict.fromkeys(INTEGERS, 0),
    common.DECIMAL: Decimal(0),
    common.FLOAT: 0.0,
    common.DOUBLE: 0.0,
    common.NAIVE_TIME: time(),
    common.NAIVE_DATE: date(1970, 1, 1),
    common.NAIVE_DATETIME: EPOCH.replace(tzinfo=None),
    common.UTC_DATETIME: EPOCH,
    common.BINARY: b"",
    common.XML: "",
    common.STRING: "",
    common.JSON: "{}",
}
"""What rows that are there get in a new column of the key."""


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

    @property
    def identity(self) -> list[str]:
        """What tells rows apart: the key, or its stand-in where there is none."""
        return self.key or [name for name in self.columns if name == ID]

    def table(self, name: str) -> common.Table:
        """The table as the wire has it."""
        return common.Table(name=name, columns=self.columns.values())

    def copy(self) -> TableModel:
        """A copy of the table."""
        columns = {}
        for name, column in self.columns.items():
            columns[name] = common.Column()
            columns[name].CopyFrom(column)
        return TableModel(columns, [dict(row) for row in self.rows])

    def equals(self, other: TableModel) -> bool:
        """Whether another table has the same columns, key and rows, in whatever order."""
        if self.columns != other.columns:
            return False
        names = list(self.columns)
        mine, others = (
            Counter(self._key(names, row) for row in rows) for rows in (self.rows, other.rows)
        )
        return mine == others

    # WriteBatch

    def replace(self, rows: Iterable[Row]) -> None:
        """Insert rows, or update those of the same key."""
        existing = self._by_identity()
        for row in map(stored, rows):
            key = self._identity_of(row)
            if key is not None and key in existing:
                existing[key].update(row)
                continue
            new = dict.fromkeys(self.columns) | row
            self.rows.append(new)
            if key is not None:
                existing[key] = new

    def update(self, rows: Iterable[Row]) -> None:
        """Update the modified values of rows that are there."""
        existing = self._by_identity()
        for row in map(stored, rows):
            existing.get(self._identity_of(row, required=True), {}).update(row)

    def delete(self, rows: Iterable[Row]) -> None:
        """Delete rows by their keys."""
        gone = {self._identity_of(stored(row), required=True) for row in rows}
        if gone:
            self.rows = [row for row in self.rows if self._identity_of(row) not in gone]

    def truncate(self, synced: str, before: datetime, deleted: str | None = None) -> None:
        """Delete, or mark as deleted, what was synced before an instant.

        In a table in history mode without the column of deleted rows, active versions end there.
        """
        self.require(synced)
        if deleted is None:
            self.rows = [row for row in self.rows if not _is_before(row[synced], before)]
            return
        closes = START in self.key and deleted not in self.columns
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

    def close_predecessors(self, rows: Iterable[Row]) -> None:
        """Close the versions before the latest of each record of which there are rows.

        Done where a request says nothing of the earliest starts, so that one at most is active.
        """
        records = self._by_record()
        for key in {self._key(self.record, stored(row)) for row in rows}:
            for version, following in pairwise(sorted(records[key], key=start_of)):
                if version.get(ACTIVE):
                    version.update(_closed(start_of(following)))

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

    # AlterTable

    def alter(self, table: common.Table, *, drop_columns: bool = False) -> None:
        """Make the table match another: add columns, change types and the key, drop if asked to."""
        rows = bool(self.rows)
        wanted = [column.name for column in table.columns]
        for column in table.columns:
            old = self.columns.get(column.name)
            if old is not None:
                self._change_type(old, column)
                continue
            self.add_column(column)
            if rows and column.primary_key:
                self.set_column(column.name, NEUTRAL[column.type])
        if drop_columns:
            for name in [name for name in self.columns if name not in wanted]:
                self.drop_column(name)
        self.set_key([column.name for column in table.columns if column.primary_key])
        self.require_unique()

    def _change_type(self, old: common.Column, new: common.Column) -> None:
        if (old.type, old.params) != (new.type, new.params):
            try:
                values = [row[old.name] for row in self.rows]
                new, values = convert_column(values, old, new)
            except NotSurvivedError as error:
                raise RefusedError(f'{error} of column "{old.name}" do not survive') from error
            for row, value in zip(self.rows, values, strict=True):
                row[old.name] = comparable(value)
        self.columns[old.name] = new

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
        if START in self.key:
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
        if START not in self.key:
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
        if START not in self.key:
            raise RefusedError("the table is not in history mode")

    # What tables are changed by

    def add_column(self, column: common.Column) -> None:
        """Add a column, NULL in every row."""
        if column.name not in self.columns:
            self.columns[column.name] = column
            for row in self.rows:
                row[column.name] = None

    def set_column(self, name: str, value: Cell) -> None:
        """Set a column in every row."""
        self.require(name)
        for row in self.rows:
            row[name] = comparable(value)

    def drop_column(self, name: str) -> None:
        """Drop a column."""
        del self.columns[name]
        for row in self.rows:
            del row[name]

    def set_key(self, names: Sequence[str]) -> None:
        """Change the key."""
        for column in self.columns.values():
            column.primary_key = column.name in names

    def require_unique(self) -> None:
        """Refuse a key that two rows share, or that is NULL somewhere."""
        keys = [self._key(self.key, row) for row in self.rows] if self.key else []
        if len(set(keys)) < len(keys) or any(part is None for key in keys for part in key):
            raise RefusedError("the key is not unique, or NULL")

    def versions(self, row: Stored) -> list[Stored]:
        """The versions of a row's record, in time."""
        return sorted(self._by_record()[self._key(self.record, row)], key=start_of)

    def require(self, name: str) -> None:
        """Refuse a table that lacks a column."""
        if name not in self.columns:
            raise RefusedError(f'there is no column "{name}"')

    def _require_record(self, row: Stored) -> None:
        if not self.record:
            raise RefusedError(f"nothing but {START} is in the key")
        for name in self.record:
            if row.get(name) is None:
                raise RefusedError(f'key column "{name}" is NULL')

    def _by_identity(self) -> dict[Key | None, Stored]:
        return {self._identity_of(row): row for row in self.rows} if self.identity else {}

    def _by_record(self) -> defaultdict[Key, list[Stored]]:
        records: defaultdict[Key, list[Stored]] = defaultdict(list)
        for row in self.rows:
            records[self._key(self.record, row)].append(row)
        return records

    def _identity_of(self, row: Stored, *, required: bool = False) -> Key | None:
        """What tells a row apart; None where nothing does."""
        if not self.identity:
            if required:
                raise RefusedError("the table has no key")
            return None
        key = self._key(self.identity, row)
        if None in key:
            raise RefusedError("a key column is NULL")
        return key

    def _key(self, names: Sequence[str], row: Stored) -> Key:
        return tuple(row.get(name) for name in names)


def _is_before(value: Any, instant: datetime) -> bool:
    return value is not None and moment(value) < instant


def _closed(following: datetime) -> Stored:
    """What the end of a version changes in it where the next one starts."""
    return {ACTIVE: False, END: end_before(following)}
