"""Fixtures for all tests."""

from tests.examples import load_profile

load_profile()

pytest_plugins = [
    "tests.fix_secrets",
    "tests.fix_postgres",
    "tests.fix_connector",
    "tests.fix_roles",
    "tests.fix_migrate",
    "tests.fix_files",
    "tests.fix_proxy",
    "tests.fix_server",
    "tests.sync.fix_sync",
    "tests.platform.fix_platform",
    "tests.fix_collector",
    "tests.fix_ssh",
    "tests.citus.fix_citus",
]
