"""Tests a destination connector: `python -m destination_tester DIR`.

Exit codes: 0 if all went well, 1 if tables differ from what they must be or an input cannot be read,
2 if a call failed, or was answered by a task though it should succeed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import grpc
import sqlalchemy as sa

from destination.sdk import destination_sdk_pb2 as sdk
from destination.sdk.destination_sdk_pb2_grpc import DestinationConnectorStub
from destination_tester.batches import Writer
from destination_tester.client import Client, open_channel
from destination_tester.configure import configuration
from destination_tester.console import JsonOutput, Output, RichOutput
from destination_tester.documents import InputError
from destination_tester.files import BatchFiles
from destination_tester.inputs import inputs
from destination_tester.runner import Clock, Runner
from destination_tester.verify import Verifier

DIFFERENT, CALL_FAILED = 1, 2


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    arguments = argparse.ArgumentParser(
        prog="python -m destination_tester",
        description="Sends what Fivetran sends to a destination connector, and looks at the result.",
    )
    arguments.add_argument("directory", type=Path, help="where the inputs are")
    arguments.add_argument("--host", default="localhost", help="the connector's host (%(default)s)")
    arguments.add_argument("--port", type=int, default=50052, help="its port (%(default)s)")
    arguments.add_argument("--input-file", metavar="F", help="play this input alone")
    arguments.add_argument(
        "--schema-name", default="tester", help="the schema to load into (%(default)s)"
    )
    arguments.add_argument(
        "--plain-text", action="store_true", help="neither compress nor encrypt batch files"
    )
    arguments.add_argument(
        "--disable-operation-delay", action="store_true", help="do not wait between operations"
    )
    arguments.add_argument(
        "--batch-file-type",
        type=str.upper,
        choices=("CSV", "PARQUET"),
        help="the format of batch files; without it, the one that the connector asks for",
    )
    arguments.add_argument(
        "--verify", metavar="URL", help="read the tables from this database and check them"
    )
    arguments.add_argument(
        "--allow-task",
        action="store_true",
        help="calls answered by a task though they should succeed are no failure",
    )
    arguments.add_argument(
        "--keep-files", action="store_true", help="leave the batch files in DIR/files"
    )
    arguments.add_argument("--json", action="store_true", help="print JSON lines for machines")
    return arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Play the inputs of a directory.

    Returns:
        The process's exit code.
    """
    options = parser().parse_args(arguments)
    output: Output = JsonOutput() if options.json else RichOutput()
    try:
        with ExitStack() as resources:
            return run(options, output, resources)
    except InputError as error:
        output.error(str(error))
        return DIFFERENT
    except sa.exc.SQLAlchemyError as error:
        first_line, _, _ = str(error).partition("\n")
        output.error(f"--verify: the database cannot be read: {first_line}")
        return DIFFERENT
    except grpc.RpcError as error:
        status = f"{error.code().name}: {error.details()}" if isinstance(error, grpc.Call) else ""
        output.error(f"a call of the connector failed: {status}")
        return CALL_FAILED


def run(options: argparse.Namespace, output: Output, resources: ExitStack) -> int:
    """Play the inputs of a directory with what the options say."""
    played = inputs(options.directory, options.input_file)
    channel = resources.enter_context(open_channel(options.host, options.port))
    stub = DestinationConnectorStub(channel)
    client = Client(stub, {}, options.schema_name, output, {})
    form = client.configure()
    client.configuration = configuration(options.directory, form)
    for test in form.tests:
        client.test(test.name, test.label)
    wanted = client.capabilities().batch_file_format
    verifier = None
    if options.verify:
        opened = Verifier(options.verify, options.schema_name, output)
        verifier = resources.enter_context(closing(opened))
    runner = Runner(
        client,
        Writer(_files(options, wanted, resources)),
        Clock(delay=not options.disable_operation_delay),
        output,
        verifier,
    )
    differences = sum(len(runner.run(each)) for each in played)
    output.summary({"inputs": len(played), **client.counts, "differences": differences})
    refused = client.refused - runner.rightly_refused
    if refused and not options.allow_task:
        output.error(f"{refused} calls that should succeed were answered by a task or a failure")
        return CALL_FAILED
    return DIFFERENT if differences else 0


def _files(
    options: argparse.Namespace, wanted: sdk.BatchFileFormat, resources: ExitStack
) -> BatchFiles:
    if options.keep_files:
        directory = options.directory / "files"
        directory.mkdir(exist_ok=True)
    else:
        directory = Path(resources.enter_context(tempfile.TemporaryDirectory()))
    formats = {"CSV": sdk.CSV, "PARQUET": sdk.PARQUET}
    file_format = formats.get(options.batch_file_type, wanted)
    if options.plain_text:
        return BatchFiles(directory.resolve(), file_format, sdk.OFF, sdk.NONE)
    return BatchFiles(directory.resolve(), file_format)


if __name__ == "__main__":
    sys.exit(main())
