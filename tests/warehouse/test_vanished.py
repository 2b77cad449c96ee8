"""A connector that vanishes while it holds a lock: the server notices, and lets the lock go."""

import os
import socket
import threading

import pytest
import sqlalchemy as sa

from destination.cancellation import Cancellation
from destination.errors import UnreachableError
from destination.warehouse.base import Session
from destination.warehouse.postgres.configuration import Configuration
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination.warehouse.postgres.driver import driver_of
from tests.support.fix_server import OwnServer
from tests.support.waiting import wait_until

MINUTE = 60_000


def transact(server: OwnServer, work: object) -> object:
    configuration = Configuration.parse(server.configuration)
    warehouse = PostgresWarehouse.from_configuration(configuration, RetryPolicy(0, 0.1, 1))
    try:
        return warehouse.transact("test", work, Cancellation())  # type: ignore[arg-type]
    finally:
        warehouse.close()


def test_machine_that_is_gone_is_noticed_within_a_minute(password_server: OwnServer) -> None:
    """Either while the server waits for the connector, or while the connector does not acknowledge."""

    def settings(session: Session) -> list[int]:
        names = "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"
        query = "SELECT setting::int FROM pg_settings WHERE name = '{}'"
        return [
            session.scalar(sa.text(query.format(name))) for name in (*names, "tcp_user_timeout")
        ]

    found = transact(password_server, settings)
    assert isinstance(found, list)
    idle, interval, count, user_timeout = found
    assert 0 < idle + interval * count <= MINUTE / 1000
    assert 0 < user_timeout <= MINUTE


def test_process_that_is_gone_is_noticed_while_a_statement_runs(password_server: OwnServer) -> None:
    """Its lock is free long before the statement would have ended."""
    waiting = (
        "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep(300%' AND pid <> pg_backend_pid()"
    )

    def sleep_and_hang_up(session: Session) -> None:
        driver = driver_of(session.connection)
        line = socket.socket(fileno=os.dup(driver.fileno()))
        hanging_up = threading.Timer(0.5, line.shutdown, (socket.SHUT_RDWR,))
        hanging_up.start()
        try:
            session.scalar(sa.text("SELECT pg_advisory_xact_lock(7), pg_sleep(300)"))
        finally:
            hanging_up.join()
            line.close()

    with pytest.raises(UnreachableError):
        transact(password_server, sleep_and_hang_up)
    with password_server.connect() as connection:
        wait_until(lambda: connection.execute(waiting).rowcount == 0)
        assert connection.execute("SELECT pg_try_advisory_lock(7)").fetchone() == (True,)
