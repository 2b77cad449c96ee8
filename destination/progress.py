"""The progress of long work, logged while it lasts."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 30
LOOK_SECONDS = 1
MIB = 1 << 20


@dataclass(slots=True)
class Progress:
    """How far work has come. One thread sets it, and another reads it.

    Args:
        phase: what is being done; None for work that logs its own progress.
        rows: how many rows were sent to the warehouse.
        bytes: how many bytes they took.
    """

    phase: str | None = None
    rows: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        sent = f", {self.rows} rows and {self.bytes // MIB} MiB sent so far" if self.rows else ""
        return f"{self.phase}{sent}"


@dataclass(slots=True, eq=False)
class _Work:
    """Work whose progress is logged."""

    subject: str
    progress: Progress
    started: float
    logged: float


class _Reporter:
    """Logs the progress of all work from one thread: a thread for each call costs half a millisecond."""

    def __init__(self) -> None:
        self._work: list[_Work] = []
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def logged(self, subject: str, progress: Progress) -> Iterator[None]:
        """Log every half a minute how far work has come.

        Args:
            subject: what the work is about.
            progress: how far it has come.
        """
        started = time.monotonic()
        work = _Work(subject, progress, started, started)
        with self._lock:
            self._work.append(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._work.remove(work)

    def _run(self) -> None:
        while True:
            time.sleep(min(LOOK_SECONDS, INTERVAL_SECONDS))
            with self._lock:
                lasting = list(self._work)
            for work in lasting:
                _tell(work)


def _tell(work: _Work) -> None:
    now = time.monotonic()
    if now - work.logged < INTERVAL_SECONDS:
        return
    work.logged = now
    if work.progress.phase is not None:
        logger.info("%s: %s (%.0f s)", work.subject, str(work.progress), now - work.started)


logged = _Reporter().logged
