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
MIB = 1 << 20


@dataclass(slots=True)
class Progress:
    """How far work has come. One thread sets it, and another reads it.

    Args:
        phase: what is being done; None for what says by itself how it goes on.
        rows: how many rows were sent to the warehouse.
        bytes: how many bytes they took.
    """

    phase: str | None = None
    rows: int = 0
    bytes: int = 0

    def __str__(self) -> str:
        sent = f", {self.rows} rows and {self.bytes // MIB} MiB sent so far" if self.rows else ""
        return f"{self.phase}{sent}"


@contextmanager
def logged(subject: str, progress: Progress) -> Iterator[None]:
    """Log every half a minute how far work has come.

    Args:
        subject: what the work is about.
        progress: how far it has come.
    """
    begun, ended = time.monotonic(), threading.Event()

    def log() -> None:
        while not ended.wait(INTERVAL_SECONDS):
            if progress.phase is not None:
                lasted = time.monotonic() - begun
                logger.info("%s: %s (%.0f s)", subject, str(progress), lasted)

    threading.Thread(target=log, name="progress", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
