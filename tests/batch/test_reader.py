"""Batch files opened: whatever is in them, rows come out or an error of the project's own."""

import gzip
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from destination.batch.decompression import Compression
from destination.batch.reader import BatchFile, FileParams
from destination.errors import BatchFileError, CapacityError, CustomerError
from destination.memory import MIB, Budget
from destination.schema import Column, DataType, DecimalParams, Table
from destination_tester.files import encrypt
from tests.support.examples import examples

TABLE = Table(
    "t",
    (
        Column("id", DataType.LONG, primary_key=True),
        *(
            Column(
                kind.value, kind, decimal=DecimalParams(9, 3) if kind is DataType.DECIMAL else None
            )
            for kind in DataType
        ),
    ),
)
NAMES = [column.name for column in TABLE.columns]
NUL_BOMB = 2 << 30


def read(path: Path, params: FileParams, key: bytes | None = None, *, partial: bool = False) -> int:
    file = BatchFile(str(path), key, params, TABLE, Budget(128 * MIB), partial=partial)
    with file.open() as rows:
        return sum(batch.num_rows for batch in rows)


def params(compression: Compression, *, encrypted: bool = False) -> FileParams:
    return FileParams(compression, encrypted, "null-string", "unmodified-string")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["one endless value", "parquet", "header"])
def test_bomb_stops_at_the_memory_budget(tmp_path: Path, kind: str) -> None:
    start = {"one endless value": b'id\n"', "parquet": b"PAR1", "header": b'"'}[kind]
    path = tmp_path / "bomb"
    compressor = zstandard.ZstdCompressor(level=1)
    with path.open("wb") as file, compressor.stream_writer(file) as writer:
        writer.write(start)
        for _ in range(NUL_BOMB >> 24):
            writer.write(bytes(1 << 24))
    assert path.stat().st_size < MIB
    with pytest.raises(CustomerError) as raised:
        read(path, params(Compression.ZSTD))
    if kind != "header":
        assert isinstance(raised.value, CapacityError)


CELLS = st.sampled_from(
    [
        "1", "-1", "true", "1.5", "NaN", "Infinity", "1e400", "9" * 40, "2020-01-01", "10:15",
        "2020-01-01T00:00:00Z", "+999999999-01-01", "AP8=", "[B@", "", '"', "null-string",
        "unmodified-string", "\0", "\n", ",", "é", "\\.", "0x1F", "{", " 1", "1 ", "١",
    ]
)  # fmt: skip


@examples(150)
@given(
    header=st.lists(st.sampled_from([*NAMES, "other", ""]), max_size=5).map(
        lambda names: ["id", *names]
    ),
    rows=st.lists(st.lists(CELLS | st.text(max_size=5), max_size=6), max_size=5),
    raw=st.binary(max_size=20),
    partial=st.booleans(),
)
def test_any_csv_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    header: list[str],
    rows: list[list[str]],
    raw: bytes,
    partial: bool,  # noqa: FBT001
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    lines = [",".join(line) for line in [header, *rows]]
    path.write_bytes("\n".join(lines).encode(errors="surrogatepass") + raw)
    with suppress(CustomerError):
        read(path, params(Compression.OFF), partial=partial)


@examples(150)
@given(
    content=st.binary(max_size=200), layer=st.sampled_from(list(Compression)), damage=st.binary()
)
def test_any_bytes_in_any_layer_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, layer: Compression, damage: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    whole = {
        Compression.OFF: content,
        Compression.ZSTD: zstandard.compress(content),
        Compression.GZIP: gzip.compress(content),
    }[layer]
    for prefix in (b"", b"PAR1"):
        key, encrypted = encrypt(prefix + whole)
        for candidate, secret in (
            (prefix + whole + damage, None),
            (damage + whole, None),
            (encrypted + damage, key),
        ):
            path.write_bytes(candidate)
            with suppress(CustomerError):
                read(path, params(layer, encrypted=secret is not None), secret)


def test_values_that_stand_in_place_of_a_header_are_not_shown(tmp_path: Path) -> None:
    """Without a key, nothing tells a header from a row."""
    path = tmp_path / "rows.csv"
    path.write_bytes(b"marked-secret,marked-secret-too\n")
    keyless = Table("t", (Column("id", DataType.LONG), Column("text", DataType.STRING)))
    file = BatchFile(str(path), None, params(Compression.OFF), keyless, Budget())
    with pytest.raises(BatchFileError) as refused, file.open():
        pass
    assert str(refused.value) == (f'batch file {path}: its header has columns that table "t" lacks')


KEYED = Table("t", (TABLE.columns[0], Column("a", DataType.STRING), Column("b", DataType.STRING)))


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"b,a,id\nx,y,1\n")
    for only, wanted in ((None, ["id", "a", "b"]), (("b", "id"), ["id", "b"])):
        file = BatchFile(str(path), None, params(Compression.OFF), KEYED, Budget(), only=only)
        with file.open() as rows:
            assert [column.name for column in rows.columns] == wanted
            assert [batch.schema.names for batch in rows] == [wanted]


def test_parquet_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    parquet.write_table(pa.table({"a": ["x\0", "null-string"], "id": [1, 2]}), path)
    file = BatchFile(str(path), None, params(Compression.OFF), KEYED, Budget(), unstorable="\0")
    with file.open() as rows:
        assert [row for batch in rows for row in batch.to_pylist()] == [
            {"id": 1, "a": "x"},
            {"id": 2, "a": None},
        ]


@pytest.mark.parametrize("file_type", ["csv", "parquet"])
@pytest.mark.parametrize(("length", "few"), [(10, True), (5 * MIB, False)])
def test_file_says_before_its_rows_are_decoded_whether_they_are_few(
    tmp_path: Path, file_type: str, length: int, *, few: bool
) -> None:
    """However few bytes it has on disk."""
    path, text = tmp_path / "rows", "x" * length
    compression = Compression.OFF
    if file_type == "csv":
        compression = Compression.GZIP
        path.write_bytes(gzip.compress(f"text\n{text}\n".encode()))
    else:
        parquet.write_table(pa.table({"text": [text]}), path, compression="snappy")
    table = Table("t", (Column("text", DataType.STRING),))
    with BatchFile(str(path), None, params(compression), table, Budget()).open() as rows:
        assert rows.few == few


@pytest.mark.parametrize(
    ("header", "only", "told"),
    [
        ("a", None, 'lacks the columns "id"'),
        ("a", ("b", "id"), 'lacks the columns "b", "id"'),
        ("id,a", ("b",), 'lacks the columns "b"'),
        ("id,c", None, 'has columns "c" that table "t" lacks'),
        ("id,a,a", None, 'has the columns "a" more than once'),
    ],
)
def test_header_that_does_not_fit_is_told(
    tmp_path: Path, header: str, only: tuple[str, ...] | None, told: str
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n")
    file = BatchFile(str(path), None, params(Compression.OFF), KEYED, Budget(), only=only)
    with pytest.raises(BatchFileError, match=told), file.open():
        pass


@pytest.mark.parametrize("offset", range(-2, 2))
def test_line_ends_in_values_survive_wherever_decrypted_pieces_end(
    tmp_path: Path, offset: int
) -> None:
    """They are of 1 MiB each, which is less than a block of CSV."""
    ends = [n * MIB + offset for n in (1, 2, 3, 4)]
    table = Table("t", (Column("text", DataType.STRING),))
    content, texts = bytearray(b"text\n"), list[str]()
    for end in ends:
        text = "x" * (end - len(content) - 2) + "\r\n" + "y"
        texts.append(text)
        content += f'"{text}"\n'.encode()
        assert content[end - 1 : end + 1] == b"\r\n"
    key, encrypted = encrypt(bytes(content))
    path = tmp_path / "rows.csv.aes"
    path.write_bytes(encrypted)
    encryption = params(Compression.OFF, encrypted=True)
    with BatchFile(str(path), key, encryption, table, Budget()).open() as rows:
        assert [text for batch in rows for text in batch["text"].to_pylist()] == texts
