"""ALTER TABLE statements as DDL elements: SQLAlchemy has none."""

from __future__ import annotations

from abc import ABC, abstractmethod
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


@dataclass(eq=False)
class AlterTable(ExecutableDDLElement, ABC):
    """ALTER TABLE …

    Names are always quoted: SQLAlchemy does not know those that a newer version reserves.
    """

    table: sa.Table

    @abstractmethod
    def action(self, compiler: DDLCompiler, quote: Callable[[str], str]) -> str:
        """What follows the table's name."""


@compiles(AlterTable)
def _alter_table(element: AlterTable, compiler: DDLCompiler, **_: Any) -> str:
    action = element.action(compiler, compiler.preparer.quote_identifier)
    return f"ALTER TABLE {compiler.preparer.format_table(element.table)} {action}"


@dataclass(eq=False)
class AddColumn(AlterTable):
    """… ADD COLUMN …"""

    column: sa.Column[Any]

    def action(self, compiler: DDLCompiler, _: Callable[[str], str]) -> str:
        return f"ADD COLUMN {compiler.get_column_specification(self.column)}"


@dataclass(eq=False)
class DropColumn(AlterTable):
    """… DROP COLUMN …"""

    column: str

    def action(self, _: DDLCompiler, quote: Callable[[str], str]) -> str:
        return f"DROP COLUMN {quote(self.column)}"


@dataclass(eq=False)
class DropNotNull(AlterTable):
    """… ALTER COLUMN … DROP NOT NULL"""

    column: str

    def action(self, _: DDLCompiler, quote: Callable[[str], str]) -> str:
        return f"ALTER COLUMN {quote(self.column)} DROP NOT NULL"


@dataclass(eq=False)
class AddPrimaryKey(AlterTable):
    """… ADD CONSTRAINT … PRIMARY KEY (…)"""

    name: str
    columns: tuple[str, ...]

    def action(self, _: DDLCompiler, quote: Callable[[str], str]) -> str:
        columns = ", ".join(map(quote, self.columns))
        return f"ADD CONSTRAINT {quote(self.name)} PRIMARY KEY ({columns})"


@dataclass(eq=False)
class DropConstraint(AlterTable):
    """… DROP CONSTRAINT …"""

    name: str

    def action(self, _: DDLCompiler, quote: Callable[[str], str]) -> str:
        return f"DROP CONSTRAINT {quote(self.name)}"


@dataclass(eq=False)
class RenameTable(AlterTable):
    """… RENAME TO …"""

    name: str

    def action(self, _: DDLCompiler, quote: Callable[[str], str]) -> str:
        return f"RENAME TO {quote(self.name)}"


@dataclass(eq=False)
class RenameColumn(AlterTable):
    """… RENAME COLUMN … TO …"""

    column: str
    name: str

    def action(self, _: DDLCompiler, quote: Callable[[str], str]) -> str:
        return f"RENAME COLUMN {quote(self.column)} TO {quote(self.name)}"


@dataclass(frozen=True, slots=True)
class Conversion:
    """What a column's value becomes when the column's type changes.

    Args:
        value: the new value; NULL where the old one does not survive.
        total: whether every value survives.
    """

    value: sa.ColumnElement[Any]
    total: bool
