"""Which tables and columns are synced: sent to the source, and checked on arrival.

Sources of the Connector SDK ignore it [O], so all that arrives is checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from destination.sdk import common_pb2 as common
from destination.sdk import connector_sdk_pb2 as sdk
from local_platform.sync.errors import InputError

Place = tuple[str, str]
"""A schema of the source, "" for none, and a table of it."""


@dataclass(frozen=True)
class Selection:
    """What the user chose, in the source's names: `[SCHEMA.]TABLE[.COLUMN]`.

    Args:
        only: if there are any, nothing else is synced.
        exclude: what is not synced.
        block_new: whether what the source did not declare is left out.
        passing: what is not synced either, and need not be there any more.
        history: the tables that are in history mode, whatever the mode of the others.
    """

    only: Sequence[str] = ()
    exclude: Sequence[str] = ()
    block_new: bool = False
    passing: Sequence[str] = ()
    history: Sequence[str] = ()

    @property
    def chooses(self) -> bool:
        """Whether anything was chosen."""
        return bool(self.only or self.exclude or self.passing)

    @cached_property
    def _left_out(self) -> set[str]:
        return {*self.exclude, *self.passing}

    def table(self, place: Place, *, declared: bool) -> bool:
        """Whether a table is synced."""
        if self.block_new and not declared:
            return False
        if _tables(place) & self._left_out:
            return False
        return self._takes_whole(place) or self._only_columns(place)

    def column(self, place: Place, name: str, *, key: bool) -> bool:
        """Whether a column of a table that is synced is synced."""
        if key:
            return True
        names = _columns(place, name)
        if names & self._left_out:
            return False
        return self._takes_whole(place) or bool(names & {*self.only})

    def in_history(self, place: Place) -> bool:
        """Whether a table is in history mode, though others need not be."""
        return bool(_tables(place) & {*self.history})

    def takes_new_columns(self, place: Place) -> bool:
        """Whether columns that the source did not declare are synced."""
        return self._takes_whole(place) and not self.block_new

    def check(self, declared: Mapping[Place, Sequence[common.Column]]) -> None:
        """Refuse what cannot be chosen.

        Raises:
            InputError: if a key column is excluded, or a choice names nothing that is declared.
        """
        known: set[str] = set()
        for place, columns in declared.items():
            known |= _tables(place)
            for column in columns:
                names = _columns(place, column.name)
                known |= names
                if column.primary_key and names & {*self.exclude}:
                    raise InputError(
                        f"--exclude {min(names & {*self.exclude})}: it is a key column, by which rows"
                        " are identified"
                    )
        tables = {f"{each}." for place in declared for each in _tables(place)}
        for choice in (*self.only, *self.exclude):
            if choice not in known and not choice.startswith(tuple(tables)):
                raise InputError(f"the source declares no table or column named {choice}")

    def _takes_whole(self, place: Place) -> bool:
        """Whether a table was not chosen by some of its columns alone."""
        return not self.only or bool(_tables(place) & {*self.only})

    def _only_columns(self, place: Place) -> bool:
        starts = tuple(f"{each}." for each in _tables(place))
        return any(choice.startswith(starts) for choice in self.only)


def _tables(place: Place) -> set[str]:
    schema, table = place
    return {table, f"{schema}.{table}"} if schema else {table}


def _columns(place: Place, name: str) -> set[str]:
    return {f"{table}.{name}" for table in _tables(place)}


def message(selection: Selection, schema: sdk.SchemaResponse) -> sdk.Selection | None:
    """The selection for a source: every table and column that it declared, in its own shape.

    Returns:
        None if the source declares nothing.
    """
    new = not selection.block_new and not selection.only
    match schema.WhichOneof("response"):
        case "with_schema":
            schemas = [
                sdk.SchemaSelection(
                    included=True,
                    schema_name=each.name,
                    tables=_selected(selection, each.name, each.tables),
                    include_new_tables=new,
                )
                for each in schema.with_schema.schemas
            ]
            for each in schemas:
                each.included = any(table.included for table in each.tables)
            shaped = sdk.TablesWithSchema(schemas=schemas, include_new_schemas=new)
            return sdk.Selection(with_schema=shaped)
        case "without_schema":
            tables = _selected(selection, "", schema.without_schema.tables)
            return sdk.Selection(
                without_schema=sdk.TablesWithNoSchema(tables=tables, include_new_tables=new)
            )
        case _:
            return None


def _selected(
    selection: Selection, schema: str, tables: Iterable[common.Table]
) -> list[sdk.TableSelection]:
    return [
        sdk.TableSelection(
            included=selection.table((schema, table.name), declared=True),
            table_name=table.name,
            columns={
                each.name: selection.column((schema, table.name), each.name, key=each.primary_key)
                for each in table.columns
            },
            include_new_columns=selection.takes_new_columns((schema, table.name)),
        )
        for table in tables
    ]
