"""The frames of a ZSTD stream, and how large a window each needs (RFC 8878).

A frame's writer chooses its window, and whoever decompresses the frame must hold it in memory. Each
window is reserved in the memory budget before the first byte of its frame is handed on.
"""

from __future__ import annotations

import io
from typing import BinaryIO

from destination.errors import BatchFileError
from destination.memory import MIB, Part

MAGIC = 0xFD2FB528
SKIPPABLE, SKIPPABLE_MASK = 0x184D2A50, 0xFFFFFFF0
MAX_WINDOW_BYTES = 128 * MIB
"""The largest window that libzstd takes by default."""
MAX_HEADER_BYTES = 18
SKIPPABLE_HEADER_BYTES = 8
"""No frame has fewer bytes, its first block included."""
BLOCK_HEADER_BYTES = 3
CHECKSUM_BYTES = 4
RLE = 1
"""The type of a block that holds one byte, whatever its size says."""
DICTIONARY_ID_BYTES = (0, 1, 2, 4)
CONTENT_SIZE_BYTES = (0, 2, 4, 8)
TWO_BYTES, TWO_BYTES_START = 2, 256
"""Sizes of two bytes are counted from what one byte can say."""


class FrameReader(io.RawIOBase):
    """A readable stream of the same bytes.

    Args:
        source: a ZSTD stream; not closed with this one.
        memory: grows to the largest window among the frames.
    """

    def __init__(self, source: BinaryIO | io.RawIOBase, memory: Part) -> None:
        self._source = source
        self._memory = memory
        self._rest = b""
        self._skip = 0
        self._in_frame = False
        self._has_checksum = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Read as the source does.

        Raises:
            BatchFileError: if a frame needs a larger window than is supported.
            CapacityError: if a frame's window does not fit the memory budget.
        """
        data: bytes = self._source.read(size) or b""
        self._follow(data)
        return data

    def _follow(self, data: bytes) -> None:
        """Walk over the headers of frames and blocks; what is between them is not looked at."""
        data, self._rest = self._rest + data, b""
        position = 0
        while position < len(data):
            skipped = min(self._skip, len(data) - position)
            self._skip -= skipped
            position += skipped
            if position == len(data):
                return
            header = data[position : position + MAX_HEADER_BYTES]
            size = self._block(header) if self._in_frame else self._frame(header)
            if size is None:
                self._rest = header
                return
            position += size

    def _block(self, header: bytes) -> int | None:
        """Take a block's header; its size, None where the header is incomplete."""
        if len(header) < BLOCK_HEADER_BYTES:
            return None
        fields = int.from_bytes(header[:BLOCK_HEADER_BYTES], "little")
        self._skip = 1 if fields >> 1 & 3 == RLE else fields >> 3
        if fields & 1:
            self._in_frame = False
            self._skip += CHECKSUM_BYTES if self._has_checksum else 0
        return BLOCK_HEADER_BYTES

    def _frame(self, header: bytes) -> int | None:
        """Take a frame's header; its size, None where the header is incomplete."""
        if len(header) < SKIPPABLE_HEADER_BYTES:
            return None
        magic = int.from_bytes(header[:4], "little")
        if magic & SKIPPABLE_MASK == SKIPPABLE:
            self._skip = int.from_bytes(header[4:8], "little")
            return SKIPPABLE_HEADER_BYTES
        if magic != MAGIC:  # damage, which the decompressor reports
            self._skip = 1 << 62
            return 4
        descriptor = header[4]
        single_segment = descriptor >> 5 & 1
        content_bytes = CONTENT_SIZE_BYTES[descriptor >> 6] or single_segment
        start = 5 + (1 - single_segment) + DICTIONARY_ID_BYTES[descriptor & 3]
        if len(header) < start + content_bytes:
            return None
        window = _window(header[5])
        if single_segment:
            window = int.from_bytes(header[start : start + content_bytes], "little")
            window += TWO_BYTES_START if content_bytes == TWO_BYTES else 0
        self._reserve(window)
        self._in_frame, self._has_checksum = True, bool(descriptor >> 2 & 1)
        return start + content_bytes

    def _reserve(self, window: int) -> None:
        if window > MAX_WINDOW_BYTES:
            raise BatchFileError(
                f"is compressed with a ZSTD window of more than {MAX_WINDOW_BYTES // MIB} MiB"
            )
        self._memory.require(max(self._memory.size, window))


def _window(descriptor: int) -> int:
    """The window's bytes by its descriptor: an exponent of 5 bits, a mantissa of 3."""
    base = 1 << 10 + (descriptor >> 3)
    return base + (base >> 3) * (descriptor & 7)
