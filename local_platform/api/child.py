"""Runs a command, and stops it when the process that started it ends: `child.py COMMAND`."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT_DEATH_SIGNAL = 1
NICENESS = 5
"""It leaves the processor to the pages."""


def main(command: list[str]) -> None:
    """Become the command."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if parent == 1:
        return
    os.nice(NICENESS)
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
