"""Calls of a destination connector, and what it answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.console import Output

MAX_MESSAGE_BYTES = 128 << 20


@dataclass
class Client:
    """Calls a connector about one schema.

    Args:
        stub: calls it.
        configuration: the configuration map.
        schema: the schema's name.
        output: told of each call.
        counts: how many calls there were of each outcome.
    """

    stub: DestinationConnectorStub
    configuration: Mapping[str, str]
    schema: str
    output: Output
    counts: dict[str, int]

    def configure(self) -> common.ConfigurationFormResponse:
        """The setup form."""
        return self.stub.ConfigurationForm(common.ConfigurationFormRequest())

    def capabilities(self) -> sdk.CapabilitiesResponse:
        """What the connector asks for."""
        return self.stub.Capabilities(sdk.CapabilitiesRequest())

    def test(self, name: str, label: str) -> bool:
        """Run a configuration test."""
        request = common.TestRequest(name=name, configuration=self.configuration)
        return self._call("Test", label or name, request) == "success"

    def describe(self, table: str) -> common.Table | None:
        """A table; None if there is none."""
        request = sdk.DescribeTableRequest(
            configuration=self.configuration, schema_name=self.schema, table_name=table
        )
        answer = self.stub.DescribeTable(request)
        if answer.WhichOneof("response") == "task":
            self._tell(f"DescribeTable {table}", 0, 0.0, "task", answer.task.message)
        return answer.table if answer.HasField("table") else None

    def create(self, table: common.Table) -> bool:
        """Create a table."""
        request = sdk.CreateTableRequest(table=table, **self._where())
        return self._succeeds("CreateTable", table.name, request)

    def alter(self, table: common.Table, *, drop_columns: bool = False) -> bool:
        """Alter a table."""
        request = sdk.AlterTableRequest(table=table, drop_columns=drop_columns, **self._where())
        return self._succeeds("AlterTable", table.name, request)

    def truncate(self, table: str, synced: str, before: datetime, deleted: str | None) -> bool:
        """Delete, or mark as deleted, what was synced before an instant."""
        request = sdk.TruncateRequest(table_name=table, synced_column=synced, **self._where())
        request.utc_delete_before.FromDatetime(before)
        if deleted is not None:
            request.soft.deleted_column = deleted
        return self._succeeds("Truncate", table, request)

    def write(self, table: common.Table, rows: int, **files: Any) -> bool:
        """Send the batch files of a table."""
        request = sdk.WriteBatchRequest(table=table, **self._where(), **files)
        return self._succeeds("WriteBatch", table.name, request, rows)

    def write_history(self, table: common.Table, rows: int, **files: Any) -> bool:
        """Send the batch files of a table in history mode."""
        request = sdk.WriteHistoryBatchRequest(table=table, **self._where(), **files)
        return self._succeeds("WriteHistoryBatch", table.name, request, rows)

    def migrate(self, what: str, table: str, **operation: Any) -> bool:
        """Migrate a table."""
        details = sdk.MigrationDetails(schema=self.schema, table=table, **operation)
        request = sdk.MigrateRequest(configuration=self.configuration, details=details)
        return self._succeeds("Migrate", f"{what} {table}", request)

    def _where(self) -> dict[str, Any]:
        return {"configuration": self.configuration, "schema_name": self.schema}

    def _succeeds(self, method: str, what: str, request: Any, rows: int = 0) -> bool:
        """Whether a call was carried out; with a warning it was."""
        return self._call(method, what, request, rows) in ("success", "warning")

    def _call(self, method: str, what: str, request: Any, rows: int = 0) -> str:
        begun = time.perf_counter()
        answer = getattr(self.stub, method)(request)
        outcome = answer.WhichOneof("response") or "nothing"
        detail = getattr(answer, outcome, "")
        message = detail if isinstance(detail, str) else getattr(detail, "message", "")
        self._tell(f"{method} {what}", rows, time.perf_counter() - begun, outcome, message)
        return outcome

    def _tell(self, what: str, rows: int, seconds: float, outcome: str, message: str) -> None:
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        self.output.operation(what, rows, seconds, outcome, message)


def open_channel(host: str, port: int) -> grpc.Channel:
    """A channel to a connector, with the message size that Fivetran uses."""
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ]
    return grpc.insecure_channel(f"{host}:{port}", options=options)
