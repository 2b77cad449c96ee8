"""Why a cluster refuses a statement: asked after the fact, so that no other statement waits for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import LiteralString

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from destination.warehouse.citus.errors import (
    INTERNAL_ERROR,
    ROLLED_BACK,
    UNSUPPORTED,
    as_of_one_server,
    reworded,
    violated,
)
from destination.warehouse.postgres.contract import begin
from destination.warehouse.postgres.driver import driver_of, execute
from destination.warehouse.postgres.errors import sqlstate, table_of
from destination.warehouse.postgres.reworded import RewordedError

COLUMNAR = "columnar"
METHOD: LiteralString = """
    SELECT a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
    WHERE c.oid = to_regclass(%(table)s)"""
"""How a table is stored."""
VIOLABLE: LiteralString = """
    SELECT conname, CASE contype WHEN 'c' THEN '23514' WHEN 'f' THEN '23503' WHEN 'x' THEN '23P01'
                    ELSE '23505' END, 'constraint'
    FROM pg_constraint WHERE conrelid = to_regclass(%(table)s) AND contype IN ('c', 'f', 'p', 'u', 'x')
    UNION
    SELECT c.relname, '23505', 'constraint' FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = to_regclass(%(table)s) AND i.indisunique
      AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid)
    UNION
    SELECT attname, '23502', 'column' FROM pg_attribute
    WHERE attrelid = to_regclass(%(table)s) AND attnotnull AND attnum > 0
    ORDER BY 3 DESC"""
"""The names that a violation's message can hold, the SQLSTATE of each, and what it names."""
QUOTED = re.compile(r'["»«„“”‚‘’「]([^"»«„“”‚‘’「」]+)["»«„“”‚‘’」]')
"""A name in a message of whatever language."""
SHARD = re.compile(r"_\d+$")
"""What a shard's names have behind the table's."""
OF_WORKER = "while executing command on"
"""What Citus says with an error whose SQLSTATE it hands on."""
UNKNOWN = (
    "a worker of the cluster refused it: its log says why, which the coordinator does not hand on"
)


def diagnosed(connection: sa.Connection, error: DBAPIError) -> DBAPIError:
    """An error of the cluster in words that tell what to do; as it is where it says so itself.

    What a worker said in COPY may be in any language. Where the catalog does not tell it either, it may
    be a deadlock, say, and is retried: it came as an answer, so the transaction was rolled back.
    """
    error = as_of_one_server(error)
    state = sqlstate(error)
    if error.connection_invalidated or not _is_vague(error):
        return error
    with suppress(DBAPIError):
        if (found := _by_catalog(connection, error)) is not None:
            return found
    if state != INTERNAL_ERROR:
        return error
    return reworded(error, INTERNAL_ERROR if _is_own(error) else ROLLED_BACK, UNKNOWN)


def _is_vague(error: DBAPIError) -> bool:
    """Whether it does not say what is wrong, or what constraint is violated."""
    state, cause = sqlstate(error) or "", error.orig
    if not state.startswith("23") or not isinstance(cause, psycopg.Error):
        return state in {UNSUPPORTED, INTERNAL_ERROR}
    named = cause.diag.constraint_name or cause.diag.column_name
    return not named and not isinstance(cause, RewordedError)


def _is_own(error: DBAPIError) -> bool:
    """Whether a worker said so itself, to a command other than COPY."""
    cause = error.orig
    return isinstance(cause, psycopg.Error) and OF_WORKER in (cause.diag.context or "")


def _by_catalog(connection: sa.Connection, error: DBAPIError) -> DBAPIError | None:
    """The error by what is known of the table that the statement is about."""
    table = table_of(error)
    if table is None:
        return None
    driver_of(connection).rollback()
    begin(connection)
    if _rows(connection, METHOD, table) == [(COLUMNAR,)]:
        heap = f"SELECT alter_table_set_access_method({sql.Literal(table).as_string()}, 'heap')"
        words = f"the table is columnar, so its rows cannot be updated or deleted: run {heap}"
        return reworded(error, UNSUPPORTED, words)
    if sqlstate(error) == UNSUPPORTED:
        return None
    names = _names_in(error)
    for name, state, kind in _rows(connection, VIOLABLE, table):
        if name in names:
            return violated(error, state, kind, name)
    return None


def _rows(connection: sa.Connection, query: LiteralString, table: str) -> Sequence[tuple[str, ...]]:
    return execute(connection, query, {"table": table}).fetchall()


def _names_in(error: DBAPIError) -> set[str]:
    """What a message names in quotes, without the numbers of shards."""
    cause = error.orig
    message = cause.diag.message_primary if isinstance(cause, psycopg.Error) else None
    return {SHARD.sub("", name) for name in QUOTED.findall(message or "")}
