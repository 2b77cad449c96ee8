"""What a warehouse must do: transactions, and in each the few things that differ by dialect.

`tables`, `loading`, `history` and `migration` are SQLAlchemy Core and the same for every warehouse;
what differs between warehouses is a method of `Session`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql import quoted_name

from destination import telemetry
from destination.cancellation import Cancellation
from destination.errors import RequestError
from destination.progress import Progress
from destination.schema import Column, Table
from destination.warehouse.ddl import Conversion, NamedType
from destination.warehouse.expressions import Expressions
from destination.warehouse.naming import Naming
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

Result = TypeVar("Result")
Commented = sa.Table | sa.Column[Any]
Landed = Callable[["Session"], bool]
"""Tells in a later session whether the work of this one was committed."""
Parameters = Mapping[str, Any]
"""The values of a statement that carries rows, by the names of their parameters."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What differs between warehouses and can be said as data.

    Args:
        naming: how it stores names.
        reserved_schemas: schemas that are the warehouse's own.
        reserved_schema_prefix: how further such schemas begin.
        unstorable: the character of ASCII that no text holds; empty if texts hold all.
    """

    naming: Naming
    reserved_schemas: frozenset[str]
    reserved_schema_prefix: str
    unstorable: str


class Session(Expressions, ABC):
    """One transaction in a warehouse.

    Attributes:
        carrying: whether statements may carry rows.
        progress: how far it has come, for the log.
    """

    traits: Traits
    carrying: bool = True

    def __init__(self, connection: sa.Connection, cancellation: Cancellation) -> None:
        self.connection = connection
        self.cancellation = cancellation
        self.progress = Progress()

    def execute(self, statement: sa.Executable) -> int:
        """Execute a statement.

        Returns:
            How many rows it changed.
        """
        self.cancellation.check()
        changes_shape = isinstance(statement, ExecutableDDLElement)
        self.progress.phase = "changing the table" if changes_shape else "merging rows"
        name = "merge" if statement.is_dml else "change"
        with telemetry.phase(name, statement.__visit_name__):
            return self.connection.execute(statement).rowcount

    def scalar(self, statement: sa.Executable) -> Any:
        """The one value that a query answers."""
        return self.connection.execute(statement).scalar()

    def finds(self, rows: sa.Select[Any]) -> bool:
        """Whether a query, whose first column is never NULL, finds a row.

        A limit lets a cluster stop at the first one; it would gather all of them for EXISTS.
        """
        return self.scalar(rows.limit(1)) is not None

    def name(self, name: str) -> quoted_name:
        """The name under which the warehouse stores a schema, table or column, to be quoted."""
        return quoted_name(self.traits.naming.stored(name), quote=True)

    def schema(self, name: str) -> quoted_name:
        """The name under which the warehouse stores a customer's schema.

        Raises:
            RequestError: if the schema is the warehouse's own.
        """
        own = name.startswith(self.traits.reserved_schema_prefix)
        if own or name in self.traits.reserved_schemas:
            raise RequestError(
                f'schema "{name}" belongs to the warehouse itself: choose another schema name'
            )
        return self.name(name)

    def clause(self, name: TableName, columns: Iterable[sa.Column[Any]] = ()) -> sa.Table:
        """The table for SQLAlchemy statements."""
        return sa.Table(
            self.name(name.table), sa.MetaData(), *columns, schema=self.schema(name.schema)
        )

    def get_table(self, name: TableName) -> StoredTable:
        """A table that must exist, with all of its rows.

        Raises:
            RequestError: if it does not, or hides rows.
        """
        return required(name, self.find_table(name))

    def lock_table(self, name: TableName) -> StoredTable:
        """A table that must exist, locked against other sessions of this project.

        Raises:
            RequestError: if it does not exist.
        """
        self.lock(name)
        return self.get_table(name)

    @abstractmethod
    def find_table(self, name: TableName) -> StoredTable | None:
        """Read a table's description from the catalog; None if the table or its schema is missing."""

    @abstractmethod
    def require_free_name(self, name: TableName) -> None:
        """Check that a table may be given a name that no table has.

        Raises:
            RequestError: if something else in the warehouse has it.
        """

    @abstractmethod
    def create_schema(self, schema: str) -> None:
        """Create a schema if it is missing; safe when several sessions do so at once."""

    @abstractmethod
    def comment(self, target: Commented, comment: str | None) -> None:
        """Set or remove the comment of a table or a column."""

    @abstractmethod
    def change_type(
        self, column: sa.Column[Any], type_name: str, value: sa.ColumnElement[Any]
    ) -> None:
        """Change a column's type.

        Args:
            column: the column, of its table.
            type_name: the warehouse's type that it becomes.
            value: what it holds then, as an expression of what it holds.
        """

    @abstractmethod
    def lock(self, name: TableName) -> None:
        """Wait until no other session of this project works on the table; hold that until the end."""

    @abstractmethod
    def keep_writers_out(self, table: sa.Table) -> None:
        """Block other writers of a table until the transaction's end."""

    @abstractmethod
    def type_name(self, column: Column) -> str:
        """The warehouse's type for a column."""

    @abstractmethod
    def wire_type_name(self, column: Column) -> str:
        """The warehouse's type in which a column's values arrive by `copy`."""

    @abstractmethod
    def type_remark(self, column: Column) -> bool:
        """Whether the column's Fivetran type does not follow from the warehouse's type."""

    @abstractmethod
    def mark(self, table: sa.Table, names: Sequence[str]) -> None:
        """Mark columns, by their stored names, as made by this project: `StoredColumn.made_here`.

        The mark outlives comments and dumps, and holds for the column's present name alone.
        """

    def narrows(self, target: StoredTable) -> bool:  # noqa: ARG002
        """Whether a statement may look at the records of staged rows alone within what it changes by."""
        return True

    def place(self, table: sa.Table, key: Sequence[str]) -> None:
        """Put a table that was just made where its rows are to be, if that is not where it was made.

        Args:
            table: the table, which is empty.
            key: the full names of its key's columns.
        """

    def reshaping(
        self,
        target: StoredTable,  # noqa: ARG002
        touched: Collection[StoredColumn],  # noqa: ARG002
        key: Sequence[Column] | None,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Let a table's shape be changed meanwhile, where the warehouse has to make ready for that.

        What the customer wrote about its key is kept.

        Args:
            target: the table, as it is before.
            touched: its columns that are dropped, or get another type.
            key: its new key; None if it stays.
        """
        return nullcontext()

    @abstractmethod
    def storage(self, table: Table) -> dict[str, Any]:
        """How a new table is to be stored: arguments of the warehouse's SQLAlchemy dialect."""

    @abstractmethod
    def cast(self, value: sa.ColumnElement[Any], source: str, target: str) -> sa.ColumnElement[Any]:
        """A value of one of the warehouse's types as another, by Fivetran's notation of texts."""

    @abstractmethod
    def conversion(self, value: sa.Column[Any], old: StoredColumn, new: Column) -> Conversion:
        """A stored column's value as one of another type; a DECIMAL keeps all its digits."""

    @abstractmethod
    def has_written(self, table: sa.Table) -> Landed:
        """Tells in a later session whether the rows that this one writes to a table were committed."""

    @abstractmethod
    def create_staging(self, columns: Sequence[sa.Column[Any]]) -> sa.Table:
        """Create a table of its own for this transaction, which ends with it."""

    @abstractmethod
    def fitting(self, kinds: Sequence[NamedType], count: int) -> list[range]:
        """Cut columns into as few ranges as have room in a staging table each, whatever their values.

        Args:
            kinds: each column's types: number i is of those at i, i + count and so on, one at a time.
            count: how many columns there are.
        """

    @abstractmethod
    def carried_type(self, column: Column, stored: StoredColumn) -> str | None:
        """The warehouse's type in which statements carry values for a stored column.

        None where they carry none: the column has a type of its own, in which values must be stored
        to be compared, and refused, as they are there.
        """

    @abstractmethod
    def carried(self, types: Mapping[str, str], ordinal: str) -> sa.FromClause:
        """The rows that a statement carries.

        Args:
            types: those of their columns, by the columns' names.
            ordinal: the name of a further column, for the number of each row in their order.
        """

    @abstractmethod
    def parameters(self, rows: pa.RecordBatch, types: Sequence[str]) -> Parameters:
        """The values of a statement that carries rows, of columns of these types."""

    @abstractmethod
    def execute_carrying(
        self, parameters: Parameters, key: Hashable, statement: Callable[[], sa.Executable]
    ) -> int:
        """Execute a statement that carries rows.

        Args:
            parameters: the rows.
            key: all that the statement depends on besides them.
            statement: makes it; called only where none of that key is remembered.

        Returns:
            How many rows it changed.
        """

    @abstractmethod
    def analyze(self, table: sa.Table, columns: Sequence[sa.Column[Any]]) -> None:
        """Collect statistics of columns for the planner."""

    @abstractmethod
    def survey(self, table: sa.Table) -> None:
        """Collect rough statistics of a table that was just filled."""

    @abstractmethod
    def free_undone_rows(self, target: StoredTable) -> None:
        """Free the space of rows that were rolled back, if nobody uses the table.

        Args:
            target: the table, which is empty.
        """

    @abstractmethod
    def size(self, table: sa.Table) -> int:
        """About how many bytes the rows of a table take; 0 where that is not known."""

    @abstractmethod
    def copy(
        self, target: sa.Table, columns: Sequence[sa.Column[Any]], batches: Iterable[pa.RecordBatch]
    ) -> int:
        """Append record batches to a table.

        Args:
            target: the table.
            columns: its columns, in the order of the record batches' fields.
            batches: the rows.

        Returns:
            How many rows there were.

        Raises:
            BatchFileError: with the number of the row that the warehouse refuses.
        """

    @abstractmethod
    def unless_duplicate(self, work: Callable[[], Result | None]) -> Result | None:
        """Run in a savepoint; on a duplicate key or None, roll back and return None."""

    @abstractmethod
    def refusal(self, statement: sa.Executable) -> str | None:
        """Execute a statement in a savepoint; if a value is refused, roll it back.

        Returns:
            Why the value is refused, without the value; None if none is.
        """

    @abstractmethod
    def key_built_last(
        self, target: StoredTable, work: Callable[[], Result | None]
    ) -> Result | None:
        """Fill an empty table before its key's index is built; with it if others wait for the table.

        Args:
            target: the table, which is empty.
            work: fills it by `copy`; it may run twice, each time from the beginning.
        """


def required(name: TableName, stored: StoredTable | None) -> StoredTable:
    """A table that must exist, with all of its rows.

    Raises:
        RequestError: if it does not, or hides rows.
    """
    if stored is None:
        raise RequestError(f"{name} does not exist: re-sync the table")
    stored.require_every_row()
    return stored
