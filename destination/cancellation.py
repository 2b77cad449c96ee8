"""Cancellation: passes a client's cancel, or the server's stop, on to the work under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from destination.errors import CancelledError

AGAIN_SECONDS = 0.5
"""How long after an interrupt that ended nothing there is another."""


class Cancellation:
    """Says whether work was cancelled, and interrupts what it waits for."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._interrupts: list[threading.Thread] = []

    def cancel(self) -> None:
        """Cancel the work. Returns at once; may be called from any thread, and more than once."""
        with self._lock:
            self._event.set()
            for interrupt in self._interrupts:
                interrupt.start()
            self._interrupts.clear()

    @property
    def cancelled(self) -> bool:
        """Whether the work was cancelled."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise if the work was cancelled.

        Raises:
            CancelledError: if it was.
        """
        if self.cancelled:
            raise CancelledError("the call was given up")

    def sleep(self, seconds: float) -> None:
        """Sleep, but end early if the work is cancelled."""
        self._event.wait(seconds)
        self.check()

    @contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Call `interrupt` if the work is cancelled inside this block, and never after it.

        It is called again until the block ends: the work may have begun to wait just after it.
        """
        left = threading.Event()

        def until_left() -> None:
            interrupt()
            while not left.wait(AGAIN_SECONDS):
                interrupt()

        thread = threading.Thread(target=until_left, name="interrupt", daemon=True)
        with self._lock:
            self._interrupts.append(thread)
        try:
            self.check()
            yield
        finally:
            left.set()
            with self._lock, suppress(ValueError):  # it runs, or has run
                self._interrupts.remove(thread)
            if thread.ident is not None:
                thread.join()
