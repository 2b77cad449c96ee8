"""PostgreSQL's catalog: one query that tells everything about a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, LiteralString

import sqlalchemy as sa
from psycopg import sql

from destination.errors import RequestError
from destination.remembered import Remembered
from destination.warehouse.base import Session
from destination.warehouse.naming import Naming
from destination.warehouse.postgres import locks
from destination.warehouse.postgres.driver import execute, names_of
from destination.warehouse.postgres.marks import is_mark
from destination.warehouse.postgres.types import described_column
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

TABLE_KINDS = frozenset({"r", "p", "f"})
OTHER_KINDS = {"S": "a sequence", "i": "an index", "I": "an index", "c": "a type"}

TABLE_QUERY: LiteralString = """
    SELECT json_build_array(
        c.relkind, k.conname,
        NOT (c.relhastriggers OR c.relhasrules OR c.relrowsecurity),
        NOT (k.oid IS NULL OR k.condeferrable OR c.relhasrules),
        CASE WHEN row_security_active(c.oid)
             THEN (SELECT coalesce(json_agg(p.polname ORDER BY p.polname), '[]')
                   FROM pg_policy p WHERE p.polrelid = c.oid) END,
        (SELECT d.description FROM pg_description d
         WHERE d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = 0),
        (SELECT json_agg(json_build_array(
                a.attname, coalesce(a.attnum = ANY (k.conkey), false),
                format_type(a.atttypid, a.atttypmod),
                CASE WHEN t.typtype <> 'd' THEN json_build_array(t.typname, a.atttypmod)
                     ELSE (WITH RECURSIVE d AS (
                               SELECT t.typbasetype, t.typtypmod UNION ALL
                               SELECT b.typbasetype, b.typtypmod
                               FROM d JOIN pg_type b ON b.oid = d.typbasetype AND b.typtype = 'd')
                           SELECT json_build_array(b.typname, d.typtypmod)
                           FROM d JOIN pg_type b ON b.oid = d.typbasetype AND b.typtype <> 'd') END,
                a.attgenerated <> '' OR a.attidentity = 'a', d.description, a.attoptions,
                CASE WHEN a.attcollation <> t.typcollation
                     THEN a.attcollation::regcollation::text END) ORDER BY a.attnum)
         FROM pg_attribute a
         JOIN pg_type t ON t.oid = a.atttypid
         LEFT JOIN pg_description d ON d.classoid = 'pg_class'::regclass
             AND d.objoid = a.attrelid AND d.objsubid = a.attnum
         WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))::text,
        (SELECT 16384::oid <= ANY (i.indclass::oid[])
         FROM pg_index i WHERE i.indexrelid = k.conindid)
    FROM pg_class c
    LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    WHERE c.relname = {table} AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
      AND c.relnamespace = (SELECT n.oid FROM pg_namespace n WHERE n.nspname = {schema})"""
"""One text about a table, so that what is made of it can be remembered by it; and whether its key has an
operator class that somebody created. Each call asks it, and most of its time is spent on planning it:
few tables are joined, and what is seldom needed has queries of its own."""
EQUALITY_QUERY: LiteralString = """
    SELECT a.attname, format('OPERATOR(%%I.%%s)', n.nspname, o.oprname)
    FROM pg_class c
    JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    JOIN pg_index i ON i.indexrelid = k.conindid
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (k.conkey)
    JOIN pg_opclass oc ON oc.oid = i.indclass[array_position(k.conkey, a.attnum) - 1]
    JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype
        AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = 3
    JOIN pg_operator o ON o.oid = ao.amopopr
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = %s) AND c.relname = %s
      AND n.nspname <> 'pg_catalog'
    ORDER BY a.attnum"""
"""Strategy 3 of a B-tree is equality."""
PLAIN_KEY_QUERY: LiteralString = """
    SELECT pg_get_constraintdef(k.oid)
    FROM pg_class c
    JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    JOIN pg_index i ON i.indexrelid = k.conindid
    JOIN pg_class x ON x.oid = k.conindid
    WHERE c.oid = to_regclass(%s) AND c.relkind = 'r' AND NOT c.relispartition
      AND NOT k.condeferrable AND NOT i.indisclustered AND NOT i.indisreplident
      AND x.reltablespace = 0 AND x.reloptions IS NULL
      AND obj_description(k.oid, 'pg_constraint') IS NULL
      AND obj_description(x.oid, 'pg_class') IS NULL"""
_TABLES: Remembered[tuple[StoredTable, str]] = Remembered(
    16 << 20, lambda found: 2048 * (len(found[0].columns) + 1)
)
"""Tables and their kinds, by their names and descriptions."""
_OPENINGS: Remembered[tuple[bytes, bytes]] = Remembered(8 << 20, lambda each: sum(map(len, each)))
"""The queries that lock and describe tables, by their names."""
TAKEN_QUERY = sa.text(
    """
    SELECT c.relkind FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = :table
    UNION ALL
    SELECT 'c' FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname = :schema AND t.typname = :table AND t.typcategory <> 'A'
    """
)
"""A table has a type of its own name. The type of another table's arrays makes way for it."""


def description(session: Session, name: TableName) -> sql.Composed:
    """A query for one text that tells everything about a table; of no row where there is none.

    It is ASCII alone, to be read alike under any setting of the session.
    """
    stored = {"schema": session.schema(name.schema), "table": session.name(name.table)}
    return sql.SQL(TABLE_QUERY).format(**{key: _ascii(each) for key, each in stored.items()})


def opening(session: Session, name: TableName) -> tuple[bytes, bytes]:
    """The queries that lock a table if it is free, and describe it."""
    return _OPENINGS.get(
        name,
        lambda: (
            locks.attempt(locks.of_table(session, name)).as_bytes(),
            description(session, name).as_bytes(),
        ),
    )


def find_table(session: Session, name: TableName) -> StoredTable | None:
    """Read a table's description; None if the table or its schema is missing.

    Raises:
        RequestError: if a view has the name.
    """
    row = execute(session.connection, description(session, name)).fetchone()
    return None if row is None else described(session, name, *row)


def described(
    session: Session,
    name: TableName,
    text: str,
    own_operators: bool | None,  # noqa: FBT001 (a column of the query)
) -> StoredTable:
    """The table that a description tells of.

    Args:
        session: the transaction.
        name: the table's.
        text: the description.
        own_operators: whether its key may compare by operators that are not PostgreSQL's own.

    Raises:
        RequestError: if it is a view.
    """
    equalities = _equalities(session, name) if own_operators else ()
    naming = session.traits.naming
    stored, kind = _TABLES.get(
        (name, text, equalities), lambda: _parse(naming, name, text, dict(equalities))
    )
    if kind not in TABLE_KINDS:
        raise _taken(name, "a view")
    return stored


def _equalities(session: Session, name: TableName) -> tuple[tuple[str, str], ...]:
    """The operators by which columns of a key compare, where those are not PostgreSQL's own."""
    stored = session.schema(name.schema), session.name(name.table)
    rows = execute(session.connection, EQUALITY_QUERY, [str(each) for each in stored])
    return tuple(rows.fetchall())


def plain_key(session: Session, target: StoredTable) -> str | None:
    """The definition of a table's key, if its index can be dropped and rebuilt unchanged."""
    table, _ = names_of(target.clause)
    row = execute(session.connection, PLAIN_KEY_QUERY, (table.as_string(),)).fetchone()
    return None if row is None else str(row[0])


def _parse(
    naming: Naming, name: TableName, text: str, equalities: Mapping[str, str]
) -> tuple[StoredTable, str]:
    kind, key_constraint, standalone, mergeable, policies, comment, columns = json.loads(text)
    stored = StoredTable(
        name=name,
        columns=tuple(_stored_column(naming, column, equalities) for column in columns or ()),
        key_constraint=key_constraint,
        standalone=standalone,
        mergeable=mergeable,
        comment=comment,
        naming=naming,
        policies=None if policies is None else tuple(policies),
    )
    return stored, kind


def _ascii(name: str) -> sql.Composed:
    return sql.SQL("convert_from(decode({}, 'hex'), 'UTF8')::name").format(name.encode().hex())


def require_free_name(session: Session, name: TableName) -> None:
    """Check that a table may be given a name.

    Raises:
        RequestError: if something of the customer's has it.
    """
    stored = {"schema": str(session.schema(name.schema)), "table": str(session.name(name.table))}
    kind = session.connection.execute(TAKEN_QUERY, stored).scalar()
    if kind is not None:
        raise _taken(name, OTHER_KINDS.get(kind, "there already"))


def _taken(name: TableName, what: str) -> RequestError:
    return RequestError(f"{name} is {what}: rename or drop it, or sync into another schema")


def schema_exists(session: Session, schema: str) -> bool:
    """Whether a schema of that stored name exists."""
    query = sa.text("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :schema)")
    return bool(session.connection.execute(query, {"schema": schema}).scalar())


def _stored_column(
    naming: Naming, described: list[Any], equalities: Mapping[str, str]
) -> StoredColumn:
    """A column, as the description lists it."""
    name, primary_key, type_name, base, generated, comment, options, collation = described
    base_type, modifier = base
    column = described_column(
        naming.full(name, comment),
        base_type,
        modifier,
        naming.noted_type(name, comment),
        primary_key=primary_key,
    )
    marked = is_mark(options, name)
    return StoredColumn(
        column, name, type_name, comment, marked, generated, collation, equalities.get(name)
    )
