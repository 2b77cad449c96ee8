"""DescribeTable, CreateTable and Truncate, on tables that hold data."""

from datetime import UTC, datetime

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import HISTORY, version

ID = column("id", common.INT, key=True)
SYNCED = column("_fivetran_synced", common.UTC_DATETIME)
DELETED = column("_fivetran_deleted", common.BOOLEAN)


def table(*columns: common.Column, name: str = "t") -> common.Table:
    return common.Table(name=name, columns=columns)


def test_type_that_no_key_takes_is_told_when_the_table_is_created(client: Client) -> None:
    table = common.Table(name="t", columns=[column("id", common.JSON, key=True), column("v")])
    message = client.create(table).task.message
    assert "an index or constraint does not take the column's type" in message
    assert "choose another key at the source" in message
    assert client.describe("t").not_found


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
    database.needs_local_tables("the coordinator stores no rows of them")
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


@pytest.mark.parametrize("params", [(1001, 0), (4, 5)])
def test_impossible_decimal_is_a_task_that_names_its_column(
    client: Client, params: tuple[int, int]
) -> None:
    wanted = table(ID, column("price", common.DECIMAL, decimal=params))
    assert 'column "price": PostgreSQL has no DECIMAL(' in client.create(wanted).task.message
    assert client.create(table(ID)).success
    assert 'column "price": PostgreSQL has no DECIMAL(' in client.alter(wanted).task.message
    assert client.describe("t").table == table(ID)


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


def test_domains_are_described_and_loaded_as_the_types_below_them(
    client: Client, database: Database
) -> None:
    prices = [column(name, common.DECIMAL, decimal=(7, 2)) for name in ("price", "discount")]
    wanted = table(ID, *prices)
    assert client.create(wanted).success
    for statement in (
        "CREATE DOMAIN {schema}.price AS numeric(7,2) CHECK (VALUE >= 0)",
        "CREATE DOMAIN {schema}.discount AS {schema}.price CHECK (VALUE < 100)",
        "CREATE DOMAIN {schema}.small_discount AS {schema}.discount",
        "ALTER TABLE {schema}.t ALTER price TYPE {schema}.price",
        "ALTER TABLE {schema}.t ALTER discount TYPE {schema}.small_discount",
    ):
        database.execute(statement)
    described = client.describe("t").table
    assert described.columns == wanted.columns
    assert client.alter(described).success
    for price in ("12.5", "13.5"):
        rows: list[Row] = [{"id": 1, "price": price, "discount": "7.25"}]
        assert client.write(wanted, replace=[rows]).success
    assert database.execute(
        "SELECT price::text, discount::text, pg_typeof(discount)::text FROM {schema}.t"
    ) == [("13.50", "7.25", f"{database.schema}.small_discount")]
    assert "row 1" in client.write(wanted, replace=[[{"id": 1, "discount": "100.00"}]]).task.message


def test_numbers_that_end_before_the_point_are_described_with_all_their_digits(
    client: Client, database: Database
) -> None:
    """What numeric(3,-2) holds has five digits: 12300."""
    if database.connection.info.server_version < 15_00_00:
        pytest.skip("this server has no negative scales")
    assert client.create(table(ID)).success
    database.execute("ALTER TABLE {schema}.t ADD v numeric(3,-2), ADD w numeric(5,0)")
    described = {c.name: c.params.decimal for c in client.describe("t").table.columns}
    assert described["v"] == described["w"] == common.DecimalParams(precision=5, scale=0)


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


@pytest.mark.parametrize(
    ("kind", "text", "made", "stored"),
    [
        (common.DOUBLE, "99999999999999.98", "numeric", "99999999999999.98"),
        (common.DOUBLE, "1e7", "text", "1.0E+7"),
        (common.FLOAT, "0.1", "double precision", "0.1"),
        (common.BOOLEAN, "true", "integer", "1"),
        (common.LONG, "7", "text", "7"),
        (common.UTC_DATETIME, "2020-01-02T03:04:05Z", "varchar(30)", "2020-01-02T03:04:05Z"),
        (common.BINARY, "AP8=", "text", "AP8="),
        (common.STRING, "AP8", "bytea", "\\x00ff"),
        (common.STRING, "[B@1", "bytea", "\\x5b424031"),
        (common.STRING, "12", "bigint", "12"),
    ],
)
def test_values_for_hand_made_types_keep_fivetrans_notation_and_digits(
    client: Client, database: Database, kind: common.DataType, text: str, made: str, stored: str
) -> None:
    wanted = table(ID, column("value", kind))
    assert client.create(wanted).success
    database.execute(f"ALTER TABLE {{schema}}.t ALTER value TYPE {made} USING NULL")
    row: Row = {"id": 1, "value": text}
    for files in ("replace", "update", "replace"):
        answer = client.write(wanted, **{files: [[row]]})
        assert answer.success, answer
        assert database.execute("SELECT value::text FROM {schema}.t") == [(stored,)]


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


def test_truncate_that_does_not_say_before_when_is_a_task(
    client: Client, database: Database
) -> None:
    wanted = table(ID, SYNCED)
    rows: list[Row] = [{"id": 1, "_fivetran_synced": "1900-01-01T00:00:00Z"}]
    assert client.create(wanted).success
    assert client.write(wanted, replace=[rows]).success
    request = sdk.TruncateRequest(
        schema_name=client.schema, table_name="t", synced_column="_fivetran_synced"
    )
    assert "before which instant" in client.stub.Truncate(request).task.message
    assert len(database.rows("t")) == 1


@pytest.mark.parametrize("flagged", [False, True], ids=["without", "with the deleted column"])
def test_soft_truncate_of_a_table_in_history_mode(
    client: Client, database: Database, *, flagged: bool
) -> None:
    """It closes the active versions that were synced before; where it has the flag, it sets that."""
    columns = [*HISTORY.columns, *([DELETED] if flagged else [])]
    wanted = common.Table(name="t", columns=columns)
    early, late = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)
    versions: list[Row] = [
        {**version(number, "2019-01-01T00:00:00Z"), "_fivetran_synced": synced}
        for number, synced in ((1, early), (2, late))
    ]
    assert client.create(wanted).success
    assert client.write_history(wanted, replace=[versions]).success
    answer = client.truncate("t", int(late.timestamp()), soft="_fivetran_deleted")
    assert answer.success, answer
    shown = "SELECT id, _fivetran_active, _fivetran_end::text FROM {schema}.t ORDER BY id"
    open_end = "9999-12-31 23:59:59.999+00"
    closed = (1, True, open_end) if flagged else (1, False, "2020-01-01 23:59:59.999+00")
    assert database.execute(shown) == [closed, (2, True, open_end)]


def test_truncating_a_missing_table_is_success_and_a_missing_column_a_task(client: Client) -> None:
    assert client.truncate("t", 0).success
    assert client.create(table(ID, SYNCED)).success
    assert client.truncate("t", 0).success
    assert '"nowhere"' in client.truncate("t", 0, synced="nowhere").task.message
    assert '"nowhere"' in client.truncate("t", 0, soft="nowhere").task.message
