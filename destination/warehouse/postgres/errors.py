"""PostgreSQL's errors told to the customer: what happened and the remedy, never a row's value.

PostgreSQL puts values into its messages. Its own text is shown only for the classes of errors whose
messages hold none; the others are told in words of this project.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from destination.errors import BatchFileError, UnreachableError, WarehouseError

TRANSIENT_CLASSES = frozenset({"08"})
TRANSIENT_STATES = frozenset(
    {
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now: starting up, shutting down
        "57P05",  # idle_session_timeout
        "25P03",  # idle_in_transaction_session_timeout
        "53300",  # too_many_connections
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
    }
)
TRANSIENT_CONNECTION_MESSAGES = re.compile(
    r"refused|timeout|timed out|starting up|shutting down|recovery mode|accepting connections|too many|"
    r"connection slots|could not translate host name|resolve host|closed the connection|"
    r"reset by peer|unreachable|no route|broken pipe|EOF detected|No such file",
    re.IGNORECASE,
)
"""A connection that fails has no SQLSTATE: libpq hands out its message alone."""

CONNECTION_REMEDIES = {
    "password authentication failed": "correct User and Password, or renew the password",
    "no password supplied": "fill in Password",
    "does not exist": "correct Database and User, or create them",
    "no pg_hba.conf entry": "allow this user, database and address in the server's pg_hba.conf",
    "does not support SSL": "turn TLS on at the server, or choose the TLS mode prefer",
    "certificate verify failed": "upload the certificate of the authority that signed the server's",
    "does not match host name": "set Host to the name in the server's certificate, or choose verify-ca",
    "requires a valid client certificate": "upload a client certificate and its key",
    "sslv3 alert certificate required": "upload a client certificate and its key",
    "tlsv13 alert certificate required": "upload a client certificate and its key",
    "refused": "check Host and Port, and that the server is running",
    "resolve host": "correct Host",
    "timeout": "check Host and Port, and that the network lets Fivetran through",
    "unreachable": "check Host and Port, and that the network lets Fivetran through",
}
"""What to do about a connection that fails, by what libpq and the server say about it."""

SHOWN_CLASSES = frozenset({"08", "25", "28", "3D", "3F", "42", "53", "54", "55", "57", "58"})
"""Classes whose message names objects and settings only."""
SHOWN_WITH_DETAIL = frozenset({"0A000", "2BP01"})
"""Errors whose detail names the objects that stand in the way."""

WORDING = {
    "22001": "a value is longer than the column allows",
    "22026": "a value is longer than the column allows, or shorter",
    "22003": "a number is out of the column's range",
    "22P02": "a value is not of the column's type",
    "22P05": "a text holds a character that the database's encoding lacks",
    "22021": "a text holds a character that the database's encoding lacks",
    "22007": "a value is no date or time",
    "22008": "a date or time is out of range",
    "23502": "a NULL is not allowed",
    "23503": "a foreign key is violated",
    "23505": "a key is not unique",
    "23514": "a check constraint is violated",
    "42501": "a privilege is missing",
    "53100": "the disk is full",
    "57014": "the statement was cancelled",
}
REMEDIES = {
    "22": "change the column's type, or correct the values at the source",
    "23502": "drop the NOT NULL constraint, or correct the values at the source",
    "23503": "drop the foreign key: rows arrive table by table",
    "23505": "remove the duplicates, or drop the constraint",
    "23514": "drop the check constraint, or correct the values at the source",
    "2BP01": "drop or change what depends on it, then retry",
    "0A000": "drop or change what depends on it, then retry",
    "25006": "connect to the primary server; if it is, free disk space: providers forbid writing then",
    "28P01": "correct the user and the password",
    "28000": "correct the user, or allow it in pg_hba.conf",
    "3D000": "correct the database",
    "42501": "grant it to the user, see the setup guide",
    "42804": "the types do not convert: re-sync the table",
    "42846": "the types do not convert: re-sync the table",
    "53100": "free disk space on the database server, then retry",
    "57014": "somebody, or a statement_timeout, stopped it: raise the timeout for this user",
    "55P03": "another session holds a lock on the table: end it, then retry",
    "40P01": "another session locks the same rows: end it, then retry",
}

GRANTS = (
    (re.compile(r'temporary tables in database "(.+)"'), 'GRANT TEMPORARY ON DATABASE "{0}" TO …'),
    (re.compile(r"permission denied for database (.+)"), 'GRANT CREATE ON DATABASE "{0}" TO …'),
    (re.compile(r"permission denied for schema (.+)"), 'GRANT USAGE, CREATE ON SCHEMA "{0}" TO …'),
    (re.compile(r"permission denied for table (.+)"), 'ALTER TABLE "{0}" OWNER TO …'),
    (re.compile(r"must be owner of (?:table|relation) (.+)"), 'ALTER TABLE "{0}" OWNER TO …'),
)
"""What gives a privilege that PostgreSQL's message says is missing."""

COPY_CONTEXT = re.compile(
    r'^COPY (?:"(?:[^"]|"")*"|[^,\n]+), line (\d+)(?:, column ([^:\n]+))?', re.MULTILINE
)


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE of a driver's error; None if it has none."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    if isinstance(error, sa.exc.TimeoutError):
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
    return was_open or bool(TRANSIENT_CONNECTION_MESSAGES.search(str(error.orig)))


def is_connection_lost(error: DBAPIError) -> bool:
    """Whether it is unknown what the server did with the statement that failed."""
    state = sqlstate(error)
    return error.connection_invalidated or state is None or state.startswith(("08", "57P"))


def explain(error: DBAPIError | sa.exc.TimeoutError, subject: str) -> WarehouseError:
    """An error of the warehouse in the words of this project.

    Args:
        error: the error, with notes of what the statement was about.
        subject: what the request is about.
    """
    about = ", ".join([subject, *getattr(error, "__notes__", [])])
    if isinstance(error, sa.exc.TimeoutError):
        return UnreachableError(f"{about}: every connection to PostgreSQL was busy for too long")
    state = sqlstate(error)
    kind = UnreachableError if is_transient(error) else WarehouseError
    parts = [_what(error, state)]
    if remedy := _missing_grant(error, state) or _remedy(state):
        parts.append(remedy)
    return kind(f"{about}: {': '.join(parts)}")


def explain_copy(error: psycopg.Error, columns: Mapping[str, str]) -> BatchFileError | None:
    """An error about a row that COPY refuses; None if it is about something else.

    Args:
        error: the driver's error.
        columns: the full name of each column of the COPY, by its name there.
    """
    state = error.sqlstate
    places = COPY_CONTEXT.findall(error.diag.context or "")
    if state is None or not state.startswith("22") or not places:
        return None
    row, column = places[-1]
    reason = WORDING.get(state, "a value does not fit the column")
    return BatchFileError(reason, row=int(row), column=columns.get(column.strip('"')))


def _what(error: DBAPIError, state: str | None) -> str:
    cause = error.orig
    if state is None or not isinstance(cause, psycopg.Error):
        return _connection_message(cause)
    diagnostic = cause.diag
    message = diagnostic.message_primary or ""
    if state in SHOWN_WITH_DETAIL:
        detail = diagnostic.message_detail
        return f"{message} ({detail})" if detail else message
    if state[:2] in SHOWN_CLASSES:
        words = WORDING.get(state)
        return f"{words} ({message})" if words else message
    words = WORDING.get(state, f"PostgreSQL refused it with SQLSTATE {state}")
    named = [
        f'{label} "{value}"'
        for label, value in (
            ("column", diagnostic.column_name),
            ("constraint", diagnostic.constraint_name),
        )
        if value
    ]
    return f"{words} ({', '.join(named)})" if named else words


def _connection_message(cause: BaseException | None) -> str:
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    message = "; ".join(dict.fromkeys(lines))
    reached = f"PostgreSQL cannot be reached ({message})"
    for sign, remedy in CONNECTION_REMEDIES.items():
        if sign in message:
            return f"{reached}: {remedy}"
    return reached


def _remedy(state: str | None) -> str | None:
    return REMEDIES.get(state or "") or REMEDIES.get((state or "")[:2])


def _missing_grant(error: DBAPIError, state: str | None) -> str | None:
    """The statement that gives a missing privilege, as far as PostgreSQL's message tells which."""
    if state != "42501" or not isinstance(error.orig, psycopg.Error):
        return None
    message = error.orig.diag.message_primary or ""
    for pattern, grant in GRANTS:
        if found := pattern.search(message):
            return f"run {grant.format(*found.groups())}, for the user that the setup form names"
    return None
