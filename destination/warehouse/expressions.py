"""Parts of statements that differ by dialect: upserts, last rows, the flags of partial rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from destination.warehouse.ddl import NamedType
from destination.warehouse.naming import Alias

CLOSING_UNIT = timedelta(milliseconds=1)
"""A version ends this long before the next one starts."""


class Expressions(ABC):
    """Parts of statements that SQLAlchemy cannot express for every dialect.

    Attributes:
        flags_type: the type of `flags`.
    """

    flags_type: NamedType

    @abstractmethod
    def fraction_digits(self, number: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """How many digits a number has after the decimal point, without trailing zeros."""

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

    def just_before(self, instant: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The instant at which a version ends that another one follows: `CLOSING_UNIT` before that."""
        return instant - sa.literal(CLOSING_UNIT, sa.Interval())

    def preceding(
        self,
        rows: sa.FromClause,  # noqa: ARG002 (its values are those given)
        table: sa.Table,
        record: Mapping[str, sa.ColumnElement[Any]],
        start: tuple[str, sa.ColumnElement[Any]],
    ) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
        """Of rows, the last row of a table that is of the same record and starts earlier.

        Args:
            rows: the rows.
            table: the table.
            record: what tells records apart: the rows' values by the names of the table's columns.
            start: the name of the table's column of the start, and the rows' value of it.

        Returns:
            What to join to the rows, and on which condition.
        """
        versions = table.alias(Alias.PRECEDING)
        same = [versions.c[name] == value for name, value in record.items()]
        starts, at = versions.c[start[0]], start[1]
        earlier = sa.select(versions).where(*same, starts < at).order_by(starts.desc()).limit(1)
        return earlier.lateral(Alias.BASE), sa.true()

    def matched(
        self, rows: sa.FromClause, table: sa.Table, on: sa.ColumnElement[bool]
    ) -> sa.Select[Any]:
        """A query that finds something if a row has a match in a table."""
        match = sa.select(sa.literal(1)).select_from(table).where(on).limit(1)
        found = rows.join(match.lateral(Alias.VERSION), sa.true())
        return sa.select(sa.literal(1)).select_from(found)
