"""INSERT … ON CONFLICT under an alias, which SQLAlchemy's own cannot have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement, Executable

from destination.warehouse.naming import Alias


class Upsert(Executable, ClauseElement):
    """Inserts rows, or updates the row of the same key.

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
