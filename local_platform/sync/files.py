"""Batch files of columns: CSV or Parquet, encrypted as they are written, never plaintext on a disk."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CBC
from pyarrow import csv, parquet

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from local_platform.sync.types import Type
from local_platform.sync.window import Rows

BLOCK_BYTES = AES256.block_size // 8
PIECE_ROWS = 4096
"""Rows that are written at once; what a file may hold is looked at in between."""
MAX_BYTES = 100_000_000
"""The most plaintext in a file. [D]"""

NATIVE: dict[int, pa.DataType] = {
    common.BOOLEAN: pa.bool_(),
    common.SHORT: pa.int32(),
    common.INT: pa.int32(),
    common.LONG: pa.int64(),
    common.FLOAT: pa.float32(),
    common.DOUBLE: pa.float64(),
}
"""What Fivetran's Parquet has a native type for; DECIMAL with its digits too, whatever else is text."""


class Encrypted:
    """A file that is encrypted with AES-256-CBC while it is written.

    Args:
        file: where to.
        key: 32 bytes.
    """

    closed = False

    def __init__(self, file: IO[bytes], key: bytes) -> None:
        start = os.urandom(BLOCK_BYTES)
        self.written = 0
        self._file = file
        self._cipher = Cipher(AES256(key), CBC(start)).encryptor()
        self._file.write(start)

    def write(self, plaintext: Any) -> int:
        """Encrypt and write some bytes."""
        content = memoryview(plaintext).cast("B")
        self._file.write(self._cipher.update(content))
        self.written += content.nbytes
        return content.nbytes

    def tell(self) -> int:
        """How much was written."""
        return self.written

    def flush(self) -> None:
        """Write what is whole: nothing is held back but the last block."""

    def close(self) -> None:
        """Write the end, padded as PKCS#7 says."""
        if not self.closed:
            missing = BLOCK_BYTES - self.written % BLOCK_BYTES
            self._file.write(self._cipher.update(bytes([missing]) * missing))
            self._file.write(self._cipher.finalize())
            self._file.close()
            self.closed = True


@dataclass
class BatchFiles:
    """Writes the files of one request.

    Args:
        directory: where to.
        format: CSV or PARQUET.
        max_bytes: the most plaintext in a file.
    """

    directory: Path
    format: sdk.BatchFileFormat = sdk.CSV
    max_bytes: int = MAX_BYTES
    keys: dict[str, bytes] = field(default_factory=dict)
    null: str = field(default_factory=lambda: f"null-{secrets.token_hex(16)}")
    unmodified: str = field(default_factory=lambda: f"unmodified-{secrets.token_hex(16)}")

    @property
    def params(self) -> sdk.FileParams:
        """How the files are written, for a request."""
        return sdk.FileParams(
            compression=sdk.OFF,  # files travel no further than this machine
            encryption=sdk.AES,
            null_string=self.null,
            unmodified_string=self.unmodified,
        )

    def write(self, name: str, rows: Rows, types: Mapping[str, Type]) -> list[str]:
        """Write rows into as many files as they need.

        Args:
            name: how the files' names begin.
            rows: the rows.
            types: the types of their columns.

        Returns:
            The files' paths.
        """
        paths: list[str] = []
        writer: _Writer | None = None
        for piece in self._pieces(rows, types):
            if writer is None or not writer.takes(piece.nbytes):
                if writer is not None:
                    writer.close()
                writer = self._open(name, piece.schema, paths)
            writer.write(piece)
        if writer is not None:
            writer.close()
        return paths

    def delete(self) -> None:
        """Delete the files."""
        for path in self.keys:
            Path(path).unlink(missing_ok=True)
        self.keys.clear()

    def _pieces(self, rows: Rows, types: Mapping[str, Type]) -> Iterator[pa.RecordBatch]:
        """Record batches, each of fewer bytes than a file may have unless one row has more."""
        partial = rows.partial()
        for first in range(0, len(rows), PIECE_ROWS):
            arrays = []
            for name, is_partial in partial.items():
                texts, modified = rows.piece(name, first, PIECE_ROWS)
                if is_partial:
                    arrays.append(pc.if_else(pa.array(modified), texts, self.unmodified))
                elif self.format == sdk.PARQUET:
                    arrays.append(texts.cast(_native(types[name])))
                else:
                    arrays.append(texts)
            batch = pa.RecordBatch.from_arrays(arrays, names=list(partial))
            yield from _smaller(batch, self.max_bytes // 2)

    def _open(self, name: str, schema: pa.Schema, paths: list[str]) -> _Writer:
        path = self.directory / f"{name}_{secrets.token_hex(8)}.aes"
        key = secrets.token_bytes(32)
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self.keys[str(path)] = key
        paths.append(str(path))
        return _Writer(Encrypted(file, key), schema, self)


class _Writer:
    """Writes one file."""

    def __init__(self, sink: Encrypted, schema: pa.Schema, files: BatchFiles) -> None:
        self._sink = sink
        self._taken = 0
        self._max_bytes = files.max_bytes
        self._writer: Any
        if files.format == sdk.PARQUET:
            self._writer = parquet.ParquetWriter(sink, schema, compression="snappy")
        else:
            options = csv.WriteOptions(null_string=files.null, batch_size=PIECE_ROWS)
            self._writer = csv.CSVWriter(sink, schema, write_options=options)

    def takes(self, more: int) -> bool:
        """Whether a further record batch of so many bytes fits, with its quotes and commas."""
        return max(self._sink.written, self._taken) + 2 * more <= self._max_bytes

    def write(self, piece: pa.RecordBatch) -> None:
        self._writer.write_batch(piece)
        self._taken += piece.nbytes

    def close(self) -> None:
        self._writer.close()
        self._sink.close()


def _smaller(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    if batch.nbytes <= most or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _smaller(batch.slice(0, half), most)
    yield from _smaller(batch.slice(half), most)


def _native(kind: Type) -> pa.DataType:
    if kind.kind == common.DECIMAL and kind.precision:
        return pa.decimal128(kind.precision, kind.scale)
    return NATIVE.get(kind.kind, pa.string())


def prepare(directory: Path) -> Path:
    """Make an empty place for batch files; what a killed sync left there goes, encrypted as it is."""
    files = directory / "files"
    shutil.rmtree(files, ignore_errors=True)
    files.mkdir(mode=0o700)
    return files
