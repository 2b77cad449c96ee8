"""PostgreSQL's catalog: one query that tells everything about a table."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.sql import quoted_name

from destination.errors import RequestError
from destination.warehouse.base import Session
from destination.warehouse.ddl import NamedType
from destination.warehouse.postgres.marks import is_mark
from destination.warehouse.postgres.types import described_column
from destination.warehouse.stored import StoredColumn, StoredTable, TableName

TABLE_KINDS = frozenset({"r", "p", "f"})
OTHER_KINDS = {"S": "a sequence", "i": "an index", "I": "an index", "c": "a type"}

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
           obj_description(c.oid, 'pg_class') AS table_comment,
           a.attname AS name, a.attnum = ANY (k.conkey) AS primary_key,
           format_type(a.atttypid, a.atttypmod) AS type_name,
           coalesce(b.typname, t.typname) AS base_type,
           CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END AS modifier,
           a.attgenerated <> '' OR a.attidentity = 'a' AS generated,
           col_description(c.oid, a.attnum) AS comment, a.attoptions AS options,
           CASE WHEN a.attcollation <> t.typcollation THEN
               (SELECT format('%I.%I', cn.nspname, co.collname)
                FROM pg_catalog.pg_collation co
                JOIN pg_catalog.pg_namespace cn ON cn.oid = co.collnamespace
                WHERE co.oid = a.attcollation) END AS collation,
           CASE WHEN a.attnum = ANY (k.conkey) THEN
               (SELECT format('OPERATOR(%I.%s)', onsp.nspname, o.oprname)
                FROM pg_catalog.pg_opclass oc
                JOIN pg_catalog.pg_amop ao ON ao.amopfamily = oc.opcfamily
                    AND ao.amoplefttype = oc.opcintype AND ao.amoprighttype = oc.opcintype
                    AND ao.amopstrategy = 3
                JOIN pg_catalog.pg_operator o ON o.oid = ao.amopopr
                JOIN pg_catalog.pg_namespace onsp ON onsp.oid = o.oprnamespace
                WHERE oc.oid = i.indclass[array_position(k.conkey, a.attnum) - 1]
                    AND onsp.nspname <> 'pg_catalog') END AS equality
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
"""Strategy 3 of a B-tree is equality."""
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


def find_table(session: Session, name: TableName) -> StoredTable | None:
    """Read a table's description; None if the table or its schema is missing.

    Raises:
        RequestError: if a view has the name.
    """
    rows = session.connection.execute(TABLE_QUERY, _names(session, name)).all()
    if not rows:
        return None
    table = rows[0]
    if table.kind not in TABLE_KINDS:
        raise _taken(name, "a view")
    with_name = [row for row in rows if row.name is not None]
    clauses = [
        sa.Column(
            quoted_name(row.name, quote=True),
            NamedType(row.type_name, row.collation, row.equality),
        )
        for row in with_name
    ]
    return StoredTable(
        name=name,
        clause=session.clause(name, clauses),
        columns=tuple(_stored_column(session, row) for row in with_name),
        key_constraint=table.key_constraint,
        plain_key=table.plain_key,
        standalone=table.standalone,
        mergeable=table.mergeable,
        comment=table.table_comment,
        naming=session.capabilities.naming,
        policies=None if table.policies is None else tuple(table.policies),
    )


def require_free_name(session: Session, name: TableName) -> None:
    """Check that a table may be given a name.

    Raises:
        RequestError: if something of the customer's has it.
    """
    kind = session.connection.execute(TAKEN_QUERY, _names(session, name)).scalar()
    if kind is not None:
        raise _taken(name, OTHER_KINDS.get(kind, "there already"))


def _taken(name: TableName, what: str) -> RequestError:
    return RequestError(f"{name} is {what}: rename or drop it, or sync into another schema")


def _names(session: Session, name: TableName) -> dict[str, str]:
    return {"schema": str(session.schema(name.schema)), "table": str(session.name(name.table))}


def schema_exists(session: Session, schema: str) -> bool:
    """Whether a schema of that stored name exists."""
    query = sa.text("SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = :schema)")
    return bool(session.connection.execute(query, {"schema": schema}).scalar())


def _stored_column(session: Session, row: sa.Row[tuple[str, ...]]) -> StoredColumn:
    naming = session.capabilities.naming
    column = described_column(
        naming.full(row.name, row.comment),
        row.base_type,
        row.modifier,
        naming.told_type(row.name, row.comment),
        primary_key=bool(row.primary_key),
    )
    return StoredColumn(
        column, row.name, row.type_name, row.comment, is_mark(row.options, row.name), row.generated
    )
