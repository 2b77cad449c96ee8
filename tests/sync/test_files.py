"""Batch files: encrypted, cut where they would become too large, the same rows whatever their format."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from pyarrow import parquet

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from local_platform.sync.files import BatchFiles, prepare
from local_platform.sync.types import STRING, Type
from local_platform.sync.window import NOWHERE, Rows

TYPES = {"id": Type(common.LONG), "text": STRING}


def decrypted(path: str, key: bytes) -> bytes:
    content = Path(path).read_bytes()
    cipher, padding = Cipher(AES256(key), CBC(content[:16])).decryptor(), PKCS7(128).unpadder()
    return padding.update(cipher.update(content[16:]) + cipher.finalize()) + padding.finalize()


def rows(*texts: str | None) -> Rows:
    made = Rows(len(texts))
    made.add("id", pa.array([str(n) for n in range(len(texts))]))
    made.add("text", pa.array(texts, pa.string()))
    return made


def test_csv_is_what_fivetran_writes(tmp_path: Path) -> None:
    files = BatchFiles(tmp_path)
    (path,) = files.write("replace", rows("a", None, "", 'q"u,o\nte', "null"), TYPES)
    assert Path(path).stat().st_mode & 0o777 == 0o600
    expected = '"id","text"\n"0","a"\n"1",NULL\n"2",""\n"3","q""u,o\nte"\n"4","null"\n'
    plain = decrypted(path, files.keys[path]).decode()
    assert plain == expected.replace("NULL", files.null)
    assert b'q"' not in Path(path).read_bytes()
    files.delete()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format_name", [sdk.CSV, sdk.PARQUET])
def test_unmodified_cells_are_marked(tmp_path: Path, format_name: sdk.BatchFileFormat) -> None:
    files = BatchFiles(tmp_path, format_name)
    made = Rows(2)
    made.add("id", pa.array(["1", "2"]))
    made.add("text", pa.array(["new", None]), np.array([NOWHERE, 1]))
    (path,) = files.write("update", made, TYPES)
    plain = decrypted(path, files.keys[path])
    if format_name == sdk.CSV:
        assert plain.decode().splitlines()[1:] == [f'"1","{files.unmodified}"', f'"2",{files.null}']
        return
    table = parquet.read_table(pa.BufferReader(plain))
    assert table.to_pydict() == {"id": [1, 2], "text": [files.unmodified, None]}


@pytest.mark.parametrize("format_name", [sdk.CSV, sdk.PARQUET])
def test_no_file_is_larger_than_it_may_be(tmp_path: Path, format_name: sdk.BatchFileFormat) -> None:
    files = BatchFiles(tmp_path, format_name, max_bytes=100_000)
    texts = [f"{n % 10}" * (n % 3000) for n in range(500)]
    paths = files.write("replace", rows(*texts), TYPES)
    plains = [decrypted(path, files.keys[path]) for path in paths]
    assert len(paths) > 2
    assert max(map(len, plains)) <= 100_000
    if format_name == sdk.CSV:
        lines = [line for plain in plains for line in plain.decode().splitlines()[1:]]
        assert lines == [f'"{n}","{text}"' for n, text in enumerate(texts)]
    else:
        tables = [parquet.read_table(pa.BufferReader(plain)) for plain in plains]
        assert pa.concat_tables(tables)["text"].to_pylist() == texts


def test_row_that_is_larger_than_a_file_may_be_is_in_one_of_its_own(tmp_path: Path) -> None:
    files = BatchFiles(tmp_path, max_bytes=1000)
    paths = files.write("replace", rows("a", "b" * 5000, "c"), TYPES)
    assert len(paths) == 3


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (Type(common.BOOLEAN), ["true", "false"]), (Type(common.SHORT), ["-1", "2"]),
        (Type(common.FLOAT), ["42.42", "Infinity", "-Infinity", "NaN", "1.0E20"]),
        (Type(common.DOUBLE), ["1.0E300", "5.0"]), (Type(common.DECIMAL, 6, 2), ["1.5", "1000"]),
        (Type(common.DECIMAL), ["1.5"]), (Type(common.BINARY), ["AAE="]), (Type(common.UTC_DATETIME), ["2020-01-01T00:00:00Z"]),
    ],
)  # fmt: skip
def test_parquet_takes_values_of_every_type(tmp_path: Path, kind: Type, texts: list[str]) -> None:
    files = BatchFiles(tmp_path, sdk.PARQUET)
    made = Rows(len(texts))
    made.add("v", pa.array(texts))
    (path,) = files.write("replace", made, {"v": kind})
    table = parquet.read_table(pa.BufferReader(decrypted(path, files.keys[path])))
    assert table.num_rows == len(texts)
    assert table["v"].null_count == 0


def test_leftovers_of_a_killed_sync_go(tmp_path: Path) -> None:
    (prepare(tmp_path) / "old.aes").write_bytes(b"x")
    assert list(prepare(tmp_path).iterdir()) == []
    assert (tmp_path / "files").stat().st_mode & 0o777 == 0o700
