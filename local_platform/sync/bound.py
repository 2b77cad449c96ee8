"""Runs a command that ends with its parent: `bound.py PARENT COMMAND…`.

A program of its own, because a process with threads may not run Python between fork() and exec():
gRPC, for one, starts threads there, which abort.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT_DEATH_SIGNAL = 1


def main(parent: str, *command: str) -> None:
    """Become the command. On Linux alone it ends with its parent."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the parent has ended")
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.exit(f"{command[0]} does not start: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
