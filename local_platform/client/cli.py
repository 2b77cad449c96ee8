"""The command `fivetran`: what the client does, one JSON object a call."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from local_platform.client.errors import FivetranError, InputError, SyncFailedError, TimedOutError
from local_platform.client.fivetran import Fivetran

DESCRIPTION = (
    "Calls Fivetran's REST API, or a local platform's: FIVETRAN_API_KEY, FIVETRAN_API_SECRET and"
    " FIVETRAN_API_URL say whose."
)
CODES: dict[type[FivetranError], int] = {InputError: 1, SyncFailedError: 3, TimedOutError: 4}
OTHER_CODE = 2
WAIT_SECONDS = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    calls = parser.add_subparsers(dest="call", required=True)

    def call(name: str, said: str, work: Callable[[Fivetran, Any], Any]) -> argparse.ArgumentParser:
        made = calls.add_parser(name, help=said, description=said)
        made.set_defaults(work=work)
        return made

    def of_one(name: str, said: str, work: Callable[[Fivetran, str], Any]) -> None:
        made = call(name, said, lambda fivetran, options: work(fivetran, options.id))
        made.add_argument("id")

    made = call("create-destination", "make a destination and test it", _create_destination)
    made.add_argument("--name", required=True, help="of its group")
    made.add_argument("--service", required=True)
    made.add_argument("--config", default="", metavar="FILE", help="JSON; - for STDIN")
    made = call("create-connection", "make a connection and test it", _create_connection)
    made.add_argument("--group-id", required=True)
    made.add_argument("--service", required=True)
    made.add_argument("--schema", required=True)
    made.add_argument("--config", default="", metavar="FILE", help="JSON; - for STDIN")
    made.add_argument("--paused", action="store_true")
    of_one("test-destination", "run a destination's tests", Fivetran.test_destination)
    of_one("test-connection", "run a connection's tests", Fivetran.test_connection)
    made = call("sync", "start a sync", _sync)
    made.add_argument("id")
    made.add_argument("--wait", action="store_true", help="until it has ended")
    made.add_argument("--timeout", type=float, default=WAIT_SECONDS, metavar="SECONDS")
    made.add_argument("--poll", type=float, default=5.0, metavar="SECONDS")
    of_one("tables", "list a connection's tables", Fivetran.tables)
    made = call("connector-types", "download every connector type's configuration", _types)
    made.add_argument("directory", type=Path)


def run(options: argparse.Namespace) -> int:
    """Call.

    Returns:
        The process's exit code: 0, done; 1, bad input; 2, refused or not reached; 3, the sync failed;
        4, it did not end in time.
    """
    try:
        with Fivetran.from_environment() as fivetran:
            answer = options.work(fivetran, options)
    except FivetranError as error:
        sys.stderr.write(f"{error}\n")
        return CODES.get(type(error), OTHER_CODE)
    plain = TypeAdapter(Any).dump_python(answer, mode="json")
    sys.stdout.write(json.dumps(plain, indent=2) + "\n")
    return 0


def _create_destination(fivetran: Fivetran, options: Any) -> Any:
    config = _config(options.config)
    return fivetran.create_destination(
        fivetran.create_group(options.name), options.service, config, region="GCP_US_EAST4",
        time_zone_offset="0",
    )  # fmt: skip


def _create_connection(fivetran: Fivetran, options: Any) -> Any:
    return fivetran.create_connection(
        options.group_id, options.service, options.schema, _config(options.config),
        paused=options.paused,
    )  # fmt: skip


def _sync(fivetran: Fivetran, options: Any) -> Any:
    marks = fivetran.sync(options.id)
    return (
        fivetran.wait(options.id, marks, options.timeout, options.poll) if options.wait else marks
    )


def _types(fivetran: Fivetran, options: Any) -> Any:
    return fivetran.download_connector_types(options.directory)


def _config(name: str) -> dict[str, Any]:
    """A configuration from a file or STDIN: it holds secrets, which arguments would show to others."""
    if not name:
        return {}
    try:
        content = json.loads(sys.stdin.read() if name == "-" else Path(name).read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"--config: it cannot be read as JSON ({type(error).__name__})") from error
    if not isinstance(content, dict):
        raise InputError("--config: it is no JSON object")
    return content
