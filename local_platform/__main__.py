"""The local platform's commands: `python -m local_platform sync DIR`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from local_platform.sync import cli as sync
from local_platform.sync.errors import InputError


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
    sync.add_arguments(
        commands.add_parser("sync", description=sync.DESCRIPTION, help=sync.DESCRIPTION)
    )
    return sync.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
