"""Brings windows into the destination: the table first, then its rows, then the state that says so.

Everything here happens in the sender's thread, in order.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.stored import DELETED, HISTORY_COLUMNS, START, SYNCED
from local_platform.sync.catalog import Table, changed_key
from local_platform.sync.destination import Destination
from local_platform.sync.errors import DestinationError, InputError
from local_platform.sync.files import BatchFiles
from local_platform.sync.history import versions
from local_platform.sync.names import ID, SYSTEM_COLUMNS
from local_platform.sync.output import Flush, Output
from local_platform.sync.state import State, TableState, instant
from local_platform.sync.types import BOOLEAN, UTC_DATETIME, Type, widest
from local_platform.sync.window import Rows, Window, collapse

SYSTEM_TYPES = {
    SYNCED: UTC_DATETIME,
    DELETED: BOOLEAN,
    **{name: Type(kind) for name, kind in HISTORY_COLUMNS.items()},
}


@dataclass
class Loader:
    """Loads windows.

    Args:
        destination: where to.
        directory: where the state is.
        files: where batch files are for as long as they are sent.
        state: what was loaded.
        output: reports it.
        format: of batch files.
        hard: whether deleted rows are deleted instead of marked.
    """

    destination: Destination
    directory: Path
    files: Path
    state: State
    output: Output
    format: sdk.BatchFileFormat
    hard: bool
    sent: Counter[str] = field(default_factory=Counter)
    """How many records were sent to each table, by `schema.table`."""
    tables: dict[str, dict[str, Type]] = field(default_factory=dict)
    """The columns that each table is known to have, by `schema.table`."""
    _warned: set[tuple[str, str]] = field(default_factory=set)

    def send(self, table: Table, window: Window, synced: int) -> None:
        """Load a window.

        Args:
            table: its table.
            window: its records.
            synced: their `_fivetran_synced`, in milliseconds since 1970.
        """
        started = time.perf_counter()
        types = self.prepare(table, window.types())
        files = BatchFiles(self.files, self.format)
        try:
            call, kinds, clock = self._rows(table, window, types)
            counts = self._request(call, table, types, kinds, files, instant(synced))
            self.state.clock = clock
        finally:
            files.delete()
            pa.default_memory_pool().release_unused()
        rows = len(window)
        self.sent[table.full_name] += rows
        self.state.tables[table.full_name].rows += rows
        seconds = time.perf_counter() - started
        self.output.flush(Flush(table.full_name, rows, counts, window.bytes, seconds))

    def create_declared(self, table: Table) -> None:
        """Create a table that was declared, if the types of its key are known."""
        if table.full_name not in self.tables and all(map(table.declared.get, table.key)):
            self.prepare(table, {})

    def save(self, state: str, clock: int) -> None:
        """Remember that all was loaded that came before a state of the source."""
        self.state.state = state
        self.state.clock = max(clock, self.state.clock)
        self.state.save(self.directory)
        self.output.saved(state)

    def end_resync(self) -> None:
        """Remember that a resync is done."""
        self.state.resync = None
        self.state.save(self.directory)

    # Tables

    def prepare(self, table: Table, arrived: Mapping[str, Type | None]) -> dict[str, Type]:
        """Have a table with all columns that are known, as wide as they must be.

        Returns:
            The types of its columns, without those that Fivetran adds.

        Raises:
            InputError: if it was filled by another key or in another mode.
        """
        there = self.tables.get(table.full_name)
        if there is None or _differs(there, self._wanted(table, there, arrived)):
            there = self._look(table)
        wanted = self._wanted(table, there or {}, arrived)
        if there is None or _differs(there, wanted):
            self._remember(table, wanted)
            self._change(table, there, wanted)
        self.tables[table.full_name] = wanted
        return wanted

    def _wanted(
        self, table: Table, there: Mapping[str, Type], arrived: Mapping[str, Type | None]
    ) -> dict[str, Type]:
        declared = dict(table.declared)
        wanted = {}
        for name in [*table.key, *there, *declared, *arrived]:
            kind = widest(there.get(name), declared.get(name), arrived.get(name))
            if kind is not None:
                wanted[name] = kind.stored
                self._warn_of_widening(table, name, declared.get(name), kind.stored)
                self._warn_of_rounding(table, name, kind)
        return wanted

    def _look(self, table: Table) -> dict[str, Type] | None:
        """The columns of a table that are this sync's to fill; None if there is no table."""
        entry = self.state.tables.get(table.full_name)
        if entry and entry.rows and entry.key != table.key and self.state.resync is None:
            raise InputError(changed_key(table.full_name, entry.key, table.key))
        described = self.destination.describe(table.schema, table.name)
        if described is None:
            if entry and entry.rows and self.state.resync is None:
                raise InputError(gone(table.full_name))
            return None
        if entry and _in_other_mode(table, described) and self.state.resync is None:
            self.destination.change_mode(table.schema, table.name, history=table.history)
            described = self.destination.describe(table.schema, table.name) or described
        key = [column.name for column in described.columns if column.primary_key]
        there = sorted(name for name in key if name != START)
        if there != sorted(table.key) or (START in key) != table.history:
            if self.state.resync is None:
                raise InputError(changed_key(table.full_name, key, self._full_key(table)))
            self.destination.drop(table.schema, table.name)
            self.state.tables.pop(table.full_name, None)
            return None
        ours = {*entry.columns, *table.key} if entry else {c.name for c in described.columns}
        return {
            column.name: kind
            for column in described.columns
            if column.name in ours | table.declared.keys()
            and column.name not in SYSTEM_COLUMNS - {ID}
            and (kind := Type.of(column)) is not None
        }

    def _full_key(self, table: Table) -> list[str]:
        return [*table.key, START] if table.history else table.key

    def _remember(self, table: Table, wanted: Mapping[str, Type]) -> None:
        """Write down which columns are this sync's before they are there."""
        entry = self.state.tables.setdefault(table.full_name, TableState(table.key))
        entry.key = table.key
        entry.columns = list(dict.fromkeys([*entry.columns, *wanted]))
        self.state.save(self.directory)

    def _change(
        self, table: Table, there: Mapping[str, Type] | None, wanted: Mapping[str, Type]
    ) -> None:
        message = self.message(table, wanted)
        if there is None:
            self._create(table, message)
        else:
            self.destination.alter(table.schema, message)
        new = {name: str(kind) for name, kind in wanted.items() if (there or {}).get(name) != kind}
        self.output.changed(table.full_name, new, created=there is None)

    def _create(self, table: Table, message: common.Table) -> None:
        try:
            self.destination.create(table.schema, message)
        except DestinationError:
            # A call that was carried out, and whose answer was lost, was sent again.
            described = self.destination.describe(table.schema, table.name)
            wanted = {column.name for column in message.columns}
            if described is None or not wanted <= {c.name for c in described.columns}:
                raise

    def message(self, table: Table, types: Mapping[str, Type]) -> common.Table:
        """A table as the destination must have it."""
        added = [SYNCED, *(HISTORY_COLUMNS if table.history else [DELETED])]
        key = self._full_key(table)
        columns = [
            kind.column(name, key=name in key)
            for name, kind in {**types, **{each: SYSTEM_TYPES[each] for each in added}}.items()
        ]
        return common.Table(name=table.name, columns=columns)

    def _warn_of_widening(self, table: Table, name: str, declared: Type | None, kind: Type) -> None:
        if declared is None or (kind == declared.stored and not declared.is_time):
            return
        change = f"{declared}, and becomes {kind} to hold what arrives"
        if declared.is_time:
            change = "NAIVE_TIME, and becomes STRING"
        self._warn_once(table, name, f"{table.full_name}: column {name} is declared {change}")

    def _warn_of_rounding(self, table: Table, name: str, kind: Type) -> None:
        if kind.rounds:
            self._warn_once(
                table,
                f"{name} rounds",
                f"{table.full_name}: column {name} holds numbers and floats, and becomes {kind}, which"
                " rounds numbers above 2^53",
            )

    def _warn_once(self, table: Table, what: str, message: str) -> None:
        if (table.full_name, what) not in self._warned:
            self._warned.add((table.full_name, what))
            self.output.warning(message)

    # Rows

    def _rows(
        self, table: Table, window: Window, types: Mapping[str, Type]
    ) -> tuple[Callable[..., None], dict[str, Rows], int]:
        """The call that loads a window's rows, the rows by the kind of file, the clock after it."""
        name, key = table.full_name, table.key
        if not table.history:
            live = collapse(window, name, types, key, deleted=DELETED, hard=self.hard)
            kinds = {"replace": live.replace, "update": live.update, "delete": live.delete}
            return self.destination.write, kinds, self.state.clock
        made = versions(window, name, types, key, self.state.clock)
        kinds = {"replace": made.replace, "update": made.update, "delete": made.delete}
        kinds = {"earliest_start": made.earliest, **kinds}
        return self.destination.write_history, kinds, max(self.state.clock, made.latest)

    def _request(
        self,
        call: Callable[..., None],
        table: Table,
        types: Mapping[str, Type],
        kinds: Mapping[str, Rows],
        files: BatchFiles,
        synced: str,
    ) -> dict[str, int]:
        """Write the files of a request and send it.

        Returns:
            How many rows of each kind it had.
        """
        every = {**types, **SYSTEM_TYPES}
        paths, counts = {}, {}
        for kind, rows in kinds.items():
            if kind != "earliest_start":
                counts[kind] = len(rows)
                rows.add(SYNCED, pa.repeat(synced, len(rows)))
            paths[f"{kind}_files"] = files.write(kind, rows, every)
            rows.release()
        message = self.message(table, types)
        call(table.schema, message, keys=files.keys, file_params=files.params, **paths)
        return counts


def _in_other_mode(table: Table, described: common.Table) -> bool:
    """Whether a table is as it was filled, but for its mode."""
    key = {column.name for column in described.columns if column.primary_key}
    return key - {START} == {*table.key} and (START in key) != table.history


def gone(table: str) -> str:
    """The message for a table that was filled and is not there any more."""
    return f"{table} was filled before and is gone: --resync"


def _differs(there: Mapping[str, Type], wanted: Mapping[str, Type]) -> bool:
    return any(there.get(name) != kind for name, kind in wanted.items())
