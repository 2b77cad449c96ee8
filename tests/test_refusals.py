"""What PostgreSQL refuses late: told with its cause, the column and a remedy that helps."""

import psycopg
import pytest

from destination.sdk import common_pb2 as common
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

ID = column("id", common.INT, key=True)
DOCUMENT = column("document", common.JSON)
TEXT = column("v")


def table(*columns: common.Column) -> common.Table:
    return common.Table(name="t", columns=columns)


@pytest.mark.parametrize(
    ("document", "cause"),
    [
        ('{"marked": "\\u0000"}', "or the column's type"),
        ("[" * 100_000 + "]" * 100_000, "nested too deep"),
    ],
    ids=["U+0000", "depth"],
)
@pytest.mark.parametrize("kind", ["replace", "update"])
def test_document_that_only_the_merge_refuses(
    client: Client, database: Database, document: str, cause: str, kind: str
) -> None:
    wanted = table(ID, DOCUMENT)
    before: list[Row] = [{"id": 1, "document": "{}"}]
    assert client.create(wanted).success
    database.execute("ALTER TABLE {schema}.t ALTER document TYPE jsonb")
    assert client.write(wanted, replace=[before]).success
    rows: list[Row] = [{"id": 1, "document": document}]
    answer = client.write(wanted, **{kind: [rows]})
    assert cause in answer.task.message
    told = ("correct the values at the source", 'row 1, column "document"')
    assert all(part in answer.task.message for part in told)
    assert "marked" not in answer.task.message
    assert len(answer.task.message) < 500
    assert database.rows("t", "id", "document") == [(1, {})]


def test_document_that_copy_refuses_names_its_row(client: Client, database: Database) -> None:
    wanted = table(ID, DOCUMENT)
    deep = "[" * 100_000 + "]" * 100_000
    assert client.create(wanted).success
    answer = client.write(
        wanted, replace=[[{"id": 1, "document": "{}"}, {"id": 2, "document": deep}]]
    )
    assert 'row 2, column "document": a value is nested too deep' in answer.task.message
    assert database.rows("t") == []


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE {schema}.t ALTER v SET DEFAULT 'none'",
        "CREATE INDEX ON {schema}.t (lower(v))",
        "CREATE INDEX ON {schema}.t (v text_pattern_ops)",
        "ALTER TABLE {schema}.t ADD CHECK (v ~ '^[0-9]')",
    ],
    ids=["default", "index on an expression", "index with operators", "check"],
)
def test_object_that_does_not_take_a_new_type_is_what_to_drop(
    client: Client, database: Database, statement: str
) -> None:
    before = table(ID, TEXT)
    assert client.create(before).success
    database.execute(statement)
    message = client.alter(table(ID, column("v", common.INT))).task.message
    assert 'column "v"' in message
    assert "drop the default, index, constraint" in message
    assert client.describe("t").table == before


def test_index_that_does_not_take_a_new_type_is_what_to_drop(
    client: Client, database: Database
) -> None:
    assert client.create(table(ID, TEXT)).success
    database.execute("CREATE INDEX ON {schema}.t (v)")
    message = client.alter(table(ID, column("v", common.JSON))).task.message
    assert 'column "v"' in message
    assert "drop the default, index, constraint" in message


def test_row_that_no_partition_takes(client: Client, database: Database) -> None:
    wanted = table(ID, TEXT)
    database.execute(
        "CREATE SCHEMA {schema};"
        " CREATE TABLE {schema}.t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);"
        " CREATE TABLE {schema}.some PARTITION OF {schema}.t FOR VALUES FROM (1) TO (10)"
    )
    assert client.write(wanted, replace=[[{"id": 1, "v": "a"}]]).success
    for number in range(2):
        answer = client.write(wanted, replace=[[{"id": 10 + number, "v": "a"}]])
        assert "no partition takes a row: create a partition" in answer.task.message
    assert database.rows("t") == [(1, "a")]


def test_column_of_an_extension_takes_what_its_type_takes(
    client: Client, database: Database
) -> None:
    wanted = table(ID, TEXT, column("w"))
    assert client.create(wanted).success
    try:
        database.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA {schema}")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("this server has no extension vector")
    database.execute("ALTER TABLE {schema}.t ALTER v TYPE {schema}.vector(3) USING NULL")
    assert client.write(wanted, replace=[[{"id": 1, "v": "[1,2,3]", "w": "a"}]]).success
    updates: list[Row] = [
        {"id": 1, "v": "[4,5,6]", "w": UNMODIFIED},
        {"id": 1, "v": UNMODIFIED, "w": "b"},
    ]
    assert client.write(wanted, update=[updates]).success
    query = "SELECT v::text, w FROM {schema}.t"
    assert database.execute(query) == [("[4,5,6]", "b")]
    for kind in ("replace", "update"):
        rows: list[Row] = [{"id": 1, "v": "marked", "w": "c"}]
        message = client.write(wanted, **{kind: [rows]}).task.message
        assert 'row 1, column "v"' in message
        assert "marked" not in message
    assert database.execute(query) == [("[4,5,6]", "b")]
