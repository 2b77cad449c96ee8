"""Tables as Fivetran sees them: names, columns, types. Knows neither the wire nor SQL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum
from functools import cached_property

SYNCED = "_fivetran_synced"
DELETED = "_fivetran_deleted"
ID = "_fivetran_id"
START = "_fivetran_start"
END = "_fivetran_end"
ACTIVE = "_fivetran_active"


class DataType(Enum):
    """Fivetran's column types, named as in the wire's `DataType` enum."""

    BOOLEAN = "BOOLEAN"
    SHORT = "SHORT"
    INT = "INT"
    LONG = "LONG"
    DECIMAL = "DECIMAL"
    FLOAT = "FLOAT"
    DOUBLE = "DOUBLE"
    NAIVE_DATE = "NAIVE_DATE"
    NAIVE_DATETIME = "NAIVE_DATETIME"
    UTC_DATETIME = "UTC_DATETIME"
    BINARY = "BINARY"
    XML = "XML"
    STRING = "STRING"
    JSON = "JSON"
    NAIVE_TIME = "NAIVE_TIME"


BLANKS = " \t"
"""What is ignored around the text of every value but text and BINARY, as by Arrow's CSV reader."""
MAX_PRECISION, MAX_SCALE = 38, 37
"""The most digits that a DECIMAL has, and the most of them after the decimal point."""
INTEGER_TYPES = (DataType.SHORT, DataType.INT, DataType.LONG)
FLOAT_TYPES = (DataType.FLOAT, DataType.DOUBLE)
NUMBER_TYPES = (*INTEGER_TYPES, *FLOAT_TYPES, DataType.DECIMAL)
DATETIME_TYPES = (DataType.NAIVE_DATETIME, DataType.UTC_DATETIME)
TEXT_TYPES = frozenset({DataType.STRING, DataType.JSON, DataType.XML})


@dataclass(frozen=True, slots=True)
class DecimalParams:
    """How many digits a DECIMAL holds, and how many of them are after the decimal point."""

    precision: int
    scale: int

    def holding(self, largest: Decimal, scale: int) -> DecimalParams:
        """The least digits that hold what these do, and numbers as large as one with that scale."""
        before = max(self.precision - self.scale, largest.adjusted() + 1 if largest else 0)
        scale = max(self.scale, scale)
        return DecimalParams(before + scale, scale)

    def __str__(self) -> str:
        return f"DECIMAL({self.precision},{self.scale})"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `decimal` and `string_byte_length` are None where they do not apply."""

    name: str
    type: DataType
    primary_key: bool = False
    decimal: DecimalParams | None = None
    string_byte_length: int | None = None


@dataclass(frozen=True)
class Table:
    """A table's name and its columns in their order."""

    name: str
    columns: tuple[Column, ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.columns))

    @cached_property
    def _by_name(self) -> dict[str, Column]:
        return {column.name: column for column in reversed(self.columns)}

    @cached_property
    def key(self) -> tuple[Column, ...]:
        """The key's columns, the start of a version after those of its record.

        An index in that order finds a record's versions together and in time.
        """
        key = [column for column in self.columns if column.primary_key]
        return tuple(sorted(key, key=lambda column: column.name == START))

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.key)

    @cached_property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column | None:
        return self._by_name.get(name)

    def without(self, *names: str) -> Table:
        """The same table without these columns."""
        return replace(self, columns=tuple(c for c in self.columns if c.name not in names))

    def with_implied_key(self) -> Table:
        """The same table; one that has no key, but `_fivetran_id`, with that as its key."""
        if self.key or self.column(ID) is None:
            return self
        return self.with_key([ID])

    def with_key(self, names: Iterable[str]) -> Table:
        """The same table with exactly these columns as its primary key."""
        key = frozenset(names)
        columns = (replace(each, primary_key=each.name in key) for each in self.columns)
        return replace(self, columns=tuple(columns))


def record_key(key: Iterable[str]) -> tuple[str, ...]:
    """The key without `_fivetran_start`."""
    return tuple(name for name in key if name != START)
