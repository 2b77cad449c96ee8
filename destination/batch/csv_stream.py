"""CSV read by Arrow's stream, in its own threads: faster, for files that Arrow reads exactly."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from queue import Empty, SimpleQueue

import pyarrow as pa
from pyarrow import csv as arrow_csv

from destination.batch.csv import BLOCK_BYTES, BYTE_ORDER_MARK, Header, TypedColumns
from destination.batch.decoding import Decoder
from destination.batch.decompression import DecompressingReader
from destination.batch.values import Notices
from destination.errors import ConnectorError
from destination.memory import FORMS, Reservation
from destination.schema import INTEGER_TYPES

WIDE_COLUMNS = 128
"""From so many columns on, blocks are larger: each costs a call or more a column."""
CARRIAGE_RETURN = b"\r"
"""After one at the end of a block, Arrow drops a newline, even in quotes."""
GIVEN_BACK_SECONDS = 30
"""Arrow gives back in milliseconds what was lent to it, or later where the machine does other work."""


def is_open_for(header: Header, decoder: Decoder) -> bool:
    """Whether a file may be read this way: its rows are whole, and its last column is wanted."""
    wanted = {column.name for column in decoder.columns}
    return decoder.partial is None and header.names[-1] in wanted


def read_stream(
    stream: DecompressingReader, header: Header, decoder: Decoder, reservation: Reservation
) -> Iterator[pa.RecordBatch]:
    """The rows of a file, up to the first that Arrow does not read exactly.

    Args:
        stream: the decompressed file after its header.
        header: the names of its columns.
        decoder: knows which of them are wanted.
        reservation: the memory of this file.

    Raises:
        BatchFileError: if the file is damaged, or a value is not of its column's type.
        CapacityError: if a part of the file that must be in memory at once does not fit there.
        pa.ArrowInvalid: what was yielded until then is right, except perhaps the file's last row. The
            message may quote a value: do not show it.
    """
    typed = TypedColumns(decoder, as_texts=INTEGER_TYPES)
    decoded, first_row = reservation.part(), 1
    last: pa.Scalar = pa.scalar("")
    feed = _Feed(stream, decoder.notices)
    with closing(feed), feed.errors(), closing(_batches(feed, header, typed.options)) as batches:
        for batch in batches:
            feed.check()
            if batch.num_rows:
                decoded.require(FORMS * batch.nbytes)
                last = batch.column(header.names[-1])[-1]
                yield typed.decode(batch.columns, first_row)
                first_row += batch.num_rows
        if not feed.ended_with_newline or _holds_end_of_file(last):
            raise pa.ArrowInvalid("may end inside a quoted value")


def _batches(
    feed: _Feed, header: Header, options: arrow_csv.ConvertOptions
) -> Generator[pa.RecordBatch]:
    """What Arrow reads of a feed, which ends with it."""
    blocks, ahead = (2, 3) if len(header.names) >= WIDE_COLUMNS else (1, 4)
    reader = arrow_csv.open_csv(
        feed.lent(),
        arrow_csv.ReadOptions(column_names=header.names, block_size=blocks * BLOCK_BYTES),
        arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        options,
    )
    feed.limit(ahead)
    try:
        for batch in reader:
            feed.go_on()
            yield batch
    finally:
        feed.end()
        del reader  # an error's traceback would keep it


def _holds_end_of_file(last: pa.Scalar) -> bool:
    """Whether a file's last value may hold the newline that the file ends with.

    Arrow closes an open quote at the end of the file without an error.
    """
    return isinstance(last, pa.StringScalar) and (last.as_py() or "").endswith("\n")


class _Feed:
    """What Arrow reads a file from, block by block, until it ends.

    Arrow reads ahead in its own thread, and could hold 64 MiB. `limit` bounds that, to no less than
    three blocks: of one that is read, Arrow makes rows when it has the next; and of a first one in
    which no row ends it makes no batch, so that it counts for ever. Reads are not limited before
    `open_csv` returns: a failed open would hang.

    Python must not end while a thread of Arrow's is about to enter it: such a thread is ended, for
    which Arrow then waits for ever, or the process aborts. So blocks are Arrow's own memory, and
    `close` waits until no thread of Arrow's has a hold on what was lent. And an error is kept here,
    not raised into Arrow, whose thread may drop it last: the file seems to end, in the middle of a row
    perhaps, so `check` comes before any batch is used.
    """

    def __init__(self, stream: DecompressingReader, notices: Notices) -> None:
        self._notices = notices
        self._held = BYTE_ORDER_MARK
        self._stream = stream
        self._reading = threading.Lock()
        self._turn = threading.Condition()
        self._limit = math.inf
        self._ahead = 0
        self._ended = False
        self._given_back: SimpleQueue[weakref.ref[_Lent]] = SimpleQueue()
        self._lent: weakref.ref[_Lent] | None = None
        self._error: Exception | None = None
        self.ended_with_newline = False

    def lent(self) -> pa.NativeFile:
        """What Arrow, and nobody else, is to hold."""
        lent = _Lent(self)
        self._lent = weakref.ref(lent, self._given_back.put)
        # reads go past a buffer so small, into Arrow's own memory
        return pa.BufferedInputStream(pa.PythonFile(lent, mode="r"), buffer_size=1)

    def limit(self, blocks: float) -> None:
        """Limit how many blocks are read ahead of their rows."""
        with self._turn:
            self._limit = blocks
            self._turn.notify()

    def go_on(self) -> None:
        """Allow one more block to be read: one has become rows."""
        with self._turn:
            self._ahead -= 1
            self._turn.notify()

    def read(self, size: int) -> bytes:
        """The next block; empty at the end of the file, or where reading has ended."""
        with self._turn:
            self._turn.wait_for(lambda: self._ahead < self._limit)
            self._ahead += 1
        with self._reading:
            if self._ended:
                return b""
            try:
                return self._next(size)
            except (ConnectorError, pa.ArrowInvalid) as error:
                self._error, self._ended = error, True
                return b""

    def _next(self, size: int) -> bytes:
        piece, self._held = self._held + self._stream.read(size - len(self._held)), b""
        if len(piece) == size and piece.endswith(CARRIAGE_RETURN):
            piece, self._held = piece[:-1], CARRIAGE_RETURN
        if self._notices.concern(piece):
            raise pa.ArrowInvalid("holds a character that is to be removed")
        if piece:
            self.ended_with_newline = piece.endswith(b"\n")
        return piece

    def check(self) -> None:
        """Raise what a read has met."""
        if self._error is not None:
            # without Arrow's own, which may quote a value
            raise self._error from self._error.__cause__

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise what a read has met, even where Arrow could not read what was there before."""
        try:
            yield
        except pa.ArrowInvalid:
            self.check()
            raise
        self.check()

    def end(self) -> None:
        """Let reads end at once: the file is not read from any more."""
        with self._reading:
            self._ended = True
        self.limit(math.inf)

    def close(self) -> None:
        """End, and wait until Arrow has given back what was lent to it."""
        self.end()
        if self._lent is not None:
            with suppress(Empty):
                self._given_back.get(timeout=GIVEN_BACK_SECONDS)


class _Lent:
    """A feed as Arrow sees it: a file that is closed by whoever lent it."""

    closed = False

    def __init__(self, feed: _Feed) -> None:
        self.read = feed.read

    def close(self) -> None:
        """Arrow calls this when it gives it back."""
