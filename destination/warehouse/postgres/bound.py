"""Runs a command that ends with its parent, as an account: `bound.py PARENT ACCOUNT COMMAND…`.

A program of its own, because a process with threads may not run Python between fork() and exec():
gRPC, for one, starts threads there, which abort.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import sys

PARENT_DEATH_SIGNAL = 1


def main(parent: str, account: str, *command: str) -> None:
    """Become the command, as an account if one is named. On Linux alone it ends with its parent."""
    if account:
        entry = pwd.getpwnam(account)
        os.setgroups([])
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    if sys.platform == "linux":
        # Not before: a change of account forgets it.
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGINT)
    if os.getppid() != int(parent):
        sys.exit("the parent has ended")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(*sys.argv[1:])
