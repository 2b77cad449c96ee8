"""Connections to one PostgreSQL, and transactions on them that are applied exactly once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

import certifi
import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from destination import progress, telemetry
from destination.cancellation import Cancellation
from destination.errors import UnreachableError, WarehouseError
from destination.schema import Column, DataType, Table
from destination.telemetry.metrics import Metric
from destination.warehouse import tables
from destination.warehouse.base import Landed, Session
from destination.warehouse.kind import Warehouse
from destination.warehouse.postgres import certificates
from destination.warehouse.postgres.carrying import Parameter, ParameterDumper
from destination.warehouse.postgres.configuration import Configuration
from destination.warehouse.postgres.contract import URL, UTF8, begin
from destination.warehouse.postgres.driver import driver_of, interrupt, let_rows_queue
from destination.warehouse.postgres.errors import (
    READ_ONLY,
    explain,
    is_about_value,
    is_connection_lost,
    is_transient,
    sqlstate,
)
from destination.warehouse.postgres.outcome import COMMITTED, IN_PROGRESS, Transaction
from destination.warehouse.postgres.route import Route
from destination.warehouse.postgres.session import PostgresSession
from destination.warehouse.postgres.variants import SETTINGS, session_type
from destination.warehouse.stored import TableName

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

APPLICATION_NAME = "fivetran_destination"
POOL_SIZE = 8
POOL_WAIT_SECONDS = 600
CONNECT_SECONDS = 10
CONNECTION_PARAMETERS: dict[str, Any] = {
    "application_name": APPLICATION_NAME,
    "client_encoding": UTF8,
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""libpq's parameters. They detect a server that vanished within a minute."""
PATIENCE_SECONDS = 8
"""How long a test of the setup form may take."""
OLDEST_VERSION = 13
OLDEST_VERSION_NUMBER = OLDEST_VERSION * 10_000


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long transient errors are retried.

    Args:
        seconds: for how long after the first failure new attempts are made.
        longest_wait: the most seconds between two attempts.
        attempts: the fewest attempts, however long each takes.
    """

    seconds: float = 120
    longest_wait: float = 10
    attempts: int = 3

    def retrying(self, subject: str, cancellation: Cancellation) -> Retrying:
        """Attempts with exponential backoff and jitter."""

        def log_retry(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if error is None:
                return
            telemetry.add(Metric.RETRIES, 1, {"db.response.status_code": sqlstate(error) or "none"})
            if isinstance(error, (DBAPIError, sa.exc.TimeoutError)):
                error = explain(error, subject)
            logger.warning("retrying: %s", error)

        failures: list[float] = []

        def ran_out(state: RetryCallState) -> bool:
            failures.append(time.monotonic())
            lasted = failures[-1] - failures[0]
            return state.attempt_number >= self.attempts and lasted >= self.seconds

        return Retrying(
            retry=retry_if_exception(is_transient),
            stop=ran_out,
            wait=wait_random_exponential(multiplier=0.2, max=self.longest_wait),
            sleep=cancellation.sleep,
            before_sleep=log_retry,
            reraise=True,
        )


class PostgresWarehouse(Warehouse):
    """A PostgreSQL that a configuration leads to.

    Args:
        parameters: libpq's connection parameters.
        files: closes the files that the parameters name.
        retry: how long transient trouble is retried.
        route: the way there; None for the direct one.
    """

    def __init__(
        self,
        parameters: dict[str, Any],
        files: ExitStack | None = None,
        retry: RetryPolicy | None = None,
        route: Route | None = None,
    ) -> None:
        self._parameters = {**CONNECTION_PARAMETERS, **parameters}
        self._files = files or ExitStack()
        self._retry = retry or RetryPolicy()
        self._route = route or Route()
        self._engine = self._create_engine(
            pool_size=POOL_SIZE, max_overflow=0, pool_timeout=POOL_WAIT_SECONDS
        )
        self._checks = self._create_engine(poolclass=sa.NullPool)

    @classmethod
    def from_configuration(
        cls, configuration: Configuration, retry: RetryPolicy | None = None
    ) -> PostgresWarehouse:
        """The PostgreSQL that a setup form describes."""
        route = Route.of(configuration)
        files = ExitStack()
        parameters = {
            "host": configuration.host,
            "port": configuration.port,
            "dbname": configuration.database,
            "user": configuration.user,
            "password": configuration.password,
            "sslmode": configuration.sslmode.word,
            **certificates.as_files(configuration, files),
        }
        if configuration.sslmode.verifies:
            parameters.setdefault("sslrootcert", certifi.where())
        return cls(parameters, files, retry, route)

    @classmethod
    def from_uri(cls, uri: str, retry: RetryPolicy | None = None) -> PostgresWarehouse:
        """The PostgreSQL that a libpq URI names."""
        return cls(psycopg.conninfo.conninfo_to_dict(uri), retry=retry)

    def transact_once(
        self,
        subject: str,
        work: Callable[[Session], tuple[Result, Landed | None]],
        cancellation: Cancellation,
        table: TableName | None = None,
    ) -> Result:
        return self._retried(
            subject, lambda: self._attempt(subject, work, cancellation, table), cancellation
        )

    def read(
        self, subject: str, work: Callable[[Session], Result], cancellation: Cancellation
    ) -> Result:
        return self._retried(subject, lambda: self._read(work, cancellation), cancellation)

    def check_tunnel(self) -> None:
        self._once("SSH tunnel", lambda _: self._route.check(PATIENCE_SECONDS - 1))

    def check_connection(self) -> None:
        self._checked("connection", lambda session: session.scalar(sa.select(1)))

    def check_permissions(self) -> None:
        name = TableName(f"fivetran_test_{uuid4().hex[:12]}", "test")
        table = Table(name.table, (Column("id", DataType.INT, primary_key=True),))

        def create_and_roll_back(session: Session) -> None:
            tables.create(session, name, table)
            session.create_staging([sa.Column("id", sa.Integer)])
            session.connection.rollback()

        self._checked("permissions", create_and_roll_back)

    def check_version(self) -> None:
        query = sa.select(sa.func.current_setting("server_version_num").cast(sa.Integer))
        number = self._checked("version", lambda session: session.scalar(query))
        if number < OLDEST_VERSION_NUMBER:
            raise WarehouseError(
                f"the server is PostgreSQL {number // 10_000}, but this connector needs "
                f"{OLDEST_VERSION} or newer: upgrade the server"
            )

    def close(self) -> None:
        self._engine.dispose()
        self._files.close()
        self._route.close()

    def _create_engine(self, **pool: Any) -> sa.Engine:
        return sa.create_engine(
            URL,
            creator=self._connect,
            variants=SETTINGS,
            use_native_hstore=False,
            hide_parameters=True,
            enable_from_linting=False,  # a table of one value is joined to every row on purpose
            query_cache_size=0,  # its keys hold tables as objects, which are new in each transaction
            **pool,
        )

    def _connect(self) -> psycopg.Connection[Any]:
        connection = self._route.connect(self._parameters, autocommit=True, prepare_threshold=None)
        connection.adapters.register_dumper(Parameter, ParameterDumper)
        let_rows_queue(connection)
        return connection

    def _checked(self, subject: str, work: Callable[[Session], Result]) -> Result:
        return self._once(subject, lambda given_up: self._read(work, given_up, self._checks))

    def _once(self, subject: str, work: Callable[[Cancellation], Result]) -> Result:
        """Work without retries, on a connection of its own, for a test of the setup form."""
        waiting = ThreadPoolExecutor(1, thread_name_prefix="check")
        cancellation = Cancellation()

        def leaving_nothing() -> Result:
            try:
                return work(cancellation)
            finally:
                self._route.rest()

        attempt = waiting.submit(leaving_nothing)
        waiting.shutdown(wait=False)
        try:
            with self._explained(subject, cancellation):
                return attempt.result(PATIENCE_SECONDS)
        except TimeoutError as error:
            raise UnreachableError(
                f"{subject}: PostgreSQL did not answer within {PATIENCE_SECONDS} s: check host and "
                f"port, and that the network lets Fivetran through"
            ) from error

    def _retried(
        self, subject: str, attempt: Callable[[], Result], cancellation: Cancellation
    ) -> Result:
        with self._explained(subject, cancellation):
            result: Result = self._retry.retrying(subject, cancellation)(attempt)
            return result

    @contextmanager
    def _explained(self, subject: str, cancellation: Cancellation) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        except (DBAPIError, sa.exc.TimeoutError) as error:
            cancellation.check()
            explained = explain(error, subject, self._parameters.get("dbname"))
            if isinstance(explained, UnreachableError):
                waited = time.monotonic() - started
                raise UnreachableError(f"{explained}; tried for {waited:.0f} s") from error
            raise explained from error

    def _read(
        self,
        work: Callable[[Session], Result],
        cancellation: Cancellation,
        engine: sa.Engine | None = None,
    ) -> Result:
        engine = engine or self._engine
        with _connected(engine) as connection, _interruptible(connection, cancellation):
            session = session_type(connection)(connection, cancellation)
            with session.explained_errors():
                begin(connection)
                return work(session)

    def _attempt(
        self,
        subject: str,
        work: Callable[[Session], tuple[Result, Landed | None]],
        cancellation: Cancellation,
        table: TableName | None,
        *,
        carrying: bool = True,
    ) -> Result:
        """One transaction. If a value that a statement carries is refused, another one stages all rows.

        COPY then says which value it is.
        """
        with _connected(self._engine) as connection, _left_if_read_only(connection):
            session = session_type(connection)(connection, cancellation, carrying=carrying)
            try:
                with _interruptible(connection, cancellation), session.explained_errors():
                    transaction = session.begin(table)
                    with progress.logged(subject, session.progress):
                        result, landed = work(session)
            except DBAPIError as error:
                if not session.has_carried or not is_about_value(error):
                    raise
            else:
                self._commit(subject, session, transaction, landed)
                return result
        return self._attempt(subject, work, cancellation, table, carrying=False)

    def _commit(
        self,
        subject: str,
        session: PostgresSession,
        transaction: Transaction,
        landed: Landed | None,
    ) -> None:
        session.cancellation.check()
        try:
            with telemetry.phase("commit"), session.explained_errors():
                session.connection.commit()
        except DBAPIError as error:
            if not is_connection_lost(error) or not self._was_committed(
                subject, transaction, landed
            ):
                raise

    def _was_committed(self, subject: str, transaction: Transaction, landed: Landed | None) -> bool:
        """Find out what became of a transaction whose commit was not answered."""
        cancellation = Cancellation()

        def outcome(session: Session) -> str:
            return transaction.outcome(session, landed)

        retrying = self._retry.retrying(subject, cancellation)
        until = time.monotonic() + self._retry.seconds
        while (answer := retrying(self._read, outcome, cancellation)) == IN_PROGRESS:
            if time.monotonic() > until:
                raise UnreachableError(
                    f"{subject}: the connection was lost while the rows were committed, and whether "
                    f"they are is not known: look for a session that is stuck, end it and retry"
                )
            time.sleep(0.1)
        logger.warning("%s: the answer to a commit was lost; it is %s", subject, answer)
        return bool(answer == COMMITTED)


@contextmanager
def _left_if_read_only(connection: sa.Connection) -> Iterator[None]:
    """Make the next attempt connect again: after a failover the primary is another server."""
    try:
        yield
    except DBAPIError as error:
        if sqlstate(error) == READ_ONLY:
            connection.invalidate()
        raise


@contextmanager
def _connected(engine: sa.Engine) -> Iterator[sa.Connection]:
    with telemetry.waiting("connection"):
        connection = engine.connect()
    with connection, telemetry.held(Metric.CONNECTIONS_USED):
        try:
            yield connection.execution_options(compiled_cache={})
        except DBAPIError as error:
            if error.connection_invalidated:  # of a statement that SQLAlchemy does not know of
                connection.invalidate()
            raise


@contextmanager
def _interruptible(connection: sa.Connection, cancellation: Cancellation) -> Iterator[None]:
    """If the work is cancelled, cancel the statement that runs on a connection.

    The connection is then not used again: the cancellation might arrive during a later statement.
    """
    driver = driver_of(connection)
    try:
        with cancellation.interrupting(lambda: interrupt(driver)):
            yield
    finally:
        if cancellation.cancelled:
            connection.invalidate()
