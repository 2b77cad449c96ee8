"""Tables and columns as a warehouse stores them, found by the names under which it does."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name

from destination.errors import RequestError
from destination.schema import ACTIVE, END, START, Column, Table
from destination.warehouse.ddl import NamedType
from destination.warehouse.naming import Naming

SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class TableName:
    """A table as the request names it."""

    schema: str
    table: str

    def __str__(self) -> str:
        return f'table "{_abbreviated(self.schema)}"."{_abbreviated(self.table)}"'


def _abbreviated(name: str) -> str:
    """A name as messages show it, which must stay short whatever a request holds."""
    return name if len(name) <= SHOWN_CHARACTERS else f"{name[:SHOWN_CHARACTERS]}…"


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """A column as the warehouse stores it.

    Args:
        column: as Fivetran sees it, under its full name.
        name: its name in the warehouse.
        type_name: its type there, with parameters.
        comment: its comment.
        made_here: whether this project made it, and nobody renamed it by hand since.
        generated: whether the warehouse gives it its values and takes none.
        collation: its collation, quoted; None for its type's own.
        equality: the operator by which a key compares it; None for `=`.
    """

    column: Column
    name: str
    type_name: str
    comment: str | None
    made_here: bool
    generated: bool
    collation: str | None = None
    equality: str | None = None

    def called(self, name: str) -> StoredColumn:
        """The column under another full name."""
        if name == self.column.name:
            return self
        return replace(self, column=replace(self.column, name=name))

    @property
    def clause(self) -> sa.Column[Any]:
        """The column for SQLAlchemy statements."""
        kind = NamedType(self.type_name, self.collation, self.equality)
        return sa.Column(quoted_name(self.name, quote=True), kind)


@dataclass(frozen=True)
class StoredTable:
    """A table as the warehouse stores it.

    Args:
        name: as the request names it.
        columns: its columns, in the order they have in the warehouse.
        key_constraint: the name of its primary key; None if it has none.
        standalone: whether a row may be deleted and inserted again without side effects: no
            trigger, foreign key, rule or policy is about the table.
        mergeable: whether a statement can insert or update by the key; not if deferrable, nor by rules.
        policies: the row-level security policies that hide rows from us; None if none may.
        comment: its comment.
        naming: how its warehouse stores names.
    """

    name: TableName
    columns: tuple[StoredColumn, ...]
    key_constraint: str | None
    standalone: bool
    mergeable: bool
    policies: tuple[str, ...] | None
    comment: str | None
    naming: Naming

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.columns, self.key_constraint, self.mergeable))

    @cached_property
    def clause(self) -> sa.Table:
        """The table for SQLAlchemy statements, under its stored names."""
        schema, table = map(self.naming.stored, (self.name.schema, self.name.table))
        columns = [column.clause for column in self.columns]
        name = quoted_name(table, quote=True)
        return sa.Table(name, sa.MetaData(), *columns, schema=quoted_name(schema, quote=True))

    @cached_property
    def table(self) -> Table:
        """The table as Fivetran sees it."""
        return Table(self.name.table, tuple(stored.column for stored in self.columns))

    @cached_property
    def key(self) -> frozenset[str]:
        """The full names of the primary key's columns."""
        return frozenset(self.table.key_names)

    @cached_property
    def _by_stored_name(self) -> dict[str, StoredColumn]:
        return {column.name: column for column in self.columns}

    def find(self, name: str) -> StoredColumn | None:
        """The column of that full name; None if the table has none.

        It is found by the name under which it is stored, whatever its comment tells.
        """
        stored = self._by_stored_name.get(self.naming.stored(name))
        return None if stored is None else stored.called(name)

    def as_called_by(self, table: Table) -> StoredTable:
        """The same table, its columns under the full names that a request's table has for them."""
        names = {self.naming.stored(column.name): column.name for column in table.columns}
        columns = [
            column.called(names.get(column.name, column.column.name)) for column in self.columns
        ]
        return replace(self, columns=tuple(columns))

    def get(self, name: str) -> StoredColumn:
        """The column of that full name.

        Raises:
            RequestError: if the table has none.
        """
        stored = self.find(name)
        if stored is None:
            raise RequestError(f'{self.name} has no column "{name}": re-sync the table')
        return stored

    def key_of(self, table: Table) -> tuple[str, ...]:
        """The full names of the key's columns.

        Args:
            table: the table as the request has it.

        Raises:
            RequestError: if the request says that it has another key.
        """
        key, stored = table.key_names, set(self.table.with_implied_key().key_names)
        if stored != set(key):
            raise RequestError(
                f"{self.name} has the primary key ({', '.join(sorted(stored))}), but the request "
                f"says ({', '.join(sorted(key))}): re-sync the table"
            )
        return key

    def require_history_mode(self) -> None:
        """Check that the table is in history mode, and has a key besides `_fivetran_start`.

        Raises:
            RequestError: if not.
        """
        if START not in self.key or self.find(END) is None or self.find(ACTIVE) is None:
            raise RequestError(f"{self.name} is not in history mode: re-sync the table")
        if self.key == {START}:
            raise RequestError(
                f'{self.name} has no column in its primary key but "{START}", so its records cannot '
                f"be distinguished: re-sync the table"
            )

    def require_every_row(self) -> None:
        """Check that no row is hidden from us.

        Raises:
            RequestError: if a policy may hide rows: they would be neither updated nor deleted.
        """
        if self.policies is None:
            return
        policies = ", ".join(f'"{policy}"' for policy in self.policies) or "that allows nothing"
        raise RequestError(
            f"{self.name} has row-level security that holds for its owner too (policy {policies}): "
            f"run ALTER TABLE … NO FORCE ROW LEVEL SECURITY as its owner, or give Fivetran's user "
            f"BYPASSRLS"
        )

    def __getitem__(self, name: str) -> sa.Column[Any]:
        """The column of that full name, for SQLAlchemy statements."""
        return self.clause.c[self.get(name).name]
