"""One batch file opened as a stream of typed rows, whatever its layers and format.

file ─► DecryptingReader ─► DecompressingReader ─► CSV by stream or by blocks | ParquetReader
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import pyarrow as pa

from destination import telemetry
from destination.ahead import ahead
from destination.batch import csv, csv_stream, parquet
from destination.batch.decoding import Decoder, Partial
from destination.batch.decompression import Compression, DecompressingReader
from destination.batch.decryption import DecryptingReader
from destination.batch.values import Notices
from destination.errors import BatchFileError
from destination.memory import Budget, Reservation
from destination.rows import Rows
from destination.schema import Column, Table
from destination.telemetry.metrics import Metric

WHOLE_BYTES = csv.BLOCK_BYTES
"""A file that has less content is read as a single block."""
SMALL_BYTES = 256 << 10
"""A smaller file is decoded by the calling thread: starting another takes longer."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FileParams:
    """How the batch files of a request are written.

    Args:
        compression: how they are compressed.
        encrypted: whether they are encrypted with AES.
        null_string: the text that stands for NULL.
        unmodified_string: the text that stands for a value that a partial row leaves as it is; the
            empty string where rows are whole.
    """

    compression: Compression
    encrypted: bool
    null_string: str
    unmodified_string: str


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A batch file on disk; every `open` reads it from the start.

    Args:
        name: its path, as it stood in the request.
        key: the 32 bytes it is encrypted with; None where none was sent.
        params: how it is written.
        table: the columns it may hold, and those of the key, which it must hold.
        budget: the server's memory.
        only: the columns to read, all of which it must hold; None for all that it holds.
        partial: whether its values may be unmodified.
        unstorable: the character that no text of the warehouse holds; empty if it holds all.
    """

    name: str
    key: bytes | None
    params: FileParams
    table: Table
    budget: Budget
    only: tuple[str, ...] | None = None
    partial: bool = False
    unstorable: str = ""

    @property
    def size(self) -> int:
        """Its bytes on disk; 0 where that is not known: opening it says why."""
        try:
            return os.stat(self.name).st_size  # noqa: PTH116 (a path as an object takes longer)
        except (OSError, ValueError):
            return 0

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """Open the file for reading.

        Raises:
            BatchFileError: here or while the rows are read, with what is wrong and where.
            CapacityError: if a part of the file that must be in memory at once does not fit there.
        """
        notices = Notices(self.unstorable)
        with (
            self._naming_itself(),
            self.budget.reserve() as reservation,
            self._content(reservation) as stream,
        ):
            columns, batches, few = self._rows(stream, reservation, notices)
            timed = telemetry.made("decode", batches)
            with closing(batches):
                if self.size < SMALL_BYTES:
                    yield Rows(columns, timed, few)
                else:
                    with closing(ahead(timed, "decoder", lambda batch: batch.nbytes)) as decoded:
                        yield Rows(columns, decoded, few)
        for text in notices.texts():
            logger.warning('table "%s", batch file %s: %s', self.table.name, self.name, text)

    def _rows(
        self, stream: DecompressingReader, reservation: Reservation, notices: Notices
    ) -> tuple[tuple[Column, ...], Generator[pa.RecordBatch], bool]:
        """The columns that the rows hold, the rows, and whether they are few; see `Rows`."""
        first = stream.peek(csv.BLOCK_BYTES)
        if first.startswith(parquet.MAGIC):
            file = parquet.File.read(stream, reservation.part())
            decoder = self._decoder(file.names, notices)
            few = file.inflated_bytes < WHOLE_BYTES
            return decoder.columns, parquet.read_rows(file, decoder, reservation), few
        header = csv.Header.parse(first)
        decoder = self._decoder(header.names, notices)
        stream.read(header.size)
        if len(first) < WHOLE_BYTES:
            rows = csv.read_whole(first[header.size :], header, decoder, reservation)
            return decoder.columns, rows, True
        read = self._streamed if csv_stream.is_open_for(header, decoder) else csv.read_rows
        return decoder.columns, read(stream, header, decoder, reservation), False

    def _streamed(
        self,
        stream: DecompressingReader,
        header: csv.Header,
        decoder: Decoder,
        reservation: Reservation,
    ) -> Generator[pa.RecordBatch]:
        """The rows of CSV by Arrow's stream; after the row at which it stops, block by block."""
        rows = 0
        try:
            for batch in csv_stream.read_stream(stream, header, decoder, reservation):
                rows += batch.num_rows
                yield batch
        except pa.ArrowInvalid:
            decoder.notices.clear()
        else:
            return
        stream.close()
        with self._content(reservation) as again:
            again.read(header.size)
            yield from _after(rows, csv.read_rows(again, header, decoder, reservation))

    def _decoder(self, names: list[str], notices: Notices) -> Decoder:
        self._check(names)
        wanted = frozenset(names if self.only is None else self.only)
        return Decoder(
            [column for column in self.table.columns if column.name in wanted],
            self.params.null_string,
            notices,
            Partial(self.params.unmodified_string, self.table.columns) if self.partial else None,
        )

    def _check(self, names: list[str]) -> None:
        """Check the file's column names against the table.

        A name that is not a column of the table is shown only if the whole key is there: without a
        header line, the names would be a row's values.
        """
        required = {column.name for column in self.table.key} | set(self.only or ())
        if missing := sorted(required.difference(names)):
            raise BatchFileError(f"its header lacks the columns {_quoted(missing)}")
        if unknown := sorted(set(names).difference(self.table.column_names)):
            columns = f" {_quoted(unknown)}" if self.table.key else ""
            raise BatchFileError(
                f'its header has columns{columns} that table "{self.table.name}" lacks'
            )
        if len(set(names)) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise BatchFileError(f"its header has the columns {_quoted(twice)} more than once")

    @contextmanager
    def _content(self, reservation: Reservation) -> Iterator[DecompressingReader]:
        with (
            self._file() as file,
            closing(self._decrypted(file)) as plain,
            closing(
                DecompressingReader(plain, self.params.compression, reservation.part())
            ) as stream,
        ):
            yield stream
            telemetry.add(Metric.INFLATED_BYTES, stream.position)

    @contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        try:
            file = open(self.name, "rb", opener=_open_without_waiting)  # noqa: SIM115
        except (OSError, ValueError) as error:
            raise BatchFileError(f"cannot be opened: {_reason(error)}") from error
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise BatchFileError("cannot be opened: it is not a regular file")
            telemetry.add(Metric.STORED_BYTES, status.st_size)
            yield file

    def _decrypted(self, file: BinaryIO) -> BinaryIO | DecryptingReader:
        if not self.params.encrypted:
            return file
        if self.key is None:
            raise BatchFileError("is encrypted, but the request holds no key for it")
        return DecryptingReader(file, self.key)

    @contextmanager
    def _naming_itself(self) -> Iterator[None]:
        try:
            yield
        except BatchFileError as error:
            error.file = error.file or self.name
            raise


def _open_without_waiting(path: str, flags: int) -> int:
    """Open a file even if it is a FIFO that nobody writes to."""
    return os.open(path, flags | os.O_NONBLOCK)


def _after(rows: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of record batches without the first ones."""
    for batch in batches:
        if batch.num_rows > rows:
            yield batch.slice(rows)
        rows = max(0, rows - batch.num_rows)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "its name is not a path"


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
