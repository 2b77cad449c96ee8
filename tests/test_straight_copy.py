"""Files copied straight into a table: an empty one, and one that grows at its end."""

import time
from collections.abc import Iterable
from pathlib import Path

import psycopg
import pytest

from destination.cancellation import Cancellation
from destination.sdk import common_pb2 as common
from destination.warehouse import merging
from destination.warehouse.base import Session
from destination.warehouse.postgres.contract import LOCK_TIMEOUT
from destination.warehouse.postgres.database import PostgresWarehouse
from destination.warehouse.stored import TableName
from destination_tester.files import Row
from destination_tester.model import TableModel
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

TABLE = common.Table(
    name="t", columns=[column("b", key=True), column("a", common.INT, key=True), column("text")]
)
ROWS: list[Row] = [{"b": f"b{i % 7}", "a": i, "text": "x" * 20} for i in range(1000)]
LOCK_SECONDS = int(LOCK_TIMEOUT.removesuffix("s"))
KEY = (
    "SELECT conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'),"
    " pg_get_indexdef(conindid) FROM pg_constraint"
    " WHERE conrelid = '{schema}.t'::regclass AND contype = 'p'"
)


@pytest.fixture(autouse=True)
def every_load_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "FAST_WAY_BYTES", 0)


def number(database: Database) -> object:
    """The key's number in the catalog, which is another once the key was built anew."""
    ((oid,),) = database.execute(
        "SELECT oid FROM pg_constraint WHERE conrelid = '{schema}.t'::regclass AND contype = 'p'"
    )
    return oid


def key(database: Database) -> list[tuple[object, ...]]:
    return database.execute(KEY)


def test_key_that_was_dropped_for_the_load_is_rebuilt_unchanged(
    client: Client, database: Database
) -> None:
    assert client.create(TABLE).success
    before, old = key(database), number(database)
    assert client.write(TABLE, replace=[ROWS[:500], ROWS[500:]]).success
    new = number(database)
    assert (new == old) is database.distributed  # there the key is not built last
    assert key(database) == before
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(1000,)]
    assert client.write(TABLE, replace=[ROWS]).success
    assert number(database) == new
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(1000,)]


def test_keys_that_repeat_across_files(client: Client, database: Database) -> None:
    assert client.create(TABLE).success
    before = key(database)
    changed: list[Row] = [{**row, "text": "later"} for row in ROWS[:10]]
    assert client.write(TABLE, replace=[ROWS, changed]).success
    assert key(database) == before
    assert database.execute("SELECT text, count(*) FROM {schema}.t GROUP BY 1 ORDER BY 1") == [
        ("later", 10),
        ("x" * 20, 990),
    ]


def test_bad_file_leaves_the_key(client: Client, database: Database) -> None:
    assert client.create(TABLE).success
    before = key(database)
    good = client.files.write("good", TABLE.columns, ROWS)
    bad = client.files.write_bytes("bad.csv", b"b,a\nx,no number\n")
    assert "bad.csv" in client.send(TABLE, replace_files=[good, bad]).task.message
    assert key(database) == before
    assert database.rows("t") == []


@pytest.mark.parametrize("repeated", [0, 1], ids=["keys once", "key repeats"])
def test_report_that_reads_the_table_is_not_waited_for(
    client: Client, database: Database, postgres_uri: str, repeated: int
) -> None:
    assert client.create(TABLE).success
    old, begun = number(database), time.monotonic()
    with psycopg.connect(postgres_uri) as report:
        report.execute(f'SELECT FROM "{database.schema}".t')
        assert client.write(TABLE, replace=[[*ROWS, *ROWS[:repeated]]]).success
    assert time.monotonic() - begun < LOCK_SECONDS / 2
    assert number(database) == old
    assert database.execute("SELECT count(*) FROM {schema}.t") == [(1000,)]


def test_rows_of_others_are_not_taken_for_undone_ones(
    client: Client, database: Database, postgres_uri: str
) -> None:
    """They came while a first load was tried, which found the table empty."""
    assert client.create(TABLE).success
    database.execute("INSERT INTO {schema}.t VALUES ('theirs', 1)")
    warehouse, name = PostgresWarehouse.from_uri(postgres_uri), TableName(client.schema, "t")

    def work(session: Session) -> None:
        session.free_undone_rows(session.lock_table(name))

    warehouse.transact("work", work, Cancellation())
    warehouse.close()
    assert database.rows("t", "b") == [("theirs",)]


def test_view_that_needs_the_key_stays(client: Client, database: Database) -> None:
    assert client.create(TABLE).success
    old = number(database)
    database.execute("CREATE VIEW {schema}.v AS SELECT a, b, text FROM {schema}.t GROUP BY b, a")
    assert client.write(TABLE, replace=[ROWS]).success
    assert number(database) == old
    assert database.execute("SELECT count(*) FROM {schema}.v") == [(1000,)]


@pytest.mark.parametrize(
    "change",
    [
        "COMMENT ON CONSTRAINT {key} ON {schema}.t IS 'mine'",
        "COMMENT ON INDEX {schema}.{key} IS 'mine'",
        "ALTER INDEX {schema}.{key} SET (fillfactor = 50)",
        "CLUSTER {schema}.t USING {key}",
        "ALTER TABLE {schema}.t REPLICA IDENTITY USING INDEX {key}",
        "CREATE TABLE {schema}.u (b text, a int, FOREIGN KEY (b, a) REFERENCES {schema}.t)",
    ],
)
def test_key_that_somebody_changed_or_needs_is_left_alone(
    client: Client, database: Database, change: str
) -> None:
    assert client.create(TABLE).success
    [(name,)] = database.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = '{schema}.t'::regclass AND contype = 'p'"
    )
    database.execute(change, key=str(name))
    before, old = key(database), number(database)
    assert client.write(TABLE, replace=[ROWS]).success
    assert number(database) == old
    assert key(database) == before


def test_trigger_that_relies_on_the_key_finds_it(client: Client, database: Database) -> None:
    """Here one that keeps a row of its own for each value of `b`."""
    database.needs_local_tables("Citus has no triggers on them")
    assert client.create(TABLE).success
    database.execute(
        "CREATE FUNCTION {schema}.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.a >= 0 THEN EXECUTE format('INSERT INTO %I.t VALUES ($1, -1) ON CONFLICT (b, a)"
        " DO NOTHING', TG_TABLE_SCHEMA) USING NEW.b; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER keep AFTER INSERT ON {schema}.t FOR EACH ROW EXECUTE FUNCTION {schema}.keep()"
    )
    answer = client.write(TABLE, replace=[ROWS])
    assert answer.success, answer
    counted = "SELECT count(*), count(*) FILTER (WHERE a < 0) FROM {schema}.t"
    assert database.execute(counted) == [(1007, 7)]


SERIAL = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])


def serial(ids: Iterable[int], text: str) -> list[Row]:
    return [{"id": i, "text": text} for i in ids]


@pytest.mark.parametrize(
    "ids",
    [
        range(10, 20),
        range(9, 20),
        [15, 11, 12],
        [11, 12, 11],
        [11, 12, 3],
        [3, 11],
        [-1, -2],
        [10**18, 5],
    ],
    ids=str,
)
@pytest.mark.parametrize("more", [(), (12, 3)], ids=["one file", "two files"])
def test_rows_behind_the_last_and_others(
    client: Client, database: Database, ids: Iterable[int], more: Iterable[int]
) -> None:
    model = TableModel.of(SERIAL)
    assert client.create(SERIAL).success
    for files in ([serial(range(10), "old")], [serial(ids, "new"), serial(more, "newer")]):
        present = [rows for rows in files if rows]
        for _ in range(2):
            assert client.write(SERIAL, replace=present).success
        for rows in present:
            model.replace(rows)
    assert database.rows("t") == sorted(((r["id"], r["text"]) for r in model.rows), key=repr)


def test_file_without_rows_before_the_others(client: Client, database: Database) -> None:
    assert client.create(SERIAL).success
    for first in (0, 10):
        answer = client.write(SERIAL, replace=[[], serial(range(first, first + 10), "new")])
        assert answer.success, answer
    assert database.rows("t", "id") == sorted(((i,) for i in range(20)), key=repr)


def test_numbers_that_the_request_calls_texts(client: Client, database: Database) -> None:
    """The customer made the key a bigint by hand."""
    table = common.Table(name="t", columns=[column("id", key=True), column("text")])
    assert client.create(table).success
    with database.gathered("t"):
        database.execute("ALTER TABLE {schema}.t ALTER id TYPE bigint USING id::bigint")
    for key, text in (("5", "old"), ("7", "new"), ("5", "newer")):
        assert client.write(table, replace=[[{"id": key, "text": text}]]).success
    assert database.rows("t") == [(5, "newer"), (7, "new")]


@pytest.mark.parametrize("text", ["b5", "c"])
def test_text_keys_are_merged(client: Client, database: Database, text: str) -> None:
    table = common.Table(name="t", columns=[column("id", key=True), column("value")])
    assert client.create(table).success
    assert client.write(table, replace=[[{"id": "b5", "value": "old"}]]).success
    assert client.write(table, replace=[[{"id": text, "value": "new"}]]).success
    assert ("new",) in database.execute("SELECT value FROM {schema}.t")


def test_missing_file_is_told(client: Client, tmp_path: Path) -> None:
    assert client.create(TABLE).success
    answer = client.send(TABLE, replace_files=[str(tmp_path / "missing")])
    assert "cannot be opened" in answer.task.message
