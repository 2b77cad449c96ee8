"""How long transient trouble is retried."""

import time

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from destination.cancellation import Cancellation
from destination.errors import UnreachableError
from destination.warehouse.base import Session
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy

LONG_SECONDS = 0.4
POLICY = RetryPolicy(seconds=0.3, longest_wait=0.05)


def end_own_session(session: Session) -> None:
    session.connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")


def test_attempt_that_took_long_before_it_failed_is_retried(postgres_uri: str) -> None:
    """The time counts from the first failure, not from the beginning."""
    warehouse = PostgresWarehouse.from_uri(postgres_uri, POLICY)
    attempts: list[float] = []

    def work(session: Session) -> str:
        attempts.append(time.monotonic())
        if len(attempts) < POLICY.attempts:
            time.sleep(LONG_SECONDS)
            end_own_session(session)
        return "done"

    assert warehouse.transact("work", work, Cancellation()) == "done"
    assert len(attempts) == POLICY.attempts
    warehouse.close()


def test_retries_end_after_the_policy_s_time(postgres_uri: str) -> None:
    warehouse = PostgresWarehouse.from_uri(postgres_uri, POLICY)
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match="tried for"):
        warehouse.transact("work", end_own_session, Cancellation())
    assert time.monotonic() - begun >= POLICY.seconds
    warehouse.close()


def test_what_will_not_pass_is_tried_once(postgres_uri: str) -> None:
    warehouse = PostgresWarehouse.from_uri(postgres_uri, POLICY)
    attempts: list[Session] = []

    def work(session: Session) -> None:
        attempts.append(session)
        error = psycopg.errors.UndefinedTable()
        raise DBAPIError(None, None, error)

    with pytest.raises(Exception, match="work"):
        warehouse.transact("work", work, Cancellation())
    assert len(attempts) == 1
    warehouse.close()
