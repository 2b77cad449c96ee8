"""The driver's connection below one of SQLAlchemy's, for what SQLAlchemy cannot express."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, LiteralString, cast

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

INTERRUPT_SECONDS = 3
SEND_BUFFER_BYTES = 4 << 20


def driver_of(connection: sa.Connection) -> psycopg.Connection[Any]:
    """The driver's connection."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


def execute(
    connection: sa.Connection,
    query: LiteralString | sql.Composed,
    values: Sequence[object] | Mapping[str, object] | None = None,
) -> psycopg.Cursor[Any]:
    """Execute what SQLAlchemy cannot express.

    Raises:
        DBAPIError: as SQLAlchemy raises errors of its own statements.
    """
    driver = driver_of(connection)
    with as_sqlalchemy(driver, query if isinstance(query, str) else query.as_string()):
        return driver.execute(query, values)


@contextmanager
def as_sqlalchemy(driver: psycopg.Connection[Any], statement: str) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy raises those of its own statements.

    Args:
        driver: the connection.
        statement: what it executes meanwhile.

    Raises:
        DBAPIError: instead of `psycopg.Error`.
    """
    try:
        yield
    except psycopg.Error as error:
        raise sqlalchemy_error(driver, error, statement) from error


def sqlalchemy_error(
    driver: psycopg.Connection[Any], error: psycopg.Error, statement: str
) -> DBAPIError:
    """The driver's error as SQLAlchemy raises those of its own statements."""
    return DBAPIError(statement, None, error, connection_invalidated=driver.broken)


def names_of(
    table: sa.Table, columns: Sequence[sa.Column[Any]] = ()
) -> tuple[sql.Identifier, sql.Composed]:
    """A table and a list of its columns, for statements that SQLAlchemy cannot express."""
    parts = [part for part in (table.schema, table.name) if part]
    listed = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    return sql.Identifier(*parts), listed


def let_rows_queue(connection: psycopg.Connection[Any]) -> None:
    """Let a Unix socket hold as much as a TCP connection does, or client and server take turns."""
    with socket.socket(fileno=os.dup(connection.fileno())) as shared:
        if shared.family == socket.AF_UNIX:
            shared.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def interrupt(driver: psycopg.Connection[Any]) -> None:
    """Cancel a connection's statement; if the server cannot be reached for that, close the socket."""
    try:
        driver.cancel_safe(timeout=INTERRUPT_SECONDS)
    except psycopg.Error:
        with (
            suppress(OSError, psycopg.Error),
            socket.socket(fileno=os.dup(driver.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)
