"""Sessions of workers that end in the middle of a call, and deadlocks across workers: once or not at all."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse.postgres.database import PostgresWarehouse, RetryPolicy
from destination_tester.files import Row
from tests.support.cluster import Cluster
from tests.support.fix_connector import Client, calling, column
from tests.support.fix_postgres import Database
from tests.support.fix_proxy import Proxy, Trap
from tests.support.waiting import wait_until

KEYED = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
KEYLESS = common.Table(name="t", columns=[column("id", common.LONG), column("text")])
ROWS: list[Row] = [{"id": i, "text": "x" * 100} for i in range(20_000)]
ENDING = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""

MOMENTS = {
    "as COPY begins": Trap(at=b"COPY"),
    "in COPY": Trap(after=500_000),
    "as rows are merged": Trap(at=b"INSERT INTO"),
    "at COMMIT": Trap(at=b"COMMIT"),
}


@pytest.fixture
def proxied(clustered: Database, proxy: Proxy, schema: str, tmp_path: Path) -> Iterator[Client]:
    assert clustered.distributed
    connect = partial(PostgresWarehouse.from_uri, proxy.conninfo, RetryPolicy(5, 0.5))
    with calling(lambda _: connect(), schema, tmp_path) as client:
        client.files.compression = sdk.OFF  # no small files, whose rows statements carry
        yield client


@pytest.fixture
def end_workers(clustered: Database, postgres_uri: str) -> Callable[[], None]:
    """Ends every session of the workers."""
    cluster = Cluster.of(postgres_uri)
    assert cluster is not None

    def end() -> None:
        for worker in cluster.workers:
            uri = cluster.uri(worker, clustered.connection.info.dbname)
            with psycopg.connect(uri, autocommit=True) as connection:
                connection.execute(ENDING)

    return end


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("table", [KEYED, KEYLESS], ids=["keyed", "keyless"])
def test_workers_sessions_end(
    proxied: Client,
    proxy: Proxy,
    clustered: Database,
    end_workers: Callable[[], None],
    table: common.Table,
    moment: str,
) -> None:
    assert proxied.create(table).success
    if table == KEYLESS:
        clustered.execute(f"SELECT create_distributed_table('{clustered.schema}.t', 'id')")
    elif moment == "as rows are merged":
        assert proxied.write(table, replace=[ROWS]).success
    trap = MOMENTS[moment]
    proxy.set_trap(Trap(at=trap.at, after=trap.after, then=end_workers))
    answer = proxied.write(table, replace=[ROWS])
    assert answer.success, answer
    assert proxy.sprung == 1
    found = clustered.execute("SELECT count(*), count(DISTINCT id) FROM {schema}.t")
    assert found == [(len(ROWS), len(ROWS))]


def test_deadlock_across_workers_is_retried(
    client: Client, clustered: Database, postgres_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.create(KEYED).success
    assert client.write(KEYED, replace=[ROWS[:100]]).success
    placed = clustered.execute(
        "SELECT DISTINCT ON (s.nodeport) t.id FROM {schema}.t JOIN citus_shards s ON s.shardid"
        f" = get_shard_id_for_distribution_column('{clustered.schema}.t', t.id) ORDER BY s.nodeport"
    )
    ids = [int(str(id_)) for (id_,) in placed]
    updating = f'UPDATE "{clustered.schema}".t SET text = %s WHERE id = %s'
    change: list[Row] = [{"id": id_, "text": "new"} for id_ in ids]
    answers: list[bool] = []
    with psycopg.connect(postgres_uri, prepare_threshold=None) as customer:
        customer.execute(updating, ["theirs", ids[0]])
        writing = threading.Thread(
            target=lambda: answers.append(client.write(KEYED, replace=[change]).success)
        )
        writing.start()
        wait_until(lambda: clustered.execute("SELECT 1 FROM citus_lock_waits") != [])
        customer.execute(updating, ["theirs", ids[1]])  # Citus ends the younger transaction
        customer.commit()
        writing.join()
    assert answers == [True]
    assert "retrying" in caplog.text
    found = clustered.execute("SELECT id, text FROM {schema}.t WHERE text = 'new' ORDER BY id")
    assert found == [(id_, "new") for id_ in sorted(ids)]
