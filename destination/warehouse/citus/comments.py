"""Keeps comments while Citus rebuilds a table, which loses them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql

from destination.warehouse.postgres.driver import as_sqlalchemy, driver_of, names_of
from destination.warehouse.postgres.session import PostgresSession

Comment = tuple[LiteralString, str, str]
"""What it is about, the name of that within the table, and the text."""

COMMENTS: LiteralString = """
    SELECT 'TABLE', '', d.description FROM pg_description d
    WHERE d.classoid = 'pg_class'::regclass AND d.objoid = {0}::regclass AND d.objsubid = 0
    UNION ALL
    SELECT 'COLUMN', a.attname, d.description FROM pg_description d
    JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
    WHERE d.classoid = 'pg_class'::regclass AND d.objoid = {0}::regclass AND d.objsubid > 0
    UNION ALL
    SELECT 'CONSTRAINT', k.conname, d.description FROM pg_description d
    JOIN pg_constraint k ON k.oid = d.objoid
    WHERE d.classoid = 'pg_constraint'::regclass AND k.conrelid = {0}::regclass
    UNION ALL
    SELECT 'INDEX', c.relname, d.description FROM pg_description d
    JOIN pg_index i ON i.indexrelid = d.objoid JOIN pg_class c ON c.oid = i.indexrelid
    WHERE d.classoid = 'pg_class'::regclass AND i.indrelid = {0}::regclass AND d.objsubid = 0"""


def of(session: PostgresSession, table: sa.Table) -> Sequence[Comment]:
    """All comments of a table, its columns, constraints and indexes."""
    name, _ = names_of(table)
    query = sql.SQL(COMMENTS).format(sql.Literal(name.as_string()))
    driver = driver_of(session.connection)
    with as_sqlalchemy(driver, COMMENTS):
        return driver.execute(query).fetchall()


def put_back(session: PostgresSession, table: sa.Table, comments: Sequence[Comment]) -> None:
    """Comment again on a table that was rebuilt."""
    for kind, name, text in comments:
        session.execute_raw(_command(table, kind, name, text))


def _command(table: sa.Table, kind: LiteralString, name: str, text: str) -> sql.Composed:
    whole, _ = names_of(table)
    about = {
        "TABLE": whole,
        "COLUMN": sql.Identifier(str(table.schema), str(table.name), name),
        "CONSTRAINT": sql.SQL("{} ON {}").format(sql.Identifier(name), whole),
        "INDEX": sql.Identifier(str(table.schema), name),
    }
    return sql.SQL("COMMENT ON {} {} IS {}").format(sql.SQL(kind), about[kind], text)
