"""Calls about one table apply one after the other: each waits for the one that has begun."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import sqlalchemy as sa

from destination.batch.reader import BatchFile
from destination.cancellation import Cancellation
from destination.memory import Budget
from destination.schema import Column, DataType
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse.base import Session
from destination.warehouse.history import HistoryBatch, write_history_batch
from destination.warehouse.loading import Batch, write_batch
from destination.warehouse.postgres import session as postgres_session
from destination.warehouse.postgres.contract import LOCK_TIMEOUT
from destination.warehouse.postgres.database import PostgresWarehouse
from destination.warehouse.stored import TableName
from destination.warehouse.tables import add_column
from destination.wire import file_params_from_wire, table_from_wire
from destination_tester.files import Row
from destination_tester.stored import DELETED, SYNCED
from tests.support import migrations
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import HISTORY, SOFT, T, soft_row, version
from tests.support.waiting import wait_until

Call = Callable[[Client], Any]

SOFT_CALLS: dict[str, Call] = {
    "create": lambda client: client.create(SOFT),
    "alter": lambda client: client.alter(SOFT),
    "truncate": lambda client: client.truncate("t", 2_000_000_000, synced=SYNCED),
    "write": lambda client: client.write(SOFT, replace=[[soft_row(4)]]),
    "drop table": lambda client: client.migrate("t", **migrations.drop_table()),
    "rename table": lambda client: client.migrate("t", **migrations.rename_table("t", "u")),
    "rename table to it": lambda client: client.migrate("s", **migrations.rename_table("s", "t")),
    "copy table": lambda client: client.migrate("t", **migrations.copy_table("t", "u")),
    "copy table to it": lambda client: client.migrate("s", **migrations.copy_table("s", "t")),
    "copy to history": lambda client: client.migrate("t", **migrations.copy_to_history("t", "h")),
    "rename column": lambda client: client.migrate("t", **migrations.rename_column("desc", "d")),
    "copy column": lambda client: client.migrate("t", **migrations.copy_column("desc", "d")),
    "add column": lambda client: client.migrate(
        "t", **migrations.add_default("new", common.INT, "1")
    ),
    "update column": lambda client: client.migrate("t", **migrations.update_value("desc", "d")),
    "soft delete to history": lambda client: client.migrate(
        "t", **migrations.sync_mode(sdk.SOFT_DELETE_TO_HISTORY, DELETED)
    ),
}
HISTORY_CALLS: dict[str, Call] = {
    "write": lambda client: client.write_history(HISTORY, replace=[[version(3, T)]]),
    "add column": lambda client: client.migrate(
        "t", **migrations.add_history("new", common.INT, "1")
    ),
    "drop column": lambda client: client.migrate("t", **migrations.drop_history("desc")),
    "history to soft delete": lambda client: client.migrate(
        "t", **migrations.sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED)
    ),
}


@contextmanager
def begun(uri: str, work: Callable[[Session], object]) -> Iterator[None]:
    """Another session of this project has done its work, and commits it at the end."""
    warehouse, worked, going_on = (
        PostgresWarehouse.from_uri(uri),
        threading.Event(),
        threading.Event(),
    )

    def transaction(session: Session) -> None:
        work(session)
        worked.set()
        assert going_on.wait(30)

    with ThreadPoolExecutor(1) as other:
        running = other.submit(warehouse.transact, "other", transaction, Cancellation())
        try:
            assert worked.wait(30)
            yield
        finally:
            going_on.set()
            running.result()
            warehouse.close()


def waits_for_another(database: Database, call: Future[Any]) -> bool:
    """Whether a call waits for a lock of this project; False once it is done."""
    waiting = (
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    )
    wait_until(lambda: call.done() or database.execute(waiting) == [(True,)])
    return not call.done()


def waits(client: Client, database: Database, uri: str, call: Call) -> bool:
    """Whether a call waits for a session that has locked the table `t`."""
    name = TableName(client.schema, "t")
    with ThreadPoolExecutor(1) as calls:
        with begun(uri, lambda session: session.lock(name)):
            calling = calls.submit(call, client)
            waiting = waits_for_another(database, calling)
        calling.result()
    return waiting


@pytest.mark.parametrize("call", SOFT_CALLS)
def test_call_waits_for_another_about_its_table(
    client: Client, database: Database, postgres_uri: str, call: str
) -> None:
    other = common.Table(name="s", columns=SOFT.columns)
    assert client.create(other).success
    if not call.endswith("to it"):
        assert client.create(SOFT).success
    assert waits(client, database, postgres_uri, SOFT_CALLS[call])


@pytest.mark.parametrize("call", HISTORY_CALLS)
def test_call_waits_for_another_about_its_table_in_history_mode(
    history: Client, database: Database, postgres_uri: str, call: str
) -> None:
    assert waits(history, database, postgres_uri, HISTORY_CALLS[call])


def test_description_waits_for_nobody(soft: Client, database: Database, postgres_uri: str) -> None:
    assert not waits(soft, database, postgres_uri, lambda client: client.describe("t"))


def test_calls_about_other_tables_do_not_wait(
    client: Client, database: Database, postgres_uri: str
) -> None:
    other = common.Table(name="s", columns=SOFT.columns)
    assert client.create(other).success
    rows: list[Row] = [soft_row(1)]
    assert not waits(
        client, database, postgres_uri, lambda client: client.write(other, replace=[rows])
    )


@pytest.mark.parametrize("others", [True, False], ids=["behind a wait", "behind a change"])
def test_limit_of_one_wait_does_not_stay(
    soft: Client, postgres_uri: str, monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    """What the transaction does then waits for as long as the contract says."""
    monkeypatch.setattr(postgres_session, "LOOK", "300ms")
    name, warehouse = TableName(soft.schema, "t"), PostgresWarehouse.from_uri(postgres_uri)

    def work(session: Session) -> object:
        session.lock(name)
        if not others:
            add_column(session, session.get_table(name), Column("new", DataType.INT))
        return session.scalar(sa.select(sa.func.current_setting("lock_timeout")))

    with ThreadPoolExecutor(1) as calls:
        with begun(postgres_uri, lambda it: it.lock(name)) if others else nullcontext():
            working = calls.submit(warehouse.transact, "work", work, Cancellation())
            time.sleep(0.5 if others else 0)
        assert working.result() == LOCK_TIMEOUT
    warehouse.close()


def test_two_batches_with_the_same_new_keys_make_each_row_once(
    client: Client, database: Database, postgres_uri: str
) -> None:
    """The table has no key of its own, by which PostgreSQL would hinder the second."""
    table = common.Table(name="t", columns=[column("_fivetran_id"), column("text")])
    first: list[Row] = [{"_fivetran_id": "a", "text": "first"}]
    second: list[Row] = [{"_fivetran_id": key, "text": "second"} for key in "ab"]
    assert client.create(table).success
    batch = Batch([batch_file(client, table, first)], [], [])
    keyed = table_from_wire(table).with_implied_key()
    with ThreadPoolExecutor(1) as calls:
        with begun(
            postgres_uri, lambda it: write_batch(it, TableName(client.schema, "t"), keyed, batch)
        ):
            writing = calls.submit(client.write, table, replace=[second])
            waits_for_another(database, writing)
        assert writing.result().success
    assert database.rows("t") == [("a", "second"), ("b", "second")]


def test_two_batches_of_versions_close_each_other(
    client: Client, database: Database, postgres_uri: str
) -> None:
    first, second = (version(1, f"2020-01-0{day}T00:00:00Z") for day in (1, 2))
    assert client.create(HISTORY).success
    batch = HistoryBatch([], [batch_file(client, HISTORY, [first])], [], [])
    table = table_from_wire(HISTORY)
    with ThreadPoolExecutor(1) as calls:
        with begun(
            postgres_uri,
            lambda it: write_history_batch(it, TableName(client.schema, "t"), table, batch),
        ):
            writing = calls.submit(client.write_history, HISTORY, replace=[[second]])
            waits_for_another(database, writing)
        assert writing.result().success
    shown = "SELECT _fivetran_active FROM {schema}.t ORDER BY _fivetran_start"
    assert database.execute(shown) == [(False,), (True,)]


def batch_file(client: Client, table: common.Table, rows: list[Row]) -> BatchFile:
    path = client.files.write("batch", table.columns, rows)
    key, params = client.files.keys[path], file_params_from_wire(client.files.params)
    return BatchFile(path, key, params, table_from_wire(table), Budget())
