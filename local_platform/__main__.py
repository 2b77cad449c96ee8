"""The local platform's commands: `python -m local_platform sync DIR`."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from local_platform.sync.errors import InputError

COMMANDS = {
    "sync": "local_platform.sync.cli",
    "inspect": "local_platform.sync.inspect",
    "serve": "local_platform.serve",
    "fivetran": "local_platform.client.cli",
}
"""The modules of the commands: only that of the one that runs is imported, with what it needs."""


class Parser(argparse.ArgumentParser):
    """Ends with the exit code for bad input."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(InputError.code, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The process's exit code.
    """
    parser = Parser(
        prog="python -m local_platform", description="Fivetran's platform on one's own machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    given = sys.argv[1:] if arguments is None else arguments
    named = [name for name in COMMANDS if name in given[:1]]
    for name in named or COMMANDS:
        module = importlib.import_module(COMMANDS[name])
        command = commands.add_parser(name, description=module.DESCRIPTION, help=module.DESCRIPTION)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args(given)
    return int(options.run(options))


if __name__ == "__main__":
    sys.exit(main())
