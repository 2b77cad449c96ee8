"""The middle layer of a batch file: ZSTD or GZIP, in one frame or several.

Arrow's stream is used because it reports a frame that ends too early. python-zstandard's reader ends
there without an error, and the rows after it would be lost.
"""

from __future__ import annotations

import io
from enum import Enum
from typing import BinaryIO

import pyarrow as pa

from destination.batch.zstd_frames import FrameReader
from destination.errors import BatchFileError
from destination.memory import Part


class Compression(Enum):
    """How a batch file is compressed, named as in the wire's `Compression` enum."""

    OFF = "OFF"
    ZSTD = "ZSTD"
    GZIP = "GZIP"


class DecompressingReader:
    """A stream that decompresses another, in flat memory.

    Args:
        compressed: the compressed stream; closed together with this one.
        compression: how it is compressed; OFF passes the bytes on unchanged.
        memory: what the decompressor itself uses is reserved here.

    Attributes:
        position: how many bytes were read.
    """

    def __init__(
        self, compressed: BinaryIO | io.RawIOBase, compression: Compression, memory: Part
    ) -> None:
        self._source = compressed
        self._memory = memory
        self._peeked = b""
        self.position = 0
        self._stream = compressed
        if compression is not Compression.OFF:
            framed = compression is Compression.ZSTD
            source = FrameReader(compressed, memory) if framed else compressed
            file = pa.PythonFile(source, mode="r")
            self._stream = pa.CompressedInputStream(file, compression.value.lower())

    def peek(self, size: int) -> bytes:
        """The bytes that `read` will return next."""
        self._peeked += self._read(size - len(self._peeked))
        return self._peeked[:size]

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end of the stream.

        Raises:
            BatchFileError: where the compressed stream is damaged or ends early.
        """
        peeked, self._peeked = self._peeked[:size], self._peeked[size:]
        return peeked + self._read(size - len(peeked))

    def _read(self, size: int) -> bytes:
        pieces = []
        while size > 0 and (piece := self._read_once(size)):
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        self._source.close()
        self._stream = self._source
        self._memory.require(0)

    def _read_once(self, size: int) -> bytes:
        try:
            data: bytes = self._stream.read(size)
        except OSError as error:
            raise BatchFileError("cannot be decompressed: it is damaged or truncated") from error
        self.position += len(data)
        return data
