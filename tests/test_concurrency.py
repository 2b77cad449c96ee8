"""Many calls at once: none is lost, none surfaces a deadlock, connections stay within their pool."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from destination.memory import MIB, Budget
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.server import MAX_CALLS, Server
from destination.servicer import Servicer
from destination.warehouse.pool import WarehousePool
from destination.warehouse.postgres.database import APPLICATION_NAME, POOL_SIZE
from destination.warehouse.postgres.kind import connector, postgres
from destination_tester.files import BatchFiles, Row
from tests.support.fix_connector import Client, calling, column, reaching, serving
from tests.support.fix_postgres import Database
from tests.support.waiting import SECONDS, wait_until

TABLES = 32


@pytest.fixture
def own_client(postgres_uri: str, schema: str, tmp_path: Path) -> Iterator[Client]:
    """A client of a server of the test's own, with a memory budget that makes files wait."""
    with calling(connector(postgres_uri), schema, tmp_path, Budget(256 * MIB)) as client:
        yield client


def table(name: str) -> common.Table:
    return common.Table(name=name, columns=[column("id", common.INT, key=True), column("text")])


def sessions(database: Database) -> set[int]:
    """The connector's sessions in PostgreSQL, of this test and of others."""
    query = (
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name = %s AND datname = current_database()"
    )
    return {pid for (pid,) in database.connection.execute(query, (APPLICATION_NAME,))}


def test_tables_are_created_and_loaded_at_once(own_client: Client, database: Database) -> None:
    tables = [table(f"t{i}") for i in range(TABLES)]
    others = sessions(database)
    rows: list[Row] = [{"id": i, "text": "x" * 50} for i in range(2000)]
    with ThreadPoolExecutor(TABLES) as calls:
        created = list(calls.map(own_client.create, tables))
        assert all(answer.success for answer in created), created
        writing = [calls.submit(own_client.write, each, replace=[rows]) for each in tables]
        most = 0
        while not all(each.done() for each in writing):
            most = max(most, len(sessions(database) - others))
            assert own_client.describe("t0").HasField("table")
        assert all(each.result().success for each in writing)
    assert most <= POOL_SIZE
    for each in tables:
        assert database.execute("SELECT count(*) FROM {schema}.{t}", t=each.name) == [(2000,)]


def test_batches_on_one_table_apply_one_after_the_other(
    own_client: Client, database: Database
) -> None:
    assert own_client.create(table("t")).success
    shuffled = random.Random(7)
    ids = list(range(500))

    def batch(number: int) -> list[Row]:
        order = shuffled.sample(ids, len(ids))
        return [{"id": i, "text": str(number)} for i in order]

    batches = [batch(number) for number in range(16)]
    with ThreadPoolExecutor(16) as calls:
        replaced = [calls.submit(own_client.write, table("t"), replace=[b]) for b in batches[:8]]
        updated = [calls.submit(own_client.write, table("t"), update=[b]) for b in batches[8:]]
        answers = [each.result() for each in replaced + updated]
    assert all(answer.success for answer in answers), answers
    texts = database.execute("SELECT count(*), count(DISTINCT text) FROM {schema}.t")
    assert texts == [(500, 1)]


def test_connections_are_closed_when_nobody_uses_them(
    postgres_uri: str, database: Database
) -> None:
    warehouses = WarehousePool(postgres(connector(postgres_uri)))
    server = Server(Servicer(warehouses, Budget()), port=0)
    server.start()
    others = sessions(database)
    with ExitStack() as resources:
        resources.callback(warehouses.close_idle, 0)
        resources.callback(server.stop, 5)
        stub = resources.enter_context(reaching(server.port))
        describing = sdk.DescribeTableRequest(schema_name="s", table_name="t")
        assert stub.DescribeTable(describing).not_found
        assert len(sessions(database) - others) == 1
        warehouses.close_idle(60)
        assert len(sessions(database) - others) == 1
        warehouses.close_idle(0)
        wait_until(lambda: sessions(database) <= others)
        assert stub.DescribeTable(describing).not_found


def test_health_is_answered_while_every_thread_waits(
    postgres_uri: str, database: Database, schema: str, tmp_path: Path
) -> None:
    with (
        serving(connector(postgres_uri), Budget()) as port,
        reaching(port) as stub,
        ThreadPoolExecutor(MAX_CALLS) as calls,
    ):
        client = Client(stub, schema, BatchFiles(tmp_path))
        assert client.create(table("t")).success
        with database.locked("t"):
            waiting = [
                calls.submit(client.write, table("t"), replace=[[{"id": i, "text": ""}]])
                for i in range(MAX_CALLS)
            ]
            wait_until(lambda: len(client.files.keys) == MAX_CALLS)
            time.sleep(0.5)
            with grpc.insecure_channel(f"localhost:{port}") as channel:
                request = health_pb2.HealthCheckRequest()
                answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=SECONDS)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
            assert not any(each.done() for each in waiting)
        assert all(each.result().success for each in waiting)
