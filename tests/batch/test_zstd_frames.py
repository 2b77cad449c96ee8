"""Frames of ZSTD, followed as they pass: their windows are reserved, and no byte is changed."""

import io
import struct

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from destination.batch.zstd_frames import MAX_WINDOW_BYTES, FrameReader
from destination.errors import BatchFileError
from destination.memory import MIB, Budget, Part


def frame(content: bytes, window_log: int, *, sized: bool, checksum: bool) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        1, window_log=window_log, write_content_size=sized, write_checksum=checksum
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters)
    if sized:
        return compressor.compress(content)
    stream = compressor.compressobj()
    return stream.compress(content) + stream.flush()


SKIPPED = struct.pack("<II", 0x184D2A53, 5) + b"12345"
CONTENTS = {
    "nothing": b"",
    "a byte": b"a",
    "one byte, repeated": b"\0" * 300_000,
    "several blocks": bytes(range(256)) * 2000,
}
FRAMES = st.tuples(
    st.sampled_from(sorted(CONTENTS)), st.integers(10, 27), st.booleans(), st.booleans()
)


def followed(content: bytes, memory: Part, size: int) -> bytes:
    reader = FrameReader(io.BytesIO(content), memory)
    return b"".join(iter(lambda: reader.read(size), b""))


@given(frames=st.lists(st.none() | FRAMES, max_size=5), size=st.sampled_from([1, 7, 100, 1 << 20]))
def test_largest_window_is_reserved(
    frames: list[tuple[str, int, bool, bool] | None], size: int
) -> None:
    made = [
        frame(CONTENTS[each[0]], each[1], sized=each[2], checksum=each[3]) if each else SKIPPED
        for each in frames
    ]
    windows = [zstandard.get_frame_parameters(each).window_size for each in made if each != SKIPPED]
    with Budget().reserve() as reservation:
        memory = reservation.part()
        assert followed(b"".join(made), memory, size) == b"".join(made)
        assert memory.size == max(windows, default=0)


@pytest.mark.parametrize(
    ("header", "window"),
    [
        ("00 58", 2 << 20),
        ("00 5b", (2 << 20) + 3 * (2 << 17)),
        ("e0 00 00 00 01 00 00 00 00", 1 << 24),
        ("63 01 02 03 04 44 01", 0x144 + 256),
    ],
    ids=["exponent", "mantissa", "size of eight bytes", "dictionary, size of two bytes"],
)
@pytest.mark.parametrize("size", [1, 100])
def test_window_is_that_of_the_header(header: str, window: int, size: int) -> None:
    """Of headers that the library of this test does not write; an empty last block follows."""
    content = b"\x28\xb5\x2f\xfd" + bytes.fromhex(header) + b"\x01\0\0"
    with Budget().reserve() as reservation:
        memory = reservation.part()
        assert followed(content, memory, size) == content
        assert memory.size == window


@pytest.mark.parametrize("content", [b"", b"no zstd at all", b"\x28\xb5\x2f\xfd", b"\0" * 99])
def test_what_is_no_frame_passes_for_the_decompressor_to_refuse(content: bytes) -> None:
    with Budget().reserve() as reservation:
        assert followed(content, reservation.part(), 3) == content


def test_window_that_is_too_large() -> None:
    content = frame(b"x" * 99, 28, sized=False, checksum=False)
    with Budget().reserve() as reservation, pytest.raises(BatchFileError, match="128 MiB"):
        followed(content, reservation.part(), 100)


def test_windows_of_several_files_wait_for_each_other() -> None:
    content = frame(b"x" * 99, 27, sized=False, checksum=False)
    budget = Budget(4 * MAX_WINDOW_BYTES)
    with budget.reserve() as one, budget.reserve() as other:
        first, second = one.part(), other.part()
        followed(content, first, 100)
        assert first.size == 128 * MIB
        first.require(0)
        followed(content, second, 100)
        assert second.size == 128 * MIB
