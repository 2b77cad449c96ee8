"""The schema migrations of an input: for each, the call and what it must make of the tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.inputs import INSTANT, Migrate
from destination_tester.model import TableModel
from destination_tester.notation import Cell, from_text
from destination_tester.stored import DELETED, RefusedError, moment, read

NULL_TEXTS = ("NULL", "")
TEXT_TYPES = (common.STRING, common.XML)
SYNC_MODE_CHANGES: dict[int, Callable[[TableModel, str | None], None]] = {
    sdk.SOFT_DELETE_TO_HISTORY: lambda model, deleted: model.to_history(deleted),
    sdk.HISTORY_TO_SOFT_DELETE: lambda model, deleted: model.to_soft_delete(deleted or DELETED),
}
"""The changes of mode that connectors must support, and what they make of a table."""

Find = Callable[[str], TableModel | None]
"""The model of a table as it is; None if there is no such table."""
Models = dict[str, TableModel | None]
"""What tables must be: models by name, None where there must be no table."""


@dataclass(frozen=True)
class Alter:
    """Migrates by AlterTable, as the platform does where that is enough."""

    table: common.Table
    drop_columns: bool


@dataclass(frozen=True)
class Plan:
    """A migration of one input.

    Args:
        table: the table that the call names.
        call: the call: AlterTable, or Migrate with these details.
        outcome: the tables as they must be after it; raises RefusedError if it must be answered
            with a task. None if it is a call that connectors need not support.
    """

    table: str
    call: Alter | sdk.MigrationDetails
    outcome: Callable[[], Models] | None


def plan(step: Migrate, find: Find) -> Plan:
    """What to call for a migration, and what it must do."""
    return PLANS[step.operation](step, find)


def _existing(find: Find, name: str) -> TableModel:
    """A copy of a table's model, to be changed."""
    model = find(name)
    if model is None:
        raise RefusedError(f"there is no table {name}")
    return model.copy()


def _changing(
    step: Migrate,
    find: Find,
    change: Callable[[TableModel], None],
    details: sdk.MigrationDetails,
) -> Plan:
    """A migration that changes one table."""
    name = step.arguments["table"]

    def outcome() -> Models:
        model = _existing(find, name)
        change(model)
        model.require_unique()
        return {name: model}

    details.table = name
    return Plan(name, details, outcome)


def _altering(step: Migrate, find: Find, columns: list[common.Column], *, drop: bool) -> Plan:
    """A migration by AlterTable, after which a table has these columns."""
    name = step.arguments["table"]
    table = common.Table(name=name, columns=columns)

    def outcome() -> Models:
        model = _existing(find, name)
        model.alter(table, drop_columns=drop)
        return {name: model}

    return Plan(name, Alter(table, drop), outcome)


def _columns(find: Find, name: str) -> dict[str, common.Column]:
    model = find(name)
    return dict(model.columns) if model else {}


def set_column(step: Migrate, find: Find) -> Plan:
    """Add a column, or change its type."""
    columns = _columns(find, step.arguments["table"])
    column = common.Column()
    column.CopyFrom(step.column)
    if column.name in columns:
        column.primary_key = columns[column.name].primary_key
    columns[column.name] = column
    return _altering(step, find, list(columns.values()), drop=False)


def drop_column(step: Migrate, find: Find) -> Plan:
    """Drop a column."""
    columns = _columns(find, step.arguments["table"])
    columns.pop(step.arguments["column"], None)
    return _altering(step, find, list(columns.values()), drop=True)


def drop_table(step: Migrate, find: Find) -> Plan:
    """Drop a table."""
    del find
    name = step.arguments["table"]
    details = sdk.MigrationDetails(table=name, drop=sdk.DropOperation(drop_table=True))
    return Plan(name, details, lambda: {name: None})


def rename_table(step: Migrate, find: Find) -> Plan:
    """Give a table another name."""
    source, target = step.arguments["from_table"], step.arguments["to_table"]

    def outcome() -> Models:
        model, existing = find(source), find(target)
        if (model is None) == (existing is None):
            raise RefusedError(f"there is {'a table' if model else 'no table'} of either name")
        return {source: None, target: model or existing}

    table = sdk.RenameTable(from_table=source, to_table=target)
    operation = sdk.RenameOperation(rename_table=table)
    return Plan(source, sdk.MigrationDetails(table=source, rename=operation), outcome)


def _copying(
    step: Migrate, find: Find, change: Callable[[TableModel], None], operation: sdk.CopyOperation
) -> Plan:
    """A migration that copies a table, and changes the copy."""
    source, target = step.arguments["from_table"], step.arguments["to_table"]

    def outcome() -> Models:
        model, existing = _existing(find, source), find(target)
        change(model)
        if existing is not None and not model.equals(existing):
            raise RefusedError(f"there is another table {target}")
        return {target: model}

    return Plan(source, sdk.MigrationDetails(table=source, copy=operation), outcome)


def copy_table(step: Migrate, find: Find) -> Plan:
    """Copy a table."""
    source, target = step.arguments["from_table"], step.arguments["to_table"]
    table = sdk.CopyTable(from_table=source, to_table=target)
    return _copying(step, find, lambda _: None, sdk.CopyOperation(copy_table=table))


def copy_table_to_history_mode(step: Migrate, find: Find) -> Plan:
    """Copy a table into one in history mode."""
    source, target = step.arguments["from_table"], step.arguments["to_table"]
    deleted = step.arguments.get("deleted_column") or None
    table = sdk.CopyTableToHistoryMode(
        from_table=source, to_table=target, soft_deleted_column=deleted
    )
    operation = sdk.CopyOperation(copy_table_to_history_mode=table)
    return _copying(step, find, lambda model: model.to_history(deleted), operation)


def rename_column(step: Migrate, find: Find) -> Plan:
    """Give a column another name."""
    source, target = step.arguments["from_column"], step.arguments["to_column"]
    column = sdk.RenameColumn(from_column=source, to_column=target)
    details = sdk.MigrationDetails(rename=sdk.RenameOperation(rename_column=column))
    return _changing(step, find, lambda model: model.rename_column(source, target), details)


def copy_column(step: Migrate, find: Find) -> Plan:
    """Copy a column."""
    source, target = step.arguments["from_column"], step.arguments["to_column"]
    column = sdk.CopyColumn(from_column=source, to_column=target)
    details = sdk.MigrationDetails(copy=sdk.CopyOperation(copy_column=column))
    return _changing(step, find, lambda model: model.copy_column(source, target), details)


def update_column_value(step: Migrate, find: Find) -> Plan:
    """Set a column in every row; NULL and nothing mean NULL."""
    column, value = step.arguments["column"], step.arguments["value"]

    def change(model: TableModel) -> None:
        model.require(column)
        null = value in NULL_TEXTS
        model.set_column(column, None if null else read(value, model.columns[column]))

    operation = sdk.UpdateColumnValueOperation(column=column, value=value)
    return _changing(step, find, change, sdk.MigrationDetails(update_column_value=operation))


def set_column_to_null(step: Migrate, find: Find) -> Plan:
    """Set a column to NULL in every row."""
    arguments = {**step.arguments, "value": "NULL"}
    return update_column_value(Migrate(step.operation, arguments, step.column), find)


def add_column_with_default_value(step: Migrate, find: Find) -> Plan:
    """Add a column and fill it; one that is there is filled."""
    default, column = step.arguments["default_value"], _without_params(step.column)

    def change(model: TableModel) -> None:
        model.add_column(column)
        model.set_column(column.name, _default(default, model.columns[column.name]))

    added = sdk.AddColumnWithDefaultValue(
        column=column.name, column_type=column.type, default_value=default
    )
    operation = sdk.AddOperation(add_column_with_default_value=added)
    return _changing(step, find, change, sdk.MigrationDetails(add=operation))


def add_column_in_history_mode(step: Migrate, find: Find) -> Plan:
    """Add a column, its default in new versions."""
    default, column = step.arguments["default_value"], _without_params(step.column)
    timestamp = step.arguments["operation_timestamp"]

    def change(model: TableModel) -> None:
        model.require_history()
        model.add_column(column)
        value = _default(default, model.columns[column.name])
        model.change_from(column.name, value, _instant(timestamp), only_set=False)

    added = sdk.AddColumnInHistoryMode(
        column=column.name,
        column_type=column.type,
        default_value=default,
        operation_timestamp=timestamp,
    )
    operation = sdk.AddOperation(add_column_in_history_mode=added)
    return _changing(step, find, change, sdk.MigrationDetails(add=operation))


def drop_column_in_history_mode(step: Migrate, find: Find) -> Plan:
    """Set a column to NULL in new versions."""
    column, timestamp = step.arguments["column"], step.arguments["operation_timestamp"]
    dropped = sdk.DropColumnInHistoryMode(column=column, operation_timestamp=timestamp)
    details = sdk.MigrationDetails(drop=sdk.DropOperation(drop_column_in_history_mode=dropped))

    def change(model: TableModel) -> None:
        model.change_from(column, None, _instant(timestamp), only_set=True)

    return _changing(step, find, change, details)


def change_sync_mode(kind: sdk.TableSyncModeMigrationType, step: Migrate, find: Find) -> Plan:
    """Change how a table is synced."""
    deleted = step.arguments.get("deleted_column") or None
    operation = sdk.TableSyncModeMigrationOperation(type=kind, soft_deleted_column=deleted)
    details = sdk.MigrationDetails(
        table=step.arguments["table"], table_sync_mode_migration=operation
    )
    change = SYNC_MODE_CHANGES.get(kind)
    if change is None:
        return Plan(details.table, details, None)
    return _changing(step, find, lambda model: change(model, deleted), details)


def _without_params(column: common.Column) -> common.Column:
    """The column as a migration names it: by its type alone."""
    return common.Column(name=column.name, type=column.type)


def _default(text: str, column: common.Column) -> Cell:
    """A default: one of a text column as it stands; of other types, NULL where there is none."""
    null = column.type not in TEXT_TYPES and text in NULL_TEXTS
    return None if null else read(text, column)


def _instant(text: str) -> datetime:
    return moment(from_text(text, INSTANT))


PLANS: dict[str, Callable[[Migrate, Find], Plan]] = {
    "add_column": set_column,
    "change_column_data_type": set_column,
    "drop_column": drop_column,
    "drop_table": drop_table,
    "rename_table": rename_table,
    "copy_table": copy_table,
    "copy_table_to_history_mode": copy_table_to_history_mode,
    "rename_column": rename_column,
    "copy_column": copy_column,
    "update_column_value": update_column_value,
    "set_column_to_null": set_column_to_null,
    "add_column_with_default_value": add_column_with_default_value,
    "add_column_in_history_mode": add_column_in_history_mode,
    "drop_column_in_history_mode": drop_column_in_history_mode,
    "migrate_soft_delete_to_live": partial(change_sync_mode, sdk.SOFT_DELETE_TO_LIVE),
    "migrate_soft_delete_to_history": partial(change_sync_mode, sdk.SOFT_DELETE_TO_HISTORY),
    "migrate_history_to_soft_delete": partial(change_sync_mode, sdk.HISTORY_TO_SOFT_DELETE),
    "migrate_history_to_live": partial(change_sync_mode, sdk.HISTORY_TO_LIVE),
    "migrate_live_to_soft_delete": partial(change_sync_mode, sdk.LIVE_TO_SOFT_DELETE),
    "migrate_live_to_history": partial(change_sync_mode, sdk.LIVE_TO_HISTORY),
}
"""How each migration is planned, by the name that it has in inputs."""
