"""Fixtures for all tests."""

import shutil
import signal
import tempfile
from functools import partial

import pytest

from tests.support.examples import load_profile

load_profile()

# Programs that the tests start end by it. A shell has jobs in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.support.fix_secrets",
    "tests.support.fix_postgres",
    "tests.support.fix_connector",
    "tests.support.fix_roles",
    "tests.support.fix_poison",
    "tests.support.fix_migrate",
    "tests.support.fix_files",
    "tests.support.fix_proxy",
    "tests.support.fix_server",
    "tests.sync.fix_sync",
    "tests.platform.fix_platform",
    "tests.support.fix_collector",
    "tests.support.fix_ssh",
    "tests.citus.fix_citus",
]


MARKED = {"postgres_uri": "database", "ssh_server": "slow"}
"""Fixtures that start a program, each with the marker of the tests that ask for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that ask, directly or through another fixture, for a program."""
    for item in items:
        if isinstance(item, pytest.Function):
            for fixture in MARKED.keys() & item.fixturenames:
                item.add_marker(MARKED[fixture])


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give the run a directory of its own.

    PostgreSQL, which does not run as root, must reach what tests put there. pytest's own directory is
    closed to others by each run that starts, also while this one goes on.
    """
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="pytest-")
        config.add_cleanup(partial(shutil.rmtree, config.option.basetemp, ignore_errors=True))
