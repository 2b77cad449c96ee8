"""What a program that starts a sync tells it on STDIN: configurations, which so stay off the disk."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from typing import TextIO

from destination_tester.configure import Configuration
from local_platform.sync.errors import InputError


@dataclass(frozen=True)
class Request:
    """A line of JSON.

    Args:
        source: the source's configuration.
        destination: the destination's.
        exclude: what is not synced, if the source still declares it.
        history: tables in history mode, `[SCHEMA.]TABLE` in the source's names.
    """

    source: Configuration = field(default_factory=dict)
    destination: Configuration = field(default_factory=dict)
    exclude: list[str] = field(default_factory=list)
    history: list[str] = field(default_factory=list)


def from_stdin() -> Request:
    """The request; from then on this process ends when STDIN does, with the one that started it.

    Raises:
        InputError: if there is none.
    """
    try:
        request = Request(**json.loads(sys.stdin.readline()))
    except (ValueError, TypeError) as error:
        raise InputError("STDIN: a line of JSON must say what to sync") from error
    threading.Thread(target=_end_with, args=(sys.stdin,), name="stdin", daemon=True).start()
    return request


def _end_with(stream: TextIO) -> None:
    """Die as the other process did: a sync that is killed at any instant goes on from its state."""
    while stream.read(1):
        pass
    os.kill(os.getpid(), signal.SIGKILL)
