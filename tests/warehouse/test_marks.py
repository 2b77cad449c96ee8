"""Columns of the customer's own: told from ours by the mark that ours bear, and never dropped."""

import pytest
from psycopg import sql

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.test_names import ID, comments, rename_column, table


@pytest.mark.parametrize("kind", ["text", "int", "jsonb DEFAULT '{{}}' NOT NULL"])
def test_column_that_the_customer_added_is_never_dropped(
    client: Client, database: Database, kind: str
) -> None:
    wanted = table(ID, column("v"), column("drop me"))
    assert client.create(wanted).success
    assert client.alter(table(*wanted.columns, column("drop me too"))).success
    database.execute(f"ALTER TABLE {{schema}}.t ADD by_hand {kind}")
    database.execute("COMMENT ON COLUMN {schema}.t.by_hand IS 'Fivetran type: STRING'")
    assert client.alter(table(ID, column("v")), drop=True).success
    assert list(comments(database, "t")) == ["id", "v", "by_hand"]
    mode = sdk.TableSyncModeMigrationOperation(type=sdk.HISTORY_TO_SOFT_DELETE)
    assert client.migrate("t", table_sync_mode_migration=mode).success
    assert "by_hand" in comments(database, "t")


def test_column_that_the_customer_renamed_is_never_dropped(
    client: Client, database: Database
) -> None:
    wanted = table(ID, column("v"), column("w"))
    assert client.create(wanted).success
    assert client.write(wanted, replace=[[{"id": 1, "v": "a", "w": "b"}]]).success
    database.execute("ALTER TABLE {schema}.t RENAME v TO put_aside")
    assert client.alter(wanted, drop=True).success
    assert client.migrate("t", **rename_column("w", "x")).success
    assert client.alter(table(ID), drop=True).success
    assert database.execute("SELECT * FROM {schema}.t") == [(1, "a")]


def test_columns_of_a_copy_are_dropped_as_those_of_its_source(
    client: Client, database: Database
) -> None:
    assert client.create(table(ID, column("v"))).success
    database.execute("ALTER TABLE {schema}.t ADD by_hand text")
    copied = sdk.CopyTable(from_table="t", to_table="u")
    assert client.migrate("t", copy=sdk.CopyOperation(copy_table=copied)).success
    assert client.alter(table(ID, name="u"), drop=True).success
    assert list(comments(database, "u")) == ["id", "by_hand"]


def test_mark_of_a_column_changes_no_statistics(client: Client, database: Database) -> None:
    database.needs_local_tables("the coordinator has no statistics of them")
    wanted = table(ID, column("v", common.INT))
    assert client.create(wanted).success
    rows: list[Row] = [{"id": i, "v": i % 7} for i in range(1000)]
    assert client.write(wanted, replace=[rows]).success
    database.execute("ANALYZE {schema}.t")
    query = sql.SQL("SELECT n_distinct FROM pg_stats WHERE schemaname = {} ORDER BY attname")
    found = database.connection.execute(query.format(database.schema)).fetchall()
    assert found == [(-1.0,), (7.0,)]
