"""Advisory locks between sessions of this project, and who holds a lock that one waits for.

The log and the message to the customer name the holder, and the statement that ends its session. This
module ends none: a connector that was paused may go on, find its session lost, and apply its batch
again, over newer rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import LiteralString

import sqlalchemy as sa
from psycopg import sql
from psycopg.rows import class_row
from sqlalchemy.exc import DBAPIError

from destination.warehouse.base import Session
from destination.warehouse.postgres.contract import begin
from destination.warehouse.postgres.driver import as_sqlalchemy, driver_of, execute
from destination.warehouse.postgres.errors import LOCK_NOT_AVAILABLE, sqlstate, table_of
from destination.warehouse.stored import TableName

BARRING = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")
"""Locks on a table that keep others from writing to it."""
OF_ROWS = ("RowShareLock", "RowExclusiveLock")
"""Those of sessions that have locked rows of it, or changed them."""
OF_READERS = ("AccessShareLock", "ShareUpdateExclusiveLock")
EXCLUSIVE = "ACCESS EXCLUSIVE"
SHOWN = 3

HOLDERS: LiteralString = """
    SELECT DISTINCT l.pid, a.usename AS user, a.application_name AS application,
           host(a.client_addr) AS address, a.state,
           a.wait_event = 'ClientRead' AS waits_for_client,
           extract(epoch FROM statement_timestamp() - a.state_change)::bigint AS state_seconds,
           extract(epoch FROM statement_timestamp() - a.xact_start)::bigint AS seconds
    FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid() AND a.leader_pid IS NULL
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND {}
    ORDER BY seconds DESC NULLS LAST"""
OF_TABLE = sql.SQL(HOLDERS).format(sql.SQL("l.relation = to_regclass(%s) AND l.mode = ANY (%s)"))
OF_NUMBER = sql.SQL(HOLDERS).format(
    sql.SQL(
        "l.locktype = 'advisory' AND l.objsubid = 1"
        " AND (l.classid::bigint << 32) | l.objid::bigint = %s"
    )
)

WAITING: LiteralString = """
    SELECT EXISTS (
        SELECT FROM pg_locks WHERE NOT granted AND relation = to_regclass(%s)
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"""


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that holds a lock, as far as PostgreSQL shows it to us.

    Args:
        pid: its process; None of a prepared transaction, which has none.
        user: its user.
        application: its `application_name`.
        address: its client's; None of one on the same machine.
        state: what it does, in PostgreSQL's words.
        waits_for_client: whether it has nothing to do until its client sends something.
        state_seconds: for how long that has been so.
        seconds: how long its transaction has lasted.
    """

    pid: int | None
    user: str | None
    application: str | None
    address: str | None
    state: str | None
    waits_for_client: bool | None
    state_seconds: int | None
    seconds: int | None

    def __str__(self) -> str:
        if self.pid is None:
            return "a prepared transaction (see pg_prepared_xacts)"
        client = " that waits for its client" if self.waits_for_client else ""
        known = {
            "user": self.user and f'"{self.user}"',
            "application": self.application and f'"{self.application}"',
            "address": self.address,
            "state": self.state and f"{self.state}{client}, for {self.state_seconds} s",
            "transaction": self.seconds is not None and f"started {self.seconds} s ago",
        }
        shown = "; ".join(f"{name} {value}" for name, value in known.items() if value)
        return f"session {self.pid} ({shown})"


def of_schema(schema: str) -> int:
    """The number of the lock of a schema, by its stored name."""
    return _lock_number(f"schema {schema}")


def of_table(session: Session, name: TableName) -> int:
    """The number of the lock of a table."""
    return _lock_number(f"table {session.schema(name.schema)}\0{session.name(name.table)}")


def attempt(number: int) -> sql.Composed:
    """A query that takes a lock until the transaction's end if it is free, and says whether it was."""
    return sql.SQL("SELECT pg_try_advisory_xact_lock({})").format(number)


def _lock_number(what: str) -> int:
    return int.from_bytes(hashlib.sha256(what.encode()).digest()[:8], signed=True)


def holders_of(connection: sa.Connection, number: int) -> str:
    """Who holds an advisory lock, and the remedy."""
    return _names(_ask(connection, OF_NUMBER, number))


def others_wait(connection: sa.Connection, table: str) -> bool:
    """Whether somebody waits for a lock on a table, which is named as PostgreSQL quotes it."""
    return execute(connection, WAITING, (table,)).fetchone() == (True,)


@contextmanager
def noted(connection: sa.Connection) -> Iterator[None]:
    """Add the holder to the error of a lock that was not available in time."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) == LOCK_NOT_AVAILABLE:
            with suppress(DBAPIError):
                driver_of(connection).rollback()
                begin(connection)
                if holders := _in_the_way(connection, error):
                    error.add_note(f"locked by {_names(holders)}")
        raise


def _in_the_way(connection: sa.Connection, error: DBAPIError) -> Sequence[Holder]:
    """The sessions that block the table of the statement that failed.

    If several have changed rows, any of them may be the one.
    """
    table, statement = table_of(error), error.statement or ""
    if table is None:
        return ()
    everybody = (*BARRING, *OF_ROWS, *OF_READERS)
    tiers = (everybody,) if EXCLUSIVE in statement else (BARRING, OF_ROWS)
    found = (_ask(connection, OF_TABLE, table, list(modes)) for modes in tiers)
    return next(filter(None, found), ())


def _ask(connection: sa.Connection, query: sql.Composed, *values: object) -> Sequence[Holder]:
    driver = driver_of(connection)
    with as_sqlalchemy(driver, HOLDERS), driver.cursor(row_factory=class_row(Holder)) as cursor:
        return cursor.execute(query, values).fetchall()


def _names(holders: Sequence[Holder]) -> str:
    if not holders:
        return "a session that has just ended"
    more = len(holders) - SHOWN
    others = [f"{more} more"] if more > 0 else []
    sessions = " and ".join([*map(str, holders[:SHOWN]), *others])
    pids = [holder.pid for holder in holders[:SHOWN] if holder.pid is not None]
    ending = "; ".join(f"SELECT pg_terminate_backend({pid})" for pid in pids)
    return f"{sessions}; to end a session that is stuck: {ending}" if pids else sessions
