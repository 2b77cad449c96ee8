"""The command `serve`: the platform with its pages and its API, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import uvicorn

from local_platform.api import account
from local_platform.api import app as api
from local_platform.api.connector import Connector, ConnectorError
from local_platform.api.platform import SAMPLES, Platform, Settings
from local_platform.api.vault import VaultError
from local_platform.web import app as web

DESCRIPTION = "Serves the platform: pages, and a REST API like Fivetran's."
LOOPBACK = ("127.0.0.1", "localhost", "::1")
STOP_SECONDS = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("directory", type=Path, help="where the platform keeps its state")
    parser.add_argument(
        "--host", default=LOOPBACK[0], help="the address to listen on (%(default)s)"
    )
    parser.add_argument(
        "--name", action="append", default=[], metavar="HOST", help="a further name of this host"
    )
    parser.add_argument("--port", type=int, default=8080, help="the port (%(default)s)")
    parser.add_argument(
        "--sources", type=Path, default=SAMPLES, metavar="DIR",
        help="a directory with a directory for each source (the samples)",
    )  # fmt: skip
    parser.add_argument(
        "--python",
        default=sys.executable,
        metavar="EXE",
        help="the Python of Connector SDK projects",
    )
    parser.add_argument("--new-key", action="store_true", help="make a new API key and secret")
    parser.add_argument(
        "--requests-a-minute", type=int, default=api.MOST_A_MINUTE, metavar="N",
        help="how many API requests a client may send (%(default)s)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Serve.

    Returns:
        The process's exit code.
    """
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, whenever it comes
    with suppress(KeyboardInterrupt), ExitStack() as resources:
        try:
            listener = resources.enter_context(listen(options.host, options.port))
            connector = Connector(options.directory / "postgres")
            resources.callback(connector.close)
            settings = Settings(options.directory, options.sources, options.python)
            platform = resources.enter_context(Platform(settings, connector))
        except (OSError, ConnectorError, VaultError) as error:
            print(error, file=sys.stderr)
            return 1
        key = platform.first_start()
        if options.new_key:
            key = account.create(platform.store)
        application = api.create(
            platform, [*LOOPBACK, options.host, *options.name], options.requests_a_minute
        )
        web.add(application, platform, login=options.host not in LOOPBACK)
        config = uvicorn.Config(
            application, log_level="warning", timeout_graceful_shutdown=STOP_SECONDS,
            server_header=False,
        )  # fmt: skip
        greeting = _greeting(options.host, listener.getsockname()[1], key)
        _Server(config, lambda: print(greeting, flush=True)).run(sockets=[listener])
    return 0


class _Server(uvicorn.Server):
    """A server that calls something once it serves."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address; port 0 is one that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol: asyncio sends small pieces at once only on sockets that say they are TCP's.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen()  # whoever reads the greeting may call
    return listener


def _greeting(host: str, port: int, key: tuple[str, str] | None) -> str:
    shown = f"[{host}]" if ":" in host else host
    lines = [
        f"pages     http://{shown}:{port}/",
        f"REST API  http://{shown}:{port}/v1/   (described at /docs)",
        "for developing and testing, on your own machine: no scheduler for production",
    ]
    if key is not None:
        lines[2:2] = [f"key       {key[0]}", f"secret    {key[1]}   (shown this once)"]
    return "\n".join(lines)
