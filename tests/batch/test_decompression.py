"""ZSTD and GZIP, in as many frames as there are, to the last byte or not at all."""

import gzip
import io
import os

import pytest
import zstandard

from destination.batch.decompression import Compression, DecompressingReader
from destination.errors import BatchFileError
from destination.memory import Budget

CONTENT = b"".join(b"%d,some text\n" % i for i in range(200_000)) + os.urandom(100_000)


def read_all(content: bytes, compression: Compression, size: int = 1 << 20) -> bytes:
    with Budget().reserve() as reservation:
        reader = DecompressingReader(io.BytesIO(content), compression, reservation.part())
        return b"".join(iter(lambda: reader.read(size), b""))


def compressed(content: bytes, compression: Compression) -> bytes:
    if compression is Compression.ZSTD:
        return zstandard.ZstdCompressor(write_checksum=True).compress(content)
    return gzip.compress(content) if compression is Compression.GZIP else content


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("size", [4096, 1 << 20, 1 << 24])
def test_what_was_compressed_comes_back(compression: Compression, size: int) -> None:
    assert read_all(compressed(CONTENT, compression), compression, size) == CONTENT
    assert read_all(compressed(b"", compression), compression, size) == b""


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.GZIP])
def test_frames_follow_each_other(compression: Compression) -> None:
    frames = compressed(b"one", compression) + compressed(b"two", compression)
    assert read_all(frames, compression) == b"onetwo"


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.GZIP])
@pytest.mark.parametrize("cut", [1, 4, 5, 1000])
def test_truncated_stream_is_refused(compression: Compression, cut: int) -> None:
    with pytest.raises(BatchFileError):
        read_all(compressed(CONTENT, compression)[:-cut], compression)


@pytest.mark.parametrize("compression", [Compression.ZSTD, Compression.GZIP])
def test_damaged_stream_is_refused(compression: Compression) -> None:
    content = bytearray(compressed(CONTENT, compression))
    for position in (0, len(content) // 3, len(content) // 2):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        with pytest.raises(BatchFileError):
            read_all(bytes(damaged), compression)


class InSmallPieces(io.BytesIO):
    """A stream that answers less than it is asked for, as files over a network may."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size, 7) if size and size > 0 else size)


@pytest.mark.parametrize("compression", list(Compression))
def test_read_is_short_only_at_the_end(compression: Compression) -> None:
    content = CONTENT[:100_000]
    with Budget().reserve() as reservation:
        source = InSmallPieces(compressed(content, compression))
        reader = DecompressingReader(source, compression, reservation.part())
        assert reader.peek(30_000) == content[:30_000]
        assert reader.peek(10) == content[:10]
        pieces = [reader.read(size) for size in (1, 30_010, 40_000, 30_000, 1)]
    assert list(map(len, pieces)) == [1, 30_010, 40_000, 29_989, 0]
    assert b"".join(pieces) == content


def test_what_is_peeked_and_read_is_counted_once() -> None:
    with Budget().reserve() as reservation:
        reader = DecompressingReader(io.BytesIO(b"12345"), Compression.OFF, reservation.part())
        reader.peek(3)
        reader.peek(3)
        assert reader.position == 3
        reader.read(9)
        assert reader.position == 5


@pytest.mark.parametrize("compression", list(Compression))
def test_reader_that_is_closed_closes_its_source_and_gives_its_memory_back(
    compression: Compression,
) -> None:
    with Budget().reserve() as reservation:
        source, memory = io.BytesIO(compressed(CONTENT, compression)), reservation.part()
        reader = DecompressingReader(source, compression, memory)
        reader.read(10)
        assert (memory.size > 0) == (compression is Compression.ZSTD)
        reader.close()
        assert source.closed
        assert memory.size == 0
