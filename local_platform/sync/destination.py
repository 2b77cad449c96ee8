"""The destination's calls: carried out, or an error that ends the sync."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.stored import DELETED, SYNCED
from local_platform.sync.errors import DestinationError

RETRY_SECONDS = (1, 2, 4)
"""Waits before the same request is sent again, while the destination is not there."""


@dataclass
class Destination:
    """Calls a destination.

    Args:
        stub: calls it.
        configuration: its configuration map.
        warn: gets its warnings.
    """

    stub: DestinationConnectorStub
    configuration: Mapping[str, str]
    warn: Callable[[str], None]

    def form(self) -> common.ConfigurationFormResponse:
        """The setup form."""
        return self._send("ConfigurationForm", "", common.ConfigurationFormRequest())

    def test(self, name: str) -> str | None:
        """Run a test.

        Returns:
            Why it failed; None if it did not.
        """
        request = common.TestRequest(name=name, configuration=self.configuration)
        answer = self._send("Test", name, request)
        return None if answer.success else answer.failure or "the test failed"

    def batch_file_format(self) -> sdk.BatchFileFormat:
        """The format of batch files that it asks for."""
        answer = self._send("Capabilities", "", sdk.CapabilitiesRequest())
        return answer.batch_file_format

    def describe(self, schema: str, table: str) -> common.Table | None:
        """A table; None if there is none."""
        request = sdk.DescribeTableRequest(table_name=table, **self._where(schema))
        answer = self._call("DescribeTable", f"{schema}.{table}", request, "table", "not_found")
        return answer.table if answer.HasField("table") else None

    def create(self, schema: str, table: common.Table) -> None:
        """Create a table."""
        request = sdk.CreateTableRequest(table=table, **self._where(schema))
        self._call("CreateTable", f"{schema}.{table.name}", request)

    def alter(self, schema: str, table: common.Table) -> None:
        """Make a table what it must be; nothing is dropped."""
        request = sdk.AlterTableRequest(table=table, **self._where(schema))
        self._call("AlterTable", f"{schema}.{table.name}", request)

    def drop(self, schema: str, table: str) -> None:
        """Drop a table."""
        self._migrate(schema, table, drop=sdk.DropOperation(drop_table=True))

    def change_mode(self, schema: str, table: str, *, history: bool) -> None:
        """Bring a table into history mode, or out of it; its rows stay."""
        kind = sdk.SOFT_DELETE_TO_HISTORY if history else sdk.HISTORY_TO_SOFT_DELETE
        operation = sdk.TableSyncModeMigrationOperation(type=kind, soft_deleted_column=DELETED)
        self._migrate(schema, table, table_sync_mode_migration=operation)

    def truncate(self, schema: str, table: str, before: int) -> None:
        """Mark as deleted what was synced before an instant, in milliseconds since 1970."""
        request = sdk.TruncateRequest(
            table_name=table, synced_column=SYNCED, soft=sdk.SoftTruncate(deleted_column=DELETED),
            **self._where(schema),
        )  # fmt: skip
        request.utc_delete_before.FromMilliseconds(before)
        self._call("Truncate", f"{schema}.{table}", request)

    def write(self, schema: str, table: common.Table, **files: Any) -> None:
        """Send batch files."""
        request = sdk.WriteBatchRequest(table=table, **self._where(schema), **files)
        self._call("WriteBatch", f"{schema}.{table.name}", request)

    def write_history(self, schema: str, table: common.Table, **files: Any) -> None:
        """Send batch files of a table in history mode."""
        request = sdk.WriteHistoryBatchRequest(table=table, **self._where(schema), **files)
        self._call("WriteHistoryBatch", f"{schema}.{table.name}", request)

    def _migrate(self, schema: str, table: str, **operation: Any) -> None:
        details = sdk.MigrationDetails(schema=schema, table=table, **operation)
        request = sdk.MigrateRequest(configuration=self.configuration, details=details)
        self._call("Migrate", f"{schema}.{table}", request)

    def _where(self, schema: str) -> dict[str, Any]:
        return {"configuration": self.configuration, "schema_name": schema}

    def _call(self, method: str, what: str, request: Any, *good: str) -> Any:
        """Have a request carried out.

        Raises:
            DestinationError: if it is not.
        """
        answer = self._send(method, what, request)
        outcome = answer.WhichOneof("response") or "nothing"
        message = getattr(getattr(answer, outcome, None), "message", "")
        if outcome == "warning":
            self.warn(f"{method} {what}: {message}")
        elif outcome not in {"success", *good}:
            raise DestinationError(f"{method} {what}: {message or outcome}")
        return answer

    def _send(self, method: str, what: str, request: Any) -> Any:
        """Send a request, again while the destination is not there."""
        call = getattr(self.stub, method)
        waits = iter(RETRY_SECONDS)
        while True:
            try:
                return call(request)
            except grpc.RpcError as error:
                wait = next(waits, None)
                if error.code() != grpc.StatusCode.UNAVAILABLE or wait is None:
                    said = f"{error.code().name} {error.details()}"
                    raise DestinationError(f"{method} {what}: {said}".replace(" :", ":")) from error
                self.warn(f"{method} {what}: the destination is not there, again in {wait} s")
                time.sleep(wait)
