"""Giving up: the canceller does not wait, and nothing is interrupted that comes later."""

import threading
import time
from collections.abc import Callable

import pytest

from destination.cancellation import AGAIN_SECONDS, Cancellation
from destination.errors import CancelledError
from destination.warehouse.base import Session
from destination.warehouse.postgres.database import PostgresWarehouse
from tests.support.fix_postgres import Database
from tests.support.waiting import wait_until


def test_work_that_waits_is_interrupted() -> None:
    cancellation, interrupted = Cancellation(), threading.Event()
    with cancellation.interrupting(interrupted.set):
        cancellation.cancel()
        assert interrupted.wait(10)
        with pytest.raises(CancelledError, match="the call was given up"):
            cancellation.check()


def test_canceller_does_not_wait_but_the_work_does() -> None:
    cancellation, released = Cancellation(), threading.Event()
    steps = []

    def interrupt() -> None:
        released.wait(10)
        steps.append("interrupted")

    def work() -> None:
        with cancellation.interrupting(interrupt):
            cancellation.cancel()
            steps.append("cancelled")
        steps.append("left")

    working = threading.Thread(target=work)
    working.start()
    wait_until(lambda: steps == ["cancelled"])
    released.set()
    working.join()
    assert steps == ["cancelled", "interrupted", "left"]


def test_work_that_is_done_is_not_interrupted() -> None:
    cancellation, interrupted = Cancellation(), threading.Event()
    with cancellation.interrupting(interrupted.set):
        pass
    cancellation.cancel()
    assert not interrupted.wait(0.1)


def test_work_is_not_begun_after_it_was_given_up() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(CancelledError), cancellation.interrupting(lambda: None):
        raise AssertionError("begun")


def test_given_up_twice_is_interrupted_once() -> None:
    cancellation, steps = Cancellation(), list[str]()
    with cancellation.interrupting(lambda: steps.append("interrupted")):
        cancellation.cancel()
        cancellation.cancel()
    assert cancellation.cancelled
    assert steps == ["interrupted"]


def test_work_that_begins_to_wait_just_after_is_interrupted_too() -> None:
    cancellation, steps = Cancellation(), list[str]()
    with cancellation.interrupting(lambda: steps.append("interrupted")):
        cancellation.cancel()
        wait_until(lambda: len(steps) > 1)
    interrupted = len(steps)
    time.sleep(2 * AGAIN_SECONDS)
    assert len(steps) == interrupted


def test_each_of_several_that_wait_is_interrupted() -> None:
    cancellation, steps = Cancellation(), list[str]()
    with (
        cancellation.interrupting(lambda: steps.append("outer")),
        cancellation.interrupting(lambda: steps.append("inner")),
    ):
        cancellation.cancel()
    assert sorted(steps) == ["inner", "outer"]


def test_pause_lasts_as_long_as_it_should() -> None:
    begun = time.monotonic()
    Cancellation().sleep(0.1)
    assert time.monotonic() - begun >= 0.1


def test_pause_ends_when_the_work_is_given_up() -> None:
    cancellation, begun = Cancellation(), time.monotonic()
    threading.Timer(0.1, cancellation.cancel).start()
    with pytest.raises(CancelledError):
        cancellation.sleep(60)
    assert time.monotonic() - begun < 30


def test_transaction_that_gives_itself_up_stores_nothing(
    postgres_uri: str, database: Database
) -> None:
    database.execute("CREATE SCHEMA {schema}; CREATE TABLE {schema}.t (id int)")
    warehouse, cancellation = PostgresWarehouse.from_uri(postgres_uri), Cancellation()

    def work(session: Session) -> None:
        session.connection.exec_driver_sql(f'INSERT INTO "{database.schema}".t VALUES (1)')
        cancellation.cancel()

    with pytest.raises(CancelledError):
        warehouse.transact("work", work, cancellation)
    warehouse.close()
    assert database.rows("t") == []


@pytest.mark.parametrize("run", [PostgresWarehouse.transact, PostgresWarehouse.read])
def test_statement_that_begins_after_the_interruption_is_interrupted_too(
    postgres_uri: str, run: Callable[..., object]
) -> None:
    warehouse, cancellation = PostgresWarehouse.from_uri(postgres_uri), Cancellation()

    def work(session: Session) -> None:
        cancellation.cancel()
        time.sleep(AGAIN_SECONDS / 2)  # the server takes the first, for a session that does nothing
        session.connection.exec_driver_sql("SELECT pg_catalog.pg_sleep(60)")

    begun = time.monotonic()
    with pytest.raises(CancelledError):
        run(warehouse, "work", work, cancellation)
    assert time.monotonic() - begun < 50
    warehouse.close()
