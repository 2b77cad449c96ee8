"""The destination connector that the platform starts, with an embedded PostgreSQL."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO, Protocol

ROOT = Path(__file__).parents[2]
CHILD = Path(__file__).with_name("child.py")
LAST_LINES = 5
START_SECONDS = 120
PATTERNS = {"port": r"listens on port (\d+)", "uri": r"psql '(.*)'"}


class Listening(Protocol):
    """A destination connector, and the PostgreSQL that it loads into where nothing else is said."""

    @property
    def address(self) -> str:
        """Where it listens, as HOST:PORT."""

    @property
    def uri(self) -> str:
        """Its PostgreSQL."""


class ConnectorError(Exception):
    """The connector did not start."""


class Connector:
    """The process of the connector.

    Args:
        directory: where its PostgreSQL keeps its data.

    Raises:
        ConnectorError: if it ends before it is ready.
    """

    def __init__(self, directory: Path) -> None:
        self._lines: deque[str] = deque(maxlen=LAST_LINES)
        self._found: dict[str, str] = {}
        self._ready = threading.Event()
        options = ["--port", "0", "--local", "--embedded", str(directory.resolve())]
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, str(CHILD), sys.executable, "main.py", *options], cwd=ROOT, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        self._ready.wait(START_SECONDS)
        if len(self._found) < len(PATTERNS):
            self.close()
            raise ConnectorError("\n".join(["the destination did not start:", *self._lines]))

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._found['port']}"

    @property
    def uri(self) -> str:
        """Its PostgreSQL."""
        return self._found["uri"]

    def close(self) -> None:
        """End it, and its PostgreSQL."""
        self._process.terminate()
        self._process.wait()

    def _read(self, output: IO[str]) -> None:
        """Read all that it prints: a full pipe would stop it."""
        for line in output:
            self._lines.append(line.rstrip())
            if not self._ready.is_set():
                self._look(line)
        self._ready.set()

    def _look(self, line: str) -> None:
        message = json.loads(line)["message"]
        for name, pattern in PATTERNS.items():
            if found := re.search(pattern, message):
                self._found[name] = found[1]
        if len(self._found) == len(PATTERNS):
            self._ready.set()
