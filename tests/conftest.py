"""Fixtures for all tests."""

import signal

from tests.support.examples import load_profile

load_profile()

# Programs that the tests start end by it. A shell has jobs in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.support.fix_secrets",
    "tests.support.fix_postgres",
    "tests.support.fix_connector",
    "tests.support.fix_roles",
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
