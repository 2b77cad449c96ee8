"""The command line: arguments, logging, start and stop."""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from select import select

from destination import __version__, logs, telemetry
from destination.errors import ConnectorError
from destination.memory import DEFAULT_BUDGET, MIB, Budget
from destination.sdk import destination_sdk_pb2 as sdk
from destination.server import Server, is_serving
from destination.servicer import Servicer
from destination.telemetry.metrics import Metric
from destination.warehouse.pool import WarehousePool
from destination.warehouse.postgres.embedded import embedded_postgres, psql_path
from destination.warehouse.postgres.kind import connector, postgres

logger = logging.getLogger(__name__)

DEFAULT_PORT = 50052
GRACE_SECONDS = 30
IDLE_CHECK_SECONDS = 30


def parser() -> argparse.ArgumentParser:
    """The command line's arguments."""
    arguments = argparse.ArgumentParser(
        prog="fivetran-destination",
        description="A Fivetran destination connector for SQL warehouses.",
    )
    arguments.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help="the port to listen on (%(default)s)"
    )
    arguments.add_argument(
        "--local", action="store_true", help="listen on this machine alone, not on every address"
    )
    arguments.add_argument(
        "--embedded",
        type=Path,
        metavar="DIR",
        help="run a PostgreSQL with its data in DIR, for requests whose configuration names no host",
    )
    arguments.add_argument(
        "--batch-file-format",
        choices=("csv", "parquet"),
        default="csv",
        help="the format of batch files to ask Fivetran for (%(default)s)",
    )
    arguments.add_argument(
        "--memory-budget",
        type=int,
        default=DEFAULT_BUDGET // MIB,
        metavar="MIB",
        help="MiB of memory that the batch files of all requests may use (%(default)s)",
    )
    arguments.add_argument(
        "--health",
        action="store_true",
        help="ask the server that listens on the port whether it serves; exit with 0 if it does",
    )
    arguments.add_argument(
        "--otlp-endpoint",
        metavar="URL",
        help="send telemetry to this OTLP collector (gRPC); OTEL_EXPORTER_OTLP_ENDPOINT does the same",
    )
    arguments.add_argument("--version", action="version", version=__version__)
    return arguments


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The process's exit code.
    """
    options = parser().parse_args(arguments)
    logs.configure()
    if options.health:
        return 0 if is_serving(options.port) else 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with ExitStack() as resources:
            _serve(options, _stop_signals(resources), resources)
    except ConnectorError as error:
        logger.critical("%s", error)
        return 1
    logger.info("stopped")
    return 0


def _stop_signals(resources: ExitStack) -> socket.socket:
    """A socket that becomes readable on SIGTERM or SIGINT.

    An event would not do: Python's handler sets it in the main thread, which is not woken if the system
    delivers the signal to another thread.
    """
    reading, writing = socket.socketpair()
    for end in (reading, writing):
        end.setblocking(False)
        resources.enter_context(end)
    resources.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(writing.fileno()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
        resources.callback(signal.signal, number, signal.SIG_IGN)  # Python's end undoes handlers
    return reading


def _serve(options: argparse.Namespace, stopping: socket.socket, resources: ExitStack) -> None:
    if endpoint := telemetry.endpoint_of(options.otlp_endpoint):
        from destination.telemetry import otlp  # noqa: PLC0415  # takes long, few need it

        resources.enter_context(otlp.exporting(endpoint))
    uri = resources.enter_context(embedded_postgres(options.embedded)) if options.embedded else None
    warehouses = WarehousePool(postgres(connector(uri)))
    resources.callback(warehouses.close_idle, 0)
    formats = {"csv": sdk.CSV, "parquet": sdk.PARQUET}
    budget = Budget(options.memory_budget * MIB)
    telemetry.add(Metric.MEMORY_BUDGET, budget.size)
    servicer = Servicer(warehouses, budget, formats[options.batch_file_format])
    server = Server(servicer, options.port, local=options.local)
    server.start()
    logger.info("%s", _greeting(server.port))
    if uri is not None:
        logger.info("connect to the embedded PostgreSQL with: %s '%s'", psql_path(), uri)
    while not select([stopping], [], [], IDLE_CHECK_SECONDS)[0]:
        warehouses.close_idle()
    logger.info("stopping: calls under way have %d s to end", GRACE_SECONDS)
    server.stop(GRACE_SECONDS)


def _greeting(port: int) -> str:
    account = os.environ.get("FIVETRAN_ACCOUNT_NAME")
    group = os.environ.get("FIVETRAN_GROUP_NAME")
    context = f", account {account}, group {group}" if account or group else ""
    python = ".".join(str(part) for part in sys.version_info[:3])
    return f"fivetran-destination {__version__} listens on port {port} (Python {python}{context})"
