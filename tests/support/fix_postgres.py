"""A PostgreSQL for the session: the embedded one, or a database of the one of TEST_POSTGRES_URL."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest

from destination.warehouse.postgres.embedded import embedded_postgres
from tests.support.cluster import Cluster, is_cluster
from tests.support.fix_secrets import WATCH

UNUSUAL = {
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "ISO, DMY",
    "bytea_output": "escape",
    "lc_messages": "de_DE.UTF-8",
}
"""Settings of the user that the connector is; the server may lack the language."""


@pytest.fixture(scope="session")
def postgres_uri() -> Iterator[str]:
    """The URI of the PostgreSQL.

    Its directory is not pytest's, whose parents another run of pytest closes to other users: run as
    root, the embedded PostgreSQL is one.
    """
    with ExitStack() as resources:
        server = os.environ.get("TEST_POSTGRES_URL")
        if server is None:
            directory = Path(resources.enter_context(TemporaryDirectory(prefix="postgres-")))
            uri = resources.enter_context(embedded_postgres(directory / "data", durable=False))
        else:
            uri = resources.enter_context(own_database(server))
        resources.enter_context(WATCH.looking_at_sessions(uri))
        yield uri


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """A database that no other run of the tests uses; yields its URI."""
    name = f"test_{uuid4().hex[:12]}"
    identifier = psycopg.sql.Identifier(name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(identifier))
        cluster = Cluster.of(server)
        if cluster is not None:
            cluster.prepare(name)
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
        connection.execute(psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
        if cluster is not None:
            cluster.drop(name)


@pytest.fixture(scope="session")
def user_uri(postgres_uri: str) -> Iterator[str]:
    """The URI by which the connector of most tests logs in: as a user who is no superuser.

    They may do what the README has granted, and what the owner may of all that a test makes by hand.
    """
    name, password = f"user_{uuid4().hex[:12]}", uuid4().hex
    user = psycopg.sql.Identifier(name)
    with psycopg.connect(postgres_uri, autocommit=True) as connection:
        maker, database = map(
            psycopg.sql.Identifier, (connection.info.user, connection.info.dbname)
        )
        connection.execute(psycopg.sql.SQL("CREATE USER {} PASSWORD {}").format(user, password))
        grants = psycopg.sql.SQL(
            "GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {} TO {}; GRANT {} TO {}"
        )
        connection.execute(grants.format(database, user, maker, user))
        for setting, value in UNUSUAL.items():
            change = psycopg.sql.SQL("ALTER USER {} SET {} TO {}")
            with suppress(psycopg.errors.InvalidParameterValue):
                connection.execute(change.format(user, psycopg.sql.Identifier(setting), value))
        yield psycopg.conninfo.make_conninfo(postgres_uri, user=name, password=password)
        connection.execute(psycopg.sql.SQL("DROP OWNED BY {} CASCADE").format(user))
        connection.execute(psycopg.sql.SQL("DROP USER {}").format(user))


@pytest.fixture(scope="session")
def session_connection(postgres_uri: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_uri, autocommit=True, prepare_threshold=None) as connection:
        connection.execute("SET TimeZone TO 'UTC'")
        yield connection


@pytest.fixture
def schema(session_connection: psycopg.Connection) -> Iterator[str]:
    """The name of a schema for one test, which may create it."""
    name = f"test_{uuid4().hex[:12]}"
    yield name
    identifier = psycopg.sql.Identifier(name)
    session_connection.execute(
        psycopg.sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(identifier)
    )


def lose_comments(connection: psycopg.Connection, schema: str) -> None:
    """Remove the comments of a schema and of all in it, as a restore without comments does."""
    connection.execute(
        "DELETE FROM pg_catalog.pg_description WHERE (classoid, objoid) IN ("
        " SELECT 'pg_namespace'::regclass, oid FROM pg_namespace WHERE nspname = %(schema)s UNION ALL"
        " SELECT 'pg_class'::regclass, c.oid FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = %(schema)s)",
        {"schema": schema},
    )


class Database:
    """Looks into the test's schema, as a customer would."""

    def __init__(self, connection: psycopg.Connection, schema: str, uri: str) -> None:
        self.connection = connection
        self.schema = schema
        self.distributed = is_cluster(connection)
        self._uri = uri

    def execute(self, statement: str, **names: str) -> list[tuple[object, ...]]:
        """Execute a statement in which {schema} and further names are put as identifiers."""
        identifiers = {
            name: psycopg.sql.Identifier(value)
            for name, value in {"schema": self.schema, **names}.items()
        }
        template = psycopg.sql.SQL(statement)
        with self._looking():
            cursor = self.connection.execute(template.format(**identifiers))
            return cursor.fetchall() if cursor.description else []

    def rows(self, table: str, *columns: str) -> list[tuple[object, ...]]:
        """The table's rows, as sorted as they can be; all columns unless some are named."""
        names = psycopg.sql.SQL(", ").join(psycopg.sql.Identifier(name) for name in columns)
        query = psycopg.sql.SQL("SELECT {} FROM {}").format(
            names if columns else psycopg.sql.SQL("*"), psycopg.sql.Identifier(self.schema, table)
        )
        with self._looking():
            return sorted(self.connection.execute(query).fetchall(), key=repr)

    def needs_local_tables(self, why: str) -> None:
        """Skip the test where tables are distributed."""
        if self.distributed:
            pytest.skip(f"tables are distributed: {why}")

    @contextmanager
    def gathered(self, table: str) -> Iterator[None]:
        """Let the key of a table be changed by hand, as on a cluster it can be if it is local."""
        name = f'"{self.schema}"."{table}"'
        query = "SELECT column_to_column_name(logicalrelid, partkey) FROM pg_dist_partition"
        found = (
            self.connection.execute(f"{query} WHERE logicalrelid = %s::regclass", [name]).fetchone()
            if self.distributed
            else None
        )
        if found:
            self.connection.execute("SELECT undistribute_table(%s)", [name])
        yield
        if not found:
            return
        try:
            self.connection.execute(
                "SELECT create_distributed_table(%s, %s, colocate_with => 'none')", [name, found[0]]
            )
        except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedObject):
            self.needs_local_tables("none is by a key of this type, as one that folds case")

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """See date-times in UTC, also those that are made texts by a worker of another time zone."""
        if not self.distributed:
            yield
            return
        with self.connection.transaction():
            self.connection.execute("SET LOCAL citus.propagate_set_commands = 'local'")
            self.connection.execute("SET LOCAL TimeZone = 'UTC'")
            yield

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Another session, a report say, has a table locked against everybody."""
        lock = psycopg.sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE")
        with psycopg.connect(self._uri) as report:
            report.execute(lock.format(psycopg.sql.Identifier(self.schema, table)))
            yield

    @contextmanager
    def writing(self, statement: str) -> Iterator[None]:
        """Another session has executed a statement, in which {schema} is put, and commits later."""
        schema = psycopg.sql.Identifier(self.schema)
        with psycopg.connect(self._uri) as writer:
            writer.execute(psycopg.sql.SQL(statement).format(schema=schema))
            yield


@pytest.fixture
def database(session_connection: psycopg.Connection, schema: str, postgres_uri: str) -> Database:
    return Database(session_connection, schema, postgres_uri)
