"""The RPCs of the `DestinationConnector` service: each decodes, calls, encodes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import grpc

from destination import telemetry, wire
from destination.batch.prefetch import Prefetched
from destination.batch.reader import SMALL_BYTES, BatchFile
from destination.cancellation import Cancellation
from destination.errors import CancelledError, CustomerError, RequestError
from destination.memory import Budget
from destination.rows import RowSource
from destination.schema import END, START, Table
from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk import destination_sdk_pb2_grpc as sdk_grpc
from destination.telemetry.metrics import Metric
from destination.warehouse import altering, history, loading, tables
from destination.warehouse.base import Session
from destination.warehouse.kind import ConfigurationTest, Warehouse
from destination.warehouse.pool import WarehousePool
from destination.warehouse.stored import TableName

logger = logging.getLogger(__name__)

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class _Call:
    """A call's transactions in its warehouse."""

    warehouse: Warehouse
    name: TableName
    cancellation: Cancellation

    def transact(
        self, work: Callable[[Session], Result], locking: TableName | None = None
    ) -> Result:
        return self.warehouse.transact(str(self.name), work, self.cancellation, locking)

    def read(self, work: Callable[[Session], Result]) -> Result:
        return self.warehouse.read(str(self.name), work, self.cancellation)


def _answered(
    response: Callable[..., Response],
) -> Callable[
    [Callable[[Servicer, Request, _Call], tuple[Response, str]]],
    Callable[[Servicer, Request, grpc.ServicerContext], Response],
]:
    """Makes an RPC of a method that returns the response, and for the log what was done."""

    def decorate(
        work: Callable[[Servicer, Request, _Call], tuple[Response, str]],
    ) -> Callable[[Servicer, Request, grpc.ServicerContext], Response]:
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
        call.transact(lambda session: tables.create(session, call.name, table))
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
        loaded = call.transact(
            lambda session: loading.write_batch(session, call.name, table, batch), call.name
        )
        _count(loaded)
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
        loaded = call.transact(
            lambda session: history.write_history_batch(session, call.name, table, batch), call.name
        )
        _count(loaded)
        return sdk.WriteBatchResponse(success=True), f"history batch written: {loaded}"

    @_answered(sdk.MigrateResponse)
    def Migrate(self, request: sdk.MigrateRequest, call: _Call) -> tuple[sdk.MigrateResponse, str]:
        migration = wire.migration_from_wire(request.details)
        if migration is None:
            return sdk.MigrateResponse(unsupported=True), "this migration is not supported"
        operation, apply = migration
        call.transact(apply)
        return sdk.MigrateResponse(success=True), f"migrated by {operation}"

    def _files(self, request: _WriteRequest, table: Table) -> _Files:
        unstorable = self._warehouses.kind.traits.unstorable
        # Beside other calls it would take a processor from them.
        prefetched = SMALL_BYTES if self._warehouses.users == 1 else 0
        return _Files(request, table, self._budget, unstorable, prefetched)

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


class _WriteRequest(Protocol):
    """What the requests with batch files have in common."""

    @property
    def keys(self) -> Mapping[str, bytes]: ...

    @property
    def file_params(self) -> sdk.FileParams: ...


class _Files:
    """The batch files of a request, by the columns that are read.

    Args:
        request: names them.
        table: the request's.
        budget: the server's memory.
        unstorable: as `BatchFile` has it.
        prefetched: the most bytes that are decoded while the transaction begins.
    """

    def __init__(
        self,
        request: _WriteRequest,
        table: Table,
        budget: Budget,
        unstorable: str,
        prefetched: int,
    ) -> None:
        self._keys = request.keys
        self._table = table
        self._file = partial(
            BatchFile,
            params=wire.file_params_from_wire(request.file_params),
            budget=budget,
            unstorable=unstorable,
        )
        self._room = prefetched

    def whole(self, names: Iterable[str]) -> list[RowSource]:
        """Files of whole rows."""
        return self._read(names, self._table)

    def partial(self, names: Iterable[str]) -> list[RowSource]:
        """Files of rows that may leave values unmodified."""
        return self._read(names, self._table, partial=True)

    def keys(self, names: Iterable[str]) -> list[RowSource]:
        """Files of which only the key columns are read."""
        key = tuple(column.name for column in self._table.key)
        return self._read(names, self._table, only=key)

    def ends(self, names: Sequence[str]) -> list[RowSource]:
        """Files of which only the record's key and `_fivetran_end` are read."""
        if not names:
            return []
        key = [column.name for column in self._table.key if column.name != START]
        return self._read(names, self._table.with_key(key), only=(*key, END))

    def _read(self, names: Iterable[str], table: Table, **how: Any) -> list[RowSource]:
        files = [self._file(name, self._keys.get(name), table=table, **how) for name in names]
        return [self._begun(file) for file in files]

    def _begun(self, file: BatchFile) -> RowSource:
        """The file, which is decoded from now on if those up to it are small together."""
        self._room -= file.size
        return Prefetched(file) if self._room > 0 else file


def _count(loaded: loading.Loaded | history.HistoryLoaded) -> None:
    for kind, rows in asdict(loaded).items():
        if rows:
            telemetry.add(Metric.ROWS, rows, {"fivetran.row.kind": kind})
