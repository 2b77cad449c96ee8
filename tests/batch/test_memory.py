"""How much memory reading takes, measured in a process of its own: the budget, and little more."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from destination.memory import DEFAULT_BUDGET, FILE_BYTES, MIB

pytestmark = pytest.mark.slow

BESIDE_MIB = 200
"""What a process takes beside the budget: Python, Arrow, and what allocators keep."""
HUGE_MIB = 60
ROOT = Path(__file__).parents[2]


def repeated_value(path: Path) -> None:
    """A file of a few kilobytes with 240 MB of texts."""
    table = pa.table({"text": ["x" * 60_000] * 4_096})
    parquet.write_table(table, path, compression="snappy")


def large_windows(path: Path) -> None:
    """A frame with a small window first, then one with as large a window as there is."""
    small = zstandard.ZstdCompressor().compress(b"text\n")
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    line = b"x" * 9_999 + b"\n"
    path.write_bytes(small + compressor.compress(line * 14_000) + compressor.flush())


def sizes_mib(path: Path, compression: str, files: int) -> tuple[int, int]:
    """The largest and the last resident size of a process that reads a file several times at once."""
    command = [sys.executable, "-m", "tests.batch.reading_process"]
    command += [str(path), compression, str(files)]
    done = subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=240
    )
    peak, kept = map(int, done.stdout.split())
    return peak, kept


@pytest.mark.parametrize("files", [1, 8])
@pytest.mark.parametrize(
    ("write", "compression"), [(repeated_value, "OFF"), (large_windows, "ZSTD")]
)
def test_reading_stays_within_the_budget(
    tmp_path: Path, write: Callable[[Path], None], compression: str, files: int
) -> None:
    path = tmp_path / "rows"
    write(path)
    assert path.stat().st_size < 100 * MIB
    shares = FILE_BYTES * min(files, 8) // MIB if compression == "OFF" else DEFAULT_BUDGET // MIB
    assert sizes_mib(path, compression, files)[0] < shares + BESIDE_MIB


def test_memory_of_a_huge_value_is_given_back(tmp_path: Path) -> None:
    """Arrow would keep what parsing took, more than three times the value; twice it may be kept."""
    small, huge = tmp_path / "small.csv", tmp_path / "huge.csv"
    small.write_bytes(b"text\nx\n")
    huge.write_bytes(b"text\n" + b"x" * (HUGE_MIB * MIB) + b"\n")
    (_, before), (_, after) = (sizes_mib(path, "OFF", 1) for path in (small, huge))
    assert after - before < 2.5 * HUGE_MIB
