"""Small batch files, decoded in another thread while the transaction begins."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace

import pyarrow as pa

from destination.batch.reader import BatchFile
from destination.errors import CustomerError
from destination.rows import Rows

KEPT_BYTES = 1 << 20
"""Rows that take more are decoded when they are asked for, within the memory budget."""
THREADS = 16

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="prefetch")


class Prefetched:
    """A batch file whose decoding begins now.

    What is wrong with it is said by `open`, as if nothing had been read before.

    Args:
        file: a small file.
    """

    def __init__(self, file: BatchFile) -> None:
        self._file = file
        self._rows = _threads.submit(copy_context().run, _decoded, file)

    @property
    def name(self) -> str:
        """Its path, as it stood in the request."""
        return self._file.name

    @property
    def size(self) -> int:
        """Its bytes on disk."""
        return self._file.size

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """The rows; see `BatchFile.open`. May be called again."""
        kept = self._rows.result()
        if kept is None:
            with self._file.open() as rows:
                yield rows
        else:
            rows, batches = kept
            yield replace(rows, batches=iter(batches))


def _decoded(file: BatchFile) -> tuple[Rows, list[pa.RecordBatch]] | None:
    """The rows of a file, and their record batches; None if they are not to be had, or to be kept."""
    try:
        with file.open() as rows:
            batches = rows.within(KEPT_BYTES)
    except CustomerError:
        return None
    return None if batches is None else (rows, batches)
