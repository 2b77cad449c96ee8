"""The calls of Migrate, and the tables that its tests migrate."""

from datetime import UTC, datetime
from typing import Any

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from destination_tester.stored import ACTIVE, DELETED, END, OPEN_END, START, SYNCED
from tests.support.fix_connector import Client, column

T = "2005-05-28T20:57:00Z"
T_TIME = datetime(2005, 5, 28, 20, 57, tzinfo=UTC)
SOFT = common.Table(
    name="t",
    columns=[
        column("id", common.INT, key=True),
        column("amount", common.DOUBLE),
        column("desc"),
        column(SYNCED, common.UTC_DATETIME),
        column(DELETED, common.BOOLEAN),
    ],
)
HISTORY = common.Table(
    name="t",
    columns=[
        column("id", common.INT, key=True),
        column("desc"),
        column(SYNCED, common.UTC_DATETIME),
        column(START, common.UTC_DATETIME, key=True),
        column(END, common.UTC_DATETIME),
        column(ACTIVE, common.BOOLEAN),
    ],
)


def soft_row(number: int, desc: str | None = "x", *, deleted: bool = False) -> Row:
    synced = datetime(2020, 1, number, tzinfo=UTC)
    return {"id": number, "amount": 1.5, "desc": desc, SYNCED: synced, DELETED: deleted}


def version(number: int, start: str, desc: str | None = "x") -> Row:
    return {"id": number, "desc": desc, SYNCED: T, START: start, END: OPEN_END, ACTIVE: True}


def twice(client: Client, table: str, **operation: Any) -> None:
    """Send an operation, and send it again."""
    for _ in range(2):
        answer = client.migrate(table, **operation)
        assert answer.success, answer


def refused(client: Client, table: str, **operation: Any) -> str:
    answer = client.migrate(table, **operation)
    assert answer.WhichOneof("response") == "task", answer
    return str(answer.task.message)


def drop_table() -> dict[str, Any]:
    return {"drop": sdk.DropOperation(drop_table=True)}


def rename_table(source: str, target: str) -> dict[str, Any]:
    table = sdk.RenameTable(from_table=source, to_table=target)
    return {"rename": sdk.RenameOperation(rename_table=table)}


def rename_column(source: str, target: str) -> dict[str, Any]:
    names = sdk.RenameColumn(from_column=source, to_column=target)
    return {"rename": sdk.RenameOperation(rename_column=names)}


def copy_table(source: str, target: str) -> dict[str, Any]:
    return {"copy": sdk.CopyOperation(copy_table=sdk.CopyTable(from_table=source, to_table=target))}


def copy_column(source: str, target: str) -> dict[str, Any]:
    names = sdk.CopyColumn(from_column=source, to_column=target)
    return {"copy": sdk.CopyOperation(copy_column=names)}


def copy_to_history(source: str, target: str, deleted: str = "") -> dict[str, Any]:
    operation = sdk.CopyTableToHistoryMode(
        from_table=source, to_table=target, soft_deleted_column=deleted
    )
    return {"copy": sdk.CopyOperation(copy_table_to_history_mode=operation)}


def add_default(name: str, kind: common.DataType, default: str) -> dict[str, Any]:
    operation = sdk.AddColumnWithDefaultValue(column=name, column_type=kind, default_value=default)
    return {"add": sdk.AddOperation(add_column_with_default_value=operation)}


def add_history(name: str, kind: common.DataType, default: str, time: str = T) -> dict[str, Any]:
    operation = sdk.AddColumnInHistoryMode(
        column=name, column_type=kind, default_value=default, operation_timestamp=time
    )
    return {"add": sdk.AddOperation(add_column_in_history_mode=operation)}


def drop_history(name: str, time: str = T) -> dict[str, Any]:
    operation = sdk.DropColumnInHistoryMode(column=name, operation_timestamp=time)
    return {"drop": sdk.DropOperation(drop_column_in_history_mode=operation)}


def update_value(name: str, value: str) -> dict[str, Any]:
    return {"update_column_value": sdk.UpdateColumnValueOperation(column=name, value=value)}


def sync_mode(kind: sdk.TableSyncModeMigrationType, deleted: str | None = None) -> dict[str, Any]:
    operation = sdk.TableSyncModeMigrationOperation(type=kind, soft_deleted_column=deleted)
    return {"table_sync_mode_migration": operation}
