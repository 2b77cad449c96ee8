"""What became of a transaction whose commit was not answered."""

from collections.abc import Callable, Iterator
from contextlib import closing

import psycopg
import pytest

from destination.cancellation import Cancellation
from destination.warehouse.base import Session
from destination.warehouse.postgres.database import PostgresWarehouse
from destination.warehouse.postgres.driver import driver_of
from destination.warehouse.postgres.outcome import (
    COMMITTED,
    ERA,
    IN_PROGRESS,
    LOST,
    NUMBER,
    Transaction,
)
from tests.support.waiting import wait_until

Judge = Callable[[Transaction, Callable[[Session], bool] | None], str]


@pytest.fixture
def judge(postgres_uri: str) -> Iterator[Judge]:
    """Asks in a later session what became of a transaction."""
    warehouse = PostgresWarehouse.from_uri(postgres_uri)
    yield lambda lost, landed: warehouse.read(
        "look", lambda session: lost.outcome(session, landed), Cancellation()
    )
    warehouse.close()


@pytest.fixture
def writer(postgres_uri: str) -> Iterator[psycopg.Connection]:
    with closing(psycopg.connect(postgres_uri)) as connection:
        yield connection


def writing(connection: psycopg.Connection) -> Transaction:
    """The transaction that a session is in."""
    ((number, era),) = connection.execute(f"SELECT {NUMBER}, {ERA}").fetchall()
    return Transaction(number, era)


@pytest.mark.parametrize(("end", "outcome"), [("COMMIT", COMMITTED), ("ROLLBACK", "aborted")])
def test_transaction_that_ended(
    judge: Judge, writer: psycopg.Connection, end: str, outcome: str
) -> None:
    lost = writing(writer)
    writer.execute(end)
    assert judge(lost, lambda _: end == "ROLLBACK") == outcome


def test_session_that_still_runs_is_ended_and_no_other(
    judge: Judge,
    writer: psycopg.Connection,
    postgres_uri: str,
    session_connection: psycopg.Connection,
) -> None:
    with psycopg.connect(postgres_uri) as other:
        writing(other)
        assert judge(writing(writer), None) == IN_PROGRESS
        pids = [writer.info.backend_pid, other.info.backend_pid]
        query = "SELECT pid FROM pg_stat_activity WHERE pid = ANY(%s)"
        wait_until(lambda: session_connection.execute(query, [pids]).fetchall() == [(pids[1],)])


@pytest.mark.parametrize(
    ("landed", "outcome"),
    [(None, LOST), (lambda _: False, LOST), (lambda _: True, COMMITTED)],
    ids=["repeatable", "without rows", "with rows"],
)
def test_number_of_before_a_crash_tells_nothing(
    judge: Judge,
    writer: psycopg.Connection,
    landed: Callable[[Session], bool] | None,
    outcome: str,
) -> None:
    number = writing(writer).number
    writer.commit()
    assert judge(Transaction(number, "2020-01-01 00:00:00+00"), landed) == outcome


def test_transaction_is_begun_with_its_number_and_what_is_asked(postgres_uri: str) -> None:
    warehouse = PostgresWarehouse.from_uri(postgres_uri)

    def start(session: Session) -> None:
        driver = driver_of(session.connection)
        driver.rollback()
        started, rows = Transaction.start(session.connection, [b"SELECT 1, 2"])
        assert started == writing(driver)
        assert rows == [(1, 2)]

    warehouse.read("start", start, Cancellation())
    warehouse.close()
