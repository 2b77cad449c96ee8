"""Every call on every kind of table: distributed, local, reference, and of a schema that is a tenant."""

from collections.abc import Callable

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from destination_tester.model import ACTIVE, DELETED, END, START, SYNCED
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import (
    HISTORY,
    SOFT,
    T,
    add_default,
    add_history,
    copy_column,
    copy_table,
    copy_to_history,
    drop_history,
    drop_table,
    rename_column,
    rename_table,
    soft_row,
    sync_mode,
    twice,
    update_value,
    version,
)

TYPES = {
    "distributed": "distributed",
    "by start": "distributed",
    "reference": "reference",
    "tenant": "schema",
    "local": None,
}
"""What Citus calls each kind; it knows nothing of local tables."""

Make = Callable[[common.Table], None]


def kind_of(database: Database, table: str) -> object:
    name = f"'{database.schema}.{table}'::regclass"
    found = database.execute(f"SELECT citus_table_type FROM citus_tables WHERE table_name = {name}")
    return found[0][0] if found else None


@pytest.fixture(params=TYPES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(client: Client, clustered: Database, kind: str) -> Make:
    """Creates a table, which its owner then makes one of the kind."""
    if kind == "tenant":
        with clustered.connection.transaction():
            clustered.connection.execute("SET LOCAL citus.enable_schema_based_sharding = on")
            clustered.execute("CREATE SCHEMA {schema}")

    def made(table: common.Table) -> None:
        if kind == "by start" and table != HISTORY:
            pytest.skip("the table has no column of the start")
        assert client.create(table).success
        name = f"'{clustered.schema}.{table.name}'"
        if kind == "by start":
            clustered.execute(
                f"SELECT alter_distributed_table({name}, distribution_column := '{START}')"
            )
        if kind in {"local", "reference"}:
            clustered.execute(f"SELECT undistribute_table({name})")
        if kind == "reference":
            clustered.execute(f"SELECT create_reference_table({name})")
        assert kind_of(clustered, table.name) == TYPES[kind]
        assert client.describe(table.name).table == table

    return made


@pytest.fixture(params=["small", "staged"])
def rows(request: pytest.FixtureRequest, client: Client) -> int:
    """How many rows: so few that statements carry them, or more, in files that are large."""
    if request.param == "small":
        return 20
    client.files.compression = sdk.OFF
    return 6000


def test_rows_are_written(
    make: Make, client: Client, clustered: Database, kind: str, rows: int
) -> None:
    make(SOFT)
    unmodified = client.files.params.unmodified_string
    first: list[Row] = [{**soft_row(1, "x" * 80), "id": i} for i in range(rows)]
    assert client.write(SOFT, replace=[first]).success
    again: list[Row] = [{**soft_row(1, "y" * 80), "id": i} for i in range(rows // 2, rows + 5)]
    update: list[Row] = [
        {"id": i, "amount": None, "desc": unmodified, SYNCED: T, DELETED: True} for i in range(rows)
    ]
    delete: list[Row] = [
        {"id": i, "amount": None, "desc": None, SYNCED: None, DELETED: None} for i in (1, rows)
    ]
    answer = client.write(
        SOFT, replace=[again, again[:3]], update=[update, update[:2]], delete=[delete]
    )
    assert answer.success, answer
    found = clustered.execute(
        "SELECT count(*), count(DISTINCT id), count(amount), count(*) FILTER (WHERE \"desc\" LIKE 'y%%'),"
        " count(*) FILTER (WHERE {deleted}) FROM {schema}.t".replace("%%", "%"),
        deleted=DELETED,
    )
    assert found == [(rows + 3, rows + 3, 4, rows - rows // 2 + 4, rows - 1)]
    assert client.truncate("t", 1_577_923_200, soft=DELETED).success  # 2020-01-02
    assert clustered.execute("SELECT count(*) FROM {schema}.t WHERE {d}", d=DELETED) == [
        (rows + 3,)
    ]
    assert client.truncate("t", 1_262_304_000).success  # 2010-01-01
    assert clustered.execute("SELECT count(*) FROM {schema}.t") == [(4,)]
    assert kind_of(clustered, "t") == TYPES[kind]


def test_rows_are_deleted(make: Make, client: Client, clustered: Database, rows: int) -> None:
    make(SOFT)
    first: list[Row] = [{**soft_row(1, "x" * 80), "id": i} for i in range(rows + 5)]
    assert client.write(SOFT, replace=[first]).success
    nothing: Row = {"amount": None, "desc": None, SYNCED: None, DELETED: None}
    answer = client.write(SOFT, delete=[[{**nothing, "id": i} for i in range(rows)]])
    assert answer.success, answer
    assert clustered.rows("t", "id") == [(id_,) for id_ in range(rows, rows + 5)]


def test_keys_that_repeat_in_the_files_of_a_first_load(
    make: Make, client: Client, clustered: Database, rows: int
) -> None:
    make(SOFT)
    files: list[list[Row]] = [
        [{**soft_row(1, text * 80), "id": i} for i in range(rows)] for text in "xy"
    ]
    answer = client.write(SOFT, replace=files)
    assert answer.success, answer
    found = clustered.execute('SELECT left("desc", 1), count(*) FROM {schema}.t GROUP BY 1')
    assert found == [("y", rows)]


def test_versions_are_written(
    make: Make, client: Client, clustered: Database, kind: str, rows: int
) -> None:
    make(HISTORY)
    unmodified = client.files.params.unmodified_string
    first = [version(i, "2020-01-01T00:00:00Z", "x" * 80) for i in range(rows)]
    assert client.write_history(HISTORY, replace=[first]).success
    second = [version(i, "2021-01-01T00:00:00Z", "y" * 80) for i in range(rows)]
    earliest: list[Row] = [{"id": i, START: "2021-01-01T00:00:00Z"} for i in range(2 * rows)]
    answer = client.write_history(HISTORY, earliest=[earliest], replace=[second])
    assert answer.success, answer
    updates: list[list[Row]] = [
        [
            {"id": i, "desc": unmodified, SYNCED: T, START: f"202{year}-01-01T00:00:00Z"}
            for i in range(rows)
        ]
        for year in (2, 3)
    ]
    answer = client.write_history(HISTORY, update=updates)
    assert answer.success, answer
    ends: list[Row] = [{"id": i, END: "2024-01-01T00:00:00Z"} for i in range(rows // 2)]
    answer = client.write_history(HISTORY, delete=[4 * ends])
    assert answer.success, answer
    found = clustered.execute(
        'SELECT {start}::text, {end}::text, {active}, left("desc", 1), count(*) FROM {schema}.t'
        " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2",
        start=START, end=END, active=ACTIVE,
    )  # fmt: skip
    assert found == [
        ("2020-01-01 00:00:00+00", "2020-12-31 23:59:59.999+00", False, "x", rows),
        ("2021-01-01 00:00:00+00", "2021-12-31 23:59:59.999+00", False, "y", rows),
        ("2022-01-01 00:00:00+00", "2022-12-31 23:59:59.999+00", False, "y", rows),
        ("2023-01-01 00:00:00+00", "2024-01-01 00:00:00+00", False, "y", rows // 2),
        ("2023-01-01 00:00:00+00", "9999-12-31 23:59:59.999+00", True, "y", rows - rows // 2),
    ]
    assert kind_of(clustered, "t") == TYPES[kind]


@pytest.mark.parametrize(
    "by_hand", ["", "create_reference_table({})", "create_distributed_table({}, 'a')"]
)
def test_rows_without_a_key_are_appended(client: Client, clustered: Database, by_hand: str) -> None:
    table = common.Table(name="t", columns=[column("a", common.LONG), column("b")])
    assert client.create(table).success
    assert kind_of(clustered, "t") is None
    if by_hand:
        clustered.execute("SELECT " + by_hand.format(f"'{clustered.schema}.t'"))
    for count in (10, 6000):
        rows: list[Row] = [{"a": i, "b": "x" * 80} for i in range(count)]
        answer = client.write(table, replace=[rows])
        assert answer.success, answer
    assert clustered.execute("SELECT count(*) FROM {schema}.t") == [(6010,)]


def test_columns_and_keys_change(
    make: Make, client: Client, clustered: Database, kind: str
) -> None:
    table = common.Table(
        name="t",
        columns=[column("id", common.INT, key=True), column("other", common.INT), column("text")],
    )
    make(table)
    rows: list[Row] = [{"id": i, "other": 10 + i, "text": str(i)} for i in range(20)]
    assert client.write(table, replace=[rows]).success
    clustered.execute("COMMENT ON COLUMN {schema}.t.text IS 'mine'")
    clustered.execute("COMMENT ON TABLE {schema}.t IS 'all mine'")
    shapes = [
        [
            column("id", common.LONG, key=True),
            column("other", common.INT),
            column("text", common.INT),
        ],
        [
            column("id", common.LONG),
            column("other", common.INT, key=True),
            column("text"),
            column("new"),
        ],
        [column("other", common.INT, key=True), column("text", key=True), column("new")],
    ]
    for columns in shapes:
        if kind in {"local", "reference"} and columns[0].name != "id":
            columns.append(column("id", common.LONG))  # making the table anew, Citus lost its mark
        wanted = common.Table(name="t", columns=columns)
        answer = client.alter(wanted, drop=True)
        assert answer.success, answer
        found = client.describe("t").table
        assert sorted(map(str, found.columns)) == sorted(map(str, columns))
        assert clustered.execute("SELECT count(*), count(text) FROM {schema}.t") == [(20, 20)]
    comments = clustered.execute(
        "SELECT obj_description(c, 'pg_class'), col_description(c, 3)"
        f" FROM (SELECT '{clustered.schema}.t'::regclass) AS t (c)"
    )
    assert comments[0][0] == "all mine"
    row: Row = {"other": 1, "text": "a", "new": "b"}
    assert client.write(wanted, replace=[[row]]).success
    assert len(clustered.rows("t")) == 21


def test_tables_migrate(make: Make, client: Client, clustered: Database) -> None:
    make(SOFT)
    rows = [soft_row(1), soft_row(2, None), soft_row(3, deleted=True)]
    assert client.write(SOFT, replace=[rows]).success
    twice(client, "t", **add_default("added", common.UTC_DATETIME, "2020-01-01T00:00:00Z"))
    twice(client, "t", **update_value("desc", "new"))
    twice(client, "t", **copy_column("desc", "copied"))
    twice(client, "t", **rename_column("desc", "renamed"))
    twice(client, "t", **rename_column("id", "key"))
    twice(client, "t", **copy_table("t", "u"))
    twice(client, "t", **rename_table("t", "v"))
    assert clustered.rows("u") == clustered.rows("v")
    assert {row[2:] for row in clustered.rows("v", "key", "amount", "renamed", "copied")} == {
        ("new", "new")
    }
    twice(client, "u", **copy_to_history("u", "h", DELETED))
    assert [row[1:] for row in clustered.rows("h", "key", ACTIVE)] == [(True,), (True,), (False,)]
    twice(client, "u", **sync_mode(sdk.SOFT_DELETE_TO_HISTORY, DELETED))
    assert clustered.rows("u", "key", START, END, ACTIVE) == clustered.rows(
        "h", "key", START, END, ACTIVE
    )
    twice(client, "u", **sync_mode(sdk.HISTORY_TO_SOFT_DELETE, DELETED))
    assert [row[1:] for row in clustered.rows("u", "key", DELETED)] == [(False,), (False,), (True,)]
    for name in ("h", "u", "v"):
        twice(client, name, **drop_table())


def test_history_migrates(make: Make, client: Client, clustered: Database) -> None:
    make(HISTORY)
    rows = [version(1, "2005-05-01T00:00:00Z"), version(2, T, None)]
    assert client.write_history(HISTORY, replace=[rows]).success
    twice(client, "t", **add_history("new", common.INT, "7", "2006-01-01T00:00:00Z"))
    assert clustered.rows("t", "id", ACTIVE, "new") == [
        (1, False, None), (1, True, 7), (2, False, None), (2, True, 7),
    ]  # fmt: skip
    twice(client, "t", **drop_history("new", "2007-01-01T00:00:00Z"))
    assert len(clustered.rows("t")) == 6
    twice(client, "t", **copy_table("t", "u"))
    assert clustered.rows("u") == clustered.rows("t")
    assert client.truncate("t", 1_200_000_000, soft=DELETED).success
    assert not any(row[0] for row in clustered.rows("t", ACTIVE))


def test_table_is_made_beside_one_of_another_collation(client: Client, clustered: Database) -> None:
    """Citus puts both into one group, and its workers refuse the second."""
    clustered.execute("CREATE SCHEMA {schema}")
    clustered.execute("CREATE COLLATION {schema}.other (provider = icu, locale = 'de')")
    clustered.execute("CREATE TABLE {schema}.theirs (k text COLLATE {schema}.other PRIMARY KEY)")
    clustered.execute(f"SELECT create_distributed_table('{clustered.schema}.theirs', 'k')")
    table = common.Table(name="t", columns=[column("k", key=True), column("v")])
    for name in ("first", "second"):
        table.name = name
        answer = client.create(table)
        assert answer.success, answer
        assert client.write(table, replace=[[{"k": "a", "v": "b"}]]).success
        assert clustered.rows(name, "k", "v") == [("a", "b")]
    groups = clustered.execute(
        "SELECT count(DISTINCT colocationid) FROM pg_dist_partition p JOIN pg_class c"
        " ON c.oid = p.logicalrelid WHERE c.relname IN ('first', 'second') AND"
        f" c.relnamespace = '{clustered.schema}'::regnamespace"
    )
    assert groups == [(1,)]
