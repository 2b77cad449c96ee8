"""Takes what a source sends, message by message: windows fill, and are handed to the sender.

Sources of the Connector SDK checkpoint up to every row and never wait [O], so checkpoints are coalesced:
everything is flushed at the first one after some seconds, and then the latest is saved.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from google.protobuf.unknown_fields import UnknownFieldSet

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync.catalog import Catalog, Table
from local_platform.sync.errors import SourceError
from local_platform.sync.loader import Loader
from local_platform.sync.output import Output
from local_platform.sync.records import newer
from local_platform.sync.selection import Selection
from local_platform.sync.sender import Sender
from local_platform.sync.source import message_of
from local_platform.sync.state import START_STATE, now

MIB = 1 << 20
SEAL_BYTES = 2 * MIB
"""What arrived is sealed into chunks when it is this much, so that memory is measured in small steps."""
TELL_SECONDS = 0.5
"""How often progress is reported."""
MAX_RECORDS = 100
"""The most records in a batch. [D]"""
OPERATIONS: dict[int, str] = {
    common.UPSERT: "Upserts", common.UPDATE: "Updates", common.DELETE: "Deletes",
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How to sync.

    Args:
        schema: the destination's schema.
        selection: what is synced.
        buffer_bytes: what windows may hold together: one half fills while the other is sent.
        flush_seconds: how often everything is sent, at a checkpoint.
    """

    schema: str
    selection: Selection
    buffer_bytes: int = 64 * MIB
    flush_seconds: float = 30.0

    @property
    def half(self) -> int:
        """What windows may hold that are filled, and those that are sent."""
        return self.buffer_bytes // 2


@dataclass
class Intake:
    """What has arrived.

    Args:
        catalog: the tables.
        loader: loads windows.
        sender: in whose thread.
        settings: how.
        output: reports it.
        clock: `_fivetran_synced` of what arrives, in milliseconds since 1970.
    """

    catalog: Catalog
    loader: Loader
    sender: Sender
    settings: Settings
    output: Output
    clock: int
    counts: Counter[str] = field(default_factory=Counter)
    received: Counter[str] = field(default_factory=Counter)
    since_checkpoint: int = 0
    _bytes: int = 0
    _told: float = field(default_factory=time.monotonic)
    _checkpoint: str | None = None
    _unsealed: int = 0
    _flushed: float = field(default_factory=time.monotonic)
    _warned: set[str] = field(default_factory=set)

    def take(self, response: sdk.UpdateResponse, size: int) -> SourceError | None:
        """Take a message of so many bytes.

        Returns:
            The task that ends the sync, if it is one.

        Raises:
            SyncError: if it cannot be understood, or what came before could not be loaded.
        """
        match response.WhichOneof("operation"):
            case "records":
                self._take_batch(response.records, size)
            case "record":
                self._take_record(response.record, now())
                self.since_checkpoint += 1
                self._arrived(size)
            case "checkpoint":
                self._take_checkpoint(response.checkpoint.state_json)
            case "schema_change":
                self.counts["SchemaChanges"] += 1
                self.catalog.declare(response.schema_change)
            case "warning":
                self.output.warning(f"source: {message_of(response.warning.message)}")
            case "task":
                return SourceError(f"the source asks for help: {message_of(response.task.message)}")
            case _:
                raise newer("UpdateResponse", response)
        if len(UnknownFieldSet(response)):
            raise newer("UpdateResponse", response)
        return None

    def flush(self) -> None:
        """Send everything, then save the latest checkpoint."""
        for table in self.catalog:
            self._send(table)
        for table in self.catalog:
            if table.selected and table.is_declared:
                self.sender.submit(partial(self.loader.create_declared, table))
        self._tell()
        if self._checkpoint is not None:
            self.sender.submit(partial(self.loader.save, self._checkpoint, self.clock))
        self._flushed = time.monotonic()

    def _take_batch(self, batch: sdk.Records, size: int) -> None:
        if len(UnknownFieldSet(batch)):
            raise newer("Records", batch)
        records = batch.records
        if len(records) > MAX_RECORDS:
            self._warn_once("batch", f"a batch has {len(records)} records, more than {MAX_RECORDS}")
        arrival = now()
        for record in records:
            self._take_record(record, arrival)
        self.since_checkpoint += len(records)
        self._arrived(size)

    def _take_record(self, record: sdk.Record, arrival: int) -> None:
        table = self.catalog.table((record.schema_name, record.table_name))
        if not table.selected:
            return
        table.seen = True
        operation = record.type
        if operation in OPERATIONS:
            if table.keyless and operation != common.UPSERT:
                self._warn_of_no_key(table)
            table.gatherer.add(record, arrival)
        elif operation == common.TRUNCATE:
            self._truncate(table)
        else:
            raise SourceError(f"the source speaks a newer protocol (RecordType {operation})")

    def _warn_of_no_key(self, table: Table) -> None:
        self._warn_once(
            table.full_name,
            f"{table.full_name} has no key: an update or a delete finds only rows of exactly the values"
            " that it carries",
        )

    def _arrived(self, size: int) -> None:
        self._unsealed += size
        self._bytes += size
        if time.monotonic() - self._told >= TELL_SECONDS:
            self._tell()
        if self._unsealed < SEAL_BYTES:
            return
        for table in self.catalog:
            self._seal(table)
        self._unsealed = 0
        while sum(each.window.bytes for each in self.catalog) > self.settings.half:
            self._send(max(self.catalog, key=lambda each: each.window.bytes))

    def _tell(self) -> None:
        """Tell what has arrived, whether it is sealed or not."""
        self._told = time.monotonic()
        waiting = Counter({each.full_name: len(each.gatherer) for each in self.catalog})
        self.output.received(self.received + waiting, self._bytes)

    def _seal(self, table: Table) -> None:
        if len(table.gatherer):
            chunk = table.gatherer.seal()
            self.received[table.full_name] += len(chunk.operations)
            for operation, count in enumerate(np.bincount(chunk.operations).tolist()):
                self.counts[OPERATIONS[operation]] += count
            table.window.add(chunk)

    def _send(self, table: Table) -> None:
        """Hand a table's window over to the sender."""
        self._seal(table)
        window = table.take_window()
        if len(window):
            self.sender.submit(partial(self.loader.send, table, window, self.clock), window.bytes)

    def _truncate(self, table: Table) -> None:
        """Mark as deleted what a table was sent so far; what comes after has a later clock."""
        self.counts["Truncates"] += 1
        if table.history:
            self._warn_once(
                f"truncate {table.full_name}",
                f"{table.full_name}: a truncation is skipped, since history mode has none",
            )
            return
        self._send(table)
        self.clock = max(now(), self.clock + 1)
        table.truncated = True
        self.sender.submit(
            partial(self.loader.destination.truncate, table.schema, table.name, self.clock)
        )

    def _take_checkpoint(self, state: str) -> None:
        self.counts["Checkpoints"] += 1
        self.since_checkpoint = 0
        self._checkpoint = self._checked(state)
        if time.monotonic() - self._flushed >= self.settings.flush_seconds:
            self.flush()

    def _checked(self, state: str) -> str:
        if not state:
            return START_STATE
        try:
            json.loads(state)
        except ValueError:
            self._warn_once("state", "a checkpoint's state is not JSON; it is kept as it is")
        return state

    def _warn_once(self, what: str, message: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            self.output.warning(message)
