"""WriteBatch, from batch files to rows in PostgreSQL."""

import random
from pathlib import Path

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import carried
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

TRANSACTION = common.Table(
    name="transaction",
    columns=[
        column("id", common.INT, key=True),
        column("amount", common.DOUBLE),
        column("desc"),
        column("_fivetran_synced", common.UTC_DATETIME),
        column("_fivetran_deleted", common.BOOLEAN),
    ],
)


@pytest.mark.parametrize(
    ("suffix", "compression", "encryption"),
    [
        (".csv", sdk.OFF, sdk.NONE),
        (".csv.zstd", sdk.ZSTD, sdk.NONE),
        (".csv.zstd.aes", sdk.ZSTD, sdk.AES),
    ],
)
def test_official_testers_files_load_with_their_duplicates(
    client: Client,
    database: Database,
    official_files: Path,
    suffix: str,
    compression: sdk.Compression,
    encryption: sdk.Encryption,
) -> None:
    client.files.compression, client.files.encryption = compression, encryption
    paths = {
        kind: str(official_files / f"transaction_input_1_{kind}{suffix}")
        for kind in ("upsert", "update", "delete")
    }
    if encryption == sdk.AES:
        client.files.keys.update(
            {path: Path(f"{path}.key").read_bytes() for path in paths.values()}
        )
    assert client.create(TRANSACTION).success
    answer = client.send(
        TRANSACTION,
        replace_files=[paths["upsert"]],
        update_files=[paths["update"]],
        delete_files=[paths["delete"]],
    )
    assert answer.success, answer
    assert database.rows("transaction", "id", "amount", "desc", "_fivetran_deleted") == [
        (1, 200.0, None, False),
        (10, 100.0, "thee", False),
        (2, 150.33, "two", False),
        (20, 50.0, "mone", False),
        (4, 150.33, "two", True),
    ]


def test_files_apply_in_the_order_of_replace_update_delete(
    client: Client, database: Database
) -> None:
    assert client.create(TRANSACTION).success
    rows: list[Row] = [{"id": i, "amount": 1.5, "desc": "replaced"} for i in (1, 2, 3)]
    changes: list[Row] = [{"id": i, "amount": UNMODIFIED, "desc": "updated"} for i in (2, 3)]
    for _ in range(2):
        answer = client.write(TRANSACTION, replace=[rows], update=[changes], delete=[[{"id": 3}]])
        assert answer.success, answer
    assert database.rows("transaction", "id", "amount", "desc") == [
        (1, 1.5, "replaced"),
        (2, 1.5, "updated"),
    ]


def test_update_leaves_unmodified_values(client: Client, database: Database) -> None:
    assert client.create(TRANSACTION).success
    rows: list[Row] = [{"id": 1, "amount": 1.5, "desc": "one", "_fivetran_deleted": False}]
    changes: list[Row] = [{"id": 1, "amount": UNMODIFIED, "desc": None, "_fivetran_deleted": True}]
    assert client.write(TRANSACTION, replace=[rows], update=[changes]).success
    assert database.rows("transaction", "id", "amount", "desc", "_fivetran_deleted") == [
        (1, 1.5, None, True)
    ]


@pytest.mark.parametrize("repeated", [0, 3], ids=["keys once", "keys that repeat"])
@pytest.mark.parametrize("few", [True, False], ids=["few", "many"])
def test_batch_is_merged_whatever_its_share_of_the_table(
    client: Client,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    repeated: int,
    *,
    few: bool,
) -> None:
    """Few rows are updated in their places, many deleted and inserted anew; a repeated key's last wins."""
    monkeypatch.setattr(carried, "FILE_BYTES", -1)
    table = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
    old: list[Row] = [{"id": i, "text": "old"} for i in range(8000 if few else 60)]
    new: list[Row] = [{"id": i, "text": "new"} for i in range(20, 60)]
    first: list[Row] = [{**row, "text": "first"} for row in new[:repeated]]
    added: list[Row] = [{"id": -1, "text": "new"}]
    assert client.create(table).success
    assert client.write(table, replace=[old]).success
    assert client.write(table, replace=[first + new + added]).success
    texts = {row["id"]: row["text"] for row in old + new + added}
    assert database.rows("t", "id", "text") == sorted(texts.items(), key=repr)
    if database.distributed:
        return
    locked_and_updated = database.execute("SELECT count(*) FROM {schema}.t WHERE xmax <> 0")
    assert locked_and_updated == [(40 if few or repeated else 0,)]


@pytest.mark.parametrize("most", [carried.FILE_BYTES, -1], ids=["carried", "staged"])
def test_rows_without_a_key_are_added_and_neither_updated_nor_deleted(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(carried, "FILE_BYTES", most)
    table = common.Table(name="t", columns=[column("number", common.INT), column("text")])
    rows: list[Row] = [{"number": 1, "text": "a"}, {"number": 1, "text": "a"}]
    assert client.create(table).success
    for _ in range(2):
        assert client.write(table, replace=[rows, rows[:1]]).success
    for answer in (client.write(table, update=[rows]), client.write(table, delete=[rows])):
        assert "has no primary key" in answer.task.message
    assert database.rows("t") == [(1, "a")] * 6


WIDE = common.Table(
    name="t", columns=[column("id", common.LONG, key=True), column("text"), column("kept")]
)
KEPT = "a value that no file holds"


@pytest.mark.parametrize("few", [True, False], ids=["few", "many"])
def test_value_of_a_column_that_no_file_holds_stays(
    client: Client, database: Database, *, few: bool
) -> None:
    """Neither the column's default nor NULL takes its place."""
    old: list[Row] = [{"id": i, "text": "old", "kept": KEPT} for i in range(8000 if few else 60)]
    new: list[Row] = [{"id": i, "text": "new"} for i in range(-1, 40)]
    assert client.create(WIDE).success
    database.execute("ALTER TABLE {schema}.t ALTER kept SET DEFAULT 'the default'")
    assert client.write(WIDE, replace=[old]).success
    assert client.write(WIDE, replace=[new]).success
    shown = "SELECT text, kept, count(*) FROM {schema}.t GROUP BY 1, 2 ORDER BY 1, 2"
    assert database.execute(shown) == [
        ("new", KEPT, 40), ("new", "the default", 1), ("old", KEPT, len(old) - 40)
    ]  # fmt: skip


def test_rows_that_refer_to_replaced_ones_stay_and_no_trigger_sees_them_go(
    client: Client, database: Database
) -> None:
    database.needs_local_tables("Citus has no triggers on them")
    table = common.Table(name="t", columns=[column("id", common.LONG, key=True), column("text")])
    rows: list[Row] = [{"id": i, "text": "old"} for i in range(60)]
    assert client.create(table).success
    assert client.write(table, replace=[rows]).success
    database.execute(
        "CREATE TABLE {schema}.child (id bigint REFERENCES {schema}.t ON DELETE CASCADE);"
        "INSERT INTO {schema}.child SELECT id FROM {schema}.t;"
        "CREATE TABLE {schema}.gone (id bigint);"
        "CREATE FUNCTION {schema}.note() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN EXECUTE format('INSERT INTO %I.gone VALUES ($1)', TG_TABLE_SCHEMA) USING OLD.id;"
        " RETURN OLD; END $$;"
        "CREATE TRIGGER note AFTER DELETE ON {schema}.t FOR EACH ROW"
        " EXECUTE FUNCTION {schema}.note()"
    )
    answer = client.write(table, replace=[[{**row, "text": "new"} for row in rows]])
    assert answer.success, answer
    assert database.execute("SELECT DISTINCT text FROM {schema}.t") == [("new",)]
    assert database.execute("SELECT count(*) FROM {schema}.child") == [(60,)]
    assert database.rows("gone") == []


def test_partial_rows_of_many_keys_inherit_each_from_their_own(
    client: Client, database: Database
) -> None:
    """In a file that is too large to travel in statements."""
    table = common.Table(
        name="t", columns=[column("id", common.INT, key=True), *map(column, ("a", "b", "pad"))]
    )
    keys = range(50)
    assert client.create(table).success
    assert client.write(
        table, replace=[[{"id": key, "a": "a", "b": f"b{key}", "pad": ""} for key in keys]]
    ).success
    large = [random.Random(key).randbytes(4000).hex() for key in keys]
    first: list[Row] = [
        {"id": key, "a": f"x{key}", "b": UNMODIFIED, "pad": pad} for key, pad in enumerate(large)
    ]
    second: list[Row] = [
        {"id": key, "a": UNMODIFIED, "b": f"y{key}", "pad": UNMODIFIED} for key in keys if key % 2
    ]
    third: list[Row] = [
        {"id": key, "a": UNMODIFIED, "b": UNMODIFIED, "pad": f"z{key}"} for key in keys if key % 3
    ]
    assert client.write(table, update=[[*first, *second, *third]]).success
    assert sorted(database.rows("t")) == [
        (key, f"x{key}", f"y{key}" if key % 2 else f"b{key}", f"z{key}" if key % 3 else large[key])
        for key in keys
    ]
