"""The rows of one request, gathered from operations, as batch files of each kind.

Between truncations, the operations on a table go out together. In a table in history mode each
operation happens at its `op_time`, from which the versions' starts and ends follow.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.documents import InputError
from destination_tester.files import BatchFiles, Row
from destination_tester.inputs import INSTANT, OPERATION_TIME, Change, Texts
from destination_tester.model import TableModel
from destination_tester.notation import UNMODIFIED, Cell, from_text, to_text
from destination_tester.stored import (
    ACTIVE,
    DELETED,
    END,
    OPEN_END,
    START,
    SYNCED,
    RefusedError,
    end_before,
    moment,
    read,
)

KINDS = ("earliest", "upsert", "update", "delete")
DELETES = ("delete", "soft_delete")
"""The operations that end a record in history mode."""

Rows = dict[str, list[dict[str, Cell]]]
"""Rows by the kind of file that they are for; texts in CSV notation."""


@dataclass
class Batch:
    """The operations on a table that go out together.

    Args:
        model: the table.
        rows: what the files will hold.
    """

    model: TableModel
    rows: Rows = field(default_factory=lambda: {kind: [] for kind in KINDS})

    def takes(self, change: Change) -> bool:
        """Whether a further operation may go out with those that are there.

        Deletes come last in a request, so a version of a record that was deleted cannot follow.
        """
        return not (self.model.history and self.rows["delete"]) or change.operation in DELETES

    def add(self, change: Change, synced: datetime) -> None:
        """Gather an operation."""
        add = self._add_version if self.model.history else self._add_row
        for row in change.rows:
            self._require_columns(row, change.operation)
            add(change.operation, row, to_text(synced))

    def finish(self) -> Rows:
        """The rows, versions of a record ended where the next ones start."""
        if self.model.history:
            self._end_versions()
        return self.rows

    def _add_row(self, operation: str, row: Texts, synced: str) -> None:
        system = {SYNCED: synced, DELETED: "false"}
        match operation:
            case "upsert":
                self.rows["upsert"].append(self._whole({**row, **system}))
            case "update":
                self.rows["update"].append(self._partial({**row, **system}))
            case "soft_delete":
                key = {name: row.get(name) for name in self.model.key}
                self.rows["update"].append(self._partial({**key, **system, DELETED: "true"}))
            case "delete":
                self.rows["delete"].append(self._whole({**row, SYNCED: synced}))

    def _add_version(self, operation: str, row: Texts, synced: str) -> None:
        time = row.get(OPERATION_TIME) or synced
        values = {name: value for name, value in row.items() if name != OPERATION_TIME}
        values[SYNCED] = synced
        if operation in DELETES:
            self.rows["delete"].append(self._whole({**values, END: time, ACTIVE: "false"}))
            return
        values |= {START: time, END: to_text(OPEN_END), ACTIVE: "true"}
        if operation == "upsert":
            self.rows["upsert"].append(self._whole(values))
        else:
            self.rows["update"].append(self._partial(values))

    def _require_columns(self, row: Texts, operation: str) -> None:
        for name in row:
            if name not in self.model.columns and name != OPERATION_TIME:
                raise InputError(f'{operation}: the table has no column "{name}"')

    def _end_versions(self) -> None:
        """End each version before the next of its record, and note where each record begins."""
        records: dict[tuple[Cell, ...], list[dict[str, Cell]]] = {}
        for version in [*self.rows["upsert"], *self.rows["update"]]:
            key = tuple(version[name] for name in self.model.record)
            records.setdefault(key, []).append(version)
        for versions in records.values():
            versions.sort(key=self._start)
            self.rows["earliest"].append({name: versions[0][name] for name in self.model.key})
            for version, following in itertools.pairwise(versions):
                end = to_text(end_before(self._start(following)))
                version.update({END: end, ACTIVE: "false"})

    def _start(self, version: Row) -> datetime:
        return moment(from_text(str(version[START]), INSTANT))

    def _whole(self, row: Texts) -> dict[str, Cell]:
        return dict.fromkeys(self.model.columns) | dict(row)

    def _partial(self, row: Texts) -> dict[str, Cell]:
        missing: dict[str, Cell] = dict.fromkeys(self.model.columns, UNMODIFIED)
        return missing | dict.fromkeys(self.model.identity) | dict(row)


def values(row: Row, columns: dict[str, common.Column]) -> dict[str, Cell]:
    """A row of texts as a row of values.

    Raises:
        RefusedError: if a text is not in its type's notation, which a destination must not take.
    """
    return {name: _value(cell, columns[name]) for name, cell in row.items() if name in columns}


def _value(cell: Cell, column: common.Column) -> Cell:
    return read(cell, column) if isinstance(cell, str) else cell


class Writer:
    """Writes the rows of a batch into files, their columns in another order in each."""

    def __init__(self, files: BatchFiles) -> None:
        self.files = files
        self._random = random.Random(0)  # noqa: S311

    def write(self, name: str, model: TableModel, rows: Rows) -> dict[str, list[str]]:
        """Write a file for each kind that has rows.

        Args:
            name: how the files' names begin: the table and the input.
            model: the table.
            rows: the rows by kind.

        Returns:
            The files' paths by kind.
        """
        return {
            kind: [self._write(f"{name}_{kind}", model, content)] if content else []
            for kind, content in rows.items()
        }

    def _write(self, name: str, model: TableModel, rows: Sequence[Row]) -> str:
        columns = [model.columns[each] for each in rows[0] if each in model.columns]
        self._random.shuffle(columns)
        if self.files.format == sdk.PARQUET:
            rows = _typed(rows, columns)
        return self.files.write(name, columns, rows)


def _typed(rows: Sequence[Row], columns: Sequence[common.Column]) -> list[dict[str, Cell]]:
    """The rows with values in the columns whose every text is in its type's notation."""
    typed: list[dict[str, Cell]] = [dict(row) for row in rows]
    for column in columns:
        try:
            cells = [_value(row[column.name], column) for row in rows]
        except RefusedError:
            continue
        for row, cell in zip(typed, cells, strict=True):
            row[column.name] = cell
    return typed


def apply(model: TableModel, rows: Rows) -> None:
    """What a request of these rows does to a table.

    Raises:
        RefusedError: if it must be answered with a task.
    """
    named = {each: model.columns[each] for each in (*model.identity, END) if each in model.columns}
    columns = dict.fromkeys(KINDS, model.columns) | {"delete": named}
    typed = {kind: [values(row, columns[kind]) for row in rows[kind]] for kind in KINDS}
    if not model.history:
        model.replace(typed["upsert"])
        model.update(typed["update"])
        model.delete(typed["delete"])
        return
    model.start_over(typed["earliest"])
    model.replace(typed["upsert"])
    model.update_history(typed["update"])
    model.end_records(typed["delete"])
