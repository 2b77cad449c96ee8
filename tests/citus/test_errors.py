"""What a cluster refuses is told with its remedy."""

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester.files import Row
from destination_tester.model import ACTIVE, START
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database
from tests.support.migrations import HISTORY, version

TABLE = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
FEW: list[Row] = [{"id": i, "text": "x" * 60} for i in range(20)]
MANY: list[Row] = [{"id": i, "text": "x" * 60} for i in range(9000)]


@pytest.fixture(autouse=True)
def uncompressed(client: Client) -> None:
    """So that files of many rows are large, and no statement carries them."""
    client.files.compression = sdk.OFF


@pytest.fixture
def by_hand(client: Client, clustered: Database) -> common.Table:
    """A table without a key, distributed by hand."""
    table = common.Table(name="t", columns=[column("id", common.LONG), column("text")])
    assert client.create(table).success
    clustered.execute(f"SELECT create_distributed_table('{clustered.schema}.t', 'id')")
    return table


@pytest.mark.parametrize("rows", [FEW, MANY], ids=["few", "many"])
def test_columnar_table(client: Client, clustered: Database, rows: list[Row]) -> None:
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[rows]).success
    clustered.connection.execute("CREATE EXTENSION IF NOT EXISTS citus_columnar")
    clustered.execute(f"SELECT alter_table_set_access_method('{clustered.schema}.t', 'columnar')")
    for answer in (
        client.write(TABLE, replace=[rows]),
        client.write(TABLE, update=[rows]),
        client.write(TABLE, delete=[rows]),
    ):
        message = answer.task.message
        assert "columnar" in message, answer
        assert f"alter_table_set_access_method('\"{clustered.schema}\".\"t\"', 'heap')" in message


@pytest.mark.parametrize("count", [1, 9000], ids=["few", "many"])
def test_history_distributed_by_what_tells_no_records_apart(
    client: Client, clustered: Database, count: int
) -> None:
    assert client.create(HISTORY).success
    clustered.execute(
        f"SELECT alter_distributed_table('{clustered.schema}.t', distribution_column := '{START}')"
    )
    for month in (1, 2):
        rows = [version(i, f"2020-0{month}-01T00:00:00Z", "x" * 60) for i in range(count)]
        answer = client.write_history(HISTORY, replace=[rows])
        assert answer.success, answer
    found = clustered.execute(
        "SELECT {a}, count(*) FROM {schema}.t GROUP BY 1 ORDER BY 1", a=ACTIVE
    )
    assert found == [(False, count), (True, count)]


@pytest.mark.parametrize("rows", [FEW, MANY], ids=["few", "many"])
def test_value_that_a_worker_refuses(
    client: Client, clustered: Database, by_hand: common.Table, rows: list[Row]
) -> None:
    clustered.execute("ALTER TABLE {schema}.t ADD CONSTRAINT short CHECK (length(text) < 10)")
    answer = client.write(by_hand, replace=[rows])
    assert 'a check constraint is violated (constraint "short")' in answer.task.message, answer
    assert client.write(by_hand, replace=[[{"id": 1, "text": "a"}]]).success
    assert clustered.rows("t", "id", "text") == [(1, "a")]


@pytest.mark.parametrize("rows", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ADD COLUMN v int NOT NULL", 'a NULL is not allowed (column "v")'),
        ("ADD CONSTRAINT once UNIQUE (id)", 'a key is not unique (constraint "once")'),
        ("ALTER COLUMN text TYPE varchar(10)", 'column "text": a value is longer than the column'),
        ("ADD CONSTRAINT once EXCLUDE USING btree (id WITH =)", '(constraint "once")'),
    ],
)
def test_what_a_worker_refuses_is_told_with_its_name(
    client: Client,
    clustered: Database,
    by_hand: common.Table,
    rows: list[Row],
    change: str,
    told: str,
) -> None:
    clustered.execute(f"ALTER TABLE {{schema}}.t {change}")
    answer = client.write(by_hand, replace=[[*rows, *rows]])
    assert told in answer.task.message, answer


DENIED = """
    CREATE FUNCTION {schema}.denies() RETURNS bool LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'permission denied for function secret'
            USING ERRCODE = 'insufficient_privilege';
    END $$"""


@pytest.mark.parametrize("rows", [FEW, MANY], ids=["few", "many"])
def test_privilege_that_lacks_at_a_worker(
    client: Client, clustered: Database, by_hand: common.Table, rows: list[Row]
) -> None:
    clustered.execute(DENIED)
    clustered.execute("ALTER TABLE {schema}.t ADD CONSTRAINT denied CHECK ({schema}.denies())")
    answer = client.write(by_hand, replace=[rows])
    assert "a privilege is missing: run GRANT" in answer.task.message, answer


TOLD_IN_GERMAN = """
    CREATE FUNCTION {schema}.refuses() RETURNS bool LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'neue Zeile für Relation »t_102008« verletzt Check-Constraint »short_102008«'
            USING ERRCODE = 'check_violation';
    END $$"""


@pytest.mark.parametrize("rows", [FEW, MANY], ids=["few", "many"])
@pytest.mark.parametrize("key", [False, True], ids=["keyless", "keyed"])
def test_refusal_of_which_a_worker_tells_in_its_language(
    client: Client, clustered: Database, rows: list[Row], *, key: bool
) -> None:
    """With a key, few rows come to a worker by another command than COPY."""
    table = common.Table(name="t", columns=[column("id", common.LONG, key=key), column("text")])
    assert client.create(table).success
    if not key:
        clustered.execute(f"SELECT create_distributed_table('{clustered.schema}.t', 'id')")
    clustered.execute(TOLD_IN_GERMAN)
    clustered.execute("ALTER TABLE {schema}.t ADD CONSTRAINT short CHECK ({schema}.refuses())")
    answer = client.write(table, replace=[rows])
    assert 'a check constraint is violated (constraint "short")' in answer.task.message, answer


ONCE = """
    CREATE FUNCTION {schema}.once() RETURNS bool LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('{schema}.turns') = 1 THEN
            RAISE EXCEPTION 'Verklemmung entdeckt' USING ERRCODE = 'deadlock_detected';
        END IF;
        RETURN true;
    END $$"""


@pytest.mark.parametrize("rows", [FEW, MANY], ids=["few", "many"])
def test_deadlock_of_which_a_worker_tells_in_its_language_is_retried(
    client: Client, clustered: Database, by_hand: common.Table, rows: list[Row]
) -> None:
    clustered.execute(ONCE)
    making = f'CREATE SEQUENCE "{clustered.schema}".turns'
    clustered.connection.execute("SELECT run_command_on_workers(%s)", [making])
    clustered.execute("ALTER TABLE {schema}.t ADD CONSTRAINT once CHECK ({schema}.once())")
    answer = client.write(by_hand, replace=[rows])
    assert answer.success, answer
    assert clustered.execute("SELECT count(*), count(DISTINCT id) FROM {schema}.t") == [
        (len(rows), len(rows))
    ]


def test_rule_on_a_distributed_table(client: Client, clustered: Database) -> None:
    assert client.create(TABLE).success
    clustered.execute("CREATE RULE r AS ON DELETE TO {schema}.t DO INSTEAD NOTHING")
    for rows in (FEW, MANY):
        assert "run DROP RULE" in client.write(TABLE, replace=[rows]).task.message
    clustered.execute("DROP RULE r ON {schema}.t")
    assert client.write(TABLE, replace=[FEW]).success
