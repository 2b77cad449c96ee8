"""Connections that break, sessions in the way, clients that give up: rows land once or not at all."""

import logging
import random
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import psycopg
import pytest

from destination.sdk import common_pb2 as common
from destination.servicer import Servicer
from destination.warehouse.postgres.database import (
    PostgresWarehouse,
    RetryPolicy,
)
from destination_tester.files import Row
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_postgres import Database
from tests.support.fix_proxy import COMMIT, Proxy, Sender, Trap
from tests.support.waiting import retry_for_only, wait_for_locks_only, wait_until

KEYED = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
KEYLESS = common.Table(name="t", columns=[column("id", common.LONG), column("text")])
ROWS: list[Row] = [{"id": i, "text": "x" * 100} for i in range(20_000)]
RETRY_SECONDS = 5


@pytest.fixture
def proxied(proxy: Proxy, schema: str, tmp_path: Path) -> Iterator[Client]:
    """A client of a connector that reaches PostgreSQL through the proxy."""
    connect = partial(PostgresWarehouse.from_uri, proxy.conninfo, RetryPolicy(RETRY_SECONDS, 0.5))
    with calling(lambda _: connect(), schema, tmp_path) as client:
        yield client


def has_rows_once(database: Database) -> bool:
    found = database.execute("SELECT count(*), count(DISTINCT id) FROM {schema}.t")
    return found == [(len(ROWS), len(ROWS))]


@pytest.mark.parametrize("delivers", [False, True], ids=["commit lost", "answer lost"])
@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
def test_commit_without_an_answer_is_applied_once(
    proxied: Client, proxy: Proxy, database: Database, table: common.Table, *, delivers: bool
) -> None:
    assert proxied.create(table).success
    proxy.cut_once(COMMIT, delivers=delivers)
    answer = proxied.write(table, replace=[ROWS])
    assert answer.success, answer
    assert proxy.sprung == 1
    assert has_rows_once(database)


@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
def test_commit_lost_on_its_way_to_a_server_that_does_not_notice(
    proxied: Client, proxy: Proxy, database: Database, table: common.Table
) -> None:
    """Its session would hold the rows and the locks for as long as the line seems to be there."""
    assert proxied.create(table).success
    proxy.set_trap(Trap(at=COMMIT, then=proxy.vanish))
    answer = proxied.write(table, replace=[ROWS])
    assert answer.success, answer
    assert proxy.sprung == 1
    assert has_rows_once(database)


@pytest.mark.parametrize("at", [b"advisory", b"COPY", b"x" * 90, b"set_config"])
def test_connection_cut_before_the_commit_is_retried(
    proxied: Client, proxy: Proxy, database: Database, at: bytes
) -> None:
    assert proxied.create(KEYLESS).success
    proxy.cut_once(at)
    answer = proxied.write(KEYLESS, replace=[ROWS])
    assert answer.success, answer
    assert proxy.sprung == 1
    assert has_rows_once(database)


def test_connection_cut_after_the_answer_that_a_key_is_there_twice(
    proxied: Client, proxy: Proxy, database: Database
) -> None:
    database.needs_local_tables("Citus answers with another code")
    assert proxied.create(KEYED).success
    assert proxied.write(KEYED, replace=[ROWS]).success
    proxy.set_trap(Trap("server", at=b"C23505", delivers=True))
    answer = proxied.write(KEYED, replace=[ROWS * 2])
    assert answer.success, answer
    assert proxy.sprung == 1
    assert has_rows_once(database)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("sender", ["client", "server"])
def test_connection_cut_at_any_byte(
    proxied: Client, proxy: Proxy, database: Database, sender: Sender, seed: int
) -> None:
    """First rows that are new, then the same again, which are merged."""
    place = random.Random(seed)
    other = common.Table(name="u", columns=KEYED.columns)
    assert proxied.create(KEYED).success
    assert proxied.create(other).success
    for cuts in (1, 2):
        proxy.set_trap(Trap(sender, after=sys.maxsize))
        assert proxied.write(other, replace=[ROWS]).success
        proxy.set_trap(Trap(sender, after=place.randrange(proxy.passed - 100)))
        answer = proxied.write(KEYED, replace=[ROWS])
        assert answer.success, answer
        assert proxy.sprung == cuts
        assert has_rows_once(database)


def test_server_that_refuses_for_twenty_seconds(
    proxy: Proxy, schema: str, tmp_path: Path, database: Database
) -> None:
    connect = partial(PostgresWarehouse.from_uri, proxy.conninfo)
    with calling(lambda _: connect(), schema, tmp_path) as client:
        assert client.create(KEYLESS).success
        proxy.refuse()
        accepting = threading.Timer(20, proxy.accept)
        accepting.start()
        answer = client.write(KEYLESS, replace=[ROWS])
        assert answer.success, answer
    assert not accepting.is_alive()
    assert has_rows_once(database)


def test_server_that_stays_away_is_a_task_that_says_for_how_long(
    proxied: Client, proxy: Proxy, database: Database
) -> None:
    assert proxied.create(KEYED).success
    proxy.refuse()
    answer = proxied.write(KEYED, replace=[ROWS[:1]])
    assert "refused" in answer.task.message
    assert "tried for" in answer.task.message
    assert database.rows("t") == []


def test_slow_line_is_waited_for(proxied: Client, proxy: Proxy, database: Database) -> None:
    assert proxied.create(KEYED).success
    proxy.bytes_per_second = 2_000_000
    assert proxied.write(KEYED, replace=[ROWS]).success
    assert has_rows_once(database)


def test_line_that_stalls_is_waited_for(proxied: Client, proxy: Proxy, database: Database) -> None:
    assert proxied.create(KEYED).success
    resuming = threading.Timer(2, proxy.resume)

    def stall() -> None:
        proxy.stall()
        resuming.start()

    proxy.set_trap(Trap(at=b"x" * 90, then=stall))
    assert proxied.write(KEYED, replace=[ROWS]).success
    assert not resuming.is_alive()
    assert has_rows_once(database)


def test_client_that_gives_up_on_a_line_that_stalls(
    proxied: Client, proxy: Proxy, database: Database
) -> None:
    """Its cancellation does not reach the server either, so the connector hangs up."""
    assert proxied.create(KEYED).success
    proxy.set_trap(Trap(at=b"x" * 90, then=proxy.stall))
    path = proxied.files.write("batch", KEYED.columns, ROWS)
    with pytest.raises(grpc.RpcError):
        proxied.stub.WriteBatch(proxied.request(KEYED, replace_files=[path]), timeout=1)
    wait_until(lambda: calls_under_way() == 0)
    proxy.resume()
    assert database.rows("t") == []
    assert proxied.write(KEYED, replace=[ROWS]).success
    assert has_rows_once(database)


def test_deadlock_with_another_session_is_retried(
    client: Client, database: Database, postgres_uri: str
) -> None:
    """The other session waits for long before it looks for deadlocks, so that ours is ended."""
    database.needs_local_tables("rows are waited for at a worker, as tests/citus tries it")
    assert client.create(KEYED).success
    assert client.write(KEYED, replace=[ROWS]).success
    one_row = f'UPDATE "{database.schema}".t SET text = %s WHERE id = %s'
    changed: list[Row] = [{"id": row["id"], "text": "y"} for row in ROWS]
    with psycopg.connect(postgres_uri) as other:
        other.execute("SET deadlock_timeout TO '1min'")
        other.execute(one_row, ("other", ROWS[-1]["id"]))
        with ThreadPoolExecutor(1) as calls:
            writing = calls.submit(client.write, KEYED, replace=[changed])
            wait_for_sessions(database, 1, of_rows=True)
            other.execute(one_row, ("other", ROWS[0]["id"]))
            other.commit()
            answer = writing.result()
    assert answer.success, answer
    assert database.execute("SELECT DISTINCT text FROM {schema}.t") == [("y",)]


@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
def test_report_that_locks_the_table(
    proxied: Client,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    table: common.Table,
) -> None:
    """A task in the end, and nothing applied; the same batch succeeds when the report is done."""
    retry_for_only(monkeypatch, 1)
    wait_for_locks_only(monkeypatch, "1s")
    assert proxied.create(table).success
    with database.locked("t"):
        answer = proxied.write(table, replace=[ROWS])
        assert "another session holds a lock on the table" in answer.task.message
    assert database.rows("t") == []
    assert proxied.write(table, replace=[ROWS]).success
    assert has_rows_once(database)


def test_statement_cancelled_by_an_administrator(client: Client, database: Database) -> None:
    assert client.create(KEYED).success
    with database.locked("t"), ThreadPoolExecutor(1) as calls:
        writing = calls.submit(client.write, KEYED, replace=[ROWS])
        (waiting,) = wait_for_sessions(database, 1)
        database.execute(f"SELECT pg_cancel_backend({waiting})")
        answer = writing.result()
    assert "statement_timeout" in answer.task.message
    assert database.rows("t") == []
    assert client.write(KEYED, replace=[ROWS]).success


@pytest.mark.parametrize("call", ["describe", "write", "alter"])
def test_connection_lost_between_calls_is_no_error_in_the_log(
    client: Client, database: Database, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    wider = common.Table(name="t", columns=[*KEYED.columns, column("further")])
    calls: dict[str, Callable[[], object]] = {
        "describe": lambda: client.describe("t").table == KEYED,
        "write": lambda: client.write(KEYED, replace=[ROWS]).success and has_rows_once(database),
        "alter": lambda: client.alter(wider).success,
    }
    assert client.create(KEYED).success
    ours = "FROM pg_stat_activity WHERE application_name LIKE 'fivetran%' AND datname = current_database()"
    database.execute(f"SELECT pg_terminate_backend(pid) {ours}")
    wait_until(lambda: database.execute(f"SELECT pid {ours}") == [])
    assert calls[call]()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_session_ended_by_an_administrator_is_retried(client: Client, database: Database) -> None:
    assert client.create(KEYLESS).success
    with database.locked("t"):
        writing = threading.Thread(target=client.write, args=(KEYLESS,), kwargs={"replace": [ROWS]})
        writing.start()
        waiting = wait_for_sessions(database, 1)
        database.execute(f"SELECT pg_terminate_backend({waiting[0]})")
    writing.join(timeout=30)
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(len(ROWS),)]


@pytest.mark.parametrize("kind", ["deadline", "cancel"])
def test_client_that_gives_up_stops_the_work(client: Client, database: Database, kind: str) -> None:
    assert client.create(KEYED).success
    with database.locked("t"):
        path = client.files.write("batch", KEYED.columns, ROWS)
        request = client.request(KEYED, replace_files=[path])
        call = client.stub.WriteBatch.future(request, timeout=3 if kind == "deadline" else None)
        wait_for_sessions(database, 1)
        if kind == "cancel":
            call.cancel()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            call.result()
        wait_for_sessions(database, 0)
    assert database.rows("t") == []
    assert client.write(KEYED, replace=[ROWS[:1]]).success


def calls_under_way() -> int:
    """How many threads of this process answer a call."""
    stacks = (traceback.walk_stack(frame) for frame in sys._current_frames().values())  # noqa: SLF001
    return sum(any(frame.f_code is Servicer.WriteBatch.__code__ for frame, _ in s) for s in stacks)


def wait_for_sessions(database: Database, count: int, *, of_rows: bool = False) -> list[int]:
    """Wait until so many of the connector's sessions wait for a lock on the test's table."""
    waiting_for = "locktype = 'transactionid'"
    if not of_rows:
        waiting_for = f"relation = '\"{database.schema}\".t'::regclass"
    query = f"SELECT pid FROM pg_locks WHERE NOT granted AND {waiting_for}"
    waiting: list[int] = []

    def as_many() -> bool:
        waiting[:] = [pid for (pid,) in database.connection.execute(query)]
        return len(waiting) == count

    wait_until(as_many)
    return waiting
