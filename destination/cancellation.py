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
        self._interrupts: list[Callable[[], object]] = []

    def cancel(self) -> None:
        """Give the work up; may be called from any thread, and more than once."""
        with self._lock:
            self._event.set()
            interrupts, self._interrupts = self._interrupts, []
        for interrupt in interrupts:
            interrupt()

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
        """Have something interrupted if the work is given up meanwhile."""
        with self._lock:
            self._interrupts.append(interrupt)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                if interrupt in self._interrupts:
                    self._interrupts.remove(interrupt)
