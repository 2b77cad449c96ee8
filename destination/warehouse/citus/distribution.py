"""Where a table's rows are: at the coordinator, or spread over the workers by a column."""

from __future__ import annotations

from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql

from destination.warehouse.postgres.driver import execute, names_of
from destination.warehouse.postgres.session import PostgresSession

WANTED: LiteralString = """
    SELECT EXISTS (SELECT FROM pg_dist_node
                   WHERE groupid <> 0 AND isactive AND shouldhaveshards AND noderole = 'primary')
       AND NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = {}::regclass)"""
"""Workers that take shards, and a table that a schema's own sharding has not placed yet."""
COLUMN: LiteralString = """
    SELECT column_to_column_name(logicalrelid, partkey) FROM pg_dist_partition
    WHERE logicalrelid = {}::regclass AND partmethod = 'h'"""
REFERENCE: LiteralString = """
    SELECT partmethod = 'n' AND repmodel = 't' FROM pg_dist_partition
    WHERE logicalrelid = {}::regclass"""
KNOWN: LiteralString = """
    SELECT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = {}::regclass)"""
RULES: LiteralString = """
    SELECT EXISTS (SELECT FROM pg_rewrite r JOIN pg_dist_partition d ON d.logicalrelid = r.ev_class
                   WHERE r.ev_class = {}::regclass)"""
DISTRIBUTE: LiteralString = """
    WITH mine AS (
        SELECT attname AS name, atttypid, attcollation AS own FROM pg_attribute
        WHERE attrelid = {table}::regclass AND attname = {column}
    ), colocated AS (
        SELECT colocationid, bool_and(attcollation = own) AS alike, min(logicalrelid::text) AS member
        FROM pg_dist_partition JOIN pg_attribute ON attrelid = logicalrelid
             AND attname = column_to_column_name(logicalrelid, partkey)
             JOIN mine USING (atttypid)
        WHERE partmethod = 'h' GROUP BY colocationid
    )
    SELECT create_distributed_table({table}, name, colocate_with => CASE
        WHEN (SELECT bool_and(alike) FROM colocated) IS NOT FALSE THEN 'default'
        ELSE coalesce(
            (SELECT member FROM colocated WHERE alike ORDER BY colocationid LIMIT 1), 'none') END)
    FROM mine"""
"""Citus takes tables into one group whose columns are of one type, and where collations differ, workers
refuse all that come later. So where they do, the group is one of the same collation, or a new one."""
SEQUENTIAL: LiteralString = "SET LOCAL citus.multi_shard_modify_mode = 'sequential'"
"""In parallel, shards of a long name would wait for each other for ever."""


def is_wanted(session: PostgresSession, table: sa.Table) -> bool:
    """Whether a table that was just made is to be distributed."""
    return _ask(session, sql.SQL(WANTED).format(_literal(table))) is True


def distribute(session: PostgresSession, table: sa.Table, column: str) -> None:
    """Spread a table's rows over the workers by a column."""
    name = _literal(table)
    session.execute_raw(sql.SQL(SEQUENTIAL))
    session.execute_raw(sql.SQL(DISTRIBUTE).format(table=name, column=column))


def is_known(session: PostgresSession, table: sa.Table) -> bool:
    """Whether a table is another than a local one."""
    return _ask(session, sql.SQL(KNOWN).format(_literal(table))) is True


def has_rules(session: PostgresSession, table: sa.Table) -> bool:
    """Whether a table that is distributed has rules."""
    return _ask(session, sql.SQL(RULES).format(_literal(table))) is True


def is_reference(session: PostgresSession, table: sa.Table) -> bool:
    """Whether every node has all rows of a table."""
    return _ask(session, sql.SQL(REFERENCE).format(_literal(table))) is True


def column_of(session: PostgresSession, table: sa.Table) -> str | None:
    """The column by which a table is distributed; None if it is distributed by none."""
    column = _ask(session, sql.SQL(COLUMN).format(_literal(table)))
    return None if column is None else str(column)


def gather(session: PostgresSession, table: sa.Table) -> None:
    """Bring a distributed table's rows together at the coordinator."""
    session.execute_raw(sql.SQL(SEQUENTIAL))
    session.execute_raw(sql.SQL("SELECT undistribute_table({})").format(_literal(table)))


def _literal(table: sa.Table) -> sql.Literal:
    name, _ = names_of(table)
    return sql.Literal(name.as_string())


def _ask(session: PostgresSession, query: sql.Composed) -> object:
    row = execute(session.connection, query).fetchone()
    return None if row is None else row[0]
