"""Connections that break, sessions in the way, clients that give up: rows land once or not at all."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import psycopg
import pytest

from destination.sdk import common_pb2 as common
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination_tester.files import Row
from tests.fix_connector import Client, calling, column
from tests.fix_postgres import Database
from tests.fix_proxy import Proxy

KEYED = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
KEYLESS = common.Table(name="t", columns=[column("id", common.LONG), column("text")])
ROWS: list[Row] = [{"id": i, "text": "x" * 100} for i in range(20_000)]


@pytest.fixture
def proxied(proxy: Proxy, schema: str, tmp_path: Path) -> Iterator[Client]:
    """A client of a connector that reaches PostgreSQL through the proxy."""
    uri = f"postgresql://postgres@/postgres?host={proxy.directory}"
    connect = partial(PostgresWarehouse.from_uri, uri, RetryPolicy(5, 0.5))
    with calling(lambda _: connect(), schema, tmp_path) as client:
        yield client


@pytest.mark.parametrize("delivers", [False, True], ids=["commit lost", "answer lost"])
@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
def test_commit_without_an_answer_is_applied_once(
    proxied: Client, proxy: Proxy, database: Database, table: common.Table, *, delivers: bool
) -> None:
    assert proxied.create(table).success
    proxy.cut_once(b"COMMIT", delivers=delivers)
    answer = proxied.write(table, replace=[ROWS])
    assert answer.success, answer
    assert proxy.cuts == 1
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(len(ROWS),)]


@pytest.mark.parametrize("at", [b"pg_advisory", b"COPY", b"x" * 90, b"set_config"])
def test_connection_cut_before_the_commit_is_retried(
    proxied: Client, proxy: Proxy, database: Database, at: bytes
) -> None:
    assert proxied.create(KEYLESS).success
    proxy.cut_once(at, delivers=False)
    answer = proxied.write(KEYLESS, replace=[ROWS])
    assert answer.success, answer
    assert proxy.cuts == 1
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(len(ROWS),)]


def test_server_that_stays_away_is_a_task_that_says_for_how_long(
    proxied: Client, proxy: Proxy
) -> None:
    assert proxied.create(KEYED).success
    proxy.close()
    (proxy.directory / ".s.PGSQL.5432").unlink()
    proxy.cut_once(b"SELECT", delivers=False)
    answer = proxied.write(KEYED, replace=[ROWS[:1]])
    assert "tried for" in answer.task.message


def test_session_ended_by_an_administrator_is_retried(
    client: Client, database: Database, postgres_uri: str
) -> None:
    assert client.create(KEYLESS).success
    with psycopg.connect(postgres_uri) as report:
        report.execute(f'LOCK TABLE "{database.schema}".t IN ACCESS EXCLUSIVE MODE')
        writing = threading.Thread(target=client.write, args=(KEYLESS,), kwargs={"replace": [ROWS]})
        writing.start()
        waiting = wait_for_sessions(database, 1)
        database.execute(f"SELECT pg_terminate_backend({waiting[0]})")
    writing.join(timeout=30)
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(len(ROWS),)]


@pytest.mark.parametrize("kind", ["deadline", "cancel"])
def test_client_that_gives_up_stops_the_work(
    client: Client, database: Database, postgres_uri: str, kind: str
) -> None:
    assert client.create(KEYED).success
    with psycopg.connect(postgres_uri) as report:
        report.execute(f'LOCK TABLE "{database.schema}".t IN ACCESS EXCLUSIVE MODE')
        path = client.files.write("batch", KEYED.columns, ROWS)
        request = client.request(KEYED, replace_files=[path])
        call = client.stub.WriteBatch.future(request, timeout=0.5 if kind == "deadline" else None)
        wait_for_sessions(database, 1)
        if kind == "cancel":
            call.cancel()
        begun = time.monotonic()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result()
        wait_for_sessions(database, 0)
        assert time.monotonic() - begun < 5
    assert database.rows("t") == []
    assert client.write(KEYED, replace=[ROWS[:1]]).success


def wait_for_sessions(database: Database, count: int) -> list[int]:
    """Wait until so many of the connector's sessions wait for a lock on the test's table."""
    query = f"SELECT pid FROM pg_locks WHERE NOT granted AND relation = '\"{database.schema}\".t'::regclass"
    for _ in range(200):
        waiting = [pid for (pid,) in database.connection.execute(query)]
        if len(waiting) == count:
            return waiting
        time.sleep(0.05)
    raise AssertionError(f"{len(waiting)} sessions wait")
