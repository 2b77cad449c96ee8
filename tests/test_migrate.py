"""Migrate: every operation, its values, its refusals, and that it may be sent again."""

from datetime import UTC, datetime
from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from destination_tester.model import ACTIVE, DELETED, END, OPEN_END, START, SYNCED
from tests.fix_connector import Client, column
from tests.fix_postgres import Database

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


@pytest.fixture
def soft(client: Client) -> Client:
    assert client.create(SOFT).success
    rows = [soft_row(1), soft_row(2, None), soft_row(3, deleted=True)]
    assert client.write(SOFT, replace=[rows]).success
    return client


@pytest.fixture
def history(client: Client) -> Client:
    assert client.create(HISTORY).success
    rows = [version(1, "2005-05-01T00:00:00Z"), version(2, T, None)]
    assert client.write_history(HISTORY, replace=[rows]).success
    return client


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


def test_drop_table(soft: Client) -> None:
    twice(soft, "t", **drop_table())
    assert soft.describe("t").not_found


def test_rename_table(soft: Client, database: Database) -> None:
    twice(soft, "t", **rename_table("t", "長" * 30))
    assert soft.describe("t").not_found
    described = soft.describe("長" * 30).table
    assert list(described.columns) == list(SOFT.columns)
    twice(soft, "t", **rename_table("長" * 30, "t"))
    assert soft.describe("t").table == SOFT
    assert len(database.rows("t")) == 3


def test_rename_table_refused(soft: Client) -> None:
    assert soft.create(common.Table(name="other", columns=SOFT.columns)).success
    assert "exists already" in refused(soft, "t", **rename_table("t", "other"))
    assert "does not exist" in refused(soft, "nil", **rename_table("nil", "nothing"))


def test_rename_column(soft: Client, database: Database) -> None:
    twice(soft, "t", **rename_column("desc", "x" * 70))
    assert soft.describe("t").table.columns[2] == column("x" * 70)
    twice(soft, "t", **rename_column("x" * 70, "desc"))
    assert soft.describe("t").table == SOFT
    assert '"nil"' in refused(soft, "t", **rename_column("nil", "other"))
    assert "already" in refused(soft, "t", **rename_column("desc", "amount"))
    assert len(database.rows("t")) == 3


def test_copy_table(soft: Client, database: Database) -> None:
    twice(soft, "t", **copy_table("t", "u"))
    assert list(soft.describe("u").table.columns) == list(SOFT.columns)
    assert database.rows("u") == database.rows("t")
    assert "does not exist" in refused(soft, "t", **copy_table("nil", "v"))
    other = common.Table(name="v", columns=[column("id", common.INT, key=True)])
    assert soft.create(other).success
    assert "exists already" in refused(soft, "t", **copy_table("t", "v"))


def test_copy_column(soft: Client, database: Database) -> None:
    twice(soft, "t", **copy_column("id", "copied"))
    assert soft.describe("t").table.columns[-1] == column("copied", common.INT)
    assert all(row[0] == row[-1] for row in database.rows("t"))
    assert '"nil"' in refused(soft, "t", **copy_column("nil", "other"))
    assert "another column" in refused(soft, "t", **copy_column("desc", "amount"))


VALUES = [
    (common.BOOLEAN, "true", "true"),
    (common.SHORT, "-7", "-7"),
    (common.INT, "7", "7"),
    (common.LONG, "9223372036854775807", "9223372036854775807"),
    (common.DECIMAL, "1E+2", "100"),
    (common.FLOAT, "3.4028237E+38", "3.4028235e+38"),
    (common.DOUBLE, "202.57", "202.57"),
    (common.NAIVE_DATE, "2024-01-15", "2024-01-15"),
    (common.NAIVE_TIME, "10:30", "10:30:00"),
    (common.NAIVE_DATETIME, "2024-01-15T10:30:00.123456789", "2024-01-15 10:30:00.123456"),
    (common.UTC_DATETIME, "2024-01-15T10:30:00.123Z", "2024-01-15 10:30:00.123+00"),
    (common.BINARY, "AP8", "\\x00ff"),
    (common.XML, "<a/>", "<a/>"),
    (common.STRING, 'it\'s "quoted" %s :x \\', 'it\'s "quoted" %s :x \\'),
    (common.JSON, '{"a":  1}', '{"a":  1}'),
    (common.STRING, "NULL", None),
    (common.INT, "NULL", None),
    (common.STRING, "", None),
]


@pytest.mark.parametrize(("kind", "text", "stored"), VALUES)
def test_values_follow_the_rules_of_batch_files(
    soft: Client, database: Database, kind: common.DataType, text: str, stored: str | None
) -> None:
    twice(soft, "t", **add_default("new", kind, text))
    assert soft.describe("t").table.columns[-1] == column("new", kind)
    shown = "SELECT new::text FROM {schema}.t"
    assert database.execute(shown) == [(stored,)] * 3
    twice(soft, "t", **update_value("new", "NULL"))
    assert database.execute(shown) == [(None,)] * 3
    twice(soft, "t", **update_value("new", text))
    assert database.execute(shown) == [(stored,)] * 3


def test_values_that_are_not_of_the_type_are_refused(soft: Client, database: Database) -> None:
    before = database.rows("t")
    for operation in (
        update_value("amount", "marked-secret"),
        add_default("new", common.INT, "marked-secret"),
        update_value("id", "NULL"),
    ):
        message = refused(soft, "t", **operation)
        assert "marked-secret" not in message
        assert "column" in message
    assert database.rows("t") == before
    assert soft.describe("t").table == SOFT
    assert '"nil"' in refused(soft, "t", **update_value("nil", "1"))
    assert "does not exist" in refused(soft, "nil", **update_value("id", "1"))


def test_add_column_that_exists_only_fills(soft: Client, database: Database) -> None:
    twice(soft, "t", **add_default("desc", common.STRING, "filled"))
    assert database.execute('SELECT DISTINCT "desc" FROM {schema}.t') == [("filled",)]


def test_add_column_in_history_mode(history: Client, database: Database) -> None:
    twice(history, "t", **add_history("new", common.STRING, "default"))
    shown = (
        "SELECT id, _fivetran_start::text, _fivetran_end::text, _fivetran_active, new"
        " FROM {schema}.t ORDER BY 1, 2"
    )
    open_end = "9999-12-31 23:59:59.999+00"
    assert database.execute(shown) == [
        (1, "2005-05-01 00:00:00+00", "2005-05-28 20:56:59.999+00", False, None),
        (1, "2005-05-28 20:57:00+00", open_end, True, "default"),
        (2, "2005-05-28 20:57:00+00", open_end, True, "default"),
    ]


def test_operations_of_one_time_make_one_version(history: Client, database: Database) -> None:
    twice(history, "t", **add_history("new", common.INT, "5"))
    twice(history, "t", **drop_history("desc"))
    shown = 'SELECT id, _fivetran_active, new, "desc" FROM {schema}.t ORDER BY 1, _fivetran_start'
    assert database.execute(shown) == [
        (1, False, None, "x"),
        (1, True, 5, None),
        (2, True, 5, None),
    ]


def test_drop_column_in_history_mode_leaves_records_that_lack_it(
    history: Client, database: Database
) -> None:
    later = "2006-01-01T00:00:00Z"
    twice(history, "t", **drop_history("desc", later))
    shown = 'SELECT id, _fivetran_active, "desc" FROM {schema}.t ORDER BY 1, _fivetran_start'
    assert database.execute(shown) == [(1, False, "x"), (1, True, None), (2, True, None)]
    assert '"nil"' in refused(history, "t", **drop_history("nil"))


def test_history_operation_before_an_active_version_is_refused(
    history: Client, database: Database
) -> None:
    before = database.rows("t")
    early = "2005-05-10T00:00:00Z"
    for operation in (drop_history("desc", early), add_history("new", common.INT, "5", early)):
        assert "start after" in refused(history, "t", **operation)
    assert database.rows("t") == before
    assert history.describe("t").table == HISTORY


def test_history_operations_on_empty_tables(client: Client, database: Database) -> None:
    assert client.create(HISTORY).success
    twice(client, "t", **add_history("new", common.INT, "5"))
    twice(client, "t", **drop_history("new"))
    assert client.describe("t").table.columns[-1] == column("new", common.INT)
    assert database.rows("t") == []


def test_history_operations_need_history(soft: Client) -> None:
    assert "history mode" in refused(soft, "t", **add_history("new", common.INT, "5"))
    assert "history mode" in refused(soft, "t", **drop_history("desc"))
    assert "does not exist" in refused(soft, "nil", **drop_history("desc"))


@pytest.mark.parametrize("deleted", [DELETED, None])
def test_soft_delete_to_history(soft: Client, database: Database, deleted: str | None) -> None:
    twice(soft, "t", **sync_mode(sdk.SOFT_DELETE_TO_HISTORY, deleted))
    described = soft.describe("t").table
    assert [c.name for c in described.columns if c.primary_key] == ["id", START]
    assert DELETED not in {c.name for c in described.columns}
    shown = (
        "SELECT id, _fivetran_start::text, _fivetran_end::text, _fivetran_active"
        " FROM {schema}.t ORDER BY 1"
    )
    active = ("2020-01-03 00:00:00+00", "9999-12-31 23:59:59.999+00", True)
    inactive = ("0001-01-01 00:00:00+00", "0001-01-01 00:00:00+00", False)
    assert database.execute(shown) == [
        (1, *active),
        (2, *active),
        (3, *(inactive if deleted else active)),
    ]


def test_copy_table_to_history_mode(soft: Client, database: Database) -> None:
    twice(soft, "t", **copy_to_history("t", "h", DELETED))
    assert soft.describe("t").table == SOFT
    assert database.execute("SELECT id, _fivetran_active FROM {schema}.h ORDER BY 1") == [
        (1, True), (2, True), (3, False),
    ]  # fmt: skip
    twice(soft, "t", **copy_to_history("t", "all"))
    assert database.execute("SELECT DISTINCT _fivetran_active FROM {schema}.all") == [(True,)]
    assert "exists already" in refused(soft, "h", **copy_to_history("h", "t"))


def test_history_to_soft_delete(history: Client, database: Database) -> None:
    rows = [version(1, "2005-06-01T00:00:00Z", "last")]
    earliest: list[Row] = [{"id": 1, START: "2005-06-01T00:00:00Z"}]
    assert history.write_history(HISTORY, earliest=[earliest], replace=[rows]).success
    ends: list[Row] = [{"id": 2, END: "2007-01-01T00:00:00Z"}]
    assert history.write_history(HISTORY, delete=[ends]).success
    twice(history, "t", **sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED))
    assert [c.name for c in history.describe("t").table.columns] == ["id", "desc", SYNCED, DELETED]
    assert database.execute('SELECT id, "desc", _fivetran_deleted FROM {schema}.t ORDER BY 1') == [
        (1, "last", False), (2, None, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    [
        sdk.SOFT_DELETE_TO_LIVE,
        sdk.HISTORY_TO_LIVE,
        sdk.LIVE_TO_SOFT_DELETE,
        sdk.LIVE_TO_HISTORY,
        99,
    ],
)
def test_live_and_unknown_modes_are_unsupported(soft: Client, kind: Any) -> None:
    assert soft.migrate("t", **sync_mode(kind)).unsupported


@pytest.mark.parametrize(
    "operation",
    [{}, {"add": sdk.AddOperation()}, {"drop": sdk.DropOperation()}, {"copy": sdk.CopyOperation()}],
)
def test_unknown_operations_are_unsupported(soft: Client, operation: dict[str, Any]) -> None:
    assert soft.migrate("t", **operation).unsupported
