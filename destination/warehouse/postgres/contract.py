"""The session contract: every setting that changes what our statements mean, set in each transaction.

A server, a database or a role hands its settings to every session. Nothing that they say is trusted:
each transaction begins by `BEGIN`, which names its isolation level, and a list of `SET LOCAL`. These
are commands, which no function of another user can shadow, and end with the transaction, so that a
pooler in transaction mode may lie between. `search_path` is among them, so every name of ours is
qualified from there on.

What is not in the list is respected on purpose: docs/operations.md says which and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, LiteralString

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from destination.warehouse.postgres.driver import as_sqlalchemy, driver_of

LOCK_TIMEOUT = "30s"
"""How long a statement waits for a report, say, that holds a lock on the table."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the contract.

    Args:
        name: as PostgreSQL has it.
        value: what each transaction sets it to; names are a list of such.
        reason: what another value would do.
        since: the first version that knows it, as `server_version_num` has it; where older ones got
            it later, the first of each, the newest last.
    """

    name: str
    value: str | tuple[str, ...]
    reason: str
    since: tuple[int, ...] = (0,)

    def known_to(self, version: int) -> bool:
        """Whether a server of that version has it."""
        same = (first for first in self.since if first // 10_000 == version // 10_000)
        return version >= min(same, default=self.since[-1])

    @property
    def command(self) -> sql.Composed:
        """The command that sets it until the transaction's end."""
        names = (self.value,) if isinstance(self.value, str) else self.value
        values = sql.SQL(", ").join(map(sql.Literal, names))
        return sql.SQL("SET LOCAL {} = {}").format(sql.Identifier(self.name), values)


UTF8 = "UTF8"
CONTRACT = (
    # First, so that nothing that follows can be shadowed.
    Setting(
        "search_path", ("pg_catalog", "pg_temp"), "functions and tables of others would be used"
    ),
    Setting("client_encoding", UTF8, "texts would be stored as other characters"),
    Setting("standard_conforming_strings", "on", "backslashes in literals would be escapes"),
    Setting("row_security", "off", "rows that a policy hides would be skipped without an error"),
    Setting("TimeZone", "UTC", "date-times would be converted by the server's zone"),
    Setting("DateStyle", "ISO, YMD", "texts would hold dates in another notation"),
    Setting("IntervalStyle", "postgres", "texts would hold intervals in another notation"),
    Setting("extra_float_digits", "1", "texts would hold fewer digits than the numbers"),
    Setting("bytea_output", "hex", "texts would hold bytes in another notation"),
    Setting("xmloption", "content", "texts that are no whole documents would be refused as XML"),
    Setting(
        "lc_monetary", "C", "amounts of money would be read and written by the server's locale"
    ),
    Setting("lc_numeric", "C", "numbers would be formatted by the server's locale"),
    Setting("lc_time", "C", "dates would be formatted by the server's locale"),
    Setting("array_nulls", "on", "NULL in an array would be a text"),
    Setting("transform_null_equals", "off", "comparisons with NULL would find rows"),
    Setting("quote_all_identifiers", "off", "the catalog would name types in another way"),
    Setting("exit_on_error", "off", "a refused row would end the session"),
    Setting(
        "client_min_messages", "error", "notices, which may quote rows, would be sent for each"
    ),
    Setting("statement_timeout", "0", "a load that takes longer would be cancelled"),
    Setting(
        "transaction_timeout", "0", "a load that takes longer would lose its session", (170000,)
    ),
    Setting(
        "idle_in_transaction_session_timeout",
        "0",
        "a load would lose its session while a batch file is read",
    ),
    Setting(
        "lock_timeout", LOCK_TIMEOUT, "a lock of somebody else would be waited for without end"
    ),
    Setting(
        "restrict_nonsystem_relation_kind",
        "",
        "foreign tables could not be loaded",
        (130016, 140013, 150008, 160004, 170000),
    ),
    Setting("jit", "off", "statements about many columns would take seconds to compile"),
    Setting("work_mem", "64MB", "sorting and joining staged rows would go to disk"),
    Setting("random_page_cost", "1.1", "rows would be looked up by reading the whole table"),
)
"""Every setting that our statements depend on, in the order in which they are set."""

DURABLE: LiteralString = """
    CASE WHEN current_setting('synchronous_commit') = 'off'
         THEN set_config('synchronous_commit', 'local', true) END"""
"""A commit that is answered must survive a crash of the server. Whether it waits for further servers is
the customer's choice."""

CHECKED: LiteralString = """
    SELECT set_config('tcp_keepalives_idle', '20', true),
           set_config('tcp_keepalives_interval', '10', true),
           set_config('tcp_keepalives_count', '3', true),
           set_config('tcp_user_timeout', '50000', true),
           CASE WHEN version() LIKE '%linux%'
                 AND current_setting('client_connection_check_interval', true) IS NOT NULL
                THEN set_config('client_connection_check_interval', '5s', true) END"""
"""The server notices within a minute that a connector vanished without a word, and lets its locks go;
also while a statement runs, from version 14 on and where it runs on Linux, which alone can tell. A
connection by a Unix socket has none of the first four: they are 0 there whatever is set."""

BEGIN: LiteralString = "BEGIN ISOLATION LEVEL READ COMMITTED"
"""A level above would let a batch that waited for another miss what that one wrote."""
BEGIN_WRITING: LiteralString = f"{BEGIN} READ WRITE NOT DEFERRABLE"


EXTENSIONS = sa.text("SELECT extname FROM pg_catalog.pg_extension")


def begin(
    connection: sa.Connection,
    values: LiteralString = DURABLE,
    queries: Sequence[bytes] = (),
) -> list[tuple[Any, ...]]:
    """Begin a transaction by the contract, and ask for values, all in one round trip.

    Args:
        connection: its driver's connection is in autocommit mode, so that the driver begins nothing.
        values: what to ask for, as the columns of a query.
        queries: further queries, of ASCII alone.

    Returns:
        The first row of each query, the values' before the others; empty where a query has none.

    Raises:
        DBAPIError: if the server cannot be reached or refuses a setting.
    """
    driver = driver_of(connection)
    further = _further_settings(connection)
    server = (driver.info.server_version, further)
    asked = b"; ".join(queries)
    with as_sqlalchemy(driver, BEGIN), driver.cursor() as cursor:
        try:
            _send(cursor, _opening(BEGIN_WRITING, *server, values), asked)
        except psycopg.errors.FeatureNotSupported:
            # A standby, which can be read. It refuses whatever writes.
            driver.rollback()
            _send(cursor, _opening(BEGIN, *server, values), asked)
        rows = []
        while cursor.nextset():
            if cursor.description is not None:
                rows.append(cursor.fetchone() or ())
        return rows if further else rows[1:]


def _send(cursor: psycopg.Cursor[Any], opening: Sequence[bytes], asked: bytes) -> None:
    *before, last = opening
    for message in before:
        cursor.execute(message)
    cursor.execute(b"; ".join([last, asked]) if asked else last)


def _further_settings(connection: sa.Connection) -> tuple[Setting, ...]:
    dialect = connection.dialect
    return dialect.further_settings if isinstance(dialect, ContractDialect) else ()


@cache
def _opening(
    begin: LiteralString, server_version: int, further: tuple[Setting, ...], values: LiteralString
) -> tuple[bytes, ...]:
    """What begins a transaction: one message, or where a variant hands its settings on, three."""
    settings = [each.command for each in (*CONTRACT, *further) if each.known_to(server_version)]
    asking = [sql.SQL(CHECKED), sql.SQL("SELECT ") + sql.SQL(values)]
    if not further:
        return (sql.SQL("; ").join([sql.SQL(begin), *settings, *asking]).as_bytes(),)
    parts = [sql.SQL(begin)], settings, asking
    return tuple(sql.SQL("; ").join(part).as_bytes() for part in parts)


class ContractDialect(PGDialect_psycopg):
    """PostgreSQL by psycopg; SQLAlchemy's own queries to a new server run under the contract.

    Args:
        variants: by the extensions that make them, what variants of PostgreSQL set besides.
        options: SQLAlchemy's.

    Attributes:
        extension: the one of the variant that the server is; None if it is none.
        further_settings: what each transaction sets after the contract's settings, in one message
            with them and nothing else.
    """

    supports_statement_cache = True

    def __init__(
        self, variants: Mapping[str, tuple[Setting, ...]] | None = None, **options: Any
    ) -> None:  # pragma: no mutate block, as SQLAlchemy reads its parameters
        super().__init__(**options)  # type: ignore[no-untyped-call]
        self._variants = variants or {}
        self.extension: str | None = None
        self.further_settings: tuple[Setting, ...] = ()

    def initialize(self, connection: sa.Connection) -> None:
        """Learn what SQLAlchemy needs to know of a server, in a transaction that it rolls back."""
        begin(connection)
        super().initialize(connection)  # type: ignore[no-untyped-call]
        for extension in connection.scalars(EXTENSIONS):
            if extension in self._variants:
                self.extension, self.further_settings = extension, self._variants[extension]


registry.register("postgresql.contract", __name__, ContractDialect.__name__)
URL = "postgresql+contract://"
"""Leads SQLAlchemy to `ContractDialect`."""
