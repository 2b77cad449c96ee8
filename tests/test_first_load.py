"""What a large first load leaves behind besides its rows: statistics, and no dead rows."""

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

TABLE = common.Table(
    name="t", columns=[column("id", common.LONG, key=True), column("text"), column("n", common.INT)]
)
ROWS = 20_000


@pytest.fixture
def local(database: Database) -> Database:
    """A look at tables that the server itself stores."""
    database.needs_local_tables("the coordinator stores neither rows of them nor statistics")
    return database


def load(client: Client, *, repeated: bool) -> None:
    """Load a table's first rows, about 2 MB; the first of them may come again, changed, at the end."""
    client.files.compression = sdk.OFF
    assert client.create(TABLE).success
    rows: list[Row] = [{"id": i, "text": "x" * 100, "n": i % 7} for i in range(ROWS)]
    if repeated:
        rows.append({"id": 0, "text": "y", "n": 0})
    answer = client.write(TABLE, replace=[rows])
    assert answer.success, answer


def test_key_that_repeats_at_the_end_leaves_no_dead_rows(client: Client, local: Database) -> None:
    measured = "SELECT pg_relation_size('{schema}.t'), (SELECT count(*) FROM {schema}.t)"
    load(client, repeated=False)
    ((plain, _),) = local.execute(measured)
    local.execute("DROP TABLE {schema}.t")
    load(client, repeated=True)
    ((size, rows),) = local.execute(measured)
    assert rows == ROWS
    assert isinstance(plain, int)
    assert isinstance(size, int)
    assert size < plain * 1.1
    assert local.execute("SELECT text FROM {schema}.t WHERE id = 0") == [("y",)]


@pytest.mark.parametrize("repeated", [True, False], ids=["key repeats", "keys once"])
def test_first_load_leaves_statistics(client: Client, local: Database, *, repeated: bool) -> None:
    load(client, repeated=repeated)
    ((tuples,),) = local.execute(
        "SELECT reltuples::int FROM pg_class WHERE oid = '{schema}.t'::regclass"
    )
    assert tuples == ROWS
    distinct = "SELECT n_distinct::int FROM pg_stats WHERE schemaname = %s AND attname = 'n'"
    found = local.connection.execute(distinct, (local.schema,))
    assert found.fetchall() == [(7,)]


@pytest.mark.parametrize(("columns", "buckets"), [(3, 20), (100, 10), (1_100, 1)])
def test_statistics_of_many_columns_are_rougher(
    client: Client, local: Database, columns: int, buckets: int
) -> None:
    more = [column(f"c{i}", common.INT) for i in range(columns - 2)]
    table = common.Table(name="t", columns=[TABLE.columns[0], *more, TABLE.columns[1]])
    client.files.compression = sdk.OFF
    assert client.create(table).success
    nothing = {each.name: None for each in more}
    rows: list[Row] = [{"id": i, "text": "x" * 1_000, **nothing} for i in range(1_500)]
    assert client.write(table, replace=[rows]).success
    bounds = "SELECT array_length(histogram_bounds::text::text[], 1) FROM pg_stats"
    where = "WHERE schemaname = %s AND attname = 'id'"
    found = local.connection.execute(f"{bounds} {where}", (local.schema,))
    assert found.fetchall() == [(buckets + 1,)]
