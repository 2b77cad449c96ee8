"""Does jobs for the destination in their order, while the source is read.

That order keeps the state from getting ahead of the data: a job that saves a state runs after those that
sent the rows before it, and after a job that failed none runs at all.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], None]


class Sender:
    """A thread that does jobs one after the other.

    Args:
        limit: the bytes that jobs that are not done may hold; one that holds more goes alone.

    `on_failure` is called when a job failed.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: deque[tuple[int, Job]] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self.on_failure: Callable[[], object] = _done
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self._thread.start()

    def submit(self, job: Job, size: int = 0) -> None:
        """Have a job done, once what it holds has room.

        Raises:
            Exception: what an earlier job failed with.
        """
        with self._changed:
            self._wait(lambda: not self._bytes or self._bytes + size <= self._limit)
            self._jobs.append((size, job))
            self._bytes += size
            self._changed.notify_all()

    def finish(self) -> None:
        """Wait until all jobs are done.

        Raises:
            Exception: what one failed with.
        """
        with self._changed:
            self._wait(lambda: not self._jobs)

    def check(self) -> None:
        """Raise what a job failed with, if one did."""
        if self._failure is not None:
            raise self._failure

    def close(self, *, wait: bool = True) -> None:
        """Do none of the jobs that wait, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if wait:
            self._thread.join()

    def _wait(self, condition: Callable[[], bool]) -> None:
        while self._failure is None and not condition():
            self._changed.wait(0.1)  # so that signals are handled meanwhile
        self.check()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                size, job = self._jobs[0]
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - raised where the sync waits
                self._failure = error
            job = _done
            with self._changed:
                self._jobs.popleft()
                self._bytes -= size
                self._closing |= self._failure is not None
                self._changed.notify_all()
            if self._failure is not None:
                self.on_failure()


def _done() -> None:
    """Stands for a job whose memory was given back."""
