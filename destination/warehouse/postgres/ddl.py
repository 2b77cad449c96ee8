"""ALTER TABLE as PostgreSQL alone says it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.compiler import DDLCompiler

from destination.warehouse.ddl import AlterTable


@dataclass(eq=False)
class AlterColumnType(AlterTable):
    """… ALTER COLUMN … TYPE … USING …"""

    column: str
    type_name: str
    using: sa.ColumnElement[Any]

    def action(self, compiler: DDLCompiler, quote: Callable[[str], str]) -> str:
        sql = compiler.sql_compiler
        using = sql.process(self.using, include_table=False, literal_binds=True)
        return f"ALTER COLUMN {quote(self.column)} TYPE {self.type_name} USING {using}"
