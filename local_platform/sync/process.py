"""The process of a source: started on a free port, its output passed on, ended with the sync."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from local_platform.sync.errors import InputError, SourceError

BOUND = Path(__file__).with_name("bound.py")
LAUNCHER = Path(__file__).with_name("launcher.py")
LAST_LINES = 20
GRACE_SECONDS = 5
LEVELS = {"DEBUG", "INFO", "WARNING", "SEVERE"}
REMOVES_VALUES = "ConnectorSdkRemoveValueType"
"""An SDK source with this in its environment sends records without data. [O]"""

Log = Callable[[str, str], None]
"""Takes a level and a message."""


def command(template: str, port: int) -> list[str]:
    """A source's command, for a port."""
    return [part.replace("{port}", str(port)) for part in shlex.split(template)]


def sdk_command(project: Path, python: str, port: int) -> list[str]:
    """The command that serves a Connector SDK project.

    Raises:
        InputError: if there is none.
    """
    if not (project / "connector.py").is_file():
        raise InputError(f"{project} holds no connector.py")
    return [python, str(LAUNCHER), str(project.resolve()), str(port)]


def free_port() -> int:
    """A port that nobody listens on. gRPC servers would share one silently. [O]"""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Source:
    """The process of a source.

    Args:
        arguments: its command.
        log: gets each line that it prints.
    """

    def __init__(self, arguments: Sequence[str], log: Log) -> None:
        environment = {name: value for name, value in os.environ.items() if name != REMOVES_VALUES}
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        self._log = log
        if shutil.which(arguments[0]) is None:
            raise SourceError(f"{arguments[0]} does not start: it is no program")
        bound = [sys.executable, "-I", "-S", str(BOUND), str(os.getpid())]
        self._process = subprocess.Popen(  # noqa: S603
            [*bound, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", env=environment,
            start_new_session=True,  # a Ctrl-C is for the sync alone
        )  # fmt: skip
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    @property
    def ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process.poll() is not None

    def wait_for_lines(self) -> None:
        """Wait until what an ended process printed was read."""
        self._reader.join(1)

    def stop(self) -> None:
        """End it: an SDK server stays alive after its stream. [O]"""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._signal(signal.SIGKILL)  # what it started itself
        self.wait_for_lines()
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _read(self, output: IO[str] | None) -> None:
        for line in output or ():
            text = line.rstrip()
            if text:
                self.lines.append(text)
                self._log(*parse_line(text))


def parse_line(line: str) -> tuple[str, str]:
    """The level and the message of a line: JSON as Fivetran's SDKs log it, or anything."""
    try:
        read = json.loads(line)
    except ValueError:
        return "INFO", line
    if isinstance(read, dict) and {"message-origin", "message_origin"} & {*read}:
        level = str(read.get("level", "INFO")).upper()
        return level if level in LEVELS else "INFO", str(read.get("message", ""))
    return "INFO", line
