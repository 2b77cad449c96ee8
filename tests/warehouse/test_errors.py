"""Which errors pass, and after which it is not known what the server did."""

import inspect

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from destination.errors import TunnelLostError
from destination.warehouse.postgres.errors import explain, is_connection_lost, is_transient

STATES = sorted(
    {
        error.sqlstate
        for _, error in inspect.getmembers(psycopg.errors, inspect.isclass)
        if issubclass(error, psycopg.Error) and error.sqlstate
    }
)
"""Every SQLSTATE that the driver knows."""
PASSING = {
    "08000", "08001", "08003", "08004", "08006", "08007", "08P01",
    "25006", "25P03",
    "40000", "40001", "40002", "40003", "40P01",
    "53300", "55P03", "57P01", "57P02", "57P03", "57P05",
}  # fmt: skip


def error_of(
    cause: psycopg.Error, statement: str | None = "SELECT 1", *, invalidated: bool = False
) -> DBAPIError:
    return DBAPIError(statement, None, cause, connection_invalidated=invalidated)


def error_in(state: str) -> psycopg.Error:
    return psycopg.errors.lookup(state)()


@pytest.mark.parametrize("state", STATES)
def test_state_is_retried_where_it_passes(state: str) -> None:
    assert is_transient(error_of(error_in(state))) == (state in PASSING)


@pytest.mark.parametrize("state", STATES)
def test_state_that_tells_the_outcome_of_a_commit(state: str) -> None:
    """A session that the server ends may have committed before."""
    told = not state.startswith(("08", "57P"))
    assert is_connection_lost(error_of(error_in(state))) != told


def test_connection_that_is_lost_passes_whatever_was_said_last() -> None:
    lost = error_of(error_in("23505"), invalidated=True)
    assert is_transient(lost)
    assert is_connection_lost(lost)


def test_commit_whose_answer_is_no_answer_of_the_server() -> None:
    assert is_connection_lost(error_of(psycopg.OperationalError("consuming input failed")))


@pytest.mark.parametrize(
    ("statement", "text", "passes"),
    [
        (None, "connection refused", True),
        (None, "no words that are known", True),
        (None, "max clients reached in session mode", True),
        (None, "remaining connection slots are reserved for roles with privileges", True),
        (None, "cannot connect to server", True),
        (None, "password authentication failed for user", False),
        ("SELECT 1", "password authentication failed for user", True),
    ],
)
def test_log_in_is_retried_unless_it_never_will_succeed(
    statement: str | None, text: str, *, passes: bool
) -> None:
    assert is_transient(error_of(psycopg.OperationalError(text), statement)) == passes


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (sa.exc.TimeoutError(), True),
        (TunnelLostError("lost"), True),
        (error_of(psycopg.DataError("of the driver")), False),
        (error_of(psycopg.InterfaceError("of the driver")), False),
        (psycopg.OperationalError("not of a statement"), False),
        (ValueError(), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_without_sqlstate_are_retried_if_they_may_pass(
    error: Exception, *, passes: bool
) -> None:
    assert is_transient(error) == passes


def told(connection: psycopg.Connection, statement: str) -> str:
    """What is told of a statement that the server refuses."""
    with pytest.raises(psycopg.Error) as refused:
        connection.execute(statement)
    return str(explain(error_of(refused.value, statement), "subject"))


def test_words_of_the_server_are_told_where_they_can_hold_no_row(
    postgres_uri: str,
) -> None:
    sleep, ended = "pg_sleep(9)", "canceling statement due to statement timeout"
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        assert told(connection, "CREATE SCHEMA pg_reserved").startswith(
            'subject: unacceptable schema name "pg_reserved"'
        )
        connection.execute("SET statement_timeout TO 100")
        assert ended in told(connection, f"SELECT {sleep}")
        within = told(connection, f"DO $$ BEGIN PERFORM {sleep}; END $$")
    assert ended not in within
    assert "57014" in within or "cancel" in within
