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
REFUSALS = ("task", "failure", "nothing")
"""The outcomes of a call that was not carried out, but for one that is not supported."""


@dataclass(frozen=True)
class Answer:
    """What a connector answers to a call; true if the call was carried out.

    Args:
        outcome: the field of the response that is set; `nothing` if none is.
        message: what it says.
    """

    outcome: str
    message: str = ""

    def __bool__(self) -> bool:
        """A call was carried out with a warning too."""
        return self.outcome in ("success", "warning")

    @property
    def refused(self) -> bool:
        """Whether the answer is a task, or a failure."""
        return self.outcome in REFUSALS


@dataclass
class Client:
    """Calls a connector about one schema.

    Args:
        stub: calls it.
        configuration: the configuration map.
        schema: the schema's name.
        output: shows each call.
        counts: how many calls there were of each outcome.
    """

    stub: DestinationConnectorStub
    configuration: Mapping[str, str]
    schema: str
    output: Output
    counts: dict[str, int]

    @property
    def refused(self) -> int:
        """How many calls were answered by a task, or a failure."""
        return sum(self.counts.get(outcome, 0) for outcome in REFUSALS)

    def configure(self) -> common.ConfigurationFormResponse:
        """The setup form."""
        return self.stub.ConfigurationForm(common.ConfigurationFormRequest())

    def capabilities(self) -> sdk.CapabilitiesResponse:
        """What the connector asks for."""
        return self.stub.Capabilities(sdk.CapabilitiesRequest())

    def test(self, name: str, label: str) -> Answer:
        """Run a configuration test."""
        request = common.TestRequest(name=name, configuration=self.configuration)
        return self._call("Test", label or name, request)

    def describe(self, table: str) -> common.Table | None:
        """A table; None if there is none."""
        request = sdk.DescribeTableRequest(table_name=table, **self._where())
        answer = self.stub.DescribeTable(request)
        if answer.WhichOneof("response") == "task":
            self._tell(f"DescribeTable {table}", 0, 0.0, Answer("task", answer.task.message))
        return answer.table if answer.HasField("table") else None

    def create(self, table: common.Table) -> Answer:
        """Create a table."""
        request = sdk.CreateTableRequest(table=table, **self._where())
        return self._call("CreateTable", table.name, request)

    def alter(self, table: common.Table, *, drop_columns: bool = False) -> Answer:
        """Alter a table."""
        request = sdk.AlterTableRequest(table=table, drop_columns=drop_columns, **self._where())
        return self._call("AlterTable", table.name, request)

    def truncate(self, table: str, synced: str, before: datetime, deleted: str | None) -> Answer:
        """Delete, or mark as deleted, what was synced before an instant."""
        request = sdk.TruncateRequest(table_name=table, synced_column=synced, **self._where())
        request.utc_delete_before.FromDatetime(before)
        if deleted is not None:
            request.soft.deleted_column = deleted
        return self._call("Truncate", table, request)

    def write(self, table: common.Table, rows: int, **files: Any) -> Answer:
        """Send the batch files of a table."""
        request = sdk.WriteBatchRequest(table=table, **self._where(), **files)
        return self._call("WriteBatch", table.name, request, rows)

    def write_history(self, table: common.Table, rows: int, **files: Any) -> Answer:
        """Send the batch files of a table in history mode."""
        request = sdk.WriteHistoryBatchRequest(table=table, **self._where(), **files)
        return self._call("WriteHistoryBatch", table.name, request, rows)

    def migrate(self, what: str, details: sdk.MigrationDetails) -> Answer:
        """Migrate a table of the schema."""
        details.schema = self.schema
        request = sdk.MigrateRequest(configuration=self.configuration, details=details)
        return self._call("Migrate", f"{what} {details.table}", request)

    def _where(self) -> dict[str, Any]:
        return {"configuration": self.configuration, "schema_name": self.schema}

    def _call(self, method: str, what: str, request: Any, rows: int = 0) -> Answer:
        started = time.perf_counter()
        response = getattr(self.stub, method)(request)
        outcome = response.WhichOneof("response") or "nothing"
        detail = getattr(response, outcome, "")
        if detail is False:
            outcome = "nothing"  # neither a success nor anything else
        message = detail if isinstance(detail, str) else getattr(detail, "message", "")
        answer = Answer(outcome, message)
        self._tell(f"{method} {what}", rows, time.perf_counter() - started, answer)
        return answer

    def _tell(self, what: str, rows: int, seconds: float, answer: Answer) -> None:
        self.counts[answer.outcome] = self.counts.get(answer.outcome, 0) + 1
        self.output.operation(what, rows, seconds, answer.outcome, answer.message)


def open_channel(host: str, port: int) -> grpc.Channel:
    """A channel to a connector, with the message size that Fivetran uses."""
    options = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_reconnect_backoff_ms", 500),  # whoever waits for a server waits no longer
    ]
    return grpc.insecure_channel(f"{host}:{port}", options=options)
