"""Plays inputs: each step is a call, and what the call must have done is done to the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.batches import Batch, Writer, apply
from destination_tester.client import Client
from destination_tester.console import Output
from destination_tester.inputs import Change, Define, Input, Migrate, Truncate
from destination_tester.migrations import MIGRATIONS
from destination_tester.model import DELETED, START, SYNCED, Stored, TableModel
from destination_tester.verify import Difference, Verifier

TICK = timedelta(milliseconds=1)
DELAY_SECONDS = 1.0


class Clock:
    """The time of each operation, to the millisecond, later than that of the one before.

    Args:
        delay: whether to wait between operations, as Fivetran's tester does.
    """

    def __init__(self, *, delay: bool) -> None:
        self._delay = delay
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self) -> datetime:
        """The time of the next operation."""
        if self._delay:
            time.sleep(DELAY_SECONDS)
        now = datetime.now(UTC)
        now = now.replace(microsecond=now.microsecond // 1000 * 1000)
        self._last = max(now, self._last + TICK)
        return self._last


def _in_history_mode(table: common.Table) -> bool:
    return any(column.name == START and column.primary_key for column in table.columns)


class Runner:
    """Plays inputs one after the other on the same tables.

    Args:
        client: calls the connector.
        writer: writes the batch files.
        clock: gives each operation its time.
        output: told of tables and differences.
        verifier: looks at what arrived; None not to look.
    """

    def __init__(
        self,
        client: Client,
        writer: Writer,
        clock: Clock,
        output: Output,
        verifier: Verifier | None,
    ) -> None:
        self.client = client
        self._writer = writer
        self._clock = clock
        self._output = output
        self._verifier = verifier
        self.tables: dict[str, TableModel | None] = {}
        self._pending: dict[str, Batch] = {}
        self._input = ""

    def run(self, played: Input) -> list[Difference]:
        """Play an input.

        Returns:
            What differs afterwards between the tables and what they must be.
        """
        self._input = played.name
        self._output.input(played.name)
        for step in played.steps:
            match step:
                case Define():
                    self._define(step.table)
                case Change():
                    self._change(step)
                case Truncate():
                    self._truncate(step)
                case Migrate():
                    self._migrate(step)
        self._flush_all()
        for name in played.describe:
            self._output.table(name, self.client.describe(name), self._rows(name))
        return self._verify()

    def model(self, name: str) -> TableModel | None:
        """What a table must be; None if there must be none.

        A table that the inputs so far did not touch is taken as it is.
        """
        if name not in self.tables:
            described = self.client.describe(name)
            model = TableModel.of(described) if described is not None else None
            if model is not None and self._verifier is not None:
                self._verifier.seed(model, name)
            self.tables[name] = model
        return self.tables[name]

    def _rows(self, name: str) -> list[Stored]:
        """A table's rows as they were found; those that it must have where nobody looks."""
        model = self.model(name)
        if model is None:
            return []
        return self._verifier.rows(model, name) if self._verifier else model.rows

    def _define(self, table: common.Table) -> None:
        model = self.model(table.name)
        if model is not None and (START in model.key) != _in_history_mode(table):
            model = self._drop(table.name)
        if model is None:
            if self.client.create(table):
                self.tables[table.name] = TableModel.of(table)
        elif self.client.alter(table):
            model.alter(table)

    def _drop(self, name: str) -> TableModel | None:
        """Drop a table that changes its mode, as a re-sync does.

        Returns:
            What is left of it.
        """
        if self.client.migrate("drop_table", name, drop=sdk.DropOperation(drop_table=True)):
            self.tables[name] = None
        return self.tables[name]

    def _change(self, change: Change) -> None:
        model = self.model(change.table)
        if model is None:
            self._skipped(change.operation, change.table)
            return
        pending = self._pending.get(change.table)
        if pending is not None and not pending.takes(change):
            self._flush(change.table)
        batch = self._pending.setdefault(change.table, Batch(model))
        batch.add(change, self._clock.next())

    def _truncate(self, step: Truncate) -> None:
        self._flush(step.table)
        before = self._clock.next()
        deleted = DELETED if step.soft else None
        model = self.model(step.table)
        if self.client.truncate(step.table, SYNCED, before, deleted) and model is not None:
            model.truncate(SYNCED, before, deleted)

    def _migrate(self, step: Migrate) -> None:
        self._flush_all()
        migrate = MIGRATIONS.get(step.operation)
        if migrate is None:
            self._skipped(step.operation, str(step.arguments.get("table", "")))
            return
        migrate(self, step.arguments)

    def _flush_all(self) -> None:
        for name in list(self._pending):
            self._flush(name)

    def _flush(self, name: str) -> None:
        """Send the operations on a table that were gathered."""
        batch = self._pending.pop(name, None)
        if batch is None:
            return
        model, rows = batch.model, batch.finish()
        written = self._writer.write(f"{name}_{self._input}", model, rows)
        files: dict[str, Any] = {
            "replace_files": written["upsert"],
            "update_files": written["update"],
            "delete_files": written["delete"],
            "keys": self._writer.files.keys,
            "file_params": self._writer.files.params,
        }
        write: Callable[..., bool] = self.client.write
        if batch.history:
            write = self.client.write_history
            files["earliest_start_files"] = written["earliest"]
        count = sum(len(content) for kind, content in rows.items() if kind != "earliest")
        if write(model.table(name), count, **files):
            apply(model, rows)

    def _verify(self) -> list[Difference]:
        if self._verifier is None:
            return []
        differences = [
            difference
            for name, model in self.tables.items()
            for difference in self._verifier.compare(name, model, self.client.describe(name))
        ]
        self._output.differences(differences)
        return differences

    def _skipped(self, operation: str, table: str) -> None:
        message = "there is no such table" if operation not in MIGRATIONS else ""
        self._output.operation(f"{operation} {table}", 0, 0.0, "skipped", message)
