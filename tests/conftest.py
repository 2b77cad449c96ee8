"""Fixtures for all tests."""

from hypothesis import settings

settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
"""On a machine that is busy, an example may take any time."""

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
]
