"""Behind PgBouncer in transaction mode, where a session is another's at the next transaction."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from destination.memory import Budget
from destination.sdk import common_pb2 as common
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination_tester.files import BatchFiles, Row
from tests.support.fix_connector import Client, calling, column, reaching, serving
from tests.support.fix_roles import plays_samples
from tests.support.fix_server import PASSWORD, OwnServer
from tests.support.waiting import wait_until

PGBOUNCER = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/bin:/usr/bin")
TABLE = common.Table(name="t", columns=[column("id", common.INT, key=True), column("text")])


@contextmanager
def pgbouncer(server: OwnServer, **settings: str) -> Iterator[str]:
    """Run PgBouncer before a server; yields the URI that leads through it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "pool_mode": "transaction",
        "auth_type": "plain",
        "default_pool_size": "3",
        "unix_socket_dir": "",
        **settings,
    }
    with TemporaryDirectory(prefix="pgbouncer-") as name:
        directory = Path(name)
        users, ini = directory / "users", directory / "pgbouncer.ini"
        users.write_text(f'"postgres" "{PASSWORD}"\n')
        lines = [f"{key} = {value}" for key, value in {**settings, "auth_file": str(users)}.items()]
        databases = f"[databases]\n* = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
        ini.write_text(databases + "\n".join(lines) + "\n")
        for path in (directory, users, ini):
            server.own(path)
        process = subprocess.Popen([*server.as_user, str(PGBOUNCER), "--quiet", str(ini)])
        uri = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
        try:
            wait_until(lambda: answers(uri))
            yield uri
        finally:
            process.terminate()
            process.wait()


def answers(uri: str) -> bool:
    try:
        psycopg.connect(uri).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def pooler(password_server: OwnServer) -> Iterator[str]:
    if PGBOUNCER is None:
        pytest.skip("PgBouncer is not installed")
    with pgbouncer(password_server) as uri:
        yield uri


@pytest.fixture(scope="module")
def port(pooler: str) -> Iterator[int]:
    with serving(lambda _: PostgresWarehouse.from_uri(pooler), Budget()) as port:
        yield port


@pytest.mark.parametrize("file_type", ["CSV", "PARQUET"])
def test_samples_arrive_through_a_pooler(
    port: int, pooler: str, tmp_path: Path, file_type: str
) -> None:
    assert plays_samples(port, pooler, tmp_path, file_type)


def test_what_others_leave_in_a_pooled_session_changes_nothing(
    port: int, pooler: str, password_server: OwnServer, schema: str, tmp_path: Path
) -> None:
    leaving = (
        "SET client_encoding TO LATIN1", "SET search_path TO public", "SET DateStyle TO 'SQL, DMY'",
        "SET default_transaction_isolation TO serializable",
        "SET default_transaction_read_only TO on", "SET exit_on_error TO on",
        "SET statement_timeout TO '10ms'",  # the last, since it would hold for the others
    )  # fmt: skip
    with psycopg.connect(pooler, autocommit=True, prepare_threshold=None) as other:
        for statement in leaving:
            other.execute(statement)
    rows: list[Row] = [{"id": i, "text": "é 日本 😀"} for i in range(5000)]
    with reaching(port) as stub:
        client = Client(stub, schema, BatchFiles(tmp_path))
        assert client.create(TABLE).success
        with ThreadPoolExecutor(4) as calls:
            writing = [calls.submit(client.write, TABLE, replace=[rows]) for _ in range(8)]
            assert all(each.result().success for each in writing)
    query = psycopg.sql.SQL("SELECT count(*), min(text), max(text) FROM {}")
    with password_server.connect() as connection:
        found = connection.execute(query.format(psycopg.sql.Identifier(schema, "t"))).fetchall()
    assert found == [(5000, "é 日本 😀", "é 日本 😀")]


@contextmanager
def calling_through(uri: str, schema: str, directory: Path, retry: RetryPolicy) -> Iterator[Client]:
    """A client of a connector that reaches a server through a pooler."""
    with calling(lambda _: PostgresWarehouse.from_uri(uri, retry), schema, directory) as client:
        yield client


@pytest.mark.usefixtures("pooler")
def test_pooler_that_is_full_is_waited_for(
    password_server: OwnServer, schema: str, tmp_path: Path
) -> None:
    with pgbouncer(password_server, max_client_conn="2") as uri, ThreadPoolExecutor(1) as calls:
        others = [psycopg.connect(uri) for _ in range(2)]
        with calling_through(uri, schema, tmp_path, RetryPolicy(0, 0.1, 1)) as client:
            message = client.describe("t").task.message
        with calling_through(uri, schema, tmp_path, RetryPolicy(20, 0.1)) as client:
            describing = calls.submit(client.describe, "t")
            with pytest.raises(TimeoutError):
                describing.result(1)
            for each in others:
                each.close()
            assert describing.result().not_found
    assert "no more connections allowed (max_client_conn)" in message
    assert "raise this setting of PgBouncer, or end sessions" in message


@pytest.mark.usefixtures("pooler")
def test_server_that_a_pooler_cannot_reach_is_waited_for(
    password_server: OwnServer, schema: str, tmp_path: Path
) -> None:
    with (
        pgbouncer(password_server, server_login_retry="1", query_wait_timeout="3") as uri,
        ThreadPoolExecutor(1) as calls,
    ):
        password_server.stop("fast")
        with calling_through(uri, schema, tmp_path, RetryPolicy(0, 0.1, 2)) as client:
            message = client.describe("t").task.message
        with calling_through(uri, schema, tmp_path, RetryPolicy(60, 0.5)) as client:
            describing = calls.submit(client.describe, "t")
            with pytest.raises(TimeoutError):
                describing.result(2)
            password_server.start()
            assert describing.result().not_found
    assert "server_login_retry" in message
    assert "look at PgBouncer's log: it cannot log in to its server" in message
