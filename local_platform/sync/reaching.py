"""Options that say which source is meant, and the source that they mean."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from destination.sdk import common_pb2 as common
from local_platform.sync.errors import InputError
from local_platform.sync.process import Log, command, sdk_command
from local_platform.sync.source import SourceClient, reached, started

Reached = AbstractContextManager[tuple[SourceClient, common.ConfigurationFormResponse]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--source", metavar="HOST:PORT", help="a source that listens already")
    source.add_argument(
        "--source-command", metavar="'CMD {port}'", help="start the source by this command"
    )
    source.add_argument(
        "--sdk-project", type=Path, metavar="PATH", help="serve a Connector SDK project"
    )
    parser.add_argument(
        "--python", default=sys.executable, metavar="EXE", help="the Python of --sdk-project"
    )


def reach(options: argparse.Namespace, log: Log) -> Reached:
    """The source that the options mean.

    Args:
        options: a command's.
        log: gets what the source prints.

    Raises:
        InputError: if they mean none.
    """
    if options.source:
        return reached(*address(options.source))
    if options.source_command:
        if "{port}" not in options.source_command:
            raise InputError("--source-command: it must hold {port}")
        return started(partial(command, options.source_command), log)
    return started(partial(sdk_command, options.sdk_project, options.python), log)


def address(text: str) -> tuple[str, int]:
    """The host and port of `HOST:PORT`.

    Raises:
        InputError: if it is none.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"--source {text}: it must be HOST:PORT")
    return host, int(port)
