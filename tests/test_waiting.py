"""What is waited for is told: who holds a lock, how far a load has come; and readers are let through."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest

from destination import progress
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import merging
from destination.warehouse.postgres import copying, session
from destination.warehouse.postgres.copying import Copying
from destination_tester.files import Row
from destination_tester.stored import SYNCED
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.waiting import wait_for_locks_only, wait_until

TABLE = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
WIDER = common.Table(name="t", columns=[*TABLE.columns, column("more")])
ROWS: list[Row] = [{"id": i, "text": "x" * 50} for i in range(200_000)]


def told(caplog: pytest.LogCaptureFixture, what: str) -> list[str]:
    """The lines of the connector's log that hold some words."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("destination") and what in record.getMessage()
    ]


def test_batch_that_waits_for_another_tells_whom_it_waits_for(
    client: Client,
    database: Database,
    postgres_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Here for a session whose client has stopped in the middle of its transaction."""
    monkeypatch.setattr(session, "LOOK", "300ms")
    caplog.set_level(logging.WARNING, "destination")
    assert client.create(TABLE).success
    locks = (  # of one number: Citus has others
        "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks"
        " WHERE locktype = 'advisory' AND objsubid = 1"
    )
    with ThreadPoolExecutor(1) as calls, database.locked("t"):
        first = calls.submit(client.write, TABLE, replace=[ROWS[:1]])
        wait_until(lambda: len(database.execute(locks)) == 1)
        ((number,),) = database.execute(locks)
    assert first.result().success
    with ThreadPoolExecutor(1) as calls:
        stopped = psycopg.connect(postgres_uri, application_name="stopped")
        stopped.execute("SELECT pg_advisory_xact_lock(%s)", (number,))
        pid = stopped.info.backend_pid
        writing = calls.submit(client.write, TABLE, replace=[ROWS[:2]])
        wait_until(lambda: len(told(caplog, f"session {pid}")) > 1)
        assert not writing.done()
        line = told(caplog, f"session {pid}")[-1]
        database.connection.execute("SELECT pg_terminate_backend(%s::int)", (pid,))
        assert writing.result().success
        stopped.close()
    assert line.startswith(f'table "{client.schema}"."t": waits since ')
    assert 'application "stopped"' in line
    assert "idle in transaction that waits for its client, for " in line
    assert f"SELECT pg_terminate_backend({pid})" in line


@pytest.mark.parametrize("kind", ["LOCK TABLE {}", "UPDATE {} SET text = 'theirs'", "reader"])
def test_lock_of_somebody_else_is_told_with_its_holder(
    client: Client,
    postgres_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    """Of a table, of a row that is to be changed, and of a reader of a table that is to be altered."""
    monkeypatch.setattr(session, "CLAIM_SECONDS", 0.3)
    monkeypatch.setattr(session, "ATTEMPT", "100ms")
    monkeypatch.setattr(session, "PAUSE_SECONDS", 0.1)
    wait_for_locks_only(monkeypatch, "200ms")
    caplog.set_level(logging.WARNING, "destination")
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[ROWS[:2]]).success
    table = f'"{client.schema}".t'
    changes: dict[str, Callable[[], sdk.AlterTableResponse | sdk.WriteBatchResponse]] = {
        "reader": lambda: client.alter(WIDER)
    }
    update = partial(client.write, TABLE, update=[[{"id": 1, "text": "ours"}]])
    with ThreadPoolExecutor(1) as calls:
        with psycopg.connect(postgres_uri, application_name="theirs") as other:
            pid = other.info.backend_pid
            other.execute(f"SELECT FROM {table}" if kind == "reader" else kind.format(table))
            call = calls.submit(changes.get(kind, update))
            wait_until(lambda: bool(told(caplog, f"session {pid}")))
            other.rollback()
        assert call.result().success
    line = told(caplog, f"session {pid}")[0]
    assert line.startswith(f'retrying: table "{client.schema}"."t"')
    assert f", locked by session {pid} (" in line
    assert 'user "' in line
    assert 'application "theirs"' in line
    assert " more;" not in line
    assert f"SELECT pg_terminate_backend({pid})" in line
    assert "a lock was not to be had in time" in line


def test_long_load_tells_how_far_it_has_come(
    client: Client,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    database.needs_local_tables("their key is there before their rows")
    monkeypatch.setattr(progress, "INTERVAL_SECONDS", 0.02)
    looked_last = progress.LOOK_SECONDS
    monkeypatch.setattr(progress, "LOOK_SECONDS", 0.02)
    time.sleep(looked_last)
    monkeypatch.setattr(merging, "FAST_WAY_BYTES", 0)
    caplog.set_level(logging.INFO, "destination.progress")
    assert client.create(TABLE).success
    for _ in range(2):
        assert client.write(TABLE, replace=[ROWS]).success
    name = f'table "{client.schema}"."t"'
    for phase in ("reading batch files", "building the index of the key", "merging rows"):
        lines = told(caplog, f"{name}: {phase}")
        assert lines, phase
        assert " rows and " in lines[-1]
        assert "MiB sent so far (" in lines[-1]
    assert told(caplog, f"merging rows, {len(ROWS)} rows and ")


@pytest.mark.parametrize("emptied", [False, True], ids=["made new", "emptied by a re-sync"])
def test_reader_of_an_empty_table_is_let_through_while_it_is_filled(
    client: Client,
    database: Database,
    postgres_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    emptied: bool,
) -> None:
    """The load starts again with the key in place, and takes nobody's turn.

    Autovacuum, which may come to a table that was emptied, would be in the way of the fast one.
    """
    database.needs_local_tables("their key is there before their rows")
    monkeypatch.setattr(merging, "FAST_WAY_BYTES", 0)
    monkeypatch.setattr(copying, "PART_SECONDS", 0)
    barred, goes_on = threading.Event(), threading.Event()
    append = Copying.append

    def slow(self: Copying, batches: object) -> int:
        if self.between is not None:
            barred.set()
            assert goes_on.wait(30)
        return append(self, batches)  # type: ignore[arg-type]

    table = common.Table(name="t", columns=[*TABLE.columns, column(SYNCED, common.UTC_DATETIME)])
    rows: list[Row] = [{**row, SYNCED: "2020-01-01T00:00:00Z"} for row in ROWS]
    assert client.create(table).success
    if emptied:
        database.execute("ALTER TABLE {schema}.t SET (autovacuum_enabled = false)")
        assert client.write(table, replace=[rows[:1000]]).success
        assert client.truncate("t", 2_000_000_000).success
    monkeypatch.setattr(Copying, "append", slow)
    key = f"SELECT oid FROM pg_constraint WHERE conrelid = '\"{client.schema}\".t'::regclass ORDER BY oid"
    before = database.execute(key)
    with ThreadPoolExecutor(2) as calls, psycopg.connect(postgres_uri) as reader:
        writing = calls.submit(client.write, table, replace=[rows])
        assert barred.wait(30)
        reading = calls.submit(reader.execute, f'SELECT count(*) FROM "{client.schema}".t')
        waiting = "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessShareLock'"
        wait_until(lambda: database.connection.execute(waiting).rowcount == 1)
        goes_on.set()
        assert reading.result().fetchone() == (0,)
        assert writing.result().success
    assert database.execute(key) == before
    assert database.execute("SELECT count(*), sum(id) FROM {schema}.t") == [
        (len(ROWS), sum(range(len(ROWS))))
    ]


def test_row_that_a_later_part_of_a_load_refuses_is_named(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first load is made of many COPYs, of which each counts its rows anew."""
    monkeypatch.setattr(merging, "FAST_WAY_BYTES", 0)
    monkeypatch.setattr(copying, "PART_SECONDS", 0)
    table = common.Table(name="t", columns=[*TABLE.columns, column("json", common.JSON)])
    assert client.create(table).success
    rows: list[Row] = [{**row, "json": "{}"} for row in ROWS]
    rows[-2] = {**rows[-2], "json": "{"}
    message = client.write(table, replace=[rows]).task.message
    assert f'row {len(rows) - 1}, column "json"' in message
    assert database.rows("t") == []
