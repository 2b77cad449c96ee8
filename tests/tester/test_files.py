"""The tester writes what Fivetran's own tester writes."""

import csv
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester import jackson
from destination_tester.batches import Batch, Writer
from destination_tester.files import NULL_STRING, BatchFiles
from destination_tester.inputs import Change, Define, read
from destination_tester.model import TableModel
from destination_tester.notation import Cell
from tests.support.fix_connector import column

TIMESTAMP = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z")
SYNCED = datetime(2025, 11, 21, 14, 59, 47, 315000, UTC)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        ("plain", "plain"),
        ("x" * 24, "x" * 24),
        ("x" * 25, '"' + "x" * 25 + '"'),
        ("a b", '"a b"'),
        ("a,b", '"a,b"'),
        ('a"b', '"a""b"'),
        ("a\nb", '"a\nb"'),
        ("a+b", '"a+b"'),
        ("a-b", "a-b"),
        ("back\\slash", "back\\slash"),
        (NULL_STRING, NULL_STRING),
    ],
)
def test_quoting_is_jacksons(text: str, written: str) -> None:
    assert jackson.encode(["h"], [[text]], NULL_STRING) == f"h\n{written}\n".encode()


def cells(content: str) -> Iterator[list[str]]:
    """Cells of a file as they are written, quotes included."""
    for line in content.splitlines():
        yield re.findall(r'(?:^|,)((?:"(?:[^"]|"")*"|[^,]*))', line)


def normalized(content: str) -> tuple[list[str], list[tuple[str, ...]]]:
    """The columns' names and the rows, whatever the column order and the timestamps of the sync."""
    header, *rows = cells(content)
    order = sorted(range(len(header)), key=lambda i: header[i])
    synced = header.index("_fivetran_synced") if "_fivetran_synced" in header else -1
    return [header[i] for i in order], [
        tuple(TIMESTAMP.sub("T", row[i]) if i == synced else row[i] for i in order) for row in rows
    ]


def written(directory: Path, models: dict[str, TableModel], path: Path) -> dict[str, str]:
    """What the tester writes for an input, by file name without its random part."""
    files = BatchFiles(directory, sdk.CSV, sdk.OFF, sdk.NONE)
    batches: dict[str, Batch] = {}
    for step in read(path).steps:
        if isinstance(step, Define):
            models[step.table.name] = TableModel.of(step.table)
        if isinstance(step, Change):
            batch = batches.setdefault(step.table, Batch(models[step.table]))
            batch.add(step, SYNCED)
    contents = {}
    for name, batch in batches.items():
        paths = Writer(files).write(f"{name}_{path.stem}", batch.model, batch.finish())
        for kind, (file, *_) in ((kind, names) for kind, names in paths.items() if names):
            contents[f"{name}_{path.stem}_{kind}.csv"] = Path(file).read_text()
    return contents


def test_input_1_is_written_as_by_the_official_tester(official_files: Path, tmp_path: Path) -> None:
    found = written(tmp_path, {}, official_files / "input_1.json")
    expected = {path.name: path.read_text() for path in official_files.glob("*input_1*.csv")}
    assert set(found) == set(expected)
    for name, content in found.items():
        assert normalized(content) == normalized(expected[name]), name


def test_history_is_written_as_by_the_official_tester(official_files: Path, tmp_path: Path) -> None:
    table = common.Table(
        name="transaction_history",
        columns=[
            column("id", common.INT, key=True),
            column("amount", common.DOUBLE),
            column("desc"),
            column("_fivetran_synced", common.UTC_DATETIME),
            column("_fivetran_start", common.UTC_DATETIME, key=True),
            column("_fivetran_end", common.UTC_DATETIME),
            column("_fivetran_active", common.BOOLEAN),
        ],
    )
    models = {table.name: TableModel.of(table)}
    found: dict[str, str] = {}
    for name in ("history_mode_3_UPDATE", "history_mode_4_DELETE"):
        found |= written(tmp_path, models, official_files / f"{name}.json")
    expected = {p.name: p.read_text() for p in official_files.glob("transaction_history_*.csv")}
    assert set(found) == set(expected)
    for name, content in found.items():
        assert normalized(content) == normalized(expected[name]), name


def test_columns_stand_in_another_order_in_every_file(tmp_path: Path) -> None:
    model = TableModel.of(common.Table(columns=[column(name) for name in "abcdefgh"]))
    writer = Writer(BatchFiles(tmp_path, sdk.CSV, sdk.OFF, sdk.NONE))
    row: dict[str, Cell] = dict.fromkeys("abcdefgh", "x")
    paths = [writer.write("t", model, {"upsert": [row]})["upsert"][0] for _ in range(5)]
    headers = {next(csv.reader(io.StringIO(Path(path).read_text())))[0] for path in paths}
    assert len(headers) > 1
