"""Giving up: how a client's cancel, or the server's end, reaches work that is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from destination.errors import CancelledError


class Cancellation:
    """Says whether work was given up, and interrupts what waits."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._interrupts: list[threading.Thread] = []

    def cancel(self) -> None:
        """Give the work up; returns at once, may be called from any thread, and more than once."""
        with self._lock:
            self._event.set()
            for interrupt in self._interrupts:
                interrupt.start()
            self._interrupts.clear()

    @property
    def cancelled(self) -> bool:
        """Whether the work was given up."""
        return self._event.is_set()

    def check(self) -> None:
        """Go on, unless the work was given up.

        Raises:
            CancelledError: if it was.
        """
        if self.cancelled:
            raise CancelledError("the call was given up")

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until the work is given up."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Have something interrupted if the work is given up meanwhile, and not later."""
        thread = threading.Thread(target=interrupt, name="interrupt", daemon=True)
        with self._lock:
            self._interrupts.append(thread)
        try:
            self.check()
            yield
        finally:
            self._withdraw(thread)

    def _withdraw(self, interrupt: threading.Thread) -> None:
        """Let an interrupt not happen, or wait until it has."""
        with self._lock:
            happens = interrupt not in self._interrupts
            if not happens:
                self._interrupts.remove(interrupt)
        if happens:
            interrupt.join()
