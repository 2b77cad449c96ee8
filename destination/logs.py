"""Fivetran's log format: one JSON object a line on STDOUT, without any secret.

A text is shown only where this project wrote it: drivers, decoders and the server of their connections
put row values into theirs. Exceptions are logged as their type and the places they passed through, and
what libraries log as the place where they do so.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
import warnings
from pathlib import Path
from types import TracebackType
from typing import TextIO

from destination.errors import ConnectorError

LEVELS = {logging.WARNING: "WARNING", logging.ERROR: "SEVERE", logging.CRITICAL: "SEVERE"}
ORIGIN = "sdk_destination"
OWN = __name__.partition(".")[0]
"""The package whose texts are shown."""


class FivetranFormatter(logging.Formatter):
    """Formats a record as Fivetran's JSON line: `level`, `message`, `message-origin`."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage() if _is_own(record) else _place_of(record)
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message}: {describe_exception(record.exc_info[1])}"
        line = {
            "level": LEVELS.get(record.levelno, "INFO"),
            "message": message,
            "message-origin": ORIGIN,
        }
        return json.dumps(line)


def _is_own(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == OWN


def _place_of(record: logging.LogRecord) -> str:
    """The place in the code of a library's log call: text and arguments may hold a value of a row."""
    return f"{record.name} logs at {record.filename}:{record.lineno} ({record.funcName})"


def describe_exception(error: BaseException) -> str:
    """The exception's type and path through the code; its text only if this project wrote it."""
    text = f" {error}" if isinstance(error, ConnectorError) else ""
    frames = " < ".join(
        f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    )
    cause = error.__cause__ or error.__context__
    chain = f"; caused by {describe_exception(cause)}" if cause is not None else ""
    return f"{type(error).__qualname__}{text} at {frames or 'an unknown place'}{chain}"


def configure() -> None:
    """Send everything that is logged, warned or left uncaught to STDOUT as Fivetran's JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(FivetranFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    warnings.showwarning = _log_warning
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logging.getLogger(__name__).critical("uncaught error", exc_info=(kind, error, trace))


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    del message, file, line  # which may hold a value
    name, place = category.__name__, Path(filename).name
    logging.getLogger(__name__).warning("a library warns: %s at %s:%d", name, place, lineno)
