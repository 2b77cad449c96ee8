"""Data for the benchmarks, from a seed: Arrow tables, and the files that both sides load."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from destination.sdk import common_pb2 as common
from destination_tester.files import UNMODIFIED_STRING, BatchFiles
from destination_tester.stored import ACTIVE, END, HISTORY_COLUMNS, START, SYNCED

SEED = 20260401
WORDS = [
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "gable",
    "hazel",
    "indigo",
    "jasper",
    "koala",
    "lilac",
    "mango",
    "nylon",
]
PARAGRAPHS = 4096
EPOCH_SECONDS = 1_600_000_000
KEY = "id"
"""The key column of every table."""


def column(name: str, kind: common.DataType, *, key: bool = False) -> common.Column:
    """A column of a table."""
    column = common.Column(name=name, type=kind, primary_key=key)
    if kind == common.DECIMAL:
        column.params.decimal.precision, column.params.decimal.scale = 18, 4
    return column


def _table(name: str, key: common.DataType, *columns: common.Column) -> common.Table:
    synced = column(SYNCED, common.UTC_DATETIME)
    return common.Table(name=name, columns=[column(KEY, key, key=True), *columns, synced])


COMMON = _table(
    "common",
    common.LONG,
    column("small", common.SHORT),
    column("number", common.INT),
    column("amount", common.DECIMAL),
    column("rate", common.DOUBLE),
    column("flag", common.BOOLEAN),
    column("day", common.NAIVE_DATE),
    column("local", common.NAIVE_DATETIME),
    column("name", common.STRING),
    column("description", common.STRING),
    column("document", common.JSON),
)
NARROW = _table("narrow", common.LONG, column("number", common.INT))
TEXT_KEY = _table("text_key", common.STRING, *COMMON.columns[1:-1])
WIDE = _table(
    "wide",
    common.LONG,
    *(
        column(f"c{i}", (common.INT, common.STRING, common.DOUBLE, common.UTC_DATETIME)[i % 4])
        for i in range(198)
    ),
)
VERSION = [column(name, kind, key=name == START) for name, kind in HISTORY_COLUMNS.items()]
"""What a table in history mode has beside."""


class Generator:
    """Makes rows of any shape; the same seed makes the same rows."""

    def __init__(self, seed: int = SEED) -> None:
        self._random = np.random.default_rng(seed)
        words = self._random.choice(WORDS, (PARAGRAPHS, 9))
        self._paragraphs = pa.array([" ".join(row) for row in words])
        self._names = pa.array([f"{row[0]}-{row[1]}" for row in words])

    def rows(self, table: common.Table, ids: range) -> pa.Table:
        """Rows with these keys, in random order of none but the key's own.

        Columns are texts in CSV notation where Arrow's own would differ.
        """
        count = len(ids)
        arrays = [
            self._ids(column, ids) if column.primary_key else self._values(column, count)
            for column in table.columns
        ]
        return pa.table(arrays, names=[column.name for column in table.columns])

    def _ids(self, column: common.Column, ids: range) -> pa.Array:
        numbers = np.arange(ids.start, ids.stop, ids.step, dtype=np.uint64)
        if column.type == common.LONG:
            return pa.array(numbers.astype(np.int64))
        scattered = numbers * np.uint64(0x9E3779B97F4A7C15)
        return pc.binary_join_element_wise(
            pc.cast(pa.array(scattered), pa.string()), pa.scalar("key"), "-"
        )

    def _values(self, column: common.Column, count: int) -> pa.Array:
        random = self._random
        match column.type:
            case common.SHORT:
                return pa.array(random.integers(-(2**15), 2**15, count))
            case common.INT:
                return pa.array(random.integers(-(2**31), 2**31, count))
            case common.DECIMAL:
                whole, fraction = (
                    pc.cast(pa.array(random.integers(0, limit, count)), pa.string())
                    for limit in (10**8, 10**4)
                )
                return pc.binary_join_element_wise(whole, pc.utf8_lpad(fraction, 4, "0"), ".")
            case common.DOUBLE:
                return pa.array(random.random(count) * 1e6)
            case common.BOOLEAN:
                return pa.array(random.random(count) < 0.5)  # noqa: PLR2004
            case common.NAIVE_DATE:
                return pa.array(random.integers(0, 20_000, count).astype(np.int32)).view(
                    pa.date32()
                )
            case common.NAIVE_DATETIME | common.UTC_DATETIME:
                return self._moments(count, utc=column.type == common.UTC_DATETIME)
            case common.JSON:
                parts = pc.cast(pa.array(random.integers(0, 10**6, count)), pa.string())
                return pc.binary_join_element_wise('{"n": ', parts, "}", "")
            case _:
                source = self._names if column.name == "name" else self._paragraphs
                return source.take(pa.array(random.integers(0, PARAGRAPHS, count)))

    def _moments(self, count: int, *, utc: bool) -> pa.Array:
        millis = EPOCH_SECONDS * 1000 + self._random.integers(0, 10**11, count)
        texts = pc.strftime(pa.array(millis).view(pa.timestamp("ms")), format="%Y-%m-%dT%H:%M:%S")
        return pc.binary_join_element_wise(texts, "Z", "") if utc else texts


@dataclass(frozen=True)
class Load:
    """The same rows as plaintext for psql and as a batch file for the connector."""

    table: common.Table
    rows: int
    plaintext: Path
    batch_file: str

    @property
    def megabytes(self) -> float:
        """The plaintext's size."""
        return self.plaintext.stat().st_size / 1e6


def versions(rows: pa.Table, start: str, end: str | None = None) -> pa.Table:
    """Rows as versions of their records; active ones without an end."""
    texts = {
        START: start,
        END: end or "9999-12-31T23:59:59.999Z",
        ACTIVE: "false" if end else "true",
    }
    for name, text in texts.items():
        rows = rows.append_column(name, pa.repeat(text, rows.num_rows))
    return rows


def unmodified(rows: pa.Table, names: Iterable[str]) -> pa.Table:
    """Rows of an update that leaves some columns as they are."""
    for name in names:
        position = rows.schema.get_field_index(name)
        rows = rows.set_column(position, name, pa.repeat(UNMODIFIED_STRING, rows.num_rows))
    return rows


def write(files: BatchFiles, table: common.Table, rows: pa.Table, name: str) -> Load:
    """Write rows for both sides."""
    plaintext = files.directory / f"{name}.plain.csv"
    csv.write_csv(rows, plaintext, csv.WriteOptions(quoting_style="needed"))
    plaintext.chmod(0o644)
    batch_file = files.write_bytes(f"{name}.csv", plaintext.read_bytes())
    return Load(table, rows.num_rows, plaintext, batch_file)
