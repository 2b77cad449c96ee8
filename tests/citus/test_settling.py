"""A transaction that a worker has prepared, and not committed yet, is waited for by the next one."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from destination.sdk import common_pb2 as common
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination_tester.files import Row
from tests.support.cluster import Cluster
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_postgres import Database
from tests.support.fix_proxy import HOST, Proxy, Trap

TABLE = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
OLD: list[Row] = [{"id": i, "text": "old"} for i in range(100)]
NEW: list[Row] = [{"id": i, "text": "new"} for i in range(100)]


@pytest.fixture
def worker(clustered: Database, postgres_uri: str) -> Iterator[Proxy]:
    """A proxy between the coordinator and one of its workers."""
    cluster = Cluster.of(postgres_uri)
    assert cluster is not None
    (host, port), *_ = cluster.workers
    find = "SELECT nodeid FROM pg_dist_node WHERE nodeport = %s"
    move = "SELECT citus_update_node(%s, %s, %s), start_metadata_sync_to_all_nodes()"
    ((node,),) = clustered.connection.execute(find, (port,)).fetchall()
    proxy = Proxy({"host": host, "port": port})
    clustered.connection.execute(move, (node, HOST, proxy.port))
    yield proxy
    clustered.connection.execute("SELECT recover_prepared_transactions()")
    clustered.connection.execute(move, (node, host, port))
    proxy.close()


@pytest.fixture
def hasty(postgres_uri: str, schema: str, tmp_path: Path) -> Iterator[Client]:
    """A client of a connector that gives up after some seconds."""
    connect = partial(PostgresWarehouse.from_uri, postgres_uri, RetryPolicy(3, 0.5, attempts=1))
    with calling(lambda _: connect(), schema, tmp_path) as client:
        yield client


def recover_later(uri: str) -> threading.Thread:
    """Have the workers commit what they prepared, in two seconds."""

    def recover() -> None:
        time.sleep(2)
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("SELECT recover_prepared_transactions()")

    recovering = threading.Thread(target=recover)
    recovering.start()
    return recovering


def leave_prepared(client: Client, worker: Proxy) -> None:
    """Write rows whose transaction a worker prepares, and does not hear that it is to be committed."""
    assert client.create(TABLE).success
    worker.set_trap(Trap(at=b"COMMIT PREPARED"))
    answer = client.write(TABLE, replace=[OLD])
    assert answer.success, answer
    assert worker.sprung == 1


@pytest.mark.parametrize("change", ["update", "delete"])
def test_rows_that_a_worker_has_prepared_are_changed(
    client: Client, clustered: Database, worker: Proxy, postgres_uri: str, change: str
) -> None:
    leave_prepared(client, worker)
    recovering = recover_later(postgres_uri)
    answer = client.write(TABLE, **{change: [NEW]})
    recovering.join()
    assert answer.success, answer
    found = clustered.execute("SELECT count(*) FROM {schema}.t WHERE text = 'new'")
    left = clustered.execute("SELECT count(*) FROM {schema}.t")
    assert [found, left] == ([[(100,)], [(100,)]] if change == "update" else [[(0,)], [(0,)]])


def test_rows_that_a_worker_has_prepared_are_truncated_softly(
    client: Client, clustered: Database, worker: Proxy, postgres_uri: str
) -> None:
    synced = column("_fivetran_synced", common.UTC_DATETIME)
    deleted = column("_fivetran_deleted", common.BOOLEAN)
    table = common.Table(name="t", columns=[*TABLE.columns, synced, deleted])
    rows: list[Row] = [
        {**row, synced.name: "2020-01-01T00:00:00Z", deleted.name: False} for row in OLD
    ]
    assert client.create(table).success
    worker.set_trap(Trap(at=b"COMMIT PREPARED"))
    assert client.write(table, replace=[rows]).success
    recovering = recover_later(postgres_uri)
    assert client.truncate("t", 2_000_000_000, soft=deleted.name).success
    recovering.join()
    found = clustered.execute("SELECT count(*) FROM {schema}.t WHERE NOT _fivetran_deleted")
    assert (worker.sprung, found) == (1, [(0,)])


def test_connector_that_starts_later_waits_too(
    client: Client, clustered: Database, worker: Proxy, postgres_uri: str, tmp_path: Path
) -> None:
    leave_prepared(client, worker)
    connect = partial(PostgresWarehouse.from_uri, postgres_uri)
    with calling(lambda _: connect(), client.schema, tmp_path) as later:
        recovering = recover_later(postgres_uri)
        assert later.write(TABLE, update=[NEW]).success
        recovering.join()
    assert clustered.execute("SELECT DISTINCT text FROM {schema}.t") == [("new",)]


def test_what_is_never_committed_is_told(hasty: Client, clustered: Database, worker: Proxy) -> None:
    leave_prepared(hasty, worker)
    answer = hasty.write(TABLE, update=[NEW])
    assert "recover_prepared_transactions" in answer.task.message, answer
    clustered.execute("SELECT recover_prepared_transactions()")
    assert hasty.write(TABLE, update=[NEW]).success
    found = clustered.execute("SELECT count(*) FROM {schema}.t WHERE text = 'new'")
    assert found == [(100,)]
