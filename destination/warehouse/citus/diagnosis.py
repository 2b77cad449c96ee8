"""Why a cluster refuses a statement: asked after the fact, so that no other statement waits for it."""

from __future__ import annotations

from contextlib import suppress
from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from destination.warehouse.citus.errors import UNSUPPORTED, UNTOLD, as_of_one_server, told
from destination.warehouse.postgres.contract import begin
from destination.warehouse.postgres.driver import as_sqlalchemy, driver_of
from destination.warehouse.postgres.errors import sqlstate, table_of

COLUMNAR = "columnar"
METHOD: LiteralString = """
    SELECT a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = to_regclass(%s)"""
"""How a table is stored."""
UNKNOWN = (
    "a worker of the cluster refused it: its log says why, which the coordinator does not hand on"
)


def diagnosed(connection: sa.Connection, error: DBAPIError) -> DBAPIError:
    """An error of the cluster in words that tell what to do; as it is where it says so itself."""
    error = as_of_one_server(error)
    state = sqlstate(error)
    if error.connection_invalidated or state not in {UNSUPPORTED, UNTOLD}:
        return error
    words = None
    with suppress(DBAPIError):
        words = _of_table(connection, error)
    if words is not None:
        return told(error, UNSUPPORTED, words)
    return told(error, UNTOLD, UNKNOWN) if state == UNTOLD else error


def _of_table(connection: sa.Connection, error: DBAPIError) -> str | None:
    """What is in the way about the table that a statement is about."""
    table = table_of(error)
    if table is None:
        return None
    driver = driver_of(connection)
    driver.rollback()
    begin(connection)
    with as_sqlalchemy(driver, METHOD):
        row = driver.execute(METHOD, [table]).fetchone()
    if row != (COLUMNAR,):
        return None
    heap = f"SELECT alter_table_set_access_method({sql.Literal(table).as_string()}, 'heap')"
    return f"the table is columnar, so its rows cannot be updated or deleted: run {heap}"
