"""A process that reads a batch file several times at once, and prints its peak memory in MiB."""

import resource
import sys
from concurrent.futures import ThreadPoolExecutor

from destination.batch.decompression import Compression
from destination.batch.reader import BatchFile, FileParams
from destination.memory import Budget
from destination.schema import Column, DataType, Table


def read(file: BatchFile) -> int:
    with file.open() as rows:
        return sum(batch.num_rows for batch in rows)


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
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
