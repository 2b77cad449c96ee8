"""Plays inputs: each step is a call, and what the call must have done is done to the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from destination.sdk import common_pb2 as common
from destination_tester.batches import Batch, Writer, apply
from destination_tester.client import Answer, Client
from destination_tester.console import Difference, Output
from destination_tester.inputs import Change, Define, Input, Migrate, Truncate
from destination_tester.migrations import Alter, Models, plan
from destination_tester.model import TableModel
from destination_tester.stored import DELETED, SYNCED, RefusedError, Stored
from destination_tester.verify import Verifier

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


class Runner:
    """Plays inputs one after the other on the same tables.

    Args:
        client: calls the connector.
        writer: writes the batch files.
        clock: gives each operation its time.
        output: shows tables and differences.
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
        self._tables: dict[str, TableModel | None] = {}
        self._pending: dict[str, Batch] = {}
        self._input = ""
        self._wrong_answers: list[Difference] = []
        self.rightly_refused = 0
        """How many calls were answered with a task as they must be."""

    def run(self, played: Input) -> list[Difference]:
        """Play an input.

        Returns:
            What differs afterwards between the tables and what they must be.
        """
        self._input, self._wrong_answers = played.name, []
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
        if name not in self._tables:
            described = self.client.describe(name)
            model = TableModel.of(described) if described is not None else None
            if model is not None and self._verifier is not None:
                self._verifier.seed(model, name)
            self._tables[name] = model
        return self._tables[name]

    def _rows(self, name: str) -> list[Stored]:
        """A table's rows as they were found; those that it must have where nobody looks."""
        model = self.model(name)
        if model is None:
            return []
        found = self._verifier.rows(model, name) if self._verifier else None
        return model.rows if found is None else found

    def _settle(self, name: str, outcome: Callable[[], Models], call: Callable[[], Answer]) -> None:
        """Make a call, and keep what it must have done if it was carried out.

        Args:
            name: the table that it is about.
            outcome: what tables must be after the call; RefusedError if it must be a task.
            call: makes the call.
        """
        try:
            models, reason = outcome(), None
        except RefusedError as refused:
            models, reason = {}, str(refused)
        answer = call()
        if answer and reason is None:
            self._tables |= models
        elif answer:
            expected = f"a task, since {reason}"
            self._wrong_answers.append(Difference(name, "", "(call)", expected, answer.outcome))
            self._tables.pop(name, None)
        elif reason is not None and answer.refused:
            self.rightly_refused += 1

    def _define(self, table: common.Table) -> None:
        model = self.model(table.name)
        defined = TableModel.of(table)
        if model is not None and model.history != defined.history:
            # A table that changes its mode is dropped, as a re-sync does.
            self._migrate(Migrate("drop_table", {"table": table.name}, common.Column()))
            model = self._tables[table.name]
        if model is None:
            self._settle(
                table.name, lambda: {table.name: defined}, lambda: self.client.create(table)
            )
            return
        altered = model.copy()

        def outcome() -> Models:
            altered.alter(table)
            return {table.name: altered}

        self._settle(table.name, outcome, lambda: self.client.alter(table))

    def _change(self, change: Change) -> None:
        model = self.model(change.table)
        if model is None:
            what = f"{change.operation} {change.table}"
            self._output.operation(what, 0, 0.0, "skipped", "there is no such table")
            return
        pending = self._pending.get(change.table)
        if pending is not None and not pending.takes(change):
            self._flush(change.table)
            model = self.model(change.table) or model
        batch = self._pending.setdefault(change.table, Batch(model))
        batch.add(change, self._clock.next())

    def _truncate(self, step: Truncate) -> None:
        self._flush(step.table)
        before = self._clock.next()
        deleted = DELETED if step.soft else None

        def outcome() -> Models:
            model = self.model(step.table)
            if model is None:
                return {}
            truncated = model.copy()
            truncated.truncate(SYNCED, before, deleted)
            return {step.table: truncated}

        self._settle(
            step.table,
            outcome,
            lambda: self.client.truncate(step.table, SYNCED, before, deleted),
        )

    def _migrate(self, step: Migrate) -> None:
        self._flush_all()
        planned = plan(step, self.model)

        def call() -> Answer:
            if isinstance(planned.call, Alter):
                return self.client.alter(planned.call.table, drop_columns=planned.call.drop_columns)
            return self.client.migrate(step.operation, planned.call)

        if planned.outcome is None:
            call()
        else:
            self._settle(planned.table, planned.outcome, call)

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
        write: Callable[..., Answer] = self.client.write
        if model.history:
            write = self.client.write_history
            files["earliest_start_files"] = written["earliest"]
        count = sum(len(content) for kind, content in rows.items() if kind != "earliest")

        def outcome() -> Models:
            changed = model.copy()
            apply(changed, rows)
            return {name: changed}

        self._settle(name, outcome, lambda: write(model.table(name), count, **files))

    def _verify(self) -> list[Difference]:
        if self._verifier is None:
            return []
        differences = [
            difference
            for name, model in self._tables.items()
            for difference in self._verifier.compare(name, model, self.client.describe(name))
        ]
        differences = self._wrong_answers + differences
        self._output.differences(differences)
        return differences
