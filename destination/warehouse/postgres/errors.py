"""PostgreSQL's errors in words for the customer: what happened and the remedy, never a row's value.

The server's texts are not read, as they may be in any language: an error is known by its SQLSTATE,
its fields and the statement that failed. PostgreSQL puts values into its messages, and functions of the
customer's whatever they like; so its text is shown only for statements that carry no row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from destination.errors import BatchFileError, TunnelLostError, UnreachableError, WarehouseError
from destination.warehouse.postgres.contract import BEGIN
from destination.warehouse.postgres.grants import NAME, TOUCHED, missing_grant
from destination.warehouse.postgres.reworded import RewordedError

READ_ONLY = "25006"
"""read_only_sql_transaction: of a standby, or a primary that has become one."""
LOCK_NOT_AVAILABLE = "55P03"
TRANSIENT_CLASSES = frozenset({"08", "40"})
TRANSIENT_STATES = frozenset(
    {
        READ_ONLY,
        "25P03",  # idle_in_transaction_session_timeout
        "53300",  # too_many_connections
        LOCK_NOT_AVAILABLE,
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: starting up, shutting down
        "57P05",  # idle_session_timeout
    }
)

PERMANENT_REMEDIES = {
    "authentication failed": "correct User and Password, or renew the password",
    "no password supplied": "fill in Password",
    "does not exist": "correct Database and User, or create them",
    "no such database": "correct Database, or add it to the pooler's",
    "no such user": "correct User, or add it to the pooler's",
    "Tenant or user not found": "correct User: the pooler wants the project's name in it",
    "is not permitted to log in": "run ALTER ROLE … LOGIN for this user",
    "permission denied for database": "run GRANT CONNECT ON DATABASE … for this user",
    "is not currently accepting connections": "run ALTER DATABASE … ALLOW_CONNECTIONS true",
    "unsupported startup parameter": "add it to the pooler's ignore_startup_parameters",
    "no pg_hba.conf entry": "allow this user, database and address in the server's pg_hba.conf",
    "pg_hba.conf rejects": "allow this user, database and address in the server's pg_hba.conf",
    "does not support SSL": "turn TLS on at the server, or choose the TLS mode prefer",
    "certificate verify failed": "upload the certificate of the authority that signed the server's",
    "does not match host name": "set Host to the name in the server's certificate, or choose verify-ca",
    "requires a valid client certificate": "upload a client certificate and its key",
    "sslv3 alert certificate required": "upload a client certificate and its key",
    "tlsv13 alert certificate required": "upload a client certificate and its key",
}
"""What to do about a log-in that will not succeed later either. It has no SQLSTATE: libpq hands out its
message alone. A message that has none of these signs may be of any pooler and in any language, and
counts as transient."""
TRANSIENT_REMEDIES = {
    "refused": "check Host and Port, and that the server is running",
    "resolve host": "correct Host",
    "timeout": "check Host and Port, and that the network lets Fivetran through",
    "unreachable": "check Host and Port, and that the network lets Fivetran through",
    "too many": "raise the server's max_connections, or end sessions",
    "connection slots": "raise the server's max_connections, or end sessions",
    "max_client_conn": "raise this setting of PgBouncer, or end sessions",
    "max clients": "raise the pooler's number of clients, or end sessions",
    "server_login_retry": "look at PgBouncer's log: it cannot log in to its server",
    "cannot connect to server": "look at the pooler's log: it cannot reach its server",
}
CONNECTION_REMEDIES = {**PERMANENT_REMEDIES, **TRANSIENT_REMEDIES}
OTHER_CONNECTION_REMEDY = (
    "if that stays, correct User, Password and Database, raise the server's max_connections or end "
    "sessions, or ask the server's log"
)
"""For a message without a known sign: the usual reasons for which a server refuses a log-in."""

ROWLESS = re.compile(
    rf"\s*(?:BEGIN|CREATE (?:SCHEMA|TABLE)|DROP TABLE|COMMENT ON|LOCK TABLE|SET|"
    rf"ALTER TABLE {NAME}(?:\.{NAME})? "
    rf"(?:ADD COLUMN|DROP COLUMN|DROP CONSTRAINT|RENAME|ALTER COLUMN {NAME} DROP NOT NULL))\b"
)
"""Statements that neither carry a row nor look at one."""
NAMING_FILES = frozenset({"aclchk.c", "dependency.c", "postgres.c", "tablecmds.c"})
"""PostgreSQL's own sources whose messages name objects and settings alone. Within a function, the name
may be one that the function took from a row."""
CONSTRAINT_FILES = frozenset(
    {
        "execExprInterp.c",
        "execIndexing.c",
        "execMain.c",
        "nbtinsert.c",
        "ri_triggers.c",
        "tablecmds.c",
        "tuplesort.c",
        "tuplesortvariants.c",
    }
)
"""Those that put the name of a constraint or column into an error's fields. A function of the customer's
may put anything there."""
SHOWN_WITH_DETAIL = frozenset({"0A000", "2BP01"})
"""Errors whose detail names the objects that stand in the way."""

NO_PARTITION = "23PAR"
"""No SQLSTATE: PostgreSQL has 23514 for this too, but names a constraint only where there is one."""
NO_SETTING = "42SET"
"""No SQLSTATE: where a transaction begins, privileges, names and values are those of its settings."""

WORDING = {
    "08": "the connection was lost",
    "22001": "a value is longer than the column allows",
    "22026": "a value is longer than the column allows, or shorter",
    "22003": "a number is out of the column's range",
    "22P02": "a value is not of the column's type",
    "22P05": "a text holds a character that the database's encoding lacks, or the column's type",
    "22021": "a text holds a character that the database's encoding lacks",
    "22007": "a value is no date or time",
    "22008": "a date or time is out of range",
    "23502": "a NULL is not allowed",
    "23503": "a foreign key is violated",
    "23505": "a key is not unique",
    "23514": "a check constraint is violated",
    "23P01": "an exclusion constraint is violated",
    "25006": "the server allows reading alone",
    "40": "other sessions change the same rows",
    NO_PARTITION: "no partition takes a row",
    NO_SETTING: "the server refuses a setting",
    "42501": "a privilege is missing",
    "42704": "an index or constraint does not take the column's type",
    "42804": "a default, index or constraint does not take the column's type",
    "42883": "an index or constraint does not take the column's type",
    "53100": "the disk is full",
    "53200": "the server's memory is exhausted",
    "53300": "the server has too many sessions",
    LOCK_NOT_AVAILABLE: "a lock was not to be had in time",
    "54000": "a row or a key is larger than PostgreSQL can store",
    "54001": "a value is nested too deep",
    "54011": "the table would have more columns than PostgreSQL can store, dropped ones counted",
    "57014": "the statement was cancelled",
    "57P": "the server ended the session",
}
NO_OBJECT = "a value names nothing that is in the database"
BAD_SYNTAX = "42601"
"""Of statements, which ours never are, and of texts that are no tsvector or tsquery."""
NAMES_NOTHING = frozenset({"3F000", "42602", "42704", "42725", "42883", "42P01"})
"""Of DDL, and of values of the types that stand for an object by its name, as regclass does."""
REFUSED_VALUES = ("22", "23502", "23514", BAD_SYNTAX, *NAMES_NOTHING)
"""The SQLSTATEs, or how they begin, of values that a type or a domain refuses."""
IN_THE_WAY = (
    "drop the default, index, constraint or generated column that uses the column, then retry; where "
    "there is none, re-sync the table"
)
REMEDIES = {
    NO_PARTITION: "create a partition for it, or one that is the DEFAULT",
    "54000": "deselect columns at the source, above all long ones of the key",
    "54011": "deselect columns at the source; if columns were dropped from it, re-sync the table",
    "54001": "raise the server's max_stack_depth, or correct the values at the source",
    "22": "change the column's type, or correct the values at the source",
    "23502": "drop the NOT NULL constraint, or correct the values at the source",
    "23503": "drop the foreign key: rows arrive table by table",
    "23505": "remove the duplicates, or drop the constraint",
    "23514": "drop the check constraint, or correct the values at the source",
    "23P01": "drop the exclusion constraint, or correct the values at the source",
    "2BP01": "drop or change what depends on it, then retry",
    "0A000": "drop or change what depends on it, then retry",
    "25006": "connect to the primary server; if it is, free disk space: providers forbid writing then",
    "28P01": "correct the user and the password",
    "28000": "correct the user, or allow it in pg_hba.conf",
    "3D000": "correct the database",
    NO_SETTING: "let the user set it, as each transaction does",
    "42501": "grant it to the user, see the setup guide",
    "42704": f"of a column of the key, choose another key at the source; otherwise {IN_THE_WAY}",
    **dict.fromkeys(("42804", "42883"), IN_THE_WAY),
    "42846": "the types do not convert: re-sync the table",
    "53100": "free disk space on the database server, then retry",
    "53200": "give the server more memory, or lower its work_mem",
    "53300": "raise its max_connections, or end sessions",
    LOCK_NOT_AVAILABLE: "another session holds a lock on the table: end it, then retry",
    "57014": "somebody, or a statement_timeout, stopped it: raise the timeout for this user",
    "40P01": "another session locks the same rows: end it, then retry",
}

ABOUT_VALUES = ("22", "54001", BAD_SYNTAX)
"""The SQLSTATEs of values that a type refuses."""


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of a driver's error; None if it has none."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def table_of(error: DBAPIError) -> str | None:
    """The stored table that a statement that failed is about, quoted; None if it is about none."""
    found = TOUCHED.search(error.statement or "")
    return found and f"{found[1]}.{found[2]}"


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, (sa.exc.TimeoutError, TunnelLostError)):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    state = sqlstate(error)
    if state is not None:
        return state in TRANSIENT_STATES or state[:2] in TRANSIENT_CLASSES
    if not isinstance(error.orig, psycopg.OperationalError):
        return False
    was_open = error.statement is not None
    return was_open or not any(sign in str(error.orig) for sign in PERMANENT_REMEDIES)


def is_connection_lost(error: DBAPIError) -> bool:
    """Whether it is unknown what the server did with the statement that failed."""
    state = sqlstate(error)
    return error.connection_invalidated or state is None or state.startswith(("08", "57P"))


def explain(
    error: DBAPIError | sa.exc.TimeoutError, subject: str, database: str | None = None
) -> WarehouseError:
    """A driver's error as one of this project's.

    Args:
        error: the error, with notes of what the statement was about.
        subject: what the request is about.
        database: the database's name, if it is known.
    """
    about = ", ".join([subject, *getattr(error, "__notes__", [])])
    if isinstance(error, sa.exc.TimeoutError):
        return UnreachableError(f"{about}: every connection to PostgreSQL was busy for too long")
    state = _finer(error)
    kind = UnreachableError if is_transient(error) else WarehouseError
    if state is None:
        return kind(f"{about}: {_without_state(error.orig)}")
    if isinstance(error.orig, RewordedError):
        return kind(f"{about}: {error.orig}")
    remedy = missing_grant(error, database) if state == "42501" else None
    remedy = remedy or _by_state(REMEDIES, state) or _of_pooler(error.orig, state)
    return kind(f"{about}: {': '.join(filter(None, (_what(error, state), remedy)))}")


def is_about_value(error: DBAPIError) -> bool:
    """Whether the warehouse refuses a value, wherever that stands."""
    return (sqlstate(error) or "").startswith((*REFUSED_VALUES, *ABOUT_VALUES))


def value_refusal(error: DBAPIError) -> str | None:
    """Why the warehouse refuses a value, by its type or domain; None if it is about something else."""
    state = sqlstate(error) or ""
    return _refusal(state) if state.startswith(REFUSED_VALUES) else None


def _refusal(state: str) -> str:
    """Why a value is refused, and the remedy."""
    if state in NAMES_NOTHING:
        return f"{NO_OBJECT}: create it, or change the column's type"
    reason = WORDING.get(state, "a value does not fit the column")
    remedy = _by_state(REMEDIES, state)
    return f"{reason}: {remedy}" if remedy else reason


def explain_copy(
    error: psycopg.Error, table: str, columns: Mapping[str, str], before: int = 0
) -> BatchFileError | None:
    """An error about a row that COPY refuses; None if it is about something else.

    Args:
        error: the driver's error.
        table: the stored name of the COPY's table.
        columns: the full name of each column of the COPY, by its name there.
        before: how many rows were copied before those of the COPY.
    """
    state = error.sqlstate
    if state is None or not state.startswith(ABOUT_VALUES):
        return None
    place = _place(error.diag.context or "", table, columns)
    if place is None:
        return None
    row, column = place
    return BatchFileError(_refusal(state), row=before + row, column=column)


def _place(context: str, table: str, columns: Mapping[str, str]) -> tuple[int, str | None] | None:
    """The row and the column, by its full name, that the context of a COPY's error is about.

    Its last line has, among words of the server's language, the table's name, the row's number and,
    at the end, the column's name.
    """
    _, found, after = context.rpartition("\n")[2].partition(table)
    number = re.search(r"\d+", after) if found else None
    if number is None:
        return None
    rest = after[number.end() :]
    named = [name for name in columns if rest.endswith(name)]
    return int(number[0]), columns.get(max(named, key=len, default=""))


def _finer(error: DBAPIError) -> str | None:
    """What happened, where a SQLSTATE has two meanings."""
    state, cause = sqlstate(error), error.orig
    if state is not None and state.startswith(("22", "42")) and error.statement == BEGIN:
        return NO_SETTING
    named = isinstance(cause, psycopg.Error) and cause.diag.constraint_name
    return NO_PARTITION if state == "23514" and not named else state


def _what(error: DBAPIError, state: str) -> str:
    words = _by_state(WORDING, state)
    cause = error.orig
    if not isinstance(cause, psycopg.Error):
        return words or type(cause).__name__
    diagnostic = cause.diag
    if _tells_no_row(error, diagnostic):
        message = diagnostic.message_primary or ""
        detail = diagnostic.message_detail if state in SHOWN_WITH_DETAIL else None
        message = f"{message} ({detail})" if detail else message
        return f"{words} ({message})" if words else message
    words = words or f"PostgreSQL refused it with SQLSTATE {state}"
    if diagnostic.source_file not in CONSTRAINT_FILES:
        return words
    names = {"column": diagnostic.column_name, "constraint": diagnostic.constraint_name}
    named = ", ".join(f'{label} "{name}"' for label, name in names.items() if name)
    return f"{words} ({named})" if named else words


def _tells_no_row(error: DBAPIError, diagnostic: psycopg.errors.Diagnostic) -> bool:
    """Whether the server's own text cannot hold a value."""
    if error.statement is not None and ROWLESS.match(error.statement):
        return True
    return diagnostic.source_file in NAMING_FILES and diagnostic.context is None


def _without_state(cause: BaseException | None) -> str:
    """What libpq says of a connection; the driver's text about values is not shown."""
    if not isinstance(cause, psycopg.OperationalError):
        return f"the driver refused it ({type(cause).__name__})"
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    message = "; ".join(dict.fromkeys(lines))
    remedy = _by_sign(message) or OTHER_CONNECTION_REMEDY
    return f"PostgreSQL cannot be reached ({message}): {remedy}"


def _of_pooler(cause: BaseException | None, state: str) -> str | None:
    """What to do about what a pooler says instead of its server, which has a SQLSTATE of class 08."""
    if not state.startswith("08") or not isinstance(cause, psycopg.Error):
        return None
    return _by_sign(cause.diag.message_primary or "")


def _by_sign(message: str) -> str | None:
    return next((remedy for sign, remedy in CONNECTION_REMEDIES.items() if sign in message), None)


def _by_state(words: Mapping[str, str], state: str) -> str | None:
    """The text for a SQLSTATE, or for its class."""
    return next((words[state[:n]] for n in (5, 3, 2) if state[:n] in words), None)
