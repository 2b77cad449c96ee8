"""The command `inspect`: what a source has, as one line of JSON: its form, its tests, its schema."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from google.protobuf.json_format import MessageToDict

from destination.sdk import common_pb2 as common
from local_platform.sync import reaching
from local_platform.sync.errors import SUCCEEDED, SyncError
from local_platform.sync.output import Secrets
from local_platform.sync.request import from_stdin
from local_platform.sync.source import SourceClient

DESCRIPTION = "Says what a source has: its setup form, how its tests go, its tables."
PASSED, FAILED, SKIPPED = "PASSED", "FAILED", "SKIPPED"
SKIPPED_SINCE = "a test before it failed"
PARTS = ("form", "tests", "schema")
as_json = partial(MessageToDict, preserving_proto_field_name=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    reaching.add_arguments(parser)
    parser.add_argument(
        "--until", choices=PARTS, default="form", help="the last part to tell (%(default)s)"
    )
    parser.add_argument(
        "--stdin",
        action="store_true",
        help="read the source's configuration from STDIN, and end with it",
    )


def run(options: argparse.Namespace) -> int:
    """Print it.

    Returns:
        The process's exit code.
    """
    secrets = Secrets()
    try:
        configuration = from_stdin().source if options.stdin else {}
        secrets.add(configuration.values())
        # What the source prints is for its sync.
        with reaching.reach(options, lambda *_: None) as (source, form):
            shown = dict(_tell(options.until, source, form, configuration))
    except SyncError as error:
        _print(secrets, {"error": str(error)})
        return error.code
    _print(secrets, shown)
    return SUCCEEDED


def _tell(
    until: str,
    source: SourceClient,
    form: common.ConfigurationFormResponse,
    configuration: Mapping[str, str],
) -> Iterator[tuple[str, Any]]:
    yield "form", as_json(form)
    if until == "form":
        return
    outcomes = list(_test(source, form, configuration))
    yield "tests", outcomes
    if until == "schema" and all(each["status"] == PASSED for each in outcomes):
        yield "schema", as_json(source.schema(configuration))


def _test(
    source: SourceClient,
    form: common.ConfigurationFormResponse,
    configuration: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Run the tests; those after one that failed are skipped."""
    status = PASSED
    for test in form.tests:
        started = time.monotonic()
        message = SKIPPED_SINCE
        if status == PASSED:
            failure = source.test(test.name, configuration)
            status, message = (FAILED, failure) if failure else (PASSED, "")
        elif status == FAILED:
            status = SKIPPED
        seconds = round(time.monotonic() - started, 3)
        title = test.label or test.name
        yield {"title": title, "status": status, "message": message, "seconds": seconds}


def _print(secrets: Secrets, content: Mapping[str, Any]) -> None:
    sys.stdout.write(secrets.hide(json.dumps(content)) + "\n")
