"""What an SSH tunnel costs: first loads into one PostgreSQL, directly and through an SSH server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.data import COMMON, Generator, Load, write
from benchmarks.sides import Sides, started
from benchmarks.turns import by_turns, show
from destination.warehouse.postgres.embedded import psql_path
from tests.support.fix_server import own_server
from tests.support.fix_ssh import ssh_serving

ROWS = 1_000_000
LOADS = 7


def main() -> None:
    """Print the seconds of first loads, and those of small calls."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with (
            started(directory) as running,
            own_server(psql_path().parent) as server,
            ssh_serving() as ssh,
        ):
            server.start(max_wal_size="2GB")
            ssh.start()
            with server.connect() as connection:
                direct = replace(running, connection=connection, configuration=server.configuration)
                far = replace(direct, configuration={**server.configuration, **ssh.configuration})
                rows = Generator().rows(COMMON, range(ROWS))
                large = write(running.files, COMMON, rows, "large")
                small = write(running.files, COMMON, rows[:1], "small")
                for what, load, times in (("1,000,000 rows", large, LOADS), ("one row", small, 99)):
                    show(f"first load of {what}", *by_turns(direct, far, _loader(load), times))


def _loader(load: Load) -> Callable[[Sides], float]:
    def load_all(side: Sides) -> float:
        side.create(load.table)
        return side.write(load)

    return load_all


if __name__ == "__main__":
    main()
