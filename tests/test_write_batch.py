"""WriteBatch, from batch files to rows in PostgreSQL."""

from pathlib import Path

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import carried
from destination_tester.files import Row
from destination_tester.notation import UNMODIFIED
from tests.fix_connector import Client, column
from tests.fix_postgres import Database

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
    locked_and_updated = database.execute("SELECT count(*) FROM {schema}.t WHERE xmax <> 0")
    assert locked_and_updated == [(40 if few or repeated else 0,)]
