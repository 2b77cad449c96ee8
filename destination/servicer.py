"""The RPCs of the `DestinationConnector` service: each decodes, calls, encodes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

import grpc

from destination import telemetry, wire
from destination.batch.prefetch import Prefetched
from destination.batch.reader import SMALL_BYTES, BatchFile
from destination.cancellation import Cancellation
from destination.errors import CancelledError, CustomerError, RequestError
from destination.memory import Budget
from destination.rows import RowSource
from destination.schema import END, Table, record_key
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk import destination_sdk_pb2_grpc as sdk_grpc
from destination.telemetry.metrics import Metric
from destination.warehouse import altering, history, loading, tables
from destination.warehouse.base import Landed, Session
from destination.warehouse.kind import ConfigurationTest, Warehouse
from destination.warehouse.pool import WarehousePool
from destination.warehouse.stored import TableName

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")
Loaded = TypeVar("Loaded", loading.Loaded, history.HistoryLoaded)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call's transactions in its warehouse."""

    warehouse: Warehouse
    name: TableName
    cancellation: Cancellation

    def transact(self, work: Callable[[Session], Result]) -> Result:
        return self.warehouse.transact(str(self.name), work, self.cancellation)

    def transact_once(
        self,
        work: Callable[[Session], tuple[Result, Landed | None]],
        table: TableName | None = None,
    ) -> Result:
        return self.warehouse.transact_once(str(self.name), work, self.cancellation, table)

    def load(self, work: Callable[[Session], tuple[Loaded, Landed | None]]) -> Loaded:
        """As `transact_once`, for work that locks the table first; the rows are counted."""
        loaded = self.transact_once(work, self.name)
        for kind, rows in asdict(loaded).items():
            if rows:
                telemetry.add(Metric.ROWS, rows, {"fivetran.row.kind": kind})
        return loaded

    def read(self, work: Callable[[Session], Result]) -> Result:
        return self.warehouse.read(str(self.name), work, self.cancellation)


Work = Callable[["Servicer", Request, _Call], tuple[Response, str]]
"""Returns the response, and for the log what was done."""
Rpc = Callable[["Servicer", Request, grpc.ServicerContext], Response]


def _answered(
    response: Callable[..., Response],
) -> Callable[[Work[Request, Response]], Rpc[Request, Response]]:
    """Makes an RPC of work."""

    def decorate(work: Work[Request, Response]) -> Rpc[Request, Response]:
        def answer(servicer: Servicer, request: Request, context: grpc.ServicerContext) -> Response:
            return servicer.answer(request, context, partial(work, servicer, request), response)

        return answer

    return decorate


class Servicer(sdk_grpc.DestinationConnectorServicer):
    """Answers Fivetran's calls.

    Args:
        warehouses: leads from a filled-in setup form to its warehouse.
        budget: the memory that batch files may use.
        batch_file_format: the format that `Capabilities` asks for.
    """

    def __init__(
        self,
        warehouses: WarehousePool,
        budget: Budget,
        batch_file_format: sdk.BatchFileFormat = sdk.CSV,
    ) -> None:
        self._warehouses = warehouses
        self._budget = budget
        self._batch_file_format = batch_file_format

    def ConfigurationForm(
        self, request: common.ConfigurationFormRequest, context: grpc.ServicerContext
    ) -> common.ConfigurationFormResponse:
        return wire.form_to_wire(self._warehouses.kind)

    def Capabilities(
        self, request: sdk.CapabilitiesRequest, context: grpc.ServicerContext
    ) -> sdk.CapabilitiesResponse:
        return sdk.CapabilitiesResponse(batch_file_format=self._batch_file_format)

    def Test(
        self, request: common.TestRequest, context: grpc.ServicerContext
    ) -> common.TestResponse:
        try:
            test = self._test(request.name)
            with self._warehouses.use(request.configuration) as warehouse:
                test.run(warehouse)
        except CustomerError as error:
            logger.warning("test %s failed: %s", request.name, error)
            return common.TestResponse(failure=str(error))
        logger.info("test %s passed", request.name)
        return common.TestResponse(success=True)

    def _test(self, name: str) -> ConfigurationTest:
        for test in self._warehouses.kind.tests:
            if test.name == name:
                return test
        raise RequestError(f'there is no test "{name}"')

    @_answered(sdk.DescribeTableResponse)
    def DescribeTable(
        self, request: sdk.DescribeTableRequest, call: _Call
    ) -> tuple[sdk.DescribeTableResponse, str]:
        table = call.read(lambda session: tables.describe(session, call.name))
        if table is None:
            return sdk.DescribeTableResponse(not_found=True), "not found"
        described = sdk.DescribeTableResponse(table=wire.table_to_wire(table))
        return described, f"described, {len(table.columns)} columns"

    @_answered(sdk.CreateTableResponse)
    def CreateTable(
        self, request: sdk.CreateTableRequest, call: _Call
    ) -> tuple[sdk.CreateTableResponse, str]:
        table = wire.table_from_wire(request.table)
        call.transact_once(lambda session: (None, tables.create(session, call.name, table)))
        return sdk.CreateTableResponse(success=True), f"created, {len(table.columns)} columns"

    @_answered(sdk.AlterTableResponse)
    def AlterTable(
        self, request: sdk.AlterTableRequest, call: _Call
    ) -> tuple[sdk.AlterTableResponse, str]:
        table, drop = wire.table_from_wire(request.table), request.drop_columns
        alteration = call.transact(
            lambda session: altering.alter(session, call.name, table, drop_columns=drop)
        )
        return sdk.AlterTableResponse(success=True), f"altered: {alteration}"

    @_answered(sdk.TruncateResponse)
    def Truncate(
        self, request: sdk.TruncateRequest, call: _Call
    ) -> tuple[sdk.TruncateResponse, str]:
        deleted = request.soft.deleted_column if request.HasField("soft") else None
        before, synced = wire.delete_before_from_wire(request), request.synced_column
        count = call.transact(
            lambda session: tables.truncate(session, call.name, synced, before, deleted)
        )
        what = "deleted" if deleted is None else "marked as deleted"
        return sdk.TruncateResponse(success=True), f"truncated, {count} rows {what}"

    @_answered(sdk.WriteBatchResponse)
    def WriteBatch(
        self, request: sdk.WriteBatchRequest, call: _Call
    ) -> tuple[sdk.WriteBatchResponse, str]:
        table = wire.table_from_wire(request.table).with_implied_key()
        files = self._files(request, table)
        batch = loading.Batch(
            replace=files.whole(request.replace_files),
            update=files.partial(request.update_files),
            delete=files.keys(request.delete_files),
        )
        loaded = call.load(lambda session: loading.write_batch(session, call.name, table, batch))
        return sdk.WriteBatchResponse(success=True), f"batch written: {loaded}"

    @_answered(sdk.WriteBatchResponse)
    def WriteHistoryBatch(
        self, request: sdk.WriteHistoryBatchRequest, call: _Call
    ) -> tuple[sdk.WriteBatchResponse, str]:
        table = wire.table_from_wire(request.table)
        files = self._files(request, table)
        batch = history.HistoryBatch(
            earliest_start=files.keys(request.earliest_start_files),
            replace=files.whole(request.replace_files),
            update=files.partial(request.update_files),
            delete=files.ends(request.delete_files),
        )
        loaded = call.load(
            lambda session: (history.write_history_batch(session, call.name, table, batch), None)
        )
        return sdk.WriteBatchResponse(success=True), f"history batch written: {loaded}"

    @_answered(sdk.MigrateResponse)
    def Migrate(self, request: sdk.MigrateRequest, call: _Call) -> tuple[sdk.MigrateResponse, str]:
        migration = wire.migration_from_wire(request.details)
        if migration is None:
            return sdk.MigrateResponse(unsupported=True), "this migration is not supported"
        operation, apply = migration
        call.transact(apply)
        return sdk.MigrateResponse(success=True), f"migrated by {operation}"

    def _files(
        self, request: sdk.WriteBatchRequest | sdk.WriteHistoryBatchRequest, table: Table
    ) -> _Files:
        file = partial(
            BatchFile,
            params=wire.file_params_from_wire(request.file_params),
            budget=self._budget,
            unstorable=self._warehouses.kind.traits.unstorable,
        )
        # Beside other calls it would take a processor from them.
        prefetched = SMALL_BYTES if self._warehouses.users == 1 else 0
        return _Files(table, request.keys, file, prefetched)

    def answer(
        self,
        request: Any,
        context: grpc.ServicerContext,
        work: Callable[[_Call], tuple[Response, str]],
        response: Callable[..., Response],
    ) -> Response:
        """Do the work of a request and log its outcome; a `CustomerError` is answered as a task."""
        started = time.monotonic()
        name, cancellation = wire.table_of(request), Cancellation()
        context.add_callback(cancellation.cancel)
        try:
            with self._warehouses.use(request.configuration) as warehouse:
                answer, outcome = work(_Call(warehouse, name, cancellation))
        except CustomerError as error:
            message = str(error) if str(name) in str(error) else f"{name}: {error}"
            logger.warning("%s (after %.3f s)", message, time.monotonic() - started)
            return response(task=common.Task(message=message))
        except CancelledError:
            reason = "its deadline passed" if context.time_remaining() <= 0 else "it was cancelled"
            logger.warning(
                "%s: nothing was done, since %s (after %.3f s)",
                name, reason, time.monotonic() - started,
            )  # fmt: skip
            raise
        logger.info("%s: %s (%.3f s)", name, outcome, time.monotonic() - started)
        return answer


@dataclass(slots=True, repr=False)
class _Files:
    """The batch files of a request, by the columns that are read.

    Args:
        table: the request's.
        secrets: what each file is encrypted with, by its name.
        file: makes one of a name, a secret, and how it is read.
        room: how many bytes more are decoded while the transaction begins.
    """

    table: Table
    secrets: Mapping[str, bytes]
    file: Callable[..., BatchFile]
    room: int

    def whole(self, names: Iterable[str]) -> list[RowSource]:
        """Files of whole rows."""
        return self._read(names, self.table)

    def partial(self, names: Iterable[str]) -> list[RowSource]:
        """Files of rows that may leave values unmodified."""
        return self._read(names, self.table, partial=True)

    def keys(self, names: Iterable[str]) -> list[RowSource]:
        """Files of which only the key columns are read."""
        return self._read(names, self.table, only=self.table.key_names)

    def ends(self, names: Sequence[str]) -> list[RowSource]:
        """Files of which only the record's key and `_fivetran_end` are read."""
        if not names:
            return []
        key = record_key(self.table.key_names)
        return self._read(names, self.table.with_key(key), only=(*key, END))

    def _read(self, names: Iterable[str], table: Table, **how: Any) -> list[RowSource]:
        files = [self.file(name, self.secrets.get(name), table=table, **how) for name in names]
        return [self._begun(file) for file in files]

    def _begun(self, file: BatchFile) -> RowSource:
        """The file, which is decoded from now on if those up to it are small together."""
        self.room -= file.size
        return Prefetched(file) if self.room > 0 else file
