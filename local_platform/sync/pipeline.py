"""A sync, from the lock to the summary: the source's stream is read, windows fill and are sent."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

import grpc
from google.protobuf.unknown_fields import UnknownFieldSet

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from destination.sdk import destination_sdk_pb2 as destination_sdk
from local_platform.sync import selection as selections
from local_platform.sync.catalog import Catalog, Table, declared_tables
from local_platform.sync.errors import INTERRUPTED, SUCCEEDED, InputError, SourceError, SyncError
from local_platform.sync.loader import Loader, gone
from local_platform.sync.output import COUNTS, Output, Summary
from local_platform.sync.records import newer
from local_platform.sync.selection import Place, Selection
from local_platform.sync.sender import Sender
from local_platform.sync.source import SourceClient, failed, message_of
from local_platform.sync.state import START_STATE, State, now

SEAL_BYTES = 2 << 20
"""What arrived is sealed into chunks when it is this much, so that memory is measured in small steps."""
MAX_RECORDS = 100
"""The most records in a batch. [D]"""
OPERATIONS = {common.UPSERT: "Upserts", common.UPDATE: "Updates", common.DELETE: "Deletes"}
MIB = 1 << 20


@dataclass
class Settings:
    """How to sync.

    Args:
        schema: the destination's schema.
        selection: what is synced.
        buffer_bytes: what windows may hold together.
        flush_seconds: how often everything is sent, at a checkpoint.
    """

    schema: str
    selection: Selection
    buffer_bytes: int = 64 * MIB
    flush_seconds: float = 30.0


@dataclass
class Sync:
    """One Update of a source, loaded.

    Args:
        source: sends the records.
        configuration: of the source.
        loader: loads them.
        settings: how.
        output: told of it.
    """

    source: SourceClient
    configuration: dict[str, str]
    loader: Loader
    settings: Settings
    output: Output
    counts: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    _warned: set[str] = field(default_factory=set)
    _unsealed: int = 0
    _since_checkpoint: int = 0

    def __post_init__(self) -> None:
        self.begun = time.monotonic()
        self.state: State = self.loader.state
        self.clock = max(now(), self.state.clock + 1)
        self._started = self.clock
        self._flushed = self.begun
        self._checkpoint: str | None = None
        self._call: grpc.Call | None = None
        self.catalog = Catalog(
            self.settings.schema, self.state.naming, self.settings.selection, self.state
        )
        self.sender = Sender(self.settings.buffer_bytes)

    def run(self) -> int:
        """Sync.

        Returns:
            The exit code.
        """
        with self._interruptible():
            failure = self._load()
        if failure is not None:
            self.output.error(str(failure))
        self.output.summary(self._summary(failure is None and not self.interrupted))
        if failure is not None:
            return failure.code
        return INTERRUPTED if self.interrupted else SUCCEEDED

    def interrupt(self) -> None:
        """End the stream, so that what came is sent and saved."""
        self.interrupted = True
        if self._call is not None:
            self._call.cancel()

    def _load(self) -> SyncError | None:
        """Load what the source sends.

        Returns:
            What the sync ends with, if it does not succeed.
        """
        try:
            self._check_tables()
            if self.state.resync is not None:
                self.loader.save(self.state.state, self.state.clock)
            failure = self._read(self._request())
            self._finish(succeeded=failure is None and not self.interrupted)
        except SyncError as error:
            failure = error
        except KeyboardInterrupt:
            self.sender.close(wait=False)
            raise
        self.sender.close()
        return failure

    # Before the stream

    def _check_tables(self) -> None:
        """Refuse to go on where a table is gone whose rows the source would not send again."""
        if self.state.resync is not None:
            return
        for name, entry in self.state.tables.items():
            schema, _, table = name.partition(".")
            if entry.rows and self.loader.destination.describe(schema, table) is None:
                raise InputError(gone(name))

    def _request(self) -> sdk.UpdateRequest:
        schema = self.source.schema(self.configuration)
        if len(UnknownFieldSet(schema)) or schema.WhichOneof("response") is None:
            raise newer("SchemaResponse", schema)
        chosen = self.settings.selection
        if schema.selection_not_supported and chosen.chooses:
            raise InputError("the source does not support selection: --only and --exclude have no use")
        declared = declared_tables(schema)
        if declared:
            chosen.check(declared)
        self.catalog.declare(schema)
        return sdk.UpdateRequest(
            configuration=self.configuration,
            selection=selections.message(chosen, schema),
            state_json=self.state.state,
        )

    # The stream

    def _read(self, request: sdk.UpdateRequest) -> SyncError | None:
        """Take the stream until it ends.

        Returns:
            What ended it, if that was a task or an error of the source.
        """
        self._call = call = self.source.update(request)
        self.sender.on_failure = call.cancel
        if self.interrupted:
            return None
        try:
            for size, response in call:
                failure = self._take(response, size)
                if failure is not None:
                    return failure
        except grpc.RpcError as error:
            self.sender.check()
            return None if self.interrupted else failed("Update", error)
        finally:
            call.cancel()
        return None

    def _take(self, response: sdk.UpdateResponse, size: int) -> SyncError | None:
        match response.WhichOneof("operation"):
            case "records":
                batch = response.records.records
                if len(batch) > MAX_RECORDS:
                    self._warn_once("batch", f"a batch has {len(batch)} records, more than {MAX_RECORDS}")
                arrival = now()
                for record in batch:
                    self._record(record, arrival)
                self._arrived(size)
            case "record":
                self._record(response.record, now())
                self._arrived(size)
            case "checkpoint":
                self._take_checkpoint(response.checkpoint.state_json)
            case "schema_change":
                self.counts["SchemaChanges"] += 1
                self.catalog.declare(response.schema_change)
            case "warning":
                self.output.warning(f"source: {message_of(response.warning.message)}")
            case "task":
                return SourceError(f"the source needs you: {message_of(response.task.message)}")
            case _:
                raise newer("UpdateResponse", response)
        if len(UnknownFieldSet(response)):
            raise newer("UpdateResponse", response)
        return None

    def _record(self, record: sdk.Record, arrival: int) -> None:
        self._since_checkpoint += 1
        table = self.catalog.table((record.schema_name, record.table_name))
        if not table.selected:
            return
        table.seen = True
        operation = record.type
        if operation == common.TRUNCATE:
            self._truncate(table)
            return
        counted = OPERATIONS.get(operation)
        if counted is None:
            raise SourceError(f"the source speaks a newer protocol (RecordType {operation})")
        self.counts[counted] += 1
        if table.keyless and operation != common.UPSERT:
            self._warn_once(
                table.full_name,
                f"{table.full_name} has no key: an update or a delete finds only rows of exactly the"
                " values that it carries",
            )
        table.gatherer.add(record, arrival)

    def _arrived(self, size: int) -> None:
        self._unsealed += size
        if self._unsealed < SEAL_BYTES:
            return
        self._seal()
        while sum(each.window.bytes for each in self.catalog) > self.settings.buffer_bytes:
            self._send(max(self.catalog, key=lambda each: each.window.bytes))

    def _seal(self) -> None:
        for table in self.catalog:
            self._seal_table(table)
        self._unsealed = 0
        self.output.received(self.received)

    def _seal_table(self, table: Table) -> None:
        if len(table.gatherer):
            self.received[table.full_name] += len(table.gatherer)
            table.window.add(table.gatherer.seal())

    def _send(self, table: Table) -> None:
        """Hand a table's window over to the sender."""
        self._seal_table(table)
        window = table.take_window()
        if len(window):
            job = partial(self.loader.send, table, window, self.clock)
            self.sender.submit(job, window.bytes)

    def _truncate(self, table: Table) -> None:
        self.counts["Truncates"] += 1
        if self.loader.history:
            self._warn_once(
                f"truncate {table.full_name}",
                f"{table.full_name}: a truncation is skipped, since history mode has none",
            )
            return
        self._send(table)
        before = self.clock = max(now(), self.clock + 1)
        table.truncated = True
        self.sender.submit(partial(self.loader.truncate, table, before))

    def _take_checkpoint(self, state: str) -> None:
        self.counts["Checkpoints"] += 1
        self._since_checkpoint = 0
        self._checkpoint = self._checked(state)
        if time.monotonic() - self._flushed >= self.settings.flush_seconds:
            self._flush()

    def _checked(self, state: str) -> str:
        if not state:
            return START_STATE
        try:
            json.loads(state)
        except ValueError:
            self._warn_once("state", "a checkpoint's state is not JSON; it is kept as it is")
        return state

    def _flush(self) -> None:
        """Send everything, then save the latest checkpoint."""
        for table in self.catalog:
            self._send(table)
        for table in self.catalog:
            if table.selected and table.is_declared:
                self.sender.submit(partial(self.loader.create_declared, table))
        self.output.received(self.received)
        if self._checkpoint is not None:
            self.sender.submit(partial(self.loader.save, self._checkpoint, self.clock))
        self._flushed = time.monotonic()

    # After the stream

    def _finish(self, *, succeeded: bool) -> None:
        self._flush()
        if succeeded and self.state.resync is not None:
            self._truncate_what_was_not_sent(self.state.resync)
        self.sender.finish()

    def _truncate_what_was_not_sent(self, began: int) -> None:
        """Mark as deleted what a resync did not send again. [D]"""
        if self.loader.history:
            self.output.warning(
                "rows that the source no longer has stay active: history mode has no truncation"
            )
        else:
            for schema, name in self._resynced():
                self.sender.submit(partial(self.loader.destination.truncate, schema, name, began))

        def save() -> None:
            self.state.resync = None
            self.loader.save(self.state.state, self.state.clock)

        self.sender.submit(save)

    def _resynced(self) -> Iterator[tuple[str, str]]:
        """The tables that a resync is about, without those that the source truncated."""
        names = {each.full_name for each in self.catalog if each.selected and not each.truncated}
        known = {each.full_name for each in self.catalog}
        if not self.settings.selection.chooses and not self.settings.selection.block_new:
            names |= self.state.tables.keys() - known
        for name in sorted(names):
            schema, _, table = name.partition(".")
            yield schema, table

    def _summary(self, succeeded: bool) -> Summary:  # noqa: FBT001
        there = self.loader.tables
        return Summary(
            succeeded=succeeded,
            counts={name: self.counts[name] for name in COUNTS},
            tables={name: self.loader.sent[name] for name in sorted(there)},
            unfilled=[
                each.full_name
                for each in self.catalog
                if each.is_declared and each.selected and each.full_name not in there
            ],
            again=self._since_checkpoint,
            seconds=time.monotonic() - self.begun,
            state=self.state.state,
        )

    def _warn_once(self, what: str, message: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self.output.warning(message)

    @contextmanager
    def _interruptible(self) -> Iterator[None]:
        """The first Ctrl-C ends the stream; the next one ends all."""

        def handle(number: int, frame: FrameType | None) -> None:
            del number, frame
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupt()

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def clean(directory: Path) -> None:
    """Make an empty place for batch files; what a killed sync left there is encrypted, and goes."""
    files = directory / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(mode=0o700)


def batch_format(name: str | None, wanted: destination_sdk.BatchFileFormat) -> destination_sdk.BatchFileFormat:
    """The format of batch files: the one that was chosen, or the destination's own."""
    return destination_sdk.BatchFileFormat.Value(name) if name else wanted
