"""Whatever is wrong with a batch file or a request: a task that says where, and nothing applied."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pyarrow as pa
import pytest
from pyarrow import parquet

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.warehouse import tables
from destination_tester.files import NULL_STRING, UNMODIFIED_STRING, BatchFiles, Row, encrypt
from tests.support.fix_connector import Client, column
from tests.support.fix_postgres import Database

TABLE = common.Table(
    name="t", columns=[column("id", common.INT, key=True), column("value"), column("n", common.INT)]
)
SECRET = "marked-secret-value"


def plain(directory: Path) -> BatchFiles:
    return BatchFiles(directory, compression=sdk.OFF, encryption=sdk.NONE)


def refused(client: Client, database: Database, content: bytes, kind: str = "replace") -> str:
    """The task that a CSV file of that content ends in."""
    client.files = plain(client.files.directory)
    good = client.files.write_bytes("good.csv", b"id,value,n\n1,good,1\n")
    bad = client.files.write_bytes("bad.csv", content)
    assert client.create(TABLE).success
    files = {"replace_files": [good]}
    files[f"{kind}_files"] = [*files.get(f"{kind}_files", []), bad]
    answer = client.send(TABLE, **files)
    assert answer.WhichOneof("response") == "task", answer
    assert SECRET not in answer.task.message
    assert database.rows("t") == []
    assert client.send(TABLE, replace_files=[good]).success
    assert database.rows("t") == [(1, "good", 1)]
    return answer.task.message


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "has no header line"),
        (b"\n", "has no header line"),
        (b"1,marked-secret-value,2\n", "header"),
        (b"id,value,other\n", '"other"'),
        (b"id,value,value\n", "more than once"),
        (b"value,n\n", '"id"'),
        (b"id,value,n\n1,marked-secret-value\n", "row 1"),
        (b"id,value,n\n1,a,1\n2,marked-secret-value,1,1\n", "row 2"),
        (b'id,value,n\n1,"marked-secret-value,2\n', "inside a quoted value"),
        (b"id,value,n\n1,a,1\n2,\xff\xfe,1\n", 'row 2, column "value"'),
        (b"id,value,n\n1,a,1\n2,b,marked-secret-value\n", 'row 2, column "n"'),
        (f"id,value,n\n1,a,1\n{NULL_STRING},b,1\n".encode(), 'row 2, column "id"'),
        (b"id,value,n\n1,a,1\n\n", "row 2"),
    ],
)
def test_malformed_csv_is_refused_with_the_file_and_the_reason(
    client: Client, database: Database, content: bytes, told: str
) -> None:
    message = refused(client, database, content)
    assert told in message
    assert "bad.csv" in message


def test_file_without_its_key_in_update_and_delete(client: Client, database: Database) -> None:
    assert '"id"' in refused(client, database, b"value\na\n", "update")


def test_delete_file_without_its_key(client: Client, database: Database) -> None:
    assert '"id"' in refused(client, database, b"value\na\n", "delete")


def test_key_that_is_unmodified_is_refused(client: Client, database: Database) -> None:
    content = f"id,value\n{UNMODIFIED_STRING},a\n".encode()
    assert 'row 1, column "id"' in refused(client, database, content, "update")


def flip_last_byte(content: bytes) -> bytes:
    return content[:-1] + bytes([content[-1] ^ 0xFF])


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda content: content[:10],
        lambda content: content[:16],
        lambda content: content[:-1],
        lambda content: content[:-16],
        lambda content: content[: len(content) // 32 * 16],
        flip_last_byte,
        lambda content: content + b"0123456789abcdef",
        lambda content: b"0123456789abcdef" + content,
    ],
)
@pytest.mark.parametrize("compression", [sdk.ZSTD, sdk.GZIP, sdk.OFF], ids=["zstd", "gzip", "off"])
def test_damaged_encrypted_file(
    client: Client,
    database: Database,
    compression: sdk.Compression,
    damage: Callable[[bytes], bytes],
) -> None:
    client.files.compression = compression
    assert client.create(TABLE).success
    rows = "".join(f"{i},{'é' * (i % 7)},1\n" for i in range(999))
    path = Path(client.files.write_bytes("bad.csv", f"id,value,n\n{rows}".encode()))
    path.write_bytes(damage(path.read_bytes()))
    answer = client.send(TABLE, replace_files=[str(path)])
    assert "bad.csv" in answer.task.message, answer
    assert database.rows("t") == []


@pytest.mark.parametrize("key", [None, b"", b"short", bytes(16), bytes(32), bytes(33)])
def test_missing_or_wrong_key(client: Client, database: Database, key: bytes | None) -> None:
    assert client.create(TABLE).success
    path = client.files.write("bad", TABLE.columns, [{"id": 1}])
    client.files.keys = {} if key is None else {path: key}
    answer = client.send(TABLE, replace_files=[path])
    assert path in answer.task.message
    assert database.rows("t") == []


def test_compressed_differently_than_said(client: Client, database: Database) -> None:
    client.files = BatchFiles(client.files.directory, compression=sdk.GZIP, encryption=sdk.NONE)
    assert client.create(TABLE).success
    path = client.files.write("bad", TABLE.columns, [{"id": 1}])
    client.files.compression = sdk.ZSTD
    assert "cannot be decompressed" in client.send(TABLE, replace_files=[path]).task.message
    client.files.compression = sdk.OFF
    assert client.send(TABLE, replace_files=[path]).WhichOneof("response") == "task"
    assert database.rows("t") == []


def test_file_that_is_no_file(client: Client, tmp_path: Path) -> None:
    client.files = plain(tmp_path)
    assert client.create(TABLE).success
    fifo, loop = tmp_path / "fifo", tmp_path / "loop"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    for path in (tmp_path, tmp_path / "missing", fifo, loop, Path("\0"), Path("x" * 5000)):
        answer = client.send(TABLE, replace_files=[str(path)])
        assert "cannot be opened" in answer.task.message, answer


def test_truncated_parquet(client: Client, database: Database) -> None:
    client.files.format, client.files.encryption = sdk.PARQUET, sdk.NONE
    client.files.compression = sdk.OFF
    assert client.create(TABLE).success
    path = Path(client.files.write("bad", TABLE.columns, [{"id": i} for i in range(999)]))
    whole = path.read_bytes()
    for size in (4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "Parquet" in client.send(TABLE, replace_files=[str(path)]).task.message
    assert database.rows("t") == []


def test_second_file_that_is_bad_undoes_the_first(client: Client, database: Database) -> None:
    assert client.create(TABLE).success
    assert client.write(TABLE, replace=[[{"id": 1, "value": "before"}]]).success
    good = client.files.write("good", TABLE.columns, [{"id": 1, "value": "after"}, {"id": 2}])
    answer = client.send(TABLE, replace_files=[good], delete_files=["missing"])
    assert "missing" in answer.task.message
    assert database.rows("t") == [(1, "before", None)]


def test_table_that_is_missing_or_lacks_a_column(client: Client) -> None:
    assert "does not exist" in client.write(TABLE, replace=[[{"id": 1}]]).task.message
    assert client.create(common.Table(name="t", columns=TABLE.columns[:2])).success
    answer = client.write(TABLE, replace=[[{"id": 1, "n": 1}]])
    assert '"n"' in answer.task.message


def test_request_whose_key_is_not_the_tables(client: Client) -> None:
    assert client.create(TABLE).success
    other = common.Table(name="t", columns=[column("id", common.INT), column("value", key=True)])
    assert "primary key" in client.write(other, replace=[[{"id": 1, "value": "a"}]]).task.message


def test_table_without_a_key_takes_appends_only(client: Client, database: Database) -> None:
    keyless = common.Table(name="t", columns=[column("id", common.INT), column("value")])
    assert client.create(keyless).success
    rows: list[list[Row]] = [[{"id": 1, "value": "a"}, {"id": 1, "value": "a"}]]
    assert client.write(keyless, replace=[*rows, *rows]).success
    assert database.rows("t") == [(1, "a")] * 4
    assert "no primary key" in client.write(keyless, update=rows).task.message
    assert "no primary key" in client.write(keyless, delete=rows).task.message


def test_constraint_of_the_customer_is_named(client: Client, database: Database) -> None:
    assert client.create(TABLE).success
    database.execute("ALTER TABLE {schema}.t ADD CONSTRAINT small CHECK (n < 10)")
    answer = client.write(TABLE, replace=[[{"id": 1, "value": SECRET, "n": 11}]])
    assert '"small"' in answer.task.message
    assert SECRET not in answer.task.message


def test_wrong_key_of_a_file_that_decrypts_by_chance(client: Client, database: Database) -> None:
    """A wrong key passes the padding check once in 256 times; the layers behind it refuse it."""
    assert client.create(TABLE).success
    for _ in range(300):
        _, content = encrypt(os.urandom(64))
        path = client.files.directory / "bad.csv.zstd.aes"
        path.write_bytes(content)
        client.files.keys = {str(path): os.urandom(32)}
        assert client.send(TABLE, replace_files=[str(path)]).WhichOneof("response") == "task"
    assert database.rows("t") == []


@pytest.mark.parametrize("field", ["compression", "encryption"])
def test_layer_that_is_unknown_is_a_task(client: Client, database: Database, field: str) -> None:
    client.files = plain(client.files.directory)
    assert client.create(TABLE).success
    request = client.request(TABLE, replace_files=[client.files.write_bytes("f", b"id\n1\n")])
    setattr(request.file_params, field, 99)
    answer = client.stub.WriteBatch(request)
    assert f"{field} 99 of the batch files is not supported" in answer.task.message, answer
    assert database.rows("t") == []


@pytest.mark.parametrize(
    "array",
    [pa.array([True]), pa.array([datetime(2020, 1, 1, tzinfo=UTC)]), pa.array([[1]])],
    ids=lambda array: str(array.type),
)
def test_parquet_column_that_is_no_number_is_told(
    client: Client, database: Database, array: pa.Array
) -> None:
    table = common.Table(
        name="t", columns=[column("id", common.INT, key=True), column("v", common.DECIMAL)]
    )
    assert client.create(table).success
    client.files.format = sdk.PARQUET
    content = pa.BufferOutputStream()
    parquet.write_table(pa.table({"id": pa.array([1], pa.int32()), "v": array}), content)
    path = client.files.write_bytes("v.parquet", content.getvalue().to_pybytes())
    assert 'column "v"' in client.send(table, replace_files=[path]).task.message
    assert database.rows("t") == []


def test_what_a_library_does_not_implement_is_no_call_that_we_lack(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(*_: object) -> None:
        raise pa.ArrowNotImplementedError(SECRET)

    monkeypatch.setattr(tables, "describe", describe)
    with pytest.raises(grpc.RpcError) as raised:
        client.describe("t")
    assert raised.value.code() is grpc.StatusCode.INTERNAL
    assert SECRET not in raised.value.details()
