"""CSV by Arrow's stream: the same rows as block by block, and the end of it where they would differ."""

import gzip
import io
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from destination.batch import csv, csv_stream, reader
from destination.batch.decompression import Compression, DecompressingReader
from destination.batch.reader import BatchFile, FileParams
from destination.batch.values import Notices
from destination.errors import BatchFileError, CapacityError
from destination.memory import FILE_BYTES, Budget
from destination.schema import Column, DataType, Table
from destination_tester import jackson
from destination_tester.files import encrypt
from tests.batch.test_memory import large_windows

ROOT = Path(__file__).parents[2]
NULL = "null-string"
NANOSECONDS = "2020-01-01T00:00:00.123456789Z"
"""A moment that Arrow's reader refuses and the one of texts takes."""
FIRST = Column("first", DataType.STRING)
TEXT = Column("text", DataType.STRING)
NUMBER = Column("number", DataType.LONG)
MOMENT = Column("moment", DataType.UTC_DATETIME)


def batch_file(
    directory: Path, content: bytes, *columns: Column, budget: Budget | None = None
) -> BatchFile:
    path = directory / "rows.csv.zst"
    path.write_bytes(zstandard.compress(content))
    params = FileParams(Compression.ZSTD, encrypted=False, null_string=NULL, unmodified_string="")
    table = Table("t", columns)
    return BatchFile(str(path), None, params, table, budget or Budget(), unstorable="\0")


def read(directory: Path, content: bytes, *columns: Column) -> list[tuple[object, ...]]:
    with batch_file(directory, content, *columns).open() as rows:
        return [tuple(row.values()) for batch in rows for row in batch.to_pylist()]


def stored(text: str) -> str | None:
    return None if text == NULL else text.replace("\0", "")


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gets an entry for each file that is read block by block."""
    read_rows, calls = csv.read_rows, []

    def noting(*args: object) -> Iterator[object]:
        calls.append("by blocks")
        return read_rows(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(csv, "read_rows", noting)
    return calls


@contextmanager
def block_bytes(size: int, wide: int = csv_stream.WIDE_COLUMNS) -> Iterator[None]:
    whole, columns = csv_stream.BLOCK_BYTES, csv_stream.WIDE_COLUMNS
    csv_stream.BLOCK_BYTES, csv_stream.WIDE_COLUMNS = size, wide
    reader.WHOLE_BYTES = 0
    try:
        yield
    finally:
        csv_stream.BLOCK_BYTES = reader.WHOLE_BYTES = whole
        csv_stream.WIDE_COLUMNS = columns


TEXTS = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["", "\n", '"', ",", "\r\n", "\r", '","', "\\", '"\n', "\ufeff", "\0", NULL, "x" * 300]
)


@given(
    rows=st.lists(st.tuples(TEXTS, st.integers(0, 9), TEXTS), max_size=50),
    times=st.sampled_from([1, 100]),
    size=st.integers(32, 128) | st.sampled_from([512, 4096]),
    wide=st.sampled_from([1, csv_stream.WIDE_COLUMNS]),
)
def test_streamed_rows_come_back_whatever_they_hold_and_however_blocks_fall(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int, str]],
    times: int,
    size: int,
    wide: int,
) -> None:
    rows *= times
    cells = [[first, str(number), last] for first, number, last in rows]
    content = jackson.encode(["text", "number", "last"], cells, NULL)
    with block_bytes(size, wide):
        columns = TEXT, NUMBER, Column("last", DataType.STRING)
        found = read(tmp_path_factory.getbasetemp(), content, *columns)
    assert found == [(stored(first), number, stored(last)) for first, number, last in rows]


@pytest.mark.parametrize("text", ["\r\n", "a\r\nb", '\r\n"', "\r\r\n", "\n\n", '""', "ä€𝄞"])
def test_value_may_be_cut_anywhere(tmp_path: Path, text: str, blocks: list[str]) -> None:
    rows = [["x", text]] * 50 + [["x", "end"]]
    content = jackson.encode(["first", "text"], rows, NULL)
    for size in range(64, 96):
        with block_bytes(size):
            assert [list(row) for row in read(tmp_path, content, FIRST, TEXT)] == rows
    assert not blocks


def test_first_row_of_many_blocks(tmp_path: Path, blocks: list[str]) -> None:
    rows = [["x" * 300, "a"], ["y", "b"], ["z" * 300, "c"]]
    content = jackson.encode(["first", "text"], rows, NULL)
    with block_bytes(64):
        for _ in range(50):
            assert read(tmp_path, content, FIRST, TEXT) == [(first, text) for first, text in rows]
    assert len(blocks) == 50


@pytest.mark.parametrize(
    ("filler", "encoded"), [("x", 1), ("\n", 1), ("\r", 1), (",", 1), ('"', 2), ("ä", 2)]
)
@pytest.mark.parametrize(("wide", "length"), [(1, 170), (csv_stream.WIDE_COLUMNS, 85)])
def test_first_row_may_be_longer_than_a_block(
    tmp_path: Path, blocks: list[str], wide: int, length: int, filler: str, encoded: int
) -> None:
    """Arrow makes no batch of that block: nothing waits for one."""
    rows = [[filler * (length // encoded), "a"], *[["y", "b"]] * 20_000]
    content = jackson.encode(["first", "text"], rows, NULL)
    with block_bytes(64, wide):
        assert [list(row) for row in read(tmp_path, content, FIRST, TEXT)] == rows
    assert not blocks


@pytest.mark.parametrize("wide", [1, csv_stream.WIDE_COLUMNS])
@pytest.mark.parametrize("every", [1, 2, 60, 20_000])
def test_rows_may_be_longer_than_a_block_anywhere(tmp_path: Path, every: int, wide: int) -> None:
    rows = [["x" * (170 if i % every == every - 1 else 1), "b"] for i in range(20_000)]
    content = jackson.encode(["first", "text"], rows, NULL)
    with block_bytes(64, wide):
        assert [list(row) for row in read(tmp_path, content, FIRST, TEXT)] == rows


@pytest.mark.parametrize("last", ["x", "", "two\nlines", NULL])
def test_plain_file_is_read_once(tmp_path: Path, blocks: list[str], last: str) -> None:
    content = jackson.encode(["number", "text"], [["1", "a"], ["2", last]], NULL)
    with block_bytes(4096):
        assert read(tmp_path, content, NUMBER, TEXT) == [(1, "a"), (2, stored(last))]
    assert not blocks


def test_rows_behind_what_the_stream_refuses_come_by_blocks_and_none_twice(
    tmp_path: Path, blocks: list[str]
) -> None:
    rows = [[str(i), "2020-01-01T00:00:00Z"] for i in range(10_000)]
    rows[7000][1] = NANOSECONDS
    content = jackson.encode(["number", "moment"], rows, NULL)
    with block_bytes(4096):
        found = read(tmp_path, content, NUMBER, MOMENT)
    assert [number for number, _ in found] == list(range(10_000))
    assert blocks == ["by blocks"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["x", "a"], 'row 7001, column "number": is not a valid LONG'),
        (["1", "a", "b"], "row 7001: does not have 2 cells"),
    ],
)
def test_error_names_the_row(tmp_path: Path, row: Sequence[str], reason: str) -> None:
    lines = [f"{i},a" for i in range(7000)] + [",".join(row)]
    content = "\n".join(["number,text", *lines, "5,x\n"]).encode()
    with block_bytes(4096), pytest.raises(BatchFileError) as raised:
        read(tmp_path, content, NUMBER, TEXT)
    assert reason in str(raised.value)


def test_key_that_is_null_is_told_with_its_row(tmp_path: Path, blocks: list[str]) -> None:
    rows = [[str(i), "a"] for i in range(9000)]
    rows[7000][0] = NULL
    content = jackson.encode(["number", "text"], rows, NULL)
    key = Column("number", DataType.LONG, primary_key=True)
    with block_bytes(4096), pytest.raises(BatchFileError, match=r"row 7001\b.*is NULL"):
        read(tmp_path, content, key, TEXT)
    assert not blocks


@pytest.mark.parametrize("column", [TEXT, NUMBER, MOMENT, Column("json", DataType.JSON)])
@pytest.mark.parametrize("value", ["", "x", "1", "2020-01-01T00:00:00Z", 'x""', NULL])
@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n5,6\n"])
def test_open_quote_at_the_end_is_damage(
    tmp_path: Path, column: Column, value: str, end: str
) -> None:
    content = f'first,{column.name}\n1,\n2,"{value}{end}'.encode()
    with block_bytes(4096), pytest.raises(BatchFileError):
        read(tmp_path, content, Column("first", DataType.LONG), column)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compression", "encrypted"),
    [(Compression.ZSTD, False), (Compression.GZIP, False), (Compression.OFF, True)],
)
def test_row_that_damage_cuts_is_never_read(
    tmp_path: Path, compression: Compression, *, encrypted: bool
) -> None:
    numbers = [10**9 + i * 7_654_321 % 10**9 for i in range(600_000)]
    content = "\n".join(["number", *map(str, numbers), ""]).encode()
    pack = {Compression.ZSTD: zstandard.compress, Compression.GZIP: gzip.compress}
    stored = pack.get(compression, bytes)(content)
    key, stored = encrypt(stored) if encrypted else (None, stored)
    path, found = tmp_path / "rows", list[int]()
    params = FileParams(compression, encrypted, null_string=NULL, unmodified_string="")
    file = BatchFile(str(path), key, params, Table("t", (NUMBER,)), Budget())
    for size in range(len(stored) // 2 | 1, len(stored), len(stored) // 16 * 2):
        path.write_bytes(stored[:size])
        with block_bytes(4096), suppress(BatchFileError), file.open() as rows:
            for batch in rows:
                found += batch.column("number").to_pylist()
            pytest.fail("a file without its end was read to it")
        assert found == numbers[: len(found)]
        found.clear()


def test_memory_that_a_later_frame_lacks_is_told(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    large = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path, line = tmp_path / "rows", b"x" * 999 + b"\n"
    later = large.compress(line) + large.flush()
    path.write_bytes(zstandard.compress(b"text\n" + line * 3_000) + later)
    params = FileParams(Compression.ZSTD, encrypted=False, null_string=NULL, unmodified_string="")
    file = BatchFile(str(path), None, params, Table("t", (TEXT,)), Budget(128 << 20))
    with pytest.raises(CapacityError), file.open() as rows:
        list(rows)


def test_error_that_a_read_met_is_told_whenever_asked() -> None:
    content = zstandard.compress(b"1\n" * 9)[:-4]
    with Budget().reserve() as reservation:
        stream = DecompressingReader(io.BytesIO(content), Compression.ZSTD, reservation.part())
        feed = csv_stream._Feed(stream, Notices())  # noqa: SLF001
        feed.check()
        assert feed.read(4096) == b""
        for _ in range(2):
            with pytest.raises(BatchFileError, match="truncated"):
                feed.check()


def test_row_before_a_removed_character_is_whole(tmp_path: Path) -> None:
    rows = [["abcdefgh"]] * 50 + [["\0x"]] + [["ijklmnop"]] * 50
    content = jackson.encode(["text"], rows, NULL)
    for size in range(64, 96):
        with block_bytes(size):
            found = read(tmp_path, content, TEXT)
        assert found == [(stored(text),) for (text,) in rows]


def test_mark_at_the_front_of_a_value_is_kept(tmp_path: Path, blocks: list[str]) -> None:
    content = "text\n\ufeffa\n\ufeffb\n".encode()
    with block_bytes(4096):
        assert read(tmp_path, content, TEXT) == [("\ufeffa",), ("\ufeffb",)]
    assert not blocks


def test_file_without_rows(tmp_path: Path) -> None:
    for content in (b"number,text\n", b"number,text"):
        assert read(tmp_path, content, NUMBER, TEXT) == []
        with block_bytes(4096):
            assert read(tmp_path, content, NUMBER, TEXT) == []


def test_what_was_changed_is_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = Column("binary", DataType.BINARY), MOMENT
    rows = [["[B@1f", "2020-01-01T00:00:00Z"] for _ in range(3000)]
    content = jackson.encode(["binary", "moment"], [*rows, ["AP8=", NANOSECONDS]], NULL)
    with block_bytes(4096), caplog.at_level(logging.WARNING):
        assert len(read(tmp_path, content, *columns)) == len(rows) + 1
    (record,) = caplog.records
    assert '3000 values of column "binary" were not base64' in record.getMessage()


@pytest.mark.parametrize("then", ["go_on", "close"])
def test_blocks_ahead_of_their_rows_are_limited(then: str) -> None:
    """Arrow's thread waits for the rows of a block, or for the end; before the limit, for nothing."""
    content, pieces = b"1\n2\n3\n4\n5\n", list[bytes]()
    with Budget().reserve() as reservation:
        stream = DecompressingReader(io.BytesIO(content), Compression.OFF, reservation.part())
        feed = csv_stream._Feed(stream, Notices())  # noqa: SLF001
        pieces += [feed.read(5), feed.read(2)]
        feed.limit(3)
        pieces.append(feed.read(2))
        reading = threading.Thread(target=lambda: pieces.append(feed.read(2)), daemon=True)
        reading.start()
        reading.join(0.05)
        assert reading.is_alive()
        getattr(feed, then)()
        reading.join(10)
        assert not reading.is_alive()
    mark = csv.BYTE_ORDER_MARK
    assert pieces == [mark + b"1\n", b"2\n", b"3\n", b"4\n" if then == "go_on" else b""]


@pytest.mark.slow
def test_file_may_be_left_before_its_end(tmp_path: Path) -> None:
    content = jackson.encode(["number"], [[str(i)] for i in range(200_000)], NULL)
    file = batch_file(tmp_path, content, NUMBER)
    with block_bytes(4096):
        for _ in range(20):
            with file.open() as rows:
                assert next(iter(rows)).num_rows
            with suppress(KeyError), file.open() as rows:
                raise KeyError(next(iter(rows)))


def test_files_whose_rows_nobody_fetches_keep_no_other_waiting(tmp_path: Path) -> None:
    content = jackson.encode(["number"], [[str(i)] for i in range(20_000)], NULL)
    held = 3 * pa.io_thread_count()
    budget = Budget(2 * FILE_BYTES * (held + 1))
    file = batch_file(tmp_path, content, NUMBER, budget=budget)
    with block_bytes(4096), ExitStack() as opened:
        for _ in range(held):
            assert next(iter(opened.enter_context(file.open()))).num_rows
        with file.open() as rows:
            assert sum(batch.num_rows for batch in rows) == 20_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batches", "stored_bytes"),
    [(1, None), (1_000, None), (1_000, 65_000)],
    ids=["early", "at its end", "at its damage"],
)
def test_process_may_end_as_soon_as_reading_has(
    tmp_path: Path, batches: int, stored_bytes: int | None
) -> None:
    """A thread of Arrow's that enters Python then is ended, for which Arrow waits, or the process aborts."""
    path = tmp_path / "rows"
    large_windows(path)
    path.write_bytes(path.read_bytes()[:stored_bytes])
    command = [sys.executable, "-m", "tests.batch.ending_process", str(path), str(batches)]
    for _ in range(5):
        assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0


@pytest.mark.parametrize("text", ["0x1F", "a0XFF", "x"])
def test_text_that_looks_hexadecimal_is_kept_beside_integers(tmp_path: Path, text: str) -> None:
    rows = [[text, str(number)] for number in range(50)]
    content = jackson.encode(["text", "number"], rows, NULL)
    for size in range(64, 96):
        with block_bytes(size):
            assert read(tmp_path, content, TEXT, NUMBER) == [(text, int(row[1])) for row in rows]


@pytest.mark.parametrize("kind", [DataType.SHORT, DataType.INT, DataType.LONG])
@pytest.mark.parametrize("text", ["0xFFFF", "0X1f"])
def test_hexadecimal_integer_is_refused_wherever_blocks_fall(
    tmp_path: Path, kind: DataType, text: str
) -> None:
    rows = [["a", "1"]] * 30 + [["a", text]] + [["a", "1"]] * 30
    content = jackson.encode(["text", "number"], rows, NULL)
    for size in (*range(64, 96), 4096):
        with block_bytes(size), pytest.raises(BatchFileError, match=r"row 31\b.*number"):
            read(tmp_path, content, TEXT, Column("number", kind))
