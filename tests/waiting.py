"""Waiting for what another thread, process or server does."""

import time
from collections.abc import Callable

SECONDS = 30


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail if it does not within half a minute."""
    until = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
