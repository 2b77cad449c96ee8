"""DescribeTable, CreateTable, AlterTable and Truncate, on tables that hold data."""

from datetime import UTC, datetime

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.files import Row
from tests.fix_connector import Client, column
from tests.fix_postgres import Database

ID = column("id", common.INT, key=True)
SYNCED = column("_fivetran_synced", common.UTC_DATETIME)
DELETED = column("_fivetran_deleted", common.BOOLEAN)


def table(*columns: common.Column, name: str = "t") -> common.Table:
    return common.Table(name=name, columns=columns)


def test_describing_what_is_not_there_is_no_error(client: Client) -> None:
    assert client.describe("t").not_found
    client.create(table(ID, name="other"))
    assert client.describe("t").not_found


def test_creating_what_exists_is_a_task(client: Client) -> None:
    assert client.create(table(ID)).success
    assert "exists already" in client.create(table(ID)).task.message


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_impossible_names_are_a_task(client: Client, name: str) -> None:
    assert "name" in client.create(table(ID, name=name)).task.message
    assert "name" in client.create(table(ID, column(name))).task.message


@pytest.mark.parametrize("schema", ["pg_catalog", "pg_temp", "information_schema"])
def test_schemas_of_the_warehouse_are_refused(client: Client, schema: str) -> None:
    client.schema = schema
    assert "belongs to the warehouse" in client.create(table(ID)).task.message
    assert "belongs to the warehouse" in client.describe("t").task.message


@pytest.mark.parametrize(("texts", "elsewhere"), [(40, False), (20, True)])
def test_rows_of_many_short_texts_are_stored_whole(
    client: Client, database: Database, texts: int, *, elsewhere: bool
) -> None:
    """A row of a few long values still has them moved out of it."""
    wanted = table(ID, *[column(f"text {i}") for i in range(texts)])
    # no text repeats itself, so none is compressed
    row: Row = {f"text {i}": "".join(map(chr, range(65 + i, 190))) for i in range(texts)}
    assert client.create(wanted).success
    assert client.write(wanted, replace=[[{"id": 1, **row}]]).success
    assert database.execute(
        "SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class"
        " WHERE oid = '{schema}.t'::regclass"
    ) == [(elsewhere,)]


def test_unknown_column_type_is_a_task(client: Client) -> None:
    assert "UNSPECIFIED" in client.create(table(common.Column(name="x"))).task.message


def test_long_names_stay_apart_and_are_described_in_full(
    client: Client, database: Database
) -> None:
    names = [("長" * 22) + suffix for suffix in ("", "い", "う")]
    for name in names:
        wanted = table(ID, column("列" * 30), name=name)
        assert client.create(wanted).success
        assert client.write(wanted, replace=[[{"id": 1, "列" * 30: name}]]).success
        assert client.describe(name).table == wanted
    stored = database.execute(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = {name}::text".replace(
            "{name}", f"'{database.schema}'"
        )
    )
    assert len(stored) == len(names)


def test_hand_made_columns_are_described_and_left_alone(client: Client, database: Database) -> None:
    wanted = table(ID, column("value"))
    assert client.create(wanted).success
    database.execute(
        "ALTER TABLE {schema}.t ADD short_text varchar(10), ADD document jsonb DEFAULT '{{}}',"
        " ADD identity uuid, ADD list int[], ADD flags bit(3), ADD price numeric(7,2),"
        " ADD xml xml, ADD made timestamptz DEFAULT '2020-01-01Z'"
    )
    described = {c.name: c for c in client.describe("t").table.columns}
    assert described["short_text"].params.string_byte_length == 10
    assert described["document"].type == common.JSON
    assert described["identity"].type == common.STRING
    assert described["list"].type == common.STRING
    assert described["price"].params.decimal == common.DecimalParams(precision=7, scale=2)
    assert described["xml"].type == common.XML
    assert client.write(wanted, replace=[[{"id": 1, "value": "a"}]]).success
    assert client.write(wanted, replace=[[{"id": 1, "value": "b"}]]).success
    assert client.alter(client.describe("t").table).success
    assert database.execute("SELECT value, document::text, identity FROM {schema}.t") == [
        ("b", "{}", None)
    ]


def test_values_are_cast_to_hand_made_types(client: Client, database: Database) -> None:
    wanted = table(ID, column("value"), column("document", common.JSON))
    assert client.create(wanted).success
    database.execute(
        "ALTER TABLE {schema}.t ALTER value TYPE varchar(5), ALTER document TYPE jsonb"
    )
    rows: list[Row] = [{"id": 1, "value": "abc", "document": '{"a":  1}'}]
    assert client.write(wanted, replace=[rows]).success
    assert client.write(wanted, replace=[rows]).success
    assert database.execute("SELECT value, document::text FROM {schema}.t") == [("abc", '{"a": 1}')]


@pytest.mark.parametrize("kind", ["varchar(3)", "char(3)", "bit(3)", "varbit(3)", "varchar(3)[]"])
def test_values_too_long_for_hand_made_types_are_not_cut(
    client: Client, database: Database, kind: str
) -> None:
    table = common.Table(name="t", columns=[column("id", common.INT, key=True), column("value")])
    fits, too_long = ("{101}", "{1010}") if kind.endswith("[]") else ("101", "1010")
    assert client.create(table).success
    database.execute(f"ALTER TABLE {{schema}}.t ALTER value TYPE {kind} USING NULL")
    for files in ("replace", "update", "replace"):
        row: Row = {"id": 1, "value": fits}
        assert client.write(table, **{files: [[row]]}).success
        refused = client.write(table, **{files: [[{**row, "value": too_long}]]})
        assert "longer than the column allows" in refused.task.message, refused
    assert database.execute("SELECT value::text FROM {schema}.t") == [(fits,)]


def test_alter_adds_and_keeps_columns(client: Client, database: Database) -> None:
    assert client.create(table(ID, column("old"))).success
    assert client.write(table(ID, column("old")), replace=[[{"id": 1, "old": "x"}]]).success
    assert client.alter(table(ID, column("new", common.XML))).success
    assert [c.name for c in client.describe("t").table.columns] == ["id", "old", "new"]
    assert client.describe("t").table.columns[2].type == common.XML
    assert client.alter(table(ID, column("new", common.XML)), drop=True).success
    assert client.describe("t").table == table(ID, column("new", common.XML))
    assert database.rows("t") == [(1, None)]


@pytest.mark.parametrize(
    ("old", "text", "new", "expected"),
    [
        (column("v", common.SHORT), "7", column("v", common.LONG), "7"),
        (column("v", common.INT), "7", column("v", common.DOUBLE), "7"),
        (column("v", common.LONG), "7", column("v"), "7"),
        (column("v"), "7", column("v", common.INT), "7"),
        (column("v", common.DOUBLE), "1.5", column("v", common.FLOAT), "1.5"),
        (column("v", common.DECIMAL, decimal=(6, 3)), "1.255", column("v", common.DECIMAL, decimal=(10, 2)), "1.26"),
        (column("v", common.DECIMAL, decimal=(6, 3)), "1.255", column("v", common.DECIMAL), "1.255"),
        (column("v", common.BOOLEAN), "true", column("v"), "true"),
        (column("v", common.BOOLEAN), "true", column("v", common.INT), "1"),
        (column("v", common.LONG), "2", column("v", common.BOOLEAN), "true"),
        (column("v", common.NAIVE_DATE), "2020-01-02", column("v", common.NAIVE_DATETIME), "2020-01-02 00:00:00"),
        (column("v", common.NAIVE_DATETIME), "2020-01-02T03:04", column("v", common.UTC_DATETIME), "2020-01-02 03:04:00+00"),
        (column("v", common.UTC_DATETIME), "2020-01-02T03:04Z", column("v", common.NAIVE_DATE), "2020-01-02"),
        (column("v", common.BINARY), "AP8=", column("v"), "AP8="),
        (column("v"), "AP8=", column("v", common.BINARY), "\\x00ff"),
        (column("v"), '{"a": 1}', column("v", common.JSON), '{"a": 1}'),
        (column("v"), "<a/>", column("v", common.XML), "<a/>"),
        (column("v", common.XML), "<a/>", column("v"), "<a/>"),
    ],
)  # fmt: skip
def test_alter_casts_the_data(
    client: Client,
    database: Database,
    old: common.Column,
    text: str,
    new: common.Column,
    expected: str,
) -> None:
    assert client.create(table(ID, old)).success
    assert client.write(
        table(ID, old), replace=[[{"id": 1, "v": text}, {"id": 2, "v": None}]]
    ).success
    answer = client.alter(table(ID, new))
    assert answer.success, answer
    assert client.describe("t").table == table(ID, new)
    assert database.execute("SELECT v::text FROM {schema}.t ORDER BY id") == [(expected,), (None,)]


@pytest.mark.parametrize(
    ("old", "text", "new"),
    [
        (column("v"), "secret-value", column("v", common.INT)),
        (column("v", common.LONG), "99999999999", column("v", common.INT)),
        (column("v", common.LONG), "77777777777", column("v", common.NAIVE_DATE)),
        (column("v"), "secret-value", column("v", common.JSON)),
    ],
)
def test_alter_refuses_a_cast_that_a_value_does_not_survive(
    client: Client, database: Database, old: common.Column, text: str, new: common.Column
) -> None:
    before = table(ID, old)
    assert client.create(before).success
    assert client.write(before, replace=[[{"id": 1, "v": text}]]).success
    answer = client.alter(table(ID, new, column("added")))
    assert 'column "v"' in answer.task.message
    assert text not in answer.task.message
    assert client.describe("t").table == before
    assert len(database.rows("t")) == 1


def test_alter_changes_the_key(client: Client) -> None:
    before = table(ID, column("other", common.INT))
    rows: list[Row] = [{"id": 1, "other": 1}, {"id": 2, "other": 2}]
    assert client.create(before).success
    assert client.write(before, replace=[rows]).success
    for keys in (("id", "other"), ("other",), ("id",), ()):
        wanted = table(
            column("id", common.INT, key="id" in keys),
            column("other", common.INT, key="other" in keys),
        )
        answer = client.alter(wanted)
        assert answer.success, answer
        assert client.describe("t").table == wanted
        assert client.write(wanted, replace=[[] if keys == () else rows]).success


def test_column_that_leaves_the_key_is_nullable(client: Client, database: Database) -> None:
    assert client.create(table(ID, column("b", common.INT, key=True))).success
    after = table(ID, column("b", common.INT))
    assert client.alter(after).success
    assert client.write(after, replace=[[{"id": 1, "b": None}]]).success
    assert database.rows("t") == [(1, None)]


@pytest.mark.parametrize("values", [(5, 5), (5, None)], ids=["duplicates", "nulls"])
def test_alter_refuses_a_key_that_rows_do_not_have(
    client: Client, values: tuple[int | None, int | None]
) -> None:
    before = table(ID, column("other", common.INT))
    rows: list[Row] = [{"id": i, "other": value} for i, value in enumerate(values)]
    assert client.create(before).success
    assert client.write(before, replace=[rows]).success
    answer = client.alter(table(column("id", common.INT), column("other", common.INT, key=True)))
    assert '"other"' in answer.task.message
    assert client.describe("t").table == before


def test_view_that_blocks_a_change_is_named(client: Client, database: Database) -> None:
    before = table(ID, column("v", common.INT))
    assert client.create(before).success
    database.execute("CREATE VIEW {schema}.report AS SELECT v FROM {schema}.t")
    assert "report" in client.alter(table(ID, column("v", common.LONG))).task.message
    assert "report" in client.alter(table(ID), drop=True).task.message
    assert client.describe("t").table == before
    assert "view" in client.create(table(ID, name="report")).task.message


def test_altering_a_missing_table_is_a_task(client: Client) -> None:
    assert "does not exist" in client.alter(table(ID)).task.message


def instant(seconds: int, microseconds: int = 0) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


@pytest.mark.parametrize(
    ("seconds", "nanos", "left"),
    [
        (100, 0, [2, 3, 4]),
        (100, 1, [3, 4]),
        (100, 5000, [3, 4]),
        (100, 5001, [4]),
        (-100, 0, [1, 2, 3, 4]),
        (-99, 0, [1, 2, 3, 4]),
        (253402300799, 999999999, []),
    ],
)
def test_truncate_deletes_what_was_synced_before(
    client: Client, database: Database, seconds: int, nanos: int, left: list[int]
) -> None:
    wanted = table(ID, SYNCED, DELETED)
    moments = [instant(99), instant(100), instant(100, 5), instant(100, 6)]
    rows: list[Row] = [{"id": i, "_fivetran_synced": m} for i, m in enumerate(moments, 1)]
    assert client.create(wanted).success
    assert client.write(wanted, replace=[rows]).success
    assert client.truncate("t", seconds, nanos, soft="_fivetran_deleted").success
    marked = database.execute("SELECT id FROM {schema}.t WHERE _fivetran_deleted ORDER BY id")
    assert [i for i in range(1, 5) if (i,) not in marked] == left
    assert client.truncate("t", seconds, nanos).success
    assert [row[0] for row in database.rows("t")] == left


def test_truncate_before_1970(client: Client, database: Database) -> None:
    wanted = table(ID, SYNCED)
    assert client.create(wanted).success
    rows: list[Row] = [{"id": 1, "_fivetran_synced": "1900-01-01T00:00:00Z"}]
    assert client.write(wanted, replace=[rows]).success
    assert client.truncate("t", -2208988800).success
    assert len(database.rows("t")) == 1
    assert client.truncate("t", -2208988800, 1).success
    assert database.rows("t") == []


def test_truncating_a_missing_table_is_success_and_a_missing_column_a_task(client: Client) -> None:
    assert client.truncate("t", 0).success
    assert client.create(table(ID, SYNCED)).success
    assert client.truncate("t", 0).success
    assert '"nowhere"' in client.truncate("t", 0, synced="nowhere").task.message
    assert '"nowhere"' in client.truncate("t", 0, soft="nowhere").task.message
