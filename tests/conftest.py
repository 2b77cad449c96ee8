"""Fixtures for all tests."""

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
]
