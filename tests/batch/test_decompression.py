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
