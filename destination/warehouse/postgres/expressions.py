"""PostgreSQL's forms of what SQLAlchemy cannot express for every dialect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from destination.warehouse.ddl import NamedType
from destination.warehouse.expressions import Expressions
from destination.warehouse.naming import Alias


class Upsert(Executable, ClauseElement):
    """INSERT … ON CONFLICT under an alias, which SQLAlchemy's own cannot have.

    The alias lets a table have the name `excluded`, by which the statement calls the rows.

    Args:
        table: the table.
        rows: the rows, each key at most once.
        names: the names of their columns.
        key: those of the key among them.
    """

    inherit_cache = False

    def __init__(
        self, table: sa.Table, rows: sa.Select[Any], names: Sequence[str], key: Sequence[str]
    ) -> None:
        self.table = table
        self.rows = rows
        self.names = names
        self.key = key


@compiles(Upsert)
def _upsert(element: Upsert, compiler: SQLCompiler, **options: Any) -> str:
    quote = compiler.preparer.quote_identifier
    names, key = (", ".join(map(quote, names)) for names in (element.names, element.key))
    others = [quote(name) for name in element.names if name not in element.key]
    update = ", ".join(f"{name} = excluded.{name}" for name in others)
    action = f"UPDATE SET {update}" if others else "NOTHING"
    table = compiler.preparer.format_table(element.table)
    rows = compiler.process(element.rows, **options)
    into = f"INSERT INTO {table} AS {quote(Alias.TARGET)} ({names})"
    return f"{into} {rows} ON CONFLICT ({key}) DO {action}"


def _number(value: int) -> sa.ColumnElement[int]:
    """A number as it stands in a statement, since one of wide rows would have hundreds of parameters."""
    return sa.literal_column(str(value), sa.Integer)


ONE = _number(1)


class PostgresExpressions(Expressions):
    """PostgreSQL's parts of statements."""

    flags_type = NamedType("bit varying")

    def fraction_digits(self, number: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        return sa.func.min_scale(number)

    def upsert(
        self, target: sa.Table, rows: sa.Select[Any], names: Sequence[str], key: Sequence[str]
    ) -> sa.Executable:
        return Upsert(target, rows, names, key)

    def last_rows(
        self,
        columns: Sequence[sa.ColumnElement[Any]],
        key: Sequence[sa.ColumnElement[Any]],
        order: sa.ColumnElement[Any],
    ) -> sa.Select[Any]:
        rows = sa.select(*columns).ext(postgresql.distinct_on(*key))
        return rows.order_by(*key, order.desc())

    def is_modified(self, mask: sa.ColumnElement[Any], position: int) -> sa.ColumnElement[bool]:
        return sa.func.get_byte(mask, _number(position)) == ONE

    def flags(self, mask: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        digits = sa.literal("x") + sa.func.encode(mask, "hex")
        return sa.cast(digits, self.flags_type)

    def united(
        self, flags: sa.ColumnElement[Any], others: sa.ColumnElement[Any]
    ) -> sa.ColumnElement[Any]:
        return flags.op("|")(others)

    def is_set(self, flags: sa.ColumnElement[Any], position: int) -> sa.ColumnElement[bool]:
        last_of_byte = position * 8 + 7
        return sa.func.get_bit(flags, _number(last_of_byte)) == ONE
