"""Migrate: every operation on tables and columns, its values, its refusals, and that it may be sent again."""

from typing import Any

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import (
    SOFT,
    add_default,
    copy_column,
    copy_table,
    drop_table,
    refused,
    rename_column,
    rename_table,
    sync_mode,
    twice,
    update_value,
)


def test_dropped_table_is_gone(soft: Client) -> None:
    twice(soft, "t", **drop_table())
    assert soft.describe("t").not_found


def test_renamed_table_keeps_its_columns_and_rows(soft: Client, database: Database) -> None:
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


def test_renamed_column_keeps_its_place_and_values(soft: Client, database: Database) -> None:
    twice(soft, "t", **rename_column("desc", "x" * 70))
    assert soft.describe("t").table.columns[2] == column("x" * 70)
    twice(soft, "t", **rename_column("x" * 70, "desc"))
    assert soft.describe("t").table == SOFT
    assert '"nil"' in refused(soft, "t", **rename_column("nil", "other"))
    assert "already" in refused(soft, "t", **rename_column("desc", "amount"))
    assert len(database.rows("t")) == 3


def test_copied_table_has_the_same_columns_and_rows(soft: Client, database: Database) -> None:
    twice(soft, "t", **copy_table("t", "u"))
    assert list(soft.describe("u").table.columns) == list(SOFT.columns)
    assert database.rows("u") == database.rows("t")
    assert "does not exist" in refused(soft, "t", **copy_table("nil", "v"))
    other = common.Table(name="v", columns=[column("id", common.INT, key=True)])
    assert soft.create(other).success
    assert "exists already" in refused(soft, "t", **copy_table("t", "v"))


def test_copied_column_has_the_same_type_and_values(soft: Client, database: Database) -> None:
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
    (common.NAIVE_DATETIME, "2024-01-15T10:30:00+02:00", "2024-01-15 10:30:00"),
    (common.NAIVE_DATETIME, "2024-01-15T10:30:00Z", "2024-01-15 10:30:00"),
    (common.NAIVE_DATETIME, "2024-01-15T10:30:00.123456789", "2024-01-15 10:30:00.123456"),
    (common.UTC_DATETIME, "2024-01-15T10:30:00.123Z", "2024-01-15 10:30:00.123+00"),
    (common.BINARY, "AP8", "\\x00ff"),
    (common.XML, "<a/>", "<a/>"),
    (common.STRING, 'it\'s "quoted" %s :x \\', 'it\'s "quoted" %s :x \\'),
    (common.JSON, '{"a":  1}', '{"a":  1}'),
    (common.INT, "NULL", None),
    (common.INT, "", None),
    (common.BINARY, "", None),
    (common.JSON, "", None),
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
        add_default("new", common.SHORT, "0xFFFF"),
        update_value("id", "0x10"),
        update_value("id", "NULL"),
    ):
        message = refused(soft, "t", **operation)
        assert "marked-secret" not in message
        assert "column" in message
    assert database.rows("t") == before
    assert soft.describe("t").table == SOFT
    assert '"nil"' in refused(soft, "t", **update_value("nil", "1"))
    assert "does not exist" in refused(soft, "nil", **update_value("id", "1"))


@pytest.mark.parametrize("kind", [common.STRING, common.XML])
@pytest.mark.parametrize("text", ["", "NULL"])
def test_default_of_a_text_column_is_taken_as_it_stands(
    soft: Client, database: Database, kind: common.DataType, text: str
) -> None:
    twice(soft, "t", **add_default("new", kind, text))
    assert database.rows("t", "new") == [(text,)] * 3
    twice(soft, "t", **update_value("new", text))
    assert database.rows("t", "new") == [(None,)] * 3


def test_values_that_are_not_of_the_type_are_told_by_what_they_are_for(soft: Client) -> None:
    refusals = {
        'the default value of column "new" is n': add_default("new", common.INT, "x"),
        'the value of column "amount" is n': update_value("amount", "x"),
        'the value of column "id" is NULL': update_value("id", "NULL"),
    }
    for told, operation in refusals.items():
        message = refused(soft, "t", **operation)
        assert told in message
        assert "row 1" not in message


def test_drop_table_that_is_not_wanted_changes_nothing(soft: Client) -> None:
    twice(soft, "t", drop=sdk.DropOperation(drop_table=False))
    assert soft.describe("t").table == SOFT


def test_copy_onto_a_table_of_other_rows_is_refused(soft: Client, database: Database) -> None:
    twice(soft, "t", **copy_table("t", "u"))
    for change in ("UPDATE {schema}.u SET amount = 2 WHERE id = 1", "DELETE FROM {schema}.u"):
        database.execute(change)
        before = database.rows("u")
        assert "no copy" in refused(soft, "t", **copy_table("t", "u"))
        assert database.rows("u") == before


def test_copy_onto_a_column_of_other_values_is_refused(soft: Client, database: Database) -> None:
    twice(soft, "t", **copy_column("desc", "copied"))
    database.execute("UPDATE {schema}.t SET copied = 'other' WHERE id = 2")
    before = database.rows("t")
    assert '"copied"' in refused(soft, "t", **copy_column("desc", "copied"))
    assert database.rows("t") == before


def test_add_column_that_exists_only_fills(soft: Client, database: Database) -> None:
    twice(soft, "t", **add_default("desc", common.STRING, "filled"))
    assert database.execute('SELECT DISTINCT "desc" FROM {schema}.t') == [("filled",)]


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
