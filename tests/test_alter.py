"""AlterTable: columns and keys added, changed and dropped, and what becomes of the rows."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from destination.sdk import common_pb2 as common
from destination_tester.files import Row
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.waiting import wait_until

ID = column("id", common.INT, key=True)


def table(*columns: common.Column, name: str = "t") -> common.Table:
    return common.Table(name=name, columns=columns)


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
        (column("v", common.DECIMAL, decimal=(6, 3)), "1.25", column("v", common.DECIMAL, decimal=(10, 2)), "1.25"),
        (column("v", common.DECIMAL, decimal=(6, 3)), "1.255", column("v", common.DECIMAL), "1.255"),
        (column("v", common.BOOLEAN), "true", column("v"), "true"),
        (column("v", common.BOOLEAN), "true", column("v", common.INT), "1"),
        (column("v", common.LONG), "1", column("v", common.BOOLEAN), "true"),
        (column("v", common.NAIVE_DATE), "2020-01-02", column("v", common.NAIVE_DATETIME), "2020-01-02 00:00:00"),
        (column("v", common.NAIVE_DATETIME), "2020-01-02T03:04", column("v", common.UTC_DATETIME), "2020-01-02 03:04:00+00"),
        (column("v", common.UTC_DATETIME), "2020-01-02T00:00Z", column("v", common.NAIVE_DATE), "2020-01-02"),
        (column("v", common.FLOAT), "123456.78", column("v", common.DECIMAL), "123456.78"),
        (column("v", common.DOUBLE), "99999999999999.98", column("v", common.DECIMAL), "99999999999999.98"),
        (column("v"), "23:59:59.9999999", column("v", common.NAIVE_TIME), "23:59:59.999999"),
        (column("v"), "2020-01-02T03:04:05.999999999Z", column("v", common.UTC_DATETIME), "2020-01-02 03:04:05.999999+00"),
        (column("v"), "[B@1", column("v", common.BINARY), "\\x5b424031"),
        (column("v"), "AP8", column("v", common.BINARY), "\\x00ff"),
        (column("v", common.DOUBLE), "1e21", column("v"), "1.0E+21"),
        (column("v", common.UTC_DATETIME), "2020-01-02T03:04:05.120Z", column("v"), "2020-01-02T03:04:05.120Z"),
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
        (column("v", common.DOUBLE), "1.75", column("v", common.INT)),
        (column("v", common.LONG), "9007199254740993", column("v", common.DOUBLE)),
        (column("v", common.UTC_DATETIME), "2020-01-02T03:04:00Z", column("v", common.NAIVE_DATE)),
        (
            column("v"),
            "0.12345678901234567890123456789012345678",
            column("v", common.DECIMAL, decimal=(9, 2)),
        ),
        (column("v", common.LONG), "4", column("v", common.BOOLEAN)),
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
    assert text == "4" or text not in answer.task.message
    assert client.describe("t").table == before
    assert len(database.rows("t")) == 1


@pytest.mark.parametrize(
    ("old", "text", "asked", "became"),
    [
        (column("v", common.DECIMAL, decimal=(10, 4)), "1.2345", (10, 2), (12, 4)),
        (column("v", common.DECIMAL, decimal=(10, 2)), "12345.67", (6, 4), (9, 4)),
        (column("v", common.DECIMAL), "1E+20", (6, 4), (25, 4)),
        (column("v", common.LONG), "12345", (4, 2), (7, 2)),
        (column("v", common.DOUBLE), "1.5E-7", (4, 2), (10, 8)),
        (column("v"), "-0.00", (4, 2), (4, 2)),
    ],
)
def test_decimal_becomes_as_wide_as_its_values_need(
    client: Client,
    caplog: pytest.LogCaptureFixture,
    old: common.Column,
    text: str,
    asked: tuple[int, int],
    became: tuple[int, int],
) -> None:
    assert client.create(table(ID, old)).success
    assert client.write(table(ID, old), replace=[[{"id": 1, "v": text}]]).success
    wanted = table(ID, column("v", common.DECIMAL, decimal=asked))
    with caplog.at_level("INFO"):
        for _ in range(2):
            answer = client.alter(wanted)
            assert answer.success, answer
    assert client.describe("t").table == table(ID, column("v", common.DECIMAL, decimal=became))
    told = f'column "v" becomes DECIMAL({became[0]},{became[1]})'
    assert (told in caplog.text) == (asked != became)


def test_values_of_hand_made_types_convert(client: Client, database: Database) -> None:
    """What describes them as texts converts as texts."""
    kinds = {
        "varchar(9)": "12",
        "char(4)": "12",
        "bit(3)": "101",
        "numeric(5,0)": "12",
        "jsonb": "12",
    }
    for number, (kind, value) in enumerate(kinds.items()):
        name = f"t{number}"
        assert client.create(table(ID, name=name)).success
        database.execute(
            f"ALTER TABLE {{schema}}.{name} ADD v {kind}; INSERT INTO {{schema}}.{name} VALUES (1, '{value}')"
        )
        wanted = table(ID, column("v", common.INT), name=name)
        answer = client.alter(wanted)
        assert answer.success, (kind, answer)
        assert client.describe(name).table == wanted
        assert database.rows(name) == [(1, int(value))]


@pytest.mark.parametrize(
    ("length", "becomes"),
    [(9, "character varying(10)"), (10, "character varying(10)"), (11, "text"), (0, "character varying(10)")],
)  # fmt: skip
def test_text_of_a_length_grows_only_where_longer_ones_come(
    client: Client, database: Database, length: int, becomes: str
) -> None:
    assert client.create(table(ID)).success
    database.execute("ALTER TABLE {schema}.t ADD v varchar(10)")
    wanted = table(ID, column("v"))
    wanted.columns[1].params.string_byte_length = length
    answer = client.alter(wanted)
    assert answer.success, answer
    shown = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{schema}.t'::regclass AND attname = 'v'"
    assert database.execute(shown) == [(becomes,)]


@pytest.mark.parametrize(
    ("kind", "neutral"),
    [
        (common.BOOLEAN, "false"),
        (common.SHORT, "0"),
        (common.INT, "0"),
        (common.LONG, "0"),
        (common.DECIMAL, "0.00"),
        (common.FLOAT, "0"),
        (common.DOUBLE, "0"),
        (common.STRING, ""),
        (common.XML, ""),
        (common.BINARY, "\\x"),
        (common.NAIVE_DATE, "1970-01-01"),
        (common.NAIVE_TIME, "00:00:00"),
        (common.NAIVE_DATETIME, "1970-01-01 00:00:00"),
        (common.UTC_DATETIME, "1970-01-01 00:00:00+00"),
    ],
)
def test_column_that_is_new_in_the_key_takes_its_types_neutral_value(
    client: Client,
    database: Database,
    caplog: pytest.LogCaptureFixture,
    kind: common.DataType,
    neutral: str,
) -> None:
    rows: list[Row] = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]
    assert client.create(table(ID, column("v"))).success
    assert client.write(table(ID, column("v")), replace=[rows]).success
    new = column("part", kind, key=True, decimal=(9, 2) if kind == common.DECIMAL else None)
    wanted = table(ID, column("v"), new)
    with caplog.at_level("INFO"):
        answer = client.alter(wanted)
    assert answer.success, answer
    assert '"part"' in caplog.text
    assert client.describe("t").table == wanted
    assert database.execute("SELECT DISTINCT part::text FROM {schema}.t") == [(neutral,)]


@pytest.mark.parametrize("count", [0, 1], ids=["empty table", "table with a row"])
def test_new_column_of_a_type_that_no_key_takes_is_named(client: Client, count: int) -> None:
    before = table(ID, column("v"))
    rows: list[Row] = [{"id": 1, "v": "a"}]
    assert client.create(before).success
    assert client.write(before, replace=[rows[:count]]).success
    message = client.alter(
        table(*before.columns, column("part", common.JSON, key=True))
    ).task.message
    assert 'column "part": an index or constraint does not take the column\'s type' in message
    assert "choose another key at the source" in message
    assert client.describe("t").table == before


def test_rows_that_would_share_a_new_key_are_to_be_synced_again(
    client: Client, database: Database
) -> None:
    before = table(ID, column("v"))
    rows: list[Row] = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]
    assert client.create(before).success
    assert client.write(before, replace=[rows]).success
    wanted = table(column("id", common.INT), column("v"), column("part", common.INT, key=True))
    message = client.alter(wanted).task.message
    assert '"part"' in message
    assert "drop the table and re-sync it" in message
    assert client.describe("t").table == before
    database.execute("DELETE FROM {schema}.t WHERE id = 2")
    assert client.alter(wanted).success


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


def test_value_that_comes_while_the_type_changes_is_not_lost(
    client: Client, database: Database
) -> None:
    before, after = table(ID, column("v")), table(ID, column("v", common.INT))
    assert client.create(before).success
    with database.writing("INSERT INTO {schema}.t VALUES (1, 'no number')"):
        altering = ThreadPoolExecutor(1).submit(client.alter, after)
        wait_until(
            lambda: (
                database.execute(
                    "SELECT count(*) FROM pg_locks"
                    " WHERE NOT granted AND relation = '{schema}.t'::regclass"
                )
                == [(1,)]
            )
        )
    assert 'column "v": 1 values do not survive' in altering.result().task.message
    assert database.rows("t") == [(1, "no number")]
