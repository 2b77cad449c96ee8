"""The advisory locks by which sessions of this project keep out of each other's way."""

from __future__ import annotations

import hashlib

from psycopg import sql

from destination.warehouse.base import Session
from destination.warehouse.stored import TableName


def of_schema(schema: str) -> int:
    """The number of the lock of a schema, by its stored name."""
    return _number(f"schema {schema}")


def of_table(session: Session, name: TableName) -> int:
    """The number of the lock of a table."""
    return _number(f"table {session.schema(name.schema)}\0{session.name(name.table)}")


def attempt(number: int) -> sql.Composed:
    """A query that takes a lock until the transaction's end if it is free, and tells whether it was."""
    return sql.SQL("SELECT pg_try_advisory_xact_lock({})").format(number)


def _number(what: str) -> int:
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)
