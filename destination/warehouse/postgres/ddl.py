"""ALTER TABLE as PostgreSQL alone says it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import DDLCompiler

from destination.warehouse.ddl import AlterTable


@dataclass(eq=False)
class AlterColumnType(AlterTable):
    """ALTER TABLE … ALTER COLUMN … TYPE … USING …"""

    table: sa.Table
    column: str
    type_name: str
    using: sa.ColumnElement[Any]


@compiles(AlterColumnType)
def _alter_column_type(element: AlterColumnType, compiler: DDLCompiler, **_: Any) -> str:
    table = compiler.preparer.format_table(element.table)
    column = compiler.preparer.quote_identifier(element.column)
    using = compiler.sql_compiler.process(element.using, include_table=False, literal_binds=True)
    return f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {element.type_name} USING {using}"
