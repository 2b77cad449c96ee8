"""Fivetran's log format: one JSON object a line on STDOUT, and nothing in it that must stay secret.

Exceptions are logged as their type and the places they passed through. The text of an exception is
shown only where this project wrote it: drivers and decoders put row values into theirs.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from types import TracebackType

from destination.errors import ConnectorError

LEVELS = {logging.WARNING: "WARNING", logging.ERROR: "SEVERE", logging.CRITICAL: "SEVERE"}
ORIGIN = "sdk_destination"


class FivetranFormatter(logging.Formatter):
    """Formats a record as Fivetran's JSON line: `level`, `message`, `message-origin`."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message}: {describe_exception(record.exc_info[1])}"
        line = {
            "level": LEVELS.get(record.levelno, "INFO"),
            "message": message,
            "message-origin": ORIGIN,
        }
        return json.dumps(line)


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
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logging.getLogger(__name__).critical("uncaught error", exc_info=(kind, error, trace))
