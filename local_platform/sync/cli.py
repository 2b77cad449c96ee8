"""The command `sync`: its options, and the parts that they put together.

Exit codes: 0, succeeded; 1, bad input or state; 2, the destination failed; 3, the source failed, or its
test or task did; 130, interrupted.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from destination.sdk import common_pb2 as common
from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.client import open_channel
from local_platform.sync import reaching
from local_platform.sync.configure import configuration, read
from local_platform.sync.destination import Destination
from local_platform.sync.errors import (
    INTERRUPTED,
    SUCCEEDED,
    DestinationError,
    InputError,
    SourceError,
    SyncError,
)
from local_platform.sync.files import prepare
from local_platform.sync.intake import MIB, Settings
from local_platform.sync.loader import Loader
from local_platform.sync.names import NAMINGS, SCHEMA_NAME
from local_platform.sync.output import JsonOutput, Output, RichOutput
from local_platform.sync.pipeline import Sync
from local_platform.sync.request import Request, from_stdin
from local_platform.sync.selection import Selection
from local_platform.sync.state import load, locked, now

DESCRIPTION = "Syncs a source connector into a destination, as Fivetran's platform does."
FILES = SOURCE, DESTINATION = "source.json", "destination.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument(
        "directory", type=Path, help="where source.json, destination.json and state.json are"
    )
    reaching.add_arguments(parser)
    parser.add_argument("--host", default="localhost", help="the destination's host (%(default)s)")
    parser.add_argument("--port", type=int, default=50052, help="its port (%(default)s)")
    parser.add_argument("--schema", required=True, metavar="NAME", help="the schema to load into")
    named = "[SCHEMA.]TABLE[.COLUMN]"
    parser.add_argument(
        "--only", action="append", default=[], metavar=named, help="sync nothing else"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar=named, help="do not sync it"
    )
    parser.add_argument(
        "--block-new", action="store_true", help="leave out what the source did not declare"
    )
    parser.add_argument(
        "--naming", choices=NAMINGS, default=NAMINGS[0], help="whose names (%(default)s)"
    )
    parser.add_argument(
        "--mode", choices=("soft-delete", "history"), default="soft-delete", help="(%(default)s)"
    )
    parser.add_argument(
        "--history", action="append", default=[], metavar="[SCHEMA.]TABLE",
        help="a table in history mode, whatever --mode says",
    )  # fmt: skip
    parser.add_argument("--hard-delete", action="store_true", help="delete rows, do not mark them")
    parser.add_argument("--resync", action="store_true", help="start over from the first state")
    parser.add_argument(
        "--test-only", action="store_true", help="run the tests of both sides alone"
    )
    parser.add_argument(
        "--batch-file-type", type=str.upper, choices=("CSV", "PARQUET"),
        help="the format of batch files; without it, the one that the destination asks for",
    )  # fmt: skip
    parser.add_argument(
        "--buffer-mib",
        type=positive,
        default=64,
        metavar="N",
        help="what windows may hold (%(default)s)",
    )
    parser.add_argument(
        "--flush-seconds", type=float, default=30, metavar="N",
        help="how often everything is sent, at a checkpoint (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="read both configurations from STDIN instead of files, and end when it closes",
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines for machines")


def positive(text: str) -> float:
    """A number above 0."""
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError("it must be above 0")
    return number


def run(options: argparse.Namespace) -> int:
    """Sync with what the options say.

    Returns:
        The process's exit code.
    """
    output: Output = JsonOutput() if options.json else RichOutput()
    with output:
        try:
            with ExitStack() as resources:
                return _sync(options, output, resources)
        except SyncError as error:
            output.error(str(error))
            return error.code
        except OSError as error:
            output.error(f"{error.filename or options.directory}: {error.strerror or error}")
            return InputError.code
        except KeyboardInterrupt:
            output.error("interrupted")
            return INTERRUPTED


def _sync(options: argparse.Namespace, output: Output, resources: ExitStack) -> int:
    _check(options)
    directory: Path = options.directory
    resources.enter_context(locked(directory))
    state = load(directory, options.schema, options.mode, options.naming, resync=options.resync)
    request = from_stdin() if options.stdin else _from_files(directory)
    output.secrets.add([*request.source.values(), *request.destination.values()])
    output.phase("starting the source")
    source, form = resources.enter_context(reaching.reach(options, output.log))
    output.phase("testing")
    channel = resources.enter_context(open_channel(options.host, options.port))
    destination = Destination(DestinationConnectorStub(channel), {}, output.warning)
    destination_form = destination.form()
    if options.stdin:
        source_configuration = request.source
        destination.configuration = request.destination
    else:
        source_configuration = configuration(directory / SOURCE, form)
        destination.configuration = configuration(directory / DESTINATION, destination_form)
    output.secrets.add([*source_configuration.values(), *destination.configuration.values()])
    for test in form.tests:
        failure = source.test(test.name, source_configuration)
        _tell("source", test, failure, output, SourceError)
    for test in destination_form.tests:
        _tell("destination", test, destination.test(test.name), output, DestinationError)
    if options.test_only:
        return SUCCEEDED
    if options.resync:
        state.resync = max(now(), state.clock + 1)
    loader = Loader(
        destination, directory, prepare(directory.resolve()), state, output,
        _batch_format(options, destination), hard=options.hard_delete,
    )  # fmt: skip
    selection = Selection(
        options.only,
        options.exclude,
        options.block_new,
        passing=request.exclude,
        history=[*options.history, *request.history],
    )
    buffer_bytes = int(options.buffer_mib * MIB)
    settings = Settings(options.schema, selection, buffer_bytes, options.flush_seconds)
    return Sync(source, source_configuration, loader, settings, output).run()


def _from_files(directory: Path) -> Request:
    """What the configurations' files hold that are there."""
    source, destination = (
        read(path) if (path := directory / name).exists() else {} for name in FILES
    )
    return Request(source, destination)


def _check(options: argparse.Namespace) -> None:
    if not SCHEMA_NAME.fullmatch(options.schema):
        raise InputError(f'--schema "{options.schema}": a name is lower-case letters, digits and _')
    if options.hard_delete and options.mode == "history":
        raise InputError("--hard-delete: history mode deletes no rows")
    if not options.directory.is_dir():
        raise InputError(f"{options.directory} is no directory")


def _tell(
    side: str,
    test: common.ConfigurationTest,
    failure: str | None,
    output: Output,
    error: type[SyncError],
) -> None:
    """Show how a test went, and end with it if it failed."""
    label = test.label or test.name
    output.test(side, label, failure)
    if failure:
        raise error(f"the {side}'s test {label} failed: {failure}")


def _batch_format(options: argparse.Namespace, destination: Destination) -> sdk.BatchFileFormat:
    wanted = destination.batch_file_format()
    return {"CSV": sdk.CSV, "PARQUET": sdk.PARQUET}.get(options.batch_file_type, wanted)
