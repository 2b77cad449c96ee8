"""The tables of a sync: what the source declared of them, and how they are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync.errors import InputError
from local_platform.sync.names import ID, RULES, SYSTEM_COLUMNS, Names
from local_platform.sync.records import Gatherer
from local_platform.sync.selection import Place, Selection
from local_platform.sync.state import State
from local_platform.sync.types import STRING, Type, widest
from local_platform.sync.window import Window


@dataclass
class Table:
    """A table that is synced.

    Args:
        place: where the source has it.
        schema: the destination's schema.
        name: its name there.
        names: the names of its columns there.
        key: its key columns there; `_fivetran_id` if none is declared.
        declared: the types that the source declared, None where it left one open.
        selected: whether it is synced at all.
        history: whether it is in history mode.
        gatherer: the records that arrived last.
        window: those that arrived before and wait to be sent.
    """

    place: Place
    schema: str
    name: str
    names: Names
    key: list[str]
    declared: dict[str, Type | None]
    selected: bool
    history: bool
    is_declared: bool
    gatherer: Gatherer = field(init=False)
    window: Window = field(default_factory=Window)
    truncated: bool = False
    seen: bool = False

    @property
    def full_name(self) -> str:
        """The schema and the name, as the state has it."""
        return f"{self.schema}.{self.name}"

    @property
    def keyless(self) -> bool:
        """Whether the key is made of what the records hold."""
        return self.key == [ID]

    def take_window(self) -> Window:
        """The window, and begin an empty one."""
        window, self.window = self.window, Window()
        return window


class Catalog:
    """All tables.

    Args:
        schema: the destination's schema, and what the names of others begin with.
        naming: one of NAMINGS.
        selection: what is synced.
        state: what was synced before.
    """

    def __init__(self, schema: str, naming: str, selection: Selection, state: State) -> None:
        self._selection = selection
        self._known = {name: {*each.columns} for name, each in state.tables.items()}
        schema_rule, self._table_rule, self._column_rule = RULES[naming]
        self._schema = schema
        self._history = state.mode == "history"
        self._schemas = Names("schemas", schema_rule)
        self._table_names: dict[str, Names] = {}
        self._tables: dict[Place, Table] = {}

    def __iter__(self) -> Iterator[Table]:
        return iter(list(self._tables.values()))

    def table(self, place: Place) -> Table:
        """A table, new if nothing was known of it."""
        table = self._tables.get(place)
        return self._add(place, None) if table is None else table

    def declare(self, message: sdk.SchemaResponse | sdk.SchemaChange) -> None:
        """Take what the source declares: tables and columns are added, types widened.

        Raises:
            InputError: if names meet, or a key changed.
        """
        for place, table in declared_tables(message).items():
            known = self._tables.get(place)
            if known is None:
                self._add(place, table)
            else:
                self._merge(known, table)

    def _add(self, place: Place, declared: list[common.Column] | None) -> Table:
        schema = self._schema_name(place[0])
        name = self._table_names.setdefault(schema, Names(f"tables of {schema}", self._table_rule))[
            place[1]
        ]
        names = Names(f"columns of {schema}.{name}", self._column_rule, SYSTEM_COLUMNS)
        columns = declared or []
        table = Table(
            place, schema, name, names,
            key=[names[each.name] for each in columns if each.primary_key] or [ID],
            declared={},
            selected=self._selection.table(place, declared=declared is not None),
            history=self._history or self._selection.in_history(place),
            is_declared=declared is not None,
        )  # fmt: skip
        self._declare_columns(table, columns)
        self._gather(table)
        self._tables[place] = table
        return table

    def _gather(self, table: Table) -> None:
        known = self._known.get(table.full_name, set())

        def selected(name: str) -> bool:
            if not self._selection.column(table.place, name, key=False):
                return table.names.known(name) in table.key
            target = table.names[name]
            return not self._selection.block_new or target in known or target in table.declared

        table.gatherer = Gatherer(table.names, selected, keyless=table.keyless)

    def _merge(self, table: Table, columns: list[common.Column]) -> None:
        key = [table.names[each.name] for each in columns if each.primary_key]
        if key and key != table.key:
            if table.seen:
                raise InputError(changed_key(table.full_name, table.key, key))
            table.key = key
            self._gather(table)
        self._declare_columns(table, columns)

    def _declare_columns(self, table: Table, columns: Iterable[common.Column]) -> None:
        if table.keyless:
            table.declared.setdefault(ID, STRING)
        else:
            table.declared.pop(ID, None)
        for column in columns:
            key = column.primary_key
            if self._selection.column(table.place, column.name, key=key):
                name = table.names[column.name]
                table.declared[name] = widest(table.declared.get(name), Type.of(column))

    def _schema_name(self, source: str) -> str:
        """The destination's schema for one of the source. [D]"""
        return f"{self._schema}_{self._schemas[source]}" if source else self._schema


def declared_tables(
    message: sdk.SchemaResponse | sdk.SchemaChange,
) -> dict[Place, list[common.Column]]:
    """The tables that a message declares, with their columns."""
    schemas = [("", message.without_schema.tables)]
    if message.HasField("with_schema"):
        schemas = [(each.name, each.tables) for each in message.with_schema.schemas]
    return {
        (schema, table.name): list(table.columns) for schema, tables in schemas for table in tables
    }


def changed_key(table: str, old: Iterable[str], new: Iterable[str]) -> str:
    """The message for a key that is not the one that a table was filled by."""
    return f"{table}: its key was ({', '.join(old)}) and is ({', '.join(new)}) now: --resync"
