"""A connector's server for the session, and a client that calls it as Fivetran does."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from destination.memory import Budget
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk import destination_sdk_pb2_grpc as sdk_grpc
from destination.server import Server
from destination.servicer import Servicer
from destination.warehouse.kind import Warehouse
from destination.warehouse.pool import WarehousePool
from destination.warehouse.postgres.configuration import Configuration
from destination.warehouse.postgres.kind import connector, postgres
from destination_tester.files import BatchFiles, Row
from tests.support.fix_secrets import WATCH


@contextmanager
def serving(connect: Callable[[Configuration], Warehouse], budget: Budget) -> Iterator[int]:
    """Run a connector's server; yields its port."""
    warehouses = WarehousePool(postgres(connect))
    server = Server(Servicer(warehouses, budget), port=0)
    server.start()
    yield server.port
    server.stop(grace_seconds=5)
    warehouses.close_idle(0)


@contextmanager
def reaching(port: int) -> Iterator[sdk_grpc.DestinationConnectorStub]:
    """A stub of the server on a port, whose answers are watched."""
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        yield sdk_grpc.DestinationConnectorStub(grpc.intercept_channel(channel, WATCH))


@contextmanager
def calling(
    connect: Callable[[Configuration], Warehouse],
    schema: str,
    directory: Path,
    budget: Budget | None = None,
) -> Iterator["Client"]:
    """A client of a server of its own."""
    with serving(connect, budget or Budget()) as port, reaching(port) as stub:
        yield Client(stub, schema, BatchFiles(directory))


@pytest.fixture(scope="session")
def server_port(user_uri: str) -> Iterator[int]:
    with serving(connector(user_uri), Budget()) as port:
        yield port


@pytest.fixture(scope="session")
def stub(server_port: int) -> Iterator[sdk_grpc.DestinationConnectorStub]:
    with reaching(server_port) as stub:
        yield stub


def column(
    name: str,
    kind: common.DataType = common.STRING,
    *,
    key: bool = False,
    decimal: tuple[int, int] | None = None,
) -> common.Column:
    message = common.Column(name=name, type=kind, primary_key=key)
    if decimal is not None:
        message.params.decimal.precision, message.params.decimal.scale = decimal
    return message


class Client:
    """Calls the connector about one schema; `files` says how batch files are written."""

    def __init__(
        self, stub: sdk_grpc.DestinationConnectorStub, schema: str, files: BatchFiles
    ) -> None:
        self.stub = stub
        self.schema = schema
        self.files = files
        self.configuration: dict[str, str] = {}

    def create(self, table: common.Table) -> sdk.CreateTableResponse:
        return self.stub.CreateTable(
            sdk.CreateTableRequest(
                configuration=self.configuration, schema_name=self.schema, table=table
            )
        )

    def alter(self, table: common.Table, *, drop: bool = False) -> sdk.AlterTableResponse:
        return self.stub.AlterTable(
            sdk.AlterTableRequest(
                configuration=self.configuration,
                schema_name=self.schema,
                table=table,
                drop_columns=drop,
            )
        )

    def describe(self, table: str) -> sdk.DescribeTableResponse:
        return self.stub.DescribeTable(self.describing(table))

    def describing(self, table: str) -> sdk.DescribeTableRequest:
        return sdk.DescribeTableRequest(
            configuration=self.configuration, schema_name=self.schema, table_name=table
        )

    def truncate(
        self,
        table: str,
        seconds: int,
        nanos: int = 0,
        *,
        synced: str = "_fivetran_synced",
        soft: str = "",
    ) -> sdk.TruncateResponse:
        request = sdk.TruncateRequest(
            configuration=self.configuration,
            schema_name=self.schema,
            table_name=table,
            synced_column=synced,
        )
        request.utc_delete_before.seconds = seconds
        request.utc_delete_before.nanos = nanos
        if soft:
            request.soft.deleted_column = soft
        return self.stub.Truncate(request)

    def write(
        self,
        table: common.Table,
        *,
        replace: Sequence[Sequence[Row]] = (),
        update: Sequence[Sequence[Row]] = (),
        delete: Sequence[Sequence[Row]] = (),
    ) -> sdk.WriteBatchResponse:
        """Write a batch file for each sequence of rows, and send them in one request."""
        request = self.write_request(table, replace=replace, update=update, delete=delete)
        return self.stub.WriteBatch(request)

    def write_request(
        self,
        table: common.Table,
        *,
        replace: Sequence[Sequence[Row]] = (),
        update: Sequence[Sequence[Row]] = (),
        delete: Sequence[Sequence[Row]] = (),
    ) -> sdk.WriteBatchRequest:
        """Write a batch file for each sequence of rows, for one request."""
        return self.request(
            table,
            replace_files=[self._write(table, rows) for rows in replace],
            update_files=[self._write(table, rows) for rows in update],
            delete_files=[self._write(table, rows) for rows in delete],
        )

    def write_history(
        self,
        table: common.Table,
        *,
        earliest: Sequence[Sequence[Row]] = (),
        replace: Sequence[Sequence[Row]] = (),
        update: Sequence[Sequence[Row]] = (),
        delete: Sequence[Sequence[Row]] = (),
    ) -> sdk.WriteBatchResponse:
        """Write a batch file for each sequence of rows, and send them in one history request."""
        return self.send_history(
            table,
            earliest_start_files=[self._write(table, rows) for rows in earliest],
            replace_files=[self._write(table, rows) for rows in replace],
            update_files=[self._write(table, rows) for rows in update],
            delete_files=[self._write(table, rows) for rows in delete],
        )

    def send_history(self, table: common.Table, **files: Any) -> sdk.WriteBatchResponse:
        return self.stub.WriteHistoryBatch(
            sdk.WriteHistoryBatchRequest(**self._written(table), **files)
        )

    def migrate(self, table: str, **operation: Any) -> sdk.MigrateResponse:
        details = sdk.MigrationDetails(schema=self.schema, table=table, **operation)
        return self.stub.Migrate(
            sdk.MigrateRequest(configuration=self.configuration, details=details)
        )

    def send(self, table: common.Table, **files: Any) -> sdk.WriteBatchResponse:
        return self.stub.WriteBatch(self.request(table, **files))

    def request(self, table: common.Table, **files: Any) -> sdk.WriteBatchRequest:
        return sdk.WriteBatchRequest(**self._written(table), **files)

    def _written(self, table: common.Table) -> dict[str, Any]:
        """What requests with batch files say besides these; other threads may write some meanwhile."""
        return {
            "configuration": self.configuration,
            "schema_name": self.schema,
            "table": table,
            "keys": dict(self.files.keys),
            "file_params": self.files.params,
        }

    def _write(self, table: common.Table, rows: Sequence[Row]) -> str:
        """A file of the columns that the first row names."""
        names: Mapping[str, Any] = rows[0] if rows else {c.name: None for c in table.columns}
        columns = {c.name: c for c in table.columns}
        return self.files.write("batch", [columns[name] for name in names], rows)


@pytest.fixture
def client(stub: sdk_grpc.DestinationConnectorStub, schema: str, tmp_path: Path) -> Client:
    return Client(stub, schema, BatchFiles(tmp_path))
