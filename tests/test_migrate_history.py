"""Migrate into, within and out of history mode."""

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from destination_tester.stored import ACTIVE, DELETED, END, START, SYNCED
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import (
    HISTORY,
    SOFT,
    T,
    add_default,
    add_history,
    copy_to_history,
    drop_history,
    refused,
    soft_row,
    sync_mode,
    twice,
    version,
)


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


@pytest.mark.parametrize("keep", [None, True, False])
def test_history_to_soft_delete_keeps_deleted_rows_whatever_is_asked(
    history: Client, database: Database, *, keep: bool | None
) -> None:
    migration = sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED)
    if keep is not None:
        migration["table_sync_mode_migration"].keep_deleted_rows = keep
    rows = [version(1, "2005-06-01T00:00:00Z", "last")]
    earliest: list[Row] = [{"id": 1, START: "2005-06-01T00:00:00Z"}]
    assert history.write_history(HISTORY, earliest=[earliest], replace=[rows]).success
    ends: list[Row] = [{"id": 2, END: "2007-01-01T00:00:00Z"}]
    assert history.write_history(HISTORY, delete=[ends]).success
    twice(history, "t", **migration)
    assert [c.name for c in history.describe("t").table.columns] == ["id", "desc", SYNCED, DELETED]
    assert database.execute('SELECT id, "desc", _fivetran_deleted FROM {schema}.t ORDER BY 1') == [
        (1, "last", False), (2, None, True),
    ]  # fmt: skip


@pytest.mark.parametrize("flag", ["was_deleted", DELETED])
def test_rows_are_active_where_the_table_lacks_the_soft_deleted_column(
    client: Client, database: Database, flag: str
) -> None:
    columns = [each for each in SOFT.columns if each.name != DELETED]
    table = common.Table(name="t", columns=columns)
    rows = [{k: v for k, v in soft_row(n).items() if k != DELETED} for n in (1, 2)]
    assert client.create(table).success
    assert client.write(table, replace=[rows]).success
    twice(client, "t", **copy_to_history("t", "h", flag))
    twice(client, "t", **sync_mode(sdk.SOFT_DELETE_TO_HISTORY, flag))
    for name in ("t", "h"):
        assert database.rows(name, "id", ACTIVE) == [(1, True), (2, True)]


def test_history_to_soft_delete_by_another_column_leaves_nothing_deleted(
    history: Client, database: Database
) -> None:
    ends: list[Row] = [{"id": 2, END: "2007-01-01T00:00:00Z"}]
    assert history.write_history(HISTORY, delete=[ends]).success
    twice(history, "t", **add_default("gone", common.BOOLEAN, "NULL"))
    twice(history, "t", **sync_mode(sdk.HISTORY_TO_SOFT_DELETE, "gone"))
    assert database.rows("t", "id", "gone", DELETED) == [(1, False, False), (2, True, False)]


def test_table_without_a_key_cannot_be_put_into_history_mode(
    client: Client,
) -> None:
    columns = [column(each.name, each.type) for each in SOFT.columns]
    table = common.Table(name="t", columns=columns)
    assert client.create(table).success
    assert client.write(table, replace=[[soft_row(1)]]).success
    for operation in (sync_mode(sdk.SOFT_DELETE_TO_HISTORY), copy_to_history("t", "h")):
        assert "no primary key" in refused(client, "t", **operation)
    assert client.describe("t").table == table
    assert client.describe("h").not_found


def test_table_that_was_never_synced_cannot_be_put_into_history_mode(
    client: Client, database: Database
) -> None:
    assert client.create(SOFT).success
    assert client.write(SOFT, replace=[[{**soft_row(1), SYNCED: None}]]).success
    for operation in (sync_mode(sdk.SOFT_DELETE_TO_HISTORY), copy_to_history("t", "h")):
        assert f'"{SYNCED}"' in refused(client, "t", **operation)
    assert client.describe("t").table == SOFT
    database.execute("DELETE FROM {schema}.t")
    twice(client, "t", **sync_mode(sdk.SOFT_DELETE_TO_HISTORY))


def test_copy_to_history_mode_onto_a_table_of_other_rows_is_refused(
    soft: Client, database: Database
) -> None:
    twice(soft, "t", **copy_to_history("t", "h", DELETED))
    assert "no copy" in refused(soft, "t", **copy_to_history("t", "h"))
    database.execute("UPDATE {schema}.h SET amount = 2 WHERE id = 1")
    before = database.rows("h")
    assert "no copy" in refused(soft, "t", **copy_to_history("t", "h", DELETED))
    assert database.rows("h") == before


def test_records_that_nothing_tells_apart_are_left_alone(
    client: Client, database: Database
) -> None:
    columns = [column(c.name, c.type, key=c.name == START) for c in HISTORY.columns]
    table = common.Table(name="t", columns=columns)
    assert client.create(table).success
    database.execute(
        "INSERT INTO {schema}.t (id, _fivetran_start, _fivetran_end, _fivetran_active)"
        " SELECT i, '2020-01-01Z'::timestamptz + i * interval '1 day', '9999-12-31Z', true"
        " FROM generate_series(1, 3) i"
    )
    before = database.rows("t")
    for operation in (
        sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED),
        add_history("new", common.INT, "1"),
        drop_history("desc"),
    ):
        assert "distinguished" in refused(client, "t", **operation)
    rows: list[Row] = [version(1, T)]
    for kind in ("earliest", "replace", "update", "delete"):
        answer = client.write_history(table, **{kind: [rows]})
        assert "distinguished" in answer.task.message, answer
    assert database.rows("t") == before
    assert client.describe("t").table == table


def test_operation_timestamp_is_told_by_what_it_is(history: Client) -> None:
    for time in ("marked-secret", "", "NULL"):
        for operation in (drop_history("desc", time), add_history("new", common.INT, "1", time)):
            message = refused(history, "t", **operation)
            assert "the operation timestamp is n" in message
            assert "marked-secret" not in message


def test_history_migration_leaves_out_what_the_warehouse_generates(
    history: Client, database: Database
) -> None:
    database.needs_local_tables("Citus adds no identity columns")
    database.execute(
        "ALTER TABLE {schema}.t ADD twice int GENERATED ALWAYS AS (id * 2) STORED,"
        " ADD number int GENERATED ALWAYS AS IDENTITY, ADD other int GENERATED BY DEFAULT AS IDENTITY"
    )
    twice(history, "t", **add_history("new", common.INT, "5"))
    twice(history, "t", **drop_history("desc", "2006-01-01T00:00:00Z"))
    assert database.rows("t", "id", "twice", ACTIVE) == [
        (1, 2, False), (1, 2, False), (1, 2, True), (2, 4, True)
    ]  # fmt: skip
    twice(history, "t", **sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED))
    twice(history, "t", **sync_mode(sdk.SOFT_DELETE_TO_HISTORY, DELETED))


def test_copy_to_history_mode_takes_what_the_warehouse_generates_as_values(
    soft: Client, database: Database
) -> None:
    database.needs_local_tables("Citus adds no identity columns")
    database.execute(
        "ALTER TABLE {schema}.t ADD twice int GENERATED ALWAYS AS (id * 2) STORED,"
        " ADD number int GENERATED ALWAYS AS IDENTITY"
    )
    twice(soft, "t", **copy_to_history("t", "versions"))
    copied = ("id", "twice", "number")
    assert sorted(database.rows("versions", *copied)) == sorted(database.rows("t", *copied))


def test_row_of_which_it_is_not_known_whether_it_is_deleted_is_active(
    client: Client, database: Database
) -> None:
    rows = [soft_row(1), {**soft_row(2), DELETED: None}, soft_row(3, deleted=True)]
    assert client.create(SOFT).success
    assert client.write(SOFT, replace=[rows]).success
    twice(client, "t", **copy_to_history("t", "h", DELETED))
    twice(client, "t", **sync_mode(sdk.SOFT_DELETE_TO_HISTORY, DELETED))
    shown = "SELECT id, _fivetran_active, _fivetran_end::text LIKE '9999-%' FROM {schema}.{t}"
    for name in ("t", "h"):
        assert sorted(database.execute(shown, t=name)) == [
            (1, True, True), (2, True, True), (3, False, False)
        ]  # fmt: skip


def test_version_of_which_it_is_not_known_whether_it_is_active_is_deleted(
    history: Client, database: Database
) -> None:
    database.execute("UPDATE {schema}.t SET _fivetran_active = NULL WHERE id = 2")
    twice(history, "t", **sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED))
    assert database.rows("t", "id", DELETED) == [(1, False), (2, True)]
