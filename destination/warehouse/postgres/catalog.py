"""PostgreSQL's catalog: one query that tells everything about a table."""

from __future__ import annotations

import sqlalchemy as sa

from destination.errors import RequestError
from destination.warehouse.base import Session, StoredColumn, StoredTable, TableName
from destination.warehouse.ddl import NamedType
from destination.warehouse.naming import full_name, remarked_type
from destination.warehouse.postgres.types import described_column

TABLE_KINDS = frozenset({"r", "p", "f"})

TABLE_QUERY = sa.text(
    """
    SELECT c.relkind AS kind, k.conname AS key_constraint,
           CASE WHEN c.relkind = 'r' AND NOT c.relispartition AND NOT k.condeferrable
                AND NOT i.indisclustered AND NOT i.indisreplident
                AND x.reltablespace = 0 AND x.reloptions IS NULL
                AND obj_description(k.oid, 'pg_constraint') IS NULL
                AND obj_description(x.oid, 'pg_class') IS NULL
                THEN pg_get_constraintdef(k.oid) END AS plain_key,
           NOT (c.relhastriggers OR c.relhasrules OR c.relrowsecurity) AS standalone,
           NOT (k.oid IS NULL OR k.condeferrable OR c.relhasrules) AS mergeable,
           CASE WHEN row_security_active(c.oid)
                THEN ARRAY(SELECT p.polname::text FROM pg_catalog.pg_policy p
                           WHERE p.polrelid = c.oid ORDER BY 1) END AS policies,
           a.attname AS name, a.attnum = ANY (k.conkey) AS primary_key,
           format_type(a.atttypid, a.atttypmod) AS type_name,
           coalesce(b.typname, t.typname) AS base_type,
           CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END AS modifier,
           a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
           col_description(c.oid, a.attnum) AS comment
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = k.conindid
    LEFT JOIN pg_catalog.pg_class x ON x.oid = k.conindid
    LEFT JOIN pg_catalog.pg_attribute a
        ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
    WHERE n.nspname = :schema AND c.relname = :table
      AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
    ORDER BY a.attnum
    """
)


def find_table(session: Session, name: TableName) -> StoredTable | None:
    """Read a table's description; None if the table or its schema is missing.

    Raises:
        RequestError: if a view has the name.
    """
    names = {"schema": str(session.schema(name.schema)), "table": str(session.name(name.table))}
    rows = session.connection.execute(TABLE_QUERY, names).all()
    if not rows:
        return None
    if rows[0].kind not in TABLE_KINDS:
        raise RequestError(f"{name} is a view: drop it, or sync into another schema")
    columns = tuple(_stored_column(session, row) for row in rows if row.name is not None)
    clauses = [sa.Column(session.name(c.name), NamedType(c.type_name)) for c in columns]
    clause = session.clause(name, clauses)
    table = rows[0]
    return StoredTable(
        name,
        clause,
        columns,
        table.key_constraint,
        table.plain_key,
        table.standalone,
        table.mergeable,
        None if table.policies is None else tuple(table.policies),
    )


def schema_exists(session: Session, schema: str) -> bool:
    """Whether a schema of that stored name exists."""
    query = sa.text("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :schema)")
    return bool(session.connection.execute(query, {"schema": schema}).scalar())


def _stored_column(session: Session, row: sa.Row[tuple[str, ...]]) -> StoredColumn:
    column = described_column(
        full_name(row.name, row.comment, session.capabilities.name_bytes),
        row.base_type,
        row.modifier,
        remarked_type(row.comment),
        primary_key=bool(row.primary_key),
    )
    return StoredColumn(column, row.name, row.type_name, row.generated)
