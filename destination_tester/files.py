"""Batch files as Fivetran writes them: CSV or Parquet, compressed, encrypted with a key each."""

from __future__ import annotations

import gzip
import io
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import zstandard
from Crypto.Cipher import AES
from Crypto.Util.Padding import pad
from pyarrow import parquet

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination_tester import jackson
from destination_tester.notation import Cell, Unmodified, to_text

NULL_STRING = "null-m8yilkvPsNulehxl2G6pmSQ3G3WWdLP"
UNMODIFIED_STRING = "unmod-NcK9NIjPUutCsz4mjOQQztbnwnE1sY3"
"""The constants of Fivetran's own tester."""

KEY_BYTES = 32
LONGEST_NAME = 200
"""Bytes of a file's name, before what is added, that every file system takes."""
UNSAFE = re.compile(r"[/\\\x00-\x1f]|^\.")
"""What has a meaning in a path."""
MAX_DECIMAL_DIGITS = 38
"""The digits of Parquet's decimals as Fivetran writes them; wider ones are strings."""

Row = Mapping[str, Cell]

PARQUET_TYPES: dict[int, pa.DataType] = {
    common.BOOLEAN: pa.bool_(),
    common.SHORT: pa.int32(),
    common.INT: pa.int32(),
    common.LONG: pa.int64(),
    common.FLOAT: pa.float32(),
    common.DOUBLE: pa.float64(),
    common.BINARY: pa.binary(),
}
"""What AvroParquetWriter has a native type for; DECIMAL too."""
AS_TEXT = frozenset(
    {
        common.DECIMAL,
        common.NAIVE_DATE,
        common.NAIVE_TIME,
        common.NAIVE_DATETIME,
        common.UTC_DATETIME,
        common.STRING,
        common.XML,
        common.JSON,
    }
)
"""What is a string in its files; a DECIMAL is one where it has too many digits."""


@dataclass
class BatchFiles:
    """Writes batch files into a directory and remembers their keys.

    Args:
        directory: where to.
        format: CSV or PARQUET.
        compression: ZSTD, GZIP or OFF.
        encryption: AES or NONE.
    """

    directory: Path
    format: sdk.BatchFileFormat = sdk.CSV
    compression: sdk.Compression = sdk.ZSTD
    encryption: sdk.Encryption = sdk.AES
    keys: dict[str, bytes] = field(default_factory=dict)

    @property
    def params(self) -> sdk.FileParams:
        """How the files are written, for a request."""
        return sdk.FileParams(
            compression=self.compression,
            encryption=self.encryption,
            null_string=NULL_STRING,
            unmodified_string=UNMODIFIED_STRING,
        )

    def write(self, name: str, columns: Sequence[common.Column], rows: Sequence[Row]) -> str:
        """Write rows into a new file.

        Args:
            name: the file's name, without extensions.
            columns: the columns that it holds, in their order there.
            rows: by column name; a column that a row lacks is NULL.

        Returns:
            The file's path.
        """
        if self.format == sdk.PARQUET:
            return self.write_bytes(f"{name}.parquet", _parquet(columns, rows))
        header = [column.name for column in columns]
        texts = [[_text(row.get(name)) for name in header] for row in rows]
        return self.write_bytes(f"{name}.csv", jackson.encode(header, texts, NULL_STRING))

    def write_bytes(self, name: str, content: bytes) -> str:
        """Write a file of any content, compressed and encrypted.

        Returns:
            The file's path.
        """
        name = UNSAFE.sub("_", name).encode()[-LONGEST_NAME:].decode(errors="ignore")
        if self.compression == sdk.ZSTD:
            name, content = f"{name}.zstd", zstandard.compress(content)
        elif self.compression == sdk.GZIP:
            name, content = f"{name}.gz", gzip.compress(content, 1)
        path = self.directory / f"{name}.{secrets.token_hex(4)}"
        if self.encryption == sdk.AES:
            path = path.with_suffix(f"{path.suffix}.aes")
            self.keys[str(path)], content = encrypt(content)
        path.write_bytes(content)
        return str(path)


def encrypt(plaintext: bytes) -> tuple[bytes, bytes]:
    """Encrypt a file with AES-256-CBC under a new key.

    Returns:
        The key, and the file: the IV, then the ciphertext.
    """
    key, iv = os.urandom(KEY_BYTES), os.urandom(AES.block_size)
    padded = pad(plaintext, AES.block_size)
    return key, iv + AES.new(key, AES.MODE_CBC, iv).encrypt(padded)


def _text(cell: Cell) -> str:
    if cell is None:
        return NULL_STRING
    return UNMODIFIED_STRING if isinstance(cell, Unmodified) else to_text(cell)


def _parquet(columns: Sequence[common.Column], rows: Sequence[Row]) -> bytes:
    arrays = [_parquet_column(column, [row.get(column.name) for row in rows]) for column in columns]
    table = pa.Table.from_arrays(arrays, names=[column.name for column in columns])
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="snappy")
    return sink.getvalue()


def _parquet_column(column: common.Column, cells: list[Cell]) -> pa.Array:
    """Native values where the type and every cell allow it, else strings."""
    native = _native_type(column)
    if native is None or any(isinstance(cell, str | Unmodified) for cell in cells):
        return pa.array([None if cell is None else _text(cell) for cell in cells], pa.string())
    values: list[Any] = cells
    if pa.types.is_decimal(native):
        values = [Decimal(cell) if isinstance(cell, int) else cell for cell in values]
    return pa.array(values, native)


def _native_type(column: common.Column) -> pa.DataType | None:
    params = column.params.decimal
    if column.type == common.DECIMAL and _is_native(params):
        return pa.decimal128(params.precision, params.scale)
    return None if column.type in AS_TEXT else PARQUET_TYPES[column.type]


def _is_native(params: common.DecimalParams) -> bool:
    return params.scale <= params.precision and 0 < params.precision <= MAX_DECIMAL_DIGITS
