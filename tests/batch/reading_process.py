"""A process that reads a batch file several times at once, and prints in MiB its peak memory, and what it keeps."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from destination.batch.decompression import Compression
from destination.batch.reader import BatchFile, FileParams
from destination.memory import Budget
from destination.schema import Column, DataType, Table


def read(file: BatchFile) -> int:
    with file.open() as rows:
        return sum(batch.num_rows for batch in rows)


def resident_mib() -> tuple[int, int]:
    """The largest resident size of this program, and the present one.

    getrusage's largest one counts that of the program that began it.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = dict(line.split(":") for line in lines if line.startswith(("VmHWM", "VmRSS")))
    peak, present = (int(sizes[name].split()[0]) >> 10 for name in ("VmHWM", "VmRSS"))
    return peak, present


def main(path: str, compression: str, files: str) -> None:
    """Read a file of one column of texts."""
    params = FileParams(
        Compression(compression), encrypted=False, null_string="", unmodified_string=""
    )
    table = Table("t", (Column("text", DataType.STRING),))
    file = BatchFile(path, None, params, table, Budget())
    with ThreadPoolExecutor(int(files)) as readers:
        counts = set(readers.map(read, [file] * int(files)))
    assert len(counts) == 1
    peak, kept = resident_mib()
    sys.stdout.write(f"{peak} {kept}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
