"""Files that are decoded beforehand: the same rows and the same refusals."""

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from destination.batch.decompression import Compression
from destination.batch.prefetch import KEPT_BYTES, Prefetched
from destination.batch.reader import BatchFile, FileParams
from destination.errors import BatchFileError
from destination.memory import Budget
from destination.schema import Column, DataType, Table

TABLE = Table("t", (Column("id", DataType.LONG, primary_key=True), Column("text", DataType.STRING)))
PARAMS = FileParams(Compression.OFF, encrypted=False, null_string="", unmodified_string="")


def prefetched(path: Path) -> Prefetched:
    return Prefetched(BatchFile(str(path), None, PARAMS, TABLE, Budget()))


def texts(file: Prefetched) -> list[str]:
    with file.open() as rows:
        assert [column.name for column in rows.columns] == ["id", "text"]
        return [text for batch in rows for text in batch["text"].to_pylist()]


def test_rows_are_read_as_often_as_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n1,a\n2,b\n")
    file = prefetched(path)
    assert (file.name, file.size) == (str(path), 16)
    assert texts(file) == texts(file) == ["a", "b"]


def test_file_may_be_gone_once_its_rows_were_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n1,a\n")
    file = prefetched(path)
    assert texts(file) == ["a"]
    path.unlink()
    assert texts(file) == ["a"]


def test_large_rows_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    values = ["x" * (KEPT_BYTES // 4)] * 8
    parquet.write_table(pa.table({"id": range(8), "text": values}), path)
    file = prefetched(path)
    assert texts(file) == values
    path.unlink()
    with pytest.raises(BatchFileError), file.open():
        pass


@pytest.mark.parametrize("content", ["id,text\n1\n", "id,text\nx,a\n", "text\na\n"])
def test_refusal_comes_when_the_rows_are_asked_for(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(content)
    file = prefetched(path)
    for _ in range(2):
        with pytest.raises(BatchFileError):
            texts(file)
