"""A sync, from its first look at the tables to its summary."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet

from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync import selection as selections
from local_platform.sync.catalog import Catalog, declared_tables
from local_platform.sync.errors import INTERRUPTED, SUCCEEDED, InputError, SyncError
from local_platform.sync.intake import Intake, Settings
from local_platform.sync.loader import Loader, gone
from local_platform.sync.output import COUNTS, Output, Summary
from local_platform.sync.records import newer
from local_platform.sync.sender import Sender
from local_platform.sync.source import SourceClient, failed
from local_platform.sync.state import now


class Sync:
    """One Update of a source, loaded.

    Args:
        source: sends the records.
        configuration: of the source.
        loader: loads them.
        settings: how.
        output: reports it.
    """

    def __init__(
        self,
        source: SourceClient,
        configuration: Mapping[str, str],
        loader: Loader,
        settings: Settings,
        output: Output,
    ) -> None:
        self.interrupted = False
        self._source = source
        self._configuration = configuration
        self._loader = loader
        self._state = state = loader.state
        self._selection = settings.selection
        self._output = output
        self._begun = time.monotonic()
        self._call: grpc.Call | None = None
        self._catalog = Catalog(settings.schema, state.naming, settings.selection, state)
        self._sender = Sender(settings.half)
        clock = max(now(), state.clock + 1)
        self._intake = Intake(self._catalog, loader, self._sender, settings, output, clock)

    def run(self) -> int:
        """Sync.

        Returns:
            The exit code.
        """
        with self._interruptible():
            failure = self._load()
        succeeded = failure is None and not self.interrupted
        if failure is not None:
            self._output.error(str(failure))
        self._output.summary(self._summary(succeeded=succeeded))
        if failure is not None:
            return failure.code
        return SUCCEEDED if succeeded else INTERRUPTED

    def _load(self) -> SyncError | None:
        """Load what the source sends.

        Returns:
            What the sync ends with, if it does not succeed.
        """
        try:
            self._check_tables()
            if self._state.resync is not None:
                self._loader.save(self._state.state, self._state.clock)
            failure = self._read(self._request())
            self._intake.flush()
            if failure is None and not self.interrupted and self._state.resync is not None:
                self._end_resync(self._state.resync)
            self._sender.finish()
        except SyncError as error:
            failure = error
        except KeyboardInterrupt:
            self._sender.close(wait=False)
            raise
        self._sender.close()
        return failure

    def _check_tables(self) -> None:
        """Refuse to go on where a table is gone whose rows the source would not send again."""
        if self._state.resync is not None:
            return
        for name, entry in self._state.tables.items():
            schema, _, table = name.partition(".")
            if entry.rows and self._loader.destination.describe(schema, table) is None:
                raise InputError(gone(name))

    def _request(self) -> sdk.UpdateRequest:
        self._output.phase("reading the schema")
        schema = self._source.schema(self._configuration)
        if len(UnknownFieldSet(schema)) or schema.WhichOneof("response") is None:
            raise newer("SchemaResponse", schema)
        if schema.selection_not_supported and self._selection.chooses:
            raise InputError("the source supports no selection: leave out --only and --exclude")
        declared = declared_tables(schema)
        if declared:
            self._selection.check(declared)
        self._catalog.declare(schema)
        return sdk.UpdateRequest(
            configuration=self._configuration,
            selection=selections.message(self._selection, schema),
            state_json=self._state.state,
        )

    def _read(self, request: sdk.UpdateRequest) -> SyncError | None:
        """Take the stream until it ends.

        Returns:
            What ended it, if that was a task or an error of the source.
        """
        self._output.phase("loading")
        self._call = call = self._source.update(request)
        self._sender.on_failure = call.cancel
        try:
            for size, response in call:
                task = self._intake.take(response, size)
                if task is not None or self.interrupted:
                    return task
        except grpc.RpcError as error:
            self._sender.check()
            return None if self.interrupted else failed("Update", error)
        finally:
            call.cancel()
        return None

    def _end_resync(self, began: int) -> None:
        """Mark as deleted what a resync did not send again. [D]"""
        resynced = self._resynced()
        kept = {each.full_name for each in self._catalog if each.history} & resynced
        if self._state.mode == "history":
            kept = resynced
        if kept:
            self._output.warning(
                "rows that the source no longer has stay active: history mode has no truncation"
            )
        for name in sorted(resynced - kept):
            self._sender.submit(partial(self._truncate, name, began))
        self._sender.submit(self._loader.end_resync)

    def _truncate(self, name: str, before: int) -> None:
        schema, _, table = name.partition(".")
        self._loader.destination.truncate(schema, table, before)

    def _resynced(self) -> set[str]:
        """The tables that a resync is about, without those that the source truncated."""
        known = {each.full_name for each in self._catalog}
        sent = {each.full_name for each in self._catalog if each.selected and not each.truncated}
        whole = not self._selection.chooses and not self._selection.block_new
        return sent | (self._state.tables.keys() - known if whole else set())

    def _summary(self, *, succeeded: bool) -> Summary:
        there = self._loader.tables
        return Summary(
            succeeded=succeeded,
            counts={name: self._intake.counts[name] for name in COUNTS},
            tables={name: self._loader.sent[name] for name in sorted(there)},
            unfilled=[
                each.full_name
                for each in self._catalog
                if each.is_declared and each.selected and each.full_name not in there
            ],
            again=self._intake.since_checkpoint,
            seconds=time.monotonic() - self._begun,
            state=self._state.state,
        )

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C ends the stream, so that what came is sent and saved; the next ends all."""

        def handle(*_: object) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True
            if self._call is not None:
                self._call.cancel()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
