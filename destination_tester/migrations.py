"""The schema migrations of an input, by the names they have there: the call, and the model's part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.model import DELETED, TableModel
from destination_tester.notation import Cell, from_text

if TYPE_CHECKING:
    from destination_tester.runner import Runner

Arguments = Mapping[str, str]
Migration = Callable[["Runner", Arguments], None]

NULL_TEXTS = ("NULL", "")
INSTANT = common.Column(type=common.UTC_DATETIME)


def _cell(text: str, column: common.Column) -> Cell:
    return None if text in NULL_TEXTS else from_text(text, column)


def _column(arguments: Arguments) -> common.Column:
    return common.Column(name=arguments["column"], type=arguments["data_type"])


def _instant(arguments: Arguments) -> datetime:
    instant = from_text(arguments["operation_timestamp"], INSTANT)
    if not isinstance(instant, datetime):
        raise TypeError(instant)
    return instant


def _existing(runner: Runner, name: str) -> TableModel:
    """The model of a table; an empty one where there is no table, which the call will say."""
    return runner.model(name) or TableModel({})


def _alter(
    runner: Runner, arguments: Arguments, change: Callable[[TableModel], None], *, drop: bool
) -> None:
    """Migrate by AlterTable, as the platform does where that is enough."""
    name = arguments["table"]
    model = _existing(runner, name)
    changed = model.copy()
    change(changed)
    if runner.client.alter(changed.table(name), drop_columns=drop):
        runner.tables[name] = changed


def add_column(runner: Runner, arguments: Arguments) -> None:
    """Add a column."""
    _alter(runner, arguments, lambda model: model.add_column(_column(arguments)), drop=False)


def change_column_data_type(runner: Runner, arguments: Arguments) -> None:
    """Change a column's type."""

    def change(model: TableModel) -> None:
        column = _column(arguments)
        column.primary_key = model.columns[column.name].primary_key
        others = [c for c in model.columns.values() if c.name != column.name]
        model.alter(common.Table(columns=[*others, column]))

    _alter(runner, arguments, change, drop=False)


def drop_column(runner: Runner, arguments: Arguments) -> None:
    """Drop a column."""
    _alter(runner, arguments, lambda model: model.drop_column(arguments["column"]), drop=True)


def drop_table(runner: Runner, arguments: Arguments) -> None:
    """Drop a table."""
    name = arguments["table"]
    runner.model(name)
    if runner.client.migrate("drop_table", name, drop=sdk.DropOperation(drop_table=True)):
        runner.tables[name] = None


def rename_table(runner: Runner, arguments: Arguments) -> None:
    """Give a table another name."""
    source, target = arguments["from_table"], arguments["to_table"]
    model, existing = runner.model(source), runner.model(target)
    table = sdk.RenameTable(from_table=source, to_table=target)
    operation = sdk.RenameOperation(rename_table=table)
    if runner.client.migrate("rename_table", source, rename=operation):
        runner.tables[source], runner.tables[target] = None, model or existing


def copy_table(runner: Runner, arguments: Arguments) -> None:
    """Copy a table."""
    source, target = arguments["from_table"], arguments["to_table"]
    model, existing = _existing(runner, source), runner.model(target)
    table = sdk.CopyTable(from_table=source, to_table=target)
    if runner.client.migrate("copy_table", source, copy=sdk.CopyOperation(copy_table=table)):
        runner.tables[target] = existing or model.copy()


def copy_table_to_history_mode(runner: Runner, arguments: Arguments) -> None:
    """Copy a table into one in history mode."""
    source, target = arguments["from_table"], arguments["to_table"]
    deleted = arguments.get("deleted_column") or None
    model, existing = _existing(runner, source).copy(), runner.model(target)
    table = sdk.CopyTableToHistoryMode(
        from_table=source, to_table=target, soft_deleted_column=deleted
    )
    operation = sdk.CopyOperation(copy_table_to_history_mode=table)
    if runner.client.migrate("copy_table_to_history_mode", source, copy=operation):
        model.to_history(deleted)
        runner.tables[target] = existing or model


def rename_column(runner: Runner, arguments: Arguments) -> None:
    """Give a column another name."""
    name, source, target = (arguments[each] for each in ("table", "from_column", "to_column"))
    model = _existing(runner, name)
    column = sdk.RenameColumn(from_column=source, to_column=target)
    operation = sdk.RenameOperation(rename_column=column)
    if runner.client.migrate("rename_column", name, rename=operation):
        model.rename_column(source, target)


def copy_column(runner: Runner, arguments: Arguments) -> None:
    """Copy a column."""
    name, source, target = (arguments[each] for each in ("table", "from_column", "to_column"))
    model = _existing(runner, name)
    column = sdk.CopyColumn(from_column=source, to_column=target)
    if runner.client.migrate("copy_column", name, copy=sdk.CopyOperation(copy_column=column)):
        model.copy_column(source, target)


def update_column_value(runner: Runner, arguments: Arguments) -> None:
    """Set a column in every row."""
    name, column, value = (arguments[each] for each in ("table", "column", "value"))
    model = _existing(runner, name)
    operation = sdk.UpdateColumnValueOperation(column=column, value=value)
    if runner.client.migrate("update_column_value", name, update_column_value=operation):
        model.set_column(column, _cell(value, model.columns[column]))


def set_column_to_null(runner: Runner, arguments: Arguments) -> None:
    """Set a column to NULL in every row."""
    update_column_value(runner, {**arguments, "value": "NULL"})


def add_column_with_default_value(runner: Runner, arguments: Arguments) -> None:
    """Add a column and fill it."""
    name, column, default = arguments["table"], _column(arguments), arguments["default_value"]
    model = _existing(runner, name)
    added = sdk.AddColumnWithDefaultValue(
        column=column.name, column_type=column.type, default_value=default
    )
    operation = sdk.AddOperation(add_column_with_default_value=added)
    if runner.client.migrate("add_column_with_default_value", name, add=operation):
        model.add_column(column)
        model.set_column(column.name, _cell(default, column))


def add_column_in_history_mode(runner: Runner, arguments: Arguments) -> None:
    """Add a column, its default in new versions."""
    name, column, default = arguments["table"], _column(arguments), arguments["default_value"]
    model = _existing(runner, name)
    added = sdk.AddColumnInHistoryMode(
        column=column.name,
        column_type=column.type,
        default_value=default,
        operation_timestamp=arguments["operation_timestamp"],
    )
    operation = sdk.AddOperation(add_column_in_history_mode=added)
    if runner.client.migrate("add_column_in_history_mode", name, add=operation):
        model.add_column(column)
        value = _cell(default, column)
        model.change_from(column.name, value, _instant(arguments), only_set=False)


def drop_column_in_history_mode(runner: Runner, arguments: Arguments) -> None:
    """Set a column to NULL in new versions."""
    name, column = arguments["table"], arguments["column"]
    model = _existing(runner, name)
    dropped = sdk.DropColumnInHistoryMode(
        column=column, operation_timestamp=arguments["operation_timestamp"]
    )
    operation = sdk.DropOperation(drop_column_in_history_mode=dropped)
    if runner.client.migrate("drop_column_in_history_mode", name, drop=operation):
        model.change_from(column, None, _instant(arguments), only_set=True)


def _sync_mode(kind: sdk.TableSyncModeMigrationType, what: str) -> Migration:
    def migrate(runner: Runner, arguments: Arguments) -> None:
        name, deleted = arguments["table"], arguments.get("deleted_column") or None
        model = _existing(runner, name)
        operation = sdk.TableSyncModeMigrationOperation(type=kind, soft_deleted_column=deleted)
        if not runner.client.migrate(what, name, table_sync_mode_migration=operation):
            return
        if kind == sdk.SOFT_DELETE_TO_HISTORY:
            model.to_history(deleted)
        elif kind == sdk.HISTORY_TO_SOFT_DELETE:
            model.to_soft_delete(deleted or DELETED)

    return migrate


SYNC_MODES: dict[str, sdk.TableSyncModeMigrationType] = {
    "migrate_soft_delete_to_live": sdk.SOFT_DELETE_TO_LIVE,
    "migrate_soft_delete_to_history": sdk.SOFT_DELETE_TO_HISTORY,
    "migrate_history_to_soft_delete": sdk.HISTORY_TO_SOFT_DELETE,
    "migrate_history_to_live": sdk.HISTORY_TO_LIVE,
    "migrate_live_to_soft_delete": sdk.LIVE_TO_SOFT_DELETE,
    "migrate_live_to_history": sdk.LIVE_TO_HISTORY,
}
MIGRATIONS: dict[str, Migration] = {
    "add_column": add_column,
    "change_column_data_type": change_column_data_type,
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
    **{name: _sync_mode(kind, name) for name, kind in SYNC_MODES.items()},
}
