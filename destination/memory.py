"""The server's memory budget: what batch files may hold decoded at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from destination.errors import CapacityError

MIB = 1 << 20
FILE_BYTES = 64 * MIB
"""What one file being read may use: a few blocks of rows on their way, in each of their forms."""
DEFAULT_BUDGET = 1024 * MIB


class Budget:
    """Admits as many files at once as fit half the budget, and one large one to the other half.

    A file that outgrows its share waits for the large half; since its holder waits for nobody, no
    two files can wait for each other.

    Args:
        size: bytes that all files together may use.
    """

    def __init__(self, size: int = DEFAULT_BUDGET) -> None:
        self.size = size
        self.large_bytes = size // 2
        files = max(1, size // 2 // FILE_BYTES)
        self._files = threading.BoundedSemaphore(files)
        # a file whose rows nobody fetches holds one of the threads in which Arrow reads files
        pa.set_io_thread_count(max(files, pa.io_thread_count()))
        self._large = threading.Lock()

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Wait for room for one more file, and hold it."""
        with self._files:
            reservation = Reservation(self, self._large)
            try:
                yield reservation
            finally:
                reservation.require(0)


class Reservation:
    """The memory of one file, which may grow beyond its share and shrink back."""

    def __init__(self, budget: Budget, large: threading.Lock) -> None:
        self._budget = budget
        self._large = large
        self._holds_large = False

    def require(self, size: int) -> None:
        """Wait until the file may use `size` bytes of memory; a smaller size gives memory back.

        Raises:
            CapacityError: if it never can within the budget.
        """
        if size <= FILE_BYTES:
            self._release()
            return
        if size > self._budget.large_bytes:
            raise CapacityError(
                f"a part of a batch file must be in memory at once and would take more than "
                f"{self._budget.large_bytes // MIB} MiB: restart the connector with a "
                f"--memory-budget larger than {self._budget.size // MIB} (MiB)"
            )
        if not self._holds_large:
            self._large.acquire()
            self._holds_large = True

    def _release(self) -> None:
        if self._holds_large:
            self._holds_large = False
            self._large.release()
