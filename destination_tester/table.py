"""A table of columns and rows, its key, and how AlterTable changes it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Self

from destination.sdk import common_pb2 as common
from destination_tester.conversions import INTEGERS, NotSurvivedError, convert_column
from destination_tester.files import Row
from destination_tester.notation import Cell, Value
from destination_tester.stored import (
    ID,
    START,
    Key,
    RefusedError,
    Stored,
    comparable,
    start_of,
    stored,
)

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
class Table:
    """A table.

    Args:
        columns: its columns by name.
        rows: its rows, each with every column.
    """

    columns: dict[str, common.Column]
    rows: list[Stored] = field(default_factory=list)

    @classmethod
    def of(cls, table: common.Table) -> Self:
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
        """What identifies rows: the key, or `_fivetran_id` where there is none."""
        return self.key or [name for name in self.columns if name == ID]

    @property
    def history(self) -> bool:
        """Whether it is in history mode."""
        return START in self.key

    def table(self, name: str) -> common.Table:
        """The table as the wire has it."""
        return common.Table(name=name, columns=self.columns.values())

    def copy(self) -> Self:
        """A copy of the table."""
        columns = {}
        for name, column in self.columns.items():
            columns[name] = common.Column()
            columns[name].CopyFrom(column)
        return type(self)(columns, [dict(row) for row in self.rows])

    def equals(self, other: Table) -> bool:
        """Whether another table has the same columns, key and rows, in whatever order."""
        if self.columns != other.columns:
            return False
        names = list(self.columns)
        mine, others = (
            Counter(self._key(names, row) for row in rows) for rows in (self.rows, other.rows)
        )
        return mine == others

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
        names = self.key
        keys = [self._key(names, row) for row in self.rows] if names else []
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

    def _by_identity(self) -> dict[Key, Stored]:
        names = self.identity
        return {self._key(names, row): row for row in self.rows} if names else {}

    def _by_record(self) -> defaultdict[Key, list[Stored]]:
        records: defaultdict[Key, list[Stored]] = defaultdict(list)
        names = self.record
        for row in self.rows:
            records[self._key(names, row)].append(row)
        return records

    def _identified(self, rows: Iterable[Row]) -> Iterator[tuple[Key, Stored]]:
        """Rows of a file, each with its key."""
        names = self.identity
        if not names:
            raise RefusedError("the table has no key")
        for row in map(stored, rows):
            key = self._key(names, row)
            if None in key:
                raise RefusedError("a key column is NULL")
            yield key, row

    def _key(self, names: Sequence[str], row: Stored) -> Key:
        return tuple(row.get(name) for name in names)

    def alter(self, table: common.Table, *, drop_columns: bool = False) -> None:
        """Make the table match another: columns added, retyped and, if wanted, dropped; another key."""
        wanted = [column.name for column in table.columns]
        for column in table.columns:
            old = self.columns.get(column.name)
            if old is not None:
                self._change_type(old, column)
                continue
            self.add_column(column)
            if column.primary_key:
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
