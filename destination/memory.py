"""The server's memory budget: what batch files may hold decoded at the same time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from destination import telemetry
from destination.errors import CapacityError
from destination.telemetry.metrics import Metric

MIB = 1 << 20
FILE_BYTES = 64 * MIB
"""What one file may use while it is read: a few blocks of rows, in each of their forms."""
BATCH_BYTES = 8 * MIB
"""What a record batch may take decoded, unless a single row takes more."""
FORMS = 4
"""How often rows are in memory at most: as read, as Arrow, as COPY data, and in the driver."""
DEFAULT_BUDGET = 1024 * MIB


class Budget:
    """Half is shared by ordinary files, half is reserved for one oversized file.

    A file that outgrows its share waits for the reserved half. Whoever holds that half never waits, so
    there is no deadlock.

    Args:
        size: bytes that all files together may use.
    """

    def __init__(self, size: int = DEFAULT_BUDGET) -> None:
        self.size = size
        self.large_bytes = size // 2
        files = max(1, size // 2 // FILE_BYTES)
        self._files = threading.BoundedSemaphore(files)
        # An open file whose rows are not fetched keeps one of Arrow's I/O threads busy.
        pa.set_io_thread_count(max(files, pa.io_thread_count()))
        self._large = threading.Lock()

    @contextmanager
    def reserve(self) -> Iterator[Reservation]:
        """Wait until one more file may be open, and reserve its memory."""
        with telemetry.waiting("memory"):
            self._files.acquire()
        reservation = Reservation(self, self._large)
        try:
            with telemetry.held(Metric.MEMORY_USED, FILE_BYTES):
                yield reservation
        finally:
            reservation.close()
            self._files.release()


class Reservation:
    """The memory of one file, which may grow beyond its share and shrink back.

    It is the sum of parts, each of which one layer of the file sizes, in whatever thread it runs.
    """

    def __init__(self, budget: Budget, large: threading.Lock) -> None:
        self._budget = budget
        self._large = large
        self._holds_large = False
        self._parts: list[Part] = []
        self._changing = threading.Lock()

    def part(self) -> Part:
        """A new part, of no bytes yet."""
        part = Part(self)
        self._parts.append(part)
        return part

    def close(self) -> None:
        """Give all memory back."""
        for part in self._parts:
            part.require(0)

    def resize(self, part: Part, size: int) -> None:
        """Wait until a part may use so many bytes; see `Part.require`."""
        with self._changing:
            total = size + sum(other.size for other in self._parts if other is not part)
            if total <= FILE_BYTES:
                self._release()
            elif total > self._budget.large_bytes:
                raise CapacityError(
                    f"a part of a batch file must be in memory at once and would take more than "
                    f"{self._budget.large_bytes // MIB} MiB: restart the connector with a "
                    f"--memory-budget larger than {self._budget.size // MIB} (MiB)"
                )
            elif not self._holds_large:
                with telemetry.waiting("memory"):
                    self._large.acquire()
                self._holds_large = True
                telemetry.add(Metric.MEMORY_USED, self._budget.large_bytes)
            part.size = size

    def _release(self) -> None:
        if self._holds_large:
            self._holds_large = False
            telemetry.add(Metric.MEMORY_USED, -self._budget.large_bytes)
            self._large.release()


class Part:
    """What one layer of a file holds in memory."""

    def __init__(self, reservation: Reservation) -> None:
        self.size = 0
        self._reservation = reservation

    def require(self, size: int) -> None:
        """Wait until the part may use `size` bytes of memory; a smaller size gives memory back.

        Raises:
            CapacityError: if the file never can within the budget.
        """
        if size != self.size:
            self._reservation.resize(self, size)
