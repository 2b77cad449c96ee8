"""What statements say in each dialect in its own way: upserts, last rows, the flags of partial rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from destination.warehouse.ddl import NamedType


class Expressions(ABC):
    """Parts of statements that SQLAlchemy has no neutral words for.

    Attributes:
        flags_type: the type of `flags`.
    """

    flags_type: NamedType

    @abstractmethod
    def fraction_digits(self, number: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """How many digits a number has behind the point, without zeros at the end."""

    @abstractmethod
    def upsert(
        self, target: sa.Table, rows: sa.Select[Any], names: Sequence[str], key: Sequence[str]
    ) -> sa.Executable:
        """A statement that inserts rows, or updates the row of the same key.

        Args:
            target: the table.
            rows: the rows, each key at most once.
            names: the stored names of their columns.
            key: those of the key among them.
        """

    @abstractmethod
    def last_rows(
        self,
        columns: Sequence[sa.ColumnElement[Any]],
        key: Sequence[sa.ColumnElement[Any]],
        order: sa.ColumnElement[Any],
    ) -> sa.Select[Any]:
        """A query of these columns in the last row, by an order, of each key."""

    @abstractmethod
    def is_modified(self, mask: sa.ColumnElement[Any], position: int) -> sa.ColumnElement[bool]:
        """Whether a mask of `rows.MODIFIED` has a value in the column at a position."""

    @abstractmethod
    def flags(self, mask: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A mask of `rows.MODIFIED` as flags, of the type `flags_type`, that can be united."""

    @abstractmethod
    def united(
        self, flags: sa.ColumnElement[Any], others: sa.ColumnElement[Any]
    ) -> sa.ColumnElement[Any]:
        """The flags that are set in either."""

    @abstractmethod
    def is_set(self, flags: sa.ColumnElement[Any], position: int) -> sa.ColumnElement[bool]:
        """Whether the flag of the column at a position is set."""
