"""The ALTER TABLE statements that SQLAlchemy has no words for, as SQLAlchemy DDL elements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.sql.operators import OperatorType


class NamedType(sa.types.UserDefinedType[Any]):
    """A warehouse type by its name there.

    Args:
        name: the name with its parameters: `numeric(10,2)`.
        collation: the collation of a column of this type, quoted; None for the type's own.
        equality: the operator by which a key of this type compares; None for `=`.
    """

    cache_ok = True

    def __init__(
        self, name: str, collation: str | None = None, equality: str | None = None
    ) -> None:
        self.name = name
        self.collation = collation
        self.equality = equality

    def get_col_spec(self, **_: Any) -> str:
        return f"{self.name} COLLATE {self.collation}" if self.collation else self.name

    class Comparator(sa.types.UserDefinedType.Comparator[Any]):
        """Compares as the key's index does."""

        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> sa.ColumnElement[Any]:
            equality = cast("NamedType", self.type).equality
            if op is operators.eq and equality is not None:
                op = operators.custom_op(equality, is_comparison=True, return_type=sa.Boolean())
            return super().operate(op, *other, **kwargs)

    comparator_factory = Comparator


class AlterTable(ExecutableDDLElement):
    """ALTER TABLE …"""

    table: sa.Table


@dataclass(eq=False)
class AddColumn(AlterTable):
    """ALTER TABLE … ADD COLUMN …"""

    table: sa.Table
    column: sa.Column[Any]


@dataclass(eq=False)
class DropColumn(AlterTable):
    """ALTER TABLE … DROP COLUMN …"""

    table: sa.Table
    column: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a column's value becomes when the column's type changes.

    Args:
        value: the new value; NULL where the old one does not survive.
        total: whether every value survives.
    """

    value: sa.ColumnElement[Any]
    total: bool


@dataclass(eq=False)
class DropNotNull(AlterTable):
    """ALTER TABLE … ALTER COLUMN … DROP NOT NULL"""

    table: sa.Table
    column: str


@dataclass(eq=False)
class AddPrimaryKey(AlterTable):
    """ALTER TABLE … ADD CONSTRAINT … PRIMARY KEY (…)"""

    table: sa.Table
    name: str
    columns: tuple[str, ...]


@dataclass(eq=False)
class DropConstraint(AlterTable):
    """ALTER TABLE … DROP CONSTRAINT …"""

    table: sa.Table
    name: str


@dataclass(eq=False)
class RenameTable(AlterTable):
    """ALTER TABLE … RENAME TO …"""

    table: sa.Table
    name: str


@dataclass(eq=False)
class RenameColumn(AlterTable):
    """ALTER TABLE … RENAME COLUMN … TO …"""

    table: sa.Table
    column: str
    name: str


def _quote(compiler: DDLCompiler) -> Callable[[str], str]:
    """Quotes names, also those that SQLAlchemy does not know to be reserved in a newer version."""
    return compiler.preparer.quote_identifier


def _alter(table: sa.Table, compiler: DDLCompiler) -> str:
    return f"ALTER TABLE {compiler.preparer.format_table(table)}"


@compiles(AddColumn)
def _add_column(element: AddColumn, compiler: DDLCompiler, **_: Any) -> str:
    specification = compiler.get_column_specification(element.column)
    return f"{_alter(element.table, compiler)} ADD COLUMN {specification}"


@compiles(DropColumn)
def _drop_column(element: DropColumn, compiler: DDLCompiler, **_: Any) -> str:
    column = _quote(compiler)(element.column)
    return f"{_alter(element.table, compiler)} DROP COLUMN {column}"


@compiles(DropNotNull)
def _drop_not_null(element: DropNotNull, compiler: DDLCompiler, **_: Any) -> str:
    column = _quote(compiler)(element.column)
    return f"{_alter(element.table, compiler)} ALTER COLUMN {column} DROP NOT NULL"


@compiles(AddPrimaryKey)
def _add_primary_key(element: AddPrimaryKey, compiler: DDLCompiler, **_: Any) -> str:
    columns = ", ".join(map(_quote(compiler), element.columns))
    add = f"{_alter(element.table, compiler)} ADD CONSTRAINT {_quote(compiler)(element.name)}"
    return f"{add} PRIMARY KEY ({columns})"


@compiles(DropConstraint)
def _drop_constraint(element: DropConstraint, compiler: DDLCompiler, **_: Any) -> str:
    name = _quote(compiler)(element.name)
    return f"{_alter(element.table, compiler)} DROP CONSTRAINT {name}"


@compiles(RenameTable)
def _rename_table(element: RenameTable, compiler: DDLCompiler, **_: Any) -> str:
    return f"{_alter(element.table, compiler)} RENAME TO {_quote(compiler)(element.name)}"


@compiles(RenameColumn)
def _rename_column(element: RenameColumn, compiler: DDLCompiler, **_: Any) -> str:
    quote = _quote(compiler)
    names = f"{quote(element.column)} TO {quote(element.name)}"
    return f"{_alter(element.table, compiler)} RENAME COLUMN {names}"
