"""A process that reads some record batches of a file with a column of texts, and ends at once."""

import sys
from contextlib import suppress
from itertools import islice

from destination.batch.decompression import Compression
from destination.batch.reader import BatchFile, FileParams
from destination.errors import BatchFileError
from destination.memory import Budget
from destination.schema import Column, DataType, Table


def main(path: str, batches: str) -> None:
    """Read a file compressed by ZSTD, as far as it can be read."""
    params = FileParams(Compression.ZSTD, encrypted=False, null_string="", unmodified_string="")
    table = Table("t", (Column("text", DataType.STRING),))
    with suppress(BatchFileError), BatchFile(path, None, params, table, Budget()).open() as rows:
        for _ in islice(rows, int(batches)):
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
