"""Keeps the comments of what is dropped and made again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import LiteralString, NamedTuple

import sqlalchemy as sa
from psycopg import sql

from destination.warehouse.base import Session
from destination.warehouse.postgres.driver import as_sqlalchemy, driver_of, execute, names_of
from destination.warehouse.stored import StoredTable


class Comment(NamedTuple):
    """What it is about, the name of that within the table, and the text."""

    kind: LiteralString
    name: str
    text: str


COMMENTS: LiteralString = """
    SELECT 'TABLE', '', d.description FROM pg_description d
    WHERE d.classoid = 'pg_class'::regclass AND d.objoid = %(table)s::regclass AND d.objsubid = 0
    UNION ALL
    SELECT 'COLUMN', a.attname, d.description FROM pg_description d
    JOIN pg_attribute a ON a.attrelid = d.objoid AND a.attnum = d.objsubid
    WHERE d.classoid = 'pg_class'::regclass AND d.objoid = %(table)s::regclass AND d.objsubid > 0
    UNION ALL
    SELECT 'CONSTRAINT', k.conname, d.description FROM pg_description d
    JOIN pg_constraint k ON k.oid = d.objoid
    WHERE d.classoid = 'pg_constraint'::regclass AND k.conrelid = %(table)s::regclass
    UNION ALL
    SELECT 'INDEX', c.relname, d.description FROM pg_description d
    JOIN pg_index i ON i.indexrelid = d.objoid JOIN pg_class c ON c.oid = i.indexrelid
    WHERE d.classoid = 'pg_class'::regclass AND i.indrelid = %(table)s::regclass AND d.objsubid = 0"""


def of(session: Session, table: sa.Table) -> list[Comment]:
    """All comments of a table, its columns, constraints and indexes."""
    name, _ = names_of(table)
    found = execute(session.connection, COMMENTS, {"table": name.as_string()})
    return [Comment(*row) for row in found]


@contextmanager
def kept_on_key(session: Session, target: StoredTable) -> Iterator[None]:
    """Carry the comments of a table's key over to the one that it has afterwards."""
    about = {(kind, target.key_constraint) for kind in ("CONSTRAINT", "INDEX")}
    kept = [each for each in of(session, target.clause) if (each.kind, each.name) in about]
    yield
    key = session.get_table(target.name).key_constraint if kept else None
    if key is not None:
        put_back(session, target.clause, [each._replace(name=key) for each in kept])


def put_back(session: Session, table: sa.Table, comments: Iterable[Comment]) -> None:
    """Comment again on what was made again."""
    driver = driver_of(session.connection)
    for comment in comments:
        with as_sqlalchemy(driver, "COMMENT"):  # an error is not to hold the customer's words
            driver.execute(_statement(table, *comment))


def _statement(table: sa.Table, kind: LiteralString, name: str, text: str) -> sql.Composed:
    whole, _ = names_of(table)
    about = {
        "TABLE": whole,
        "COLUMN": sql.Identifier(str(table.schema), str(table.name), name),
        "CONSTRAINT": sql.SQL("{} ON {}").format(sql.Identifier(name), whole),
        "INDEX": sql.Identifier(str(table.schema), name),
    }
    return sql.SQL("COMMENT ON {} {} IS {}").format(sql.SQL(kind), about[kind], text)
